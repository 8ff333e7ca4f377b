//! Lists of changes as a state machine: where a pass stands, the request that follows, and what its answer leads to.
//!
//! It owns the order in which pages are read. It refuses answers that show that the platform ignored the filter or the
//! sorting, because a list that was read past its order loses records without a trace. Everything is computed from the
//! position and the answer, so a pass can be interrupted and taken up anywhere.
//!
//! Why nothing is lost while records move: what is touched gets a younger time, so in an ascending list it moves to the
//! end and those behind it move forward. *Seek* asks again from the last time seen, so all that moved lies ahead. Where
//! more records than a page share one instant, that instant is read page by page to its end and then backward to its
//! beginning: a record that moves forward while pages are read backward is met at most twice, and never passed by.

use jaq_json::Val;
use serde::{Deserialize, Serialize};

use super::EngineError;
use super::exchange::{Call, Request, Target, object};
use super::expression::{Bindings, Program};
use super::moment::Format;
use super::template::Declared;
use crate::manifest::{self, Clock, Cursor, Expression, Page, Sort};
use crate::package::Package;

/// Which changes a pass lists, in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// From here on; none for everything.
    pub since: Option<i64>,
    /// Up to here, once the pass has a bound.
    pub until: Option<i64>,
    /// Records of a page, at most.
    pub limit: u32,
    /// The center's clock. It decides how far back a first pass reaches, and is believed in nothing else.
    pub now: i64,
}

/// Where a pass stands between two pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which list: the first, then the secondary ones.
    #[serde(rename = "l", default)]
    pub(crate) list: usize,
    /// Everything changed from here on is still to be seen, in microseconds; none for everything.
    #[serde(rename = "s")]
    pub(super) since: Option<i64>,
    /// Records of a page in this pass.
    #[serde(rename = "n")]
    pub(super) size: u32,
    /// The page that follows.
    #[serde(rename = "a")]
    pub(super) at: At,
    /// The youngest time of change seen in the first list, in microseconds.
    #[serde(rename = "m")]
    pub(crate) newest: Option<i64>,
    /// The ids of the page before, hashed: a platform that repeats its last page must not be read forever.
    #[serde(rename = "h", default)]
    pub(super) last: Option<u64>,
    /// How many pages in a row were the one before once more. Records that move may do that, but not often.
    #[serde(rename = "r", default)]
    pub(super) repeats: u32,
}

/// The page that follows. Pages count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum At {
    /// The first page of what changed from `since` on.
    Seek,
    /// A further page of an instant that fills more than one.
    Up(u64),
    /// Back through that instant; then on from there, or to the end of the list.
    Down(u64, Option<i64>),
    /// By number, forward.
    Forward(u64),
    /// By number, backward.
    Backward(u64),
    /// By a token; none for the first page.
    Token(Option<String>),
    /// By a URL; none for the first page.
    Link(Option<String>),
}

/// One list, compiled.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(super) name: String,
    request: Request,
    next: Option<Request>,
    pub(super) records: Program,
    /// What names a record: its own id, or that of the order it belongs to.
    pub(super) id: Program,
    size: u32,
    /// The number of the first page.
    first: u32,
    pub(super) strategy: Strategy,
    pub(super) field: Program,
    format: Format,
    pub(super) granule: i64,
    exclusive: bool,
    overlap: i64,
    pub(super) lag: i64,
    initial: Option<i64>,
    pub(super) clock: Clock,
    pub(super) bound: Option<Program>,
    /// Whether requests name `cursor.since`: then nothing older may come.
    pub(super) filtered: bool,
    /// Whether requests name `cursor.until`: then nothing beyond it was asked for.
    pub(super) bounded: bool,
}

/// How one page leads to the next.
#[derive(Debug)]
pub(super) enum Strategy {
    Seek { more: Option<Program>, pages: bool },
    Numbered { sort: Sort, pages: Option<Program>, total: Option<Program> },
    Token { next: Program },
    Link { next: Option<Program> },
}

/// The parts of the manifest that make a list.
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) request: &'a manifest::Request,
    pub(crate) next: Option<&'a manifest::Request>,
    pub(crate) records: &'a Expression,
    pub(crate) id: &'a Expression,
    pub(crate) page: &'a Page,
    pub(crate) cursor: &'a Cursor,
}

impl Listing {
    pub(crate) fn compile(of: &Source<'_>, package: &Package, declared: &Declared<'_>) -> Result<Self, EngineError> {
        let program = |part: &str, expression: &Expression| {
            Program::compile(&format!("{}.{part}", of.name), expression).map_err(EngineError::Expression)
        };
        let optional = |part: &str, expression: Option<&Expression>| {
            expression.map(|expression| program(part, expression)).transpose()
        };
        let wrong = |reason: &str| EngineError::Manifest(format!("{}.page", of.name), reason.to_owned());
        let names = |name| Request::names(of.request, name) || of.next.is_some_and(|next| Request::names(next, name));
        let (size, first, strategy) = match of.page {
            Page::Seek { size, first, more } => {
                let pages = names("page.number") || names("page.offset");
                (*size, *first, Strategy::Seek { more: optional("page.more", more.as_ref())?, pages })
            }
            Page::Page { size, first, sort, pages, total } => {
                if *sort == Sort::Ascending && pages.is_none() && total.is_none() {
                    return Err(wrong(
                        "pages of an ascending list are read from the last one: give `pages` or `total`",
                    ));
                }
                let (pages, total) = (optional("page.pages", pages.as_ref())?, optional("page.total", total.as_ref())?);
                (*size, *first, Strategy::Numbered { sort: *sort, pages, total })
            }
            Page::Offset { size, sort, total } => {
                if *sort == Sort::Ascending && total.is_none() {
                    return Err(wrong("pages of an ascending list are read from the last one: give `total`"));
                }
                let total = optional("page.total", total.as_ref())?;
                (*size, 1, Strategy::Numbered { sort: *sort, pages: None, total })
            }
            Page::Cursor { size, next } | Page::Token { size, next } => {
                (*size, 1, Strategy::Token { next: program("page.next", next)? })
            }
            Page::Link { size, next } => (*size, 1, Strategy::Link { next: optional("page.next", next.as_ref())? }),
        };
        if size == 0 {
            return Err(wrong("a page holds at least one record"));
        }
        if of.cursor.granularity.micros() == 0 {
            return Err(EngineError::Manifest(format!("{}.cursor", of.name), "the granularity is at least 1us".into()));
        }
        let request =
            |part: &str, request| Request::compile(&format!("{}.{part}", of.name), request, package, declared);
        Ok(Self {
            name: of.name.to_owned(),
            request: request("request", of.request)?,
            next: of.next.map(|next| request("next", next)).transpose()?,
            records: program("records", of.records)?,
            id: program("id", of.id)?,
            size,
            first,
            strategy,
            field: program("cursor.field", &of.cursor.field)?,
            format: Format::parse(&of.cursor.format)
                .map_err(|reason| EngineError::Manifest(format!("{}.cursor", of.name), reason))?,
            granule: of.cursor.granularity.micros(),
            exclusive: of.cursor.exclusive,
            overlap: of.cursor.overlap.map_or(0, |span| span.micros()),
            lag: of.cursor.lag.map_or(0, |span| span.micros()),
            initial: of.cursor.initial.map(|span| span.micros()),
            clock: of.cursor.clock,
            bound: optional("cursor.bound", of.cursor.bound.as_ref())?,
            filtered: names("cursor.since"),
            bounded: names("cursor.until"),
        })
    }

    /// The most records of one page.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// A moment rounded down to what the platform's filter tells apart.
    pub(super) fn floor(&self, micros: i64) -> i64 {
        micros.div_euclid(self.granule) * self.granule
    }

    /// Where a pass over this list begins.
    pub(crate) fn begin(&self, list: usize, window: &Window, newest: Option<i64>) -> Position {
        let reach = |span: i64| window.now.saturating_sub(span);
        let since = match window.since {
            Some(since) => Some(since.saturating_sub(self.overlap)),
            None => self.initial.map(reach),
        };
        let at = match self.strategy {
            Strategy::Seek { .. } => At::Seek,
            Strategy::Numbered { .. } => At::Forward(1),
            Strategy::Token { .. } => At::Token(None),
            Strategy::Link { .. } => At::Link(None),
        };
        let size = self.size.min(window.limit.max(1));
        Position { list, since: since.map(|since| self.floor(since)), size, at, newest, last: None, repeats: 0 }
    }

    /// The request of the page that follows.
    pub(crate) fn call(&self, position: &Position, window: &Window, bindings: &Bindings) -> Result<Call, EngineError> {
        let (number, token) = match &position.at {
            At::Seek => (1, None),
            At::Up(page) | At::Down(page, _) | At::Forward(page) | At::Backward(page) => (*page, None),
            At::Token(token) => (1, token.as_deref()),
            At::Link(Some(url)) => {
                let method = "GET".to_owned();
                let target = Target::Link(url.clone());
                return Ok(Call { method, target, query: Vec::new(), headers: Vec::new(), body: None });
            }
            At::Link(None) => (1, None),
        };
        let until = window.until.unwrap_or(window.now.saturating_sub(self.lag));
        let since = position.since.map(|since| if self.exclusive { since.saturating_sub(self.granule) } else { since });
        let shown = |micros: Option<i64>| micros.map_or(Val::Null, |micros| self.format.write(micros));
        let whole = |number: u64| Val::from(isize::try_from(number).unwrap_or(isize::MAX));
        let bindings = Bindings {
            cursor: object([("since", shown(since)), ("until", shown(Some(until)))]),
            page: object([
                ("size", whole(position.size.into())),
                ("number", whole(number - 1 + u64::from(self.first))),
                ("offset", whole((number - 1).saturating_mul(position.size.into()))),
                ("token", token.map_or(Val::Null, |token| Val::from(token.to_owned()))),
            ]),
            ..bindings.clone()
        };
        let request = match &self.next {
            Some(next) if token.is_some() || number > 1 => next,
            _ => &self.request,
        };
        request.render(&Val::Null, &bindings)
    }
}
