//! Turns: of the actions on one order of a source that cannot tell two asks apart, one is asked at a time, whatever node
//! asks, and none again while the same action is in doubt.
//!
//! Real servers make this necessary: three concurrent full refunds of one payment all succeed on Vendure, and a refund
//! that is repeated pays twice on Vendure and Medusa alike.

use order_contract::protocol::{ActionError, Idempotency};
use tokio::time::{Duration, Instant, sleep};

use super::dispatch::error;
use super::ledger::Record;
use super::{Operation, OperationError, Operations};
use crate::ingest::{Statement, micros};
use crate::source::{ActionOutcome, Source};

/// How often it is looked whether the turn is free.
const LOOK: Duration = Duration::from_millis(50);

/// Another action on the order is being asked for.
const ORDER_BUSY: &str = "ORDER_BUSY";
/// The same was asked before and may or may not have happened.
const OUTCOME_PENDING: &str = "OUTCOME_PENDING";

impl Operations {
    /// Waits for the operation's turn on its order, where its source needs turns; answers why it cannot be asked.
    pub(super) async fn take_turn(&self, source: &Source, record: &mut Record) -> Result<(), ActionOutcome> {
        let Some(order) = record.operation.order.as_ref().map(ToString::to_string) else { return Ok(()) };
        match source.port.describe().await {
            Ok(capabilities) if capabilities.idempotency == Idempotency::Blind => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(ActionOutcome::NotSent(error.to_string())),
        }
        let not_sent = |error: OperationError| ActionOutcome::NotSent(error.to_string());
        let deadline = Instant::now() + self.limits.wait;
        while !self.try_turn(&order, &record.operation.id).await.map_err(not_sent)? {
            if Instant::now() >= deadline {
                let message =
                    "another action on this order is under way; nothing was changed: try again with a new key";
                return Err(ActionOutcome::Rejected(error(ORDER_BUSY, message)));
            }
            sleep(LOOK).await;
        }
        record.has_turn = true;
        match self.in_doubt(&order, &record.operation).await.map_err(not_sent)? {
            None => Ok(()),
            Some(id) => Err(ActionOutcome::Rejected(pending(&id))),
        }
    }

    async fn try_turn(&self, order: &str, operation: &str) -> Result<bool, OperationError> {
        // Longer than the operation's own lease: what a dead node left is settled before the next one has its turn.
        let now = self.now().timestamp_micros();
        let sql = "insert into order_turns (order_id, operation, until) values ($1, $2, $3) \
                   on conflict (order_id) do update set operation = excluded.operation, until = excluded.until \
                   where order_turns.until <= $4 or order_turns.operation = excluded.operation";
        let values = [order.into(), operation.into(), (now + 2 * micros(self.limits.lease)).into(), now.into()];
        Ok(self.database.execute(sql, &values).await.map_err(OperationError::Record)? > 0)
    }

    /// An earlier ask for the same of which it is not known whether it took effect.
    async fn in_doubt(&self, order: &str, operation: &Operation) -> Result<Option<String>, OperationError> {
        let sql = "select id from operations where order_id = $1 and id <> $2 and action = $3 \
                   and state in ('UNKNOWN', 'ACCEPTED') order by id limit 1";
        let values = [order.into(), operation.id.as_str().into(), operation.action.as_str().into()];
        let row = self.database.fetch_optional(sql, &values).await;
        row.map_err(OperationError::Read)?.map(|row| row.text(0)).transpose().map_err(OperationError::Read)
    }

    /// Gives the turn back, with the outcome.
    pub(super) fn leave_turn(record_id: &str) -> Statement {
        Statement::new("delete from order_turns where operation = $1", vec![record_id.to_owned().into()])
    }
}

fn pending(operation: &str) -> ActionError {
    let message = format!(
        "it is not known yet whether an earlier ask for the same took effect on this order (operation op_{operation}), \
         and its source cannot tell two asks apart; nothing was changed: settle that one first"
    );
    error(OUTCOME_PENDING, &message)
}
