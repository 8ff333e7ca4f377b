//! Slots: asked for, accepted, moved, called off early or late, used or not.

use chrono::TimeDelta;
use order_contract::{OrderStatus, PaymentStatus};
use order_modules::Line;
use serde_json::json;

use crate::shop::{Hands, Shop};

async fn hall(hands: &Hands) -> Shop {
    let shop = Shop::of(Line::Booking, |config| config.clock = hands.clock()).await;
    let day = TimeDelta::days(1);
    let shop = shop.slot("MON-10", "100.00", 4, hands.now() + day * 3).await;
    let shop = shop.slot("TUE-10", "140.00", 2, hands.now() + day * 4).await;
    shop.slot("WED-10", "60.00", 4, hands.now() + day * 5).await
}

#[tokio::test]
async fn deposit_acceptance_balance_and_the_day() {
    let hands = Hands::at("2026-05-01T09:00:00Z");
    let shop = hall(&hands).await;
    let order = shop.create(json!([{ "sku": "MON-10", "quantity": 2 }])).await;
    let id = order.source_order_id.to_string();
    let order = shop.done(&id, "pay", json!({})).await;
    assert_eq!((order.native.state.as_str(), order.status), ("REQUESTED", OrderStatus::PendingAcceptance));
    assert_eq!((order.totals.captured, order.payment_status), (Some(60.into()), PaymentStatus::PartiallyPaid));
    shop.done(&id, "confirm", json!({})).await;
    let error = shop.act(&id, "complete", json!({})).await.reply.error.unwrap();
    let codes: Vec<_> = error.blockers.iter().map(|b| b.code.as_str()).collect();
    assert_eq!(codes, ["SLOT_NOT_OVER", "PAYMENT_NOT_CAPTURED"]);
    let order = shop.done(&id, "pay", json!({})).await;
    assert_eq!(order.payment_status, PaymentStatus::Paid);
    hands.forward(TimeDelta::days(3) + TimeDelta::hours(4));
    shop.module.sweep_once().await.unwrap();
    let order = shop.order(&id).await;
    assert_eq!((order.native.state.as_str(), order.status), ("COMPLETED", OrderStatus::Completed));
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_move_to_another_slot_is_paid_or_given_back_and_a_full_one_is_refused() {
    let hands = Hands::at("2026-05-01T09:00:00Z");
    let shop = hall(&hands).await;
    let id = shop.create(json!([{ "sku": "MON-10", "quantity": 2 }])).await.source_order_id.to_string();
    shop.done(&id, "pay", json!({ "amount": "200" })).await;
    let order = shop.done(&id, "modify", json!({ "slot": "TUE-10" })).await;
    assert_eq!((order.totals.total, order.totals.due), (280.into(), Some(80.into())));
    let order = shop.done(&id, "pay", json!({})).await;
    assert_eq!(order.totals.due, Some(0.into()));
    let reply = shop.act(&id, "modify", json!({ "slot": "WED-10" })).await.reply;
    let told: Vec<_> = reply.effects.iter().map(|e| e.description.as_str()).collect();
    assert_eq!(told, ["2 × WED-10 reserved", "2 × TUE-10 released", "160 GBP given back (card)"]);
    assert_eq!(reply.order.unwrap().totals.refunded, Some(160.into()));

    let other = shop.create(json!([{ "sku": "TUE-10", "quantity": 1 }])).await.source_order_id.to_string();
    shop.done(&other, "pay", json!({})).await;
    let before = shop.order(&id).await;
    let error = shop.act(&id, "modify", json!({ "slot": "TUE-10" })).await.reply.error.unwrap();
    assert_eq!((error.code.as_str(), error.field.as_deref()), ("SLOT_FULL", Some("/slot")));
    assert!(error.message.contains("1 free places"), "{}", error.message);
    assert_eq!(shop.order(&id).await, before);
    shop.assert_balanced().await;
}

#[tokio::test]
async fn the_fee_of_calling_off_depends_on_the_notice() {
    for (hours_before, fee) in [(72, 0), (40, 50), (2, 100)] {
        let hands = Hands::at("2026-05-01T09:00:00Z");
        let shop = hall(&hands).await;
        let id = shop.create(json!([{ "sku": "MON-10", "quantity": 1 }])).await.source_order_id.to_string();
        shop.done(&id, "pay", json!({ "amount": "100" })).await;
        shop.done(&id, "confirm", json!({})).await;
        hands.forward(TimeDelta::hours(72 - hours_before));
        let order = shop.done(&id, "cancel", json!({})).await;
        assert_eq!(order.totals.refunded, Some((100 - fee).into()), "{hours_before} h before");
        let told = order.details.get("cancellationFee").and_then(|fee| fee.as_str());
        assert_eq!(told, (fee > 0).then(|| fee.to_string()).as_deref());
        assert_eq!(order.native.state, "CANCELED");
        shop.assert_balanced().await;
    }
}

#[tokio::test]
async fn declined_lapsed_and_not_come() {
    let hands = Hands::at("2026-05-01T09:00:00Z");
    let shop = hall(&hands).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = shop.create(json!([{ "sku": "MON-10", "quantity": 1 }])).await.source_order_id.to_string();
        shop.done(&id, "pay", json!({ "amount": "100" })).await;
        ids.push(id);
    }
    let declined = shop.done(&ids[0], "decline", json!({ "reason": "closed that day" })).await;
    assert_eq!((declined.native.state.as_str(), declined.payment_status), ("DECLINED", PaymentStatus::Refunded));
    shop.done(&ids[1], "confirm", json!({})).await;
    let early = shop.act(&ids[1], "no_show", json!({})).await.reply.error.unwrap();
    assert_eq!(early.blockers[0].code, "SLOT_NOT_STARTED");
    hands.forward(TimeDelta::hours(25));
    shop.module.sweep_once().await.unwrap();
    let lapsed = shop.order(&ids[2]).await;
    assert_eq!((lapsed.status, lapsed.totals.refunded), (OrderStatus::Expired, Some(100.into())));
    hands.forward(TimeDelta::hours(48));
    let missed = shop.done(&ids[1], "no_show", json!({})).await;
    assert_eq!((missed.native.state.as_str(), missed.totals.refunded), ("NO_SHOW", Some(0.into())));
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_slot_that_began_or_is_none_cannot_be_booked() {
    let hands = Hands::at("2026-05-01T09:00:00Z");
    let shop = hall(&hands).await.sells(&[("CHAIR", "5", 9)]).await;
    let ask = async |lines| {
        let body = json!({ "input": { "lines": lines } });
        shop.ask("/orders", &shop.key(), &body).await.reply.error.unwrap().code
    };
    assert_eq!(ask(json!([{ "sku": "CHAIR", "quantity": 1 }])).await, "INVALID_INPUT");
    assert_eq!(
        ask(json!([{ "sku": "MON-10", "quantity": 1 }, { "sku": "TUE-10", "quantity": 1 }])).await,
        "INVALID_INPUT"
    );
    assert_eq!(ask(json!([{ "sku": "TUE-10", "quantity": 3 }])).await, "SLOT_FULL");
    hands.forward(TimeDelta::days(3));
    assert_eq!(ask(json!([{ "sku": "MON-10", "quantity": 1 }])).await, "SLOT_STARTED");
    shop.assert_balanced().await;
}
