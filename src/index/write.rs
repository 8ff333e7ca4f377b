//! The only way into the index: a version guard in SQL, children replaced with their order, the feed stamped last.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use order_contract::{OrderId, SourceKey};

use super::feed::FeedPosition;
use super::{ContentHash, Index, IndexError, Via};
use crate::database::Transaction;
use crate::source::Normalized;

/// A snapshot to store.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The source it belongs to.
    pub source: SourceKey,
    /// The order.
    pub order: Normalized,
    /// What the source sent, verbatim.
    pub raw: Bytes,
    /// By which way it came.
    pub via: Via,
    /// When the center saw it. UTC.
    pub observed_at: DateTime<Utc>,
    /// Under what condition it may replace what is there.
    pub precondition: Precondition,
}

/// Under what condition a snapshot may replace the one that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Its version is newer.
    Newer,
    /// Its version is newer; or equal, and the stored content is still this one: the source was read after that
    /// content had been seen, so what it said is the later word. This settles ties without comparing clocks.
    NewerOrReplaces(ContentHash),
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Stored: it was new, or newer.
    Stored,
    /// Older than what is stored, or the same: nothing changed.
    Stale,
    /// The same version with another content: read the order again, then store with
    /// [`Precondition::NewerOrReplaces`] this hash.
    Tie(ContentHash),
}

/// Writes within one transaction; readers see all of it or nothing. The last statement of [`Writer::commit`] stamps the
/// feed.
pub struct Writer {
    transaction: Transaction,
    index: Index,
    stored: Vec<(OrderId, i64, DateTime<Utc>)>,
}

impl Index {
    /// Begins to write.
    ///
    /// # Errors
    /// [`IndexError::Write`].
    pub(crate) async fn writer(&self) -> Result<Writer, IndexError> {
        todo!()
    }
}

impl Writer {
    /// The transaction, for what must be stored together with the orders: a cursor, an inbox row, an operation.
    pub(crate) fn transaction(&mut self) -> &mut Transaction {
        &mut self.transaction
    }

    /// Stores what is newer, in as few statements as there are tables. Answers in the order of the entries; of two
    /// entries for one order the newer wins and the other is stale.
    ///
    /// # Errors
    /// [`IndexError::Write`]: nothing of the transaction may be committed.
    pub(crate) async fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<Applied>, IndexError> {
        let _ = (entries, &self.index, &self.stored);
        todo!()
    }

    /// Removes an order that its source no longer has.
    ///
    /// # Errors
    /// [`IndexError::Write`].
    pub(crate) async fn delete(&mut self, id: &OrderId, at: DateTime<Utc>) -> Result<bool, IndexError> {
        let _ = (id, at);
        todo!()
    }

    /// Stamps the feed and makes everything durable and visible at once.
    ///
    /// # Errors
    /// [`IndexError::Write`]: nothing was written.
    pub(crate) async fn commit(self) -> Result<FeedPosition, IndexError> {
        todo!()
    }
}
