//! Running a process: one pure computation from an order and what is asked of it to the order that follows.
//!
//! It owns the decision; a caller makes it durable or throws it away, which is a dry run. It refuses with the same
//! blockers that [`Process::available_actions`] lists. Nothing here reads a clock or a database, so that predicted and
//! real effects are the same computation.

use chrono::{DateTime, Utc};
use order_contract::process::{ProcessTransition, Trigger};
use order_contract::protocol::ActionError;
use order_contract::{
    ActionBlocker, AvailableAction, Effect, EffectKind, EffectStatus, OrderEvent, OrderSnapshot, PredictedEffect,
    SourceVersion,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::{Process, Recipe, is_manual};
use crate::ledger::Movement;

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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .error.message)]
pub struct Refusal {
    /// Whether the order's state is at fault (HTTP 409), not the input (422).
    pub conflict: bool,
    /// The answer.
    pub error: ActionError,
}

impl Refusal {
    /// The input is at fault, at this JSON pointer.
    #[must_use]
    pub fn input(code: &str, field: impl Into<String>, message: impl Into<String>) -> Self {
        let field = Some(field.into()).filter(|f| !f.is_empty());
        Self { conflict: false, error: ActionError { field, ..error(code, message) } }
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
}

fn error(code: &str, message: impl Into<String>) -> ActionError {
    ActionError { code: code.into(), message: message.into(), field: None, blockers: Vec::new(), current_version: None }
}

/// An order after a move.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The order as it is now.
    pub order: OrderSnapshot,
    /// The receipt.
    pub effects: Vec<Effect>,
    /// What the ledgers have to book.
    pub movements: Vec<Movement>,
}

/// An order in the hands of a step.
#[derive(Debug)]
pub struct Work<'a> {
    /// The order.
    pub order: OrderSnapshot,
    /// When.
    pub now: DateTime<Utc>,
    /// The state to go to, where the definition leaves a choice.
    pub next_state: Option<&'static str>,
    input: &'a Map<String, Value>,
    effects: Vec<Effect>,
    movements: Vec<Movement>,
}

impl Work<'_> {
    /// The input as its type.
    ///
    /// # Errors
    /// `INVALID_INPUT` with the JSON pointer of the first thing that does not fit.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        read_input(self.input)
    }

    /// The id of the timeline entry that this move will leave; ledger entries carry it.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("e{}", self.order.events.len() + 1)
    }

    /// Adds a line to the receipt with the ledger entries behind it.
    pub fn book(
        &mut self,
        kind: EffectKind,
        description: String,
        amount: Option<order_contract::Amount>,
        movements: Vec<Movement>,
    ) {
        let reference = (!movements.is_empty()).then(|| format!("{}/{}", self.order.source_order_id, self.event_id()));
        self.effects.push(Effect { kind, status: EffectStatus::Done, description, reference, amount });
        self.movements.extend(movements);
    }
}

/// Reads an action's input.
///
/// # Errors
/// `INVALID_INPUT` with the JSON pointer of the first thing that does not fit.
pub(crate) fn read_input<T: DeserializeOwned>(input: &Map<String, Value>) -> Result<T, Refusal> {
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
    /// Makes one move.
    ///
    /// # Errors
    /// [`Refusal`] when the definition, a guard or the input does not allow it.
    pub fn advance(&self, order: &OrderSnapshot, ask: &Ask<'_>) -> Result<Moved, Refusal> {
        let mut moved = self.step_through(order, ask)?;
        moved.order.available_actions = self.available_actions(&moved.order);
        Ok(moved)
    }

    /// Makes one move without working out what may be asked next: for moves that others follow at once.
    pub(crate) fn step_through(&self, order: &OrderSnapshot, ask: &Ask<'_>) -> Result<Moved, Refusal> {
        let (transition, recipe) = self.way(order, ask)?;
        let blockers: Vec<_> = recipe.guards.iter().filter_map(|guard| guard(order)).collect();
        if !blockers.is_empty() {
            return Err(blocked(order, blockers));
        }
        let from = order.native.state.clone();
        let mut work = Work {
            order: order.clone(),
            now: ask.now,
            next_state: None,
            input: ask.input,
            effects: Vec::new(),
            movements: Vec::new(),
        };
        let event_id = work.event_id();
        if recipe.steps.is_empty() && !ask.input.is_empty() {
            return Err(Refusal::input("INVALID_INPUT", "", format!("{} takes no input.", ask.action)));
        }
        for step in &recipe.steps {
            step(&mut work)?;
        }
        let Work { mut order, next_state, effects, movements, .. } = work;
        let stays = || transition.to.iter().find(|to| **to == from);
        let to = match next_state {
            Some(state) => transition.to.iter().find(|to| *to == state),
            None => stays().or_else(|| transition.to.first()),
        };
        let state = to.and_then(|to| self.definition.states.iter().find(|s| s.name == *to));
        let Some(state) = state else {
            return Err(Refusal::conflict("ACTION_NOT_ALLOWED", format!("{} cannot lead there.", ask.action)));
        };
        order.native.state.clone_from(&state.name);
        order.status = state.status;
        order.version = SourceVersion::try_new(order.version.get() + 1)
            .map_err(|e| Refusal::conflict("ACTION_NOT_ALLOWED", e.to_string()))?;
        order.events.push(OrderEvent {
            id: event_id,
            event_type: ask.action.into(),
            at: ask.now,
            actor: ask.actor.map(Into::into),
            message: effects.first().map(|e| e.description.clone()),
            from_state: Some(from).filter(|f| !f.is_empty()),
            to_state: Some(state.name.clone()),
        });
        (self.settle)(&mut order, ask.now);
        Ok(Moved { order, effects, movements })
    }

    /// What may be asked of an order now, what may not and why. Effects are those of the action with empty input.
    #[must_use]
    pub fn available_actions(&self, order: &OrderSnapshot) -> Vec<AvailableAction> {
        let mut actions: Vec<AvailableAction> = Vec::new();
        for transition in self.definition.transitions.iter().filter(|t| is_manual(t.trigger) && !t.from.is_empty()) {
            if actions.iter().any(|a| a.name == transition.action) {
                continue;
            }
            let none = Map::new();
            let action = transition.action.as_str();
            let ask = Ask { action, input: &none, trigger: Trigger::Manual, now: order.times.updated_at, actor: None };
            let (blockers, schema) = match self.way(order, &ask) {
                Ok((transition, recipe)) => {
                    (recipe.guards.iter().filter_map(|guard| guard(order)).collect(), transition.input_schema.clone())
                }
                Err(refusal) => (refusal.error.blockers, None),
            };
            let enabled = blockers.is_empty();
            let effects =
                if enabled { self.step_through(order, &ask).map_or(Vec::new(), |m| m.effects) } else { Vec::new() };
            actions.push(AvailableAction {
                name: transition.action.clone(),
                enabled,
                blockers,
                input_schema: schema.filter(|_| enabled),
                effects: effects
                    .into_iter()
                    .map(|e| PredictedEffect { kind: e.kind, description: e.description, amount: e.amount })
                    .collect(),
            });
        }
        actions
    }

    /// The transition that an action takes from the order's state.
    fn way(&self, order: &OrderSnapshot, ask: &Ask<'_>) -> Result<(&ProcessTransition, &Recipe), Refusal> {
        let state = order.native.state.as_str();
        let known: Vec<_> = self
            .definition
            .transitions
            .iter()
            .zip(&self.recipes)
            .filter(|(t, _)| t.action.as_str() == ask.action && t.trigger == ask.trigger)
            .filter(|(t, _)| t.from.is_empty() == state.is_empty())
            .collect();
        if known.is_empty() {
            let names = self.definition.transitions.iter().filter(|t| is_manual(t.trigger) && !t.from.is_empty());
            let names = unique(names.map(|t| t.action.as_str()));
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
