//! The reply as JSON bytes.
//!
//! It owns writing a response whose data is mostly JSON text already. It refuses to parse that text again, which serde
//! would do to every raw value. That is so that a page is copied into the reply once.

use async_graphql::{Response, Value};

use super::scalar::as_raw_json;
use super::select::write_string;

/// The response as the JSON of GraphQL over HTTP. `data` is left out where a request was refused before execution.
#[must_use]
pub fn response_json(response: &Response) -> Vec<u8> {
    let mut out = String::with_capacity(256 + as_raw_json(&response.data).map_or(0, str::len));
    out.push('{');
    if response.errors.is_empty() || response.data != Value::Null {
        out.push_str("\"data\":");
        write_value(&mut out, &response.data);
    }
    let mut member = |name: &str, text: Result<String, serde_json::Error>| {
        if let Ok(text) = text {
            if out.len() > 1 {
                out.push(',');
            }
            write_string(&mut out, name);
            out.push(':');
            out.push_str(&text);
        }
    };
    if !response.errors.is_empty() {
        member("errors", serde_json::to_string(&response.errors));
    }
    if !response.extensions.is_empty() {
        member("extensions", serde_json::to_string(&response.extensions));
    }
    out.push('}');
    out.into_bytes()
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
    use async_graphql::{Response, ServerError, Value, value};

    #[test]
    fn a_reply_is_the_json_that_serde_would_write() {
        let mut data = value!({ "a": [1, true, null, "q\"\\\n\u{1}ü"], "b": {} });
        if let Value::Object(fields) = &mut data {
            fields.insert(async_graphql::Name::new("raw"), raw_json("{\"x\":[1.50]}".into()));
        }
        let mut response = Response::new(data);
        let same = |response: &Response| {
            let ours: serde_json::Value = serde_json::from_slice(&response_json(response)).expect("JSON");
            assert_eq!(ours, serde_json::to_value(response).expect("JSON"));
        };
        same(&response);
        response.errors.push(ServerError::new("no", None));
        same(&response);
        let refused = Response::from_errors(vec![ServerError::new("no", None)]);
        assert_eq!(response_json(&refused), b"{\"errors\":[{\"message\":\"no\"}]}");
    }
}
