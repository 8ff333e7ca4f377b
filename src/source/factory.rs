//! From what a source is said to be to the port that speaks to it: the one place that knows the kinds of sources.
//!
//! It owns the names of the settings and secrets of the protocol and the dispatch to an adapter's own. It refuses names
//! it does not know, with the nearest that it does. That is so that the configuration file, the API and a trial of
//! another adapter version build a source in the same way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use order_adapter::engine::EngineError;
use order_adapter::{Package, PackageError, runs};
use order_contract::{Rounding, SourceKey};
use secrecy::SecretString;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::OrderSource;
use super::egress::{EgressError, Reach};
use super::manifest::{ManifestConfig, ManifestConfigError, ManifestSource, Witness};
use super::protocol::{ProtocolClient, ProtocolConfig, ProtocolConfigError};
use crate::mapping::Pool;

/// The name of the Order Module Protocol among the adapters.
pub const PROTOCOL: &str = "protocol";

/// The secret of a source that speaks the protocol: its bearer token.
const TOKEN: &str = "token";
/// The secrets that webhooks are proven with, of every source.
const WEBHOOK_SECRETS: [&str; 2] = ["webhook_secret", "webhook_secret_next"];

/// Takes the secrets that webhooks are proven with out of a source's secrets.
#[must_use]
pub fn webhook_secrets(secrets: &mut BTreeMap<String, SecretString>) -> Vec<SecretString> {
    WEBHOOK_SECRETS.iter().filter_map(|name| secrets.remove(*name)).collect()
}

/// The settings of every source that are the center's own; see [`Terms`].
const OWN_SETTINGS: [&str; 3] = order_adapter::manifest::RESERVED_SETTINGS;

/// The terms on which the center deals with a source, whatever it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What to do with amounts of more than four fraction digits.
    pub rounding: Rounding,
    /// How long one request may take.
    pub timeout: Duration,
    /// The most bytes of one answer.
    pub body_bytes_max: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self { rounding: Rounding::default(), timeout: Duration::from_secs(10), body_bytes_max: 16 * 1024 * 1024 }
    }
}

impl Terms {
    /// Takes the terms out of a source's settings: `rounding`, `timeout_ms` and `body_bytes_max`.
    ///
    /// # Errors
    /// [`PlugError::Setting`] when one has a wrong value.
    pub fn take(settings: &mut Map<String, Value>) -> Result<Self, PlugError> {
        let mut terms = Self::default();
        let [rounding, timeout_ms, body_bytes_max] = OWN_SETTINGS;
        let mut whole = |name: &'static str| {
            let at_least_one = |value: Value| value.as_u64().filter(|number| *number > 0);
            let wrong = || PlugError::Setting(name, "is a whole number of at least 1".to_owned());
            settings.remove(name).map(|value| at_least_one(value).ok_or_else(wrong)).transpose()
        };
        if let Some(millis) = whole(timeout_ms)? {
            terms.timeout = Duration::from_millis(millis);
        }
        if let Some(bytes) = whole(body_bytes_max)? {
            terms.body_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(value) = settings.remove(rounding) {
            let wrong = |_| PlugError::Setting(rounding, "is refuse, half_even or half_up".to_owned());
            terms.rounding = serde_json::from_value(value).map_err(wrong)?;
        }
        Ok(terms)
    }
}

/// What it takes to speak to one module.
#[derive(Clone, Debug)]
pub struct Plug {
    /// The source's key.
    pub key: SourceKey,
    /// What speaks to it.
    pub adapter: Adapter,
    /// Where its API begins.
    pub url: String,
    /// What the operator set, by name.
    pub settings: Map<String, Value>,
    /// Its secrets, by name.
    pub secrets: BTreeMap<String, SecretString>,
    /// The secrets its webhooks are proven with; two are live during rotation.
    pub webhook_secrets: Vec<SecretString>,
    /// On which terms.
    pub terms: Terms,
    /// Which private hosts it may be at.
    pub reach: Reach,
}

/// What speaks to a module.
#[derive(Clone, Debug)]
pub enum Adapter {
    /// The Order Module Protocol.
    Protocol,
    /// The package of these files, by path.
    Package(Arc<BTreeMap<String, String>>),
}

impl Adapter {
    /// Tells what speaks to a source apart from any other: the protocol by its name, a package by its content.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Protocol => PROTOCOL.to_owned(),
            Self::Package(files) => {
                let running = files.iter().filter(|(path, _)| runs(path));
                content_address(running.map(|(path, text)| (path.as_str(), text.as_str())))
            }
        }
    }
}

/// Why a source cannot be plugged in. Every message tells whoever configures the source what to do.
#[derive(Debug, thiserror::Error)]
pub enum PlugError {
    /// The URL is none.
    #[error("the url {0:?} is no URL: {1}")]
    Url(String, String),
    /// The URL must not be called.
    #[error("the url cannot be used: {0}")]
    Egress(#[source] EgressError),
    /// The client cannot be made.
    #[error("{0}")]
    Protocol(#[source] ProtocolConfigError),
    /// A setting or secret has a name that the adapter does not know.
    #[error("there is no {what} `{name}`{nearest}", nearest = nearest(.name, .known))]
    Name {
        /// `setting` or `secret`.
        what: &'static str,
        /// What was given.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A setting has a wrong value.
    #[error("the setting `{0}` {1}")]
    Setting(&'static str, String),
    /// What the adapter wants is not what is given, or it cannot run.
    #[error("{reason}")]
    Adapter {
        /// `adapter`, `settings` or `secrets`.
        part: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

fn nearest(name: &str, known: &[String]) -> String {
    let near = known.iter().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match near {
        Some(near) if strsim::jaro_winkler(name, near) > 0.7 => format!("; did you mean `{near}`?"),
        Some(_) => format!("; there are {}", known.join(", ")),
        None => "; this adapter has none".to_owned(),
    }
}

/// Builds sources. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Factory {
    /// Where the mappings of adapters run.
    pub workers: Pool,
    /// Who looks on while platforms are asked, for recording.
    pub witness: Option<Witness>,
}

impl Factory {
    /// A factory whose mappings run there.
    #[must_use]
    pub fn new(workers: Pool) -> Self {
        Self { workers, witness: None }
    }

    /// The port to a module. Nothing is called yet.
    ///
    /// # Errors
    /// [`PlugError`] says what is wrong with which part.
    pub fn plug(&self, plug: Plug) -> Result<Arc<dyn OrderSource>, PlugError> {
        match &plug.adapter {
            Adapter::Protocol => Ok(Arc::new(ProtocolClient::new(protocol(plug)?).map_err(|error| match error {
                ProtocolConfigError::BaseUrl(_, error) => PlugError::Egress(error),
                error @ ProtocolConfigError::WebhookSecret(_) => PlugError::Protocol(error),
            })?)),
            Adapter::Package(_) => Ok(Arc::new(manifest(plug, self)?)),
        }
    }
}

/// A source that speaks through an adapter.
fn manifest(plug: Plug, factory: &Factory) -> Result<ManifestSource, PlugError> {
    let Plug { key, adapter, url, settings, secrets, webhook_secrets, terms, reach } = plug;
    let Adapter::Package(files) = adapter else {
        return Err(wrong("adapter", &PackageError::Missing("adapter.toml".into())));
    };
    let package = Package::open((*files).clone()).map_err(|error| wrong("adapter", &error))?;
    let built_in = package.is_built_in();
    let config = ManifestConfig {
        source: key,
        package: Arc::new(package),
        workers: factory.workers.clone(),
        url,
        settings: settings.into_iter().collect(),
        secrets,
        webhook_secrets,
        rounding: terms.rounding,
        timeout: terms.timeout,
        body_bytes_max: terms.body_bytes_max,
        reach,
        built_in,
        witness: factory.witness.clone(),
    };
    ManifestSource::new(config).map_err(|error| match error {
        ManifestConfigError::Url(url) => PlugError::Url(url, "it must begin with http:// or https://".to_owned()),
        ManifestConfigError::Egress(error) => PlugError::Egress(error),
        ManifestConfigError::Engine(EngineError::Settings(error)) | ManifestConfigError::Settings(error) => {
            wrong("settings", &error)
        }
        ManifestConfigError::Engine(error) => wrong("adapter", &error),
        ManifestConfigError::Credential(error) => wrong("secrets", &error),
    })
}

/// An error of a part with everything that caused it.
fn wrong(part: &'static str, error: &dyn std::error::Error) -> PlugError {
    let mut reason = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        reason = format!("{reason}: {cause}");
        next = cause.source();
    }
    PlugError::Adapter { part, reason }
}

/// The address of a package by its content: what runs of it, paths and texts.
#[must_use]
pub fn content_address<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut digest = Sha256::new();
    for text in files.flat_map(|(path, text)| [path, text]) {
        digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(text);
    }
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tells mappings apart: an adapter by name and version, or by content, with the settings of one source.
#[must_use]
pub fn mapping(adapter: &str, settings: &Map<String, Value>) -> String {
    let mut whole = serde_json::json!([adapter, settings]);
    whole.sort_all_objects();
    hex(&Sha256::digest(whole.to_string()))
}

fn protocol(plug: Plug) -> Result<ProtocolConfig, PlugError> {
    let Plug { key, url, settings, mut secrets, webhook_secrets, terms, reach, .. } = plug;
    let token = secrets.remove(TOKEN);
    check_names("setting", settings.keys(), &OWN_SETTINGS)?;
    check_names("secret", secrets.keys(), &[TOKEN, WEBHOOK_SECRETS[0], WEBHOOK_SECRETS[1]])?;
    Ok(ProtocolConfig {
        source: key,
        base_url: url.parse().map_err(|error| PlugError::Url(url.clone(), format!("{error}")))?,
        token,
        webhook_secrets,
        rounding: terms.rounding,
        timeout: terms.timeout,
        body_bytes_max: terms.body_bytes_max,
        reach,
    })
}

fn check_names<'a>(
    what: &'static str,
    mut given: impl Iterator<Item = &'a String>,
    known: &[&str],
) -> Result<(), PlugError> {
    match given.find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let known = known.iter().map(|name| (*name).to_owned()).collect();
            Err(PlugError::Name { what, name: name.clone(), known })
        }
    }
}
