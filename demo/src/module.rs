//! The order modules of the demonstration: each filled once, then served on loopback.
//!
//! It owns a module's life from its first order to shutdown. It refuses to count an order that a module did not take:
//! such an order is reported with the module's reason. The modules themselves know nothing of the demonstration.

use std::path::PathBuf;

use chrono::Utc;
use order_modules::{Config, Line, Module, WebhookTarget};
use tokio::net::TcpListener;

use crate::book::{self, BookError, Written};
use crate::folder::{self, Folder, FolderError};
use crate::invoices::InvoiceError;
use crate::orders::Orders;

/// Orders handed to the retail module at once: what bounds the memory of an import.
const BATCH: usize = 500;

/// Why a module could not be filled or served.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// It does not open.
    #[error("cannot open the {} module's database {}", .0.name(), .1.display())]
    Open(Line, PathBuf, #[source] Box<order_modules::ModuleError>),
    /// Its database does not take the orders.
    #[error("cannot store the orders in the retail module")]
    Import(#[source] Box<order_modules::ModuleError>),
    /// Its stories went otherwise.
    #[error(transparent)]
    Book(#[from] BookError),
    /// A book that was left half-written cannot be removed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The file cannot be read any more.
    #[error(transparent)]
    Read(#[from] InvoiceError),
    /// No loopback port is to be had.
    #[error("cannot listen on a loopback port for a module")]
    Listen(#[source] std::io::Error),
}

/// What the retail module took.
#[derive(Debug, Default)]
pub struct Imported {
    /// Orders.
    pub orders: usize,
    /// Orders that it had already, from an import that broke off.
    pub known: usize,
    /// Orders that it refused, with its reason.
    pub refused: Vec<(String, String)>,
}

/// Fills the retail module; `progress` hears how many orders are through.
///
/// # Errors
/// [`ModuleError`]. What was stored stays; the next start goes on from there.
pub async fn import(folder: &Folder, mut orders: Orders<'_>, progress: impl Fn(u64)) -> Result<Imported, ModuleError> {
    let module = open(folder, Line::Retail, None).await?;
    let mut imported = Imported::default();
    loop {
        // Reading blocks for some milliseconds; nothing else runs yet.
        let batch = orders.by_ref().take(BATCH).collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            break;
        }
        let report = module.import(batch).await.map_err(|e| ModuleError::Import(Box::new(e)))?;
        imported.orders += report.orders;
        imported.known += report.known;
        imported.refused.extend(report.refused);
        progress((imported.orders + imported.known) as u64);
    }
    book::write(Line::Retail, folder.module_database(Line::Retail), Utc::now()).await?;
    Ok(imported)
}

/// Has the module of another line live its past days, from the beginning.
///
/// # Errors
/// [`ModuleError`]; the next start begins again.
pub async fn live(folder: &Folder, line: Line) -> Result<Written, ModuleError> {
    let database = folder.module_database(line);
    folder::remove(&database)?;
    Ok(book::write(line, database, Utc::now()).await?)
}

/// A free loopback port for a module, so that the center can be told of it before it answers.
///
/// # Errors
/// [`ModuleError::Listen`].
pub async fn listen() -> Result<TcpListener, ModuleError> {
    TcpListener::bind(("127.0.0.1", 0)).await.map_err(ModuleError::Listen)
}

/// Opens a module that sends webhooks to the center, if it is told where.
///
/// # Errors
/// [`ModuleError::Open`].
pub async fn open(folder: &Folder, line: Line, webhook: Option<String>) -> Result<Module, ModuleError> {
    let database = folder.module_database(line);
    let mut config = Config::new(line, database.clone());
    config.token = Some(folder.token());
    config.webhook = webhook.map(|url| WebhookTarget { url, secret: folder.webhook_secret() });
    Module::open(config).await.map_err(|e| ModuleError::Open(line, database, Box::new(e)))
}
