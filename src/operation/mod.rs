//! Mutation to owner: every ask is a durable row before it is a call, and its outcome is never guessed.
//!
//! It owns the operation ledger, the workers that dispatch and the settlement of doubt. It refuses to decide whether an
//! action is allowed (the owner does) and to write orders (ingest does). That is so that a client, a crash or a
//! time-out never makes an effect happen twice, nor reports a failure that was a success.

use std::time::Duration;

use chrono::{DateTime, Utc};
use order_contract::protocol::ActionError;
use order_contract::{ActionName, Effect, OrderId, SourceKey, SourceVersion};
use serde_json::{Map, Value};

use crate::database::{Database, DatabaseError};
use crate::index::IndexError;
use crate::ingest::{Clock, Ingest};
use crate::source::Registry;

/// Why an operation could not be recorded or read.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The ledger could not be written: the module was not called.
    #[error("could not record the operation; the module was not asked")]
    Record(#[source] DatabaseError),
    /// The ledger could not be read.
    #[error("could not read the operation ledger")]
    Read(#[source] DatabaseError),
    /// The index could not be read.
    #[error("could not read the order")]
    Order(#[source] IndexError),
    /// The key was used for another input.
    #[error("this idempotency key was used with another input: use a new key for a new intent")]
    KeyMismatch,
    /// No such source.
    #[error("there is no source {0}")]
    UnknownSource(SourceKey),
    /// No such order.
    #[error("there is no such order")]
    UnknownOrder,
    /// A stored row cannot be read back.
    #[error("could not understand the stored operation {0}")]
    Row(String),
    /// Too many operations are under way.
    #[error("too many operations are under way: try again in a moment")]
    Overloaded,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationState {
    /// Recorded; being asked.
    Dispatching,
    /// The owner took it and will end it later.
    Accepted,
    /// The owner did it.
    Succeeded,
    /// The owner refused it; nothing changed.
    Rejected,
    /// It may or may not have happened; settlement is trying to find out.
    Unknown,
}

impl OperationState {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dispatching => "DISPATCHING",
            Self::Accepted => "ACCEPTED",
            Self::Succeeded => "SUCCEEDED",
            Self::Rejected => "REJECTED",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether it will not change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Rejected)
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Who asks: the id of the API key, or `anonymous` on an open loopback server.
    pub principal: String,
    /// The client's key; unique per principal.
    pub idempotency_key: String,
    /// Which source; for an existing order, the one in its id.
    pub source: SourceKey,
    /// The order; none for `create`.
    pub order: Option<OrderId>,
    /// The verb.
    pub action: ActionName,
    /// The action's input.
    pub input: Map<String, Value>,
    /// Refuse unless the order is at this version.
    pub expected_version: Option<SourceVersion>,
    /// Ask what would happen; nothing is recorded and nothing changes.
    pub dry_run: bool,
    /// Who asks, for the module's timeline.
    pub actor: Option<String>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
}

/// One recorded ask and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its id; also the idempotency key towards the module.
    pub id: String,
    /// Who asked.
    pub principal: String,
    /// The client's key.
    pub idempotency_key: String,
    /// Which source.
    pub source: SourceKey,
    /// The order; of `create`, once it is known.
    pub order: Option<OrderId>,
    /// The verb.
    pub action: ActionName,
    /// Where it stands.
    pub state: OperationState,
    /// How often the module was asked.
    pub attempts: u32,
    /// What was moved besides the order.
    pub effects: Vec<Effect>,
    /// Why it was refused, or what is in doubt.
    pub error: Option<ActionError>,
    /// The order's version after it.
    pub version_after: Option<SourceVersion>,
    /// Whether nothing was to change.
    pub dry_run: bool,
    /// Recorded. UTC.
    pub created_at: DateTime<Utc>,
    /// Last changed. UTC.
    pub updated_at: DateTime<Utc>,
    /// Ended. UTC.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Limits of the operation workers.
#[derive(Clone, Copy, Debug)]
pub struct OperationLimits {
    /// How long a client is kept waiting before it gets the operation as it then is.
    pub wait: Duration,
    /// Operations under way at once in this process.
    pub concurrency_max: usize,
    /// Attempts before an operation of a retryable source is left to settlement.
    pub attempts_max: u32,
    /// First pause before settlement looks again; it doubles up to `settle_backoff_max`.
    pub settle_backoff: Duration,
    /// The longest such pause.
    pub settle_backoff_max: Duration,
    /// How long a node owns a dispatch before another may settle it.
    pub lease: Duration,
}

/// The ledger and its workers. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    database: Database,
    ingest: Ingest,
    registry: Registry,
    clock: Clock,
    limits: OperationLimits,
}

impl Operations {
    /// A ledger over this database.
    #[must_use]
    pub fn new(database: Database, ingest: Ingest, registry: Registry, clock: Clock, limits: OperationLimits) -> Self {
        Self { database, ingest, registry, clock, limits }
    }

    /// Records an intent, asks the owner in a task of its own and waits for the outcome up to the deadline. Dropping
    /// the future changes nothing. The same key with the same input returns the recorded operation.
    ///
    /// # Errors
    /// [`OperationError`]: the owner was not asked.
    pub async fn perform(&self, intent: Intent) -> Result<Operation, OperationError> {
        let _ = (intent, &self.database, &self.ingest, &self.registry, &self.clock, self.limits);
        todo!()
    }

    /// The operation of this id. `principal`: only if this one asked.
    ///
    /// # Errors
    /// [`OperationError::Read`].
    pub async fn find(&self, id: &str) -> Result<Option<Operation>, OperationError> {
        let _ = id;
        todo!()
    }

    /// Operations, newest first: of one order, or in these states; after the id of the page before.
    ///
    /// # Errors
    /// [`OperationError::Read`].
    pub async fn list(
        &self,
        order: Option<&OrderId>,
        states: &[OperationState],
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Operation>, OperationError> {
        let _ = (order, states, after, limit);
        todo!()
    }

    /// The operation whenever it changes, beginning with how it is now; ends when it is final.
    pub fn watch(
        &self,
        id: String,
    ) -> impl futures_util::Stream<Item = Result<Operation, OperationError>> + Send + use<> {
        let _ = id;
        futures_util::stream::empty()
    }

    /// An operator's word on an operation in doubt: ask the owner again now.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn settle_now(&self, id: &str) -> Result<Option<Operation>, OperationError> {
        let _ = id;
        todo!()
    }

    /// Settles what is in doubt and what a dead node left behind, until canceled.
    pub async fn run(self, shutdown: tokio_util::sync::CancellationToken) {
        let _ = shutdown;
        todo!()
    }
}
