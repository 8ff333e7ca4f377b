//! The Order Module Protocol over HTTP.
//!
//! It owns paths, headers, limits and the form of errors (RFC 9457). It refuses strangers, other protocol versions,
//! bodies and pages that are too large, and asks without an idempotency key. What is asked is decided elsewhere.

use axum::Router;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use order_contract::IdempotencyKey;
use order_contract::protocol::{
    ActionCall, IDEMPOTENCY_KEY_HEADER, ListOrders, OrderActions, OrderPage, Problem, VERSION, VERSION_HEADER, paths,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::module::{Answer, Asked, Module, ModuleError, PAGE_MAX, time};
use crate::store::StoreError;

/// The largest body.
const BODY_MAX: usize = 256 * 1024;
/// The page size when none is asked for.
const PAGE_DEFAULT: u32 = 50;

pub(crate) fn router(module: Module) -> Router {
    Router::new()
        .route(paths::DESCRIPTOR, get(async |State(module): State<Module>| json(&module.descriptor())))
        .route(paths::PROCESS, get(async |State(module): State<Module>| json(module.definition())))
        .route(paths::ORDERS, get(list).post(create))
        .route(paths::ORDER, get(order))
        .route(paths::ACTIONS, get(actions))
        .route(paths::ACTION, post(act))
        .route(paths::OPERATION, get(operation))
        .fallback(async || problem(StatusCode::NOT_FOUND, "NO_SUCH_PATH", "The protocol has no such path."))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "The protocol has no such method here.")
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(module.clone(), admit))
        .with_state(module)
}

/// Lets in who carries the token and speaks this major version; signs every reply with the protocol's version.
async fn admit(State(module): State<Module>, request: Request, next: Next) -> Response {
    let mut response = match refuse(&module, request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
    response
}

fn refuse(module: &Module, headers: &HeaderMap) -> Option<Response> {
    if let Some(refusal) = module.token().and_then(|token| refuse_stranger(token, headers)) {
        return Some(refusal);
    }
    let spoken = headers.get(VERSION_HEADER)?;
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if spoken.to_str().ok().and_then(major) == major(VERSION) {
        return None;
    }
    let detail = format!("This module speaks version {VERSION} of the protocol.");
    Some(problem(StatusCode::BAD_REQUEST, "PROTOCOL_VERSION", detail))
}

/// Refuses who does not carry the token.
pub(crate) fn refuse_stranger(token: &SecretString, headers: &HeaderMap) -> Option<Response> {
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.as_bytes().strip_prefix(b"Bearer "));
    // Digests have one length, so the comparison tells nothing about the token's.
    let [given, token] = [given.unwrap_or_default(), token.expose_secret().as_bytes()].map(Sha256::digest);
    if bool::from(given.ct_eq(&token)) {
        return None;
    }
    let mut refusal = problem(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Send the module's token as bearer token.");
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Some(refusal)
}

async fn list(
    State(module): State<Module>,
    query: Result<Query<ListOrders>, QueryRejection>,
) -> Result<Response, Response> {
    let bad = |detail: &str| problem(StatusCode::BAD_REQUEST, "INVALID_QUERY", detail);
    let Query(query) = query.map_err(|e| bad(&e.body_text()))?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(bad(&format!("`limit` is 1 to {PAGE_MAX}.")));
    }
    let after = match query.after.as_deref().map(Cursor::parse) {
        Some(None) => return Err(bad("`after` is not a `next` of mine.")),
        after => after.flatten(),
    };
    // Nothing will be written before the bound any more, so a list that ends there is whole.
    let bound = module.store().bound().await.map_err(failed)?;
    let asked = after.as_ref().map(|c| c.updated_to).or(query.updated_to.map(|t| t.timestamp_micros()));
    let to = asked.unwrap_or(bound).min(bound);
    let from = query.updated_from.map_or(i64::MIN, |t| t.timestamp_micros());
    let page = module.store().page(from, to, after.map(|c| (c.updated_at, c.id)), limit).await.map_err(failed)?;
    let orders = page.documents.into_iter().map(RawValue::from_string).collect::<Result<Vec<_>, _>>();
    let next = page.next.map(|(updated_at, id)| Cursor { updated_to: to, updated_at, id }.to_string());
    Ok(json(&OrderPage { orders: orders.map_err(|e| failed(e.into()))?, next, updated_to: time(to) }))
}

/// Where a page ended, with the upper bound of its list.
struct Cursor {
    updated_to: i64,
    updated_at: i64,
    id: String,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(3, ' ');
        let mut number = || parts.next()?.parse().ok();
        Some(Self { updated_to: number()?, updated_at: number()?, id: parts.next()?.into() })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{} {} {}", self.updated_to, self.updated_at, self.id)))
    }
}

async fn order(State(module): State<Module>, id: Result<Path<String>, PathRejection>) -> Result<Response, Response> {
    Ok(raw_json(StatusCode::OK, document(&module, id).await?))
}

async fn actions(State(module): State<Module>, id: Result<Path<String>, PathRejection>) -> Result<Response, Response> {
    let absent = || problem(StatusCode::NOT_FOUND, "ORDER_NOT_FOUND", "There is no such order here.");
    let Path(id) = id.map_err(|_| absent())?;
    let order = module.actions(&id).await.map_err(unable)?.ok_or_else(absent)?;
    Ok(json(&OrderActions {
        source_order_id: order.source_order_id,
        version: order.version,
        actions: order.available_actions,
    }))
}

async fn document(module: &Module, id: Result<Path<String>, PathRejection>) -> Result<String, Response> {
    let absent = || problem(StatusCode::NOT_FOUND, "ORDER_NOT_FOUND", "There is no such order here.");
    let Path(id) = id.map_err(|_| absent())?;
    module.store().document(&id).await.map_err(failed)?.ok_or_else(absent)
}

async fn create(
    State(module): State<Module>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    perform(module, None, "create".into(), &headers, body).await
}

async fn act(
    State(module): State<Module>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    let Path((id, action)) =
        path.map_err(|_| problem(StatusCode::NOT_FOUND, "ORDER_NOT_FOUND", "There is no such order here."))?;
    perform(module, Some(id), action, &headers, body).await
}

async fn perform(
    module: Module,
    order: Option<String>,
    action: String,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    let bad = |code, detail: &str| problem(StatusCode::BAD_REQUEST, code, detail);
    let body = body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            problem(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", format!("A body has at most {BODY_MAX} bytes."))
        }
        status => problem(status, "INVALID_BODY", "The body could not be read."),
    })?;
    let call: ActionCall = if body.is_empty() {
        ActionCall::default()
    } else {
        // As an object first: serde would take an array for the fields in their order.
        serde_json::from_slice(&body)
            .and_then(|fields: Map<String, Value>| serde_json::from_value(Value::Object(fields)))
            .map_err(|e| bad("INVALID_BODY", &format!("The body is not an action call: {e}.")))?
    };
    if call.expected_version.is_some() && order.is_none() {
        return Err(bad("INVALID_BODY", "A new order has no version to expect."));
    }
    let key = headers.get(IDEMPOTENCY_KEY_HEADER).map(|key| key.to_str().map(IdempotencyKey::try_new));
    let key = match key {
        _ if call.dry_run => None,
        None => return Err(bad("IDEMPOTENCY_KEY_REQUIRED", "Send an Idempotency-Key, or ask for a dry run.")),
        Some(Ok(Ok(key))) => Some(key),
        Some(_) => {
            return Err(bad("IDEMPOTENCY_KEY_INVALID", "An idempotency key is 1 to 200 printable ASCII characters."));
        }
    };
    let asked = Asked { order, action, key, call };
    // A client that leaves must not stop a write halfway through its commit: it runs in its own task.
    let done = tokio::spawn(async move { module.perform(asked).await }).await;
    match done {
        Ok(answer) => answer.map(reply).map_err(unable),
        Err(_) => Err(internal()),
    }
}

async fn operation(
    State(module): State<Module>,
    key: Result<Path<String>, PathRejection>,
) -> Result<Response, Response> {
    let absent = || problem(StatusCode::NOT_FOUND, "OPERATION_NOT_FOUND", "Nothing was asked under this key.");
    let Path(key) = key.map_err(|_| absent())?;
    let stored = module.store().operation(&key).await.map_err(failed)?.ok_or_else(absent)?;
    Ok(raw_json(StatusCode::OK, stored.reply))
}

fn reply(Answer { status, reply }: Answer) -> Response {
    raw_json(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), reply)
}

fn json(body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => raw_json(StatusCode::OK, text),
        Err(error) => failed(error.into()),
    }
}

pub(crate) fn raw_json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// Logs what happened; the client learns only that it did, and that nothing changed.
fn failed(error: StoreError) -> Response {
    tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
    internal()
}

/// The same for what the module as a whole could not do.
fn unable(error: ModuleError) -> Response {
    match error {
        ModuleError::Busy => {
            let detail = "The order is being moved by another ask: ask again under the same key.";
            let mut busy = problem(StatusCode::SERVICE_UNAVAILABLE, "ORDER_BUSY", detail);
            busy.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            busy
        }
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
            internal()
        }
    }
}

fn internal() -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "The module could not answer; ask again under the same key.")
}

pub(crate) fn problem(status: StatusCode, code: &str, detail: impl Into<String>) -> Response {
    let problem = Problem {
        title: status.canonical_reason().unwrap_or("Error").into(),
        status: status.as_u16(),
        code: code.into(),
        detail: Some(detail.into()),
    };
    let body = serde_json::to_string(&problem).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))], body).into_response()
}
