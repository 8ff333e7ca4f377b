//! The business line's tool against a platform: one live page as a table, and records without personal data.

use std::path::Path;
use std::process::Output;

use tokio::process::Command;

use super::shop::Shop;

async fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_order-center"))
        .arg("adapter")
        .args(arguments)
        .current_dir(folder)
        .env("CK", "ck_1")
        .env("CS", "cs_1")
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_is_tried_and_recorded_against_the_platform_itself() {
    let shop = Shop::start().await;
    for id in 1..=3 {
        shop.put(id, 1_699_990_000, "processing");
    }
    shop.orders.lock().unwrap().touch(2, |order| {
        order["billing"] =
            serde_json::json!({ "first_name": "Ada", "last_name": "Byron", "email": "ada@shop.example" });
    });
    let folder = tempfile::tempdir().unwrap();
    let adapter = folder.path().join("woocommerce");
    std::fs::create_dir_all(adapter.join("map")).unwrap();
    let origin = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters/woocommerce");
    for file in ["adapter.toml", "map/order.jq"] {
        std::fs::copy(origin.join(file), adapter.join(file)).unwrap();
    }
    let config = format!(
        "[[sources]]\nkey = \"shop\"\nadapter = \"woocommerce\"\nurl = \"{}\"\n\
         secrets = {{ consumer_key = \"env:CK\", consumer_secret = \"env:CS\" }}\n",
        shop.url
    );
    std::fs::write(folder.path().join("shop.toml"), config).unwrap();

    let (code, out, error) = run(folder.path(), &["try", "woocommerce", "--config", "shop.toml"]).await;
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("number") && out.ends_with("3 orders, 0 refused\n"), "{out}");
    assert_eq!(out.lines().filter(|line| line.contains("PROCESSING")).count(), 3, "{out}");
    let (code, out, _) = run(folder.path(), &["try", "woocommerce", "--config", "shop.toml", "--id", "2"]).await;
    assert!(code == Some(0) && out.ends_with("1 orders, 0 refused\n"), "{out}");
    let (code, _, error) = run(folder.path(), &["try", "woocommerce", "--config", "shop.toml", "--id", "99"]).await;
    assert!(code == Some(1) && error.contains("no order 99"), "{error}");

    let record = ["record", "woocommerce", "--config", "shop.toml", "--limit", "3"];
    let (code, out, error) = run(folder.path(), &record).await;
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("4 files written"), "three orders and the pages they came on: {out}");
    let kept = std::fs::read_to_string(adapter.join("fixtures/recorded-2.json")).unwrap();
    assert!(
        kept.contains("Xxx") && kept.contains("processing") && !kept.contains("Ada") && !kept.contains("ada@"),
        "{kept}"
    );
    let page = std::fs::read_to_string(adapter.join("cases/recorded-list.json")).unwrap();
    let case: serde_json::Value = serde_json::from_str(&page).unwrap();
    let mut ids: Vec<&str> = case["expect"]["ids"].as_array().unwrap().iter().filter_map(|id| id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "3"], "{page}");
    assert_eq!(case["answers"].as_array().unwrap().len(), 1);
    assert!(page.contains("x-wp-totalpages") && !page.contains("Ada") && !page.contains("ck_1"), "{page}");
    assert!(run(folder.path(), &record).await.1.starts_with("0 files written"), "what is there stays");
    // What was recorded becomes contract tests.
    assert_eq!(run(folder.path(), &["check", "woocommerce"]).await.0, Some(1));
    assert_eq!(run(folder.path(), &["check", "woocommerce", "--accept"]).await.0, Some(0));
    assert_eq!(run(folder.path(), &["check", "woocommerce"]).await.0, Some(0));
    assert_eq!(shop.writes(), 0);
}
