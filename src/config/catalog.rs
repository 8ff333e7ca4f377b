//! `[catalog]`: what sources that are registered over the API may reach, and when all sources are looked after.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, SecretRef, invalid};
use crate::catalog::{CatalogConfig, SealKey, SecretReader, Vault};
use crate::mapping::Pool;
use crate::source::Factory;
use crate::source::egress::Reach;
use crate::upkeep::UpkeepLimits;

/// `[catalog]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSection {
    /// Seals secrets that are given in clear: 32 random bytes in base64. Without it only references are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<SecretRef>,
    /// Environment variables that registered sources may refer to begin so. Who may register a source must not be able
    /// to send the database's password to a host of their own.
    pub secret_env_prefix: String,
    /// Files that registered sources may refer to are in here.
    pub secret_folder: PathBuf,
    /// Hosts and addresses of private networks that registered sources may be at.
    pub private_hosts: Vec<String>,
    /// How often a node looks whether another changed a source.
    pub poll_interval_ms: u64,
    /// Pause between two reconciliations of a source.
    pub reconcile_interval_s: u64,
    /// How far back a reconciliation on schedule compares.
    pub reconcile_window_s: u64,
    /// From one round over the open orders of a source whose change list has blind spots to the next; as its adapter
    /// says when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reread_interval_s: Option<u64>,
}

impl Default for CatalogSection {
    fn default() -> Self {
        Self {
            secret_key: None,
            secret_env_prefix: "SOURCE_".to_owned(),
            secret_folder: "/run/secrets".into(),
            private_hosts: Vec::new(),
            poll_interval_ms: 1_000,
            reconcile_interval_s: 24 * 3600,
            reconcile_window_s: 7 * 24 * 3600,
            reread_interval_s: None,
        }
    }
}

impl CatalogSection {
    fn reader(&self) -> SecretReader {
        let (prefix, folder) = (self.secret_env_prefix.clone(), self.secret_folder.clone());
        Arc::new(move |reference| read(reference, &prefix, &folder))
    }
}

fn read(reference: &str, prefix: &str, folder: &Path) -> Result<SecretString, String> {
    let secret = SecretRef::try_from(reference.to_owned()).map_err(str::to_owned)?;
    match &secret {
        SecretRef::Env(name) if !name.starts_with(prefix) => Err(format!(
            "{reference}: a registered source may refer to environment variables that begin with {prefix} \
             (`catalog.secret_env_prefix`)"
        )),
        SecretRef::File(path) if !is_within(path, folder) => Err(format!(
            "{reference}: a registered source may refer to files that are in {} (`catalog.secret_folder`)",
            folder.display()
        )),
        _ => secret.resolve().map_err(|error| error.to_string()),
    }
}

/// Links are followed first: a name within the folder may lead out of it.
fn is_within(path: &Path, folder: &Path) -> bool {
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) => path.starts_with(folder),
        _ => false,
    }
}

impl Config {
    /// What the catalog works with, the sealing key read. Mappings run in `workers`.
    ///
    /// # Errors
    /// [`ConfigError`] when the key is not there or none.
    pub fn catalog(&self, workers: &Pool) -> Result<CatalogConfig, ConfigError> {
        let section = &self.catalog;
        let key = section.secret_key.as_ref().map(|reference| {
            SealKey::new(&reference.resolve()?).map_err(|error| invalid(format!("catalog.secret_key: {error}")))
        });
        Ok(CatalogConfig {
            factory: Factory::new(workers.clone()),
            vault: Vault { reader: section.reader(), key: key.transpose()? },
            reach: Reach::Listed(section.private_hosts.clone().into()),
            poll_interval: Duration::from_millis(section.poll_interval_ms),
        })
    }

    /// When sources are looked after.
    #[must_use]
    pub fn upkeep_limits(&self) -> UpkeepLimits {
        let section = &self.catalog;
        UpkeepLimits {
            reconcile_interval: Duration::from_secs(section.reconcile_interval_s),
            reconcile_window: Duration::from_secs(section.reconcile_window_s),
            reread_interval: section.reread_interval_s.map(Duration::from_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_registered_source_sees_the_secrets_that_are_meant_for_it_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let outside = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(outside.path(), "password").expect("written");
        std::fs::create_dir(folder.path().join("secrets")).expect("a folder");
        let secrets = folder.path().join("secrets");
        std::fs::write(secrets.join("shop"), "token\n").expect("written");
        std::os::unix::fs::symlink(outside.path(), secrets.join("link")).expect("a link");
        let file = |name: &str| format!("file:{}", secrets.join(name).display());
        let read = |reference: &str| read(reference, "SOURCE_", &secrets);

        assert_eq!(read(&file("shop")).expect("there").expose_secret(), "token");
        let refused = [
            file("none"),
            file("link"),
            file("../secrets/../../etc/passwd"),
            format!("file:{}", outside.path().display()),
            "env:PATH".to_owned(),
            "env:SOURCE_NOT_SET".to_owned(),
            "token".to_owned(),
        ];
        for reference in refused {
            let why = read(&reference).expect_err(&reference);
            assert!(!why.contains("password"), "{why}");
        }
    }
}
