//! The command line of Order Center.
//!
//! It owns options, log lines and exit codes. It refuses to hold logic: each command is a call into the library. That is
//! so that a program that embeds the center does what the command does.

mod command;

use std::process::ExitCode;

use clap::Parser as _;
use order_center::mapping::{WORKER_COMMAND, run_worker};

fn main() -> ExitCode {
    // A worker is one thread with limits of its own: it must not begin with the server's runtime.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == WORKER_COMMAND) {
        return run_worker(arguments.next().as_deref().and_then(|memory| memory.to_str()));
    }
    run()
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
