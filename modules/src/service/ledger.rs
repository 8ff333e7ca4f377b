//! The double-entry ledger that every service keeps: one per service name, all in the same three tables.
//!
//! It owns entries, their postings and the balances, which are always the sums of the postings. It refuses what would
//! draw an account of the house below zero or lift one above its cap, and a key that was reversed. Accounts that begin
//! with `@` are outside the house and are never short. Everything here runs inside a write transaction of the caller:
//! entries are decided in memory on the balances they touch, then written in a handful of statements, however many.

use std::collections::{BTreeMap, HashMap};

use order_contract::{Amount, EffectStatus};
use serde_json::{Map, Value, json};
use sqlx::{Row, SqliteConnection};

use super::{Fault, Receipt, Service, ServiceError};

/// What happens when an account of the house does not hold what is to leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// The entry is refused.
    Refuse,
    /// Only what is there moves.
    Clamp,
    /// The account goes below zero, also when the movement is reversed.
    Overdraw,
}

/// A refusal in waiting: its code, and its words given the item and what is left.
pub(crate) struct Rule {
    pub(crate) code: &'static str,
    pub(crate) explain: fn(item: &str, left: Amount) -> String,
}

impl Rule {
    fn refuse(&self, item: &str, left: i64) -> Fault {
        Fault::Refused { code: self.code.into(), message: (self.explain)(item, Amount::from_units(left.max(0))) }
    }
}

/// A quantity that goes from one account to another. From an account to itself, it only proves what the account holds.
pub(crate) struct Movement {
    pub(crate) item: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Ten-thousandths, positive.
    pub(crate) quantity: i64,
    /// The most that `to` may hold afterwards.
    pub(crate) cap: Option<i64>,
    pub(crate) floor: Floor,
    /// What is said when floor or cap are in the way.
    pub(crate) rule: &'static Rule,
}

/// What an entry does, once it is accepted.
pub(crate) struct Plan {
    pub(crate) movements: Vec<Movement>,
    pub(crate) status: EffectStatus,
    /// How often it is asked in vain although the entry is posted, the first time included.
    pub(crate) silent: i64,
}

/// An entry to be decided.
pub(crate) struct Booking {
    pub(crate) service: Service,
    pub(crate) key: String,
    pub(crate) order: Option<String>,
    pub(crate) reason: &'static str,
    /// A fault counts only for a key that is new: a known key keeps its answer.
    pub(crate) plan: Result<Plan, Fault>,
}

/// What really moved.
#[derive(Clone, Debug)]
pub(crate) struct Posting {
    pub(crate) item: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) quantity: i64,
    pub(crate) overdraw: bool,
}

/// Escapes the parts of an account's name, so that no id can pass for another account.
pub(crate) fn account(parts: &[&str]) -> String {
    parts.iter().map(|part| part.replace('%', "%25").replace('/', "%2F")).collect::<Vec<_>>().join("/")
}

/// The balances that entries touch.
#[derive(Default)]
struct Balances(HashMap<(Service, String, String), Balance>);

#[derive(Clone, Copy, Default)]
struct Balance {
    stored: i64,
    now: i64,
}

impl Balances {
    fn touch(&mut self, service: Service, movements: &[Movement]) {
        for movement in movements {
            for account in [&movement.from, &movement.to] {
                self.0.entry((service, account.clone(), movement.item.clone())).or_default();
            }
        }
    }

    /// Reads what was touched.
    async fn load(&mut self, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut indexed: Vec<_> = self.0.iter_mut().collect();
        let asked: Vec<_> =
            indexed.iter().map(|((service, account, item), _)| json!([service.as_str(), account, item])).collect();
        let rows = sqlx::query(
            "SELECT j.key, b.amount FROM json_each(?1) AS j CROSS JOIN ledger_balances AS b
             ON b.service = j.value->>0 AND b.account = j.value->>1 AND b.item = j.value->>2",
        );
        for row in rows.bind(Value::Array(asked).to_string()).fetch_all(db).await? {
            let (index, amount): (i64, i64) = (row.get(0), row.get(1));
            if let Some((_, balance)) = usize::try_from(index).ok().and_then(|index| indexed.get_mut(index)) {
                **balance = Balance { stored: amount, now: amount };
            }
        }
        Ok(())
    }

    fn at(&mut self, service: Service, account: &str, item: &str) -> &mut i64 {
        &mut self.0.entry((service, account.into(), item.into())).or_default().now
    }

    fn shift(&mut self, service: Service, item: &str, from: &str, to: &str, quantity: i64) -> Option<()> {
        let lower = self.at(service, from, item).checked_sub(quantity)?;
        *self.at(service, from, item) = lower;
        match self.at(service, to, item).checked_add(quantity) {
            Some(higher) => *self.at(service, to, item) = higher,
            None => {
                *self.at(service, from, item) += quantity;
                return None;
            }
        }
        Some(())
    }

    /// Moves all, or nothing.
    fn apply(&mut self, service: Service, movements: &[Movement]) -> Result<Vec<Posting>, Fault> {
        let mut postings: Vec<Posting> = Vec::with_capacity(movements.len());
        for movement in movements {
            match self.step(service, movement) {
                Ok(posting) => postings.extend(posting),
                Err(fault) => {
                    for done in postings.iter().rev() {
                        self.shift(service, &done.item, &done.to, &done.from, done.quantity);
                    }
                    return Err(fault);
                }
            }
        }
        Ok(postings)
    }

    fn step(&mut self, service: Service, movement: &Movement) -> Result<Option<Posting>, Fault> {
        let Movement { item, from, to, floor, rule, .. } = movement;
        let mut quantity = movement.quantity;
        let held = *self.at(service, from, item);
        if !from.starts_with('@') && held < quantity {
            match floor {
                Floor::Refuse => return Err(rule.refuse(item, held)),
                Floor::Clamp => quantity = held.max(0),
                Floor::Overdraw => {}
            }
        }
        if let Some(cap) = movement.cap {
            let room = cap.saturating_sub(*self.at(service, to, item));
            if quantity > room {
                return Err(rule.refuse(item, room));
            }
        }
        if quantity == 0 {
            return Ok(None);
        }
        let too_large = || Fault::Refused {
            code: "TOO_LARGE".into(),
            message: format!("The books of {item} cannot hold so much: ask for less."),
        };
        self.shift(service, item, from, to, quantity).ok_or_else(too_large)?;
        let overdraw = *floor == Floor::Overdraw;
        Ok(Some(Posting { item: item.clone(), from: from.clone(), to: to.clone(), quantity, overdraw }))
    }

    async fn store(self, db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let (mut held, mut empty) = (Vec::new(), Vec::new());
        for ((service, account, item), balance) in self.0 {
            match balance.now {
                now if now == balance.stored => {}
                0 => empty.push(json!([service.as_str(), account, item])),
                now => held.push(json!([service.as_str(), account, item, now])),
            }
        }
        if !held.is_empty() {
            let write = sqlx::query(
                "INSERT INTO ledger_balances (service, account, item, amount)
                 SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?1) WHERE true
                 ON CONFLICT (service, account, item) DO UPDATE SET amount = excluded.amount",
            );
            write.bind(Value::Array(held).to_string()).execute(&mut *db).await?;
        }
        if !empty.is_empty() {
            let clear = sqlx::query(
                "DELETE FROM ledger_balances WHERE (service, account, item) IN
                     (SELECT value->>0, value->>1, value->>2 FROM json_each(?1))",
            );
            clear.bind(Value::Array(empty).to_string()).execute(&mut *db).await?;
        }
        Ok(())
    }
}

fn row(service: Service, key: &str, posting: &Posting) -> Value {
    let Posting { item, from, to, quantity, overdraw } = posting;
    json!([service.as_str(), key, item, to, from, quantity, i64::from(*overdraw)])
}

async fn write_postings(db: &mut SqliteConnection, rows: Vec<Value>) -> Result<(), sqlx::Error> {
    let write = sqlx::query(
        "INSERT INTO ledger_postings (service, key, item, debit, credit, quantity, overdraw)
         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM json_each(?1)",
    );
    write.bind(Value::Array(rows).to_string()).execute(db).await?;
    Ok(())
}

/// How an entry was decided. What is silent is asked in vain: the test tokens of the payment gateway.
enum Verdict {
    /// It is not stored: under the same key it may be accepted later.
    Refused(Fault),
    Stored {
        answer: Result<Receipt, Fault>,
        silent: bool,
    },
    New {
        postings: Vec<Posting>,
        receipt: Receipt,
        silent: bool,
    },
    /// As another entry of the same draft with the same key.
    Again {
        first: usize,
        silent: bool,
    },
}

impl Verdict {
    fn answer(&self, all: &[Self]) -> Result<Receipt, Fault> {
        match self {
            Self::Refused(fault) => Err(fault.clone()),
            Self::Stored { answer, .. } => answer.clone(),
            Self::New { receipt, .. } => Ok(receipt.clone()),
            Self::Again { first, .. } => all[*first].answer(all),
        }
    }
}

/// Entries that are decided and not written yet.
pub(crate) struct Draft {
    bookings: Vec<Booking>,
    verdicts: Vec<Verdict>,
    balances: Balances,
    /// How often each entry will still be asked in vain, where that has changed or is new, by position.
    asks: BTreeMap<usize, i64>,
}

impl Draft {
    /// Decides the entries in their order.
    pub(crate) async fn decide(db: &mut SqliteConnection, bookings: Vec<Booking>) -> Result<Self, ServiceError> {
        let mut stored = stored_answers(db, &bookings).await?;
        let mut balances = Balances::default();
        for Booking { service, plan, .. } in &bookings {
            balances.touch(*service, plan.as_ref().map_or(&[], |plan| &plan.movements));
        }
        balances.load(db).await?;
        let mut seen: HashMap<(Service, &str), usize> = HashMap::new();
        let mut asks = BTreeMap::new();
        let mut verdicts = Vec::with_capacity(bookings.len());
        for (index, booking) in bookings.iter().enumerate() {
            let name = (booking.service, booking.key.as_str());
            if let Some(&first) = seen.get(&name) {
                verdicts.push(Verdict::Again { first, silent: unheard(&mut asks, first) });
                continue;
            }
            let verdict = match (stored.remove(&index), &booking.plan) {
                (Some((answer, vain)), _) => {
                    if vain > 0 {
                        asks.insert(index, vain);
                    }
                    Verdict::Stored { answer, silent: unheard(&mut asks, index) }
                }
                (None, Err(fault)) => Verdict::Refused(fault.clone()),
                (None, Ok(plan)) => match balances.apply(booking.service, &plan.movements) {
                    Ok(postings) => {
                        asks.insert(index, plan.silent);
                        let reference = format!("{}/{}", booking.service.as_str(), booking.key);
                        let receipt = Receipt { reference, status: plan.status, data: Map::new() };
                        Verdict::New { postings, receipt, silent: unheard(&mut asks, index) }
                    }
                    Err(fault) => Verdict::Refused(fault),
                },
            };
            if !matches!(verdict, Verdict::Refused(_)) {
                seen.insert(name, index);
            }
            verdicts.push(verdict);
        }
        Ok(Self { bookings, verdicts, balances, asks })
    }

    /// The entries that will be written: position, what moves and what is answered.
    pub(crate) fn accepted(&mut self) -> impl Iterator<Item = (usize, &Booking, &[Posting], &mut Receipt)> {
        self.verdicts.iter_mut().zip(&self.bookings).enumerate().filter_map(|(index, (verdict, booking))| match verdict
        {
            Verdict::New { postings, receipt, .. } => Some((index, booking, postings.as_slice(), receipt)),
            _ => None,
        })
    }

    /// Writes what was accepted and answers every entry.
    pub(crate) async fn write(
        self,
        db: &mut SqliteConnection,
        at: i64,
    ) -> Result<Vec<Result<Receipt, Fault>>, ServiceError> {
        let Self { bookings, verdicts, balances, asks } = self;
        let (mut entries, mut postings, mut heard) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (booking, verdict)) in bookings.iter().zip(&verdicts).enumerate() {
            let (service, key, vain) = (booking.service, booking.key.as_str(), asks.get(&index));
            match verdict {
                Verdict::New { postings: moved, receipt, .. } => {
                    let receipt = serde_json::to_string(receipt)?;
                    entries.push(json!([service.as_str(), key, booking.order, booking.reason, at, receipt, vain]));
                    postings.extend(moved.iter().map(|posting| row(service, key, posting)));
                }
                Verdict::Stored { .. } => heard.extend(vain.map(|vain| json!([service.as_str(), key, vain]))),
                Verdict::Refused(_) | Verdict::Again { .. } => {}
            }
        }
        if !entries.is_empty() {
            let write = sqlx::query(
                "INSERT INTO ledger_entries (service, key, order_id, reason, at, state, receipt, asks)
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4, 'POSTED', value->>5, value->>6
                 FROM json_each(?1)",
            );
            write.bind(Value::Array(entries).to_string()).execute(&mut *db).await?;
            write_postings(db, postings).await?;
            balances.store(db).await?;
        }
        if !heard.is_empty() {
            let hear = sqlx::query(
                "UPDATE ledger_entries AS e SET asks = j.value->>2 FROM json_each(?1) AS j
                 WHERE e.service = j.value->>0 AND e.key = j.value->>1",
            );
            hear.bind(Value::Array(heard).to_string()).execute(&mut *db).await?;
        }
        let answers = bookings.iter().zip(&verdicts).map(|(booking, verdict)| match verdict {
            Verdict::Stored { silent: true, .. }
            | Verdict::New { silent: true, .. }
            | Verdict::Again { silent: true, .. } => Err(silence(booking.service)),
            verdict => verdict.answer(&verdicts),
        });
        Ok(answers.collect())
    }
}

/// Counts an ask; whether it is in vain.
fn unheard(asks: &mut BTreeMap<usize, i64>, index: usize) -> bool {
    match asks.get_mut(&index) {
        Some(vain) if *vain > 0 => {
            *vain -= 1;
            true
        }
        _ => false,
    }
}

/// An answer that is stored, and how often it will still be asked for in vain.
type Stored = (Result<Receipt, Fault>, i64);

/// The answers of keys that are known, by position.
async fn stored_answers(
    db: &mut SqliteConnection,
    bookings: &[Booking],
) -> Result<HashMap<usize, Stored>, ServiceError> {
    let keys: Vec<_> = bookings.iter().map(|b| json!([b.service.as_str(), b.key])).collect();
    let rows = sqlx::query(
        "SELECT j.key, e.state, e.receipt, e.asks FROM json_each(?1) AS j
         CROSS JOIN ledger_entries AS e ON e.service = j.value->>0 AND e.key = j.value->>1",
    );
    let mut stored = HashMap::new();
    for row in rows.bind(Value::Array(keys).to_string()).fetch_all(db).await? {
        let answer = match row.get(1) {
            "REVERSED" => (Err(reversed()), 0),
            _ => (Ok(serde_json::from_str(row.get(2))?), row.get(3)),
        };
        stored.insert(usize::try_from(row.get::<i64, _>(0)).unwrap_or(usize::MAX), answer);
    }
    Ok(stored)
}

/// What is answered under a key; none when the key never arrived. Counts as an ask.
pub(crate) async fn answer(
    db: &mut SqliteConnection,
    service: Service,
    key: &str,
) -> Result<Option<Result<Receipt, Fault>>, ServiceError> {
    let absent = Fault::Refused {
        code: "ENTRY_NOT_FOUND".into(),
        message: format!("The {} service has no entry {key:?}.", service.as_str()),
    };
    let booking = Booking { service, key: key.into(), order: None, reason: "", plan: Err(absent.clone()) };
    let answer = Draft::decide(db, vec![booking]).await?.write(db, 0).await?.pop();
    Ok(answer.filter(|answer| *answer != Err(absent)))
}

/// Takes back what happened under a key, as far as it is still there to be taken; leaves a tombstone when nothing did.
/// Answers the order and what moved back.
pub(crate) async fn reverse(
    db: &mut SqliteConnection,
    service: Service,
    key: &str,
    at: i64,
) -> Result<(Option<String>, Vec<Posting>), ServiceError> {
    let name = service.as_str();
    let marked = sqlx::query(
        "INSERT INTO ledger_entries (service, key, reason, at, state, reversed_at, receipt)
         VALUES (?1, ?2, 'TOMBSTONE', ?3, 'REVERSED', ?3, '{}')
         ON CONFLICT (service, key) DO UPDATE SET state = 'REVERSED', reversed_at = ?3 WHERE state = 'POSTED'
         RETURNING order_id",
    );
    let Some(marked) = marked.bind(name).bind(key).bind(at).fetch_optional(&mut *db).await? else {
        return Ok((None, Vec::new()));
    };
    let rows = sqlx::query(
        "SELECT item, debit, credit, quantity, overdraw FROM ledger_postings
         WHERE service = ? AND key = ? ORDER BY id DESC",
    );
    let rows = rows.bind(name).bind(key).fetch_all(&mut *db).await?;
    let opposite = |row: &sqlx::sqlite::SqliteRow| Movement {
        item: row.get(0),
        from: row.get(1),
        to: row.get(2),
        quantity: row.get(3),
        cap: None,
        floor: if row.get::<i64, _>(4) == 1 { Floor::Overdraw } else { Floor::Clamp },
        rule: &NEVER_REFUSED,
    };
    let movements: Vec<_> = rows.iter().map(opposite).collect();
    let mut balances = Balances::default();
    balances.touch(service, &movements);
    balances.load(db).await?;
    let postings = balances.apply(service, &movements).map_err(ServiceError::from)?;
    write_postings(db, postings.iter().map(|posting| row(service, key, posting)).collect()).await?;
    balances.store(db).await?;
    Ok((marked.get(0), postings))
}

/// A reversal moves what there is.
const NEVER_REFUSED: Rule = Rule { code: "REVERSAL", explain: |item, _| format!("{item} cannot be taken back.") };

/// What one order moved in one service, by account and item; what it moved back is not there any more.
pub(crate) async fn order_balances(
    db: &mut SqliteConnection,
    service: Service,
    order: &str,
) -> Result<BTreeMap<String, BTreeMap<String, Amount>>, sqlx::Error> {
    let rows = sqlx::query(
        "WITH moved AS (SELECT p.item, p.debit, p.credit, p.quantity FROM ledger_entries AS e
                        JOIN ledger_postings AS p ON p.service = e.service AND p.key = e.key
                        WHERE e.service = ?1 AND e.order_id = ?2)
         SELECT account, item, SUM(amount) FROM (SELECT debit AS account, item, quantity AS amount FROM moved
                                                 UNION ALL SELECT credit, item, -quantity FROM moved)
         GROUP BY account, item HAVING SUM(amount) <> 0",
    );
    let mut balances: BTreeMap<String, BTreeMap<String, Amount>> = BTreeMap::new();
    for row in rows.bind(service.as_str()).bind(order).fetch_all(db).await? {
        balances.entry(row.get(0)).or_default().insert(row.get(1), Amount::from_units(row.get(2)));
    }
    Ok(balances)
}

fn reversed() -> Fault {
    Fault::Refused { code: "REVERSED".into(), message: "This entry was reversed: ask under a new key.".into() }
}

fn silence(service: Service) -> Fault {
    Fault::Unknown { service, reason: "the answer was lost".into() }
}
