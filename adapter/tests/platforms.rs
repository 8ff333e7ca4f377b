//! The manifests of the platforms: each compiles with the engine, and every request it makes is one that the platform's
//! published schema knows.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use order_adapter::engine::{Engine, Target, Window};
use order_adapter::graphql::Schema;
use order_adapter::manifest::{Manifest, Request};
use order_adapter::{Package, builtin_names, check_cases};
use serde_json::{Value, json};

/// Where the platform's published schema is, below the payloads.
const GRAPHQL: &[(&str, &str)] = &[
    ("shopify", "shopify/schema/admin_2026-07.graphql.gz"),
    ("saleor", "saleor/schema/schema.graphql"),
    ("vendure", "vendure/schema/schema-admin.graphql"),
];

/// Published descriptions of REST paths, and what a path of the manifest has before the description's.
const REST: &[(&str, &str, &str)] = &[
    ("bigcommerce", "bigcommerce/schema/orders.v2.oas2.json", "/v2"),
    ("bigcommerce", "bigcommerce/schema/orders.v3.json", "/v3"),
    ("commercetools", "commercetools/schema/openapi.json.gz", ""),
    ("magento2", "magento2/schema/admin-schema-2.4.8.yaml", ""),
    ("medusa", "medusa/schema/admin.openapi.full.yaml.gz", ""),
    ("amazon-sp", "amazon_sp/schema/orders_2026-01-01.json", ""),
    ("amazon-sp", "amazon_sp/schema/ordersV0.json", ""),
    ("square", "square/schema/api.json.gz", ""),
];

fn payloads() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/payloads");
    if !folder.is_dir() {
        eprintln!("skipped: ../shared/data/payloads is not here");
        return None;
    }
    Some(folder)
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|e| e == "gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        return text;
    }
    String::from_utf8(bytes).unwrap()
}

fn settings(manifest: &Manifest) -> BTreeMap<String, Value> {
    let required = manifest.config.iter().filter(|(_, setting)| setting.required);
    required.map(|(name, _)| (name.clone(), json!("x"))).collect()
}

/// Every request of a manifest with its place.
fn requests(manifest: &Manifest) -> Vec<(String, Request)> {
    let mut found = Vec::new();
    let mut add = |place: String, request: Option<&Request>| {
        found.extend(request.map(|request| (place, request.clone())));
    };
    if let Some(list) = &manifest.list {
        add("list".into(), Some(&list.request));
        add("list.next".into(), list.next.as_ref());
    }
    for other in &manifest.secondary {
        add(format!("secondary {}", other.name), Some(&other.request));
    }
    add("get".into(), manifest.get.as_ref().map(|get| &get.request));
    manifest.hydrate.iter().for_each(|of| add(format!("hydrate {}", of.field), Some(&of.request)));
    add("reread".into(), manifest.reread.as_ref().and_then(|reread| reread.request.as_ref()));
    for (verb, action) in &manifest.actions {
        add(format!("actions.{verb}"), action.request.as_ref());
        action.step.iter().for_each(|step| add(format!("actions.{verb}.{}", step.name), Some(&step.request)));
    }
    found
}

#[test]
fn every_platform_reads_and_compiles() {
    let mut wrong = Vec::new();
    for name in builtin_names() {
        let package = Package::find(name).unwrap();
        if let Err(error) = Engine::compile(&package, &settings(&package.manifest)) {
            wrong.push(format!("{name}: {error} {:?}", std::error::Error::source(&error).map(ToString::to_string)));
        }
        let manifest = &package.manifest;
        assert!(manifest.webhook.is_some() && manifest.get.is_some(), "{name} is not whole");
        // Every standard verb is performed, or it is said why not.
        let (actions, _) = order_adapter::coverage::actions(&package);
        assert_eq!(actions.missing, BTreeSet::new(), "{name}");
        for (verb, action) in &manifest.actions {
            // Doubt has to end somewhere.
            assert!(action.confirm.is_some(), "{name}: {verb} has no `confirm`");
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn every_case_holds_and_nothing_spoiled_passes() {
    let (mut wrong, mut spoiled) = (Vec::new(), 0);
    for name in builtin_names() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters").join(name);
        let package = Package::load(&folder).unwrap();
        let engine = Engine::compile(&package, &settings(&package.manifest)).unwrap();
        let reports = check_cases(&package, &engine);
        for kind in ["webhook", "list", "action"] {
            let said = format!("\"kind\": \"{kind}\"");
            let shown = reports.iter().any(|r| package.file(&r.case).is_some_and(|text| text.contains(&said)));
            assert!(shown, "{name} has no case of a {kind}");
        }
        for report in reports {
            spoiled += report.spoiled;
            wrong.extend(report.failures.iter().map(|failure| format!("{name}/{}: {failure}", report.case)));
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
    assert!(spoiled > 300, "{spoiled} spoiled variants");
}

#[test]
fn every_graphql_document_is_valid_against_the_platforms_schema() {
    let Some(payloads) = payloads() else { return };
    for (name, file) in GRAPHQL {
        let schema = Schema::parse(&read(&payloads.join(file))).unwrap();
        let package = Package::find(name).unwrap();
        let mut checked = 0;
        for (path, text) in package.documents() {
            assert_eq!(schema.check(&text.unwrap()), [] as [String; 0], "{name}/{path}");
            checked += 1;
        }
        assert!(checked > 3, "{name} has {checked} documents");
        // What the manifest sends is among them.
        for (place, request) in requests(&package.manifest) {
            let file = request.graphql.unwrap_or_else(|| panic!("{name}: {place} is no GraphQL request"));
            assert!(package.documents().any(|(path, _)| path == file), "{name}: {place} sends {file}");
        }
    }
    // The check does find what is wrong.
    let vendure = Schema::parse(&read(&payloads.join(GRAPHQL[2].1))).unwrap();
    assert_eq!(vendure.check("{ orders { items { sate } } }").len(), 1);
}

#[test]
fn every_rest_request_has_a_path_the_platform_publishes() {
    let Some(payloads) = payloads() else { return };
    let mut known: BTreeMap<&str, BTreeSet<(String, String)>> = BTreeMap::new();
    for (name, file, prefix) in REST {
        let text = read(&payloads.join(file));
        let paths = if file.contains(".yaml") { yaml_paths(&text) } else { json_paths(&text) };
        assert!(!paths.is_empty(), "{file} names no paths");
        let paths = paths.into_iter().map(|(method, path)| (method, format!("{prefix}{path}")));
        known.entry(name).or_default().extend(paths);
    }
    let mut strange = Vec::new();
    for (name, paths) in &known {
        for (place, request) in requests(&Package::find(name).unwrap().manifest) {
            let Some(path) = &request.path else { continue };
            let writes = request.body.is_some();
            let method = request.method.clone().unwrap_or_else(|| if writes { "POST" } else { "GET" }.to_owned());
            let path = normal(&match *name {
                // What stands in `http.base` of these is part of the published path.
                "commercetools" => format!("/{{}}{}", path.0),
                "magento2" => format!("/V1{}", path.0),
                "medusa" => format!("/admin{}", path.0),
                "square" => format!("/v2{}", path.0),
                // As it is unless told otherwise; the other version is asked for below.
                "amazon-sp" => path.0.replace("${config.api}", "2026-01-01"),
                _ => path.0.clone(),
            });
            if !paths.iter().any(|(m, p)| *m == method && normal(p) == path) {
                strange.push(format!("{name}: {place}: {method} {path}"));
            }
        }
    }
    assert_eq!(strange, [] as [String; 0]);
}

/// A path with every parameter as `{}`, without a slash at the end.
fn normal(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in path.trim_end_matches('/').chars() {
        match c {
            '{' => inside = true,
            '}' => {
                inside = false;
                out.push_str("{}");
            }
            '$' => {}
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

fn json_paths(text: &str) -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(text).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let pairs = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    pairs.collect()
}

/// The paths of an OpenAPI document in YAML: keys two and four columns in, below `paths:`.
fn yaml_paths(text: &str) -> Vec<(String, String)> {
    let (mut found, mut within, mut path) = (Vec::new(), false, String::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with([' ', '#']) {
            within = line.starts_with("paths:");
        } else if within && let Some(key) = line.trim_end().strip_suffix(':') {
            let bare = key.trim_start();
            match key.len() - bare.len() {
                2 => path = bare.trim_matches(['"', '\'']).to_owned(),
                4 => found.push((bare.to_uppercase(), path.clone())),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn many_orders_are_named_by_one_parameter_each() {
    let engine = Engine::compile(&Package::find("medusa").unwrap(), &BTreeMap::new()).unwrap();
    let call = engine.get_many(&["order_1", "order_2"]).unwrap().unwrap();
    let ids: Vec<&str> = call.query.iter().filter(|(name, _)| name == "id[]").map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["order_1", "order_2"]);
}

#[test]
fn both_versions_of_amazons_orders_are_asked_for_in_their_own_words() {
    let package = Package::find("amazon-sp").unwrap();
    let asked = |api: &str| {
        let settings = BTreeMap::from([("api".into(), json!(api)), ("marketplace_ids".into(), json!("A1"))]);
        let engine = Engine::compile(&package, &settings).unwrap();
        let window = Window { since: Some(1_767_225_600_000_000), until: None, limit: 100, now: 1_767_312_000_000_000 };
        let call = engine.list(&engine.begin(&window), &window).unwrap();
        let Target::Below(path) = call.target else { panic!("it is no link") };
        let names: Vec<String> = call.query.into_iter().map(|(name, _)| name).collect();
        (path, names.join(" "))
    };
    let (path, names) = asked("2026-01-01");
    assert_eq!(
        (path.as_str(), names.as_str()),
        ("/orders/2026-01-01/orders", "includedData lastUpdatedAfter marketplaceIds maxResultsPerPage")
    );
    let (path, names) = asked("v0");
    assert_eq!(
        (path.as_str(), names.as_str()),
        ("/orders/v0/orders", "LastUpdatedAfter MarketplaceIds MaxResultsPerPage")
    );
}
