//! The feed loses nothing: whoever reads up to a number has seen everything that will ever stand below it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use order_center::index::{Applied, FeedPosition, Index};
use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::{apply, entry};
use crate::world::{clear, databases, order_id, order_json, postgres, snapshot};

/// Who wrote first does not matter; who commits first has the smaller number, and the other is not skipped.
#[tokio::test]
async fn a_transaction_that_commits_late_is_not_skipped() {
    let Some(db) = postgres().await else { return };
    let index = Index::new(db.database.clone());
    let mut first = index.writer().await.unwrap();
    assert_eq!(first.apply(vec![entry(&order_json("early", 1))]).await.unwrap(), [Applied::Stored]);

    let mut second = index.writer().await.unwrap();
    second.apply(vec![entry(&order_json("late", 1))]).await.unwrap();
    assert_eq!(second.commit().await.unwrap(), FeedPosition(1));
    let read = index.changes(FeedPosition(0), 10).await.unwrap();
    assert_eq!(read.iter().map(|c| &c.id).collect::<Vec<_>>(), [&order_id("retail", "late")]);

    assert_eq!(first.commit().await.unwrap(), FeedPosition(2));
    let read = index.changes(read[0].position, 10).await.unwrap();
    assert_eq!(read.iter().map(|c| &c.id).collect::<Vec<_>>(), [&order_id("retail", "early")]);
}

/// Between its stamp and its commit a transaction holds the feed: no later number becomes visible before its own.
#[tokio::test]
async fn a_stamp_that_is_not_committed_holds_back_later_ones() {
    let Some(db) = postgres().await else { return };
    let index = Index::new(db.database.clone());
    let mut first = index.writer().await.unwrap();
    first.apply(vec![entry(&order_json("1", 1))]).await.unwrap();
    // The lock that the stamp takes: `commit` takes it again and goes on.
    first.transaction().execute("update feed_head set seq = seq where id = 0", &[]).await.unwrap();

    let mut second = index.writer().await.unwrap();
    second.apply(vec![entry(&order_json("2", 1))]).await.unwrap();
    let second = tokio::spawn(second.commit());
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let deadline = Instant::now() + Duration::from_secs(30);
    while db.database.fetch_all(waiting, &[]).await.unwrap()[0].int(0).unwrap() == 0 {
        assert!(Instant::now() < deadline, "the second transaction does not wait");
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished());
    assert!(index.changes(FeedPosition(0), 10).await.unwrap().is_empty());

    assert_eq!(first.commit().await.unwrap(), FeedPosition(1));
    assert_eq!(second.await.unwrap().unwrap(), FeedPosition(2));
    let ids = index.changes(FeedPosition(0), 10).await.unwrap();
    assert_eq!(
        ids.iter().map(|c| c.id.clone()).collect::<Vec<_>>(),
        [order_id("retail", "1"), order_id("retail", "2")]
    );
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_no_gap_and_no_trace() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let mut writer = index.writer().await.unwrap();
        writer.apply(vec![entry(&order_json("1", 1))]).await.unwrap();
        writer.transaction().execute("update feed_head set seq = seq + 1 where id = 0", &[]).await.unwrap();
        drop(writer);
        assert_eq!(apply(&index, vec![entry(&order_json("2", 1))]).await, [Applied::Stored]);
        let changes = index.changes(FeedPosition(0), 10).await.unwrap();
        assert_eq!((changes.len(), changes[0].position), (1, FeedPosition(1)), "{}", db.name);
        assert_eq!(index.find(&order_id("retail", "1")).await.unwrap(), None);
    }
}

/// Many writers at once, one reader that goes on from where it stopped: every change once, in order, without a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_many_writers_sees_everything_once() {
    const WRITERS: i64 = 6;
    const WRITES: i64 = 15;
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let writers = (0..WRITERS).map(|w| {
            let index = index.clone();
            tokio::spawn(async move {
                for i in 0..WRITES {
                    // One order of its own and one that all of them write.
                    let own = entry(&order_json(&format!("{w}-{i}"), 1));
                    let shared = entry(&order_json("shared", w + WRITERS * i));
                    apply(&index, vec![own, shared]).await;
                }
            })
        });
        let writers = writers.collect::<Vec<_>>();
        let mut at = FeedPosition(0);
        let mut seen = BTreeMap::<String, i64>::new();
        while seen.len() < usize::try_from(WRITERS * WRITES).unwrap() + 1
            || seen["ord_retail_shared"] < WRITERS * WRITES - 1
        {
            tokio::time::timeout(Duration::from_secs(60), index.changed_after(at)).await.expect("a change");
            for change in index.changes(at, 7).await.unwrap() {
                assert_eq!(change.position.0, at.0 + 1, "a gap on {}", db.name);
                at = change.position;
                let version = seen.insert(change.id.to_string(), change.version.get());
                assert!(version.is_none_or(|before| before < change.version.get()), "an older version came later");
            }
        }
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(index.feed_head().await.unwrap(), at, "{}", db.name);
    }
}

#[tokio::test]
async fn sqlite_lets_one_writer_in_at_a_time() {
    let db = crate::world::sqlite().await;
    let index = Index::new(db.database.clone());
    let mut first = index.writer().await.unwrap();
    let second = index.writer();
    tokio::pin!(second);
    assert!(second.as_mut().now_or_never().is_none());
    first.apply(vec![entry(&order_json("1", 1))]).await.unwrap();
    assert_eq!(first.commit().await.unwrap(), FeedPosition(1));
    let mut second = second.await.unwrap();
    second.apply(vec![entry(&order_json("2", 1))]).await.unwrap();
    assert_eq!(second.commit().await.unwrap(), FeedPosition(2));
}

/// Any order, repetition and delay of snapshots, in any batches, ends in the newest of each order and its children.
#[test]
fn every_history_converges_to_the_newest_snapshots() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let databases = runtime.block_on(databases());
    let mut runner = TestRunner::new(Config { cases: 40, max_shrink_iters: 100, ..Config::default() });
    let history = vec(vec((0..4_usize, 1..8_i64), 1..6), 1..8);
    let version = |order: usize, version: i64| {
        let mut json = order_json(&order.to_string(), version);
        json["status"] = json!(["PENDING_PAYMENT", "PROCESSING", "COMPLETED"][usize::try_from(version % 3).unwrap()]);
        json["native"]["state"] = json!(format!("state {version}"));
        let lines = json["lines"].as_array_mut().unwrap();
        lines.truncate(usize::try_from(version % 3).unwrap());
        for line in lines {
            line["sku"] = json!(format!("V{version}"));
        }
        if version % 2 == 0 {
            json["payments"] = json!([]);
            json["refunds"] = json!([{ "id": "r", "status": "SUCCEEDED", "amount": "1" }]);
        }
        json
    };
    let outcome = runner.run(&history, |batches| {
        runtime.block_on(async {
            for db in &databases {
                clear(&db.database).await;
                let index = Index::new(db.database.clone());
                let start = index.feed_head().await.unwrap();
                let mut newest = BTreeMap::<usize, i64>::new();
                let mut stored = 0;
                for batch in &batches {
                    for (order, version) in batch {
                        let newest = newest.entry(*order).or_default();
                        *newest = (*newest).max(*version);
                    }
                    let entries = batch.iter().map(|(o, v)| entry(&version(*o, *v))).collect();
                    let applied = apply(&index, entries).await;
                    stored += applied.iter().filter(|a| **a == Applied::Stored).count();
                }
                for (order, newest) in &newest {
                    let id = order_id("retail", &order.to_string());
                    let wanted = snapshot(&version(*order, *newest));
                    assert_eq!(index.find(&id).await.unwrap().unwrap().snapshot, wanted, "{}", db.name);
                    let children = |table: &str| format!("select count(*) from {table} where order_id = $1");
                    for (table, count) in [
                        ("order_lines", wanted.lines.len()),
                        ("order_payments", wanted.payments.len()),
                        ("order_refunds", wanted.refunds.len()),
                    ] {
                        let rows = db.database.fetch_all(&children(table), &[id.to_string().into()]).await.unwrap();
                        assert_eq!(rows[0].int(0).unwrap(), count as i64, "{table} on {}", db.name);
                    }
                    let sql = "select count(*) from order_lines where order_id = $1 and sku <> $2";
                    let values = [id.to_string().into(), format!("V{newest}").into()];
                    assert_eq!(db.database.fetch_all(sql, &values).await.unwrap()[0].int(0).unwrap(), 0);
                    let sql = "select native_state from order_status_changes where order_id = $1
                        order by revision desc limit 1";
                    let last = db.database.fetch_all(sql, &[id.to_string().into()]).await.unwrap();
                    assert_eq!(last[0].text(0).unwrap(), format!("state {newest}"));
                }
                let whole = index.changes(start, 1_000).await.unwrap();
                assert_eq!(whole.len(), stored, "every stored snapshot is in the feed on {}", db.name);
                let mut resumed = Vec::new();
                while let Some(change) = {
                    let at = resumed.last().map_or(start, |c: &order_center::index::Change| c.position);
                    index.changes(at, 1).await.unwrap().pop()
                } {
                    resumed.push(change);
                }
                assert_eq!(resumed, whole, "{}", db.name);
            }
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
