//! A platform that is registered while the center runs, by an adapter that was uploaded.

use std::collections::BTreeMap;
use std::path::Path;

use order_center::catalog::{GivenSecret, NewSource, RunKind, RunRequest, SourceChange};
use order_contract::{OrderId, SourceOrderId};
use serde_json::{Map, json};

use super::shop::Shop;
use crate::center::{Center, until};
use crate::world::{databases, source};

/// The WooCommerce adapter at full speed, as this version, with this behind its mapping.
fn package(version: &str, behind: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters/woocommerce");
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    let mut lines: Vec<String> = read("adapter.toml").lines().map(str::to_owned).collect();
    for line in &mut lines {
        if line.starts_with("version = ") {
            *line = format!("version = \"{version}\"");
        } else if line.starts_with("rate = ") {
            *line = "retry = { pause = \"1ms\" }".to_owned();
        }
    }
    let mapping = format!("{}\n{behind}", read("map/order.jq"));
    [("adapter.toml".to_owned(), lines.join("\n")), ("map/order.jq".to_owned(), mapping)].into()
}

fn registration(shop: &Shop) -> NewSource {
    let secret = |text: &str| GivenSecret::Value(text.into());
    NewSource {
        key: source("shop"),
        title: None,
        adapter: "woocommerce@9.0.0".into(),
        url: shop.url.clone(),
        settings: Map::new(),
        secrets: [("consumer_key", "ck_1"), ("consumer_secret", "cs_1"), ("webhook_secret", "webhook-secret")]
            .map(|(name, value)| (name.to_owned(), secret(value)))
            .into(),
        since: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_is_registered_by_its_adapter_and_mended_by_another_version_of_it() {
    for world in databases().await {
        let shop = Shop::start().await;
        for id in 1..=30 {
            shop.put(id, 1_699_990_000 + id as i64, "processing");
        }
        let center = Center::new(&world.database, []);
        center.catalog.upload(package("9.0.0", ""), "ada").await.unwrap();
        center.catalog.upload(package("9.1.0", "| .channel = \"mended\""), "ada").await.unwrap();

        let mut wrong = registration(&shop);
        wrong.secrets.insert("consumer_kee".into(), GivenSecret::Value("x".into()));
        let error = center.catalog.register(wrong, true, "ada").await.unwrap_err();
        assert_eq!((error.code(), error.field()), (Some("INVALID_INPUT"), Some("secrets")), "{error}");
        let mut stranger = registration(&shop);
        stranger.secrets.insert("consumer_secret".into(), GivenSecret::Value("wrong".into()));
        let error = center.catalog.register(stranger, true, "ada").await.unwrap_err();
        assert_eq!(error.code(), Some("CHECK_FAILED"), "{error}");

        let registered = center.catalog.register(registration(&shop), true, "ada").await.unwrap();
        assert_eq!(registered.adapter, "woocommerce@9.0.0", "{}", world.name);
        let used = center.catalog.remove_package("woocommerce@9.0.0").await.unwrap_err();
        assert_eq!(used.code(), Some("ADAPTER_IN_USE"));
        let pass = center.ingest.poll(&source("shop")).await.unwrap();
        assert_eq!((pass.stored, pass.quarantined), (30, 0), "{}", world.name);
        let order = OrderId::new(source("shop"), SourceOrderId::try_new("7").unwrap());
        assert_ne!(center.held(&order).await.unwrap().channel.as_deref(), Some("mended"));

        let asked = shop.asked().len();
        let request = RunRequest { adapter: Some("woocommerce@9.1.0".into()), ..RunRequest::default() };
        let trial = center.catalog.ask(&source("shop"), RunKind::Trial, request, "ada").await.unwrap();
        center.upkeep.work(trial.clone()).await;
        let report = center.catalog.run(&trial.id).await.unwrap().unwrap().report.unwrap();
        assert_eq!((&report["orders"], &report["changed"], &report["rejected"]), (&json!(30), &json!(30), &json!(0)));
        assert_eq!(report["fields"].as_object().unwrap().keys().collect::<Vec<_>>(), ["/channel"], "{report:#}");
        assert_ne!(center.held(&order).await.unwrap().channel.as_deref(), Some("mended"), "a trial changes nothing");

        let promote = SourceChange { adapter: Some("woocommerce@9.1.0".into()), ..SourceChange::default() };
        center.catalog.update(&source("shop"), promote, false, "ada").await.unwrap();
        let _running = center.run_upkeep();
        until("the promotion is done", async || {
            center.catalog.last_success(&source("shop"), RunKind::Remap).await.unwrap().is_some()
        })
        .await;
        assert_eq!(center.held(&order).await.unwrap().channel.as_deref(), Some("mended"), "{}", world.name);
        let reads = shop.asked().iter().skip(asked).filter(|asked| asked.path.contains("/orders/")).count();
        assert_eq!(reads, 0, "what was stored was mapped anew, nothing was read again");
    }
}
