//! The input of an action: its JSON Schema for front ends, and the check that nothing else is sent.

use std::collections::BTreeMap;

use order_contract::protocol::ActionError;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::acting::error;
use crate::manifest::{InputKind, Kind};

/// The JSON Schema of an input.
pub(super) fn schema(fields: &BTreeMap<String, InputKind>) -> Map<String, Value> {
    let properties: Map<_, _> = fields.iter().map(|(name, field)| (name.clone(), schema_of(field.kind))).collect();
    let required: Vec<&String> = fields.iter().filter(|(_, field)| !field.optional).map(|(name, _)| name).collect();
    let schema =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn schema_of(kind: Kind) -> Value {
    let positive = json!({ "type": "string", "pattern": "^(?=.*[1-9])[0-9]+(\\.[0-9]{1,4})?$" });
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Decimal => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,4})?$" }),
        Kind::Amount => positive,
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Lines => json!({ "type": "array", "minItems": 1, "items": { "type": "object",
            "properties": { "lineId": { "type": "string" }, "quantity": positive }, "required": ["lineId", "quantity"] } }),
        Kind::Address => json!({ "type": "object" }),
        Kind::Object => json!({}),
    }
}

/// Refuses what the action does not take, what it lacks, and values of another kind.
pub(super) fn check(fields: &BTreeMap<String, InputKind>, input: &Map<String, Value>) -> Result<(), ActionError> {
    let refuse =
        |field: &str, sentence: String| ActionError { field: Some(field.into()), ..error("INVALID_INPUT", sentence) };
    if let Some(stranger) = input.keys().find(|name| !fields.contains_key(*name)) {
        let known = if fields.is_empty() {
            "it takes none".to_owned()
        } else {
            format!("it takes {}", fields.keys().cloned().collect::<Vec<_>>().join(", "))
        };
        return Err(refuse(stranger, format!("this action takes no `{stranger}`; {known}")));
    }
    for (name, field) in fields {
        match input.get(name) {
            None | Some(Value::Null) if field.optional => {}
            None | Some(Value::Null) => return Err(refuse(name, format!("`{name}` is missing"))),
            Some(value) if is_of(field.kind, value) => {}
            Some(value) => {
                return Err(refuse(name, format!("`{name}` is {value}, which is not {}", described(field.kind))));
            }
        }
    }
    Ok(())
}

fn is_of(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text => value.is_string(),
        Kind::Decimal => decimal(value).is_some(),
        Kind::Amount => is_positive(value),
        Kind::Integer => value.is_i64() || value.is_u64(),
        Kind::Boolean => value.is_boolean(),
        Kind::Lines => value.as_array().is_some_and(|lines| {
            !lines.is_empty() && lines.iter().all(|line| line["lineId"].is_string() && is_positive(&line["quantity"]))
        }),
        Kind::Address => value.is_object(),
        Kind::Object => true,
    }
}

/// An exact decimal: a text, or a whole number. A fraction that was a JSON number has been a float on its way here.
fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::String(text) => Decimal::from_str_exact(text).ok(),
        value => value.as_i64().map(Decimal::from).or_else(|| value.as_u64().map(Decimal::from)),
    }
}

/// Platforms take less than nothing, too: Vendure pays a refund of a negative amount.
fn is_positive(value: &Value) -> bool {
    decimal(value).is_some_and(|number| number > Decimal::ZERO && number.scale() <= 4)
}

fn described(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text",
        Kind::Decimal => "a decimal as text, such as \"19.99\"",
        Kind::Amount => "an amount above zero as text, such as \"19.99\"",
        Kind::Integer => "a whole number",
        Kind::Boolean => "true or false",
        Kind::Lines => "a list of {lineId, quantity} with quantities above zero",
        Kind::Address => "an address",
        Kind::Object => "a value",
    }
}
