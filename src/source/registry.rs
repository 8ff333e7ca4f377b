//! The sources that are plugged in, by key, and the news that others are.

use std::collections::BTreeMap;
use std::sync::Arc;

use order_contract::SourceKey;
use tokio::sync::watch;

use super::OrderSource;

/// One plugged-in module.
#[derive(Clone)]
pub struct Source {
    /// Its key; it never changes.
    pub key: SourceKey,
    /// Its name for people.
    pub title: String,
    /// What speaks to it: `protocol`, or an adapter as `NAME@VERSION`.
    pub adapter: String,
    /// What its orders are mapped with, as a hash of adapter and settings; empty: not to be followed.
    pub mapping: String,
    /// The port.
    pub port: Arc<dyn OrderSource>,
}

/// The sources of one moment, by key.
pub type Sources = BTreeMap<SourceKey, Arc<Source>>;

/// Every plugged-in source. Cheap to clone; shared by ingest, operations and the API. [`Self::replace`] puts others in
/// their place while all of them work: who has a source keeps it until it is done with it.
#[derive(Clone)]
pub struct Registry(watch::Sender<Arc<Sources>>);

impl Default for Registry {
    fn default() -> Self {
        Self::new([])
    }
}

impl Registry {
    /// A registry of these sources.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = Source>) -> Self {
        let sources = sources.into_iter().map(|source| (source.key.clone(), Arc::new(source))).collect();
        Self(watch::Sender::new(Arc::new(sources)))
    }

    /// The source of this key.
    #[must_use]
    pub fn get(&self, key: &SourceKey) -> Option<Arc<Source>> {
        self.0.borrow().get(key).cloned()
    }

    /// All sources of this moment.
    #[must_use]
    pub fn now(&self) -> Arc<Sources> {
        self.0.borrow().clone()
    }

    /// The sources, and whenever they are others.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Sources>> {
        self.0.subscribe()
    }

    /// Puts these sources in the place of the present ones. A source that stays must be given again as it is.
    pub fn replace(&self, sources: Sources) {
        self.0.send_replace(Arc::new(sources));
    }
}
