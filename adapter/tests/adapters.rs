//! Every adapter that comes with the program: its fixtures map to what is expected, and the platform's real payloads
//! never make its mapping fail in any other way than by a rule of the contract.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use order_adapter::engine::Engine;
use order_adapter::{MapError, Package, builtin_names, check_fixtures, fixtures};
use order_contract::pointer_token;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_adapter_passes_its_own_fixtures() {
    assert!(!builtin_names().is_empty());
    let mut failures = Vec::new();
    for name in builtin_names() {
        let package = Package::load(&root().join("adapters").join(name)).unwrap();
        assert_eq!(package.manifest.name, name, "the folder bears the adapter's name");
        let reports = check_fixtures(&package);
        assert!(!reports.is_empty(), "{name} has no fixtures");
        assert!(package.file("README.md").is_some(), "{name} has no README.md");
        for report in reports {
            failures.extend(report.failures.iter().map(|failure| format!("{name}/{}: {failure}", report.fixture)));
        }
    }
    assert_eq!(failures, [] as [String; 0]);
}

#[test]
fn real_payloads_are_mapped_or_refused_by_a_rule() {
    let payloads = root().join("../shared/data/payloads");
    if !payloads.is_dir() {
        eprintln!("skipped: ../shared/data/payloads is not here");
        return;
    }
    let mut broken = Vec::new();
    for name in builtin_names() {
        let package = Package::find(name).unwrap();
        // PrestaShop names currencies by the shop's own ids.
        let currencies = (name == "prestashop").then(|| ("currencies".to_owned(), serde_json::json!({ "1": "EUR" })));
        let settings = package.settings(&currencies.into_iter().collect()).unwrap();
        let (mut mapped, mut refused) = (0, 0);
        let files = documents(&payloads.join(name.replace('-', "_")));
        for path in &files {
            let document = std::fs::read(path).unwrap();
            let records = match package.records(&document) {
                Ok(records) => records,
                Err(MapError::Input(_)) => continue,
                Err(error) => {
                    broken.push(format!("{}: {error}", path.display()));
                    continue;
                }
            };
            for record in records {
                match package.map(&record, &settings) {
                    Ok(_) => mapped += 1,
                    Err(MapError::Order(_) | MapError::Refused(_)) => refused += 1,
                    Err(error) => broken.push(format!("{}: {error}", path.display())),
                }
            }
        }
        eprintln!("{name}: {mapped} orders mapped, {refused} refused");
        assert!(mapped > 0 || files.is_empty(), "{name} mapped none of its platform's payloads");
    }
    assert_eq!(broken, [] as [String; 0]);
}

fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                if !path.ends_with("schema") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "json" || e == "xml") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn every_adapter_that_calls_its_platform_runs_with_what_an_operator_must_set() {
    let mut running = 0;
    for name in builtin_names() {
        let package = Package::find(name).unwrap();
        if package.manifest.http.is_none() {
            continue;
        }
        let required = package.manifest.config.iter().filter(|(_, setting)| setting.required);
        let settings = required.map(|(name, _)| (name.clone(), serde_json::json!("x"))).collect();
        let engine = Engine::compile(&package, &settings).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert!(engine.base("https://shop.example/").is_ok(), "{name}");
        running += 1;
    }
    assert!(running > 0);
}

/// The JSON pointers of everything in a document; of a list its first item stands for all.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (pointer_token(key), value)).collect(),
        Value::Array(items) => items.first().map(|first| ("0".to_owned(), first)).into_iter().collect(),
        _ => Vec::new(),
    };
    for (key, value) in inner {
        let place = format!("{at}/{key}");
        places(value, &place, found);
        found.push(place);
    }
}

/// Platforms leave fields out, and send null or nothing for them. A mapping may refuse such a record, with the rule that it
/// breaks; it must not fall over.
#[test]
fn no_field_that_is_missing_or_empty_makes_a_mapping_fall_over() {
    const EACH: usize = 200;
    let mut broken = Vec::new();
    for name in builtin_names() {
        let package = Package::load(&root().join("adapters").join(name)).unwrap();
        let settings = package.settings(&BTreeMap::new()).unwrap();
        // Of a long list one order would change and all be mapped.
        let few = |text: &&str| package.records(text.as_bytes()).unwrap().len() <= 4;
        let texts = fixtures(&package).filter_map(|path| package.file(path)).filter(few);
        let documents: Vec<Value> = texts.map(|text| serde_json::from_str(text).unwrap()).collect();
        let mut mutants = Vec::new();
        for document in &documents {
            let mut found = Vec::new();
            places(document, "", &mut found);
            let instead = |place: String| {
                [None, Some(json!(null)), Some(nothing(document, &place))].map(|of| (document, place.clone(), of))
            };
            mutants.extend(found.into_iter().flat_map(instead));
        }
        assert!(mutants.len() > EACH, "{name}: {} mutants prove little", mutants.len());
        let step = mutants.len() / EACH;
        for (document, place, instead) in mutants.into_iter().step_by(step) {
            let mut mutant = document.clone();
            let (parent, key) = place.rsplit_once('/').unwrap();
            match (&instead, mutant.pointer_mut(parent).unwrap()) {
                (None, Value::Object(fields)) => drop(fields.remove(&key.replace("~1", "/").replace("~0", "~"))),
                (instead, _) => *mutant.pointer_mut(&place).unwrap() = instead.clone().unwrap_or_default(),
            }
            let records = package.records(mutant.to_string().as_bytes());
            let results =
                records.map(|records| records.iter().filter_map(|r| package.map(r, &settings).err()).collect());
            for error in results.unwrap_or_else(|error| vec![error]) {
                match error {
                    MapError::Order(_) | MapError::Refused(_) => {}
                    MapError::Program(reason) if reason.ends_with("is a JSON object") => {}
                    error => broken.push(format!("{name}: {place} {instead:?}: {error}")),
                }
            }
        }
    }
    assert_eq!(broken, [] as [String; 0]);
}

/// Nothing, of the kind of what stands there.
fn nothing(document: &Value, place: &str) -> Value {
    match document.pointer(place) {
        Some(Value::String(_)) => json!(""),
        Some(Value::Array(_)) => json!([]),
        Some(Value::Object(_)) => json!({}),
        Some(Value::Number(_)) => json!(0),
        _ => json!(null),
    }
}
