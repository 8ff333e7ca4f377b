//! How the platform is read: lists of changes, single orders, what belongs to them, and where changes hide.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::http::Request;
use super::text::{Expression, Span};

/// `[list]`: changed orders, page by page. Requests see `$cursor.since`, `$cursor.until`, `$page.size`, `$page.number`,
/// `$page.offset` and `$page.token` (and the same in templates); each is null where it does not apply.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The request of a page.
    pub request: Request,
    /// The request of every page but the first, where it differs.
    #[serde(default)]
    pub next: Option<Request>,
    /// The records of an exchange: an array.
    pub records: Expression,
    /// How one page leads to the next.
    pub page: Page,
    /// How far the list was read.
    pub cursor: Cursor,
}

/// `[[secondary]]`: a list of other things (payments, returns) that names the orders they belong to. Those orders are
/// read one by one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secondary {
    /// What it lists, for people.
    pub name: String,
    /// The request of a page.
    pub request: Request,
    /// The request of every page but the first, where it differs.
    #[serde(default)]
    pub next: Option<Request>,
    /// The records of an exchange: an array.
    pub records: Expression,
    /// The id of the order that a record belongs to; null for none.
    pub order: Expression,
    /// How one page leads to the next.
    pub page: Page,
    /// How far the list was read.
    pub cursor: Cursor,
}

/// `[list.page]`: how one page leads to the next, by `strategy`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
pub enum Page {
    /// Sorted by time of change, each page asks for what changed after the last record of the one before. Loses nothing
    /// while records move. Records of one instant beyond a page are read by `$page.number` or `$page.offset`, forward and
    /// then backward, so the request must use one of them.
    Seek {
        /// Records of a page.
        size: u32,
        /// The number of the first page.
        #[serde(default = "one")]
        first: u32,
        /// Whether more follow, from the exchange; when absent, a page that is full is followed by another.
        #[serde(default)]
        more: Option<Expression>,
    },
    /// By `$page.number`.
    Page {
        /// Records of a page.
        size: u32,
        /// The number of the first page.
        #[serde(default = "one")]
        first: u32,
        /// How the list is sorted: it decides in which direction pages are read without losing records that move.
        sort: Sort,
        /// The number of pages, from the exchange. Needed when `sort` is `ascending`.
        #[serde(default)]
        pages: Option<Expression>,
        /// The number of records, from the exchange; instead of `pages`.
        #[serde(default)]
        total: Option<Expression>,
    },
    /// By `$page.offset`.
    Offset {
        /// Records of a page.
        size: u32,
        /// How the list is sorted: it decides in which direction pages are read without losing records that move.
        sort: Sort,
        /// The number of records, from the exchange. Needed when `sort` is `ascending`.
        #[serde(default)]
        total: Option<Expression>,
    },
    /// By an opaque cursor (Relay's `endCursor`) in `$page.token`, sent with the same parameters again.
    Cursor {
        /// Records of a page.
        size: u32,
        /// The cursor of the next page, from the exchange; null on the last.
        next: Expression,
    },
    /// By a token in `$page.token`, as [`Self::Cursor`]; where it replaces every other parameter, give `list.next`.
    Token {
        /// Records of a page.
        size: u32,
        /// The token of the next page, from the exchange; null on the last.
        next: Expression,
    },
    /// By a URL: the `Link` header's `rel="next"`, or an expression. It must be below `http.base`.
    Link {
        /// Records of a page.
        size: u32,
        /// The URL of the next page, from the exchange; the `Link` header when absent.
        #[serde(default)]
        next: Option<Expression>,
    },
}

fn one() -> u32 {
    1
}

/// How a list is sorted by time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Oldest change first. What moves goes to the end, so pages are read from the last to the first.
    Ascending,
    /// Newest change first. What moves goes to the front, so pages are read from the first to the last.
    Descending,
}

/// `[list.cursor]`: how far a list was read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The time of change, from a record: a text in RFC 3339 or without a zone in UTC, or whole seconds since 1970.
    pub field: Expression,
    /// How `$cursor.since` and `$cursor.until` are written: `rfc3339` (whole seconds), `rfc3339_ms`, `rfc3339_us`, `unix`,
    /// `unix_ms`, or a pattern of `strftime`.
    #[serde(default = "rfc3339")]
    pub format: String,
    /// The finest step that the platform's filter tells apart.
    pub granularity: Span,
    /// Whether the filter leaves out what changed exactly at `since`.
    #[serde(default)]
    pub exclusive: bool,
    /// How far each pass reaches back behind the last one, besides the center's own overlap.
    #[serde(default)]
    pub overlap: Option<Span>,
    /// How long a change takes to show in the list. A pass never claims to have seen what is younger.
    #[serde(default)]
    pub lag: Option<Span>,
    /// How far back the first pass reaches; to the beginning when absent.
    #[serde(default)]
    pub initial: Option<Span>,
    /// By which clock a pass ends.
    #[serde(default)]
    pub clock: Clock,
    /// The moment up to which the answer is complete, from the exchange, where the platform says it.
    #[serde(default)]
    pub bound: Option<Expression>,
}

fn rfc3339() -> String {
    "rfc3339".to_owned()
}

/// By which clock a pass ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The `Date` header of the first answer; where there is none, the records' own times.
    #[default]
    Date,
    /// The records' own times: the newest one seen.
    Records,
}

/// `[get]`: one order by its id.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// The request; it sees `$id`.
    pub request: Request,
    /// The record of an exchange.
    pub record: Expression,
    /// When an exchange means that the platform does not have the order: it is then deleted from the index, so a proxy's
    /// 404 must not match.
    pub missing: Expression,
}

/// `[[hydrate]]`: a sub-resource that belongs to the order's record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hydrate {
    /// The field of the record it is put into; `.` for a list that only names orders: what was read takes the record's place.
    pub field: String,
    /// The request; it sees `$id`, and the record as input.
    pub request: Request,
    /// What is put there, from the exchange.
    pub value: Expression,
    /// Whether a record needs it; every record when absent.
    #[serde(default)]
    pub when: Option<Expression>,
}

/// `[reread]`: the change list does not show every change (`why`), so open orders are read again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reread {
    /// Which changes the list does not show, for operators.
    pub why: String,
    /// How often each open order is read again, within the rate budget.
    pub every: Span,
    /// How far back reconciliation on schedule compares orders, ended ones among them: those are not read again otherwise.
    #[serde(default = "quarter")]
    pub ended: Span,
    /// Reads many orders at once: it sees `$ids`. Without it each is read by `[get]`.
    #[serde(default)]
    pub request: Option<Request>,
    /// The records of an exchange: an array.
    #[serde(default)]
    pub records: Option<Expression>,
    /// The most orders of one such request.
    #[serde(default = "fifty")]
    pub size: u32,
    /// What tells from a record whether anything changed; the whole record when absent.
    #[serde(default)]
    pub fingerprint: Option<Expression>,
}

fn fifty() -> u32 {
    50
}

fn quarter() -> Span {
    Span(Duration::from_secs(90 * 24 * 3600))
}
