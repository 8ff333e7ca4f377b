//! Owners as the center sees them: the port to a module, and the registry of the sources that are plugged in.
//!
//! It owns how a source is read, asked and understood. It refuses to store anything and to decide anything about an
//! order: it relays what the owner says. That is so that a new kind of module is one implementation of [`OrderSource`]
//! and nothing else in the center changes.

pub mod egress;
pub mod factory;
pub mod manifest;
pub mod protocol;
pub mod registry;
mod unplugged;
pub(crate) mod wire;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use order_contract::process::ProcessDefinition;
use order_contract::protocol::{ActionCall, ActionError, Idempotency};
use order_contract::{
    ActionName, Effect, IdempotencyKey, InvariantCheck, OrderKind, OrderSnapshot, Rejection, SourceKey, SourceOrderId,
};

pub use factory::{Adapter, Factory, Plug, PlugError, Terms};
pub use registry::{Registry, Source, Sources};
pub use unplugged::Unplugged;

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No answer: refused connection, time-out, TLS failure.
    #[error("{0} could not be reached")]
    Unreachable(SourceKey, #[source] reqwest::Error),
    /// It asks to be left alone for a while.
    #[error("{source_key} asks to wait{}", .retry_after_s.map(|s| format!(" {s} s")).unwrap_or_default())]
    RateLimited {
        /// The source.
        source_key: SourceKey,
        /// Seconds, when it says so.
        retry_after_s: Option<u64>,
    },
    /// It answers with an error status.
    #[error("{0} answered {1}")]
    Status(SourceKey, u16),
    /// It refuses, and says why.
    #[error("{source_key} refused ({status}): {message}")]
    Refused {
        /// The source.
        source_key: SourceKey,
        /// The HTTP status.
        status: u16,
        /// Its own sentence.
        message: String,
    },
    /// It answers something that is not of the protocol: HTML, truncated JSON, a wrong type.
    #[error("{source_key} sent an answer that is not of the protocol: {reason}")]
    Malformed {
        /// The source.
        source_key: SourceKey,
        /// What is wrong.
        reason: String,
    },
    /// Its answer is larger than the limit.
    #[error("{source_key} sent more than {limit} bytes")]
    TooLarge {
        /// The source.
        source_key: SourceKey,
        /// The limit in bytes.
        limit: usize,
    },
    /// It does not take the center's credentials.
    #[error("{0} refused the credentials")]
    Unauthorized(SourceKey),
    /// It is registered and cannot be spoken to as it is configured.
    #[error("{source_key} is not connected: {reason}")]
    Unplugged {
        /// The source.
        source_key: SourceKey,
        /// Why, without secrets.
        reason: String,
    },
}

/// Why a webhook was not taken.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The source has no webhook secret configured.
    #[error("this source takes no webhooks")]
    NotConfigured,
    /// The source is not connected now: it is to be sent again.
    #[error("the source is not connected now")]
    Unplugged,
    /// The signature is missing, wrong or too old.
    #[error("the signature does not verify")]
    Signature,
    /// An expression of its adapter had to be stopped: it is to be sent again.
    #[error("the source's adapter could not read it: {0}")]
    Stopped(String),
    /// The signed body is not an event of the protocol.
    #[error("the body is not an event: {0}")]
    Malformed(String),
}

/// One order as the source sent it, before it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOrder {
    /// The order's id, where the envelope tells it; a mapping error must be tied to an order if it can be.
    pub source_order_id: Option<SourceOrderId>,
    /// The record, verbatim.
    pub body: Bytes,
}

/// A normalized order and what the source's rounding rule changed on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// The order.
    pub snapshot: OrderSnapshot,
    /// A [`order_contract::CheckCode::Rounded`] notice for each rounded amount.
    pub rounded: Vec<InvariantCheck>,
}

/// Which changes to list: those in `[since, until)`, page by page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeWindow {
    /// Inclusive lower bound; none for everything.
    pub since: Option<DateTime<Utc>>,
    /// Exclusive upper bound; none on the first page of a pass: the source says what it took.
    pub until: Option<DateTime<Utc>>,
    /// The `next` of the page before.
    pub page: Option<String>,
    /// At most so many orders.
    pub limit: u32,
}

/// One page of changed orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePage {
    /// The orders.
    pub orders: Vec<RawOrder>,
    /// Where the next page begins; none on the last.
    pub next: Option<String>,
    /// The upper bound of this pass, by the source's clock.
    pub until: DateTime<Utc>,
}

/// A verified webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// It restates the whole order.
    Restated(RawOrder),
    /// It says only that the order changed: fetch it.
    Changed(SourceOrderId),
    /// It concerns no order: acknowledge and forget.
    Ignored,
}

/// An action as the center asks it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRequest {
    /// The order; none for `create`.
    pub order: Option<SourceOrderId>,
    /// The verb.
    pub action: ActionName,
    /// The operation id: the same on every attempt.
    pub key: IdempotencyKey,
    /// Whether an earlier attempt under this key may have taken effect.
    pub doubt: bool,
    /// Input, expected version, dry run, actor.
    pub call: ActionCall,
    /// W3C trace context, passed on.
    pub traceparent: Option<String>,
}

/// How an ask ended, as far as can be known. Never an error: what cannot be known is `Unknown`.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionOutcome {
    /// Done.
    Applied {
        /// The order as it is now, or as it would be (dry run). None when the source does not restate it: fetch it.
        order: Option<RawOrder>,
        /// What was moved.
        effects: Vec<Effect>,
    },
    /// Taken; its end must be probed for.
    Accepted,
    /// Refused; nothing changed.
    Rejected(ActionError),
    /// Nothing was sent: it may be tried again, whatever the source's idempotency.
    NotSent(String),
    /// It may or may not have happened.
    Unknown(String),
}

/// What a source knows of an idempotency key.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// It ended, or is still under way (`Accepted`).
    Known(ActionOutcome),
    /// It never arrived: nothing happened, and asking again is safe.
    NeverArrived,
    /// The source cannot tell now.
    Undecidable(String),
}

/// What a source is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What kind of business its orders belong to.
    pub kind: OrderKind,
    /// How safely it can be asked.
    pub idempotency: Idempotency,
    /// Whether it creates orders.
    pub create: bool,
    /// Whether it answers what-if.
    pub dry_run: bool,
    /// Whether it checks the expected version itself.
    pub expected_version: bool,
    /// The most orders of one page.
    pub page_size_max: u32,
    /// Its change list leaves changes out: open orders are then read again on this schedule.
    pub blind_spots: Option<Reread>,
}

/// How open orders are read again where no list tells of every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reread {
    /// How often each open order is, unless the configuration says otherwise.
    pub every: Duration,
    /// The most orders of one request.
    pub batch: u32,
    /// How far back reconciliation on schedule compares orders, ended ones among them, if that is further than the
    /// configuration says.
    pub ended: Duration,
}

/// How much a source may still be asked before it says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateBudget {
    /// Requests, or points where it counts these, that are left.
    pub left: u64,
    /// Of so many in all.
    pub limit: u64,
}

/// The port to a module that owns orders. Implementations are cheap to call and hold no order state.
#[async_trait]
pub trait OrderSource: Send + Sync {
    /// What it is and can do, asking it if need be.
    async fn describe(&self) -> Result<Capabilities, SourceError>;

    /// Reads one order; `None` when the source itself says that it does not have it. The record carries the id that
    /// was asked for.
    async fn fetch(&self, id: &SourceOrderId) -> Result<Option<RawOrder>, SourceError>;

    /// Reads one page of changed orders.
    async fn list_changes(&self, window: &ChangeWindow) -> Result<ChangePage, SourceError>;

    /// Reads orders again, of a source whose change list leaves changes out. What it no longer has is left out.
    async fn reread(&self, ids: &[SourceOrderId]) -> Result<Vec<RawOrder>, SourceError> {
        let mut orders = Vec::with_capacity(ids.len());
        for id in ids {
            orders.extend(self.fetch(id).await?);
        }
        Ok(orders)
    }

    /// What of a record tells whether anything changed: two records of one order with the same are the same. None when
    /// only the whole record tells. Pure: no IO.
    fn fingerprint(&self, _record: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Turns a raw record into a canonical order, or says exactly what is wrong with it; that it is another order than
    /// the one its envelope names is wrong, too.
    async fn normalize(&self, raw: &RawOrder) -> Result<Normalized, Rejection>;

    /// Verifies a webhook over its raw bytes and says what it tells. `now` is the center's clock, for the tolerance
    /// of signed time stamps. Pure: no IO.
    fn parse_event(
        &self,
        headers: &http::HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(String, SourceEvent), EventError>;

    /// Asks once. Retrying is the ledger's decision, never the client's.
    async fn execute(&self, request: &ActionRequest) -> ActionOutcome;

    /// Asks what became of a key.
    async fn probe(&self, key: &IdempotencyKey) -> Probe;

    /// Finds out what became of an ask whose answer did not come: from the key where the source keeps keys, from the
    /// order where it does not. [`Probe::NeverArrived`] also means that asking again is safe.
    async fn settle(&self, request: &ActionRequest) -> Probe {
        self.probe(&request.key).await
    }

    /// What it may still be asked now, where it limits that and says so. Known from its last answer: no IO.
    fn budget(&self) -> Option<RateBudget> {
        None
    }

    /// The owner's state machine, where it shows one.
    async fn process(&self) -> Result<Option<ProcessDefinition>, SourceError>;
}
