//! The module's database: orders, operations and the outbox, written by one writer.
//!
//! It owns the transactions and the stamps of change. It refuses a second process on the same file, because stamps are
//! ordered within this one. That is so that a list of changes loses nothing: no commit ever lands behind an
//! `updatedTo` that was already answered.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use order_contract::{Amount, OrderSnapshot};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, Sqlite, Transaction};

use crate::ledger::{self, Booking};
use crate::process::Moved;
use crate::retail::Product;

/// The time now, as a value.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What went wrong with the database. The order is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or created.
    #[error("the database {} cannot be opened", .0.display())]
    Open(PathBuf, #[source] sqlx::Error),
    /// Another process has the file.
    #[error("the database {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The lock file cannot be created.
    #[error("the lock file {} cannot be created", .0.display())]
    Lock(PathBuf, #[source] std::io::Error),
    /// The tables cannot be brought up to date.
    #[error("the tables cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A statement failed.
    #[error("the database did not answer")]
    Query(#[from] sqlx::Error),
    /// A stored order is not one, or an order cannot be written as JSON.
    #[error("a stored document cannot be read or written")]
    Document(#[from] serde_json::Error),
}

pub(crate) struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    stamps: Arc<Stamps>,
    _lock: File,
}

/// Hands out the times of change. A write takes its stamp while it holds the one write connection, so stamps and
/// commits have the same order; a list ends before the write that is under way.
struct Stamps {
    clock: Clock,
    state: Mutex<StampState>,
}

struct StampState {
    /// The last stamp that was handed out, or closed by a list, in microseconds.
    last: i64,
    /// The first stamp of the write under way.
    open: Option<i64>,
}

impl Stamps {
    fn lock(&self) -> MutexGuard<'_, StampState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        (self.clock)().timestamp_micros()
    }

    fn open(&self, count: i64) -> i64 {
        let mut state = self.lock();
        let first = self.now().max(state.last + 1);
        (state.last, state.open) = (first + count - 1, Some(first));
        first
    }

    /// A time before which nothing will be written any more.
    fn bound(&self) -> i64 {
        let mut state = self.lock();
        let bound = state.open.unwrap_or_else(|| self.now().max(state.last + 1));
        state.last = state.last.max(bound - 1);
        bound
    }
}

/// One write transaction. Dropped without [`Self::commit`], it changes nothing.
pub(crate) struct Write {
    tx: Transaction<'static, Sqlite>,
    /// The time of the change, in microseconds.
    pub(crate) stamp: i64,
    open: OpenStamp,
}

struct OpenStamp(Arc<Stamps>);

impl Drop for OpenStamp {
    fn drop(&mut self) {
        self.0.lock().open = None;
    }
}

/// The answer stored under a key.
pub(crate) struct Operation {
    pub(crate) input_hash: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) reply: String,
}

/// One page of documents.
pub(crate) struct Page {
    pub(crate) documents: Vec<String>,
    /// `(updated_at, id)` of the last one, if there are more.
    pub(crate) next: Option<(i64, String)>,
}

/// An event that is due.
pub(crate) struct Due {
    pub(crate) event_id: String,
    pub(crate) attempts: i64,
    pub(crate) order_id: String,
    pub(crate) changed_at: i64,
    pub(crate) document: String,
}

impl Store {
    pub(crate) async fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let lock = File::create(&lock_path).map_err(|e| StoreError::Lock(lock_path, e))?;
        lock.try_lock().map_err(|_| StoreError::InUse(path.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let failed = |e| StoreError::Open(path.into(), e);
        let pool = |size| SqlitePoolOptions::new().max_connections(size);
        let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let readers = pool(4).connect_with(options.read_only(true)).await.map_err(failed)?;
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(updated_at) FROM orders").fetch_one(&writer).await?;
        let state = Mutex::new(StampState { last: last.unwrap_or(0), open: None });
        Ok(Self { writer, readers, stamps: Arc::new(Stamps { clock, state }), _lock: lock })
    }

    /// Begins a write of so many changes, each with its own stamp.
    pub(crate) async fn begin(&self, count: i64) -> Result<Write, StoreError> {
        let tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Write { tx, stamp: self.stamps.open(count), open: OpenStamp(self.stamps.clone()) })
    }

    /// The module's time now, in microseconds.
    pub(crate) fn now(&self) -> i64 {
        self.stamps.now()
    }

    /// A time before which nothing will be written any more.
    pub(crate) fn bound(&self) -> i64 {
        self.stamps.bound()
    }

    pub(crate) async fn document(&self, id: &str) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar("SELECT document FROM orders WHERE id = ?").bind(id);
        Ok(found.fetch_optional(&self.readers).await?)
    }

    /// Orders changed in `[from, to)`, after the given one in the order of `(updated_at, id)`.
    pub(crate) async fn page(
        &self,
        from: i64,
        to: i64,
        after: Option<(i64, String)>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let (after_at, after_id) = after.unwrap_or((from, String::new()));
        let mut rows = sqlx::query(
            "SELECT updated_at, id, document FROM orders
             WHERE (updated_at, id) > (?, ?) AND updated_at >= ? AND updated_at < ?
             ORDER BY updated_at, id LIMIT ?",
        )
        .bind(after_at)
        .bind(after_id)
        .bind(from)
        .bind(to)
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.readers)
        .await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| (row.get(0), row.get(1)));
        Ok(Page { documents: rows.into_iter().map(|row| row.get(2)).collect(), next })
    }

    pub(crate) async fn operation(&self, key: &str) -> Result<Option<Operation>, StoreError> {
        let row = sqlx::query("SELECT input_hash, status, reply FROM operations WHERE key = ?").bind(key);
        Ok(row.fetch_optional(&self.readers).await?.map(operation))
    }

    /// Orders whose time has run out.
    pub(crate) async fn expired(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query_scalar(
            "SELECT id FROM orders WHERE expires_at <= ? AND expires_at IS NOT NULL ORDER BY expires_at LIMIT 500",
        );
        Ok(rows.bind(self.now()).fetch_all(&self.readers).await?)
    }

    /// Forgets keys that were used before the given time.
    pub(crate) async fn forget_operations(&self, before: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM operations WHERE at < ?").bind(before).execute(&self.writer).await?;
        Ok(())
    }

    /// Events that are due, each with the state of its order that it stands for, and when the next ones will be.
    pub(crate) async fn due_events(&self) -> Result<(Vec<Due>, Option<i64>), StoreError> {
        let now = self.now();
        let rows = sqlx::query(
            "SELECT event_id, attempts, order_id, updated_at, document
             FROM outbox JOIN orders ON orders.id = order_id WHERE due_at <= ? ORDER BY due_at LIMIT 16",
        );
        let due: Vec<_> = rows
            .bind(now)
            .fetch_all(&self.readers)
            .await?
            .into_iter()
            .map(|row| Due {
                event_id: row.get(0),
                attempts: row.get(1),
                order_id: row.get(2),
                changed_at: row.get(3),
                document: row.get(4),
            })
            .collect();
        let next = sqlx::query_scalar("SELECT MIN(due_at) FROM outbox").fetch_one(&self.readers).await?;
        Ok((due, next))
    }

    /// The event was delivered, or given up.
    pub(crate) async fn event_done(&self, event_id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM outbox WHERE event_id = ?").bind(event_id).execute(&self.writer).await?;
        Ok(())
    }

    /// The event was not delivered; it will be tried again.
    pub(crate) async fn event_failed(&self, event_id: &str, due_at: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE outbox SET attempts = attempts + 1, due_at = ? WHERE event_id = ?")
            .bind(due_at)
            .bind(event_id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

impl Write {
    /// Makes the change durable. Only then may lists reach past it.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        let Self { tx, open, .. } = self;
        let committed = tx.commit().await;
        drop(open);
        Ok(committed?)
    }

    pub(crate) async fn order(&mut self, id: &str) -> Result<Option<OrderSnapshot>, StoreError> {
        let document: Option<String> = sqlx::query_scalar("SELECT document FROM orders WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *self.tx)
            .await?;
        Ok(document.map(|document| serde_json::from_str(&document)).transpose()?)
    }

    /// Writes an order after a move, with its ledger entries.
    pub(crate) async fn record(&mut self, moved: &Moved) -> Result<(), StoreError> {
        let Moved { order, movements, .. } = moved;
        let event = order.events.last().map(|e| e.id.clone());
        let bookings: Vec<_> = movements
            .iter()
            .map(|movement| Booking {
                order: Some(order.source_order_id.to_string()),
                event: event.clone(),
                at: self.stamp,
                movement: movement.clone(),
            })
            .collect();
        self.put(order).await?;
        self.book(&bookings).await
    }

    pub(crate) async fn book(&mut self, bookings: &[Booking]) -> Result<(), StoreError> {
        Ok(ledger::book(&mut self.tx, bookings).await?)
    }

    pub(crate) async fn put(&mut self, order: &OrderSnapshot) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO orders (id, version, state, updated_at, expires_at, document) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state,
                 updated_at = excluded.updated_at, expires_at = excluded.expires_at, document = excluded.document",
        )
        .bind(order.source_order_id.as_str())
        .bind(order.version.get())
        .bind(&order.native.state)
        .bind(order.times.updated_at.timestamp_micros())
        .bind(order.times.expires_at.filter(|_| !order.status.is_terminal()).map(|t| t.timestamp_micros()))
        .bind(serde_json::to_string(order)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Has the order's newest state sent to whoever listens.
    pub(crate) async fn announce(&mut self, order_id: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT OR REPLACE INTO outbox (order_id, event_id, due_at) VALUES (?, ?, ?)")
            .bind(order_id)
            .bind(format!("evt_{}", uuid::Uuid::now_v7().simple()))
            .bind(self.stamp)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    pub(crate) async fn operation(&mut self, key: &str) -> Result<Option<Operation>, StoreError> {
        let row = sqlx::query("SELECT input_hash, status, reply FROM operations WHERE key = ?").bind(key);
        Ok(row.fetch_optional(&mut *self.tx).await?.map(operation))
    }

    pub(crate) async fn remember(&mut self, key: &str, operation: &Operation) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO operations (key, input_hash, status, reply, at) VALUES (?, ?, ?, ?, ?)")
            .bind(key)
            .bind(&operation.input_hash)
            .bind(i64::from(operation.status))
            .bind(&operation.reply)
            .bind(self.stamp)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// The next number for a new order.
    pub(crate) async fn next_number(&mut self) -> Result<i64, StoreError> {
        let number = sqlx::query_scalar("UPDATE order_numbers SET last = last + 1 RETURNING last");
        Ok(number.fetch_one(&mut *self.tx).await?)
    }

    /// The products among these, as they are sold now.
    pub(crate) async fn products(&mut self, skus: &[&str]) -> Result<HashMap<String, Product>, StoreError> {
        let rows = sqlx::query(
            "SELECT sku, name, price, on_hand - reserved FROM products JOIN stock USING (sku)
             WHERE sku IN (SELECT value FROM json_each(?))",
        );
        let rows = rows.bind(serde_json::to_string(skus)?).fetch_all(&mut *self.tx).await?;
        let product = |row: &sqlx::sqlite::SqliteRow| Product {
            name: row.get(1),
            price: Amount::from_units(row.get(2)),
            available: Amount::from_units(row.get(3)),
        };
        Ok(rows.iter().map(|row| (row.get(0), product(row))).collect())
    }

    /// Which of these orders exist already.
    pub(crate) async fn known(&mut self, ids: &[&str]) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query_scalar("SELECT id FROM orders WHERE id IN (SELECT value FROM json_each(?))");
        Ok(rows.bind(serde_json::to_string(ids)?).fetch_all(&mut *self.tx).await?)
    }

    /// Adds products that are not known yet, with empty stock. `[sku, name, price units]` each; answers which were new.
    pub(crate) async fn add_products(&mut self, products: &serde_json::Value) -> Result<Vec<String>, StoreError> {
        let products = products.to_string();
        let new = sqlx::query_scalar(
            "INSERT INTO products (sku, name, price)
             SELECT value->>0, value->>1, value->>2 FROM json_each(?) WHERE true
             ON CONFLICT (sku) DO NOTHING RETURNING sku",
        );
        let new: Vec<String> = new.bind(&products).fetch_all(&mut *self.tx).await?;
        sqlx::query(
            "INSERT OR IGNORE INTO stock (sku, on_hand, reserved, damaged) SELECT value->>0, 0, 0, 0 FROM json_each(?)",
        )
        .bind(&products)
        .execute(&mut *self.tx)
        .await?;
        Ok(new)
    }
}

fn operation(row: sqlx::sqlite::SqliteRow) -> Operation {
    let status: i64 = row.get(1);
    Operation { input_hash: row.get(0), status: u16::try_from(status).unwrap_or(500), reply: row.get(2) }
}
