//! The change feed: one gap-free, commit-ordered, resumable sequence behind polling, subscriptions and export.
//!
//! A raw sequence loses rows: a later number can commit first, and a reader that saw it skips the earlier one for good.
//! Here the numbers come from one row that a writing transaction updates as its last statement; the row's lock is held
//! until commit, so numbers become visible in their order and a rolled-back transaction leaves no gap.

use chrono::{DateTime, Utc};
use order_contract::{OrderId, SourceVersion};
use tokio::sync::watch;

use super::{Index, IndexError, stored_id, stored_time};
use crate::database::{DatabaseError, Row};

/// A place in the feed: everything up to and including this number was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPosition(pub i64);

/// What happened to an order in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A newer snapshot was stored.
    Upserted,
    /// The source no longer has it.
    Deleted,
}

impl ChangeKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Upserted => "UPSERTED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place in the feed.
    pub position: FeedPosition,
    /// The order.
    pub id: OrderId,
    /// The source's version.
    pub version: SourceVersion,
    /// What happened.
    pub kind: ChangeKind,
    /// When the center stored it. UTC.
    pub changed_at: DateTime<Utc>,
}

/// Wakes readers of the feed in this process; they then read what is new from the database.
#[derive(Clone, Debug)]
pub(super) struct Signal(watch::Sender<FeedPosition>);

impl Default for Signal {
    fn default() -> Self {
        Self(watch::Sender::new(FeedPosition::default()))
    }
}

impl Signal {
    /// Tells that everything up to here is committed.
    pub(super) fn advance(&self, to: FeedPosition) {
        self.0.send_if_modified(|at| {
            let newer = to > *at;
            *at = to.max(*at);
            newer
        });
    }
}

impl Index {
    /// The changes after a place, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn changes(&self, after: FeedPosition, limit: u32) -> Result<Vec<Change>, IndexError> {
        let sql = "select seq, order_id, version, kind, changed_at from order_changes
            where seq > $1 order by seq limit $2";
        let rows = self.database.fetch_all(sql, &[after.0.into(), i64::from(limit).into()]).await;
        rows.map_err(IndexError::Query)?.iter().map(change).collect()
    }

    /// The newest place of the feed.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn feed_head(&self) -> Result<FeedPosition, IndexError> {
        let row = self.database.fetch_optional("select seq from feed_head where id = 0", &[]).await;
        let row = row.map_err(IndexError::Query)?.ok_or_else(|| IndexError::Row("feed_head".into()))?;
        row.int(0).map(FeedPosition).map_err(IndexError::Query)
    }

    /// Completes when this process committed something after `after`. Commits of other nodes do not wake it: wait with
    /// a time limit, then read.
    pub async fn changed_after(&self, after: FeedPosition) {
        // The sender lives as long as the index, so waiting cannot fail while anyone can ask.
        let _ = self.feed.0.subscribe().wait_for(|at| *at > after).await;
    }
}

fn change(row: &Row) -> Result<Change, IndexError> {
    let read =
        || -> Result<_, DatabaseError> { Ok((row.int(0)?, row.text(1)?, row.int(2)?, row.text(3)?, row.int(4)?)) };
    let (position, id, version, kind, changed_at) = read().map_err(IndexError::Query)?;
    let corrupt = || IndexError::Row(id.clone());
    Ok(Change {
        position: FeedPosition(position),
        id: stored_id(id.clone())?,
        version: SourceVersion::try_new(version).map_err(|_| corrupt())?,
        kind: match kind.as_str() {
            "UPSERTED" => ChangeKind::Upserted,
            "DELETED" => ChangeKind::Deleted,
            _ => return Err(corrupt()),
        },
        changed_at: stored_time(&id, changed_at)?,
    })
}
