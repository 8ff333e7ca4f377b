//! Each node's registry follows the catalog: by one number that grows with every change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use order_contract::SourceKey;
use tokio_util::sync::CancellationToken;

use super::{Catalog, CatalogError, Registered};
use crate::source::{OrderSource, Source, Sources, Unplugged};

/// How often a source that could not be plugged in is tried again: its secret may be there now.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// What this node has built of the catalog.
#[derive(Default)]
pub(super) struct Built {
    revision: Option<i64>,
    sources: BTreeMap<SourceKey, (i64, Arc<Source>)>,
    broken_since: Option<tokio::time::Instant>,
}

impl Catalog {
    /// Makes this node's registry what the catalog says now. Sources that did not change keep their connection.
    ///
    /// # Errors
    /// [`CatalogError::Database`]: the registry is as it was. A source that cannot be plugged in is no error of the
    /// others: it is there and says why.
    pub async fn converge(&self) -> Result<(), CatalogError> {
        let mut built = self.built.lock().await;
        let revision = self.revision().await?;
        let again = built.broken_since.is_some_and(|since| since.elapsed() >= TRY_AGAIN);
        if built.revision == Some(revision) && !again {
            return Ok(());
        }
        let mut sources = BTreeMap::new();
        let mut broken = false;
        for row in self.registered().await? {
            if self.fixed.contains_key(&row.key) {
                tracing::error!(source = %row.key, "registered, and named in the configuration file: the file is followed");
                continue;
            }
            let source = match built.sources.get(&row.key) {
                Some((version, source)) if *version == row.version => source.clone(),
                _ => match self.plug(&row).await {
                    Ok(port) => plugged(&row, port),
                    Err(error @ CatalogError::Database(..)) => return Err(error),
                    Err(error) => {
                        tracing::error!(source = %row.key, error = &error as &dyn std::error::Error, "could not plug in a source");
                        broken = true;
                        // Not kept under its version, so that it is tried again.
                        let port = Arc::new(Unplugged::new(row.key.clone(), error.to_string()));
                        let source = Source { mapping: String::new(), ..(*plugged(&row, port)).clone() };
                        sources.insert(row.key.clone(), (-1, Arc::new(source)));
                        continue;
                    }
                },
            };
            sources.insert(row.key.clone(), (row.version, source));
        }
        let mut all: Sources = (*self.fixed).clone();
        all.extend(sources.iter().map(|(key, (_, source))| (key.clone(), source.clone())));
        self.registry.replace(all);
        *built = Built { revision: Some(revision), sources, broken_since: broken.then(tokio::time::Instant::now) };
        Ok(())
    }

    /// Converges whenever another node changed something, until canceled.
    pub async fn follow(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.config.poll_interval) => {}
            }
            if let Err(error) = self.converge().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "could not read the catalog");
            }
        }
    }

    async fn revision(&self) -> Result<i64, CatalogError> {
        let read = |e| CatalogError::Database("read the catalog", e);
        let row = self.database.fetch_optional("select revision from catalog_head where id = 0", &[]).await;
        row.map_err(read)?.ok_or(CatalogError::Row("catalog_head"))?.int(0).map_err(read)
    }
}

fn plugged(row: &Registered, port: Arc<dyn OrderSource>) -> Arc<Source> {
    Arc::new(Source {
        key: row.key.clone(),
        title: row.title.clone(),
        adapter: row.adapter.clone(),
        mapping: row.mapping(),
        port,
    })
}
