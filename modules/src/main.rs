//! `order-module`: runs a reference order module, or shows its process.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use order_modules::retail::{Config, Retail, WebhookTarget, process};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Reference order modules: small real order systems that speak the Order Module Protocol.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the retail module. Its address is the first line it prints.
    Retail {
        /// The SQLite database; created when it is missing.
        #[arg(long)]
        database: PathBuf,
        /// Where to listen; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: String,
        /// The environment variable that holds the bearer token which clients must send.
        #[arg(long)]
        token_env: Option<String>,
        /// Where changes are sent.
        #[arg(long, requires = "webhook_secret_env")]
        webhook_url: Option<String>,
        /// The environment variable that holds the webhook secret (base64).
        #[arg(long, requires = "webhook_url")]
        webhook_secret_env: Option<String>,
    },
    /// Show the process of a module.
    Process {
        /// Whose.
        module: Module,
        /// How.
        #[arg(long, default_value = "json")]
        format: Format,
    },
}

#[derive(Clone, ValueEnum)]
enum Module {
    Retail,
}

#[derive(Clone, ValueEnum)]
enum Format {
    /// As `GET /process` answers.
    Json,
    /// A Mermaid state diagram.
    Mermaid,
}

#[tokio::main]
async fn main() -> ExitCode {
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
        Command::Process { module: Module::Retail, format } => {
            let process = process()?;
            let text = match format {
                Format::Json => serde_json::to_string_pretty(process.definition())? + "\n",
                Format::Mermaid => process.mermaid(),
            };
            std::io::stdout().write_all(text.as_bytes())?;
        }
        Command::Retail { database, listen, token_env, webhook_url, webhook_secret_env } => {
            let mut config = Config::new(database);
            config.token = token_env.map(|name| secret(&name)).transpose()?;
            if let (Some(url), Some(name)) = (webhook_url, webhook_secret_env) {
                config.webhook = Some(WebhookTarget { url, secret: secret(&name)? });
            }
            let module = Retail::open(config).await?;
            let listener = TcpListener::bind(&listen).await.map_err(|e| format!("cannot listen on {listen}: {e}"))?;
            writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
            let shutdown = CancellationToken::new();
            let stop = shutdown.clone();
            tokio::spawn(async move {
                interrupted().await;
                stop.cancel();
            });
            module.serve(listener, shutdown).await?;
        }
    }
    Ok(())
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
