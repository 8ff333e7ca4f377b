//! The command line of Order Center.
//!
//! It owns options, log lines and exit codes. It refuses to hold logic: each command is a call into the library. That is
//! so that a program that embeds the center does what the command does.

mod command;

use std::process::ExitCode;

use clap::Parser as _;
use order_center::mapping::as_worker;

fn main() -> ExitCode {
    as_worker().unwrap_or_else(run)
}

#[tokio::main]
async fn run() -> ExitCode {
    match command::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.was_told() {
                eprintln!("order-center: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
