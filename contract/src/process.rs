//! A process definition: the state machine of a module's orders as data, for people and diagrams. The center shows it
//! and never runs it; the module decides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::{ActionName, EffectKind};
use crate::status::OrderStatus;

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
}

/// One native state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessState {
    /// Its native name.
    pub name: String,
    /// The unified status it stands for.
    pub status: OrderStatus,
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
    /// A JSON Schema of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Map<String, Value>>,
}
