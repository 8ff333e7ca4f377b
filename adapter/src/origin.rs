//! Where a value of a mapped order stands in the record it was mapped from.

use jaq_json::{Num, Val};
use order_contract::pointer_token;

use crate::value::Value;

/// The most places that are named; a value that stands in more tells nothing.
const PLACES_MAX: usize = 3;

/// The JSON pointers of the texts and numbers of a record that are this value, given as JSON text. A decimal string
/// that was a number in the record counts too. Empty when there is none or when there are many.
#[must_use]
pub fn origins(record: &Value, value: &str) -> Vec<String> {
    let plain = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
    let mut found = Vec::new();
    if !plain.is_empty() && !["null", "absent", "true", "false"].contains(&plain.as_str()) {
        search(&record.0, &plain, &mut String::new(), &mut found);
    }
    if found.len() > PLACES_MAX { Vec::new() } else { found }
}

fn search(value: &Val, wanted: &str, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match value {
        Val::TStr(text) if text.as_ref() == wanted.as_bytes() => found.push(path.clone()),
        Val::Num(Num::Dec(literal)) if literal.as_str() == wanted => found.push(path.clone()),
        Val::Num(Num::Int(whole)) if whole.to_string() == wanted => found.push(path.clone()),
        Val::Num(Num::BigInt(whole)) if whole.to_string() == wanted => found.push(path.clone()),
        Val::Arr(items) => {
            for (i, item) in items.iter().enumerate() {
                path.push_str(&format!("/{i}"));
                search(item, wanted, path, found);
                path.truncate(length);
            }
        }
        Val::Obj(fields) => {
            for (key, item) in fields.iter() {
                let Val::TStr(key) = key else { continue };
                let key = pointer_token(&String::from_utf8_lossy(key));
                path.push_str(&format!("/{key}"));
                search(item, wanted, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::origins;
    use crate::value::Value;

    #[test]
    fn a_value_is_found_where_it_stands() {
        let record = r#"{"a": {"tax/vat": 1.23456}, "b": ["x", "1.23456"], "c": 7, "d": [0, 0, 0, 0]}"#;
        let record = Value::parse(record.as_bytes()).unwrap();
        for (value, pointers) in [
            (r#""1.23456""#, vec!["/a/tax~1vat", "/b/1"]),
            ("1.23456", vec!["/a/tax~1vat", "/b/1"]),
            ("7", vec!["/c"]),
            (r#""x""#, vec!["/b/0"]),
            ("0", vec![]),
            ("absent", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(origins(&record, value), pointers, "{value}");
        }
    }
}
