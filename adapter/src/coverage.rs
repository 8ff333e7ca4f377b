//! How much of the unified order an adapter's fixtures show: fields, statuses and actions.
//!
//! A score is no grade: a platform without returns cannot fill them. What it tells is what nobody has looked at yet.

use std::collections::{BTreeMap, BTreeSet};

use order_contract::ActionType;
use serde_json::Value;

use crate::package::Package;

/// The axes whose words an order carries, with the pointer to each.
const AXES: &[(&str, &str)] = &[
    ("status", "OrderStatus"),
    ("paymentStatus", "PaymentStatus"),
    ("fulfillmentStatus", "FulfillmentStatus"),
    ("returnStatus", "ReturnStatus"),
];

/// What the fixtures show of something, and what they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// What is shown.
    pub shown: BTreeSet<String>,
    /// What is not.
    pub missing: BTreeSet<String>,
}

impl Coverage {
    fn of(all: BTreeSet<String>, shown: &BTreeSet<String>) -> Self {
        let (shown, missing) = all.into_iter().partition(|name| shown.contains(name));
        Self { shown, missing }
    }

    /// How much is shown, in percent.
    #[must_use]
    pub fn percent(&self) -> usize {
        self.shown.len() * 100 / (self.shown.len() + self.missing.len()).max(1)
    }
}

/// The fields of the unified order, as `lines[].quantity.ordered`, that any of these orders has.
#[must_use]
pub fn fields(orders: &[Value]) -> Coverage {
    let schema = order_contract::schema::order_snapshot();
    let (mut all, mut shown) = (BTreeSet::new(), BTreeSet::new());
    declared(&schema, &schema, "", 0, &mut all);
    orders.iter().for_each(|order| present(order, "", &mut shown));
    Coverage::of(all, &shown)
}

/// The leaves that a schema declares.
fn declared(schema: &Value, root: &Value, path: &str, depth: usize, found: &mut BTreeSet<String>) {
    let resolved = schema["$ref"].as_str().and_then(|r| root.pointer(r.trim_start_matches('#')));
    if let Some(target) = resolved {
        return declared(target, root, path, depth + 1, found);
    }
    let variants = ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array());
    if let Some(variant) = variants.and_then(|list| list.iter().find(|v| v["type"] != "null")) {
        return declared(variant, root, path, depth + 1, found);
    }
    if let Some(properties) = schema["properties"].as_object().filter(|_| depth < 24) {
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            declared(property, root, &path, depth + 1, found);
        }
    } else if schema["items"].is_object() {
        declared(&schema["items"], root, &format!("{path}[]"), depth + 1, found);
    } else {
        found.insert(path.to_owned());
    }
}

/// The leaves that a document has, and every path to them: a free-form object counts as one field.
fn present(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            found.insert(path.to_owned());
            for (name, value) in fields {
                present(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| present(item, &format!("{path}[]"), found)),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// The unified words that the mapping's text names, by axis (`status.COMPLETED`), and which of them any order shows.
#[must_use]
pub fn statuses(package: &Package, orders: &[Value]) -> Coverage {
    let schema = order_contract::schema::order_snapshot();
    let program = package.file(&package.manifest.map.order).unwrap_or_default();
    let (mut all, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for (axis, name) in AXES {
        for word in words(&schema["$defs"][*name]) {
            if word != "UNKNOWN" && program.contains(&format!("\"{word}\"")) {
                all.insert(format!("{axis}.{word}"));
            }
        }
        shown.extend(orders.iter().filter_map(|order| Some(format!("{axis}.{}", order[*axis].as_str()?))));
    }
    // What a mapping builds without naming it is shown all the same.
    all.extend(shown.iter().filter(|word| !word.ends_with(".UNKNOWN")).cloned());
    Coverage::of(all, &shown)
}

/// The words of an enumeration, however its schema spells it.
fn words(schema: &Value) -> Vec<String> {
    let listed = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let single = schema["oneOf"].as_array().into_iter().flatten().filter_map(|v| v["const"].as_str());
    listed.chain(single).map(str::to_owned).collect()
}

/// The standard verbs: shown are those the adapter performs or says why not; by verb, the reason why not.
#[must_use]
pub fn actions(package: &Package) -> (Coverage, BTreeMap<String, String>) {
    let manifest = &package.manifest;
    let verb = |action: &ActionType| serde_json::to_value(action).ok()?.as_str().map(str::to_ascii_lowercase);
    let all = ActionType::ALL.iter().filter(|a| **a != ActionType::Custom).filter_map(verb).collect();
    let shown = manifest.actions.keys().chain(manifest.unsupported.keys()).cloned().collect();
    (Coverage::of(all, &shown), manifest.unsupported.clone())
}
