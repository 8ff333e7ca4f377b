//! Routes, who may use them and how much: everything between a socket and the schema.
//!
//! It owns the GraphQL-over-HTTP handler, WebSockets, webhooks in, API keys, health and metrics. It refuses what is
//! oversized, unauthenticated or ambiguous before any resolver runs. That is so that the schema never meets a request
//! it has to distrust.

mod accept;
mod body;
mod gate;
mod graphiql;
mod graphql;
mod health;
pub mod key;
pub(crate) mod listen;
pub(crate) mod measure;
mod nesting;
mod origin;
mod reply;
mod trace;
mod webhook;
mod websocket;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Executor;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::header::UPGRADE;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use order_contract::SourceKey;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::{HttpConfig, WebsocketConfig};
use crate::database::Database;
use crate::graphql::GraphqlLimits;
use crate::ingest::Ingest;
use crate::source::Registry;

use accept::Media;
use gate::Gate;
use health::Readiness;
use reply::Refusal;
use trace::RequestMeta;

pub use key::{ApiKey, ApiKeys, KeyError};

/// What the routes work with.
pub(crate) struct App<E> {
    pub(crate) schema: E,
    pub(crate) sdl: String,
    pub(crate) gate: Gate,
    pub(crate) ingest: Ingest,
    pub(crate) registry: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) http: HttpConfig,
    pub(crate) websocket: WebsocketConfig,
    pub(crate) limits: GraphqlLimits,
    /// WebSockets that may still be opened.
    pub(crate) sockets: Arc<Semaphore>,
    /// Canceled when the server begins to leave.
    pub(crate) draining: CancellationToken,
    /// Mutations and WebSockets: shutdown waits for them.
    pub(crate) tasks: TaskTracker,
}

/// What stands behind the routes.
pub(crate) struct Behind<E> {
    pub(crate) schema: E,
    pub(crate) sdl: String,
    pub(crate) database: Database,
    pub(crate) ingest: Ingest,
    pub(crate) registry: Registry,
    pub(crate) limits: GraphqlLimits,
    /// Whether the server listens on a loopback address only.
    pub(crate) loopback: bool,
}

impl<E: Executor> App<E> {
    pub(crate) fn new(
        behind: Behind<E>,
        http: HttpConfig,
        websocket: WebsocketConfig,
        draining: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let Behind { schema, sdl, database, ingest, registry, limits, loopback } = behind;
        let remember = Duration::from_millis(http.key_cache_ms);
        let gate = Gate::new(ApiKeys::new(database.clone()), loopback, remember, http.allowed_origins.clone());
        Self {
            schema,
            sdl,
            gate,
            ingest,
            registry,
            readiness: Readiness::new(database),
            sockets: Arc::new(Semaphore::new(websocket.sockets_max)),
            http,
            websocket,
            limits,
            draining,
            tasks,
        }
    }

    fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.http.body_timeout_ms)
    }

    fn knows_source(&self, source: &SourceKey) -> bool {
        self.registry.get(source).is_some()
    }
}

/// All routes.
pub(crate) fn router<E: Executor>(app: Arc<App<E>>) -> Router {
    let working = Router::new()
        .route("/graphql", get(get_graphql::<E>).post(graphql::post::<E>).fallback(not_of_graphql))
        .route_layer(middleware::from_fn_with_state(app.clone(), origin::share::<E>))
        .route("/graphiql/{file}", get(graphiql_asset::<E>))
        .route("/webhooks/{source}", post(webhook::receive::<E>))
        .route("/schema.graphql", get(health::schema::<E>))
        .route_layer(middleware::from_fn_with_state(Arc::new(Semaphore::new(app.http.in_flight_max)), trace::shed));
    // What tells how the center is doing must answer under load, too.
    let watching = Router::new()
        .route("/", get(async || Redirect::temporary("/graphql")))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready::<E>))
        .route("/metrics", get(health::metrics::<E>));
    working
        .merge(watching)
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(CatchPanicLayer::custom(trace::panicked))
        .layer(middleware::from_fn_with_state(app.http.uri_bytes_max, trace::limit_uri))
        .layer(middleware::from_fn(trace::harden))
        .layer(middleware::from_fn(trace::observe))
        .with_state(app)
}

/// One address for everything: a browser's page, a WebSocket, a query over GET.
async fn get_graphql<E: Executor>(
    State(app): State<Arc<App<E>>>,
    Extension(meta): Extension<RequestMeta>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if headers.contains_key(UPGRADE) {
        return match upgrade {
            Ok(upgrade) => websocket::upgrade(app, meta, &headers, upgrade),
            Err(_) => Refusal::bad_request("this is not a WebSocket handshake").into_response(),
        };
    }
    let forms = [Media::Json, Media::GraphqlResponse, Media::Html];
    if app.http.graphiql && Media::negotiate(&headers, &forms) == Some(Media::Html) {
        return graphiql::page();
    }
    graphql::get(&app, &meta, &headers, &uri).await
}

async fn graphiql_asset<E: Executor>(
    State(app): State<Arc<App<E>>>,
    Path(file): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    match app.http.graphiql.then(|| graphiql::asset(&file, &headers)).flatten() {
        Some(response) => response,
        None => not_found(uri).await,
    }
}

async fn not_found(uri: Uri) -> Response {
    // Only the path: what follows it may be a secret. Long ones are cut.
    let path: String = uri.path().chars().take(100).collect();
    let message = format!("there is nothing at {path}; the API is at /graphql");
    Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", message).into_response()
}

async fn not_allowed() -> Response {
    let mut response = method_not_allowed("this address does not take that method").into_response();
    // The router knows which methods it takes, and says so unless we do.
    response.headers_mut().remove(header::ALLOW);
    response
}

async fn not_of_graphql() -> Response {
    let mut response = method_not_allowed("GraphQL is asked by POST, or by GET for queries").into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    response
}

fn method_not_allowed(message: &str) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
}

/// An error with everything that caused it, for the log.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
