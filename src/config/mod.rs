//! Configuration: a TOML file, `ORDER_CENTER__…` environment variables over it, command-line options over both.
//!
//! It owns every limit of the center, with its unit and default, and is alone in reading the environment. It refuses
//! keys it does not know, zeros where nothing would work, and secrets written down instead of referred to. That is so
//! that a typing error ends at start with one clear line and not as a limit that is silently not there.

mod catalog;
mod mapping;
mod secret;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format as _, Toml};
use order_adapter::Package;
use order_contract::{Rounding, SourceKey};
use serde::{Deserialize, Serialize};

use crate::database::PoolLimits;
use crate::graphql::GraphqlLimits;
use crate::ingest::IngestLimits;
use crate::operation::OperationLimits;
use crate::source::egress::Reach;
use crate::source::factory::{self, Adapter, Plug, Terms};

pub use catalog::CatalogSection;
pub use mapping::MappingSection;
pub use secret::{DatabaseUrl, SecretRef};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "order-center.toml";

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The named file does not exist.
    #[error("there is no configuration file {}; order-center.sample.toml is one to begin with", .0.display())]
    NoFile(PathBuf),
    /// A key or value is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A secret is not where the configuration says.
    #[error("could not read the secret {reference}: {why}")]
    Secret {
        /// Where it should be.
        reference: String,
        /// Why it is not.
        why: String,
    },
}

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where orders are kept.
    pub database: DatabaseConfig,
    /// The server.
    pub http: HttpConfig,
    /// Subscriptions.
    pub websocket: WebsocketConfig,
    /// One GraphQL request.
    pub graphql: GraphqlConfig,
    /// How the index follows the sources.
    pub ingest: IngestConfig,
    /// How actions are delegated.
    pub operation: OperationConfig,
    /// Sources registered while the center runs, and the upkeep of all.
    pub catalog: CatalogSection,
    /// What mappings may take.
    pub mapping: MappingSection,
    /// What is written to standard error.
    pub log: LogConfig,
    /// The modules that own the orders.
    pub sources: Vec<SourceConfig>,
}

/// `[database]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/NAME`; `env:NAME` or `file:PATH` to keep a password elsewhere.
    pub url: DatabaseUrl,
    /// Connections that read (SQLite), or in all (PostgreSQL).
    pub connections_max: u32,
    /// How long a request waits for a connection.
    pub acquire_timeout_ms: u64,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::from("sqlite:order-center.db".to_owned()),
            connections_max: 8,
            acquire_timeout_ms: 5_000,
        }
    }
}

/// `[http]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Origins (`https://shop.example`) of browser pages besides our own that may call the API.
    pub allowed_origins: Vec<String>,
    /// Whether queries are answered over GET.
    pub get_queries: bool,
    /// Whether browsers are shown GraphiQL at `/graphql`.
    pub graphiql: bool,
    /// Bytes of a GraphQL request's body.
    pub body_bytes_max: usize,
    /// Bytes of a webhook's body.
    pub webhook_bytes_max: usize,
    /// Bytes of a request's path and query.
    pub uri_bytes_max: usize,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Open connections.
    pub connections_max: usize,
    /// Requests being answered; more get 503.
    pub in_flight_max: usize,
    /// How long a client may take to send a request's head.
    pub head_timeout_ms: u64,
    /// How long a client may take to send a request's body.
    pub body_timeout_ms: u64,
    /// How long a query may run. Mutations are never cut: they hold their own deadline.
    pub query_timeout_ms: u64,
    /// How long requests in flight may take to end at shutdown.
    pub drain_timeout_ms: u64,
    /// How long an API key is remembered; a revoked one works no longer than this.
    pub key_cache_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4000)),
            allowed_origins: Vec::new(),
            get_queries: true,
            graphiql: true,
            body_bytes_max: 256 * 1024,
            webhook_bytes_max: 1024 * 1024,
            uri_bytes_max: 8 * 1024,
            head_bytes_max: 32 * 1024,
            connections_max: 4096,
            in_flight_max: 256,
            head_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            query_timeout_ms: 10_000,
            drain_timeout_ms: 25_000,
            key_cache_ms: 2_000,
        }
    }
}

/// `[websocket]`
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebsocketConfig {
    /// Open sockets.
    pub sockets_max: usize,
    /// Subscriptions and queries under way on one socket.
    pub operations_per_socket_max: usize,
    /// Bytes of one message from a client.
    pub message_bytes_max: usize,
    /// How long a client may take to send `connection_init`.
    pub init_timeout_ms: u64,
    /// Pause between pings; a client that is silent for two is gone.
    pub keepalive_ms: u64,
    /// How long a client may take to accept one message.
    pub send_timeout_ms: u64,
}

impl Default for WebsocketConfig {
    fn default() -> Self {
        Self {
            sockets_max: 1024,
            operations_per_socket_max: 16,
            message_bytes_max: 64 * 1024,
            init_timeout_ms: 5_000,
            keepalive_ms: 20_000,
            send_timeout_ms: 10_000,
        }
    }
}

/// `[graphql]`
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphqlConfig {
    /// Bytes of a query text.
    pub query_bytes_max: usize,
    /// Levels of a selection.
    pub depth_max: usize,
    /// Cost of a query: a field costs 1, a connection its page size times what is selected of each node.
    pub complexity_max: usize,
    /// Aliases in a query.
    pub aliases_max: usize,
    /// Fields in a query, fragments expanded.
    pub fields_max: usize,
    /// Directives on one field.
    pub directives_max: usize,
    /// Nodes of one page.
    pub page_size_max: u32,
    /// Bytes of rendered orders kept in memory.
    pub cache_bytes_max: u64,
}

impl Default for GraphqlConfig {
    fn default() -> Self {
        Self {
            query_bytes_max: 16 * 1024,
            depth_max: 15,
            complexity_max: 20_000,
            aliases_max: 15,
            fields_max: 400,
            directives_max: 5,
            page_size_max: 100,
            cache_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// `[ingest]`
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// Orders read and stored at once.
    pub page_size: u32,
    /// How far each pass reaches back behind the last one.
    pub overlap_s: u64,
    /// Pause between two passes over a source.
    pub poll_interval_ms: u64,
    /// Tries of a stored webhook before polling is left to repair it.
    pub webhook_attempts_max: u32,
    /// How long a dead node keeps a source from the others.
    pub lease_s: u64,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self { page_size: 200, overlap_s: 300, poll_interval_ms: 5_000, webhook_attempts_max: 8, lease_s: 30 }
    }
}

/// `[operation]`
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperationConfig {
    /// How long a mutation waits for its outcome before it answers with the operation in progress.
    pub wait_ms: u64,
    /// Operations under way at once, per source.
    pub concurrency_max: usize,
    /// Tries before an operation is left to settlement.
    pub attempts_max: u32,
    /// First pause before an operation in doubt is looked at again; it doubles.
    pub settle_backoff_ms: u64,
    /// The longest such pause.
    pub settle_backoff_max_ms: u64,
    /// How long a dead node keeps an operation from being settled by another.
    pub lease_s: u64,
}

impl Default for OperationConfig {
    fn default() -> Self {
        Self {
            wait_ms: 10_000,
            concurrency_max: 64,
            attempts_max: 3,
            settle_backoff_ms: 1_000,
            settle_backoff_max_ms: 300_000,
            lease_s: 25,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Its form.
    pub format: LogFormat,
    /// What is logged: `info`, or a list such as `info,order_center::ingest=debug`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Auto, filter: "info".to_owned() }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines: one object per line.
    Json,
}

/// One entry of `[[sources]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its key. It never changes: every order id contains it.
    pub key: SourceKey,
    /// Its name for people; the key when absent.
    #[serde(default)]
    pub title: Option<String>,
    /// What speaks to it: `protocol`, an adapter by name, or the folder of one.
    #[serde(default = "protocol")]
    pub adapter: String,
    /// Where its API begins.
    pub url: String,
    /// What its adapter wants to be told, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
    /// The secrets its adapter wants, by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretRef>,
    /// Its bearer token.
    #[serde(default)]
    pub token: Option<SecretRef>,
    /// The secrets its webhooks are signed with; two are live during rotation.
    #[serde(default)]
    pub webhook_secrets: Vec<SecretRef>,
    /// What to do with amounts of more than four fraction digits.
    #[serde(default)]
    pub rounding: Rounding,
    /// How long one request to it may take.
    #[serde(default = "source_timeout_ms")]
    pub timeout_ms: u64,
    /// Bytes of one of its answers.
    #[serde(default = "source_body_bytes_max")]
    pub body_bytes_max: usize,
}

fn protocol() -> String {
    factory::PROTOCOL.to_owned()
}

fn source_timeout_ms() -> u64 {
    10_000
}

fn source_body_bytes_max() -> usize {
    16 * 1024 * 1024
}

impl SourceConfig {
    /// A source that speaks the Order Module Protocol at this URL, with every default.
    #[must_use]
    pub fn new(key: SourceKey, url: impl Into<String>) -> Self {
        Self {
            key,
            title: None,
            adapter: protocol(),
            url: url.into(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            token: None,
            webhook_secrets: Vec::new(),
            rounding: Rounding::default(),
            timeout_ms: source_timeout_ms(),
            body_bytes_max: source_body_bytes_max(),
        }
    }

    /// What its orders are mapped with: this adapter, by name or content, and its settings.
    #[must_use]
    pub fn mapping(&self, adapter: &str) -> String {
        let rounding = serde_json::to_value(self.rounding).unwrap_or_default();
        let mut settings: serde_json::Map<_, _> = self.settings.clone().into_iter().collect();
        settings.insert("rounding".to_owned(), rounding);
        factory::mapping(adapter, &settings)
    }

    /// Whether it speaks the Order Module Protocol.
    #[must_use]
    pub fn is_protocol(&self) -> bool {
        self.adapter == factory::PROTOCOL
    }

    /// What the factory needs, the adapter loaded and secrets read.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such adapter, a secret is absent, or something is set that belongs elsewhere.
    pub fn plug(&self) -> Result<Plug, ConfigError> {
        let wrong = |reason: String| invalid(format!("source {}: {reason}", self.key));
        let misplaced = match self.is_protocol() {
            true if !self.settings.is_empty() || !self.secrets.is_empty() => {
                Some("`settings` and `secrets` belong to adapters; the protocol takes `token`")
            }
            false if self.token.is_some() => Some("`token` belongs to the protocol; an adapter takes `secrets`"),
            _ => None,
        };
        if let Some(reason) = misplaced {
            return Err(wrong(reason.to_owned()));
        }
        let adapter = if self.is_protocol() {
            Adapter::Protocol
        } else {
            let files = Package::files(&self.adapter).map_err(|error| wrong(error.to_string()))?;
            Adapter::Package(Arc::new(files))
        };
        let token = self.token.iter().map(|token| ("token", token));
        let named = self.secrets.iter().map(|(name, secret)| (name.as_str(), secret)).chain(token);
        Ok(Plug {
            key: self.key.clone(),
            adapter,
            url: self.url.clone(),
            settings: self.settings.clone().into_iter().collect(),
            secrets: named
                .map(|(name, secret)| Ok((name.to_owned(), secret.resolve()?)))
                .collect::<Result<_, ConfigError>>()?,
            webhook_secrets: self.webhook_secrets.iter().map(SecretRef::resolve).collect::<Result<_, _>>()?,
            terms: Terms {
                rounding: self.rounding,
                timeout: Duration::from_millis(self.timeout_ms),
                body_bytes_max: self.body_bytes_max,
            },
            reach: Reach::Private,
        })
    }
}

/// What the command line says over the file and the environment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<String>,
    /// `--database`
    pub database: Option<String>,
}

impl Config {
    /// Reads the file (the default one need not exist), the environment and the overrides.
    ///
    /// # Errors
    /// [`ConfigError`] with the place of the mistake and the nearest right name.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        if let Some(path) = file.filter(|path| !path.is_file()) {
            return Err(ConfigError::NoFile(path.to_owned()));
        }
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let mut figment = Figment::new();
        if path.is_file() {
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(Env::prefixed("ORDER_CENTER__").split("__"));
        if let Some(listen) = &overrides.listen {
            figment = figment.merge(("http.listen", listen));
        }
        if let Some(url) = &overrides.database {
            figment = figment.merge(("database.url", url));
        }
        let config: Self = figment.extract().map_err(explain)?;
        config.check()?;
        Ok(config)
    }

    /// The rules that types do not say.
    fn check(&self) -> Result<(), ConfigError> {
        let values = serde_json::to_value(self).map_err(|e| invalid(e.to_string()))?;
        if let Some(zero) = find_zero(&values, String::new()) {
            return Err(invalid(format!("{zero} must be at least 1")));
        }
        for (position, source) in self.sources.iter().enumerate() {
            if self.sources[..position].iter().any(|other| other.key == source.key) {
                return Err(invalid(format!("two sources have the key {}", source.key)));
            }
        }
        Ok(())
    }

    /// Limits of the connection pool.
    #[must_use]
    pub fn pool_limits(&self) -> PoolLimits {
        PoolLimits {
            connections_max: self.database.connections_max,
            acquire_timeout: Duration::from_millis(self.database.acquire_timeout_ms),
        }
    }

    /// Limits of one GraphQL request.
    #[must_use]
    pub fn graphql_limits(&self) -> GraphqlLimits {
        let GraphqlConfig {
            query_bytes_max,
            depth_max,
            complexity_max,
            aliases_max,
            fields_max,
            directives_max,
            page_size_max,
            cache_bytes_max,
        } = self.graphql;
        GraphqlLimits {
            query_bytes_max,
            depth_max,
            complexity_max,
            aliases_max,
            fields_max,
            directives_max,
            page_size_max,
            cache_bytes_max,
        }
    }

    /// Limits and intervals of ingest.
    #[must_use]
    pub fn ingest_limits(&self) -> IngestLimits {
        IngestLimits {
            page_size: self.ingest.page_size,
            overlap: Duration::from_secs(self.ingest.overlap_s),
            poll_interval: Duration::from_millis(self.ingest.poll_interval_ms),
            webhook_attempts_max: self.ingest.webhook_attempts_max,
            lease: Duration::from_secs(self.ingest.lease_s),
        }
    }

    /// Limits of the operation workers.
    #[must_use]
    pub fn operation_limits(&self) -> OperationLimits {
        OperationLimits {
            wait: Duration::from_millis(self.operation.wait_ms),
            concurrency_max: self.operation.concurrency_max,
            attempts_max: self.operation.attempts_max,
            settle_backoff: Duration::from_millis(self.operation.settle_backoff_ms),
            settle_backoff_max: Duration::from_millis(self.operation.settle_backoff_max_ms),
            lease: Duration::from_secs(self.operation.lease_s),
        }
    }
}

/// Nothing works with a limit of nothing; only the overlap may be none, and what adapters take is theirs to check.
fn find_zero(value: &serde_json::Value, path: String) -> Option<String> {
    match value {
        serde_json::Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            find_zero(value, if path.is_empty() { name.clone() } else { format!("{path}.{name}") })
        }),
        serde_json::Value::Array(items) => items.iter().find_map(|item| find_zero(item, path.clone())),
        serde_json::Value::Number(number) => {
            (number.as_u64() == Some(0) && path != "ingest.overlap_s" && !path.starts_with("sources.settings."))
                .then_some(path)
        }
        _ => None,
    }
}

fn invalid(message: String) -> ConfigError {
    ConfigError::Invalid(message)
}

/// One line: where, what, and what was probably meant.
fn explain(error: figment::Error) -> ConfigError {
    let place = error.metadata.as_ref().map_or_else(String::new, |metadata| match &metadata.source {
        Some(figment::Source::File(path)) => format!("{}: ", path.display()),
        _ => format!("{}: ", metadata.name),
    });
    let path = error.path.join(".");
    let what = match &error.kind {
        Kind::UnknownField(name, known) | Kind::UnknownVariant(name, known) => {
            let nearest =
                known.iter().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
            match nearest {
                Some(nearest) if strsim::jaro_winkler(name, nearest) > 0.7 => {
                    format!("there is no `{name}`; did you mean `{nearest}`?")
                }
                _ => format!("there is no `{name}`; known are {}", known.join(", ")),
            }
        }
        Kind::MissingField(name) => format!("`{name}` is missing"),
        // A syntax error comes as a picture of several lines.
        kind => kind.to_string().lines().filter(|line| !line.contains('|')).collect::<Vec<_>>().join("; "),
    };
    let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
    invalid(format!("{place}{at}{what}"))
}

#[cfg(test)]
mod tests;
