//! `Node`: everything that has a global id, for Relay and for whoever holds an id and not its type.

use std::borrow::Cow;

use async_graphql::indexmap::{IndexMap, IndexSet};
use async_graphql::parser::types::Field;
use async_graphql::registry::{MetaType, MetaTypeId, Registry};
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerResult, Value};

use super::operation::Operation;
use super::order::Order;
use super::source::Source;

/// An object with a global id. Written by hand because an order is resolved as a whole, never field by field.
pub(super) enum Node {
    Order(Order),
    Source(Source),
    Operation(Box<Operation>),
}

const TYPES: [&str; 3] = ["Order", "Source", "Operation"];

impl OutputType for Node {
    fn type_name() -> Cow<'static, str> {
        "Node".into()
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        match self {
            Self::Order(_) => TYPES[0].into(),
            Self::Source(_) => TYPES[1].into(),
            Self::Operation(_) => TYPES[2].into(),
        }
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Order::create_type_info(registry);
        Source::create_type_info(registry);
        Operation::create_type_info(registry);
        for name in TYPES {
            registry.add_implements(name, "Node");
        }
        let id = registry.types.get("Order").and_then(|order| order.field_by_name("id")).cloned();
        registry.create_output_type::<Self, _>(MetaTypeId::Interface, |_| MetaType::Interface {
            name: "Node".into(),
            description: Some("An object with a global id.".into()),
            fields: id.iter().map(|id| (id.name.clone(), id.clone())).collect::<IndexMap<_, _>>(),
            possible_types: TYPES.into_iter().map(str::to_owned).collect::<IndexSet<_>>(),
            extends: false,
            keys: None,
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            rust_typename: Some(std::any::type_name::<Self>()),
            directive_invocations: Vec::new(),
            requires_scopes: Vec::new(),
        })
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match self {
            Self::Order(order) => order.resolve(ctx, field).await,
            Self::Source(source) => source.resolve(ctx, field).await,
            Self::Operation(operation) => operation.resolve(ctx, field).await,
        }
    }
}
