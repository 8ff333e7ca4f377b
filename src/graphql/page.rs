//! Pages: how large they may be, and the connection of orders.
//!
//! It owns page arguments and what they cost. It refuses offsets and page numbers: a cursor names a place in one sort,
//! and nothing between two pages is skipped or repeated. Like an order, a page of orders is written in one go.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, Error, OutputType, Positioned, ServerResult, SimpleObject, Value};
use serde::Serialize;

use super::error::bad_input;
use super::order::Order;
use super::render::Rendered;
use super::scalar::{Long, raw_json};
use super::select::{Collected, Document, Plan, write_string};
use super::source::Sources;

/// The size of a page for which none is given.
const DEFAULT: u32 = 20;
/// No configuration allows more: what the index reads in one query.
const MAX: u32 = 500;

/// What a page costs: as many times its content as it may have items. A size that is refused anyway costs nothing, so
/// that the refusal is about the size.
pub(super) fn size(first: Option<i32>, last: Option<i32>) -> usize {
    match first.or(last) {
        None => DEFAULT as usize,
        Some(n) => u32::try_from(n).ok().filter(|n| *n <= MAX).unwrap_or(0) as usize,
    }
}

/// The size of a page.
///
/// # Errors
/// `BAD_USER_INPUT` outside the limits, or when both ends are asked for.
pub(super) fn limit(first: Option<i32>, last: Option<i32>, max: u32) -> Result<u32, Error> {
    let max = max.min(MAX);
    let (name, n) = match (first, last) {
        (Some(_), Some(_)) => return Err(bad_input("ask for `first` or for `last`, not for both")),
        (Some(n), None) => ("first", n),
        (None, Some(n)) => ("last", n),
        (None, None) => return Ok(DEFAULT.min(max)),
    };
    u32::try_from(n)
        .ok()
        .filter(|n| (1..=max).contains(n))
        .ok_or_else(|| bad_input(format!("`{name}` is from 1 to {max}; got {n}: page on with the cursors")))
}

/// Where a page stands in its list.
#[derive(Clone, Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageInfo {
    /// Whether more follow.
    pub(super) has_next_page: bool,
    /// Whether some precede.
    pub(super) has_previous_page: bool,
    /// The cursor of the first item.
    pub(super) start_cursor: Option<String>,
    /// The cursor of the last item: send it back as `after`.
    pub(super) end_cursor: Option<String>,
}

/// A page of orders.
#[derive(SimpleObject)]
#[graphql(name = "OrderConnection")]
struct OrderConnectionType {
    /// The orders.
    nodes: Vec<Order>,
    /// The orders, each with its cursor.
    edges: Vec<OrderEdge>,
    /// Where the page stands in its list.
    page_info: PageInfo,
    /// How many orders match in all, exactly. Counting costs more the more they are: select it only where it is shown.
    total_count: Option<Long>,
}

/// An order and where it stands in its list.
#[derive(SimpleObject)]
struct OrderEdge {
    /// The order's place in this list: opaque, bound to its `orderBy`.
    cursor: String,
    /// The order.
    node: Order,
}

/// A page of orders.
pub(super) struct OrderConnection {
    /// The orders with their cursors.
    pub(super) orders: Vec<(Order, String)>,
    pub(super) has_next: bool,
    pub(super) has_previous: bool,
    /// How many there are, if that was asked for.
    pub(super) total: Option<u64>,
}

impl OutputType for OrderConnection {
    fn type_name() -> Cow<'static, str> {
        "OrderConnection".into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        // Both Rust types are this one GraphQL type; the registry knows it by the one that documents it.
        OrderConnectionType::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        let document = Document::of(ctx);
        let mut out = String::with_capacity(self.orders.len() * 1024);
        out.push('{');
        for (key, collected) in document.collect("OrderConnection", &document.selected(ctx)) {
            separate(&mut out, key);
            match collected.field.node.name.node.as_str() {
                "nodes" => self.write_nodes(&mut out, ctx, document, &collected).await,
                "edges" => self.write_edges(&mut out, ctx, document, &collected).await,
                "pageInfo" => {
                    let plan = document.plan("PageInfo", &collected.sets);
                    plan.write(&mut out, Rendered::of(&self.page_info()).root(), None, &[]);
                }
                "totalCount" => match self.total {
                    Some(total) => out.push_str(&total.to_string()),
                    None => out.push_str("null"),
                },
                _ => write_string(&mut out, "OrderConnection"),
            }
        }
        out.push('}');
        Ok(raw_json(out))
    }
}

/// Begins a member of an object: a comma where one is needed, and the key.
fn separate(out: &mut String, key: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    write_string(out, key);
    out.push(':');
}

impl OrderConnection {
    fn page_info(&self) -> PageInfo {
        PageInfo {
            has_next_page: self.has_next,
            has_previous_page: self.has_previous,
            start_cursor: self.orders.first().map(|(_, cursor)| cursor.clone()),
            end_cursor: self.orders.last().map(|(_, cursor)| cursor.clone()),
        }
    }

    async fn write_nodes(
        &self,
        out: &mut String,
        ctx: &ContextSelectionSet<'_>,
        document: Document<'_>,
        nodes: &Collected<'_>,
    ) {
        let plan = document.plan("Order", &nodes.sets);
        let live = self.live(ctx, &[nodes.field], &plan).await;
        let sources = ctx.data_unchecked::<Sources>().rendered();
        out.push('[');
        for (i, (order, _)) in self.orders.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            order.write(out, &plan, &sources, live.get(i).map_or(&[], Vec::as_slice));
        }
        out.push(']');
    }

    async fn write_edges(
        &self,
        out: &mut String,
        ctx: &ContextSelectionSet<'_>,
        document: Document<'_>,
        edges: &Collected<'_>,
    ) {
        let fields = document.collect("OrderEdge", &edges.sets);
        let mut parts = Vec::with_capacity(fields.len());
        for (key, collected) in &fields {
            let node = match collected.field.node.name.node.as_str() {
                "node" => {
                    let plan = document.plan("Order", &collected.sets);
                    let live = self.live(ctx, &[edges.field, collected.field], &plan).await;
                    Some((plan, live))
                }
                _ => None,
            };
            parts.push((*key, collected.field.node.name.node.as_str(), node));
        }
        let sources = ctx.data_unchecked::<Sources>().rendered();
        out.push('[');
        for (i, (order, cursor)) in self.orders.iter().enumerate() {
            out.push_str(if i > 0 { ",{" } else { "{" });
            for (key, name, node) in &parts {
                separate(out, key);
                match (node, *name) {
                    (Some((plan, live)), _) => {
                        order.write(out, plan, &sources, live.get(i).map_or(&[], Vec::as_slice));
                    }
                    (None, "cursor") => write_string(out, cursor),
                    (None, _) => write_string(out, "OrderEdge"),
                }
            }
            out.push('}');
        }
        out.push(']');
    }

    /// What the ordinary machinery resolves of each order, all orders at once. `path` are the fields from the
    /// connection to the order.
    async fn live(&self, ctx: &ContextSelectionSet<'_>, path: &[&Positioned<Field>], plan: &Plan) -> Vec<Vec<String>> {
        if plan.live.is_empty() {
            return Vec::new();
        }
        let list = ctx.with_field(path[0]);
        let list = list.with_selection_set(&path[0].node.selection_set);
        let orders = self.orders.iter().enumerate().map(|(i, (order, _))| {
            let list = &list;
            async move {
                let item = list.with_index(i);
                match path.get(1) {
                    None => order.live(&item, plan).await,
                    Some(node) => {
                        let field = item.with_field(node);
                        order.live(&field.with_selection_set(&node.node.selection_set), plan).await
                    }
                }
            }
        });
        futures_util::future::join_all(orders).await
    }
}
