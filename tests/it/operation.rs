//! Operations: one durable intent, at most one effect, and never a guessed outcome. Every module here is the real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use order_center::operation::{Intent, Operation, OperationError, OperationLimits, OperationState, Verdict};
use order_contract::OrderStatus;
use serde_json::json;
use sqlx::{Connection, Executor};

use crate::center::{
    Center, INGEST, Module, OPERATION, Seeded, TestClock, create, intent, nothing, protocol_source, until,
};
use crate::fault::{Asked, ERROR_500, Fault, HTML};
use crate::world::{TestDatabase, databases, order_id, sqlite};

/// A center over this database and a module that has taken the orders `A1` to `A<count>`; both agree.
async fn center(world: &TestDatabase, orders: usize) -> (Center, Module) {
    let module = Module::start().await;
    module.import((1..=orders).map(|n| format!("A{n}"))).await;
    let center = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
    center.ingest.poll(&crate::world::source("retail")).await.unwrap();
    (center, module)
}

fn refund(order: &str, key: &str) -> Intent {
    intent(&order_id("retail", order), key, "refund", json!({ "amount": "0.01" }))
}

/// How many hundredths the module has given back: each accepted refund of the tests is one.
async fn effects(module: &Module, order: &str) -> i64 {
    let refunded = module.order(order).await.totals.refunded.unwrap_or_default();
    let text = format!("{refunded}");
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    whole.parse::<i64>().unwrap() * 100 + format!("{part:0<2}").parse::<i64>().unwrap()
}

async fn all_final(center: &Center) -> bool {
    let open = [OperationState::Dispatching, OperationState::Accepted, OperationState::Unknown];
    center.operations.list(None, &open, None, 10).await.unwrap().is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_is_done_by_its_owner_and_read_back_at_once() {
    for world in databases().await {
        let (center, module) = center(&world, 1).await;
        let id = order_id("retail", "A1");
        let done = center.operations.perform(intent(&id, "k1", "cancel", json!({ "reason": "test" }))).await.unwrap();
        assert_eq!((done.state, done.attempts), (OperationState::Succeeded, 1), "{}: {done:?}", world.name);
        assert!(done.effects.len() >= 2, "stock and money move: {:?}", done.effects);
        let held = center.held(&id).await.unwrap();
        assert_eq!(held.status, OrderStatus::Canceled);
        assert_eq!(held, module.order("A1").await);
        assert_eq!(done.version_after, Some(held.version));
        assert_eq!(center.operations.find(&done.id).await.unwrap(), Some(done.clone()));
        assert_eq!(center.operations.list(Some(&id), &[], None, 10).await.unwrap(), [done]);

        let refused = center.operations.perform(intent(&id, "k2", "ship", nothing())).await.unwrap();
        assert_eq!(refused.state, OperationState::Rejected);
        assert_eq!(refused.error.unwrap().code, "ACTION_NOT_ALLOWED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_order_is_in_the_index_with_its_operation() {
    for world in databases().await {
        let (center, module) = center(&world, 1).await;
        let input = json!({ "lines": [{ "sku": "85123A", "quantity": 2 }] });
        let dry = Intent { dry_run: true, ..create("k0", input.clone()) };
        let tried = center.operations.perform(dry).await.unwrap();
        assert_eq!((tried.state, tried.dry_run, &tried.order), (OperationState::Succeeded, true, &None));
        assert_eq!(center.operations.find(&tried.id).await.unwrap(), None, "a dry run is not recorded");

        let done = center.operations.perform(create("k1", input)).await.unwrap();
        let id = done.order.clone().expect("the order is known");
        assert_eq!(done.state, OperationState::Succeeded);
        assert_eq!(center.held(&id).await.unwrap(), module.order(id.source_order_id().as_str()).await);
        assert_eq!(center.operations.find(&done.id).await.unwrap().unwrap().order, Some(id.clone()));
        assert_eq!(id.source_order_id().as_str(), "R000001", "the dry run made no order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_asks_only_who_can_answer_it() {
    let world = sqlite().await;
    let (center, module) = center(&world, 1).await;
    let cancel = |key: &str| Intent { dry_run: true, ..intent(&order_id("retail", "A1"), key, "cancel", nothing()) };
    let tried = center.operations.perform(cancel("k1")).await.unwrap();
    assert_eq!(tried.state, OperationState::Succeeded);
    assert!(!tried.effects.is_empty());
    assert_eq!(module.order("A1").await.status, OrderStatus::Processing);
    assert_eq!(center.held(&order_id("retail", "A1")).await.unwrap().status, OrderStatus::Processing);

    module.proxy.plan(|asked| match asked.is_descriptor() {
        true => Fault::Edit(Arc::new(|json| json["capabilities"]["dryRun"] = json!(false))),
        false => Fault::Pass,
    });
    let center = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
    let asked = module.proxy.count(Asked::is_action);
    let refused = center.operations.perform(cancel("k2")).await.unwrap();
    assert_eq!(refused.error.unwrap().code, "DRY_RUN_NOT_SUPPORTED");
    assert_eq!(module.proxy.count(Asked::is_action), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_with_one_key_make_one_call() {
    for world in databases().await {
        let (center, module) = center(&world, 1).await;
        let asks = (0..200).map(|_| {
            let operations = center.operations.clone();
            tokio::spawn(async move { operations.perform(refund("A1", "one")).await })
        });
        let answers: Vec<Operation> =
            join_all(asks).await.into_iter().map(|answer| answer.unwrap().expect("an answer")).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{}: one answer for all", world.name);
        assert_eq!(answers[0].state, OperationState::Succeeded);
        assert_eq!(module.proxy.count(Asked::is_action), 1);
        assert_eq!(effects(&module, "A1").await, 1);

        let other =
            Intent { input: [("amount".to_owned(), json!("0.02"))].into_iter().collect(), ..refund("A1", "one") };
        assert!(matches!(center.operations.perform(other).await, Err(OperationError::KeyMismatch)));
        let elsewhere = Intent { principal: "key_2".into(), ..refund("A1", "one") };
        assert_eq!(center.operations.perform(elsewhere).await.unwrap().state, OperationState::Succeeded);

        let restarted = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
        assert_eq!(restarted.operations.perform(refund("A1", "one")).await.unwrap(), answers[0]);
        assert_eq!(module.proxy.count(Asked::is_action), 2);
        assert_eq!(effects(&module, "A1").await, 2);
    }
}

/// What is lost after the module has acted is never reported as a failure, and never done twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_found_again() {
    let seed = 0x0c0f_fee5;
    println!("seed {seed:#x}");
    for world in databases().await {
        let (center, module) = center(&world, 1).await;
        let _settling = center.run_operations();
        let faults = [
            Fault::Lose,
            Fault::Half,
            Fault::Drop,
            Fault::Instead(HTML.0, HTML.1, HTML.2),
            Fault::Instead(ERROR_500.0, ERROR_500.1, ERROR_500.2),
            Fault::Answer(ERROR_500.0, ERROR_500.1, ERROR_500.2),
            Fault::Answer("503 Service Unavailable", "retry-after: 1\r\n", "<html>"),
            Fault::Stall(Duration::from_millis(1_200)),
        ];
        let mut random = Seeded(seed);
        // Of four requests, one is answered as it should be.
        module.proxy.plan(move |asked| {
            let fault = random.below(4 * faults.len() as u64 / 3) as usize;
            if asked.is_descriptor() { Fault::Pass } else { faults.get(fault).cloned().unwrap_or(Fault::Pass) }
        });
        let asks = (0..60).map(|n| {
            let operations = center.operations.clone();
            tokio::spawn(async move { operations.perform(refund("A1", &format!("k{n}"))).await.unwrap() })
        });
        let answers: Vec<Operation> = join_all(asks).await.into_iter().map(Result::unwrap).collect();
        let rejected: Vec<_> = answers.iter().filter(|answer| answer.state == OperationState::Rejected).collect();
        assert_eq!(rejected, Vec::<&Operation>::new(), "{}: nothing was refused", world.name);
        module.proxy.plan(|_| Fault::Pass);
        until("every operation ends", || all_final(&center)).await;
        let ended = center.operations.list(None, &[OperationState::Succeeded], None, 100).await.unwrap();
        assert_eq!(ended.len(), 60);
        assert_eq!(effects(&module, "A1").await, 60, "{}: one effect each", world.name);
        until("the index agrees", || async {
            center.ingest.refresh(&order_id("retail", "A1")).await.unwrap().unwrap().snapshot
                == module.order("A1").await
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_changes_nothing() {
    let seed = 0xdead_11e5;
    println!("seed {seed:#x}");
    for world in databases().await {
        let (center, module) = center(&world, 1).await;
        let mut random = Seeded(seed);
        for n in 0..60 {
            let operations = center.operations.clone();
            let ask = tokio::spawn(async move { operations.perform(refund("A1", &format!("k{n}"))).await });
            // Some stay until they are answered; the others leave somewhere on the way.
            if n % 10 == 9 {
                ask.await.unwrap().unwrap();
                continue;
            }
            tokio::time::sleep(Duration::from_micros(random.below(40_000))).await;
            ask.abort();
        }
        until("every operation ends", || all_final(&center)).await;
        let accepted = center.operations.list(None, &[], None, 100).await.unwrap();
        assert!(accepted.iter().all(|operation| operation.state == OperationState::Succeeded), "{accepted:?}");
        assert!(accepted.len() >= 6, "some clients stayed");
        assert_eq!(effects(&module, "A1").await, accepted.len() as i64, "{}", world.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_saw_the_same_version_one_wins() {
    for world in databases().await {
        let (center, module) = center(&world, 20).await;
        for n in 1..=20 {
            let id = order_id("retail", &format!("A{n}"));
            let seen = center.held(&id).await.unwrap().version;
            let ask = |action: &str| Intent {
                expected_version: Some(seen),
                ..intent(&id, &format!("{action}-{n}"), action, nothing())
            };
            let (cancel, produce) =
                tokio::join!(center.operations.perform(ask("cancel")), center.operations.perform(ask("produce")));
            let both = [cancel.unwrap(), produce.unwrap()];
            let (won, lost): (Vec<_>, Vec<_>) = both.iter().partition(|o| o.state == OperationState::Succeeded);
            assert_eq!((won.len(), lost.len()), (1, 1), "{}: {both:?}", world.name);
            let error = lost[0].error.as_ref().unwrap();
            assert_eq!(error.code, "VERSION_CONFLICT");
            assert_eq!(error.current_version, won[0].version_after);
            assert_eq!(center.held(&id).await.unwrap(), module.order(&format!("A{n}")).await);
        }
    }
}

/// A refusal shows that the index was behind: the client sees the present order at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_conflict_brings_the_present_order() {
    let world = sqlite().await;
    let (center, module) = center(&world, 1).await;
    let id = order_id("retail", "A1");
    let seen = center.held(&id).await.unwrap().version;
    behind_the_centers_back(&module, "A1", "produce").await;
    let stale = Intent { expected_version: Some(seen), ..intent(&id, "k1", "cancel", nothing()) };
    let refused = center.operations.perform(stale).await.unwrap();
    assert_eq!(refused.error.unwrap().code, "VERSION_CONFLICT");
    assert_eq!(center.held(&id).await.unwrap(), module.order("A1").await);

    // A source that does not compare versions is read before it is asked.
    behind_the_centers_back(&module, "A1", "ship").await;
    module.proxy.plan(|asked| match asked.is_descriptor() {
        true => Fault::Edit(Arc::new(|json| json["capabilities"]["expectedVersion"] = json!(false))),
        false => Fault::Pass,
    });
    let center = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
    let seen = center.held(&id).await.unwrap().version;
    let asked = module.proxy.count(Asked::is_action);
    let stale = Intent { expected_version: Some(seen), ..intent(&id, "k2", "deliver", nothing()) };
    let refused = center.operations.perform(stale).await.unwrap();
    assert_eq!(refused.error.unwrap().code, "VERSION_CONFLICT");
    assert_eq!(module.proxy.count(Asked::is_action), asked, "it was not asked");
    let present = center.held(&id).await.unwrap().version;
    let fresh = Intent { expected_version: Some(present), ..intent(&id, "k3", "deliver", nothing()) };
    assert_eq!(center.operations.perform(fresh).await.unwrap().state, OperationState::Succeeded);
}

/// Acts on the module itself, as its own users do.
async fn behind_the_centers_back(module: &Module, order: &str, action: &str) {
    let url = format!("http://{}/orders/{order}/actions/{action}", module.address);
    let request = reqwest::Client::new().post(url).header("idempotency-key", format!("own-{order}-{action}"));
    request.json(&json!({})).send().await.unwrap().error_for_status().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reached_nobody_is_refused_and_may_be_tried_again() {
    let world = sqlite().await;
    let (center, module) = center(&world, 1).await;
    // A port that nothing listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Center::new(&world.database, [protocol_source("retail", &format!("http://{free}"))]);
    let refused = gone.operations.perform(refund("A1", "k1")).await.unwrap();
    assert_eq!((refused.state, refused.attempts), (OperationState::Rejected, OPERATION.attempts_max));
    let error = refused.error.unwrap();
    assert_eq!(error.code, "SOURCE_UNAVAILABLE");
    assert!(error.message.contains("nothing was changed"), "{}", error.message);
    assert_eq!(effects(&module, "A1").await, 0);
    assert_eq!(center.operations.perform(refund("A1", "k2")).await.unwrap().state, OperationState::Succeeded);
    assert_eq!(effects(&module, "A1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_forgets_keys_is_asked_once() {
    let world = sqlite().await;
    let (_, module) = center(&world, 1).await;
    module.proxy.plan(|asked| match (asked.is_descriptor(), asked.is_action()) {
        (true, _) => Fault::Edit(Arc::new(|json| json["idempotency"] = json!("BLIND"))),
        (_, true) => Fault::Lose,
        _ => Fault::Pass,
    });
    let center = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
    let doubtful = center.operations.perform(refund("A1", "k1")).await.unwrap();
    assert_eq!(doubtful.state, OperationState::Unknown);
    assert_eq!(doubtful.error.as_ref().unwrap().code, "OUTCOME_UNKNOWN");
    // What is in doubt is the operation, not the order: that was read.
    assert_eq!(center.held(&order_id("retail", "A1")).await.unwrap(), module.order("A1").await);
    let asked_again = center.operations.settle_now(&doubtful.id).await.unwrap().unwrap();
    assert_eq!(asked_again.state, OperationState::Unknown);
    assert_eq!(center.operations.perform(refund("A1", "k1")).await.unwrap().id, doubtful.id);
    assert_eq!(module.proxy.count(Asked::is_action), 1);
    assert_eq!(effects(&module, "A1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_compares_versions_is_asked_again_only_while_nothing_changed() {
    let world = sqlite().await;
    let (_, module) = center(&world, 2).await;
    let faults = Arc::new(AtomicUsize::new(0));
    module.proxy.plan({
        let faults = faults.clone();
        move |asked| match (asked.is_descriptor(), asked.is_action()) {
            (true, _) => Fault::Edit(Arc::new(|json| json["idempotency"] = json!("CONDITIONAL"))),
            (_, true) if asked.path.contains("/A1/") && faults.fetch_add(1, Ordering::SeqCst) == 0 => Fault::Drop,
            (_, true) if asked.path.contains("/A2/") => Fault::Lose,
            _ => Fault::Pass,
        }
    });
    let center = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
    let mut ends = Vec::new();
    for order in ["A1", "A2"] {
        let seen = center.held(&order_id("retail", order)).await.unwrap().version;
        let ask = Intent { expected_version: Some(seen), ..refund(order, order) };
        ends.push(center.operations.perform(ask).await.unwrap());
    }
    assert_eq!((ends[0].state, ends[0].attempts), (OperationState::Succeeded, 2), "{:?}", ends[0]);
    assert_eq!((ends[1].state, ends[1].attempts), (OperationState::Unknown, 1), "{:?}", ends[1]);
    assert_eq!((effects(&module, "A1").await, effects(&module, "A2").await), (1, 1));
}

/// A node dies in the middle: before the module was reached, or after it acted.
#[test]
fn what_a_dead_node_left_behind_is_ended_by_another() {
    let tests = tokio::runtime::Runtime::new().unwrap();
    tests.block_on(async {
        for world in databases().await {
            let (center, module) = center(&world, 2).await;
            for (order, fault) in [("A1", Fault::Stall(Duration::from_secs(60))), ("A2", Fault::Drop)] {
                let stalled = Arc::new(AtomicBool::new(false));
                module.proxy.plan({
                    let stalled = stalled.clone();
                    move |asked| match asked.is_action() && !stalled.swap(true, Ordering::SeqCst) {
                        true => fault.clone(),
                        false => Fault::Pass,
                    }
                });
                let (url, base_url) = (world.url.clone(), module.proxy.base_url.clone());
                let node = std::thread::spawn(move || {
                    let node = tokio::runtime::Runtime::new().unwrap();
                    node.block_on(async {
                        let database = order_center::database::Database::open(&url, Default::default()).await.unwrap();
                        let center = Center::new(&database, [protocol_source("retail", &base_url)]);
                        let ask = tokio::spawn(async move { center.operations.perform(refund(order, order)).await });
                        until("the module is asked", || async { stalled.load(Ordering::SeqCst) }).await;
                        ask.abort();
                    });
                    // Everything the node was doing stops where it is.
                    node.shutdown_background();
                });
                tokio::task::spawn_blocking(|| node.join().unwrap()).await.unwrap();
                let settling = center.run_operations();
                until("every operation ends", || all_final(&center)).await;
                drop(settling);
                let id = order_id("retail", order);
                let ended = center.operations.list(Some(&id), &[], None, 10).await.unwrap();
                assert_eq!(ended.len(), 1);
                assert_eq!(ended[0].state, OperationState::Succeeded, "{}: {ended:?}", world.name);
                assert_eq!(effects(&module, order).await, 1);
                assert_eq!(center.held(&id).await.unwrap(), module.order(order).await);
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_order_is_still_a_success() {
    for world in databases().await {
        let (center, module) = center(&world, 1).await;
        module.proxy.plan(|asked| match asked.is_action() {
            true => Fault::Edit(Arc::new(|json| json["order"]["lines"][0]["quantity"]["ordered"] = json!(-6))),
            false => Fault::Pass,
        });
        let done = center.operations.perform(refund("A1", "k1")).await.unwrap();
        assert_eq!((done.state, done.version_after), (OperationState::Succeeded, None), "{}", world.name);
        assert_eq!(effects(&module, "A1").await, 1);
        let records = center.ingest.quarantined(None, false, None, 10).await.unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].rejection.path, "/lines/0/quantity/ordered");
        // The order itself is read afterwards, and is sound.
        let id = order_id("retail", "A1");
        until("the order is read", || async {
            let open = center.ingest.quarantined(None, true, None, 10).await.unwrap();
            center.held(&id).await.unwrap() == module.order("A1").await && open.is_empty()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_durable_intent_nobody_is_called() {
    for world in databases().await {
        let (center, module) = center(&world, 1).await;
        // The database takes no intent: a full disk looks the same to the statement.
        let refuse: &[&str] = match world.name {
            "sqlite" => {
                &["create trigger full_disk before insert on operations begin select raise(abort, 'full'); end"]
            }
            _ => &["alter table operations rename to operations_away"],
        };
        let heal = match world.name {
            "sqlite" => "drop trigger full_disk",
            _ => "alter table operations_away rename to operations",
        };
        for sql in refuse {
            world.database.execute(sql, &[]).await.unwrap();
        }
        let error = center.operations.perform(refund("A1", "k1")).await.expect_err("no intent");
        assert!(matches!(error, OperationError::Record(_) | OperationError::Read(_)), "{}: {error:?}", world.name);
        assert_eq!(module.proxy.count(Asked::is_action), 0);
        world.database.execute(heal, &[]).await.unwrap();
        assert_eq!(center.operations.perform(refund("A1", "k1")).await.unwrap().state, OperationState::Succeeded);
        assert_eq!(effects(&module, "A1").await, 1);
    }
}

/// The module has acted and the database takes no write for longer than a statement waits: the outcome is kept and
/// written as soon as it can be.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_waits_for_the_database() {
    let world = sqlite().await;
    let (center, module) = center(&world, 1).await;
    module.proxy.plan(|asked| match asked.is_action() {
        true => Fault::Stall(Duration::from_millis(500)),
        false => Fault::Pass,
    });
    let operations = center.operations.clone();
    let ask = tokio::spawn(async move { operations.perform(refund("A1", "k1")).await });
    until("the module is asked", || async { module.proxy.count(Asked::is_action) == 1 }).await;
    let mut locker = sqlx::SqliteConnection::connect(&world.url).await.unwrap();
    locker.execute("begin immediate").await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    locker.execute("rollback").await.unwrap();
    let first = ask.await.unwrap().unwrap();
    until("the outcome is written", || all_final(&center)).await;
    let done = center.operations.find(&first.id).await.unwrap().unwrap();
    assert_eq!((done.state, done.attempts), (OperationState::Succeeded, 1));
    assert_eq!(effects(&module, "A1").await, 1);
}

/// Every connection to the database is cut again and again, in the middle of whatever it was doing: a commit whose
/// answer was lost is neither repeated nor forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_database_may_break_at_any_moment() {
    let Some(world) = crate::world::postgres().await else { return };
    let seed = 0x0b5c_07ed;
    println!("seed {seed:#x}");
    let (center, module) = center(&world, 1).await;
    let _settling = center.run_operations();
    let asks = (0..40).map(|n| {
        let operations = center.operations.clone();
        tokio::spawn(async move {
            // As a client does: again under the same key until there is an answer.
            loop {
                match operations.perform(refund("A1", &format!("k{n}"))).await {
                    Ok(operation) => return operation.id,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
    });
    let asks: Vec<_> = asks.collect();
    let mut random = Seeded(seed);
    let mut killer = sqlx::PgConnection::connect(&world.url).await.unwrap();
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid()";
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(random.below(60))).await;
        killer.execute(cut).await.unwrap();
    }
    for ask in asks {
        ask.await.unwrap();
    }
    until("every operation ends", || async {
        let open = [OperationState::Dispatching, OperationState::Accepted, OperationState::Unknown];
        center.operations.list(None, &open, None, 1).await.is_ok_and(|open| open.is_empty())
    })
    .await;
    let recorded = center.operations.list(None, &[], None, 100).await.unwrap();
    assert_eq!(recorded.len(), 40);
    assert!(recorded.iter().all(|operation| operation.state == OperationState::Succeeded), "{recorded:?}");
    assert_eq!(effects(&module, "A1").await, 40);
    assert_eq!(center.held(&order_id("retail", "A1")).await.unwrap(), module.order("A1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_source_fills_its_own_room_only() {
    let world = sqlite().await;
    let (slow, quick) = (Module::start().await, Module::start().await);
    slow.import(["A1".to_owned()]).await;
    quick.import(["A1".to_owned()]).await;
    let limits = OperationLimits { concurrency_max: 4, ..OPERATION };
    let sources = [protocol_source("slow", &slow.proxy.base_url), protocol_source("quick", &quick.proxy.base_url)];
    let center = Center::with(&world.database, sources, &TestClock::default(), INGEST, limits);
    for key in ["slow", "quick"] {
        center.ingest.poll(&crate::world::source(key)).await.unwrap();
    }
    let open = Arc::new(AtomicBool::new(false));
    slow.proxy.plan({
        let open = open.clone();
        move |_| if open.load(Ordering::SeqCst) { Fault::Pass } else { Fault::Stall(Duration::from_secs(5)) }
    });
    let ask = |source: &str, key: String| {
        let operations = center.operations.clone();
        let ask = intent(&order_id(source, "A1"), &key, "refund", json!({ "amount": "0.01" }));
        tokio::spawn(async move { operations.perform(ask).await })
    };
    let stuck: Vec<_> = (0..12).map(|n| ask("slow", format!("s{n}"))).collect();
    until("the slow source is full", || async { slow.proxy.count(Asked::is_action) >= 4 }).await;
    for n in 0..10 {
        let done = ask("quick", format!("q{n}")).await.unwrap().unwrap();
        assert_eq!(done.state, OperationState::Succeeded);
    }
    let answers: Vec<_> = join_all(stuck).await.into_iter().map(Result::unwrap).collect();
    open.store(true, Ordering::SeqCst);
    let _settling = center.run_operations();
    let shed = answers.iter().filter(|answer| matches!(answer, Err(OperationError::Overloaded))).count();
    assert!(shed > 0, "what has no room is shed, not queued without end");
    until("every operation ends", || all_final(&center)).await;
    assert_eq!(effects(&slow, "A1").await, 12 - shed as i64, "what was shed was never asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_order_is_not_asked_for_but_an_unread_one_is() {
    let world = sqlite().await;
    let (center, module) = center(&world, 1).await;
    let unknown = center.operations.perform(refund("A9", "k1")).await;
    assert!(matches!(unknown, Err(OperationError::UnknownOrder)), "{unknown:?}");
    let elsewhere = Intent { source: crate::world::source("other"), ..refund("A1", "k2") };
    assert!(matches!(center.operations.perform(elsewhere).await, Err(OperationError::UnknownSource(_))));
    module.import(["A2".to_owned()]).await;
    assert_eq!(center.operations.perform(refund("A2", "k3")).await.unwrap().state, OperationState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_each_change_until_the_end() {
    for world in databases().await {
        let (center, module) = center(&world, 1).await;
        module.proxy.plan(|asked| match asked.is_action() {
            true => Fault::Stall(Duration::from_millis(300)),
            false => Fault::Pass,
        });
        let operations = center.operations.clone();
        let ask = tokio::spawn(async move { operations.perform(refund("A1", "k1")).await });
        until("it is recorded", || async { !center.operations.list(None, &[], None, 1).await.unwrap().is_empty() })
            .await;
        let id = center.operations.list(None, &[], None, 1).await.unwrap()[0].id.clone();
        // Another node sees it too, without being told.
        let elsewhere = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
        let (here, there): (Vec<_>, Vec<_>) =
            tokio::join!(center.operations.watch(id.clone()).collect(), elsewhere.operations.watch(id).collect());
        let states =
            |seen: Vec<Result<Operation, _>>| -> Vec<_> { seen.into_iter().map(|o| o.unwrap().state).collect() };
        let all = [OperationState::Dispatching, OperationState::Succeeded];
        assert_eq!((states(here), states(there)), (all.to_vec(), all.to_vec()), "{}", world.name);
        assert_eq!(ask.await.unwrap().unwrap().state, OperationState::Succeeded);
        assert_eq!(center.operations.watch("no-such".into()).collect::<Vec<_>>().await.len(), 0);
    }
}

/// The client waits only so long, and then holds an operation that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waited_long_enough_holds_an_operation_in_progress() {
    let world = sqlite().await;
    let (_, module) = center(&world, 1).await;
    module.proxy.plan(|asked| match asked.is_action() {
        true => Fault::Stall(Duration::from_millis(600)),
        false => Fault::Pass,
    });
    let limits = OperationLimits { wait: Duration::from_millis(100), ..OPERATION };
    let source = protocol_source("retail", &module.proxy.base_url);
    let center = Center::with(&world.database, [source], &TestClock::default(), INGEST, limits);
    let waiting = center.operations.perform(refund("A1", "k1")).await.unwrap();
    assert_eq!(waiting.state, OperationState::Dispatching);
    until("it ends", || all_final(&center)).await;
    let done = center.operations.perform(refund("A1", "k1")).await.unwrap();
    assert_eq!((done.id, done.state), (waiting.id, OperationState::Succeeded));
}

/// A center over a module that says it forgets keys, with an order `A1`.
async fn blind(world: &TestDatabase) -> (Center, Module) {
    let (_, module) = center(world, 1).await;
    forget_keys(&module, Fault::Pass);
    (Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]), module)
}

fn forget_keys(module: &Module, acting: Fault) {
    module.proxy.plan(move |asked| match (asked.is_descriptor(), asked.is_action()) {
        (true, _) => Fault::Edit(Arc::new(|json| json["idempotency"] = json!("BLIND"))),
        (_, true) => acting.clone(),
        _ => Fault::Pass,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_on_one_order_of_a_source_that_forgets_keys_take_turns_on_every_node() {
    for world in databases().await {
        let (one, module) = blind(&world).await;
        let two = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
        forget_keys(&module, Fault::Stall(Duration::from_millis(30)));
        let asks = (0..8).map(|n| {
            let node = if n % 2 == 0 { one.clone() } else { two.clone() };
            async move { node.operations.perform(refund("A1", &format!("k{n}"))).await.unwrap() }
        });
        for done in join_all(asks).await {
            assert_eq!(done.state, OperationState::Succeeded, "{}: {done:?}", world.name);
        }
        assert_eq!(effects(&module, "A1").await, 8);
        assert_eq!(
            module.proxy.most_actions_at_once(),
            1,
            "{}: two asks for one order were under way at once",
            world.name
        );
        let left = world.database.fetch_all("select count(*) from order_turns", &[]).await.unwrap();
        assert_eq!(left[0].int(0).unwrap(), 0, "no turn is left behind");
    }
}

/// Settlement asks the owner again and again; what a person found there must not be lost because it is at it just then.
#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_waits_for_the_settlement_that_is_under_way() {
    let world = sqlite().await;
    let (center, module) = blind(&world).await;
    for n in 0..5 {
        forget_keys(&module, Fault::Lose);
        let doubtful = center.operations.perform(refund("A1", &format!("k{n}"))).await.unwrap();
        assert_eq!(doubtful.state, OperationState::Unknown);
        let settle = center.operations.settle_now(&doubtful.id);
        let decide = center.operations.decide(&doubtful.id, Verdict::TookEffect, "ada");
        let (_, decided) = tokio::join!(settle, decide);
        assert_eq!(decided.unwrap().unwrap().state, OperationState::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_action_is_in_doubt_a_source_that_forgets_keys_is_not_asked_again_for_that_order() {
    for world in databases().await {
        let (center, module) = blind(&world).await;
        forget_keys(&module, Fault::Lose);
        let doubtful = center.operations.perform(refund("A1", "k1")).await.unwrap();
        assert_eq!(doubtful.state, OperationState::Unknown, "{}", world.name);
        forget_keys(&module, Fault::Pass);
        // A person tries once more, with a new key.
        let again = center.operations.perform(refund("A1", "k2")).await.unwrap();
        let error = again.error.unwrap();
        assert_eq!((again.state, error.code.as_str()), (OperationState::Rejected, "OUTCOME_PENDING"));
        assert!(error.message.contains(&doubtful.id), "{}", error.message);
        assert_eq!(effects(&module, "A1").await, 1, "nothing was paid twice");
        // The person looks at the module, and says what is there.
        let decided = center.operations.decide(&doubtful.id, Verdict::TookEffect, "ada").await.unwrap().unwrap();
        assert_eq!((decided.state, decided.error), (OperationState::Succeeded, None));
        let next = center.operations.perform(refund("A1", "k3")).await.unwrap();
        assert_eq!(next.state, OperationState::Succeeded);
        assert_eq!(effects(&module, "A1").await, 2);
        let late = center.operations.decide(&next.id, Verdict::DidNotHappen, "ada").await.unwrap().unwrap();
        assert_eq!(late.state, OperationState::Succeeded, "what is known is not decided");
    }
}
