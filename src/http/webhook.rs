//! `POST /webhooks/{source}`: what modules tell. The signature over the raw bytes is the only key.

use std::sync::Arc;

use async_graphql::Executor;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use order_contract::SourceKey;

use super::accept::Media;
use super::reply::{Refusal, document};
use super::{App, Chain, body};
use crate::ingest::{IngestError, WebhookReceipt};
use crate::source::EventError;

/// 202 when it is stored, 200 when it was before or concerns no order. Neither before it is durable.
pub(crate) async fn receive<E: Executor>(
    State(app): State<Arc<App<E>>>,
    Path(source): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(source) = SourceKey::try_new(source).ok().filter(|source| app.knows_source(source)) else {
        let message = "there is no source of this key: check the address the module sends to";
        return Refusal::new(StatusCode::NOT_FOUND, "UNKNOWN_SOURCE", message).into_response();
    };
    let limit = app.http.webhook_bytes_max;
    let received = async {
        let bytes = body::read(body, headers.get(CONTENT_LENGTH), limit, app.body_timeout()).await?;
        app.ingest.receive_webhook(&source, &headers, bytes).await.map_err(|error| refusal(&source, &error))
    };
    let (status, outcome) = match received.await {
        Ok(WebhookReceipt::Stored) => (StatusCode::ACCEPTED, "stored"),
        Ok(WebhookReceipt::Repeated) => (StatusCode::OK, "repeated"),
        Ok(WebhookReceipt::Ignored) => (StatusCode::OK, "ignored"),
        Err(refusal) => return refusal.into_response(),
    };
    document(status, Media::Json, format!("{{\"result\":\"{outcome}\"}}"))
}

fn refusal(source: &SourceKey, error: &IngestError) -> Refusal {
    match error {
        IngestError::Event(EventError::Signature) => {
            tracing::warn!(%source, "refused a webhook whose signature does not verify");
            let message = "the signature does not verify: check the secret, the clock, and that the body is unchanged";
            Refusal::new(StatusCode::UNAUTHORIZED, "INVALID_SIGNATURE", message)
        }
        IngestError::Event(EventError::NotConfigured) => {
            let message = "this source takes no webhooks: an operator sets `webhook_secrets`";
            Refusal::new(StatusCode::NOT_FOUND, "WEBHOOKS_NOT_CONFIGURED", message)
        }
        IngestError::Event(EventError::Malformed(reason)) => {
            let message = format!("the body is not an event of the protocol: {reason}");
            Refusal::new(StatusCode::BAD_REQUEST, "INVALID_EVENT", message)
        }
        error => {
            tracing::error!(%source, error = %Chain(error), "a webhook could not be taken");
            Refusal::unavailable()
        }
    }
}
