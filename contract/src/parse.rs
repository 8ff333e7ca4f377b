//! The one parser: canonical JSON in, an [`OrderSnapshot`] out, or the exact rule that the input breaks and where.

use std::collections::HashSet;

use rust_decimal::{Decimal, RoundingStrategy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::check::{CheckCode, InvariantCheck};
use crate::money::{AMOUNT_SCALE_MAX, Currency, Quantity};
use crate::order::{Address, OrderSnapshot};
use crate::strict::Strict;

/// The most lines of one order.
const LINES_MAX: usize = 5_000;
/// The most characters of one name or code.
const LABEL_MAX: usize = 1_000;
/// The most characters of what orders are looked up by: a database index takes no more.
const KEY_MAX: usize = 255;

/// Why an input is not an order: where, what stood there, and which rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{path}: {rule} (value: {value})")]
pub struct Rejection {
    /// JSON pointer into the input; empty for the whole document.
    pub path: String,
    /// What stood there, shortened to 200 characters.
    pub value: String,
    /// The rule, as a sentence.
    pub rule: String,
}

/// What to do with an amount of more than four fraction digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Refuse the order. The default.
    #[default]
    Refuse,
    /// Round to four digits, ties to the even neighbor, and say so on the order.
    HalfEven,
    /// Round to four digits, ties away from zero, and say so on the order.
    HalfUp,
}

/// Parses one canonical order. The second value lists the amounts that the source's rounding rule changed.
///
/// # Errors
/// A [`Rejection`] with the first rule that the input breaks.
pub fn parse_snapshot(json: &[u8], rounding: Rounding) -> Result<(OrderSnapshot, Vec<InvariantCheck>), Rejection> {
    let mut rounded = Vec::new();
    let result = match rounding {
        Rounding::Refuse => read(&mut serde_json::Deserializer::from_slice(json)),
        Rounding::HalfEven | Rounding::HalfUp => {
            let mut document: Value = serde_json::from_slice(json).map_err(|e| not_json(json, &e))?;
            round_amounts(&mut document, rounding, &mut String::new(), &mut rounded);
            read(document)
        }
    };
    let snapshot = result.map_err(|(path, error)| match serde_json::from_slice::<Value>(json) {
        Err(broken) => not_json(json, &broken),
        Ok(document) => {
            let value = document.pointer(&path).map_or_else(|| "absent".into(), |v| shorten(&v.to_string()));
            Rejection { path, value, rule: error }
        }
    })?;
    match first_broken_rule(&snapshot) {
        Some((path, value, rule)) => Err(Rejection { path, value: shorten(&value), rule: rule.into() }),
        None => Ok((snapshot, rounded)),
    }
}

/// A key as it stands in a JSON pointer (RFC 6901).
#[must_use]
pub fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Deserializes with the JSON pointer of the first error.
fn read<'de, D>(input: D) -> Result<OrderSnapshot, (String, String)>
where
    D: serde::Deserializer<'de>,
    D::Error: std::fmt::Display,
{
    serde_path_to_error::deserialize(Strict(input)).map_err(|error| {
        let pointer = error.path().iter().fold(String::new(), |mut pointer, segment| {
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => pointer.push_str(&format!("/{}", pointer_token(key))),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
            pointer
        });
        let message = error.into_inner().to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        (pointer, message)
    })
}

fn not_json(json: &[u8], error: &serde_json::Error) -> Rejection {
    Rejection {
        path: String::new(),
        value: shorten(&String::from_utf8_lossy(&json[..json.len().min(400)])),
        rule: format!("not JSON: {error}"),
    }
}

fn shorten(value: &str) -> String {
    if value.chars().count() <= 200 { value.to_owned() } else { value.chars().take(199).chain(['…']).collect() }
}

/// Rounds what stands where the contract has an amount. The free-form parts of an order are left alone.
fn round_amounts(value: &mut Value, rounding: Rounding, path: &mut String, rounded: &mut Vec<InvariantCheck>) {
    const AMOUNTS: &[&str] = &[
        "unitPrice",
        "discount",
        "tax",
        "total",
        "subtotal",
        "shipping",
        "fees",
        "authorized",
        "captured",
        "refunded",
        "due",
        "amount",
    ];
    let depth = path.len();
    match value {
        Value::Object(fields) => {
            for (key, value) in fields
                .iter_mut()
                .filter(|(key, _)| !matches!(key.as_str(), "attributes" | "details" | "quantity" | "native"))
            {
                path.push('/');
                path.push_str(key);
                match value {
                    Value::String(text) if AMOUNTS.contains(&key.as_str()) => {
                        if let Some(short) = round(text, rounding) {
                            rounded.push(InvariantCheck {
                                code: CheckCode::Rounded,
                                path: path.clone(),
                                expected: text.clone(),
                                actual: short.clone(),
                            });
                            *text = short;
                        }
                    }
                    _ => round_amounts(value, rounding, path, rounded),
                }
                path.truncate(depth);
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter_mut().enumerate() {
                path.push_str(&format!("/{i}"));
                round_amounts(value, rounding, path, rounded);
                path.truncate(depth);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The rounded text of an amount with too many digits; nothing when it needs no rounding or is not a decimal.
fn round(text: &str, rounding: Rounding) -> Option<String> {
    let strategy = match rounding {
        Rounding::Refuse => return None,
        Rounding::HalfEven => RoundingStrategy::MidpointNearestEven,
        Rounding::HalfUp => RoundingStrategy::MidpointAwayFromZero,
    };
    let value = Decimal::from_str_exact(text).ok()?.normalize();
    (value.scale() > AMOUNT_SCALE_MAX)
        .then(|| value.round_dp_with_strategy(AMOUNT_SCALE_MAX, strategy).normalize().to_string())
}

type BrokenRule = (String, String, &'static str);

/// The rules that types alone cannot say.
fn first_broken_rule(order: &OrderSnapshot) -> Option<BrokenRule> {
    label("/number", &order.number)
        .or_else(|| label("/native/state", &order.native.state))
        .or_else(|| {
            broken(order.lines.len() <= LINES_MAX, "/lines", order.lines.len(), "an order has at most 5000 lines")
        })
        .or_else(|| unique("/lines", order.lines.iter().map(|l| l.id.as_str())))
        .or_else(|| unique("/payments", order.payments.iter().map(|p| p.id.as_str())))
        .or_else(|| unique("/refunds", order.refunds.iter().map(|r| r.id.as_str())))
        .or_else(|| unique("/fulfillments", order.fulfillments.iter().map(|f| f.id.as_str())))
        .or_else(|| unique("/returns", order.returns.iter().map(|r| r.id.as_str())))
        .or_else(|| line_rules(order))
        .or_else(|| key_rules(order))
        .or_else(|| one_currency(order))
        .or_else(|| quantity_rules(order))
        .or_else(|| country_rules(order))
}

fn broken(holds: bool, path: &str, value: impl ToString, rule: &'static str) -> Option<BrokenRule> {
    (!holds).then(|| (path.to_owned(), value.to_string(), rule))
}

fn label(path: &str, text: &str) -> Option<BrokenRule> {
    broken(!text.trim().is_empty(), path, "\"\"", "must not be empty")
        .or_else(|| broken(text.chars().count() <= LABEL_MAX, path, text, "is longer than 1000 characters"))
}

fn unique<'a>(path: &str, ids: impl Iterator<Item = &'a str>) -> Option<BrokenRule> {
    let mut seen = HashSet::new();
    ids.enumerate().find_map(|(i, id)| {
        let path = format!("{path}/{i}/id");
        label(&path, id).or_else(|| broken(seen.insert(id), &path, id, "the id is used twice in this list"))
    })
}

fn line_rules(order: &OrderSnapshot) -> Option<BrokenRule> {
    order.lines.iter().enumerate().find_map(|(i, line)| {
        let q = &line.quantity;
        label(&format!("/lines/{i}/name"), &line.name).or_else(|| {
            [
                ("ordered", q.ordered),
                ("current", q.current),
                ("fulfilled", q.fulfilled),
                ("canceled", q.canceled),
                ("returned", q.returned),
                ("refunded", q.refunded),
            ]
            .into_iter()
            .find_map(|(name, quantity)| not_negative(&format!("/lines/{i}/quantity/{name}"), quantity))
        })
    })
}

fn key_rules(order: &OrderSnapshot) -> Option<BrokenRule> {
    let short = |path: &str, key: Option<&str>| {
        let key = key.unwrap_or_default();
        broken(key.chars().count() <= KEY_MAX, path, key, "is longer than 255 characters")
    };
    let customer = order.customer.as_ref();
    let country = |address: &'_ Option<Address>| address.as_ref().and_then(|a| a.country.clone());
    short("/number", Some(&order.number))
        .or_else(|| short("/customer/id", customer.and_then(|c| c.id.as_deref())))
        .or_else(|| short("/customer/email", customer.and_then(|c| c.email.as_deref())))
        .or_else(|| short("/shippingAddress/country", country(&order.shipping_address).as_deref()))
        .or_else(|| short("/billingAddress/country", country(&order.billing_address).as_deref()))
        .or_else(|| {
            let skus = order.lines.iter().map(|line| line.sku.as_deref());
            skus.enumerate().find_map(|(i, sku)| short(&format!("/lines/{i}/sku"), sku))
        })
}

fn not_negative(path: &str, quantity: Quantity) -> Option<BrokenRule> {
    broken(
        !quantity.is_negative(),
        path,
        quantity,
        "must not be negative: what comes back is a return or a refund, not a negative order",
    )
}

fn one_currency(order: &OrderSnapshot) -> Option<BrokenRule> {
    let agrees = |path: String, currency: Option<Currency>| {
        broken(
            currency.is_none_or(|c| c == order.currency),
            &path,
            currency.map_or("", Currency::code),
            "differs from the order's currency: an order has one currency",
        )
    };
    let payments = order.payments.iter().enumerate().find_map(|(i, payment)| {
        agrees(format!("/payments/{i}/currency"), payment.currency).or_else(|| {
            payment
                .transactions
                .iter()
                .enumerate()
                .find_map(|(j, t)| agrees(format!("/payments/{i}/transactions/{j}/currency"), t.currency))
        })
    });
    payments.or_else(|| {
        order
            .refunds
            .iter()
            .enumerate()
            .find_map(|(i, refund)| agrees(format!("/refunds/{i}/currency"), refund.currency))
    })
}

fn quantity_rules(order: &OrderSnapshot) -> Option<BrokenRule> {
    let refunds = order.refunds.iter().enumerate().find_map(|(i, refund)| {
        broken(
            !refund.amount.is_negative(),
            &format!("/refunds/{i}/amount"),
            refund.amount,
            "a refund's amount must not be negative",
        )
        .or_else(|| {
            refund
                .lines
                .iter()
                .enumerate()
                .find_map(|(j, l)| not_negative(&format!("/refunds/{i}/lines/{j}/quantity"), l.quantity))
        })
    });
    let fulfillments = || {
        order.fulfillments.iter().enumerate().find_map(|(i, f)| {
            f.lines
                .iter()
                .enumerate()
                .find_map(|(j, l)| not_negative(&format!("/fulfillments/{i}/lines/{j}/quantity"), l.quantity))
        })
    };
    let returns = || {
        order.returns.iter().enumerate().find_map(|(i, r)| {
            r.lines
                .iter()
                .enumerate()
                .find_map(|(j, l)| not_negative(&format!("/returns/{i}/lines/{j}/quantity"), l.quantity))
        })
    };
    refunds.or_else(fulfillments).or_else(returns)
}

fn country_rules(order: &OrderSnapshot) -> Option<BrokenRule> {
    [("/billingAddress/countryCode", &order.billing_address), ("/shippingAddress/countryCode", &order.shipping_address)]
        .into_iter()
        .find_map(|(path, address)| {
            let code = address.as_ref()?.country_code.as_deref()?;
            broken(
                code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase()),
                path,
                code,
                "must be an ISO 3166-1 alpha-2 code such as \"GB\"; a name belongs in `country`",
            )
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Rounding, parse_snapshot};
    use crate::order::OrderSnapshot;
    use serde_json::{Value, json};

    fn document() -> Value {
        json!({
            "sourceOrderId": "536365", "version": 3, "number": "R-536365", "kind": "RETAIL",
            "status": "PROCESSING", "paymentStatus": "PAID", "fulfillmentStatus": "UNFULFILLED",
            "native": { "state": "PAID" }, "currency": "GBP",
            "times": { "updatedAt": "2010-12-01T08:30:00Z", "placedAt": "2010-12-01T08:26:00Z" },
            "customer": { "id": "17850" }, "shippingAddress": { "countryCode": "GB" },
            "lines": [
                { "id": "1", "sku": "85123A", "name": "WHITE HANGING HEART T-LIGHT HOLDER", "quantity": { "ordered": 6, "current": 6 }, "unitPrice": "2.55", "total": "15.30" },
                { "id": "2", "sku": "84406B", "name": "CREAM CUPID HEARTS COAT HANGER", "quantity": { "ordered": "2", "current": "2" }, "unitPrice": "2.75", "total": "5.50" }
            ],
            "totals": { "subtotal": "20.80", "shipping": "3.20", "total": "24.00", "captured": "24", "refunded": "0", "due": "0" },
            "payments": [{ "id": "p1", "method": "card", "status": "CAPTURED", "amount": "24.00",
                "transactions": [{ "id": "t1", "type": "SALE", "status": "SUCCEEDED", "amount": "24.00", "at": "2010-12-01T08:27:00Z" }] }]
        })
    }

    pub(crate) fn sample() -> OrderSnapshot {
        parse_snapshot(document().to_string().as_bytes(), Rounding::Refuse).expect("the sample is valid").0
    }

    #[test]
    fn an_order_survives_its_canonical_json() {
        let order = sample();
        let json = serde_json::to_vec(&order).expect("serializes");
        assert_eq!(parse_snapshot(&json, Rounding::Refuse).expect("its own JSON").0, order);
    }

    #[test]
    fn every_rejection_names_path_value_and_rule() {
        for (pointer, bad, path, rule) in [
            ("/lines/0/unitPrice", json!(19.99), "/lines/0/unitPrice", "decimal string"),
            ("/lines/0/unitPrice", json!("2.55555"), "/lines/0/unitPrice", "at most 4 fraction digits"),
            ("/lines/0/quantity/ordered", json!(-6), "/lines/0/quantity/ordered", "must not be negative"),
            ("/lines/1/id", json!("1"), "/lines/1/id", "used twice"),
            ("/payments/0/currency", json!("EUR"), "/payments/0/currency", "one currency"),
            ("/currency", json!("Pounds"), "/currency", "ISO 4217"),
            ("/status", json!("SHIPPED"), "/status", "unknown variant"),
            ("/version", json!(-1), "/version", "whole number from 0"),
            ("/version", json!("3"), "/version", "invalid type"),
            ("/sourceOrderId", json!(""), "/sourceOrderId", "1 to 200"),
            ("/number", json!(" "), "/number", "must not be empty"),
            ("/number", json!("9".repeat(256)), "/number", "longer than 255"),
            ("/lines/1/sku", json!("9".repeat(256)), "/lines/1/sku", "longer than 255"),
            ("/shippingAddress/countryCode", json!("United Kingdom"), "/shippingAddress/countryCode", "ISO 3166"),
            ("/times/placedAt", json!("yesterday"), "/times/placedAt", "invalid characters"),
            ("/totals/totl", json!("1"), "/totals/totl", "unknown field"),
            ("/lines", json!({}), "/lines", "sequence"),
            ("/lines/0/quantity", json!([6, 6]), "/lines/0/quantity", "invalid type: sequence"),
            ("/customer", json!(["17850"]), "/customer", "invalid type: sequence"),
        ] {
            let mut document = document();
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            match document.pointer_mut(parent).expect("its parent") {
                Value::Array(items) => items[key.parse::<usize>().expect("an index")] = bad,
                parent => parent[key] = bad,
            }
            let rejection = parse_snapshot(document.to_string().as_bytes(), Rounding::Refuse).expect_err(pointer);
            assert_eq!(rejection.path, path, "{rejection}");
            assert!(rejection.rule.contains(rule), "{rejection}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_whole() {
        for text in ["", "<html>502 Bad Gateway</html>", "{\"sourceOrderId\": \"1\"", "null", "[]"] {
            let rejection = parse_snapshot(text.as_bytes(), Rounding::Refuse).expect_err(text);
            assert_eq!(rejection.path, "", "{rejection}");
        }
    }

    #[test]
    fn a_declared_rounding_is_visible_and_touches_amounts_alone() {
        let mut document = document();
        document["totals"]["tax"] = json!("1.23455");
        document["lines"][0]["attributes"] = json!({ "amount": "0.123456789" });
        let text = document.to_string();
        assert!(parse_snapshot(text.as_bytes(), Rounding::Refuse).is_err());
        for (rounding, tax) in [(Rounding::HalfEven, "1.2346"), (Rounding::HalfUp, "1.2346")] {
            let (order, rounded) = parse_snapshot(text.as_bytes(), rounding).expect("rounds");
            assert_eq!(order.totals.tax.to_string(), tax);
            assert_eq!(
                (rounded.len(), rounded[0].path.as_str(), rounded[0].expected.as_str()),
                (1, "/totals/tax", "1.23455")
            );
            assert_eq!(order.lines[0].attributes["amount"], json!("0.123456789"));
        }
    }
}
