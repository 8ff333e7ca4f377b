//! Licence codes: paid and there, given back while nobody claimed them, never sold twice.

use order_contract::{EffectStatus, FulfillmentStatus, OrderStatus, PaymentStatus};
use order_modules::Line;
use serde_json::json;

use crate::shop::Shop;

async fn kiosk(codes: usize) -> Shop {
    Shop::of(Line::Digital, |_| ()).await.licences("GAME", "20.00", codes).await
}

#[tokio::test]
async fn paid_is_fulfilled_at_once_and_claimed_once() {
    let shop = kiosk(5).await;
    let order = shop.create(json!([{ "sku": "GAME", "quantity": 2 }])).await;
    let id = order.source_order_id.to_string();
    assert_eq!(order.status, OrderStatus::PendingPayment);
    let reply = shop.act(&id, "pay", json!({})).await.reply;
    let told: Vec<_> = reply.effects.iter().map(|e| e.description.as_str()).collect();
    assert_eq!(told, ["40 GBP taken", "2 × GAME allocated"]);
    let order = reply.order.unwrap();
    assert_eq!((order.native.state.as_str(), order.fulfillment_status), ("FULFILLED", FulfillmentStatus::Delivered));
    assert_eq!(order.details["codes"][0], json!({ "sku": "GAME", "endsWith": "-KEY" }), "an order shows no code");

    let reply = shop.act(&id, "claim", json!({ "lines": [{ "lineId": "1", "quantity": 1 }] })).await.reply;
    assert_eq!(reply.effects[0].description, "1 × GAME claimed: GAME-0000-KEY");
    assert_eq!(reply.order.unwrap().native.state, "FULFILLED");
    let refused = shop.act(&id, "refund", json!({ "lines": [{ "lineId": "1", "quantity": 2 }] })).await;
    assert_eq!(refused.reply.error.unwrap().code, "QUANTITY_ABOVE_REMAINING");
    let order = shop.done(&id, "refund", json!({})).await;
    assert_eq!(order.totals.refunded, Some(20.into()), "of the other one");
    assert_eq!(order.payment_status, PaymentStatus::PartiallyRefunded);
    let error = shop.act(&id, "refund", json!({})).await.reply.error.unwrap();
    assert_eq!(error.blockers[0].code, "NOTHING_UNCLAIMED");
    let returned = shop.act(&id, "request_return", json!({})).await.reply.error.unwrap();
    assert_eq!(returned.code, "UNKNOWN_ACTION", "there are no returns of codes");
    shop.assert_balanced().await;
}

#[tokio::test]
async fn what_nobody_claimed_is_given_back_and_sold_again() {
    let shop = kiosk(1).await;
    let id = shop.create(json!([{ "sku": "GAME", "quantity": 1 }])).await.source_order_id.to_string();
    shop.done(&id, "pay", json!({})).await;
    let order = shop.done(&id, "refund", json!({ "reason": "bought the wrong one" })).await;
    assert_eq!((order.native.state.as_str(), order.payment_status), ("REFUNDED", PaymentStatus::Refunded));
    let next = shop.create(json!([{ "sku": "GAME", "quantity": 1 }])).await.source_order_id.to_string();
    assert_eq!(shop.done(&next, "pay", json!({})).await.native.state, "FULFILLED");
    shop.assert_balanced().await;
}

#[tokio::test]
async fn of_two_payments_for_the_last_code_one_is_fulfilled_and_the_other_refunded_in_full() {
    let shop = kiosk(1).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(shop.create(json!([{ "sku": "GAME", "quantity": 1 }])).await.source_order_id.to_string());
    }
    let (a, b) = tokio::join!(shop.act(&ids[0], "pay", json!({})), shop.act(&ids[1], "pay", json!({})));
    let mut states = Vec::new();
    for reply in [a, b] {
        assert_eq!(reply.status, 200, "{}", reply.text);
        let order = reply.reply.order.unwrap();
        if order.native.state == "SOLD_OUT" {
            assert_eq!((order.status, order.payment_status), (OrderStatus::Canceled, PaymentStatus::Refunded));
            let told: Vec<_> = reply.reply.effects.iter().map(|e| (e.status, e.description.as_str())).collect();
            assert_eq!(told[0], (EffectStatus::Done, "20 GBP taken"));
            assert_eq!(told[1].0, EffectStatus::Failed, "{told:?}");
            assert_eq!(told[2], (EffectStatus::Done, "20 GBP given back (card)"));
        }
        states.push(order.native.state);
    }
    states.sort();
    assert_eq!(states, ["FULFILLED", "SOLD_OUT"]);
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_held_order_is_fulfilled_when_someone_has_looked_at_it() {
    let shop = kiosk(20).await;
    shop.module.services().set_review_from(Some(100.into())).await.unwrap();
    let order = shop.create(json!([{ "sku": "GAME", "quantity": 5 }])).await;
    assert_eq!(order.holds[0].code, "MANUAL_REVIEW");
    let id = order.source_order_id.to_string();
    let order = shop.done(&id, "pay", json!({})).await;
    assert_eq!(order.native.state, "PAID", "paid and held");
    let order = shop.done(&id, "review", json!({})).await;
    assert_eq!((order.native.state.as_str(), order.holds.len()), ("FULFILLED", 0));
    shop.assert_balanced().await;
}
