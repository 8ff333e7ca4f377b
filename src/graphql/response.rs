//! The reply as JSON bytes.
//!
//! It owns writing a response whose data is mostly JSON text already. It refuses to parse that text again, which serde
//! would do to every raw value. That is so that a page is copied into the reply once.

use std::collections::BTreeMap;

use async_graphql::{ServerError, Value};

use super::scalar::as_raw_json;
use super::select::write_string;

/// A reply as the JSON of GraphQL over HTTP. No `data` is that of a request that was refused before execution.
///
/// # Errors
/// None in practice: errors and extensions are plain data.
pub fn response_json(
    errors: &[ServerError],
    data: Option<&Value>,
    extensions: &BTreeMap<String, Value>,
) -> Result<String, serde_json::Error> {
    let mut out = String::with_capacity(256 + text_len(data));
    if !errors.is_empty() {
        out.push_str(",\"errors\":");
        out.push_str(&serde_json::to_string(errors)?);
    }
    if let Some(data) = data {
        out.push_str(",\"data\":");
        write_value(&mut out, data);
    }
    if !extensions.is_empty() {
        out.push_str(",\"extensions\":");
        out.push_str(&serde_json::to_string(extensions)?);
    }
    if out.is_empty() {
        out.push(',');
    }
    out.replace_range(..1, "{");
    out.push('}');
    Ok(out)
}

/// How much text is in the data: nearly all of it stands in the values of root fields.
fn text_len(data: Option<&Value>) -> usize {
    match data {
        Some(Value::Object(fields)) => fields.values().filter_map(as_raw_json).map(str::len).sum(),
        _ => 0,
    }
}

/// Writes a value as JSON; what is text already as it is.
pub(super) fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(true) => out.push_str("true"),
        Value::Boolean(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_string(out, text),
        Value::Enum(name) => write_string(out, name),
        Value::Binary(_) => out.push_str("null"),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            if let Some(text) = as_raw_json(value) {
                out.push_str(text);
                return;
            }
            out.push('{');
            for (i, (name, value)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(out, name);
                out.push(':');
                write_value(out, value);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::response_json;
    use crate::graphql::scalar::raw_json;
    use async_graphql::{Name, Response, ServerError, Value, value};

    #[test]
    fn a_reply_is_the_json_that_serde_would_write() {
        let mut data = value!({ "a": [1, true, null, "q\"\\\n\u{1}\u{7f}ü"], "b": {}, "c": -1.5 });
        if let Value::Object(fields) = &mut data {
            fields.insert(Name::new("raw"), raw_json("{\"x\":[1.50]}".into()));
        }
        let same = |response: &Response| {
            let ours = response_json(&response.errors, Some(&response.data), &response.extensions).expect("JSON");
            let ours: serde_json::Value = serde_json::from_str(&ours).expect("JSON");
            assert_eq!(ours, serde_json::to_value(response).expect("JSON"));
        };
        let mut response = Response::new(data).extension("cost", Value::from(3));
        same(&response);
        response.errors.push(ServerError::new("no", None));
        same(&response);
        let refused = response_json(&response.errors, None, &std::collections::BTreeMap::new()).expect("JSON");
        assert_eq!(refused, "{\"errors\":[{\"message\":\"no\"}]}");
    }
}
