//! Mutation to owner: every ask is a durable row before it is a call, and its outcome is never guessed.
//!
//! It owns the operation ledger, the workers that dispatch and the settlement of doubt. It refuses to decide whether an
//! action is allowed (the owner does) and to write orders (ingest does). That is so that a client, a crash or a
//! time-out never makes an effect happen twice, nor reports a failure that was a success.

mod dispatch;
mod ledger;
mod settle;
mod turn;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use futures_util::stream;
use order_contract::protocol::ActionError;
use order_contract::{ActionName, Effect, OrderId, SourceKey, SourceVersion};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, broadcast, oneshot};
use tokio::time::{Instant, interval_at, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use crate::database::{Database, DatabaseError};
use crate::index::IndexError;
use crate::ingest::{Clock, Ingest, IngestError};
use crate::source::{Registry, Source};

/// How often a waiting reader looks for changes that another node made.
const REREAD: Duration = Duration::from_millis(500);
/// How often an operation that is being settled is looked at by who waits to take it.
const TAKEN_PAUSE: Duration = Duration::from_millis(50);
/// How long an ask may wait for its turn before it is shed.
const QUEUE: Duration = Duration::from_secs(1);
/// Changed operations that a slow reader may be behind before it reads the ledger instead.
const NEWS: usize = 1024;

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
    /// Settlement works on it all the time it could be waited for.
    #[error("the owner is being asked about this operation just now: try again in a moment")]
    Taken,
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

    /// Parses what [`Self::as_str`] gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Dispatching, Self::Accepted, Self::Succeeded, Self::Rejected, Self::Unknown]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Whether it will not change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Rejected)
    }
}

/// What an operator found at the owner about an operation in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    TookEffect,
    /// It was not done, and will not be.
    DidNotHappen,
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
    /// Operations under way at once in this process, per source: a slow source fills its own room only.
    pub concurrency_max: usize,
    /// Attempts before an operation that reached nobody is ended, or one in doubt is left to settlement.
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
    room: Arc<Mutex<BTreeMap<SourceKey, Arc<Semaphore>>>>,
    /// Operations that a task of this process is asking for or settling.
    under_way: Arc<Mutex<HashSet<String>>>,
    news: broadcast::Sender<Arc<Operation>>,
    tasks: TaskTracker,
}

impl Operations {
    /// A ledger over this database.
    #[must_use]
    pub fn new(database: Database, ingest: Ingest, registry: Registry, clock: Clock, limits: OperationLimits) -> Self {
        let (news, _) = broadcast::channel(NEWS);
        let (room, under_way, tasks) = (Arc::default(), Arc::default(), TaskTracker::new());
        Self { database, ingest, registry, clock, limits, room, under_way, news, tasks }
    }

    /// Records an intent, asks the owner in a task of its own and waits for the outcome up to the deadline. Dropping
    /// the future changes nothing. The same key with the same input returns the recorded operation.
    ///
    /// # Errors
    /// [`OperationError`]: the owner was not asked.
    pub async fn perform(&self, intent: Intent) -> Result<Operation, OperationError> {
        let source = self.source(&intent.source)?;
        if intent.dry_run {
            return Ok(self.try_out(&source, intent).await);
        }
        let deadline = Instant::now() + self.limits.wait;
        let news = self.news.subscribe();
        let recorded = match self.recorded(&intent).await? {
            Some(operation) => operation,
            None => {
                self.check_order(&intent).await?;
                let permit = timeout(QUEUE.min(self.limits.wait), self.room(&source.key).acquire_owned()).await;
                let permit = permit.ok().and_then(Result::ok).ok_or(OperationError::Overloaded)?;
                // From here on the caller may leave: a row is never without the task that asks for it.
                let (tell, told) = oneshot::channel();
                let this = self.clone();
                self.tasks.spawn(async move {
                    this.record_and_dispatch(intent, tell).await;
                    drop(permit);
                });
                // Not told: the process is ending. Whether the row exists is seen by asking again with the same key.
                told.await.unwrap_or(Err(OperationError::Overloaded))?
            }
        };
        self.wait(recorded, news, deadline).await
    }

    /// The operation whenever it changes, beginning with how it is now; ends when it is final.
    pub fn watch(
        &self,
        id: String,
    ) -> impl futures_util::Stream<Item = Result<Operation, OperationError>> + Send + use<> {
        struct Watch {
            operations: Operations,
            news: broadcast::Receiver<Arc<Operation>>,
            shown: Option<Operation>,
        }
        let watch = Watch { news: self.news.subscribe(), operations: self.clone(), shown: None };
        stream::try_unfold((watch, id), |(mut watch, id)| async move {
            let next = match &watch.shown {
                None => watch.operations.find(&id).await?,
                Some(shown) if shown.state.is_final() => None,
                Some(shown) => Some(watch.operations.changed(shown, &mut watch.news).await?),
            };
            Ok(next.map(|next| {
                watch.shown = Some(next.clone());
                (next, (watch, id))
            }))
        })
    }

    /// An operator's word on an operation in doubt: ask the owner again now. Answers the operation as it then is.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn settle_now(&self, id: &str) -> Result<Option<Operation>, OperationError> {
        if let Some((record, mark)) = self.take(id).await? {
            let this = self.clone();
            // In a task of its own, like every ask: the operator may leave.
            let settled = self.tasks.spawn(async move {
                this.settle(record).await;
                drop(mark);
            });
            let _ = settled.await;
        }
        self.find(id).await
    }

    /// Ends an operation in doubt by what an operator found at the owner: the last word where the owner itself cannot
    /// tell. Answers the operation as it then is; one that is not in doubt stays as it is.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn decide(&self, id: &str, verdict: Verdict, actor: &str) -> Result<Option<Operation>, OperationError> {
        if let Some((record, mark)) = self.take(id).await? {
            let source = self.source(&record.operation.source)?;
            tracing::info!(operation = id, actor, ?verdict, "an operator decided an operation in doubt");
            let this = self.clone();
            let decided = self.tasks.spawn(async move {
                this.finish(&source, record, verdict.into()).await;
                drop(mark);
            });
            let _ = decided.await;
        }
        self.find(id).await
    }

    /// Takes an operation in doubt out of settlement's hands, waiting for what is under way; none when it is not in doubt.
    async fn take(&self, id: &str) -> Result<Option<(ledger::Record, Mark)>, OperationError> {
        let deadline = Instant::now() + self.limits.wait;
        loop {
            let Some(record) = self.record(id).await? else { return Ok(None) };
            if !matches!(record.operation.state, OperationState::Unknown | OperationState::Accepted) {
                return Ok(None);
            }
            if let Some(mark) = self.mark(id)
                && self.claim(&record).await?
            {
                return Ok(Some((record, mark)));
            }
            if Instant::now() >= deadline {
                return Err(OperationError::Taken);
            }
            sleep(TAKEN_PAUSE).await;
        }
    }

    /// The time as it can be stored: an operation reads the same from memory and from the ledger.
    fn now(&self) -> DateTime<Utc> {
        (self.clock)().trunc_subsecs(6)
    }

    fn source(&self, key: &SourceKey) -> Result<Arc<Source>, OperationError> {
        self.registry.get(key).ok_or_else(|| OperationError::UnknownSource(key.clone()))
    }

    fn room(&self, key: &SourceKey) -> Arc<Semaphore> {
        let mut rooms = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.limits.concurrency_max))).clone()
    }

    /// Refuses an ask for an order that does not exist. Where the source cannot tell, it will say so to the ask itself.
    async fn check_order(&self, intent: &Intent) -> Result<(), OperationError> {
        let Some(id) = &intent.order else { return Ok(()) };
        if *id.source() != intent.source {
            return Err(OperationError::UnknownOrder);
        }
        if self.ingest.index().held(id).await.map_err(OperationError::Order)?.is_some() {
            return Ok(());
        }
        match self.ingest.refresh(id).await {
            Ok(None) => Err(OperationError::UnknownOrder),
            Err(IngestError::Store(error)) => Err(OperationError::Order(error)),
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }

    /// Waits until the operation is no longer being asked for, or returns it as it is at the deadline.
    async fn wait(
        &self,
        mut operation: Operation,
        mut news: broadcast::Receiver<Arc<Operation>>,
        deadline: Instant,
    ) -> Result<Operation, OperationError> {
        while operation.state == OperationState::Dispatching {
            tokio::select! {
                () = sleep_until(deadline) => return Ok(self.find(&operation.id).await?.unwrap_or(operation)),
                changed = self.changed(&operation, &mut news) => operation = changed?,
            }
        }
        Ok(operation)
    }

    /// The operation as soon as it differs from what was shown.
    async fn changed(
        &self,
        shown: &Operation,
        news: &mut broadcast::Receiver<Arc<Operation>>,
    ) -> Result<Operation, OperationError> {
        let mut reread = interval_at(Instant::now() + REREAD, REREAD);
        loop {
            let now = tokio::select! {
                told = news.recv() => match told {
                    Ok(told) if told.id == shown.id => Some(Operation::clone(&told)),
                    Ok(_) => continue,
                    Err(_) => self.find(&shown.id).await?,
                },
                _ = reread.tick() => self.find(&shown.id).await?,
            };
            if let Some(now) = now
                && now != *shown
            {
                return Ok(now);
            }
        }
    }

    /// Marks an operation as handled by this process; none when it already is. Ends with the mark.
    fn mark(&self, id: &str) -> Option<Mark> {
        let new = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        new.then(|| Mark { id: id.to_owned(), under_way: Arc::clone(&self.under_way) })
    }
}

/// Held while a task of this process handles an operation.
struct Mark {
    id: String,
    under_way: Arc<Mutex<HashSet<String>>>,
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
