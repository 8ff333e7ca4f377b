//! A definition changes: orders under way go on by the one they began with, or are moved on purpose.

use std::collections::BTreeMap;

use order_modules::{Config, Line, Module, ModuleError};
use serde_json::{Value, json};

use crate::shop::Shop;

/// The retail process without packing, as a later version.
fn without_packing() -> String {
    let mut definition: Value = serde_json::from_str(Line::Retail.definition()).unwrap();
    definition["version"] = json!(3);
    definition["states"].as_array_mut().unwrap().retain(|s| s["name"] != "PACKED");
    let transitions = definition["transitions"].as_array_mut().unwrap();
    transitions.retain(|t| t["action"] != "pack");
    for transition in transitions {
        for end in ["from", "to"] {
            transition[end].as_array_mut().unwrap().retain(|s| s != "PACKED");
        }
    }
    definition.to_string()
}

#[tokio::test]
async fn orders_end_by_the_version_they_began_with_unless_they_are_migrated() {
    let shop = Shop::open().await.sells(&[("A", "2", 100)]).await;
    let old = shop.create(json!([{ "sku": "A", "quantity": 1 }])).await.source_order_id.to_string();
    for action in ["pay", "produce", "pack"] {
        shop.done(&old, action, json!({})).await;
    }
    shop.create(json!([{ "sku": "A", "quantity": 2 }])).await;
    let config = || Config::new(Line::Retail, shop.database());
    let next = Module::open_with(config(), Some(&without_packing())).await.unwrap();
    let states = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect()
    };
    let refused = next.migrate(2, 3, &BTreeMap::new()).await;
    assert!(
        matches!(&refused, Err(ModuleError::NoState { count: 1, state, version: 3 }) if state == "PACKED"),
        "{refused:?}"
    );
    let unknown = next.migrate(2, 9, &BTreeMap::new()).await;
    assert!(matches!(unknown, Err(ModuleError::NoProcess(9))));
    assert_eq!(shop.order(&old).await.native.state, "PACKED", "nothing was moved");
    assert_eq!(next.migrate(2, 3, &states(&[("PACKED", "PICKING")])).await.unwrap(), 2);
    let order = shop.order(&old).await;
    assert_eq!(order.native.state, "PICKING");
    assert_eq!(order.events.last().unwrap().event_type, "migrate");

    // The node that still runs the old program knows the new version only after a restart, and says so.
    let shop = shop.restart().await;
    let order = shop.done(&old, "ship", json!({})).await;
    assert_eq!(order.native.state, "SHIPPED");
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_definition_that_changed_in_silence_and_a_setting_that_is_none_are_refused() {
    let shop = Shop::open().await;
    let mut changed: Value = serde_json::from_str(Line::Retail.definition()).unwrap();
    changed["states"][0]["description"] = json!("Something else.");
    let config = Config::new(Line::Retail, shop.database());
    let refused = Module::open_with(config.clone(), Some(&changed.to_string())).await;
    assert!(matches!(refused, Err(ModuleError::ProcessChanged { version: 2, .. })));
    let mut wrong = config;
    wrong.settings.insert("payment_windows".into(), "PT5M".into());
    let refused = Module::open(wrong).await.unwrap_err();
    let source = std::error::Error::source(&refused).unwrap().to_string();
    assert!(source.starts_with("there is no setting payment_windows; there are: "), "{source}");
}
