//! What differs between two documents of one order, field by field.

use order_contract::pointer_token;
use serde_json::Value;

/// One place at which two documents differ.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// The place with `*` for positions in lists: the same for every order. `/lines/*/total`
    pub(super) field: String,
    /// The JSON pointer. `/lines/0/total`
    pub(super) path: String,
    /// What stood there; none: nothing did.
    pub(super) before: Option<Value>,
    /// What stands there now; none: nothing does.
    pub(super) after: Option<Value>,
}

/// Every difference, leaves only, in the order of the first document.
pub(super) fn diff(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(&mut found, ["", ""].map(str::to_owned), Some(before), Some(after));
    found
}

fn walk(found: &mut Vec<Difference>, [field, path]: [String; 2], before: Option<&Value>, after: Option<&Value>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(one)), Some(Value::Object(two))) => {
            let added = two.keys().filter(|key| !one.contains_key(*key));
            for key in one.keys().chain(added) {
                let step = pointer_token(key);
                walk(found, [format!("{field}/{step}"), format!("{path}/{step}")], one.get(key), two.get(key));
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(two))) => {
            for i in 0..one.len().max(two.len()) {
                walk(found, [format!("{field}/*"), format!("{path}/{i}")], one.get(i), two.get(i));
            }
        }
        (before, after) => {
            found.push(Difference { field, path, before: before.cloned(), after: after.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::diff;
    use serde_json::json;

    #[test]
    fn each_leaf_that_differs_is_told_once_and_fields_are_the_same_for_every_order() {
        let before = json!({ "a": 1, "lines": [{ "total": "1", "x/y": true }, { "total": "2" }], "gone": {} });
        let after = json!({ "a": 1, "lines": [{ "total": "1", "x/y": false }, { "total": "3" }, "new"], "come": null });
        let told: Vec<_> = diff(&before, &after).into_iter().map(|d| (d.field, d.path, d.before, d.after)).collect();
        let field = |field: &str, path: &str, before, after| (field.to_owned(), path.to_owned(), before, after);
        assert_eq!(
            told,
            [
                field("/lines/*/x~1y", "/lines/0/x~1y", Some(json!(true)), Some(json!(false))),
                field("/lines/*/total", "/lines/1/total", Some(json!("2")), Some(json!("3"))),
                field("/lines/*", "/lines/2", None, Some(json!("new"))),
                field("/gone", "/gone", Some(json!({})), None),
                field("/come", "/come", None, Some(json!(null))),
            ]
        );
        assert_eq!(diff(&before, &before), []);
    }
}
