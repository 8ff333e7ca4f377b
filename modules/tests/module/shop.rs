//! A module as its clients see it: a real database, a real listener on a free port, a real HTTP client.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use order_contract::protocol::{ActionReply, OrderActions, OrderPage, VERSION_HEADER};
use order_contract::{Amount, OrderSnapshot, RefundStatus, Rounding, parse_snapshot};
use order_modules::service::{Goods, Product, Service};
use order_modules::{Config, ImportedLine, ImportedOrder, ImportedState, Line, Module};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Shop {
    pub(crate) module: Module,
    line: Line,
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
        Self::open_in(TempDir::new().unwrap(), Line::Retail, change).await
    }

    pub(crate) async fn of(line: Line, change: impl FnOnce(&mut Config)) -> Self {
        Self::open_in(TempDir::new().unwrap(), line, change).await
    }

    pub(crate) async fn open_in(folder: TempDir, line: Line, change: impl FnOnce(&mut Config)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = Config::new(line, folder.path().join("module.db"));
        change(&mut config);
        let module = Module::open(config).await.unwrap();
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let served = tokio::spawn({
            let (module, shutdown) = (module.clone(), shutdown.clone());
            async move { module.serve(listener, shutdown).await.unwrap() }
        });
        Self { module, line, base, client: Client::new(), folder, shutdown, served, keys: AtomicU64::new(0) }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("module.db")
    }

    /// Ends the module and opens another one on the same database.
    pub(crate) async fn restart(self) -> Self {
        let Self { module, line, folder, shutdown, served, client, .. } = self;
        // A kept-alive connection would hold the graceful end up.
        drop(client);
        shutdown.cancel();
        served.await.unwrap();
        drop(module);
        Self::open_in(folder, line, |_| ()).await
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
        let mut input = json!({ "lines": lines, "customer": { "id": "17850" } });
        if self.line == Line::Retail {
            input["shippingAddress"] = json!({ "city": "London", "countryCode": "GB" });
        }
        let input = json!({ "input": input });
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

    /// Products at a price with so many pieces in stock.
    pub(crate) async fn sells(self, products: &[(&str, &str, i64)]) -> Self {
        let services = self.module.services();
        let product = |(sku, price, _): &(&str, &str, i64)| Product {
            sku: (*sku).into(),
            name: format!("product {sku}"),
            price: price.parse().unwrap(),
            details: serde_json::Map::new(),
        };
        services.put_products(&products.iter().map(product).collect::<Vec<_>>()).await.unwrap();
        let goods: Vec<_> =
            products.iter().map(|(sku, _, n)| Goods { sku: (*sku).into(), quantity: (*n).into() }).collect();
        services.receive_goods(&self.key(), &goods).await.unwrap();
        self
    }

    /// A product whose pieces are licence codes.
    pub(crate) async fn licences(self, sku: &str, price: &str, count: usize) -> Self {
        let services = self.module.services();
        let (price, details) = (price.parse().unwrap(), serde_json::Map::new());
        services.put_products(&[Product { sku: sku.into(), name: sku.into(), price, details }]).await.unwrap();
        let codes: Vec<_> = (0..count).map(|i| format!("{sku}-{i:04}-KEY")).collect();
        services.add_codes(sku, &codes).await.unwrap();
        self
    }

    /// A slot with so many places.
    pub(crate) async fn slot(self, sku: &str, price: &str, places: i64, starts: DateTime<Utc>) -> Self {
        let ends = starts + chrono::TimeDelta::hours(2);
        let details = json!({ "startsAt": starts, "endsAt": ends }).as_object().cloned().unwrap();
        let services = self.module.services();
        let price = price.parse().unwrap();
        services.put_products(&[Product { sku: sku.into(), name: sku.into(), price, details }]).await.unwrap();
        let goods = [Goods { sku: sku.into(), quantity: places.into() }];
        services.receive_goods(&self.key(), &goods).await.unwrap();
        self
    }

    /// Every ledger agrees with every order, to the last piece, coupon, point and penny.
    pub(crate) async fn assert_balanced(&self) {
        let db = self.look().await;
        let documents: Vec<String> = sqlx::query_scalar("SELECT document FROM orders").fetch_all(&db).await.unwrap();
        let under_way: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sagas").fetch_one(&db).await.unwrap();
        assert_eq!(under_way, 0, "nothing is under way at rest");
        for document in documents {
            self.assert_agrees(&sound(serde_json::from_str(&document).unwrap())).await;
        }
        let off: Vec<(String, String)> = sqlx::query_as(
            "SELECT service, item FROM ledger_balances GROUP BY service, item HAVING SUM(amount) <> 0
             UNION SELECT service, item FROM ledger_balances WHERE amount < 0 AND account NOT LIKE '@%'
                 AND account NOT LIKE 'member/%'",
        )
        .fetch_all(&db)
        .await
        .unwrap();
        assert_eq!(off, [], "what one account lost another has, and no account of the house is overdrawn");
        db.close().await;
    }

    /// The ledgers hold for an order what its document says.
    pub(crate) async fn assert_agrees(&self, order: &OrderSnapshot) {
        let id = order.source_order_id.as_str();
        let mut books = Vec::new();
        for service in [Service::Warehouse, Service::Payment, Service::Promotion, Service::Membership] {
            books.push(self.module.services().order_balances(service, id).await.unwrap());
        }
        let [warehouse, payment, promotion, membership] = books.as_slice() else { unreachable!() };
        let held = |book: &std::collections::BTreeMap<String, std::collections::BTreeMap<String, Amount>>,
                    account: &str| {
            let accounts = book.iter().filter(|(name, _)| name.split('/').next() == Some(account));
            accounts.flat_map(|(_, items)| items.values().copied()).sum::<Amount>()
        };
        let sum = |of: fn(&order_contract::OrderLine) -> Amount| order.lines.iter().map(of).sum::<Amount>();
        let fact = |map: &serde_json::Map<String, Value>, name: &str| -> Amount {
            map.get(name).and_then(Value::as_str).map_or(Amount::ZERO, |text| text.parse().unwrap())
        };
        let claimed: Amount = order.lines.iter().map(|l| fact(&l.attributes, "claimed")).sum();
        let fulfilled = sum(|l| l.quantity.fulfilled);
        let waiting = sum(|l| l.quantity.ordered - l.quantity.canceled - l.quantity.fulfilled);
        let (promised, shipped, digital) = match order.kind {
            order_contract::OrderKind::Digital => (Amount::ZERO, Amount::ZERO, fulfilled - claimed),
            _ => (waiting, fulfilled - sum(|l| l.quantity.returned), Amount::ZERO),
        };
        assert_eq!(held(warehouse, "reserved"), promised, "{id}: what is promised is what is still to come");
        assert_eq!(held(warehouse, "shipped"), shipped, "{id}: what left the house is with the buyer");
        assert_eq!((held(warehouse, "sold"), held(warehouse, "claimed")), (digital, claimed), "{id}: codes");

        let (captured, refunded) = (order.totals.captured.unwrap(), order.totals.refunded.unwrap());
        let of_points = |p: &&order_contract::Payment| p.method == "points";
        let kept = |p: &order_contract::Payment| {
            let of = |kind| p.transactions.iter().filter(move |t| t.transaction_type == kind);
            use order_contract::TransactionStatus::{Pending, Succeeded};
            use order_contract::TransactionType::{Capture, Refund, Sale};
            let took: Amount = of(Sale).chain(of(Capture)).map(|t| t.amount).sum();
            let back = of(Refund).filter(|t| matches!(t.status, Pending | Succeeded));
            took - back.map(|t| t.amount).sum::<Amount>()
        };
        let points: Amount = order.payments.iter().filter(of_points).map(kept).sum();
        let money: Amount = order.payments.iter().filter(|p| !of_points(p)).map(kept).sum();
        assert!(
            order.refunds.iter().any(|r| r.status == RefundStatus::Pending) || money + points == captured - refunded,
            "{id}: {:?}",
            order.totals
        );
        assert_eq!(held(payment, "merchant"), money, "{id}: the money that was taken and not given back");
        assert_eq!(held(payment, "held"), order.totals.authorized.unwrap(), "{id}: the money that is held");
        let hundred: Amount = 100.into();
        let earned = fact(&order.attributes, "pointsEarned");
        let spent = points.checked_mul(hundred).unwrap();
        assert_eq!(held(membership, "member"), earned - spent, "{id}: points earned and spent");
        let called_off = order.lines.iter().all(|l| l.quantity.canceled == l.quantity.ordered);
        let uses = if called_off { 0 } else { order.coupons.len() };
        let used = promotion.get("used").map_or(Amount::ZERO, |items| items.values().copied().sum());
        assert_eq!(used, i64::try_from(uses).unwrap().into(), "{id}: coupons");
    }
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn at(start: &str) -> Self {
        let start: DateTime<Utc> = start.parse().unwrap();
        Self(Arc::new(AtomicI64::new(start.timestamp_micros())))
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }

    pub(crate) fn forward(&self, by: chrono::TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> order_modules::Clock {
        let hands = self.clone();
        Arc::new(move || hands.now())
    }
}

/// An order's own numbers add up.
pub(crate) fn sound(order: OrderSnapshot) -> OrderSnapshot {
    assert_eq!(order.violations(), [], "{}", order.number);
    let zero = Amount::ZERO;
    let (captured, refunded) = (order.totals.captured.unwrap(), order.totals.refunded.unwrap());
    assert!(zero <= refunded && refunded <= captured, "{:?}", order.totals);
    let pending = order.refunds.iter().filter(|r| r.status == RefundStatus::Pending).map(|r| r.amount).sum::<Amount>();
    let kept = captured - refunded - pending;
    assert!(kept <= order.totals.total, "nobody keeps more than the order costs: {:?}", order.totals);
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
