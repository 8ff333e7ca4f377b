//! `Subscription`: changes as they happen, from the same feed that can be polled.
//!
//! It owns the streams. It refuses to buffer for slow clients: a stream reads the feed when its client is ready for
//! more, so one that lags reads on from where it is. That is so that nothing is lost between two connections.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use async_graphql::{Context, Error, ID, Subscription as Root};
use futures_util::{Stream, StreamExt as _, stream};
use order_contract::OrderId;

use super::error::{self, require};
use super::filter::{OrderWhere, filter};
use super::id::GlobalId;
use super::operation::Operation;
use super::query::{OrderChange, load_changes, parse_feed_cursor};
use super::render::RenderCache;
use super::vocabulary::{OrderDirection, OrderOrderField};
use super::{Role, Services};
use crate::index::{Change, ChangeKind, FeedPosition, Filter, OrderList, TextField, TextMatch};

/// The root of all streams.
pub struct Subscription;

/// The most changes read from the feed at once.
const BATCH: u32 = 100;
/// How long to wait before looking for commits of other nodes, which do not wake this one.
const FALLBACK: Duration = Duration::from_secs(1);

/// Changes as they happen.
#[Root]
impl Subscription {
    /// Orders as they change. Store the `cursor` of the last change you have handled: with it as `after`, a new
    /// connection goes on where the old one broke, without gaps.
    async fn order_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            name = "where",
            desc = "Only orders that match as they are now. Deletions are told whatever it says."
        )]
        of: Option<OrderWhere>,
        #[graphql(desc = "After this cursor of the change feed; from now on unless told.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<OrderChange, Error>>, Error> {
        require(ctx, Role::Reader)?;
        let services = ctx.data_unchecked::<Services>().clone();
        let position = match after {
            Some(after) => parse_feed_cursor(&after)?,
            None => services.index.feed_head().await.map_err(error::index)?,
        };
        let reader = Reader {
            cache: ctx.data_unchecked::<RenderCache>().clone(),
            services,
            filter: of.map(|of| filter(Some(of), None)).transpose()?,
            with_orders: ctx.look_ahead().field("order").exists(),
            position,
            ready: VecDeque::new(),
        };
        Ok(stream::try_unfold(reader, Reader::next))
    }

    /// An operation as it changes, beginning with how it is now; ends when the operation does.
    async fn operation_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The operation's global id.")] id: ID,
    ) -> Result<impl Stream<Item = Result<Operation, Error>>, Error> {
        require(ctx, Role::Reader)?;
        let Some(GlobalId::Operation(id)) = GlobalId::parse(&id) else {
            return Err(error::bad_input("not the id of an operation"));
        };
        let updates = ctx.data_unchecked::<Services>().operations.watch(id);
        Ok(updates.map(|update| update.map(Operation).map_err(error::operation)))
    }
}

/// A reader of the feed.
struct Reader {
    services: Services,
    cache: RenderCache,
    filter: Option<Filter>,
    with_orders: bool,
    position: FeedPosition,
    ready: VecDeque<OrderChange>,
}

impl Reader {
    async fn next(mut self) -> Result<Option<(OrderChange, Self)>, Error> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some((change, self)));
            }
            let index = &self.services.index;
            let found = index.changes(self.position, BATCH).await.map_err(error::index)?;
            match found.last() {
                Some(last) => self.position = last.position,
                None => {
                    // Whichever comes first: nothing is missed, both only say when to look again.
                    let _ = tokio::time::timeout(FALLBACK, index.changed_after(self.position)).await;
                    continue;
                }
            }
            let found = self.matching(found).await?;
            self.ready = load_changes(&self.services, &self.cache, found, self.with_orders).await?.into();
        }
    }

    /// The changes whose orders match: asked of the index, so that a stream and a list mean the same by a filter.
    async fn matching(&self, mut changes: Vec<Change>) -> Result<Vec<Change>, Error> {
        let Some(filter) = &self.filter else { return Ok(changes) };
        let ids: HashSet<&OrderId> = changes.iter().map(|change| &change.id).collect();
        let ids = TextMatch::In(ids.into_iter().map(ToString::to_string).collect());
        let list = OrderList {
            filter: Filter::All(vec![Filter::Text(TextField::Id, ids), filter.clone()]),
            sort: OrderOrderField::UpdatedAt.into(),
            direction: OrderDirection::Ascending.into(),
            after: None,
            before: None,
            limit: BATCH,
            backward: false,
        };
        let matching = self.services.index.list(&list).await.map_err(error::index)?;
        let matching: HashSet<OrderId> = matching.orders.into_iter().map(|order| order.id).collect();
        changes.retain(|change| change.kind == ChangeKind::Deleted || matching.contains(&change.id));
        Ok(changes)
    }
}
