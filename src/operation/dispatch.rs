//! Asking the owner, and what each answer proves.

use order_contract::protocol::{ActionCall, ActionError, Idempotency};
use order_contract::{Effect, IdError, IdempotencyKey, OrderId, SourceVersion};
use tokio::sync::oneshot;
use tokio::time::{Duration, sleep, timeout};
use uuid::Uuid;

use super::ledger::Record;
use super::{Intent, Operation, OperationError, OperationState, Operations, Verdict};
use crate::index::{Applied, Via};
use crate::ingest::{IngestError, Ingested, backoff, micros};
use crate::source::{ActionOutcome, ActionRequest, Probe, RawOrder, Source};

/// First pause between attempts, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Tries to write an outcome before it is left to settlement, which asks the owner for it again.
const WRITES_MAX: u32 = 60;
/// Tries to write an outcome together with its order before the outcome is written alone.
const WRITES_WITH_ORDER: u32 = 3;
/// How long an answer to the client waits for a read of the order beside it.
const READ_MAX: Duration = Duration::from_secs(2);

/// Codes of the center's own, beside those of the protocol.
const SOURCE_UNAVAILABLE: &str = "SOURCE_UNAVAILABLE";
const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
const DRY_RUN_NOT_SUPPORTED: &str = "DRY_RUN_NOT_SUPPORTED";
const NOT_DONE: &str = "NOT_DONE";
const VERSION_CONFLICT: &str = "VERSION_CONFLICT";
/// Refusals which show that the index may be behind the owner.
const INDEX_BEHIND: &[&str] = &[VERSION_CONFLICT, "ACTION_NOT_ALLOWED", "ORDER_NOT_FOUND"];

/// What is known of an ask.
pub(super) enum End {
    Succeeded(Option<RawOrder>, Vec<Effect>),
    Rejected(ActionError),
    Accepted,
    Unknown(String),
}

impl From<Verdict> for End {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::TookEffect => Self::Succeeded(None, Vec::new()),
            Verdict::DidNotHappen => Self::Rejected(error(NOT_DONE, "an operator found that it was not done")),
        }
    }
}

/// What follows from an answer.
pub(super) enum Step {
    End(End),
    /// Nothing has happened, as far as can be known now, and asking again is safe.
    Again(String),
}

impl Operations {
    /// Records the intent, tells that it is recorded and asks the owner. Runs in a task of its own.
    pub(super) async fn record_and_dispatch(
        &self,
        intent: Intent,
        tell: oneshot::Sender<Result<Operation, OperationError>>,
    ) {
        // The caller may be gone: then nobody needs to be told.
        match self.insert(&intent).await {
            Ok(Some(record)) => {
                let _mark = self.mark(&record.operation.id);
                let _ = tell.send(Ok(record.operation.clone()));
                self.dispatch(record, false, self.limits.attempts_max).await;
            }
            Ok(None) => {
                let recorded = self.recorded(&intent).await;
                let _ = tell.send(recorded.and_then(|found| found.ok_or(OperationError::Overloaded)));
            }
            Err(error) => {
                let _ = tell.send(Err(OperationError::Record(error)));
            }
        }
    }

    /// Asks until there is an answer, at most `tries` times. `doubt`: an earlier attempt may have taken effect.
    pub(super) async fn dispatch(&self, mut record: Record, mut doubt: bool, tries: u32) {
        let Ok(source) = self.source(&record.operation.source) else { return };
        let source = &*source;
        for left in (0..tries.max(1)).rev() {
            let step = match self.ask(source, &mut record, doubt).await {
                ActionOutcome::Applied { order, effects } => Step::End(End::Succeeded(order, effects)),
                // The attempt in doubt may itself have moved the version that this one was refused for.
                ActionOutcome::Rejected(error) if doubt && error.code == VERSION_CONFLICT && !keyed(source).await => {
                    Step::End(End::Unknown("the order has changed, perhaps by this very action".into()))
                }
                ActionOutcome::Rejected(error) => Step::End(End::Rejected(error)),
                ActionOutcome::Accepted => Step::End(End::Accepted),
                ActionOutcome::NotSent(reason) => Step::Again(reason),
                ActionOutcome::Unknown(reason) => {
                    doubt = true;
                    self.investigate(source, &record, reason).await
                }
            };
            let reason = match step {
                Step::End(end) => return self.finish(source, record, end).await,
                Step::Again(reason) => reason,
            };
            if left == 0 {
                let end = if doubt { End::Unknown(reason) } else { End::Rejected(unavailable(&reason)) };
                return self.finish(source, record, end).await;
            }
            sleep(backoff(RETRY.0, tries - 1 - left, RETRY.1)).await;
            if let Err(error) = self.note_attempt(&mut record).await {
                // What is not recorded is not asked: the row stands, and settlement takes it up.
                let error = &error as &dyn std::error::Error;
                tracing::warn!(operation = record.operation.id, error, "a further attempt could not be recorded");
                return;
            }
        }
    }

    async fn ask(&self, source: &Source, record: &mut Record, doubt: bool) -> ActionOutcome {
        if let Err(outcome) = self.take_turn(source, record).await {
            return match outcome {
                // That it may not be asked again now says nothing of the attempt before.
                ActionOutcome::Rejected(error) if doubt => ActionOutcome::Unknown(error.message),
                outcome => outcome,
            };
        }
        let Record { operation, expected_version, .. } = &*record;
        if let (Some(expected), Some(id), false) = (expected_version, &operation.order, doubt) {
            // Where the owner does not compare versions itself, reading before asking is as close as one can come.
            match source.port.describe().await {
                Ok(capabilities) if capabilities.expected_version => {}
                Ok(_) => match self.ingest.refresh(id).await {
                    Ok(Some(order)) if order.snapshot.version == *expected => {}
                    Ok(order) => {
                        return ActionOutcome::Rejected(ActionError {
                            current_version: order.map(|order| order.snapshot.version),
                            ..error(VERSION_CONFLICT, "the order is no longer at the expected version: read it again")
                        });
                    }
                    Err(error) => return ActionOutcome::NotSent(error.sentence()),
                },
                Err(error) => return ActionOutcome::NotSent(error.to_string()),
            }
        }
        match request(record, doubt) {
            Ok(request) => source.port.execute(&request).await,
            Err(error) => ActionOutcome::NotSent(error.to_string()),
        }
    }

    /// Asks the owner what would happen. Nothing is recorded, and what would be is not stored.
    pub(super) async fn try_out(&self, source: &Source, intent: Intent) -> Operation {
        let Intent { principal, idempotency_key, order, action, input, expected_version, actor, traceparent, .. } =
            intent;
        let id = Uuid::now_v7().to_string();
        let outcome = match (source.port.describe().await, IdempotencyKey::try_new(id.as_str())) {
            (Ok(capabilities), Ok(key)) if capabilities.dry_run => {
                let order = order.as_ref().map(|id| id.source_order_id().clone());
                let call = ActionCall { expected_version, dry_run: true, input, actor };
                let action = action.clone();
                source.port.execute(&ActionRequest { order, action, key, doubt: false, call, traceparent }).await
            }
            // A module that does not know `dryRun` would do it.
            (Ok(_), _) => {
                let message = "this source cannot tell what an action would do; nothing was changed";
                ActionOutcome::Rejected(error(DRY_RUN_NOT_SUPPORTED, message))
            }
            (Err(error), _) => ActionOutcome::NotSent(error.to_string()),
        };
        let (state, effects, error) = match outcome {
            ActionOutcome::Applied { effects, .. } => (OperationState::Succeeded, effects, None),
            ActionOutcome::Accepted => (OperationState::Succeeded, Vec::new(), None),
            ActionOutcome::Rejected(error) => (OperationState::Rejected, Vec::new(), Some(error)),
            ActionOutcome::NotSent(reason) | ActionOutcome::Unknown(reason) => {
                let message = format!("the source did not answer: {reason}; a dry run changes nothing: try again");
                (OperationState::Rejected, Vec::new(), Some(self::error(SOURCE_UNAVAILABLE, &message)))
            }
        };
        let now = self.now();
        Operation {
            id,
            principal,
            idempotency_key,
            source: source.key.clone(),
            order,
            action,
            state,
            attempts: 1,
            effects,
            error,
            version_after: None,
            dry_run: true,
            created_at: now,
            updated_at: now,
            finished_at: Some(now),
        }
    }

    /// Finds out what became of an attempt whose answer did not come.
    pub(super) async fn investigate(&self, source: &Source, record: &Record, reason: String) -> Step {
        let unknown = |reason: String| Step::End(End::Unknown(reason));
        let operation = &record.operation;
        let idempotency = match source.port.describe().await {
            Ok(capabilities) => capabilities.idempotency,
            Err(error) => return unknown(format!("{reason}; {error}")),
        };
        match (idempotency, &operation.order, record.expected_version) {
            (Idempotency::Keyed, _, _) => found(settled(source, record, true).await, reason),
            (Idempotency::Conditional, Some(id), Some(expected)) => match self.ingest.refresh(id).await {
                // Unchanged so far. Should the attempt still arrive, only one of the two can find this version.
                Ok(Some(order)) if order.snapshot.version == expected => Step::Again(reason),
                Ok(_) => unknown(format!("{reason}; the order has changed since, perhaps by this very action")),
                Err(error) => unknown(format!("{reason}; {}", error.sentence())),
            },
            (Idempotency::Blind | Idempotency::Conditional, id, _) => {
                let step = found(settled(source, record, true).await, reason);
                if let (Step::End(End::Unknown(_)), Some(id)) = (&step, id) {
                    self.read_order(id).await;
                }
                step
            }
        }
    }

    /// Writes where the operation stands now, with the order in one transaction, and tells everyone. An outcome is not
    /// lost while this process lives; when it dies before it could write, settlement asks the owner again.
    pub(super) async fn finish(&self, source: &Source, record: Record, end: End) {
        let (mut operation, has_turn) = (record.operation, record.has_turn);
        let before = operation.state;
        let mut order = None;
        let mut read_again = false;
        match end {
            End::Succeeded(restated, effects) => {
                (operation.state, operation.effects, operation.error) = (OperationState::Succeeded, effects, None);
                match (restated, &operation.order) {
                    (Some(raw), _) => order = Some(raw),
                    (None, Some(id)) => operation.version_after = self.read_order(id).await,
                    (None, None) => {}
                }
            }
            End::Rejected(error) => {
                if let Some(id) = operation.order.as_ref().filter(|_| INDEX_BEHIND.contains(&error.code.as_str())) {
                    self.read_order(id).await;
                }
                (operation.state, operation.error) = (OperationState::Rejected, Some(error));
            }
            End::Accepted => (operation.state, operation.error) = (OperationState::Accepted, None),
            End::Unknown(reason) => {
                let message = format!("it is not known whether it took effect, and it is being found out: {reason}");
                (operation.state, operation.error) = (OperationState::Unknown, Some(error(OUTCOME_UNKNOWN, &message)));
            }
        }
        for failures in 0..WRITES_MAX {
            let now = self.now();
            let changed = operation.state != before;
            if changed {
                operation.updated_at = now;
            }
            operation.finished_at = operation.state.is_final().then_some(now);
            let pause = self.settle_pause(&operation);
            let next_at = now.timestamp_micros() + micros(pause);
            let raw: Vec<RawOrder> = order.iter().cloned().collect();
            let write = self.ingest.apply(&source.key, raw, Via::Operation, |results| {
                match results.first() {
                    Some(Ingested::Indexed { id, version, applied }) => {
                        operation.order.get_or_insert_with(|| id.clone());
                        operation.version_after = Some(*version);
                        read_again = matches!(applied, Applied::Tie(_));
                    }
                    // It was done; only the answer about it was not understood.
                    Some(Ingested::Quarantined(_)) => read_again = true,
                    None => {}
                }
                let turn = has_turn.then(|| Self::leave_turn(&operation.id));
                turn.into_iter().chain([Self::statement(&operation, next_at)]).collect()
            });
            match write.await {
                Ok(_) => {
                    if changed {
                        count(&operation);
                        // Nobody listening is no error.
                        let _ = self.news.send(operation.clone().into());
                    }
                    if let Some(id) = operation.order.as_ref().filter(|_| read_again) {
                        self.read_order(id).await;
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        operation = operation.id,
                        error = &error as &dyn std::error::Error,
                        "an outcome could not be written yet"
                    );
                    // The outcome must not wait for an order that cannot be read or stored now.
                    if order.is_some() && (matches!(error, IngestError::Read(_)) || failures + 1 >= WRITES_WITH_ORDER) {
                        (order, read_again) = (None, true);
                        continue;
                    }
                    sleep(backoff(RETRY.0, failures, RETRY.1)).await;
                }
            }
        }
    }

    /// Reads an order through, and answers its version if that does not take long. What takes long goes on by itself.
    async fn read_order(&self, id: &OrderId) -> Option<SourceVersion> {
        let (ingest, id) = (self.ingest.clone(), id.clone());
        let read = tokio::spawn(async move { ingest.refresh(&id).await });
        match timeout(READ_MAX, read).await {
            Ok(Ok(Ok(order))) => order.map(|order| order.snapshot.version),
            // Polling brings it.
            _ => None,
        }
    }
}

/// What follows from what was found out about an attempt whose answer did not come.
fn found(probe: Probe, reason: String) -> Step {
    match probe {
        Probe::Known(ActionOutcome::Applied { order, effects }) => Step::End(End::Succeeded(order, effects)),
        Probe::Known(ActionOutcome::Rejected(error)) => Step::End(End::Rejected(error)),
        Probe::Known(ActionOutcome::Accepted) => Step::End(End::Accepted),
        Probe::Known(ActionOutcome::NotSent(why) | ActionOutcome::Unknown(why)) | Probe::Undecidable(why) => {
            Step::End(End::Unknown(format!("{reason}; {why}")))
        }
        Probe::NeverArrived => Step::Again(reason),
    }
}

/// What became of the ask that a record stands for; `doubt`: it may never have arrived.
pub(super) async fn settled(source: &Source, record: &Record, doubt: bool) -> Probe {
    match request(record, doubt) {
        Ok(request) => source.port.settle(&request).await,
        Err(error) => Probe::Undecidable(error.to_string()),
    }
}

/// The ask that a record stands for; `doubt`: an earlier attempt may have taken effect.
fn request(record: &Record, doubt: bool) -> Result<ActionRequest, IdError> {
    let Record { operation, input, expected_version, actor, traceparent, .. } = record;
    Ok(ActionRequest {
        order: operation.order.as_ref().map(|id| id.source_order_id().clone()),
        action: operation.action.clone(),
        key: IdempotencyKey::try_new(operation.id.as_str())?,
        doubt,
        call: ActionCall {
            expected_version: *expected_version,
            dry_run: false,
            input: input.clone(),
            actor: actor.clone(),
        },
        traceparent: traceparent.clone(),
    })
}

async fn keyed(source: &Source) -> bool {
    source.port.describe().await.is_ok_and(|capabilities| capabilities.idempotency == Idempotency::Keyed)
}

fn unavailable(reason: &str) -> ActionError {
    let message = format!("the source could not be reached; nothing was changed: try again with a new key ({reason})");
    error(SOURCE_UNAVAILABLE, &message)
}

pub(super) fn error(code: &str, message: &str) -> ActionError {
    ActionError { code: code.into(), message: message.into(), field: None, blockers: Vec::new(), current_version: None }
}

fn count(operation: &Operation) {
    // A verb of a module's own is the client's text: as a label it could be anything.
    let action = operation.action.action_type().verb().unwrap_or("custom");
    metrics::counter!(
        "ordercenter_operations_total",
        "source" => operation.source.to_string(), "action" => action, "outcome" => operation.state.as_str()
    )
    .increment(1);
}
