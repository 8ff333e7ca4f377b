//! Many at once, several nodes, and a module that is killed: the outcome is exact.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use order_contract::OrderStatus;
use order_modules::{Config, Line, Module};
use serde_json::json;

use crate::shop::{Hands, Shop};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_buyers_of_the_last_10_pieces_10_get_one() {
    let shop = Shop::of(Line::Retail, |config| config.durable = false).await.sells(&[("LAST", "5", 10)]).await;
    let body = json!({ "input": { "lines": [{ "sku": "LAST", "quantity": 1 }] } });
    let replies = join_all((0..200).map(|_| async { shop.ask("/orders", &shop.key(), &body).await })).await;
    let (got, missed): (Vec<_>, Vec<_>) = replies.into_iter().partition(|r| r.status == 200);
    assert_eq!((got.len(), missed.len()), (10, 190));
    assert!(missed.iter().all(|r| r.status == 409 && r.reply.error.as_ref().unwrap().code == "OUT_OF_STOCK"));
    shop.assert_balanced().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_payments_for_the_last_10_codes_10_are_fulfilled_and_190_refunded_in_full() {
    let shop = Shop::of(Line::Digital, |config| {
        config.durable = false;
        config.patience = Duration::from_secs(60);
    });
    let shop = shop.await.licences("CODE", "9.99", 10).await;
    let orders = (0..200).map(|_| shop.create(json!([{ "sku": "CODE", "quantity": 1 }])));
    let ids: Vec<_> = join_all(orders).await.into_iter().map(|o| o.source_order_id.to_string()).collect();
    let paid = join_all(ids.iter().map(|id| shop.done(id, "pay", json!({})))).await;
    let fulfilled = paid.iter().filter(|o| o.native.state == "FULFILLED").count();
    let sold_out: Vec<_> = paid.iter().filter(|o| o.native.state == "SOLD_OUT").collect();
    assert_eq!((fulfilled, sold_out.len()), (10, 190));
    assert!(sold_out.iter().all(|o| o.totals.refunded == o.totals.captured));
    shop.assert_balanced().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_expiry_and_payment_exactly_one_happens() {
    let hands = Hands::at("2026-01-01T00:00:00Z");
    let shop = Shop::of(Line::Retail, |config| {
        config.clock = hands.clock();
        config.durable = false;
        config.sweep = Duration::from_secs(3600);
    });
    let shop = shop.await.sells(&[("A", "2", 1000)]).await;
    let mut outcomes = [0, 0];
    for _ in 0..30 {
        let id = shop.create(json!([{ "sku": "A", "quantity": 1 }])).await.source_order_id.to_string();
        hands.forward(TimeDelta::minutes(30));
        let (swept, paid) = tokio::join!(shop.module.sweep_once(), shop.act(&id, "pay", json!({})));
        swept.unwrap();
        shop.module.sweep_once().await.unwrap();
        let order = shop.order(&id).await;
        match (paid.status.as_u16(), order.status) {
            (200, OrderStatus::Processing) => outcomes[0] += 1,
            (409, OrderStatus::Expired) => outcomes[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(outcomes.iter().sum::<i32>(), 30);
    shop.assert_balanced().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_nodes_fire_a_timer_once() {
    let hands = Hands::at("2026-01-01T00:00:00Z");
    let quiet = |config: &mut Config| {
        config.clock = hands.clock();
        config.durable = false;
        config.sweep = Duration::from_secs(3600);
    };
    let shop = Shop::of(Line::Retail, quiet).await.sells(&[("A", "2", 1000)]).await;
    let mut nodes = vec![shop.module.clone()];
    for _ in 0..3 {
        let mut config = Config::new(Line::Retail, shop.database());
        quiet(&mut config);
        nodes.push(Module::open(config).await.unwrap());
    }
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(shop.create(json!([{ "sku": "A", "quantity": 1 }])).await.source_order_id.to_string());
    }
    hands.forward(TimeDelta::minutes(31));
    for swept in join_all(nodes.iter().map(Module::sweep_once)).await {
        swept.unwrap();
    }
    for id in &ids {
        let order = shop.order(id).await;
        let expiries = order.events.iter().filter(|e| e.event_type == "expire").count();
        assert_eq!((order.status, expiries, order.version.get()), (OrderStatus::Expired, 1, 2));
    }
    shop.assert_balanced().await;
}

/// The program, on a database.
struct Program {
    child: Child,
    base: String,
}

impl Program {
    fn start(database: &std::path::Path) -> Self {
        use std::io::{BufRead, BufReader};
        let mut child = Command::new(env!("CARGO_BIN_EXE_order-module"))
            .args(["retail", "--database"])
            .arg(database)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, base: line.trim().into() }
    }
}

/// The process dies while orders are placed and paid, ten times over. What was acknowledged stays, what was asked is
/// found out by asking again under its key, and the books agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_at_any_moment_it_keeps_what_it_said() {
    let shop = Shop::open().await.sells(&[("A", "2.50", 100_000)]).await;
    let database = shop.database();
    let mut acknowledged = Vec::new();
    for round in 0..10_u32 {
        let mut program = Program::start(&database);
        let client = reqwest::Client::new();
        let asks = (0..12).map(|i| {
            let (client, base) = (client.clone(), program.base.clone());
            async move {
                let send = async |path: String, key: String, input: serde_json::Value| {
                    let request = client.post(format!("{base}{path}")).header("idempotency-key", key);
                    let reply = request.json(&json!({ "input": input })).send().await.ok()?;
                    let status = reply.status();
                    (status == 200).then_some(reply.json::<order_contract::protocol::ActionReply>().await.ok()?)
                };
                let lines = json!({ "lines": [{ "sku": "A", "quantity": 1 }] });
                let placed = send("/orders".into(), format!("place-{round}-{i}"), lines).await?;
                let id = placed.order?.source_order_id.to_string();
                let paid = send(format!("/orders/{id}/actions/pay"), format!("pay-{round}-{i}"), json!({})).await;
                Some((id, paid.is_some()))
            }
        });
        let killed = async {
            // Each round a little later into the work.
            tokio::time::sleep(Duration::from_millis(u64::from(round) * 7)).await;
            program.child.kill().unwrap();
            program.child.wait().unwrap();
        };
        let (told, ()) = tokio::join!(join_all(asks), killed);
        acknowledged.extend(told.into_iter().flatten());
    }
    // Sagas that were left belong to whoever comes after the lease.
    let mut config = Config::new(Line::Retail, &database);
    config.clock = std::sync::Arc::new(|| chrono::Utc::now() + TimeDelta::seconds(60));
    let heir = Module::open(config).await.unwrap();
    heir.sweep_once().await.unwrap();
    for (id, paid) in &acknowledged {
        let order = shop.order(id).await;
        assert!(!paid || order.native.state == "PAID", "{id} was said to be paid");
    }
    shop.assert_balanced().await;
}
