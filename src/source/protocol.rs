//! The client of the Order Module Protocol.
//!
//! It owns how a module's answers are understood: what proves that an action was done, refused or never sent. It
//! refuses to take anything else for an answer, so a time-out, a proxy's error page or half a reply is `Unknown` until
//! the module tells. That is so that no caller ever reports as failed what was done, or repeats it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method, StatusCode};
use order_contract::process::ProcessDefinition;
use order_contract::protocol::{
    self, ActionError, ActionReply, Descriptor, Idempotency, ListOrders, ORDER_CHANGED, OrderPage, Outcome, paths,
    problems,
};
use order_contract::{IdempotencyKey, Rejection, Rounding, SourceKey, SourceOrderId, parse_snapshot};
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::egress::{EgressError, Reach};
use super::wire::{Answer, Wire, WireError};
use super::{
    ActionOutcome, ActionRequest, Capabilities, ChangePage, ChangeWindow, EventError, Normalized, OrderSource, Probe,
    RawOrder, SourceError, SourceEvent,
};

/// How far a webhook's signed time stamp may be from the center's clock.
const WEBHOOK_TOLERANCE: TimeDelta = TimeDelta::seconds(300);
/// How long a descriptor is believed before the module is asked again.
const DESCRIPTOR_KEPT: Duration = Duration::from_secs(300);

/// How to reach one module.
#[derive(Clone, Debug)]
pub struct ProtocolConfig {
    /// The source's key, for errors and metrics.
    pub source: SourceKey,
    /// The module's base URL.
    pub base_url: reqwest::Url,
    /// Its bearer token.
    pub token: Option<SecretString>,
    /// The secrets its webhooks are signed with (`whsec_…`); two are live during rotation.
    pub webhook_secrets: Vec<SecretString>,
    /// What to do with amounts of more than four fraction digits.
    pub rounding: Rounding,
    /// How long one request may take.
    pub timeout: Duration,
    /// The most bytes of one answer.
    pub body_bytes_max: usize,
    /// Which private hosts it may be at.
    pub reach: Reach,
}

/// Why a client cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolConfigError {
    /// The base URL must not be called.
    #[error("the base URL of source {0} cannot be used")]
    BaseUrl(SourceKey, #[source] EgressError),
    /// A webhook secret is not base64 of at least 16 bytes.
    #[error("a webhook secret of source {0} is not `whsec_` followed by base64 of at least 16 bytes")]
    WebhookSecret(SourceKey),
}

/// A module reached over the Order Module Protocol.
pub struct ProtocolClient {
    source: SourceKey,
    wire: Wire,
    webhooks: Vec<Webhook>,
    rounding: Rounding,
    described: Mutex<Option<(Instant, Capabilities)>>,
}

impl ProtocolClient {
    /// A client of this module. Nothing is called yet.
    ///
    /// # Errors
    /// [`ProtocolConfigError`] when the URL is refused by the egress guard or a secret is malformed.
    pub fn new(config: ProtocolConfig) -> Result<Self, ProtocolConfigError> {
        let ProtocolConfig { source, base_url, token, webhook_secrets, rounding, timeout, body_bytes_max, reach } =
            config;
        let webhooks = webhook_secrets.iter().map(|secret| verifier(secret).ok_or(source.clone())).collect();
        let webhooks = Result::map_err(webhooks, ProtocolConfigError::WebhookSecret)?;
        let wire = Wire::new(base_url, token, timeout, body_bytes_max, reach)
            .map_err(|error| ProtocolConfigError::BaseUrl(source.clone(), error))?;
        Ok(Self { source, wire, webhooks, rounding, described: Mutex::default() })
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Answer, SourceError> {
        let source_key = self.source.clone();
        let answer = self.wire.send(request).await.map_err(|error| match error {
            WireError::NotSent(error) | WireError::Broken(error) => SourceError::Unreachable(source_key.clone(), error),
            WireError::TooLarge(limit) => SourceError::TooLarge { source_key: source_key.clone(), limit },
        })?;
        match (answer.status, answer.retry_after_s()) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Err(SourceError::Unauthorized(source_key)),
            (StatusCode::TOO_MANY_REQUESTS, retry_after_s)
            | (StatusCode::SERVICE_UNAVAILABLE, retry_after_s @ Some(_)) => {
                Err(SourceError::RateLimited { source_key, retry_after_s })
            }
            _ => Ok(answer),
        }
    }

    fn read<'a, T: Deserialize<'a>>(&self, answer: &'a Answer) -> Result<T, SourceError> {
        if answer.status != StatusCode::OK {
            return Err(SourceError::Status(self.source.clone(), answer.status.as_u16()));
        }
        answer.json().map_err(|reason| SourceError::Malformed { source_key: self.source.clone(), reason })
    }

    fn get(&self, path: &str, values: &[&str]) -> RequestBuilder {
        self.wire.request(Method::GET, path, values)
    }
}

#[async_trait]
impl OrderSource for ProtocolClient {
    async fn describe(&self) -> Result<Capabilities, SourceError> {
        let kept = self.described.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, capabilities)) = kept.filter(|(at, _)| at.elapsed() < DESCRIPTOR_KEPT) {
            return Ok(capabilities);
        }
        let answer = self.ask(self.get(paths::DESCRIPTOR, &[])).await?;
        let Descriptor { protocol, kind, idempotency, capabilities: can, .. } = self.read(&answer)?;
        if !speaks_our_major(&protocol) {
            let reason = format!("it speaks protocol {protocol:?}; this center speaks {}", protocol::VERSION);
            return Err(SourceError::Malformed { source_key: self.source.clone(), reason });
        }
        let capabilities = Capabilities {
            kind,
            idempotency,
            create: can.create,
            dry_run: can.dry_run,
            expected_version: can.expected_version,
            page_size_max: can.page_size_max,
            blind_spots: None,
        };
        *self.described.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), capabilities.clone()));
        Ok(capabilities)
    }

    async fn fetch(&self, id: &SourceOrderId) -> Result<Option<RawOrder>, SourceError> {
        let answer = self.ask(self.get(paths::ORDER, &[id.as_str()])).await?;
        if says(&answer, StatusCode::NOT_FOUND, problems::ORDER_NOT_FOUND) {
            return Ok(None);
        }
        let record: &RawValue = self.read(&answer)?;
        Ok(Some(raw_order(&answer, record, Some(id))))
    }

    async fn list_changes(&self, window: &ChangeWindow) -> Result<ChangePage, SourceError> {
        let query = ListOrders {
            updated_from: window.since,
            updated_to: window.until,
            after: window.page.clone(),
            limit: Some(window.limit),
        };
        let answer = self.ask(self.get(paths::ORDERS, &[]).query(&query)).await?;
        let page: OrderPage<&RawValue> = self.read(&answer)?;
        let orders = page.orders.into_iter().map(|record| raw_order(&answer, record, None)).collect();
        Ok(ChangePage { orders, next: page.next, until: page.updated_to })
    }

    async fn normalize(&self, raw: &RawOrder) -> Result<Normalized, Rejection> {
        let (snapshot, rounded) = parse_snapshot(&raw.body, self.rounding)?;
        match &raw.source_order_id {
            Some(asked) if *asked != snapshot.source_order_id => Err(Rejection {
                path: "/sourceOrderId".into(),
                value: snapshot.source_order_id.to_string(),
                rule: format!("differs from {asked}, the order that was asked for or that the envelope names"),
            }),
            _ => Ok(Normalized { snapshot, rounded }),
        }
    }

    fn parse_event(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(String, SourceEvent), EventError> {
        let id = verified_id(&self.webhooks, headers, body, now)?;
        let event = event(&id, body).map_err(EventError::Malformed)?;
        Ok((id, event))
    }

    async fn execute(&self, request: &ActionRequest) -> ActionOutcome {
        let post = match &request.order {
            Some(id) => self.wire.request(Method::POST, paths::ACTION, &[id.as_str(), request.action.as_str()]),
            None => self.wire.request(Method::POST, paths::ORDERS, &[]),
        };
        let mut post = post.header(protocol::IDEMPOTENCY_KEY_HEADER, request.key.as_str()).json(&request.call);
        if let Some(traceparent) = &request.traceparent {
            post = post.header("traceparent", traceparent);
        }
        match self.wire.send(post).await {
            Ok(answer) => classify(&answer, request.order.as_ref()),
            Err(error @ WireError::NotSent(_)) => ActionOutcome::NotSent(error.to_string()),
            Err(error) => ActionOutcome::Unknown(error.to_string()),
        }
    }

    async fn probe(&self, key: &IdempotencyKey) -> Probe {
        let answer = match self.wire.send(self.get(paths::OPERATION, &[key.as_str()])).await {
            Ok(answer) => answer,
            Err(error) => return Probe::Undecidable(error.to_string()),
        };
        if says(&answer, StatusCode::NOT_FOUND, problems::OPERATION_NOT_FOUND) {
            return Probe::NeverArrived;
        }
        if answer.status != StatusCode::OK {
            return Probe::Undecidable(format!("the module answered {}", answer.status.as_u16()));
        }
        match reply(&answer, None) {
            Ok((_, outcome)) => Probe::Known(outcome),
            Err(reason) => Probe::Undecidable(not_of_the_protocol(&reason)),
        }
    }

    async fn settle(&self, request: &ActionRequest) -> Probe {
        // A module that keeps no keys may say of any that it never arrived.
        match self.describe().await {
            Ok(capabilities) if request.doubt && capabilities.idempotency != Idempotency::Keyed => {
                Probe::Undecidable("this source cannot be asked again safely: look at the order".into())
            }
            Ok(_) => self.probe(&request.key).await,
            Err(error) => Probe::Undecidable(error.to_string()),
        }
    }

    async fn process(&self) -> Result<Option<ProcessDefinition>, SourceError> {
        let answer = self.ask(self.get(paths::PROCESS, &[])).await?;
        if answer.status == StatusCode::NOT_FOUND { Ok(None) } else { self.read(&answer).map(Some) }
    }
}

pub(crate) fn speaks_our_major(version: &str) -> bool {
    let major = |text: &str| text.split('.').next().map(ToOwned::to_owned);
    major(version) == major(protocol::VERSION)
}

/// The record with the id it must have: the one that was asked for, or else the one it says.
fn raw_order(answer: &Answer, record: &RawValue, asked: Option<&SourceOrderId>) -> RawOrder {
    raw_order_in(record, asked, |text| answer.body.slice_ref(text.as_bytes()))
}

fn raw_order_in(record: &RawValue, asked: Option<&SourceOrderId>, keep: impl FnOnce(&str) -> Bytes) -> RawOrder {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Peek {
        source_order_id: SourceOrderId,
    }
    let peek = || serde_json::from_str(record.get()).ok().map(|peek: Peek| peek.source_order_id);
    RawOrder { source_order_id: asked.cloned().or_else(peek), body: keep(record.get()) }
}

fn says(answer: &Answer, status: StatusCode, code: &str) -> bool {
    answer.status == status && answer.problem().is_some_and(|problem| problem.code == code)
}

fn not_of_the_protocol(reason: &str) -> String {
    format!("the module sent an answer that is not of the protocol: {reason}")
}

/// What an answer to an action proves. Only a reply whose status and outcome agree is an outcome; only the protocol's
/// own error reply proves that the module refused before it acted.
fn classify(answer: &Answer, order: Option<&SourceOrderId>) -> ActionOutcome {
    let told = reply(answer, order);
    let status = answer.status.as_u16();
    match (status, told, answer.problem()) {
        (200, Ok((Outcome::Applied, outcome)), _)
        | (202, Ok((Outcome::Accepted, outcome)), _)
        | (409 | 422, Ok((Outcome::Rejected, outcome)), _) => outcome,
        (401 | 403 | 429, _, Some(problem)) => ActionOutcome::NotSent(problem.detail.unwrap_or(problem.title)),
        (503, _, Some(problem)) if answer.retry_after_s().is_some() => {
            ActionOutcome::NotSent(problem.detail.unwrap_or(problem.title))
        }
        // A request that was cut off (408) or that meets another under the same key (409) proves nothing about the
        // action.
        (408 | 409, _, Some(problem)) => ActionOutcome::Unknown(problem.detail.unwrap_or(problem.title)),
        (400..=499, _, Some(problem)) => ActionOutcome::Rejected(ActionError {
            code: problem.code,
            message: problem.detail.unwrap_or(problem.title),
            field: None,
            blockers: Vec::new(),
            current_version: None,
        }),
        (200 | 202 | 409 | 422, Ok(_), _) => {
            ActionOutcome::Unknown(format!("the module answered {status} with an outcome of another status"))
        }
        (200 | 202 | 409 | 422, Err(reason), _) => ActionOutcome::Unknown(not_of_the_protocol(&reason)),
        _ => ActionOutcome::Unknown(format!("the module answered {status}")),
    }
}

fn reply(answer: &Answer, order: Option<&SourceOrderId>) -> Result<(Outcome, ActionOutcome), String> {
    let reply: ActionReply<&RawValue> = answer.json()?;
    let outcome = match (reply.outcome, reply.error) {
        (Outcome::Applied, _) => ActionOutcome::Applied {
            order: reply.order.map(|record| raw_order(answer, record, order)),
            effects: reply.effects,
        },
        (Outcome::Accepted, _) => ActionOutcome::Accepted,
        (Outcome::Rejected, Some(error)) => ActionOutcome::Rejected(error),
        (Outcome::Rejected, None) => return Err("a REJECTED reply has no `error`".into()),
    };
    Ok((reply.outcome, outcome))
}

/// A verifier of this secret; none when it is malformed.
pub(crate) fn verifier(secret: &SecretString) -> Option<Webhook> {
    let text = secret.expose_secret();
    // 22 characters of base64 are the 16 bytes below which a secret can be guessed.
    let long_enough = text.strip_prefix("whsec_").unwrap_or(text).trim_end_matches('=').len() >= 22;
    Webhook::new(text).ok().filter(|_| long_enough)
}

/// Verifies a webhook over its raw bytes and answers its id. The crate's own `verify` reads the wall clock, so the
/// time stamp is checked here, against the clock the center was given, and the signature compared in constant time.
pub(crate) fn verified_id(
    webhooks: &[Webhook],
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<String, EventError> {
    if webhooks.is_empty() {
        return Err(EventError::NotConfigured);
    }
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(EventError::Signature);
    let (id, signatures) = (header(HEADER_WEBHOOK_ID)?, header(HEADER_WEBHOOK_SIGNATURE)?);
    let timestamp: i64 = header(HEADER_WEBHOOK_TIMESTAMP)?.parse().map_err(|_| EventError::Signature)?;
    let signed_at = DateTime::from_timestamp(timestamp, 0).ok_or(EventError::Signature)?;
    let fresh = (now - signed_at).abs() <= WEBHOOK_TOLERANCE;
    let signed = webhooks
        .iter()
        .filter_map(|webhook| webhook.sign(id, timestamp, body).ok())
        .any(|expected| signatures.split(' ').any(|signature| signature.as_bytes().ct_eq(expected.as_bytes()).into()));
    if fresh && signed { Ok(id.to_owned()) } else { Err(EventError::Signature) }
}

/// What a signed body tells. Events of other types are taken and forgotten, so that a module may add some.
fn event(id: &str, body: &[u8]) -> Result<SourceEvent, String> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        specversion: String,
        id: String,
        #[serde(rename = "type")]
        event_type: String,
        subject: Option<SourceOrderId>,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    let event: Envelope<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if !event.specversion.starts_with("1.") {
        return Err(format!("specversion is {:?}, not \"1.0\"", event.specversion));
    }
    if event.id != id {
        return Err("its id differs from the webhook-id header".into());
    }
    if event.event_type != ORDER_CHANGED {
        return Ok(SourceEvent::Ignored);
    }
    let subject = event.subject.ok_or("it has no subject: the order's id")?;
    Ok(match event.data {
        Some(record) => {
            SourceEvent::Restated(raw_order_in(record, Some(&subject), |text| Bytes::copy_from_slice(text.as_bytes())))
        }
        None => SourceEvent::Changed(subject),
    })
}
