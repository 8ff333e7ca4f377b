//! All six services on one database, as a module has them and as others reach them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use order_contract::{Amount, Currency};
use order_modules::service::{
    Charge, Command, CouponRule, Embedded, Entry, Fault, Goods, Receipt, Remote, Server, ServerConfig, Service,
    ServicePort,
};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Seconds since 1970 when every test begins.
pub(crate) const START: i64 = 1_750_000_000;

pub(crate) struct House {
    /// What is tested: the embedded services, or the same over HTTP.
    pub(crate) port: Arc<dyn ServicePort>,
    pub(crate) embedded: Embedded,
    pub(crate) base: String,
    clock: Arc<AtomicI64>,
    folder: TempDir,
    _serving: DropGuard,
}

/// Runs a test against the embedded services, then over HTTP.
pub(crate) async fn each(test: impl AsyncFn(House)) {
    for remote in [false, true] {
        test(House::open(remote).await).await;
    }
}

impl House {
    pub(crate) async fn open(remote: bool) -> Self {
        Self::open_with(remote, |_| ()).await
    }

    pub(crate) async fn open_with(remote: bool, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(AtomicI64::new(START));
        let mut config = ServerConfig::new(folder.path().join("services.db"), Service::ALL.to_vec());
        config.clock = Arc::new({
            let clock = clock.clone();
            move || at(clock.load(Ordering::SeqCst))
        });
        // Tests say themselves when reservations are looked at.
        config.sweep = Duration::from_secs(24 * 60 * 60);
        change(&mut config);
        let token = config.token.clone();
        let server = Server::open(config).await.unwrap();
        let embedded = server.embedded().clone();
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = shutdown.clone().drop_guard();
        tokio::spawn(async move { server.serve(listener, shutdown).await.unwrap() });
        let port: Arc<dyn ServicePort> = match remote {
            true => Arc::new(Remote::new(&base, token, Duration::from_secs(60)).unwrap()),
            false => Arc::new(embedded.clone()),
        };
        Self { port, embedded, base, clock, folder, _serving: serving }
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        at(self.clock.load(Ordering::SeqCst))
    }

    pub(crate) async fn sql(&self) -> SqliteConnection {
        let file: PathBuf = self.folder.path().join("services.db");
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap()
    }

    pub(crate) async fn post(&self, key: &str, order: &str, command: Command) -> Result<Receipt, Fault> {
        self.port.post(&Entry { key: key.into(), order: order.into(), command }).await
    }

    /// Posts what must be accepted.
    pub(crate) async fn done(&self, key: &str, order: &str, command: Command) -> Receipt {
        self.post(key, order, command).await.unwrap()
    }

    /// Posts what must be refused, and answers the code.
    pub(crate) async fn refused(&self, key: &str, order: &str, command: Command) -> String {
        code(self.post(key, order, command).await)
    }

    pub(crate) async fn reverse(&self, service: Service, key: &str) {
        self.port.reverse(service, key).await.unwrap();
    }

    /// What an account holds, in whole pieces.
    pub(crate) async fn balance(&self, service: Service, account: &str, item: &str) -> i64 {
        let amount = sqlx::query_scalar(
            "SELECT coalesce((SELECT amount FROM ledger_balances WHERE (service, account, item) = (?, ?, ?)), 0)",
        );
        let amount: i64 =
            amount.bind(service.as_str()).bind(account).bind(item).fetch_one(&mut self.sql().await).await.unwrap();
        assert_eq!(amount % 10_000, 0, "{account} holds parts of {item}");
        amount / 10_000
    }

    /// Stock of A (10) and B (5), licence codes of L (10).
    pub(crate) async fn stocked(self) -> Self {
        self.embedded.receive_goods("delivery", &[goods("A", 10), goods("B", 5)]).await.unwrap();
        let codes: Vec<_> = (0..10).map(|i| format!("CODE-{i}")).collect();
        assert_eq!(self.embedded.add_codes("L", &codes).await.unwrap(), 10);
        self
    }
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, Fault>) -> String {
    match answer {
        Err(Fault::Refused { code, .. }) => code,
        other => panic!("not a refusal: {other:?}"),
    }
}

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

pub(crate) fn goods(sku: &str, quantity: i64) -> Goods {
    Goods { sku: sku.into(), quantity: quantity.into() }
}

pub(crate) fn charge(payment: &str, amount: &str, token: Option<&str>) -> Charge {
    Charge {
        payment: payment.into(),
        amount: amount.parse().unwrap(),
        currency: Currency::from_code("GBP").unwrap(),
        token: token.map(Into::into),
    }
}

pub(crate) fn coupon(code: &str) -> CouponRule {
    CouponRule {
        code: code.into(),
        title: format!("the coupon {code}"),
        percent: Some(Amount::from(10)),
        amount: None,
        skus: Vec::new(),
        minimum: None,
        stackable: true,
        limit: None,
        limit_per_member: None,
        valid_from: None,
        valid_until: None,
    }
}
