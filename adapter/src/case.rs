//! Contract tests of what an adapter says to its platform: `cases/NAME.json` holds a delivery, a list or an action with
//! the platform's answers, and what must come of it.
//!
//! Each case is run as it is, and then spoiled in every way that platforms and attackers spoil things: forged signatures,
//! answers that are lost, pages of HTML where JSON should be, lists that move while they are read. What was spoiled must
//! never pass for the real thing.

mod shifting;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::engine::{
    Ask, Delivery, End, Engine, Event, EventError, Exchange, Listed, Move, Position, Proofs, ReadError, Record,
    Settled, Target, Window,
};
use crate::package::Package;

/// The operation's key in every case, so that a marker can be written down in its expectation.
const KEY: &str = "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
/// The center's clock in every case: 2026-01-01T00:00:00Z, in microseconds.
const NOW: i64 = 1_767_225_600_000_000;
/// What webhooks are signed with; as a Standard Webhooks secret it is base64.
const SECRET: &str = "b3JkZXItY2VudGVyLWFkYXB0ZXItY2hlY2s=";

/// What one case showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseReport {
    /// Its path in the package.
    pub case: String,
    /// What is wrong; empty when it passed.
    pub failures: Vec<String>,
    /// How many spoiled variants were tried.
    pub spoiled: usize,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[allow(clippy::large_enum_variant, reason = "a handful of cases, each read once")]
enum Case {
    /// A delivery of the platform.
    Webhook {
        #[serde(default)]
        headers: BTreeMap<String, String>,
        body: Value,
        expect: Told,
    },
    /// A pass over the list of changes.
    List {
        /// Orders of a page, at most; the manifest's own size when absent.
        #[serde(default)]
        limit: Option<u32>,
        answers: Vec<Answer>,
        expect: Listing,
    },
    /// One action.
    Action {
        verb: String,
        #[serde(default)]
        id: Option<String>,
        #[serde(default)]
        input: Map<String, Value>,
        #[serde(default)]
        before: Option<Value>,
        #[serde(default)]
        answers: Vec<Answer>,
        /// A later record of the order, to settle the outcome by.
        #[serde(default)]
        later: Option<Value>,
        expect: Acting,
    },
}

/// An answer of the platform.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON, or a text that is sent as it is.
    pub body: Value,
}

/// What a webhook tells.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    /// The order of this id changed.
    Changed(String),
    /// The whole order of this id.
    Restated(String),
    /// Nothing about an order.
    Ignored,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// The ids of the orders, in their order.
    ids: Vec<String>,
    /// The ids that secondary lists name.
    #[serde(default)]
    touched: Vec<String>,
    /// Whether the pass goes on behind the last answer.
    #[serde(default)]
    more: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Acting {
    /// `refused` (before anything was sent), `applied`, `accepted`, `rejected`, `conflict`, `not_done` or `unknown`.
    outcome: String,
    /// The code of a refusal.
    #[serde(default)]
    code: Option<String>,
    /// The requests that were sent: method and path, and for one with a body what stands in it.
    #[serde(default)]
    sent: Option<Vec<Value>>,
    /// What the later record proves: `applied`, `failed`, `repeatable` or `open`.
    #[serde(default)]
    settled: Option<String>,
}

impl Answer {
    fn exchange(&self) -> Exchange {
        let body = match &self.body {
            Value::String(text) => text.clone().into_bytes(),
            Value::Null => Vec::new(),
            json => json.to_string().into_bytes(),
        };
        let headers = self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        Exchange::new(self.status, headers.collect(), body)
    }
}

/// The paths of a package's cases: `cases/NAME.json`.
pub fn cases(package: &Package) -> impl Iterator<Item = &str> {
    package.paths().filter(|path| path.starts_with("cases/") && path.ends_with(".json"))
}

/// Runs every case of a package.
#[must_use]
pub fn check_cases(package: &Package, engine: &Engine) -> Vec<CaseReport> {
    let run = |path: &str| {
        let mut report = CaseReport { case: path.to_owned(), failures: Vec::new(), spoiled: 0 };
        match serde_json::from_str::<Case>(package.file(path).unwrap_or_default()) {
            Err(error) => report.failures.push(format!("cannot be read: {error}")),
            Ok(Case::Webhook { headers, body, expect }) => webhook(engine, &headers, &body, &expect, &mut report),
            Ok(Case::List { limit, answers, expect }) => {
                list(engine, &window(engine, limit), &answers, &expect, &mut report);
            }
            Ok(Case::Action { verb, id, input, before, answers, later, expect }) => {
                let ask = Ask { order: id.as_deref(), key: KEY, input: &input };
                let before = before.as_ref().map(|record| Record::read(record.to_string().as_bytes()));
                match before.transpose() {
                    Err(error) => report.failures.push(format!("before: {error}")),
                    Ok(before) => {
                        let acting = Run { engine, verb: &verb, ask, before: before.as_ref() };
                        acting.check(&answers, later.as_ref(), &expect, &mut report);
                    }
                }
            }
        }
        report
    };
    cases(package).map(run).collect()
}

fn webhook(engine: &Engine, headers: &BTreeMap<String, String>, body: &Value, expect: &Told, report: &mut CaseReport) {
    let headers: BTreeMap<String, String> =
        headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned).into_bytes();
    let proofs = Proofs { secrets: &[SECRET], keys: None };
    let event = |headers: &BTreeMap<String, String>, body: &[u8]| {
        engine.event(&Delivery { headers, body, now: NOW }, &proofs).map(|(_, event)| event)
    };
    let mut signed = headers.clone();
    if let Some(proof) = engine.sign_webhook(&mut signed, &body, NOW, SECRET) {
        let told = match event(&signed, &body) {
            Ok(Event::Changed(id)) => Ok(Told::Changed(id)),
            Ok(Event::Restated(record)) => Ok(Told::Restated(engine.id_of(&record).unwrap_or_default())),
            Ok(Event::Ignored) => Ok(Told::Ignored),
            Err(error) => Err(error),
        };
        if told.as_ref() != Ok(expect) {
            report.failures.push(format!("expected {expect:?}, got {told:?}"));
        }
        for (what, spoiled, body) in forgeries(engine, &headers, &signed, &proof, &body) {
            report.spoiled += 1;
            if event(&spoiled, &body) != Err(EventError::Signature) {
                report.failures.push(format!("a webhook {what} was taken"));
            }
        }
    }
    report.spoiled += 1;
    if event(&headers, &body) != Err(EventError::Signature) && *expect != Told::Ignored {
        report.failures.push("a webhook without a signature was taken".into());
    }
}

type Forgery = (&'static str, BTreeMap<String, String>, Vec<u8>);

fn forgeries(
    engine: &Engine,
    headers: &BTreeMap<String, String>,
    signed: &BTreeMap<String, String>,
    proof: &str,
    body: &[u8],
) -> Vec<Forgery> {
    let sign = |now: i64, secret: &str, over: &[u8]| {
        let mut headers = headers.clone();
        engine.sign_webhook(&mut headers, over, now, secret);
        headers
    };
    let with = |value: &str| {
        let mut headers = signed.clone();
        headers.insert(proof.to_owned(), value.to_owned());
        headers
    };
    let given = signed.get(proof).cloned().unwrap_or_default();
    let mut forged = vec![
        ("with a blank signature", with(""), body.to_vec()),
        ("with a signature that is cut", with(&given[..given.len() / 2]), body.to_vec()),
        ("signed with another secret", sign(NOW, "YW5vdGhlciBzZWNyZXQgb2Ygc29tZWJvZHk=", body), body.to_vec()),
    ];
    let covers_body = sign(NOW, SECRET, b"{}").get(proof) != Some(&given);
    if covers_body {
        forged.push(("whose body was changed on its way", signed.clone(), [body, b" "].concat()));
        forged.push(("with the signature of another body", sign(NOW, SECRET, b"{}"), body.to_vec()));
    }
    let hour_ago = sign(NOW - 3_600_000_000, SECRET, body);
    if hour_ago != *signed {
        forged.push(("that was signed an hour ago", hour_ago, body.to_vec()));
    }
    forged
}

/// What no platform means and proxies, firewalls and crashes send.
fn spoiled_answers() -> Vec<(&'static str, Exchange)> {
    let answer = |status: u16, kind: &str, body: &str| {
        let headers = BTreeMap::from([("content-type".to_owned(), kind.to_owned())]);
        Exchange::new(status, headers, body.as_bytes().to_vec())
    };
    vec![
        ("HTML with status 200", answer(200, "text/html", "<html><body>Maintenance</body></html>")),
        ("a bad gateway", answer(502, "text/html", "<html>502 Bad Gateway</html>")),
        ("half of a JSON document", answer(200, "application/json", "{\"data\": {\"or")),
        ("status 500 with JSON", answer(500, "application/json", "{\"message\": \"Internal error\"}")),
    ]
}

/// A pass from the beginning, at the center's clock.
fn window(engine: &Engine, limit: Option<u32>) -> Window {
    Window { since: None, until: None, limit: limit.unwrap_or_else(|| engine.page_size()), now: NOW }
}

/// A pass over answers: where each was asked for, what it brought, and where the pass goes on or why it does not.
struct Pass {
    at: Vec<Position>,
    pages: Vec<Listed>,
    next: Result<Option<Position>, ReadError>,
}

impl Pass {
    fn over(engine: &Engine, window: &Window, answers: &[Answer]) -> Self {
        let mut pass = Self { at: Vec::new(), pages: Vec::new(), next: Ok(Some(engine.begin(window))) };
        for answer in answers {
            let Ok(Some(at)) = &pass.next else { break };
            let listed = engine.listed(at, window, &answer.exchange());
            pass.at.push(at.clone());
            pass.next = listed.map(|page| {
                let next = page.next.clone();
                pass.pages.push(page);
                next
            });
        }
        pass
    }

    /// What it lists. A record that a page repeats is the same order.
    fn listing(&self, engine: &Engine) -> Listing {
        let records = self.pages.iter().flat_map(|page| &page.records);
        let mut ids: Vec<String> = records.map(|record| engine.id_of(record).unwrap_or_default()).collect();
        let mut seen = BTreeSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        let touched = self.pages.iter().flat_map(|page| page.touched.clone()).collect();
        Listing { ids, touched, more: matches!(self.next, Ok(Some(_))) }
    }
}

/// A case of answers that a platform gave to a pass of pages of at most `limit` orders, as JSON.
///
/// # Errors
/// Why they are no pages of the list.
pub fn list_case(engine: &Engine, limit: u32, answers: &[Answer]) -> Result<Value, ReadError> {
    let pass = Pass::over(engine, &window(engine, Some(limit)), answers);
    let expect = pass.listing(engine);
    pass.next.map(|_| json!({ "kind": "list", "limit": limit, "answers": answers, "expect": expect }))
}

fn list(engine: &Engine, window: &Window, answers: &[Answer], expect: &Listing, report: &mut CaseReport) {
    let pass = Pass::over(engine, window, answers);
    for (i, at) in pass.at.iter().enumerate() {
        if let Err(error) = engine.list(at, window) {
            return report.failures.push(format!("page {i} cannot be asked for: {error}"));
        }
        for (what, spoiled) in spoiled_answers() {
            report.spoiled += 1;
            if engine.listed(at, window, &spoiled).is_ok() {
                report.failures.push(format!("page {i}: {what} was taken for a page"));
            }
        }
    }
    if let Err(error) = &pass.next {
        return report.failures.push(format!("page {}: {error:?}", pass.pages.len()));
    }
    if pass.pages.len() < answers.len() {
        return report.failures.push(format!("the pass ended before answer {}", pass.pages.len()));
    }
    let listed = pass.listing(engine);
    if listed != *expect {
        report.failures.push(format!("expected {expect:?}, got {listed:?}"));
    }
    let (failures, tried) = shifting::shift(engine, window, answers);
    report.failures.extend(failures);
    report.spoiled += tried;
}

/// One action of a case.
struct Run<'a> {
    engine: &'a Engine,
    verb: &'a str,
    ask: Ask<'a>,
    before: Option<&'a Record>,
}

impl Run<'_> {
    fn check(&self, answers: &[Answer], later: Option<&Value>, expect: &Acting, report: &mut CaseReport) {
        let answers: Vec<Option<Exchange>> = answers.iter().map(|answer| Some(answer.exchange())).collect();
        let (end, sent) = self.run(&answers);
        let (outcome, code) = described(&end);
        if outcome != expect.outcome || (expect.code.is_some() && expect.code != code) {
            report.failures.push(format!("expected {} {:?}, got {end:?}", expect.outcome, expect.code));
        }
        if let Some(expected) = &expect.sent
            && *expected != sent
        {
            report.failures.push(format!(
                "expected to send {}, sent {}",
                Value::from(expected.clone()),
                Value::from(sent.clone())
            ));
        }
        for at in 0..sent.len() {
            let begun = &answers[..at.min(answers.len())];
            for (what, spoiled) in
                std::iter::once(("a lost answer", None)).chain(spoiled_answers().into_iter().map(|(w, e)| (w, Some(e))))
            {
                report.spoiled += 1;
                let (end, _) = self.run(&[begun, &[spoiled]].concat());
                // Only an answer of the platform proves anything.
                if !matches!(end, Ok(End::Unknown(_) | End::NotDone(..))) {
                    report.failures.push(format!("{what} to request {at} was taken for {end:?}"));
                }
            }
        }
        if let (Some(later), Some(expected)) = (later, &expect.settled) {
            let settled = Record::read(later.to_string().as_bytes()).map(|record| {
                match self.engine.settle(self.verb, &self.ask, &record) {
                    Settled::Applied => "applied",
                    Settled::Failed => "failed",
                    Settled::Repeatable => "repeatable",
                    Settled::Open => "open",
                }
            });
            if settled.as_ref().ok() != Some(&expected.as_str()) {
                report.failures.push(format!("the later record settles it as {settled:?}, expected {expected}"));
            }
        }
    }

    /// Runs one attempt over these answers; what is missing is lost. What was sent stands in the second value.
    fn run(&self, answers: &[Option<Exchange>]) -> (Result<End, String>, Vec<Value>) {
        let mut sent = Vec::new();
        let mut attempt = match self.engine.attempt(self.verb, &self.ask, self.before) {
            Ok(attempt) => attempt,
            Err(error) => return (Err(error.code.to_string()), sent),
        };
        loop {
            match attempt.next_move() {
                Move::End(end) => return (Ok(end), sent),
                Move::Send(call) => {
                    let path = match &call.target {
                        Target::Below(path) | Target::Link(path) => path,
                    };
                    let line = format!("{} {path}", call.method);
                    let body = call.body.as_ref().map(|(_, body)| {
                        let text = String::from_utf8_lossy(body).into_owned();
                        let json = serde_json::from_str::<Value>(&text);
                        // Of a GraphQL request the variables are what the action decides.
                        json.map_or(Value::from(text), |json| json.get("variables").cloned().unwrap_or(json))
                    });
                    sent.push(body.map_or_else(|| Value::from(line.clone()), |body| json!([line, body])));
                    match answers.get(sent.len() - 1).cloned().flatten() {
                        Some(exchange) => attempt.answered(&exchange),
                        None => attempt.lost("the answer was lost".into()),
                    }
                }
            }
        }
    }
}

fn described(end: &Result<End, String>) -> (&'static str, Option<String>) {
    match end {
        Err(code) => ("refused", Some(code.clone())),
        Ok(End::Applied(_)) => ("applied", None),
        Ok(End::Accepted) => ("accepted", None),
        Ok(End::Rejected(error)) => ("rejected", Some(error.code.to_string())),
        Ok(End::Conflict(_)) => ("conflict", None),
        Ok(End::NotDone(..)) => ("not_done", None),
        Ok(End::Unknown(_)) => ("unknown", None),
    }
}
