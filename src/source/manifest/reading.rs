//! Reads: pages of changes, single orders, and what belongs to them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use order_adapter::engine::{Exchange, Position, ReadError, Record, Window};
use order_contract::SourceOrderId;

use super::ManifestSource;
use super::transport::Failure;
use crate::source::wire::WireError;
use crate::source::{ChangePage, ChangeWindow, RawOrder, SourceError};

/// Orders of a page that are completed at once. The rate budget limits the requests themselves.
const AT_ONCE: usize = 4;

impl ManifestSource {
    pub(super) async fn read_changes(&self, window: &ChangeWindow) -> Result<ChangePage, SourceError> {
        let micros = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_micros());
        let now = Utc::now();
        let limits = Window {
            since: micros(window.since),
            until: micros(window.until),
            limit: window.limit,
            now: now.timestamp_micros(),
        };
        let position = match &window.page {
            None => self.engine.begin(&limits),
            // A page of another adapter version: the pass begins again, as with a page that the platform forgot.
            Some(page) => {
                serde_json::from_str::<Position>(page).map_err(|_| SourceError::Status(self.source.clone(), 410))?
            }
        };
        let call = self.engine.list(&position, &limits).map_err(|error| self.malformed(error.to_string()))?;
        let exchange = self.transport.read(&self.engine, &call).await.map_err(|failure| self.unread(failure))?;
        let listed = self.engine.listed(&position, &limits, &exchange).map_err(|error| self.refused(error))?;

        let whole = stream::iter(listed.records).map(|record| self.complete(record)).buffered(AT_ONCE);
        let mut records: Vec<Record> = whole.try_filter_map(async |record| Ok(record)).try_collect().await?;
        let touched = listed.touched.into_iter().filter_map(|id| SourceOrderId::try_new(id).ok());
        records.extend(self.read_many(&touched.collect::<Vec<_>>()).await?);

        Ok(ChangePage {
            orders: records.iter().map(|record| self.raw(record, None)).collect::<Result<_, _>>()?,
            next: listed.next.map(|position| serde_json::to_string(&position).unwrap_or_default()),
            until: listed.until.and_then(DateTime::from_timestamp_micros).unwrap_or(now),
        })
    }

    pub(super) async fn read_order(&self, id: &SourceOrderId) -> Result<Option<Record>, SourceError> {
        let call = self.engine.get(id.as_str()).map_err(|error| self.malformed(error.to_string()))?;
        let exchange = self.transport.read(&self.engine, &call).await.map_err(|failure| self.unread(failure))?;
        match self.engine.got(id.as_str(), &exchange).map_err(|error| self.refused(error))? {
            Some(record) => self.complete(record).await,
            None => Ok(None),
        }
    }

    pub(super) async fn read_again(&self, ids: &[SourceOrderId]) -> Result<Vec<RawOrder>, SourceError> {
        self.read_many(ids).await?.iter().map(|record| self.raw(record, None)).collect()
    }

    /// Reads orders, many at once where the platform has a request for that.
    async fn read_many(&self, ids: &[SourceOrderId]) -> Result<Vec<Record>, SourceError> {
        let mut records = Vec::with_capacity(ids.len());
        let size = self.engine.manifest().reread.as_ref().map_or(1, |reread| reread.size.max(1) as usize);
        for ids in ids.chunks(size) {
            let names: Vec<&str> = ids.iter().map(SourceOrderId::as_str).collect();
            let call = self.engine.get_many(&names).map_err(|error| self.malformed(error.to_string()))?;
            let read: Vec<Record> = match call {
                Some(call) => {
                    let exchange =
                        self.transport.read(&self.engine, &call).await.map_err(|failure| self.unread(failure))?;
                    let read = self.engine.got_many(&exchange).map_err(|error| self.refused(error))?;
                    let whole = stream::iter(read).map(|record| self.complete(record)).buffered(AT_ONCE);
                    whole.try_filter_map(async |record| Ok(record)).try_collect().await?
                }
                None => {
                    let reads = stream::iter(ids.to_vec()).map(|id| async move { self.read_order(&id).await });
                    reads.buffered(AT_ONCE).try_filter_map(async |record| Ok(record)).try_collect().await?
                }
            };
            records.extend(read);
        }
        Ok(records)
    }

    /// Reads what belongs to a record besides itself; none when the order is gone meanwhile.
    async fn complete(&self, mut record: Record) -> Result<Option<Record>, SourceError> {
        let parts = self.engine.parts(&record).map_err(|error| self.malformed(error.to_string()))?;
        for (part, call) in parts {
            let exchange: Exchange =
                self.transport.read(&self.engine, &call).await.map_err(|failure| self.unread(failure))?;
            match self.engine.add_part(&mut record, part, &exchange) {
                Ok(()) => {}
                Err(ReadError::Refused(404 | 410, _)) => return Ok(None),
                Err(error) => return Err(self.refused(error)),
            }
        }
        Ok(Some(record))
    }

    /// Why there was no answer to a read.
    pub(super) fn unread(&self, failure: Failure) -> SourceError {
        let source_key = self.source.clone();
        match failure {
            Failure::Wire(WireError::NotSent(error) | WireError::Broken(error)) => {
                SourceError::Unreachable(source_key, error)
            }
            Failure::Wire(WireError::TooLarge(limit)) => SourceError::TooLarge { source_key, limit },
            Failure::Busy(wait) => SourceError::RateLimited { source_key, retry_after_s: Some(wait.as_secs() + 1) },
            Failure::Token(_) => SourceError::Unauthorized(source_key),
            Failure::Request(reason) => SourceError::Malformed { source_key, reason },
        }
    }

    /// Why an answer to a read brought nothing.
    pub(super) fn refused(&self, error: ReadError) -> SourceError {
        let source_key = self.source.clone();
        match error {
            ReadError::RateLimited(retry_after_s) => {
                self.transport.quiet(Duration::from_secs(retry_after_s.unwrap_or(1)));
                SourceError::RateLimited { source_key, retry_after_s }
            }
            ReadError::Unauthorized => SourceError::Unauthorized(source_key),
            ReadError::Refused(status, message) => SourceError::Refused { source_key, status, message },
            ReadError::Retry(reason) | ReadError::Malformed(reason) => SourceError::Malformed { source_key, reason },
        }
    }
}
