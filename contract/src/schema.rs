//! JSON Schemas of the contract, for editors and for teams that write modules in other languages.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::order::OrderSnapshot;

/// The JSON Schema (2020-12) of the canonical order, as published in `schema/order-snapshot.schema.json`.
#[must_use]
pub fn order_snapshot() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<OrderSnapshot>();
    schema.insert("title".into(), "Order snapshot".into());
    schema.to_value()
}
