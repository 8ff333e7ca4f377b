//! Secrets by reference: a configuration file says where a secret is, never what it is.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Where a secret is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// `env:NAME`: the environment variable of that name.
    Env(String),
    /// `file:PATH`: the first line of that file, as container platforms mount secrets.
    File(PathBuf),
    /// Given by a program that embeds the center; a configuration file cannot.
    Given(SecretString),
}

impl SecretRef {
    /// Reads the secret.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] when it is absent or empty; the secret itself is in no error.
    pub fn resolve(&self) -> Result<SecretString, ConfigError> {
        let text = match self {
            Self::Given(secret) => return Ok(secret.clone()),
            Self::Env(name) => std::env::var(name).map_err(|e| self.missing(&e.to_string()))?,
            Self::File(path) => std::fs::read_to_string(path).map_err(|e| self.missing(&e.to_string()))?,
        };
        match text.lines().next().map(str::trim) {
            Some(line) if !line.is_empty() => Ok(line.into()),
            _ => Err(self.missing("it is empty")),
        }
    }

    fn missing(&self, why: &str) -> ConfigError {
        ConfigError::Secret { reference: self.to_string(), why: why.to_owned() }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Given(_) => f.write_str("(given)"),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err("a secret is given as `env:NAME` or `file:PATH`, never itself"),
        }
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> Self {
        reference.to_string()
    }
}

/// A database URL, or a reference to one as for secrets. A password in it is never shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// The URL, a reference followed.
    ///
    /// # Errors
    /// [`ConfigError::Secret`].
    pub fn resolve(&self) -> Result<SecretString, ConfigError> {
        match SecretRef::try_from(self.0.expose_secret().to_owned()) {
            Ok(reference) => reference.resolve(),
            Err(_) => Ok(self.0.clone()),
        }
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url.into())
    }
}

impl From<DatabaseUrl> for String {
    fn from(url: DatabaseUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.0.expose_secret();
        match (url.find("://"), url.rfind('@')) {
            (Some(scheme), Some(at)) if scheme < at => write!(f, "{}://***{}", &url[..scheme], &url[at..]),
            _ => f.write_str(url),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
