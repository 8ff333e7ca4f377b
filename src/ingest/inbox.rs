//! Webhooks: verified on their raw bytes, durable before they are acknowledged, applied by a worker of their source.
//!
//! RECEIVED → APPLIED | QUARANTINED, or FAILED after the last try: polling still brings the order, and the failure is
//! shown. Applying is safe to repeat, so a claim that runs out (its node died) needs no more than another try.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use order_contract::{OrderId, SourceKey, SourceOrderId};
use tokio_util::sync::CancellationToken;

use super::apply::Arrival;
use super::{Ingest, IngestError, Ingested, Statement, WebhookReceipt, backoff, micros};
use crate::database::{DatabaseError, Row, Value};
use crate::index::{Precondition, Via};
use crate::source::{EventError, RawOrder, SourceEvent};

/// Webhooks of one transaction.
const BATCH: i64 = 100;
/// Orders read at once after webhooks that only announce a change.
const FETCHES: usize = 8;
/// First pause before a webhook is tried again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// How often the inbox is looked at without being woken: for retries, and for what a dead node left.
const LOOK: Duration = Duration::from_secs(1);
/// How long applied webhooks are remembered: longer than any sender repeats one.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often older ones are removed.
const PURGE: Duration = Duration::from_secs(3600);

/// One claimed webhook.
struct Pending {
    id: String,
    order: Option<SourceOrderId>,
    /// The restated order; none when the webhook only announces a change.
    restated: Option<Bytes>,
    /// Tries, with this one.
    attempts: u32,
}

impl Pending {
    fn read(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.text(0)?,
            order: row.opt_text(1)?.and_then(|id| SourceOrderId::try_new(id).ok()),
            restated: row.opt_bytes(2)?.map(Bytes::from),
            attempts: u32::try_from(row.int(3)?).unwrap_or(u32::MAX),
        })
    }
}

impl Ingest {
    /// Verifies a webhook and stores it durably; returns before it is applied.
    ///
    /// # Errors
    /// [`IngestError::Event`] when it is not to be trusted: nothing was stored.
    pub async fn receive_webhook(
        &self,
        source: &SourceKey,
        headers: &http::HeaderMap,
        body: Bytes,
    ) -> Result<WebhookReceipt, IngestError> {
        let now = (self.clock)();
        let (id, event) = self.source(source)?.port.parse_event(headers, &body, now).map_err(|error| {
            let reason = match error {
                EventError::NotConfigured => "not_configured",
                EventError::Unplugged => "not_connected",
                EventError::Signature => "signature",
                EventError::Stopped(_) => "stopped",
                EventError::Malformed(_) => "malformed",
            };
            metrics::counter!(
                "ordercenter_webhook_rejected_total", "source" => source.to_string(), "reason" => reason
            )
            .increment(1);
            IngestError::Event(error)
        })?;
        let (order, restated) = match event {
            SourceEvent::Restated(raw) => (raw.source_order_id, Some(raw.body)),
            SourceEvent::Changed(order) => (Some(order), None),
            SourceEvent::Ignored => return Ok(WebhookReceipt::Ignored),
        };
        // A sender that repeats a webhook which failed here gives it another round of tries.
        let sql = "insert into webhook_inbox (source, webhook_id, source_order_id, body, received_at, state, next_at) \
                   values ($1, $2, $3, $4, $5, 'RECEIVED', $5) \
                   on conflict (source, webhook_id) do update set state = 'RECEIVED', attempts = 0, \
                   next_at = excluded.next_at where webhook_inbox.state = 'FAILED'";
        let values = [
            source.as_str().into(),
            id.into(),
            Value::from(order.as_ref().map(SourceOrderId::as_str)),
            Value::from(restated.as_deref()),
            now.timestamp_micros().into(),
        ];
        let stored = self.database.execute(sql, &values).await;
        if stored.map_err(|e| IngestError::Record("store a webhook", e))? == 0 {
            return Ok(WebhookReceipt::Repeated);
        }
        self.door(source).webhook.notify_one();
        Ok(WebhookReceipt::Stored)
    }

    /// Applies the source's webhooks as they come until canceled.
    pub(super) async fn work_inbox(self, source: SourceKey, shutdown: CancellationToken) {
        let door = self.door(&source);
        let mut purged = tokio::time::Instant::now();
        loop {
            let more = tokio::select! {
                () = shutdown.cancelled() => return,
                done = self.apply_inbox(&source) => done.unwrap_or_else(|error| {
                    tracing::warn!(%source, error = &error as &dyn std::error::Error, "applying webhooks failed");
                    false
                }),
            };
            if more {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = door.webhook.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            if purged.elapsed() > PURGE {
                purged = tokio::time::Instant::now();
                let sql = "delete from webhook_inbox where source = $1 and state = 'APPLIED' and received_at < $2";
                let before = (self.clock)().timestamp_micros() - micros(KEPT);
                // What could not be removed now is removed in an hour.
                let _ = self.database.execute(sql, &[source.as_str().into(), before.into()]).await;
            }
        }
    }

    /// Applies the webhooks that are due and says whether there may be more.
    async fn apply_inbox(&self, source: &SourceKey) -> Result<bool, IngestError> {
        let pending = self.claim(source).await?;
        let more = i64::try_from(pending.len()).is_ok_and(|claimed| claimed == BATCH);
        // Claimed more often than it was put off: the node that tried it last died over it.
        let (spent, pending): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|webhook| webhook.attempts > self.limits.webhook_attempts_max);
        self.put_off(source, &spent, "every try to apply it was interrupted", Duration::ZERO).await?;
        let (restated, announced): (Vec<_>, Vec<_>) = pending.into_iter().partition(|p| p.restated.is_some());
        let mut arrivals: Vec<(Vec<Pending>, Arrival)> = Vec::new();
        for mut webhook in restated {
            let body = webhook.restated.take().unwrap_or_default();
            let raw = RawOrder { source_order_id: webhook.order.clone(), body };
            arrivals.push((vec![webhook], (raw, Precondition::Newer)));
        }
        // However many webhooks announce an order, it is read once.
        let mut by_order: BTreeMap<SourceOrderId, Vec<Pending>> = BTreeMap::new();
        for webhook in announced {
            if let Some(order) = webhook.order.clone() {
                by_order.entry(order).or_default().push(webhook);
            }
        }
        let mut reads = stream::iter(by_order)
            .map(|(order, webhooks)| async move {
                let id = OrderId::new(source.clone(), order);
                (webhooks, self.read_one(&id).await)
            })
            .buffer_unordered(FETCHES);
        let mut gone = Vec::new();
        while let Some((webhooks, read)) = reads.next().await {
            match read {
                Ok(Some(arrival)) => arrivals.push((webhooks, arrival)),
                Ok(None) => gone.extend(webhooks),
                Err(error) => {
                    let at_least = error.retry_after().unwrap_or_default();
                    self.put_off(source, &webhooks, &error.sentence(), at_least).await?;
                }
            }
        }
        drop(reads);

        let (webhooks, arrivals): (Vec<_>, Vec<_>) = arrivals.into_iter().unzip();
        let applied = self.apply_under(source, arrivals, Via::Webhook, |results| {
            let ends = webhooks.iter().zip(results).map(|(webhooks, result)| match result {
                Ingested::Indexed { .. } => (webhooks, "APPLIED"),
                Ingested::Quarantined(_) => (webhooks, "QUARANTINED"),
            });
            let ends = ends.flat_map(|(webhooks, state)| webhooks.iter().map(move |webhook| (webhook, state)));
            ends.chain(gone.iter().map(|webhook| (webhook, "APPLIED")))
                .map(|(webhook, state)| {
                    let sql = "update webhook_inbox set state = $1, error = null where source = $2 and webhook_id = $3";
                    Statement::new(sql, vec![state.into(), source.to_string().into(), webhook.id.clone().into()])
                })
                .collect()
        });
        if let Err(error) = applied.await {
            let webhooks: Vec<Pending> = webhooks.into_iter().flatten().chain(gone).collect();
            self.put_off(source, &webhooks, &error.sentence(), error.retry_after().unwrap_or_default()).await?;
            return Err(error);
        }
        Ok(more)
    }

    /// Takes the webhooks that are due, so that no other node does while this one lives. Each claim counts as a try:
    /// a webhook that kills its node is not tried forever.
    async fn claim(&self, source: &SourceKey) -> Result<Vec<Pending>, IngestError> {
        let claim_error = |e| IngestError::Record("read the webhook inbox", e);
        let now = (self.clock)().timestamp_micros();
        let due = "select 1 from webhook_inbox where source = $1 and state = 'RECEIVED' and next_at <= $2 limit 1";
        let values = [source.as_str().into(), now.into()];
        if self.database.fetch_optional(due, &values).await.map_err(claim_error)?.is_none() {
            return Ok(Vec::new());
        }
        let sql = "update webhook_inbox set attempts = attempts + 1, next_at = $3 \
                   where source = $1 and state = 'RECEIVED' and next_at <= $2 and webhook_id in \
                   (select webhook_id from webhook_inbox where source = $1 and state = 'RECEIVED' and next_at <= $2 \
                    order by next_at limit $4) \
                   returning webhook_id, source_order_id, body, attempts";
        let until = now + micros(self.limits.lease);
        let values = [source.as_str().into(), now.into(), until.into(), BATCH.into()];
        let mut transaction = self.database.begin().await.map_err(claim_error)?;
        let rows = transaction.fetch_all(sql, &values).await.map_err(claim_error)?;
        transaction.commit().await.map_err(claim_error)?;
        rows.iter().map(Pending::read).collect::<Result<_, _>>().map_err(claim_error)
    }

    /// Tries webhooks again later, or gives them up to polling after the last try.
    async fn put_off(
        &self,
        source: &SourceKey,
        webhooks: &[Pending],
        why: &str,
        at_least: Duration,
    ) -> Result<(), IngestError> {
        if webhooks.is_empty() {
            return Ok(());
        }
        let record = |e| IngestError::Record("put a webhook off", e);
        let now = (self.clock)().timestamp_micros();
        let mut transaction = self.database.begin().await.map_err(record)?;
        for webhook in webhooks {
            let state = if webhook.attempts >= self.limits.webhook_attempts_max { "FAILED" } else { "RECEIVED" };
            let pause = backoff(RETRY.0, webhook.attempts.saturating_sub(1), RETRY.1).max(at_least);
            let sql = "update webhook_inbox set state = $1, next_at = $2, error = $3 \
                       where source = $4 and webhook_id = $5 and state = 'RECEIVED'";
            let values = [
                state.into(),
                (now + micros(pause)).into(),
                why.into(),
                source.as_str().into(),
                webhook.id.as_str().into(),
            ];
            transaction.execute(sql, &values).await.map_err(record)?;
        }
        transaction.commit().await.map_err(record)
    }
}
