//! Checks that ask for what can have no effect: refusals and dry runs, of any order there is.

use http::{StatusCode, header};
use order_contract::AvailableAction;
use order_contract::protocol::{ActionCall, ActionReply, Outcome, paths, problems};
use serde_json::Value;

use super::acting::refused_with;
use super::exchange::{Session, demand_problem, fresh_key, replied};
use super::report::{Check, Miss, Report, Seen, fail, skip};

/// A verb that no module has: what is asked with it can have no effect, whatever else is wrong.
const NO_ACTION: &str = "conformance_no_such_action";
/// Larger than any body a module needs to take.
const HUGE: usize = 4 << 20;

impl Session {
    pub(super) async fn check_asking(&mut self, report: &mut Report) {
        let check = |id, section, demand, fix| Check { id, section, demand, fix };
        report.record(
            check(
                "unknown-action",
                "§7",
                "an unknown action is refused as UNKNOWN_ACTION",
                "answer 422 REJECTED with this code, or a 404 problem with it",
            ),
            self.unknown_action().await,
        );
        report.record(
            check(
                "malformed-body",
                "§7",
                "a body that is not an action call is refused with a 400 problem",
                "map your JSON parser's errors to a 400 problem",
            ),
            self.malformed_body().await,
        );
        report.record(
            check(
                "huge-body",
                "§1",
                "a body of 4 MiB is refused with a 413 problem",
                "limit the body while it arrives; 1 MiB is plenty",
            ),
            self.huge_body().await,
        );
        report.record(
            check(
                "key-required",
                "§7",
                "an ask without an Idempotency-Key that is no dry run is refused with a 400 problem",
                "check the header before acting",
            ),
            self.key_required().await,
        );
        report.record(
            check(
                "dry-run",
                "§7",
                "a dry run is APPLIED for every enabled action and REJECTED with the listed blocker for every other",
                "compute availability, dry run and execution from one guard",
            ),
            self.dry_runs().await,
        );
        report.record(
            check(
                "dry-run-is-dry",
                "§7",
                "a dry run changes no order and its key is not remembered",
                "roll back, and store neither the order nor the key",
            ),
            self.dry_run_is_dry().await,
        );
    }

    /// Some order to ask about: the first that is listed.
    fn some_order(&self) -> Result<String, Miss> {
        self.may_ask()?;
        self.samples(1).pop().map_or_else(|| skip("no order can be understood"), Ok)
    }

    async fn unknown_action(&self) -> Seen {
        let id = self.some_order()?;
        let request = self.ask(Some(&id), NO_ACTION, Some(&fresh_key())).json(&ActionCall::default());
        let answer = self.send(request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return demand_problem(&answer, 404, Some("UNKNOWN_ACTION"));
        }
        refused_with(&replied(&answer)?, "UNKNOWN_ACTION")
    }

    async fn malformed_body(&self) -> Seen {
        let id = self.some_order()?;
        let mut seen = String::new();
        for body in ["{\"input\": {", "[]", "{\"input\": 7}", "{\"expectedVersion\": \"one\"}"] {
            let request = self.ask(Some(&id), NO_ACTION, Some(&fresh_key()));
            let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
            seen = match demand_problem(&self.send(request).await?, 400, None) {
                Err(Miss::Fail(seen)) => return fail(format!("{body}: {seen}")),
                other => other?,
            };
        }
        Ok(seen)
    }

    async fn huge_body(&self) -> Seen {
        let id = self.some_order()?;
        let mut call = ActionCall::default();
        call.input.insert("padding".into(), "x".repeat(HUGE).into());
        let mut broken = String::new();
        // Who refuses early may close while the rest is still being sent, and the answer can be lost on the way;
        // such a connection must not be used again.
        for _ in 0..5 {
            let request = self.ask(Some(&id), NO_ACTION, Some(&fresh_key())).json(&call);
            match self.send(request.header(header::CONNECTION, "close")).await {
                Ok(answer) => return demand_problem(&answer, 413, None),
                Err(Miss::Fail(seen)) => broken = seen,
                Err(other) => return Err(other),
            }
        }
        Err(Miss::Warn(format!("{broken}: read on for a while before you close, so that the 413 arrives")))
    }

    async fn key_required(&self) -> Seen {
        let id = self.some_order()?;
        let answer = self.send(self.ask(Some(&id), NO_ACTION, None).json(&ActionCall::default())).await?;
        demand_problem(&answer, 400, Some(problems::IDEMPOTENCY_KEY_REQUIRED))
    }

    async fn dry_runs(&self) -> Seen {
        self.some_order()?;
        self.capable(|c| c.dry_run, "dryRun")?;
        let (mut enabled, mut blocked, mut untried) = (0, 0, 0);
        for id in self.samples(12) {
            let told = self.actions(&id).await?;
            for action in &told.actions {
                let Some(input) = self.input_for(action) else {
                    untried += 1;
                    continue;
                };
                let call = ActionCall { dry_run: true, input, ..ActionCall::default() };
                let answer = self.send(self.ask(Some(&id), action.name.as_str(), None).json(&call)).await?;
                let seen = answer.summary();
                let reply = replied(&answer)?;
                if self.actions(&id).await?.version != told.version {
                    continue;
                }
                match (action.enabled, reply.outcome) {
                    (true, Outcome::Applied) if reply.order.is_some() => enabled += 1,
                    (true, _) => return fail(format!("{} of order {id} is enabled; its dry run: {seen}", action.name)),
                    (false, _) if names_a_blocker(&reply, action) => blocked += 1,
                    (false, _) => {
                        return fail(format!("{} of order {id} is blocked; its dry run: {seen}", action.name));
                    }
                }
            }
        }
        Ok(format!("{enabled} enabled, {blocked} blocked, {untried} not tried for want of a sample input"))
    }

    async fn dry_run_is_dry(&self) -> Seen {
        self.some_order()?;
        self.capable(|c| c.dry_run, "dryRun")?;
        for id in self.samples(12) {
            let (before, _) = self.order(&id).await?;
            let told = self.actions(&id).await?;
            let candidate = told.actions.iter().filter(|a| a.enabled).find_map(|a| Some((a, self.input_for(a)?)));
            let Some((action, input)) = candidate else { continue };
            let key = fresh_key();
            let call = ActionCall { dry_run: true, input, ..ActionCall::default() };
            self.send(self.ask(Some(&id), action.name.as_str(), Some(&key)).json(&call)).await?;
            let (after, _) = self.order(&id).await?;
            if before != after {
                return fail(format!("order {id} changed by a dry run of {}", action.name));
            }
            demand_problem(&self.get(paths::OPERATION, &[&key]).await?, 404, Some(problems::OPERATION_NOT_FOUND))?;
            return Ok(format!("{} of order {id}", action.name));
        }
        skip("no order has an enabled action that can be tried")
    }
}

fn names_a_blocker(reply: &ActionReply<Value>, action: &AvailableAction) -> bool {
    let Some(error) = reply.error.as_ref().filter(|_| reply.outcome == Outcome::Rejected) else { return false };
    let named: Vec<&str> =
        error.blockers.iter().map(|blocker| blocker.code.as_str()).chain([error.code.as_str()]).collect();
    action.blockers.iter().any(|blocker| named.contains(&blocker.code.as_str()))
}
