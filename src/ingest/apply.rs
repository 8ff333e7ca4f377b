//! One transaction from raw orders to the index: normalize first, then store, quarantine and whatever must become
//! durable with them.

use std::borrow::Cow;

use futures_util::future::join_all;
use order_contract::{OrderId, SourceKey};

use super::{Ingest, IngestError, Ingested, quarantine};
use crate::database::{DatabaseError, Transaction, Value};
use crate::index::{Applied, Entry, Precondition, Via};
use crate::source::RawOrder;

/// How often a tie is read again before it is left to the next pass: only a source that changes an order without
/// changing its version, faster than it can be read, needs more.
const TIE_ROUNDS: u32 = 3;

/// A statement that becomes durable together with orders.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text, with placeholders `$1`, `$2`, …
    pub sql: Cow<'static, str>,
    /// The values of the placeholders.
    pub values: Vec<Value<'static>>,
}

impl Statement {
    /// A statement of fixed text.
    #[must_use]
    pub fn new(sql: &'static str, values: Vec<Value<'static>>) -> Self {
        Self { sql: Cow::Borrowed(sql), values }
    }

    async fn run(&self, transaction: &mut Transaction) -> Result<u64, DatabaseError> {
        transaction.execute(&self.sql, &self.values).await
    }
}

/// A raw order and the condition under which it may replace what is stored.
pub(crate) type Arrival = (RawOrder, Precondition);

impl Ingest {
    /// Normalizes and stores raw orders in one transaction; what cannot be normalized goes to quarantine in the same
    /// one. A tie is settled by reading the source again. `also` says, from the results, what becomes durable in the
    /// transaction that stores the last of them: a cursor, an inbox row or an operation.
    ///
    /// # Errors
    /// [`IngestError`]: `also` did not become durable. Some orders may be stored nevertheless (those beside a tie that
    /// could not be settled); applying the same input again is safe.
    pub async fn apply(
        &self,
        source: &SourceKey,
        raw: Vec<RawOrder>,
        via: Via,
        also: impl FnOnce(&[Ingested]) -> Vec<Statement> + Send,
    ) -> Result<Vec<Ingested>, IngestError> {
        let arrivals = raw.into_iter().map(|raw| (raw, Precondition::Newer)).collect();
        self.apply_under(source, arrivals, via, also).await
    }

    /// [`Self::apply`], each order under a condition of its own.
    ///
    /// # Errors
    /// [`IngestError`].
    pub(crate) async fn apply_under(
        &self,
        source: &SourceKey,
        arrivals: Vec<Arrival>,
        via: Via,
        also: impl FnOnce(&[Ingested]) -> Vec<Statement> + Send,
    ) -> Result<Vec<Ingested>, IngestError> {
        let plugged = self.source(source)?;
        let port = &plugged.port;
        let mut results: Vec<Option<Ingested>> = vec![None; arrivals.len()];
        let mut round: Vec<(usize, Arrival)> = arrivals.into_iter().enumerate().collect();
        let mut way = via;
        let mut rounds_left = TIE_ROUNDS;
        loop {
            // No transaction is open while the source normalizes: it may be another process.
            let normalized = join_all(round.iter().map(|(_, (raw, _))| port.normalize(raw))).await;
            let now = (self.clock)();
            let (mut entries, mut places, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
            for ((slot, (raw, precondition)), outcome) in round.into_iter().zip(normalized) {
                match outcome {
                    Ok(order) => {
                        let id = OrderId::new(source.clone(), order.snapshot.source_order_id.clone());
                        places.push((slot, id, order.snapshot.version));
                        let source = source.clone();
                        entries.push(Entry { source, order, raw: raw.body, via: way, observed_at: now, precondition });
                    }
                    Err(rejection) => {
                        results[slot] = Some(Ingested::Quarantined(rejection.clone()));
                        rejected.push((raw, rejection));
                    }
                }
            }

            let mut writer = self.index.writer().await.map_err(IngestError::Store)?;
            let applied = writer.apply(entries).await.map_err(IngestError::Store)?;
            let (mut ties, mut understood) = (Vec::new(), Vec::new());
            for ((slot, id, version), applied) in places.into_iter().zip(applied) {
                match applied {
                    Applied::Tie(held) => ties.push((slot, id.clone(), held)),
                    Applied::Stored => understood.push(id.source_order_id().clone()),
                    // A read is the source's present word even if it brought nothing new; a message may be an old one.
                    Applied::Stale if matches!(way, Via::Poll | Via::Fetch | Via::Reconcile) => {
                        understood.push(id.source_order_id().clone());
                    }
                    Applied::Stale => {}
                }
                results[slot] = Some(Ingested::Indexed { id, version, applied });
            }
            let record = |what| move |e| IngestError::Record(what, e);
            let transaction = writer.transaction();
            let opened = quarantine::open(transaction, source, &rejected, way, now)
                .await
                .map_err(record("quarantine an input"))?;
            let resolved = quarantine::resolve(transaction, source, &understood, now)
                .await
                .map_err(record("resolve quarantined inputs"))?;
            if ties.is_empty() || rounds_left == 0 {
                let results: Vec<Ingested> = results.into_iter().flatten().collect();
                for statement in also(&results) {
                    statement.run(writer.transaction()).await.map_err(record("record what came with the orders"))?;
                }
                writer.commit().await.map_err(IngestError::Store)?;
                count(source, via, &results);
                if opened + resolved > 0 {
                    self.measure_quarantine(source).await;
                }
                return Ok(results);
            }
            writer.commit().await.map_err(IngestError::Store)?;

            // The source is read after the stored content was seen, so what it says now is the later word.
            rounds_left -= 1;
            way = Via::Fetch;
            round = Vec::with_capacity(ties.len());
            for (slot, id, held) in ties {
                match self.fetch(source, id.source_order_id()).await? {
                    Some(raw) => round.push((slot, (raw, Precondition::NewerOrReplaces(held)))),
                    None => {
                        if let Some(Ingested::Indexed { applied, .. }) = &mut results[slot] {
                            *applied = Applied::Stale;
                        }
                    }
                }
            }
        }
    }
}

fn count(source: &SourceKey, via: Via, results: &[Ingested]) {
    for result in results {
        let result = match result {
            Ingested::Indexed { applied: Applied::Stored, .. } => "stored",
            Ingested::Indexed { applied: Applied::Stale, .. } => "stale",
            Ingested::Indexed { applied: Applied::Tie(_), .. } => "tie",
            Ingested::Quarantined(_) => "quarantined",
        };
        metrics::counter!(
            "ordercenter_ingested_orders_total",
            "source" => source.to_string(), "via" => via.as_str(), "result" => result
        )
        .increment(1);
    }
}
