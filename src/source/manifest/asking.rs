//! Asks: an attempt's requests one by one, and the settlement of doubt by reading the order back.

use std::time::Duration;

use order_adapter::engine::{Ask, Attempt, End, Move, Record, Settled};
use order_contract::protocol::ActionError;

use super::ManifestSource;
use crate::source::{ActionOutcome, ActionRequest, Probe};

/// The code of a refusal that shows that the order has changed since it was read.
const VERSION_CONFLICT: &str = "VERSION_CONFLICT";
/// The code of a refusal because there is no such order.
const ORDER_NOT_FOUND: &str = "ORDER_NOT_FOUND";

impl ManifestSource {
    pub(super) async fn ask(&self, request: &ActionRequest) -> ActionOutcome {
        let (verb, ask) = (request.action.as_str(), asked(request));
        if let Err(error) = self.engine.check(verb, &ask) {
            return ActionOutcome::Rejected(error);
        }
        let mut before = None;
        if let Some(order) = request.order.as_ref().filter(|_| request.doubt || self.engine.reads_before(verb)) {
            match self.read_order(order).await {
                Ok(Some(record)) => before = Some(record),
                Ok(None) => return ActionOutcome::Rejected(refusal(ORDER_NOT_FOUND, "the platform has no such order")),
                Err(error) => return ActionOutcome::NotSent(error.to_string()),
            }
        }
        if let Some(before) = before.as_ref().filter(|_| request.doubt)
            && self.engine.settle(verb, &ask, before) == Settled::Applied
        {
            return self.applied(Some(before), request);
        }
        let end = match self.engine.attempt(verb, &ask, before.as_ref()) {
            Ok(attempt) => self.carry_out(attempt, request.traceparent.as_deref()).await,
            // The attempt in doubt may itself have led to where the action is no longer allowed.
            Err(error) if request.doubt => return ActionOutcome::Unknown(error.message),
            Err(error) => return ActionOutcome::Rejected(error),
        };
        match end {
            End::Applied(record) => self.applied(record.as_ref(), request),
            End::Accepted => ActionOutcome::Accepted,
            // What was refused now may have been done by the attempt in doubt, while this one was on its way.
            End::Rejected(_) | End::Conflict(_) if request.doubt => self.settled_or(request, end).await,
            End::Rejected(error) => ActionOutcome::Rejected(error),
            End::Conflict(message) => ActionOutcome::Rejected(refusal(VERSION_CONFLICT, &message)),
            End::NotDone(reason, wait_s) => {
                if let Some(wait_s) = wait_s {
                    self.transport.quiet(Duration::from_secs(wait_s));
                }
                ActionOutcome::NotSent(reason)
            }
            End::Unknown(reason) => ActionOutcome::Unknown(reason),
        }
    }

    async fn carry_out(&self, mut attempt: Attempt<'_>, traceparent: Option<&str>) -> End {
        loop {
            let call = match attempt.next_move() {
                Move::Send(call) => call,
                Move::End(end) => return end,
            };
            match self.transport.send(&self.engine, &call, traceparent).await {
                Ok(exchange) => attempt.answered(&exchange),
                Err(failure) if failure.is_not_sent() => attempt.not_sent(failure.to_string(), None),
                Err(failure) => attempt.lost(failure.to_string()),
            }
        }
    }

    /// What became of an ask, from the order as it is now.
    pub(super) async fn find_out(&self, request: &ActionRequest) -> Probe {
        let Some(order) = &request.order else {
            return Probe::Undecidable("the platform cannot be asked which order this made".into());
        };
        let record = match self.read_order(order).await {
            Ok(Some(record)) => record,
            Ok(None) => return Probe::Undecidable("the platform no longer has the order".into()),
            Err(error) => return Probe::Undecidable(error.to_string()),
        };
        match self.engine.settle(request.action.as_str(), &asked(request), &record) {
            Settled::Applied => Probe::Known(self.applied(Some(&record), request)),
            Settled::Failed => {
                let message = "the platform promised it and then did not do it";
                Probe::Known(ActionOutcome::Rejected(refusal("FAILED", message)))
            }
            Settled::Repeatable => Probe::NeverArrived,
            Settled::Open => Probe::Undecidable("the order does not show it, and it may still happen".into()),
        }
    }

    async fn settled_or(&self, request: &ActionRequest, end: End) -> ActionOutcome {
        match (self.find_out(request).await, end) {
            (Probe::Known(outcome), _) => outcome,
            (_, End::Rejected(error)) => ActionOutcome::Unknown(error.message),
            (_, End::Conflict(message)) => ActionOutcome::Unknown(message),
            (_, _) => ActionOutcome::Unknown("the platform refused the repeated ask".into()),
        }
    }

    fn applied(&self, record: Option<&Record>, request: &ActionRequest) -> ActionOutcome {
        // A record that cannot be kept costs nothing but a read: it was done all the same.
        let order = record.and_then(|record| self.raw(record, request.order.as_ref()).ok());
        ActionOutcome::Applied { order, effects: Vec::new() }
    }
}

fn asked(request: &ActionRequest) -> Ask<'_> {
    let order = request.order.as_ref().map(|order| order.as_str());
    Ask { order, key: request.key.as_str(), input: &request.call.input }
}

fn refusal(code: &str, message: &str) -> ActionError {
    ActionError { code: code.into(), message: message.into(), field: None, blockers: Vec::new(), current_version: None }
}
