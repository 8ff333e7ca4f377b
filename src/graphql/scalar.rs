//! The scalars: exact decimals, times, whole numbers beyond 32 bits and JSON.
//!
//! It owns how a single value looks on the wire. It refuses binary floats for amounts and anything that would be
//! rounded on the way. That is so that a value means the same whether it was written by the fast path (serde) or
//! resolved field by field: both go through the one text that each scalar has here.

use async_graphql::indexmap::IndexMap;
use async_graphql::{InputValueError, InputValueResult, Name, Scalar, ScalarType, Value};
use chrono::{DateTime, SecondsFormat, Utc};
use order_contract::Amount;
use serde::{Serialize, Serializer};

/// The token by which async-graphql (and serde_json) know a value that is JSON text already.
const RAW_JSON: &str = "$serde_json::private::RawValue";

/// A value that is JSON text already. The text must be valid JSON: nothing checks it again.
pub(super) fn raw_json(text: String) -> Value {
    Value::Object(IndexMap::from([(Name::new(RAW_JSON), Value::String(text))]))
}

/// The text of a value made by [`raw_json`].
pub(super) fn as_raw_json(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) if fields.len() == 1 => match fields.get(RAW_JSON) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// An exact amount or quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal(pub(super) Amount);

/// An exact decimal as a string, such as `"12.50"`: at most 15 digits before the point and 4 after it. Never a binary
/// float: send it as a string, or as a whole number.
#[Scalar(name = "Decimal", specified_by_url = "https://scalars.graphql.org/chillicream/decimal.html")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => text.parse().map(Self).map_err(InputValueError::custom),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => Amount::try_new(whole.into()).map(Self).map_err(InputValueError::custom),
                None => Err(InputValueError::custom(
                    "send an amount with a fraction as a string such as \"12.50\": a number is a binary float for most programs",
                )),
            },
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) DateTime<Utc>);

impl Time {
    fn text(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

/// A point in time in UTC, as RFC 3339 text such as `"2010-12-01T08:26:00Z"`. Offsets other than `Z` are understood
/// on input.
#[Scalar(name = "DateTime", specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html")]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => DateTime::parse_from_rfc3339(text)
                .map(|time| Self(time.to_utc()))
                .map_err(|_| InputValueError::custom("a time looks like \"2010-12-01T08:26:00Z\" (RFC 3339)")),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.text())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

/// A whole number beyond 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Long(pub(super) i64);

impl Long {
    /// A count; one beyond 63 bits does not occur.
    pub(super) fn count(count: u64) -> Self {
        Self(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// A whole number up to 9007199254740991 (2^53 − 1), which every JSON implementation carries exactly; `Int` ends at
/// 2147483647.
#[Scalar(name = "Long")]
impl ScalarType for Long {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) if number.is_i64() => Ok(Self(number.as_i64().unwrap_or_default())),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

/// Any JSON value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Json(pub(super) serde_json::Value);

impl Json {
    /// An object, or nothing where it is empty.
    pub(super) fn object(map: serde_json::Map<String, serde_json::Value>) -> Option<Self> {
        (!map.is_empty()).then_some(Self(serde_json::Value::Object(map)))
    }
}

/// Any JSON value.
#[Scalar(
    name = "JSON",
    specified_by_url = "https://ecma-international.org/publications-and-standards/standards/ecma-404/"
)]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        value.into_json().map(Self).map_err(|_| InputValueError::custom("not a JSON value"))
    }

    // As text: a field of the data that happens to be named like the raw token must stay data.
    fn to_value(&self) -> Value {
        raw_json(self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Decimal, Json, Time, as_raw_json, raw_json};
    use async_graphql::{ScalarType, Value};

    #[test]
    fn raw_json_is_written_as_it_is_and_data_cannot_pretend_to_be_it() {
        let raw = raw_json("{\"a\":[1,2]}".into());
        assert_eq!(serde_json::to_string(&raw).expect("serializes"), "{\"a\":[1,2]}");
        let sly = serde_json::json!({ "$serde_json::private::RawValue": "no json" });
        let value = Json(sly.clone()).to_value();
        assert_eq!(as_raw_json(&value), Some(sly.to_string().as_str()));
    }

    #[test]
    fn a_float_is_not_an_amount_and_a_local_time_not_a_time() {
        assert!(Decimal::parse(Value::from(12.5)).is_err());
        assert_eq!(Decimal::parse(Value::from("12.5")).expect("exact").to_value(), Value::from("12.50"));
        assert!(Time::parse(Value::from("2010-12-01 08:26")).is_err());
        let time = Time::parse(Value::from("2010-12-01T09:26:00+01:00")).expect("an offset");
        assert_eq!(time.to_value(), Value::from("2010-12-01T08:26:00Z"));
    }
}
