//! Open orders are read again where a source's change list is known to leave changes out.
//!
//! Vendure's `updatedAt` does not move on a state transition, Medusa's not on a capture: no list will ever tell. Rounds
//! go over the open orders by their ids; nodes take batches in turn.

use order_contract::{OrderId, SourceKey, SourceOrderId};

use super::{Upkeep, UpkeepError};
use crate::database::Value;
use crate::ingest::{IngestError, micros};

impl Upkeep {
    /// Reads the open orders of a source again, if it is time to. Its rate budget sets the pace.
    pub(super) async fn reread_round(&self, key: &SourceKey) {
        let round = async {
            while self.reread_batch(key).await? > 0 {}
            Ok(())
        };
        match round.await {
            Ok(()) => {}
            // The source's own health tells it.
            Err(UpkeepError::Ingest(IngestError::Read(error))) => {
                tracing::debug!(source = %key, %error, "open orders could not be read again");
            }
            Err(error) => {
                tracing::warn!(source = %key, error = &error as &dyn std::error::Error, "open orders could not be read again");
            }
        }
    }

    /// Reads one batch and answers how many orders it had; none when it is not time, or another node's turn.
    ///
    /// # Errors
    /// [`UpkeepError`]: the rest of the batch waits for the next round.
    pub async fn reread_batch(&self, key: &SourceKey) -> Result<u64, UpkeepError> {
        let source = self.ingest.source(key)?;
        let capabilities = self.ingest.asking(key, source.port.describe()).await?;
        let Some(reread) = capabilities.blind_spots else { return Ok(0) };
        if self.ingest.sync_state(key).await?.paused {
            return Ok(0);
        }
        let interval = self.limits.reread_interval.unwrap_or(reread.every);
        let failed = |e| UpkeepError::Database("go over the open orders of a source", e);
        let now = (self.clock)().timestamp_micros();
        let sql = "select reread_after, reread_round_at from source_sync where source = $1";
        let Some(row) = self.database.fetch_optional(sql, &[key.as_str().into()]).await.map_err(failed)? else {
            return Ok(0);
        };
        let (after, round_at) = (row.opt_text(0).map_err(failed)?, row.opt_int(1).map_err(failed)?);
        let began = match (&after, round_at) {
            (None, Some(at)) if at + micros(interval) > now => return Ok(0),
            (None, _) => now,
            (Some(_), at) => at.unwrap_or(now),
        };
        let (first, end) = crate::index::id_range(key);
        let open = "select order_id from orders where order_id > $1 and order_id < $2 \
                    and status not in ('COMPLETED', 'CANCELED', 'EXPIRED') order by order_id limit $3";
        let values =
            [Value::from(after.as_deref().unwrap_or(&first)), end.as_str().into(), i64::from(reread.batch).into()];
        let rows = self.database.fetch_all(open, &values).await.map_err(failed)?;
        let ids = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let whole = ids.len() >= reread.batch as usize;
        let next = ids.last().filter(|_| whole);
        let take = "update source_sync set reread_after = $1, reread_round_at = $2 where source = $3 \
                    and reread_after is not distinct from $4 and reread_round_at is not distinct from $5";
        let values = [
            Value::from(next.map(String::as_str)),
            began.into(),
            key.as_str().into(),
            after.as_deref().into(),
            round_at.into(),
        ];
        if self.database.execute(take, &values).await.map_err(failed)? == 0 {
            return Ok(0);
        }
        let ids = ids.iter().filter_map(|id| OrderId::parse(id).ok()).map(|id| id.source_order_id().clone());
        let ids: Vec<SourceOrderId> = ids.collect();
        self.ingest.reread(key, &ids).await?;
        Ok(ids.len() as u64)
    }
}
