//! A center in this process over a real database, and a real order module behind a proxy that can break things.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use order_center::catalog::{Catalog, CatalogConfig, SealKey, Vault};
use order_center::database::Database;
use order_center::index::Index;
use order_center::ingest::{Clock, Ingest, IngestLimits};
use order_center::mapping::{Limits, Pool};
use order_center::operation::{Intent, OperationLimits, Operations};
use order_center::source::egress::Reach;
use order_center::source::protocol::{ProtocolClient, ProtocolConfig};
use order_center::source::{Factory, Registry, Source};
use order_center::upkeep::{Upkeep, UpkeepLimits};
use order_contract::{ActionName, OrderId, OrderSnapshot, Rounding, SourceOrderId};
use order_modules::{Config, ImportedLine, ImportedOrder, ImportedState, Line, WebhookTarget};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fault::FaultProxy;
use crate::world::{at, source};

/// The secret that webhooks are signed with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How long the client waits for a module. Shorter than every stall in the tests.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(800);

/// An order module of its own, retail unless told, served over HTTP. It ends with the value.
pub(crate) struct Module {
    pub(crate) inner: order_modules::Module,
    pub(crate) address: SocketAddr,
    pub(crate) proxy: FaultProxy,
    _stop: DropGuard,
    _folder: tempfile::TempDir,
}

impl Module {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(Line::Retail, folder.path().join("module.db"));
        config.durable = false;
        change(&mut config);
        let inner = order_modules::Module::open(config).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn({
            let (inner, stop) = (inner.clone(), stop.clone());
            async move { inner.serve(listener, stop).await.unwrap() }
        });
        let proxy = FaultProxy::start(address.to_string()).await;
        Self { inner, address, proxy, _stop: stop.drop_guard(), _folder: folder }
    }

    /// Takes in paid orders, each of 1,000 pieces at 10.00.
    pub(crate) async fn import(&self, numbers: impl IntoIterator<Item = String>) {
        self.import_as(numbers, ImportedState::Paid).await;
    }

    /// The same orders, before they are paid.
    pub(crate) async fn import_unpaid(&self, numbers: impl IntoIterator<Item = String>) {
        self.import_as(numbers, ImportedState::PendingPayment).await;
    }

    async fn import_as(&self, numbers: impl IntoIterator<Item = String>, state: ImportedState) {
        let orders = numbers.into_iter().map(|number| ImportedOrder {
            number,
            placed_at: at(0),
            customer: Some("17850".into()),
            country: Some("United Kingdom".into()),
            country_code: Some("GB".into()),
            lines: vec![ImportedLine {
                sku: "85123A".into(),
                name: "WHITE HANGING HEART T-LIGHT HOLDER".into(),
                quantity: 1_000.into(),
                unit_price: "10.00".parse().unwrap(),
            }],
            state: state.clone(),
            returns: Vec::new(),
        });
        let report = self.inner.import(orders.collect()).await.unwrap();
        assert_eq!(report.refused, [], "the module takes the test's orders");
    }

    /// The order as the module itself has it now, past the proxy.
    pub(crate) async fn order(&self, id: &str) -> OrderSnapshot {
        let url = format!("http://{}/orders/{id}", self.address);
        reqwest::get(url).await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }
}

/// A webhook target.
pub(crate) fn webhook_target(url: String) -> WebhookTarget {
    WebhookTarget { url, secret: SecretString::from(SECRET) }
}

/// A clock that tests move.
#[derive(Clone, Default)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// Moves it so many seconds away from the real time.
    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::seconds(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn clock(&self) -> Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

/// A source that speaks the protocol at this base URL.
pub(crate) fn protocol_source(key: &str, base_url: &str) -> Source {
    let config = ProtocolConfig {
        source: source(key),
        base_url: base_url.parse().unwrap(),
        token: None,
        webhook_secrets: vec![SecretString::from(SECRET)],
        rounding: Rounding::Refuse,
        timeout: TIMEOUT,
        body_bytes_max: 8 << 20,
        reach: Reach::Private,
    };
    let port = Arc::new(ProtocolClient::new(config).unwrap());
    Source { key: source(key), title: key.into(), adapter: "protocol".into(), mapping: String::new(), port }
}

/// One node of a center. Nothing runs in the background until a test says so.
#[derive(Clone)]
pub(crate) struct Center {
    pub(crate) registry: Registry,
    pub(crate) index: Index,
    pub(crate) ingest: Ingest,
    pub(crate) operations: Operations,
    pub(crate) catalog: Catalog,
    pub(crate) upkeep: Upkeep,
}

pub(crate) const INGEST: IngestLimits = IngestLimits {
    page_size: 50,
    overlap: Duration::from_secs(5),
    poll_interval: Duration::from_millis(50),
    webhook_attempts_max: 3,
    lease: Duration::from_secs(30),
};

pub(crate) const OPERATION: OperationLimits = OperationLimits {
    wait: Duration::from_secs(10),
    concurrency_max: 64,
    attempts_max: 4,
    settle_backoff: Duration::from_millis(100),
    settle_backoff_max: Duration::from_secs(1),
    lease: Duration::from_secs(3),
};

pub(crate) const UPKEEP: UpkeepLimits = UpkeepLimits {
    reconcile_interval: Duration::from_secs(24 * 3600),
    reconcile_window: Duration::from_secs(7 * 24 * 3600),
    reread_interval: None,
};

/// Where the mappings of adapters run: in this project's program, which a test is not.
pub(crate) fn workers() -> Pool {
    Pool::new(Limits { program: env!("CARGO_BIN_EXE_order-center").into(), ..Limits::default() })
}

/// A catalog whose sources may be at 127.0.0.1, with a key that seals secrets and one reference that leads somewhere.
pub(crate) fn catalog_config() -> CatalogConfig {
    let reader = |reference: &str| match reference {
        "env:SOURCE_SECRET" => Ok(SecretString::from(SECRET)),
        _ => Err(format!("there is no {reference}")),
    };
    let key = SealKey::new(&SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")).unwrap();
    CatalogConfig {
        factory: Factory::new(workers()),
        vault: Vault { reader: Arc::new(reader), key: Some(key) },
        reach: Reach::Listed(["127.0.0.1".to_owned()].into()),
        poll_interval: Duration::from_millis(50),
    }
}

impl Center {
    pub(crate) fn new(database: &Database, sources: impl IntoIterator<Item = Source>) -> Self {
        Self::with(database, sources, &TestClock::default(), INGEST, OPERATION)
    }

    pub(crate) fn with(
        database: &Database,
        sources: impl IntoIterator<Item = Source>,
        clock: &TestClock,
        ingest: IngestLimits,
        operation: OperationLimits,
    ) -> Self {
        let registry = Registry::new(sources);
        let index = Index::new(database.clone());
        let ingest = Ingest::new(database.clone(), index.clone(), registry.clone(), clock.clock(), ingest);
        let operations = Operations::new(database.clone(), ingest.clone(), registry.clone(), clock.clock(), operation);
        let catalog = Catalog::new(database.clone(), registry.clone(), clock.clock(), catalog_config());
        let upkeep =
            Upkeep::new(database.clone(), catalog.clone(), ingest.clone(), registry.clone(), clock.clock(), UPKEEP);
        Self { registry, index, ingest, operations, catalog, upkeep }
    }

    /// Runs ingest's workers until the guard is dropped.
    pub(crate) fn run_ingest(&self) -> DropGuard {
        let stop = CancellationToken::new();
        tokio::spawn(self.ingest.clone().run(stop.clone()));
        stop.drop_guard()
    }

    /// Runs settlement until the guard is dropped.
    pub(crate) fn run_operations(&self) -> DropGuard {
        let stop = CancellationToken::new();
        tokio::spawn(self.operations.clone().run(stop.clone()));
        stop.drop_guard()
    }

    /// Runs upkeep and the following of the catalog until the guard is dropped.
    pub(crate) fn run_upkeep(&self) -> DropGuard {
        let stop = CancellationToken::new();
        tokio::spawn(self.catalog.clone().follow(stop.clone()));
        tokio::spawn(self.upkeep.clone().run(stop.clone()));
        stop.drop_guard()
    }

    /// What the index holds of an order.
    pub(crate) async fn held(&self, id: &OrderId) -> Option<OrderSnapshot> {
        self.index.find(id).await.unwrap().map(|order| order.snapshot)
    }
}

/// An intent for an order of the source `retail`.
pub(crate) fn intent(order: &OrderId, key: &str, action: &str, input: Value) -> Intent {
    let Value::Object(input) = input else { panic!("an input is an object") };
    Intent {
        principal: "key_1".into(),
        idempotency_key: key.into(),
        source: order.source().clone(),
        order: Some(order.clone()),
        action: ActionName::try_new(action).unwrap(),
        input,
        expected_version: None,
        dry_run: false,
        actor: Some("ada".into()),
        traceparent: None,
    }
}

/// An intent to create an order.
pub(crate) fn create(key: &str, input: Value) -> Intent {
    let order = OrderId::new(source("retail"), SourceOrderId::try_new("none").unwrap());
    Intent { order: None, ..intent(&order, key, "create", input) }
}

/// An action without input.
pub(crate) fn nothing() -> Value {
    Value::Object(Map::new())
}

/// Waits until the condition holds: at most 30 seconds, then the test fails with `what`.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within 30 seconds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
