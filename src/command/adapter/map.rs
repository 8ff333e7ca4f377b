//! `order-center adapter map`: records in, canonical orders out, and a JSON line for each that is none.

use std::path::{Path, PathBuf};

use crate::mapping::{Limits, Mapper, Pool};
use order_adapter::{MapError, Package, Value, origins};
use serde_json::json;

use super::super::{Failure, print};

pub(super) async fn run(name: &str, files: &[PathBuf], options: &[String]) -> Result<(), Failure> {
    let prepared = Package::find(name).map_err(Failure::from).and_then(|package| {
        let settings = super::settings(&package, options)?;
        Ok((Mapper::new(&Pool::new(Limits::default()), &package), settings))
    });
    let (mapper, settings) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => {
            complain(None, None, &Complaint::rule(failure.to_string()));
            return Err(Failure::told());
        }
    };
    let mut refused = 0_u64;
    for path in files {
        let mut refuse = |record: Option<usize>, complaint: &Complaint| {
            refused += 1;
            complain(Some(path), record, complaint);
        };
        let document = match read(path) {
            Ok(document) => document,
            Err(error) => {
                refuse(None, &Complaint::rule(format!("could not read the file: {error}")));
                continue;
            }
        };
        match mapper.map_document(&document, &settings).await {
            Err(error) => refuse(None, &Complaint::of(error, &document)),
            Ok(records) if records.is_empty() => {
                refuse(None, &Complaint::rule("the file holds no order of this platform".into()));
            }
            Ok(records) => {
                for (i, record) in records.into_iter().enumerate() {
                    match record.order {
                        Ok((order, _)) => print(&format!("{}\n", json!(order)))?,
                        Err(error) => refuse(Some(i), &Complaint::of(error, &record.raw)),
                    }
                }
            }
        }
    }
    if refused == 0 { Ok(()) } else { Err(Failure::told()) }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut document = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut document)?;
        return Ok(document);
    }
    std::fs::read(path)
}

/// Why there is no order.
struct Complaint {
    /// Into the canonical order; empty where the whole is meant.
    path: String,
    value: String,
    rule: String,
    /// Into the record: where that value stands in it.
    from: Vec<String>,
}

impl Complaint {
    fn rule(rule: String) -> Self {
        Self { path: String::new(), value: String::new(), rule, from: Vec::new() }
    }

    fn of(error: MapError, record: &[u8]) -> Self {
        let rejection = error.into_rejection();
        let from = Value::parse(record).map(|record| origins(&record, &rejection.value)).unwrap_or_default();
        Self { path: rejection.path, value: rejection.value, rule: rejection.rule, from }
    }
}

fn complain(file: Option<&Path>, record: Option<usize>, complaint: &Complaint) {
    let Complaint { path, value, rule, from } = complaint;
    eprintln!(
        "{}",
        json!({ "file": file, "record": record, "path": path, "value": value, "rule": rule, "from": from })
    );
}
