//! Many rows in one statement: arrays through `unnest` on PostgreSQL, multi-row `values` on SQLite.

use sqlx::{AssertSqlSafe, Postgres, Sqlite};

use super::{DatabaseError, Transaction};

/// Rows of one `values` list on SQLite: enough to amortize the statement, few enough for one cached statement text.
const SQLITE_CHUNK: usize = 32;

/// One column of a batch.
#[derive(Clone, Debug)]
pub enum Column {
    /// `BIGINT`s.
    Int(Vec<Option<i64>>),
    /// `TEXT`s.
    Text(Vec<Option<String>>),
    /// `BYTEA`s or `BLOB`s.
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Int(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    fn postgres_array(&self) -> &'static str {
        match self {
            Self::Int(_) => "bigint[]",
            Self::Text(_) => "text[]",
            Self::Bytes(_) => "bytea[]",
        }
    }
}

/// Rows to insert, by column. All columns have the same number of values.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The table.
    pub table: &'static str,
    /// The columns by name.
    pub columns: Vec<(&'static str, Column)>,
    /// What follows the rows: an `on conflict …`, or nothing.
    pub suffix: &'static str,
}

impl Batch {
    fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

impl Transaction {
    /// Inserts all rows of a batch and returns how many were written.
    ///
    /// # Errors
    /// [`DatabaseError::Statement`].
    pub async fn insert(&mut self, batch: Batch) -> Result<u64, DatabaseError> {
        if batch.rows() == 0 {
            return Ok(0);
        }
        let written = match self {
            Self::Postgres(tx) => insert_postgres(tx, batch).await,
            Self::Sqlite(tx) => insert_sqlite(tx, batch).await,
        };
        written.map_err(DatabaseError::Statement)
    }
}

async fn insert_postgres(tx: &mut sqlx::Transaction<'static, Postgres>, batch: Batch) -> Result<u64, sqlx::Error> {
    let arrays =
        batch.columns.iter().enumerate().map(|(i, (_, column))| format!("${}::{}", i + 1, column.postgres_array()));
    let arrays = arrays.collect::<Vec<_>>().join(", ");
    let sql =
        format!("insert into {} ({}) select * from unnest({arrays}) {}", batch.table, batch.names(), batch.suffix);
    let mut query = sqlx::query::<Postgres>(AssertSqlSafe(sql));
    for (_, column) in batch.columns {
        query = match column {
            Column::Int(values) => query.bind(values),
            Column::Text(values) => query.bind(values),
            Column::Bytes(values) => query.bind(values),
        };
    }
    Ok(query.execute(&mut **tx).await?.rows_affected())
}

async fn insert_sqlite(tx: &mut sqlx::Transaction<'static, Sqlite>, mut batch: Batch) -> Result<u64, sqlx::Error> {
    let (rows, names) = (batch.rows(), batch.names());
    let mut written = 0;
    let mut from = 0;
    while from < rows {
        // Full chunks share one cached statement; the rest of a batch goes row by row through another.
        let chunk = if rows - from >= SQLITE_CHUNK { SQLITE_CHUNK } else { 1 };
        let one = format!("({})", vec!["?"; batch.columns.len()].join(", "));
        let values = vec![one.as_str(); chunk].join(", ");
        let sql = format!("insert into {} ({names}) values {values} {}", batch.table, batch.suffix);
        let mut query = sqlx::query::<Sqlite>(AssertSqlSafe(sql));
        for row in from..from + chunk {
            for (_, column) in &mut batch.columns {
                query = match column {
                    Column::Int(values) => query.bind(values[row]),
                    Column::Text(values) => query.bind(values[row].take()),
                    Column::Bytes(values) => query.bind(values[row].take()),
                };
            }
        }
        written += query.execute(&mut **tx).await?.rows_affected();
        from += chunk;
    }
    Ok(written)
}
