//! The client of the Order Module Protocol.

use std::time::Duration;

use order_contract::{Rounding, SourceKey};
use secrecy::SecretString;

/// How to reach one module.
#[derive(Clone, Debug)]
pub struct ProtocolConfig {
    /// The source's key, for errors and metrics.
    pub source: SourceKey,
    /// The module's base URL.
    pub base_url: reqwest::Url,
    /// Its bearer token.
    pub token: Option<SecretString>,
    /// The secrets its webhooks are signed with (`whsec_…`); two are live during rotation.
    pub webhook_secrets: Vec<SecretString>,
    /// What to do with amounts of more than four fraction digits.
    pub rounding: Rounding,
    /// How long one request may take.
    pub timeout: Duration,
    /// The most bytes of one answer.
    pub body_bytes_max: usize,
}
