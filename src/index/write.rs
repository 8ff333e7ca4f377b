//! The only way into the index: a version guard in SQL, children replaced with their order, the feed stamped last.
//!
//! It owns the decision what a snapshot may replace, and the transaction that does it. It refuses to overwrite what is
//! newer, whatever the order, number or moment of its inputs. That is so that two writers, a repeated page and a late
//! webhook all end in the state of the source.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use order_contract::{OrderId, OrderSnapshot, PaymentStatus, SourceKey, SourceVersion};
use sha2::{Digest, Sha256};

use super::feed::{ChangeKind, FeedPosition};
use super::{ContentHash, Held, Index, IndexError, Via, columns};
use crate::database::{Batch, Column, DatabaseError, Dialect, Transaction, Value};
use crate::source::Normalized;

/// A snapshot to store.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The source it belongs to.
    pub source: SourceKey,
    /// The order.
    pub order: Normalized,
    /// What the source sent, verbatim.
    pub raw: Bytes,
    /// By which way it came.
    pub via: Via,
    /// When the center saw it. UTC.
    pub observed_at: DateTime<Utc>,
    /// Under what condition it may replace what is there.
    pub precondition: Precondition,
}

/// Under what condition a snapshot may replace the one that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Its version is newer.
    Newer,
    /// Its version is newer; or equal, and the stored content is still this one: the source was read after that
    /// content had been seen, so what it said is the later word. This settles ties without comparing clocks.
    NewerOrReplaces(ContentHash),
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Stored: it was new, or newer.
    Stored,
    /// Older than what is stored, or the same: nothing changed.
    Stale,
    /// The same version with another content: read the order again, then store with
    /// [`Precondition::NewerOrReplaces`] this hash.
    Tie(ContentHash),
}

/// An entry with what the index stores of it.
pub(super) struct Pending {
    pub(super) entry: Entry,
    pub(super) id_text: String,
    pub(super) document: String,
    pub(super) hash: ContentHash,
    pub(super) payment_status: PaymentStatus,
    pub(super) violations: i64,
    pub(super) checks: String,
    pub(super) revision: i64,
}

impl Pending {
    fn new(entry: Entry) -> Result<Self, IndexError> {
        let snapshot = &entry.order.snapshot;
        let id_text = OrderId::new(entry.source.clone(), snapshot.source_order_id.clone()).to_string();
        let mut checks = snapshot.violations();
        let violations = checks.len() as i64;
        checks.extend(entry.order.rounded.iter().cloned());
        let encode = |e| IndexError::Encode(id_text.clone(), e);
        let document = serde_json::to_string(snapshot).map_err(encode)?;
        let checks = serde_json::to_string(&checks).map_err(encode)?;
        let hash = ContentHash(Sha256::digest(&document).into());
        let payment_status = snapshot.computed_payment_status();
        Ok(Self { id_text, document, hash, payment_status, violations, checks, revision: 0, entry })
    }

    pub(super) fn snapshot(&self) -> &OrderSnapshot {
        &self.entry.order.snapshot
    }

    /// Drafts have not been placed; they stand where they were last touched.
    pub(super) fn placed_at(&self) -> i64 {
        let times = &self.snapshot().times;
        times.placed_at.unwrap_or(times.updated_at).timestamp_micros()
    }

    fn held(&self) -> Held {
        Held { version: self.snapshot().version, content_hash: self.hash }
    }

    /// What becomes of it where this is held.
    fn decide(&self, held: Option<Held>) -> Applied {
        let Some(held) = held else { return Applied::Stored };
        match self.snapshot().version.cmp(&held.version) {
            std::cmp::Ordering::Greater => Applied::Stored,
            std::cmp::Ordering::Less => Applied::Stale,
            std::cmp::Ordering::Equal if self.hash == held.content_hash => Applied::Stale,
            std::cmp::Ordering::Equal
                if self.entry.precondition == Precondition::NewerOrReplaces(held.content_hash) =>
            {
                Applied::Stored
            }
            std::cmp::Ordering::Equal => Applied::Tie(held.content_hash),
        }
    }
}

/// What the index holds of an order before a write.
struct Before {
    held: Held,
    revision: i64,
    axes: [String; 5],
}

/// A change that `commit` tells in the feed.
struct Stamped {
    id: String,
    version: SourceVersion,
    kind: ChangeKind,
    at: DateTime<Utc>,
}

/// Writes within one transaction; readers see all of it or nothing. The last statement of [`Writer::commit`] stamps the
/// feed.
pub struct Writer {
    transaction: Transaction,
    index: Index,
    changes: Vec<Stamped>,
}

impl Index {
    /// Begins to write. For `ingest` alone: it knows what a source said and when.
    ///
    /// # Errors
    /// [`IndexError::Write`].
    pub async fn writer(&self) -> Result<Writer, IndexError> {
        let transaction = self.database.begin().await.map_err(IndexError::Write)?;
        Ok(Writer { transaction, index: self.clone(), changes: Vec::new() })
    }
}

impl Writer {
    /// The transaction, for what must be stored together with the orders: a cursor, an inbox row, an operation.
    pub fn transaction(&mut self) -> &mut Transaction {
        &mut self.transaction
    }

    /// Stores what is newer, in as few statements as there are tables. Answers in the order of the entries; of two
    /// entries for one order the newer wins and the other is stale.
    ///
    /// # Errors
    /// [`IndexError::Write`]: nothing of the transaction may be committed.
    pub async fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<Applied>, IndexError> {
        let mut pending = entries.into_iter().map(Pending::new).collect::<Result<Vec<_>, _>>()?;
        // In the order of ids, so that two writers of the same orders wait for each other instead of deadlocking.
        let ids: BTreeMap<String, ()> = pending.iter().map(|p| (p.id_text.clone(), ())).collect();
        let before = self.before(ids.into_keys().collect()).await?;
        let (mut outcomes, winners) = decide_all(&pending, &before);
        if winners.is_empty() {
            return Ok(outcomes);
        }

        // A row's first revision is beyond every revision there was, so that an order that was deleted and comes back
        // is not mistaken for a document cached before: an order's revision grows by one where the feed does.
        let first = self.feed_head().await?.0 + 1;
        for &i in winners.values() {
            pending[i].revision = before.get(&pending[i].id_text).map_or(first, |before| before.revision + 1);
        }
        let mut rows: Vec<&Pending> = winners.values().map(|&i| &pending[i]).collect();
        let written = self.insert(columns::orders(&rows)).await?;
        if written < rows.len() as u64 {
            // Another writer came in between: what it stored decides.
            let now = self.before(rows.iter().map(|p| p.id_text.clone()).collect()).await?;
            let lost = |p: &Pending| now.get(&p.id_text).map(|now| now.held).filter(|held| *held != p.held());
            for &i in winners.values() {
                if let Some(held) = lost(&pending[i]) {
                    outcomes[i] = match pending[i].decide(Some(held)) {
                        Applied::Stored => Applied::Tie(held.content_hash),
                        other => other,
                    };
                }
            }
            rows.retain(|p| lost(p).is_none());
        }

        // SQLite has one writer: what was not there before cannot have children.
        let may_exist =
            |p: &&&Pending| self.transaction.dialect() == Dialect::Postgres || before.contains_key(&p.id_text);
        let replaced = rows.iter().filter(may_exist).map(|p| p.id_text.clone()).collect::<Vec<_>>();
        if !replaced.is_empty() {
            for table in ["order_lines", "order_payments", "order_refunds"] {
                self.delete_rows(table, replaced.clone()).await?;
            }
        }
        let turned = |p: &&Pending| before.get(&p.id_text).is_none_or(|before| before.axes != columns::axes(p));
        let turned = rows.iter().copied().filter(turned).collect::<Vec<_>>();
        for batch in [
            columns::raw_payloads(&rows),
            columns::lines(&rows),
            columns::payments(&rows),
            columns::refunds(&rows),
            columns::status_changes(&turned),
        ] {
            self.insert(batch).await?;
        }
        self.changes.extend(rows.iter().map(|p| Stamped {
            id: p.id_text.clone(),
            version: p.snapshot().version,
            kind: ChangeKind::Upserted,
            at: p.entry.observed_at,
        }));
        Ok(outcomes)
    }

    /// Removes an order that its source no longer has.
    ///
    /// # Errors
    /// [`IndexError::Write`].
    pub async fn delete(&mut self, id: &OrderId, at: DateTime<Utc>) -> Result<bool, IndexError> {
        let id = id.to_string();
        let Some(before) = self.before(vec![id.clone()]).await?.remove(&id) else { return Ok(false) };
        for table in
            ["orders", "raw_payloads", "order_lines", "order_payments", "order_refunds", "order_status_changes"]
        {
            self.delete_rows(table, vec![id.clone()]).await?;
        }
        self.changes.push(Stamped { id, version: before.held.version, kind: ChangeKind::Deleted, at });
        Ok(true)
    }

    /// Stamps the feed and makes everything durable and visible at once.
    ///
    /// # Errors
    /// [`IndexError::Write`]: nothing was written.
    pub async fn commit(mut self) -> Result<FeedPosition, IndexError> {
        let position = if self.changes.is_empty() { self.feed_head().await? } else { self.stamp().await? };
        self.transaction.commit().await.map_err(IndexError::Write)?;
        self.index.feed.advance(position);
        Ok(position)
    }

    /// Takes the next numbers of the feed. From here to the commit every other writer waits at this row.
    async fn stamp(&mut self) -> Result<FeedPosition, IndexError> {
        let changes = std::mem::take(&mut self.changes);
        let count = changes.len() as i64;
        let sql = "update feed_head set seq = seq + $1 where id = 0 returning seq";
        let rows = self.transaction.fetch_all(sql, &[count.into()]).await.map_err(IndexError::Write)?;
        let head =
            rows.first().ok_or_else(|| IndexError::Row("feed_head".into()))?.int(0).map_err(IndexError::Write)?;
        let batch = Batch {
            table: "order_changes",
            columns: vec![
                ("seq", Column::Int((head - count + 1..=head).map(Some).collect())),
                ("order_id", Column::Text(changes.iter().map(|change| Some(change.id.clone())).collect())),
                ("version", Column::Int(changes.iter().map(|change| Some(change.version.get())).collect())),
                ("kind", Column::Text(changes.iter().map(|change| Some(change.kind.as_str().to_owned())).collect())),
                ("changed_at", Column::Int(changes.iter().map(|change| Some(change.at.timestamp_micros())).collect())),
            ],
            suffix: "",
        };
        self.insert(batch).await?;
        Ok(FeedPosition(head))
    }

    async fn feed_head(&mut self) -> Result<FeedPosition, IndexError> {
        let row = self.transaction.fetch_optional("select seq from feed_head where id = 0", &[]).await;
        let row = row.map_err(IndexError::Write)?.ok_or_else(|| IndexError::Row("feed_head".into()))?;
        row.int(0).map(FeedPosition).map_err(IndexError::Write)
    }

    /// Reads, and on PostgreSQL locks, what is held of these orders.
    async fn before(&mut self, ids: Vec<String>) -> Result<HashMap<String, Before>, IndexError> {
        let dialect = self.transaction.dialect();
        let sql = format!(
            "select order_id, version, content_hash, revision, status, payment_status, fulfillment_status, \
             return_status, native_state from orders where {} order by order_id{}",
            dialect.any_of("order_id", 1),
            if dialect == Dialect::Postgres { " for update" } else { "" },
        );
        let rows = self.transaction.fetch_all(&sql, &[Value::Texts(ids)]).await.map_err(IndexError::Write)?;
        let read = |row: &crate::database::Row| -> Result<_, DatabaseError> {
            let axes = [row.text(4)?, row.text(5)?, row.text(6)?, row.text(7)?, row.text(8)?];
            Ok((row.text(0)?, row.int(1)?, row.bytes(2)?, row.int(3)?, axes))
        };
        rows.iter()
            .map(|row| {
                let (id, version, hash, revision, axes) = read(row).map_err(IndexError::Write)?;
                let held = Held::from_row(&id, version, hash)?;
                Ok((id, Before { held, revision, axes }))
            })
            .collect()
    }

    async fn delete_rows(&mut self, table: &str, ids: Vec<String>) -> Result<(), IndexError> {
        let sql = format!("delete from {table} where {}", self.transaction.dialect().any_of("order_id", 1));
        self.transaction.execute(&sql, &[Value::Texts(ids)]).await.map(|_| ()).map_err(IndexError::Write)
    }

    async fn insert(&mut self, batch: Batch) -> Result<u64, IndexError> {
        self.transaction.insert(batch).await.map_err(IndexError::Write)
    }
}

/// Decides entry by entry, as if each were written before the next is looked at. The second value is the entry to write
/// of each order, in the order of ids.
fn decide_all(pending: &[Pending], before: &HashMap<String, Before>) -> (Vec<Applied>, BTreeMap<String, usize>) {
    let mut outcomes: Vec<Applied> = Vec::with_capacity(pending.len());
    let mut winners: BTreeMap<String, usize> = BTreeMap::new();
    for (i, entry) in pending.iter().enumerate() {
        let held = match winners.get(&entry.id_text) {
            Some(&winner) => Some(pending[winner].held()),
            None => before.get(&entry.id_text).map(|before| before.held),
        };
        let outcome = entry.decide(held);
        if outcome == Applied::Stored
            && let Some(superseded) = winners.insert(entry.id_text.clone(), i)
        {
            outcomes[superseded] = Applied::Stale;
        }
        outcomes.push(outcome);
    }
    // A tie with what a later entry has made old needs no settling.
    for (entry, outcome) in pending.iter().zip(&mut outcomes) {
        if let (Applied::Tie(_), Some(&winner)) = (*outcome, winners.get(&entry.id_text))
            && entry.snapshot().version < pending[winner].snapshot().version
        {
            *outcome = Applied::Stale;
        }
    }
    (outcomes, winners)
}
