//! `order-center bench`

use crate::bench;
use clap::Args;

use super::Failure;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// A database without orders: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME. What is loaded stays there.
    #[arg(long, value_name = "URL", default_value = "sqlite:bench.db")]
    database: String,
    /// How many synthetic orders to load; beyond 100000 it also shows how first pages grow.
    #[arg(long, default_value_t = 100_000)]
    orders: u64,
    /// How many pages to ask each server for.
    #[arg(long, default_value_t = 5_000)]
    requests: u64,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let Options { database, orders, requests } = options;
    Ok(bench::run(bench::Options { database, orders, requests }).await?)
}
