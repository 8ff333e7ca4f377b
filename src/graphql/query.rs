//! `Query`: everything that can be read.
//!
//! It owns the root fields and their arguments. It refuses to read what the caller's role may not see. That is so that
//! there is one place to look for who can read what.

use async_graphql::{Context, Error, ID, InputObject, Object, OneofObject, SimpleObject};
use order_contract::{OrderId, SourceKey, SourceOrderId};

use super::catalog::{Adapter, SourceRun};
use super::error::{self, Fallible, bad_input, require};
use super::filter::{OrderOrder, OrderWhere, filter};
use super::id::GlobalId;
use super::node::Node;
use super::object::Money;
use super::operation::{Operation, OperationConnection, find_order};
use super::order::Order;
use super::page::{OrderConnection, PageInfo, limit, size};
use super::render::RenderCache;
use super::scalar::{Long, Time};
use super::source::{QuarantineConnection, Source, Sources};
use super::vocabulary::{
    ChangeKind, Freshness, FulfillmentStatus, OperationState, OrderDimension, OrderDirection, OrderKind,
    OrderOrderField, OrderStatus, PaymentStatus,
};
use super::{GraphqlLimits, Principal, Role, Services};
use crate::index::{AggregateRow, Change, Cursor, Dimension, FeedPosition, Filter, OrderList, TextField, TextMatch};

/// The root of all reads.
pub struct Query;

/// How to find one order.
#[derive(OneofObject)]
enum OrderLookup {
    /// By its global id.
    Id(ID),
    /// By its id in a source.
    Source(SourceOrderLookup),
    /// By the number people know it by.
    Number(OrderNumberLookup),
}

/// An order by its id in a source.
#[derive(InputObject)]
struct SourceOrderLookup {
    /// The source's key.
    key: String,
    /// The order's id there.
    source_order_id: String,
}

/// An order by its number.
#[derive(InputObject)]
struct OrderNumberLookup {
    /// The number.
    number: String,
    /// The source's key; needed where several sources have an order of that number.
    key: Option<String>,
}

/// Who asks, as the center knows them.
#[derive(SimpleObject)]
struct Viewer {
    /// The id of the API key, or `anonymous` on an open loopback server.
    id: String,
    /// Its name for people.
    name: String,
    /// `READER`, `OPERATOR` or `ADMIN`; each includes the ones before it.
    role: &'static str,
}

/// Sums over orders.
#[derive(SimpleObject)]
struct OrderAggregates {
    /// One row per group and currency, sorted by the keys.
    rows: Vec<OrderAggregateRow>,
    /// Whether there are more groups than were asked for.
    has_more: bool,
}

/// The sums of one group in one currency. Keys that were not grouped by are null.
#[derive(Default, SimpleObject)]
struct OrderAggregateRow {
    /// The key of the source.
    source: Option<String>,
    /// The kind of business.
    kind: Option<OrderKind>,
    /// The sales channel.
    channel: Option<String>,
    /// The status.
    status: Option<OrderStatus>,
    /// The payment status.
    payment_status: Option<PaymentStatus>,
    /// The fulfillment status.
    fulfillment_status: Option<FulfillmentStatus>,
    /// The country of the shipping address, else of the billing address.
    country: Option<String>,
    /// The UTC day it was placed, such as `2010-12-01`.
    placed_day: Option<String>,
    /// The UTC month it was placed, such as `2010-12`.
    placed_month: Option<String>,
    /// The currency of the amounts (ISO 4217).
    currency_code: &'static str,
    /// How many orders.
    orders: Long,
    /// How many order lines.
    lines: Long,
    /// The sum of the totals, exactly.
    total: Option<Money>,
    /// The sum of what was captured, where sources say.
    captured: Option<Money>,
    /// The sum of what was given back, where sources say.
    refunded: Option<Money>,
}

/// One change of the center's index.
#[derive(SimpleObject)]
pub(super) struct OrderChange {
    /// Its place in the feed: send the last one you have handled back as `after`, and nothing is lost or repeated.
    cursor: String,
    /// What happened.
    kind: ChangeKind,
    /// The order's global id.
    order_id: ID,
    /// The order as the center has it now, which may be newer than this change. None when it was deleted.
    order: Option<Order>,
    /// The source's version of the order at this change.
    version: Long,
    /// When the center stored it.
    changed_at: Time,
}

/// A change and its place in the feed.
#[derive(SimpleObject)]
struct OrderChangeEdge {
    /// Its place in the feed.
    cursor: String,
    /// The change.
    node: OrderChange,
}

/// A page of the change feed, oldest first: commit-ordered and without gaps.
#[derive(SimpleObject)]
struct OrderChangeConnection {
    /// The changes.
    nodes: Vec<OrderChange>,
    /// The changes, each with its cursor.
    edges: Vec<OrderChangeEdge>,
    /// Where the page stands. `endCursor` is never null: of an empty page it is where you already were.
    page_info: PageInfo,
}

/// Everything that can be read.
#[Object]
impl Query {
    /// One order; null where the center does not have it.
    async fn order(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How to find it.")] by: OrderLookup,
        #[graphql(desc = "Whether to ask the owner first.", default_with = "Freshness::Cached")] freshness: Freshness,
    ) -> Fallible<Order> {
        Fallible(order(ctx, by, freshness).await)
    }

    /// A page of orders, newest first unless told.
    #[graphql(complexity = "size(first, last) * child_complexity + 1")]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of the field")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which orders; all unless told.", name = "where")] of: Option<OrderWhere>,
        #[graphql(
            desc = "Free text: begin of a number, of a customer's e-mail address or name; or exactly an SKU, a \
                    customer id or an order id."
        )]
        search: Option<String>,
        #[graphql(desc = "Sorted by; newest placed first unless told.")] order_by: Option<OrderOrder>,
        #[graphql(desc = "The first so many; 20 unless told.")] first: Option<i32>,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "The last so many instead.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
    ) -> Fallible<OrderConnection> {
        let page = OrdersPage { order_by, first, after, last, before };
        Fallible(orders(ctx, of, search, page).await.map(Some))
    }

    /// Counts and exact sums of orders, by currency and whatever else is grouped by.
    #[graphql(complexity = "50 + size(first, None) * child_complexity")]
    async fn order_aggregates(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which orders; all unless told.", name = "where")] of: Option<OrderWhere>,
        #[graphql(desc = "Free text, as of `orders`.")] search: Option<String>,
        #[graphql(desc = "Group by these, besides the currency; at most 4.")] group_by: Option<Vec<OrderDimension>>,
        #[graphql(desc = "At most so many groups; the most a page may have unless told.")] first: Option<i32>,
    ) -> Fallible<OrderAggregates> {
        Fallible(aggregates(ctx, of, search, group_by.unwrap_or_default(), first).await.map(Some))
    }

    /// The change feed: what changed after a cursor, oldest first. Without `after`, from the beginning.
    #[graphql(complexity = "size(first, None) * child_complexity + 1")]
    async fn order_changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
        #[graphql(desc = "At most so many; 20 unless told.")] first: Option<i32>,
    ) -> Fallible<OrderChangeConnection> {
        Fallible(changes(ctx, after.as_deref(), first).await.map(Some))
    }

    /// One operation; null where there is none of this id.
    async fn operation(&self, ctx: &Context<'_>, #[graphql(desc = "Its global id.")] id: ID) -> Fallible<Operation> {
        Fallible(operation(ctx, &id).await)
    }

    /// Operations, newest first. For operators.
    #[graphql(complexity = "size(first, None) * child_complexity + 1")]
    async fn operations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this order only.")] order_id: Option<ID>,
        #[graphql(desc = "In these states only: `[UNKNOWN]` is what needs a person.")] states: Option<
            Vec<OperationState>,
        >,
        #[graphql(desc = "At most so many; 20 unless told.")] first: Option<i32>,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
    ) -> Fallible<OperationConnection> {
        Fallible(operations(ctx, order_id, states.unwrap_or_default(), first, after).await.map(Some))
    }

    /// The connected sources.
    async fn sources(&self, ctx: &Context<'_>) -> Fallible<Vec<Source>> {
        Fallible(require(ctx, Role::Reader).map(|_| Some(ctx.data_unchecked::<Sources>().all())))
    }

    /// One connected source.
    async fn source(&self, ctx: &Context<'_>, #[graphql(desc = "Its key.")] key: String) -> Fallible<Source> {
        let find = || SourceKey::try_new(key).ok().and_then(|key| ctx.data_unchecked::<Sources>().get(&key));
        Fallible(require(ctx, Role::Reader).map(|_| find()))
    }

    /// The adapters that sources can run on beside the protocol: by name, newest version first. For operators.
    #[graphql(complexity = "50 + child_complexity")]
    async fn adapters(&self, ctx: &Context<'_>) -> Fallible<Vec<Adapter>> {
        Fallible(adapters(ctx).await.map(Some))
    }

    /// Long work on a source, by its id. For operators.
    async fn source_run(&self, ctx: &Context<'_>, #[graphql(desc = "The run's id.")] id: ID) -> Fallible<SourceRun> {
        Fallible(source_run(ctx, &id).await)
    }

    /// Inputs that could not be understood, newest first. For operators.
    #[graphql(complexity = "size(first, None) * child_complexity + 1")]
    async fn quarantine(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of the source of this key only.")] key: Option<String>,
        #[graphql(desc = "Only those that are still open.", default = true)] open_only: bool,
        #[graphql(desc = "At most so many; 20 unless told.")] first: Option<i32>,
        #[graphql(desc = "After this cursor.")] after: Option<String>,
    ) -> Fallible<QuarantineConnection> {
        Fallible(quarantine(ctx, key, open_only, first, after).await.map(Some))
    }

    /// The object of a global id: an order, a source or an operation.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "The global id.")] id: ID) -> Fallible<Node> {
        Fallible(node(ctx, &id).await)
    }

    /// The objects of global ids, in their order; null where there is none.
    #[graphql(complexity = "ids.len() * child_complexity + 1")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global ids, at most as many as a page may have.")] ids: Vec<ID>,
    ) -> Fallible<Vec<Option<Node>>> {
        Fallible(nodes(ctx, ids).await.map(Some))
    }

    /// Who asks.
    async fn viewer(&self, ctx: &Context<'_>) -> Fallible<Viewer> {
        Fallible(require(ctx, Role::Reader).map(|principal| Some(principal.into())))
    }

    #[graphql(entity)]
    async fn find_order_by_id(&self, ctx: &Context<'_>, id: ID) -> Fallible<Order> {
        Fallible(order(ctx, OrderLookup::Id(id), Freshness::Cached).await)
    }
}

impl From<&Principal> for Viewer {
    fn from(principal: &Principal) -> Self {
        let role = match principal.role {
            Role::Reader => "READER",
            Role::Operator => "OPERATOR",
            Role::Admin => "ADMIN",
        };
        Self { id: principal.id.clone(), name: principal.name.clone(), role }
    }
}

async fn adapters(ctx: &Context<'_>) -> Result<Vec<Adapter>, Error> {
    require(ctx, Role::Operator)?;
    let packages = ctx.data_unchecked::<Services>().catalog.packages().await;
    Ok(packages.map_err(error::catalog)?.into_iter().map(Into::into).collect())
}

async fn source_run(ctx: &Context<'_>, id: &ID) -> Result<Option<SourceRun>, Error> {
    require(ctx, Role::Operator)?;
    let Some(id) = super::id::parse_run(id) else { return Ok(None) };
    let run = ctx.data_unchecked::<Services>().catalog.run(id).await;
    Ok(run.map_err(error::catalog)?.map(Into::into))
}

fn page_max(ctx: &Context<'_>) -> u32 {
    ctx.data_unchecked::<GraphqlLimits>().page_size_max
}

async fn order(ctx: &Context<'_>, by: OrderLookup, freshness: Freshness) -> Result<Option<Order>, Error> {
    require(ctx, Role::Reader)?;
    let id = match by {
        OrderLookup::Id(id) => OrderId::parse(&id).ok(),
        OrderLookup::Source(by) => SourceKey::try_new(by.key)
            .ok()
            .zip(SourceOrderId::try_new(by.source_order_id).ok())
            .map(|(key, id)| OrderId::new(key, id)),
        OrderLookup::Number(by) => by_number(ctx, by).await?,
    };
    // An id that was never issued and one that is not there are the same to who asks.
    let Some(id) = id else { return Ok(None) };
    match freshness {
        Freshness::Cached => find_order(ctx, &id).await,
        Freshness::Live => live_order(ctx, &id).await,
    }
}

/// An order read from its owner now.
pub(super) async fn live_order(ctx: &Context<'_>, id: &OrderId) -> Result<Option<Order>, Error> {
    if ctx.data_unchecked::<Sources>().get(id.source()).is_none() {
        return Ok(None);
    }
    let found = ctx.data_unchecked::<Services>().ingest.refresh(id).await.map_err(error::ingest)?;
    let cache = ctx.data_unchecked::<RenderCache>();
    Ok(found.map(|found| Order { id: found.id.clone(), rendered: cache.insert(found) }))
}

async fn by_number(ctx: &Context<'_>, by: OrderNumberLookup) -> Result<Option<OrderId>, Error> {
    let mut all = vec![Filter::Text(TextField::Number, TextMatch::In(vec![by.number]))];
    all.extend(by.key.map(|key| Filter::Text(TextField::Source, TextMatch::In(vec![key]))));
    let list = OrderList {
        filter: Filter::All(all),
        sort: OrderOrderField::PlacedAt.into(),
        direction: OrderDirection::Descending.into(),
        after: None,
        before: None,
        limit: 2,
        backward: false,
    };
    let mut found = ctx.data_unchecked::<Services>().index.list(&list).await.map_err(error::index)?.orders;
    match found.len() {
        0 | 1 => Ok(found.pop().map(|order| order.id)),
        _ => Err(bad_input("several orders have this number: add the `key` of the source, or use `orders`")),
    }
}

struct OrdersPage {
    order_by: Option<OrderOrder>,
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
}

async fn orders(
    ctx: &Context<'_>,
    of: Option<OrderWhere>,
    search: Option<String>,
    page: OrdersPage,
) -> Result<OrderConnection, Error> {
    require(ctx, Role::Reader)?;
    let newest = OrderOrder { field: OrderOrderField::PlacedAt, direction: OrderDirection::Descending };
    let order_by = page.order_by.unwrap_or(newest);
    let (sort, direction) = (order_by.field.into(), order_by.direction.into());
    let cursor = |text: Option<String>| {
        text.map(|text| Cursor::parse(&text, sort, direction)).transpose().map_err(|e| bad_input(e.to_string()))
    };
    let list = OrderList {
        filter: filter(of, search)?,
        sort,
        direction,
        after: cursor(page.after)?,
        before: cursor(page.before)?,
        limit: limit(page.first, page.last, page_max(ctx))?,
        backward: page.last.is_some(),
    };
    let index = &ctx.data_unchecked::<Services>().index;
    let listed = index.list(&list).await.map_err(error::index)?;
    let total = match ctx.look_ahead().field("totalCount").exists() {
        true => Some(index.count(&list.filter).await.map_err(error::index)?),
        false => None,
    };
    let places: Vec<(OrderId, String)> =
        listed.orders.iter().map(|order| (order.id.clone(), order.cursor.encode())).collect();
    let rendered = ctx.data_unchecked::<RenderCache>().page(listed.orders).await.map_err(error::index)?;
    let orders = places
        .into_iter()
        .zip(rendered)
        .filter_map(|((id, cursor), rendered)| rendered.map(|rendered| (Order { id, rendered }, cursor)));
    Ok(OrderConnection {
        orders: orders.collect(),
        has_next: listed.has_next,
        has_previous: listed.has_previous,
        total,
    })
}

async fn aggregates(
    ctx: &Context<'_>,
    of: Option<OrderWhere>,
    search: Option<String>,
    group_by: Vec<OrderDimension>,
    first: Option<i32>,
) -> Result<OrderAggregates, Error> {
    require(ctx, Role::Reader)?;
    if group_by.len() > 4 {
        return Err(bad_input("`groupBy` takes at most 4 dimensions"));
    }
    let mut by: Vec<Dimension> = Vec::with_capacity(group_by.len());
    for dimension in group_by {
        if by.contains(&dimension.into()) {
            return Err(bad_input("`groupBy` names a dimension twice"));
        }
        by.push(dimension.into());
    }
    let max = page_max(ctx);
    let limit = if first.is_none() { max } else { limit(first, None, max)? };
    let index = &ctx.data_unchecked::<Services>().index;
    let (rows, has_more) = index.aggregate(&filter(of, search)?, &by, limit).await.map_err(error::index)?;
    Ok(OrderAggregates { rows: rows.into_iter().map(|row| aggregate_row(&by, row)).collect(), has_more })
}

fn aggregate_row(by: &[Dimension], row: AggregateRow) -> OrderAggregateRow {
    let c = row.currency;
    let mut of = OrderAggregateRow {
        currency_code: c.code(),
        orders: Long::count(row.measures.orders),
        lines: Long::count(row.measures.lines),
        total: Some(super::convert::money(c, row.measures.total)),
        captured: Some(super::convert::money(c, row.measures.captured)),
        refunded: Some(super::convert::money(c, row.measures.refunded)),
        ..OrderAggregateRow::default()
    };
    for (dimension, key) in by.iter().zip(row.keys) {
        let text = key.as_deref();
        match dimension {
            Dimension::Source => of.source = key,
            Dimension::Kind => of.kind = text.and_then(order_contract::OrderKind::parse).map(Into::into),
            Dimension::Channel => of.channel = key,
            Dimension::Status => of.status = text.and_then(order_contract::OrderStatus::parse).map(Into::into),
            Dimension::PaymentStatus => {
                of.payment_status = text.and_then(order_contract::PaymentStatus::parse).map(Into::into);
            }
            Dimension::FulfillmentStatus => {
                of.fulfillment_status = text.and_then(order_contract::FulfillmentStatus::parse).map(Into::into);
            }
            Dimension::Country => of.country = key,
            Dimension::PlacedDay => of.placed_day = key,
            Dimension::PlacedMonth => of.placed_month = key,
        }
    }
    of
}

/// The text of a place in the feed.
pub(super) fn feed_cursor(position: FeedPosition) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("feed:{}", position.0))
}

/// The place in the feed that a client sends back.
///
/// # Errors
/// `BAD_USER_INPUT`.
pub(super) fn parse_feed_cursor(text: &str) -> Result<FeedPosition, Error> {
    use base64::Engine as _;
    let wrong = || bad_input("not a cursor of the change feed: send back a `cursor` or `endCursor` as it came");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let position = text.strip_prefix("feed:").and_then(|n| n.parse::<i64>().ok()).filter(|n| *n >= 0);
    position.map(FeedPosition).ok_or_else(wrong)
}

async fn changes(ctx: &Context<'_>, after: Option<&str>, first: Option<i32>) -> Result<OrderChangeConnection, Error> {
    require(ctx, Role::Reader)?;
    let limit = limit(first, None, page_max(ctx))?;
    let after = after.map(parse_feed_cursor).transpose()?.unwrap_or_default();
    let services = ctx.data_unchecked::<Services>();
    let mut found = services.index.changes(after, limit + 1).await.map_err(error::index)?;
    let has_next_page = found.len() > limit as usize;
    found.truncate(limit as usize);
    let look = ctx.look_ahead();
    let (nodes, edges) = (look.field("nodes"), look.field("edges"));
    let with_orders = nodes.field("order").exists() || edges.field("node").field("order").exists();
    let page_info = PageInfo {
        has_next_page,
        has_previous_page: after > FeedPosition::default(),
        start_cursor: found.first().map(|change| feed_cursor(change.position)),
        end_cursor: Some(feed_cursor(found.last().map_or(after, |change| change.position))),
    };
    let changes = load_changes(services, ctx.data_unchecked::<RenderCache>(), found, with_orders).await?;
    let edges = if edges.exists() {
        changes.iter().map(|node| OrderChangeEdge { cursor: node.cursor.clone(), node: node.clone() }).collect()
    } else {
        Vec::new()
    };
    Ok(OrderChangeConnection { nodes: changes, edges, page_info })
}

impl Clone for OrderChange {
    fn clone(&self) -> Self {
        Self { cursor: self.cursor.clone(), order_id: self.order_id.clone(), order: self.order.clone(), ..*self }
    }
}

/// Changes with their orders as they are now, in one query.
pub(super) async fn load_changes(
    services: &Services,
    cache: &RenderCache,
    changes: Vec<Change>,
    with_orders: bool,
) -> Result<Vec<OrderChange>, Error> {
    let mut orders = std::collections::HashMap::new();
    if with_orders && !changes.is_empty() {
        let mut ids: Vec<OrderId> = changes.iter().map(|change| change.id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        for found in services.index.find_many(&ids).await.map_err(error::index)? {
            let id = found.id.clone();
            orders.insert(id.clone(), Order { id, rendered: cache.insert(found) });
        }
    }
    let change = |change: Change| OrderChange {
        cursor: feed_cursor(change.position),
        kind: change.kind.into(),
        order_id: ID(change.id.to_string()),
        order: orders.get(&change.id).cloned(),
        version: Long(change.version.get()),
        changed_at: Time(change.changed_at),
    };
    Ok(changes.into_iter().map(change).collect())
}

async fn operation(ctx: &Context<'_>, id: &str) -> Result<Option<Operation>, Error> {
    require(ctx, Role::Reader)?;
    let Some(GlobalId::Operation(id)) = GlobalId::parse(id) else { return Ok(None) };
    let found = ctx.data_unchecked::<Services>().operations.find(&id).await.map_err(error::operation)?;
    Ok(found.map(Operation))
}

async fn operations(
    ctx: &Context<'_>,
    order: Option<ID>,
    states: Vec<OperationState>,
    first: Option<i32>,
    after: Option<String>,
) -> Result<OperationConnection, Error> {
    require(ctx, Role::Operator)?;
    let limit = limit(first, None, page_max(ctx))?;
    let order = order.map(|id| OrderId::parse(&id)).transpose().map_err(|e| bad_input(e.to_string()))?;
    let states: Vec<_> = states.into_iter().map(Into::into).collect();
    let services = ctx.data_unchecked::<Services>();
    let mut found = services
        .operations
        .list(order.as_ref(), &states, after.as_deref(), limit + 1)
        .await
        .map_err(error::operation)?;
    let page_info = page_of_ids(&mut found, limit, after.is_some(), |operation| operation.id.clone());
    Ok(OperationConnection { nodes: found.into_iter().map(Operation).collect(), page_info })
}

async fn quarantine(
    ctx: &Context<'_>,
    key: Option<String>,
    open_only: bool,
    first: Option<i32>,
    after: Option<String>,
) -> Result<QuarantineConnection, Error> {
    require(ctx, Role::Operator)?;
    let limit = limit(first, None, page_max(ctx))?;
    let key = key.map(SourceKey::try_new).transpose().map_err(|e| bad_input(e.to_string()))?;
    let ingest = &ctx.data_unchecked::<Services>().ingest;
    let mut found =
        ingest.quarantined(key.as_ref(), open_only, after.as_deref(), limit + 1).await.map_err(error::ingest)?;
    let page_info = page_of_ids(&mut found, limit, after.is_some(), |record| record.id.clone());
    Ok(QuarantineConnection { nodes: found.into_iter().map(Into::into).collect(), page_info })
}

/// Cuts a list that was read one item too far, and says where it stands. The cursor is the id of an item.
fn page_of_ids<T>(found: &mut Vec<T>, limit: u32, has_previous_page: bool, id: impl Fn(&T) -> String) -> PageInfo {
    let has_next_page = found.len() > limit as usize;
    found.truncate(limit as usize);
    PageInfo {
        has_next_page,
        has_previous_page,
        start_cursor: found.first().map(&id),
        end_cursor: found.last().map(&id),
    }
}

async fn node(ctx: &Context<'_>, id: &str) -> Result<Option<Node>, Error> {
    require(ctx, Role::Reader)?;
    Ok(match GlobalId::parse(id) {
        Some(GlobalId::Order(id)) => find_order(ctx, &id).await?.map(Node::Order),
        Some(GlobalId::Source(key)) => ctx.data_unchecked::<Sources>().get(&key).map(Node::Source),
        Some(GlobalId::Operation(_)) => operation(ctx, id).await?.map(Box::new).map(Node::Operation),
        None => None,
    })
}

async fn nodes(ctx: &Context<'_>, ids: Vec<ID>) -> Result<Vec<Option<Node>>, Error> {
    require(ctx, Role::Reader)?;
    let max = page_max(ctx) as usize;
    if ids.len() > max {
        return Err(bad_input(format!("at most {max} ids at once; got {}", ids.len())));
    }
    // Orders in one query; sources need none and operations are rarely asked for together.
    let mut orders = std::collections::HashMap::new();
    let order_ids: Vec<OrderId> = ids.iter().filter_map(|id| OrderId::parse(id).ok()).collect();
    if !order_ids.is_empty() {
        let cache = ctx.data_unchecked::<RenderCache>();
        for found in ctx.data_unchecked::<Services>().index.find_many(&order_ids).await.map_err(error::index)? {
            let id = found.id.clone();
            orders.insert(id.to_string(), Order { id, rendered: cache.insert(found) });
        }
    }
    let mut nodes = Vec::with_capacity(ids.len());
    for id in &ids {
        nodes.push(match GlobalId::parse(id) {
            Some(GlobalId::Order(_)) => orders.get(id.as_str()).cloned().map(Node::Order),
            Some(_) => node(ctx, id).await?,
            None => None,
        });
    }
    Ok(nodes)
}
