//! The module's database: orders, sagas, timers, operations and the outbox.
//!
//! It owns the transactions and the stamps of change. It refuses nothing: any number of processes may share the file,
//! since whoever writes takes its stamp under the one write lock. That is so that a list of changes loses nothing: no
//! commit ever lands behind an `updatedTo` that was already answered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use order_contract::OrderSnapshot;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, Sqlite, Transaction};

/// The time now, as a value.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What went wrong with the database. The order is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or created.
    #[error("the database {} cannot be opened", .0.display())]
    Open(PathBuf, #[source] sqlx::Error),
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
    clock: Clock,
}

/// One write transaction. Dropped without [`Self::commit`], it changes nothing.
pub(crate) struct Write {
    pub(crate) tx: Transaction<'static, Sqlite>,
    /// The time of the change, in microseconds.
    pub(crate) stamp: i64,
}

/// An order with what the module keeps beside it.
pub(crate) struct Stored {
    pub(crate) order: OrderSnapshot,
    /// The version of the definition that it goes by.
    pub(crate) process_version: u32,
    /// The saga under way.
    pub(crate) saga: Option<String>,
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
    /// Opens the file, creating what is missing. `durable`: a commit survives a power cut, not only a crash.
    pub(crate) async fn open(path: &Path, clock: Clock, durable: bool) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(if durable { SqliteSynchronous::Full } else { SqliteSynchronous::Off })
            .busy_timeout(Duration::from_secs(10));
        let failed = |e| StoreError::Open(path.into(), e);
        let pool = |size| SqlitePoolOptions::new().max_connections(size);
        let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let readers = pool(4).connect_with(options.read_only(true)).await.map_err(failed)?;
        Ok(Self { writer, readers, clock })
    }

    /// The pools, for the services that live in the same file: the writer and the readers.
    pub(crate) fn pools(&self) -> (SqlitePool, SqlitePool) {
        (self.writer.clone(), self.readers.clone())
    }

    /// Begins a write of so many changes, each with its own stamp.
    pub(crate) async fn begin(&self, count: i64) -> Result<Write, StoreError> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let last: i64 = sqlx::query_scalar("UPDATE clock SET last = MAX(last + 1, ?) + ? RETURNING last")
            .bind(self.now())
            .bind(count - 1)
            .fetch_one(&mut *tx)
            .await?;
        Ok(Write { tx, stamp: last - count + 1 })
    }

    /// The module's time now, in microseconds.
    pub(crate) fn now(&self) -> i64 {
        (self.clock)().timestamp_micros()
    }

    /// A time before which nothing will be written any more.
    pub(crate) async fn bound(&self) -> Result<i64, StoreError> {
        let bound = sqlx::query_scalar("UPDATE clock SET last = MAX(last, ? - 1) RETURNING last + 1");
        Ok(bound.bind(self.now()).fetch_one(&self.writer).await?)
    }

    /// The definitions that orders go by, by version.
    pub(crate) async fn processes(&self) -> Result<BTreeMap<u32, String>, StoreError> {
        let rows = sqlx::query("SELECT version, definition FROM processes").fetch_all(&self.readers).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Keeps a definition; a version that is known stays as it is.
    pub(crate) async fn keep_process(&self, version: u32, definition: &str) -> Result<(), StoreError> {
        let insert = sqlx::query("INSERT OR IGNORE INTO processes (version, definition) VALUES (?, ?)");
        insert.bind(version).bind(definition).execute(&self.writer).await?;
        Ok(())
    }

    /// An order as it is now.
    pub(crate) async fn stored(&self, id: &str) -> Result<Option<Stored>, StoreError> {
        let row = sqlx::query(ORDER).bind(id).fetch_optional(&self.readers).await?;
        row.map(|row| stored(&row)).transpose()
    }

    /// Sagas that someone may take up.
    pub(crate) async fn due_sagas(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query_scalar("SELECT id FROM sagas WHERE next_at <= ? ORDER BY next_at LIMIT 100");
        Ok(rows.bind(self.now()).fetch_all(&self.readers).await?)
    }

    /// Takes a due saga up: nobody else will before `until`. None when someone else did.
    pub(crate) async fn take_saga(&self, id: &str, until: i64) -> Result<Option<String>, StoreError> {
        let row = sqlx::query_scalar("UPDATE sagas SET next_at = ? WHERE id = ? AND next_at <= ? RETURNING state");
        Ok(row.bind(until).bind(id).bind(self.now()).fetch_optional(&self.writer).await?)
    }

    /// Leaves a saga to whoever comes at that time.
    pub(crate) async fn leave_saga(&self, id: &str, at: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE sagas SET next_at = ? WHERE id = ?").bind(at).bind(id).execute(&self.writer).await?;
        Ok(())
    }

    /// Timers whose time has come: order and action.
    pub(crate) async fn due_timers(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query("SELECT order_id, action FROM timers WHERE due_at <= ? ORDER BY due_at LIMIT 500");
        let rows = rows.bind(self.now()).fetch_all(&self.readers).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Pending effects to ask about: reference and order.
    pub(crate) async fn due_effects(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query("SELECT reference, order_id FROM pending_effects WHERE next_at <= ? LIMIT 100");
        let rows = rows.bind(self.now()).fetch_all(&self.readers).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Asks again about a pending effect at that time.
    pub(crate) async fn postpone_effect(&self, reference: &str, at: i64) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE pending_effects SET next_at = ? WHERE reference = ?");
        update.bind(at).bind(reference).execute(&self.writer).await?;
        Ok(())
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
        Ok(self.tx.commit().await?)
    }

    pub(crate) async fn stored(&mut self, id: &str) -> Result<Option<Stored>, StoreError> {
        let row = sqlx::query(ORDER).bind(id).fetch_optional(&mut *self.tx).await?;
        row.map(|row| stored(&row)).transpose()
    }

    /// Writes an order, with the saga that holds it from now on.
    pub(crate) async fn put(
        &mut self,
        order: &OrderSnapshot,
        process_version: u32,
        saga: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO orders (id, version, state, updated_at, document, process_version, saga)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state,
                 updated_at = excluded.updated_at, document = excluded.document,
                 process_version = excluded.process_version, saga = excluded.saga",
        )
        .bind(order.source_order_id.as_str())
        .bind(order.version.get())
        .bind(&order.native.state)
        .bind(order.times.updated_at.timestamp_micros())
        .bind(serde_json::to_string(order)?)
        .bind(process_version)
        .bind(saga)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Holds an order for a saga, or lets it go.
    pub(crate) async fn hold(&mut self, order_id: &str, saga: Option<&str>) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE orders SET saga = ? WHERE id = ?");
        update.bind(saga).bind(order_id).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// The timers of an order from now on.
    pub(crate) async fn set_timers(
        &mut self,
        order_id: &str,
        timers: &[(String, DateTime<Utc>)],
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM timers WHERE order_id = ?").bind(order_id).execute(&mut *self.tx).await?;
        for (action, due) in timers {
            sqlx::query("INSERT OR REPLACE INTO timers (order_id, action, due_at) VALUES (?, ?, ?)")
                .bind(order_id)
                .bind(action)
                .bind(due.timestamp_micros())
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    /// Takes a timer that is due: whoever does fires it, once.
    pub(crate) async fn take_timer(&mut self, order_id: &str, action: &str) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM timers WHERE order_id = ? AND action = ? AND due_at <= ?");
        let taken = delete.bind(order_id).bind(action).bind(self.stamp).execute(&mut *self.tx).await?;
        Ok(taken.rows_affected() == 1)
    }

    pub(crate) async fn put_saga(
        &mut self,
        id: &str,
        order_id: &str,
        state: &str,
        next_at: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sagas (id, order_id, state, began_at, next_at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, next_at = excluded.next_at",
        )
        .bind(id)
        .bind(order_id)
        .bind(state)
        .bind(self.stamp)
        .bind(next_at)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// A saga as it stands.
    pub(crate) async fn saga(&mut self, id: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query_scalar("SELECT state FROM sagas WHERE id = ?").bind(id);
        Ok(row.fetch_optional(&mut *self.tx).await?)
    }

    pub(crate) async fn end_saga(&mut self, id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sagas WHERE id = ?").bind(id).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Has a pending effect asked about.
    pub(crate) async fn watch_effect(
        &mut self,
        reference: &str,
        order_id: &str,
        next_at: i64,
    ) -> Result<(), StoreError> {
        let insert =
            sqlx::query("INSERT OR REPLACE INTO pending_effects (reference, order_id, next_at) VALUES (?, ?, ?)");
        insert.bind(reference).bind(order_id).bind(next_at).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// A pending effect has ended.
    pub(crate) async fn forget_effect(&mut self, reference: &str) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM pending_effects WHERE reference = ?");
        Ok(delete.bind(reference).execute(&mut *self.tx).await?.rows_affected() == 1)
    }

    /// The orders that go by one version of the definition.
    pub(crate) async fn orders_of(&mut self, process_version: u32) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query_scalar("SELECT id FROM orders WHERE process_version = ? ORDER BY id");
        Ok(rows.bind(process_version).fetch_all(&mut *self.tx).await?)
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
        sqlx::query("INSERT OR REPLACE INTO operations (key, input_hash, status, reply, at) VALUES (?, ?, ?, ?, ?)")
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

    /// Which of these products are known already.
    pub(crate) async fn known_products(&mut self, skus: &[&str]) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query_scalar("SELECT sku FROM products WHERE sku IN (SELECT value FROM json_each(?))");
        Ok(rows.bind(serde_json::to_string(skus)?).fetch_all(&mut *self.tx).await?)
    }

    /// Which of these orders exist already.
    pub(crate) async fn known(&mut self, ids: &[&str]) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query_scalar("SELECT id FROM orders WHERE id IN (SELECT value FROM json_each(?))");
        Ok(rows.bind(serde_json::to_string(ids)?).fetch_all(&mut *self.tx).await?)
    }
}

const ORDER: &str = "SELECT document, process_version, saga FROM orders WHERE id = ?";

fn stored(row: &sqlx::sqlite::SqliteRow) -> Result<Stored, StoreError> {
    let order = serde_json::from_str(row.get(0))?;
    Ok(Stored { order, process_version: row.get(1), saga: row.get(2) })
}

fn operation(row: sqlx::sqlite::SqliteRow) -> Operation {
    let status: i64 = row.get(1);
    Operation { input_hash: row.get(0), status: u16::try_from(status).unwrap_or(500), reply: row.get(2) }
}
