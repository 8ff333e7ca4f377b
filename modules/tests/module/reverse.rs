//! The way back: changing, calling off, refunding and returning, with everything that was moved moved back.

use chrono::TimeDelta;
use order_contract::{
    Amount, Disposition, EffectKind, EffectStatus, OrderSnapshot, PaymentStatus, RefundStatus, ReturnStatus,
};
use order_modules::Line;
use order_modules::service::{Command, CouponRule, Entry, PurchaseLimit, ServicePort};
use serde_json::{Value, json};

use crate::shop::{Hands, Shop};

fn coupon(code: &str) -> CouponRule {
    CouponRule {
        code: code.into(),
        title: format!("coupon {code}"),
        percent: None,
        amount: None,
        skus: Vec::new(),
        minimum: None,
        stackable: false,
        limit: None,
        limit_per_member: None,
        valid_from: None,
        valid_until: None,
    }
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

/// A shop with two products, coupons, a purchase limit and a member with points.
async fn store(hands: &Hands) -> Shop {
    let shop = Shop::of(Line::Retail, |config| {
        config.clock = hands.clock();
        config.pauses = (std::time::Duration::from_millis(1), std::time::Duration::from_millis(5));
    });
    let shop = shop.await.sells(&[("TEA", "10.00", 100), ("CUP", "25.00", 100), ("RARE", "99.00", 3)]).await;
    let services = shop.module.services();
    let coupons = [
        CouponRule { amount: Some(15.into()), minimum: Some(50.into()), ..coupon("FIFTEEN") },
        CouponRule { percent: Some(10.into()), limit: Some(1), ..coupon("FIRST") },
    ];
    services.put_coupons(&coupons).await.unwrap();
    services.put_limits(&[PurchaseLimit { sku: "RARE".into(), most: 2, period_seconds: 86_400 }]).await.unwrap();
    let command = Command::Earn { member: "ada".into(), points: 5000.into() };
    services.post(&Entry { key: "gift".into(), order: "gift".into(), command }).await.unwrap();
    shop
}

async fn place(shop: &Shop, input: Value) -> OrderSnapshot {
    let reply = shop.ask("/orders", &shop.key(), &json!({ "input": input })).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.reply.order.unwrap()
}

async fn refused(shop: &Shop, input: Value) -> (u16, String, Option<String>) {
    let reply = shop.ask("/orders", &shop.key(), &json!({ "input": input })).await;
    let error = reply.reply.error.unwrap_or_else(|| panic!("{}", reply.text));
    (reply.status.as_u16(), error.code, error.field)
}

async fn points(shop: &Shop) -> Amount {
    use order_modules::service::{Question, Service};
    let question = Question { member: Some("ada".into()), ..Question::default() };
    shop.module.services().facts(Service::Membership, &question).await.unwrap().member.unwrap().points
}

fn start() -> Hands {
    Hands::at("2026-02-01T10:00:00Z")
}

#[tokio::test]
async fn a_cancellation_gives_back_stock_coupon_points_and_money() {
    let shop = store(&start()).await;
    let input = json!({ "lines": [{ "sku": "CUP", "quantity": 2 }], "customer": { "id": "ada" }, "coupons": ["FIRST"],
        "shippingMethod": "STANDARD" });
    let order = place(&shop, input.clone()).await;
    assert_eq!(order.totals.total, amount("48.95"), "50.00 − 5.00 + 3.95");
    let id = order.source_order_id.to_string();
    assert_eq!(refused(&shop, input.clone()).await, (409, "COUPON_USED_UP".into(), Some("/coupons/0".into())));
    shop.done(&id, "pay", json!({ "method": "points", "amount": "20" })).await;
    assert_eq!(points(&shop).await, 3000.into());
    shop.done(&id, "pay", json!({ "capture": false, "amount": "10" })).await;
    shop.done(&id, "pay", json!({})).await;
    let reply = shop.act(&id, "cancel", json!({ "reason": "changed my mind" })).await.reply;
    let told: Vec<_> = reply.effects.iter().map(|e| (e.kind, e.status, e.description.as_str())).collect();
    assert_eq!(
        told,
        [
            (EffectKind::Stock, EffectStatus::Done, "2 × CUP released"),
            (EffectKind::Coupon, EffectStatus::Done, "FIRST can be used again"),
            (EffectKind::Payment, EffectStatus::Done, "10 GBP no longer held"),
            (EffectKind::Points, EffectStatus::Done, "2000 points given back for 20 GBP"),
            (EffectKind::Payment, EffectStatus::Done, "18.95 GBP given back (card)"),
        ]
    );
    assert!(reply.effects.iter().all(|e| e.reference.is_some()), "each with its ledger entry");
    assert_eq!(reply.order.unwrap().payment_status, PaymentStatus::Refunded);
    assert_eq!(points(&shop).await, 5000.into());
    place(&shop, input).await;
    shop.assert_balanced().await;
}

#[tokio::test]
async fn what_cannot_be_placed_is_refused_with_what_can() {
    let shop = store(&start()).await;
    let line = |sku: &str, n: i64| json!([{ "sku": sku, "quantity": n }]);
    for (input, expected) in [
        (json!({ "lines": line("TEA", 1), "coupons": ["NO"] }), (422, "COUPON_UNKNOWN", "/coupons/0")),
        (json!({ "lines": line("TEA", 1), "coupons": ["FIFTEEN"] }), (422, "COUPON_MINIMUM", "/coupons/0")),
        (
            json!({ "lines": line("CUP", 4), "coupons": ["FIFTEEN", "FIRST"] }),
            (422, "COUPON_NOT_STACKABLE", "/coupons/0"),
        ),
        (
            json!({ "lines": line("RARE", 3), "customer": { "id": "ada" } }),
            (409, "PURCHASE_LIMIT", "/lines/0/quantity"),
        ),
        (json!({ "lines": line("TEA", 101) }), (409, "OUT_OF_STOCK", "/lines/0/quantity")),
        (json!({ "lines": line("TEA", 1), "exchangeOf": "R999999" }), (422, "INVALID_INPUT", "/exchangeOf")),
        (json!({ "lines": line("TEA", 1), "coupon": "FIRST" }), (422, "INVALID_INPUT", "/coupon")),
    ] {
        let (status, code, field) = refused(&shop, input).await;
        assert_eq!((status, code.as_str(), field.as_deref().unwrap()), expected);
    }
    let rare = json!({ "lines": line("RARE", 2), "customer": { "id": "ada" } });
    let id = place(&shop, rare.clone()).await.source_order_id.to_string();
    assert_eq!(refused(&shop, rare.clone()).await.1, "PURCHASE_LIMIT");
    shop.done(&id, "cancel", json!({})).await;
    place(&shop, rare).await;
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_change_is_repriced_and_paid_or_given_back() {
    let shop = store(&start()).await;
    let input =
        json!({ "lines": [{ "sku": "TEA", "quantity": 3 }, { "sku": "CUP", "quantity": 1 }], "coupons": ["FIFTEEN"] });
    let order = place(&shop, input).await;
    let id = order.source_order_id.to_string();
    assert_eq!(order.totals.total, 40.into());
    shop.done(&id, "pay", json!({})).await;
    // One tea less: 45 is below the coupon's minimum, so it leaves the order and nothing is given back.
    let order = shop.done(&id, "modify", json!({ "lines": [{ "lineId": "1", "quantity": 2 }] })).await;
    assert_eq!((order.totals.total, order.coupons.len(), order.totals.due), (45.into(), 0, Some(5.into())));
    let error = shop.act(&id, "produce", json!({})).await.reply.error.unwrap();
    assert_eq!(error.blockers[0].code, "PAYMENT_DUE");
    shop.done(&id, "pay", json!({})).await;
    let reply = shop.act(
        &id,
        "modify",
        json!({ "lines": [{ "lineId": "2", "quantity": 0 }, { "sku": "RARE", "quantity": 1 }] }),
    );
    let order = reply.await.reply.order.unwrap();
    assert_eq!((order.lines.len(), order.totals.total, order.totals.due), (2, 119.into(), Some(74.into())));
    shop.done(&id, "pay", json!({})).await;
    let reply = shop.act(&id, "modify", json!({ "lines": [{ "lineId": "3", "quantity": 0 }] })).await.reply;
    let back: Amount = reply.effects.iter().filter(|e| e.kind == EffectKind::Payment).filter_map(|e| e.amount).sum();
    assert_eq!(back, 99.into());
    let order = reply.order.unwrap();
    assert_eq!((order.totals.total, order.totals.due), (20.into(), Some(0.into())));
    let error =
        shop.act(&id, "modify", json!({ "lines": [{ "sku": "RARE", "quantity": 9 }] })).await.reply.error.unwrap();
    assert_eq!(error.code, "OUT_OF_STOCK");
    shop.done(&id, "produce", json!({})).await;
    let error =
        shop.act(&id, "modify", json!({ "lines": [{ "lineId": "1", "quantity": 1 }] })).await.reply.error.unwrap();
    assert_eq!(error.code, "INVALID_INPUT", "what is picked is not changed any more");
    shop.assert_balanced().await;
}

async fn delivered(shop: &Shop, input: Value) -> String {
    let id = place(shop, input).await.source_order_id.to_string();
    for action in ["pay", "produce", "pack", "ship", "deliver"] {
        shop.done(&id, action, json!({})).await;
    }
    id
}

#[tokio::test]
async fn a_return_is_worth_what_the_kept_goods_would_not_have_cost() {
    let shop = store(&start()).await;
    let input = json!({ "lines": [{ "sku": "TEA", "quantity": 4 }, { "sku": "CUP", "quantity": 1 }],
        "coupons": ["FIFTEEN"], "customer": { "id": "ada" } });
    let id = delivered(&shop, input).await;
    let order = shop.done(&id, "complete", json!({})).await;
    assert_eq!(order.totals.total, 50.into());
    assert_eq!(points(&shop).await, 5050.into());
    // One tea back: 55 are kept, the coupon still holds, so the kept goods cost 40.
    shop.done(&id, "request_return", json!({ "lines": [{ "lineId": "1", "quantity": 3 }] })).await;
    let came = json!({ "refund": true, "lines": [{ "lineId": "1", "quantity": 1 }] });
    let order = shop.done(&id, "receive_return", came).await;
    assert_eq!(order.totals.refunded, Some(10.into()));
    assert_eq!(points(&shop).await, 5040.into());
    // The cup back, too: 30 are kept and the coupon's minimum is not reached, so they cost 30.
    shop.done(&id, "request_return", json!({ "lines": [{ "lineId": "2", "quantity": 1 }] })).await;
    let order = shop.done(&id, "receive_return", json!({ "refund": true, "disposition": "DAMAGED" })).await;
    assert_eq!(order.totals.refunded, Some(20.into()));
    assert_eq!(order.returns[1].lines[0].disposition, Some(Disposition::Damaged));
    assert_eq!(order.return_status, ReturnStatus::PartiallyReturned);
    let error = shop.act(&id, "refund", json!({ "amount": "30.01" })).await.reply.error.unwrap();
    assert_eq!((error.code.as_str(), error.message.contains("30")), ("REFUND_ABOVE_CAPTURED", true));
    shop.assert_balanced().await;
}

#[tokio::test]
async fn an_exchange_is_a_return_and_a_new_order() {
    let shop = store(&start()).await;
    let id = delivered(&shop, json!({ "lines": [{ "sku": "TEA", "quantity": 1 }] })).await;
    let new = json!({ "lines": [{ "sku": "CUP", "quantity": 1 }], "exchangeOf": id });
    assert_eq!(refused(&shop, new.clone()).await.2.as_deref(), Some("/exchangeOf"));
    shop.done(&id, "request_return", json!({ "reason": "I wanted a cup" })).await;
    let order = place(&shop, new).await;
    assert_eq!(order.relations[0].source_order_id.as_str(), id);
    shop.done(&id, "receive_return", json!({ "refund": true })).await;
    shop.assert_balanced().await;
}

#[tokio::test]
async fn time_confirms_closes_and_ends_returns() {
    let hands = start();
    let shop = store(&hands).await;
    let id = delivered(&shop, json!({ "lines": [{ "sku": "TEA", "quantity": 1 }] })).await;
    hands.forward(TimeDelta::days(14) + TimeDelta::minutes(1));
    shop.module.sweep_once().await.unwrap();
    assert_eq!(shop.order(&id).await.native.state, "CONFIRMED");
    shop.done(&id, "complete", json!({})).await;
    hands.forward(TimeDelta::days(16));
    let told = shop.actions(&id).await.actions;
    let blocked = told.iter().find(|a| a.name.as_str() == "request_return").unwrap();
    assert_eq!(blocked.blockers[0].code, "RETURN_WINDOW_CLOSED", "told without anything having changed");
    let error = shop.act(&id, "request_return", json!({})).await.reply.error.unwrap();
    assert_eq!(error.blockers[0].code, "RETURN_WINDOW_CLOSED");
    shop.module.sweep_once().await.unwrap();
    assert_eq!(shop.order(&id).await.native.state, "CLOSED");
    shop.assert_balanced().await;
}

#[tokio::test]
async fn money_is_held_captured_and_needed_before_goods_leave() {
    let shop = store(&start()).await;
    let id = place(&shop, json!({ "lines": [{ "sku": "TEA", "quantity": 1 }] })).await.source_order_id.to_string();
    let order = shop.done(&id, "pay", json!({ "capture": false })).await;
    assert_eq!((order.native.state.as_str(), order.payment_status), ("PAID", PaymentStatus::Authorized));
    shop.done(&id, "produce", json!({})).await;
    let error = shop.act(&id, "ship", json!({})).await.reply.error.unwrap();
    assert_eq!(error.blockers[0].code, "PAYMENT_NOT_CAPTURED");
    let order = shop.done(&id, "capture", json!({})).await;
    assert_eq!((order.payment_status, order.totals.captured), (PaymentStatus::Paid, Some(10.into())));
    shop.done(&id, "ship", json!({})).await;
    shop.assert_balanced().await;
}

#[tokio::test]
async fn what_is_held_is_captured_only_as_far_as_the_order_still_costs_it() {
    let shop = store(&start()).await;
    let id = place(&shop, json!({ "lines": [{ "sku": "TEA", "quantity": 3 }] })).await.source_order_id.to_string();
    shop.done(&id, "pay", json!({ "capture": false })).await;
    shop.done(&id, "modify", json!({ "lines": [{ "lineId": "1", "quantity": 2 }] })).await;
    let reply = shop.act(&id, "capture", json!({})).await.reply;
    let told: Vec<_> = reply.effects.iter().map(|e| e.description.as_str()).collect();
    assert_eq!(told, ["20 GBP captured", "10 GBP no longer held"]);
    assert_eq!(reply.order.unwrap().payment_status, PaymentStatus::Paid);
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_bank_that_declines_is_late_or_silent_charges_once_or_not_at_all() {
    let shop = store(&start()).await;
    let tea = json!({ "lines": [{ "sku": "TEA", "quantity": 1 }] });
    let id = place(&shop, tea.clone()).await.source_order_id.to_string();
    let before = shop.order(&id).await;
    let error = shop.act(&id, "pay", json!({ "token": "tok_decline" })).await.reply.error.unwrap();
    assert_eq!(error.code, "PAYMENT_DECLINED");
    assert_eq!(shop.order(&id).await, before, "a refusal changes nothing");
    for token in ["tok_timeout", "tok_late"] {
        let id = place(&shop, tea.clone()).await.source_order_id.to_string();
        let order = shop.done(&id, "pay", json!({ "token": token })).await;
        assert_eq!((order.native.state.as_str(), order.payments.len()), ("PAID", 1), "{token}");
        shop.assert_agrees(&order).await;
    }
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_refund_on_its_way_is_pending_until_the_bank_is_done() {
    let hands = start();
    let shop = store(&hands).await;
    let id = place(&shop, json!({ "lines": [{ "sku": "TEA", "quantity": 1 }] })).await.source_order_id.to_string();
    shop.done(&id, "pay", json!({ "token": "tok_slow_refund" })).await;
    let reply = shop.act(&id, "cancel", json!({})).await.reply;
    let refund = reply.effects.iter().find(|e| e.kind == EffectKind::Payment).unwrap();
    assert_eq!(refund.status, EffectStatus::Pending);
    let order = reply.order.unwrap();
    assert_eq!((order.refunds[0].status, order.totals.refunded), (RefundStatus::Pending, Some(0.into())));
    hands.forward(TimeDelta::minutes(1));
    shop.module.sweep_once().await.unwrap();
    hands.forward(TimeDelta::minutes(1));
    shop.module.sweep_once().await.unwrap();
    let order = shop.order(&id).await;
    assert_eq!((order.refunds[0].status, order.totals.refunded), (RefundStatus::Succeeded, Some(10.into())));
    assert_eq!(order.payment_status, PaymentStatus::Refunded);
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_refund_of_lines_and_of_delivery_goes_back_over_several_payments() {
    let shop = store(&start()).await;
    let input = json!({ "lines": [{ "sku": "TEA", "quantity": 2 }], "shippingMethod": "EXPRESS" });
    let id = place(&shop, input).await.source_order_id.to_string();
    shop.done(&id, "pay", json!({ "amount": "12", "method": "gift_card" })).await;
    shop.done(&id, "pay", json!({})).await;
    let order =
        shop.done(&id, "refund", json!({ "lines": [{ "lineId": "1", "quantity": 1 }], "shipping": true })).await;
    let parts: Vec<_> = order.refunds.iter().map(|r| (r.payment_id.as_deref().unwrap(), r.amount)).collect();
    assert_eq!(parts, [("p1", 12.into()), ("p2", amount("7.95"))], "10.00 of goods and 9.95 of delivery");
    assert_eq!(order.refunds[0].shipping, Some(amount("9.95")));
    assert_eq!(order.lines[0].quantity.refunded, 1.into());
    shop.assert_balanced().await;
}
