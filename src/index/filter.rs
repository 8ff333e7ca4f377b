//! Typed filters, and their SQL. There are no predicate strings: a filter can only say what an index column can answer.

use chrono::{DateTime, Utc};
use order_contract::{Amount, SourceKey};

/// Which orders. Values of one matcher are alternatives; [`Filter::All`] of nothing is every order.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Each of them holds.
    All(Vec<Filter>),
    /// One of them holds; of nothing: no order.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A text or enum column.
    Text(TextField, TextMatch),
    /// A time in a range.
    Time(TimeField, Range<DateTime<Utc>>),
    /// An amount in a range. Amounts of different currencies are different things: combine it with the currency.
    Amount(AmountField, Range<Amount>),
    /// Whether something holds the order up.
    Held(bool),
    /// Whether an invariant check is violated.
    Violated(bool),
    /// Some line matches.
    Lines(LineFilter),
    /// Some payment matches.
    Payments(PaymentFilter),
    /// The order belongs to one of these sources: the caller's scope.
    Sources(Vec<SourceKey>),
}

/// A text column of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the order's field of that name")]
pub enum TextField {
    Id,
    Source,
    SourceOrderId,
    Number,
    Kind,
    Channel,
    Status,
    PaymentStatus,
    FulfillmentStatus,
    ReturnStatus,
    NativeState,
    Country,
    Currency,
    CustomerId,
    CustomerEmail,
    CustomerName,
}

/// How a text column must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// One of these; of nothing: none.
    In(Vec<String>),
    /// Begins with this, to the letter.
    StartsWith(String),
    /// Has a value, or has none.
    Present(bool),
}

/// A time of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the order's time of that name")]
pub enum TimeField {
    PlacedAt,
    UpdatedAt,
    ObservedAt,
}

/// An amount of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the order's total of that name")]
pub enum AmountField {
    Total,
    Captured,
    Refunded,
}

/// A half-open or closed range; each bound is optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range<T> {
    /// At least.
    pub gte: Option<T>,
    /// More than.
    pub gt: Option<T>,
    /// At most.
    pub lte: Option<T>,
    /// Less than.
    pub lt: Option<T>,
}

/// A line of an order; all that is given holds of the same line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineFilter {
    /// Its SKU.
    pub sku: Option<TextMatch>,
    /// Its name.
    pub name: Option<TextMatch>,
    /// Its ordered quantity.
    pub ordered: Range<Amount>,
    /// Its total.
    pub total: Range<Amount>,
}

/// A payment of an order; all that is given holds of the same payment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PaymentFilter {
    /// Its method.
    pub method: Option<TextMatch>,
    /// Its provider.
    pub provider: Option<TextMatch>,
    /// Its state.
    pub status: Option<TextMatch>,
    /// The provider's reference.
    pub reference: Option<TextMatch>,
    /// Its amount.
    pub amount: Range<Amount>,
}
