//! `order-center adapter check`: what an adapter's fixtures prove, what its requests would be refused for, and what
//! nobody has looked at yet.

use std::path::{Path, PathBuf};

use crate::mapping::{Limits, Mapper, Pool};
use clap::Args;
use order_adapter::coverage::{self, Coverage};
use order_adapter::engine::Engine;
use order_adapter::graphql::Schema;
use order_adapter::{FixtureReport, Package, check_cases};
use serde_json::Value;

use super::super::{Failure, print};

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// An adapter's folder.
    folder: PathBuf,
    /// Prints what each fixture maps to.
    #[arg(long)]
    show: bool,
    /// Keeps what the fixtures map to now as what is expected of them. Look at the difference before you commit it.
    #[arg(long)]
    accept: bool,
    /// Lists the fields, statuses and actions that no fixture shows.
    #[arg(long)]
    missing: bool,
    /// The platform's GraphQL schema (SDL), to check the package's documents against; FILE.gz may be compressed.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
}

impl Options {
    /// A plain check of a folder.
    pub(super) fn of(folder: &std::path::Path) -> Self {
        Self { folder: folder.into(), show: false, accept: false, missing: false, schema: None }
    }
}

pub(super) async fn run(options: &Options) -> Result<(), Failure> {
    let package = Package::load(&options.folder)?;
    let mut reports = Mapper::new(&Pool::new(Limits::default()), &package).check_fixtures(&package).await?;
    if options.accept {
        for report in reports.iter_mut().filter(|report| !report.failures.is_empty()) {
            accept(&options.folder, report)?;
        }
    }
    let mut documents = documents(&package, options.schema.as_deref())?;
    let mut spoiled = 0;
    match engine(&package) {
        None => {}
        Some(Err(failure)) => documents.push(("adapter.toml".into(), vec![failure.to_string()])),
        Some(Ok(engine)) => {
            documents.push(("adapter.toml".into(), Vec::new()));
            for report in check_cases(&package, &engine) {
                spoiled += report.spoiled;
                documents.push((report.case, report.failures));
            }
        }
    }

    let mut text = String::new();
    for (name, failures, notes) in reports
        .iter()
        .map(|report| (&report.fixture, &report.failures, report.warnings.as_slice()))
        .chain(documents.iter().map(|(name, failures)| (name, failures, [].as_slice())))
    {
        text += &format!("{} {name}\n", if failures.is_empty() { "ok  " } else { "FAIL" });
        text.extend(failures.iter().map(|failure| format!("       {failure}\n")));
        text.extend(notes.iter().map(|note| format!("       note: {note}\n")));
    }
    if options.show {
        reports.iter().for_each(|report| text += &report.mapped);
    }
    let orders: Vec<Value> = reports.iter().flat_map(|report| report.orders.clone()).collect();
    text += &score(&package, &orders, options.missing);
    let failed = reports.iter().map(|r| &r.failures).chain(documents.iter().map(|(_, f)| f)).filter(|f| !f.is_empty());
    let failed = failed.count();
    let (maps, others) = (reports.len(), documents.len());
    print(&format!(
        "{text}{maps} fixtures, {others} other checks with {spoiled} forged or spoiled variants, {failed} failed\n"
    ))?;
    match (reports.is_empty(), failed) {
        (true, _) => Err(Failure("an adapter without fixtures proves nothing: add fixtures/NAME.json".into())),
        (false, 0) => Ok(()),
        (false, n) => Err(Failure(format!("{n} checks failed"))),
    }
}

/// Writes what a fixture maps to as its expectation.
fn accept(folder: &Path, report: &mut FixtureReport) -> Result<(), Failure> {
    let results = report.mapped.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = results.first() else { return Ok(()) };
    let expected = if results.len() == 1 { first.clone() } else { Value::Array(results.clone()) };
    let path = folder.join(report.fixture.replace(".json", ".expected.json"));
    std::fs::write(&path, format!("{expected:#}\n"))
        .map_err(|e| Failure(format!("could not write {}: {e}", path.display())))?;
    report.warnings.push(format!("accepted as {}", path.display()));
    report.failures.clear();
    Ok(())
}

/// The parts of the manifest that speak to the platform, compiled: every expression, placeholder and file is there. None
/// for an adapter that only maps.
fn engine(package: &Package) -> Option<Result<Engine, Failure>> {
    package.manifest.http.as_ref()?;
    let required = package.manifest.config.iter().filter(|(_, setting)| setting.required);
    let settings = required.map(|(name, _)| (name.clone(), Value::from("1"))).collect();
    Some(Engine::compile(package, &settings).map_err(Failure::from))
}

/// What each GraphQL document of the package would be refused for. The schema is the one that is given, or the
/// package's own `schema.graphql`.
fn documents(package: &Package, given: Option<&Path>) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let sdl = match given {
        Some(path) => Some(read(path).map_err(|e| Failure(format!("could not read {}: {e}", path.display())))?),
        None => package.file("schema.graphql").map(str::to_owned),
    };
    let Some(sdl) = sdl else { return Ok(Vec::new()) };
    let schema = Schema::parse(&sdl).map_err(Failure)?;
    let checked = package.documents().map(|(path, text)| {
        let failures = text.map_or_else(|error| vec![error], |text| schema.check(&text));
        (path.to_owned(), failures)
    });
    Ok(checked.collect())
}

fn read(path: &Path) -> std::io::Result<String> {
    let bytes = std::fs::read(path)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return std::io::read_to_string(flate2::read::GzDecoder::new(bytes.as_slice()));
    }
    String::from_utf8(bytes).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))
}

fn score(package: &Package, orders: &[Value], missing: bool) -> String {
    let (actions, reasons) = coverage::actions(package);
    let mut text = String::new();
    for (what, hint, coverage) in [
        ("fields", "of the unified order that a fixture has", &coverage::fields(orders)),
        ("statuses", "that the mapping names and a fixture shows", &coverage::statuses(package, orders)),
        ("actions", "that it performs, or says why not", &actions),
    ] {
        let Coverage { shown, missing: absent } = coverage;
        let all = shown.len() + absent.len();
        text += &format!("{what:<9} {:>3} of {all:<3} {:>3} %  {hint}\n", shown.len(), coverage.percent());
        if missing && !absent.is_empty() {
            let names: Vec<&str> = absent.iter().map(String::as_str).collect();
            text += &format!("          missing: {}\n", names.join(", "));
        }
    }
    if missing {
        text.extend(reasons.iter().map(|(verb, reason)| format!("          no {verb}: {reason}\n")));
    }
    text
}
