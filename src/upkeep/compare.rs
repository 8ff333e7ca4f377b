//! Backfill and reconciliation: a source's list read once more beside the polling.
//!
//! A reconciliation remembers which orders it met. What the index has beyond them is asked for one by one, and only the
//! source's own word that it does not have an order deletes it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use order_contract::OrderId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Upkeep, UpkeepError};
use crate::catalog::{Run, RunKind};
use crate::database::{Dialect, Value};
use crate::index::{Applied, Held, Via};
use crate::ingest::{IngestError, Ingested, Statement};
use crate::source::{ChangeWindow, SourceError};

/// Orders of the index that are asked for in one step.
const LOOKED_UP: i64 = 50;

/// Where a comparison stands.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Position {
    /// The upper bound, by the source's clock, once it said so.
    until: Option<DateTime<Utc>>,
    /// The source's next page.
    page: Option<String>,
    /// The list was read; now the orders behind this one are looked up that the index has and the list had not.
    after: Option<String>,
}

/// What a comparison found and repaired.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Report {
    /// Orders that the source listed.
    read: u64,
    /// That the index did not have.
    missing: u64,
    /// That the index had older, or otherwise.
    stale: u64,
    /// That the source no longer has.
    deleted: u64,
    /// That could not be understood.
    quarantined: u64,
}

impl Upkeep {
    /// Compares one page; answers whether that was the last.
    pub(super) async fn compare_step(&self, run: &mut Run) -> Result<bool, UpkeepError> {
        let position: Position = stored(run.position.as_ref());
        let report: Report = stored(run.report.as_ref());
        match &position.after {
            None => self.compare_page(run, position, report).await,
            Some(_) => self.look_up(run, position, report).await,
        }
    }

    async fn compare_page(&self, run: &mut Run, mut at: Position, mut report: Report) -> Result<bool, UpkeepError> {
        let source = run.source.clone();
        let plugged = self.ingest.source(&source)?;
        let largest = self.ingest.asking(&source, plugged.port.describe()).await?.page_size_max;
        let window = ChangeWindow {
            since: run.request.since,
            until: at.until.or(run.request.until),
            page: at.page.clone(),
            limit: self.ingest.page_size().min(largest),
        };
        let page = match self.ingest.asking(&source, plugged.port.list_changes(&window)).await {
            // The source no longer takes this page: the list begins again. What was met, was met.
            Err(error @ IngestError::Read(SourceError::Status(_, 400 | 404 | 410 | 422))) if at.page.is_some() => {
                at.page = None;
                let position = json!(at);
                self.catalog.note_progress(run, &position, &json!(report)).await?;
                run.position = Some(position);
                return Err(error.into());
            }
            page => page?,
        };
        if page.next.is_some() && page.next == window.page {
            let reason = "the next page is the same page again".into();
            return Err(IngestError::Read(SourceError::Malformed { source_key: source, reason }).into());
        }
        let until = at.until.unwrap_or(page.until);
        // A source without a clock of its own knows only at the end how far it has come.
        at.until = Some(if page.next.is_none() { until.min(page.until) } else { until });
        at.page = page.next;
        let reconciles = run.kind == RunKind::Reconcile;
        let listed_all = at.page.is_none();
        if listed_all && reconciles {
            at.after = Some(String::new());
        }
        let met: Vec<OrderId> = page
            .orders
            .iter()
            .filter_map(|raw| Some(OrderId::new(source.clone(), raw.source_order_id.clone()?)))
            .collect();
        let known = self.ingest.index().held_of(&met).await.map_err(UpkeepError::Index)?;
        let read = page.orders.len() as u64;
        let before = report;
        let via = if reconciles { Via::Reconcile } else { Via::Poll };
        self.ingest
            .apply(&source, page.orders, via, |results| {
                report.read += read;
                count(&mut report, results, &known);
                let position = json!(at);
                let seen = reconciles.then(|| self.seen(&run.id, &met));
                run.report = Some(json!(report));
                let progress = self.catalog.progress(run, &position, &json!(report));
                run.position = Some(position);
                seen.into_iter().chain([progress]).collect()
            })
            .await?;
        if reconciles {
            measure(run, &before, &report);
        }
        Ok(listed_all && !reconciles)
    }

    /// Asks for orders that the index has within the range and the list had not.
    async fn look_up(&self, run: &mut Run, mut at: Position, mut report: Report) -> Result<bool, UpkeepError> {
        let after = at.after.clone().unwrap_or_default();
        let before = report;
        let ids = self.unmet(run, &after, at.until).await?;
        let last = ids.len() < usize::try_from(LOOKED_UP).unwrap_or_default();
        for id in ids {
            let held = self.ingest.index().held(&id).await.map_err(UpkeepError::Index)?;
            let now = self.ingest.refresh(&id).await?;
            match (held, now) {
                (Some(_), None) => report.deleted += 1,
                (Some(held), Some(now)) if now.content_hash != held.content_hash => report.stale += 1,
                _ => {}
            }
            at.after = Some(id.to_string());
        }
        measure(run, &before, &report);
        let (position, report) = (json!(at), json!(report));
        self.catalog.note_progress(run, &position, &report).await?;
        (run.position, run.report) = (Some(position), Some(report));
        Ok(last)
    }

    async fn unmet(&self, run: &Run, after: &str, until: Option<DateTime<Utc>>) -> Result<Vec<OrderId>, UpkeepError> {
        let read = |e| UpkeepError::Database("read which orders a list had not", e);
        let (first, end) = crate::index::id_range(&run.source);
        let micros = |time: Option<DateTime<Utc>>, or: i64| time.map_or(or, |time| time.timestamp_micros());
        let sql = "select order_id from orders where order_id > $1 and order_id < $2 \
                   and updated_at >= $3 and updated_at < $4 and not exists \
                   (select 1 from source_run_seen s where s.run_id = $5 and s.order_id = orders.order_id) \
                   order by order_id limit $6";
        let values = [
            Value::from(if after.is_empty() { first.as_str() } else { after }),
            end.as_str().into(),
            micros(run.request.since, i64::MIN).into(),
            micros(until, i64::MAX).into(),
            run.id.as_str().into(),
            LOOKED_UP.into(),
        ];
        let rows = self.database.fetch_all(sql, &values).await.map_err(read)?;
        let texts = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>().map_err(read)?;
        Ok(texts.iter().filter_map(|text| OrderId::parse(text).ok()).collect())
    }

    /// Remembers the orders that a list had.
    fn seen(&self, run: &str, met: &[OrderId]) -> Statement {
        let sql = match self.database.dialect() {
            Dialect::Sqlite => {
                "insert into source_run_seen (run_id, order_id) select $1, value from json_each($2) where true \
                 on conflict (run_id, order_id) do nothing"
            }
            Dialect::Postgres => {
                "insert into source_run_seen (run_id, order_id) select distinct $1, id from unnest($2) as met (id) \
                 on conflict (run_id, order_id) do nothing"
            }
        };
        let met = met.iter().map(OrderId::to_string).collect();
        Statement::new(sql, vec![run.to_owned().into(), Value::Texts(met)])
    }
}

/// Shows what a comparison found to be otherwise, as it finds it.
fn measure(run: &Run, before: &Report, now: &Report) {
    for (kind, before, now) in [
        ("missing", before.missing, now.missing),
        ("stale", before.stale, now.stale),
        ("deleted", before.deleted, now.deleted),
    ] {
        metrics::counter!("ordercenter_drift_total", "source" => run.source.to_string(), "kind" => kind)
            .increment(now.saturating_sub(before));
    }
}

fn count(report: &mut Report, results: &[Ingested], known: &HashMap<OrderId, Held>) {
    for result in results {
        match result {
            Ingested::Indexed { id, applied: Applied::Stored, .. } if known.contains_key(id) => report.stale += 1,
            Ingested::Indexed { applied: Applied::Stored, .. } => report.missing += 1,
            Ingested::Indexed { .. } => {}
            Ingested::Quarantined(_) => report.quarantined += 1,
        }
    }
}

/// What a run stored of its progress; from the beginning where there is nothing, or another program's.
pub(super) fn stored<T: serde::de::DeserializeOwned + Default>(json: Option<&serde_json::Value>) -> T {
    json.and_then(|json| serde_json::from_value(json.clone()).ok()).unwrap_or_default()
}
