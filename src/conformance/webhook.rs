//! The webhook check: a receiver that fails once, to see that nothing is lost by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use order_contract::OrderSnapshot;
use order_contract::protocol::{CloudEvent, ORDER_CHANGED};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::exchange::{Session, fresh_key, understood};
use super::report::{Check, Miss, Report, Seen, fail, skip};
use super::{ConformanceError, WebhookOptions};
use crate::source::protocol::{verified_id, verifier};

/// The largest event that is received.
const BODY_BYTES_MAX: usize = 8 << 20;

#[derive(Clone)]
struct Delivery {
    headers: HeaderMap,
    body: Bytes,
    at: DateTime<Utc>,
}

/// What the receiver has got, and whether it refuses the next event of an order to see it come again.
#[derive(Default)]
struct Received {
    deliveries: Vec<Delivery>,
    refuse_next: bool,
}

/// Listens for the webhooks of the module under check until it is dropped.
pub(super) struct Listener {
    received: Arc<Mutex<Received>>,
    secret: Webhook,
    serving: AbortHandle,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Listener {
    pub(super) async fn start(options: &WebhookOptions) -> Result<Self, ConformanceError> {
        let secret = verifier(&options.secret).ok_or(ConformanceError::WebhookSecret)?;
        let listening = TcpListener::bind(options.listen).await;
        let listener = listening.map_err(|error| ConformanceError::Listen(options.listen, error))?;
        let received: Arc<Mutex<Received>> = Arc::default();
        let keep = received.clone();
        let app = Router::new()
            .fallback(async move |headers: HeaderMap, body: Bytes| {
                let mut received = keep.lock().unwrap_or_else(PoisonError::into_inner);
                received.deliveries.push(Delivery { headers, body, at: Utc::now() });
                if std::mem::take(&mut received.refuse_next) {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::NO_CONTENT
                }
            })
            .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX));
        let serving = tokio::spawn(axum::serve(listener, app).into_future()).abort_handle();
        Ok(Self { received, secret, serving })
    }

    fn received(&self) -> std::sync::MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads every delivery as the center would.
    fn events(&self) -> Result<Vec<(String, CloudEvent<Value>)>, Miss> {
        let deliveries = self.received().deliveries.clone();
        deliveries.iter().map(|delivery| self.event(delivery)).collect()
    }

    fn event(&self, delivery: &Delivery) -> Result<(String, CloudEvent<Value>), Miss> {
        let Delivery { headers, body, at } = delivery;
        let Ok(id) = verified_id(std::slice::from_ref(&self.secret), headers, body, *at) else {
            return fail("an event came whose signature does not verify");
        };
        let event: CloudEvent<Value> = match serde_json::from_slice(body) {
            Ok(event) => event,
            Err(error) => return fail(format!("an event came that is not a CloudEvent: {error}")),
        };
        if event.specversion != "1.0" || event.id != id {
            return fail(format!("event {id} has specversion {:?} and id {:?}", event.specversion, event.id));
        }
        Ok((id, event))
    }
}

impl Session {
    pub(super) async fn check_webhooks(&mut self, report: &mut Report, listener: Option<&Listener>) {
        report.record(
            Check {
                id: "webhook",
                section: "§10",
                demand: "each change is told by a signed CloudEvent that restates the whole order",
                fix: "sign `id.timestamp.body` as Standard Webhooks says; put the whole order in `data`",
            },
            self.webhook_restates(listener).await,
        );
        report.record(
            Check {
                id: "webhook-repeated",
                section: "§10",
                demand: "an event that was not answered with 2xx comes again under the same id, with a new time stamp",
                fix: "keep events in an outbox until they are answered; keep the id, sign each attempt anew",
            },
            self.webhook_repeated(listener).await,
        );
    }

    async fn webhook_restates(&mut self, listener: Option<&Listener>) -> Seen {
        let listener = self.listening(listener)?;
        let (_, order) = self.new_order(&fresh_key()).await?;
        let deadline = Instant::now() + self.options.patience;
        loop {
            let events = listener.events()?;
            if let Some((id, event)) = about(&events, &order) {
                let restated = understood(&event.data)?;
                if restated.source_order_id.as_str() != event.subject {
                    return fail(format!(
                        "event {id} has subject {} and order {}",
                        event.subject, restated.source_order_id
                    ));
                }
                if restated.version >= order.version {
                    return Ok(format!("{} events; order {} came as {id}", events.len(), event.subject));
                }
            }
            if Instant::now() > deadline {
                return fail(format!(
                    "no event about order {} after {:?}",
                    order.source_order_id, self.options.patience
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn webhook_repeated(&mut self, listener: Option<&Listener>) -> Seen {
        let listener = self.listening(listener)?;
        // What is still under way must not be taken for the event that is refused.
        tokio::time::sleep(Duration::from_millis(500)).await;
        listener.received().refuse_next = true;
        let (_, order) = self.new_order(&fresh_key()).await?;
        let deadline = Instant::now() + self.options.patience;
        loop {
            let events = listener.events()?;
            let ids: Vec<&String> =
                events.iter().filter(|(_, e)| e.subject == order.source_order_id.as_str()).map(|(id, _)| id).collect();
            match ids.as_slice() {
                [first, second, ..] if first == second => return Ok(format!("{first} came again")),
                [first, second, ..] => return fail(format!("{first} was refused and came again as {second}")),
                _ => {}
            }
            if Instant::now() > deadline {
                return fail(format!(
                    "{} deliveries after {:?}; the refused event did not come again",
                    ids.len(),
                    self.options.patience
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn listening<'a>(&self, listener: Option<&'a Listener>) -> Result<&'a Listener, Miss> {
        match listener {
            _ if self.options.read_only => skip("read-only run"),
            Some(listener) => self.capable(|c| c.webhooks, "webhooks").map(|()| listener),
            None => skip("no address for webhooks was given"),
        }
    }
}

fn about<'a>(
    events: &'a [(String, CloudEvent<Value>)],
    order: &OrderSnapshot,
) -> Option<&'a (String, CloudEvent<Value>)> {
    events.iter().rev().find(|(_, e)| e.event_type == ORDER_CHANGED && e.subject == order.source_order_id.as_str())
}
