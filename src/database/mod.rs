//! The one door to SQL: SQLite embedded, PostgreSQL in production, the same statements for both.
//!
//! It owns connections, transactions, migrations and batched inserts. It refuses database-specific types: every column
//! is a `BIGINT`, `TEXT` or `BYTEA`/`BLOB`, times are microseconds since 1970 in UTC and money is ten-thousandths, which
//! both databases store, compare and sum exactly. That is so that one SQL text, sitting beside its owner, serves both.

mod batch;
mod row;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Postgres, Sqlite};

pub use batch::{Batch, Column};
pub use row::{Row, Value};

/// Why the database could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL names no database we know.
    #[error("the database URL must begin with sqlite: or postgres:")]
    UnknownUrl,
    /// No connection could be made.
    #[error("could not connect to the database")]
    Connect(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("could not migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A transaction could not begin or end.
    #[error("could not {0} a transaction")]
    Transaction(&'static str, #[source] sqlx::Error),
    /// A statement failed.
    #[error("could not run a statement")]
    Statement(#[source] sqlx::Error),
    /// A row is not of the shape the statement promises.
    #[error("could not read column {0} of a row")]
    Column(usize, #[source] sqlx::Error),
}

impl DatabaseError {
    /// Whether a unique rule refused the statement.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Statement(sqlx::Error::Database(e)) if e.is_unique_violation())
    }

    /// Whether the database can be read but not written.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let source = match self {
            Self::Connect(e) | Self::Transaction(_, e) | Self::Statement(e) => e,
            Self::Migrate(sqlx::migrate::MigrateError::Execute(e)) => e,
            Self::Migrate(sqlx::migrate::MigrateError::ExecuteMigration(e, _)) => e,
            Self::UnknownUrl | Self::Migrate(_) | Self::Column(..) => return false,
        };
        let sqlx::Error::Database(e) = source else { return false };
        e.code().is_some_and(|code| {
            code == "25006" || (code.len() < 5 && code.parse::<u32>().is_ok_and(|number| number & 0xff == 8))
        })
    }

    /// Whether the database itself is unable to write: full, read-only or unreachable. Everything else is a bug or a
    /// conflict.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        let source = match self {
            Self::Connect(e) | Self::Transaction(_, e) | Self::Statement(e) => e,
            Self::Migrate(sqlx::migrate::MigrateError::Execute(e)) => e,
            Self::UnknownUrl | Self::Migrate(_) | Self::Column(..) => return false,
        };
        match source {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
                true
            }
            // SQLite: BUSY 5, READONLY 8, IOERR 10, FULL 13, CANTOPEN 14 (primary code in the low byte);
            // PostgreSQL: connection 08, resources 53, operator intervention 57, read-only transaction 25006.
            sqlx::Error::Database(e) => e.code().is_some_and(|code| match code.parse::<u32>() {
                Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 8 | 10 | 13 | 14),
                _ => code.starts_with("08") || code.starts_with("53") || code.starts_with("57") || code == "25006",
            }),
            _ => false,
        }
    }
}

/// Limits of the connection pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// The most connections that read (SQLite), or in all (PostgreSQL).
    pub connections_max: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { connections_max: 8, acquire_timeout: Duration::from_secs(5) }
    }
}

/// The center's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database(Backend);

#[derive(Clone, Debug)]
enum Backend {
    /// One writer, many readers: SQLite takes one write transaction at a time, and waiting in a pool is fairer than
    /// waiting on its file lock.
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
    },
    Postgres(PgPool),
}

impl Database {
    /// Connects and brings the schema up to date. `sqlite:PATH` creates the file, `postgres://…` must exist.
    ///
    /// # Errors
    /// [`DatabaseError`] when the URL is not known, the database not reachable or its schema newer than this program.
    pub async fn open(url: &str, limits: PoolLimits) -> Result<Self, DatabaseError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = PathBuf::from(path.trim_start_matches("//"));
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(5))
                .foreign_keys(false)
                .pragma("cache_size", "-16384")
                .pragma("temp_store", "memory");
            let pool = |connections| {
                SqlitePoolOptions::new().max_connections(connections).acquire_timeout(limits.acquire_timeout)
            };
            let write = pool(1).connect_with(options.clone()).await.map_err(DatabaseError::Connect)?;
            sqlx::migrate!("migrations/sqlite").run(&write).await.map_err(DatabaseError::Migrate)?;
            let read = pool(limits.connections_max)
                .connect_with(options.read_only(true))
                .await
                .map_err(DatabaseError::Connect)?;
            return Ok(Self(Backend::Sqlite { read, write }));
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url).map_err(DatabaseError::Connect)?;
            let pool = PgPoolOptions::new()
                .max_connections(limits.connections_max)
                .acquire_timeout(limits.acquire_timeout)
                .connect_with(options.application_name("order-center"))
                .await
                .map_err(DatabaseError::Connect)?;
            sqlx::migrate!("migrations/postgres").run(&pool).await.map_err(DatabaseError::Migrate)?;
            return Ok(Self(Backend::Postgres(pool)));
        }
        Err(DatabaseError::UnknownUrl)
    }

    /// Which database it is, for the few places where the dialects differ.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.0 {
            Backend::Sqlite { .. } => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a reading statement outside of any transaction. Placeholders are `$1`, `$2`, …
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn fetch_all(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, DatabaseError> {
        match &self.0 {
            Backend::Sqlite { read, .. } => {
                let query = row::bind(sqlx::query::<Sqlite>(AssertSqlSafe(sql)), values);
                query.fetch_all(read).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
            }
            Backend::Postgres(pool) => {
                let query = row::bind(sqlx::query::<Postgres>(AssertSqlSafe(sql)), values);
                query.fetch_all(pool).await.map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        }
        .map_err(DatabaseError::Statement)
    }

    /// Like [`Self::fetch_all`], for at most one row.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn fetch_optional(&self, sql: &str, values: &[Value<'_>]) -> Result<Option<Row>, DatabaseError> {
        Ok(self.fetch_all(sql, values).await?.into_iter().next())
    }

    /// Begins a writing transaction. It is rolled back unless committed.
    ///
    /// # Errors
    /// [`DatabaseError::Transaction`].
    pub async fn begin(&self) -> Result<Transaction, DatabaseError> {
        match &self.0 {
            // IMMEDIATE: a deferred transaction that turns out to write fails at once with BUSY (sqlx issue 853).
            Backend::Sqlite { write, .. } => write.begin_with("BEGIN IMMEDIATE").await.map(Transaction::Sqlite),
            Backend::Postgres(pool) => pool.begin().await.map(Transaction::Postgres),
        }
        .map_err(|e| DatabaseError::Transaction("begin", e))
    }

    /// Runs one writing statement in a transaction of its own and returns how many rows it touched.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, DatabaseError> {
        let mut transaction = self.begin().await?;
        let touched = transaction.execute(sql, values).await?;
        transaction.commit().await?;
        Ok(touched)
    }

    /// Proves that the database takes writes: for readiness.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn check_writable(&self) -> Result<(), DatabaseError> {
        self.execute("update feed_head set seq = seq where id = 0", &[]).await.map(|_| ())
    }

    /// Closes every connection; SQLite checkpoints its log.
    pub async fn close(&self) {
        match &self.0 {
            Backend::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Backend::Postgres(pool) => pool.close().await,
        }
    }
}

/// The SQL dialect, where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// `column` is one of the texts that [`Value::Texts`] binds to placeholder `n`: one statement text for any number.
    #[must_use]
    pub fn any_of(self, column: &str, n: usize) -> String {
        match self {
            Self::Sqlite => format!("{column} in (select value from json_each(${n}))"),
            Self::Postgres => format!("{column} = any(${n})"),
        }
    }
}

/// An open writing transaction.
#[derive(Debug)]
pub enum Transaction {
    /// On SQLite's one writer.
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    /// On one PostgreSQL connection.
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Transaction {
    /// Runs a statement and returns how many rows it touched.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, DatabaseError> {
        match self {
            Self::Sqlite(tx) => {
                let query = row::bind(sqlx::query::<Sqlite>(AssertSqlSafe(sql)), values);
                query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            Self::Postgres(tx) => {
                let query = row::bind(sqlx::query::<Postgres>(AssertSqlSafe(sql)), values);
                query.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        }
        .map_err(DatabaseError::Statement)
    }

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn fetch_all(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, DatabaseError> {
        match self {
            Self::Sqlite(tx) => {
                let query = row::bind(sqlx::query::<Sqlite>(AssertSqlSafe(sql)), values);
                query.fetch_all(&mut **tx).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(tx) => {
                let query = row::bind(sqlx::query::<Postgres>(AssertSqlSafe(sql)), values);
                query.fetch_all(&mut **tx).await.map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        }
        .map_err(DatabaseError::Statement)
    }

    /// Like [`Self::fetch_all`], for at most one row.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn fetch_optional(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Option<Row>, DatabaseError> {
        Ok(self.fetch_all(sql, values).await?.into_iter().next())
    }

    /// The dialect it speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Makes its writes durable.
    ///
    /// # Errors
    /// [`DatabaseError::Transaction`]: nothing was written.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
        .map_err(|e| DatabaseError::Transaction("commit", e))
    }
}
