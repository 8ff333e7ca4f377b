//! How a module comes to its past: it lives the stories, one after the other, on a clock that is led along.
//!
//! It owns that clock and the client. It refuses a story that ends otherwise than it is told. The module is asked over
//! HTTP, as any other user would ask it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use order_contract::protocol::paths;
use order_modules::service::ServiceError;
use order_modules::{Config, Line, Module, ModuleError};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Book, Step};
use crate::center::http;

/// Longer than writing a book takes: timers are looked for between two steps, and at no other time.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a book could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The module does not open.
    #[error("cannot open the {} module's database {}", .0.name(), .1.display())]
    Open(Line, PathBuf, #[source] Box<ModuleError>),
    /// Nothing can be put on its shelf.
    #[error("a module did not take its catalog")]
    Stock(#[from] ServiceError),
    /// It did not do what time brought.
    #[error("a module did not do what time brought")]
    Time(#[source] Box<ModuleError>),
    /// No loopback port is to be had.
    #[error("cannot listen on a loopback port for a module")]
    Listen(#[source] std::io::Error),
    /// It does not answer.
    #[error("a module did not answer")]
    Unreachable(#[from] reqwest::Error),
    /// It decided otherwise.
    #[error("the {line} module answered {status} to {action}, which the story does not tell: {answer}", line = .0.name(), action = .1, status = .2, answer = .3)]
    Otherwise(Line, &'static str, u16, String),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Orders.
    pub orders: usize,
    /// Asks that were refused, as the stories tell.
    pub refused: usize,
}

/// Has a module with an empty database live the stories of its line up to now, and stocks its shelf.
///
/// # Errors
/// [`BookError`]. What was lived until then stays: begin again with an empty database.
pub async fn write(line: Line, database: PathBuf, now: DateTime<Utc>) -> Result<Written, BookError> {
    let book = Book::of(line, now);
    let clock = Arc::new(AtomicI64::new(first(&book).unwrap_or(now).timestamp_micros()));
    let mut config = Config::new(line, database.clone());
    config.sweep = NEVER;
    config.durable = false;
    config.clock = Arc::new({
        let clock = clock.clone();
        move || DateTime::from_timestamp_micros(clock.load(Ordering::SeqCst)).unwrap_or_default()
    });
    let module = Module::open(config).await.map_err(|e| BookError::Open(line, database, Box::new(e)))?;
    book.stock(module.services()).await?;

    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(BookError::Listen)?;
    let base = format!("http://{}", listener.local_addr().map_err(BookError::Listen)?);
    let shutdown = CancellationToken::new();
    let _stop = shutdown.clone().drop_guard();
    let served = tokio::spawn({
        let (module, shutdown) = (module.clone(), shutdown.clone());
        async move { module.serve(listener, shutdown).await }
    });
    let written = Author { line, module, base, http: http(), clock }.live(&book).await;
    shutdown.cancel();
    let _ = served.await; // What was answered is stored; how the server ended changes nothing of it.
    written
}

fn first(book: &Book) -> Option<DateTime<Utc>> {
    book.stories.iter().filter_map(|story| story.steps.first()).map(|step| step.at).min()
}

struct Author {
    line: Line,
    module: Module,
    base: String,
    http: reqwest::Client,
    clock: Arc<AtomicI64>,
}

impl Author {
    /// Every step of every story, in the order of time.
    async fn live(&self, book: &Book) -> Result<Written, BookError> {
        let steps =
            book.stories.iter().enumerate().flat_map(|(story, told)| told.steps.iter().map(move |step| (story, step)));
        let mut steps: Vec<_> = steps.collect();
        steps.sort_by_key(|(story, step)| (step.at, *story));
        let mut ids: Vec<Option<String>> = vec![None; book.stories.len()];
        let mut written = Written::default();
        for (count, (story, step)) in steps.into_iter().enumerate() {
            self.clock.fetch_max(step.at.timestamp_micros(), Ordering::SeqCst);
            self.module.sweep_once().await.map_err(|e| BookError::Time(Box::new(e)))?;
            let Some(reply) = self.ask(step, ids[story].as_deref(), count).await? else { continue };
            if step.refused.is_some() {
                written.refused += 1;
            } else if ids[story].is_none() {
                written.orders += 1;
                ids[story] = reply.pointer("/order/sourceOrderId").and_then(Value::as_str).map(str::to_owned);
            }
        }
        Ok(written)
    }

    /// Asks, and holds the answer against the story.
    async fn ask(&self, step: &Step, order: Option<&str>, count: usize) -> Result<Option<Value>, BookError> {
        let Some((action, input)) = &step.ask else { return Ok(None) };
        let path = match order {
            None => paths::ORDERS.to_owned(),
            Some(id) => paths::ACTION.replace("{id}", id).replace("{name}", action),
        };
        let request = self.http.post(format!("{}{path}", self.base)).json(&json!({ "input": input }));
        let response = request.header("idempotency-key", format!("demo-{count}")).send().await?;
        let status = response.status();
        let reply: Value = response.json().await?;
        let told = match step.refused {
            None => status == 200,
            Some(code) => reply.pointer("/error/code").and_then(Value::as_str) == Some(code),
        };
        if told {
            Ok(Some(reply))
        } else {
            Err(BookError::Otherwise(self.line, action, status.as_u16(), reply.to_string()))
        }
    }
}
