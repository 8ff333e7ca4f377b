//! A company puts its own services in place of the embedded ones, and they fail as services do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use order_contract::protocol::Outcome;
use order_modules::service::{Goods, Product, Server, ServerConfig, Service};
use order_modules::{Line, RemoteService};
use serde_json::json;
use tokio::net::TcpListener;

use crate::shop::{Hands, Shop};

/// Warehouse, catalog and payment of the company's own, which can be taken off the network.
async fn company(folder: &tempfile::TempDir) -> (Server, String, Arc<AtomicBool>) {
    let services = vec![Service::Product, Service::Warehouse, Service::Payment];
    let server = Server::open(ServerConfig::new(folder.path().join("company.db"), services)).await.unwrap();
    let away = Arc::new(AtomicBool::new(false));
    let gate = async |State(away): State<Arc<AtomicBool>>, request: Request, next: Next| -> Response {
        let answer = next.run(request).await;
        // The worst way to be away: it is done, and nobody hears of it.
        if away.load(Ordering::SeqCst) { StatusCode::BAD_GATEWAY.into_response() } else { answer }
    };
    let router = server.router().layer(from_fn_with_state(away.clone(), gate));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (sku, price, details) = ("A".to_owned(), "4".parse().unwrap(), serde_json::Map::new());
    server.embedded().put_products(&[Product { sku, name: "a thing".into(), price, details }]).await.unwrap();
    server.embedded().receive_goods("opening", &[Goods { sku: "A".into(), quantity: 10.into() }]).await.unwrap();
    (server, url, away)
}

#[tokio::test]
async fn effects_go_to_the_companys_services_and_survive_their_silence() {
    let folder = tempfile::TempDir::new().unwrap();
    let (server, url, away) = company(&folder).await;
    let hands = Hands::at("2026-01-01T00:00:00Z");
    let shop = Shop::of(Line::Retail, |config| {
        config.clock = hands.clock();
        config.patience = Duration::from_millis(50);
        config.pauses = (Duration::from_millis(1), Duration::from_millis(5));
        for service in [Service::Product, Service::Warehouse, Service::Payment] {
            config.remotes.insert(service, RemoteService { url: url.clone(), token: None });
        }
    })
    .await;
    let order = shop.create(json!([{ "sku": "A", "quantity": 3 }])).await;
    let id = order.source_order_id.to_string();
    let reserved = server.embedded().order_balances(Service::Warehouse, &id).await.unwrap();
    let account = format!("reserved/{id}");
    assert_eq!(reserved[&account]["A"], 3.into(), "the company's warehouse has promised it");

    away.store(true, Ordering::SeqCst);
    let pay = json!({ "input": {} });
    let reply = shop.ask(&format!("/orders/{id}/actions/pay"), "pay", &pay).await;
    assert_eq!((reply.status.as_u16(), reply.reply.outcome), (202, Outcome::Accepted), "nobody knows yet");
    assert_eq!(shop.order(&id).await, order, "and nothing is said to have happened");
    let busy = shop.post(&format!("/orders/{id}/actions/cancel"), Some("cancel"), &json!({})).await;
    assert_eq!(busy.status(), 503, "the order is held meanwhile");
    away.store(false, Ordering::SeqCst);
    hands.forward(TimeDelta::seconds(31));
    shop.module.sweep_once().await.unwrap();
    let known = shop.ask(&format!("/orders/{id}/actions/pay"), "pay", &pay).await.reply;
    assert_eq!((known.outcome, known.order.unwrap().native.state.as_str()), (Outcome::Applied, "PAID"));
    let taken = server.embedded().order_balances(Service::Payment, &id).await.unwrap();
    assert_eq!(taken[&format!("merchant/{id}")]["GBP"], 12.into(), "charged once");

    shop.done(&id, "cancel", json!({})).await;
    assert!(!server.embedded().order_balances(Service::Warehouse, &id).await.unwrap().contains_key(&account));
    assert_eq!(server.embedded().order_balances(Service::Payment, &id).await.unwrap().len(), 0);
}

#[tokio::test]
async fn what_stays_silent_for_too_long_is_taken_back() {
    let folder = tempfile::TempDir::new().unwrap();
    let (server, url, away) = company(&folder).await;
    let hands = Hands::at("2026-01-01T00:00:00Z");
    let shop = Shop::of(Line::Retail, |config| {
        config.clock = hands.clock();
        config.patience = Duration::from_millis(50);
        config.pauses = (Duration::from_millis(1), Duration::from_millis(5));
        // Stock is the company's; money is not.
        for service in [Service::Product, Service::Warehouse] {
            config.remotes.insert(service, RemoteService { url: url.clone(), token: None });
        }
    })
    .await;
    let id = shop.create(json!([{ "sku": "A", "quantity": 1 }])).await.source_order_id.to_string();
    away.store(true, Ordering::SeqCst);
    let pay = json!({ "input": {} });
    assert_eq!(shop.ask(&format!("/orders/{id}/actions/pay"), "pay", &pay).await.status, 202);
    hands.forward(TimeDelta::minutes(11));
    shop.module.sweep_once().await.unwrap();
    away.store(false, Ordering::SeqCst);
    hands.forward(TimeDelta::seconds(31));
    shop.module.sweep_once().await.unwrap();
    let known = shop.ask(&format!("/orders/{id}/actions/pay"), "pay", &pay).await.reply;
    assert_eq!(known.error.unwrap().code, "SERVICE_UNAVAILABLE");
    let order = shop.order(&id).await;
    assert_eq!((order.native.state.as_str(), order.payments.len()), ("PENDING_PAYMENT", 0));
    let reserved = server.embedded().order_balances(Service::Warehouse, &id).await.unwrap();
    assert_eq!(reserved[&format!("reserved/{id}")]["A"], 1.into());
    assert_eq!(shop.done(&id, "pay", json!({})).await.native.state, "PAID");
}
