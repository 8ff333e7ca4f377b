//! The messages of the Order Module Protocol, version 1.0: what a module implements over HTTP + JSON to be plugged in
//! with no mapping at all. `schema/order-module.openapi.json` is generated from these types.
//!
//! Every request carries `Order-Module-Protocol: 1.0`; every error reply is a [`Problem`]. An action is asked under an
//! `Idempotency-Key` that the module remembers with its outcome, so that [`paths::OPERATION`] makes every timeout
//! decidable.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::{ActionBlocker, AvailableAction, Effect};
use crate::id::{SourceOrderId, SourceVersion};
use crate::order::OrderSnapshot;
use crate::status::OrderKind;

/// The protocol version these messages are of.
pub const VERSION: &str = "1.0";

/// The paths, relative to the module's base URL.
pub mod paths {
    /// `GET`: [`super::Descriptor`].
    pub const DESCRIPTOR: &str = "/.well-known/order-module";
    /// `GET`: [`super::OrderPage`] for a [`super::ListOrders`] query. `POST`: create, with an [`super::ActionCall`].
    pub const ORDERS: &str = "/orders";
    /// `GET`: one [`crate::OrderSnapshot`], or 404.
    pub const ORDER: &str = "/orders/{id}";
    /// `GET`: [`super::OrderActions`].
    pub const ACTIONS: &str = "/orders/{id}/actions";
    /// `POST`: perform the action, with an [`super::ActionCall`]; answers an [`super::ActionReply`].
    pub const ACTION: &str = "/orders/{id}/actions/{name}";
    /// `GET`: the [`super::ActionReply`] stored under an idempotency key; 404 proves that it never arrived.
    pub const OPERATION: &str = "/operations/{key}";
    /// `GET`: [`crate::process::ProcessDefinition`].
    pub const PROCESS: &str = "/process";
}

/// The codes of a [`Problem`] that readers depend on.
pub mod problems {
    /// 404 of [`super::paths::ORDER`] and what is below it: the module has no such order.
    pub const ORDER_NOT_FOUND: &str = "ORDER_NOT_FOUND";
    /// 404 of [`super::paths::OPERATION`]: no action ever arrived under this key, so nothing happened.
    pub const OPERATION_NOT_FOUND: &str = "OPERATION_NOT_FOUND";
    /// 400: the module does not speak the version in [`super::VERSION_HEADER`].
    pub const PROTOCOL_VERSION: &str = "PROTOCOL_VERSION";
    /// 400: a query parameter is malformed or out of range; an `after` that the module never issued.
    pub const INVALID_QUERY: &str = "INVALID_QUERY";
    /// 400: the body is not the JSON it should be.
    pub const INVALID_BODY: &str = "INVALID_BODY";
    /// 400: an ask that is not a dry run has no `Idempotency-Key`.
    pub const IDEMPOTENCY_KEY_REQUIRED: &str = "IDEMPOTENCY_KEY_REQUIRED";
    /// 401: the bearer token is missing or wrong.
    pub const UNAUTHORIZED: &str = "UNAUTHORIZED";
    /// 413: the body is larger than the module takes.
    pub const BODY_TOO_LARGE: &str = "BODY_TOO_LARGE";
}

/// The header that carries [`VERSION`].
pub const VERSION_HEADER: &str = "order-module-protocol";
/// The header that carries the key of an action.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// What a module is and can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The protocol version it speaks: `1.0`.
    pub protocol: String,
    /// Who it is.
    pub module: ModuleInfo,
    /// What kind of business its orders belong to.
    pub kind: OrderKind,
    /// How safely it can be asked.
    pub idempotency: Idempotency,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// Who a module is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleInfo {
    /// Its name, such as `retail`.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Its name for people.
    pub title: String,
}

/// How safely a module can be asked to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Idempotency {
    /// It deduplicates by the key: retry freely.
    Keyed,
    /// It checks the expected version: after doubt, read, then retry.
    Conditional,
    /// Neither: ask at most once; doubt is settled by reading the order or by a person.
    Blind,
}

/// What a module can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// The most orders of one page.
    pub page_size_max: u32,
    /// Whether `POST /orders` creates orders.
    #[serde(default)]
    pub create: bool,
    /// Whether `dryRun` is honored.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether `expectedVersion` is honored.
    #[serde(default)]
    pub expected_version: bool,
    /// Whether it sends webhooks.
    #[serde(default)]
    pub webhooks: bool,
    /// Whether `GET /process` is answered.
    #[serde(default)]
    pub process: bool,
}

/// The query of `GET /orders`: orders changed in `[updatedFrom, updatedTo)`, sorted by `(times.updatedAt, id)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListOrders {
    /// Changed at or after. Absent: from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_from: Option<DateTime<Utc>>,
    /// Changed before. Absent: up to now; the reply then says what "now" was, and the pages that follow send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_to: Option<DateTime<Utc>>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// One page of changed orders. `T` is [`OrderSnapshot`] for who writes it and raw JSON for who reads it, so that one
/// bad order never costs the page.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OrderPage")]
pub struct OrderPage<T = OrderSnapshot> {
    /// The orders.
    pub orders: Vec<T>,
    /// Where the next page begins: opaque to the reader; absent on the last page. A keyset over
    /// `(times.updatedAt, id)`, never an offset: orders that move while the list is read must not hide others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The upper bound of this list, by the module's clock.
    pub updated_to: DateTime<Utc>,
}

/// The actions of one order as they stand now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderActions {
    /// The order.
    pub source_order_id: SourceOrderId,
    /// The version they hold for.
    pub version: SourceVersion,
    /// The actions, allowed or not.
    pub actions: Vec<AvailableAction>,
}

/// What is asked with an action. The key is in the `Idempotency-Key` header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionCall {
    /// Refuse with `VERSION_CONFLICT` unless the order is at this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<SourceVersion>,
    /// Answer what would happen and change nothing. The key is not remembered.
    #[serde(default)]
    pub dry_run: bool,
    /// The action's input, as its JSON Schema says.
    #[serde(default)]
    pub input: Map<String, Value>,
    /// Who asks, for the module's own timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// How an action ended. HTTP: `APPLIED` 200, `ACCEPTED` 202, `REJECTED` 409 (state or version) or 422 (input).
/// Any other status, or none, leaves the outcome unknown until `GET /operations/{key}` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Done; the reply has the order as it is now.
    Applied,
    /// Taken; it will be done or refused later.
    Accepted,
    /// Refused; nothing changed.
    Rejected,
}

/// The answer to an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
// Without the bound, serde would ask `T: Default` of a field that is an `Option`.
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
#[schemars(rename = "ActionReply")]
pub struct ActionReply<T = OrderSnapshot> {
    /// How it ended.
    pub outcome: Outcome,
    /// The order as it is now (`APPLIED`), or as it would be (dry run).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<T>,
    /// What was moved besides the order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ActionError>,
}

/// Why a module refused an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionError {
    /// A stable code in upper snake case. Standard codes: `VERSION_CONFLICT`, `ACTION_NOT_ALLOWED`, `INVALID_INPUT`,
    /// `ORDER_NOT_FOUND`, `UNKNOWN_ACTION`, `IDEMPOTENCY_KEY_MISMATCH`; or a code of the module's own.
    pub code: String,
    /// A sentence for the person who asked: what is wrong and what is possible instead.
    pub message: String,
    /// JSON pointer into the input, where the input is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The blockers, as `GET /orders/{id}/actions` lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<ActionBlocker>,
    /// The order's version, with `VERSION_CONFLICT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<SourceVersion>,
}

/// An error reply that is not the outcome of an action (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A short summary.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable code in upper snake case.
    pub code: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The body of a webhook: a CloudEvents 1.0 event in structured JSON that restates the whole order. It is sent with
/// Standard Webhooks headers (`webhook-id`, `webhook-timestamp`, `webhook-signature`) and repeated under the same id
/// until it is answered with a 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CloudEvent")]
pub struct CloudEvent<T = OrderSnapshot> {
    /// `1.0`.
    pub specversion: String,
    /// Unique per module; equals `webhook-id`.
    pub id: String,
    /// The module, as a URI reference.
    pub source: String,
    /// [`ORDER_CHANGED`].
    #[serde(rename = "type")]
    pub event_type: String,
    /// The order's id in the module.
    pub subject: String,
    /// When the order changed.
    pub time: DateTime<Utc>,
    /// `application/json`.
    pub datacontenttype: String,
    /// The whole order.
    pub data: T,
}

/// The type of the event that restates an order.
pub const ORDER_CHANGED: &str = "order.changed";
