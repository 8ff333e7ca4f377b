//! Answers that are not a GraphQL result, in the shape of one: a code for programs, a sentence that says what to do.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::accept::Media;

/// A request that was refused before or without being executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// Stable; programs branch on it.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A request that breaks a rule of GraphQL over HTTP.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// More than a limit allows.
    pub(crate) fn too_large(what: &str, limit: usize) -> Self {
        let message = format!("{what} is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message)
    }

    /// Something of ours failed; what is in the log, not in the answer.
    pub(crate) fn internal() -> Self {
        let message = "something went wrong here; the request id leads to it in the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR", message)
    }

    /// The database does not take writes, or reads.
    pub(crate) fn unavailable() -> Self {
        let message = "the database is not available; try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message)
    }

    /// As GraphQL errors of this message and code.
    pub(crate) fn errors(&self) -> serde_json::Value {
        json!([{ "message": self.message, "extensions": { "code": self.code } }])
    }

    /// As a response of this media type.
    pub(crate) fn respond(&self, media: Media) -> Response {
        let mut response = document(self.status, media, json!({ "errors": self.errors() }).to_string());
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"order-center\""));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            _ => {}
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.respond(Media::Json)
    }
}

/// A JSON document that no cache keeps.
pub(crate) fn document(status: StatusCode, media: Media, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
