//! An order module of any line of business: one database, one definition, the services it relies on.
//!
//! It owns the way of an ask: what the services know, the decision, the saga, the answer under its key; and what
//! happens by itself: timers, sagas that were left, effects on their way. It refuses what its definition does not
//! allow, and to move an order that a saga holds.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use order_contract::process::{ProcessDefinition, Trigger};
use order_contract::protocol::{
    ActionCall, ActionReply, Capabilities, Descriptor, Idempotency, ModuleInfo, Outcome, VERSION,
};
use order_contract::{Currency, Effect, IdempotencyKey, OrderSnapshot, SourceOrderId};
use secrecy::SecretString;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use crate::saga::Point;
pub use crate::store::{Clock, StoreError};
pub use crate::webhook::{Retry, WebhookTarget};

use crate::line::Line;
use crate::order;
use crate::process::{Ask, DefinitionError, Moved, Process, Refusal};
use crate::saga::{Driven, Saga, micros};
use crate::service::{
    Embedded, Facts, Fault, Question, Remote, RemoteError, Service, ServiceError, ServicePort, Services,
};
use crate::step::VOCABULARY;
use crate::store::{Operation, Store, Write};
use crate::webhook::Courier;

/// The most orders of one page.
pub(crate) const PAGE_MAX: u32 = 200;

/// The longest a remote service may take to answer.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long clients have to finish what they began when the module is asked to end.
const GRACE: Duration = Duration::from_secs(10);
/// Pause between two looks at an order that someone else moves.
const LOOK: Duration = Duration::from_millis(10);

/// A service that a company has put in place of the embedded one.
#[derive(Clone, Debug)]
pub struct RemoteService {
    /// Its base URL; the service's name is added to it.
    pub url: String,
    /// Its bearer token.
    pub token: Option<SecretString>,
}

/// Breaks work off at a point, as a crash would.
pub type Interrupt = Arc<dyn Fn(Point) -> bool + Send + Sync>;

/// How a module is set up.
#[derive(Clone)]
pub struct Config {
    /// The line of business.
    pub line: Line,
    /// The SQLite file; created when it is missing. Several processes may share it.
    pub database: PathBuf,
    /// The bearer token that every request must carry. Without one, only loopback addresses may be listened on.
    pub token: Option<SecretString>,
    /// Where changes are sent.
    pub webhook: Option<WebhookTarget>,
    /// How often a webhook is tried.
    pub retry: Retry,
    /// What the definition leaves to the operator, by name.
    pub settings: BTreeMap<String, String>,
    /// Services that a company has put in place of the embedded ones.
    pub remotes: BTreeMap<Service, RemoteService>,
    /// How often timers and what was left are looked for.
    pub sweep: Duration,
    /// After how long a service that did not answer, or has not finished, is asked again.
    pub again: Duration,
    /// How long a client waits for services before it hears that its ask is under way.
    pub patience: Duration,
    /// The first pause before a service that did not answer is asked again, and the longest.
    pub pauses: (Duration, Duration),
    /// How long a saga belongs to the process that began it.
    pub lease: Duration,
    /// After how long without an answer everything is taken back.
    pub give_up: Duration,
    /// How long idempotency keys are remembered.
    pub keys_kept: Duration,
    /// The currency of all prices.
    pub currency: Currency,
    /// The time.
    pub clock: Clock,
    /// Whether a commit survives a power cut.
    pub durable: bool,
    /// For tests of crashes: called at every durable boundary.
    pub interrupt: Option<Interrupt>,
}

impl Config {
    /// The defaults: no token, no webhook, the definition's settings, embedded services, keys kept 30 days, pounds.
    ///
    /// # Panics
    /// Never: GBP is a currency.
    #[must_use]
    pub fn new(line: Line, database: impl Into<PathBuf>) -> Self {
        Self {
            line,
            database: database.into(),
            token: None,
            webhook: None,
            retry: Retry::default(),
            settings: BTreeMap::new(),
            remotes: BTreeMap::new(),
            sweep: Duration::from_secs(5),
            again: Duration::from_secs(5),
            patience: Duration::from_secs(8),
            pauses: (Duration::from_millis(20), Duration::from_secs(1)),
            lease: Duration::from_secs(30),
            give_up: Duration::from_secs(600),
            keys_kept: Duration::from_secs(30 * 24 * 60 * 60),
            currency: Currency::from_code("GBP").expect("GBP is a currency"),
            clock: Arc::new(Utc::now),
            durable: true,
            interrupt: None,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("line", &self.line)
            .field("database", &self.database)
            .field("webhook", &self.webhook)
            .finish_non_exhaustive()
    }
}

/// Why a module cannot be opened, cannot serve or cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// A definition is wrong.
    #[error("version {version} of the {line} process is not valid")]
    Process {
        /// The line of business.
        line: &'static str,
        /// The version.
        version: u32,
        /// What is wrong.
        #[source]
        source: DefinitionError,
    },
    /// A definition was changed and kept its version.
    #[error(
        "the {line} process differs from the version {version} that orders go by: give the changed one a new version"
    )]
    ProcessChanged {
        /// The line of business.
        line: &'static str,
        /// The version.
        version: u32,
    },
    /// An order goes by a definition that is not known.
    #[error("there is no version {0} of the process")]
    NoProcess(u32),
    /// Orders are in states that the other definition has not.
    #[error("{count} order(s) would be in {state}, which version {version} has not: say which state that becomes")]
    NoState {
        /// How many.
        count: usize,
        /// The state.
        state: String,
        /// The version.
        version: u32,
    },
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A service does not answer.
    #[error("a service did not answer")]
    Service(#[from] Fault),
    /// An embedded service could not do its part.
    #[error("a service could not do its part")]
    Embedded(#[source] ServiceError),
    /// A remote service cannot be used.
    #[error("a remote service cannot be used")]
    Remote(#[source] RemoteError),
    /// The webhook target cannot be used.
    #[error("the webhook target cannot be used: {0}")]
    Webhook(String),
    /// Something else moves the order.
    #[error("the order is being moved by another ask")]
    Busy,
    /// A test broke the work off.
    #[error("interrupted")]
    Interrupted,
    /// It would answer strangers.
    #[error("{0} is not a loopback address: set a token before listening there")]
    Open(SocketAddr),
    /// The listener failed.
    #[error("the listener failed")]
    Listen(#[source] std::io::Error),
}

/// An order module. Clones share one database.
#[derive(Clone)]
pub struct Module(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    processes: BTreeMap<u32, Process>,
    version: u32,
    pub(crate) store: Store,
    pub(crate) services: Services,
    pub(crate) embedded: Embedded,
    courier: Option<Courier>,
    /// A saga has ended.
    pub(crate) ended: Notify,
    turns: Turns,
}

/// Whose turn it is to move an order, in this process.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    fn of(&self, order: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(order).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(order.into(), Arc::downgrade(&turn));
        turn
    }
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
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reply: String,
}

impl Answer {
    /// It is under way.
    pub(crate) fn accepted() -> Self {
        Self { status: 202, reply: r#"{"outcome":"ACCEPTED"}"#.into() }
    }

    fn is_final(&self) -> bool {
        self.status != 202
    }
}

/// The process of a line of business under these settings.
///
/// # Errors
/// [`DefinitionError`] when a setting is wrong.
pub fn process(line: Line, settings: &BTreeMap<String, String>) -> Result<Process, DefinitionError> {
    Process::load(line.definition(), &VOCABULARY, settings)
}

/// Reads another definition in the words that all lines of business share: for who changes a process and wants to know
/// whether it holds.
///
/// # Errors
/// [`DefinitionError`] names the first thing that is wrong.
pub fn check_process(json: &str) -> Result<Process, DefinitionError> {
    Process::load(json, &VOCABULARY, &BTreeMap::new())
}

impl Module {
    /// Opens the database, creating what is missing.
    ///
    /// # Errors
    /// [`ModuleError`] when the file, a definition, a service or the webhook target cannot be used.
    pub fn open(config: Config) -> BoxFuture<'static, Result<Self, ModuleError>> {
        Self::open_with(config, None)
    }

    /// Opens the database with another definition for new orders. Orders under way go on by the one they began with.
    ///
    /// # Errors
    /// [`ModuleError`].
    pub fn open_with(config: Config, definition: Option<&str>) -> BoxFuture<'_, Result<Self, ModuleError>> {
        // Boxed here and below, a module is compiled once, and not again in every program that runs one.
        Box::pin(Self::opened(config, definition))
    }

    async fn opened(config: Config, definition: Option<&str>) -> Result<Self, ModuleError> {
        let line = config.line.name();
        let json = definition.unwrap_or(config.line.definition());
        let invalid = |version| move |source| ModuleError::Process { line, version, source };
        let current = Process::load(json, &VOCABULARY, &config.settings).map_err(invalid(0))?;
        let version = current.version();
        let store = Store::open(&config.database, config.clock.clone(), config.durable).await?;
        store.keep_process(version, json).await?;
        let mut processes = BTreeMap::from([(version, current)]);
        for (known, kept) in store.processes().await? {
            if known != version {
                // Settings of today that an older definition has not are not its business.
                let mut settings = config.settings.clone();
                let definition: ProcessDefinition = serde_json::from_str(&kept).map_err(StoreError::from)?;
                settings.retain(|name, _| definition.settings.contains_key(name));
                processes.insert(known, Process::load(&kept, &VOCABULARY, &settings).map_err(invalid(known))?);
            } else if kept != json {
                return Err(ModuleError::ProcessChanged { line, version });
            }
        }
        let (writer, readers) = store.pools();
        let embedded = Embedded::new(writer, readers, config.clock.clone());
        let mut services = Services::new(embedded.clone());
        for (service, RemoteService { url, token }) in config.remotes.clone() {
            let remote = Remote::new(&url, token, SERVICE_TIMEOUT).map_err(ModuleError::Remote)?;
            services = services.with(service, remote);
        }
        let courier = config.webhook.as_ref().map(|target| Courier::new(target, config.retry, line)).transpose();
        let courier = courier.map_err(ModuleError::Webhook)?;
        let (ended, turns) = (Notify::new(), Turns::default());
        Ok(Self(Arc::new(Inner { config, processes, version, store, services, embedded, courier, ended, turns })))
    }

    /// The embedded services, for who fills them.
    #[must_use]
    pub fn services(&self) -> &Embedded {
        &self.0.embedded
    }

    /// The protocol over HTTP, for who brings a server. Webhooks and timers need [`Self::serve`].
    pub fn router(&self) -> axum::Router {
        crate::http::router(self.clone())
    }

    /// Answers the protocol, sends webhooks and does what time brings until `shutdown` is canceled; then finishes what
    /// is under way.
    ///
    /// # Errors
    /// [`ModuleError::Open`] on an address that others can reach when there is no token; [`ModuleError::Listen`].
    pub fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), ModuleError>> {
        Box::pin(self.answer(listener, shutdown))
    }

    async fn answer(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ModuleError> {
        let address = listener.local_addr().map_err(ModuleError::Listen)?;
        if self.0.config.token.is_none() && !address.ip().is_loopback() {
            return Err(ModuleError::Open(address));
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
                tracing::error!("a worker of the module panicked");
            }
        }
        served.map_err(ModuleError::Listen)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn token(&self) -> Option<&SecretString> {
        self.0.config.token.as_ref()
    }

    pub(crate) fn definition(&self) -> &ProcessDefinition {
        self.0.processes[&self.0.version].definition()
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        let line = self.0.config.line;
        Descriptor {
            protocol: VERSION.into(),
            module: ModuleInfo {
                name: line.name().into(),
                version: env!("CARGO_PKG_VERSION").into(),
                title: line.title().into(),
            },
            kind: line.kind(),
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

    /// What may be asked of an order at this moment: time may have closed a window since it last changed.
    pub(crate) async fn actions(&self, id: &str) -> Result<Option<OrderSnapshot>, ModuleError> {
        let Some(stored) = self.0.store.stored(id).await? else { return Ok(None) };
        let (mut order, process) = (stored.order, self.0.process(stored.process_version)?);
        order.available_actions = process.available_actions(&order, time(self.0.store.now()));
        Ok(Some(order))
    }

    /// Does what is asked, once per key, and answers how it ended.
    pub(crate) async fn perform(&self, asked: Asked) -> Result<Answer, ModuleError> {
        let patience = tokio::time::Instant::now() + self.0.config.patience;
        // Asks about one order wait in line here; what other processes ask of it is seen in the database.
        let turn = asked.order.as_deref().map(|order| self.0.turns.of(order));
        let _turn = match &turn {
            Some(turn) => Some(tokio::time::timeout_at(patience, turn.lock()).await.map_err(|_| ModuleError::Busy)?),
            None => None,
        };
        loop {
            let ended = self.0.ended.notified();
            let answer = match self.0.attempt(&asked).await {
                Ok(answer) if answer.is_final() => return Ok(answer),
                Err(ModuleError::Busy) => Err(ModuleError::Busy),
                other => other,
            };
            // Under way, by this ask or another: it ends soon.
            if tokio::time::Instant::now() >= patience
                || matches!(answer, Err(ref e) if !matches!(e, ModuleError::Busy))
            {
                return answer;
            }
            let _ = tokio::time::timeout(LOOK, ended).await;
        }
    }

    /// Fires every timer that is due, takes up every saga that was left, asks about every effect on its way, and
    /// forgets old keys. It is done by itself while the module serves.
    ///
    /// # Errors
    /// [`ModuleError`] of the first thing that failed; the rest was done.
    pub async fn sweep_once(&self) -> Result<(), ModuleError> {
        let inner = &self.0;
        let mut failed = Ok(());
        let mut note = |done: Result<(), ModuleError>| {
            if let (Ok(()), Err(error)) = (&failed, done) {
                failed = Err(error);
            }
        };
        for id in inner.store.due_sagas().await? {
            note(inner.resume(&id).await);
        }
        for (order_id, action) in inner.store.due_timers().await? {
            note(inner.fire(&order_id, &action).await);
        }
        for (reference, order_id) in inner.store.due_effects().await? {
            note(inner.follow_up(&reference, &order_id).await);
        }
        inner.embedded.expire_reservations(time(inner.store.now())).await?;
        inner.store.forget_operations(inner.store.now().saturating_sub(micros(inner.config.keys_kept))).await?;
        failed
    }

    async fn sweep(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(self.0.config.sweep)).await.is_some() {
            if let Err(error) = self.sweep_once().await {
                tracing::error!(error = &error as &dyn std::error::Error, "what time brings could not all be done");
            }
        }
    }

    /// Moves orders from one version of the definition to another, all or none, and answers how many. `states` says
    /// what becomes of states that the other has not.
    ///
    /// # Errors
    /// [`ModuleError::NoProcess`]; [`ModuleError::NoState`] names the first state that has no place.
    pub async fn migrate(&self, from: u32, to: u32, states: &BTreeMap<String, String>) -> Result<usize, ModuleError> {
        let process = self.0.process(to)?;
        self.0.process(from)?;
        let mut write = self.0.store.begin(1).await?;
        let ids = write.orders_of(from).await?;
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        drop(write);
        let mut write = self.0.store.begin(count.max(1)).await?;
        let mut moved = 0;
        let mut homeless: BTreeMap<String, usize> = BTreeMap::new();
        for id in write.orders_of(from).await? {
            let Some(stored) = write.stored(&id).await? else { continue };
            let mut order = stored.order;
            if stored.saga.is_some() {
                return Err(ModuleError::Busy);
            }
            let state = states.get(&order.native.state).unwrap_or(&order.native.state).clone();
            let now = time(write.stamp + i64::try_from(moved).unwrap_or(0));
            if !process.migrate(&mut order, &state, now) {
                *homeless.entry(state).or_default() += 1;
                continue;
            }
            write.put(&order, to, None).await?;
            write.set_timers(&id, &process.timers(&order)).await?;
            self.0.announce(&mut write, &id).await?;
            moved += 1;
        }
        // Dropped without a commit, nothing of it was written.
        if let Some((state, count)) = homeless.pop_first() {
            return Err(ModuleError::NoState { count, state, version: to });
        }
        write.commit().await?;
        self.0.wake();
        Ok(moved)
    }
}

impl Inner {
    pub(crate) fn process(&self, version: u32) -> Result<&Process, ModuleError> {
        self.processes.get(&version).ok_or(ModuleError::NoProcess(version))
    }

    pub(crate) fn current(&self) -> (&Process, u32) {
        (&self.processes[&self.version], self.version)
    }

    async fn attempt(&self, asked: &Asked) -> Result<Answer, ModuleError> {
        let call = &asked.call;
        let input_hash = hash(asked);
        let before = match &asked.order {
            Some(id) => self.store.stored(id).await?.map(|stored| stored.order),
            None => None,
        };
        let facts = self.facts(question(before.as_ref(), &call.input, time(self.store.now()))).await?;
        let mut write = self.store.begin(1).await?;
        if let Some(key) = &asked.key
            && let Some(Operation { input_hash: known, status, reply }) = write.operation(key.as_str()).await?
        {
            if known == input_hash {
                return Ok(Answer { status, reply });
            }
            let message = "This idempotency key was used for something else: take a new key.";
            return answer(Err(Refusal::input("IDEMPOTENCY_KEY_MISMATCH", "", message)));
        }
        let now = time(write.stamp);
        let (action, input, actor) = (asked.action.as_str(), &call.input, call.actor.as_deref());
        let ask = Ask { action, input, trigger: Trigger::Manual, now, actor };
        let (order, version) = match &asked.order {
            None => {
                let number = write.next_number().await?;
                let id = format!("{}{number:06}", self.config.line.prefix());
                let id = SourceOrderId::try_new(id).expect("a letter and digits");
                (order::blank(id, self.config.line.kind(), now, self.config.currency), self.version)
            }
            Some(id) => {
                let Some(stored) = write.stored(id).await? else {
                    let refusal = Refusal::input("ORDER_NOT_FOUND", "", "There is no such order here.");
                    return self.refuse(write, asked, input_hash, refusal).await;
                };
                if stored.saga.is_some() {
                    return Err(ModuleError::Busy);
                }
                (stored.order, stored.process_version)
            }
        };
        if let Some(expected) = call.expected_version.filter(|expected| *expected != order.version) {
            return self.refuse(write, asked, input_hash, Refusal::version(expected, order.version)).await;
        }
        if let Some(refusal) = self.check_exchange(&mut write, &call.input).await? {
            return self.refuse(write, asked, input_hash, refusal).await;
        }
        let process = self.process(version)?;
        if call.dry_run {
            let foreseen = process.foresee(&order, &ask, &facts);
            return answer(foreseen.map(|Moved { order, effects }| (order, effects)));
        }
        match process.plan(&order, &ask, &facts) {
            Err(refusal) => self.refuse(write, asked, input_hash, refusal).await,
            Ok(planned) => {
                let key = asked.key.as_ref().map(|key| (key.to_string(), input_hash));
                let saga = Saga::new(key, version, write.stamp, planned);
                match self.begin(write, saga).await? {
                    Driven::Ended(answer) => Ok(answer),
                    Driven::Left => Ok(Answer::accepted()),
                }
            }
        }
    }

    /// An exchange is a return and a new order: the goods it replaces must be coming back, or have come.
    async fn check_exchange(
        &self,
        write: &mut Write,
        input: &Map<String, Value>,
    ) -> Result<Option<Refusal>, ModuleError> {
        let Some(id) = input.get("exchangeOf").and_then(Value::as_str) else { return Ok(None) };
        let message = match write.stored(id).await? {
            None => "There is no such order here.",
            Some(stored) if stored.order.returns.is_empty() => {
                "Nothing of that order comes back: request a return first."
            }
            Some(_) => return Ok(None),
        };
        Ok(Some(Refusal::input("INVALID_INPUT", "/exchangeOf", message)))
    }

    /// Remembers a refusal under the key, so that it stays one.
    async fn refuse(
        &self,
        mut write: Write,
        asked: &Asked,
        input_hash: Vec<u8>,
        refusal: Refusal,
    ) -> Result<Answer, ModuleError> {
        let answer = answer(Err(refusal))?;
        if let Some(key) = asked.key.as_ref().filter(|_| !asked.call.dry_run) {
            let operation = Operation { input_hash, status: answer.status, reply: answer.reply.clone() };
            write.remember(key.as_str(), &operation).await?;
            write.commit().await?;
        }
        Ok(answer)
    }

    /// Reads what a plan must know of the services.
    async fn facts(&self, question: Option<Question>) -> Result<Facts, ModuleError> {
        let Some(question) = question else { return Ok(Facts::default()) };
        let mut facts = Facts::default();
        if !question.skus.is_empty() {
            facts.products = self.services.facts(Service::Product, &question).await?.products;
            facts.available = self.services.facts(Service::Warehouse, &question).await?.available;
            let risk = self.services.facts(Service::Risk, &question).await?;
            (facts.allowances, facts.review_from) = (risk.allowances, risk.review_from);
        }
        if !question.coupons.is_empty() {
            facts.coupons = self.services.facts(Service::Promotion, &question).await?.coupons;
        }
        if question.member.is_some() {
            facts.member = self.services.facts(Service::Membership, &question).await?.member;
        }
        Ok(facts)
    }

    /// Takes up a saga that was left.
    async fn resume(&self, id: &str) -> Result<(), ModuleError> {
        let until = self.store.now().saturating_add(micros(self.config.lease));
        let Some(state) = self.store.take_saga(id, until).await? else { return Ok(()) };
        let saga: Saga = serde_json::from_str(&state).map_err(StoreError::from)?;
        match self.drive(saga).await {
            // Someone else ended it meanwhile.
            Ok(_) | Err(ModuleError::Busy) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Fires a timer, unless someone else did or a saga holds the order.
    async fn fire(&self, order_id: &str, action: &str) -> Result<(), ModuleError> {
        let mut write = self.store.begin(1).await?;
        let Some(stored) = write.stored(order_id).await?.filter(|stored| stored.saga.is_none()) else { return Ok(()) };
        if !write.take_timer(order_id, action).await? {
            return Ok(());
        }
        let now = time(write.stamp);
        let process = self.process(stored.process_version)?;
        let by_itself = process.automatic(&stored.order, None, now) == Some(action);
        let trigger = if by_itself { Trigger::System } else { Trigger::Timer };
        let none = Map::new();
        let ask = Ask { action, input: &none, trigger, now, actor: None };
        match process.plan(&stored.order, &ask, &Facts::default()) {
            Ok(planned) => {
                let saga = Saga::new(None, stored.process_version, write.stamp, planned);
                self.begin(write, saga).await?;
            }
            // Something is in its way: the next change of the order sets the timer again.
            Err(refusal) => {
                tracing::debug!(order = order_id, action, %refusal, "a timer had nothing to do");
                write.commit().await?;
            }
        }
        Ok(())
    }

    /// Has the order's newest state sent, where someone listens.
    pub(crate) async fn announce(&self, write: &mut Write, order_id: &str) -> Result<(), ModuleError> {
        if self.courier.is_some() {
            write.announce(order_id).await?;
        }
        Ok(())
    }

    /// Something was committed: whoever waits for it may look.
    pub(crate) fn wake(&self) {
        if let Some(courier) = &self.courier {
            courier.wake();
        }
        self.ended.notify_waiters();
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Module").field(&self.0.config).finish()
    }
}

/// What the services are asked before a decision: only what the input speaks of.
fn question(order: Option<&OrderSnapshot>, input: &Map<String, Value>, now: DateTime<Utc>) -> Option<Question> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let lines = input.get("lines").and_then(Value::as_array).into_iter().flatten();
    let mut skus: Vec<_> = lines.filter_map(|line| text(line.get("sku"))).collect();
    skus.extend(text(input.get("slot")));
    let changes = input.contains_key("lines") || input.contains_key("slot") || input.contains_key("quantity");
    if let Some(order) = order.filter(|_| changes) {
        skus.extend(order.lines.iter().filter_map(|line| line.sku.clone()));
    }
    skus.sort();
    skus.dedup();
    let coupons = input.get("coupons").and_then(Value::as_array).into_iter().flatten();
    let coupons: Vec<_> = coupons.filter_map(|code| text(Some(code))).collect();
    if skus.is_empty() && coupons.is_empty() {
        return None;
    }
    let member = match order {
        Some(order) => order.customer.as_ref().and_then(|c| c.id.clone()),
        None => text(input.get("customer").and_then(|customer| customer.get("id"))),
    };
    let at = order.and_then(|order| order.times.placed_at).unwrap_or(now);
    Some(Question { skus, coupons, member, at: Some(at) })
}

/// Microseconds as a time.
pub(crate) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

pub(crate) fn answer(decided: Result<(OrderSnapshot, Vec<Effect>), Refusal>) -> Result<Answer, ModuleError> {
    let (status, reply) = match decided {
        Ok((order, effects)) => {
            (200, ActionReply { outcome: Outcome::Applied, order: Some(order), effects, error: None })
        }
        Err(Refusal { conflict, error }) => {
            let status = if conflict { 409 } else { 422 };
            (status, ActionReply { outcome: Outcome::Rejected, order: None, effects: Vec::new(), error: Some(error) })
        }
    };
    Ok(Answer { status, reply: serde_json::to_string(&reply).map_err(StoreError::from)? })
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
