//! Inputs that could not be normalized: kept whole with the reason, shown, and tried again after a mapping fix.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use order_contract::{Rejection, SourceKey, SourceOrderId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Ingest, IngestError, Ingested, QuarantineRecord, Statement, time};
use crate::database::{Batch, Column, DatabaseError, Row, Transaction, Value};
use crate::index::Via;
use crate::source::RawOrder;

/// Inputs of one replay transaction.
const REPLAY_BATCH: u32 = 100;

const COLUMNS: &str =
    "id, source, source_order_id, via, received_at, seen, input, path, value, rule, state, resolved_at";

/// Records inputs that were refused and returns how many. The same input is one record however often it comes, and it
/// is open again when it comes again: only an operator's DISCARDED is the last word on an input.
pub(super) async fn open(
    transaction: &mut Transaction,
    source: &SourceKey,
    rejected: &[(RawOrder, Rejection)],
    via: Via,
    now: DateTime<Utc>,
) -> Result<usize, DatabaseError> {
    if rejected.is_empty() {
        return Ok(0);
    }
    // One statement may not touch a row twice, so repetitions within the batch are counted here.
    let mut distinct: BTreeMap<(String, String), (i64, &RawOrder, &Rejection)> = BTreeMap::new();
    for (raw, rejection) in rejected {
        let order = raw.source_order_id.as_ref().map(ToString::to_string).unwrap_or_default();
        distinct.entry((order, hex(&Sha256::digest(&raw.body)))).or_insert((0, raw, rejection)).0 += 1;
    }
    let text = |value: &str| Some(value.to_owned());
    let mut columns: [Vec<Option<String>>; 9] = Default::default();
    let (mut received, mut seen, mut input) = (Vec::new(), Vec::new(), Vec::new());
    for ((order, hash), (times, raw, rejection)) in distinct {
        let id = Uuid::now_v7().to_string();
        let row = [
            &id,
            source.as_str(),
            &order,
            &hash,
            via.as_str(),
            &rejection.path,
            &rejection.value,
            &rejection.rule,
            "OPEN",
        ];
        for (column, value) in columns.iter_mut().zip(row) {
            // PostgreSQL's text takes no NUL, and the value comes from the input.
            column.push(text(&value.replace('\0', "\u{fffd}")));
        }
        received.push(Some(now.timestamp_micros()));
        seen.push(Some(times));
        input.push(Some(raw.body.to_vec()));
    }
    let opened = received.len();
    let [id, source, order, hash, way, path, value, rule, state] = columns.map(Column::Text);
    let batch = Batch {
        table: "quarantine",
        columns: vec![
            ("id", id),
            ("source", source),
            ("source_order_id", order),
            ("input_hash", hash),
            ("via", way),
            ("received_at", Column::Int(received)),
            ("seen", Column::Int(seen)),
            ("input", Column::Bytes(input)),
            ("path", path),
            ("value", value),
            ("rule", rule),
            ("state", state),
        ],
        // A replay is not a further arrival.
        suffix: if via == Via::Replay {
            "on conflict (source, source_order_id, input_hash) do update set \
             path = excluded.path, value = excluded.value, rule = excluded.rule"
        } else {
            "on conflict (source, source_order_id, input_hash) do update set \
             seen = quarantine.seen + excluded.seen, path = excluded.path, value = excluded.value, \
             rule = excluded.rule, \
             state = case quarantine.state when 'DISCARDED' then 'DISCARDED' else 'OPEN' end, \
             resolved_at = case quarantine.state when 'DISCARDED' then quarantine.resolved_at end"
        },
    };
    transaction.insert(batch).await?;
    Ok(opened)
}

/// Closes the open records of orders that are understood now and returns how many there were.
pub(super) async fn resolve(
    transaction: &mut Transaction,
    source: &SourceKey,
    understood: &[SourceOrderId],
    now: DateTime<Utc>,
) -> Result<usize, DatabaseError> {
    // Most sources have no open record at all; then a page costs one index look-up more and nothing else.
    let any = "select 1 from quarantine where state = 'OPEN' and source = $1 limit 1";
    if understood.is_empty() || transaction.fetch_optional(any, &[source.as_str().into()]).await?.is_none() {
        return Ok(0);
    }
    let sql = format!(
        "update quarantine set state = 'RESOLVED', resolved_at = $1 where state = 'OPEN' and source = $2 and {}",
        transaction.dialect().any_of("source_order_id", 3)
    );
    let understood = understood.iter().map(ToString::to_string).collect();
    let values = [now.timestamp_micros().into(), source.as_str().into(), Value::Texts(understood)];
    let touched = transaction.execute(&sql, &values).await?;
    Ok(usize::try_from(touched).unwrap_or(usize::MAX))
}

impl Ingest {
    /// Tries quarantined inputs again and returns how many are now resolved. `ids` empty: every open one of the source.
    ///
    /// # Errors
    /// [`IngestError`].
    pub async fn replay_quarantine(&self, source: &SourceKey, ids: &[String]) -> Result<u64, IngestError> {
        self.source(source)?;
        let mut resolved = 0;
        let mut after = String::new();
        loop {
            // Oldest first, so that of several inputs for one order the newest is tried last.
            let mut values = vec![source.as_str().into(), after.as_str().into(), i64::from(REPLAY_BATCH).into()];
            let mut chosen = String::new();
            if !ids.is_empty() {
                chosen = format!("and {}", self.database.dialect().any_of("id", 4));
                values.push(Value::Texts(ids.to_vec()));
            }
            let sql = format!(
                "select {COLUMNS} from quarantine where source = $1 and state = 'OPEN' and id > $2 {chosen} \
                 order by id limit $3"
            );
            let records = self.records(&sql, &values).await?;
            let Some(last) = records.last() else { return Ok(resolved) };
            after = last.id.clone();
            let (rows, raw): (Vec<String>, Vec<RawOrder>) = records
                .into_iter()
                .map(|record| (record.id, RawOrder { source_order_id: record.source_order_id, body: record.input }))
                .unzip();
            let now = (self.clock)().timestamp_micros();
            let results = self.apply(source, raw, Via::Replay, |results| {
                let understood =
                    rows.iter().zip(results).filter(|(_, result)| matches!(result, Ingested::Indexed { .. }));
                let sql = "update quarantine set state = 'RESOLVED', resolved_at = $1 where id = $2";
                understood.map(|(id, _)| Statement::new(sql, vec![now.into(), id.clone().into()])).collect()
            });
            let indexed = results.await?.iter().filter(|result| matches!(result, Ingested::Indexed { .. })).count();
            resolved += indexed as u64;
            self.measure_quarantine(source).await;
        }
    }

    /// Lays an open input aside for good: it will not be replayed, and does not open again when it comes again.
    /// Answers whether it was open.
    ///
    /// # Errors
    /// [`IngestError::Record`].
    pub async fn discard_quarantined(&self, id: &str) -> Result<bool, IngestError> {
        let sql = "update quarantine set state = 'DISCARDED', resolved_at = $1 where id = $2 and state = 'OPEN'";
        let values = [(self.clock)().timestamp_micros().into(), id.into()];
        let touched = self.database.execute(sql, &values).await;
        Ok(touched.map_err(|e| IngestError::Record("discard a quarantined input", e))? > 0)
    }

    /// Quarantined inputs, newest first, after the id of the page before.
    ///
    /// # Errors
    /// [`IngestError::Record`].
    pub async fn quarantined(
        &self,
        source: Option<&SourceKey>,
        open_only: bool,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<QuarantineRecord>, IngestError> {
        let mut values = vec![i64::from(limit).into()];
        let mut conditions = String::from("1 = 1");
        if open_only {
            conditions.push_str(" and state = 'OPEN'");
        }
        for (condition, value) in [("source =", source.map(SourceKey::as_str)), ("id <", after)] {
            if let Some(value) = value {
                values.push(value.into());
                let _ = write!(conditions, " and {condition} ${}", values.len());
            }
        }
        let sql = format!("select {COLUMNS} from quarantine where {conditions} order by id desc limit $1");
        self.records(&sql, &values).await
    }

    async fn records(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<QuarantineRecord>, IngestError> {
        let read = |e| IngestError::Record("read the quarantine", e);
        let rows = self.database.fetch_all(sql, values).await.map_err(read)?;
        rows.iter().map(|row| record(row).map_err(read)?.ok_or(IngestError::Row("quarantine"))).collect()
    }

    /// Shows how many inputs of the source are in quarantine. A gauge that cannot be read is not worth an error.
    pub(super) async fn measure_quarantine(&self, source: &SourceKey) {
        let sql = "select count(*) from quarantine where state = 'OPEN' and source = $1";
        if let Ok(Some(row)) = self.database.fetch_optional(sql, &[source.as_str().into()]).await
            && let Ok(open) = row.int(0)
        {
            metrics::gauge!("ordercenter_quarantine_open", "source" => source.to_string()).set(open as f64);
        }
    }
}

/// A record, or none when the row is not one of ours.
fn record(row: &Row) -> Result<Option<QuarantineRecord>, DatabaseError> {
    let (Ok(source), Some(via)) = (SourceKey::try_new(row.text(1)?), Via::parse(&row.text(3)?)) else {
        return Ok(None);
    };
    Ok(Some(QuarantineRecord {
        id: row.text(0)?,
        source,
        source_order_id: SourceOrderId::try_new(row.text(2)?).ok(),
        via,
        received_at: time(row.int(4)?),
        seen: row.int(5)?.unsigned_abs(),
        input: row.bytes(6)?.into(),
        rejection: Rejection { path: row.text(7)?, value: row.text(8)?, rule: row.text(9)? },
        state: row.text(10)?,
        resolved_at: row.opt_int(11)?.map(time),
    }))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
