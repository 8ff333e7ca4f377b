//! The conformance suite of the Order Module Protocol: what a team runs against its own module, in any language.
//!
//! It owns one check for each demand of `docs/order-module-protocol.md`. It refuses to act on orders that it did not
//! create itself, and to count a check that could not be made as met. That is so that the suite can be pointed at a
//! live module, and so that a pass means what the center relies on.

mod acting;
mod asking;
mod exchange;
mod reading;
mod report;
mod webhook;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use order_contract::protocol;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::source::egress::EgressError;

use exchange::Session;
pub use report::{Check, Finding, Report, Verdict};
use webhook::Listener;

/// What to check, and with which means.
#[derive(Clone, Debug)]
pub struct Options {
    /// The module's base URL.
    pub base_url: Url,
    /// Its bearer token.
    pub token: Option<SecretString>,
    /// Only `GET`: nothing is asked of any order, not even as a dry run.
    pub read_only: bool,
    /// Sample inputs by action. With one for `create`, the suite creates orders of its own and leads them through
    /// their life; the others serve actions whose input has required fields.
    pub inputs: BTreeMap<String, Map<String, Value>>,
    /// Where the module under check sends its webhooks.
    pub webhook: Option<WebhookOptions>,
    /// How long one request may take.
    pub timeout: Duration,
    /// How long something that need not happen at once may take: an accepted action, a webhook and its repetition.
    pub patience: Duration,
}

impl Options {
    /// The options for this module: no token, no sample inputs, no webhooks.
    #[must_use]
    pub fn new(base_url: Url) -> Self {
        Self {
            base_url,
            token: None,
            read_only: false,
            inputs: BTreeMap::new(),
            webhook: None,
            timeout: Duration::from_secs(10),
            patience: Duration::from_secs(30),
        }
    }
}

/// How to receive the webhooks of the module under check.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// Where to listen. The module must be set up to send there; any path will do.
    pub listen: SocketAddr,
    /// The secret the module signs with (`whsec_…`).
    pub secret: SecretString,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// The base URL must not be called.
    #[error("this base URL cannot be checked")]
    BaseUrl(#[source] EgressError),
    /// The webhook secret is malformed.
    #[error("the webhook secret is not `whsec_` followed by base64 of at least 16 bytes")]
    WebhookSecret,
    /// The webhook address cannot be listened on.
    #[error("could not listen on {0} for webhooks")]
    Listen(SocketAddr, #[source] std::io::Error),
}

/// Checks a module against the whole protocol.
///
/// # Errors
/// [`ConformanceError`] when the run cannot begin. A module that does not answer is a report full of failures.
pub async fn check(options: Options) -> Result<Report, ConformanceError> {
    let listener = match &options.webhook {
        Some(webhook) => Some(Listener::start(webhook).await?),
        None => None,
    };
    let mut report = Report { module: options.base_url.to_string(), protocol: protocol::VERSION, findings: Vec::new() };
    let mut session = Session::new(options)?;
    session.check_reading(&mut report).await;
    session.check_asking(&mut report).await;
    session.check_acting(&mut report).await;
    session.check_webhooks(&mut report, listener.as_ref()).await;
    Ok(report)
}
