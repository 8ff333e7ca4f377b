//! Reading single orders through from their source.

use std::collections::{BTreeMap, BTreeSet};

use order_contract::{OrderId, SourceKey, SourceOrderId};
use tokio::time::{Duration, Instant};

use super::apply::Arrival;
use super::{Ingest, IngestError, Ingested};
use crate::index::{Applied, Held, IndexedOrder, Precondition, Via};
use crate::source::{OrderSource, RawOrder, SourceError};

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

    /// Reads orders again whose source may have changed them without listing it, many at once where it can, and answers
    /// how many had changed. One that the source no longer has is looked up by itself before it is deleted.
    ///
    /// # Errors
    /// [`IngestError`]: some of the orders may not have been read.
    pub async fn reread(&self, source: &SourceKey, ids: &[SourceOrderId]) -> Result<u64, IngestError> {
        let plugged = self.source(source)?;
        let port = &plugged.port;
        // Looked up before the source is read: of two contents of one version, what is read now is the later word.
        let mut held = BTreeMap::new();
        for id in ids {
            let order = OrderId::new(source.clone(), id.clone());
            if let Some(before) = self.index.held(&order).await.map_err(IngestError::Store)? {
                let raw = self.index.raw_payload(&order).await.map_err(IngestError::Store)?.unwrap_or_default();
                held.insert(id.clone(), (before.content_hash, raw));
            }
        }
        let mut missing: BTreeSet<&SourceOrderId> = ids.iter().collect();
        let mut arrivals: Vec<Arrival> = Vec::new();
        for raw in self.asking(source, port.reread(ids)).await? {
            let Some(id) = &raw.source_order_id else { continue };
            missing.remove(id);
            match held.get(id) {
                Some((_, stored)) if is_same(port.as_ref(), stored, &raw.body) => {}
                Some((hash, _)) => arrivals.push((raw, Precondition::NewerOrReplaces(*hash))),
                None => arrivals.push((raw, Precondition::Newer)),
            }
        }
        let results = self.apply_under(source, arrivals, Via::Reconcile, |_| Vec::new()).await?;
        for id in missing {
            self.refresh(&OrderId::new(source.clone(), id.clone())).await?;
        }
        let stored = |result: &&Ingested| matches!(result, Ingested::Indexed { applied: Applied::Stored, .. });
        Ok(results.iter().filter(stored).count() as u64)
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
        let plugged = self.source(source)?;
        self.asking(source, plugged.port.fetch(id)).await
    }

    /// Reads from a source unless it asked to be left alone, and remembers when it does.
    pub(crate) async fn asking<T>(
        &self,
        source: &SourceKey,
        call: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, IngestError> {
        let door = self.door(source);
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

/// Whether a record that was read again tells nothing new.
fn is_same(port: &dyn OrderSource, stored: &[u8], read: &[u8]) -> bool {
    match (port.fingerprint(stored), port.fingerprint(read)) {
        (Some(stored), Some(read)) => stored == read,
        _ => stored == read,
    }
}
