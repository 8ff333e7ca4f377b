//! `cargo run --release -p demo`: three real order modules, one with real orders, and the center in front of them.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use order_center::mapping::as_worker;

use crate::report::grouped;
use crate::run::{Demo, DemoError, Options, Screen};

/// Fills three order modules, retail with real orders, lets Order Center pull them, and serves all until Ctrl-C.
#[derive(Parser)]
#[command(name = "demo", version)]
struct Arguments {
    /// The center's port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 4000)]
    port: u16,
    /// A CSV file of the Online Retail data set, plain or gzip, instead of the sample that comes with the project.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The center's database, sqlite:FILE or postgres://USER@HOST/NAME, instead of a file in the data folder.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Start over: forget the orders of earlier starts.
    #[arg(long)]
    fresh: bool,
    /// Where everything is kept between two starts.
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    data_dir: PathBuf,
    /// End as soon as the sums are compared.
    #[arg(long)]
    exit_after_load: bool,
}

/// The whole program, in the library so that it is compiled once.
#[must_use]
pub fn main() -> ExitCode {
    as_worker().unwrap_or_else(start)
}

fn start() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::new("warn");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).compact().init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// One line with the error and what is behind it.
fn failed(error: &dyn Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Some errors say already what is behind them.
        let behind = error.to_string();
        if !text.ends_with(&behind) {
            text += &format!(": {behind}");
        }
        source = error.source();
    }
    eprintln!("demo: {text}");
    ExitCode::FAILURE
}

async fn run(arguments: Arguments) -> Result<(), DemoError> {
    let options = Options {
        port: arguments.port,
        data: arguments.data,
        database: arguments.database,
        fresh: arguments.fresh,
        data_dir: arguments.data_dir,
    };
    let terminal = Terminal::default();
    let started = tokio::select! {
        started = Demo::start(&options, &terminal) => started,
        () = interrupted() => {
            eprintln!("stopped while starting; the next start goes on from here");
            return Ok(());
        }
    };
    let mut demo = started?;
    if !arguments.exit_after_load {
        print(&invitation(&demo, &options));
        let ended = tokio::select! {
            () = interrupted() => None,
            error = demo.module_ended() => Some(error),
        };
        if let Some(error) = ended {
            demo.stop().await;
            return Err(error);
        }
        print("stopping");
    }
    demo.stop().await;
    Ok(())
}

/// Waits for Ctrl-C, or for SIGTERM where there is one.
async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await; // Without signals only the end of the process ends it.
}

/// Prints a line. Nobody reading (`| head`) is no reason to stop serving.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn invitation(demo: &Demo, options: &Options) -> String {
    let url = demo.center().url();
    let post = format!("curl -s {url} -H 'content-type: application/json' -d");
    let mut text = format!(
        "\nGraphQL, and GraphiQL in a browser:  {url}\n\n\
         A first query, the newest orders from France:\n  {post} '\
         {{\"query\":\"{{ orders(first: 3, where: {{ country: {{ eq: \\\"FR\\\" }} }}) \
         {{ nodes {{ id number status totals {{ total {{ amount currencyCode }} }} }} }} }}\"}}'\n"
    );
    if let Some(order) = demo.cancelable() {
        text += &format!(
            "\nA first mutation, which cancels order {}. Send it twice: one effect, the same answer:\n  {post} '\
             {{\"query\":\"mutation {{ cancelOrder(input: {{ id: \\\"{}\\\", idempotencyKey: \\\"first-{}\\\" }}) \
             {{ order {{ number status paymentStatus }} operation {{ state effects {{ description status }} }} userErrors {{ code message }} }} }}\"}}'\n",
            order.number, order.id, order.number
        );
    }
    for order in demo.newest() {
        let (id, what, total, state) = (&order.id, &order.what, &order.total, &order.state);
        text += &format!("\n{id} ({what}, {total}) is {state}: {}", order.actions.join(", "));
    }
    text += &format!(
        "\n\ndocs/walkthrough.md takes one order of each kind through its life and back.\n\
         Ctrl-C stops everything. {} keeps it: start again to continue, with --fresh to start over.",
        options.data_dir.display()
    );
    text
}

/// A progress bar on a terminal, plain lines elsewhere.
#[derive(Default)]
struct Terminal(Mutex<Showing>);

#[derive(Default)]
struct Showing {
    what: &'static str,
    bar: Option<ProgressBar>,
    tenths: u64,
}

impl Screen for Terminal {
    fn say(&self, text: &str) {
        print(text);
    }

    fn progress(&self, what: &'static str, done: u64, of: u64) {
        let Ok(mut showing) = self.0.lock() else { return };
        if showing.what != what {
            let bar = std::io::stderr().is_terminal().then(|| {
                let style = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos} of {human_len}, {elapsed}");
                ProgressBar::new(of)
                    .with_message(what)
                    .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            });
            *showing = Showing { what, bar, tenths: 0 };
        }
        let tenths = done * 10 / of.max(1);
        match &showing.bar {
            Some(bar) if done < of => bar.set_position(done),
            Some(bar) => {
                bar.set_position(done);
                bar.abandon();
            }
            None if tenths > showing.tenths => {
                showing.tenths = tenths;
                print(&format!("{what}: {} of {}", grouped(done), grouped(of)));
            }
            None => {}
        }
    }
}
