//! How the platform is called: addresses, credentials, budgets and the shape of one request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Expression, Span, Template};

/// `[http]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where every path begins: `${url}` of the source and what follows it, such as `${url}/wp-json/wc/v3`.
    pub base: Template,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// The most requests the center makes of its own accord, reads and writes together.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// Where the platform says how much it still takes.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// How reads that failed are repeated before they count as failed. Actions never are.
    #[serde(default)]
    pub retry: Retry,
}

/// At most so many requests in a span.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests.
    pub requests: u32,
    /// The span they are counted in.
    pub per: Span,
    /// Requests that may be made at once after a quiet time; as many as `requests` when absent.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Requests under way at once.
    #[serde(default)]
    pub concurrency: Option<u32>,
}

/// Where answers tell the rate budget. The input is the exchange: `{status, headers, body}`, header names in lower case.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Requests (or points) left; null when the answer does not say.
    pub left: Expression,
    /// Of how many in all, for operators.
    #[serde(default)]
    pub limit: Option<Expression>,
    /// Below so many the center waits.
    #[serde(default)]
    pub reserve: u32,
    /// Seconds until there is enough again; one second when absent or null.
    #[serde(default)]
    pub wait_s: Option<Expression>,
}

/// How reads are repeated: on a broken connection, 502, 503 and 504, and where an error rule says `retry`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Tries of one read.
    pub attempts: u32,
    /// The first pause; it doubles.
    pub pause: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, pause: Span(std::time::Duration::from_millis(500)) }
    }
}

/// `[auth]`: how the center proves who it is. The only place that sees secrets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// HTTP Basic.
    Basic {
        /// The user.
        username: Template,
        /// The password; blank where the platform wants only a key as user.
        #[serde(default)]
        password: Option<Template>,
    },
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// The token.
        token: Template,
    },
    /// A header of the platform's own.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: Template,
    },
    /// Query parameters.
    Query {
        /// They, by name.
        parameters: BTreeMap<String, Template>,
    },
    /// OAuth 1.0a (RFC 5849), signed in the `Authorization` header.
    Oauth1 {
        /// The application's key.
        consumer_key: Template,
        /// The application's secret.
        consumer_secret: Template,
        /// The access token; absent for two-legged OAuth.
        #[serde(default)]
        token: Option<Template>,
        /// The access token's secret.
        #[serde(default)]
        token_secret: Option<Template>,
        /// The signature's method.
        #[serde(default)]
        method: OauthMethod,
    },
    /// OAuth 2 client credentials: a token is fetched and kept until it expires.
    Oauth2Client {
        /// Where tokens are given out: an absolute URL from the source's configuration.
        token_url: Template,
        /// The client.
        client_id: Template,
        /// Its secret.
        client_secret: Template,
        /// What is asked for.
        #[serde(default)]
        scope: Option<Template>,
        /// How the client proves itself to the token URL.
        #[serde(default)]
        client_auth: ClientAuth,
        /// The header the token goes into; `authorization` with `Bearer ` before it when absent.
        #[serde(default)]
        header: Option<String>,
        /// When an answer means that the token has expired; status 401 when absent.
        #[serde(default)]
        expired: Option<Expression>,
    },
    /// OAuth 2 refresh token: an access token is fetched with it and kept until it expires.
    Oauth2Refresh {
        /// Where tokens are given out: an absolute URL from the source's configuration.
        token_url: Template,
        /// The client.
        client_id: Template,
        /// Its secret.
        client_secret: Template,
        /// The refresh token.
        refresh_token: Template,
        /// How the client proves itself to the token URL.
        #[serde(default)]
        client_auth: ClientAuth,
        /// The header the token goes into; `authorization` with `Bearer ` before it when absent.
        #[serde(default)]
        header: Option<String>,
        /// When an answer means that the token has expired; status 401 when absent.
        #[serde(default)]
        expired: Option<Expression>,
    },
    /// A log-in whose answer holds a token.
    Session {
        /// The log-in.
        login: Login,
        /// The token in its exchange.
        token: Expression,
        /// The header the token goes into; `authorization` with `Bearer ` before it when absent.
        #[serde(default)]
        header: Option<String>,
        /// When an answer means that the session has ended; status 401 when absent.
        #[serde(default)]
        expired: Option<Expression>,
    },
}

/// A request for a session. Its fields may hold secrets, so they are templates and no expression sees them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The path below `http.base`.
    #[serde(default)]
    pub path: Option<Template>,
    /// A GraphQL document of the package; the fields are its variables.
    #[serde(default)]
    pub graphql: Option<String>,
    /// The fields of the JSON body.
    pub fields: BTreeMap<String, Template>,
}

/// Signature methods of OAuth 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OauthMethod {
    /// HMAC-SHA256.
    #[default]
    HmacSha256,
    /// HMAC-SHA1, for platforms that know no other.
    HmacSha1,
}

/// How an OAuth 2 client proves itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// HTTP Basic.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the form.
    Body,
}

/// One request. Either a path (REST) or a GraphQL document.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `GET` when absent, `POST` with a body or a GraphQL document.
    #[serde(default)]
    pub method: Option<String>,
    /// The path below `http.base`.
    #[serde(default)]
    pub path: Option<Template>,
    /// Query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, Template>,
    /// A jq expression that gives further query parameters, as an object: a list repeats its parameter, null leaves it
    /// out. Its input is that of `body`.
    #[serde(default)]
    pub parameters: Option<Expression>,
    /// Headers of this request.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// A jq expression that gives the JSON body. Its input is the order's fresh record where there is one, else null.
    #[serde(default)]
    pub body: Option<Expression>,
    /// How the body is sent.
    #[serde(default)]
    pub encoding: Body,
    /// A GraphQL document of the package, such as `graphql/orders.graphql`. `# import "graphql/fields.graphql"` lines in
    /// it are replaced by that file.
    #[serde(default)]
    pub graphql: Option<String>,
    /// A jq expression that gives the document's variables.
    #[serde(default)]
    pub variables: Option<Expression>,
}

impl Request {
    /// Whether it is a `GET`, which changes nothing.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        let writes = self.graphql.is_some() || self.body.is_some();
        self.method.as_deref().map_or(!writes, |method| method == "GET")
    }
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// `application/json`.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`, from an object of texts.
    Form,
    /// `text/xml`, from a text: for platforms that read JSON out and take XML in.
    Xml,
}
