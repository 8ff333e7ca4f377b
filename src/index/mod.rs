//! The central order index: the newest snapshot of every order, searchable, and the feed of its changes.
//!
//! It owns the tables of orders, their search columns and children, and the change feed. It refuses to fetch, to judge
//! which source is right and to be written by anyone but `ingest`: [`Writer`] is the only way in, and it applies a
//! snapshot only where it is newer. That is so that any order, repetition or delay of inputs converges to one state.

mod aggregate;
mod columns;
mod feed;
mod filter;
mod list;
mod read;
mod write;

use chrono::{DateTime, Utc};
use order_contract::{InvariantCheck, OrderId, OrderSnapshot, PaymentStatus, SourceVersion};

use crate::database::{Database, DatabaseError};

pub use aggregate::{AggregateRow, Dimension, Measures};
pub use feed::{Change, ChangeKind, FeedPosition};
pub use filter::{AmountField, Filter, LineFilter, PaymentFilter, Range, TextField, TextMatch, TimeField};
pub use list::{Cursor, CursorError, Direction, ListedOrder, OrderList, OrderPage, SortField};
pub use read::{StoredOrder, id_range};
pub use write::{Applied, Entry, Precondition, Writer};

/// Why the index could not answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The database failed.
    #[error("could not query the order index")]
    Query(#[source] DatabaseError),
    /// The database failed on a write.
    #[error("could not write the order index")]
    Write(#[source] DatabaseError),
    /// An order cannot be written as JSON.
    #[error("could not encode the document of {0}")]
    Encode(String, #[source] serde_json::Error),
    /// A stored document cannot be read back: it was changed from outside, or by a newer program.
    #[error("could not read the stored document of {0}")]
    Document(String, #[source] order_contract::Rejection),
    /// A stored column cannot be read back.
    #[error("could not read the stored row of {0}")]
    Row(String),
}

/// By which way a snapshot came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// A page of a change list.
    Poll,
    /// A webhook.
    Webhook,
    /// A read of this order: read-through, or after a tie.
    Fetch,
    /// The answer to an action.
    Operation,
    /// A comparison with the source.
    Reconcile,
    /// A replay from quarantine or from stored raw payloads.
    Replay,
}

impl Via {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "POLL",
            Self::Webhook => "WEBHOOK",
            Self::Fetch => "FETCH",
            Self::Operation => "OPERATION",
            Self::Reconcile => "RECONCILE",
            Self::Replay => "REPLAY",
        }
    }

    /// Parses what [`Self::as_str`] gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Poll, Self::Webhook, Self::Fetch, Self::Operation, Self::Reconcile, Self::Replay]
            .into_iter()
            .find(|via| via.as_str() == text)
    }
}

/// The hash of a canonical document: two snapshots of one version with different hashes are a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

/// An order as the index holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexedOrder {
    /// Its global id.
    pub id: OrderId,
    /// Grows with every write of this row; with the id it names one immutable document.
    pub revision: i64,
    /// The newest snapshot.
    pub snapshot: OrderSnapshot,
    /// Computed from the amounts where they tell; see [`OrderSnapshot::computed_payment_status`].
    pub payment_status: PaymentStatus,
    /// The identities that do not hold, and the notices of rounding.
    pub checks: Vec<InvariantCheck>,
    /// The hash of the stored document.
    pub content_hash: ContentHash,
    /// When the center saw this snapshot. UTC.
    pub observed_at: DateTime<Utc>,
    /// By which way it came.
    pub via: Via,
}

/// The newest version and content the index holds of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The source's version.
    pub version: SourceVersion,
    /// The hash of the document.
    pub content_hash: ContentHash,
}

impl Held {
    fn from_row(id: &str, version: i64, hash: Vec<u8>) -> Result<Self, IndexError> {
        let version = SourceVersion::try_new(version).ok();
        let hash = hash.try_into().ok().map(ContentHash);
        let held = version.zip(hash).map(|(version, content_hash)| Self { version, content_hash });
        held.ok_or_else(|| IndexError::Row(id.to_owned()))
    }
}

/// The id in a stored row.
fn stored_id(id: String) -> Result<OrderId, IndexError> {
    OrderId::parse(&id).map_err(|_| IndexError::Row(id))
}

/// The time in a stored row.
fn stored_time(id: &str, micros: i64) -> Result<DateTime<Utc>, IndexError> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| IndexError::Row(id.to_owned()))
}

/// The index. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Index {
    database: Database,
    feed: feed::Signal,
}
