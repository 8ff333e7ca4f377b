//! Reading single orders through from their source.

use order_contract::{OrderId, SourceKey, SourceOrderId};
use tokio::time::{Duration, Instant};

use super::apply::Arrival;
use super::{Ingest, IngestError};
use crate::index::{Held, IndexedOrder, Precondition, Via};
use crate::source::{RawOrder, SourceError};

/// How long a source is left alone that asks for it without saying how long.
const QUIET_DEFAULT: Duration = Duration::from_secs(5);
/// The longest a source can keep the center away by asking for it.
const QUIET_MAX: Duration = Duration::from_secs(3600);

impl Ingest {
    /// Reads one order through from its source, stores it if it is newer and returns what the index then holds: none
    /// when the source does not have the order.
    ///
    /// An order that was held and that its source says not to have is deleted from the index. A source says so in its
    /// own words: the 404 of a misrouted proxy is an error and deletes nothing.
    ///
    /// # Errors
    /// [`IngestError`]: the index holds what it held before.
    pub async fn refresh(&self, id: &OrderId) -> Result<Option<IndexedOrder>, IngestError> {
        if let Some(arrival) = self.read_one(id).await? {
            self.apply_under(id.source(), vec![arrival], Via::Fetch, |_| Vec::new()).await?;
        }
        self.index.find(id).await.map_err(IngestError::Store)
    }

    /// Reads one order; none when its source does not have it, and then neither has the index.
    pub(super) async fn read_one(&self, id: &OrderId) -> Result<Option<Arrival>, IngestError> {
        self.source(id.source())?;
        // Looked up before the source is read: of two contents of one version, what is read now is the later word.
        let held = self.index.held(id).await.map_err(IngestError::Store)?;
        let precondition = held.map_or(Precondition::Newer, |held| Precondition::NewerOrReplaces(held.content_hash));
        match (self.fetch(id.source(), id.source_order_id()).await?, held) {
            (Some(raw), _) => Ok(Some((raw, precondition))),
            (None, None) => Ok(None),
            (None, Some(held)) => self.forget(id, held).await.map(|()| None),
        }
    }

    async fn forget(&self, id: &OrderId, held: Held) -> Result<(), IngestError> {
        // Something newer came while the source was asked: the order is there after all.
        if self.index.held(id).await.map_err(IngestError::Store)? != Some(held) {
            return Ok(());
        }
        let mut writer = self.index.writer().await.map_err(IngestError::Store)?;
        writer.delete(id, (self.clock)()).await.map_err(IngestError::Store)?;
        writer.commit().await.map_err(IngestError::Store)?;
        tracing::info!(order = %id, "the source no longer has this order: deleted from the index");
        Ok(())
    }

    pub(super) async fn fetch(&self, source: &SourceKey, id: &SourceOrderId) -> Result<Option<RawOrder>, IngestError> {
        let port = &self.source(source)?.port;
        self.asking(source, port.fetch(id)).await
    }

    /// Reads from a source unless it asked to be left alone, and remembers when it does.
    pub(super) async fn asking<T>(
        &self,
        source: &SourceKey,
        call: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, IngestError> {
        let door = self.doors.get(source).ok_or_else(|| IngestError::UnknownSource(source.clone()))?;
        let lock = || door.quiet_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if let Some(left) = lock().and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero()) {
            let retry_after_s = Some(left.as_secs() + 1);
            return Err(IngestError::Read(SourceError::RateLimited { source_key: source.clone(), retry_after_s }));
        }
        let answer = call.await;
        if let Err(SourceError::RateLimited { retry_after_s, .. }) = &answer {
            let quiet = retry_after_s.map_or(QUIET_DEFAULT, Duration::from_secs).min(QUIET_MAX);
            *lock() = Some(Instant::now() + quiet);
        }
        answer.map_err(IngestError::Read)
    }
}
