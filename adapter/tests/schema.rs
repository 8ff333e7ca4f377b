//! The published schema of `adapter.toml` is generated: this writes it with `UPDATE_SCHEMA=1` and fails when it is stale.

use std::path::Path;

#[test]
fn the_adapter_schema_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/adapter.schema.json");
    let text = format!("{:#}\n", order_adapter::manifest::json_schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, text).expect("the schema folder can be written");
        return;
    }
    let committed = std::fs::read_to_string(&path).expect("the schema is committed");
    assert!(
        committed == text,
        "schema/adapter.schema.json is stale: run UPDATE_SCHEMA=1 cargo test -p order-adapter --test schema"
    );
}
