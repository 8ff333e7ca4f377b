//! Snapshot to index: the only writer of orders.
//!
//! It owns the three legs by which the index follows its sources (webhooks, polling, reads) and the quarantine of what
//! could not be normalized. It refuses to guess: what does not parse is kept whole with its reason, a tie is settled by
//! reading the source again. That is so that any order, duplication or delay of inputs converges to the source's state.

mod apply;
mod health;
mod inbox;
mod poll;
mod quarantine;
mod refresh;
mod workers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use order_contract::{OrderId, Rejection, SourceKey, SourceOrderId, SourceVersion};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::database::{Database, DatabaseError};
use crate::index::{Applied, Index, IndexError, Via};
use crate::source::{EventError, Registry, Source, SourceError};

pub use apply::Statement;
pub(crate) use quarantine::hex;

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
    /// A stored row cannot be read back: it was changed from outside, or by a newer program.
    #[error("could not understand a stored row of {0}")]
    Row(&'static str),
    /// Another node reads this source at the moment.
    #[error("another node is reading {0} at the moment: try again later")]
    Leased(SourceKey),
    /// The webhook was refused.
    #[error("could not take the webhook")]
    Event(#[source] EventError),
}

/// What became of one raw order.
#[derive(Clone, Debug, PartialEq)]
pub enum Ingested {
    /// It went through the index's guard.
    Indexed {
        /// The order.
        id: OrderId,
        /// The version that was offered.
        version: SourceVersion,
        /// What the guard did. A tie that is left could not be settled: its source keeps changing it under one version.
        applied: Applied,
    },
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
    pub overlap: Duration,
    /// Pause between two passes of a source.
    pub poll_interval: Duration,
    /// Tries of one webhook before it is left to polling and shown as failed.
    pub webhook_attempts_max: u32,
    /// How long a node owns a source's polling before another may take it.
    pub lease: Duration,
}

/// The writer. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    database: Database,
    index: Index,
    registry: Registry,
    clock: Clock,
    limits: IngestLimits,
    /// This process among those that share the database.
    node: Arc<str>,
    doors: Arc<Mutex<BTreeMap<SourceKey, Arc<Door>>>>,
}

/// What this process knows of a source between two calls.
#[derive(Default)]
struct Door {
    /// Wakes the inbox worker.
    webhook: Notify,
    /// The source asked to be left alone until then.
    quiet_until: Mutex<Option<tokio::time::Instant>>,
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
    /// Reads of its change list that are remembered: the newest, at most 100.
    pub recent_reads: u64,
    /// And how many of them failed.
    pub recent_failures: u64,
    /// Webhooks stored and not yet applied.
    pub webhook_backlog: u64,
    /// Webhooks given up after the last try; polling brings their orders.
    pub webhooks_failed: u64,
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
        let node = Uuid::now_v7().to_string().into();
        Self { database, index, registry, clock, limits, node, doors: Arc::default() }
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn source(&self, key: &SourceKey) -> Result<Arc<Source>, IngestError> {
        self.registry.get(key).ok_or_else(|| IngestError::UnknownSource(key.clone()))
    }

    /// Orders of one page and one transaction.
    pub(crate) fn page_size(&self) -> u32 {
        self.limits.page_size
    }

    fn door(&self, key: &SourceKey) -> Arc<Door> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }
}

impl IngestError {
    /// What to tell operators: what happened, without internals.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Read(error) => error.to_string(),
            error => error.to_string(),
        }
    }

    /// How long the source asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Read(SourceError::RateLimited { retry_after_s, .. }) => retry_after_s.map(Duration::from_secs),
            _ => None,
        }
    }
}

/// A pause that doubles with every failure up to `max`, lengthened by up to a quarter at random so that nodes which
/// failed together do not come back together.
pub(crate) fn backoff(base: Duration, failures: u32, max: Duration) -> Duration {
    let pause = base.saturating_mul(1 << failures.min(20)).min(max);
    let random = u32::from(Uuid::now_v7().as_bytes()[15]);
    pause + pause * random / 1024
}

/// A stored time; microseconds outside of chrono's range cannot have been written by us.
pub(crate) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// A duration as stored beside times.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}
