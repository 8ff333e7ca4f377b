//! Pages of orders: keyset cursors only, ids and revisions from a covering index.

use chrono::{DateTime, Utc};
use order_contract::OrderId;

use super::filter::Filter;
use super::{Index, IndexError};

/// What a list is sorted by. Ties are broken by the order id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the order's field of that name")]
pub enum SortField {
    PlacedAt,
    UpdatedAt,
    Total,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the field's standard terms")]
pub enum Direction {
    Ascending,
    Descending,
}

/// Where a page ended: opaque text to clients, bound to the sort it was made under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) sort: SortField,
    pub(super) direction: Direction,
    pub(super) key: i64,
    pub(super) id: OrderId,
}

/// Why a text is not a cursor of this list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a cursor at all.
    #[error("not a cursor of this API: send back an `endCursor` as it came")]
    Malformed,
    /// A cursor of a list with another sort.
    #[error("this cursor belongs to a list with another orderBy: start again without `after`")]
    OtherSort,
}

/// What to list.
#[derive(Clone, Debug)]
pub struct OrderList {
    /// Which orders.
    pub filter: Filter,
    /// Sorted by.
    pub sort: SortField,
    /// Which way.
    pub direction: Direction,
    /// After this order.
    pub after: Option<Cursor>,
    /// Before this order: the page is then the last `limit` before it, still in the list's direction.
    pub before: Option<Cursor>,
    /// At most so many.
    pub limit: u32,
    /// Whether the last `limit` orders are wanted rather than the first.
    pub backward: bool,
}

/// One order of a page: enough to find its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOrder {
    /// Its id.
    pub id: OrderId,
    /// The revision of its document.
    pub revision: i64,
    /// Where it stands in this list.
    pub cursor: Cursor,
}

/// One page.
#[derive(Clone, Debug, Default)]
pub struct OrderPage {
    /// The orders, in the list's direction.
    pub orders: Vec<ListedOrder>,
    /// Whether more follow.
    pub has_next: bool,
    /// Whether some precede.
    pub has_previous: bool,
}

impl Cursor {
    /// The text that clients send back.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }

    /// Parses a client's text, for a list of this sort.
    ///
    /// # Errors
    /// [`CursorError`] tells the client what to do.
    pub fn parse(text: &str, sort: SortField, direction: Direction) -> Result<Self, CursorError> {
        let _ = (text, sort, direction);
        todo!()
    }
}

impl Index {
    /// Lists a page.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn list(&self, list: &OrderList) -> Result<OrderPage, IndexError> {
        let _ = list;
        todo!()
    }

    /// Counts exactly. Its cost grows with the answer: only when asked for.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn count(&self, filter: &Filter) -> Result<u64, IndexError> {
        let _ = filter;
        todo!()
    }

    /// The newest `updated_at` the index has of a source, for lag.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn newest_update(&self, source: &order_contract::SourceKey) -> Result<Option<DateTime<Utc>>, IndexError> {
        let _ = source;
        todo!()
    }
}
