//! Ingest: whatever comes, in whatever order and however often, the index ends in the source's state, and what cannot be
//! understood is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use chrono::{TimeDelta, Utc};
use http::{HeaderMap, StatusCode};
use order_center::database::Database;
use order_center::index::Applied;
use order_center::index::Via;
use order_center::ingest::{Ingest, IngestError, IngestLimits, Ingested, PassReport, WebhookReceipt};
use order_center::source::egress::Reach;
use order_center::source::{EventError, RawOrder, SourceError};
use order_contract::protocol::OrderPage;
use order_contract::{OrderSnapshot, SourceOrderId};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::center::{
    Center, INGEST, Module, OPERATION, TestClock, intent, nothing, protocol_source, until, webhook_target,
};
use crate::fault::Fault;
use crate::shelf::{Shelf, webhook};
use crate::world::{at, databases, order_id, order_json, snapshot, source, sqlite};

/// An order of the shelf that was changed at this second.
fn changed(id: &str, version: i64, seconds: i64) -> Value {
    let mut order = order_json(id, version);
    order["times"]["updatedAt"] = json!(at(seconds));
    order
}

/// Asserts that the index holds exactly what the shelf does.
async fn agrees(center: &Center, shelf: &Shelf, database: &Database) {
    for (id, order) in shelf.orders() {
        let held = center.held(&order_id("shelf", &id)).await;
        assert_eq!(held, Some(snapshot(&order)), "order {id}");
    }
    let rows = database.fetch_all("select count(*) from orders", &[]).await.unwrap();
    assert_eq!(rows[0].int(0).unwrap(), shelf.orders().len() as i64, "no order but the shelf's");
}

async fn backlog(center: &Center, key: &str) -> u64 {
    center.ingest.sync_state(&source(key)).await.unwrap().webhook_backlog
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_brings_every_order_of_a_module_and_then_only_what_is_new() {
    for world in databases().await {
        let module = Module::start().await;
        module.import((1..=170).map(|n| format!("A{n}"))).await;
        let center = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
        let retail = source("retail");
        let pass = center.ingest.poll(&retail).await.unwrap();
        assert_eq!(pass, PassReport { read: 170, stored: 170, quarantined: 0, complete: true }, "{}", world.name);
        for n in [1, 50, 51, 100, 170] {
            let id = format!("A{n}");
            assert_eq!(center.held(&order_id("retail", &id)).await.unwrap(), module.order(&id).await);
        }
        let again = center.ingest.poll(&retail).await.unwrap();
        assert_eq!((again.stored, again.complete), (0, true), "what was read before changes nothing");
        let state = center.ingest.sync_state(&retail).await.unwrap();
        assert!(state.high_water.is_some() && state.last_success_at.is_some() && state.last_error.is_none());
    }
}

/// The worst case of every keyset: all orders changed in the same instant. Meanwhile orders are changed and added, and
/// the node is replaced at each page.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_at_ties_between_pages_or_restarts() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        (0..2_000).for_each(|n| shelf.put(changed(&format!("{n:05}"), 1, 100)));
        shelf.set_now(200);
        shelf.before_page(|page, orders| {
            let page = page as i64;
            // One that was read already and one that was not: both move behind the pass.
            for n in [page * 50, 1_999 - page * 50] {
                orders.insert(format!("{n:05}"), changed(&format!("{n:05}"), 2 + page, 300 + page));
            }
            let new = format!("new{page:03}");
            orders.insert(new.clone(), changed(&new, 1, 300 + page));
        });
        let mut pages = 0;
        loop {
            let node = Center::new(&world.database, [protocol_source("shelf", &shelf.base_url)]);
            let page = node.ingest.poll_page(&source("shelf")).await.unwrap();
            pages += 1;
            // The node leaves as a dead one would: its lease has to run out.
            world.database.execute("update source_sync set lease_until = 0", &[]).await.unwrap();
            if page.complete {
                break;
            }
        }
        assert!(pages >= 39, "{pages} pages");
        shelf.before_page(|_, _| ());
        shelf.set_now(1_000);
        let center = Center::new(&world.database, [protocol_source("shelf", &shelf.base_url)]);
        center.ingest.poll(&source("shelf")).await.unwrap();
        agrees(&center, &shelf, &world.database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_page_leaves_the_cursor_and_other_sources_alone() {
    let bodies = [
        (500, "text/plain", ""),
        (502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"),
        (200, "text/html", "<html>maintenance</html>"),
        (200, "application/json", r#"{"orders": [{"sourceOrderId": "1", "ver"#),
        (200, "application/json", r#"{"orders": "none", "updatedTo": "2026-01-01T00:00:00Z"}"#),
        (200, "application/json", r#"{"orders": [], "updatedTo": "yesterday"}"#),
        (200, "application/json", r#"{"orders": []}"#),
        (404, "application/json", "{}"),
        (401, "application/json", "{}"),
    ];
    for world in databases().await {
        let (shelf, well) = (Shelf::start().await, Shelf::start().await);
        (0..120).for_each(|n| shelf.put(changed(&format!("{n:03}"), 1, n)));
        well.put(changed("1", 1, 1));
        shelf.set_now(500);
        let sources = [protocol_source("shelf", &shelf.base_url), protocol_source("well", &well.base_url)];
        let center = Center::new(&world.database, sources);
        let page = center.ingest.poll_page(&source("shelf")).await.unwrap();
        assert_eq!((page.read, page.complete), (50, false));
        let cursor = "select high_water, pass_until, page from source_sync where source = 'shelf'";
        let before = world.database.fetch_all(cursor, &[]).await.unwrap();
        for (n, (status, kind, body)) in bodies.into_iter().enumerate() {
            shelf.instead(Some((status, kind, body)));
            let error = center.ingest.poll(&source("shelf")).await.expect_err(body);
            assert!(matches!(error, IngestError::Read(_)), "{error:?}");
            let state = center.ingest.sync_state(&source("shelf")).await.unwrap();
            assert!(state.last_error.as_ref().is_some_and(|sentence| sentence.contains("shelf")), "{state:?}");
            well.put(changed("1", 2 + n as i64, 9 + n as i64));
            well.set_now(10 + n as i64);
            center.ingest.poll(&source("well")).await.unwrap();
            assert_eq!(center.held(&order_id("well", "1")).await.unwrap().version.get(), 2 + n as i64);
            if status == 404 {
                // The source no longer takes this page: the pass begins again, and loses nothing.
                continue;
            }
            let after = world.database.fetch_all(cursor, &[]).await.unwrap();
            if n < 7 {
                assert_eq!(before[0].opt_int(1).unwrap(), after[0].opt_int(1).unwrap(), "{body}");
                assert_eq!(before[0].opt_text(2).unwrap(), after[0].opt_text(2).unwrap(), "{body}");
            }
        }
        shelf.instead(None);
        center.ingest.poll(&source("shelf")).await.unwrap();
        let rows = "select count(*) from orders where source = 'shelf'";
        assert_eq!(world.database.fetch_all(rows, &[]).await.unwrap()[0].int(0).unwrap(), 120, "{}", world.name);
        assert_eq!(center.ingest.sync_state(&source("shelf")).await.unwrap().last_error, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_asks_for_rest_is_left_alone() {
    let world = sqlite().await;
    let shelf = Shelf::start().await;
    shelf.put(changed("1", 1, 1));
    shelf.set_now(10);
    let center = Center::new(&world.database, [protocol_source("shelf", &shelf.base_url)]);
    shelf.instead(Some((429, "application/json", "{}")));
    let limited = |error: &IngestError| matches!(error, IngestError::Read(SourceError::RateLimited { .. }));
    assert!(center.ingest.poll(&source("shelf")).await.is_err_and(|error| limited(&error)));
    shelf.instead(None);
    let asked = shelf.asked();
    for _ in 0..5 {
        assert!(center.ingest.poll(&source("shelf")).await.is_err_and(|error| limited(&error)));
        assert!(center.ingest.refresh(&order_id("shelf", "1")).await.is_err_and(|error| limited(&error)));
    }
    assert_eq!(shelf.asked(), asked, "not one call before the time it asked for");
}

/// What is wrong with one order costs that order alone: it is kept whole with the exact reason, and the page goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_order_is_kept_whole_and_resolved_by_a_good_one() {
    type Break = fn(&mut Value);
    let cases: [(&str, Break, &str, &str); 6] = [
        ("negative", |o| o["lines"][0]["quantity"]["ordered"] = json!(-6), "/lines/0/quantity/ordered", "negative"),
        ("currencies", |o| o["payments"][0]["currency"] = json!("EUR"), "/payments/0/currency", "one currency"),
        ("float", |o| o["totals"]["total"] = json!(19.99), "/totals/total", "decimal string"),
        ("fraction", |o| o["totals"]["tax"] = json!("1.23456"), "/totals/tax", "4 fraction digits"),
        ("status", |o| o["status"] = json!("SHIPPED-ISH"), "/status", "unknown variant"),
        ("type", |o| o["lines"] = json!("none"), "/lines", "sequence"),
    ];
    for world in databases().await {
        let shelf = Shelf::start().await;
        shelf.put(changed("good", 1, 1));
        for (n, (id, break_it, ..)) in cases.iter().enumerate() {
            let mut order = changed(id, 1, 2 + n as i64);
            break_it(&mut order);
            shelf.put(order);
        }
        shelf.set_now(10);
        let center = Center::new(&world.database, [protocol_source("shelf", &shelf.base_url)]);
        let pass = center.ingest.poll(&source("shelf")).await.unwrap();
        assert_eq!((pass.read, pass.stored, pass.quarantined), (7, 1, 6), "{}", world.name);
        let open = center.ingest.quarantined(Some(&source("shelf")), true, None, 100).await.unwrap();
        for (id, _, path, rule) in &cases {
            let record = open.iter().find(|r| r.source_order_id.as_ref().is_some_and(|o| o.as_str() == *id)).unwrap();
            assert_eq!(record.rejection.path, *path, "{id}: {:?}", record.rejection);
            assert!(record.rejection.rule.contains(rule), "{id}: {:?}", record.rejection);
            assert_eq!(serde_json::from_slice::<Value>(&record.input).unwrap(), shelf.orders()[*id], "the whole input");
            assert_eq!((record.seen, record.via, record.state.as_str()), (1, Via::Poll, "OPEN"));
        }
        // The same again is the same record.
        center.ingest.poll(&source("shelf")).await.unwrap();
        let again = center.ingest.quarantined(Some(&source("shelf")), true, None, 100).await.unwrap();
        assert_eq!(again.len(), open.len());
        assert!(again.iter().any(|record| record.seen == 2));
        let pages = center.ingest.quarantined(None, true, Some(&again[1].id), 2).await.unwrap();
        assert_eq!(pages, again[2..4]);

        // One is laid aside, one is tried again in vain, one is put right at its source.
        let of =
            |id: &str| again.iter().find(|r| r.source_order_id.as_ref().is_some_and(|o| o.as_str() == id)).unwrap();
        assert!(center.ingest.discard_quarantined(&of("type").id).await.unwrap());
        assert_eq!(center.ingest.replay_quarantine(&source("shelf"), &[of("float").id.clone()]).await.unwrap(), 0);
        shelf.put(changed("negative", 2, 50));
        shelf.set_now(100);
        center.ingest.poll(&source("shelf")).await.unwrap();
        let all = center.ingest.quarantined(Some(&source("shelf")), false, None, 100).await.unwrap();
        let state = |id: &str| {
            let record = all.iter().find(|r| r.source_order_id.as_ref().is_some_and(|o| o.as_str() == id)).unwrap();
            (record.state.as_str(), record.resolved_at.is_some())
        };
        assert_eq!(state("type"), ("DISCARDED", true));
        assert_eq!(state("float"), ("OPEN", false));
        assert_eq!(state("negative"), ("RESOLVED", true));
        assert!(center.held(&order_id("shelf", "negative")).await.is_some());
        let health = center.ingest.sync_state(&source("shelf")).await.unwrap();
        assert_eq!(health.quarantined, open.len() as u64 - 2);
    }
}

/// A mapping that was fixed is tried on what is in quarantine: here the fix is a source that now declares rounding.
#[tokio::test(flavor = "multi_thread")]
async fn quarantine_is_replayed_after_a_fix() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        for n in 0..250 {
            let mut order = changed(&format!("{n}"), 1, n);
            order["totals"]["tax"] = json!("1.23456");
            shelf.put(order);
        }
        shelf.set_now(1_000);
        let center = Center::new(&world.database, [protocol_source("shelf", &shelf.base_url)]);
        assert_eq!(center.ingest.poll(&source("shelf")).await.unwrap().quarantined, 250);
        let mut rounding = protocol_source("shelf", &shelf.base_url);
        rounding.port = Arc::new(
            order_center::source::protocol::ProtocolClient::new(order_center::source::protocol::ProtocolConfig {
                source: source("shelf"),
                base_url: shelf.base_url.parse().unwrap(),
                token: None,
                webhook_secrets: Vec::new(),
                rounding: order_contract::Rounding::HalfEven,
                timeout: Duration::from_secs(5),
                body_bytes_max: 1 << 20,
                reach: Reach::Private,
            })
            .unwrap(),
        );
        let fixed = Center::new(&world.database, [rounding]);
        let asked = shelf.asked();
        assert_eq!(fixed.ingest.replay_quarantine(&source("shelf"), &[]).await.unwrap(), 250, "{}", world.name);
        assert_eq!(shelf.asked(), asked, "without asking the source again");
        assert_eq!(fixed.ingest.quarantined(None, true, None, 10).await.unwrap(), []);
        let order = fixed.index.find(&order_id("shelf", "7")).await.unwrap().unwrap();
        assert_eq!((order.via, order.snapshot.totals.tax.to_string()), (Via::Replay, "1.2346".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_read_brings_what_is_newer_and_learns_of_deletion() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        shelf.put(changed("1", 1, 1));
        shelf.set_now(10);
        let center = Center::new(&world.database, [protocol_source("shelf", &shelf.base_url)]);
        let id = order_id("shelf", "1");
        assert_eq!(center.ingest.refresh(&id).await.unwrap().unwrap().via, Via::Fetch);
        // The same version with another content: what the source says now is the later word.
        let mut silent = changed("1", 1, 1);
        silent["number"] = json!("changed in silence");
        shelf.put(silent);
        assert_eq!(center.ingest.refresh(&id).await.unwrap().unwrap().snapshot.number, "changed in silence");
        assert_eq!(center.ingest.refresh(&order_id("shelf", "2")).await.unwrap(), None);

        shelf.instead(Some((404, "text/html", "<html>no such route</html>")));
        assert!(center.ingest.refresh(&id).await.is_err(), "a proxy's 404 proves nothing");
        assert!(center.held(&id).await.is_some());
        shelf.instead(None);
        shelf.remove("1");
        assert_eq!(center.ingest.refresh(&id).await.unwrap(), None, "{}", world.name);
        assert!(center.held(&id).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_a_source_and_take_over_from_a_dead_one() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        (0..120).for_each(|n| shelf.put(changed(&format!("{n:03}"), 1, n)));
        shelf.set_now(500);
        let clock = TestClock::default();
        let node =
            || Center::with(&world.database, [protocol_source("shelf", &shelf.base_url)], &clock, INGEST, OPERATION);
        let (first, second) = (node(), node());
        first.ingest.poll_page(&source("shelf")).await.unwrap();
        let leased = second.ingest.poll_page(&source("shelf")).await;
        assert!(matches!(leased, Err(IngestError::Leased(_))), "{leased:?}");
        first.ingest.poll_page(&source("shelf")).await.unwrap();
        clock.set(60);
        let rest = second.ingest.poll(&source("shelf")).await.unwrap();
        assert_eq!((rest.read, rest.complete), (20, true), "{}: it goes on where the other stopped", world.name);
        assert!(matches!(first.ingest.poll_page(&source("shelf")).await, Err(IngestError::Leased(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_follow_every_source_until_they_are_stopped() {
    let world = sqlite().await;
    let (shelf, sick) = (Shelf::start().await, Shelf::start().await);
    sick.instead(Some((500, "text/plain", "")));
    let sources = [protocol_source("shelf", &shelf.base_url), protocol_source("sick", &sick.base_url)];
    let center = Center::new(&world.database, sources);
    center.ingest.set_paused(&source("sick"), true).await.unwrap();
    let running = center.run_ingest();
    for n in 1..4 {
        shelf.put(changed("1", n, n));
        shelf.set_now(n + 1);
        until("the order is there", || async {
            center.held(&order_id("shelf", "1")).await.is_some_and(|order| order.version.get() == n)
        })
        .await;
    }
    assert_eq!(sick.asked(), 0, "a paused source is not asked");
    center.ingest.set_paused(&source("sick"), false).await.unwrap();
    until("its error is shown", || async {
        center.ingest.sync_state(&source("sick")).await.unwrap().last_error == Some("sick answered 500".into())
    })
    .await;
    drop(running);
}

/// A receiver of webhooks as the center's HTTP server is one: 2xx only when the webhook is stored.
async fn receiver(ingest: Ingest, listener: TcpListener) {
    async fn receive(State(ingest): State<Ingest>, headers: HeaderMap, body: Bytes) -> StatusCode {
        match ingest.receive_webhook(&source("retail"), &headers, body).await {
            Ok(_) => StatusCode::OK,
            Err(IngestError::Event(_)) => StatusCode::UNAUTHORIZED,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
    axum::serve(listener, Router::new().route("/", post(receive)).with_state(ingest)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modules_webhooks_are_seen_without_polling() {
    for world in databases().await {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let module = Module::start_with(|config| config.webhook = Some(webhook_target(url))).await;
        module.import((1..=5).map(|n| format!("A{n}"))).await;
        let limits = IngestLimits { poll_interval: Duration::from_secs(3_600), ..INGEST };
        let retail = [protocol_source("retail", &module.proxy.base_url)];
        let center = Center::with(&world.database, retail, &TestClock::default(), limits, OPERATION);
        center.ingest.poll(&source("retail")).await.unwrap();
        center.ingest.set_paused(&source("retail"), true).await.unwrap();
        tokio::spawn(receiver(center.ingest.clone(), listener));
        let _running = center.run_ingest();
        // Another node asks, so that nothing but the webhook can tell this one.
        let elsewhere = sqlite().await;
        let other = Center::new(&elsewhere.database, [protocol_source("retail", &module.proxy.base_url)]);
        for n in 1..=5 {
            let id = order_id("retail", &format!("A{n}"));
            other.operations.perform(intent(&id, &format!("k{n}"), "produce", nothing())).await.unwrap();
            let now = module.order(&format!("A{n}")).await;
            until("the webhook is applied", || async { center.held(&id).await.unwrap() == now }).await;
            assert_eq!(center.index.find(&id).await.unwrap().unwrap().via, Via::Webhook, "{}", world.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_module_signed_just_now_is_taken_and_only_once() {
    let seed = 0x5eed;
    println!("seed {seed:#x}");
    for world in databases().await {
        let shelf = Shelf::start().await;
        let clock = TestClock::default();
        let sources = [protocol_source("shelf", &shelf.base_url)];
        let limits = IngestLimits { poll_interval: Duration::from_secs(3_600), ..INGEST };
        let center = Center::with(&world.database, sources, &clock, limits, OPERATION);
        let key = source("shelf");
        let send = |headers: HeaderMap, body: Vec<u8>| {
            let (ingest, key) = (center.ingest.clone(), key.clone());
            async move { ingest.receive_webhook(&key, &headers, body.into()).await }
        };
        let refused = |receipt: &Result<WebhookReceipt, IngestError>| {
            matches!(receipt, Err(IngestError::Event(EventError::Signature)))
        };
        let order = changed("1", 1, 1);
        let (headers, body) = webhook("w1", "1", Some(&order), clock.now());

        let mut random = crate::center::Seeded(seed);
        for _ in 0..500 {
            let (mut headers, mut body) = (headers.clone(), body.clone());
            match random.below(3) {
                0 => {
                    let at = random.below(body.len() as u64) as usize;
                    body[at] ^= 1 << random.below(8);
                }
                1 => {
                    let name = ["webhook-id", "webhook-timestamp", "webhook-signature"][random.below(3) as usize];
                    let mut value = headers[name].as_bytes().to_vec();
                    let at = random.below(value.len() as u64) as usize;
                    value[at] = if value[at] == b'7' { b'8' } else { b'7' };
                    headers.insert(name, value.try_into().unwrap());
                }
                _ => {
                    headers.remove(["webhook-id", "webhook-timestamp", "webhook-signature"][random.below(3) as usize]);
                }
            }
            let receipt = send(headers, body).await;
            assert!(refused(&receipt), "{receipt:?}");
        }
        for minutes in [-6, 6] {
            let (headers, body) = webhook("w1", "1", Some(&order), clock.now() + TimeDelta::minutes(minutes));
            assert!(refused(&send(headers, body).await), "signed {minutes} minutes away");
        }
        let unknown = center.ingest.receive_webhook(&source("nobody"), &headers, body.clone().into()).await;
        assert!(matches!(unknown, Err(IngestError::UnknownSource(_))));
        let (h, b) = webhook("w0", "2", Some(&json!("not an order")), clock.now());
        assert!(
            matches!(send(h, b).await, Ok(WebhookReceipt::Stored)),
            "signed, so it is kept; it will be quarantined"
        );
        assert_eq!(backlog(&center, "shelf").await, 1);

        assert!(matches!(send(headers.clone(), body.clone()).await, Ok(WebhookReceipt::Stored)));
        let _running = center.run_ingest();
        until("the webhooks are applied", || async { backlog(&center, "shelf").await == 0 }).await;
        assert_eq!(center.held(&order_id("shelf", "1")).await.unwrap(), snapshot(&order));
        assert_eq!(center.ingest.quarantined(Some(&key), true, None, 10).await.unwrap().len(), 1);
        let head = center.index.feed_head().await.unwrap();
        for _ in 0..3 {
            assert!(matches!(send(headers.clone(), body.clone()).await, Ok(WebhookReceipt::Repeated)));
        }
        assert_eq!(backlog(&center, "shelf").await, 0);
        assert_eq!(center.index.feed_head().await.unwrap(), head, "{}: a replay changes nothing", world.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_order_is_fetched_once_and_a_sick_source_gives_up_visibly() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        shelf.put(changed("1", 3, 3));
        let clock = TestClock::default();
        let sources = [protocol_source("shelf", &shelf.base_url)];
        let limits = IngestLimits { poll_interval: Duration::from_secs(3_600), ..INGEST };
        let center = Center::with(&world.database, sources, &clock, limits, OPERATION);
        center.ingest.set_paused(&source("shelf"), true).await.unwrap();
        let announce = |id: &'static str| {
            let (headers, body) = webhook(id, "1", None, clock.now());
            let ingest = center.ingest.clone();
            async move { ingest.receive_webhook(&source("shelf"), &headers, body.into()).await.unwrap() }
        };
        for id in ["w1", "w2", "w3"] {
            assert_eq!(announce(id).await, WebhookReceipt::Stored);
        }
        let running = center.run_ingest();
        until("it is fetched", || async { backlog(&center, "shelf").await == 0 }).await;
        assert_eq!(center.held(&order_id("shelf", "1")).await.unwrap().version.get(), 3);
        assert_eq!(shelf.asked(), 1, "{}: one read for all three", world.name);

        shelf.put(changed("1", 4, 4));
        shelf.instead(Some((500, "text/plain", "")));
        announce("w4").await;
        // Each try comes due as the clock moves on.
        until("it is given up", || async {
            clock.set(clock.now().signed_duration_since(Utc::now()).num_seconds() + 100);
            center.ingest.sync_state(&source("shelf")).await.unwrap().webhooks_failed == 1
        })
        .await;
        assert_eq!(shelf.asked(), 1 + limits.webhook_attempts_max as usize);
        shelf.instead(None);
        assert_eq!(announce("w4").await, WebhookReceipt::Stored, "its sender may give it another round");
        until("it is fetched", || async {
            center.held(&order_id("shelf", "1")).await.is_some_and(|order| order.version.get() == 4)
        })
        .await;
        until("nothing is left", || async {
            let state = center.ingest.sync_state(&source("shelf")).await.unwrap();
            (state.webhook_backlog, state.webhooks_failed) == (0, 0)
        })
        .await;
        drop(running);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tie_cannot_settle_stays_due() {
    let world = sqlite().await;
    let shelf = Shelf::start().await;
    let center = Center::new(&world.database, [protocol_source("shelf", &shelf.base_url)]);
    let raw = |order: &Value| RawOrder {
        source_order_id: Some(SourceOrderId::try_new("1").unwrap()),
        body: order.to_string().into_bytes().into(),
    };
    let first = changed("1", 1, 1);
    let mut other = changed("1", 1, 1);
    other["number"] = json!("other");
    let ran = Arc::new(AtomicUsize::new(0));
    let apply = |order: &Value| {
        let (ingest, raw, ran) = (center.ingest.clone(), vec![raw(order)], ran.clone());
        async move {
            let also = |_: &[Ingested]| {
                ran.fetch_add(1, Ordering::SeqCst);
                Vec::new()
            };
            ingest.apply(&source("shelf"), raw, Via::Webhook, also).await
        }
    };
    apply(&first).await.unwrap();
    shelf.instead(Some((500, "text/plain", "")));
    assert!(apply(&other).await.is_err());
    assert_eq!(ran.load(Ordering::SeqCst), 1, "what belongs to the tie is not recorded before it is settled");
    shelf.instead(None);
    shelf.put(other.clone());
    let settled = apply(&other).await.unwrap();
    assert!(matches!(settled[0], Ingested::Indexed { applied: Applied::Stored, .. }), "{settled:?}");
    assert_eq!(center.held(&order_id("shelf", "1")).await.unwrap().number, "other");
}

/// What happens to one order of the convergence test.
#[derive(Clone, Debug)]
enum Happening {
    /// The source changes the order and sends these copies of the webhook.
    Change { order: u8, copies: u8 },
    /// The source changes the order without changing its version, and says nothing.
    Silent { order: u8 },
    /// The source deletes nothing, but a webhook sent before comes again.
    Replay { nth: u8 },
    /// The source announces the order without restating it.
    Announce { order: u8 },
    /// A page is read in the middle of it all.
    Poll,
    /// The order is read live.
    Read { order: u8 },
    /// The center's clock jumps, in minutes.
    Clock { minutes: i8 },
}

fn happenings() -> impl Strategy<Value = (Vec<Happening>, u64)> {
    let order = 0..4_u8;
    let one = prop_oneof![
        6 => (order.clone(), 0..3_u8).prop_map(|(order, copies)| Happening::Change { order, copies }),
        1 => order.clone().prop_map(|order| Happening::Silent { order }),
        3 => any::<u8>().prop_map(|nth| Happening::Replay { nth }),
        1 => order.clone().prop_map(|order| Happening::Announce { order }),
        1 => Just(Happening::Poll),
        1 => order.prop_map(|order| Happening::Read { order }),
        1 => (-90..90_i8).prop_map(|minutes| Happening::Clock { minutes }),
    ];
    (proptest::collection::vec(one, 1..40), any::<u64>())
}

/// Webhooks are dropped, repeated and shuffled, orders are changed in silence, the clock jumps, and pages are read in
/// between. After one more pass the index holds what the source holds, and no version ever went back.
#[test]
fn any_order_of_events_converges_to_the_sources_state() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let worlds = runtime.block_on(databases());
    let cases = AtomicUsize::new(0);
    for world in &worlds {
        // `PROPTEST_CASES` asks for more.
        let few = if world.name == "sqlite" { 96 } else { 48 };
        let cases_max = std::env::var("PROPTEST_CASES").map_or(few, |text| text.parse().unwrap());
        let mut runner = TestRunner::new(Config { cases: cases_max, failure_persistence: None, ..Config::default() });
        let run = |(happenings, shuffle): (Vec<Happening>, u64)| {
            let case = cases.fetch_add(1, Ordering::SeqCst);
            runtime.block_on(converge(&world.database, &format!("c{case}"), &happenings, shuffle));
            Ok(())
        };
        runner.run(&happenings(), run).unwrap_or_else(|error| panic!("{}: {error}", world.name));
    }
}

async fn converge(database: &Database, key: &str, happenings: &[Happening], shuffle: u64) {
    let shelf = Shelf::start().await;
    let clock = TestClock::default();
    let limits = IngestLimits { poll_interval: Duration::from_secs(3_600), ..INGEST };
    let center = Center::with(database, [protocol_source(key, &shelf.base_url)], &clock, limits, OPERATION);
    center.ingest.set_paused(&source(key), true).await.unwrap();
    let _running = center.run_ingest();
    let mut random = crate::center::Seeded(shuffle);
    let mut now = 1;
    let mut sent: Vec<(String, String, Option<Value>)> = Vec::new();
    let mut due: Vec<(String, String, Option<Value>)> = Vec::new();
    let seen: Mutex<BTreeMap<String, i64>> = Mutex::default();
    let name = |order: u8| format!("o{order}");
    for happening in happenings {
        now += 1;
        shelf.set_now(now + 1);
        match happening {
            Happening::Change { order, copies } => {
                let id = name(*order);
                let version = shelf.orders().get(&id).map_or(1, |held| held["version"].as_i64().unwrap() + 1);
                let order = changed(&id, version, now);
                shelf.put(order.clone());
                let webhook = (format!("w{}", sent.len()), id, Some(order));
                sent.push(webhook.clone());
                due.extend(std::iter::repeat_n(webhook, usize::from(*copies)));
            }
            Happening::Silent { order } => {
                if let Some(mut held) = shelf.orders().get(&name(*order)).cloned() {
                    held["number"] = json!(format!("silent {now}"));
                    held["times"]["updatedAt"] = json!(at(now));
                    shelf.put(held);
                }
            }
            Happening::Replay { nth } => due.extend(sent.get(usize::from(*nth) % sent.len().max(1)).cloned()),
            Happening::Announce { order } => {
                let webhook = (format!("w{}", sent.len()), name(*order), None);
                sent.push(webhook.clone());
                due.push(webhook);
            }
            Happening::Poll => drop(center.ingest.poll_page(&source(key)).await.unwrap()),
            Happening::Read { order } => drop(center.ingest.refresh(&order_id(key, &name(*order))).await.unwrap()),
            Happening::Clock { minutes } => clock.set(i64::from(*minutes) * 60),
        }
        // Some of what is due arrives now, in any order; the rest later, or never.
        while !due.is_empty() && random.below(2) == 0 {
            let (id, subject, data) = due.swap_remove(random.below(due.len() as u64) as usize);
            let (headers, body) = webhook(&id, &subject, data.as_ref(), clock.now());
            center.ingest.receive_webhook(&source(key), &headers, body.into()).await.unwrap();
        }
        for order in 0..4 {
            if let Some(held) = center.held(&order_id(key, &name(order))).await {
                let before = seen.lock().unwrap().insert(name(order), held.version.get());
                assert!(before.is_none_or(|before| before <= held.version.get()), "a version went back");
            }
        }
    }
    clock.set(24 * 3_600);
    until("every webhook is applied", || async { backlog(&center, key).await == 0 }).await;
    shelf.set_now(now + 100);
    center.ingest.poll(&source(key)).await.unwrap();
    for (id, order) in shelf.orders() {
        assert_eq!(center.held(&order_id(key, &id)).await, Some(snapshot(&order)), "order {id}");
    }
}

/// The list a module answers is what the center reads: the page of the protocol, against the real module.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_cut_off_is_read_again() {
    let world = sqlite().await;
    let module = Module::start().await;
    module.import((1..=60).map(|n| format!("A{n}"))).await;
    let center = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
    for fault in [Fault::Half, Fault::Lose, Fault::Drop, Fault::Stall(Duration::from_secs(2))] {
        module.proxy.plan(move |asked| if asked.is_descriptor() { Fault::Pass } else { fault.clone() });
        assert!(center.ingest.poll(&source("retail")).await.is_err());
    }
    module.proxy.plan(|_| Fault::Pass);
    assert_eq!(center.ingest.poll(&source("retail")).await.unwrap().stored, 60);
    let page: OrderPage<OrderSnapshot> =
        reqwest::get(format!("http://{}/orders?limit=200", module.address)).await.unwrap().json().await.unwrap();
    for order in page.orders {
        assert_eq!(center.held(&order_id("retail", order.source_order_id.as_str())).await, Some(order));
    }
}
