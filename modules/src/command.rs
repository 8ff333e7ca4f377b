//! `order-module`: runs a reference order module, or shows, checks or migrates its process.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::service::{Server, ServerConfig, Service};
use crate::{Config, Line, Module, RemoteService, WebhookTarget, check_process, process};

/// Reference order modules: small real order systems that speak the Order Module Protocol.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the retail module: goods. Its address is the first line it prints.
    Retail(Serve),
    /// Run the digital module: licence codes. Its address is the first line it prints.
    Digital(Serve),
    /// Run the booking module: slots. Its address is the first line it prints.
    Booking(Serve),
    /// Run one of the supporting services apart from the modules. Its address is the first line it prints.
    Service {
        /// Which.
        #[arg(value_parser = service)]
        service: Service,
        #[command(flatten)]
        place: Place,
    },
    /// Show the process of a line of business, or say what is wrong with another definition.
    Process {
        /// Whose.
        line: Name,
        /// How.
        #[arg(long, default_value = "json")]
        format: Format,
        /// Another definition than the one that is built in.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Move orders under way to another version of the process, all or none.
    Migrate {
        /// Whose.
        line: Name,
        /// The module's database.
        #[arg(long)]
        database: PathBuf,
        /// The version they go by.
        #[arg(long)]
        from: u32,
        /// The version they shall go by: the one that is built in, or one that other orders go by.
        #[arg(long)]
        to: u32,
        /// What becomes of a state that the other version has not: `PACKED=PICKING`.
        #[arg(long = "state", value_parser = pair)]
        states: Vec<(String, String)>,
        /// The settings that the module runs with: they decide when the timers of the moved orders are due.
        #[arg(long = "set", value_parser = pair)]
        settings: Vec<(String, String)>,
    },
}

/// Where a server keeps what it knows and is asked, and by whom.
#[derive(Args)]
struct Place {
    /// The SQLite database; created when it is missing. Several processes may share it.
    #[arg(long)]
    database: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// The environment variable that holds the bearer token which clients must send.
    #[arg(long)]
    token_env: Option<String>,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    place: Place,
    /// Where changes are sent.
    #[arg(long, requires = "webhook_secret_env")]
    webhook_url: Option<String>,
    /// The environment variable that holds the webhook secret (base64).
    #[arg(long, requires = "webhook_url")]
    webhook_secret_env: Option<String>,
    /// A setting of the process, such as `payment_window=PT10M`; `order-module process LINE` lists them.
    #[arg(long = "set", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// Another definition for new orders than the one that is built in.
    #[arg(long)]
    process: Option<PathBuf>,
    /// A service of the company's own in place of the embedded one: `warehouse=https://stock.example/`.
    #[arg(long = "service", value_parser = pair)]
    services: Vec<(String, String)>,
    /// The environment variable that holds the bearer token of those services.
    #[arg(long, requires = "services")]
    services_token_env: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Retail,
    Digital,
    Booking,
}

impl From<Name> for Line {
    fn from(name: Name) -> Self {
        match name {
            Name::Retail => Self::Retail,
            Name::Digital => Self::Digital,
            Name::Booking => Self::Booking,
        }
    }
}

#[derive(Clone, ValueEnum)]
enum Format {
    /// As `GET /process` answers.
    Json,
    /// A Mermaid state diagram.
    Mermaid,
    /// A drawing.
    Svg,
}

/// The whole program, in the library so that it is compiled once.
#[must_use]
#[tokio::main]
pub async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    tracing::error!("{text}");
    ExitCode::FAILURE
}

async fn run() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().command {
        Command::Retail(arguments) => serve(Line::Retail, arguments).await,
        Command::Digital(arguments) => serve(Line::Digital, arguments).await,
        Command::Booking(arguments) => serve(Line::Booking, arguments).await,
        Command::Process { line, format, file } => {
            let process = match file {
                Some(file) => check_process(&read(&file)?)?,
                None => process(line.into(), &BTreeMap::new())?,
            };
            let text = match format {
                Format::Json => serde_json::to_string_pretty(process.definition())? + "\n",
                Format::Mermaid => process.mermaid(),
                Format::Svg => process.svg(),
            };
            Ok(std::io::stdout().write_all(text.as_bytes())?)
        }
        Command::Migrate { line, database, from, to, states, settings } => {
            let mut config = Config::new(line.into(), database);
            config.settings = settings.into_iter().collect();
            let module = Module::open(config).await?;
            let moved = module.migrate(from, to, &states.into_iter().collect()).await?;
            Ok(writeln!(std::io::stdout(), "{moved} orders go by version {to} now")?)
        }
        Command::Service { service, place: Place { database, listen, token_env } } => {
            let mut config = ServerConfig::new(database, vec![service]);
            config.token = token_env.map(|name| secret(&name)).transpose()?;
            let server = Server::open(config).await?;
            let (listener, shutdown) = listen_at(&listen).await?;
            Ok(server.serve(listener, shutdown).await?)
        }
    }
}

async fn serve(line: Line, arguments: Serve) -> Result<(), Box<dyn Error>> {
    let Serve { place, webhook_url, webhook_secret_env, settings, process, .. } = arguments;
    let Place { database, listen, token_env } = place;
    let mut config = Config::new(line, database);
    let services_token = arguments.services_token_env.map(|name| secret(&name)).transpose()?;
    for (name, url) in arguments.services {
        config.remotes.insert(service(&name)?, RemoteService { url, token: services_token.clone() });
    }
    config.settings = settings.into_iter().collect();
    config.token = token_env.map(|name| secret(&name)).transpose()?;
    if let (Some(url), Some(name)) = (webhook_url, webhook_secret_env) {
        config.webhook = Some(WebhookTarget { url, secret: secret(&name)? });
    }
    let definition = process.map(|file| read(&file)).transpose()?;
    let module = Module::open_with(config, definition.as_deref()).await?;
    let (listener, shutdown) = listen_at(&listen).await?;
    Ok(module.serve(listener, shutdown).await?)
}

fn read(file: &PathBuf) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.into(), value.into()))
}

/// Listens, says where, and is told when to end.
async fn listen_at(address: &str) -> Result<(TcpListener, CancellationToken), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await.map_err(|e| format!("cannot listen on {address}: {e}"))?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        interrupted().await;
        stop.cancel();
    });
    Ok((listener, shutdown))
}

fn service(name: &str) -> Result<Service, String> {
    let names = Service::ALL.map(Service::as_str).join(", ");
    Service::ALL.into_iter().find(|service| service.as_str() == name).ok_or_else(|| format!("one of: {names}"))
}

fn secret(name: &str) -> Result<SecretString, String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.map(Into::into).ok_or_else(|| format!("the environment variable {name} is not set"))
}

/// Waits for Ctrl-C or a polite kill.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
