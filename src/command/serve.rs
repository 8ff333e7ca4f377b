//! `order-center serve`

use std::io::IsTerminal as _;

use crate::config::{Config, LogConfig, LogFormat};
use crate::serve;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::Failure;

pub(crate) async fn run(config: Config) -> Result<(), Failure> {
    log(&config.log)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (database, sources) = (config.database.url.clone(), config.sources.len());
    let center = serve::start(config).await?;
    tracing::info!(%database, sources, "Order Center answers at http://{}/graphql", center.address());
    if center.is_open() {
        tracing::warn!(
            "there is no API key: everyone on this machine may do everything; `order-center key create` ends that"
        );
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::select! {
        () = center.shutdown() => Ok(()),
        _ = terminate.recv() => Err(Failure("told to stop twice: stopped without waiting".to_owned())),
        _ = interrupt.recv() => Err(Failure("told to stop twice: stopped without waiting".to_owned())),
    }
}

/// Log lines go to standard error: standard output is for answers.
fn log(config: &LogConfig) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|e| Failure(format!("log.filter: {e}; `info` or `info,crate::ingest=debug` would do")))?;
    let json = match config.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).init()
    } else {
        lines.init()
    }
    Ok(())
}
