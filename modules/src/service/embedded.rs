//! The services inside a module, on the module's own database.
//!
//! It owns their transactions: one per command, on the one write connection, so that two commands never see the same
//! last piece. It refuses nothing itself: the plans, the ledger and the codes do.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use order_contract::{Amount, EffectStatus};
use serde_json::{Value, json};
use sqlx::sqlite::SqlitePool;
use sqlx::{Row, Sqlite, SqliteConnection, Transaction};

use super::ledger::{self, Booking, Draft};
use super::plan::{self, Terms};
use super::{
    Command, CouponRule, Entry, Facts, Fault, PurchaseLimit, Question, Receipt, Service, ServicePort, codes, facts,
};
use crate::store::Clock;

/// Why something was not done. Nothing moved.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The service said so.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The table of codes was changed from outside.
    #[error("the licence codes of {0} do not match its stock")]
    Codes(String),
    /// A statement failed.
    #[error("the database did not answer")]
    Query(#[from] sqlx::Error),
    /// A stored document cannot be read or written.
    #[error("a stored document cannot be read or written")]
    Document(#[from] serde_json::Error),
}

impl ServiceError {
    /// As the port tells it. What went wrong inside is for logs.
    pub(crate) fn into_fault(self, service: Service) -> Fault {
        let (mut reason, mut cause) = (self.to_string(), std::error::Error::source(&self));
        while let Some(error) = cause {
            reason.push_str(&format!(": {error}"));
            cause = error.source();
        }
        match self {
            Self::Fault(fault) => fault,
            Self::Codes(_) | Self::Query(_) | Self::Document(_) => Fault::Unknown { service, reason },
        }
    }
}

/// All six services on one database.
#[derive(Clone)]
pub struct Embedded {
    writer: SqlitePool,
    readers: SqlitePool,
    clock: Clock,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// On a database with the module's tables: `writer` has one connection.
    #[must_use]
    pub fn new(writer: SqlitePool, readers: SqlitePool, clock: Clock) -> Self {
        Self { writer, readers, clock }
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    pub(crate) fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Frees what is still reserved although its time is over and it was not confirmed. Answers of how many orders.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn expire_reservations(&self, now: DateTime<Utc>) -> Result<usize, ServiceError> {
        let at = now.timestamp_micros();
        let mut reader = self.readers.acquire().await?;
        if expired_holds(&mut reader, at).await?.is_empty() {
            return Ok(0);
        }
        drop(reader);
        let mut tx = self.begin().await?;
        let expired = expired_holds(&mut tx, at).await?;
        let booking = |(order, held): (&String, &Vec<(String, i64)>)| Booking {
            service: Service::Warehouse,
            key: format!("expire/{order}/{at}"),
            order: Some(order.clone()),
            reason: "EXPIRE",
            plan: Ok(plan::expire(order, held)),
        };
        let bookings = expired.iter().map(booking).collect();
        for answer in Draft::decide(&mut tx, bookings).await?.write(&mut tx, at).await? {
            answer?;
        }
        tx.commit().await?;
        Ok(expired.len())
    }

    /// What one order moved in one service, by account and item; what it moved back is not there any more.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn order_balances(
        &self,
        service: Service,
        order: &str,
    ) -> Result<BTreeMap<String, BTreeMap<String, Amount>>, ServiceError> {
        let mut reader = self.readers.acquire().await?;
        Ok(ledger::order_balances(&mut reader, service, order).await?)
    }

    async fn read_facts(&self, service: Service, question: &Question) -> Result<Facts, ServiceError> {
        let mut reader = self.readers.acquire().await?;
        facts::read(&mut reader, service, question, self.now()).await
    }

    async fn book(&self, entry: &Entry) -> Result<Receipt, ServiceError> {
        let mut tx = self.begin().await?;
        let answer = post_many(&mut tx, std::slice::from_ref(entry), self.now()).await?.swap_remove(0);
        tx.commit().await?;
        Ok(answer?)
    }

    async fn take_back(&self, service: Service, key: &str) -> Result<(), ServiceError> {
        let mut tx = self.begin().await?;
        let (order, postings) = ledger::reverse(&mut tx, service, key, self.now().timestamp_micros()).await?;
        if let (Service::Warehouse, Some(order)) = (service, order) {
            let skus: Vec<_> = postings.iter().map(|p| p.item.clone()).collect();
            let coded = codes::coded(&mut tx, &skus).await?;
            codes::follow(&mut tx, &order, &postings, &coded).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn look_up(&self, service: Service, key: &str) -> Result<Receipt, ServiceError> {
        let mut tx = self.begin().await?;
        let answer = ledger::answer(&mut tx, service, key).await?;
        let answer = match answer {
            // The gateway has done it by the time somebody asks.
            Some(Ok(receipt)) if receipt.status == EffectStatus::Pending => {
                let receipt = Receipt { status: EffectStatus::Done, ..receipt };
                sqlx::query("UPDATE ledger_entries SET receipt = ? WHERE service = ? AND key = ?")
                    .bind(serde_json::to_string(&receipt)?)
                    .bind(service.as_str())
                    .bind(key)
                    .execute(&mut *tx)
                    .await?;
                Some(Ok(receipt))
            }
            answer => answer,
        };
        tx.commit().await?;
        let absent =
            || refused("ENTRY_NOT_FOUND", format!("Nothing was asked of {} under this key.", service.as_str()));
        Ok(answer.ok_or_else(absent)??)
    }
}

#[async_trait]
impl ServicePort for Embedded {
    async fn facts(&self, service: Service, question: &Question) -> Result<Facts, Fault> {
        self.read_facts(service, question).await.map_err(|error| error.into_fault(service))
    }

    async fn post(&self, entry: &Entry) -> Result<Receipt, Fault> {
        self.book(entry).await.map_err(|error| error.into_fault(entry.command.service()))
    }

    async fn reverse(&self, service: Service, key: &str) -> Result<(), Fault> {
        self.take_back(service, key).await.map_err(|error| error.into_fault(service))
    }

    async fn entry(&self, service: Service, key: &str) -> Result<Receipt, Fault> {
        self.look_up(service, key).await.map_err(|error| error.into_fault(service))
    }
}

/// Does many commands inside the caller's write transaction, each as [`ServicePort::post`] would, in their order.
///
/// # Errors
/// [`ServiceError`] when the transaction must be given up; what is refused is in the answers.
pub async fn post_many(
    db: &mut SqliteConnection,
    entries: &[Entry],
    at: DateTime<Utc>,
) -> Result<Vec<Result<Receipt, Fault>>, ServiceError> {
    let terms = terms(db, entries).await?;
    let bookings = entries.iter().map(|entry| plan::plan(entry, &terms)).collect();
    let mut draft = Draft::decide(db, bookings).await?;
    let moved = draft.accepted().filter(|(_, booking, ..)| booking.service == Service::Warehouse);
    let skus: Vec<_> = moved.flat_map(|(_, _, postings, _)| postings.iter().map(|p| p.item.clone())).collect();
    let coded = codes::coded(db, &skus).await?;
    let mut deadlines = Vec::new();
    for (index, booking, postings, receipt) in draft.accepted() {
        let Entry { order, command, .. } = &entries[index];
        if booking.service == Service::Warehouse {
            let codes = codes::follow(db, order, postings, &coded).await?;
            if !codes.is_empty() {
                receipt.data.insert("codes".into(), Value::Object(codes));
            }
        }
        if let Command::Reserve { until: Some(until), .. } = command {
            deadlines.push(json!([ledger::account(&["hold", order]), order, until.timestamp_micros()]));
        }
    }
    if !deadlines.is_empty() {
        let write = sqlx::query(
            "INSERT INTO warehouse_deadlines (account, order_id, until)
             SELECT value->>0, value->>1, value->>2 FROM json_each(?1) WHERE true
             ON CONFLICT (account) DO UPDATE SET until = excluded.until",
        );
        write.bind(Value::Array(deadlines).to_string()).execute(&mut *db).await?;
    }
    draft.write(db, at.timestamp_micros()).await
}

/// What the commands depend on, in two statements for all.
async fn terms(db: &mut SqliteConnection, entries: &[Entry]) -> Result<Terms, ServiceError> {
    let (mut coupons, mut skus) = (Vec::new(), Vec::new());
    for entry in entries {
        match &entry.command {
            Command::Redeem { codes, .. } => coupons.extend(codes.iter().cloned()),
            Command::Count { goods, .. } | Command::Uncount { goods, .. } => {
                skus.extend(goods.iter().map(|goods| goods.sku.clone()).chain([plan::ORDERS.into()]));
            }
            _ => {}
        }
    }
    Ok(Terms { coupons: rules(db, &coupons).await?, limits: limits(db, &skus).await? })
}

/// Coupons by code.
pub(crate) async fn rules(
    db: &mut SqliteConnection,
    codes: &[String],
) -> Result<HashMap<String, CouponRule>, ServiceError> {
    if codes.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query("SELECT code, rule FROM promotion_coupons WHERE code IN (SELECT value FROM json_each(?))");
    let rows = rows.bind(serde_json::to_string(codes)?).fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.get(0), serde_json::from_str(row.get(1))?))).collect()
}

/// Limits by stock keeping unit.
pub(crate) async fn limits(
    db: &mut SqliteConnection,
    skus: &[String],
) -> Result<HashMap<String, Vec<PurchaseLimit>>, ServiceError> {
    let mut limits: HashMap<String, Vec<PurchaseLimit>> = HashMap::new();
    if skus.is_empty() {
        return Ok(limits);
    }
    let rows =
        sqlx::query("SELECT sku, most, period_seconds FROM risk_limits WHERE sku IN (SELECT value FROM json_each(?))");
    for row in rows.bind(serde_json::to_string(skus)?).fetch_all(db).await? {
        let limit = PurchaseLimit { sku: row.get(0), most: row.get(1), period_seconds: row.get(2) };
        limits.entry(limit.sku.clone()).or_default().push(limit);
    }
    Ok(limits)
}

/// Orders with a hold whose time is over, with what it holds.
async fn expired_holds(
    db: &mut SqliteConnection,
    at: i64,
) -> Result<BTreeMap<String, Vec<(String, i64)>>, ServiceError> {
    // The range stands for every account that begins with `hold/`: only holds that are open are looked at.
    let rows = sqlx::query(
        "SELECT d.order_id, b.item, b.amount FROM ledger_balances AS b CROSS JOIN warehouse_deadlines AS d
         ON d.account = b.account
         WHERE b.service = 'warehouse' AND b.account >= 'hold/' AND b.account < 'hold0' AND d.until <= ?",
    );
    let mut expired: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    for row in rows.bind(at).fetch_all(db).await? {
        expired.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    Ok(expired)
}

pub(crate) fn refused(code: &str, message: impl Into<String>) -> ServiceError {
    Fault::Refused { code: code.into(), message: message.into() }.into()
}
