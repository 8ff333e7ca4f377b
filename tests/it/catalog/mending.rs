//! Backfill, reconciliation, remapping: the index comes back to what the sources say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use order_center::catalog::{RunKind, RunRequest, RunState, SourceChange};
use order_center::index::Via;
use order_center::source::egress::Reach;
use order_center::source::protocol::{ProtocolClient, ProtocolConfig};
use order_center::source::{
    ActionOutcome, ActionRequest, Capabilities, ChangePage, ChangeWindow, EventError, Normalized, OrderSource, Probe,
    RawOrder, Reread, Source, SourceError, SourceEvent,
};
use order_contract::process::ProcessDefinition;
use order_contract::{IdempotencyKey, Rejection, Rounding, SourceOrderId};
use serde_json::{Map, Value, json};

use super::{changed, of_shelf, run};
use crate::center::{Center, INGEST, OPERATION, TIMEOUT, TestClock, until};
use crate::shelf::Shelf;
use crate::world::{TestDatabase, at, databases, order_id, snapshot, source, sqlite};

async fn count(world: &crate::world::TestDatabase, table: &str) -> i64 {
    world.database.fetch_all(&format!("select count(*) from {table}"), &[]).await.unwrap()[0].int(0).unwrap()
}

/// A shelf of 120 orders that the center has read.
async fn read_shelf(world: &crate::world::TestDatabase) -> (Center, Shelf) {
    let shelf = Shelf::start().await;
    (0..120).for_each(|n| shelf.put(changed(&format!("{n:03}"), 1, n)));
    shelf.set_now(500);
    let center = Center::new(&world.database, []);
    center.catalog.register(of_shelf(&shelf), true, "ada").await.unwrap();
    center.ingest.poll(&source("shelf")).await.unwrap();
    (center, shelf)
}

#[tokio::test(flavor = "multi_thread")]
async fn reconciliation_finds_what_no_list_and_no_webhook_told() {
    for world in databases().await {
        let (center, shelf) = read_shelf(&world).await;
        // Behind the change list's back: one is gone, one came in with an old date, one changed without a new date.
        shelf.remove("005");
        shelf.put(changed("late", 1, 7));
        let mut silent = changed("010", 1, 10);
        silent["channel"] = json!("phone");
        shelf.put(silent.clone());
        center.ingest.poll(&source("shelf")).await.unwrap();
        assert!(center.held(&order_id("shelf", "late")).await.is_none(), "polling does not see it");

        let done = run(&center, RunKind::Reconcile, RunRequest::default()).await;
        assert_eq!((done.state, done.error.clone()), (RunState::Succeeded, None), "{}", world.name);
        let report = done.report.clone().unwrap();
        assert_eq!(report, json!({ "read": 120, "missing": 1, "stale": 1, "deleted": 1, "quarantined": 0 }));
        assert_eq!(done.repaired(), Some(3));
        for (id, order) in shelf.orders() {
            assert_eq!(center.held(&order_id("shelf", &id)).await, Some(snapshot(&order)), "order {id}");
        }
        assert!(center.held(&order_id("shelf", "005")).await.is_none());
        assert_eq!((count(&world, "orders").await, count(&world, "source_run_seen").await), (120, 0));

        let again = run(&center, RunKind::Reconcile, RunRequest::default()).await;
        assert_eq!(again.repaired(), Some(0), "{}: what is right stays as it is", world.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciliation_within_a_range_deletes_nothing_outside_of_it() {
    let world = sqlite().await;
    let (center, shelf) = read_shelf(&world).await;
    for id in ["005", "100"] {
        shelf.remove(id);
    }
    let request = RunRequest { since: Some(at(50)), until: Some(at(110)), ..RunRequest::default() };
    let done = run(&center, RunKind::Reconcile, request).await;
    assert_eq!(done.report.unwrap()["deleted"], 1);
    assert!(center.held(&order_id("shelf", "100")).await.is_none());
    assert!(center.held(&order_id("shelf", "005")).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_deletes_nothing_and_the_run_goes_on_later() {
    let world = sqlite().await;
    let (center, shelf) = read_shelf(&world).await;
    shelf.instead(Some((404, "text/html", "<html>no such page</html>")));
    let waiting = run(&center, RunKind::Reconcile, RunRequest::default()).await;
    assert_eq!((waiting.state, waiting.attempts), (RunState::Running, 1));
    assert!(waiting.error.unwrap().contains("404"));
    assert_eq!(count(&world, "orders").await, 120);
    let twice = center.catalog.ask(&source("shelf"), RunKind::Reconcile, RunRequest::default(), "bob").await;
    assert_eq!(twice.unwrap_err().code(), Some("ALREADY_RUNNING"));

    shelf.instead(None);
    let _running = center.run_upkeep();
    until("the run ends", async || {
        center.catalog.run(&waiting.id).await.unwrap().unwrap().state == RunState::Succeeded
    })
    .await;
    assert_eq!(count(&world, "orders").await, 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_continues_a_run_where_a_dead_one_left_it() {
    for world in databases().await {
        let (center, shelf) = read_shelf(&world).await;
        shelf.put(changed("late", 1, 7));
        let asked =
            center.catalog.ask(&source("shelf"), RunKind::Reconcile, RunRequest::default(), "ada").await.unwrap();
        // The node dies while it waits for the second page.
        let pages = Arc::new(AtomicUsize::new(0));
        let (seen, task) = (pages.clone(), Arc::new(Mutex::new(None::<tokio::task::AbortHandle>)));
        let dying = task.clone();
        shelf.before_page(move |_, _| {
            if seen.fetch_add(1, Ordering::SeqCst) == 1
                && let Some(task) = dying.lock().unwrap().take()
            {
                task.abort();
            }
        });
        let node = Center::new(&world.database, []);
        node.catalog.converge().await.unwrap();
        let (upkeep, of) = (node.upkeep.clone(), asked.clone());
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let work = tokio::spawn(async move {
            begun.await.unwrap();
            upkeep.work(of).await;
        });
        *task.lock().unwrap() = Some(work.abort_handle());
        begin.send(()).unwrap();
        assert!(work.await.unwrap_err().is_cancelled());
        let left = center.catalog.run(&asked.id).await.unwrap().unwrap();
        assert_eq!(
            (left.state, left.report.unwrap()["read"].as_u64()),
            (RunState::Running, Some(50)),
            "{}",
            world.name
        );

        world.database.execute("update source_runs set lease_until = 0", &[]).await.unwrap();
        let left = center.catalog.run(&asked.id).await.unwrap().unwrap();
        center.upkeep.work(left).await;
        let done = center.catalog.run(&asked.id).await.unwrap().unwrap();
        assert_eq!(done.state, RunState::Succeeded);
        assert_eq!(
            done.report.unwrap(),
            json!({ "read": 121, "missing": 1, "stale": 0, "deleted": 0, "quarantined": 0 })
        );
        assert_eq!(
            pages.load(Ordering::SeqCst),
            4,
            "two pages, the second once more, the third: not from the beginning"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_reads_what_lies_before_the_registration() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        (0..120).for_each(|n| shelf.put(changed(&format!("{n:03}"), 1, n)));
        shelf.set_now(500);
        let center = Center::new(&world.database, []);
        let mut new = of_shelf(&shelf);
        new.since = Some(at(100));
        center.catalog.register(new, true, "ada").await.unwrap();
        center.ingest.poll(&source("shelf")).await.unwrap();
        assert_eq!(count(&world, "orders").await, 25, "{}: 20 and the overlap of 5", world.name);
        let request = RunRequest { since: Some(at(50)), until: Some(at(90)), ..RunRequest::default() };
        let done = run(&center, RunKind::Backfill, request).await;
        assert_eq!(done.report.unwrap()["missing"], 40);
        assert_eq!(count(&world, "orders").await, 65);
        run(&center, RunKind::Backfill, RunRequest::default()).await;
        assert_eq!(count(&world, "orders").await, 120);
    }
}

/// Amounts of five digits: how they are rounded is the mapping of a source that speaks the protocol.
fn long_amounts(shelf: &Shelf) {
    for n in 0..30 {
        let mut order = changed(&format!("{n:03}"), 1, n);
        order["lines"][0]["unitPrice"] = json!(if n % 3 == 0 { "2.55005" } else { "2.55" });
        shelf.put(order);
    }
    shelf.set_now(500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_is_tried_on_what_is_stored_and_then_promoted() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        long_amounts(&shelf);
        let center = Center::new(&world.database, []);
        let mut new = of_shelf(&shelf);
        new.settings = Map::from_iter([("rounding".to_owned(), json!("half_even"))]);
        center.catalog.register(new, true, "ada").await.unwrap();
        center.ingest.poll(&source("shelf")).await.unwrap();
        let unit_price = async |center: &Center| {
            center.held(&order_id("shelf", "000")).await.unwrap().lines[0].unit_price.to_string()
        };
        assert_eq!(unit_price(&center).await, "2.55");
        let asked = shelf.asked();

        let half_up = Map::from_iter([("rounding".to_owned(), json!("half_up"))]);
        let request = RunRequest { settings: Some(half_up.clone()), ..RunRequest::default() };
        let trial = run(&center, RunKind::Trial, request).await;
        let report = trial.report.unwrap();
        assert_eq!((&report["orders"], &report["changed"], &report["rejected"]), (&json!(30), &json!(10), &json!(0)));
        let field = &report["fields"]["/lines/*/unitPrice"];
        assert_eq!(field["orders"], 10, "{}: {report:#}", world.name);
        let example =
            json!({ "order": "ord_shelf_000", "path": "/lines/0/unitPrice", "before": "2.55", "after": "2.5501" });
        assert_eq!(field["examples"][0], example);
        assert_eq!(unit_price(&center).await, "2.55", "a trial changes nothing");

        let promote = SourceChange { settings: Some(half_up), ..SourceChange::default() };
        center.catalog.update(&source("shelf"), promote, false, "ada").await.unwrap();
        let _running = center.run_upkeep();
        until("the promotion is done", async || {
            center.catalog.last_success(&source("shelf"), RunKind::Remap).await.unwrap().is_some()
        })
        .await;
        assert_eq!(unit_price(&center).await, "2.5501");
        let held = center.index.find(&order_id("shelf", "000")).await.unwrap().unwrap();
        assert_eq!((held.via, held.snapshot.version.get()), (Via::Replay, 1));
        let report = center.catalog.last_success(&source("shelf"), RunKind::Remap).await.unwrap().unwrap().report;
        assert_eq!(report.unwrap()["changed"], 10);
        assert_eq!(shelf.asked(), asked, "{}: the source was not asked for anything", world.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_quarantined_is_understood_by_itself_once_the_mapping_is_mended() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        long_amounts(&shelf);
        let center = Center::new(&world.database, []);
        center.catalog.register(of_shelf(&shelf), true, "ada").await.unwrap();
        let pass = center.ingest.poll(&source("shelf")).await.unwrap();
        assert_eq!((pass.stored, pass.quarantined), (20, 10), "{}", world.name);

        let settings = Map::from_iter([("rounding".to_owned(), json!("half_even"))]);
        let request = RunRequest { settings: Some(settings.clone()), ..RunRequest::default() };
        let report = run(&center, RunKind::Trial, request).await.report.unwrap();
        assert_eq!((&report["quarantined"], &report["understood"]), (&json!(10), &json!(10)));
        assert_eq!(center.ingest.sync_state(&source("shelf")).await.unwrap().quarantined, 10);

        let _running = center.run_upkeep();
        let mend = SourceChange { settings: Some(settings), ..SourceChange::default() };
        center.catalog.update(&source("shelf"), mend, false, "ada").await.unwrap();
        until("nothing is quarantined", async || {
            center.ingest.sync_state(&source("shelf")).await.unwrap().quarantined == 0
        })
        .await;
        assert_eq!(count(&world, "orders").await, 30);
    }
}

/// A mapping that refuses more than the one before it loses nothing that is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_worse_mapping_keeps_what_is_stored_and_says_what_it_refuses() {
    let world = sqlite().await;
    let shelf = Shelf::start().await;
    long_amounts(&shelf);
    let center = Center::new(&world.database, []);
    let mut new = of_shelf(&shelf);
    new.settings = Map::from_iter([("rounding".to_owned(), json!("half_even"))]);
    center.catalog.register(new, true, "ada").await.unwrap();
    center.ingest.poll(&source("shelf")).await.unwrap();
    let request = RunRequest { settings: Some(Map::new()), ..RunRequest::default() };
    let report = run(&center, RunKind::Trial, request).await.report.unwrap();
    assert_eq!(report["rejected"], 10);
    let rules: &Map<String, Value> = report["rules"].as_object().unwrap();
    assert_eq!(rules.values().map(|rule| rule["orders"].as_u64().unwrap()).sum::<u64>(), 10, "{report:#}");
    let worse = SourceChange { settings: Some(Map::new()), ..SourceChange::default() };
    center.catalog.update(&source("shelf"), worse, false, "ada").await.unwrap();
    let _running = center.run_upkeep();
    until("it is done", async || {
        center.catalog.last_success(&source("shelf"), RunKind::Remap).await.unwrap().is_some()
    })
    .await;
    assert_eq!(count(&world, "orders").await, 30);
    assert_eq!(center.ingest.sync_state(&source("shelf")).await.unwrap().quarantined, 10);
}

/// The source of the configuration file, rounding so.
fn rounding(shelf: &Shelf, rounding: Rounding, name: &str) -> Source {
    let port = Arc::new(client(shelf, rounding));
    Source { key: source("shelf"), title: "Shelf".into(), adapter: "protocol".into(), mapping: name.into(), port }
}

fn client(shelf: &Shelf, rounding: Rounding) -> ProtocolClient {
    let config = ProtocolConfig {
        source: source("shelf"),
        base_url: shelf.base_url.parse().unwrap(),
        token: None,
        webhook_secrets: Vec::new(),
        rounding,
        timeout: TIMEOUT,
        body_bytes_max: 8 << 20,
        reach: Reach::Private,
    };
    ProtocolClient::new(config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_came_with_another_start_maps_anew_what_is_stored() {
    let world = sqlite().await;
    let shelf = Shelf::start().await;
    long_amounts(&shelf);
    let before = Center::new(&world.database, [rounding(&shelf, Rounding::Refuse, "one")]);
    before.catalog.follow_mappings().await.unwrap();
    before.ingest.poll(&source("shelf")).await.unwrap();
    assert_eq!(count(&world, "orders").await, 20);
    assert_eq!(count(&world, "source_runs").await, 0);

    let after = Center::new(&world.database, [rounding(&shelf, Rounding::HalfUp, "two")]);
    let _running = after.run_upkeep();
    until("what was quarantined is understood", async || count(&world, "orders").await == 30).await;
    // The node that is still there does not turn it back.
    before.catalog.follow_mappings().await.unwrap();
    let runs = after.catalog.runs(&source("shelf"), 10).await.unwrap();
    let remaps = runs.iter().filter(|run| run.kind == RunKind::Remap).count();
    assert_eq!(remaps, 1, "{runs:?}");
}

/// A real module whose change list is known to leave changes out.
struct Sparse(ProtocolClient);

#[async_trait::async_trait]
impl OrderSource for Sparse {
    async fn describe(&self) -> Result<Capabilities, SourceError> {
        let (every, ended) = (Duration::from_secs(900), Duration::from_secs(90 * 24 * 3600));
        let blind_spots = Some(Reread { every, batch: 50, ended });
        Ok(Capabilities { blind_spots, ..self.0.describe().await? })
    }

    async fn fetch(&self, id: &SourceOrderId) -> Result<Option<RawOrder>, SourceError> {
        self.0.fetch(id).await
    }

    async fn list_changes(&self, window: &ChangeWindow) -> Result<ChangePage, SourceError> {
        self.0.list_changes(window).await
    }

    async fn normalize(&self, raw: &RawOrder) -> Result<Normalized, Rejection> {
        self.0.normalize(raw).await
    }

    fn parse_event(
        &self,
        headers: &http::HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(String, SourceEvent), EventError> {
        self.0.parse_event(headers, body, now)
    }

    async fn execute(&self, request: &ActionRequest) -> ActionOutcome {
        self.0.execute(request).await
    }

    async fn probe(&self, key: &IdempotencyKey) -> Probe {
        self.0.probe(key).await
    }

    async fn process(&self) -> Result<Option<ProcessDefinition>, SourceError> {
        self.0.process().await
    }
}

fn sparse(world: &TestDatabase, shelf: &Shelf, clock: &TestClock) -> Center {
    let plain = rounding(shelf, Rounding::Refuse, "");
    let sparse = Source { port: Arc::new(Sparse(client(shelf, Rounding::Refuse))), ..plain };
    Center::with(&world.database, [sparse], clock, INGEST, OPERATION)
}

#[tokio::test(flavor = "multi_thread")]
async fn open_orders_are_read_again_where_the_change_list_has_blind_spots() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        (0..120).for_each(|n| shelf.put(changed(&format!("{n:03}"), 1, n)));
        let mut closed = changed("000", 1, 0);
        closed["status"] = json!("COMPLETED");
        shelf.put(closed);
        shelf.set_now(500);
        let clock = TestClock::default();
        let center = sparse(&world, &shelf, &clock);
        center.ingest.poll(&source("shelf")).await.unwrap();
        // Neither version nor date moves: no list will ever tell.
        let mut silent = changed("110", 1, 110);
        silent["fulfillmentStatus"] = json!("SHIPPED");
        shelf.put(silent.clone());
        shelf.remove("111");

        let mut batches = Vec::new();
        for _ in 0..4 {
            batches.push(center.upkeep.reread_batch(&source("shelf")).await.unwrap());
        }
        assert_eq!(batches, [50, 50, 19, 0], "{}: one round, then a pause", world.name);
        assert_eq!(center.held(&order_id("shelf", "110")).await, Some(snapshot(&silent)));
        assert!(center.held(&order_id("shelf", "111")).await.is_none());
        clock.set(1_000);
        assert_eq!(center.upkeep.reread_batch(&source("shelf")).await.unwrap(), 50, "{}: the next round", world.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_to_an_ended_order_in_silence_is_found_on_schedule() {
    let world = sqlite().await;
    let shelf = Shelf::start().await;
    let mut ended = changed("000", 1, 0);
    ended["status"] = json!("COMPLETED");
    shelf.put(ended.clone());
    shelf.set_now(500);
    let clock = TestClock::default();
    let center = sparse(&world, &shelf, &clock);
    center.ingest.poll(&source("shelf")).await.unwrap();
    // A month later its money goes back, and the date of change stays.
    ended["version"] = json!(2);
    ended["paymentStatus"] = json!("REFUNDED");
    shelf.put(ended.clone());
    clock.set((at(30 * 24 * 3600) - Utc::now()).num_seconds());
    let _running = center.run_upkeep();
    until("it is found", async || center.held(&order_id("shelf", "000")).await == Some(snapshot(&ended))).await;
}
