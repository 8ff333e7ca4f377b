//! The OpenAPI 3.1 document of the Order Module Protocol, generated from its message types.
//!
//! It owns the table of paths: who sends what, and which answers mean what. The schemas are those of the types that the
//! center itself reads with, so a module that is generated from this document and the center cannot disagree.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::order::OrderSnapshot;
use crate::process::ProcessDefinition;
use crate::protocol::{
    ActionCall, ActionReply, CloudEvent, Descriptor, IDEMPOTENCY_KEY_HEADER, OrderActions, OrderPage, Problem, VERSION,
    paths,
};

/// The document, as published in `schema/order-module.openapi.json`.
#[must_use]
pub fn order_module() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let schemas = &mut settings.into_generator();
    let paths = paths(schemas);
    let webhooks = webhooks(schemas);
    let problem = json_body(
        "application/problem+json",
        schemas.subschema_for::<Problem>().to_value(),
        problem_example(404, "ORDER_NOT_FOUND", "There is no such order here."),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Order Module Protocol",
            "version": VERSION,
            "summary": "What an order system implements to be plugged into Order Center with no mapping.",
            "description": "Every request carries `Order-Module-Protocol: 1.0` and, where the module has one, its token as bearer token. Every error that is not the outcome of an action is a Problem (RFC 9457). Any answer to an action that this document does not list leaves its outcome unknown: the center then asks `GET /operations/{key}`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The module's base URL, as the operator configures it." }],
        "security": [{ "token": [] }, {}],
        "tags": [
            { "name": "Reading", "description": "What orders there are." },
            { "name": "Acting", "description": "What is asked of an order, and what came of it." },
            { "name": "Describing", "description": "What the module is." },
        ],
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": { "Problem": { "description": "Refused before anything was done.", "content": problem } },
            "parameters": {
                "Version": parameter("order-module-protocol", "header", false, "The protocol version of the caller. Another major version is refused with 400 PROTOCOL_VERSION.", json!({ "type": "string", "default": VERSION }), json!(VERSION)),
                "OrderId": parameter("id", "path", true, "The order's id in the module, percent-encoded as one path segment.", json!({ "type": "string", "minLength": 1, "maxLength": 200 }), json!("R000001")),
                "Key": parameter(IDEMPOTENCY_KEY_HEADER, "header", true, "The key under which this ask takes effect at most once. Not needed for a dry run.", key_schema(), json!(KEY)),
            },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

const KEY: &str = "0193a7c2-7d8e-7c4b-9d4e-6f1f0a2b3c4d";

fn key_schema() -> Value {
    json!({ "type": "string", "pattern": "^[!-~]{1,200}$" })
}

fn parameter(name: &str, place: &str, required: bool, description: &str, schema: Value, example: Value) -> Value {
    json!({ "name": name, "in": place, "required": required, "description": description, "schema": schema, "example": example })
}

fn query(name: &str, description: &str, schema: Value, example: Value) -> Value {
    parameter(name, "query", false, description, schema, example)
}

fn shared(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

fn json_body(kind: &str, schema: Value, example: Value) -> Value {
    json!({ kind: { "schema": schema, "example": example } })
}

/// One documented reply.
fn reply<T: JsonSchema>(schemas: &mut SchemaGenerator, description: &str, example: Value) -> Value {
    let schema = schemas.subschema_for::<T>().to_value();
    json!({ "description": description, "content": json_body("application/json", schema, example) })
}

fn request<T: JsonSchema>(schemas: &mut SchemaGenerator, example: Value) -> Value {
    let schema = schemas.subschema_for::<T>().to_value();
    json!({ "required": true, "content": json_body("application/json", schema, example) })
}

/// One operation with the answers that every operation can give.
struct Endpoint {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    replies: Vec<(&'static str, Value)>,
    /// Error statuses with the codes they carry.
    problems: &'static [(&'static str, &'static str)],
}

impl Endpoint {
    fn into_value(self) -> Value {
        let mut responses: Map<String, Value> =
            self.replies.into_iter().map(|(status, reply)| (status.to_owned(), reply)).collect();
        let common = [
            ("400", "PROTOCOL_VERSION"),
            ("401", "UNAUTHORIZED"),
            ("429", "come back after Retry-After seconds"),
            ("503", "come back after Retry-After seconds"),
        ];
        for (status, codes) in self.problems.iter().chain(&common) {
            responses.entry(*status).or_insert_with(
                || json!({ "$ref": "#/components/responses/Problem", "description": format!("A Problem: {codes}.") }),
            );
        }
        let mut parameters = vec![shared("Version")];
        parameters.extend(self.parameters);
        let mut operation = json!({
            "operationId": self.id, "tags": [self.tag], "summary": self.summary, "description": self.description,
            "parameters": parameters, "responses": responses,
        });
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation
    }
}

fn paths(schemas: &mut SchemaGenerator) -> Value {
    let time = || json!({ "type": "string", "format": "date-time" });
    json!({
        paths::DESCRIPTOR: { "get": Endpoint {
            id: "describe", tag: "Describing", summary: "What the module is and can do",
            description: "Asked at start and every few minutes. Unknown capabilities are ignored by older centers.",
            parameters: vec![], body: None,
            replies: vec![("200", reply::<Descriptor>(schemas, "The descriptor.", descriptor_example()))],
            problems: &[],
        }.into_value() },
        paths::ORDERS: {
            "get": Endpoint {
                id: "listOrders", tag: "Reading", summary: "Orders changed in [updatedFrom, updatedTo)",
                description: "Sorted by (times.updatedAt, sourceOrderId), paged by keyset: an order that changes while the list is read moves behind `updatedTo` and hides no other. The first page says which `updatedTo` it took; the pages that follow send it with `after`. Nothing may later appear before an `updatedTo` that was answered.",
                parameters: vec![
                    query("updatedFrom", "Changed at or after. Absent: from the beginning.", time(), json!("2026-01-01T00:00:00Z")),
                    query("updatedTo", "Changed before. Absent: up to now, which the reply tells.", time(), json!("2026-01-02T00:00:00Z")),
                    query("after", "The `next` of the page before.", json!({ "type": "string" }), json!("MTc2NzI2MTYwMDAwMDAwMA")),
                    query("limit", "At most so many orders: 1 to the descriptor's pageSizeMax.", json!({ "type": "integer", "minimum": 1 }), json!(200)),
                ],
                body: None,
                replies: vec![("200", reply::<OrderPage>(schemas, "One page.", json!({ "orders": [order_example()], "next": "MTc2NzI2MTYwMDAwMDAwMA", "updatedTo": "2026-01-02T00:00:00Z" })))],
                problems: &[("400", "PROTOCOL_VERSION or INVALID_QUERY")],
            }.into_value(),
            "post": Endpoint {
                id: "createOrder", tag: "Acting", summary: "Create an order",
                description: "The action `create`: the same promises as every action. Only where the descriptor says `create`.",
                parameters: vec![shared("Key")],
                body: Some(request::<ActionCall>(schemas, json!({ "input": { "lines": [{ "sku": "85123A", "quantity": 2 }] }, "actor": "anna@example.com" }))),
                replies: action_replies(schemas),
                problems: ACTION_PROBLEMS,
            }.into_value(),
        },
        paths::ORDER: { "get": Endpoint {
            id: "getOrder", tag: "Reading", summary: "One order as it is now",
            description: "The same document as in the list.",
            parameters: vec![shared("OrderId")], body: None,
            replies: vec![("200", reply::<OrderSnapshot>(schemas, "The order.", order_example()))],
            problems: &[("404", "ORDER_NOT_FOUND")],
        }.into_value() },
        paths::ACTIONS: { "get": Endpoint {
            id: "listActions", tag: "Acting", summary: "What may be asked of an order now",
            description: "Each action with whether it is enabled; a disabled one names at least one blocker, an enabled one none.",
            parameters: vec![shared("OrderId")], body: None,
            replies: vec![("200", reply::<OrderActions>(schemas, "The actions, for the version they hold for.", actions_example()))],
            problems: &[("404", "ORDER_NOT_FOUND")],
        }.into_value() },
        paths::ACTION: { "post": Endpoint {
            id: "perform", tag: "Acting", summary: "Perform an action",
            description: "The key is looked at before anything else: a key that was used with the same order, action and input answers the stored reply; with others it is refused as IDEMPOTENCY_KEY_MISMATCH. Key, reply and change of the order are one transaction. A dry run answers the same and changes nothing; its key is not remembered.",
            parameters: vec![
                shared("OrderId"),
                parameter("name", "path", true, "The action, as listed.", json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$" }), json!("cancel")),
                shared("Key"),
            ],
            body: Some(request::<ActionCall>(schemas, json!({ "expectedVersion": 1, "input": { "reason": "changed my mind" }, "actor": "anna@example.com" }))),
            replies: action_replies(schemas),
            problems: ACTION_PROBLEMS,
        }.into_value() },
        paths::OPERATION: { "get": Endpoint {
            id: "probe", tag: "Acting", summary: "What became of a key",
            description: "Decides every timeout. Keys are remembered for at least 7 days. The 404 with OPERATION_NOT_FOUND is a proof that nothing happened: answer it only when no ask under this key was ever accepted.",
            parameters: vec![parameter("key", "path", true, "The key.", key_schema(), json!(KEY))], body: None,
            replies: vec![("200", reply::<ActionReply>(schemas, "The stored reply, whatever its outcome.", applied_example()))],
            problems: &[("404", "OPERATION_NOT_FOUND")],
        }.into_value() },
        paths::PROCESS: { "get": Endpoint {
            id: "process", tag: "Describing", summary: "The state machine of the module's orders",
            description: "For people and diagrams. Only where the descriptor says `process`; else 404.",
            parameters: vec![], body: None,
            replies: vec![("200", reply::<ProcessDefinition>(schemas, "The definition.", process_example()))],
            problems: &[("404", "NO_SUCH_PATH")],
        }.into_value() },
    })
}

const ACTION_PROBLEMS: &[(&str, &str)] = &[
    ("400", "PROTOCOL_VERSION, INVALID_BODY or IDEMPOTENCY_KEY_REQUIRED; nothing happened"),
    ("404", "ORDER_NOT_FOUND or UNKNOWN_ACTION; nothing happened"),
    ("413", "BODY_TOO_LARGE; nothing happened"),
];

fn action_replies(schemas: &mut SchemaGenerator) -> Vec<(&'static str, Value)> {
    vec![
        (
            "200",
            reply::<ActionReply>(
                schemas,
                "APPLIED: done; the order as it is now (or, in a dry run, as it would be).",
                applied_example(),
            ),
        ),
        (
            "202",
            reply::<ActionReply>(
                schemas,
                "ACCEPTED: taken; it will be done or refused later. Ask GET /operations/{key}.",
                json!({ "outcome": "ACCEPTED" }),
            ),
        ),
        (
            "409",
            reply::<ActionReply>(
                schemas,
                "REJECTED: the order's state or version forbids it. Nothing changed.",
                rejected_example(),
            ),
        ),
        (
            "422",
            reply::<ActionReply>(
                schemas,
                "REJECTED: the input, the action or the key is wrong. Nothing changed.",
                json!({ "outcome": "REJECTED", "error": { "code": "INVALID_INPUT", "message": "unknown field `reasn`, expected `reason`", "field": "/reasn" } }),
            ),
        ),
    ]
}

fn webhooks(schemas: &mut SchemaGenerator) -> Value {
    let event = json!({
        "specversion": "1.0", "id": "evt_01a205ae", "source": "/retail", "type": "order.changed", "subject": "R000001",
        "time": "2026-01-01T12:00:00Z", "datacontenttype": "application/json", "data": order_example(),
    });
    let header = |name: &str, description: &str| {
        parameter(name, "header", true, description, json!({ "type": "string" }), Value::Null)
    };
    let mut parameters = vec![
        header("webhook-id", "The event's id: the same on every attempt."),
        header("webhook-timestamp", "Seconds since 1970 at this attempt; refused when more than 300 s off."),
        header(
            "webhook-signature",
            "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; several are separated by spaces.",
        ),
    ];
    for parameter in parameters.iter_mut().filter_map(Value::as_object_mut) {
        parameter.remove("example");
    }
    json!({ "orderChanged": { "post": {
        "operationId": "orderChanged", "tags": ["Reading"], "summary": "An order changed: the module restates it whole",
        "description": "Sent by the module to the center, signed as Standard Webhooks says, repeated under the same id until it is answered with 2xx. Events of other types are acknowledged and ignored.",
        "parameters": parameters,
        "requestBody": request::<CloudEvent>(schemas, event),
        "responses": {
            "200": { "description": "Stored, now or before." },
            "401": { "description": "The signature does not verify." },
        },
    } } })
}

fn problem_example(status: u16, code: &str, detail: &str) -> Value {
    json!({ "title": "Not Found", "status": status, "code": code, "detail": detail })
}

fn descriptor_example() -> Value {
    json!({
        "protocol": VERSION,
        "module": { "name": "retail", "version": "0.1.0", "title": "Retail orders" },
        "kind": "RETAIL",
        "idempotency": "KEYED",
        "capabilities": {
            "pageSizeMax": 200, "create": true, "dryRun": true, "expectedVersion": true, "webhooks": true, "process": true
        },
    })
}

fn order_example() -> Value {
    json!({
        "sourceOrderId": "R000001", "version": 1, "number": "R000001", "kind": "RETAIL",
        "status": "PENDING_PAYMENT", "paymentStatus": "UNPAID", "fulfillmentStatus": "UNFULFILLED",
        "native": { "state": "PENDING_PAYMENT" }, "currency": "GBP",
        "times": { "placedAt": "2026-01-01T12:00:00Z", "updatedAt": "2026-01-01T12:00:00Z" },
        "customer": { "id": "17850" },
        "lines": [{
            "id": "1", "sku": "85123A", "name": "WHITE HANGING HEART T-LIGHT HOLDER",
            "quantity": { "ordered": "2", "current": "2" }, "unitPrice": "2.55", "total": "5.10"
        }],
        "totals": { "subtotal": "5.10", "total": "5.10", "captured": "0", "refunded": "0", "due": "5.10" },
    })
}

fn canceled_example() -> Value {
    let mut order = order_example();
    order["version"] = json!(2);
    order["status"] = json!("CANCELED");
    order["native"]["state"] = json!("CANCELED");
    order
}

fn applied_example() -> Value {
    json!({
        "outcome": "APPLIED",
        "order": canceled_example(),
        "effects": [{ "kind": "STOCK", "status": "DONE", "description": "2 × 85123A released", "reference": "R000001/e2" }],
    })
}

fn rejected_example() -> Value {
    json!({ "outcome": "REJECTED", "error": {
        "code": "ACTION_NOT_ALLOWED",
        "message": "The order is SHIPPED; cancel is possible while it is PENDING_PAYMENT or PAID.",
        "blockers": [blocker_example()],
    } })
}

fn blocker_example() -> Value {
    json!({
        "code": "STATE_NOT_ALLOWED",
        "message": "The order is SHIPPED; cancel is possible while it is PENDING_PAYMENT or PAID.",
        "details": { "allowedStates": ["PENDING_PAYMENT", "PAID"] },
    })
}

fn actions_example() -> Value {
    json!({ "sourceOrderId": "R000001", "version": 4, "actions": [
        {
            "name": "refund", "enabled": true,
            "inputSchema": { "type": "object", "properties": { "amount": { "type": "string" } } },
            "effects": [{ "kind": "PAYMENT", "description": "5.10 GBP back to the card", "amount": "5.10" }]
        },
        { "name": "cancel", "enabled": false, "blockers": [blocker_example()] },
    ] })
}

fn process_example() -> Value {
    json!({
        "name": "retail", "version": 1,
        "states": [
            { "name": "PENDING_PAYMENT", "status": "PENDING_PAYMENT", "description": "Waits for the money.", "initial": true },
            { "name": "CANCELED", "status": "CANCELED", "description": "Called off.", "terminal": true },
        ],
        "transitions": [{
            "action": "cancel", "from": ["PENDING_PAYMENT"], "to": ["CANCELED"], "trigger": "MANUAL",
            "description": "Call the order off: release its stock.", "effects": ["STOCK"],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::order_module;
    use crate::process::ProcessDefinition;
    use crate::protocol::{ActionCall, ActionReply, CloudEvent, Descriptor, OrderActions, OrderPage, Problem};
    use crate::{OrderSnapshot, Rounding, parse_snapshot};
    use serde_json::Value;

    fn reads<T: serde::de::DeserializeOwned>(example: &Value) -> Result<(), serde_json::Error> {
        serde_json::from_value::<T>(example.clone()).map(|_| ())
    }

    /// Every `{ schema, example }` in the document.
    fn examples<'a>(value: &'a Value, found: &mut Vec<(&'a str, &'a Value)>) {
        if let (Some(schema), Some(example)) =
            (value.pointer("/schema/$ref").and_then(Value::as_str), value.get("example"))
        {
            found.push((schema.rsplit('/').next().expect("a name"), example));
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| examples(value, found)),
            Value::Array(items) => items.iter().for_each(|value| examples(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_example_is_what_its_type_reads() {
        let document = order_module();
        let mut found = Vec::new();
        examples(&document, &mut found);
        assert!(found.len() >= 18, "{} examples", found.len());
        for (name, example) in found {
            let read = match name {
                "ActionCall" => reads::<ActionCall>(example),
                "ActionReply" => reads::<ActionReply>(example),
                "CloudEvent" => reads::<CloudEvent>(example),
                "Descriptor" => reads::<Descriptor>(example),
                "OrderActions" => reads::<OrderActions>(example),
                "OrderPage" => reads::<OrderPage>(example),
                "OrderSnapshot" => reads::<OrderSnapshot>(example),
                "Problem" => reads::<Problem>(example),
                "ProcessDefinition" => reads::<ProcessDefinition>(example),
                other => panic!("an example of {other}, which no one reads"),
            };
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }

    #[test]
    fn the_example_order_is_valid_and_adds_up() {
        for order in [super::order_example(), super::canceled_example()] {
            let (order, _) = parse_snapshot(order.to_string().as_bytes(), Rounding::Refuse).expect("a valid order");
            assert_eq!(order.violations(), []);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn check(value: &Value, document: &Value) {
            if let Some(target) = value.get("$ref").and_then(Value::as_str) {
                let pointer = target.strip_prefix('#').expect("a local reference");
                assert!(document.pointer(pointer).is_some(), "{target}");
            }
            match value {
                Value::Object(fields) => fields.values().for_each(|value| check(value, document)),
                Value::Array(items) => items.iter().for_each(|value| check(value, document)),
                _ => {}
            }
        }
        let document = order_module();
        check(&document, &document);
    }
}
