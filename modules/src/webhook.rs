//! Webhooks: tells whoever listens that an order changed, by restating it.
//!
//! It owns the delivery of what the outbox holds: signed (Standard Webhooks), retried with growing pauses under the
//! same id, given up after a limit. It refuses redirects, which would send orders elsewhere. What is given up is not
//! lost: the list of changes has it.

use std::time::Duration;

use futures_util::future::join_all;
use order_contract::protocol::{CloudEvent, ORDER_CHANGED};
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::module::time;
use crate::store::{Due, Store, StoreError};

/// The longest a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where webhooks go.
#[derive(Clone, Debug)]
pub struct WebhookTarget {
    /// The receiver.
    pub url: String,
    /// The shared secret: base64, with or without `whsec_` before it.
    pub secret: SecretString,
}

/// How a webhook is tried again: after `first`, then after twice as long each time, at most `longest`.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How often at most; then the event is dropped, with a warning.
    pub attempts: u32,
}

impl Default for Retry {
    /// From one second to an hour, 40 times: more than a day.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(3600), attempts: 40 }
    }
}

impl Retry {
    fn pause(&self, failed: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failed.min(30))).min(self.longest)
    }
}

pub(crate) struct Courier {
    client: reqwest::Client,
    url: reqwest::Url,
    signer: Webhook,
    retry: Retry,
    /// Who says so.
    source: String,
    wake: Notify,
}

impl Courier {
    pub(crate) fn new(target: &WebhookTarget, retry: Retry, module: &str) -> Result<Self, String> {
        // A second installation is refused and changes nothing: the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = reqwest::Url::parse(&target.url).map_err(|e| e.to_string())?;
        let signer = Webhook::new(target.secret.expose_secret()).map_err(|_| "the secret is not base64".to_owned())?;
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self { client, url, signer, retry, source: format!("/modules/{module}"), wake: Notify::new() })
    }

    /// There is something new to send.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Sends what is due until `stop` is canceled.
    pub(crate) async fn run(&self, store: &Store, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.send_due(store).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the outbox could not be read");
                    self.retry.first
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Sends one batch and answers how long nothing will be due.
    async fn send_due(&self, store: &Store) -> Result<Duration, StoreError> {
        let (due, next) = store.due_events().await?;
        if due.is_empty() {
            let wait = next.map_or(i64::MAX, |next| (next - store.now()).max(0));
            return Ok(Duration::from_micros(u64::try_from(wait).unwrap_or(0)).min(Duration::from_secs(60)));
        }
        let sent = join_all(due.iter().map(|event| self.send(event, store.now()))).await;
        for (event, sent) in due.iter().zip(sent) {
            let Err(reason) = sent else {
                store.event_done(&event.event_id).await?;
                continue;
            };
            let failed = u32::try_from(event.attempts).unwrap_or(u32::MAX);
            if failed.saturating_add(1) >= self.retry.attempts {
                tracing::warn!(order = event.order_id, %reason, "a webhook is given up; the list of changes has the order");
                store.event_done(&event.event_id).await?;
            } else {
                tracing::debug!(order = event.order_id, %reason, "a webhook will be tried again");
                let pause = i64::try_from(self.retry.pause(failed).as_micros()).unwrap_or(i64::MAX);
                store.event_failed(&event.event_id, store.now().saturating_add(pause)).await?;
            }
        }
        Ok(Duration::ZERO)
    }

    async fn send(&self, due: &Due, now: i64) -> Result<(), String> {
        let event = CloudEvent {
            specversion: "1.0".into(),
            id: due.event_id.clone(),
            source: self.source.clone(),
            event_type: ORDER_CHANGED.into(),
            subject: due.order_id.clone(),
            time: time(due.changed_at),
            datacontenttype: "application/json".into(),
            data: RawValue::from_string(due.document.clone()).map_err(|e| e.to_string())?,
        };
        let body = serde_json::to_vec(&event).map_err(|e| e.to_string())?;
        let seconds = time(now).timestamp();
        let signature = self.signer.sign(&due.event_id, seconds, &body).map_err(|e| e.to_string())?;
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/cloudevents+json")
            .header(HEADER_WEBHOOK_ID, &due.event_id)
            .header(HEADER_WEBHOOK_TIMESTAMP, seconds)
            .header(HEADER_WEBHOOK_SIGNATURE, signature)
            .body(body);
        // The error without its URL: a target may carry a secret in its path.
        let response = request.send().await.map_err(|e| e.without_url().to_string())?;
        if response.status().is_success() { Ok(()) } else { Err(response.status().to_string()) }
    }
}
