//! Asking twice, asking late, asking at once.

use futures_util::future::join_all;
use order_contract::protocol::{ActionReply, Outcome};
use serde_json::json;

use crate::shop::Shop;

#[tokio::test]
async fn one_key_is_one_effect_and_one_answer_also_after_a_restart() {
    let shop = Shop::open().await.stocked().await;
    let body = json!({ "input": { "lines": [{ "sku": "A", "quantity": 2 }], "channel": "web" } });
    let first = shop.ask("/orders", "k1", &body).await;
    let id = first.reply.order.unwrap().source_order_id.to_string();
    // The order of JSON's fields is not part of the input.
    let same = json!({ "input": { "channel": "web", "lines": [{ "quantity": 2, "sku": "A" }] }, "actor": "another" });
    let again = shop.ask("/orders", "k1", &same).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));

    let cancel = format!("/orders/{id}/actions/cancel");
    let refused = shop.ask(&format!("/orders/{id}/actions/ship"), "k2", &json!({})).await;
    assert_eq!(refused.status, 409);
    let shop = shop.restart().await;
    let again = shop.ask(&format!("/orders/{id}/actions/ship"), "k2", &json!({})).await;
    assert_eq!((again.status, &again.text), (refused.status, &refused.text), "a refusal is remembered, too");
    let again = shop.ask("/orders", "k1", &body).await;
    assert_eq!(again.text, first.text);
    let stored = shop.get("/operations/k1").await;
    assert_eq!((stored.status().as_u16(), stored.text().await.unwrap()), (200, first.text));

    for (path, body) in [
        ("/orders", json!({ "input": { "lines": [{ "sku": "A", "quantity": 3 }], "channel": "web" } })),
        (cancel.as_str(), body.clone()),
        ("/orders/other/actions/ship", json!({})),
    ] {
        let other = shop.ask(path, "k1", &body).await;
        assert_eq!(other.status, 422);
        assert_eq!(other.reply.error.unwrap().code, "IDEMPOTENCY_KEY_MISMATCH");
    }
    assert_eq!(shop.get("/operations/never").await.status(), 404);
    assert_eq!(shop.list("").await.orders.len(), 2, "the imported order and this one");
    shop.assert_balanced().await;
}

#[tokio::test]
async fn the_same_key_at_the_same_time_is_still_one_effect() {
    let shop = Shop::open().await.stocked().await;
    let body = json!({ "input": { "lines": [{ "sku": "A", "quantity": 1 }] } });
    let replies = join_all((0..20).map(|_| shop.ask("/orders", "same", &body))).await;
    assert!(replies.iter().all(|r| r.status == 200 && r.text == replies[0].text));
    assert_eq!(shop.list("").await.orders.len(), 2);
}

#[tokio::test]
async fn an_old_version_is_told_the_current_one() {
    let shop = Shop::open().await.stocked().await;
    let order = shop.create(json!([{ "sku": "A", "quantity": 1 }])).await;
    let id = order.source_order_id.to_string();
    let paid = shop.done(&id, "pay", json!({})).await;
    let late = json!({ "expectedVersion": order.version });
    let reply = shop.ask(&format!("/orders/{id}/actions/cancel"), "late", &late).await;
    assert_eq!(reply.status, 409);
    let error = reply.reply.error.unwrap();
    assert_eq!((error.code.as_str(), error.current_version), ("VERSION_CONFLICT", Some(paid.version)));
    assert_eq!(shop.order(&id).await, paid);
}

#[tokio::test]
async fn of_cancel_and_ship_exactly_one_wins() {
    let shop = Shop::open().await.stocked().await;
    for _ in 0..20 {
        let id = shop.create(json!([{ "sku": "A", "quantity": 1 }])).await.source_order_id.to_string();
        shop.done(&id, "pay", json!({})).await;
        shop.done(&id, "produce", json!({})).await;
        let (cancel, ship) = tokio::join!(shop.act(&id, "cancel", json!({})), shop.act(&id, "ship", json!({})));
        let mut statuses = [cancel.status.as_u16(), ship.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        let won = if cancel.status == 200 { "CANCELED" } else { "SHIPPED" };
        assert_eq!(shop.order(&id).await.native.state, won);
    }
    shop.assert_balanced().await;
}

#[tokio::test]
async fn the_last_pieces_are_sold_once() {
    let shop = Shop::open().await.stocked().await;
    let input =
        json!({ "input": { "lines": [{ "sku": "SCARCE", "quantity": 60 }, { "sku": "SCARCE", "quantity": 40 }] } });
    let replies = join_all((0..30).map(|_| async { shop.ask("/orders", &shop.key(), &input).await })).await;
    let (sold, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|r| r.status == 200);
    assert_eq!((sold.len(), refused.len()), (10, 20));
    for refusal in refused {
        assert_eq!(refusal.status, 409);
        let error = refusal.reply.error.unwrap();
        assert_eq!(error.code, "OUT_OF_STOCK");
        assert!(error.message.contains(" 0 left"), "{}", error.message);
    }
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_dry_run_of_creation_reserves_nothing_and_keeps_no_key() {
    let shop = Shop::open().await.stocked().await;
    let body = json!({ "dryRun": true, "input": { "lines": [{ "sku": "SCARCE", "quantity": 1000 }] } });
    for _ in 0..2 {
        let reply: ActionReply = shop.post("/orders", Some("dry"), &body).await.json().await.unwrap();
        assert_eq!(reply.outcome, Outcome::Applied);
        assert_eq!(reply.order.unwrap().totals.total, 10_000.into());
    }
    assert_eq!(shop.get("/operations/dry").await.status(), 404);
    shop.create(json!([{ "sku": "SCARCE", "quantity": 1000 }])).await;
    shop.assert_balanced().await;
}

#[tokio::test]
async fn every_refusal_says_where_and_what_is_possible() {
    let shop = Shop::open().await.stocked().await;
    let line = |quantity| json!({ "lines": [{ "sku": "A", "quantity": quantity }] });
    for (input, code, field) in [
        (json!({}), "INVALID_INPUT", None),
        (json!({ "lines": [] }), "INVALID_INPUT", Some("/lines")),
        (json!({ "lines": [{ "sku": "Z", "quantity": 1 }] }), "UNKNOWN_SKU", Some("/lines/0/sku")),
        (line(json!("1.5")), "INVALID_INPUT", Some("/lines/0/quantity")),
        (line(json!(-1)), "INVALID_INPUT", Some("/lines/0/quantity")),
        (line(json!(1.5)), "INVALID_INPUT", Some("/lines/0/quantity")),
        (json!({ "lines": [{ "sku": "A", "quantity": 1, "price": "0" }] }), "INVALID_INPUT", Some("/lines/0/price")),
        (line(json!(1001)), "OUT_OF_STOCK", Some("/lines/0/quantity")),
    ] {
        let reply = shop.ask("/orders", &shop.key(), &json!({ "input": input })).await;
        let error = reply.reply.error.unwrap();
        assert_eq!((error.code.as_str(), error.field.as_deref()), (code, field), "{input}");
        assert_eq!(reply.status, if code == "OUT_OF_STOCK" { 409 } else { 422 });
    }
    let id = shop.create(json!([{ "sku": "A", "quantity": 2 }])).await.source_order_id.to_string();
    for (action, input, status, code, field) in [
        ("pay", json!({ "amount": "5.01" }), 422, "AMOUNT_ABOVE_DUE", Some("/amount")),
        ("pay", json!({ "amount": 0 }), 422, "INVALID_INPUT", Some("/amount")),
        ("pay", json!({ "amount": 1.5 }), 422, "INVALID_INPUT", Some("/amount")),
        ("expire", json!({}), 422, "UNKNOWN_ACTION", None),
        ("create", json!({}), 422, "UNKNOWN_ACTION", None),
        ("teleport", json!({}), 422, "UNKNOWN_ACTION", None),
        ("ship", json!({}), 409, "ACTION_NOT_ALLOWED", None),
    ] {
        let reply = shop.act(&id, action, input).await;
        let error = reply.reply.error.unwrap();
        assert_eq!((reply.status.as_u16(), error.code.as_str(), error.field.as_deref()), (status, code, field));
    }
    let error = shop.act(&id, "ship", json!({})).await.reply.error.unwrap();
    assert_eq!(error.blockers[0].code, "STATE_NOT_ALLOWED");
    assert!(error.message.ends_with("Possible now: pay, modify, cancel."), "{}", error.message);
    let missing = shop.act("nothing", "pay", json!({})).await;
    assert_eq!((missing.status.as_u16(), missing.reply.error.unwrap().code.as_str()), (422, "ORDER_NOT_FOUND"));

    for action in ["pay", "produce", "ship", "deliver"] {
        shop.done(&id, action, json!({})).await;
    }
    for (action, input, code, field) in [
        ("refund", json!({ "amount": "5.01" }), "REFUND_ABOVE_CAPTURED", "/amount"),
        ("refund", json!({ "lines": [{ "lineId": "9", "quantity": 1 }] }), "INVALID_INPUT", "/lines/0/lineId"),
        (
            "request_return",
            json!({ "lines": [{ "lineId": "1", "quantity": 3 }] }),
            "QUANTITY_ABOVE_REMAINING",
            "/lines/0/quantity",
        ),
        ("request_return", json!({ "returnId": " " }), "INVALID_INPUT", "/returnId"),
    ] {
        let error = shop.act(&id, action, input).await.reply.error.unwrap();
        assert_eq!((error.code.as_str(), error.field.as_deref()), (code, Some(field)));
    }
    shop.done(&id, "request_return", json!({ "returnId": "C1" })).await;
    let error = shop.act(&id, "receive_return", json!({ "disposition": "DISCARDED" })).await.reply.error.unwrap();
    assert_eq!(error.field.as_deref(), Some("/disposition"));
    let error = shop.act(&id, "complete", json!({})).await.reply.error.unwrap();
    assert_eq!(error.blockers[0].code, "RETURN_OPEN");
    shop.assert_balanced().await;
}
