//! The process engine: a process is data, and this is what reads, checks and runs it.
//!
//! It owns the definition of one kind of order: states, actions, guards and steps by name. It refuses, when it is
//! loaded, a definition that names what does not exist, cannot be reached or cannot be left, and, when it runs, every
//! action that the definition does not allow. That is so that what `availableActions` tells and what execution does
//! are one computation and cannot drift apart.

mod diagram;
mod run;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use order_contract::process::{ProcessDefinition, Trigger};
use order_contract::{ActionBlocker, OrderSnapshot};
use serde::Deserialize;

pub(crate) use run::read_input;
pub use run::{Ask, Moved, Refusal, Work};

/// Says whether an order may make a move; `None` lets it pass. The blocker's code is the guard's name.
pub type Guard = fn(&OrderSnapshot) -> Option<ActionBlocker>;

/// One step of a move: changes the order in hand and names the movements that go with it.
pub type Step = fn(&mut Work<'_>) -> Result<(), Refusal>;

/// What a definition may name.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary {
    /// The guards by the code of the blocker they answer.
    pub guards: &'static [(&'static str, Guard)],
    /// The codes of refusals that depend on more than the order, such as `OUT_OF_STOCK`: steps and callers answer them.
    pub refusals: &'static [&'static str],
    /// The steps.
    pub steps: &'static [(&'static str, Step)],
    /// Brings the order's derived facts (statuses, sums, times) in line after every move.
    pub settle: fn(&mut OrderSnapshot, DateTime<Utc>),
}

/// Why a definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// It is not the JSON of a definition.
    #[error("the process definition cannot be read")]
    Read(#[source] serde_json::Error),
    /// A state is named twice.
    #[error("the state {0} is defined twice")]
    StateTwice(String),
    /// A transition names a state that is not defined.
    #[error("the action {action} names the state {state}, which is not defined")]
    NoSuchState {
        /// The action.
        action: String,
        /// The state.
        state: String,
    },
    /// A transition names a guard that the vocabulary has not.
    #[error("the action {action} names the guard {guard}, which does not exist")]
    NoSuchGuard {
        /// The action.
        action: String,
        /// The guard.
        guard: String,
    },
    /// A transition names a step that the vocabulary has not.
    #[error("the action {action} names the step {step}, which does not exist")]
    NoSuchStep {
        /// The action.
        action: String,
        /// The step.
        step: String,
    },
    /// Two transitions of one action leave the same state.
    #[error("the action {action} is defined twice for the state {state}")]
    Ambiguous {
        /// The action.
        action: String,
        /// The state, empty for creation.
        state: String,
    },
    /// A transition leads nowhere.
    #[error("the action {0} leads to no state")]
    NoTarget(String),
    /// A state is not terminal and nothing leaves it.
    #[error("the state {0} is not terminal and nothing leads out of it")]
    DeadEnd(String),
    /// No way from creation leads to a state.
    #[error("the state {0} cannot be reached")]
    Unreachable(String),
}

/// A checked process, ready to run.
#[derive(Debug)]
pub struct Process {
    definition: ProcessDefinition,
    recipes: Vec<Recipe>,
    settle: fn(&mut OrderSnapshot, DateTime<Utc>),
}

/// What belongs to the transition of the same index.
#[derive(Debug)]
struct Recipe {
    guards: Vec<Guard>,
    steps: Vec<Step>,
}

impl Process {
    /// Reads and checks a definition: the protocol's [`ProcessDefinition`] whose transitions also name their `steps`.
    ///
    /// # Errors
    /// [`DefinitionError`] names the first thing that is wrong.
    pub fn load(json: &str, vocabulary: &Vocabulary) -> Result<Self, DefinitionError> {
        #[derive(Deserialize)]
        struct Recipes {
            transitions: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            #[serde(default)]
            steps: Vec<String>,
        }
        let definition: ProcessDefinition = serde_json::from_str(json).map_err(DefinitionError::Read)?;
        let named: Recipes = serde_json::from_str(json).map_err(DefinitionError::Read)?;
        check_states(&definition)?;
        let recipes = definition
            .transitions
            .iter()
            .zip(named.transitions)
            .map(|(transition, named)| {
                let action = transition.action.to_string();
                let known = transition.guards.iter().filter(|g| !vocabulary.refusals.contains(&g.as_str()));
                let guards = known.map(|guard| {
                    let found = vocabulary.guards.iter().find(|(name, _)| name == guard).map(|(_, run)| *run);
                    found.ok_or_else(|| DefinitionError::NoSuchGuard { action: action.clone(), guard: guard.clone() })
                });
                let steps = named.steps.iter().map(|step| {
                    let found = vocabulary.steps.iter().find(|(name, _)| name == step).map(|(_, run)| *run);
                    found.ok_or_else(|| DefinitionError::NoSuchStep { action: action.clone(), step: step.clone() })
                });
                Ok(Recipe { guards: guards.collect::<Result<_, _>>()?, steps: steps.collect::<Result<_, _>>()? })
            })
            .collect::<Result<_, DefinitionError>>()?;
        Ok(Self { definition, recipes, settle: vocabulary.settle })
    }

    /// The definition as the protocol shows it.
    #[must_use]
    pub fn definition(&self) -> &ProcessDefinition {
        &self.definition
    }
}

fn check_states(definition: &ProcessDefinition) -> Result<(), DefinitionError> {
    let mut states = HashSet::new();
    if let Some(twice) = definition.states.iter().find(|s| !states.insert(s.name.as_str())) {
        return Err(DefinitionError::StateTwice(twice.name.clone()));
    }
    let mut taken = HashSet::new();
    for transition in &definition.transitions {
        let action = || transition.action.to_string();
        if let Some(state) = transition.from.iter().chain(&transition.to).find(|s| !states.contains(s.as_str())) {
            return Err(DefinitionError::NoSuchState { action: action(), state: state.clone() });
        }
        if transition.to.is_empty() {
            return Err(DefinitionError::NoTarget(action()));
        }
        let sources =
            if transition.from.is_empty() { vec![""] } else { transition.from.iter().map(String::as_str).collect() };
        if let Some(state) = sources.into_iter().find(|s| !taken.insert((transition.action.as_str(), *s))) {
            return Err(DefinitionError::Ambiguous { action: action(), state: state.into() });
        }
    }
    let leaves = |state: &str| ways(definition).any(|(from, to)| from == Some(state) && to != state);
    if let Some(stuck) = definition.states.iter().find(|s| !s.terminal && !leaves(&s.name)) {
        return Err(DefinitionError::DeadEnd(stuck.name.clone()));
    }
    let mut reached: HashSet<&str> = HashSet::new();
    while let Some((_, to)) =
        ways(definition).find(|(from, to)| from.is_none_or(|f| reached.contains(f)) && !reached.contains(to))
    {
        reached.insert(to);
    }
    definition
        .states
        .iter()
        .find(|s| !reached.contains(s.name.as_str()))
        .map_or(Ok(()), |s| Err(DefinitionError::Unreachable(s.name.clone())))
}

/// The single ways of a definition, from none where orders begin. A transition whose targets are its sources leaves
/// the order in its state.
fn ways(definition: &ProcessDefinition) -> impl Iterator<Item = (Option<&str>, &str)> {
    definition.transitions.iter().flat_map(|t| {
        let from = t.from.iter().map(|s| Some(s.as_str())).chain(t.from.is_empty().then_some(None));
        from.flat_map(move |from| {
            t.to.iter()
                .map(String::as_str)
                .filter(move |to| t.from != t.to || from == Some(*to))
                .map(move |to| (from, to))
        })
    })
}

/// Whether clients may ask for a transition; the others happen by themselves.
fn is_manual(trigger: Trigger) -> bool {
    trigger == Trigger::Manual
}
