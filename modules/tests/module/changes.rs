//! How others learn what changed: the list, the webhooks, the clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use bytes::Bytes;
use order_contract::protocol::CloudEvent;
use order_contract::{OrderStatus, PaymentStatus};
use order_modules::{Retry, WebhookTarget};
use serde_json::json;
use tokio::net::TcpListener;

use crate::shop::{Shop, sound};

/// Reads all changes of `[from, now)` in small pages, as a center does, and answers where the next reading begins.
async fn read(shop: &Shop, from: &str, seen: &mut BTreeMap<String, i64>) -> String {
    let mut page = shop.list(&format!("limit=3&updatedFrom={from}")).await;
    let until = page.updated_to;
    loop {
        for order in page.orders {
            assert!(order.times.updated_at < until);
            seen.insert(order.source_order_id.to_string(), order.version.get());
        }
        let Some(next) = page.next else { break };
        page = shop.list(&format!("limit=3&after={next}")).await;
        assert_eq!(page.updated_to, until, "the upper bound of a list is fixed by its first page");
    }
    until.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_list_loses_nothing_while_orders_move() {
    let shop = Shop::open().await.stocked().await;
    let writing = AtomicBool::new(true);
    let writer = || async {
        for _ in 0..15 {
            let id = shop.create(json!([{ "sku": "A", "quantity": 1 }])).await.source_order_id.to_string();
            for action in ["pay", "produce", "ship", "deliver"] {
                shop.done(&id, action, json!({})).await;
            }
        }
    };
    let mut seen = BTreeMap::new();
    let reader = async {
        let mut from = "1970-01-01T00:00:00Z".to_owned();
        let mut passes = 0;
        while writing.load(Ordering::SeqCst) {
            from = read(&shop, &from, &mut seen).await;
            passes += 1;
        }
        // What was committed last is behind the last bound, never before it.
        read(&shop, &from, &mut seen).await;
        passes
    };
    let writers = async {
        tokio::join!(writer(), writer(), writer(), writer());
        writing.store(false, Ordering::SeqCst);
    };
    let ((), passes) = tokio::join!(writers, reader);
    assert!(passes > 1);
    let db = shop.look().await;
    let truth: Vec<(String, i64)> = sqlx::query_as("SELECT id, version FROM orders").fetch_all(&db).await.unwrap();
    assert_eq!(seen, truth.into_iter().collect());
    assert_eq!(seen.len(), 61);
}

#[tokio::test]
async fn a_list_ends_where_it_is_told_and_never_in_the_future() {
    let shop = Shop::open().await.stocked().await;
    let order = shop.create(json!([{ "sku": "A", "quantity": 1 }])).await;
    let at = order.times.updated_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let ids = |page: order_contract::protocol::OrderPage| {
        page.orders.into_iter().map(|o| o.source_order_id.to_string()).collect::<Vec<_>>()
    };
    let id = order.source_order_id.to_string();
    assert_eq!(ids(shop.list(&format!("updatedFrom={at}")).await), std::slice::from_ref(&id));
    assert_eq!(ids(shop.list(&format!("updatedTo={at}")).await), ["536365"]);
    let future = shop.list("updatedTo=2999-01-01T00:00:00Z").await;
    assert!(future.updated_to < "2999-01-01T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    assert_eq!(ids(future), ["536365".to_owned(), id]);
}

struct Received {
    headers: HeaderMap,
    body: Bytes,
}

/// A receiver that breaks on the first event.
async fn receiver() -> (String, Arc<Mutex<Vec<Received>>>) {
    let inbox = Arc::new(Mutex::new(Vec::<Received>::new()));
    let kept = inbox.clone();
    let router = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| async move {
        let mut inbox = kept.lock().unwrap();
        inbox.push(Received { headers, body });
        if inbox.len() == 1 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, inbox)
}

/// Polls until the condition holds; a minute is far more than enough.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("the condition never held");
}

#[tokio::test]
async fn a_webhook_is_signed_restates_the_order_and_comes_again_under_its_id() {
    let (url, inbox) = receiver().await;
    let secret = base64::engine::general_purpose::STANDARD.encode("a secret for this test only");
    let shop = Shop::open_with(|config| {
        config.webhook = Some(WebhookTarget { url, secret: secret.clone().into() });
        config.retry = Retry { first: Duration::from_millis(5), longest: Duration::from_millis(20), attempts: 10 };
    })
    .await
    .stocked()
    .await;
    let order = shop.create(json!([{ "sku": "A", "quantity": 1 }])).await;
    until(async || inbox.lock().unwrap().len() == 2).await;
    let paid = shop.done(order.source_order_id.as_str(), "pay", json!({})).await;
    until(async || inbox.lock().unwrap().len() == 3).await;
    let db = shop.look().await;
    until(async || sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM outbox").fetch_one(&db).await.unwrap() == 0)
        .await;

    let inbox = inbox.lock().unwrap();
    let verifier = standardwebhooks::Webhook::new(&secret).unwrap();
    let events: Vec<CloudEvent> = inbox
        .iter()
        .map(|received| {
            verifier.verify(&received.body, &received.headers).expect("a valid signature");
            let event: CloudEvent = serde_json::from_slice(&received.body).unwrap();
            assert_eq!(received.headers["webhook-id"], event.id.as_str());
            assert_eq!((event.specversion.as_str(), event.event_type.as_str()), ("1.0", "order.changed"));
            event
        })
        .collect();
    assert_eq!(events[0], events[1], "the same event comes again");
    assert_eq!(sound(events[1].data.clone()), order, "the import before it was not announced");
    assert_ne!(events[1].id, events[2].id);
    assert_eq!(events[2].data, paid);
}

#[tokio::test]
async fn an_unpaid_order_expires_and_gives_everything_back() {
    let shop = Shop::open_with(|config| {
        config.settings.insert("payment_window".into(), "PT0S".into());
        config.sweep = Duration::from_millis(5);
    })
    .await
    .stocked()
    .await;
    let order = shop.create(json!([{ "sku": "A", "quantity": 1 }])).await;
    let id = order.source_order_id.as_str();
    until(async || shop.order(id).await.status == OrderStatus::Expired).await;
    let expired = shop.order(id).await;
    assert_eq!((expired.payment_status, expired.version.get()), (PaymentStatus::Expired, 2));
    assert_eq!(expired.times.expires_at, order.times.expires_at);
    assert_eq!(shop.act(id, "pay", json!({})).await.status, 409);
    shop.assert_balanced().await;
}
