//! A registered source that cannot be spoken to now: a secret is gone, or its adapter no longer fits this program.
//!
//! It stands in the registry so that its orders keep their source and everyone who asks is told why, instead of being
//! told that there is no such source.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use order_contract::process::ProcessDefinition;
use order_contract::{IdempotencyKey, Rejection, SourceKey, SourceOrderId};

use super::{
    ActionOutcome, ActionRequest, Capabilities, ChangePage, ChangeWindow, EventError, Normalized, OrderSource, Probe,
    RawOrder, SourceError, SourceEvent,
};

/// A source without a connection, and why.
#[derive(Debug)]
pub struct Unplugged {
    source_key: SourceKey,
    reason: String,
}

impl Unplugged {
    /// A source that cannot be spoken to for this reason: a sentence without secrets.
    #[must_use]
    pub fn new(source_key: SourceKey, reason: String) -> Self {
        Self { source_key, reason }
    }

    fn refuse<T>(&self) -> Result<T, SourceError> {
        Err(SourceError::Unplugged { source_key: self.source_key.clone(), reason: self.reason.clone() })
    }
}

#[async_trait]
impl OrderSource for Unplugged {
    async fn describe(&self) -> Result<Capabilities, SourceError> {
        self.refuse()
    }

    async fn fetch(&self, _: &SourceOrderId) -> Result<Option<RawOrder>, SourceError> {
        self.refuse()
    }

    async fn list_changes(&self, _: &ChangeWindow) -> Result<ChangePage, SourceError> {
        self.refuse()
    }

    async fn normalize(&self, _: &RawOrder) -> Result<Normalized, Rejection> {
        Err(Rejection { path: String::new(), value: String::new(), rule: self.reason.clone() })
    }

    fn parse_event(
        &self,
        _: &http::HeaderMap,
        _: &[u8],
        _: DateTime<Utc>,
    ) -> Result<(String, SourceEvent), EventError> {
        Err(EventError::Unplugged)
    }

    async fn execute(&self, _: &ActionRequest) -> ActionOutcome {
        ActionOutcome::NotSent(self.reason.clone())
    }

    async fn probe(&self, _: &IdempotencyKey) -> Probe {
        Probe::Undecidable(self.reason.clone())
    }

    async fn process(&self) -> Result<Option<ProcessDefinition>, SourceError> {
        self.refuse()
    }
}
