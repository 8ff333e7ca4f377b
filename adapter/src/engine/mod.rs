//! The manifest engine, without IO: what to send, and what an answer means.
//!
//! It owns every decision between two exchanges with a platform: which page follows, which order a record is, whether an
//! action may be asked, what an answer proves, whether a webhook is true. It refuses to open connections, to know
//! secrets or hosts, and to wait. That is so that all of it is tested with plain values, and the driver that sends
//! ([`Call`] out, [`Exchange`] back) is small enough to be seen through.

mod acting;
mod compile;
mod exchange;
mod expression;
mod input;
mod listing;
mod moment;
mod paging;
mod reading;
mod template;
mod verdict;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use jaq_json::Val;
use order_contract::AvailableAction;
use order_contract::protocol::ActionError;

use crate::manifest::{Login, Manifest, Template};
use crate::package::PackageError;
use crate::program::{CompileError, MapError, parse, to_json};
pub(crate) use exchange::document;
use expression::{Bindings, Elsewhere, Program};
use template::{Declared, Place, Text};
use verdict::Rules;

pub use acting::{Ask, Attempt, End, Move, Settled};
pub use exchange::{Call, Exchange, Target};
pub use expression::Evaluator;
pub use listing::{Position, Window};
pub use template::percent_encoded;
pub use webhook::{Delivery, Event, EventError, KeySet, Proofs};

/// Why an adapter cannot run, or a request of it cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// An expression does not compile.
    #[error("could not compile {0}")]
    Expression(#[source] CompileError),
    /// A part of the manifest contradicts another, or names what is not declared.
    #[error("adapter.toml [{0}]: {1}")]
    Manifest(String, String),
    /// A file that the manifest names is not there.
    #[error("adapter.toml names {0}, which is not in the package")]
    Missing(String),
    /// The settings are not those the manifest wants.
    #[error("could not use the settings")]
    Settings(#[source] PackageError),
    /// The adapter only maps: it has no `[http]`, `[list]`, `[get]` or `map.id`.
    #[error("the adapter {0:?} only maps records: its manifest has no [{1}]")]
    MapsOnly(String, &'static str),
    /// A request cannot be made of these values.
    #[error("could not make the request of {0}: {1}")]
    Render(String, String),
}

/// Why an answer to a read brings nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The platform asks to wait, perhaps so many seconds.
    RateLimited(Option<u64>),
    /// It does not take the credentials.
    Unauthorized,
    /// It failed in a way that may pass.
    Retry(String),
    /// It refused, with this status and sentence.
    Refused(u16, String),
    /// It is not what the manifest says it is.
    Malformed(String),
}

/// One record as the platform wrote it, its number literals included.
#[derive(Clone, Debug, PartialEq)]
pub struct Record(Val);

impl Record {
    /// A record from JSON.
    ///
    /// # Errors
    /// [`MapError::Input`] when it is no usable JSON.
    pub fn read(json: &[u8]) -> Result<Self, MapError> {
        parse(json).map(Self)
    }

    /// The record as JSON.
    ///
    /// # Errors
    /// [`MapError::Float`] when an expression of the manifest did arithmetic on it.
    pub fn to_json(&self) -> Result<Vec<u8>, MapError> {
        to_json(&self.0)
    }
}

/// One page of changes.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Orders.
    pub records: Vec<Record>,
    /// Ids of further orders that changed, to be read.
    pub touched: Vec<String>,
    /// Where the pass goes on; none at its end.
    pub next: Option<Position>,
    /// The moment up to which a pass that ends here has seen everything, in microseconds; none when that is known only at
    /// its end.
    pub until: Option<i64>,
}

/// An adapter with the settings of one source, ready to run.
#[derive(Debug)]
pub struct Engine {
    manifest: Manifest,
    config: Val,
    evaluator: Option<Arc<dyn Evaluator>>,
    base: Text,
    headers: Vec<(String, Text)>,
    id: Program,
    state: Option<Program>,
    lists: Vec<listing::Listing>,
    get: Get,
    hydrate: Vec<Hydrate>,
    reread: Option<Many>,
    fingerprint: Option<Program>,
    webhook: Option<webhook::Webhook>,
    rules: Rules,
    actions: BTreeMap<String, acting::Action>,
    budget: Option<Budget>,
    expired: Option<Program>,
    login: Option<(String, Program)>,
}

#[derive(Debug)]
struct Get {
    request: exchange::Request,
    record: Program,
    missing: Program,
}

#[derive(Debug)]
struct Hydrate {
    field: String,
    request: exchange::Request,
    value: Program,
    when: Option<Program>,
}

#[derive(Debug)]
struct Budget {
    left: Program,
    limit: Option<Program>,
    reserve: u32,
    wait_s: Option<Program>,
}

/// What an answer tells about the rate budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLeft {
    /// Requests, or points where the platform counts these, that are left.
    pub left: u64,
    /// Of so many in all, where it says so.
    pub limit: Option<u64>,
    /// Seconds to wait before the next request: little is left.
    pub wait_s: Option<u64>,
}

#[derive(Debug)]
struct Many {
    request: exchange::Request,
    records: Program,
}

impl Engine {
    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The same, its expressions evaluated elsewhere.
    #[must_use]
    pub fn evaluated_by(self, evaluator: Arc<dyn Evaluator>) -> Self {
        Self { evaluator: Some(evaluator), ..self }
    }

    fn bindings(&self) -> Bindings {
        let elsewhere = self.evaluator.as_ref().map(Elsewhere::new);
        Bindings { config: self.config.clone(), elsewhere, ..Bindings::default() }
    }

    /// Where every path begins, for the source's own address.
    ///
    /// # Errors
    /// [`EngineError::Render`] when a setting it needs has no value.
    pub fn base(&self, url: &str) -> Result<String, EngineError> {
        let bindings = self.bindings();
        let lookup = |name: &str| match name {
            "url" => Some(url.trim_end_matches('/').to_owned()),
            name => bindings.text(name),
        };
        let missing = || EngineError::Render("http.base".into(), "a setting it needs has no value".into());
        self.base.render(lookup).ok_or_else(missing)
    }

    /// Headers of every request; one whose setting is blank is left out.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        let bindings = self.bindings();
        let render = |(name, text): &(String, Text)| {
            let value = text.render(|name| bindings.text(name))?;
            (!value.is_empty()).then(|| (name.clone(), value))
        };
        self.headers.iter().filter_map(render).collect()
    }

    /// Fills a template of `[auth]`. `secret` gives a secret by name; what it gives is in the result only.
    ///
    /// # Errors
    /// [`EngineError`] when the template names what is not declared, or what has no value.
    pub fn credential(
        &self,
        template: &Template,
        url: &str,
        secret: impl Fn(&str) -> Option<String>,
    ) -> Result<String, EngineError> {
        let declared = Declared {
            config: self.manifest.config.keys().map(String::as_str).collect(),
            secrets: self.manifest.secrets.keys().map(String::as_str).collect(),
        };
        let text = Text::parse(template, Place::Auth, &declared)
            .map_err(|reason| EngineError::Manifest("auth".into(), reason))?;
        let bindings = self.bindings();
        let lookup = |name: &str| match name.strip_prefix("secrets.") {
            Some(name) => secret(name),
            None if name == "url" => Some(url.trim_end_matches('/').to_owned()),
            None => bindings.text(name),
        };
        let missing = || EngineError::Render("auth".into(), format!("{:?} needs a value that is not set", template.0));
        text.render(lookup).ok_or_else(missing)
    }

    /// The log-in of a session: `fields` are its filled templates.
    ///
    /// # Errors
    /// [`EngineError::Render`].
    pub fn login(&self, login: &Login, fields: &BTreeMap<String, String>) -> Result<Call, EngineError> {
        let document = self.login.as_ref().map(|(document, _)| document).filter(|document| !document.is_empty());
        let fields = serde_json::json!(fields);
        let body = match document {
            Some(document) => serde_json::json!({ "query": document, "variables": fields }),
            None => fields,
        };
        let path = login.path.as_ref().map(|path| self.credential(path, "", |_| None)).transpose()?;
        Ok(Call {
            method: "POST".to_owned(),
            target: Target::Below(path.unwrap_or_default()),
            query: Vec::new(),
            headers: Vec::new(),
            body: Some(("application/json", body.to_string().into_bytes())),
        })
    }

    /// The token in the answer to a log-in.
    #[must_use]
    pub fn session_token(&self, exchange: &Exchange) -> Option<String> {
        let (_, token) = self.login.as_ref()?;
        token.text(&exchange.value(), &self.bindings()).ok().flatten().filter(|token| !token.is_empty())
    }

    /// Whether an answer means that the token it was asked with has expired.
    #[must_use]
    pub fn has_expired(&self, exchange: &Exchange) -> bool {
        match &self.expired {
            Some(expired) => expired.holds(&exchange.value(), &self.bindings()),
            None => exchange.status == 401,
        }
    }

    /// What an answer tells about the rate budget; none when it does not.
    #[must_use]
    pub fn budget(&self, exchange: &Exchange) -> Option<BudgetLeft> {
        let budget = self.budget.as_ref()?;
        let (value, bindings) = (exchange.value(), self.bindings());
        let whole = |program: &Option<Program>| program.as_ref()?.whole(&value, &bindings);
        let left = budget.left.whole(&value, &bindings)?;
        let wait_s = (left < u64::from(budget.reserve)).then(|| whole(&budget.wait_s).unwrap_or(1));
        Some(BudgetLeft { left, limit: whole(&budget.limit), wait_s })
    }

    /// Proves a webhook and says what it tells, with the event's id.
    ///
    /// # Errors
    /// [`EventError`]: nothing of it is to be believed.
    pub fn event(&self, delivery: &Delivery<'_>, proofs: &Proofs<'_>) -> Result<(String, Event), EventError> {
        let webhook = self.webhook.as_ref().ok_or(EventError::NotConfigured)?;
        let bindings = self.bindings();
        match webhook.event(delivery, proofs, &bindings, |record| !self.lacks_parts(record, &bindings)) {
            Err(error @ (EventError::Signature | EventError::NotConfigured)) => Err(error),
            told => bindings.stopped().map_or(told, |reason| Err(EventError::Stopped(reason.to_owned()))),
        }
    }

    /// Adds what proves a webhook to its headers, as the platform does: for contract tests. The header that holds the
    /// proof; none where it is made with a key that only the platform has, or where there are no webhooks.
    pub(crate) fn sign_webhook(
        &self,
        headers: &mut BTreeMap<String, String>,
        body: &[u8],
        now: i64,
        secret: &str,
    ) -> Option<String> {
        self.webhook.as_ref()?.sign(headers, body, now, secret, &self.bindings())
    }

    /// The path of the platform's key set on the source's own host, where webhooks are proven by published keys.
    #[must_use]
    pub fn key_set_path(&self) -> Option<&str> {
        self.webhook.as_ref().and_then(webhook::Webhook::key_set_path)
    }

    /// Whether every action is deduplicated by the platform under our key.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        !self.actions.is_empty() && self.actions.values().all(acting::Action::is_keyed)
    }

    /// What can be asked of an order now, from its fresh record; what the platform cannot do at all is named with why.
    #[must_use]
    pub fn available_actions(&self, record: &Record) -> Vec<AvailableAction> {
        let (bindings, state) = (self.bindings(), self.native_state(record));
        let bindings = Bindings { before: record.0.clone(), ..bindings };
        let allowed = self.actions.values().filter(|action| !action.creates());
        let allowed = allowed.map(|action| action.available(&record.0, state.as_deref(), &bindings));
        let unsupported = self.manifest.unsupported.iter().filter(|(verb, _)| verb.as_str() != "create");
        allowed.chain(unsupported.filter_map(|(verb, why)| acting::unsupported(verb, why))).collect()
    }

    /// Checks an ask before anything is read: whether there is such an action, and whether it takes this input.
    ///
    /// # Errors
    /// The refusal.
    pub fn check(&self, verb: &str, ask: &Ask<'_>) -> Result<(), ActionError> {
        match (self.actions.get(verb), self.manifest.unsupported.get(verb)) {
            (Some(action), _) if action.creates() == ask.order.is_none() => action.check_input(ask.input),
            (Some(_), _) => {
                Err(acting::error("INVALID_INPUT", format!("`{verb}` does not fit an order that is there")))
            }
            (None, Some(why)) => Err(acting::error("NOT_SUPPORTED", why.clone())),
            (None, None) => {
                let known = self.actions.keys().cloned().collect::<Vec<_>>().join(", ");
                Err(acting::error(
                    "NOT_SUPPORTED",
                    format!("{} knows no action `{verb}`; it knows {known}", self.manifest.name),
                ))
            }
        }
    }

    /// Whether the order is read before this action is asked.
    #[must_use]
    pub fn reads_before(&self, verb: &str) -> bool {
        self.actions.get(verb).is_some_and(|action| action.precheck && !action.creates())
    }

    /// Begins an attempt. `before` is the fresh record where one was read.
    ///
    /// # Errors
    /// Why it is refused; nothing was sent.
    pub fn attempt(&self, verb: &str, ask: &Ask<'_>, before: Option<&Record>) -> Result<Attempt<'_>, ActionError> {
        self.check(verb, ask)?;
        let refused = |error: EngineError| acting::error("INVALID_INPUT", error.to_string());
        let Some(action) = self.actions.get(verb) else { return Err(acting::error("NOT_SUPPORTED", verb)) };
        let record = before.map_or(Val::Null, |record| record.0.clone());
        let bindings = acting::bindings(ask, &record, self.bindings()).map_err(refused)?;
        if let Some(before) = before
            && let Some(error) = action.refusal(&record, self.native_state(before).as_deref(), &bindings)
        {
            return Err(error);
        }
        Ok(Attempt::new(action, &self.rules, record, bindings))
    }

    /// What a later record of the order proves about an ask.
    #[must_use]
    pub fn settle(&self, verb: &str, ask: &Ask<'_>, record: &Record) -> Settled {
        let bindings = acting::bindings(ask, &record.0, self.bindings());
        match (self.actions.get(verb), bindings) {
            (Some(action), Ok(bindings)) => action.settle(&self.rules, &record.0, &bindings),
            _ => Settled::Open,
        }
    }

    fn native_state(&self, record: &Record) -> Option<String> {
        self.state.as_ref()?.text(&record.0, &self.bindings()).ok().flatten()
    }
}
