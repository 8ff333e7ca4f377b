//! A shop that speaks WooCommerce's REST API as far as the adapter does, over real HTTP: it filters by seconds,
//! exclusively, sorts ascending, pages by number, and keeps no idempotency keys. Orders can be touched at any moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use chrono::{DateTime, NaiveDateTime};
use http::{HeaderMap, Method};
use order_adapter::Package;
use order_center::source::egress::Reach;
use order_center::source::manifest::{ManifestConfig, ManifestSource};
use order_contract::{Rounding, SourceKey};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// One request that came by.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) body: Value,
}

/// What happens to a request instead of, or after, what the shop does.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The shop does not see it; this is the answer: status, headers, body.
    Instead(u16, Vec<(&'static str, String)>, String),
    /// The shop does it; this is the answer.
    After(u16, Vec<(&'static str, String)>, String),
    /// The shop does it; the answer comes too late.
    Lost,
}

type Plan = Box<dyn FnMut(&Asked, &mut Orders) -> Fault + Send>;

/// The shop's orders: native records by id, with the second each was last changed at.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) by_id: BTreeMap<u64, (i64, Value)>,
    /// The shop's clock, in seconds since 1970.
    pub(super) now: i64,
    /// Whether answers have a `Date` header.
    pub(super) dated: bool,
}

impl Orders {
    /// Puts an order there, changed at this second.
    pub(super) fn put(&mut self, id: u64, at: i64, status: &str) {
        self.by_id.insert(id, (at, order(id, status)));
    }

    /// Changes an order now.
    pub(super) fn touch(&mut self, id: u64, change: impl FnOnce(&mut Value)) {
        let now = self.now;
        if let Some((at, order)) = self.by_id.get_mut(&id) {
            *at = now;
            change(order);
        }
    }
}

/// The shop. It ends with the runtime.
pub(super) struct Shop {
    pub(super) url: String,
    pub(super) orders: Arc<Mutex<Orders>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    plan: Arc<Mutex<Plan>>,
}

/// Longer than [`source`] waits for an answer.
const TOO_LATE: Duration = Duration::from_secs(60);

impl Shop {
    pub(super) async fn start() -> Self {
        let orders = Arc::new(Mutex::new(Orders { now: 1_700_000_000, dated: true, ..Orders::default() }));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(|_: &Asked, _: &mut Orders| Fault::None)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (o, a, p) = (orders.clone(), asked.clone(), plan.clone());
        let app = Router::new().fallback(move |request: Request| async move {
            let request = read(request).await;
            a.lock().unwrap().push(request.clone());
            let fault = (p.lock().unwrap())(&request, &mut o.lock().unwrap());
            if let Fault::Instead(status, headers, body) = fault {
                return answer(status, &headers, body);
            }
            let done = perform(&request, &mut o.lock().unwrap());
            match fault {
                Fault::After(status, headers, body) => answer(status, &headers, body),
                Fault::Lost => {
                    tokio::time::sleep(TOO_LATE).await;
                    done
                }
                Fault::None | Fault::Instead(..) => done,
            }
        });
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { url, orders, asked, plan }
    }

    /// Decides from now on what happens to each request.
    pub(super) fn plan(&self, plan: impl FnMut(&Asked, &mut Orders) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Requests that change something.
    pub(super) fn writes(&self) -> usize {
        self.asked().iter().filter(|asked| asked.method != Method::GET).count()
    }

    pub(super) fn put(&self, id: u64, at: i64, status: &str) {
        self.orders.lock().unwrap().put(id, at, status);
    }

    /// The native record of an order.
    pub(super) fn order(&self, id: u64) -> Value {
        self.orders.lock().unwrap().by_id[&id].1.clone()
    }

    /// A source that reads this shop by the WooCommerce adapter.
    pub(super) fn source(&self) -> ManifestSource {
        self.source_with(&woocommerce(&[]), |_| ())
    }

    pub(super) fn source_with(
        &self,
        package: &Arc<Package>,
        change: impl FnOnce(&mut ManifestConfig),
    ) -> ManifestSource {
        ManifestSource::new(self.config(package, change)).unwrap()
    }

    pub(super) fn config(&self, package: &Arc<Package>, change: impl FnOnce(&mut ManifestConfig)) -> ManifestConfig {
        let secret = |text: &str| SecretString::from(text.to_owned());
        let mut config = ManifestConfig {
            source: SourceKey::try_new("shop").unwrap(),
            package: package.clone(),
            workers: crate::center::workers(),
            url: self.url.clone(),
            settings: BTreeMap::new(),
            secrets: [("consumer_key", "ck_1"), ("consumer_secret", "cs_1")]
                .map(|(name, value)| (name.to_owned(), secret(value)))
                .into(),
            webhook_secrets: vec![secret("old-webhook-secret"), secret("webhook-secret")],
            rounding: Rounding::Refuse,
            timeout: Duration::from_millis(1_000),
            body_bytes_max: 4 << 20,
            reach: Reach::Private,
            built_in: false,
            witness: None,
        };
        change(&mut config);
        config
    }
}

/// The WooCommerce adapter as it is in this tree, at full speed, with these changes to its manifest.
pub(super) fn woocommerce(changes: &[(&str, &str)]) -> Arc<Package> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters/woocommerce");
    let mut manifest = std::fs::read_to_string(folder.join("adapter.toml")).unwrap();
    let unlimited =
        ("rate = { requests = 4, per = \"1s\", burst = 8, concurrency = 2 }", "retry = { pause = \"1ms\" }");
    for (from, to) in [unlimited].iter().chain(changes) {
        assert!(manifest.contains(from), "the manifest says {from}");
        manifest = manifest.replace(from, to);
    }
    let mapping = std::fs::read_to_string(folder.join("map/order.jq")).unwrap();
    let files = [("adapter.toml", manifest), ("map/order.jq", mapping)];
    Arc::new(Package::open(files.map(|(path, text)| (path.to_owned(), text)).into()).unwrap())
}

/// A native order of one line of 20.00, paid.
fn order(id: u64, status: &str) -> Value {
    json!({
        "id": id, "number": id.to_string(), "status": status, "currency": "EUR", "total": "20.00", "total_tax": "0.00",
        "discount_total": "0.00", "shipping_total": "0.00", "date_created_gmt": "2023-11-14T00:00:00",
        "date_paid_gmt": "2023-11-14T00:01:00", "payment_method": "card", "customer_id": 7, "refunds": [],
        "billing": { "first_name": "Ada", "last_name": "Byron" }, "shipping": {},
        "line_items": [{ "id": 1, "name": "Lantern", "sku": "L", "quantity": 2, "subtotal": "20.00", "total": "20.00", "total_tax": "0.00" }],
    })
}

fn perform(request: &Asked, orders: &mut Orders) -> Response {
    let path: Vec<&str> = request.path.trim_start_matches("/wp-json/wc/v3/").split('/').collect();
    let basic = "Basic Y2tfMTpjc18x"; // ck_1:cs_1
    if request.headers.get("authorization").is_none_or(|given| given != basic) {
        return reply(orders, 401, &[], json!({ "code": "woocommerce_rest_cannot_view", "message": "No." }));
    }
    match (&request.method, path.as_slice()) {
        (&Method::GET, ["orders"]) => list(request, orders),
        (_, ["orders", id, rest @ ..]) => {
            let id = id.parse().unwrap_or_default();
            let Some((_, order)) = orders.by_id.get(&id) else {
                let error = json!({ "code": "woocommerce_rest_shop_order_invalid_id", "message": "Invalid ID." });
                return reply(orders, 404, &[], error);
            };
            match (&request.method, rest) {
                (&Method::GET, ["refunds"]) => {
                    let refunds = order["refunds"].clone();
                    reply(orders, 200, &[], refunds)
                }
                (&Method::POST, ["refunds"]) => {
                    let amount = request.body["amount"].as_str().unwrap_or_default().to_owned();
                    let reason = request.body["reason"].clone();
                    orders.touch(id, |order| {
                        let refunds = order["refunds"].as_array_mut().unwrap();
                        let number = refunds.len() + 900;
                        refunds.push(json!({ "id": number, "reason": reason, "total": format!("-{amount}") }));
                    });
                    reply(orders, 201, &[], json!({ "id": 900, "amount": amount }))
                }
                (&Method::PUT, []) => {
                    orders.touch(id, |order| {
                        for (name, value) in request.body.as_object().unwrap() {
                            order[name] = value.clone();
                        }
                    });
                    let record = shown(&orders.by_id[&id]);
                    reply(orders, 200, &[], record)
                }
                _ => {
                    let record = shown(&orders.by_id[&id]);
                    reply(orders, 200, &[], record)
                }
            }
        }
        _ => reply(orders, 404, &[], json!({ "code": "rest_no_route", "message": "No route." })),
    }
}

fn list(request: &Asked, orders: &Orders) -> Response {
    let number = |name: &str, default: usize| request.query.get(name).map_or(default, |text| text.parse().unwrap());
    let after = request.query.get("modified_after");
    let after = after.map(|text| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").unwrap());
    let after = after.map_or(i64::MIN, |after| after.and_utc().timestamp());
    let mut found: Vec<_> = orders.by_id.iter().filter(|(_, (at, _))| *at > after).collect();
    found.sort_by_key(|(id, (at, _))| (*at, **id));
    let (page, size) = (number("page", 1), number("per_page", 10));
    let records: Vec<Value> = found.iter().skip((page - 1) * size).take(size).map(|(_, order)| shown(order)).collect();
    let pages = found.len().div_ceil(size).to_string();
    reply(orders, 200, &[("x-wp-totalpages", pages)], json!(records))
}

fn shown((at, order): &(i64, Value)) -> Value {
    let mut order = order.clone();
    order["date_modified_gmt"] =
        DateTime::from_timestamp(*at, 0).unwrap().format("%Y-%m-%dT%H:%M:%S").to_string().into();
    order
}

fn reply(orders: &Orders, status: u16, headers: &[(&'static str, String)], body: Value) -> Response {
    let date = DateTime::from_timestamp(orders.now, 0).unwrap().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    // A server cannot be kept from sending some `Date`; one that no clock can read is as good as none.
    let date = if orders.dated { date } else { "never".to_owned() };
    let mut headers = headers.to_vec();
    headers.extend([("content-type", "application/json".to_owned()), ("date", date)]);
    answer(status, &headers, body.to_string())
}

fn answer(status: u16, headers: &[(&'static str, String)], body: String) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(body)).unwrap()
}

async fn read(request: Request) -> Asked {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let query = parts.uri.query().unwrap_or_default();
    let query = reqwest::Url::parse(&format!("http://x/?{query}")).unwrap().query_pairs().into_owned().collect();
    Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query,
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        text: String::from_utf8_lossy(&body).into_owned(),
    }
}
