//! `Operation`: one recorded ask of an owner, and what became of it.

use async_graphql::{Context, Error, ID, Object, SimpleObject};
use order_contract::protocol::ActionError;
use order_contract::{Currency, Effect, OrderId};

use super::convert::{blocker, money};
use super::error::{self, Fallible};
use super::object::{ActionBlocker, Money};
use super::order::Order;
use super::page::PageInfo;
use super::render::RenderCache;
use super::scalar::{Long, Time};
use super::source::{Source, Sources};
use super::vocabulary::{ActionType, EffectKind, EffectStatus, OperationState};
use super::{Services, id};
use crate::operation::Operation as Recorded;

/// One recorded ask.
pub(super) struct Operation(pub(super) Recorded);

/// One recorded ask of an owner and its outcome. Durable before the owner is called: a lost connection loses nothing.
#[Object]
impl Operation {
    /// The global id.
    async fn id(&self) -> ID {
        id::operation(&self.0.id)
    }

    /// The verb that was asked.
    async fn action(&self) -> &str {
        self.0.action.as_str()
    }

    /// The standard action it is.
    #[graphql(name = "type")]
    async fn action_type(&self) -> ActionType {
        self.0.action.action_type().into()
    }

    /// Where it stands. `UNKNOWN` and the states before an end are not failures: ask again, or subscribe to
    /// `operationUpdated`.
    async fn state(&self) -> OperationState {
        self.0.state.into()
    }

    /// Whether it will not change any more.
    async fn finished(&self) -> bool {
        self.0.state.is_final()
    }

    /// The source that was asked.
    async fn source(&self, ctx: &Context<'_>) -> Option<Source> {
        ctx.data_unchecked::<Sources>().get(&self.0.source)
    }

    /// The id of the order; of a creation, once it is known.
    async fn order_id(&self) -> Option<ID> {
        self.0.order.as_ref().map(|order| ID(order.to_string()))
    }

    /// The order as the center has it now.
    async fn order(&self, ctx: &Context<'_>) -> Fallible<Order> {
        match &self.0.order {
            Some(order) => Fallible(find_order(ctx, order).await),
            None => Fallible(Ok(None)),
        }
    }

    /// The client's key: repeating the mutation with it returns this operation.
    async fn idempotency_key(&self) -> &str {
        &self.0.idempotency_key
    }

    /// How often the owner was asked.
    async fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The receipt: what was moved besides the order. Empty until it succeeded.
    async fn effects(&self, ctx: &Context<'_>) -> Fallible<Vec<OperationEffect>> {
        Fallible(effects(ctx, &self.0).await.map(Some))
    }

    /// Why it was refused, or what is in doubt.
    async fn error(&self) -> Option<UserError> {
        self.0.error.clone().map(Into::into)
    }

    /// The order's version after it.
    async fn version_after(&self) -> Option<Long> {
        self.0.version_after.map(|version| Long(version.get()))
    }

    /// Whether nothing was to change.
    async fn dry_run(&self) -> bool {
        self.0.dry_run
    }

    /// When it was recorded.
    async fn created_at(&self) -> Time {
        Time(self.0.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> Time {
        Time(self.0.updated_at)
    }

    /// When it ended.
    async fn finished_at(&self) -> Option<Time> {
        self.0.finished_at.map(Time)
    }
}

/// What an action moved besides the order.
#[derive(SimpleObject)]
struct OperationEffect {
    /// What was moved.
    kind: EffectKind,
    /// Whether it happened.
    status: EffectStatus,
    /// A sentence: `6 × 85123A back in stock`.
    description: String,
    /// The owner's ledger entry.
    reference: Option<String>,
    /// The money moved.
    amount: Option<Money>,
}

/// Why an ask was refused: a business answer, not a fault.
#[derive(Clone, SimpleObject)]
pub(super) struct UserError {
    /// A stable code in upper snake case: `ACTION_NOT_ALLOWED`, `VERSION_CONFLICT`, `INVALID_INPUT`,
    /// `ORDER_NOT_FOUND`, `UNKNOWN_ACTION`, `IDEMPOTENCY_KEY_MISMATCH`, `UNKNOWN_SOURCE`, or the owner's own.
    pub(super) code: String,
    /// A sentence for the person who asked: what is wrong and what is possible instead.
    pub(super) message: String,
    /// The input field at fault, from the outermost in.
    pub(super) field: Option<Vec<String>>,
    /// What stands in the way, as `availableActions` names it.
    pub(super) blockers: Vec<ActionBlocker>,
    /// The order's version, with `VERSION_CONFLICT`.
    pub(super) current_version: Option<Long>,
}

impl UserError {
    /// A refusal by the center itself.
    pub(super) fn new(code: &str, message: impl Into<String>, field: &[&str]) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            field: (!field.is_empty()).then(|| field.iter().map(|part| (*part).to_owned()).collect()),
            blockers: Vec::new(),
            current_version: None,
        }
    }
}

impl From<ActionError> for UserError {
    fn from(e: ActionError) -> Self {
        let pointer = |p: String| {
            let parts = p.split('/').skip(1).map(|s| s.replace("~1", "/").replace("~0", "~"));
            // The module's input is what stands within the mutation's `input`.
            std::iter::once("input".to_owned()).chain(parts).collect()
        };
        Self {
            code: e.code,
            message: e.message,
            field: e.field.map(pointer),
            blockers: e.blockers.into_iter().map(blocker).collect(),
            current_version: e.current_version.map(|version| Long(version.get())),
        }
    }
}

/// A page of operations.
#[derive(SimpleObject)]
pub(super) struct OperationConnection {
    /// The operations, newest first.
    pub(super) nodes: Vec<Operation>,
    /// Where the page stands.
    pub(super) page_info: PageInfo,
}

/// An order by id, from the index.
pub(super) async fn find_order(ctx: &Context<'_>, order: &OrderId) -> Result<Option<Order>, Error> {
    let found = ctx.data_unchecked::<Services>().index.find(order).await.map_err(error::index)?;
    let cache = ctx.data_unchecked::<RenderCache>();
    Ok(found.map(|found| Order { id: found.id.clone(), rendered: cache.insert(found) }))
}

async fn effects(ctx: &Context<'_>, operation: &Recorded) -> Result<Vec<OperationEffect>, Error> {
    if operation.effects.is_empty() {
        return Ok(Vec::new());
    }
    // Amounts of a receipt are in the order's currency, which the ledger does not repeat.
    let index = &ctx.data_unchecked::<Services>().index;
    let currency = match &operation.order {
        Some(order) if operation.effects.iter().any(|e| e.amount.is_some()) => {
            index.find(order).await.map_err(error::index)?.map(|found| found.snapshot.currency)
        }
        _ => None,
    };
    Ok(operation.effects.iter().map(|e| effect(currency, e)).collect())
}

fn effect(currency: Option<Currency>, e: &Effect) -> OperationEffect {
    OperationEffect {
        kind: e.kind.into(),
        status: e.status.into(),
        description: e.description.clone(),
        reference: e.reference.clone(),
        amount: currency.zip(e.amount).map(|(currency, amount)| money(currency, amount)),
    }
}
