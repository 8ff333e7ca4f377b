//! Snapshot to index: the only writer of orders.
//!
//! It owns the three legs by which the index follows its sources (webhooks, polling, reads) and the quarantine of what
//! could not be normalized. It refuses to guess: what does not parse is kept whole with its reason, a tie is settled by
//! reading the source again. That is so that any order, duplication or delay of inputs converges to the source's state.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use order_contract::{OrderId, Rejection, SourceKey, SourceOrderId};

use crate::database::{Database, DatabaseError, Transaction};
use crate::index::{Applied, Index, IndexError, IndexedOrder, Via};
use crate::source::{EventError, RawOrder, Registry, SourceError};

/// Tells the time; tests move it.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Why an input could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// No source of this key is plugged in.
    #[error("there is no source {0}")]
    UnknownSource(SourceKey),
    /// The source could not be read.
    #[error("could not read from the source")]
    Read(#[source] SourceError),
    /// The index could not be read or written.
    #[error("could not store orders")]
    Store(#[source] IndexError),
    /// A cursor, inbox or quarantine row could not be read or written.
    #[error("could not {0}")]
    Record(&'static str, #[source] DatabaseError),
    /// The webhook was refused.
    #[error("could not take the webhook")]
    Event(#[source] EventError),
}

/// What became of one raw order.
#[derive(Clone, Debug, PartialEq)]
pub enum Ingested {
    /// It went through the index's guard.
    Indexed(OrderId, Applied),
    /// It could not be normalized and is in quarantine.
    Quarantined(Rejection),
}

/// What one page or pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Orders read from the source.
    pub read: u64,
    /// Orders stored as new or newer.
    pub stored: u64,
    /// Orders put into quarantine.
    pub quarantined: u64,
    /// Whether the pass reached its upper bound.
    pub complete: bool,
}

/// Limits and intervals of ingest.
#[derive(Clone, Copy, Debug)]
pub struct IngestLimits {
    /// Orders of one page and one transaction.
    pub page_size: u32,
    /// How far a pass reaches back behind the last one's upper bound.
    pub overlap: std::time::Duration,
    /// Pause between two passes of a source.
    pub poll_interval: std::time::Duration,
    /// Tries of one webhook before it is left to polling and shown as failed.
    pub webhook_attempts_max: u32,
    /// How long a node owns a source's polling before another may take it.
    pub lease: std::time::Duration,
}

/// The writer. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    database: Database,
    index: Index,
    registry: Registry,
    clock: Clock,
    limits: IngestLimits,
}

/// Health of a source's synchronization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncState {
    /// Everything the source changed before this is in the index. UTC.
    pub high_water: Option<DateTime<Utc>>,
    /// When a pass last completed. UTC.
    pub last_success_at: Option<DateTime<Utc>>,
    /// When a pass last failed. UTC.
    pub last_error_at: Option<DateTime<Utc>>,
    /// Why, as a sentence without internals; cleared by success.
    pub last_error: Option<String>,
    /// Whether polling is paused by an operator.
    pub paused: bool,
    /// Webhooks stored and not yet applied.
    pub webhook_backlog: u64,
    /// Open quarantine records.
    pub quarantined: u64,
}

/// An input that could not be normalized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineRecord {
    /// Its id.
    pub id: String,
    /// The source it came from.
    pub source: SourceKey,
    /// The order, where the input tells it.
    pub source_order_id: Option<SourceOrderId>,
    /// By which way it came.
    pub via: Via,
    /// When it first came. UTC.
    pub received_at: DateTime<Utc>,
    /// How often the same input came.
    pub seen: u64,
    /// The whole input.
    pub input: Bytes,
    /// Why it was not taken.
    pub rejection: Rejection,
    /// OPEN, RESOLVED or DISCARDED.
    pub state: String,
    /// When it left OPEN. UTC.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// How a webhook was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookReceipt {
    /// Stored durably; it will be applied.
    Stored,
    /// Stored before: nothing changes.
    Repeated,
    /// Concerns no order.
    Ignored,
}

impl Ingest {
    /// An ingest over this database and these sources.
    #[must_use]
    pub fn new(database: Database, index: Index, registry: Registry, clock: Clock, limits: IngestLimits) -> Self {
        Self { database, index, registry, clock, limits }
    }

    /// Normalizes and stores raw orders in one transaction; what cannot be normalized goes to quarantine in the same
    /// one; ties are settled by reading the source again afterwards. `also` runs within the transaction, before its
    /// commit: a cursor, an inbox row or an operation becomes durable together with the orders.
    ///
    /// # Errors
    /// [`IngestError`]: nothing was stored.
    pub async fn apply<F>(
        &self,
        source: &SourceKey,
        raw: Vec<RawOrder>,
        via: Via,
        also: F,
    ) -> Result<Vec<Ingested>, IngestError>
    where
        F: AsyncFnOnce(&mut Transaction) -> Result<(), DatabaseError> + Send,
    {
        let _ = (source, raw, via, also);
        todo!()
    }

    /// Reads one page of the source's changes and stores it together with the cursor.
    ///
    /// # Errors
    /// [`IngestError`]: the cursor has not moved.
    pub async fn poll_page(&self, source: &SourceKey) -> Result<PassReport, IngestError> {
        let _ = source;
        todo!()
    }

    /// Polls pages until the pass is complete.
    ///
    /// # Errors
    /// [`IngestError`].
    pub async fn poll(&self, source: &SourceKey) -> Result<PassReport, IngestError> {
        let _ = source;
        todo!()
    }

    /// Verifies a webhook and stores it durably; returns before it is applied.
    ///
    /// # Errors
    /// [`IngestError::Event`] when it is not to be trusted: nothing was stored.
    pub async fn receive_webhook(
        &self,
        source: &SourceKey,
        headers: &http::HeaderMap,
        body: Bytes,
    ) -> Result<WebhookReceipt, IngestError> {
        let _ = (source, headers, body);
        todo!()
    }

    /// Reads one order through from its source, stores it if it is newer and returns what the index then holds.
    ///
    /// # Errors
    /// [`IngestError`].
    pub async fn refresh(&self, id: &OrderId) -> Result<Option<IndexedOrder>, IngestError> {
        let _ = id;
        todo!()
    }

    /// Tries quarantined inputs again and returns how many are now resolved. `ids` empty: every open one of the source.
    ///
    /// # Errors
    /// [`IngestError`].
    pub async fn replay_quarantine(&self, source: &SourceKey, ids: &[String]) -> Result<u64, IngestError> {
        let _ = (source, ids);
        todo!()
    }

    /// Quarantined inputs, newest first, after the id of the page before.
    ///
    /// # Errors
    /// [`IngestError::Record`].
    pub async fn quarantined(
        &self,
        source: Option<&SourceKey>,
        open_only: bool,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<QuarantineRecord>, IngestError> {
        let _ = (source, open_only, after, limit);
        todo!()
    }

    /// How a source's synchronization stands.
    ///
    /// # Errors
    /// [`IngestError::Record`].
    pub async fn sync_state(&self, source: &SourceKey) -> Result<SyncState, IngestError> {
        let _ = source;
        todo!()
    }

    /// Pauses or resumes polling of a source.
    ///
    /// # Errors
    /// [`IngestError::Record`].
    pub async fn set_paused(&self, source: &SourceKey, paused: bool) -> Result<(), IngestError> {
        let _ = (source, paused);
        todo!()
    }

    /// Runs polling of every source and the webhook worker until canceled.
    pub async fn run(self, shutdown: tokio_util::sync::CancellationToken) {
        let _ = (&self.index, &self.registry, &self.clock, self.limits, &self.database, shutdown);
        todo!()
    }
}
