//! Typed filters, and their SQL. There are no predicate strings: a filter can only say what an index column can answer.

use chrono::{DateTime, Utc};
use order_contract::{Amount, SourceKey};

use super::columns::{column_email, column_text};
use crate::database::Value;

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

impl TextField {
    fn column(self) -> &'static str {
        match self {
            Self::Id => "orders.order_id",
            Self::Source => "orders.source",
            Self::SourceOrderId => "orders.source_order_id",
            Self::Number => "orders.number",
            Self::Kind => "orders.kind",
            Self::Channel => "orders.channel",
            Self::Status => "orders.status",
            Self::PaymentStatus => "orders.payment_status",
            Self::FulfillmentStatus => "orders.fulfillment_status",
            Self::ReturnStatus => "orders.return_status",
            Self::NativeState => "orders.native_state",
            Self::Country => "orders.country",
            Self::Currency => "orders.currency",
            Self::CustomerId => "orders.customer_id",
            Self::CustomerEmail => "orders.customer_email",
            Self::CustomerName => "orders.customer_name",
        }
    }
}

impl TimeField {
    fn column(self) -> &'static str {
        match self {
            Self::PlacedAt => "orders.placed_at",
            Self::UpdatedAt => "orders.updated_at",
            Self::ObservedAt => "orders.observed_at",
        }
    }
}

impl AmountField {
    fn column(self) -> &'static str {
        match self {
            Self::Total => "orders.total",
            Self::Captured => "orders.captured",
            Self::Refunded => "orders.refunded",
        }
    }
}

impl Filter {
    /// Takes out the one SKU that every order of this filter has a line of, so that a list can be driven from the index
    /// of lines: the SKU, and the filter that is left to ask of the orders.
    pub(super) fn split_sku(&self) -> Option<(&str, Self)> {
        match self {
            Self::All(all) => all.iter().enumerate().find_map(|(i, filter)| {
                let (sku, rest) = filter.split_sku()?;
                let mut all = all.clone();
                all[i] = rest;
                Some((sku, Self::All(all)))
            }),
            Self::Lines(line) => {
                let Some(TextMatch::In(skus)) = &line.sku else { return None };
                let [sku] = skus.as_slice() else { return None };
                let sku_alone = *line == LineFilter { sku: line.sku.clone(), ..LineFilter::default() };
                Some((sku, if sku_alone { Self::All(Vec::new()) } else { self.clone() }))
            }
            _ => None,
        }
    }
}

/// A condition in SQL with its values. Every part of it is either true or, for want of a value, not true: a `null`
/// counts as "does not match", also under a negation.
#[derive(Debug, Default)]
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) values: Vec<Value<'static>>,
}

impl Condition {
    /// Binds a value and gives its placeholder.
    pub(super) fn bind(&mut self, value: impl Into<Value<'static>>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Appends the filter as one term.
    pub(super) fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::All(all) => self.join(all, " and ", "true"),
            Filter::Any(any) => self.join(any, " or ", "false"),
            Filter::Not(not) => {
                self.push("(");
                self.filter(not);
                self.push(" is not true)");
            }
            Filter::Text(field, text) => {
                let normal = if *field == TextField::CustomerEmail { column_email } else { column_text };
                self.text(field.column(), text, normal);
            }
            Filter::Time(field, range) => self.range(field.column(), range, DateTime::timestamp_micros),
            Filter::Amount(field, range) => self.range(field.column(), range, |amount| amount.units()),
            Filter::Held(held) => self.push(if *held { "orders.held = 1" } else { "orders.held = 0" }),
            Filter::Violated(violated) => {
                self.push(if *violated { "orders.violations > 0" } else { "orders.violations = 0" });
            }
            Filter::Lines(line) => {
                // With a SKU the lines lead to the orders; without one each order is asked for its lines.
                self.push(if matches!(line.sku, Some(TextMatch::In(_))) {
                    "orders.order_id in (select order_lines.order_id from order_lines where true"
                } else {
                    "exists (select 1 from order_lines where order_lines.order_id = orders.order_id"
                });
                for (column, text) in [("order_lines.sku", &line.sku), ("order_lines.name", &line.name)] {
                    self.and_text(column, text.as_ref());
                }
                self.and_range("order_lines.ordered", &line.ordered);
                self.and_range("order_lines.total", &line.total);
                self.push(")");
            }
            Filter::Payments(payment) => {
                self.push("exists (select 1 from order_payments where order_payments.order_id = orders.order_id");
                for (column, text) in [
                    ("order_payments.method", &payment.method),
                    ("order_payments.provider", &payment.provider),
                    ("order_payments.status", &payment.status),
                    ("order_payments.reference", &payment.reference),
                ] {
                    self.and_text(column, text.as_ref());
                }
                self.and_range("order_payments.amount", &payment.amount);
                self.push(")");
            }
            Filter::Sources(sources) => {
                self.any_of("orders.source", sources.iter().map(|source| source.as_str().to_owned()));
            }
        }
    }

    fn join(&mut self, filters: &[Filter], operator: &str, of_nothing: &str) {
        if filters.is_empty() {
            return self.push(of_nothing);
        }
        self.push("(");
        for (i, filter) in filters.iter().enumerate() {
            if i > 0 {
                self.push(operator);
            }
            self.filter(filter);
        }
        self.push(")");
    }

    fn text(&mut self, column: &str, text: &TextMatch, normal: fn(&str) -> String) {
        match text {
            TextMatch::In(values) => self.any_of(column, values.iter().map(|value| normal(value))),
            TextMatch::Present(present) => {
                self.push(&format!("{column} {}", if *present { "is not null" } else { "is null" }));
            }
            TextMatch::StartsWith(prefix) => {
                let prefix = normal(prefix);
                let end = after_prefix(&prefix);
                let from = self.bind(prefix);
                self.push(&format!("({column} >= {from}"));
                if let Some(end) = end {
                    let to = self.bind(end);
                    self.push(&format!(" and {column} < {to}"));
                }
                self.push(")");
            }
        }
    }

    fn any_of(&mut self, column: &str, values: impl Iterator<Item = String>) {
        let places = values.map(|value| self.bind(value)).collect::<Vec<_>>();
        match places.as_slice() {
            [] => self.push("false"),
            [one] => self.push(&format!("{column} = {one}")),
            _ => self.push(&format!("{column} in ({})", places.join(", "))),
        }
    }

    fn and_text(&mut self, column: &str, text: Option<&TextMatch>) {
        if let Some(text) = text {
            self.push(" and ");
            self.text(column, text, column_text);
        }
    }

    fn and_range(&mut self, column: &str, range: &Range<Amount>) {
        if *range != Range::default() {
            self.push(" and ");
            self.range(column, range, |amount| amount.units());
        }
    }

    fn range<T>(&mut self, column: &str, range: &Range<T>, units: fn(&T) -> i64) {
        let bounds = [(">=", &range.gte), (">", &range.gt), ("<=", &range.lte), ("<", &range.lt)];
        let mut terms = Vec::new();
        for (operator, bound) in bounds {
            if let Some(bound) = bound {
                let place = self.bind(units(bound));
                terms.push(format!("{column} {operator} {place}"));
            }
        }
        // An empty range asks nothing of the value, not even that there is one.
        self.push(&if terms.is_empty() { "true".to_owned() } else { format!("({})", terms.join(" and ")) });
    }
}

/// The least text, byte by byte, that is greater than every text with this prefix; none where there is no such text.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::after_prefix;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_prefix_is_a_range_of_texts(prefix in ".{0,2}", other in ".{0,3}", rest in ".{0,2}") {
            let in_range = |text: &str| text >= prefix.as_str() && after_prefix(&prefix).is_none_or(|end| text < end.as_str());
            let own = prefix.clone() + &rest;
            prop_assert!(in_range(&own));
            prop_assert_eq!(in_range(&other), other.starts_with(&prefix));
        }
    }

    #[test]
    fn the_last_characters_carry_over() {
        assert_eq!(after_prefix("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!((after_prefix("\u{10ffff}"), after_prefix("")), (None, None));
    }
}
