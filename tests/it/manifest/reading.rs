//! Reading loses nothing: while orders move, while thousands share one second, with clocks that disagree, with a restart
//! at every point.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use order_center::source::manifest::ManifestSource;
use order_center::source::{ChangeWindow, OrderSource, SourceError};
use order_contract::SourceOrderId;
use proptest::prelude::{Strategy, prop};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::shop::{Fault, Shop, woocommerce};

/// The center's side of a pass, as ingest keeps it: what was seen, and how far.
#[derive(Default)]
struct Follower {
    /// The status last seen of each order, by id.
    seen: BTreeMap<u64, String>,
    high_water: Option<DateTime<Utc>>,
}

impl Follower {
    /// One pass; `between` runs before each request.
    async fn pass(&mut self, shop: &Shop, limit: u32, between: impl FnMut(usize)) {
        let source = patient(shop);
        self.pass_by(|| source.clone(), limit, between).await;
    }

    /// One pass, of which each page is read by the source that `next` gives.
    async fn pass_by(&mut self, next: impl Fn() -> Arc<ManifestSource>, limit: u32, mut between: impl FnMut(usize)) {
        let since = self.high_water.map(|at| at - Duration::from_secs(60));
        let mut window = ChangeWindow { since, limit, ..ChangeWindow::default() };
        for number in 0.. {
            between(number);
            let page = next().list_changes(&window).await.unwrap();
            for raw in page.orders {
                let order: Value = serde_json::from_slice(&raw.body).unwrap();
                let status = order["status"].as_str().unwrap().to_owned();
                self.seen.insert(order["id"].as_u64().unwrap(), status);
            }
            let until = *window.until.get_or_insert(page.until);
            window.page = page.next;
            if window.page.is_none() {
                self.high_water = Some(until.min(page.until));
                return;
            }
            assert!(number < 2_000, "the pass never ends: {window:?}");
        }
    }

    fn has_all(&self, shop: &Shop) {
        let orders = shop.orders.lock().unwrap();
        for (id, (at, order)) in &orders.by_id {
            let seen = self.seen.get(id).map(String::as_str);
            assert_eq!(seen, order["status"].as_str(), "order {id}, changed at {at}");
        }
    }
}

/// A source that waits for a busy machine.
fn patient(shop: &Shop) -> Arc<ManifestSource> {
    Arc::new(shop.source_with(&woocommerce(&[]), |config| config.timeout = Duration::from_secs(60)))
}

#[tokio::test]
async fn a_restart_at_every_point_changes_nothing() {
    let shop = Shop::start().await;
    for id in 0..12 {
        shop.put(id, 1_699_999_000 + id as i64 / 5, "processing");
    }
    let mut follower = Follower::default();
    follower.pass_by(|| patient(&shop), 2, |_| ()).await;
    follower.has_all(&shop);
}

#[tokio::test]
async fn a_list_is_read_to_its_end_and_then_only_what_changed() {
    let shop = Shop::start().await;
    for id in 0..25 {
        shop.put(id, 1_699_999_000 + id as i64, "processing");
    }
    let mut follower = Follower::default();
    follower.pass(&shop, 10, |_| ()).await;
    follower.has_all(&shop);
    let first = &shop.asked()[0];
    assert_eq!((first.path.as_str(), first.query.get("modified_after")), ("/wp-json/wc/v3/orders", None));
    let high_water = follower.high_water.unwrap().timestamp();
    assert_eq!(high_water, 1_700_000_000 - 5, "the shop's clock, less what may not show yet");

    let before = shop.asked().len();
    shop.orders.lock().unwrap().now += 30;
    shop.orders.lock().unwrap().touch(3, |order| order["status"] = json!("completed"));
    follower.pass(&shop, 10, |_| ()).await;
    follower.has_all(&shop);
    assert_eq!(shop.asked().len(), before + 1, "one change is one request");
}

#[tokio::test]
async fn ten_thousand_orders_of_one_second_are_all_read_while_some_of_them_move() {
    let shop = Shop::start().await;
    for id in 0..10_000 {
        shop.put(id, 1_699_990_000, "processing");
    }
    for id in 10_000..10_150 {
        shop.put(id, 1_699_990_001 + (id as i64 % 3), "processing");
    }
    let mut follower = Follower::default();
    let mut next = 0;
    let orders = shop.orders.clone();
    follower
        .pass(&shop, 100, |_| {
            // Five leave the second between any two pages, from its front, so that all others move forward.
            let mut orders = orders.lock().unwrap();
            orders.now += 1;
            for id in next..next + 5 {
                orders.touch(id, |order| order["status"] = json!("completed"));
            }
            next += 5;
        })
        .await;
    let until = follower.high_water.unwrap().timestamp();
    let still = |id: &u64| shop.orders.lock().unwrap().by_id[id].0 < until;
    let unseen: BTreeSet<u64> = (0..10_150).filter(|id| !follower.seen.contains_key(id)).filter(still).collect();
    assert_eq!(unseen, BTreeSet::new(), "what did not move is seen in the very pass; what moved is younger than it");
    // What changed a moment ago may not show yet: it belongs to the pass after.
    shop.orders.lock().unwrap().now += 30;
    follower.pass(&shop, 100, |_| ()).await;
    follower.has_all(&shop);
}

#[derive(Clone, Debug)]
struct History {
    /// Seconds at which the orders were last changed before the pass.
    placed: Vec<i64>,
    /// Before each request: seconds that pass, and orders that are touched then.
    moves: Vec<(i64, Vec<usize>)>,
    size: u32,
    dated: bool,
    /// The shop's clock is so far from the center's.
    skew: i64,
}

fn history() -> impl Strategy<Value = History> {
    let placed = prop::collection::vec(0..6_i64, 1..40);
    let moves = prop::collection::vec((0..3_i64, prop::collection::vec(0..40_usize, 0..4)), 0..30);
    let skew = prop::sample::select(vec![-800_000_000_i64, -3_600, 0, 3_600, 800_000_000]);
    (placed, moves, 1..6_u32, prop::bool::ANY, skew).prop_map(|(placed, moves, size, dated, skew)| History {
        placed,
        moves,
        size,
        dated,
        skew,
    })
}

#[test]
fn whatever_moves_between_whichever_pages_nothing_is_lost() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&history(), |history| {
        runtime.block_on(loses_nothing(history));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

async fn loses_nothing(history: History) {
    let shop = Shop::start().await;
    let start = Utc::now().timestamp() + history.skew;
    {
        let mut orders = shop.orders.lock().unwrap();
        (orders.now, orders.dated) = (start + 10, history.dated);
        for (id, at) in history.placed.iter().enumerate() {
            orders.put(id as u64, start + at, "processing");
        }
    }
    let orders = shop.orders.clone();
    let mut moves = history.moves.into_iter();
    let mut step = 0;
    let mut advance = move |_| {
        let Some((seconds, touched)) = moves.next() else { return };
        let mut orders = orders.lock().unwrap();
        orders.now += seconds;
        step += 1;
        for id in touched {
            orders.touch(id as u64, |order| order["status"] = json!(format!("custom-{step}")));
        }
    };
    let source = patient(&shop);
    let source = || source.clone();
    let mut follower = Follower::default();
    for _ in 0..3 {
        follower.pass_by(source, history.size, &mut advance).await;
    }
    while shop.orders.lock().unwrap().now < start + 200 {
        shop.orders.lock().unwrap().now += 50;
        follower.pass_by(source, history.size, &mut advance).await;
    }
    follower.pass_by(source, history.size, |_| ()).await;
    follower.has_all(&shop);
}

#[tokio::test]
async fn an_order_is_read_whole_and_one_that_is_gone_is_none() {
    let shop = Shop::start().await;
    shop.put(7, 1_699_999_000, "processing");
    shop.orders
        .lock()
        .unwrap()
        .touch(7, |order| order["refunds"] = json!([{ "id": 5, "reason": "x", "total": "-3.00" }]));
    let source = shop.source();
    let id = |id: &str| SourceOrderId::try_new(id).unwrap();
    let raw = source.fetch(&id("7")).await.unwrap().unwrap();
    let order = source.normalize(&raw).await.unwrap().snapshot;
    assert_eq!((order.source_order_id.as_str(), order.refunds.len()), ("7", 1));
    assert!(shop.asked().iter().any(|asked| asked.path.ends_with("/orders/7/refunds")), "its refunds are read, too");
    assert_eq!(source.fetch(&id("8")).await.unwrap(), None);

    shop.plan(|_, _| Fault::Instead(404, vec![], "<html>not found</html>".into()));
    let error = source.fetch(&id("7")).await.unwrap_err();
    assert!(
        matches!(error, SourceError::Refused { status: 404, .. }),
        "a proxy's 404 is no word of the shop: {error:?}"
    );

    let many = shop.source();
    shop.plan(|_, _| Fault::None);
    let again = many.reread(&[id("7"), id("8")]).await.unwrap();
    assert_eq!(again.len(), 1, "what is gone is left out");
}
