//! Sources and adapters registered while the center runs, and what is done with a source as a whole.
//!
//! It owns the tables of sources, adapter packages and runs, and keeps the registry of every node as they say. It
//! refuses secrets in clear, a host that the egress guard does not let through, another content under a version that is
//! there already, and any change of a source that the configuration file names. That is so that a business line plugs
//! in a platform without a restart, and an operator can always tell what runs, since when and by whom.

mod canary;
mod change;
mod follow;
mod mapping;
mod package;
mod row;
mod run;
mod secret;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use order_contract::SourceKey;
use serde_json::{Map, Value as Json};

use crate::database::{Database, DatabaseError};
use crate::ingest::Clock;
use crate::source::egress::Reach;
use crate::source::{Factory, Registry, SourceError, Sources, factory};

pub use package::PackageInfo;
pub use run::{Run, RunKind, RunRequest, RunState};
pub use secret::{GivenSecret, SealKey, SecretError, SecretReader, Vault};

/// Why a change of the catalog was not made.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A value is not what it should be.
    #[error("{reason}")]
    Invalid {
        /// Which: `url`, `settings`, `adapter`, …
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The key is taken.
    #[error("there is a source {0} already: `updateSource` changes it")]
    Exists(SourceKey),
    /// No source of this key was registered.
    #[error("there is no source {0}")]
    Unknown(SourceKey),
    /// The source is of the configuration file.
    #[error("the source {0} is of the configuration file: change it there and restart")]
    Fixed(SourceKey),
    /// The row was changed by another.
    #[error("the source {0} was changed meanwhile: read it again")]
    Changed(SourceKey),
    /// A secret cannot be kept or read.
    #[error("the secret `{0}`: {1}")]
    Secret(String, #[source] SecretError),
    /// The source does not answer as it should.
    #[error("the source did not pass its check: {0}")]
    Check(#[source] SourceError),
    /// The source answers, and what it answers would lose orders.
    #[error("the source did not pass its check: {0}")]
    Unfit(&'static str),
    /// The version is there with another content.
    #[error("{0} is there already with another content: a version never changes, raise it")]
    PackageExists(String),
    /// The package is in use.
    #[error("{adapter} is what the source {source_key} runs on: give that another first")]
    PackageUsed {
        /// The package.
        adapter: String,
        /// One source that uses it.
        source_key: SourceKey,
    },
    /// The same work is waiting or under way.
    #[error("such a run of {0} is waiting or under way already")]
    Running(SourceKey),
    /// The database failed.
    #[error("could not {0}")]
    Database(&'static str, #[source] DatabaseError),
    /// A stored row cannot be read back: it was changed from outside, or by a newer program.
    #[error("could not understand a stored row of {0}")]
    Row(&'static str),
}

/// A source as it is registered.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// Its key.
    pub key: SourceKey,
    /// Its name for people.
    pub title: String,
    /// `protocol`, or a package as `NAME@VERSION`.
    pub adapter: String,
    /// Where its API begins.
    pub url: String,
    /// What the operator set, by name.
    pub settings: Map<String, Json>,
    /// Where its secrets are, by name: `env:NAME`, `file:PATH` or `sealed:…`.
    pub secrets: BTreeMap<String, String>,
    /// Grows with every change.
    pub version: i64,
    /// When it was registered. UTC.
    pub created_at: DateTime<Utc>,
    /// When it was last changed. UTC.
    pub updated_at: DateTime<Utc>,
}

impl Registered {
    fn mapping(&self) -> String {
        factory::mapping(&self.adapter, &self.settings)
    }
}

/// A source to register.
#[derive(Clone, Debug)]
pub struct NewSource {
    /// Its key. It never changes: every order id contains it.
    pub key: SourceKey,
    /// Its name for people; the key when absent.
    pub title: Option<String>,
    /// `protocol`, or an adapter as `NAME` (its newest version) or `NAME@VERSION`.
    pub adapter: String,
    /// Where its API begins.
    pub url: String,
    /// What the adapter lets an operator set.
    pub settings: Map<String, Json>,
    /// Its secrets by name.
    pub secrets: BTreeMap<String, GivenSecret>,
    /// Read what changed since then; everything when absent.
    pub since: Option<DateTime<Utc>>,
}

/// What to change of a source. What is absent stays.
#[derive(Clone, Debug, Default)]
pub struct SourceChange {
    /// Its name for people.
    pub title: Option<String>,
    /// Another adapter, or another version of it.
    pub adapter: Option<String>,
    /// Where its API begins now.
    pub url: Option<String>,
    /// All settings.
    pub settings: Option<Map<String, Json>>,
    /// Secrets by name; none removes one.
    pub secrets: BTreeMap<String, Option<GivenSecret>>,
    /// Refuse unless the source is at this version.
    pub expected_version: Option<i64>,
}

/// Something that was done to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEvent {
    /// Its id.
    pub id: String,
    /// When. UTC.
    pub at: DateTime<Utc>,
    /// By whom.
    pub actor: String,
    /// What: REGISTERED, UPDATED, REMOVED, PAUSED, RESUMED.
    pub what: String,
    /// A sentence.
    pub detail: String,
}

/// What the catalog works with.
#[derive(Clone)]
pub struct CatalogConfig {
    /// Builds sources.
    pub factory: Factory,
    /// Keeps secrets.
    pub vault: Vault,
    /// Which private hosts registered sources may be at.
    pub reach: Reach,
    /// How often a node looks whether another changed something.
    pub poll_interval: std::time::Duration,
}

/// The catalog. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    database: Database,
    registry: Registry,
    clock: Clock,
    config: CatalogConfig,
    /// The sources of the configuration file.
    fixed: Arc<Sources>,
    built: Arc<tokio::sync::Mutex<follow::Built>>,
    /// The mapping of each source that this node has looked at.
    mappings: Arc<tokio::sync::Mutex<BTreeMap<SourceKey, String>>>,
}

impl Catalog {
    /// The catalog in this database. The registry holds the sources of the configuration file; the registered ones
    /// join them with [`Self::converge`].
    #[must_use]
    pub fn new(database: Database, registry: Registry, clock: Clock, config: CatalogConfig) -> Self {
        let fixed = registry.now();
        Self { database, registry, clock, config, fixed, built: Arc::default(), mappings: Arc::default() }
    }

    fn micros(&self) -> i64 {
        (self.clock)().timestamp_micros()
    }

    /// Refuses a key that is not of a source here.
    fn known(&self, key: &SourceKey) -> Result<(), CatalogError> {
        self.registry.get(key).map(|_| ()).ok_or_else(|| CatalogError::Unknown(key.clone()))
    }
}

impl CatalogError {
    /// A stable code for programs; none where the fault is not theirs who asked.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Invalid { .. } => "INVALID_INPUT",
            Self::Exists(_) => "SOURCE_EXISTS",
            Self::Unknown(_) => "UNKNOWN_SOURCE",
            Self::Fixed(_) => "SOURCE_IN_CONFIGURATION",
            Self::Changed(_) => "VERSION_CONFLICT",
            Self::Secret(..) => "SECRET_UNUSABLE",
            Self::Check(_) | Self::Unfit(_) => "CHECK_FAILED",
            Self::PackageExists(_) => "VERSION_EXISTS",
            Self::PackageUsed { .. } => "ADAPTER_IN_USE",
            Self::Running(_) => "ALREADY_RUNNING",
            Self::Database(..) | Self::Row(_) => return None,
        })
    }

    /// Which part of the input is at fault.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            Self::Exists(_) | Self::Unknown(_) | Self::Fixed(_) | Self::Running(_) => Some("key"),
            Self::Changed(_) => Some("expectedVersion"),
            Self::Secret(..) => Some("secrets"),
            Self::Check(_) | Self::Unfit(_) => Some("url"),
            Self::PackageExists(_) => Some("files"),
            Self::PackageUsed { .. } => Some("adapter"),
            Self::Database(..) | Self::Row(_) => None,
        }
    }
}
