//! One suite for the index, run on both databases.

mod aggregates;
mod feed;
mod filters;
mod guard;
mod pages;
mod unavailable;

use bytes::Bytes;
use order_center::index::{Applied, Direction, Entry, Filter, Index, OrderList, Precondition, SortField, Via};
use order_center::source::Normalized;
use order_contract::OrderSnapshot;
use serde_json::Value;

use crate::world::{at, snapshot, source};

/// An entry of the source `retail`, as a poll brings it.
fn entry(json: &Value) -> Entry {
    entry_of(snapshot(json), Bytes::from(json.to_string()))
}

fn entry_of(snapshot: OrderSnapshot, raw: Bytes) -> Entry {
    Entry {
        source: source("retail"),
        order: Normalized { snapshot, rounded: Vec::new() },
        raw,
        via: Via::Poll,
        observed_at: at(1_000),
        precondition: Precondition::Newer,
    }
}

/// Stores entries in one transaction.
async fn apply(index: &Index, entries: Vec<Entry>) -> Vec<Applied> {
    let mut writer = index.writer().await.unwrap();
    let applied = writer.apply(entries).await.unwrap();
    writer.commit().await.unwrap();
    applied
}

/// The first page of everything, newest first.
fn everything(limit: u32) -> OrderList {
    OrderList {
        filter: Filter::All(Vec::new()),
        sort: SortField::PlacedAt,
        direction: Direction::Descending,
        after: None,
        before: None,
        limit,
        backward: false,
    }
}
