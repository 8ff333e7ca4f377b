//! Reads: the request that follows, and what its answer holds.

use jaq_json::Val;

use super::exchange::{Call, Exchange};
use super::expression::Bindings;
use super::listing::{Position, Window};
use super::paging::date_of;
use super::{Engine, EngineError, Listed, ReadError, Record};
use crate::manifest::{Class, Clock};

impl Engine {
    /// The most records of one page of changes.
    #[must_use]
    pub fn page_size(&self) -> u32 {
        self.lists[0].size()
    }

    /// Where a pass begins.
    #[must_use]
    pub fn begin(&self, window: &Window) -> Position {
        self.lists[0].begin(0, window, None)
    }

    /// The request of the page at this position.
    ///
    /// # Errors
    /// [`EngineError::Render`].
    pub fn list(&self, position: &Position, window: &Window) -> Result<Call, EngineError> {
        // A position that this manifest did not give belongs to an older one: its pass begins again.
        let list = self.lists.get(position.list).unwrap_or(&self.lists[0]);
        list.call(position, window, &self.bindings())
    }

    /// What the page at this position holds, and where the pass goes on.
    ///
    /// # Errors
    /// [`ReadError`]: the pass stays where it is.
    pub fn listed(&self, position: &Position, window: &Window, exchange: &Exchange) -> Result<Listed, ReadError> {
        self.refusal(exchange)?;
        let bindings = self.bindings();
        let list = self.lists.get(position.list).unwrap_or(&self.lists[0]);
        let page = list.read(position, window, exchange, &bindings)?;
        // Whether there is more, and who was touched, may not have been found out.
        if let Some(reason) = bindings.stopped() {
            return Err(ReadError::Malformed(reason.to_owned()));
        }
        let following = position.list + 1;
        let next = page.next.or_else(|| Some(self.lists.get(following)?.begin(following, window, page.newest)));

        let first = &self.lists[0];
        let clock = match (page.bound, first.clock, date_of(exchange)) {
            (Some(bound), ..) => Some(bound),
            (None, Clock::Date, Some(date)) => Some(date.saturating_sub(first.lag)),
            // The records' own times, once all are seen: nothing that the platform stamps later can be older.
            _ if next.is_none() => {
                let newest = page.newest.or(window.since).unwrap_or_default();
                Some(newest.min(window.now).saturating_sub(first.lag))
            }
            _ => None,
        };
        let asked = first.bounded.then(|| window.now.saturating_sub(first.lag));
        let until = clock.map(|clock| asked.map_or(clock, |asked| clock.min(asked)));

        let (mut records, mut touched) = (Vec::new(), Vec::new());
        if position.list == 0 {
            records = page.records.into_iter().map(Record).collect();
        } else {
            for record in &page.records {
                match list.order_of(record, &bindings) {
                    Some(id) if !touched.contains(&id) => touched.push(id),
                    _ => {}
                }
            }
        }
        Ok(Listed { records, touched, next, until })
    }

    /// The request of one order.
    ///
    /// # Errors
    /// [`EngineError::Render`].
    pub fn get(&self, id: &str) -> Result<Call, EngineError> {
        self.get.request.render(&Val::Null, &self.naming(id))
    }

    /// The order in the answer; none when the platform says that it does not have it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn got(&self, id: &str, exchange: &Exchange) -> Result<Option<Record>, ReadError> {
        let (value, bindings) = (exchange.value(), self.naming(id));
        if self.get.missing.holds(&value, &bindings) {
            return Ok(None);
        }
        self.refusal(exchange)?;
        match self.get.record.value(&value, &bindings) {
            Ok(record @ Val::Obj(_)) => Ok(Some(Record(record))),
            Ok(_) => Err(ReadError::Malformed(format!("get: no order in {}", exchange.summary()))),
            Err(error) => Err(ReadError::Malformed(error.to_string())),
        }
    }

    /// The id of an order, from its record.
    #[must_use]
    pub fn id_of(&self, record: &Record) -> Option<String> {
        self.id.id(&record.0, &self.bindings()).ok().flatten()
    }

    /// Whether a record lacks what has to be read besides.
    pub(super) fn lacks_parts(&self, record: &Val, bindings: &Bindings) -> bool {
        self.hydrate.iter().any(|part| part.when.as_ref().is_none_or(|when| when.holds(record, bindings)))
    }

    /// The requests of what belongs to a record besides itself, each with its number for [`Self::add_part`].
    ///
    /// # Errors
    /// [`EngineError::Render`].
    pub fn parts(&self, record: &Record) -> Result<Vec<(usize, Call)>, EngineError> {
        let bindings = self.id_of(record).map_or_else(|| self.bindings(), |id| self.naming(&id));
        let wanted = self.hydrate.iter().enumerate();
        let wanted = wanted.filter(|(_, part)| part.when.as_ref().is_none_or(|when| when.holds(&record.0, &bindings)));
        let calls = wanted.map(|(i, part)| Ok((i, part.request.render(&record.0, &bindings)?))).collect();
        match bindings.stopped() {
            Some(reason) => Err(EngineError::Render("hydrate".into(), reason.to_owned())),
            None => calls,
        }
    }

    /// Puts a part that was read into its record.
    ///
    /// # Errors
    /// [`ReadError`]: the record is not whole.
    pub fn add_part(&self, record: &mut Record, part: usize, exchange: &Exchange) -> Result<(), ReadError> {
        self.refusal(exchange)?;
        let Some(part) = self.hydrate.get(part) else { return Ok(()) };
        let value = part.value.value(&exchange.value(), &self.bindings());
        match (value, &mut record.0) {
            (Ok(Val::Null), _) | (Err(_), _) => {
                Err(ReadError::Malformed(format!("hydrate {}: nothing in {}", part.field, exchange.summary())))
            }
            (Ok(value @ Val::Obj(_)), Val::Obj(_)) if part.field == "." => {
                *record = Record(value);
                Ok(())
            }
            (Ok(value), Val::Obj(fields)) => {
                let mut whole = fields.as_ref().clone();
                whole.insert(Val::from(part.field.clone()), value);
                record.0 = Val::obj(whole);
                Ok(())
            }
            (Ok(_), _) => Ok(()),
        }
    }

    /// The request that reads many orders at once, where the platform has one.
    ///
    /// # Errors
    /// [`EngineError::Render`].
    pub fn get_many(&self, ids: &[&str]) -> Result<Option<Call>, EngineError> {
        let Some(many) = &self.reread else { return Ok(None) };
        let ids: Val = ids.iter().map(|id| Val::from((*id).to_owned())).collect();
        many.request.render(&Val::Null, &Bindings { ids, ..self.bindings() }).map(Some)
    }

    /// The orders in the answer to [`Self::get_many`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn got_many(&self, exchange: &Exchange) -> Result<Vec<Record>, ReadError> {
        self.refusal(exchange)?;
        let Some(many) = &self.reread else { return Ok(Vec::new()) };
        match many.records.items(&exchange.value(), &self.bindings()) {
            Ok(Some(records)) => Ok(records.into_iter().map(Record).collect()),
            Ok(None) => Err(ReadError::Malformed(format!("reread: no list of records in {}", exchange.summary()))),
            Err(error) => Err(ReadError::Malformed(error.to_string())),
        }
    }

    /// What the manifest says tells whether anything changed: two records of one order with the same are the same. None
    /// when it does not say.
    #[must_use]
    pub fn fingerprint(&self, record: &Record) -> Option<Vec<u8>> {
        let value = self.fingerprint.as_ref()?.value(&record.0, &self.bindings()).ok()?;
        Record(value).to_json().ok()
    }

    /// Whether an answer to a read means that another try may be answered otherwise.
    #[must_use]
    pub fn may_pass(&self, exchange: &Exchange) -> bool {
        matches!(self.refusal(exchange), Err(ReadError::Retry(_)))
    }

    fn naming(&self, id: &str) -> Bindings {
        Bindings { id: Val::from(id.to_owned()), ..self.bindings() }
    }

    /// What is wrong with the answer to a read as a whole, by the manifest's rules and then by its status.
    fn refusal(&self, exchange: &Exchange) -> Result<(), ReadError> {
        let value = exchange.value();
        if let Some(verdict) = self.rules.judge(exchange, &value, &self.bindings()) {
            return Err(match verdict.class {
                Class::RateLimited => ReadError::RateLimited(verdict.wait_s),
                Class::Auth => ReadError::Unauthorized,
                Class::Retry => ReadError::Retry(verdict.message),
                Class::Rejected | Class::Conflict | Class::Applied | Class::Unknown => {
                    ReadError::Refused(exchange.status, verdict.message)
                }
            });
        }
        match exchange.status {
            200..=299 => Ok(()),
            401 | 403 => Err(ReadError::Unauthorized),
            429 => Err(ReadError::RateLimited(exchange.retry_after_s())),
            503 if exchange.retry_after_s().is_some() => Err(ReadError::RateLimited(exchange.retry_after_s())),
            502..=504 => Err(ReadError::Retry(format!("the platform answered {}", exchange.status))),
            status => Err(ReadError::Refused(status, format!("the platform answered {}", exchange.summary()))),
        }
    }
}
