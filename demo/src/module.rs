//! The retail module of the demonstration: filled once with the file's orders, then served on loopback.
//!
//! It owns the module's life from import to shutdown. It refuses to count an order that the module did not take: such
//! an order is reported with the module's reason. The module itself knows nothing of the demonstration.

use std::path::PathBuf;

use order_modules::retail::{Config, Retail, RetailError, StoreError, WebhookTarget};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::folder::Folder;
use crate::invoices::InvoiceError;
use crate::orders::Orders;

/// Orders handed to the module at once: what bounds the memory of an import.
const BATCH: usize = 500;

/// Why the module could not be filled or served.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// It does not open.
    #[error("cannot open the retail module's database {}", .0.display())]
    Open(PathBuf, #[source] RetailError),
    /// Its database does not take the orders.
    #[error("cannot store the orders in the retail module")]
    Import(#[source] StoreError),
    /// The file cannot be read any more.
    #[error(transparent)]
    Read(#[from] InvoiceError),
    /// No loopback port is to be had.
    #[error("cannot listen on a loopback port for the retail module")]
    Listen(#[source] std::io::Error),
}

/// What the module took.
#[derive(Debug, Default)]
pub struct Imported {
    /// Orders.
    pub orders: usize,
    /// Orders that it had already, from an import that broke off.
    pub known: usize,
    /// Orders that it refused, with its reason.
    pub refused: Vec<(String, String)>,
}

/// Fills the module; `progress` hears how many orders are through.
///
/// # Errors
/// [`ModuleError`]. What was stored stays; the next start goes on from there.
pub async fn import(folder: &Folder, mut orders: Orders<'_>, progress: impl Fn(u64)) -> Result<Imported, ModuleError> {
    let retail = open(folder, None).await?;
    let mut imported = Imported::default();
    loop {
        // Reading blocks for some milliseconds; nothing else runs yet.
        let batch = orders.by_ref().take(BATCH).collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(imported);
        }
        let report = retail.import(batch).await.map_err(ModuleError::Import)?;
        imported.orders += report.orders;
        imported.known += report.known;
        imported.refused.extend(report.refused);
        progress((imported.orders + imported.known) as u64);
    }
}

/// A free loopback port for the module, so that the center can be told of it before it answers.
///
/// # Errors
/// [`ModuleError::Listen`].
pub async fn listen() -> Result<TcpListener, ModuleError> {
    TcpListener::bind(("127.0.0.1", 0)).await.map_err(ModuleError::Listen)
}

/// Answers the protocol on the listener and sends webhooks to the center until `shutdown`.
///
/// # Errors
/// [`ModuleError::Open`].
pub async fn serve(
    folder: &Folder,
    listener: TcpListener,
    webhook: String,
    shutdown: CancellationToken,
) -> Result<JoinHandle<Result<(), RetailError>>, ModuleError> {
    let retail = open(folder, Some(webhook)).await?;
    Ok(tokio::spawn(async move { retail.serve(listener, shutdown).await }))
}

async fn open(folder: &Folder, webhook: Option<String>) -> Result<Retail, ModuleError> {
    let database = folder.module_database();
    let mut config = Config::new(database.clone());
    config.token = Some(folder.token());
    config.webhook = webhook.map(|url| WebhookTarget { url, secret: folder.webhook_secret() });
    Retail::open(config).await.map_err(|e| ModuleError::Open(database, e))
}
