//! Actions as a state machine: whether one may be asked, the request that follows, and what each answer proves.
//!
//! It owns the line between what is proven and what is not. It refuses to call anything done or refused that a rule of
//! the manifest does not say: every other answer, and every missing one, leaves the outcome unknown. That is because the
//! platforms behind manifests move money, and most of them do it again when they are asked again.

use std::collections::BTreeMap;

use jaq_json::Val;
use order_contract::protocol::ActionError;
use order_contract::{ActionBlocker, ActionName, AvailableAction};
use serde_json::{Map, Value};

use super::exchange::{Call, Exchange, Request, object};
use super::expression::{Bindings, Program, is_true};
use super::input;
use super::template::Declared;
use super::verdict::Rules;
use super::{EngineError, Record};
use crate::manifest::{self, Class, ErrorRule, Idempotency, InputKind, Outcome};
use crate::package::Package;
use crate::program::parse;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The order; none for `create`.
    pub order: Option<&'a str>,
    /// The operation's own key, the same on every attempt.
    pub key: &'a str,
    /// The input.
    pub input: &'a Map<String, Value>,
}

/// How an attempt ended, as far as it is proven.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Done; with the record where the answer holds it.
    Applied(Option<Record>),
    /// Promised; later records tell.
    Accepted,
    /// Refused; nothing changed.
    Rejected(ActionError),
    /// The order has changed since it was read; nothing was done.
    Conflict(String),
    /// Nothing was done, and it may be tried again, perhaps after so many seconds.
    NotDone(String, Option<u64>),
    /// Not known.
    Unknown(String),
}

/// What comes next in an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Send this, and tell the attempt what came of it.
    Send(Call),
    /// There is nothing more to send.
    End(End),
}

/// What a later record of the order proves about an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was done.
    Applied,
    /// It failed after it had been promised.
    Failed,
    /// Nothing shows it, and asking again is safe.
    Repeatable,
    /// Nothing shows it, and it may still happen.
    Open,
}

/// One action, compiled.
#[derive(Debug)]
pub(super) struct Action {
    name: ActionName,
    input: BTreeMap<String, InputKind>,
    allowed_from: Option<Vec<String>>,
    allowed_when: Option<Program>,
    not_allowed: String,
    refuse: Option<Program>,
    pub(super) precheck: bool,
    steps: Vec<Step>,
    result: Outcome,
    record: Option<Program>,
    confirm: Option<Program>,
    failed: Option<Program>,
    idempotency: Idempotency,
    repeatable: bool,
    rules: Rules,
}

#[derive(Debug)]
struct Step {
    name: String,
    request: Request,
    graphql: bool,
    effect: bool,
    when: Option<Program>,
    found: Option<Program>,
    repeatable: bool,
    save: Vec<(String, Program)>,
}

impl Action {
    pub(super) fn compile(
        verb: &str,
        action: &manifest::Action,
        package: &Package,
        declared: &Declared<'_>,
    ) -> Result<Self, EngineError> {
        let place = format!("actions.{verb}");
        let wrong = |reason: String| EngineError::Manifest(place.clone(), reason);
        let name = ActionName::try_new(verb).map_err(|error| wrong(error.to_string()))?;
        let program = |part: &str, expression: &Option<manifest::Expression>| {
            let compile = |e| Program::compile(&format!("{place}.{part}"), e).map_err(EngineError::Expression);
            expression.as_ref().map(compile).transpose()
        };
        let step = |part: &str, name: &str, request: &manifest::Request| {
            let request_place = format!("{place}.{part}");
            Ok::<_, EngineError>(Step {
                name: name.to_owned(),
                request: Request::compile(&request_place, request, package, declared)?,
                graphql: request.graphql.is_some(),
                effect: !request.only_reads(),
                when: None,
                found: None,
                repeatable: false,
                save: Vec::new(),
            })
        };
        let steps = match (&action.request, action.step.as_slice()) {
            (Some(request), []) => vec![step("request", "request", request)?],
            (None, steps @ [_, ..]) => {
                let compiled = steps.iter().enumerate().map(|(i, of)| {
                    let part = |name: &str| format!("step[{i}].{name}");
                    let save = of.save.iter().map(|(name, expression)| {
                        let place = format!("{place}.step[{i}].save.{name}");
                        Ok((name.clone(), Program::compile(&place, expression).map_err(EngineError::Expression)?))
                    });
                    let request = step(&part("request"), &of.name, &of.request)?;
                    Ok(Step {
                        effect: of.effect && request.effect,
                        when: program(&part("when"), &of.when)?,
                        found: program(&part("found"), &of.found)?,
                        repeatable: of.repeatable,
                        save: save.collect::<Result<_, EngineError>>()?,
                        ..request
                    })
                });
                compiled.collect::<Result<Vec<_>, EngineError>>()?
            }
            (Some(_), [_, ..]) => return Err(wrong("it has a `request` and a `step`: one of them".into())),
            (None, []) => return Err(wrong("it asks for nothing: give `request` or `step`".into())),
        };
        let by_key = matches!(
            action.idempotency,
            Idempotency::Header(_) | Idempotency::GraphqlVariable(_) | Idempotency::Marker
        );
        let requests = || action.request.iter().chain(action.step.iter().map(|step| &step.request));
        let sends_key = matches!(action.idempotency, Idempotency::Header(_))
            || requests().any(|request| Request::names(request, "key"));
        if by_key && !sends_key {
            return Err(wrong("no request names `$key`, which tells a repeated ask from a new one".into()));
        }
        if action.result == Outcome::Body && action.record.is_none() {
            return Err(wrong("`result` is `body`: say in `record` where the record is".into()));
        }
        if matches!(action.idempotency, Idempotency::Marker) || action.result == Outcome::Poll {
            action
                .confirm
                .as_ref()
                .ok_or_else(|| wrong("give `confirm`, which finds out whether it was done".into()))?;
        }
        let guarded = action.allowed_from.is_some() || action.allowed_when.is_some() || action.refuse.is_some();
        if guarded && !action.precheck && verb != "create" {
            return Err(wrong("what is allowed is seen on a fresh record: leave `precheck` out".into()));
        }
        Ok(Self {
            name,
            input: action.input.clone(),
            allowed_from: action.allowed_from.clone(),
            allowed_when: program("allowed_when", &action.allowed_when)?,
            not_allowed: action.not_allowed.clone().unwrap_or_else(|| "The platform does not allow it now".to_owned()),
            refuse: program("refuse", &action.refuse)?,
            precheck: action.precheck,
            steps,
            result: action.result,
            record: program("record", &action.record)?,
            confirm: program("confirm", &action.confirm)?,
            failed: program("failed", &action.failed)?,
            idempotency: action.idempotency.clone(),
            repeatable: action.repeatable,
            rules: Rules::compile(&format!("{place}.error"), &action.error)?,
        })
    }

    /// Whether it makes an order instead of changing one.
    pub(super) fn creates(&self) -> bool {
        self.name.as_str() == "create"
    }

    /// Whether the platform deduplicates by our key.
    pub(super) fn is_keyed(&self) -> bool {
        matches!(self.idempotency, Idempotency::Header(_) | Idempotency::GraphqlVariable(_))
    }

    /// The action as front ends see it.
    pub(super) fn available(&self, record: &Val, state: Option<&str>, bindings: &Bindings) -> AvailableAction {
        let blockers = self.blockers(record, state, bindings);
        AvailableAction {
            name: self.name.clone(),
            enabled: blockers.is_empty(),
            blockers,
            input_schema: Some(input::schema(&self.input)),
            effects: Vec::new(),
        }
    }

    fn blockers(&self, record: &Val, state: Option<&str>, bindings: &Bindings) -> Vec<ActionBlocker> {
        if let (Some(allowed), state) = (&self.allowed_from, state.unwrap_or("unknown"))
            && !allowed.iter().any(|word| word == state)
        {
            let message = format!("The order is {state}; this takes one that is {}", allowed.join(", "));
            let details = Map::from_iter([
                ("state".to_owned(), state.into()),
                ("allowedFrom".to_owned(), allowed.clone().into()),
            ]);
            return vec![ActionBlocker { code: "STATE".into(), message, details: Some(details) }];
        }
        let Some(allowed) = &self.allowed_when else { return Vec::new() };
        let message = match allowed.value(record, bindings) {
            Ok(value) if is_true(&value) => return Vec::new(),
            Ok(_) => self.not_allowed.clone(),
            Err(reason) => format!(
                "Whether it is allowed could not be found out ({reason}): read the order again, and have its adapter mended if \
                 that stays so"
            ),
        };
        vec![ActionBlocker { code: "NOT_ALLOWED".into(), message, details: None }]
    }

    /// Why the input is not taken, before anything is read.
    pub(super) fn check_input(&self, input: &Map<String, Value>) -> Result<(), ActionError> {
        input::check(&self.input, input)
    }

    /// Why the action is refused for this order, before anything is sent.
    pub(super) fn refusal(&self, record: &Val, state: Option<&str>, bindings: &Bindings) -> Option<ActionError> {
        let blockers = self.blockers(record, state, bindings);
        if let Some(first) = blockers.first() {
            let message = first.message.clone();
            return Some(ActionError { blockers, ..error("ACTION_NOT_ALLOWED", message) });
        }
        match self.refuse.as_ref()?.objection(record, bindings) {
            Ok(None) => None,
            Ok(Some(sentence)) => Some(error("INVALID_INPUT", sentence)),
            // What cannot be checked is not sent.
            Err(reason) => Some(error("INVALID_INPUT", format!("the input could not be checked: {reason}"))),
        }
    }

    /// Whether the order shows what an attempt has done, and what comes next may be asked again.
    fn resumes(&self, rules: &Rules, record: &Val, bindings: &Bindings) -> bool {
        let mut attempt = Attempt::new(self, rules, record.clone(), bindings.clone());
        matches!(attempt.next_move(), Move::Send(_))
            && attempt.done.is_some()
            && self.steps.get(attempt.at).is_some_and(|step| step.repeatable)
    }

    /// What a later record of the order proves.
    pub(super) fn settle(&self, rules: &Rules, record: &Val, bindings: &Bindings) -> Settled {
        let holds = |program: &Option<Program>| program.as_ref().is_some_and(|program| program.holds(record, bindings));
        if holds(&self.confirm) {
            Settled::Applied
        } else if holds(&self.failed) {
            Settled::Failed
        } else if bindings.stopped().is_some() {
            Settled::Open
        } else if self.repeatable
            || self.is_keyed()
            || self.idempotency == Idempotency::Version
            || self.resumes(rules, record, bindings)
        {
            Settled::Repeatable
        } else {
            Settled::Open
        }
    }
}

/// One attempt at an action: what was sent, what came back, what follows.
#[derive(Debug)]
pub struct Attempt<'a> {
    action: &'a Action,
    rules: &'a Rules,
    before: Val,
    bindings: Bindings,
    saved: BTreeMap<String, Val>,
    /// The step that follows.
    at: usize,
    /// The last step that had an effect, in this attempt or an earlier one.
    done: Option<&'a str>,
    end: Option<End>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(action: &'a Action, rules: &'a Rules, before: Val, bindings: Bindings) -> Self {
        Self { action, rules, before, bindings, saved: BTreeMap::new(), at: 0, done: None, end: None }
    }

    /// What comes next. Where an expression was stopped, nothing does: which step follows is not known.
    pub fn next_move(&mut self) -> Move {
        let following = self.following();
        match self.bindings.stopped().map(str::to_owned) {
            Some(reason) if self.end.is_none() => {
                self.stop(End::NotDone(reason.clone(), None));
                Move::End(self.end.clone().unwrap_or(End::Unknown(reason)))
            }
            _ => following,
        }
    }

    fn following(&mut self) -> Move {
        let action = self.action;
        while let (None, Some(step)) = (&self.end, action.steps.get(self.at)) {
            if step.when.as_ref().is_some_and(|when| !when.holds(&self.before, &self.bindings)) {
                self.at += 1;
                continue;
            }
            let found = step.found.as_ref().and_then(|found| found.value(&self.before, &self.bindings).ok());
            if let Some(Val::Obj(values)) = found {
                let named =
                    values.iter().filter_map(|(name, value)| Some((super::expression::text(name)?, value.clone())));
                self.saved.extend(named);
                self.advance(step);
                continue;
            }
            match step.request.render(&self.before, &self.bindings) {
                Ok(mut call) => {
                    if let Idempotency::Header(name) = &action.idempotency {
                        let key = self.bindings.text("key").unwrap_or_default();
                        // Each request of several is an ask of its own.
                        let key = if self.at == 0 { key } else { format!("{key}-{}", self.at) };
                        call.headers.push((name.clone(), key));
                    }
                    return Move::Send(call);
                }
                Err(reason) => self.stop(End::Rejected(error("INVALID_INPUT", reason.to_string()))),
            }
        }
        // The last steps were not needed.
        let done = if action.result == Outcome::Poll { End::Accepted } else { End::Applied(None) };
        Move::End(self.end.clone().unwrap_or(done))
    }

    /// The present request was never sent.
    pub fn not_sent(&mut self, reason: String, wait_s: Option<u64>) {
        self.stop(End::NotDone(reason, wait_s));
    }

    /// The present request may have arrived; its answer did not come.
    pub fn lost(&mut self, reason: String) {
        self.stop(End::Unknown(reason));
    }

    /// The answer to the present request.
    pub fn answered(&mut self, exchange: &Exchange) {
        let action = self.action;
        let Some(step) = action.steps.get(self.at) else { return };
        let value = exchange.value();
        let rule = action.rules.judge(exchange, &value, &self.bindings);
        let rule = rule.or_else(|| self.rules.judge(exchange, &value, &self.bindings));
        if let Some(reason) = self.bindings.stopped() {
            self.end = Some(End::Unknown(reason.to_owned()));
            return;
        }
        let Some(rule) = rule else { return self.judge_bare(step, exchange, &value) };
        match rule.class {
            Class::Applied => self.succeed(step, exchange, &value),
            Class::Rejected => self.stop(End::Rejected(error(&rule.code, rule.message))),
            Class::Conflict => self.stop(End::Conflict(rule.message)),
            Class::RateLimited => self.stop(End::NotDone("the platform asks to wait".into(), rule.wait_s)),
            Class::Auth => self.stop(End::NotDone("the platform refused the credentials".into(), None)),
            Class::Retry => self.stop(End::NotDone(rule.message, rule.wait_s)),
            Class::Unknown => self.end = Some(End::Unknown(rule.message)),
        }
    }

    /// An answer that no rule matches.
    fn judge_bare(&mut self, step: &'a Step, exchange: &Exchange, value: &Val) {
        let body = super::expression::member(value, "body").cloned().unwrap_or_default();
        let errors = super::expression::member(&body, "errors");
        let failed = step.graphql && errors.is_some_and(|errors| !matches!(errors, Val::Null));
        match exchange.status {
            200..=299 if failed => {
                self.end = Some(End::Unknown(format!("the platform answered {}", exchange.summary())))
            }
            204 if !step.graphql => self.succeed(step, exchange, value),
            200..=299 if !matches!(body, Val::Null) => self.succeed(step, exchange, value),
            401 | 403 => self.stop(End::NotDone("the platform refused the credentials".into(), None)),
            429 => self.stop(End::NotDone("the platform asks to wait".into(), exchange.retry_after_s())),
            _ => self.end = Some(End::Unknown(format!("the platform answered {}", exchange.summary()))),
        }
    }

    fn succeed(&mut self, step: &'a Step, exchange: &Exchange, value: &Val) {
        for (name, program) in &step.save {
            match program.value(value, &self.bindings) {
                Ok(Val::Null) | Err(_) => {
                    let reason = format!("step `{}` gave no `{name}`: {}", step.name, exchange.summary());
                    self.end = Some(End::Unknown(reason));
                    return;
                }
                Ok(value) => {
                    self.saved.insert(name.clone(), value);
                }
            }
        }
        self.advance(step);
        if self.at < self.action.steps.len() {
            return;
        }
        self.end = Some(match (self.action.result, &self.action.record) {
            (Outcome::Poll, _) => End::Accepted,
            (Outcome::Body, Some(record)) => match record.value(value, &self.bindings) {
                Ok(record @ Val::Obj(_)) => End::Applied(Some(Record(record))),
                _ => End::Unknown(format!("no order in {}", exchange.summary())),
            },
            (Outcome::Get | Outcome::Body, _) => End::Applied(None),
        });
    }

    fn advance(&mut self, step: &'a Step) {
        if step.effect {
            self.done = Some(&step.name);
        }
        self.at += 1;
        self.bindings.saved = object(self.saved.iter().map(|(name, value)| (name.as_str(), value.clone())));
    }

    /// The attempt ends here. What ends after a step that had an effect has not come to nothing, whatever it says.
    fn stop(&mut self, end: End) {
        self.end = Some(match (self.done, end) {
            (None, end) => end,
            (Some(done), End::Rejected(error)) => {
                End::Unknown(format!("step `{done}` was done, the next was refused: {}", error.message))
            }
            (Some(done), End::Conflict(reason) | End::NotDone(reason, _)) => {
                End::Unknown(format!("step `{done}` was done, the next was not: {reason}"))
            }
            (Some(_), end) => end,
        });
    }
}

/// What an ask binds.
pub(super) fn bindings(ask: &Ask<'_>, before: &Val, own: Bindings) -> Result<Bindings, EngineError> {
    let json = serde_json::to_vec(ask.input).unwrap_or_default();
    let input = parse(&json).map_err(|error| EngineError::Render("input".into(), error.to_string()))?;
    Ok(Bindings {
        id: ask.order.map_or(Val::Null, |id| Val::from(id.to_owned())),
        key: Val::from(ask.key.to_owned()),
        input,
        before: before.clone(),
        ..own
    })
}

/// A verb the platform does not have, as front ends see it.
pub(super) fn unsupported(verb: &str, why: &str) -> Option<AvailableAction> {
    let blocker = ActionBlocker { code: "NOT_SUPPORTED".into(), message: why.to_owned(), details: None };
    Some(AvailableAction {
        name: ActionName::try_new(verb).ok()?,
        enabled: false,
        blockers: vec![blocker],
        input_schema: None,
        effects: Vec::new(),
    })
}

/// An error without details.
pub(super) fn error(code: &str, message: impl Into<String>) -> ActionError {
    ActionError { code: code.into(), message: message.into(), field: None, blockers: Vec::new(), current_version: None }
}

/// Rules of the whole manifest, for [`super::Engine`].
pub(super) fn rules(rules: &[ErrorRule]) -> Result<Rules, EngineError> {
    Rules::compile("error", rules)
}
