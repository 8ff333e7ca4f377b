//! The whole life of an order, forward and back.

use order_contract::{FulfillmentStatus, OrderStatus, PaymentStatus, ReturnStatus};
use serde_json::json;

use crate::shop::Shop;

fn states(order: &order_contract::OrderSnapshot) -> (&str, OrderStatus, PaymentStatus, FulfillmentStatus) {
    (&order.native.state, order.status, order.payment_status, order.fulfillment_status)
}

#[tokio::test]
async fn forward_in_two_parcels_and_two_payments_and_back_in_part() {
    let shop = Shop::open().await.stocked().await;
    let order = shop.create(json!([{ "sku": "A", "quantity": 4 }, { "sku": "B", "quantity": "2" }])).await;
    let id = order.source_order_id.to_string();
    assert_eq!(order.totals.total, "11.90".parse().unwrap());
    assert!(order.times.expires_at.is_some());
    use {FulfillmentStatus as F, OrderStatus as O, PaymentStatus as P};
    assert_eq!(states(&order), ("PENDING_PAYMENT", O::PendingPayment, P::Unpaid, F::Unfulfilled));

    let order = shop.done(&id, "pay", json!({ "amount": "1.90", "method": "voucher" })).await;
    assert_eq!(states(&order), ("PENDING_PAYMENT", O::PendingPayment, P::PartiallyPaid, F::Unfulfilled));
    let order = shop.done(&id, "pay", json!({})).await;
    assert_eq!(states(&order), ("PAID", O::Processing, P::Paid, F::Unfulfilled));
    assert_eq!(order.times.expires_at, None);
    let order = shop.done(&id, "modify", json!({ "shippingAddress": { "city": "Leeds", "countryCode": "GB" } })).await;
    assert_eq!(order.shipping_address.unwrap().city.unwrap(), "Leeds");
    let order = shop.done(&id, "produce", json!({})).await;
    assert_eq!(states(&order), ("PICKING", O::Processing, P::Paid, F::InProgress));
    let parcel = json!({ "lines": [{ "lineId": "1", "quantity": 3 }], "tracking": [{ "number": "RM1" }] });
    let order = shop.done(&id, "ship", parcel).await;
    assert_eq!(states(&order), ("PARTIALLY_SHIPPED", O::Processing, P::Paid, F::PartiallyShipped));
    let order = shop.done(&id, "deliver", json!({})).await;
    assert_eq!(states(&order), ("PARTIALLY_SHIPPED", O::Processing, P::Paid, F::PartiallyDelivered));
    let order = shop.done(&id, "ship", json!({})).await;
    assert_eq!(states(&order), ("SHIPPED", O::AwaitingConfirmation, P::Paid, F::PartiallyDelivered));
    let order = shop.done(&id, "deliver", json!({ "fulfillmentId": "s2" })).await;
    assert_eq!(states(&order), ("DELIVERED", O::AwaitingConfirmation, P::Paid, F::Delivered));
    shop.done(&id, "confirm", json!({})).await;
    let order = shop.done(&id, "complete", json!({})).await;
    assert_eq!(states(&order), ("COMPLETED", O::Completed, P::Paid, F::Delivered));
    assert!(order.times.completed_at >= order.times.delivered_at && order.times.delivered_at.is_some());

    let back = json!({ "lines": [{ "lineId": "1", "quantity": 1 }], "reason": "broken" });
    let order = shop.done(&id, "request_return", back).await;
    assert_eq!(order.return_status, ReturnStatus::Requested);
    let order = shop.done(&id, "receive_return", json!({ "disposition": "DAMAGED", "refund": true })).await;
    assert_eq!(order.return_status, ReturnStatus::PartiallyReturned);
    assert_eq!(order.totals.refunded, Some("2.50".parse().unwrap()));
    // 1.90 was paid with a voucher, so the refund goes to two payments.
    assert_eq!(order.refunds.len(), 2);
    assert_eq!(order.payment_status, PaymentStatus::PartiallyRefunded);
    shop.done(&id, "request_return", json!({})).await;
    let order = shop.done(&id, "receive_return", json!({ "refund": true })).await;
    assert_eq!((order.return_status, order.payment_status), (ReturnStatus::Returned, PaymentStatus::Refunded));
    assert_eq!(shop.order(&id).await, order);
    assert_eq!(order.version.get(), i64::try_from(order.events.len()).unwrap());
    shop.assert_balanced().await;
}

#[tokio::test]
async fn a_cancellation_gives_back_stock_and_money_and_says_so() {
    let shop = Shop::open().await.stocked().await;
    let id = shop.create(json!([{ "sku": "A", "quantity": 4 }])).await.source_order_id.to_string();
    shop.done(&id, "pay", json!({ "amount": "7" })).await;
    let reply = shop.act(&id, "cancel", json!({ "reason": "changed my mind" })).await.reply;
    let told: Vec<_> = reply.effects.iter().map(|e| (e.description.as_str(), e.reference.as_deref())).collect();
    let expected = [("4 × A released", "warehouse"), ("7 GBP given back (card)", "payment")];
    for ((description, reference), (expected, service)) in told.iter().zip(expected) {
        assert_eq!(*description, expected);
        assert!(reference.unwrap().starts_with(&format!("{service}/{id}/e3/")), "{reference:?}");
    }
    assert_eq!(told.len(), 2);
    let order = reply.order.unwrap();
    assert_eq!(states(&order).0, "CANCELED");
    assert_eq!((order.payment_status, order.totals.due), (PaymentStatus::Refunded, Some(0.into())));
    assert_eq!(order.cancel_reason.as_deref(), Some("changed my mind"));
    shop.assert_balanced().await;
}

#[tokio::test]
async fn free_goods_need_no_payment() {
    let shop = Shop::open().await.stocked().await;
    let order = shop.create(json!([{ "sku": "FREE", "quantity": 1 }])).await;
    assert_eq!((states(&order).0, order.payment_status), ("PAID", PaymentStatus::NotRequired));
}
