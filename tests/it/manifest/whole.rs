//! A platform behind an adapter in a whole center: polled, read again, asked to act, on both databases.

use std::sync::Arc;

use order_center::operation::OperationState;
use order_center::source::Source;
use order_contract::{OrderId, OrderStatus, SourceOrderId};
use serde_json::json;

use super::shop::{Fault, Shop, woocommerce};
use crate::center::{Center, intent, nothing, until};
use crate::world::{databases, source, sqlite};

fn plugged(shop: &Shop) -> Source {
    plugged_with(shop, &[])
}

fn plugged_with(shop: &Shop, changes: &[(&str, &str)]) -> Source {
    let port = Arc::new(shop.source_with(&woocommerce(changes), |_| ()));
    Source { key: source("shop"), title: "Shop".into(), adapter: "woocommerce".into(), mapping: String::new(), port }
}

fn order(id: &str) -> OrderId {
    OrderId::new(source("shop"), SourceOrderId::try_new(id).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_polled_and_a_bad_one_costs_only_itself() {
    for world in databases().await {
        let shop = Shop::start().await;
        for id in 1..=120 {
            shop.put(id, 1_699_990_000 + id as i64 / 60, "processing");
        }
        shop.orders.lock().unwrap().touch(60, |order| order["total"] = json!({ "amount": 20 }));
        let center = Center::new(&world.database, [plugged(&shop)]);
        let report = center.ingest.poll(&source("shop")).await.unwrap();
        assert!(report.complete && report.quarantined >= 1, "{}: {report:?}", world.name);
        let held = center.held(&order("7")).await.unwrap();
        assert_eq!((held.status, held.totals.total), (OrderStatus::Processing, "20.00".parse().unwrap()));
        assert_eq!(center.held(&order("60")).await, None);
        let rows = world.database.fetch_all("select count(*) from orders", &[]).await.unwrap();
        assert_eq!(rows[0].int(0).unwrap(), 119);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_list_does_not_show_is_found_by_reading_again() {
    let world = sqlite().await;
    let shop = Shop::start().await;
    shop.put(1, 1_699_990_000, "processing");
    shop.put(2, 1_699_990_000, "processing");
    shop.put(3, 1_699_990_000, "processing");
    let blind =
        "[reread]\nwhy = \"a plugin writes past WooCommerce\"\nevery = \"60s\"\nfingerprint = \".status\"\n\n[webhook]";
    let center = Center::new(&world.database, [plugged_with(&shop, &[("[webhook]", blind)])]);
    let key = source("shop");
    center.ingest.poll(&key).await.unwrap();
    {
        // Neither change moves the time of change.
        let mut orders = shop.orders.lock().unwrap();
        orders.by_id.get_mut(&1).unwrap().1["status"] = json!("completed");
        orders.by_id.get_mut(&2).unwrap().1["customer_note"] = json!("not of the fingerprint");
        orders.by_id.remove(&3);
    }
    center.ingest.poll(&key).await.unwrap();
    assert_eq!(center.held(&order("1")).await.unwrap().status, OrderStatus::Processing, "the list shows nothing");
    let ids: Vec<SourceOrderId> = ["1", "2", "3"].map(|id| SourceOrderId::try_new(id).unwrap()).into();
    assert_eq!(center.ingest.reread(&key, &ids).await.unwrap(), 1);
    assert_eq!(center.held(&order("1")).await.unwrap().status, OrderStatus::Completed);
    assert_eq!(center.held(&order("3")).await, None, "the shop no longer has it");
    assert_eq!(center.ingest.reread(&key, &ids[..2]).await.unwrap(), 0, "nothing changed since");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_whose_answer_is_lost_ends_in_what_the_order_shows() {
    for world in databases().await {
        let shop = Shop::start().await;
        shop.put(7, 1_699_990_000, "processing");
        let center = Center::new(&world.database, [plugged(&shop)]);
        center.ingest.poll(&source("shop")).await.unwrap();

        shop.plan(
            |asked, _| if asked.method == "GET" { Fault::None } else { Fault::After(502, vec![], String::new()) },
        );
        let refund = intent(&order("7"), "r1", "refund", json!({ "amount": "5.00" }));
        let operation = center.operations.perform(refund.clone()).await.unwrap();
        assert_eq!(operation.state, OperationState::Succeeded, "{}: {:?}", world.name, operation.error);
        assert_eq!(
            center.operations.perform(refund).await.unwrap().id,
            operation.id,
            "the same ask has the same answer"
        );
        assert_eq!(shop.order(7)["refunds"].as_array().unwrap().len(), 1);
        assert_eq!(center.held(&order("7")).await.unwrap().refunds.len(), 1);

        // Nothing shows that this one was done, and nothing that it was not.
        shop.plan(
            |asked, _| if asked.method == "GET" { Fault::None } else { Fault::Instead(502, vec![], String::new()) },
        );
        let doubtful =
            center.operations.perform(intent(&order("7"), "r2", "refund", json!({ "amount": "5.00" }))).await.unwrap();
        assert_eq!(doubtful.state, OperationState::Unknown);
        assert_eq!(shop.writes(), 2, "never asked twice");

        // What is harmless twice is asked until it is done.
        let cancel = intent(&order("7"), "c1", "cancel", nothing());
        let mut refusals = 0;
        shop.plan(move |asked, _| {
            refusals += usize::from(asked.method != "GET");
            if asked.method != "GET" && refusals < 3 { Fault::Instead(502, vec![], String::new()) } else { Fault::None }
        });
        let operation = center.operations.perform(cancel).await.unwrap();
        assert_eq!(operation.state, OperationState::Succeeded, "{:?}", operation.error);
        until("the index shows it", || async {
            center.held(&order("7")).await.unwrap().status == OrderStatus::Canceled
        })
        .await;
    }
}
