//! The suite's own exchanges with the module: each answer is taken whole, and what is wrong with it is said in words.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use order_contract::process::ProcessDefinition;
use order_contract::protocol::{self, ActionCall, ActionReply, Capabilities, Descriptor, Outcome, paths};
use order_contract::{AvailableAction, OrderSnapshot, Rounding, parse_snapshot};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::report::{Miss, fail, skip};
use super::{ConformanceError, Options};
use crate::source::egress::Reach;
use crate::source::wire::{Answer, Wire};

/// The largest answer the suite reads: a page of a thousand large orders.
const BODY_BYTES_MAX: usize = 64 << 20;

/// One run's knowledge of the module.
pub(super) struct Session {
    pub(super) options: Options,
    pub(super) wire: Wire,
    /// The same module without the token.
    pub(super) stranger: Wire,
    pub(super) descriptor: Option<Descriptor>,
    pub(super) process: Option<ProcessDefinition>,
    /// The orders that the first list brought, as they came.
    pub(super) orders: Vec<Value>,
    /// Orders that the run created itself, newest state first seen last.
    pub(super) created: Vec<OrderSnapshot>,
}

impl Session {
    pub(super) fn new(options: Options) -> Result<Self, ConformanceError> {
        let wire = |token| Wire::new(options.base_url.clone(), token, options.timeout, BODY_BYTES_MAX, Reach::Private);
        let wires = wire(options.token.clone()).and_then(|known| Ok((known, wire(None)?)));
        let (wire, stranger) = wires.map_err(ConformanceError::BaseUrl)?;
        Ok(Self { options, wire, stranger, descriptor: None, process: None, orders: Vec::new(), created: Vec::new() })
    }

    /// The module's capabilities; a module without a descriptor is taken to have none.
    pub(super) fn capable(&self, of: fn(&Capabilities) -> bool, name: &str) -> Result<(), Miss> {
        match &self.descriptor {
            Some(descriptor) if of(&descriptor.capabilities) => Ok(()),
            Some(_) => skip(format!("the descriptor does not declare `{name}`")),
            None => skip("there is no descriptor"),
        }
    }

    pub(super) fn page_size_max(&self) -> u32 {
        self.descriptor.as_ref().map_or(50, |d| d.capabilities.page_size_max)
    }

    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, Miss> {
        self.wire.send(request).await.map_err(|error| Miss::Fail(error.to_string()))
    }

    pub(super) async fn get(&self, path: &str, values: &[&str]) -> Result<Answer, Miss> {
        self.send(self.wire.request(Method::GET, path, values)).await
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str, values: &[&str]) -> Result<T, Miss> {
        message(&self.get(path, values).await?)
    }

    /// The order as it is now, as it came and as it is understood.
    pub(super) async fn order(&self, id: &str) -> Result<(Value, OrderSnapshot), Miss> {
        let value: Value = self.read(paths::ORDER, &[id]).await?;
        let snapshot = understood(&value)?;
        Ok((value, snapshot))
    }

    pub(super) async fn actions(&self, id: &str) -> Result<protocol::OrderActions, Miss> {
        self.read(paths::ACTIONS, &[id]).await
    }

    /// A `POST` that asks for an action; `create` when there is no order.
    pub(super) fn ask(&self, order: Option<&str>, action: &str, key: Option<&str>) -> RequestBuilder {
        let request = match order {
            Some(id) => self.wire.request(Method::POST, paths::ACTION, &[id, action]),
            None => self.wire.request(Method::POST, paths::ORDERS, &[]),
        };
        match key {
            Some(key) => request.header(protocol::IDEMPOTENCY_KEY_HEADER, key),
            None => request,
        }
    }

    /// Asks and waits for the outcome, through `ACCEPTED` if need be.
    pub(super) async fn perform(
        &self,
        order: Option<&str>,
        action: &str,
        key: &str,
        call: &ActionCall,
    ) -> Result<(Answer, ActionReply<Value>), Miss> {
        let answer = self.send(self.ask(order, action, Some(key)).json(call)).await?;
        let mut reply = replied(&answer)?;
        let deadline = Instant::now() + self.options.patience;
        while reply.outcome == Outcome::Accepted {
            if Instant::now() > deadline {
                return fail(format!("{action} was ACCEPTED and has not ended after {:?}", self.options.patience));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            reply = self.read(paths::OPERATION, &[key]).await?;
        }
        Ok((answer, reply))
    }

    /// Asks for what must be done.
    pub(super) async fn applied(
        &self,
        order: Option<&str>,
        action: &str,
        key: &str,
        call: &ActionCall,
    ) -> Result<(Value, OrderSnapshot), Miss> {
        let (answer, reply) = self.perform(order, action, key, call).await?;
        match (reply.outcome, reply.order) {
            (Outcome::Applied, Some(order)) => {
                let snapshot = understood(&order)?;
                Ok((order, snapshot))
            }
            (Outcome::Applied, None) => fail(format!("{action} was APPLIED and the reply has no order")),
            _ => fail(format!("{action} was not applied: {}", answer.summary())),
        }
    }

    /// An input for an enabled action: the given sample, or none at all where its schema is content with that.
    pub(super) fn input_for(&self, action: &AvailableAction) -> Option<Map<String, Value>> {
        let given = self.options.inputs.get(action.name.as_str()).cloned();
        let schema = action.input_schema.as_ref();
        let required = schema.and_then(|s| s.get("required")).and_then(Value::as_array).is_some_and(|r| !r.is_empty());
        given.or_else(|| (!required).then(Map::new))
    }
}

/// A key that no module has seen.
pub(super) fn fresh_key() -> String {
    format!("conformance-{}", uuid::Uuid::now_v7())
}

/// Sets a header that the request already has.
pub(super) fn with_header(request: RequestBuilder, name: &'static str, value: &'static str) -> RequestBuilder {
    request.headers(HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]))
}

/// The message of a 200.
pub(super) fn message<T: DeserializeOwned>(answer: &Answer) -> Result<T, Miss> {
    if answer.status != StatusCode::OK {
        return fail(answer.summary());
    }
    is_json(answer, "application/json")?;
    answer.json().map_err(|error| Miss::Fail(format!("{error}: {}", answer.summary())))
}

/// The reply to an action, whose status must be the one of its outcome.
pub(super) fn replied(answer: &Answer) -> Result<ActionReply<Value>, Miss> {
    let reply: ActionReply<Value> =
        answer.json().map_err(|error| Miss::Fail(format!("{error}: {}", answer.summary())))?;
    let (agrees, whole) = match reply.outcome {
        Outcome::Applied => (answer.status == 200, true),
        Outcome::Accepted => (answer.status == 202, true),
        Outcome::Rejected => (answer.status == 409 || answer.status == 422, reply.error.is_some()),
    };
    if !agrees {
        return fail(format!("the status does not belong to the outcome: {}", answer.summary()));
    }
    if !whole {
        return fail(format!("a REJECTED reply has no `error`: {}", answer.summary()));
    }
    Ok(reply)
}

/// Demands an error reply of the protocol; `code` where readers depend on it.
pub(super) fn demand_problem(answer: &Answer, status: u16, code: Option<&str>) -> Result<String, Miss> {
    if answer.status != status {
        return fail(format!("not a {status}: {}", answer.summary()));
    }
    is_json(answer, "application/problem+json")?;
    match (answer.problem(), code) {
        (None, _) => fail(format!("the body is not a problem with its own status and a code: {}", answer.summary())),
        (Some(problem), Some(code)) if problem.code != code => {
            fail(format!("the code is {}, not {code}", problem.code))
        }
        (Some(problem), _) => Ok(format!("{status} {}", problem.code)),
    }
}

fn is_json(answer: &Answer, expected: &str) -> Result<(), Miss> {
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        fail(format!("the content type is {kind:?}, not {expected}"))
    }
}

pub(super) fn understood(order: &Value) -> Result<OrderSnapshot, Miss> {
    match parse_snapshot(order.to_string().as_bytes(), Rounding::Refuse) {
        Ok((snapshot, _)) => Ok(snapshot),
        Err(rejection) => fail(format!("order {} does not parse: {rejection}", id_of(order))),
    }
}

pub(super) fn id_of(order: &Value) -> &str {
    order.get("sourceOrderId").and_then(Value::as_str).unwrap_or("?")
}
