//! The business line's tool: a new adapter passes its own check, and the check sees what is wrong.

use std::path::Path;
use std::process::Command;

/// The exit code and both outputs of `order-center adapter …`.
fn adapter(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_order-center")).arg("adapter").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} says {from}", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_new_adapter_passes_its_own_check_and_a_change_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let parent = folder.path().to_str().unwrap();
    let shop = folder.path().join("my-shop");
    let name = shop.to_str().unwrap();
    let (code, out, error) = adapter(&["new", "my-shop", "--in", parent]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.contains("adapter check"), "{out}");

    let (code, out, error) = adapter(&["check", name]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    for line in ["ok   fixtures/order.json", "ok   fixtures/no-order.json", "fields", "statuses", "actions", "0 failed"]
    {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert!(!out.contains("note:"), "its sums agree: {out}");

    // It is no different from an adapter that comes with the program.
    let order = shop.join("fixtures/order.json");
    let (code, out, error) = adapter(&["map", name, order.to_str().unwrap()]);
    assert_eq!((code, error.as_str()), (0, ""));
    let mapped: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&mapped["number"], &mapped["totals"]["total"]), (&"A-1001".into(), &"49.30".into()));

    // A change of the mapping is one line for each field that differs.
    replace(&shop.join("map/order.jq"), "shipping: (.shipping | dec)", "shipping: \"5\"");
    let (code, out, error) = adapter(&["check", name]);
    assert_eq!(code, 1);
    assert!(out.contains("FAIL fixtures/order.json\n       /0/totals/shipping: expected \"4.90\", got \"5\""), "{out}");
    assert!(error.contains("1 checks failed"), "{error}");
    let (code, out, _) = adapter(&["check", name, "--accept", "--missing"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("missing: ") && out.contains("lines[].taxLines[].rate"), "{out}");
    assert_eq!(adapter(&["check", name]).0, 0);

    // A mapping that never ends is a failure of its fixture and not of the tool.
    replace(&shop.join("map/order.jq"), "def line:", "def forever: forever;\ndef line: forever |");
    let (code, out, _) = adapter(&["check", name]);
    assert_eq!(code, 1);
    assert!(out.contains("longer than"), "{out}");
}

#[test]
fn what_cannot_be_an_adapter_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let parent = folder.path().to_str().unwrap();
    std::fs::create_dir(folder.path().join("there")).unwrap();
    for (name, said) in [
        ("My Shop", "is no name"),
        ("../up", "is no name"),
        ("9", "is no name"),
        ("woocommerce", "there is an adapter woocommerce"),
        ("there", "exists already"),
    ] {
        let (code, out, error) = adapter(&["new", name, "--in", parent]);
        assert_eq!((code, out.as_str()), (1, ""), "{name}");
        assert!(error.contains(said) && error.lines().count() == 1, "{name}: {error}");
    }
    let (code, _, error) = adapter(&["check", parent]);
    assert_eq!(code, 1);
    assert!(error.contains("adapter.toml"), "{error}");
}

#[test]
fn documents_are_checked_against_the_platforms_schema() {
    let folder = tempfile::tempdir().unwrap();
    adapter(&["new", "graph-shop", "--in", folder.path().to_str().unwrap()]);
    let shop = folder.path().join("graph-shop");
    std::fs::create_dir(shop.join("graphql")).unwrap();
    std::fs::write(
        shop.join("schema.graphql"),
        "type Query { order(id: ID!): Order } type Order { id: ID! total: String }",
    )
    .unwrap();
    std::fs::write(shop.join("graphql/fields.graphql"), "fragment F on Order { id totl }").unwrap();
    let document = "# import \"graphql/fields.graphql\"\nquery Q($id: ID!) { order(id: $id) { ...F } }\n";
    std::fs::write(shop.join("graphql/order.graphql"), document).unwrap();
    let (code, out, _) = adapter(&["check", shop.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        out.contains("FAIL graphql/order.graphql") && out.contains("Order has no field totl; did you mean total?"),
        "{out}"
    );
    replace(&shop.join("graphql/fields.graphql"), "totl", "total");
    assert_eq!(adapter(&["check", shop.to_str().unwrap()]).0, 0);

    // The parts that speak with the platform are compiled too.
    let manifest = shop.join("adapter.toml");
    let parts = "[http]\nbase = \"${url}\"\n[list]\nrequest = { path = \"/orders\" }\nrecords = \".body | nonsense\"\n\
        page = { strategy = \"cursor\", size = 10, next = \".body.next\" }\ncursor = { field = \".updated\", granularity = \"1s\" }\n\
        [get]\nrequest = { path = \"/orders/${id}\" }\nrecord = \".body\"\nmissing = \".status == 404\"\n[map]\nid = \".id\"";
    replace(&manifest, "[map]", parts);
    let (code, out, _) = adapter(&["check", shop.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(out.contains("FAIL adapter.toml") && out.contains("nonsense"), "{out}");
}

#[test]
fn the_list_names_what_comes_with_the_program() {
    let (code, out, _) = adapter(&["list"]);
    assert_eq!((code, out.lines().count()), (0, 11), "{out}");
    for name in ["shopify", "woocommerce", "vendure", "medusa", "amazon-sp"] {
        assert!(out.lines().any(|line| line.starts_with(name)), "{out}");
    }
}
