//! Running a process: one pure computation from an order and what is asked of it to the order that follows and what
//! the services have to do for it.
//!
//! It owns the decision; a caller has the services do their part and makes it durable, or throws it away, which is a
//! dry run. It refuses with the same blockers that [`Process::available_actions`] lists. Nothing here reads a clock, a
//! database or a service, so that predicted and real effects are the same computation.

use chrono::{DateTime, Utc};
use order_contract::process::{ProcessTransition, Trigger};
use order_contract::protocol::ActionError;
use order_contract::{
    ActionBlocker, Amount, AvailableAction, Effect, EffectKind, EffectStatus, OrderEvent, OrderSnapshot, OrderStatus,
    PredictedEffect, SourceVersion,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::{Process, Recipe, Settings, Situation, is_manual};
use crate::service::{Command, Facts, Receipt};

/// The most moves that follow one ask by themselves: a definition that goes in circles ends here.
const CHAIN_MAX: usize = 8;

/// What is asked of an order.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The verb.
    pub action: &'a str,
    /// Its input.
    pub input: &'a Map<String, Value>,
    /// Who sets it off: a client is never heard on a timer's move.
    pub trigger: Trigger,
    /// When.
    pub now: DateTime<Utc>,
    /// Who asks, for the timeline.
    pub actor: Option<&'a str>,
}

/// Why a move was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", .error.message)]
pub struct Refusal {
    /// Whether the order's state or the state of things is at fault (HTTP 409), not the input (422).
    pub conflict: bool,
    /// The answer.
    pub error: ActionError,
}

impl Refusal {
    /// The input is at fault, at this JSON pointer.
    #[must_use]
    pub fn input(code: &str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { conflict: false, error: error(code, message) }.at(field)
    }

    /// The state of things is at fault.
    #[must_use]
    pub fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self { conflict: true, error: error(code, message) }
    }

    /// The order has moved on from the version that was expected.
    #[must_use]
    pub fn version(expected: SourceVersion, current: SourceVersion) -> Self {
        let message = format!("The order is at version {current}, not {expected}: read it again, then decide.");
        let error = ActionError { current_version: Some(current), ..error("VERSION_CONFLICT", message) };
        Self { conflict: true, error }
    }

    /// The same, for what stands at this JSON pointer of the input.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        let field = Some(field.into()).filter(|f| !f.is_empty());
        Self { error: ActionError { field, ..self.error }, ..self }
    }
}

fn error(code: &str, message: impl Into<String>) -> ActionError {
    ActionError { code: code.into(), message: message.into(), field: None, blockers: Vec::new(), current_version: None }
}

/// What a step wants done outside the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedEffect {
    /// The step.
    pub step: String,
    /// What it moves.
    pub kind: EffectKind,
    /// A sentence for the receipt.
    pub description: String,
    /// The money moved, in the order's currency.
    pub amount: Option<Amount>,
    /// What is asked of a service; none for what the module does by itself.
    pub command: Option<Command>,
    /// Whether nothing takes it back: then it is repeated until it is done.
    pub is_final: bool,
}

/// A move that is allowed, before the services did their part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// The verb.
    pub action: String,
    /// The order as it will be, but for what the services answer.
    pub order: OrderSnapshot,
    /// What the services have to do, in order.
    pub effects: Vec<PlannedEffect>,
}

/// An order after a move.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The order as it is now.
    pub order: OrderSnapshot,
    /// The receipt.
    pub effects: Vec<Effect>,
}

/// An order in the hands of a step.
#[derive(Debug)]
pub struct Work<'a> {
    /// The order.
    pub order: OrderSnapshot,
    /// When.
    pub now: DateTime<Utc>,
    /// What the services told before.
    pub facts: &'a Facts,
    /// What the operator set.
    pub settings: &'a Settings,
    /// The order before the move.
    pub before: &'a OrderSnapshot,
    /// Whether all of it is done: decides between the states that the definition leaves to choose from.
    pub done: bool,
    input: &'a Map<String, Value>,
    step: &'a str,
    is_final: bool,
    effects: Vec<PlannedEffect>,
}

impl Work<'_> {
    /// The input as its type.
    ///
    /// # Errors
    /// `INVALID_INPUT` with the JSON pointer of the first thing that does not fit.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        read_input(self.input)
    }

    /// Adds a line to the receipt, and what a service has to do for it.
    pub fn effect(
        &mut self,
        kind: EffectKind,
        description: impl Into<String>,
        amount: Option<Amount>,
        command: Option<Command>,
    ) {
        let (step, is_final) = (self.step.to_owned(), self.is_final);
        self.effects.push(PlannedEffect { step, kind, description: description.into(), amount, command, is_final });
    }

    /// The same for what a service has to do.
    pub fn command(&mut self, description: impl Into<String>, amount: Option<Amount>, command: Command) {
        self.effect(command.moves(), description, amount, Some(command));
    }
}

/// Reads an action's input.
///
/// # Errors
/// `INVALID_INPUT` with the JSON pointer of the first thing that does not fit.
fn read_input<T: DeserializeOwned>(input: &Map<String, Value>) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(Value::Object(input.clone())).map_err(|error| {
        let pointer = error.path().iter().fold(String::new(), |pointer, segment| match segment {
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Map { key } => format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { .. } | Segment::Unknown => pointer,
        });
        Refusal::input("INVALID_INPUT", pointer, error.into_inner().to_string())
    })
}

impl Process {
    /// Decides on one move.
    ///
    /// # Errors
    /// [`Refusal`] when the definition, a guard or the input does not allow it.
    pub fn plan(&self, order: &OrderSnapshot, ask: &Ask<'_>, facts: &Facts) -> Result<Move, Refusal> {
        self.plan_with(order, ask, facts, &self.settings)
    }

    /// Decides under other settings: for history, which the rules of today do not bind.
    pub(crate) fn plan_with(
        &self,
        order: &OrderSnapshot,
        ask: &Ask<'_>,
        facts: &Facts,
        settings: &Settings,
    ) -> Result<Move, Refusal> {
        let (transition, recipe) = self.way(order, ask)?;
        let situation = Situation { order, now: ask.now, settings };
        let blockers: Vec<_> = recipe.guards.iter().filter_map(|guard| guard(&situation)).collect();
        if !blockers.is_empty() {
            return Err(blocked(order, blockers));
        }
        check_names(transition, ask.input)?;
        let from = order.native.state.clone();
        // A new order was nothing before, whatever its draft holds.
        let nothing = from.is_empty().then(|| OrderSnapshot { lines: Vec::new(), ..order.clone() });
        let mut work = Work {
            order: order.clone(),
            now: ask.now,
            facts,
            settings,
            done: true,
            before: nothing.as_ref().unwrap_or(order),
            input: ask.input,
            step: "",
            is_final: false,
            effects: Vec::new(),
        };
        for (step, named) in recipe.steps.iter().zip(&transition.steps) {
            (work.step, work.is_final) = (step.name, named.is_final);
            (step.run)(&mut work)?;
        }
        let Work { mut order, done, effects, .. } = work;
        let stays = || transition.to.iter().find(|to| **to == from);
        // Targets stand in the order of progress; a transition whose targets are its sources moves nothing on.
        let to = match done && transition.to != transition.from {
            true => transition.to.last(),
            false => stays().or_else(|| transition.to.first()),
        };
        let state = to.and_then(|to| self.state(to));
        let Some(state) = state else {
            return Err(Refusal::conflict("ACTION_NOT_ALLOWED", format!("{} cannot lead there.", ask.action)));
        };
        order.native.state.clone_from(&state.name);
        order.status = state.status;
        order.version = SourceVersion::try_new(order.version.get() + 1)
            .map_err(|e| Refusal::conflict("ACTION_NOT_ALLOWED", e.to_string()))?;
        order.events.push(OrderEvent {
            id: format!("e{}", order.events.len() + 1),
            event_type: ask.action.into(),
            at: ask.now,
            actor: ask.actor.map(Into::into),
            message: effects.first().map(|e| e.description.clone()),
            from_state: Some(from).filter(|f| !f.is_empty()),
            to_state: Some(state.name.clone()),
        });
        (self.settle)(&mut order, state, ask.now);
        Ok(Move { action: ask.action.into(), order, effects })
    }

    /// The order after a move, with what the services answered: a receipt, or why a final effect did not happen.
    #[must_use]
    pub fn complete(&self, planned: Move, answers: &[Result<Receipt, String>], now: DateTime<Utc>) -> Moved {
        let mut moved = self.receive(planned, answers, now);
        self.tell(&mut moved.order, now);
        moved
    }

    /// The same without what may be asked next: for moves that others follow at once.
    pub(crate) fn receive(&self, planned: Move, answers: &[Result<Receipt, String>], now: DateTime<Utc>) -> Moved {
        let Move { mut order, effects, .. } = planned;
        let mut answers = answers.iter();
        let receipt = effects.into_iter().map(|planned| {
            let answer = planned.command.as_ref().and_then(|_| answers.next());
            let receive = self.steps.iter().find(|step| step.name == planned.step).and_then(|step| step.receive);
            let told = receive.zip(answer).and_then(|(receive, answer)| {
                let failed = || Receipt { reference: String::new(), status: EffectStatus::Failed, data: Map::new() };
                receive(&mut order, &planned, &answer.clone().unwrap_or_else(|_| failed()))
            });
            let (status, reference, why) = match answer {
                Some(Ok(receipt)) => (receipt.status, Some(receipt.reference.clone()), None),
                Some(Err(why)) => (EffectStatus::Failed, None, Some(why)),
                None => (EffectStatus::Done, None, None),
            };
            let description = told.unwrap_or(planned.description);
            let description = why.map_or(description.clone(), |why| format!("{description}: {why}"));
            Effect { kind: planned.kind, status, description, reference, amount: planned.amount }
        });
        let effects = receipt.collect();
        if let Some(state) = self.state(&order.native.state) {
            (self.settle)(&mut order, state, now);
        }
        Moved { order, effects }
    }

    /// Writes into the order what may be asked of it and when it will expire.
    pub(crate) fn tell(&self, order: &mut OrderSnapshot, now: DateTime<Utc>) {
        if order.status != OrderStatus::Expired {
            let expires = |t: &ProcessTransition| {
                let mut ends = t.to.iter().filter_map(|to| self.state(to));
                ends.any(|state| state.status == OrderStatus::Expired)
            };
            order.times.expires_at = self.due(order).filter(|(t, _)| expires(t)).map(|(_, at)| at).min();
        }
        order.available_actions = self.available_actions(order, now);
    }

    /// The action that an order takes by itself now: because it is where it is, or because something happened.
    #[must_use]
    pub fn automatic(&self, order: &OrderSnapshot, event: Option<&str>, now: DateTime<Utc>) -> Option<&str> {
        let situation = Situation { order, now, settings: &self.settings };
        let fits = |t: &ProcessTransition| {
            t.trigger == Trigger::System && t.event.as_deref() == event && t.from.contains(&order.native.state)
        };
        let mut ways =
            self.ways(fits).filter(|(_, recipe)| recipe.guards.iter().all(|guard| guard(&situation).is_none()));
        ways.next().map(|(transition, _)| transition.action.as_str())
    }

    /// What would come of an ask if the services did their part, with all that follows by itself.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn foresee(&self, order: &OrderSnapshot, ask: &Ask<'_>, facts: &Facts) -> Result<Moved, Refusal> {
        let (mut order, effects) = self.chain(order, ask, facts)?;
        self.tell(&mut order, ask.now);
        let done = effects.into_iter().map(|PlannedEffect { kind, description, amount, .. }| Effect {
            kind,
            status: EffectStatus::Done,
            description,
            reference: None,
            amount,
        });
        Ok(Moved { order, effects: done.collect() })
    }

    /// The order after a move and those that follow by themselves, and all their effects.
    fn chain(
        &self,
        order: &OrderSnapshot,
        ask: &Ask<'_>,
        facts: &Facts,
    ) -> Result<(OrderSnapshot, Vec<PlannedEffect>), Refusal> {
        let Move { mut order, mut effects, .. } = self.plan(order, ask, facts)?;
        let none = Map::new();
        for _ in 0..CHAIN_MAX {
            let Some(action) = self.automatic(&order, None, ask.now) else { break };
            let next = Ask { action, input: &none, trigger: Trigger::System, now: ask.now, actor: None };
            let Ok(next) = self.plan(&order, &next, facts) else { break };
            order = next.order;
            effects.extend(next.effects);
        }
        Ok((order, effects))
    }

    /// What may be asked of an order now, what may not and why. Effects are those of the action with empty input.
    #[must_use]
    pub fn available_actions(&self, order: &OrderSnapshot, now: DateTime<Utc>) -> Vec<AvailableAction> {
        let mut actions: Vec<AvailableAction> = Vec::new();
        let (none, facts) = (Map::new(), Facts::default());
        for (transition, _) in self.ways(|t| is_manual(t.trigger) && !t.from.is_empty()) {
            if actions.iter().any(|a| a.name == transition.action) {
                continue;
            }
            let action = transition.action.as_str();
            let ask = Ask { action, input: &none, trigger: Trigger::Manual, now, actor: None };
            let situation = Situation { order, now, settings: &self.settings };
            let (blockers, schema): (Vec<_>, _) = match self.way(order, &ask) {
                Ok((transition, recipe)) => (
                    recipe.guards.iter().filter_map(|guard| guard(&situation)).collect(),
                    transition.input_schema.clone(),
                ),
                Err(refusal) => (refusal.error.blockers, None),
            };
            let enabled = blockers.is_empty();
            // What needs input cannot be foreseen without it.
            let foreseen = self.chain(order, &ask, &facts).map_or(Vec::new(), |(_, effects)| effects);
            let told =
                |e: PlannedEffect| PredictedEffect { kind: e.kind, description: e.description, amount: e.amount };
            actions.push(AvailableAction {
                name: transition.action.clone(),
                enabled,
                blockers,
                input_schema: schema.filter(|_| enabled),
                effects: foreseen.into_iter().map(told).collect(),
            });
        }
        actions
    }

    /// Moves an order that went by another version of the definition to a state of this one; false when there is none.
    pub(crate) fn migrate(&self, order: &mut OrderSnapshot, state: &str, now: DateTime<Utc>) -> bool {
        let (Some(state), Ok(version)) = (self.state(state), SourceVersion::try_new(order.version.get() + 1)) else {
            return false;
        };
        order.events.push(OrderEvent {
            id: format!("e{}", order.events.len() + 1),
            event_type: "migrate".into(),
            at: now,
            actor: None,
            message: Some(format!("goes by version {} of the process", self.version())),
            from_state: Some(std::mem::replace(&mut order.native.state, state.name.clone())),
            to_state: Some(state.name.clone()),
        });
        (order.status, order.version) = (state.status, version);
        (self.settle)(order, state, now);
        self.tell(order, now);
        true
    }

    /// The transition that an action takes from the order's state.
    fn way(&self, order: &OrderSnapshot, ask: &Ask<'_>) -> Result<(&ProcessTransition, &Recipe), Refusal> {
        let state = order.native.state.as_str();
        let known: Vec<_> = self
            .ways(|t| t.action.as_str() == ask.action && t.trigger == ask.trigger)
            .filter(|(t, _)| t.from.is_empty() == state.is_empty())
            .collect();
        if known.is_empty() {
            let names = self.ways(|t| is_manual(t.trigger) && !t.from.is_empty());
            let names = unique(names.map(|(t, _)| t.action.as_str()));
            let message = format!("There is no action {}; there are {}.", ask.action, names.join(", "));
            return Err(Refusal::input("UNKNOWN_ACTION", "", message));
        }
        let fits = |t: &ProcessTransition| t.from.is_empty() || t.from.iter().any(|f| f == state);
        if let Some(found) = known.iter().find(|(t, _)| fits(t)) {
            return Ok(*found);
        }
        let allowed = unique(known.iter().flat_map(|(t, _)| t.from.iter().map(String::as_str)));
        let mut details = Map::new();
        details.insert("allowedStates".into(), allowed.clone().into());
        let blocker = ActionBlocker {
            code: "STATE_NOT_ALLOWED".into(),
            message: format!("The order is {state}; {} is possible while it is {}.", ask.action, allowed.join(" or ")),
            details: Some(details),
        };
        Err(blocked(order, vec![blocker]))
    }
}

/// Refuses a field that the action does not have. What a field must be, the step that reads it says.
fn check_names(transition: &ProcessTransition, input: &Map<String, Value>) -> Result<(), Refusal> {
    let known = transition.input_schema.as_ref().and_then(|s| s.get("properties")).and_then(Value::as_object);
    let stranger = input.keys().find(|name| known.is_none_or(|known| !known.contains_key(*name)));
    let Some(name) = stranger else { return Ok(()) };
    let message = match known.filter(|known| !known.is_empty()) {
        Some(known) => {
            let names: Vec<_> = known.keys().map(String::as_str).collect();
            format!("{} has no field {name:?}; it has: {}.", transition.action, names.join(", "))
        }
        None => format!("{} takes no input.", transition.action),
    };
    Err(Refusal::input("INVALID_INPUT", format!("/{}", name.replace('~', "~0").replace('/', "~1")), message))
}

fn blocked(order: &OrderSnapshot, blockers: Vec<ActionBlocker>) -> Refusal {
    // The stored list is what the client saw; it holds for this very version of the order.
    let possible: Vec<_> = order.available_actions.iter().filter(|a| a.enabled).map(|a| a.name.as_str()).collect();
    let reasons: Vec<_> = blockers.iter().map(|b| b.message.as_str()).collect();
    let instead = if possible.is_empty() { "nothing".into() } else { possible.join(", ") };
    let message = format!("{} Possible now: {instead}.", reasons.join(" "));
    Refusal { conflict: true, error: ActionError { blockers, ..error("ACTION_NOT_ALLOWED", message) } }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut list = Vec::new();
    names.for_each(|name| {
        if !list.contains(&name) {
            list.push(name);
        }
    });
    list
}
