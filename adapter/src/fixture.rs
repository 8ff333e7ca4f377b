//! Contract tests of a package: each `fixtures/NAME.json` maps to exactly `fixtures/NAME.expected.json`.

use std::collections::BTreeMap;

use order_contract::OrderSnapshot;
use serde_json::{Value, json};

use crate::package::Package;
use crate::program::MapError;

/// What one fixture showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixtureReport {
    /// Its path in the package.
    pub fixture: String,
    /// What is wrong; empty when it passed.
    pub failures: Vec<String>,
    /// Identities that the mapped orders violate: worth a look, no failure.
    pub warnings: Vec<String>,
    /// The canonical JSON of the mapped orders, one per line, or the rejections.
    pub mapped: String,
    /// The mapped orders.
    pub orders: Vec<Value>,
}

/// What a document mapped to: each record's order, or why the document has no records.
pub type Mapped = Result<Vec<Result<OrderSnapshot, MapError>>, MapError>;

/// The paths of a package's fixtures: `fixtures/NAME.json`.
pub fn fixtures(package: &Package) -> impl Iterator<Item = &str> {
    package.paths().filter(|p| p.starts_with("fixtures/") && p.ends_with(".json") && !p.ends_with(".expected.json"))
}

/// Maps every fixture in this process and compares it with what is expected. A fixture whose expectation is
/// `{"rejected": {...}}` must be refused at that path.
#[must_use]
pub fn check_fixtures(package: &Package) -> Vec<FixtureReport> {
    let settings = package.settings(&BTreeMap::new()).unwrap_or_else(|_| "{}".into());
    let map = |path: &str| -> Mapped {
        let records = package.records(package.file(path).unwrap_or_default().as_bytes())?;
        Ok(records.iter().map(|record| package.map(record, &settings)).collect())
    };
    fixtures(package).map(|path| check_fixture(package, path, map(path))).collect()
}

/// Compares what a fixture mapped to with what is expected of it.
#[must_use]
pub fn check_fixture(package: &Package, path: &str, mapped: Mapped) -> FixtureReport {
    let mut report = FixtureReport {
        fixture: path.to_owned(),
        failures: Vec::new(),
        warnings: Vec::new(),
        mapped: String::new(),
        orders: Vec::new(),
    };
    let results: Vec<Value> = match mapped {
        Err(error) => vec![json!({ "rejected": error.into_rejection() })],
        Ok(records) => records
            .into_iter()
            .map(|record| match record {
                Ok(order) => {
                    report.warnings.extend(order.violations().into_iter().map(|v| {
                        format!(
                            "{} {:?} at {}: expected {}, got {}",
                            order.number, v.code, v.path, v.expected, v.actual
                        )
                    }));
                    let order = serde_json::to_value(order).unwrap_or_default();
                    report.orders.push(order.clone());
                    order
                }
                Err(error) => json!({ "rejected": error.into_rejection() }),
            })
            .collect(),
    };
    if results.is_empty() {
        report.failures.push("holds no order: `records` of adapter.toml finds none".into());
    }
    for result in &results {
        report.mapped.push_str(&result.to_string());
        report.mapped.push('\n');
    }
    let expected_path = path.replace(".json", ".expected.json");
    let Some(expected) = package.file(&expected_path) else {
        let hint = format!("{expected_path} is missing: look at what it maps to, then keep it with `check --accept`");
        report.failures.push(hint);
        return report;
    };
    match serde_json::from_str::<Value>(expected) {
        Err(error) => report.failures.push(format!("{expected_path} is not JSON: {error}")),
        Ok(expected) => {
            let expected = if let Value::Array(list) = expected { list } else { vec![expected] };
            if expected.len() != results.len() {
                report.failures.push(format!("expected {} orders, mapped {}", expected.len(), results.len()));
            }
            for (i, (expected, result)) in expected.iter().zip(&results).enumerate() {
                difference(expected, result, &format!("/{i}"), &mut report.failures);
            }
        }
    }
    report
}

/// The differences of two documents, one line each: pointer, expected, got.
fn difference(expected: &Value, got: &Value, path: &str, found: &mut Vec<String>) {
    use Value::{Array, Null, Object};
    match (expected, got) {
        (Object(a), Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                difference(a.get(key).unwrap_or(&Null), b.get(key).unwrap_or(&Null), &format!("{path}/{key}"), found);
            }
        }
        (Array(a), Array(b)) => {
            for i in 0..a.len().max(b.len()) {
                difference(a.get(i).unwrap_or(&Null), b.get(i).unwrap_or(&Null), &format!("{path}/{i}"), found);
            }
        }
        (a, b) if a != b => found.push(format!("{path}: expected {a}, got {b}")),
        _ => {}
    }
}
