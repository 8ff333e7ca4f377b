//! Actions: what can be asked of the module that owns an order, whether it may be asked now, and what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{IdError, text_id};
use crate::money::Amount;

text_id!(
    /// The verb of an action as the module names it (`cancel`, `request_return`, or a verb of its own such as `pack`).
    ActionName,
    |t| t.len() <= 64
        && t.starts_with(|c: char| c.is_ascii_lowercase())
        && t.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
    IdError::ActionName
);

impl ActionName {
    /// The standard action this verb names, or [`ActionType::Custom`].
    #[must_use]
    pub fn action_type(&self) -> ActionType {
        ActionType::ALL.iter().copied().find(|t| t.verb() == Some(self.as_str())).unwrap_or(ActionType::Custom)
    }
}

/// The standard actions of an order's life. A module's own verbs are `CUSTOM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActionType {
    /// Place an order.
    Create,
    /// Pay, wholly or in part.
    Pay,
    /// Begin production, picking or preparation.
    Produce,
    /// Hand over to a carrier.
    Ship,
    /// Confirm receipt (the buyer) or acceptance (the merchant).
    Confirm,
    /// Close as done.
    Complete,
    /// Change address, quantity or slot.
    Modify,
    /// Call off.
    Cancel,
    /// Give money back.
    Refund,
    /// Ask to send goods back.
    RequestReturn,
    /// Take returned goods in.
    ReceiveReturn,
    /// A verb of the module's own.
    Custom,
}

impl ActionType {
    /// Every value.
    pub const ALL: &[Self] = &[
        Self::Create,
        Self::Pay,
        Self::Produce,
        Self::Ship,
        Self::Confirm,
        Self::Complete,
        Self::Modify,
        Self::Cancel,
        Self::Refund,
        Self::RequestReturn,
        Self::ReceiveReturn,
        Self::Custom,
    ];

    /// The verb in the protocol; none for [`Self::Custom`].
    #[must_use]
    pub fn verb(self) -> Option<&'static str> {
        match self {
            Self::Create => Some("create"),
            Self::Pay => Some("pay"),
            Self::Produce => Some("produce"),
            Self::Ship => Some("ship"),
            Self::Confirm => Some("confirm"),
            Self::Complete => Some("complete"),
            Self::Modify => Some("modify"),
            Self::Cancel => Some("cancel"),
            Self::Refund => Some("refund"),
            Self::RequestReturn => Some("request_return"),
            Self::ReceiveReturn => Some("receive_return"),
            Self::Custom => None,
        }
    }
}

/// Why an action may not be asked now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionBlocker {
    /// A stable code in upper snake case, such as `PAYMENT_NOT_CAPTURED`.
    pub code: String,
    /// A sentence for the person who would press the button.
    pub message: String,
    /// Facts behind it: the allowed states, the largest refundable amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Map<String, Value>>,
}

/// What an action moves besides the order itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EffectKind {
    /// Stock, codes or capacity: reserved, released, deducted, restored.
    Stock,
    /// A coupon use: spent or given back.
    Coupon,
    /// Loyalty points: earned, spent, returned.
    Points,
    /// Money: authorized, captured, voided, refunded.
    Payment,
    /// A shipment: created, recalled.
    Shipping,
    /// Anything else.
    Other,
}

/// Whether an effect has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EffectStatus {
    /// It happened.
    Done,
    /// It will; it is under way.
    Pending,
    /// The owner cannot do it: someone must see to it.
    NotSupported,
    /// It was tried and did not work.
    Failed,
}

/// One line of an effect receipt: what an action did besides changing the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Effect {
    /// What was moved.
    pub kind: EffectKind,
    /// Whether it happened.
    pub status: EffectStatus,
    /// A sentence: `6 × 85123A back in stock`.
    pub description: String,
    /// The owner's ledger entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The money moved, in the order's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// What an action would move, told before it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PredictedEffect {
    /// What would be moved.
    pub kind: EffectKind,
    /// A sentence.
    pub description: String,
    /// The money that would move, in the order's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// An action of an order as its owner sees it now: whether it may be asked, why not, and what input it wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AvailableAction {
    /// The verb to ask with.
    pub name: ActionName,
    /// Whether the owner would accept it now.
    pub enabled: bool,
    /// Why it would not. Empty when enabled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<ActionBlocker>,
    /// A JSON Schema of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Map<String, Value>>,
    /// What it would move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<PredictedEffect>,
}

impl AvailableAction {
    /// The standard action its verb names.
    #[must_use]
    pub fn action_type(&self) -> ActionType {
        self.name.action_type()
    }
}
