//! One mutation per action of an order's life.
//!
//! It owns the inputs and the payload. It refuses to judge whether an action is allowed: the owner does, and its
//! refusal is a `userErrors` entry, never a top-level error. That is so that a client can tell a business answer from a
//! fault, and never takes an unknown outcome for a failure.

use async_graphql::{Context, Error, ID, InputObject, Object, SimpleObject};
use order_contract::{ActionName, IdempotencyKey, OrderId, SourceKey, SourceVersion};
use serde::Serialize;
use serde_json::{Map, Value};

use super::error::{self, Fallible, require};
use super::id::GlobalId;
use super::operation::{Operation, UserError, find_order};
use super::order::Order;
use super::scalar::{Decimal, Json, Long};
use super::vocabulary::OperationVerdict;
use super::{Role, Services, Traceparent};
use crate::operation::{Intent, OperationError};

/// What is asked of the owners of orders.
#[derive(Default)]
pub(super) struct Acting;

/// What every action on an order takes.
#[derive(InputObject)]
struct Ask {
    /// The order's global id.
    id: ID,
    /// Your key for this intent, 1 to 200 printable ASCII characters: repeating the mutation with it takes effect at
    /// most once and returns the same operation.
    idempotency_key: String,
    /// Refuse unless the order is at this version: the `version` you have seen.
    expected_version: Option<Long>,
    /// Ask the owner what would happen; nothing is recorded and nothing changes.
    #[graphql(default)]
    dry_run: bool,
    /// What the owner wants beyond the typed fields: see `inputSchema` of the order's available actions.
    input: Option<Json>,
}

/// An address to send or bill to.
#[derive(InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
struct AddressInput {
    /// Recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Company.
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<String>,
    /// Street lines, first to last.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<String>>,
    /// City.
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    /// State, county or province.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// Postal code.
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 country code.
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<String>,
    /// The country by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    /// Telephone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
}

/// Who orders.
#[derive(InputObject, Serialize)]
struct CustomerInput {
    /// The customer's id in the source.
    #[graphql(name = "customerId")]
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Telephone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
}

/// What to order.
#[derive(InputObject, Serialize)]
struct NewLineInput {
    /// Stock keeping unit.
    sku: String,
    /// How many.
    quantity: Decimal,
}

/// So many of a line.
#[derive(InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
struct LineQuantityInput {
    /// The order line, by its `lineId`.
    line_id: String,
    /// How many.
    quantity: Decimal,
}

/// Where a parcel is.
#[derive(InputObject, Serialize)]
struct TrackingInput {
    /// The carrier's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<String>,
    /// The carrier's number.
    number: String,
    /// The carrier's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// What became of returned goods.
#[derive(async_graphql::Enum, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ReturnDisposition {
    /// Back in stock.
    Restock,
    /// Kept apart as damaged.
    Damaged,
    /// Thrown away or written off.
    Discarded,
}

/// A new order of a source.
#[derive(InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateOrderInput {
    /// The key of the source that shall own it.
    #[serde(skip)]
    source: String,
    /// Your key for this intent: repeating the mutation with it creates at most one order.
    #[serde(skip)]
    idempotency_key: String,
    /// Ask the owner what would happen; nothing is recorded and nothing changes.
    #[graphql(default)]
    #[serde(skip)]
    dry_run: bool,
    /// What the owner wants beyond the typed fields.
    #[serde(skip)]
    input: Option<Json>,
    /// What to order.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<NewLineInput>>,
    /// Who orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerInput>,
    /// Where the goods go.
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_address: Option<AddressInput>,
    /// Where the invoice goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_address: Option<AddressInput>,
    /// The sales channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    /// The customer's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Defines the input of an action: what every action takes, and typed fields of its own. A field that is not given is
/// not sent.
macro_rules! action_input {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(InputObject, Serialize)]
        #[serde(rename_all = "camelCase")]
        struct $name {
            #[graphql(flatten)]
            #[serde(skip)]
            ask: Ask,
            $($(#[$field_doc])* #[serde(skip_serializing_if = "Option::is_none")] $field: Option<$ty>,)*
        }
    };
}

action_input!(/// A payment of an order.
    PayOrderInput {
    /// How much, in the order's currency; all that is due unless told.
    amount: Decimal,
    /// How: `card`, `invoice`, `gift_card`.
    method: String,
    /// The payment provider's reference.
    reference: String,
});
action_input!(/// The begin of production, picking or preparation.
    ProduceOrderInput {});
action_input!(/// A hand-over to a carrier.
    ShipOrderInput {
    /// Which lines; all that has not left yet unless told.
    lines: Vec<LineQuantityInput>,
    /// Where the parcels are.
    tracking: Vec<TrackingInput>,
    /// From where.
    location: String,
});
action_input!(/// A confirmation: of receipt by the buyer, or of acceptance by the merchant.
    ConfirmOrderInput {});
action_input!(/// The end of an order that is done.
    CompleteOrderInput {});
action_input!(/// A change of an order.
    ModifyOrderInput {
    /// The whole new address of the goods.
    shipping_address: AddressInput,
    /// The whole new address of the invoice.
    billing_address: AddressInput,
    /// The new quantities of lines.
    lines: Vec<LineQuantityInput>,
    /// Why.
    reason: String,
});
action_input!(/// The end of an order that will not be done.
    CancelOrderInput {
    /// Why.
    reason: String,
});
action_input!(/// Money to give back.
    RefundOrderInput {
    /// How much, in the order's currency; the price of the lines unless told.
    amount: Decimal,
    /// For which lines.
    lines: Vec<LineQuantityInput>,
    /// Why.
    reason: String,
});
action_input!(/// A wish to send goods back.
    RequestReturnInput {
    /// Which lines; all that was not sent back yet unless told.
    lines: Vec<LineQuantityInput>,
    /// Why.
    reason: String,
});
action_input!(/// Returned goods that have come.
    ReceiveReturnInput {
    /// Which return; the oldest open one unless told.
    return_id: String,
    /// What became of the goods.
    disposition: ReturnDisposition,
    /// Whether to give back the price of the goods.
    refund: bool,
    /// Give back this much instead, in the order's currency.
    amount: Decimal,
});

/// A verb of the owner's own.
#[derive(InputObject)]
struct PerformOrderActionInput {
    #[graphql(flatten)]
    ask: Ask,
    /// The verb, as `availableActions` names it.
    action: String,
}

/// What became of an ask: the order as it now is, the operation, and why it was refused.
#[derive(SimpleObject)]
struct OrderActionPayload {
    /// The order as the center has it after the ask: what a successful action changed is in it.
    order: Fallible<Order>,
    /// The recorded ask. None where it was refused before it could be recorded. A state other than `SUCCEEDED` and
    /// `REJECTED` means that its end is not known yet: follow it with `operation` or `operationUpdated`.
    operation: Option<Operation>,
    /// Why it was refused. Empty when it was not.
    user_errors: Vec<UserError>,
}

#[Object]
impl Acting {
    /// Places an order in a source. For operators, like every action.
    async fn create_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source, your key for this intent, and what to order.")] input: CreateOrderInput,
    ) -> Fallible<OrderActionPayload> {
        Fallible(create(ctx, input).await.map(Some))
    }

    /// Pays, wholly or in part.
    async fn pay_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: PayOrderInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "pay", typed(&input), input.ask).await
    }

    /// Begins production, picking or preparation.
    async fn produce_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: ProduceOrderInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "produce", typed(&input), input.ask).await
    }

    /// Hands goods over to a carrier.
    async fn ship_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: ShipOrderInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "ship", typed(&input), input.ask).await
    }

    /// Confirms receipt (the buyer) or acceptance (the merchant).
    async fn confirm_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: ConfirmOrderInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "confirm", typed(&input), input.ask).await
    }

    /// Closes an order as done.
    async fn complete_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: CompleteOrderInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "complete", typed(&input), input.ask).await
    }

    /// Changes address, quantity or slot.
    async fn modify_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: ModifyOrderInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "modify", typed(&input), input.ask).await
    }

    /// Calls an order off.
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: CancelOrderInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "cancel", typed(&input), input.ask).await
    }

    /// Gives money back.
    async fn refund_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: RefundOrderInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "refund", typed(&input), input.ask).await
    }

    /// Asks to send goods back.
    async fn request_return(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: RequestReturnInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "request_return", typed(&input), input.ask).await
    }

    /// Takes returned goods in.
    async fn receive_return(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")] input: ReceiveReturnInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, "receive_return", typed(&input), input.ask).await
    }

    /// Performs any action of the owner by its verb: `performOrderAction(input: {action: "deliver", …})`.
    async fn perform_order_action(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order, your key for this intent, and what the action takes.")]
        input: PerformOrderActionInput,
    ) -> Fallible<OrderActionPayload> {
        act(ctx, &input.action, Map::new(), input.ask).await
    }

    /// Reads an order from its owner now, stores it and returns it. For operators.
    async fn refresh_order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order's global id.")] id: ID,
    ) -> Fallible<Order> {
        Fallible(refresh(ctx, &id).await)
    }

    /// Asks the owner now what became of an operation in doubt. For operators.
    async fn settle_operation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The operation's global id.")] id: ID,
        #[graphql(desc = "What you found at the owner yourself: ends the doubt without asking.")] verdict: Option<
            OperationVerdict,
        >,
    ) -> Fallible<Operation> {
        Fallible(settle(ctx, &id, verdict).await)
    }
}

/// The typed fields that are given.
fn typed(input: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(input) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// The input of an action: typed fields, and the owner's own beside them.
fn merged(mut typed: Map<String, Value>, own: Option<Json>) -> Result<Map<String, Value>, UserError> {
    let own = match own {
        None | Some(Json(Value::Null)) => return Ok(typed),
        Some(Json(Value::Object(own))) => own,
        Some(_) => return Err(UserError::new("INVALID_INPUT", "`input` is a JSON object", &["input", "input"])),
    };
    for (key, value) in own {
        if typed.get(&key).is_some_and(|given| *given != value) {
            let message = format!("`{key}` is given twice: as a field and within `input`");
            return Err(UserError::new("INVALID_INPUT", message, &["input", "input", &key]));
        }
        typed.insert(key, value);
    }
    Ok(typed)
}

async fn create(ctx: &Context<'_>, input: CreateOrderInput) -> Result<OrderActionPayload, Error> {
    let fields = typed(&input);
    let Ok(source) = SourceKey::try_new(&input.source) else {
        require(ctx, Role::Operator)?;
        return Ok(refused(UserError::new("UNKNOWN_SOURCE", "there is no such source", &["input", "source"])));
    };
    let ask = Asked { key: input.idempotency_key, expected_version: None, dry_run: input.dry_run, own: input.input };
    perform(ctx, "create", source, None, fields, ask).await
}

async fn act(ctx: &Context<'_>, action: &str, fields: Map<String, Value>, ask: Ask) -> Fallible<OrderActionPayload> {
    let done = async {
        let Ok(order) = OrderId::parse(&ask.id) else {
            require(ctx, Role::Operator)?;
            return Ok(refused(no_such_order()));
        };
        let asked = Asked {
            key: ask.idempotency_key,
            expected_version: ask.expected_version,
            dry_run: ask.dry_run,
            own: ask.input,
        };
        perform(ctx, action, order.source().clone(), Some(order), fields, asked).await
    };
    Fallible(done.await.map(Some))
}

/// How something is asked, apart from what.
struct Asked {
    key: String,
    expected_version: Option<Long>,
    dry_run: bool,
    own: Option<Json>,
}

async fn perform(
    ctx: &Context<'_>,
    action: &str,
    source: SourceKey,
    order: Option<OrderId>,
    fields: Map<String, Value>,
    asked: Asked,
) -> Result<OrderActionPayload, Error> {
    let principal = require(ctx, Role::Operator)?;
    let intent = (|| {
        Ok(Intent {
            principal: principal.id.clone(),
            idempotency_key: IdempotencyKey::try_new(asked.key)
                .map_err(|e| UserError::new("INVALID_INPUT", e.to_string(), &["input", "idempotencyKey"]))?
                .into(),
            source,
            order,
            action: ActionName::try_new(action)
                .map_err(|e| UserError::new("UNKNOWN_ACTION", e.to_string(), &["input", "action"]))?,
            input: merged(fields, asked.own)?,
            expected_version: asked
                .expected_version
                .map(|version| SourceVersion::try_new(version.0))
                .transpose()
                .map_err(|e| UserError::new("INVALID_INPUT", e.to_string(), &["input", "expectedVersion"]))?,
            dry_run: asked.dry_run,
            actor: Some(principal.name.clone()),
            traceparent: ctx.data_opt::<Traceparent>().map(|t| t.0.clone()),
        })
    })();
    let intent = match intent {
        Ok(intent) => intent,
        Err(refusal) => return Ok(refused(refusal)),
    };
    let operation = match ctx.data_unchecked::<Services>().operations.perform(intent).await {
        Ok(operation) => operation,
        Err(OperationError::UnknownOrder) => return Ok(refused(no_such_order())),
        Err(cause @ OperationError::UnknownSource(_)) => {
            return Ok(refused(UserError::new("UNKNOWN_SOURCE", cause.to_string(), &["input"])));
        }
        Err(cause @ OperationError::KeyMismatch) => {
            let field = ["input", "idempotencyKey"];
            return Ok(refused(UserError::new("IDEMPOTENCY_KEY_MISMATCH", cause.to_string(), &field)));
        }
        Err(cause) => return Err(error::not_asked(cause)),
    };
    let rejected = operation.state == crate::operation::OperationState::Rejected;
    let user_errors = operation.error.iter().filter(|_| rejected).cloned().map(UserError::from).collect();
    // The outcome is told even where the order cannot be read now.
    let order = match &operation.order {
        Some(order) if ctx.look_ahead().field("order").exists() => find_order(ctx, order).await,
        _ => Ok(None),
    };
    Ok(OrderActionPayload { order: Fallible(order), operation: Some(Operation(operation)), user_errors })
}

fn refused(refusal: UserError) -> OrderActionPayload {
    OrderActionPayload { order: Fallible(Ok(None)), operation: None, user_errors: vec![refusal] }
}

fn no_such_order() -> UserError {
    UserError::new("ORDER_NOT_FOUND", "there is no such order", &["input", "id"])
}

async fn refresh(ctx: &Context<'_>, id: &str) -> Result<Option<Order>, Error> {
    require(ctx, Role::Operator)?;
    match OrderId::parse(id) {
        Ok(id) => super::query::live_order(ctx, &id).await,
        Err(_) => Ok(None),
    }
}

async fn settle(ctx: &Context<'_>, id: &str, verdict: Option<OperationVerdict>) -> Result<Option<Operation>, Error> {
    let actor = &require(ctx, Role::Operator)?.name;
    let Some(GlobalId::Operation(id)) = GlobalId::parse(id) else { return Ok(None) };
    let operations = &ctx.data_unchecked::<Services>().operations;
    let settled = match verdict {
        None => operations.settle_now(&id).await,
        Some(verdict) => operations.decide(&id, verdict.into(), actor).await,
    };
    Ok(settled.map_err(error::operation)?.map(Operation))
}
