//! The architecture as a test: what ARCHITECTURE.md says must not exist, does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source file is read in one sitting.
const LINES_MAX: usize = 900;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder of the project, with its text.
fn sources(folder: &str) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("a text file");
                found.insert(path.strip_prefix(root()).expect("below the root").to_owned(), text);
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no source: this test would prove nothing");
    found
}

/// The lines of a file that say `needle`, outside comments.
fn lines_with<'a>(text: &'a str, needle: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter(move |line| !line.trim_start().starts_with("//") && line.contains(needle))
}

#[test]
fn crates_depend_in_one_direction() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let ours = ["order-contract", "order-adapter", "order-center", "order-modules", "demo"];
    let dependencies = |package: &str| -> Vec<String> {
        let packages = metadata["packages"].as_array().expect("packages");
        let package = packages.iter().find(|p| p["name"] == package).expect("a package of the workspace");
        let normal = package["dependencies"].as_array().expect("dependencies").iter().filter(|d| d["kind"] != "dev");
        let names = normal.filter_map(|d| d["name"].as_str().map(str::to_owned));
        names.filter(|name| ours.contains(&name.as_str())).collect()
    };
    assert_eq!(dependencies("order-contract"), [] as [String; 0]);
    assert_eq!(dependencies("order-adapter"), ["order-contract"]);
    assert_eq!(dependencies("order-modules"), ["order-contract"]);
    assert_eq!(
        dependencies("order-center"),
        ["order-adapter", "order-contract"],
        "the center reaches modules over HTTP only"
    );
}

#[test]
fn each_module_imports_only_those_above_it() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    let order: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    assert!(order.contains(&"source") && order.contains(&"http"), "lib.rs declares the modules: {order:?}");
    for (path, text) in sources("src") {
        let Some(at) = order
            .iter()
            .position(|m| path.starts_with(format!("src/{m}")) || path == Path::new(&format!("src/{m}.rs")))
        else {
            continue;
        };
        for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
            for used in line.match_indices("crate::").map(|(i, _)| &line[i + "crate::".len()..]) {
                let name: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if let Some(other) = order.iter().position(|m| *m == name) {
                    assert!(other <= at, "{} imports {name}, which stands below it in lib.rs", path.display());
                }
            }
        }
    }
}

#[test]
fn only_the_index_writes_orders_and_only_ingest_holds_its_writer() {
    for (path, text) in sources("src") {
        let lower = text.to_lowercase();
        for table in ["orders", "order_lines", "order_payments", "order_refunds", "order_changes", "raw_payloads"] {
            for verb in [format!("insert into {table} "), format!("update {table} "), format!("delete from {table} ")] {
                assert!(
                    !lower.contains(&verb) || path.starts_with("src/index") || path.starts_with("src/bench"),
                    "{} says `{verb}`",
                    path.display()
                );
            }
        }
        if lines_with(&text, ".writer()").next().is_some() {
            let allowed = ["src/ingest", "src/index", "src/bench"].iter().any(|folder| path.starts_with(folder));
            assert!(allowed, "{} writes orders past ingest", path.display());
        }
    }
}

#[test]
fn the_center_holds_no_transition_table() {
    // Knowing which native state follows which is the owner's business: the names of the reference modules' states
    // must not appear in the center.
    for (path, text) in sources("src") {
        for state in ["\"PICKING\"", "\"AWAITING_PICKUP\"", "allowed_transitions"] {
            assert!(lines_with(&text, state).next().is_none(), "{} knows {state}", path.display());
        }
    }
}

#[test]
fn money_never_touches_a_float() {
    // Ratios for people (CPU shares, seconds, histogram buckets) may be floats; nothing that carries an amount may.
    let allowed = ["src/bench", "src/http", "src/serve.rs", "src/ingest/health.rs", "demo/src/progress.rs"];
    for folder in ["contract/src", "src", "modules/src", "demo/src"] {
        for (path, text) in sources(folder) {
            if allowed.iter().any(|a| path.starts_with(a)) {
                continue;
            }
            for float in ["f64", "f32"] {
                for line in lines_with(&text, float) {
                    // Metrics are floats by their protocol, and a visitor that refuses floats must name them.
                    let harmless = line.contains("metrics")
                        || line.contains("gauge")
                        || line.contains("histogram")
                        || line.contains("visit_f64")
                        || line.contains("deserialize_f64")
                        || line.contains("as_secs_f64");
                    assert!(harmless, "{}: {}", path.display(), line.trim());
                }
            }
        }
    }
}

#[test]
fn the_environment_is_read_in_one_place() {
    for (path, text) in sources("src") {
        let allowed = path.starts_with("src/config")
            || path == Path::new("src/config.rs")
            || path.starts_with("src/bench")
            || path.to_string_lossy().contains("/tests/");
        assert!(allowed || lines_with(&text, "env::var").next().is_none(), "{} reads the environment", path.display());
    }
}

#[test]
fn files_are_read_in_one_sitting_and_names_say_something() {
    for folder in ["contract/src", "adapter/src", "src", "modules/src", "demo/src", "tests/it"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
            let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            assert!(
                !["util", "utils", "helper", "helpers", "manager", "common", "misc"].contains(&stem),
                "{}",
                path.display()
            );
            assert!(
                lines_with(&text, "::*;").all(|l| l.trim() == "use super::*;" || l.contains("prelude::*")),
                "{} has a glob import",
                path.display()
            );
        }
    }
}
