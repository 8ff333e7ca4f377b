//! Settlement: what is in doubt, and what a dead node left behind, is found out at the owner.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::dispatch::{End, Step, settled};
use super::ledger::Record;
use super::{Operation, OperationError, OperationState, Operations};
use crate::source::{ActionOutcome, Probe};

/// Settlements under way at once in this process.
const SETTLING_MAX: usize = 32;
/// How often the ledger is looked at.
const LOOK: Duration = Duration::from_millis(500);

impl Operations {
    /// Settles what is in doubt and what a dead node left behind, until canceled; then waits for the asks under way,
    /// at most as long as a client would.
    pub async fn run(self, shutdown: CancellationToken) {
        let room = Arc::new(Semaphore::new(SETTLING_MAX));
        loop {
            if let Err(error) = self.settle_due(&room).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "settlement could not read the ledger");
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(LOOK) => {}
            }
        }
        self.tasks.close();
        // What is still under way then is settled by the next node that looks.
        let _ = timeout(self.limits.wait, self.tasks.wait()).await;
    }

    async fn settle_due(&self, room: &Arc<Semaphore>) -> Result<(), OperationError> {
        for record in self.due(room.available_permits()).await? {
            let Ok(permit) = Arc::clone(room).try_acquire_owned() else { break };
            // A task of this process has it: its lease ran out while it waits for a slow source.
            let Some(mark) = self.mark(&record.operation.id) else { continue };
            if !self.claim(&record).await? {
                continue;
            }
            let this = self.clone();
            self.tasks.spawn(async move {
                this.settle(record).await;
                drop((mark, permit));
            });
        }
        self.measure().await
    }

    /// Finds out what became of an operation, asking again where that is safe.
    pub(super) async fn settle(&self, record: Record) {
        let Ok(source) = self.source(&record.operation.source) else { return };
        let source = &*source;
        if record.operation.state == OperationState::Accepted {
            let end = match settled(source, &record, false).await {
                Probe::Known(ActionOutcome::Applied { order, effects }) => End::Succeeded(order, effects),
                Probe::Known(ActionOutcome::Rejected(error)) => End::Rejected(error),
                Probe::Known(_) | Probe::NeverArrived | Probe::Undecidable(_) => End::Accepted,
            };
            return self.finish(source, record, end).await;
        }
        match self.investigate(source, &record, "the answer did not come".into()).await {
            Step::End(end) => self.finish(source, record, end).await,
            Step::Again(_) => {
                let mut record = record;
                match self.note_attempt(&mut record).await {
                    Ok(()) => self.dispatch(record, true, 1).await,
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(operation = record.operation.id, error, "an attempt could not be recorded");
                    }
                }
            }
        }
    }

    /// How long settlement leaves an operation alone: as long as it has lasted, so that the pauses double.
    pub(super) fn settle_pause(&self, operation: &Operation) -> Duration {
        let lasted = (self.now() - operation.created_at).to_std().unwrap_or_default();
        lasted.clamp(self.limits.settle_backoff, self.limits.settle_backoff_max)
    }

    async fn measure(&self) -> Result<(), OperationError> {
        let sql = "select count(*) from operations where state = 'UNKNOWN'";
        let row = self.database.fetch_optional(sql, &[]).await.map_err(OperationError::Read)?;
        if let Some(row) = row {
            let unknown = row.int(0).map_err(OperationError::Read)?;
            metrics::gauge!("ordercenter_operation_unknown").set(unknown as f64);
        }
        Ok(())
    }
}
