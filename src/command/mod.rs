//! The command line of Order Center.
//!
//! It owns options, log lines and exit codes. It refuses to hold logic: each command is a call into the rest of the
//! library. That is so that a program that embeds the center does what the command does. Each command answers on
//! standard output, complains in one line and ends with 0, 1 (it failed) or 2 (usage).

mod adapter;
mod bench;
mod key;
mod module;
mod serve;
mod source;

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, Overrides};
use crate::mapping::as_worker;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// The whole program. It is in the library so that it is compiled once: a program of its own would compile every
/// future it waits for again.
#[must_use]
pub fn main() -> ExitCode {
    as_worker().unwrap_or_else(run)
}

#[tokio::main]
async fn run() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.was_told() {
                eprintln!("order-center: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// One GraphQL endpoint over every order system a company runs.
#[derive(Debug, Parser)]
#[command(name = "order-center", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the center until SIGTERM or Ctrl-C.
    ///
    /// Settings come from the configuration file, then from environment variables (ORDER_CENTER__HTTP__LISTEN and so
    /// on), then from these options. order-center.sample.toml names every setting with its default.
    Serve {
        #[command(flatten)]
        settings: Settings,
        /// The address to listen on [default: 127.0.0.1:4000]; port 0 takes a free one.
        #[arg(long, value_name = "IP:PORT")]
        listen: Option<String>,
    },
    /// Creates, lists and revokes API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Registers, changes and looks after sources.
    #[command(subcommand)]
    Source(source::Command),
    /// For teams that write an order module.
    #[command(subcommand)]
    Module(module::Command),
    /// Tries and checks adapters.
    #[command(subcommand)]
    Adapter(adapter::Command),
    /// Measures ingest and pages on this machine, beside the plainest way to do the same.
    Bench(bench::Options),
    /// Sends the requests of `bench`.
    #[command(hide = true)]
    BenchClient,
    /// Prints a published schema.
    Schema {
        /// Which one.
        what: Schema,
    },
}

/// Where settings are.
#[derive(Args, Debug)]
struct Settings {
    /// The configuration file [default: order-center.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The database: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME [default: sqlite:order-center.db].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl Settings {
    fn load(&self, listen: Option<&str>) -> Result<Config, Failure> {
        let overrides = Overrides { listen: listen.map(str::to_owned), database: self.database.clone() };
        Ok(Config::load(self.config.as_deref(), &overrides)?)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Schema {
    /// The GraphQL schema of the API.
    Graphql,
    /// The JSON Schema of a canonical order.
    OrderSnapshot,
    /// The OpenAPI document of the Order Module Protocol.
    OrderModule,
    /// The JSON Schema of an adapter's manifest, adapter.toml.
    Adapter,
}

impl Cli {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve { settings, listen } => serve::run(settings.load(listen.as_deref())?).await,
            Command::Key(command) => command.run().await,
            Command::Source(command) => command.run().await,
            Command::Module(command) => command.run().await,
            Command::Adapter(command) => command.run().await,
            Command::Bench(options) => bench::run(options).await,
            Command::BenchClient => Ok(crate::bench::client()?),
            Command::Schema { what } => print_schema(what),
        }
    }
}

fn print_schema(what: Schema) -> Result<(), Failure> {
    print(&match what {
        Schema::Graphql => crate::graphql::sdl(),
        Schema::OrderSnapshot => format!("{:#}\n", order_contract::schema::order_snapshot()),
        Schema::OrderModule => format!("{:#}\n", order_contract::openapi::order_module()),
        Schema::Adapter => format!("{:#}\n", order_adapter::manifest::json_schema()),
    })
}

/// Prints an answer. Whoever has read enough of it, as `head` does, may leave.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Why a command failed: one line with everything that caused it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure whose reasons stand on standard error already, in the form that the command promises.
    fn told() -> Self {
        Self(String::new())
    }

    /// Whether there is nothing left to say.
    pub(crate) fn was_told(&self) -> bool {
        self.0.is_empty()
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut line = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !line.contains(&text) {
                line = format!("{line}: {text}");
            }
            next = cause.source();
        }
        Self(line.replace('\n', "; "))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
