//! Following a source's change list: passes with a fixed upper bound, page by page, resumable at each.
//!
//! A pass lists what changed in `[high water − overlap, until)`. `until` is what the source says on the first page, by
//! its own clock: the center's clock decides nothing about data. Cursor and page become durable in one transaction, and
//! only where the cursor still stands as it was read, so that two nodes can never make each other skip a page.

use chrono::{DateTime, Utc};
use order_contract::SourceKey;
use tokio_util::sync::CancellationToken;

use super::{Ingest, IngestError, Ingested, PassReport, Statement, backoff, micros, time};
use crate::database::{DatabaseError, Row, Value};
use crate::index::{Applied, Via};
use crate::source::{ChangeWindow, SourceError};

/// The longest pause after failures.
const BACKOFF_MAX: std::time::Duration = std::time::Duration::from_secs(300);

/// How far a source has been read.
#[derive(Clone, Debug, Default)]
struct Cursor {
    /// Microseconds: where the last complete pass ended.
    high_water: Option<i64>,
    /// Microseconds: where the present pass will end; none between passes.
    pass_until: Option<i64>,
    /// Where the present pass stands.
    page: Option<String>,
}

impl Cursor {
    fn read(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self { high_water: row.opt_int(0)?, pass_until: row.opt_int(1)?, page: row.opt_text(2)? })
    }

    /// Moves the cursor, if nobody else has.
    fn advance(self, to: Self, source: &SourceKey, now: DateTime<Utc>) -> Statement {
        // Between passes: the pass just ended.
        let completed_at = to.pass_until.is_none().then(|| now.timestamp_micros());
        Statement::new(
            "update source_sync set high_water = $1, pass_until = $2, page = $3, \
             last_success_at = coalesce($4, last_success_at), last_error = null, \
             recent = substr('.' || recent, 1, 100) \
             where source = $5 and high_water is not distinct from $6 and pass_until is not distinct from $7 \
             and page is not distinct from $8",
            vec![
                to.high_water.into(),
                to.pass_until.into(),
                to.page.map_or(Value::Text(None), Value::from),
                completed_at.into(),
                source.to_string().into(),
                self.high_water.into(),
                self.pass_until.into(),
                self.page.map_or(Value::Text(None), Value::from),
            ],
        )
    }
}

impl Ingest {
    /// Reads one page of the source's changes and stores it together with the cursor.
    ///
    /// # Errors
    /// [`IngestError`]: the cursor has not moved. [`IngestError::Leased`]: another node reads this source.
    pub async fn poll_page(&self, source: &SourceKey) -> Result<PassReport, IngestError> {
        let report = self.read_page(source).await;
        match &report {
            Ok(_) | Err(IngestError::Leased(_) | IngestError::UnknownSource(_)) => {}
            Err(error) => self.record_failure(source, error).await,
        }
        report
    }

    /// Polls pages until the pass is complete.
    ///
    /// # Errors
    /// [`IngestError`]; the pages before it are stored.
    pub async fn poll(&self, source: &SourceKey) -> Result<PassReport, IngestError> {
        let mut pass = PassReport::default();
        while !pass.complete {
            let page = self.poll_page(source).await?;
            pass = PassReport {
                read: pass.read + page.read,
                stored: pass.stored + page.stored,
                quarantined: pass.quarantined + page.quarantined,
                complete: page.complete,
            };
        }
        Ok(pass)
    }

    async fn read_page(&self, source: &SourceKey) -> Result<PassReport, IngestError> {
        let plugged = self.source(source)?;
        let port = &plugged.port;
        let cursor = self.lease(source).await?;
        let largest = self.asking(source, port.describe()).await?.page_size_max;
        let window = ChangeWindow {
            since: cursor.high_water.map(|at| time(at.saturating_sub(micros(self.limits.overlap)))),
            until: cursor.pass_until.map(time),
            page: cursor.page.clone(),
            limit: self.limits.page_size.min(largest),
        };
        let page = match self.asking(source, port.list_changes(&window)).await {
            Err(IngestError::Read(
                error @ (SourceError::Status(_, 400 | 404 | 410 | 422)
                | SourceError::Refused { status: 400 | 404 | 410 | 422, .. }),
            )) if window.page.is_some() => {
                // The source no longer takes this page: the pass begins again, where nothing is lost.
                let since = Cursor { high_water: cursor.high_water, ..Cursor::default() };
                let restart = cursor.advance(since, source, (self.clock)());
                self.database.execute(&restart.sql, &restart.values).await.map_err(cursor_error)?;
                return Err(IngestError::Read(error));
            }
            page => page?,
        };
        if page.next.is_some() && page.next == window.page {
            let reason = "the next page is the same page again".into();
            return Err(IngestError::Read(SourceError::Malformed { source_key: source.clone(), reason }));
        }

        let until = cursor.pass_until.unwrap_or_else(|| page.until.timestamp_micros());
        let next = match page.next {
            Some(next) => Cursor { high_water: cursor.high_water, pass_until: Some(until), page: Some(next) },
            // Also when it lies before the last: a source whose clock was set back is followed back. A source without a
            // clock of its own knows only at the end how far it has come.
            None => Cursor { high_water: Some(until.min(page.until.timestamp_micros())), ..Cursor::default() },
        };
        let complete = next.pass_until.is_none();
        let advance = cursor.advance(next, source, (self.clock)());
        let read = page.orders.len() as u64;
        let results = self.apply(source, page.orders, Via::Poll, |_| vec![advance]).await?;
        let count = |wanted: fn(&Ingested) -> bool| results.iter().filter(|result| wanted(result)).count() as u64;
        Ok(PassReport {
            read,
            stored: count(|result| matches!(result, Ingested::Indexed { applied: Applied::Stored, .. })),
            quarantined: count(|result| matches!(result, Ingested::Quarantined(_))),
            complete,
        })
    }

    /// Makes this node the one that reads the source and says how far it was read. Leases share work; what keeps data
    /// right when two nodes believe to hold one is the guard in [`Cursor::advance`].
    async fn lease(&self, source: &SourceKey) -> Result<Cursor, IngestError> {
        let now = (self.clock)().timestamp_micros();
        let lease = micros(self.limits.lease);
        let ours = "select high_water, pass_until, page from source_sync \
                    where source = $1 and lease_owner = $2 and lease_until > $3";
        let values = [source.as_str().into(), (&*self.node).into(), (now + lease / 2).into()];
        let held = self.database.fetch_optional(ours, &values).await.map_err(cursor_error)?;
        if let Some(row) = held {
            return Cursor::read(&row).map_err(cursor_error);
        }
        // Between passes the lease outlives the pause, so that the work stays where it is until its node is gone.
        let until = now + lease + micros(self.limits.poll_interval);
        let mut transaction = self.database.begin().await.map_err(cursor_error)?;
        let insert = "insert into source_sync (source) values ($1) on conflict (source) do nothing";
        transaction.execute(insert, &[source.as_str().into()]).await.map_err(cursor_error)?;
        let take = "update source_sync set lease_owner = $1, lease_until = $2 \
                    where source = $3 and (lease_owner is null or lease_owner = $1 or lease_until <= $4) \
                    returning high_water, pass_until, page";
        let values = [(&*self.node).into(), until.into(), source.as_str().into(), now.into()];
        let row = transaction.fetch_optional(take, &values).await.map_err(cursor_error)?;
        transaction.commit().await.map_err(cursor_error)?;
        let row = row.ok_or_else(|| IngestError::Leased(source.clone()))?;
        Cursor::read(&row).map_err(cursor_error)
    }

    async fn record_failure(&self, source: &SourceKey, error: &IngestError) {
        let sql = "update source_sync set last_error_at = $1, last_error = $2, recent = substr('x' || recent, 1, 100) \
                   where source = $3";
        let at = (self.clock)().timestamp_micros();
        let values = [at.into(), error.sentence().into(), source.as_str().into()];
        // The caller has the error itself; that it cannot be shown as well adds nothing.
        let _ = self.database.execute(sql, &values).await;
    }

    /// Polls the source at its interval until canceled. Whatever is dropped then was not committed, and is read again.
    pub(super) async fn follow(self, source: SourceKey, shutdown: CancellationToken) {
        let mut failures = 0;
        loop {
            let step = tokio::select! {
                () = shutdown.cancelled() => break,
                step = self.step(&source) => step,
            };
            let pause = match step {
                Ok(Some(page)) if !page.complete => {
                    failures = 0;
                    continue;
                }
                Ok(_) | Err(IngestError::Leased(_)) => {
                    failures = 0;
                    backoff(self.limits.poll_interval, 0, BACKOFF_MAX)
                }
                Err(error) => {
                    tracing::warn!(%source, error = &error as &dyn std::error::Error, "polling failed");
                    failures += 1;
                    let base = self.limits.poll_interval.min(BACKOFF_MAX);
                    backoff(base, failures, BACKOFF_MAX).max(error.retry_after().unwrap_or_default())
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        let release = "update source_sync set lease_until = 0 where source = $1 and lease_owner = $2";
        // At worst another node waits for the lease to run out.
        let _ = self.database.execute(release, &[source.as_str().into(), (&*self.node).into()]).await;
    }

    async fn step(&self, source: &SourceKey) -> Result<Option<PassReport>, IngestError> {
        if self.is_paused(source).await? { Ok(None) } else { self.poll_page(source).await.map(Some) }
    }
}

fn cursor_error(error: DatabaseError) -> IngestError {
    IngestError::Record("read or move the cursor of a source", error)
}
