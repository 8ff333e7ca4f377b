//! The change feed: one gap-free, commit-ordered, resumable sequence behind polling, subscriptions and export.
//!
//! A raw sequence loses rows: a later number can commit first, and a reader that saw it skips the earlier one for good.
//! Here the numbers come from one row that a writing transaction updates as its last statement; the row's lock is held
//! until commit, so numbers become visible in their order and a rolled-back transaction leaves no gap.

use chrono::{DateTime, Utc};
use order_contract::{OrderId, SourceVersion};
use tokio::sync::watch;

use super::{Index, IndexError};

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
        let _ = (after, limit);
        todo!()
    }

    /// The newest place of the feed.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn feed_head(&self) -> Result<FeedPosition, IndexError> {
        todo!()
    }

    /// Completes when this process committed something after `after`. Commits of other nodes do not wake it: wait with
    /// a time limit, then read.
    pub async fn changed_after(&self, after: FeedPosition) {
        // The sender lives as long as the index, so waiting cannot fail while anyone can ask.
        let _ = self.feed.0.subscribe().wait_for(|at| *at > after).await;
    }
}
