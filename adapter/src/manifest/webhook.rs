//! How the platform's webhooks are verified and understood.

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Expression, Span, Template};

/// `[webhook]`. The input of its expressions is the delivery: `{headers, body, text}`, header names in lower case, `body`
/// null and `text` the whole text where it is not JSON. Nothing but `verify` is looked at before the signature holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// What a webhook brings.
    pub mode: Delivery,
    /// What proves who sent it; over the source's `webhook_secrets`, of which any may match.
    pub verify: Verify,
    /// The id of the event, to take each once; the hash of the body when absent.
    #[serde(default)]
    pub event_id: Option<Expression>,
    /// Whether it concerns an order; what does not is acknowledged and forgotten. Everything when absent.
    #[serde(default)]
    pub accept: Option<Expression>,
    /// An unsigned greeting at set-up (WooCommerce): acknowledged and forgotten.
    #[serde(default)]
    pub ping: Option<Expression>,
    /// The record of the order, where `mode` is `full`.
    #[serde(default)]
    pub record: Option<Expression>,
    /// Whether it says that the order is gone: the order is read, and deleted when it is missing.
    #[serde(default)]
    pub deleted: Option<Expression>,
    /// The id of the order.
    pub source_id: Expression,
}

/// What a webhook brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The whole order.
    Full,
    /// The order's id: it is read.
    Thin,
}

/// What proves who sent a webhook.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verify {
    /// A keyed hash in a header.
    Hmac {
        /// The hash.
        algorithm: Algorithm,
        /// How it is written.
        encoding: Encoding,
        /// The header.
        header: String,
        /// What stands before it there, such as `sha256=`.
        #[serde(default)]
        prefix: String,
        /// What is signed: `${body}`, with `${header.NAME}` and `${config.NAME}` around it where the platform signs more.
        #[serde(default = "body")]
        over: Template,
        /// A header with the time of signing, seconds since 1970; what is older than `tolerance` is refused.
        #[serde(default)]
        timestamp: Option<String>,
        /// How far that time may be from now.
        #[serde(default = "five_minutes")]
        tolerance: Span,
    },
    /// Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks,
    /// The secret itself in a header: where the platform can do no better.
    Token {
        /// The header.
        header: String,
    },
    /// A detached JWS (RFC 7797) under a key the platform publishes.
    JwsDetached {
        /// The header.
        header: String,
        /// The path of its JSON Web Key Set, on the source's own host.
        jwks: String,
    },
}

fn body() -> Template {
    Template("${body}".to_owned())
}

fn five_minutes() -> Span {
    Span(std::time::Duration::from_secs(300))
}

/// Hashes of a keyed signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
    /// HMAC-SHA1, for platforms that know no other.
    Sha1,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Base64.
    Base64,
    /// Hexadecimal.
    Hex,
}
