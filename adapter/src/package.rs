//! The package: `adapter.toml`, `map/order.jq` and `fixtures/`, read from a folder or embedded in the binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use order_contract::{OrderSnapshot, Rounding};
use serde::Deserialize;

use crate::program::{CompileError, MapError, Mapping};

// `BUILTIN`: the files of each folder below adapters/, as (name, [(path, text)]).
include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The manifest language this program understands.
const SCHEMA: &str = "order-center.adapter/v1";

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// No such adapter.
    #[error("there is no adapter {name:?}; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A file cannot be read.
    #[error("could not read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// The manifest is not valid.
    #[error("{file}: {reason}")]
    Manifest {
        /// The file.
        file: String,
        /// What is wrong, with the line.
        reason: String,
    },
    /// A file that the manifest names is not there.
    #[error("adapter.toml names {0}, which is not in the package")]
    Missing(String),
    /// A mapping does not compile.
    #[error("could not compile the mapping: {0}")]
    Compile(#[source] CompileError),
    /// A setting is not one of the manifest's, or lacks a value.
    #[error("{0}")]
    Setting(String),
}

/// `adapter.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `order-center.adapter/v1`.
    pub schema: String,
    /// The adapter's name, as in its folder.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// The platform, for people.
    pub title: String,
    /// What the operator of one source sets, by name.
    #[serde(default)]
    pub config: BTreeMap<String, Setting>,
    /// How records become orders.
    pub map: Map,
}

/// A setting of one source; the mapping sees it as `$config.NAME`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What it is for.
    pub description: String,
    /// Its value when the operator sets none.
    #[serde(default)]
    pub default: Option<toml::Value>,
}

/// How records become orders.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// The jq file that maps one record.
    pub order: String,
    /// A jq expression that gives the records of a document: one order, a list, or the platform's list envelope.
    pub records: String,
    /// What to do with amounts of more than four fraction digits.
    #[serde(default)]
    pub rounding: Rounding,
}

/// A loaded package with its compiled mapping.
#[derive(Debug)]
pub struct Package {
    /// The manifest.
    pub manifest: Manifest,
    files: BTreeMap<String, String>,
    order: Mapping,
    records: Mapping,
}

/// The adapters that come with the program.
#[must_use]
pub fn builtin_names() -> Vec<&'static str> {
    BUILTIN.iter().map(|(name, _)| *name).collect()
}

impl Package {
    /// An adapter by name, or from the folder of that path.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn find(name: &str) -> Result<Self, PackageError> {
        if Path::new(name).join("adapter.toml").is_file() {
            return Self::load(Path::new(name));
        }
        let files = BUILTIN
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, files)| *files)
            .ok_or_else(|| PackageError::Unknown { name: name.to_owned(), known: builtin_names().join(", ") })?;
        Self::open(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    /// The package of a folder.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn load(folder: &Path) -> Result<Self, PackageError> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(current) = folders.pop() {
            let fail = |e| PackageError::Read(current.clone(), e);
            for entry in std::fs::read_dir(&current).map_err(fail)? {
                let path = entry.map_err(fail)?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path
                    .extension()
                    .is_some_and(|e| ["toml", "jq", "json", "graphql", "md"].iter().any(|known| e == *known))
                {
                    let text = std::fs::read_to_string(&path).map_err(|e| PackageError::Read(path.clone(), e))?;
                    let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                    files.insert(name, text);
                }
            }
        }
        Self::open(files)
    }

    /// The package of these files, by path.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn open(files: BTreeMap<String, String>) -> Result<Self, PackageError> {
        let file = |name: &str| files.get(name).ok_or_else(|| PackageError::Missing(name.to_owned()));
        let invalid = |reason: String| PackageError::Manifest { file: "adapter.toml".into(), reason };
        let manifest: Manifest = toml::from_str(file("adapter.toml")?).map_err(|e| invalid(e.to_string()))?;
        if manifest.schema != SCHEMA {
            return Err(invalid(format!("schema is {:?}; this program understands {SCHEMA:?}", manifest.schema)));
        }
        let order = Mapping::compile(&manifest.map.order, file(&manifest.map.order)?).map_err(PackageError::Compile)?;
        let records =
            Mapping::compile("adapter.toml [map] records", &manifest.map.records).map_err(PackageError::Compile)?;
        Ok(Self { manifest, files, order, records })
    }

    /// A file of the package.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The paths of its files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The settings of one source as JSON: those given, over the manifest's defaults.
    ///
    /// # Errors
    /// [`PackageError::Setting`] names a setting that the manifest does not have.
    pub fn settings(&self, given: &BTreeMap<String, serde_json::Value>) -> Result<String, PackageError> {
        let known = &self.manifest.config;
        if let Some(stranger) = given.keys().find(|name| !known.contains_key(*name)) {
            let names = known.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(PackageError::Setting(format!(
                "{} has no setting {stranger:?}; it has: {names}",
                self.manifest.name
            )));
        }
        let values = known.iter().map(|(name, setting)| {
            let default = || setting.default.as_ref().and_then(|v| serde_json::to_value(v).ok()).unwrap_or_default();
            (name.clone(), given.get(name).cloned().unwrap_or_else(default))
        });
        Ok(serde_json::Value::Object(values.collect()).to_string())
    }

    /// The records of a document, each as JSON with the platform's own number literals.
    ///
    /// # Errors
    /// [`MapError`] when the document is not JSON.
    pub fn records(&self, document: &[u8]) -> Result<Vec<Vec<u8>>, MapError> {
        self.records.run_all(document, "{}")
    }

    /// Maps one record.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map(&self, record: &[u8], settings: &str) -> Result<OrderSnapshot, MapError> {
        self.order.map(record, settings, self.manifest.map.rounding)
    }
}
