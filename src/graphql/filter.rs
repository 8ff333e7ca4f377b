//! `OrderWhere` and `search`: what clients may ask for, as filters of the index.
//!
//! It owns the input types and their limits. It refuses predicate strings and anything that no index column can answer.
//! That is so that a filter is checked by the schema before it runs, and none can be written that scans everything.

use async_graphql::{Error, ID, InputObject};
use order_contract::{Amount, Currency};

use super::error::bad_input;
use super::scalar::{Decimal, Time};
use super::vocabulary::{FulfillmentStatus, OrderKind, OrderStatus, PaymentState, PaymentStatus, ReturnStatus};
use crate::index::{AmountField, Filter, LineFilter, PaymentFilter, Range, TextField, TextMatch, TimeField};

/// How deep AND, OR and NOT may nest.
const DEPTH_MAX: usize = 6;
/// The most conditions of one filter.
const CONDITIONS_MAX: usize = 60;
/// The most values of one `in` list.
const VALUES_MAX: usize = 200;
/// The most characters of one text.
const TEXT_MAX: usize = 200;

/// Which orders. Everything that is given must hold; `AND`, `OR` and `NOT` combine further conditions.
#[derive(Default, InputObject)]
pub(super) struct OrderWhere {
    /// All of these hold.
    #[graphql(name = "AND")]
    and: Option<Vec<OrderWhere>>,
    /// One of these holds.
    #[graphql(name = "OR")]
    or: Option<Vec<OrderWhere>>,
    /// This does not hold.
    #[graphql(name = "NOT")]
    not: Option<Box<OrderWhere>>,
    /// The global id.
    id: Option<IdFilter>,
    /// The key of the source.
    source: Option<StringFilter>,
    /// The id in the source.
    source_order_id: Option<StringFilter>,
    /// The number people know the order by.
    number: Option<StringFilter>,
    /// The sales channel.
    channel: Option<StringFilter>,
    /// The source's own state.
    native_state: Option<StringFilter>,
    /// The country of the shipping address, else of the billing address: ISO code, or the source's name for it.
    country: Option<StringFilter>,
    /// The currency (ISO 4217).
    currency_code: Option<StringFilter>,
    /// The customer's id in the source.
    customer_id: Option<StringFilter>,
    /// The customer's e-mail address.
    customer_email: Option<StringFilter>,
    /// The customer's name.
    customer_name: Option<StringFilter>,
    /// The kind of business.
    kind: Option<OrderKindFilter>,
    /// The status.
    status: Option<OrderStatusFilter>,
    /// The payment status.
    payment_status: Option<PaymentStatusFilter>,
    /// The fulfillment status.
    fulfillment_status: Option<FulfillmentStatusFilter>,
    /// The return status.
    return_status: Option<ReturnStatusFilter>,
    /// When it was placed.
    placed_at: Option<DateTimeFilter>,
    /// When it last changed in its source.
    updated_at: Option<DateTimeFilter>,
    /// When the center saw its newest version.
    observed_at: Option<DateTimeFilter>,
    /// The total.
    total: Option<MoneyFilter>,
    /// What was captured.
    captured: Option<MoneyFilter>,
    /// What was given back.
    refunded: Option<MoneyFilter>,
    /// Whether something holds the order up.
    held: Option<bool>,
    /// Whether one of its checks is violated.
    violated: Option<bool>,
    /// Its lines.
    lines: Option<OrderLinesFilter>,
    /// Its payments.
    payments: Option<PaymentsFilter>,
}

/// A global id.
#[derive(InputObject)]
struct IdFilter {
    /// This one.
    eq: Option<ID>,
    /// One of these.
    #[graphql(name = "in")]
    one_of: Option<Vec<ID>>,
}

/// A text, compared to the letter.
#[derive(Default, InputObject)]
struct StringFilter {
    /// Is this.
    eq: Option<String>,
    /// Is one of these.
    #[graphql(name = "in")]
    one_of: Option<Vec<String>>,
    /// Begins with this.
    starts_with: Option<String>,
    /// Has no value, or has one.
    is_null: Option<bool>,
}

macro_rules! enum_filter {
    ($(#[$doc:meta])* $name:ident of $of:ident) => {
        $(#[$doc])*
        #[derive(InputObject)]
        struct $name {
            /// Is this.
            eq: Option<$of>,
            /// Is one of these.
            #[graphql(name = "in")]
            one_of: Option<Vec<$of>>,
            /// Is none of these.
            not_in: Option<Vec<$of>>,
        }

        impl $name {
            fn add(self, field: TextField, into: &mut Conditions) -> Result<(), Error> {
                let text = |value: $of| async_graphql::resolver_utils::EnumType::items()
                    .iter()
                    .find(|item: &&async_graphql::resolver_utils::EnumItem<$of>| item.value == value)
                    .map_or_else(String::new, |item| item.name.to_owned());
                let is = |values: Vec<$of>| TextMatch::In(values.into_iter().map(text).collect());
                if let Some(eq) = self.eq {
                    into.push(Filter::Text(field, is(vec![eq])))?;
                }
                if let Some(values) = self.one_of {
                    into.push(Filter::Text(field, is(bounded(values)?)))?;
                }
                if let Some(values) = self.not_in {
                    into.push(Filter::Not(Box::new(Filter::Text(field, is(bounded(values)?)))))?;
                }
                Ok(())
            }
        }
    };
}

enum_filter!(/// A kind of business.
    OrderKindFilter of OrderKind);
enum_filter!(/// A status.
    OrderStatusFilter of OrderStatus);
enum_filter!(/// A payment status.
    PaymentStatusFilter of PaymentStatus);
enum_filter!(/// A fulfillment status.
    FulfillmentStatusFilter of FulfillmentStatus);
enum_filter!(/// A return status.
    ReturnStatusFilter of ReturnStatus);
enum_filter!(/// The state of a payment.
    PaymentStateFilter of PaymentState);

/// A time in a range.
#[derive(InputObject)]
struct DateTimeFilter {
    /// At or after.
    gte: Option<Time>,
    /// After.
    gt: Option<Time>,
    /// At or before.
    lte: Option<Time>,
    /// Before.
    lt: Option<Time>,
}

/// A number in a range.
#[derive(Default, InputObject)]
struct DecimalFilter {
    /// At least.
    gte: Option<Decimal>,
    /// More than.
    gt: Option<Decimal>,
    /// At most.
    lte: Option<Decimal>,
    /// Less than.
    lt: Option<Decimal>,
}

/// An amount of one currency in a range: amounts of different currencies cannot be compared.
#[derive(InputObject)]
struct MoneyFilter {
    /// The currency (ISO 4217).
    currency_code: String,
    /// At least.
    gte: Option<Decimal>,
    /// More than.
    gt: Option<Decimal>,
    /// At most.
    lte: Option<Decimal>,
    /// Less than.
    lt: Option<Decimal>,
}

/// The lines of an order.
#[derive(InputObject)]
struct OrderLinesFilter {
    /// Some line matches.
    some: Option<OrderLineWhere>,
    /// No line matches.
    none: Option<OrderLineWhere>,
}

/// A line: everything that is given holds of the same line.
#[derive(InputObject)]
struct OrderLineWhere {
    /// Its SKU.
    sku: Option<StringFilter>,
    /// Its name.
    name: Option<StringFilter>,
    /// Its ordered quantity.
    ordered: Option<DecimalFilter>,
    /// Its total, in the order's currency: combine it with `currencyCode` of the order.
    total: Option<DecimalFilter>,
}

/// The payments of an order.
#[derive(InputObject)]
struct PaymentsFilter {
    /// Some payment matches.
    some: Option<PaymentWhere>,
    /// No payment matches.
    none: Option<PaymentWhere>,
}

/// A payment: everything that is given holds of the same payment.
#[derive(InputObject)]
struct PaymentWhere {
    /// Its method.
    method: Option<StringFilter>,
    /// Its provider.
    provider: Option<StringFilter>,
    /// Its state.
    status: Option<PaymentStateFilter>,
    /// The provider's reference.
    reference: Option<StringFilter>,
    /// Its amount, in the order's currency: combine it with `currencyCode` of the order.
    amount: Option<DecimalFilter>,
}

/// What a list of orders is sorted by.
#[derive(Clone, Copy, InputObject)]
pub(super) struct OrderOrder {
    /// By what.
    pub(super) field: super::vocabulary::OrderOrderField,
    /// Which way.
    #[graphql(default_with = "super::vocabulary::OrderDirection::Descending")]
    pub(super) direction: super::vocabulary::OrderDirection,
}

/// The filter of a list: what `where` and `search` say together.
///
/// # Errors
/// `BAD_USER_INPUT` beyond the limits.
pub(super) fn filter(of: Option<OrderWhere>, search: Option<String>) -> Result<Filter, Error> {
    let mut conditions = Conditions::default();
    if let Some(of) = of {
        of.add(&mut conditions, 1)?;
    }
    if let Some(term) = search {
        conditions.push(search_filter(&term)?)?;
    }
    Ok(conditions.all())
}

/// Free text: every column by which people look for an order. The index answers each alternative on its own.
fn search_filter(term: &str) -> Result<Filter, Error> {
    let term = text(term.trim().to_owned())?;
    if term.is_empty() {
        return Err(bad_input("`search` is empty: leave it out, or give a number, customer, SKU or order id"));
    }
    let is = |field, value: String| Filter::Text(field, TextMatch::In(vec![value]));
    let begins = |field| Filter::Text(field, TextMatch::StartsWith(term.clone()));
    let mut any = vec![
        begins(TextField::Number),
        is(TextField::SourceOrderId, term.clone()),
        is(TextField::CustomerId, term.clone()),
        begins(TextField::CustomerEmail),
        begins(TextField::CustomerName),
        Filter::Lines(LineFilter { sku: Some(TextMatch::In(vec![term.clone()])), ..LineFilter::default() }),
    ];
    if order_contract::OrderId::parse(&term).is_ok() {
        any.push(is(TextField::Id, term.clone()));
    }
    Ok(Filter::Any(any))
}

/// Conditions that all hold, and how many there are in the whole filter.
#[derive(Default)]
struct Conditions {
    filters: Vec<Filter>,
    count: usize,
}

impl Conditions {
    fn push(&mut self, filter: Filter) -> Result<(), Error> {
        self.count += 1;
        if self.count > CONDITIONS_MAX {
            return Err(bad_input(format!("`where` has more than {CONDITIONS_MAX} conditions")));
        }
        self.filters.push(filter);
        Ok(())
    }

    /// What a nested filter says, counted into this one.
    fn nested(&mut self, of: OrderWhere, depth: usize) -> Result<Filter, Error> {
        let mut inner = Self { filters: Vec::new(), count: self.count };
        of.add(&mut inner, depth + 1)?;
        self.count = inner.count;
        Ok(inner.all())
    }

    fn all(mut self) -> Filter {
        if self.filters.len() == 1 { self.filters.remove(0) } else { Filter::All(self.filters) }
    }
}

impl OrderWhere {
    fn add(self, into: &mut Conditions, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(bad_input(format!("`where` nests deeper than {DEPTH_MAX}")));
        }
        for part in self.and.into_iter().flatten() {
            let part = into.nested(part, depth)?;
            into.push(part)?;
        }
        if let Some(parts) = self.or {
            let any = parts.into_iter().map(|part| into.nested(part, depth)).collect::<Result<Vec<_>, _>>()?;
            into.push(Filter::Any(any))?;
        }
        if let Some(part) = self.not {
            let part = into.nested(*part, depth)?;
            into.push(Filter::Not(Box::new(part)))?;
        }
        if let Some(id) = self.id {
            for values in [id.eq.map(|id| vec![id]), id.one_of].into_iter().flatten() {
                let ids = bounded(values)?.into_iter().map(|id| id.0).collect();
                into.push(Filter::Text(TextField::Id, TextMatch::In(ids)))?;
            }
        }
        for (field, filter) in [
            (TextField::Source, self.source),
            (TextField::SourceOrderId, self.source_order_id),
            (TextField::Number, self.number),
            (TextField::Channel, self.channel),
            (TextField::NativeState, self.native_state),
            (TextField::Country, self.country),
            (TextField::Currency, self.currency_code),
            (TextField::CustomerId, self.customer_id),
            (TextField::CustomerEmail, self.customer_email),
            (TextField::CustomerName, self.customer_name),
        ] {
            for matches in filter.map(StringFilter::matches).transpose()?.into_iter().flatten() {
                into.push(Filter::Text(field, matches))?;
            }
        }
        self.kind.map_or(Ok(()), |f| f.add(TextField::Kind, into))?;
        self.status.map_or(Ok(()), |f| f.add(TextField::Status, into))?;
        self.payment_status.map_or(Ok(()), |f| f.add(TextField::PaymentStatus, into))?;
        self.fulfillment_status.map_or(Ok(()), |f| f.add(TextField::FulfillmentStatus, into))?;
        self.return_status.map_or(Ok(()), |f| f.add(TextField::ReturnStatus, into))?;
        for (field, filter) in [
            (TimeField::PlacedAt, self.placed_at),
            (TimeField::UpdatedAt, self.updated_at),
            (TimeField::ObservedAt, self.observed_at),
        ] {
            if let Some(DateTimeFilter { gte, gt, lte, lt }) = filter {
                let range =
                    Range { gte: gte.map(|t| t.0), gt: gt.map(|t| t.0), lte: lte.map(|t| t.0), lt: lt.map(|t| t.0) };
                into.push(Filter::Time(field, range))?;
            }
        }
        for (field, filter) in [
            (AmountField::Total, self.total),
            (AmountField::Captured, self.captured),
            (AmountField::Refunded, self.refunded),
        ] {
            if let Some(money) = filter {
                let Some(currency) = Currency::from_code(&money.currency_code) else {
                    return Err(bad_input("`currencyCode` is an ISO 4217 code such as \"GBP\""));
                };
                let range = DecimalFilter { gte: money.gte, gt: money.gt, lte: money.lte, lt: money.lt }.range();
                into.push(Filter::Text(TextField::Currency, TextMatch::In(vec![currency.code().to_owned()])))?;
                into.push(Filter::Amount(field, range))?;
            }
        }
        self.held.map_or(Ok(()), |held| into.push(Filter::Held(held)))?;
        self.violated.map_or(Ok(()), |violated| into.push(Filter::Violated(violated)))?;
        if let Some(lines) = self.lines {
            if let Some(line) = lines.some {
                into.push(line.filter()?)?;
            }
            if let Some(line) = lines.none {
                into.push(Filter::Not(Box::new(line.filter()?)))?;
            }
        }
        if let Some(payments) = self.payments {
            if let Some(payment) = payments.some {
                into.push(payment.filter()?)?;
            }
            if let Some(payment) = payments.none {
                into.push(Filter::Not(Box::new(payment.filter()?)))?;
            }
        }
        Ok(())
    }
}

impl StringFilter {
    /// Its conditions: each must hold.
    fn matches(self) -> Result<Vec<TextMatch>, Error> {
        let mut matches = Vec::new();
        if let Some(value) = self.eq {
            matches.push(TextMatch::In(vec![text(value)?]));
        }
        if let Some(values) = self.one_of {
            matches.push(TextMatch::In(bounded(values)?.into_iter().map(text).collect::<Result<_, _>>()?));
        }
        if let Some(prefix) = self.starts_with {
            matches.push(TextMatch::StartsWith(text(prefix)?));
        }
        if let Some(null) = self.is_null {
            matches.push(TextMatch::Present(!null));
        }
        Ok(matches)
    }

    /// Its one condition, where a line or payment takes one per field.
    fn only(filter: Option<Self>) -> Result<Option<TextMatch>, Error> {
        let mut matches = filter.map(Self::matches).transpose()?.unwrap_or_default();
        match matches.len() {
            0 | 1 => Ok(matches.pop()),
            _ => Err(bad_input("a field of a line or payment takes one of eq, in, startsWith and isNull")),
        }
    }
}

impl DecimalFilter {
    fn range(self) -> Range<Amount> {
        let amount = |d: Option<Decimal>| d.map(|d| d.0);
        Range { gte: amount(self.gte), gt: amount(self.gt), lte: amount(self.lte), lt: amount(self.lt) }
    }
}

impl OrderLineWhere {
    fn filter(self) -> Result<Filter, Error> {
        Ok(Filter::Lines(LineFilter {
            sku: StringFilter::only(self.sku)?,
            name: StringFilter::only(self.name)?,
            ordered: self.ordered.unwrap_or_default().range(),
            total: self.total.unwrap_or_default().range(),
        }))
    }
}

impl PaymentWhere {
    fn filter(self) -> Result<Filter, Error> {
        let mut status = Conditions::default();
        self.status.map_or(Ok(()), |f| f.add(TextField::Status, &mut status))?;
        let status = match status.filters.pop() {
            None => None,
            Some(Filter::Text(_, matches)) if status.filters.is_empty() => Some(matches),
            Some(_) => return Err(bad_input("the status of a payment takes one of eq and in")),
        };
        Ok(Filter::Payments(PaymentFilter {
            method: StringFilter::only(self.method)?,
            provider: StringFilter::only(self.provider)?,
            status,
            reference: StringFilter::only(self.reference)?,
            amount: self.amount.unwrap_or_default().range(),
        }))
    }
}

fn bounded<T>(values: Vec<T>) -> Result<Vec<T>, Error> {
    if values.len() <= VALUES_MAX {
        Ok(values)
    } else {
        Err(bad_input(format!("a list in `where` has at most {VALUES_MAX} values; got {}", values.len())))
    }
}

fn text(text: String) -> Result<String, Error> {
    if text.chars().count() > TEXT_MAX {
        Err(bad_input(format!("a text to search for has at most {TEXT_MAX} characters")))
    } else if text.contains('\0') {
        Err(bad_input("a text to search for has no NUL characters"))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, OrderWhere, StringFilter, filter};

    fn nested(depth: usize) -> OrderWhere {
        match depth {
            0 => OrderWhere { held: Some(true), ..OrderWhere::default() },
            _ => OrderWhere { not: Some(Box::new(nested(depth - 1))), ..OrderWhere::default() },
        }
    }

    #[test]
    fn a_filter_has_limits_and_says_which() {
        assert_eq!(filter(None, None).expect("everything"), Filter::All(Vec::new()));
        assert!(filter(Some(nested(5)), None).is_ok());
        assert!(filter(Some(nested(6)), None).expect_err("too deep").message.contains("deeper than 6"));
        let many = OrderWhere { or: Some((0..61).map(|_| nested(0)).collect()), ..OrderWhere::default() };
        assert!(filter(Some(many), None).expect_err("too many").message.contains("more than 60"));
        let long = StringFilter { one_of: Some(vec!["x".into(); 201]), ..StringFilter::default() };
        let long = OrderWhere { number: Some(long), ..OrderWhere::default() };
        assert!(filter(Some(long), None).expect_err("too long").message.contains("at most 200"));
        assert!(filter(None, Some("  ".into())).is_err());
    }
}
