//! Values in, rows out: the three column types both databases share.

use std::borrow::Cow;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Encode, Row as _, Type};

use super::DatabaseError;

/// A value bound to a placeholder. `None` is SQL's null.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// A `BIGINT`.
    Int(Option<i64>),
    /// A `TEXT`.
    Text(Option<Cow<'a, str>>),
    /// A `BYTEA` or `BLOB`.
    Bytes(Option<Cow<'a, [u8]>>),
    /// Many `TEXT`s in one placeholder, for [`super::Dialect::any_of`]: an array, or JSON where there are no arrays.
    Texts(Vec<String>),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(Cow::Owned(value)))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(value)))
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(value: Option<&'a [u8]>) -> Self {
        Self::Bytes(value.map(Cow::Borrowed))
    }
}

/// How a database takes many texts in one placeholder.
pub(super) trait TextList: sqlx::Database {
    fn bind_texts<'q>(query: Query<'q, Self>, texts: &[String]) -> Query<'q, Self>;
}

impl TextList for sqlx::Postgres {
    fn bind_texts<'q>(query: Query<'q, Self>, texts: &[String]) -> Query<'q, Self> {
        query.bind(texts.to_vec())
    }
}

impl TextList for sqlx::Sqlite {
    fn bind_texts<'q>(query: Query<'q, Self>, texts: &[String]) -> Query<'q, Self> {
        query.bind(serde_json::Value::from(texts).to_string())
    }
}

type Query<'q, DB> = sqlx::query::Query<'q, DB, <DB as sqlx::Database>::Arguments>;

/// Binds the values in order.
pub(super) fn bind<'q, DB>(mut query: Query<'q, DB>, values: &[Value<'_>]) -> Query<'q, DB>
where
    DB: TextList,
    Option<i64>: for<'a> Encode<'a, DB> + Type<DB>,
    Option<String>: for<'a> Encode<'a, DB> + Type<DB>,
    Option<Vec<u8>>: for<'a> Encode<'a, DB> + Type<DB>,
{
    for value in values {
        query = match value {
            Value::Int(value) => query.bind(*value),
            Value::Text(value) => query.bind(value.as_ref().map(|text| text.clone().into_owned())),
            Value::Bytes(value) => query.bind(value.as_ref().map(|bytes| bytes.clone().into_owned())),
            Value::Texts(texts) => DB::bind_texts(query, texts),
        };
    }
    query
}

/// One row of a result. Columns are read by position, as the statement lists them.
#[derive(Debug)]
pub enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

impl Row {
    fn get<T>(&self, column: usize) -> Result<T, DatabaseError>
    where
        T: for<'r> Decode<'r, sqlx::Sqlite> + Type<sqlx::Sqlite>,
        T: for<'r> Decode<'r, sqlx::Postgres> + Type<sqlx::Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
        .map_err(|e| DatabaseError::Column(column, e))
    }

    /// A `BIGINT`.
    ///
    /// # Errors
    /// [`DatabaseError::Column`] when the column is not of that type; the same holds for the others.
    pub fn int(&self, column: usize) -> Result<i64, DatabaseError> {
        self.get(column)
    }

    /// A nullable `BIGINT`.
    ///
    /// # Errors
    /// [`DatabaseError::Column`].
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, DatabaseError> {
        self.get(column)
    }

    /// A `TEXT`.
    ///
    /// # Errors
    /// [`DatabaseError::Column`].
    pub fn text(&self, column: usize) -> Result<String, DatabaseError> {
        self.get(column)
    }

    /// A nullable `TEXT`.
    ///
    /// # Errors
    /// [`DatabaseError::Column`].
    pub fn opt_text(&self, column: usize) -> Result<Option<String>, DatabaseError> {
        self.get(column)
    }

    /// A `BYTEA` or `BLOB`.
    ///
    /// # Errors
    /// [`DatabaseError::Column`].
    pub fn bytes(&self, column: usize) -> Result<Vec<u8>, DatabaseError> {
        self.get(column)
    }

    /// A nullable `BYTEA` or `BLOB`.
    ///
    /// # Errors
    /// [`DatabaseError::Column`].
    pub fn opt_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.get(column)
    }
}
