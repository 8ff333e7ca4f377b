//! The package: `adapter.toml`, `map/order.jq` and `fixtures/`, read from a folder or embedded in the binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use order_contract::{InvariantCheck, OrderSnapshot, Rounding, parse_snapshot};

use crate::manifest::Manifest;
use crate::program::{CompileError, MapError, Mapping};
use crate::xml::json_of_xml;

// `BUILTIN`: the files of each folder below adapters/, as (name, [(path, text)]).
include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

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

/// Whether a file of a package runs: what stands beside (fixtures, a README) does not.
#[must_use]
pub fn runs(path: &str) -> bool {
    [".toml", ".jq", ".graphql"].iter().any(|kind| path.ends_with(kind))
}

fn built_in(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, files)| *files)
}

/// The files of a folder that can belong to a package, by path.
fn read(folder: &Path) -> Result<BTreeMap<String, String>, PackageError> {
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
    Ok(files)
}

impl Package {
    /// An adapter by name, or from the folder of that path.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn find(name: &str) -> Result<Self, PackageError> {
        Self::open(Self::files(name)?)
    }

    /// The files of an adapter by name, or of the folder of that path; nothing of them is compiled.
    ///
    /// # Errors
    /// [`PackageError::Unknown`] or [`PackageError::Read`].
    pub fn files(name: &str) -> Result<BTreeMap<String, String>, PackageError> {
        if Path::new(name).join("adapter.toml").is_file() {
            return read(Path::new(name));
        }
        let files = built_in(name)
            .ok_or_else(|| PackageError::Unknown { name: name.to_owned(), known: builtin_names().join(", ") })?;
        Ok(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    /// Whether what runs of it is, to the letter, what came with this program.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        built_in(&self.manifest.name).is_some_and(|own| {
            let own: BTreeMap<&str, &str> = own.iter().filter(|(path, _)| runs(path)).copied().collect();
            let these = self.files.iter().filter(|(path, _)| runs(path));
            own == these.map(|(path, text)| (path.as_str(), text.as_str())).collect()
        })
    }

    /// The package of a folder.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn load(folder: &Path) -> Result<Self, PackageError> {
        Self::open(read(folder)?)
    }

    /// The package of these files, by path.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn open(files: BTreeMap<String, String>) -> Result<Self, PackageError> {
        let file = |name: &str| files.get(name).ok_or_else(|| PackageError::Missing(name.to_owned()));
        let invalid = |reason: String| PackageError::Manifest { file: "adapter.toml".into(), reason };
        let manifest = Manifest::parse(file("adapter.toml")?).map_err(invalid)?;
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

    /// The GraphQL documents of the package that hold an operation, each with its imports in place, or why that fails.
    pub fn documents(&self) -> impl Iterator<Item = (&str, Result<String, String>)> {
        let is_document = |path: &&str| path.starts_with("graphql/") && path.ends_with(".graphql");
        let read = |path| crate::engine::document(self, path).map_err(|error| error.to_string());
        let documents = self.paths().filter(is_document).map(move |path| (path, read(path)));
        // A file of fragments alone is checked where it is imported.
        documents.filter(|(_, text)| {
            text.as_ref().map_or(true, |text| {
                text.lines()
                    .any(|line| ["query", "mutation", "{"].iter().any(|word| line.trim_start().starts_with(word)))
            })
        })
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

    /// The settings of a source that is to be plugged in: [`Self::settings`], with every required one there.
    ///
    /// # Errors
    /// [`PackageError::Setting`] names the setting.
    pub fn settings_of_source(&self, given: &BTreeMap<String, serde_json::Value>) -> Result<String, PackageError> {
        let missing =
            self.manifest.config.iter().find(|(name, setting)| setting.required && !given.contains_key(*name));
        match missing {
            Some((name, setting)) => Err(PackageError::Setting(format!(
                "{} needs the setting {name:?}: {}",
                self.manifest.name, setting.description
            ))),
            None => self.settings(given),
        }
    }

    /// The records of a document, each as JSON with the platform's own number literals.
    ///
    /// # Errors
    /// [`MapError`] when the document is not JSON.
    pub fn records(&self, document: &[u8]) -> Result<Vec<Vec<u8>>, MapError> {
        let json = if self.manifest.map.xml { json_of_xml(document)? } else { document.into() };
        self.records.run_all(&json, "{}")
    }

    /// Maps one record under a rounding rule of the source's own, with a notice for each amount that it changed.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map_with(
        &self,
        record: &[u8],
        settings: &str,
        rounding: Rounding,
    ) -> Result<(OrderSnapshot, Vec<InvariantCheck>), MapError> {
        let json = self.order.run(record, settings)?;
        parse_snapshot(&json, rounding).map_err(MapError::Order)
    }

    /// Maps one record.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map(&self, record: &[u8], settings: &str) -> Result<OrderSnapshot, MapError> {
        self.order.map(record, settings, self.manifest.map.rounding)
    }
}
