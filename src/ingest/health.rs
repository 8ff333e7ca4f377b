//! How a source's synchronization stands, for operators.

use order_contract::SourceKey;

use super::{Ingest, IngestError, SyncState, time};
use crate::database::{DatabaseError, Row};

impl Ingest {
    /// How a source's synchronization stands.
    ///
    /// # Errors
    /// [`IngestError::Record`].
    pub async fn sync_state(&self, source: &SourceKey) -> Result<SyncState, IngestError> {
        let read = |e| IngestError::Record("read the state of a source", e);
        // One row even for a source that was never polled.
        let sql = "select s.high_water, s.last_success_at, s.last_error_at, s.last_error, coalesce(s.paused, 0), \
                   (select count(*) from webhook_inbox where source = $1 and state = 'RECEIVED'), \
                   (select count(*) from webhook_inbox where source = $1 and state = 'FAILED'), \
                   (select count(*) from quarantine where source = $1 and state = 'OPEN'), s.recent \
                   from (select 1 as one) as always left join source_sync s on s.source = $1";
        let row = self.database.fetch_optional(sql, &[source.as_str().into()]).await.map_err(read)?;
        row.as_ref().map(state).transpose().map_err(read)?.ok_or(IngestError::Row("source_sync"))
    }

    /// Pauses or resumes polling of a source. Webhooks and reads go on.
    ///
    /// # Errors
    /// [`IngestError::UnknownSource`], [`IngestError::Record`].
    pub async fn set_paused(&self, source: &SourceKey, paused: bool) -> Result<(), IngestError> {
        self.source(source)?;
        let sql = "insert into source_sync (source, paused) values ($1, $2) \
                   on conflict (source) do update set paused = excluded.paused";
        let done = self.database.execute(sql, &[source.as_str().into(), i64::from(paused).into()]).await;
        done.map(|_| ()).map_err(|e| IngestError::Record("pause a source", e))
    }

    pub(super) async fn is_paused(&self, source: &SourceKey) -> Result<bool, IngestError> {
        let read = |e| IngestError::Record("read the state of a source", e);
        let sql = "select paused from source_sync where source = $1";
        let row = self.database.fetch_optional(sql, &[source.as_str().into()]).await.map_err(read)?;
        Ok(row.map(|row| row.int(0)).transpose().map_err(read)?.unwrap_or(0) != 0)
    }

    /// Shows how the synchronization of every source stands. Called at an interval, on every node: what only the node
    /// that polls knows would be missing from the others' measurements.
    pub(crate) async fn measure(&self) {
        for (key, source) in &*self.registry.now() {
            let Ok(state) = self.sync_state(key).await else { continue };
            let label = key.to_string();
            if let Some(high_water) = state.high_water {
                let behind = ((self.clock)() - high_water).num_seconds().max(0);
                metrics::gauge!("ordercenter_sync_lag_seconds", "source" => label.clone()).set(behind as f64);
            }
            if let Some(at) = state.last_success_at {
                metrics::gauge!("ordercenter_sync_last_success_timestamp_seconds", "source" => label.clone())
                    .set(at.timestamp() as f64);
            }
            metrics::gauge!("ordercenter_sync_recent_failures", "source" => label.clone())
                .set(state.recent_failures as f64);
            metrics::gauge!("ordercenter_webhook_backlog", "source" => label.clone()).set(state.webhook_backlog as f64);
            metrics::gauge!("ordercenter_webhook_failed", "source" => label.clone()).set(state.webhooks_failed as f64);
            metrics::gauge!("ordercenter_quarantine_open", "source" => label.clone()).set(state.quarantined as f64);
            if let Some(budget) = source.port.budget() {
                metrics::gauge!("ordercenter_rate_budget_left", "source" => label).set(budget.left as f64);
            }
        }
    }
}

fn state(row: &Row) -> Result<SyncState, DatabaseError> {
    let recent = row.opt_text(8)?.unwrap_or_default();
    Ok(SyncState {
        high_water: row.opt_int(0)?.map(time),
        last_success_at: row.opt_int(1)?.map(time),
        last_error_at: row.opt_int(2)?.map(time),
        last_error: row.opt_text(3)?,
        paused: row.int(4)? != 0,
        webhook_backlog: row.int(5)?.unsigned_abs(),
        webhooks_failed: row.int(6)?.unsigned_abs(),
        quarantined: row.int(7)?.unsigned_abs(),
        recent_reads: recent.len() as u64,
        recent_failures: recent.bytes().filter(|result| *result == b'x').count() as u64,
    })
}
