//! The published schemas are generated: this writes them with `UPDATE_SCHEMA=1` and fails when they are stale.

use std::path::Path;

use serde_json::Value;

fn is_fresh(name: &str, generated: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema").join(name);
    let text = format!("{generated:#}\n");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, text).expect("the schema folder can be written");
        return;
    }
    let committed = std::fs::read_to_string(&path).expect("the schema is committed");
    assert!(
        committed == text,
        "schema/{name} is stale: run UPDATE_SCHEMA=1 cargo test -p order-contract --test schema"
    );
}

#[test]
fn the_order_snapshot_schema_is_fresh() {
    is_fresh("order-snapshot.schema.json", &order_contract::schema::order_snapshot());
}

#[test]
fn the_openapi_document_of_the_protocol_is_fresh() {
    is_fresh("order-module.openapi.json", &order_contract::openapi::order_module());
}
