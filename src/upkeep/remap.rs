//! Mapping stored orders anew from what their source sent: as a trial that only tells, or for good.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use order_contract::{OrderId, Rejection};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::compare::stored;
use super::diff::diff;
use super::{Upkeep, UpkeepError};
use crate::catalog::Run;
use crate::index::{Applied, Precondition, StoredOrder, Via};
use crate::ingest::{IngestError, Ingested};
use crate::source::{OrderSource, RawOrder};

/// Orders of one step.
const BATCH: u32 = 100;
/// Fields and rules that a report tells apart; more are counted together.
const KINDS_MAX: usize = 100;
/// Examples of each.
const EXAMPLES_MAX: usize = 3;
/// Characters of a value in an example.
const VALUE_MAX: usize = 200;
/// Quarantined inputs that a trial tries.
const QUARANTINED_MAX: u32 = 500;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// The last order that was mapped.
    after: String,
}

/// What mapping anew changes, or would.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Report {
    /// Orders that were mapped.
    orders: u64,
    /// That came out otherwise.
    changed: u64,
    /// That were refused: what is stored of them stays.
    rejected: u64,
    /// Fields that came out otherwise, of a trial.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, Tally>,
    /// Rules that were broken, of a trial.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rules: BTreeMap<String, Tally>,
    /// Quarantined inputs that were tried again, once the orders are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined: Option<u64>,
    /// And are understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    understood: Option<u64>,
}

/// How many orders, and the first of them.
#[derive(Default, Serialize, Deserialize)]
struct Tally {
    orders: u64,
    examples: Vec<Value>,
}

impl Upkeep {
    /// Maps some stored orders anew and stores what came out; answers whether all are done and what was quarantined was
    /// tried again.
    pub(super) async fn remap_step(&self, run: &mut Run) -> Result<bool, UpkeepError> {
        let (mut at, mut report): (Position, Report) = (stored(run.position.as_ref()), stored(run.report.as_ref()));
        // A source that is not connected has no mapping: every order would be refused.
        let source = self.ingest.source(&run.source)?;
        source.port.describe().await.map_err(IngestError::Read)?;
        let wanted = self.catalog.mapped_by(&run.source).await?;
        if wanted.is_some_and(|wanted| wanted != source.mapping && !source.mapping.is_empty()) {
            return Err(UpkeepError::OtherMapping(run.source.clone()));
        }
        let orders = self.stored_orders(run, &at).await?;
        let Some(last) = orders.last() else {
            let open = self.ingest.sync_state(&run.source).await?.quarantined;
            report.quarantined = Some(open);
            report.understood = Some(self.ingest.replay_quarantine(&run.source, &[]).await?);
            self.note(run, &at, &report).await?;
            return Ok(true);
        };
        at.after = last.id.to_string();
        report.orders += orders.len() as u64;
        let arrivals = orders.into_iter().map(|order| {
            // Under the version it has: only if nothing newer came in meanwhile.
            let precondition = Precondition::NewerOrReplaces(order.held.content_hash);
            (raw(order.id, order.raw), precondition)
        });
        self.ingest
            .apply_under(&run.source.clone(), arrivals.collect(), Via::Replay, |results| {
                for result in results {
                    match result {
                        Ingested::Indexed { applied: Applied::Stored, .. } => report.changed += 1,
                        Ingested::Indexed { .. } => {}
                        Ingested::Quarantined(_) => report.rejected += 1,
                    }
                }
                let (position, report) = (json!(at), json!(report));
                let progress = self.catalog.progress(run, &position, &report);
                (run.position, run.report) = (Some(position), Some(report));
                vec![progress]
            })
            .await?;
        Ok(false)
    }

    /// Maps some stored orders with the candidate and tells what differs; answers whether all are done.
    pub(super) async fn trial_step(&self, run: &mut Run) -> Result<bool, UpkeepError> {
        let (mut at, mut report): (Position, Report) = (stored(run.position.as_ref()), stored(run.report.as_ref()));
        let port = self.catalog.candidate(&run.source, &run.request).await?;
        let orders = self.stored_orders(run, &at).await?;
        let Some(last) = orders.last() else {
            let (tried, understood) = self.try_quarantined(run, &*port).await?;
            (report.quarantined, report.understood) = (Some(tried), Some(understood));
            self.note(run, &at, &report).await?;
            return Ok(true);
        };
        at.after = last.id.to_string();
        let inputs: Vec<RawOrder> = orders.iter().map(|order| raw(order.id.clone(), order.raw.clone())).collect();
        let mapped = join_all(inputs.iter().map(|input| port.normalize(input))).await;
        for (order, mapped) in orders.iter().zip(mapped) {
            report.orders += 1;
            match mapped {
                Ok(mapped) => report.compare(order, &json!(mapped.snapshot)),
                Err(rejection) => report.reject(&order.id, &rejection),
            }
        }
        self.note(run, &at, &report).await?;
        Ok(false)
    }

    async fn stored_orders(&self, run: &Run, at: &Position) -> Result<Vec<StoredOrder>, UpkeepError> {
        self.ingest.index().stored_after(&run.source, &at.after, BATCH).await.map_err(UpkeepError::Index)
    }

    async fn note(&self, run: &mut Run, at: &Position, report: &Report) -> Result<(), UpkeepError> {
        let (position, report) = (json!(at), json!(report));
        self.catalog.note_progress(run, &position, &report).await?;
        (run.position, run.report) = (Some(position), Some(report));
        Ok(())
    }

    async fn try_quarantined(&self, run: &Run, port: &dyn OrderSource) -> Result<(u64, u64), UpkeepError> {
        let open = self.ingest.quarantined(Some(&run.source), true, None, QUARANTINED_MAX).await?;
        let inputs: Vec<RawOrder> = open
            .into_iter()
            .map(|record| RawOrder { source_order_id: record.source_order_id, body: record.input })
            .collect();
        let mapped = join_all(inputs.iter().map(|input| port.normalize(input))).await;
        Ok((inputs.len() as u64, mapped.iter().filter(|mapped| mapped.is_ok()).count() as u64))
    }
}

fn raw(id: OrderId, body: Vec<u8>) -> RawOrder {
    RawOrder { source_order_id: Some(id.source_order_id().clone()), body: body.into() }
}

impl Report {
    fn compare(&mut self, order: &StoredOrder, after: &Value) {
        let before: Value = serde_json::from_str(&order.document).unwrap_or_default();
        let differences = diff(&before, after);
        self.changed += u64::from(!differences.is_empty());
        let mut counted = std::collections::BTreeSet::new();
        for difference in differences {
            let example = json!({
                "order": order.id.to_string(), "path": difference.path,
                "before": difference.before.map(shortened), "after": difference.after.map(shortened),
            });
            let first = counted.insert(difference.field.clone());
            tally(&mut self.fields, difference.field, first, example);
        }
    }

    fn reject(&mut self, order: &OrderId, rejection: &Rejection) {
        self.rejected += 1;
        let value = shortened(Value::from(rejection.value.as_str()));
        let example = json!({ "order": order.to_string(), "path": rejection.path, "value": value });
        tally(&mut self.rules, rejection.rule.clone(), true, example);
    }
}

/// Counts an order once under a kind, and keeps the first examples.
fn tally(kinds: &mut BTreeMap<String, Tally>, kind: String, first: bool, example: Value) {
    let kind = if kinds.len() < KINDS_MAX || kinds.contains_key(&kind) { kind } else { "(more)".to_owned() };
    let tally = kinds.entry(kind).or_default();
    tally.orders += u64::from(first);
    if first && tally.examples.len() < EXAMPLES_MAX {
        tally.examples.push(example);
    }
}

fn shortened(value: Value) -> Value {
    let text = match &value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) => return value,
    };
    if text.chars().count() <= VALUE_MAX {
        value
    } else {
        text.chars().take(VALUE_MAX).chain(['…']).collect::<String>().into()
    }
}
