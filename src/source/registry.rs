//! The sources that are plugged in, by key.

use std::collections::BTreeMap;
use std::sync::Arc;

use order_contract::SourceKey;

use super::OrderSource;

/// One plugged-in module.
#[derive(Clone)]
pub struct Source {
    /// Its key; it never changes.
    pub key: SourceKey,
    /// Its name for people.
    pub title: String,
    /// What speaks to it: `protocol`, or a manifest's name.
    pub adapter: String,
    /// The port.
    pub port: Arc<dyn OrderSource>,
}

/// Every plugged-in source. Cheap to clone; shared by ingest, operations and the API.
#[derive(Clone, Default)]
pub struct Registry(Arc<BTreeMap<SourceKey, Source>>);

impl Registry {
    /// A registry of these sources.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = Source>) -> Self {
        Self(Arc::new(sources.into_iter().map(|source| (source.key.clone(), source)).collect()))
    }

    /// The source of this key.
    #[must_use]
    pub fn get(&self, key: &SourceKey) -> Option<&Source> {
        self.0.get(key)
    }

    /// All sources, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.values()
    }
}
