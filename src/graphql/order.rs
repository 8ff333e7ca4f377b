//! `Order`: one order as a value of the schema, written from its rendered text.
//!
//! It owns the fast path from a selection to its JSON and the few fields that need IO. It refuses to resolve plain data
//! field by field; `object.rs` does that for the test that compares the two. That is so that a page costs what copying
//! its bytes costs.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use async_graphql::parser::types::Field;
use async_graphql::registry::{MetaType, MetaTypeId, Registry};
use async_graphql::{ContainerType, Context, ContextSelectionSet, Object, OutputType, Positioned, ServerResult, Value};
use order_contract::OrderId;

use super::error::{self, Fallible, require};
use super::object::OrderData;
use super::operation::Operation;
use super::page::size;
use super::render::Rendered;
use super::scalar::raw_json;
use super::select::{Document, Plan};
use super::source::{RenderedSources, Source, Sources};
use super::{GraphqlLimits, Role, Services, response};

/// An order of the index.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) id: OrderId,
    pub(super) rendered: Arc<Rendered>,
}

/// The fields of an order that need IO or a role.
struct OrderLive<'a>(&'a OrderId);

#[Object(name = "OrderLive")]
impl OrderLive<'_> {
    /// The source that owns the order.
    async fn source(&self, ctx: &Context<'_>) -> Option<Source> {
        ctx.data_unchecked::<Sources>().get(self.0.source())
    }

    /// What was asked of the owner through the center for this order, newest first.
    #[graphql(complexity = "size(first, None) * child_complexity + 1")]
    async fn operations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many; 20 unless told.")] first: Option<i32>,
    ) -> Fallible<Vec<Operation>> {
        Fallible(operations(self.0, ctx, first).await.map(Some))
    }

    /// What the source sent for this version, verbatim. For operators.
    async fn raw_payload(&self, ctx: &Context<'_>) -> Fallible<String> {
        Fallible(raw_payload(self.0, ctx).await)
    }
}

async fn operations(id: &OrderId, ctx: &Context<'_>, first: Option<i32>) -> async_graphql::Result<Vec<Operation>> {
    let limit = super::page::limit(first, None, ctx.data_unchecked::<GraphqlLimits>().page_size_max)?;
    let services = ctx.data_unchecked::<Services>();
    let found = services.operations.list(Some(id), &[], None, limit).await.map_err(error::operation)?;
    Ok(found.into_iter().map(Operation).collect())
}

async fn raw_payload(id: &OrderId, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
    require(ctx, Role::Operator)?;
    let raw = ctx.data_unchecked::<Services>().index.raw_payload(id).await.map_err(error::index)?;
    Ok(raw.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

impl OutputType for Order {
    fn type_name() -> Cow<'static, str> {
        "Order".into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let name = registry.create_output_type::<Self, _>(MetaTypeId::Object, |registry| {
            let mut order = registry.create_fake_output_type::<OrderData>();
            let live = registry.create_fake_output_type::<OrderLive<'_>>();
            if let (MetaType::Object { name, fields, rust_typename, .. }, MetaType::Object { fields: live, .. }) =
                (&mut order, live)
            {
                *name = "Order".into();
                *rust_typename = Some(std::any::type_name::<Self>());
                fields.extend(live);
            }
            order
        });
        registry.add_implements("Order", "Node");
        name
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        let document = Document::of(ctx);
        let plan = document.plan("Order", &document.selected(ctx));
        let live = self.live(ctx, &plan).await;
        let mut text = String::with_capacity(1024);
        self.write(&mut text, &plan, &ctx.data_unchecked::<Sources>().rendered(), &live);
        Ok(raw_json(text))
    }
}

impl Order {
    /// Resolves what the plan leaves to the ordinary machinery, as JSON text.
    pub(super) async fn live(&self, ctx: &ContextSelectionSet<'_>, plan: &Plan) -> Vec<String> {
        let mut texts = Vec::with_capacity(plan.live.len());
        for field in &plan.live {
            let ctx = ctx.with_field(field);
            let mut text = String::new();
            match resolve_boxed(&OrderLive(&self.id), &ctx).await {
                Ok(value) => response::write_value(&mut text, &value.unwrap_or_default()),
                Err(error) => {
                    ctx.add_error(error);
                    text.push_str("null");
                }
            }
            texts.push(text);
        }
        texts
    }

    /// Writes what is selected.
    pub(super) fn write(&self, out: &mut String, plan: &Plan, sources: &RenderedSources, live: &[String]) {
        let source = sources.get(self.id.source());
        plan.write(out, self.rendered.root(), source.map(Rendered::root), live);
    }
}

/// Resolves one field behind a boxed future: operations have orders and orders operations, so the type of the future
/// would contain itself.
fn resolve_boxed<'a, T: ContainerType>(
    root: &'a T,
    ctx: &'a Context<'a>,
) -> Pin<Box<dyn Future<Output = ServerResult<Option<Value>>> + Send + 'a>> {
    Box::pin(root.resolve_field(ctx))
}
