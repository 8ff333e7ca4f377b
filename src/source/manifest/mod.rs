//! The manifest engine's driver: the port to a platform that an adapter describes as data.
//!
//! It owns the IO: it sends what the engine gives and hands back what came. It refuses to decide anything about a page,
//! an order or an outcome; that is the engine's, which has no IO. So an adapter brings no code into the center, and what
//! the center does to a platform is all in two files: this one and [`transport`].

mod asking;
mod budget;
mod credential;
mod oauth1;
mod reading;
mod transport;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use order_adapter::engine::{Delivery, Engine, EngineError, Event, Exchange, KeySet, Proofs, Record};
use order_adapter::{MapError, Package, PackageError};
use order_contract::process::ProcessDefinition;
use order_contract::protocol::Idempotency;
use order_contract::{IdempotencyKey, OrderKind, Rejection, Rounding, SourceKey, SourceOrderId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use self::transport::Transport;
use super::egress::{EgressError, Reach};
use super::{
    ActionOutcome, ActionRequest, Capabilities, ChangePage, ChangeWindow, EventError, Normalized, OrderSource, Probe,
    RateBudget, RawOrder, Reread, SourceError, SourceEvent,
};
use crate::mapping::{Mapper, Pool};

pub use credential::CredentialError;

/// How long a platform's published keys are believed before they are read again.
const KEYS_KEPT: Duration = Duration::from_secs(3600);
/// The least time between two reads of them, however many webhooks do not verify.
const KEYS_PAUSE: Duration = Duration::from_secs(60);

/// Sees every answer of a platform.
#[derive(Clone)]
pub struct Witness(pub Arc<dyn Fn(&Exchange) + Send + Sync>);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

/// One source that speaks through an adapter.
#[derive(Clone, Debug)]
pub struct ManifestConfig {
    /// The source's key, for errors.
    pub source: SourceKey,
    /// The adapter.
    pub package: Arc<Package>,
    /// Where its mapping runs.
    pub workers: Pool,
    /// The platform's address.
    pub url: String,
    /// What the operator set, by name.
    pub settings: BTreeMap<String, Value>,
    /// The secrets the adapter wants, by name.
    pub secrets: BTreeMap<String, SecretString>,
    /// The secrets its webhooks are proven with; two are live during rotation.
    pub webhook_secrets: Vec<SecretString>,
    /// What to do with amounts of more than four fraction digits; the adapter's own rule when it refuses them.
    pub rounding: Rounding,
    /// How long one request may take.
    pub timeout: Duration,
    /// The most bytes of one answer.
    pub body_bytes_max: usize,
    /// Which private hosts it may be at.
    pub reach: Reach,
    /// Whether the adapter came with this program: its expressions then run in this process.
    pub built_in: bool,
    /// Who looks on, for recording.
    pub witness: Option<Witness>,
}

/// Why a source cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ManifestConfigError {
    /// The address is none.
    #[error("{0:?} is no URL")]
    Url(String),
    /// The address must not be called.
    #[error("the address cannot be used")]
    Egress(#[source] EgressError),
    /// The adapter cannot run.
    #[error("the adapter cannot run")]
    Engine(#[source] EngineError),
    /// The settings are not those the adapter wants.
    #[error("the settings cannot be used")]
    Settings(#[source] PackageError),
    /// The credentials are not those the adapter wants.
    #[error("the credentials cannot be used")]
    Credential(#[source] CredentialError),
}

/// A platform reached through an adapter.
pub struct ManifestSource {
    source: SourceKey,
    engine: Engine,
    transport: Transport,
    mapper: Mapper,
    /// The settings as the mapping sees them.
    settings: String,
    webhook_secrets: Vec<SecretString>,
    keys: RwLock<Option<(Instant, KeySet)>>,
    /// A webhook did not verify: its key may be a newer one.
    wants_keys: AtomicBool,
}

impl ManifestSource {
    /// A source of this configuration. Nothing is called yet.
    ///
    /// # Errors
    /// [`ManifestConfigError`] says which part cannot be used.
    pub fn new(config: ManifestConfig) -> Result<Self, ManifestConfigError> {
        let ManifestConfig {
            source,
            package,
            workers,
            url,
            settings,
            secrets,
            webhook_secrets,
            timeout,
            body_bytes_max,
            reach,
            built_in,
            witness,
            ..
        } = config;
        let engine = Engine::compile(&package, &settings).map_err(ManifestConfigError::Engine)?;
        let engine = if built_in { engine } else { engine.evaluated_by(Arc::new(workers.isolated())) };
        let transport = Transport::new(&engine, &url, &secrets, timeout, body_bytes_max, reach)?.watched_by(witness);
        let rounding = match config.rounding {
            Rounding::Refuse => package.manifest.map.rounding,
            rounding => rounding,
        };
        Ok(Self {
            source,
            settings: package.settings(&settings).map_err(ManifestConfigError::Settings)?,
            engine,
            transport,
            mapper: Mapper::new(&workers, &package).rounding(rounding),
            webhook_secrets,
            keys: RwLock::default(),
            wants_keys: AtomicBool::new(true),
        })
    }

    /// A record as the rest of the center knows it. `asked` is the id it was read by.
    fn raw(&self, record: &Record, asked: Option<&SourceOrderId>) -> Result<RawOrder, SourceError> {
        let own = || SourceOrderId::try_new(self.engine.id_of(record)?).ok();
        let source_order_id = asked.cloned().or_else(own);
        let body = record.to_json().map_err(|error| self.malformed(error.to_string()))?;
        Ok(RawOrder { source_order_id, body: Bytes::from(body) })
    }

    fn malformed(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Malformed { source_key: self.source.clone(), reason: reason.into() }
    }

    /// Reads the platform's published keys when there are none, when they are old, or when a webhook did not verify.
    async fn keep_keys(&self) {
        let Some(path) = self.engine.key_set_path() else { return };
        let age = self.keys.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(at, _)| at.elapsed());
        let wanted = self.wants_keys.load(Ordering::Relaxed);
        if age.is_some_and(|age| age < if wanted { KEYS_PAUSE } else { KEYS_KEPT }) {
            return;
        }
        let keys = match self.transport.public(path).await {
            Ok(exchange) if exchange.status == 200 => KeySet::read(&exchange.body),
            Ok(exchange) => Err(exchange.summary()),
            Err(failure) => Err(failure.to_string()),
        };
        match keys {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), keys));
                self.wants_keys.store(false, Ordering::Relaxed);
            }
            // The present keys stay; polling does not depend on them.
            Err(reason) => tracing::warn!(source = %self.source, reason, "the keys of webhooks could not be read"),
        }
    }
}

#[async_trait]
impl OrderSource for ManifestSource {
    async fn describe(&self) -> Result<Capabilities, SourceError> {
        self.keep_keys().await;
        let manifest = self.engine.manifest();
        let settings: Value = serde_json::from_str(&self.settings).unwrap_or_default();
        let kind = serde_json::from_value(settings["kind"].clone()).unwrap_or(OrderKind::Retail);
        let idempotency = if self.engine.is_keyed() { Idempotency::Keyed } else { Idempotency::Blind };
        Ok(Capabilities {
            kind,
            idempotency,
            create: manifest.actions.contains_key("create"),
            dry_run: false,
            expected_version: false,
            page_size_max: self.engine.page_size(),
            blind_spots: manifest.reread.as_ref().map(|reread| Reread {
                every: reread.every.0,
                batch: reread.size,
                ended: reread.ended.0,
            }),
        })
    }

    async fn fetch(&self, id: &SourceOrderId) -> Result<Option<RawOrder>, SourceError> {
        self.read_order(id).await?.map(|record| self.raw(&record, Some(id))).transpose()
    }

    async fn list_changes(&self, window: &ChangeWindow) -> Result<ChangePage, SourceError> {
        self.read_changes(window).await
    }

    async fn reread(&self, ids: &[SourceOrderId]) -> Result<Vec<RawOrder>, SourceError> {
        self.read_again(ids).await
    }

    fn fingerprint(&self, record: &[u8]) -> Option<Vec<u8>> {
        self.engine.fingerprint(&Record::read(record).ok()?)
    }

    async fn normalize(&self, raw: &RawOrder) -> Result<Normalized, Rejection> {
        let mapped = self.mapper.map(&raw.body, &self.settings).await;
        let (mut snapshot, rounded) = mapped.map_err(MapError::into_rejection)?;
        // What may be asked of the order follows from the manifest, unless the platform says it and the mapping passes it on.
        if snapshot.available_actions.is_empty()
            && let Ok(record) = Record::read(&raw.body)
        {
            snapshot.available_actions = self.engine.available_actions(&record);
        }
        match &raw.source_order_id {
            Some(id) if *id != snapshot.source_order_id => Err(Rejection {
                path: "/sourceOrderId".into(),
                value: snapshot.source_order_id.to_string(),
                rule: format!("the record is another order than {id}, which it came for"),
            }),
            _ => Ok(Normalized { snapshot, rounded }),
        }
    }

    fn parse_event(
        &self,
        headers: &http::HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(String, SourceEvent), EventError> {
        use order_adapter::engine::EventError as Refused;
        let headers = transport::headers(headers);
        let delivery = Delivery { headers: &headers, body, now: now.timestamp_micros() };
        let secrets: Vec<&str> = self.webhook_secrets.iter().map(ExposeSecret::expose_secret).collect();
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let proofs = Proofs { secrets: &secrets, keys: keys.as_ref().map(|(_, keys)| keys) };
        let (id, event) = self.engine.event(&delivery, &proofs).map_err(|error| match error {
            Refused::NotConfigured => EventError::NotConfigured,
            Refused::Signature => {
                self.wants_keys.store(true, Ordering::Relaxed);
                EventError::Signature
            }
            Refused::Malformed(reason) => EventError::Malformed(reason),
            Refused::Stopped(reason) => EventError::Stopped(reason),
        })?;
        let order = |id: String| SourceOrderId::try_new(id).map_err(|error| EventError::Malformed(error.to_string()));
        let event = match event {
            Event::Restated(record) => {
                let raw = self.raw(&record, None).map_err(|error| EventError::Malformed(error.to_string()))?;
                SourceEvent::Restated(raw)
            }
            Event::Changed(id) => SourceEvent::Changed(order(id)?),
            Event::Ignored => SourceEvent::Ignored,
        };
        Ok((id, event))
    }

    async fn execute(&self, request: &ActionRequest) -> ActionOutcome {
        self.ask(request).await
    }

    async fn probe(&self, _key: &IdempotencyKey) -> Probe {
        Probe::Undecidable("the platform keeps no keys: the order itself must tell".into())
    }

    async fn settle(&self, request: &ActionRequest) -> Probe {
        self.find_out(request).await
    }

    fn budget(&self) -> Option<RateBudget> {
        self.transport.budget_left()
    }

    async fn process(&self) -> Result<Option<ProcessDefinition>, SourceError> {
        Ok(None)
    }
}
