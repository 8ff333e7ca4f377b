//! What an answer to a list request holds, and where it leads: the other half of the state machine of
//! [`super::listing`], which says why the pages are read in this order.

use std::hash::{DefaultHasher, Hash, Hasher};

use jaq_json::Val;

use super::ReadError;
use super::exchange::Exchange;
use super::expression::{Bindings, Program};
use super::listing::{At, Listing, Position, Strategy, Window};
use super::moment;
use crate::manifest::{Clock, Sort};

/// So often in a row records may move by exactly a page while it is read; more than that is a platform which repeats its
/// last page.
const REPEATS_MAX: u32 = 10;

/// One page.
#[derive(Clone, Debug)]
pub(super) struct PageRead {
    pub(super) records: Vec<Val>,
    /// Where the list goes on; none at its end.
    pub(super) next: Option<Position>,
    /// The youngest time of change seen so far in the first list, in microseconds.
    pub(super) newest: Option<i64>,
    /// The moment up to which the answer says to be complete, in microseconds.
    pub(super) bound: Option<i64>,
}

/// The present page, as far as the next one depends on it.
struct Present<'a> {
    position: &'a Position,
    value: &'a Val,
    bindings: &'a Bindings,
    /// Records.
    count: usize,
    /// The time of its last record, rounded down.
    last: Option<i64>,
    /// How many pages in a row are the one before once more, with this one.
    repeats: u32,
    /// It reaches to where the pass ends.
    reaches_end: bool,
}

/// The page that follows, and from when on it lists; none at the end.
type Step = Option<(At, Option<i64>)>;

impl Listing {
    /// What an answer holds and where it leads.
    pub(super) fn read(
        &self,
        position: &Position,
        window: &Window,
        exchange: &Exchange,
        bindings: &Bindings,
    ) -> Result<PageRead, ReadError> {
        let malformed = |reason: String| ReadError::Malformed(format!("{}: {reason}", self.name));
        let value = &exchange.value();
        let records = self.records.items(value, bindings).map_err(|error| malformed(error.to_string()))?;
        let records = records.ok_or_else(|| malformed(format!("no list of records in {}", exchange.summary())))?;

        let time = |record| moment::read(&self.field.value(record, bindings).ok()?);
        let times: Vec<Option<i64>> = records.iter().map(time).collect();
        self.check_filter(position, &times).map_err(malformed)?;
        self.check_order(&times).map_err(malformed)?;

        let bound = self.bound.as_ref().and_then(|program| moment::read(&program.value(value, bindings).ok()?));
        let told = bound.is_some() || (self.clock == Clock::Date && date_of(exchange).is_some());
        let fingerprint = self.fingerprint(&records, bindings);
        let last = times.iter().rev().flatten().next().map(|time| self.floor(*time));
        let present = Present {
            position,
            value,
            bindings,
            count: records.len(),
            last,
            repeats: if records.is_empty() || position.last != Some(fingerprint) { 0 } else { position.repeats + 1 },
            // Only an end by the source's own clock is one: the center's may be far from it.
            reaches_end: told && last.zip(window.until).is_some_and(|(last, until)| last >= until),
        };
        let step = match &self.strategy {
            Strategy::Seek { more, pages } => self.step_seek(&present, more.as_ref(), *pages),
            Strategy::Numbered { sort, pages, total } => {
                let whole = |program: &Option<Program>| program.as_ref()?.whole(value, bindings);
                let pages = whole(pages).or_else(|| Some(whole(total)?.div_ceil(position.size.into())));
                self.step_numbered(&present, *sort, pages)
            }
            Strategy::Token { next } => step_token(&present, next),
            Strategy::Link { next } => step_link(&present, next.as_ref(), exchange),
        };
        let newest = match position.list {
            0 => times.into_iter().flatten().max().max(position.newest),
            _ => position.newest,
        };
        let next = step.map_err(malformed)?.map(|(at, since)| Position {
            list: position.list,
            since,
            size: position.size,
            at,
            newest,
            last: Some(fingerprint),
            repeats: present.repeats,
        });
        Ok(PageRead { records, next, newest, bound })
    }

    fn step_seek(&self, present: &Present<'_>, more: Option<&Program>, pages: bool) -> Result<Step, String> {
        let Present { position, count, last, .. } = *present;
        let page = match position.at {
            At::Up(page) => page,
            At::Down(1, onward) => return Ok(onward.map(|since| (At::Seek, Some(since)))),
            At::Down(page, onward) => return Ok(Some((At::Down(page - 1, onward), position.since))),
            _ => 1,
        };
        if page > 1 && present.repeats > REPEATS_MAX {
            return Err(format!(
                "page {page} of one instant is the pages before once more: the platform does not page"
            ));
        }
        let full = match more {
            Some(more) => more.holds(present.value, present.bindings),
            None => count >= position.size as usize,
        };
        if count == 0 || !full || present.reaches_end {
            return Ok((page > 1).then(|| (At::Down(page - 1, None), position.since)));
        }
        let last = last.ok_or("no record of a full page has a time of change")?;
        match (position.since.is_none_or(|since| last > since), page) {
            (true, 1) => Ok(Some((At::Seek, Some(last)))),
            (true, page) => Ok(Some((At::Down(page - 1, Some(last)), position.since))),
            (false, page) if pages => Ok(Some((At::Up(page + 1), position.since))),
            (false, _) => Err(format!(
                "more than {count} orders changed at one instant, and the request does not name `page.number` or \
                 `page.offset`"
            )),
        }
    }

    fn step_numbered(&self, present: &Present<'_>, sort: Sort, pages: Option<u64>) -> Result<Step, String> {
        let Present { position, count, last, .. } = *present;
        let at = |at| Ok(Some((at, position.since)));
        match (&position.at, sort) {
            (At::Backward(2..), _) => {
                let At::Backward(page) = position.at else { return Ok(None) };
                at(At::Backward(page - 1))
            }
            (At::Forward(_), Sort::Ascending) => match pages {
                None => Err("the answer does not tell how many pages there are".to_owned()),
                Some(0 | 1) => Ok(None),
                Some(pages) => at(At::Backward(pages)),
            },
            (At::Forward(page), Sort::Descending) => {
                let past = last.zip(position.since).is_some_and(|(last, since)| last < since);
                let more = pages.map_or(count >= position.size as usize, |pages| *page < pages);
                if present.repeats > REPEATS_MAX && pages.is_none() {
                    return Err(format!("page {page} is the pages before once more: give `pages` or `total`"));
                }
                if count == 0 || past || !more { Ok(None) } else { at(At::Forward(page + 1)) }
            }
            _ => Ok(None),
        }
    }

    /// A platform that ignores the filter (a misspelled parameter is enough) sends what was not asked for.
    fn check_filter(&self, position: &Position, times: &[Option<i64>]) -> Result<(), String> {
        let Some(since) = position.since.filter(|_| self.filtered) else { return Ok(()) };
        match times.iter().flatten().find(|time| self.floor(**time) < since - self.granule) {
            Some(time) => Err(format!(
                "the platform ignores the filter: asked for changes since {}, it sent one of {}",
                moment::shown(since),
                moment::shown(*time)
            )),
            None => Ok(()),
        }
    }

    /// A list that is not sorted as the manifest says would lose records between its pages.
    fn check_order(&self, times: &[Option<i64>]) -> Result<(), String> {
        let ascending = match &self.strategy {
            Strategy::Seek { .. } => true,
            Strategy::Numbered { sort, .. } => *sort == Sort::Ascending,
            Strategy::Token { .. } | Strategy::Link { .. } => return Ok(()),
        };
        let known: Vec<i64> = times.iter().flatten().map(|time| self.floor(*time)).collect();
        match known.windows(2).find(|pair| if ascending { pair[0] > pair[1] } else { pair[0] < pair[1] }) {
            Some(pair) => Err(format!(
                "the platform does not sort by time of change: {} comes before {}",
                moment::shown(pair[0]),
                moment::shown(pair[1])
            )),
            None => Ok(()),
        }
    }

    /// The id of the order that a record is, or belongs to.
    pub(super) fn order_of(&self, record: &Val, bindings: &Bindings) -> Option<String> {
        self.id.id(record, bindings).ok().flatten()
    }

    fn fingerprint(&self, records: &[Val], bindings: &Bindings) -> u64 {
        let mut hasher = DefaultHasher::new();
        for record in records {
            self.order_of(record, bindings).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The moment of an answer, by the source's clock.
pub(super) fn date_of(exchange: &Exchange) -> Option<i64> {
    moment::read_http(exchange.headers.get("date")?)
}

fn step_token(present: &Present<'_>, next: &Program) -> Result<Step, String> {
    let token = next.text(present.value, present.bindings).map_err(|error| error.to_string())?;
    match token.filter(|token| !token.is_empty()) {
        None => Ok(None),
        token if present.position.at == At::Token(token.clone()) => Err("the next page is the same page again".into()),
        token => Ok(Some((At::Token(token), present.position.since))),
    }
}

fn step_link(present: &Present<'_>, next: Option<&Program>, exchange: &Exchange) -> Result<Step, String> {
    let url = match next {
        Some(next) => next.text(present.value, present.bindings).map_err(|error| error.to_string())?,
        None => exchange.headers.get("link").and_then(|header| next_link(header)),
    };
    match url.filter(|url| !url.is_empty()) {
        None => Ok(None),
        url if present.position.at == At::Link(url.clone()) => Err("the next page is the same page again".into()),
        url => Ok(Some((At::Link(url), present.position.since))),
    }
}

/// The target of a `Link` header's `rel="next"` (RFC 8288).
fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (url, after) = after.split_once('>')?;
        let (parameters, following) = match after.find(',') {
            Some(_) => after.split_once(',').unwrap_or((after, "")),
            None => (after, ""),
        };
        let is_next = parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').split(' ').any(|rel| rel == "next")
        });
        if is_next {
            return Some(url.to_owned());
        }
        rest = following;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::next_link;

    #[test]
    fn the_next_page_of_a_link_header() {
        for (header, url) in [
            ("<https://a/x?page_info=b>; rel=\"next\"", Some("https://a/x?page_info=b")),
            ("<https://a/p>; rel=\"previous\", <https://a/n>; rel=\"next\"", Some("https://a/n")),
            ("<https://a/n>; title=\"x\"; rel=next", Some("https://a/n")),
            ("<https://a/n>; rel=\"last next\"", Some("https://a/n")),
            ("<https://a/p>; rel=\"previous\"", None),
            ("<https://a/p", None),
            ("", None),
        ] {
            assert_eq!(next_link(header).as_deref(), url, "{header}");
        }
    }
}
