//! The process engine: a process is data, and this is what reads, checks and runs it.
//!
//! It owns the definition of one kind of order: states, actions, guards and steps by name. It refuses, when it is
//! loaded, a definition that names what does not exist, cannot be reached or left, could be read in two ways or has an
//! effect that nothing takes back, and, when it runs, every action that the definition does not allow. That is so that
//! what `availableActions` tells and what execution does are one computation and cannot drift apart.

mod check;
mod diagram;
mod layout;
mod plan;
mod settings;
mod svg;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use order_contract::process::{ProcessDefinition, ProcessState, ProcessTransition, Trigger};
use order_contract::{ActionBlocker, EffectKind, OrderSnapshot};

pub use check::DefinitionError;
pub use plan::{Ask, Move, Moved, PlannedEffect, Refusal, Work};
pub use settings::{SettingError, Settings};

use crate::service::Receipt;

/// What a guard looks at.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The order.
    pub order: &'a OrderSnapshot,
    /// When.
    pub now: DateTime<Utc>,
    /// What the operator set.
    pub settings: &'a Settings,
}

/// Says whether an order may make a move; `None` lets it pass. The blocker's code is the guard's name.
pub type Guard = fn(&Situation<'_>) -> Option<ActionBlocker>;

/// A moment in an order's life that timers count from; none when it has not come.
pub type Moment = fn(&OrderSnapshot) -> Option<DateTime<Utc>>;

/// One step of a move: changes the order in hand and names what is asked of the services. It is pure.
pub type Run = fn(&mut Work<'_>) -> Result<(), Refusal>;

/// Writes into the order what a service answered to the command of a step, and says it better where it can.
pub type Receive = fn(&mut OrderSnapshot, &PlannedEffect, &Receipt) -> Option<String>;

/// What is known of a step that definitions name.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// What it moves outside the order; nothing needs taking back where it is empty.
    pub moves: &'static [EffectKind],
    /// What takes that back; none where nothing can.
    pub compensation: Option<&'static str>,
    /// What it does.
    pub run: Run,
    /// What it does with the answer.
    pub receive: Option<Receive>,
}

/// What a definition may name.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary {
    /// The guards by the code of the blocker they answer.
    pub guards: &'static [(&'static str, Guard)],
    /// The codes of refusals that depend on more than the order, such as `OUT_OF_STOCK`: steps and services answer them.
    pub refusals: &'static [&'static str],
    /// The steps.
    pub steps: &'static [Step],
    /// The moments that timers may count from.
    pub moments: &'static [(&'static str, Moment)],
    /// Brings the order's derived facts (statuses, sums, times) in line after every move.
    pub settle: fn(&mut OrderSnapshot, &ProcessState, DateTime<Utc>),
}

/// A checked process with its settings, ready to run.
#[derive(Debug)]
pub struct Process {
    definition: ProcessDefinition,
    recipes: Vec<Recipe>,
    settings: Settings,
    settle: fn(&mut OrderSnapshot, &ProcessState, DateTime<Utc>),
    steps: &'static [Step],
}

/// What belongs to the transition of the same index.
#[derive(Debug)]
struct Recipe {
    guards: Vec<Guard>,
    steps: Vec<Step>,
    moment: Option<Moment>,
}

impl Process {
    /// Reads and checks a definition.
    ///
    /// # Errors
    /// [`DefinitionError`] names the first thing that is wrong.
    pub fn load(
        json: &str,
        vocabulary: &Vocabulary,
        given: &BTreeMap<String, String>,
    ) -> Result<Self, DefinitionError> {
        let mut definition: ProcessDefinition = serde_json::from_str(json).map_err(DefinitionError::Read)?;
        check::states(&definition)?;
        let settings = Settings::read(&definition.settings, given).map_err(DefinitionError::Setting)?;
        let recipes = definition.transitions.iter().map(|t| check::recipe(&definition, t, vocabulary));
        let recipes: Vec<_> = recipes.collect::<Result<_, _>>()?;
        for (transition, recipe) in definition.transitions.iter_mut().zip(&recipes) {
            transition.effects.clear();
            for kind in recipe.steps.iter().flat_map(|step| step.moves) {
                if !transition.effects.contains(kind) {
                    transition.effects.push(*kind);
                }
            }
        }
        let Vocabulary { settle, steps, .. } = *vocabulary;
        Ok(Self { definition, recipes, settings, settle, steps })
    }

    /// The definition as the protocol shows it.
    #[must_use]
    pub fn definition(&self) -> &ProcessDefinition {
        &self.definition
    }

    /// The definition's version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.definition.version
    }

    /// Its settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether orders can be in a state of this name.
    #[must_use]
    pub fn has_state(&self, name: &str) -> bool {
        self.state(name).is_some()
    }

    /// The timers of an order as it is now: action and when it is due.
    #[must_use]
    pub fn timers(&self, order: &OrderSnapshot) -> Vec<(String, DateTime<Utc>)> {
        self.due(order).map(|(transition, at)| (transition.action.to_string(), at)).collect()
    }

    fn due(&self, order: &OrderSnapshot) -> impl Iterator<Item = (&ProcessTransition, DateTime<Utc>)> {
        let state = order.native.state.as_str();
        let ways = self.ways(move |t| t.trigger == Trigger::Timer && t.from.iter().any(|from| from == state));
        ways.filter_map(move |(transition, recipe)| {
            let after = self.settings.span(&transition.timer.as_ref()?.after)?;
            let since = recipe.moment.map_or_else(|| entered(order), |moment| moment(order))?;
            Some((transition, since.checked_add_signed(after)?))
        })
    }

    fn state(&self, name: &str) -> Option<&ProcessState> {
        self.definition.states.iter().find(|s| s.name == name)
    }

    /// The transitions that fit, with what belongs to them.
    fn ways(&self, fits: impl Fn(&ProcessTransition) -> bool) -> impl Iterator<Item = (&ProcessTransition, &Recipe)> {
        self.definition.transitions.iter().zip(&self.recipes).filter(move |(transition, _)| fits(transition))
    }
}

/// When an order came into its state.
fn entered(order: &OrderSnapshot) -> Option<DateTime<Utc>> {
    let came = order.events.iter().rev().find(|e| e.to_state.is_some() && e.to_state != e.from_state);
    came.filter(|e| e.to_state.as_ref() == Some(&order.native.state)).map(|e| e.at)
}

/// Whether clients may ask for a transition; the others happen by themselves.
fn is_manual(trigger: Trigger) -> bool {
    trigger == Trigger::Manual
}
