//! What the center costs, measured on this machine beside the plainest way to do the same.
//!
//! It owns synthetic orders, the yardsticks (`COPY`, `insert … select`, a hand-written REST handler) and the table that
//! is printed. It refuses a database that holds orders and figures without a yardstick: a ratio from one run on one
//! machine can be compared, a number of seconds cannot. That is so that a regression is seen before a user feels it.

mod bulk;
mod client;
mod cpu;
mod load;
mod mapping;
mod page;
mod rest;
mod seek;
mod synthetic;

use std::io;

use crate::database::{Database, DatabaseError, PoolLimits};
use crate::index::{Filter, Index, IndexError};
use crate::serve::StartError;

pub use client::client;
pub use mapping::mapping;

/// Orders before the first measurement of pages; what is loaded beyond shows how pages grow.
const SAMPLE: u64 = 100_000;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// A database without orders: `sqlite:PATH` or `postgres://…`. What is loaded stays there.
    pub database: String,
    /// How many orders to load.
    pub orders: u64,
    /// How many requests to send to each server.
    pub requests: u64,
}

/// Why the measurement could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The database cannot be used.
    #[error("could not use the database")]
    Database(#[from] DatabaseError),
    /// The database is somebody's.
    #[error("the database holds {0} orders: give an empty one, it is filled and stays filled")]
    NotEmpty(u64),
    /// The orders could not be written or listed.
    #[error("could not use the index")]
    Index(#[from] IndexError),
    /// The yardstick failed.
    #[error("could not measure the plain way")]
    Plain(#[from] sqlx::Error),
    /// A synthetic order is none.
    #[error("could not make an order")]
    Order(#[from] order_contract::Rejection),
    /// The center did not start.
    #[error("could not start the center")]
    Start(#[from] Box<StartError>),
    /// A process or file could not be used.
    #[error("could not {0}")]
    Io(&'static str, #[source] io::Error),
    /// A server did not answer as it should.
    #[error("an unexpected answer: {0}")]
    Answer(String),
}

/// Measures and prints.
///
/// # Errors
/// [`BenchError`] names what could not be done; lines printed before stand.
pub async fn run(options: Options) -> Result<(), BenchError> {
    let database = Database::open(&options.database, PoolLimits::default()).await?;
    let index = Index::new(database.clone());
    let held = index.count(&Filter::All(Vec::new())).await?;
    if held > 0 {
        return Err(BenchError::NotEmpty(held));
    }
    let sample = options.orders.min(SAMPLE);
    println!("ingest: validate, guard, write with children, raw payload and feed");
    let loaded = load::ingest(&index, 0..sample).await?;
    row("center", &loaded.to_string());
    let plain = bulk::load(&options.database).await?;
    row(plain.name, &plain.to_string());
    row("center / plain", &ratio(plain.micros * loaded.orders, loaded.micros * plain.orders));

    bulk::settle(&options.database).await?;
    let early = seek::measure(&index, sample).await?;
    let late = if options.orders > sample {
        let loaded = load::ingest(&index, sample..options.orders).await?;
        row(&format!("center, from {sample} on"), &loaded.to_string());
        bulk::settle(&options.database).await?;
        Some(seek::measure(&index, options.orders).await?)
    } else {
        None
    };
    println!("\nfirst page of 20, median: at {sample} orders, at {}, ratio", options.orders);
    for (i, (name, before)) in early.iter().enumerate() {
        match late.as_ref().map(|late| late[i].1) {
            Some(after) => row(name, &format!("{before:>7} µs {after:>7} µs   {}", ratio(after, *before))),
            None => row(name, &format!("{before:>7} µs")),
        }
    }

    println!("\npage of 20 orders with customer, lines, payments, fulfillments: CPU per request");
    let served = page::measure(&index, &options).await?;
    row("center, seen before", &served.cached.to_string());
    row("center, for the first time", &served.uncached.to_string());
    row("REST by hand", &served.rest.to_string());
    row("center, seen before / REST", &ratio(served.cached.total(), served.rest.total()));
    database.close().await;
    Ok(())
}

fn row(name: &str, figures: &str) {
    println!("  {name:<34} {figures}");
}

/// `a / b` with two decimals.
fn ratio(a: u64, b: u64) -> String {
    let hundredths = (u128::from(a) * 100 + u128::from(b) / 2) / u128::from(b.max(1));
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
