//! Pages of orders: keyset cursors only, ids and revisions from a covering index.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use order_contract::OrderId;

use super::columns::column_text;
use super::filter::{Condition, Filter};
use super::{Index, IndexError, stored_id, stored_time};
use crate::database::Value;

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

/// Version of the cursor's bytes: version, sort, direction, key, id.
const CURSOR_VERSION: u8 = 1;

impl SortField {
    fn tag(self) -> u8 {
        match self {
            Self::PlacedAt => b'p',
            Self::UpdatedAt => b'u',
            Self::Total => b't',
        }
    }

    fn column(self) -> &'static str {
        match self {
            Self::PlacedAt => "placed_at",
            Self::UpdatedAt => "updated_at",
            Self::Total => "total",
        }
    }
}

impl Direction {
    fn tag(self) -> u8 {
        match self {
            Self::Ascending => b'a',
            Self::Descending => b'd',
        }
    }

    fn reversed(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }
}

impl Cursor {
    /// The text that clients send back.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = vec![CURSOR_VERSION, self.sort.tag(), self.direction.tag()];
        bytes.extend(self.key.to_be_bytes());
        bytes.extend(self.id.to_string().into_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The sort column's value: microseconds since 1970, or ten-thousandths.
    #[must_use]
    pub fn key(&self) -> i64 {
        self.key
    }

    /// The order it stands on.
    #[must_use]
    pub fn id(&self) -> &OrderId {
        &self.id
    }

    /// Parses a client's text, for a list of this sort.
    ///
    /// # Errors
    /// [`CursorError`] tells the client what to do.
    pub fn parse(text: &str, sort: SortField, direction: Direction) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let ([version, sort_tag, direction_tag], rest) = bytes.split_first_chunk().ok_or(CursorError::Malformed)?;
        let (key, id) = rest.split_first_chunk().ok_or(CursorError::Malformed)?;
        let id = std::str::from_utf8(id).ok().and_then(|id| OrderId::parse(id).ok()).ok_or(CursorError::Malformed)?;
        if *version != CURSOR_VERSION || !b"put".contains(sort_tag) || !b"ad".contains(direction_tag) {
            return Err(CursorError::Malformed);
        }
        if (*sort_tag, *direction_tag) != (sort.tag(), direction.tag()) {
            return Err(CursorError::OtherSort);
        }
        Ok(Self { sort, direction, key: i64::from_be_bytes(*key), id })
    }
}

impl Index {
    /// Lists a page.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn list(&self, list: &OrderList) -> Result<OrderPage, IndexError> {
        let (sql, values) = page_sql(list);
        let rows = self.database.fetch_all(&sql, &values).await.map_err(IndexError::Query)?;
        let more = rows.len() > list.limit as usize;
        let listed = rows.iter().take(list.limit as usize).map(|row| {
            let id = stored_id(row.text(0).map_err(IndexError::Query)?)?;
            let (revision, key) = (row.int(1).map_err(IndexError::Query)?, row.int(2).map_err(IndexError::Query)?);
            let cursor = Cursor { sort: list.sort, direction: list.direction, key, id: id.clone() };
            Ok(ListedOrder { id, revision, cursor })
        });
        let mut orders = listed.collect::<Result<Vec<_>, IndexError>>()?;
        // Toward where the page was read the extra row tells; on the other side there is what the cursor stood on.
        if list.backward {
            orders.reverse();
            return Ok(OrderPage { orders, has_next: list.before.is_some(), has_previous: more });
        }
        Ok(OrderPage { orders, has_next: more, has_previous: list.after.is_some() })
    }

    /// Counts exactly. Its cost grows with the answer: only when asked for.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn count(&self, filter: &Filter) -> Result<u64, IndexError> {
        let mut condition = Condition::default();
        condition.filter(filter);
        let sql = format!("select count(*) from orders where {}", condition.sql);
        let row = self.database.fetch_optional(&sql, &condition.values).await.map_err(IndexError::Query)?;
        row.map_or(Ok(0), |row| row.int(0)).map(i64::unsigned_abs).map_err(IndexError::Query)
    }

    /// The newest `updated_at` the index has of a source, for lag.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn newest_update(&self, source: &order_contract::SourceKey) -> Result<Option<DateTime<Utc>>, IndexError> {
        let sql = "select updated_at from orders where source = $1 order by updated_at desc limit 1";
        let row = self.database.fetch_optional(sql, &[source.as_str().into()]).await.map_err(IndexError::Query)?;
        let Some(row) = row else { return Ok(None) };
        stored_time(source.as_str(), row.int(0).map_err(IndexError::Query)?).map(Some)
    }
}

/// The statement of a page. Sort column and id run in the same direction, so that a cursor is one row comparison, which
/// both databases take as a bound of the index scan.
fn page_sql(list: &OrderList) -> (String, Vec<Value<'static>>) {
    let mut condition = Condition::default();
    let column = list.sort.column();
    // Lines carry the time of their order: a list by SKU walks them in its order instead of sorting what it finds.
    let split = list.filter.split_sku().filter(|_| list.sort == SortField::PlacedAt);
    let filter = split.as_ref().map_or(&list.filter, |(_, rest)| rest);
    let (from, table) = match &split {
        None => ("orders where".to_owned(), "orders"),
        Some((sku, _)) => {
            let sku = condition.bind(column_text(sku));
            // The first line of an order stands for it, however many lines have that SKU.
            let from = format!(
                "order_lines cross join orders where orders.order_id = order_lines.order_id
                 and order_lines.sku = {sku} and not exists (select 1 from order_lines earlier
                 where earlier.order_id = order_lines.order_id and earlier.sku = order_lines.sku
                 and earlier.position < order_lines.position) and"
            );
            (from, "order_lines")
        }
    };
    condition.filter(filter);
    let mut keyset = String::new();
    let forward = if list.direction == Direction::Descending { "<" } else { ">" };
    let backward = if list.direction == Direction::Descending { ">" } else { "<" };
    for (cursor, operator) in [(&list.after, forward), (&list.before, backward)] {
        if let Some(cursor) = cursor {
            let (key, id) = (condition.bind(cursor.key), condition.bind(cursor.id.to_string()));
            keyset += &format!(" and ({table}.{column}, {table}.order_id) {operator} ({key}, {id})");
        }
    }
    let limit = condition.bind(i64::from(list.limit) + 1);
    let direction = match if list.backward { list.direction.reversed() } else { list.direction } {
        Direction::Ascending => "asc",
        Direction::Descending => "desc",
    };
    let sql = format!(
        "select orders.order_id, orders.revision, {table}.{column} from {from} {}{keyset}
         order by {table}.{column} {direction}, {table}.order_id {direction} limit {limit}",
        condition.sql
    );
    (sql, condition.values)
}

#[cfg(test)]
mod tests {
    use super::{CURSOR_VERSION, Cursor, CursorError, Direction, OrderList, SortField, URL_SAFE_NO_PAD, page_sql};
    use base64::Engine as _;
    use chrono::DateTime;
    use order_contract::OrderId;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use crate::database::{Database, PoolLimits};
    use crate::index::{Filter, LineFilter, Range, TextField, TextMatch, TimeField};

    const SORTS: [SortField; 3] = [SortField::PlacedAt, SortField::UpdatedAt, SortField::Total];
    const DIRECTIONS: [Direction; 2] = [Direction::Ascending, Direction::Descending];

    fn cursor(key: i64, id: &str) -> Cursor {
        let id = OrderId::parse(id).expect("an id");
        Cursor { sort: SortField::PlacedAt, direction: Direction::Descending, key, id }
    }

    #[test]
    fn a_cursor_is_bound_to_its_sort() {
        let text = cursor(-1, "ord_retail_1").encode();
        for (sort, direction) in SORTS.into_iter().flat_map(|sort| DIRECTIONS.map(|direction| (sort, direction))) {
            let parsed = Cursor::parse(&text, sort, direction);
            if (sort, direction) == (SortField::PlacedAt, Direction::Descending) {
                assert_eq!(parsed, Ok(cursor(-1, "ord_retail_1")));
            } else {
                assert_eq!(parsed, Err(CursorError::OtherSort));
            }
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_never_panics(text in any::<String>(), bytes in any::<Vec<u8>>(), key in any::<i64>()) {
            let parse = |text: &str| Cursor::parse(text, SortField::PlacedAt, Direction::Descending);
            let head = [CURSOR_VERSION, b'p', b'd'];
            for text in [text, URL_SAFE_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode([&head[..], &bytes].concat())] {
                prop_assert_eq!(parse(&text), Err(CursorError::Malformed));
            }
            let whole = cursor(key, "ord_retail_1").encode();
            for cut in 0..whole.len() {
                prop_assert!(parse(&whole[..cut]).is_err());
            }
            prop_assert_eq!(parse(&whole), Ok(cursor(key, "ord_retail_1")));
        }
    }

    /// What every page of a plain filter must be: one walk along an index, up to the limit.
    #[tokio::test]
    async fn pages_walk_an_index_and_sort_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("plans.db").display());
        let database = Database::open(&url, PoolLimits::default()).await.expect("opens");
        let text = |field| Filter::Text(field, TextMatch::In(vec!["x".into()]));
        let time = |field| Filter::Time(field, Range { gte: Some(DateTime::UNIX_EPOCH), ..Range::default() });
        let sku = Filter::Lines(LineFilter { sku: Some(TextMatch::In(vec!["x".into()])), ..LineFilter::default() });
        let plain = Filter::All(Vec::new());
        let cases = [
            (plain.clone(), SortField::PlacedAt, "orders_placed"),
            (plain.clone(), SortField::UpdatedAt, "orders_updated"),
            (plain, SortField::Total, "orders_total"),
            (time(TimeField::PlacedAt), SortField::PlacedAt, "orders_placed"),
            (time(TimeField::UpdatedAt), SortField::UpdatedAt, "orders_updated"),
            (text(TextField::Source), SortField::PlacedAt, "orders_source_placed"),
            (text(TextField::Source), SortField::UpdatedAt, "orders_source_updated"),
            (text(TextField::Status), SortField::PlacedAt, "orders_status_placed"),
            (text(TextField::PaymentStatus), SortField::PlacedAt, "orders_payment_placed"),
            (text(TextField::FulfillmentStatus), SortField::PlacedAt, "orders_fulfillment_placed"),
            (text(TextField::Country), SortField::PlacedAt, "orders_country_placed"),
            (text(TextField::CustomerId), SortField::PlacedAt, "orders_customer_placed"),
            (text(TextField::CustomerEmail), SortField::PlacedAt, "orders_email_placed"),
            (text(TextField::Number), SortField::PlacedAt, "orders_number"),
            (sku, SortField::PlacedAt, "order_lines_sku"),
        ];
        for (filter, sort, index) in cases {
            for (direction, backward) in DIRECTIONS.into_iter().flat_map(|d| [(d, false), (d, true)]) {
                for after in [None, Some(cursor(5, "ord_retail_1"))] {
                    let filter = filter.clone();
                    let list = OrderList { filter, sort, direction, after, before: None, limit: 20, backward };
                    let (sql, values) = page_sql(&list);
                    let plan = database.fetch_all(&format!("explain query plan {sql}"), &values).await.expect("a plan");
                    let plan = plan.iter().map(|row| row.text(3).expect("detail")).collect::<Vec<_>>().join("; ");
                    assert!(plan.contains(&format!("INDEX {index}")), "{sql}\n{plan}");
                    assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
                    let covering = index == "order_lines_sku" || plan.contains("COVERING");
                    assert!(covering && (list.after.is_none() || plan.contains('<') || plan.contains('>')), "{plan}");
                }
            }
        }
    }
}
