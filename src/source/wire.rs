//! One HTTP exchange with a module: the request's fixed parts, and the whole answer or why there is none.
//!
//! It owns URLs, headers and the reading of bodies. It refuses an answer larger than the limit while it is still
//! arriving, and it never repeats a request. That is so that the client above, and the conformance suite, see exactly
//! what one request brought and whether it can have had an effect.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use order_contract::protocol::{self, Problem};
use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::egress::{self, EgressError, Reach};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The request never left: no address, no connection, no TLS.
    #[error("{}", not_sent(.0))]
    NotSent(#[source] reqwest::Error),
    /// The request may have arrived.
    #[error("{}", if .0.is_timeout() { "no complete answer in time" } else { "the connection broke before the answer was complete" })]
    Broken(#[source] reqwest::Error),
    /// The answer is larger than the limit in bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

fn not_sent(error: &reqwest::Error) -> &'static str {
    if error.is_dns() {
        "the host name leads to no address that may be called"
    } else if error.is_timeout() {
        "no connection could be made in time"
    } else {
        "no connection could be made"
    }
}

/// Speaks to one module.
#[derive(Debug)]
pub(crate) struct Wire {
    http: Client,
    base_url: Url,
    token: Option<SecretString>,
    body_bytes_max: usize,
}

impl Wire {
    pub(crate) fn new(
        base_url: Url,
        token: Option<SecretString>,
        timeout: Duration,
        body_bytes_max: usize,
        reach: Reach,
    ) -> Result<Self, EgressError> {
        egress::check(&base_url, &reach)?;
        Ok(Self { http: egress::client(timeout, reach)?, base_url, token, body_bytes_max })
    }

    /// A request to a path of the protocol; the values fill its `{…}` segments, each escaped as one segment.
    pub(crate) fn request(&self, method: Method, path: &str, values: &[&str]) -> RequestBuilder {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let mut values = values.iter();
            segments.pop_if_empty().extend(path.trim_start_matches('/').split('/').map(|segment| {
                if segment.starts_with('{') { values.next().copied().unwrap_or_default() } else { segment }
            }));
        }
        let request = self
            .http
            .request(method, url)
            .header(protocol::VERSION_HEADER, protocol::VERSION)
            .header(header::ACCEPT, "application/json, application/problem+json");
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// A request to any address, with nothing of the protocol in it. The caller has checked the address.
    pub(crate) fn request_to(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends once and reads the whole answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, WireError> {
        let failed = |error: reqwest::Error| {
            let error = error.without_url();
            if error.is_connect() || error.is_builder() { WireError::NotSent(error) } else { WireError::Broken(error) }
        };
        let mut response = request.send().await.map_err(failed)?;
        let too_large = WireError::TooLarge(self.body_bytes_max);
        let announced = response.content_length().map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
        if announced > self.body_bytes_max {
            return Err(too_large);
        }
        let mut body = BytesMut::with_capacity(announced);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.body_bytes_max {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), headers: std::mem::take(response.headers_mut()), body: body.freeze() })
    }
}

/// One complete answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as a message of the protocol, or what is wrong with it and where.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, String> {
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(&self.body)).map_err(|error| {
            match error.path().to_string().as_str() {
                "." => error.inner().to_string(),
                path => format!("{path}: {}", error.inner()),
            }
        })
    }

    /// The protocol's error reply, when it is one: its status must be the answer's own.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let problem: Problem = self.json().ok()?;
        (problem.status == self.status.as_u16() && !problem.code.is_empty()).then_some(problem)
    }

    /// Seconds to wait, where the answer says so in seconds.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
    }

    /// The answer for people: status, kind and how the body begins.
    pub(crate) fn summary(&self) -> String {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("no content type");
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]);
        format!("{} ({kind}): {}", self.status.as_u16(), text.trim().replace('\n', " "))
    }
}
