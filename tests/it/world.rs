//! What every test stands on: fresh databases of both kinds, and orders.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use order_center::database::{Database, PoolLimits};
use order_contract::{OrderId, OrderSnapshot, Rounding, SourceKey, SourceOrderId, parse_snapshot};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// A database of this test alone. It is removed with the value.
pub(crate) struct TestDatabase {
    /// `sqlite` or `postgres`, for messages.
    pub(crate) name: &'static str,
    /// The URL to open it again.
    pub(crate) url: String,
    /// Open and migrated.
    pub(crate) database: Database,
    _guard: Guard,
}

#[expect(dead_code, reason = "both are kept to be dropped")]
enum Guard {
    File(tempfile::TempDir),
    Server(ServerDatabase),
}

/// A fresh SQLite file.
pub(crate) async fn sqlite() -> TestDatabase {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("center.db").display());
    let database = Database::open(&url, PoolLimits::default()).await.unwrap();
    TestDatabase { name: "sqlite", url, database, _guard: Guard::File(folder) }
}

/// A fresh PostgreSQL database on the server of `TEST_DATABASE_URL`. No server is a failure, not a silent pass, unless
/// `ORDER_CENTER_SKIP_POSTGRES=1` says that it is meant.
pub(crate) async fn postgres() -> Option<TestDatabase> {
    if std::env::var("ORDER_CENTER_SKIP_POSTGRES").is_ok_and(|skip| skip == "1") {
        return None;
    }
    let server =
        std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
    let created = ServerDatabase::create(&server).await;
    let url = created.url.clone();
    let database = Database::open(&url, PoolLimits::default()).await.unwrap();
    Some(TestDatabase { name: "postgres", url, database, _guard: Guard::Server(created) })
}

/// One fresh database of each kind.
pub(crate) async fn databases() -> Vec<TestDatabase> {
    [Some(sqlite().await), postgres().await].into_iter().flatten().collect()
}

struct ServerDatabase {
    server: String,
    name: String,
    url: String,
}

impl ServerDatabase {
    async fn create(server: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("oc_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(server)
            .await
            .expect("a PostgreSQL server: set TEST_DATABASE_URL, or ORDER_CENTER_SKIP_POSTGRES=1 to do without");
        for sql in [format!("drop database if exists {name}"), format!("create database {name}")] {
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        let (base, _) = server.rsplit_once('/').expect("a database name in TEST_DATABASE_URL");
        Self { server: server.to_owned(), url: format!("{base}/{name}"), name }
    }
}

impl Drop for ServerDatabase {
    fn drop(&mut self) {
        let (server, sql) = (self.server.clone(), format!("drop database if exists {} with (force)", self.name));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await.unwrap();
                connection.execute(AssertSqlSafe(sql)).await.unwrap();
            });
        })
        .join();
        assert!(dropped.is_ok() || std::thread::panicking(), "the test database could not be dropped");
    }
}

/// Removes every order, for a test that goes through many cases.
pub(crate) async fn clear(database: &Database) {
    for table in ["orders", "raw_payloads", "order_lines", "order_payments", "order_refunds", "order_status_changes"] {
        database.execute(&format!("delete from {table}"), &[]).await.unwrap();
    }
}

/// A source key.
pub(crate) fn source(key: &str) -> SourceKey {
    SourceKey::try_new(key).unwrap()
}

/// The global id of an order.
pub(crate) fn order_id(key: &str, id: &str) -> OrderId {
    OrderId::new(source(key), SourceOrderId::try_new(id).unwrap())
}

/// A moment: so many seconds after the first order of the Online Retail data set.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_291_191_960 + seconds, 0).unwrap()
}

/// The canonical JSON of a small valid order: two lines, paid by card.
pub(crate) fn order_json(id: &str, version: i64) -> Value {
    json!({
        "sourceOrderId": id, "version": version, "number": format!("R-{id}"), "kind": "RETAIL", "channel": "web",
        "status": "PROCESSING", "paymentStatus": "PAID", "fulfillmentStatus": "UNFULFILLED",
        "native": { "state": "PAID" }, "currency": "GBP",
        "times": { "updatedAt": at(version), "placedAt": at(0) },
        "customer": { "id": "17850", "name": "Ada Byron", "email": "Ada@Example.org" },
        "shippingAddress": { "countryCode": "GB" },
        "lines": [
            { "id": "1", "sku": "85123A", "name": "WHITE HANGING HEART T-LIGHT HOLDER",
              "quantity": { "ordered": 6, "current": 6 }, "unitPrice": "2.55", "total": "15.30" },
            { "id": "2", "sku": "84406B", "name": "CREAM CUPID HEARTS COAT HANGER",
              "quantity": { "ordered": 2, "current": 2 }, "unitPrice": "2.75", "total": "5.50" }
        ],
        "totals": { "subtotal": "20.80", "shipping": "3.20", "total": "24.00",
                    "captured": "24.00", "refunded": "0", "due": "0" },
        "payments": [{ "id": "p1", "method": "card", "provider": "acme", "status": "CAPTURED", "amount": "24.00",
            "transactions": [{ "id": "t1", "type": "SALE", "status": "SUCCEEDED", "amount": "24.00" }] }]
    })
}

/// Parses canonical JSON that is valid.
pub(crate) fn snapshot(json: &Value) -> OrderSnapshot {
    parse_snapshot(json.to_string().as_bytes(), Rounding::Refuse).unwrap().0
}
