//! The protocol client against servers that behave and servers that do not: every reply is real HTTP on port 0.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use order_center::source::egress::Reach;
use order_center::source::protocol::{ProtocolClient, ProtocolConfig};
use order_center::source::{
    ActionOutcome, ActionRequest, ChangeWindow, EventError, OrderSource, Probe, SourceError, SourceEvent,
};
use order_contract::protocol::ActionCall;
use order_contract::{ActionName, IdempotencyKey, Rounding, SourceKey, SourceOrderId};
use secrecy::SecretString;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[derive(Clone, Debug)]
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// A server that answers everything with `answer` and keeps what it was asked.
struct Server {
    base_url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = seen.clone();
        let app = Router::new().fallback(move |request: Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.expect("a small body");
            let request = Seen { method: parts.method, uri: parts.uri, headers: parts.headers, body };
            record.lock().expect("unpoisoned").push(request.clone());
            answer(&request)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { base_url, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("unpoisoned").clone()
    }
}

fn client(base_url: &str) -> ProtocolClient {
    client_with(base_url, |_| ())
}

fn client_with(base_url: &str, change: impl FnOnce(&mut ProtocolConfig)) -> ProtocolClient {
    let mut config = ProtocolConfig {
        source: SourceKey::try_new("retail").expect("a key"),
        base_url: base_url.parse().expect("a URL"),
        token: Some(SecretString::from("tok-1")),
        webhook_secrets: Vec::new(),
        rounding: Rounding::Refuse,
        timeout: Duration::from_millis(700),
        body_bytes_max: 1 << 20,
        reach: Reach::Private,
    };
    change(&mut config);
    ProtocolClient::new(config).expect("a client")
}

fn order_id(id: &str) -> SourceOrderId {
    SourceOrderId::try_new(id).expect("an id")
}

fn cancel(id: &str) -> ActionRequest {
    ActionRequest {
        order: Some(order_id(id)),
        action: ActionName::try_new("cancel").expect("a name"),
        key: IdempotencyKey::try_new("op-1").expect("a key"),
        doubt: false,
        call: ActionCall::default(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

fn order(id: &str) -> Value {
    json!({
        "sourceOrderId": id, "version": 3, "number": format!("R-{id}"), "kind": "RETAIL",
        "status": "PROCESSING", "paymentStatus": "PAID", "fulfillmentStatus": "UNFULFILLED",
        "native": { "state": "PAID" }, "currency": "GBP", "times": { "updatedAt": "2010-12-01T08:30:00Z" },
        "lines": [{ "id": "1", "name": "LANTERN", "quantity": { "ordered": 2, "current": 2 }, "unitPrice": "2.55", "total": "5.10" }],
        "totals": { "subtotal": "5.10", "total": "5.10", "captured": "5.10" }
    })
}

fn answer(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header::CONTENT_TYPE, content_type.to_owned())], body.into()).into_response()
}

fn problem(status: u16, code: &str) -> Response {
    answer(status, "application/problem+json", json!({ "title": "No.", "status": status, "code": code }).to_string())
}

fn applied(id: &str) -> Value {
    json!({ "outcome": "APPLIED", "order": order(id),
        "effects": [{ "kind": "STOCK", "status": "DONE", "description": "2 × LANTERN back in stock" }] })
}

#[tokio::test]
async fn a_page_keeps_each_order_verbatim_and_a_bad_one_costs_only_itself() {
    let good = r#"{ "sourceOrderId" : "a/1",  "nonsense": 1.50000000000000000001 }"#;
    let page = format!(r#"{{"orders":[{good}, 7, {}],"next":"n","updatedTo":"2026-01-02T00:00:00Z"}}"#, order("2"));
    let server = Server::start(move |_| answer(200, "application/json", page.clone())).await;
    let since: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
    let window = ChangeWindow { since: Some(since), until: None, page: Some("c/+=&".into()), limit: 50 };
    let page = client(&server.base_url).list_changes(&window).await.expect("a page");
    assert_eq!((page.next.as_deref(), page.until.to_rfc3339()), (Some("n"), "2026-01-02T00:00:00+00:00".into()));
    let ids: Vec<_> = page.orders.iter().map(|o| o.source_order_id.as_ref().map(|id| id.as_str())).collect();
    assert_eq!(ids, [Some("a/1"), None, Some("2")]);
    assert_eq!(page.orders[0].body, good);
    let client = client(&server.base_url);
    assert!(client.normalize(&page.orders[0]).await.is_err());
    assert!(client.normalize(&page.orders[1]).await.is_err());
    assert_eq!(client.normalize(&page.orders[2]).await.expect("a good order").snapshot.number, "R-2");
    let query = server.seen()[0].uri.query().expect("a query").to_owned();
    assert_eq!(query, "updatedFrom=2026-01-01T00%3A00%3A00Z&after=c%2F%2B%3D%26&limit=50");
}

#[tokio::test]
async fn an_action_carries_its_key_version_token_and_trace_and_ids_stay_one_path_segment() {
    let server = Server::start(|_| Json(applied("x")).into_response()).await;
    let base = format!("{}/modules/retail/", server.base_url);
    let id = "a/../b?c#d%2F é\\";
    let outcome = client(&base).execute(&cancel(id)).await;
    assert!(matches!(outcome, ActionOutcome::Applied { order: Some(_), ref effects } if effects.len() == 1));
    let seen = &server.seen()[0];
    assert_eq!(seen.uri.path(), "/modules/retail/orders/a%2F..%2Fb%3Fc%23d%252F%20%C3%A9%5C/actions/cancel");
    assert_eq!(seen.method, Method::POST);
    for (name, value) in [
        ("order-module-protocol", "1.0"),
        ("idempotency-key", "op-1"),
        ("authorization", "Bearer tok-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(seen.headers.get(name).and_then(|v| v.to_str().ok()), Some(value), "{name}");
    }
    let call: ActionCall = serde_json::from_slice(&seen.body).expect("a call");
    assert_eq!(call, ActionCall::default());
}

#[tokio::test]
async fn a_create_goes_to_the_collection_and_learns_its_id_from_the_reply() {
    let server = Server::start(|_| Json(applied("new-1")).into_response()).await;
    let request = ActionRequest { order: None, action: ActionName::try_new("create").expect("a name"), ..cancel("x") };
    let ActionOutcome::Applied { order: Some(order), .. } = client(&server.base_url).execute(&request).await else {
        panic!("applied")
    };
    assert_eq!(order.source_order_id, Some(order_id("new-1")));
    assert_eq!(server.seen()[0].uri.path(), "/orders");
}

#[derive(Debug, PartialEq)]
enum Kind {
    Applied,
    Accepted,
    Rejected,
    NotSent,
    Unknown,
}

fn kind(outcome: &ActionOutcome) -> Kind {
    match outcome {
        ActionOutcome::Applied { .. } => Kind::Applied,
        ActionOutcome::Accepted => Kind::Accepted,
        ActionOutcome::Rejected(_) => Kind::Rejected,
        ActionOutcome::NotSent(_) => Kind::NotSent,
        ActionOutcome::Unknown(_) => Kind::Unknown,
    }
}

#[tokio::test]
async fn only_a_proof_is_an_outcome_and_everything_else_is_unknown() {
    let rejected = json!({ "outcome": "REJECTED", "error": { "code": "ALREADY_SHIPPED", "message": "It has left." } });
    let no_reason = json!({ "outcome": "REJECTED" });
    let html = "<html><body>502 Bad Gateway</body></html>";
    let truncated = &applied("1").to_string()[..200];
    let problem = |status: u16| json!({ "title": "No.", "status": status, "code": "NOPE" }).to_string();
    let lying = json!({ "title": "No.", "status": 422, "code": "NOPE" }).to_string();
    for (status, body, expected) in [
        (200, applied("1").to_string(), Kind::Applied),
        (202, json!({ "outcome": "ACCEPTED" }).to_string(), Kind::Accepted),
        (409, rejected.to_string(), Kind::Rejected),
        (422, rejected.to_string(), Kind::Rejected),
        // Status and outcome disagree.
        (200, rejected.to_string(), Kind::Unknown),
        (409, applied("1").to_string(), Kind::Unknown),
        (202, applied("1").to_string(), Kind::Unknown),
        (500, rejected.to_string(), Kind::Unknown),
        // Not of the protocol.
        (200, html.into(), Kind::Unknown),
        (200, truncated.into(), Kind::Unknown),
        (200, "{}".into(), Kind::Unknown),
        (200, "[]".into(), Kind::Unknown),
        (200, String::new(), Kind::Unknown),
        (200, json!({ "outcome": "DONE" }).to_string(), Kind::Unknown),
        (200, json!({ "outcome": "APPLIED", "effects": {} }).to_string(), Kind::Unknown),
        (409, no_reason.to_string(), Kind::Unknown),
        (201, applied("1").to_string(), Kind::Unknown),
        (204, String::new(), Kind::Unknown),
        (302, String::new(), Kind::Unknown),
        // The protocol's own error reply proves that the module refused before it acted; a proxy's proves nothing.
        (400, problem(400), Kind::Rejected),
        (404, problem(404), Kind::Rejected),
        (413, problem(413), Kind::Rejected),
        (422, problem(422), Kind::Rejected),
        (401, problem(401), Kind::NotSent),
        (403, problem(403), Kind::NotSent),
        (429, problem(429), Kind::NotSent),
        (408, problem(408), Kind::Unknown),
        (409, problem(409), Kind::Unknown),
        (400, html.into(), Kind::Unknown),
        (401, html.into(), Kind::Unknown),
        (404, html.into(), Kind::Unknown),
        (429, html.into(), Kind::Unknown),
        (404, lying, Kind::Unknown),
        (500, problem(500), Kind::Unknown),
        (503, problem(503), Kind::Unknown),
        (504, html.into(), Kind::Unknown),
    ] {
        let reply = body.clone();
        let server = Server::start(move |_| answer(status, "application/json", reply.clone())).await;
        let outcome = client(&server.base_url).execute(&cancel("1")).await;
        assert_eq!(kind(&outcome), expected, "{status} {body}: {outcome:?}");
        assert_eq!(server.seen().len(), 1, "{status}: asked once");
    }
    let server = Server::start(|_| ([(header::RETRY_AFTER, "7")], self::problem(503, "BUSY")).into_response()).await;
    assert_eq!(kind(&client(&server.base_url).execute(&cancel("1")).await), Kind::NotSent);
}

#[tokio::test]
async fn a_refused_connection_was_not_sent_and_a_broken_one_is_unknown_after_one_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let breaking = tokio::spawn(async move {
        // Reads the whole request, then closes without a byte, then with half an answer.
        for reply in ["", "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"outcome\": \"APPL"] {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(socket.read_buf(&mut request).await.expect("bytes"), 0);
            }
            count.fetch_add(1, Ordering::SeqCst);
            socket.write_all(reply.as_bytes()).await.expect("written");
            socket.set_zero_linger().expect("a reset instead of a close");
        }
    });
    let client = client(&base_url);
    for asked in 1..=2 {
        let outcome = client.execute(&cancel("1")).await;
        assert_eq!(kind(&outcome), Kind::Unknown, "{outcome:?}");
        assert_eq!(requests.load(Ordering::SeqCst), asked);
    }
    breaking.await.expect("no panic");
    let outcome = client.execute(&cancel("1")).await;
    assert_eq!(kind(&outcome), Kind::NotSent, "{outcome:?}");
    assert!(matches!(client.fetch(&order_id("1")).await, Err(SourceError::Unreachable(..))));
}

#[tokio::test]
async fn a_stall_ends_at_the_timeout_as_unknown() {
    let server = Server::start(|_| {
        answer(200, "application/json", Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>()))
    })
    .await;
    let client = client(&server.base_url);
    let ended = tokio::time::timeout(Duration::from_secs(20), client.execute(&cancel("1"))).await;
    assert_eq!(kind(&ended.expect("ends by itself")), Kind::Unknown);
    assert!(matches!(client.fetch(&order_id("1")).await, Err(SourceError::Unreachable(..))));
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_the_limit_and_a_huge_announced_one_is_not_read() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let server = Server::start(move |_| {
        let count = count.clone();
        let gigabyte = futures_util::stream::iter(0..16_384).map(move |_| {
            count.fetch_add(65_536, Ordering::SeqCst);
            Ok::<_, Infallible>(Bytes::from_static(&[b' '; 65_536]))
        });
        answer(200, "application/json", Body::from_stream(gigabyte))
    })
    .await;
    let client = client_with(&server.base_url, |config| config.timeout = Duration::from_secs(20));
    let error = client.fetch(&order_id("1")).await.expect_err("too large");
    assert!(matches!(error, SourceError::TooLarge { limit: 1_048_576, .. }), "{error:?}");
    assert_eq!(kind(&client.execute(&cancel("1")).await), Kind::Unknown);
    // What the kernel's socket buffers took beyond the limit is bounded too.
    assert!(sent.load(Ordering::SeqCst) < 64 << 20, "{} bytes were sent", sent.load(Ordering::SeqCst));

    let server = Server::start(|_| {
        let never = futures_util::stream::pending::<Result<Bytes, Infallible>>();
        ([(header::CONTENT_LENGTH, "1073741824")], Body::from_stream(never)).into_response()
    })
    .await;
    let error = self::client(&server.base_url).fetch(&order_id("1")).await.expect_err("too large");
    assert!(matches!(error, SourceError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|seen| {
        let target =
            if seen.uri.path() == "/orders/1" { "http://169.254.169.254/latest/meta-data" } else { "/orders/1" };
        (StatusCode::FOUND, [(header::LOCATION, target)]).into_response()
    })
    .await;
    let client = client(&server.base_url);
    assert!(matches!(client.fetch(&order_id("1")).await, Err(SourceError::Status(_, 302))));
    assert!(matches!(client.describe().await, Err(SourceError::Status(_, 302))));
    assert_eq!(server.seen().len(), 2, "only what was asked for");
    for url in ["http://169.254.169.254/", "http://[::ffff:169.254.169.254]/", "http://u:p@localhost/", "file:///etc"] {
        let config = ProtocolConfig {
            source: SourceKey::try_new("retail").expect("a key"),
            base_url: url.parse().expect("a URL"),
            token: None,
            webhook_secrets: Vec::new(),
            rounding: Rounding::Refuse,
            timeout: Duration::from_secs(1),
            body_bytes_max: 1000,
            reach: Reach::Private,
        };
        assert!(ProtocolClient::new(config).is_err(), "{url}");
    }
}

#[tokio::test]
async fn reads_name_what_is_wrong() {
    let order_text = order("1").to_string();
    for (status, body, expected) in [
        (500, String::from("oops"), "retail answered 500"),
        (404, "<html>".into(), "retail answered 404"),
        (200, "<html>".into(), "not of the protocol"),
        (200, order_text[..150].to_owned(), "not of the protocol"),
        (401, String::new(), "refused the credentials"),
        (403, String::new(), "refused the credentials"),
        (429, String::new(), "asks to wait"),
    ] {
        let server = Server::start(move |_| answer(status, "text/html", body.clone())).await;
        let error = client(&server.base_url).fetch(&order_id("1")).await.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("127.0.0.1"), "{error}");
    }
    let wrong = json!({ "orders": [], "updatedTo": 5 }).to_string();
    let server = Server::start(move |_| answer(200, "application/json", wrong.clone())).await;
    let error = client(&server.base_url).list_changes(&ChangeWindow::default()).await.expect_err("a wrong type");
    assert!(error.to_string().contains("updatedTo"), "{error}");

    let server = Server::start(|_| problem(404, "ORDER_NOT_FOUND")).await;
    assert_eq!(client(&server.base_url).fetch(&order_id("1")).await.expect("an answer"), None);

    let other = order_text.clone();
    let server = Server::start(move |_| answer(200, "application/json", other.clone())).await;
    let client = client(&server.base_url);
    let raw = client.fetch(&order_id("2")).await.expect("an answer").expect("a record");
    assert_eq!(client.normalize(&raw).await.expect_err("another order").path, "/sourceOrderId");
    let raw = client.fetch(&order_id("1")).await.expect("an answer").expect("a record");
    assert_eq!(raw.body, order_text);
    assert!(client.normalize(&raw).await.is_ok());
}

#[tokio::test]
async fn a_probe_decides_only_on_proof() {
    let key = IdempotencyKey::try_new("op/1").expect("a key");
    for (status, body, expected) in [
        (200, applied("1").to_string(), "applied"),
        (200, json!({ "outcome": "ACCEPTED" }).to_string(), "accepted"),
        (200, json!({ "outcome": "REJECTED", "error": { "code": "X", "message": "y" } }).to_string(), "rejected"),
        (404, json!({ "title": "t", "status": 404, "code": "OPERATION_NOT_FOUND" }).to_string(), "never"),
        (404, json!({ "title": "t", "status": 404, "code": "NOT_FOUND" }).to_string(), "undecidable"),
        (404, String::new(), "undecidable"),
        (401, json!({ "title": "t", "status": 401, "code": "X" }).to_string(), "undecidable"),
        (200, "<html>".into(), "undecidable"),
        (500, String::new(), "undecidable"),
    ] {
        let reply = body.clone();
        let server = Server::start(move |_| answer(status, "application/json", reply.clone())).await;
        let probe = client(&server.base_url).probe(&key).await;
        let found = match &probe {
            Probe::Known(ActionOutcome::Applied { order: Some(raw), .. }) if raw.source_order_id.is_some() => "applied",
            Probe::Known(ActionOutcome::Accepted) => "accepted",
            Probe::Known(ActionOutcome::Rejected(_)) => "rejected",
            Probe::NeverArrived => "never",
            Probe::Undecidable(_) => "undecidable",
            Probe::Known(_) => "?",
        };
        assert_eq!(found, expected, "{status} {body}: {probe:?}");
        assert_eq!(server.seen()[0].uri.path(), "/operations/op%2F1");
    }
}

#[tokio::test]
async fn a_descriptor_is_asked_once_and_another_major_version_is_refused() {
    let descriptor = |protocol: &str| {
        json!({ "protocol": protocol, "module": { "name": "retail", "version": "4.2.0", "title": "Retail" },
            "kind": "RETAIL", "idempotency": "KEYED", "capabilities": { "pageSizeMax": 200, "dryRun": true, "later": 1 } })
    };
    let told = descriptor("1.7");
    let server = Server::start(move |_| Json(told.clone()).into_response()).await;
    let module = client(&server.base_url);
    let capabilities = module.describe().await.expect("capabilities");
    assert_eq!((capabilities.page_size_max, capabilities.dry_run, capabilities.create), (200, true, false));
    assert_eq!(module.describe().await.expect("capabilities"), capabilities);
    assert_eq!(server.seen().len(), 1);
    assert_eq!(server.seen()[0].uri.path(), "/.well-known/order-module");
    let told = descriptor("2.0");
    let server = Server::start(move |_| Json(told.clone()).into_response()).await;
    let error = client(&server.base_url).describe().await.expect_err("another major").to_string();
    assert!(error.contains("\"2.0\""), "{error}");
}

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn signed(secret: &str, id: &str, at: i64, body: &str) -> HeaderMap {
    let signature = Webhook::new(secret).expect("a secret").sign(id, at, body.as_bytes()).expect("a signature");
    [("webhook-id", id.to_owned()), ("webhook-timestamp", at.to_string()), ("webhook-signature", signature)]
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a header")))
        .collect()
}

fn cloud_event(id: &str, subject: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/retail", "type": "order.changed", "subject": subject,
        "time": "2026-01-01T00:00:00Z", "datacontenttype": "application/json", "data": order("1") })
}

#[test]
fn a_webhook_is_taken_only_with_a_fresh_signature_of_a_live_secret_over_these_bytes() {
    let client = client_with("http://localhost/", |config| {
        config.webhook_secrets = vec![SecretString::from(OLD), SecretString::from(NEW)];
    });
    let at = 1_767_225_600;
    let now = |offset: i64| DateTime::from_timestamp(at + offset, 0).expect("a time");
    let body = cloud_event("evt_1", "1").to_string();
    for secret in [OLD, NEW] {
        for offset in [-300, 0, 300] {
            let (id, event) = client
                .parse_event(&signed(secret, "evt_1", at, &body), body.as_bytes(), now(offset))
                .expect("a live secret within the tolerance");
            let SourceEvent::Restated(raw) = event else { panic!("restated") };
            assert_eq!(
                (id.as_str(), raw.source_order_id, raw.body),
                ("evt_1", Some(order_id("1")), order("1").to_string().into())
            );
        }
    }
    let good = signed(NEW, "evt_1", at, &body);
    let with = |name: &'static str, value: &str| {
        let mut headers = good.clone();
        headers.insert(name, value.parse().expect("a header"));
        headers
    };
    let mut several = good["webhook-signature"].to_str().expect("text").to_owned();
    several.insert_str(0, "v1a,AAAA v1,AAAA ");
    assert!(client.parse_event(&with("webhook-signature", &several), body.as_bytes(), now(0)).is_ok());
    let refused = |headers: &HeaderMap, body: &str, offset: i64| {
        let error = client.parse_event(headers, body.as_bytes(), now(offset)).expect_err("refused");
        assert!(matches!(error, EventError::Signature), "{error:?}");
    };
    refused(&good, &body, 301);
    refused(&good, &body, -301);
    refused(&good, &body.replace("PAID", "VOID"), 0);
    refused(&good, &(body.clone() + " "), 0);
    refused(&with("webhook-id", "evt_2"), &body, 0);
    refused(&with("webhook-timestamp", &(at + 1).to_string()), &body, 0);
    refused(&with("webhook-timestamp", "9223372036854775807"), &body, 0);
    refused(&with("webhook-timestamp", "soon"), &body, 0);
    refused(&with("webhook-signature", "v1,"), &body, 0);
    refused(&with("webhook-signature", ""), &body, 0);
    refused(&signed("whsec_Zm9yZ2VkIHNlY3JldCBmb3JnZWQ=", "evt_1", at, &body), &body, 0);
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = good.clone();
        headers.remove(name);
        refused(&headers, &body, 0);
    }
    let deaf = client_with("http://localhost/", |_| ());
    assert!(matches!(deaf.parse_event(&good, body.as_bytes(), now(0)), Err(EventError::NotConfigured)));
}

#[test]
fn a_signed_body_tells_what_it_says_and_nothing_else() {
    let client = client_with("http://localhost/", |config| config.webhook_secrets = vec![SecretString::from(NEW)]);
    let now = DateTime::from_timestamp(1_767_225_600, 0).expect("a time");
    let tell = |body: &str| client.parse_event(&signed(NEW, "evt_1", now.timestamp(), body), body.as_bytes(), now);
    let with = |name: &str, value: Value| {
        let mut event = cloud_event("evt_1", "1");
        event[name] = value;
        event.to_string()
    };
    assert!(matches!(tell(&with("type", json!("stock.changed"))), Ok((_, SourceEvent::Ignored))));
    assert_eq!(tell(&with("data", Value::Null)).expect("thin").1, SourceEvent::Changed(order_id("1")));
    for body in [
        with("id", json!("evt_2")),
        with("specversion", json!("0.3")),
        with("subject", json!("")),
        with("subject", Value::Null),
        "[]".into(),
        "not json".into(),
    ] {
        assert!(matches!(tell(&body), Err(EventError::Malformed(_))), "{body}");
    }
    for secret in ["whsec_", "whsec_c2hvcnQ=", "not base64 at all, but long enough"] {
        let config = ProtocolConfig {
            source: SourceKey::try_new("retail").expect("a key"),
            base_url: "http://localhost/".parse().expect("a URL"),
            token: None,
            webhook_secrets: vec![SecretString::from(secret)],
            rounding: Rounding::Refuse,
            timeout: Duration::from_secs(1),
            body_bytes_max: 1000,
            reach: Reach::Private,
        };
        assert!(ProtocolClient::new(config).is_err(), "{secret}");
    }
}
