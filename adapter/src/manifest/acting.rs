//! How the platform is asked to act, and what its answers prove.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::http::Request;
use super::text::Expression;

/// `[actions.VERB]`. Its outcome is unknown unless an answer proves otherwise. Expressions see `$id`, `$key` (the
/// operation's own, the same on every attempt), `$input`, `$before` (the order's fresh record) and `$saved`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What it does, for people.
    #[serde(default)]
    pub title: Option<String>,
    /// The fields of its input; a `?` after the kind makes one optional.
    #[serde(default)]
    pub input: BTreeMap<String, InputKind>,
    /// The native states (`map.state`) it is allowed in; any when absent.
    #[serde(default)]
    pub allowed_from: Option<Vec<String>>,
    /// Whether it is allowed, from the order's fresh record. Where the owner shows its next states, they decide.
    #[serde(default)]
    pub allowed_when: Option<Expression>,
    /// Why it is not allowed then, for the person who would press the button.
    #[serde(default)]
    pub not_allowed: Option<String>,
    /// What is wrong with the input for this order: a sentence, or null when nothing is. Input: the fresh record.
    #[serde(default)]
    pub refuse: Option<Expression>,
    /// Whether the order is read before it is asked; only an action that needs no fresh record may do without.
    #[serde(default = "yes")]
    pub precheck: bool,
    /// The one request. Either this or `step`.
    #[serde(default)]
    pub request: Option<Request>,
    /// Several requests, in their order.
    #[serde(default)]
    pub step: Vec<Step>,
    /// What a success brings.
    #[serde(default)]
    pub result: Outcome,
    /// The new record, from the exchange, where `result` is `body`.
    #[serde(default)]
    pub record: Option<Expression>,
    /// Whether it has been done, from a later record of the order: what settles doubt.
    #[serde(default)]
    pub confirm: Option<Expression>,
    /// Whether it has failed after it was accepted, from a later record of the order.
    #[serde(default)]
    pub failed: Option<Expression>,
    /// How the platform tells a repeated ask from a new one.
    #[serde(default)]
    pub idempotency: Idempotency,
    /// Whether asking twice is harmless: doubt is then settled by asking again.
    #[serde(default)]
    pub repeatable: bool,
    /// What its error answers mean, before the manifest's own rules.
    #[serde(default)]
    pub error: Vec<ErrorRule>,
}

fn yes() -> bool {
    true
}

/// One request of several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The request.
    pub request: Request,
    /// Whether it is needed, from the order's fresh record; always when absent.
    #[serde(default)]
    pub when: Option<Expression>,
    /// Whether it changes anything. A request that only asks says `false`: what is refused after it was still not done.
    /// `GET` requests never do.
    #[serde(default = "yes")]
    pub effect: bool,
    /// What an earlier attempt under this key left on the order, as the values `save` would have: the step is then not
    /// asked again. Input: the fresh record; null when there is nothing.
    #[serde(default)]
    pub found: Option<Expression>,
    /// Whether asking this step twice is harmless: an ask in doubt whose earlier steps are found goes on with it.
    #[serde(default)]
    pub repeatable: bool,
    /// Values for later steps, from the exchange: `$saved.NAME`.
    #[serde(default)]
    pub save: BTreeMap<String, Expression>,
}

/// What a success brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing of use: the order is read.
    #[default]
    Get,
    /// The new record: see `record`.
    Body,
    /// A promise: the order is read until `confirm` or `failed` holds.
    Poll,
}

/// How the platform tells a repeated ask from a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Idempotency {
    /// It does not.
    #[default]
    None,
    /// By the key in this header.
    Header(String),
    /// By the key in this GraphQL variable.
    GraphqlVariable(String),
    /// It does not, but `$key` stands in what the request leaves on the order, and `confirm` finds it.
    Marker,
    /// By the order's version in the request: of two asks at one version only one can win.
    Version,
}

/// What an error answer means.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// Whether it applies, from the exchange. An expression that fails does not match.
    pub when: Expression,
    /// What it means.
    pub class: Class,
    /// A stable code, from the exchange, where `class` is `rejected`.
    #[serde(default)]
    pub code: Option<Expression>,
    /// A sentence for people, from the exchange.
    #[serde(default)]
    pub message: Option<Expression>,
    /// Seconds to wait, from the exchange, where `class` is `rate_limited`; `Retry-After` when absent.
    #[serde(default)]
    pub wait_s: Option<Expression>,
}

/// What an error answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Not done: too many requests.
    RateLimited,
    /// Not done: the credentials are not good (any more).
    Auth,
    /// Not done, and it will not be: a rule of the platform.
    Rejected,
    /// Not done: the order has changed since it was read.
    Conflict,
    /// Not done, but worth another try: a deadlock, a lock.
    Retry,
    /// Done, or done before.
    Applied,
    /// It may have been done although an error came back.
    Unknown,
}

/// The kind of an input field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^(text|decimal|amount|integer|boolean|lines|address|object)\\??$"))]
pub struct InputKind {
    /// What a value looks like.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
}

/// What a value of an input looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// An exact decimal, as text.
    Decimal,
    /// An amount of money to move: an exact decimal above zero, as text.
    Amount,
    /// A whole number.
    Integer,
    /// Yes or no.
    Boolean,
    /// `[{lineId, quantity}]`, every quantity above zero.
    Lines,
    /// An address as in the canonical order.
    Address,
    /// Anything.
    Object,
}

impl TryFrom<String> for InputKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (word, optional) = text.strip_suffix('?').map_or((text.as_str(), false), |word| (word, true));
        let kind = match word {
            "text" => Kind::Text,
            "decimal" => Kind::Decimal,
            "amount" => Kind::Amount,
            "integer" => Kind::Integer,
            "boolean" => Kind::Boolean,
            "lines" => Kind::Lines,
            "address" => Kind::Address,
            "object" => Kind::Object,
            other => {
                return Err(format!(
                    "there is no kind of input {other:?}: text, decimal, amount, integer, boolean, lines, address or object"
                ));
            }
        };
        Ok(Self { kind, optional })
    }
}
