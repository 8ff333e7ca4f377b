//! The retail order module: goods that are reserved, paid, picked, shipped, delivered and sometimes sent back.
//!
//! It owns one SQLite database with products, stock, orders and money, and answers the Order Module Protocol over
//! HTTP. It refuses what its process (`process.json`) does not allow, and what it does not do: quantities of a placed
//! order cannot be changed, part of a shipped order cannot be canceled, payments are captured at once, returns come
//! back whole. Every change is one transaction: the order, the ledgers, the idempotency key with its answer, the
//! webhook.

mod import;
mod order;
mod steps;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use order_contract::process::{ProcessDefinition, Trigger};
use order_contract::protocol::{
    ActionCall, ActionReply, Capabilities, Descriptor, Idempotency, ModuleInfo, Outcome, VERSION,
};
use order_contract::{Currency, IdempotencyKey, OrderKind, SourceOrderId};
use secrecy::SecretString;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::store::{Clock, StoreError};
pub use crate::webhook::{Retry, WebhookTarget};
pub use import::{ImportReport, ImportedLine, ImportedOrder, ImportedReturn, ImportedState};
pub(crate) use order::Product;

use crate::process::{Ask, DefinitionError, Moved, Process, Refusal};
use crate::store::{Operation, Store, Write};
use crate::webhook::Courier;

/// The most orders of one page.
pub(crate) const PAGE_MAX: u32 = 200;

/// How long clients have to finish what they began when the module is asked to end.
const GRACE: Duration = Duration::from_secs(10);

/// How a retail module is set up.
#[derive(Clone)]
pub struct Config {
    /// The SQLite file; created when it is missing.
    pub database: PathBuf,
    /// The bearer token that every request must carry. Without one, only loopback addresses may be listened on.
    pub token: Option<SecretString>,
    /// Where changes are sent.
    pub webhook: Option<WebhookTarget>,
    /// How often a webhook is tried.
    pub retry: Retry,
    /// How long an order waits for its money.
    pub payment_window: Duration,
    /// How often unpaid orders are looked for.
    pub sweep: Duration,
    /// How long idempotency keys are remembered.
    pub keys_kept: Duration,
    /// The currency of all prices.
    pub currency: Currency,
    /// The time.
    pub clock: Clock,
}

impl Config {
    /// The defaults for a database file: no token, no webhook, 30 minutes to pay, keys kept 30 days, pounds.
    #[must_use]
    pub fn new(database: impl Into<PathBuf>) -> Self {
        Self {
            database: database.into(),
            token: None,
            webhook: None,
            retry: Retry::default(),
            payment_window: Duration::from_secs(30 * 60),
            sweep: Duration::from_secs(5),
            keys_kept: Duration::from_secs(30 * 24 * 60 * 60),
            currency: Currency::from_code("GBP").expect("GBP is a currency"),
            clock: Arc::new(Utc::now),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("database", &self.database)
            .field("webhook", &self.webhook)
            .finish_non_exhaustive()
    }
}

/// Why a retail module cannot be opened or cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum RetailError {
    /// Its process is wrong.
    #[error("the retail process is not valid")]
    Process(#[from] DefinitionError),
    /// Its database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The webhook target cannot be used.
    #[error("the webhook target cannot be used: {0}")]
    Webhook(String),
    /// It would answer strangers.
    #[error("{0} is not a loopback address: set a token before listening there")]
    Open(SocketAddr),
    /// The listener failed.
    #[error("the listener failed")]
    Listen(#[source] std::io::Error),
}

/// A retail order module. Clones share one database.
#[derive(Clone)]
pub struct Retail(Arc<Inner>);

struct Inner {
    config: Config,
    process: Process,
    store: Store,
    courier: Option<Courier>,
}

/// What is asked through the protocol.
pub(crate) struct Asked {
    /// The order; none to create one.
    pub(crate) order: Option<String>,
    pub(crate) action: String,
    /// None for a dry run.
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) call: ActionCall,
}

/// An [`ActionReply`] as JSON with its HTTP status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reply: String,
}

/// The process of retail orders.
///
/// # Errors
/// [`DefinitionError`] when `process.json` is wrong.
pub fn process() -> Result<Process, DefinitionError> {
    check_process(include_str!("process.json"))
}

/// Reads another definition in the words of retail: for who changes the process and wants to know whether it holds.
///
/// # Errors
/// [`DefinitionError`] names the first thing that is wrong.
pub fn check_process(json: &str) -> Result<Process, DefinitionError> {
    Process::load(json, &steps::VOCABULARY)
}

impl Retail {
    /// Opens the database, creating what is missing.
    ///
    /// # Errors
    /// [`RetailError`] when the file, the process or the webhook target cannot be used.
    pub async fn open(config: Config) -> Result<Self, RetailError> {
        let process = process()?;
        let store = Store::open(&config.database, config.clock.clone()).await?;
        let courier = config.webhook.as_ref().map(|target| Courier::new(target, config.retry)).transpose();
        let courier = courier.map_err(RetailError::Webhook)?;
        Ok(Self(Arc::new(Inner { config, process, store, courier })))
    }

    /// The protocol over HTTP, for who brings a server. Webhooks and expiry need [`Self::serve`].
    pub fn router(&self) -> axum::Router {
        crate::http::router(self.clone())
    }

    /// Answers the protocol, sends webhooks and lets unpaid orders expire until `shutdown` is canceled; then finishes
    /// what is under way.
    ///
    /// # Errors
    /// [`RetailError::Open`] on an address that others can reach when there is no token; [`RetailError::Listen`].
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), RetailError> {
        let address = listener.local_addr().map_err(RetailError::Listen)?;
        if self.0.config.token.is_none() && !address.ip().is_loopback() {
            return Err(RetailError::Open(address));
        }
        // The workers end with the server, however it ends.
        let stop = shutdown.child_token();
        let _guard = stop.clone().drop_guard();
        let worker = self.clone();
        let sweeping = tokio::spawn({
            let (worker, stop) = (worker.clone(), stop.clone());
            async move { worker.sweep(&stop).await }
        });
        let sending = tokio::spawn({
            let stop = stop.clone();
            async move {
                if let Some(courier) = &worker.0.courier {
                    courier.run(&worker.0.store, &stop).await;
                }
            }
        });
        let serving = axum::serve(listener, self.router()).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let served = tokio::select! {
            served = serving => served,
            () = async { shutdown.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
        };
        stop.cancel();
        for worker in [sweeping, sending] {
            if worker.await.is_err() {
                tracing::error!("a worker of the retail module panicked");
            }
        }
        served.map_err(RetailError::Listen)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn token(&self) -> Option<&SecretString> {
        self.0.config.token.as_ref()
    }

    pub(crate) fn definition(&self) -> &ProcessDefinition {
        self.0.process.definition()
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor {
            protocol: VERSION.into(),
            module: ModuleInfo {
                name: "retail".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                title: "Retail orders".into(),
            },
            kind: OrderKind::Retail,
            idempotency: Idempotency::Keyed,
            capabilities: Capabilities {
                page_size_max: PAGE_MAX,
                create: true,
                dry_run: true,
                expected_version: true,
                webhooks: self.0.courier.is_some(),
                process: true,
            },
        }
    }

    /// Does what is asked, once per key, and answers how it ended.
    pub(crate) async fn perform(&self, asked: Asked) -> Result<Answer, StoreError> {
        let mut write = self.0.store.begin(1).await?;
        let input_hash = hash(&asked);
        if let Some(key) = &asked.key
            && let Some(stored) = write.operation(key.as_str()).await?
        {
            if stored.input_hash == input_hash {
                return Ok(Answer { status: stored.status, reply: stored.reply });
            }
            let message = "This idempotency key was used for something else: take a new key.";
            return answer(Err(Refusal::input("IDEMPOTENCY_KEY_MISMATCH", "", message)));
        }
        let decided = self.decide(&mut write, &asked).await?;
        if let Ok(moved) = &decided {
            write.record(moved).await?;
        }
        let order = decided.as_ref().ok().map(|moved| moved.order.source_order_id.to_string());
        let answer = answer(decided)?;
        let Some(key) = asked.key else { return Ok(answer) };
        write
            .remember(key.as_str(), &Operation { input_hash, status: answer.status, reply: answer.reply.clone() })
            .await?;
        self.commit(write, order.as_deref()).await?;
        Ok(answer)
    }

    async fn commit(&self, mut write: Write, changed: Option<&str>) -> Result<(), StoreError> {
        let courier = self.0.courier.as_ref();
        let announced = courier.zip(changed);
        if let Some((_, order)) = announced {
            write.announce(order).await?;
        }
        write.commit().await?;
        if let Some((courier, _)) = announced {
            courier.wake();
        }
        Ok(())
    }

    async fn decide(&self, write: &mut Write, asked: &Asked) -> Result<Result<Moved, Refusal>, StoreError> {
        let now = time(write.stamp);
        let call = &asked.call;
        let ask = Ask {
            action: &asked.action,
            input: &call.input,
            trigger: Trigger::Manual,
            now,
            actor: call.actor.as_deref(),
        };
        let Some(id) = &asked.order else {
            return self.create(write, &ask).await;
        };
        let Some(order) = write.order(id).await? else {
            return Ok(Err(Refusal::input("ORDER_NOT_FOUND", "", "There is no such order here.")));
        };
        Ok(match call.expected_version {
            Some(expected) if expected != order.version => Err(Refusal::version(expected, order.version)),
            _ => self.0.process.advance(&order, &ask),
        })
    }

    async fn create(&self, write: &mut Write, ask: &Ask<'_>) -> Result<Result<Moved, Refusal>, StoreError> {
        let input: order::CreateInput = match crate::process::read_input(ask.input) {
            Ok(input) => input,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let skus: Vec<_> = input.lines.iter().map(|line| line.sku.as_str()).collect();
        let products = write.products(&skus).await?;
        let number = write.next_number().await?;
        let id = SourceOrderId::try_new(format!("R{number:06}")).expect("letters and digits");
        Ok(input.draft(id, ask.now, self.0.config.currency, &products).and_then(|mut draft| {
            draft.times.expires_at = ask.now.checked_add_signed(span(self.0.config.payment_window));
            self.0.process.advance(&draft, ask)
        }))
    }

    /// Lets unpaid orders expire and forgets old keys.
    async fn sweep(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(self.0.config.sweep)).await.is_some() {
            if let Err(error) = self.sweep_once().await {
                tracing::error!(error = &error as &dyn std::error::Error, "unpaid orders could not be looked for");
            }
        }
    }

    async fn sweep_once(&self) -> Result<(), StoreError> {
        for id in self.0.store.expired().await? {
            let mut write = self.0.store.begin(1).await?;
            let Some(order) = write.order(&id).await? else { continue };
            let none = Map::new();
            let now = time(write.stamp);
            let ask = Ask { action: "expire", input: &none, trigger: Trigger::Timer, now, actor: None };
            // Paid in the meantime: then there is nothing to do.
            if let Ok(moved) = self.0.process.advance(&order, &ask) {
                write.record(&moved).await?;
                self.commit(write, Some(&id)).await?;
            }
        }
        let kept = i64::try_from(self.0.config.keys_kept.as_micros()).unwrap_or(i64::MAX);
        self.0.store.forget_operations(self.0.store.now().saturating_sub(kept)).await
    }
}

impl std::fmt::Debug for Retail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Retail").field(&self.0.config).finish()
    }
}

/// Microseconds as a time.
pub(crate) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn span(duration: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(duration).unwrap_or(chrono::TimeDelta::MAX)
}

fn answer(decided: Result<Moved, Refusal>) -> Result<Answer, StoreError> {
    let (status, reply) = match decided {
        Ok(Moved { order, effects, .. }) => {
            (200, ActionReply { outcome: Outcome::Applied, order: Some(order), effects, error: None })
        }
        Err(Refusal { conflict, error }) => {
            let status = if conflict { 409 } else { 422 };
            (status, ActionReply { outcome: Outcome::Rejected, order: None, effects: Vec::new(), error: Some(error) })
        }
    };
    Ok(Answer { status, reply: serde_json::to_string(&reply)? })
}

/// What must be the same when a key comes again. The order of JSON's fields does not matter.
fn hash(asked: &Asked) -> Vec<u8> {
    fn feed(hash: &mut Sha256, value: &Value) {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                hash.update(b"{");
                for (name, value) in fields {
                    hash.update(Value::from(name.as_str()).to_string());
                    feed(hash, value);
                }
                hash.update(b"}");
            }
            Value::Array(items) => {
                hash.update(b"[");
                items.iter().for_each(|item| feed(hash, item));
                hash.update(b"]");
            }
            other => hash.update(format!("{other},")),
        }
    }
    let mut hash = Sha256::new();
    let version = asked.call.expected_version.map(|v| v.get());
    feed(&mut hash, &serde_json::json!([asked.order, asked.action, version]));
    feed(&mut hash, &Value::Object(asked.call.input.clone()));
    hash.finalize().to_vec()
}
