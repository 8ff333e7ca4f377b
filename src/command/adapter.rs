//! `order-center adapter …`: the business line's tool.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use order_adapter::{Package, builtin_names, check_fixtures};
use serde_json::json;

use super::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the adapters that come with the program.
    List,
    /// Maps files of a platform's records to canonical orders, one JSON document per line.
    ///
    /// A file may hold one order, an array of orders, or the platform's list envelope. Each record that cannot be
    /// mapped is one JSON line on standard error with file, record number, JSON pointer, value and rule, and the
    /// command ends with 1.
    Map {
        /// An adapter that `list` names, or a folder with an adapter.toml.
        name: String,
        /// The files; `-` reads standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// A setting of the source: NAME=VALUE.
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
    },
    /// Runs an adapter's contract tests: every fixture against what is expected of it.
    Check {
        /// An adapter's folder.
        folder: PathBuf,
        /// Prints what each fixture maps to.
        #[arg(long)]
        show: bool,
    },
}

impl Command {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List => {
                for name in builtin_names() {
                    let manifest = Package::find(name)?.manifest;
                    super::print(&format!("{name:<16} {:<8} {}\n", manifest.version, manifest.title))?;
                }
                Ok(())
            }
            Self::Map { name, files, settings } => map(&name, &files, &settings),
            Self::Check { folder, show } => check(&folder, show),
        }
    }
}

fn map(name: &str, files: &[PathBuf], settings: &[String]) -> Result<(), Failure> {
    let package = Package::find(name)?;
    let mut given = BTreeMap::new();
    for setting in settings {
        let (name, value) =
            setting.split_once('=').ok_or_else(|| Failure(format!("--set wants NAME=VALUE, got {setting}")))?;
        // `2` and `true` are what they look like; anything else is text.
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        given.insert(name.to_owned(), value);
    }
    let settings = package.settings(&given)?;
    let mut refused = 0_u64;
    for path in files {
        let document = if path.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin()).map(String::into_bytes)
        } else {
            std::fs::read(path)
        };
        let document = document.map_err(|e| Failure(format!("could not read {}: {e}", path.display())))?;
        let mut refuse = |record: Option<usize>, error: order_adapter::MapError| {
            refused += 1;
            let rejection = error.into_rejection();
            eprintln!(
                "{}",
                json!({ "file": path, "record": record, "path": rejection.path, "value": rejection.value, "rule": rejection.rule })
            );
        };
        match package.records(&document) {
            Err(error) => refuse(None, error),
            Ok(records) if records.is_empty() => {
                refuse(None, order_adapter::MapError::Results("none: the file holds no order of this platform"))
            }
            Ok(records) => {
                for (i, record) in records.iter().enumerate() {
                    match package.map(record, &settings) {
                        Ok(order) => super::print(&format!("{}\n", json!(order)))?,
                        Err(error) => refuse(Some(i), error),
                    }
                }
            }
        }
    }
    if refused == 0 { Ok(()) } else { Err(Failure(format!("{refused} could not be mapped"))) }
}

fn check(folder: &std::path::Path, show: bool) -> Result<(), Failure> {
    let reports = check_fixtures(&Package::load(folder)?);
    let failed = reports.iter().filter(|report| !report.failures.is_empty()).count();
    let mut text = String::new();
    for report in &reports {
        text += &format!("{} {}\n", if report.failures.is_empty() { "ok  " } else { "FAIL" }, report.fixture);
        text.extend(report.failures.iter().map(|failure| format!("       {failure}\n")));
        text.extend(report.warnings.iter().map(|warning| format!("       note: {warning}\n")));
        if show {
            text += &report.mapped;
        }
    }
    super::print(&format!("{text}{} fixtures, {failed} failed\n", reports.len()))?;
    match (reports.is_empty(), failed) {
        (true, _) => Err(Failure("an adapter without fixtures proves nothing: add fixtures/NAME.json".into())),
        (false, 0) => Ok(()),
        (false, n) => Err(Failure(format!("{n} fixtures failed"))),
    }
}
