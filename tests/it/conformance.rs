//! The conformance suite against the real retail module, honest and behind proxies that each break one promise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use order_center::conformance::{Options, Report, Verdict, WebhookOptions, check};
use order_contract::Disposition;
use order_modules::{Config, ImportedLine, ImportedOrder, ImportedReturn, ImportedState, Line, Retry, WebhookTarget};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

const TOKEN: &str = "token-of-the-module";
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// Larger than anything the suite sends.
const BODY_MAX: usize = 16 << 20;

/// A retail module with orders in many states, its webhooks set up to go to `receiver`.
struct Module {
    inner: order_modules::Module,
    base_url: String,
    _folder: tempfile::TempDir,
    _stop: DropGuard,
}

impl Module {
    async fn start(receiver: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(Line::Retail, folder.path().join("retail.db"));
        config.token = Some(SecretString::from(TOKEN));
        config.webhook =
            Some(WebhookTarget { url: format!("http://{receiver}/hooks"), secret: SecretString::from(SECRET) });
        config.retry = Retry { first: Duration::from_millis(50), longest: Duration::from_millis(200), attempts: 100 };
        let inner = order_modules::Module::open(config).await.unwrap();
        let report = inner.import(history()).await.unwrap();
        assert_eq!(report.refused, []);
        let stop = CancellationToken::new();
        let (base_url, listener) = listen().await;
        let served = inner.clone();
        let stopping = stop.clone();
        tokio::spawn(async move { served.serve(listener, stopping).await });
        Self { inner, base_url, _folder: folder, _stop: stop.drop_guard() }
    }
}

fn history() -> Vec<ImportedOrder> {
    let at = "2026-01-05T10:00:00Z".parse().unwrap();
    let line = |sku: &str, quantity: i64, price: &str| ImportedLine {
        sku: sku.into(),
        name: format!("Product {sku}"),
        quantity: quantity.into(),
        unit_price: price.parse().unwrap(),
    };
    let order = |number: &str, state, returns| ImportedOrder {
        number: number.into(),
        placed_at: at,
        customer: Some("17850".into()),
        country: Some("United Kingdom".into()),
        country_code: Some("GB".into()),
        lines: vec![line("85123A", 6, "2.55"), line("71053", 2, "3.39")],
        state,
        returns,
    };
    let sent_back = ImportedReturn {
        number: "C1".into(),
        at,
        lines: vec![(0, 2.into())],
        refund: "5.10".parse().unwrap(),
        disposition: Disposition::Restock,
    };
    vec![
        order("536365", ImportedState::Completed, vec![sent_back]),
        order("536366", ImportedState::PendingPayment, vec![]),
        order("536367", ImportedState::Paid, vec![]),
        order("536368", ImportedState::Picking, vec![]),
        order("536369", ImportedState::Shipped, vec![]),
        order("536370", ImportedState::Delivered, vec![]),
        order("536371", ImportedState::Canceled { at, reason: "out of stock".into() }, vec![]),
        order("536372", ImportedState::Completed, vec![]),
        order("536373", ImportedState::Paid, vec![]),
    ]
}

async fn listen() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}", listener.local_addr().unwrap()), listener)
}

/// An address that nobody listens on at the moment.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn options(base_url: &str, webhooks: SocketAddr) -> Options {
    let mut options = Options::new(base_url.parse().unwrap());
    options.token = Some(SecretString::from(TOKEN));
    options.inputs = sample_inputs();
    options.webhook = Some(WebhookOptions { listen: webhooks, secret: SecretString::from(SECRET) });
    options
}

fn sample_inputs() -> BTreeMap<String, serde_json::Map<String, Value>> {
    let inputs = json!({
        "create": { "lines": [{ "sku": "85123A", "quantity": 2 }], "customer": { "id": "c1" } },
        "modify": { "shippingAddress": { "lines": ["1 High Street"], "city": "Leeds", "countryCode": "GB" } },
    });
    serde_json::from_value(inputs).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_retail_module_conforms_to_the_whole_protocol() {
    let receiver = free_address().await;
    let module = Module::start(receiver).await;
    let report = check(options(&module.base_url, receiver)).await.unwrap();
    assert!(report.success(), "{report}");
    assert_eq!(report.count(Verdict::Skip) + report.count(Verdict::Warn), 0, "{report}");
    let json = report.to_json();
    assert_eq!(json["passed"], json!(report.findings.len()));
    assert_eq!(json["findings"][0]["id"], json!("descriptor"));
    let text = report.to_string();
    let life = text.lines().find(|line| line.contains("  life ")).unwrap();
    for step in ["pay → PAID", "produce → PICKING", "ship → SHIPPED", "deliver → DELIVERED", "complete → COMPLETED"]
    {
        assert!(life.contains(step), "{life}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_run_changes_nothing_and_counts_what_it_skipped() {
    let module = Module::start(free_address().await).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let all = async || {
        let list = client.get(format!("{}/orders?limit=200", module.base_url)).bearer_auth(TOKEN);
        let list: Value = serde_json::from_str(&list.send().await.unwrap().text().await.unwrap()).unwrap();
        list["orders"].clone()
    };
    let before = all().await;
    let mut options = options(&module.base_url, free_address().await);
    options.read_only = true;
    let report = check(options).await.unwrap();
    assert!(report.success(), "{report}");
    assert_eq!(report.count(Verdict::Skip), 15, "{report}");
    assert_eq!(all().await, before);
}

#[tokio::test]
async fn a_module_that_does_not_answer_fails_every_check_that_it_could_be_asked() {
    let mut options = Options::new(format!("http://{}", free_address().await).parse().unwrap());
    options.timeout = Duration::from_secs(2);
    let report = check(options).await.unwrap();
    assert!(!report.success());
    assert_eq!(report.count(Verdict::Pass), 0, "{report}");
    assert!(report.to_string().contains("no connection could be made"), "{report}");
    assert!(check(Options::new("http://169.254.169.254/".parse().unwrap())).await.is_err());
}

/// A request on its way through a proxy.
struct Ask {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    fn is(&self, method: Method, path: &str) -> bool {
        self.method == method && self.uri.path() == path
    }

    fn acts(&self) -> bool {
        self.method == Method::POST && self.uri.path() != "/orders"
    }

    fn change(&mut self, change: impl FnOnce(&mut Value)) {
        if let Ok(mut body) = serde_json::from_slice(&self.body) {
            change(&mut body);
            self.replace_body(body.to_string());
        }
    }

    fn replace_body(&mut self, body: String) {
        self.body = body.into();
        self.headers.remove(header::CONTENT_LENGTH);
    }

    fn new_key(&mut self) {
        let key = format!("k{}", uuid::Uuid::now_v7());
        self.headers.insert("idempotency-key", HeaderValue::from_str(&key).unwrap());
    }

    fn set_query(&mut self, change: impl Fn(&str, &str) -> Option<String>) {
        let query: Vec<String> = self
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter_map(|(name, value)| Some(format!("{name}={}", change(name, value)?)))
            .collect();
        self.uri = format!("{}?{}", self.uri.path(), query.join("&")).parse().unwrap();
    }
}

/// A reply on its way back.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn change(&mut self, change: impl FnOnce(&mut Value)) {
        if let Ok(mut body) = serde_json::from_slice(&self.body) {
            change(&mut body);
            self.body = body.to_string().into();
            self.headers.remove(header::CONTENT_LENGTH);
        }
    }

    fn each_order(&mut self, change: impl Fn(&mut Value)) {
        self.change(|body| {
            if body.get("lines").is_some() {
                change(body);
            } else if let Some(orders) = body.get_mut("orders").and_then(Value::as_array_mut) {
                orders.iter_mut().for_each(change);
            }
        });
    }
}

async fn honest(router: &Router, ask: Ask) -> Reply {
    let mut request = Request::builder().method(ask.method).uri(ask.uri).body(Body::from(ask.body)).unwrap();
    *request.headers_mut() = ask.headers;
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX).await.unwrap();
    Reply { status: parts.status, headers: parts.headers, body }
}

type Before = fn(&mut Ask);
type After = fn(&Method, &Uri, &Value, &mut Reply);

/// How a proxy breaks the protocol.
enum Lie {
    Before(Before),
    After(After),
    /// Pages by offset.
    Offset,
}

async fn through(lie: &Lie, router: &Router, mut ask: Ask) -> Reply {
    match lie {
        Lie::Before(change) => {
            change(&mut ask);
            honest(router, ask).await
        }
        Lie::After(change) => {
            let (method, uri) = (ask.method.clone(), ask.uri.clone());
            let call = serde_json::from_slice(&ask.body).unwrap_or_default();
            let mut reply = honest(router, ask).await;
            change(&method, &uri, &call, &mut reply);
            reply
        }
        Lie::Offset if ask.is(Method::GET, "/orders") => {
            let query: BTreeMap<String, String> = ask
                .uri
                .query()
                .unwrap_or_default()
                .split('&')
                .filter_map(|p| p.split_once('='))
                .map(|(k, v)| (k.into(), v.into()))
                .collect();
            let offset: usize = query.get("after").and_then(|after| after.parse().ok()).unwrap_or(0);
            let limit: usize = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(50);
            ask.set_query(|name, value| match name {
                "after" => None,
                "limit" if limit <= 200 => Some("200".into()),
                _ => Some(value.into()),
            });
            let mut reply = honest(router, ask).await;
            reply.change(|page| {
                if let Some(orders) = page.get_mut("orders").and_then(Value::as_array_mut) {
                    let rest = orders.split_off(offset.min(orders.len()));
                    let more = rest.len() > limit;
                    *orders = rest.into_iter().take(limit).collect();
                    page["next"] = if more { json!((offset + limit).to_string()) } else { Value::Null };
                }
            });
            reply
        }
        Lie::Offset => honest(router, ask).await,
    }
}

/// Runs the suite against the retail module behind this proxy.
async fn run(lie: Lie) -> Report {
    let receiver = free_address().await;
    let module = Module::start(receiver).await;
    let router = module.inner.router();
    let lie = std::sync::Arc::new(lie);
    let (base_url, listener) = listen().await;
    let proxy = Router::new().fallback(async move |request: Request| -> Response {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_MAX).await.unwrap();
        let ask = Ask { method: parts.method, uri: parts.uri, headers: parts.headers, body };
        let reply = through(&lie, &router, ask).await;
        (reply.status, reply.headers, reply.body).into_response()
    });
    let serving = tokio::spawn(axum::serve(listener, proxy).into_future());
    let options = Options { webhook: None, ..options(&base_url, receiver) };
    let report = check(options).await.unwrap();
    serving.abort();
    report
}

fn ids(report: &Report, verdict: Verdict) -> BTreeSet<&'static str> {
    report.findings.iter().filter(|f| f.verdict == verdict).map(|f| f.check.id).collect()
}

const HTML: &str = "<html><body>Not found</body></html>";

/// Every check of the suite, with a lie that only a check of this kind can tell from the truth.
fn lies() -> Vec<(&'static str, Lie)> {
    vec![
        (
            "descriptor",
            Lie::After(|_, uri, _, reply| {
                if uri.path() == "/.well-known/order-module" {
                    reply.change(|d| d["capabilities"]["pageSizeMax"] = json!("200"));
                }
            }),
        ),
        (
            "protocol-version",
            Lie::Before(|ask| {
                ask.headers.remove("order-module-protocol");
            }),
        ),
        (
            "token",
            Lie::Before(|ask| {
                ask.headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {TOKEN}")).unwrap());
            }),
        ),
        (
            "list",
            Lie::After(|_, uri, _, reply| {
                if uri.path() == "/orders" {
                    reply.change(|page| {
                        if let Some(orders) = page.get_mut("orders").and_then(Value::as_array_mut) {
                            orders.reverse();
                        }
                    });
                }
            }),
        ),
        // Goes on behind the last updatedAt, although other orders may share it.
        (
            "list-page-sizes",
            Lie::After(|_, uri, _, reply| {
                if uri.query().is_some_and(|q| q.contains("after=")) {
                    reply.change(|page| {
                        if let Some(orders) = page.get_mut("orders").and_then(Value::as_array_mut) {
                            orders.drain(..1.min(orders.len()));
                        }
                    });
                }
            }),
        ),
        (
            "list-bounds",
            Lie::Before(|ask| {
                ask.set_query(|name, value| {
                    let value = value.replace("%3A", ":").replace("%2B", "+");
                    Some(match (name, value.parse::<chrono::DateTime<chrono::Utc>>()) {
                        ("updatedFrom", Ok(from)) => {
                            (from + chrono::TimeDelta::microseconds(1)).to_rfc3339().replace('+', "%2B")
                        }
                        _ => value.replace('+', "%2B"),
                    })
                });
            }),
        ),
        (
            "list-errors",
            Lie::Before(|ask| {
                ask.set_query(|name, value| {
                    Some(if name == "limit" && value.len() > 2 { "50".into() } else { value.into() })
                });
            }),
        ),
        ("list-moving", Lie::Offset),
        (
            "orders-parse",
            Lie::After(|_, _, _, reply| {
                reply.each_order(|order| order["totals"]["total"] = json!(22.08));
            }),
        ),
        (
            "get-agrees",
            Lie::After(|_, uri, _, reply| {
                if uri.path() != "/orders" {
                    reply.each_order(|order| order["number"] = json!("another"));
                }
            }),
        ),
        (
            "get-unknown",
            Lie::After(|_, uri, _, reply| {
                if reply.status == StatusCode::NOT_FOUND && uri.path().starts_with("/orders") {
                    reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
                    reply.body = HTML.into();
                }
            }),
        ),
        (
            "actions",
            Lie::After(|method, uri, _, reply| {
                if method == Method::GET && uri.path().ends_with("/actions") {
                    reply.change(|told| {
                        for action in told.get_mut("actions").and_then(Value::as_array_mut).into_iter().flatten() {
                            action["enabled"] = json!(true);
                        }
                    });
                }
            }),
        ),
        (
            "operation-unknown",
            Lie::After(|_, uri, _, reply| {
                if uri.path().starts_with("/operations/") {
                    reply.change(|problem| problem["code"] = json!("NOT_FOUND"));
                }
            }),
        ),
        (
            "process",
            Lie::After(|_, uri, _, reply| {
                if uri.path() == "/process" {
                    reply.change(|process| process["states"][1]["status"] = json!("COMPLETED"));
                }
            }),
        ),
        (
            "unknown-action",
            Lie::After(|_, uri, _, reply| {
                if uri.path().contains("no_such_action") && reply.status == StatusCode::UNPROCESSABLE_ENTITY {
                    reply.change(|reply| reply["error"]["code"] = json!("INVALID_INPUT"));
                }
            }),
        ),
        (
            "malformed-body",
            Lie::Before(|ask| {
                if ask.acts() && serde_json::from_slice::<Value>(&ask.body).is_err() {
                    ask.replace_body("{}".into());
                }
            }),
        ),
        (
            "huge-body",
            Lie::Before(|ask| {
                if ask.body.len() > 1 << 20 {
                    ask.replace_body("{}".into());
                }
            }),
        ),
        (
            "key-required",
            Lie::Before(|ask| {
                if ask.acts() && !ask.headers.contains_key("idempotency-key") {
                    ask.new_key();
                }
            }),
        ),
        (
            "dry-run",
            Lie::After(|_, _, call, reply| {
                if call["dryRun"] == json!(true) {
                    reply.change(|reply| {
                        for blocker in
                            reply.pointer_mut("/error/blockers").and_then(Value::as_array_mut).into_iter().flatten()
                        {
                            blocker["code"] = json!("BECAUSE");
                        }
                    });
                }
            }),
        ),
        (
            "dry-run-is-dry",
            Lie::Before(|ask| {
                if ask.headers.contains_key("idempotency-key") {
                    ask.change(|call| call["dryRun"] = json!(false));
                }
            }),
        ),
        (
            "create",
            Lie::After(|method, uri, _, reply| {
                if method == Method::POST && uri.path() == "/orders" {
                    reply.change(|reply| reply["order"]["number"] = json!("R-0"));
                }
            }),
        ),
        // Ignores idempotency keys.
        ("key-repeated", Lie::Before(ignore_keys)),
        ("key-mismatch", Lie::Before(ignore_keys)),
        ("key-concurrent", Lie::Before(ignore_keys)),
        (
            "version-conflict",
            Lie::Before(|ask| {
                ask.change(|call| {
                    call.as_object_mut().unwrap().remove("expectedVersion");
                });
            }),
        ),
        (
            "life",
            Lie::After(|method, uri, _, reply| {
                if method == Method::POST && uri.path().ends_with("/produce") {
                    reply.change(|reply| {
                        if reply["order"].is_object() {
                            reply["order"]["native"]["state"] = json!("SHIPPED");
                        }
                    });
                }
            }),
        ),
    ]
}

fn ignore_keys(ask: &mut Ask) {
    if ask.method == Method::POST && ask.headers.contains_key("idempotency-key") {
        ask.new_key();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_can_fail() {
    let broken =
        futures_util::future::join_all(lies().into_iter().map(async |(check, lie)| (check, run(lie).await))).await;
    for (check, report) in &broken {
        assert!(ids(report, Verdict::Fail).contains(check), "{check} did not fail:\n{report}");
        assert!(!report.success());
    }
    let report = run(Lie::After(|_, _, _, reply| {
        reply.each_order(|order| order["totals"]["shipping"] = json!("1.00"));
    }))
    .await;
    assert_eq!(ids(&report, Verdict::Warn), BTreeSet::from(["orders-add-up"]), "{report}");

    let proven: BTreeSet<_> =
        broken.iter().map(|(check, _)| *check).chain(["orders-add-up", "webhook", "webhook-repeated"]).collect();
    let all: BTreeSet<_> = report.findings.iter().map(|finding| finding.check.id).collect();
    assert_eq!(proven, all, "every check needs a lie that it catches");
}

/// The suite's webhook checks when the events pass through a relay that changes request and answer.
async fn run_with_relay(change: fn(&mut HeaderMap, &mut Bytes), answer: fn(u16) -> u16) -> Report {
    let receiver = free_address().await;
    let (relay_url, listener) = listen().await;
    let relay_address: SocketAddr = relay_url.trim_start_matches("http://").parse().unwrap();
    let module = Module::start(relay_address).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let relay = Router::new().fallback(async move |mut headers: HeaderMap, mut body: Bytes| {
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        change(&mut headers, &mut body);
        let sent = client.post(format!("http://{receiver}/")).headers(headers).body(body).send().await;
        let status = sent.map_or(502, |response| response.status().as_u16());
        StatusCode::from_u16(answer(status)).unwrap()
    });
    let serving = tokio::spawn(axum::serve(listener, relay).into_future());
    let mut options = options(&module.base_url, receiver);
    options.patience = Duration::from_secs(3);
    let report = check(options).await.unwrap();
    serving.abort();
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_swallowed_and_renamed_webhooks_are_found() {
    let (forged, swallowed, thin) = tokio::join!(
        run_with_relay(
            |_, body| *body = String::from_utf8_lossy(body).replace("RETAIL", "OTHER").into(),
            |status| status
        ),
        run_with_relay(|_, _| (), |_| 204),
        run_with_relay(|_, _| (), |status| status),
    );
    assert_eq!(ids(&forged, Verdict::Fail), BTreeSet::from(["webhook", "webhook-repeated"]), "{forged}");
    assert!(forged.to_string().contains("signature does not verify"), "{forged}");
    assert_eq!(ids(&swallowed, Verdict::Fail), BTreeSet::from(["webhook-repeated"]), "{swallowed}");
    assert!(thin.success(), "an honest relay changes nothing: {thin}");
}
