//! A process definition: the state machine of a module's orders as data, for people and diagrams. The center shows it
//! and never runs it; the module decides.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::{ActionName, EffectKind};
use crate::status::{FulfillmentStatus, OrderStatus};

/// The state machine of one kind of order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessDefinition {
    /// Its name, such as `retail`.
    pub name: String,
    /// Grows with every change of the definition.
    pub version: u32,
    /// The states.
    pub states: Vec<ProcessState>,
    /// The ways between them.
    pub transitions: Vec<ProcessTransition>,
    /// What an operator may set, by name, with the defaults: an ISO 8601 duration (`PT30M`), a decimal, or `off`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// One native state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessState {
    /// Its native name.
    pub name: String,
    /// The unified status it stands for.
    pub status: OrderStatus,
    /// Where the goods or services stand in it, where it says so; otherwise that follows from the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fulfillment: Option<FulfillmentStatus>,
    /// A sentence.
    pub description: String,
    /// Whether orders begin here.
    #[serde(default)]
    pub initial: bool,
    /// Whether orders may end here.
    #[serde(default)]
    pub terminal: bool,
}

/// Who sets a transition off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Trigger {
    /// Someone asks for it.
    Manual,
    /// Time passes.
    Timer,
    /// Something happens in the module.
    System,
}

/// One way between states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessTransition {
    /// The action.
    pub action: ActionName,
    /// From which states.
    pub from: Vec<String>,
    /// To which states; the guard or the input decides among several.
    pub to: Vec<String>,
    /// Who sets it off.
    pub trigger: Trigger,
    /// A sentence.
    pub description: String,
    /// The codes of the blockers its guards can name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
    /// What it moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<EffectKind>,
    /// What is done, in order, before the order is in its new state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<ProcessStep>,
    /// When a timer sets it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<ProcessTimer>,
    /// What sets it off in the module; none with [`Trigger::System`] for as soon as the order is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// A JSON Schema of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Map<String, Value>>,
}

/// One step of a transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessStep {
    /// Its name.
    pub step: String,
    /// What takes its effect back when a later step is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<String>,
    /// Its effect is not taken back: it comes after all that could be refused, and is repeated until it is done.
    #[serde(default, rename = "final", skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
}

/// When a timer sets a transition off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessTimer {
    /// The setting that says how long it takes; `off` for never.
    pub after: String,
    /// From when on: a moment that the module names. Absent: when the order came into its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}
