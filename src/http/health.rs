//! For whoever runs the center: is it alive, may it get traffic, how is it doing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::Executor;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::Mutex;

use super::accept::Media;
use super::reply::{Refusal, document};
use super::{App, Chain, measure};
use crate::database::Database;

/// The database is asked no more often than this, however many ask us.
const REMEMBER: Duration = Duration::from_secs(1);
/// A database that takes longer to write one row is not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the database takes writes, asked rarely.
#[derive(Debug)]
pub(crate) struct Readiness {
    database: Database,
    known: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, known: Mutex::new(None) }
    }

    async fn is_writable(&self) -> bool {
        let mut known = self.known.lock().await;
        if let Some((when, writable)) = *known
            && when.elapsed() < REMEMBER
        {
            return writable;
        }
        let writable = match tokio::time::timeout(PATIENCE, self.database.check_writable()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(error = %Chain(&error), "the database takes no writes");
                false
            }
            Err(_) => {
                tracing::error!("the database takes no writes in time");
                false
            }
        };
        *known = Some((Instant::now(), writable));
        writable
    }
}

/// `/healthz`: the process answers. Touches nothing: a sick database is no reason to kill us.
pub(crate) async fn alive() -> Response {
    state(StatusCode::OK, "alive")
}

/// `/readyz`: writes would be taken, and we are not leaving. A sick module does not make the center unready.
pub(crate) async fn ready<E: Executor>(State(app): State<Arc<App<E>>>) -> Response {
    if app.draining.is_cancelled() {
        return state(StatusCode::SERVICE_UNAVAILABLE, "draining");
    }
    match app.readiness.is_writable().await {
        true => state(StatusCode::OK, "ready"),
        false => state(StatusCode::SERVICE_UNAVAILABLE, "database not writable"),
    }
}

fn state(status: StatusCode, text: &str) -> Response {
    document(status, Media::Json, format!("{{\"status\":\"{text}\"}}"))
}

/// `/metrics`, for a key of any role.
pub(crate) async fn metrics<E: Executor>(State(app): State<Arc<App<E>>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = app.gate.admit(&headers).await {
        return refusal.into_response();
    }
    let Some(recorder) = measure::recorder() else {
        let message = "this process measures elsewhere";
        return Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", message).into_response();
    };
    let mut response = document(StatusCode::OK, Media::Json, measure::render(recorder));
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// `/schema.graphql`, for a key of any role: what code generators read.
pub(crate) async fn schema<E: Executor>(State(app): State<Arc<App<E>>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = app.gate.admit(&headers).await {
        return refusal.into_response();
    }
    let mut response = document(StatusCode::OK, Media::Json, app.sdl.clone());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/graphql; charset=utf-8"));
    response
}
