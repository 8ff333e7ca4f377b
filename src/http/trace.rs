//! What surrounds every request: an id, a trace, a measurement, safe headers, a limit on how many run at once.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::reply::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What a request is known by.
#[derive(Clone, Debug)]
pub(crate) struct RequestMeta {
    /// The client's `x-request-id` if it is a sane one, else a new one. It is in every log line and in the answer.
    pub(crate) request_id: String,
    /// W3C trace context: the client's, or a new trace. It goes with the operation to the module.
    pub(crate) traceparent: String,
}

impl RequestMeta {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let request_id = text(REQUEST_ID).filter(|id| is_request_id(id)).map(str::to_owned);
        let traceparent = text(TRACEPARENT).filter(|parent| is_traceparent(parent)).map(str::to_owned);
        let fresh = || uuid::Uuid::now_v7().simple().to_string();
        Self {
            request_id: request_id.unwrap_or_else(fresh),
            // The trace and the first span of it: a version 7 UUID is random in its second half.
            traceparent: traceparent.unwrap_or_else(|| format!("00-{}-{}-01", fresh(), &fresh()[16..])),
        }
    }

    fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }
}

fn is_request_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], [version, trace, span, flags]
        if hex(version, 2) && version != "ff" && hex(trace, 32) && !zero(trace) && hex(span, 16) && !zero(span)
            && hex(flags, 2))
}

/// Names the request, measures it and logs how it ended.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let meta = RequestMeta::of(request.headers());
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", request_id = meta.request_id, trace_id = meta.trace_id());
    let id = HeaderValue::try_from(&meta.request_id);
    request.extensions_mut().insert(meta);

    let begun = Instant::now();
    let under_way = UnderWay::begin();
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(under_way);
    let (took, status) = (begun.elapsed(), response.status());

    let labels = [("method", method.to_owned()), ("route", route.clone()), ("status", status.as_u16().to_string())];
    metrics::histogram!("http_server_request_duration_seconds", &labels).record(took);
    let (status, took_us) = (status.as_u16(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    span.in_scope(|| match status {
        500.. => tracing::error!(method, route, status, took_us, "request failed"),
        400.. => tracing::info!(method, route, status, took_us, "request refused"),
        _ => tracing::debug!(method, route, status, took_us, "request"),
    });
    if let Ok(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// A label must not be what a client makes up.
fn method_name(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "_OTHER",
    }
}

/// Counts down however the request ends: a client that leaves drops its future.
struct UnderWay;

impl UnderWay {
    fn begin() -> Self {
        metrics::gauge!("http_server_active_requests").increment(1);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        metrics::gauge!("http_server_active_requests").decrement(1);
    }
}

/// Turns away what is more than the limit of requests under way.
pub(crate) async fn shed(State(permits): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match permits.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => {
            metrics::counter!("http_server_shed_total").increment(1);
            let message = "too many requests are being answered; try again in a moment";
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message);
            axum::response::IntoResponse::into_response(refusal)
        }
    }
}

/// Refuses addresses beyond the limit.
pub(crate) async fn limit_uri(State(bytes_max): State<usize>, request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |both| both.as_str().len());
    if length > bytes_max {
        let message = format!("the address is longer than {bytes_max} bytes: POST the query instead");
        let refusal = Refusal::new(StatusCode::URI_TOO_LONG, "URI_TOO_LONG", message);
        return axum::response::IntoResponse::into_response(refusal);
    }
    next.run(request).await
}

/// Headers that every answer carries unless it knows better.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    const DEFAULTS: [(HeaderName, &str); 4] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in DEFAULTS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// What a client is told of a panic: nothing. The panic itself is already on standard error.
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> http::Response<Body> {
    tracing::error!("a request handler panicked");
    axum::response::IntoResponse::into_response(Refusal::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_trace_is_continued_and_another_replaced() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(given));
        headers.insert(REQUEST_ID, HeaderValue::from_static("client-7"));
        let meta = RequestMeta::of(&headers);
        assert_eq!((meta.traceparent.as_str(), meta.request_id.as_str()), (given, "client-7"));
        for (id, parent) in [("a b", "00-0-0-01"), ("", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")] {
            headers.insert(REQUEST_ID, HeaderValue::from_static(id));
            headers.insert(TRACEPARENT, HeaderValue::from_static(parent));
            let meta = RequestMeta::of(&headers);
            assert!(is_traceparent(&meta.traceparent) && meta.traceparent != parent, "{meta:?}");
            assert!(is_request_id(&meta.request_id) && meta.request_id != id, "{meta:?}");
        }
    }
}
