//! One exchange with a platform: address, credentials, rate budget, and the whole answer or why there is none.
//!
//! It refuses to send anything beyond the source's own base, whatever a manifest or an answer names, and it repeats
//! reads only. A request that was refused for an expired token was not done, so that one is sent again with a new token.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Method, header};
use order_adapter::engine::{Call, Engine, Exchange, Target, percent_encoded};
use order_adapter::manifest::{Http, Retry};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};

use super::budget::Budget;
use super::credential::{Credentials, TokenRequest};
use super::{ManifestConfigError, Witness};
use crate::source::egress::Reach;
use crate::source::wire::{Answer, Wire, WireError};
use crate::source::{RateBudget, egress};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The network.
    #[error("{0}")]
    Wire(#[source] WireError),
    /// It is not the center's turn for so long.
    #[error("the rate budget is used up for {} s", .0.as_secs())]
    Busy(Duration),
    /// No token was given out.
    #[error("no access token was given out: {0}")]
    Token(String),
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(String),
}

impl Failure {
    /// Whether the request never left.
    pub(super) fn is_not_sent(&self) -> bool {
        !matches!(self, Self::Wire(WireError::Broken(_) | WireError::TooLarge(_)))
    }
}

/// The way to one platform.
pub(super) struct Transport {
    wire: Wire,
    /// Where every path begins, without a slash at its end.
    base: Url,
    headers: Vec<(String, String)>,
    credentials: Credentials,
    budget: Budget,
    retry: Retry,
    witness: Option<Witness>,
}

impl Transport {
    pub(super) fn new(
        engine: &Engine,
        url: &str,
        secrets: &BTreeMap<String, SecretString>,
        timeout: Duration,
        body_bytes_max: usize,
        reach: Reach,
    ) -> Result<Self, ManifestConfigError> {
        let base = engine.base(url).map_err(ManifestConfigError::Engine)?;
        let base: Url = base.parse().map_err(|_| ManifestConfigError::Url(url.to_owned()))?;
        egress::check(&base, &reach).map_err(ManifestConfigError::Egress)?;
        let credentials = Credentials::new(engine, url, secrets, &reach).map_err(ManifestConfigError::Credential)?;
        let http: Option<&Http> = engine.manifest().http.as_ref();
        Ok(Self {
            wire: Wire::new(base.clone(), None, timeout, body_bytes_max, reach).map_err(ManifestConfigError::Egress)?,
            base,
            headers: engine.headers(),
            credentials,
            budget: Budget::new(http.and_then(|http| http.rate)),
            retry: http.map(|http| http.retry).unwrap_or_default(),
            witness: None,
        })
    }

    pub(super) fn watched_by(self, witness: Option<Witness>) -> Self {
        Self { witness, ..self }
    }

    /// What the platform still takes, as far as it said.
    pub(super) fn budget_left(&self) -> Option<RateBudget> {
        self.budget.left()
    }

    /// The platform asks to be left alone.
    pub(super) fn quiet(&self, wait: Duration) {
        self.budget.quiet(wait);
    }

    /// Reads: repeated when the connection broke or the platform was briefly away.
    pub(super) async fn read(&self, engine: &Engine, call: &Call) -> Result<Exchange, Failure> {
        let mut pause = self.retry.pause.0;
        for left in (0..self.retry.attempts.max(1)).rev() {
            let answer = self.send(engine, call, None).await;
            let worth_it = match &answer {
                Ok(exchange) => engine.may_pass(exchange),
                Err(Failure::Wire(WireError::NotSent(_) | WireError::Broken(_))) => true,
                Err(_) => false,
            };
            if left == 0 || !worth_it {
                return answer;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(Failure::Request("it was not tried".into()))
    }

    /// Sends once; once more, with a new token, when the one it was sent with had expired.
    pub(super) async fn send(
        &self,
        engine: &Engine,
        call: &Call,
        traceparent: Option<&str>,
    ) -> Result<Exchange, Failure> {
        let token = self.token(engine).await?;
        let exchange = self.send_with(engine, call, traceparent, token.as_ref()).await?;
        match (&self.credentials, token) {
            (Credentials::Token(source), Some(token)) if engine.has_expired(&exchange) => {
                source.forget(&token).await;
                let token = self.token(engine).await?;
                self.send_with(engine, call, traceparent, token.as_ref()).await
            }
            _ => Ok(exchange),
        }
    }

    /// The document at a path of the source's own host, asked for without credentials.
    pub(super) async fn public(&self, path: &str) -> Result<Exchange, Failure> {
        let url = self.base.join(path).map_err(|error| Failure::Request(error.to_string()))?;
        if url.origin() != self.base.origin() {
            return Err(Failure::Request("it is on another host".into()));
        }
        let request = self.wire.request_to(Method::GET, url).header(header::ACCEPT, "application/json");
        self.exchange(request).await
    }

    async fn token(&self, engine: &Engine) -> Result<Option<SecretString>, Failure> {
        let Credentials::Token(source) = &self.credentials else { return Ok(None) };
        let ask = async || {
            let request = source.request(engine).map_err(|error| Failure::Request(error.to_string()))?;
            let exchange = match request {
                TokenRequest::Form(url, form, basic) => {
                    let request = self
                        .wire
                        .request_to(Method::POST, url.clone())
                        .header(header::ACCEPT, "application/json")
                        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                    let request = match basic {
                        Some(basic) => request.header(header::AUTHORIZATION, basic.expose_secret()),
                        None => request,
                    };
                    self.exchange(request.body(form)).await?
                }
                TokenRequest::Login(call) => self.send_with(engine, &call, None, None).await?,
            };
            // The body is not shown: it may hold what it was asked with.
            source.read(engine, &exchange).ok_or_else(|| Failure::Token(format!("the answer was {}", exchange.status)))
        };
        // Whatever happened to the request for a token, the request it was for was not sent.
        let not_sent = |failure: Failure| match failure {
            failure @ Failure::Wire(WireError::Broken(_) | WireError::TooLarge(_)) => {
                Failure::Token(failure.to_string())
            }
            failure => failure,
        };
        source.present(ask).await.map(Some).map_err(not_sent)
    }

    async fn send_with(
        &self,
        engine: &Engine,
        call: &Call,
        traceparent: Option<&str>,
        token: Option<&SecretString>,
    ) -> Result<Exchange, Failure> {
        let method: Method = call.method.parse().map_err(|_| Failure::Request("it has no method".into()))?;
        let (mut url, mut query) = self.address(call)?;
        self.credentials.add_to_query(&mut query);
        if !query.is_empty() {
            let pairs =
                query.iter().map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)));
            url.set_query(Some(&pairs.collect::<Vec<_>>().join("&")));
        }
        let mut request = self.wire.request_to(method.clone(), url.clone()).header(header::ACCEPT, "application/json");
        for (name, value) in self.headers.iter().chain(&call.headers) {
            request = request.header(name, value);
        }
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        request = self.credentials.add_to_head(request, (&method, &url, &query), token);
        if let Some((kind, body)) = &call.body {
            request = request.header(header::CONTENT_TYPE, *kind).body(body.clone());
        }
        let _turn = self.budget.turn().await.map_err(Failure::Busy)?;
        let exchange = self.exchange(request).await?;
        if let Some(left) = engine.budget(&exchange) {
            self.budget.told(left);
        }
        if let Some(Witness(see)) = &self.witness {
            see(&exchange);
        }
        Ok(exchange)
    }

    /// Where a request goes, and its query. What a platform names as its next page must be below the base, as all is.
    fn address(&self, call: &Call) -> Result<(Url, Vec<(String, String)>), Failure> {
        match &call.target {
            Target::Below(path) => {
                let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
                Ok((parse(&url)?, call.query.clone()))
            }
            Target::Link(link) => {
                let mut url = self.base.join(link).map_err(|error| Failure::Request(error.to_string()))?;
                let below = url.path().starts_with(self.base.path().trim_end_matches('/'));
                if url.origin() != self.base.origin() || !below || !url.username().is_empty() {
                    return Err(Failure::Request("the next page is not below the source's own base".into()));
                }
                let query = url.query_pairs().into_owned().collect();
                url.set_query(None);
                url.set_fragment(None);
                Ok((url, query))
            }
        }
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Exchange, Failure> {
        self.wire.send(request).await.map(seen).map_err(Failure::Wire)
    }
}

fn parse(url: &str) -> Result<Url, Failure> {
    url.parse().map_err(|_| Failure::Request(format!("{url:?} is no URL")))
}

fn seen(answer: Answer) -> Exchange {
    Exchange::new(answer.status.as_u16(), headers(&answer.headers), answer.body.to_vec())
}

/// Headers as the engine sees them; those that come more than once are joined, as HTTP allows.
pub(super) fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        seen.entry(name.as_str().to_owned())
            .and_modify(|before| {
                before.push_str(", ");
                before.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    seen
}
