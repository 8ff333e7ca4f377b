//! What a snapshot may replace, and that everything of an order goes with it.

use bytes::Bytes;
use order_center::index::{Applied, FeedPosition, Filter, Index, Precondition};
use serde_json::json;

use super::{apply, entry, everything};
use crate::world::{at, databases, order_id, order_json, snapshot};

#[tokio::test]
async fn newer_wins_older_and_repeated_change_nothing() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let id = order_id("retail", "1");
        assert_eq!(apply(&index, vec![entry(&order_json("1", 5))]).await, [Applied::Stored], "{}", db.name);
        let first = index.find(&id).await.unwrap().unwrap();
        assert_eq!(first.snapshot, snapshot(&order_json("1", 5)), "{}", db.name);

        for stale in [4, 5] {
            assert_eq!(apply(&index, vec![entry(&order_json("1", stale))]).await, [Applied::Stale], "{}", db.name);
        }
        assert_eq!(index.find(&id).await.unwrap().unwrap(), first, "{}", db.name);
        assert_eq!(index.feed_head().await.unwrap(), FeedPosition(1), "nothing was stamped for what changed nothing");

        assert_eq!(apply(&index, vec![entry(&order_json("1", 6))]).await, [Applied::Stored], "{}", db.name);
        let second = index.find(&id).await.unwrap().unwrap();
        assert_eq!(second.snapshot.version.get(), 6);
        assert!(second.revision > first.revision, "a cached document of the old revision is never taken for the new");
        let changes = index.changes(FeedPosition(0), 10).await.unwrap();
        assert_eq!(changes.iter().map(|c| (c.position.0, c.version.get())).collect::<Vec<_>>(), [(1, 5), (2, 6)]);
    }
}

#[tokio::test]
async fn one_version_with_two_contents_is_a_tie_until_the_source_was_read_again() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let id = order_id("retail", "1");
        apply(&index, vec![entry(&order_json("1", 5))]).await;
        let held = index.held(&id).await.unwrap().unwrap();

        let mut other = order_json("1", 5);
        other["channel"] = json!("app");
        assert_eq!(apply(&index, vec![entry(&other)]).await, [Applied::Tie(held.content_hash)], "{}", db.name);
        assert_eq!(index.held(&id).await.unwrap().unwrap(), held);

        let mut settled = entry(&other);
        settled.precondition = Precondition::NewerOrReplaces(held.content_hash);
        assert_eq!(apply(&index, vec![settled.clone()]).await, [Applied::Stored], "{}", db.name);
        assert_eq!(index.find(&id).await.unwrap().unwrap().snapshot.channel.as_deref(), Some("app"));
        assert_eq!(apply(&index, vec![settled]).await, [Applied::Stale], "said twice, stored once");

        let mut late = entry(&order_json("1", 5));
        late.precondition = Precondition::NewerOrReplaces(held.content_hash);
        let now = index.held(&id).await.unwrap().unwrap().content_hash;
        assert_eq!(apply(&index, vec![late]).await, [Applied::Tie(now)], "what it read after is no longer stored");
    }
}

#[tokio::test]
async fn of_one_batch_the_newest_wins() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let batch = [2, 3, 1, 3].map(|version| entry(&order_json("1", version))).to_vec();
        assert_eq!(
            apply(&index, batch).await,
            [Applied::Stale, Applied::Stored, Applied::Stale, Applied::Stale],
            "{}",
            db.name
        );
        assert_eq!(index.held(&order_id("retail", "1")).await.unwrap().unwrap().version.get(), 3);
        assert_eq!(index.feed_head().await.unwrap(), FeedPosition(1));
    }
}

#[tokio::test]
async fn what_the_source_sent_is_kept_to_the_byte() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let id = order_id("retail", "1");
        let canonical = serde_json::to_string(&snapshot(&order_json("1", 1))).unwrap();
        for (version, raw) in [(1, canonical.clone()), (2, format!("  {}\n", order_json("1", 2)))] {
            let mut entry = entry(&order_json("1", version));
            entry.raw = Bytes::from(raw.clone());
            apply(&index, vec![entry]).await;
            assert_eq!(index.raw_payload(&id).await.unwrap().unwrap(), raw.as_bytes(), "{}", db.name);
        }
        let stored = db.database.fetch_all("select body from raw_payloads", &[]).await.unwrap();
        assert!(stored[0].opt_bytes(0).unwrap().is_some());
        let mut entry = entry(&order_json("2", 1));
        entry.raw = Bytes::from(serde_json::to_string(&entry.order.snapshot).unwrap());
        apply(&index, vec![entry]).await;
        let sql = "select body from raw_payloads where order_id = 'ord_retail_2'";
        let stored = db.database.fetch_all(sql, &[]).await.unwrap();
        assert_eq!(stored[0].opt_bytes(0).unwrap(), None, "the document itself is not stored twice");
    }
}

#[tokio::test]
async fn a_deleted_order_is_gone_with_its_children_and_told_in_the_feed() {
    for db in databases().await {
        let index = Index::new(db.database.clone());
        let id = order_id("retail", "1");
        apply(&index, vec![entry(&order_json("1", 1))]).await;
        let revision = index.find(&id).await.unwrap().unwrap().revision;
        let mut writer = index.writer().await.unwrap();
        assert!(writer.delete(&id, at(5)).await.unwrap());
        assert!(!writer.delete(&order_id("retail", "2"), at(5)).await.unwrap());
        writer.commit().await.unwrap();
        assert_eq!(index.find(&id).await.unwrap(), None);
        for table in ["orders", "raw_payloads", "order_lines", "order_payments", "order_status_changes"] {
            let rows = db.database.fetch_all(&format!("select count(*) from {table}"), &[]).await.unwrap();
            assert_eq!(rows[0].int(0).unwrap(), 0, "{table} on {}", db.name);
        }
        assert_eq!(index.changes(FeedPosition(1), 10).await.unwrap()[0].kind, order_center::index::ChangeKind::Deleted);

        apply(&index, vec![entry(&order_json("1", 1))]).await;
        assert!(index.find(&id).await.unwrap().unwrap().revision > revision);
        assert_eq!(index.list(&everything(5)).await.unwrap().orders.len(), 1);
        assert_eq!(index.count(&Filter::All(Vec::new())).await.unwrap(), 1);
    }
}
