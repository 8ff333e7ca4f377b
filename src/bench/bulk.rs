//! The yardstick of ingest: the same rows into the same tables with the same indexes, by the database's own bulk load.

use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::time::Instant;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqliteConnection};

use super::BenchError;
use super::load::Loaded;
use crate::database::{Database, PoolLimits};

/// The tables that storing an order writes.
const TABLES: [&str; 7] = [
    "orders",
    "raw_payloads",
    "order_lines",
    "order_payments",
    "order_refunds",
    "order_status_changes",
    "order_changes",
];

/// Loads what the database holds once more, beside it, and leaves no trace.
pub(super) async fn load(url: &str) -> Result<Loaded, BenchError> {
    match url.strip_prefix("sqlite:") {
        Some(path) => insert_select(path.trim_start_matches("//")).await,
        None => copy(url).await,
    }
}

/// Lets the database tidy up after a load, as it would by itself in time.
pub(super) async fn settle(url: &str) -> Result<(), BenchError> {
    if !url.starts_with("sqlite:") {
        PgConnection::connect(url).await?.execute("vacuum analyze").await?;
    }
    Ok(())
}

/// `COPY … FROM STDIN` in the text format into `create table … (like … including all)`.
async fn copy(url: &str) -> Result<Loaded, BenchError> {
    let mut connection = PgConnection::connect(url).await?;
    let rows = std::env::temp_dir().join(format!("order-center-bench-{}", std::process::id()));
    let (mut took, mut orders) = (std::time::Duration::ZERO, 0);
    for table in TABLES {
        let copied = async {
            let mut file = File::create(&rows).map_err(|e| BenchError::Io("write a temporary file", e))?;
            let mut out = connection.copy_out_raw(&format!("copy {table} to stdout")).await?;
            while let Some(chunk) = out.try_next().await? {
                file.write_all(&chunk).map_err(|e| BenchError::Io("write a temporary file", e))?;
            }
            drop(out);
            let create = format!("create table bench_{table} (like {table} including all)");
            connection.execute(AssertSqlSafe(create)).await?;
            let file = File::open(&rows).map_err(|e| BenchError::Io("read a temporary file", e))?;
            let begin = Instant::now();
            let mut copy = connection.copy_in_raw(&format!("copy bench_{table} from stdin")).await?;
            loop {
                let mut chunk = Vec::with_capacity(256 * 1024);
                let read = (&file).take(256 * 1024).read_to_end(&mut chunk);
                if read.map_err(|e| BenchError::Io("read a temporary file", e))? == 0 {
                    break;
                }
                copy.send(chunk).await?;
            }
            let copied = copy.finish().await?;
            Ok::<_, BenchError>((copied, begin.elapsed()))
        };
        let copied = copied.await;
        connection.execute(AssertSqlSafe(format!("drop table if exists bench_{table}"))).await?;
        let _ = std::fs::remove_file(&rows); // It is in the folder for temporary files.
        let (count, elapsed) = copied?;
        took += elapsed;
        if table == "orders" {
            orders = count;
        }
    }
    Ok(Loaded::new("PostgreSQL COPY", orders, took))
}

/// `insert … select` from the file into a second one, in one transaction.
async fn insert_select(path: &str) -> Result<Loaded, BenchError> {
    let second = format!("{path}-plain");
    Database::open(&format!("sqlite:{second}"), PoolLimits::default()).await?.close().await;
    let copied = async {
        let mut connection = SqliteConnection::connect(&format!("sqlite:{second}")).await?;
        connection.execute("pragma synchronous = full").await?;
        connection.execute(AssertSqlSafe(format!("attach '{}' as center", path.replace('\'', "''")))).await?;
        let begin = Instant::now();
        let mut transaction = connection.begin().await?;
        for table in TABLES {
            transaction.execute(AssertSqlSafe(format!("insert into {table} select * from center.{table}"))).await?;
        }
        transaction.commit().await?;
        let took = begin.elapsed();
        let orders = connection.fetch_one("select count(*) from orders").await?.try_get::<i64, _>(0)?;
        connection.close().await?;
        Ok::<_, BenchError>(Loaded::new("SQLite insert … select", orders.unsigned_abs(), took))
    };
    let copied = copied.await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{second}{suffix}")); // The last two are gone already, as a rule.
    }
    copied
}
