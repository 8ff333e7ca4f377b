//! A retail module as its clients see it: a real database, a real listener on a free port, a real HTTP client.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use order_contract::protocol::{ActionReply, OrderActions, OrderPage, VERSION_HEADER};
use order_contract::{Amount, OrderSnapshot, Rounding, parse_snapshot};
use order_modules::retail::{Config, ImportedLine, ImportedOrder, ImportedState, Retail};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Shop {
    pub(crate) module: Retail,
    pub(crate) base: String,
    pub(crate) client: Client,
    folder: TempDir,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
    keys: AtomicU64,
}

/// A status with an action's reply.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) reply: ActionReply,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::open_in(TempDir::new().unwrap(), change).await
    }

    async fn open_in(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = Config::new(folder.path().join("retail.db"));
        change(&mut config);
        let module = Retail::open(config).await.unwrap();
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let served = tokio::spawn({
            let (module, shutdown) = (module.clone(), shutdown.clone());
            async move { module.serve(listener, shutdown).await.unwrap() }
        });
        Self { module, base, client: Client::new(), folder, shutdown, served, keys: AtomicU64::new(0) }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("retail.db")
    }

    /// Ends the module and opens another one on the same database.
    pub(crate) async fn restart(self) -> Self {
        let Self { module, folder, shutdown, served, client, .. } = self;
        // A kept-alive connection would hold the graceful end up.
        drop(client);
        shutdown.cancel();
        served.await.unwrap();
        drop(module);
        Self::open_in(folder, |_| ()).await
    }

    /// Products A (2.50) and B (0.95) with 1000 in stock each, FREE for nothing, and SCARCE with 1000.
    pub(crate) async fn stocked(self) -> Self {
        let line = |sku: &str, price: &str| ImportedLine {
            sku: sku.into(),
            name: format!("product {sku}"),
            quantity: 1.into(),
            unit_price: price.parse().unwrap(),
        };
        let lines = vec![line("A", "2.50"), line("B", "0.95"), line("FREE", "0"), line("SCARCE", "10")];
        let report = self.module.import(vec![imported("536365", lines, ImportedState::Completed)]).await.unwrap();
        assert_eq!((report.orders, report.refused), (1, vec![]));
        self
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).header(VERSION_HEADER, "1.0").send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Response {
        let mut request = self.client.post(format!("{}{path}", self.base)).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn ask(&self, path: &str, key: &str, body: &Value) -> Reply {
        let response = self.post(path, Some(key), body).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        let reply = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{status} {e}: {text}"));
        Reply { status, text, reply }
    }

    pub(crate) fn key(&self) -> String {
        format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks for an action under a new key.
    pub(crate) async fn act(&self, id: &str, action: &str, input: Value) -> Reply {
        self.ask(&format!("/orders/{id}/actions/{action}"), &self.key(), &json!({ "input": input })).await
    }

    /// Asks for an action that must succeed.
    pub(crate) async fn done(&self, id: &str, action: &str, input: Value) -> OrderSnapshot {
        let Reply { status, text, reply } = self.act(id, action, input).await;
        assert_eq!(status, 200, "{action}: {text}");
        sound(reply.order.expect("an order"))
    }

    pub(crate) async fn create(&self, lines: Value) -> OrderSnapshot {
        let input = json!({ "input": { "lines": lines, "customer": { "id": "17850" },
            "shippingAddress": { "city": "London", "countryCode": "GB" } } });
        let Reply { status, text, reply } = self.ask("/orders", &self.key(), &input).await;
        assert_eq!(status, 200, "{text}");
        sound(reply.order.expect("an order"))
    }

    pub(crate) async fn order(&self, id: &str) -> OrderSnapshot {
        let bytes = self.get(&format!("/orders/{id}")).await.bytes().await.unwrap();
        let order = parse_snapshot(&bytes, Rounding::Refuse).expect("canonical JSON").0;
        assert_eq!(serde_json::to_vec(&order).unwrap(), bytes, "the reply is the canonical JSON");
        sound(order)
    }

    pub(crate) async fn actions(&self, id: &str) -> OrderActions {
        self.get(&format!("/orders/{id}/actions")).await.json().await.unwrap()
    }

    pub(crate) async fn list(&self, query: &str) -> OrderPage {
        let response = self.get(&format!("/orders?{query}")).await;
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    /// The module's own database, as an operator would look into it.
    pub(crate) async fn look(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(self.database()).read_only(true);
        SqlitePool::connect_with(options).await.unwrap()
    }

    /// Every ledger agrees with every order, to the last piece and penny.
    pub(crate) async fn assert_balanced(&self) {
        let db = self.look().await;
        let off: Vec<String> = sqlx::query_scalar(
            "SELECT sku FROM stock LEFT JOIN (SELECT sku, SUM(on_hand) AS h, SUM(reserved) AS r, SUM(damaged) AS d
                 FROM stock_movements GROUP BY sku) USING (sku)
             WHERE on_hand != h OR reserved != r OR damaged != d",
        )
        .fetch_all(&db)
        .await
        .unwrap();
        assert_eq!(off, Vec::<String>::new(), "the stock is the sum of its movements");
        let documents: Vec<String> = sqlx::query_scalar("SELECT document FROM orders").fetch_all(&db).await.unwrap();
        for document in documents {
            let order = sound(serde_json::from_str(&document).unwrap());
            let id = order.source_order_id.as_str();
            let (sold, back): (i64, i64) = sqlx::query_as(
                "SELECT COALESCE(SUM(MAX(amount, 0)), 0), COALESCE(SUM(MIN(amount, 0)), 0)
                 FROM transactions WHERE order_id = ?",
            )
            .bind(id)
            .fetch_one(&db)
            .await
            .unwrap();
            assert_eq!(Amount::from_units(sold), order.totals.captured.unwrap(), "{id}");
            assert_eq!(Amount::from_units(-back), order.totals.refunded.unwrap(), "{id}");
            let (reserved, shipped, damaged): (i64, i64, i64) = sqlx::query_as(
                "SELECT COALESCE(SUM(reserved), 0), COALESCE(SUM(-on_hand), 0), COALESCE(SUM(damaged), 0)
                 FROM stock_movements WHERE order_id = ?",
            )
            .bind(id)
            .fetch_one(&db)
            .await
            .unwrap();
            let sum = |of: fn(&order_contract::LineQuantities) -> Amount| {
                order.lines.iter().map(|l| of(&l.quantity)).sum::<Amount>()
            };
            let waiting = sum(|q| q.ordered - q.canceled - q.fulfilled);
            assert_eq!(Amount::from_units(reserved), waiting, "{id}: what is promised is what is still to ship");
            let out = sum(|q| q.fulfilled - q.returned) + Amount::from_units(damaged);
            assert_eq!(Amount::from_units(shipped), out, "{id}: what left the shelf is with the buyer or damaged");
        }
        db.close().await;
    }
}

/// An order's own numbers add up.
pub(crate) fn sound(order: OrderSnapshot) -> OrderSnapshot {
    assert_eq!(order.violations(), [], "{}", order.number);
    let zero = Amount::ZERO;
    let (captured, refunded) = (order.totals.captured.unwrap(), order.totals.refunded.unwrap());
    assert!(zero <= refunded && refunded <= captured && captured <= order.totals.total, "{:?}", order.totals);
    for line in &order.lines {
        let q = line.quantity;
        assert_eq!(q.current, q.ordered - q.canceled - q.returned);
        assert!(q.returned <= q.fulfilled && q.fulfilled <= q.ordered && q.refunded <= q.ordered, "{q:?}");
    }
    order
}

pub(crate) fn imported(number: &str, lines: Vec<ImportedLine>, state: ImportedState) -> ImportedOrder {
    ImportedOrder {
        number: number.into(),
        placed_at: placed(),
        customer: Some("17850".into()),
        country: Some("United Kingdom".into()),
        country_code: Some("GB".into()),
        lines,
        state,
        returns: Vec::new(),
    }
}

pub(crate) fn placed() -> DateTime<Utc> {
    "2010-12-01T08:26:00Z".parse().unwrap()
}
