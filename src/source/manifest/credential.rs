//! Who the center is to a platform: the manifest's `[auth]` with the source's secrets in it.
//!
//! It alone holds them. It refuses to put them anywhere but into requests below the source's own base and, for tokens,
//! to the token URL of its configuration; neither errors nor logs show them. That is so that a manifest, which may come
//! from anyone, never meets a secret.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method, header};
use order_adapter::engine::{Call, Engine, EngineError, Exchange, percent_encoded};
use order_adapter::manifest::{Auth, ClientAuth, Login, OauthMethod, Template};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::oauth1::{self, Oauth1};
use crate::source::egress::{self, EgressError, Reach};

/// A token is renewed so long before it expires.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

/// Why credentials cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The manifest wants what the source does not give.
    #[error("could not fill in the credentials")]
    Manifest(#[source] EngineError),
    /// A secret is missing.
    #[error("the secret `{name}` is missing: {description}")]
    Missing {
        /// Its name.
        name: String,
        /// What it is.
        description: String,
    },
    /// A secret has a name the manifest does not declare.
    #[error("there is no secret `{name}`; the adapter takes {known}")]
    Unknown {
        /// Its name.
        name: String,
        /// What there is.
        known: String,
    },
    /// A header cannot hold what the manifest puts into it.
    #[error("the header {0:?} cannot be sent: a name or value is not one of HTTP")]
    Header(String),
    /// The token URL is none, or must not be called.
    #[error("the token URL is no URL")]
    TokenUrl,
    /// The token URL must not be called.
    #[error("the token URL cannot be used")]
    Egress(#[source] EgressError),
}

/// What goes into requests.
pub(super) enum Credentials {
    None,
    Header(HeaderName, HeaderValue),
    Query(Vec<(String, SecretString)>),
    Oauth1(Box<Oauth1>),
    Token(Box<TokenSource>),
}

/// How tokens are come by, and the present one.
pub(super) struct TokenSource {
    grant: Grant,
    header: HeaderName,
    prefix: &'static str,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    value: SecretString,
    until: Option<Instant>,
}

enum Grant {
    Oauth2 { url: Url, form: Vec<(&'static str, SecretString)>, basic: Option<SecretString> },
    Session { login: Login, fields: BTreeMap<String, SecretString> },
}

/// A request for a token.
pub(super) enum TokenRequest<'a> {
    Form(&'a Url, String, Option<&'a SecretString>),
    Login(Call),
}

impl Credentials {
    /// The credentials of a source. Every secret the manifest wants must be there, and no other.
    pub(super) fn new(
        engine: &Engine,
        url: &str,
        secrets: &BTreeMap<String, SecretString>,
        reach: &Reach,
    ) -> Result<Self, CredentialError> {
        let declared = &engine.manifest().secrets;
        if let Some(name) = secrets.keys().find(|name| !declared.contains_key(*name)) {
            let known = declared.keys().cloned().collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            return Err(CredentialError::Unknown { name: name.clone(), known });
        }
        if let Some((name, secret)) = declared.iter().find(|(name, s)| !s.optional && !secrets.contains_key(*name)) {
            return Err(CredentialError::Missing { name: name.clone(), description: secret.description.clone() });
        }
        let fill = |template: &Template| {
            let secret = |name: &str| {
                let secret = secrets.get(name).map(|secret| secret.expose_secret().to_owned());
                secret.or_else(|| declared.get(name).filter(|s| s.optional).map(|_| String::new()))
            };
            engine.credential(template, url, secret).map(SecretString::from).map_err(CredentialError::Manifest)
        };
        let fill_optional = |template: &Option<Template>| template.as_ref().map(fill).transpose();
        let Some(auth) = &engine.manifest().auth else { return Ok(Self::None) };
        Ok(match auth {
            Auth::Basic { username, password } => {
                let password = fill_optional(password)?.unwrap_or_default();
                Self::Header(header::AUTHORIZATION, sensitive("authorization", &basic(&fill(username)?, &password))?)
            }
            Auth::Bearer { token } => {
                let value = SecretString::from(format!("Bearer {}", fill(token)?.expose_secret()));
                Self::Header(header::AUTHORIZATION, sensitive("authorization", &value)?)
            }
            Auth::Header { name, value } => Self::Header(header_name(name)?, sensitive(name, &fill(value)?)?),
            Auth::Query { parameters } => {
                let filled = parameters.iter().map(|(name, template)| Ok((name.clone(), fill(template)?)));
                Self::Query(filled.collect::<Result<_, CredentialError>>()?)
            }
            Auth::Oauth1 { consumer_key, consumer_secret, token, token_secret, method } => {
                Self::Oauth1(Box::new(Oauth1 {
                    consumer_key: fill(consumer_key)?,
                    consumer_secret: fill(consumer_secret)?,
                    token: fill_optional(token)?,
                    token_secret: fill_optional(token_secret)?,
                    sha1: *method == OauthMethod::HmacSha1,
                }))
            }
            Auth::Oauth2Client { token_url, client_id, client_secret, scope, client_auth, header, .. } => {
                let mut form = vec![("grant_type", SecretString::from("client_credentials"))];
                form.extend(fill_optional(scope)?.map(|scope| ("scope", scope)));
                let client = (fill(client_id)?, fill(client_secret)?);
                Self::oauth2(fill(token_url)?, form, client, *client_auth, header.as_deref(), reach)?
            }
            Auth::Oauth2Refresh { token_url, client_id, client_secret, refresh_token, client_auth, header, .. } => {
                let form =
                    vec![("grant_type", SecretString::from("refresh_token")), ("refresh_token", fill(refresh_token)?)];
                let client = (fill(client_id)?, fill(client_secret)?);
                Self::oauth2(fill(token_url)?, form, client, *client_auth, header.as_deref(), reach)?
            }
            Auth::Session { login, header, .. } => {
                let fields = login.fields.iter().map(|(name, template)| Ok((name.clone(), fill(template)?)));
                let fields = fields.collect::<Result<_, CredentialError>>()?;
                Self::token(Grant::Session { login: login.clone(), fields }, header.as_deref())?
            }
        })
    }

    fn oauth2(
        url: SecretString,
        mut form: Vec<(&'static str, SecretString)>,
        (id, secret): (SecretString, SecretString),
        client_auth: ClientAuth,
        header: Option<&str>,
        reach: &Reach,
    ) -> Result<Self, CredentialError> {
        let url: Url = url.expose_secret().parse().map_err(|_| CredentialError::TokenUrl)?;
        egress::check(&url, reach).map_err(CredentialError::Egress)?;
        let basic = match client_auth {
            ClientAuth::Basic => Some(basic(&id, &secret)),
            ClientAuth::Body => {
                form.extend([("client_id", id), ("client_secret", secret)]);
                None
            }
        };
        Self::token(Grant::Oauth2 { url, form, basic }, header)
    }

    fn token(grant: Grant, header: Option<&str>) -> Result<Self, CredentialError> {
        let (header, prefix) = match header {
            Some(name) => (header_name(name)?, ""),
            None => (header::AUTHORIZATION, "Bearer "),
        };
        Ok(Self::Token(Box::new(TokenSource { grant, header, prefix, kept: Mutex::default() })))
    }

    /// Puts the credentials into the query of a request.
    pub(super) fn add_to_query(&self, query: &mut Vec<(String, String)>) {
        if let Self::Query(parameters) = self {
            query.extend(parameters.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())));
        }
    }

    /// Puts the credentials into the head of a request.
    pub(super) fn add_to_head(
        &self,
        request: RequestBuilder,
        (method, url, query): (&Method, &Url, &[(String, String)]),
        token: Option<&SecretString>,
    ) -> RequestBuilder {
        match (self, token) {
            (Self::Header(name, value), _) => request.header(name, value),
            (Self::Oauth1(keys), _) => {
                request.header(header::AUTHORIZATION, oauth1::authorization(keys, method, url, query))
            }
            (Self::Token(source), Some(token)) => {
                let value = SecretString::from(format!("{}{}", source.prefix, token.expose_secret()));
                match sensitive("token", &value) {
                    Ok(value) => request.header(&source.header, value),
                    Err(_) => request,
                }
            }
            _ => request,
        }
    }
}

impl TokenSource {
    /// The present token, fetched by `ask` when there is none or it is about to expire. Others wait for it meanwhile.
    pub(super) async fn present<E>(
        &self,
        ask: impl AsyncFnOnce() -> Result<(SecretString, Option<Duration>), E>,
    ) -> Result<SecretString, E> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until.is_none_or(|until| until > Instant::now())) {
            return Ok(kept.value.clone());
        }
        let (value, lives) = ask().await?;
        // A token of less than the margin is used for half of its life.
        let until = lives.map(|lives| Instant::now() + lives.checked_sub(EXPIRY_MARGIN).unwrap_or(lives / 2));
        *kept = Some(Kept { value: value.clone(), until });
        Ok(value)
    }

    /// Forgets a token that the platform no longer takes, unless it has been replaced already.
    pub(super) async fn forget(&self, token: &SecretString) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|kept| kept.value.expose_secret() == token.expose_secret()) {
            *kept = None;
        }
    }

    /// What asks for a new token.
    pub(super) fn request(&self, engine: &Engine) -> Result<TokenRequest<'_>, EngineError> {
        match &self.grant {
            Grant::Oauth2 { url, form, basic } => {
                let pairs =
                    form.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value.expose_secret())));
                Ok(TokenRequest::Form(url, pairs.collect::<Vec<_>>().join("&"), basic.as_ref()))
            }
            Grant::Session { login, fields } => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
                engine.login(login, &fields.collect()).map(TokenRequest::Login)
            }
        }
    }

    /// The token in the answer, and how long it lives; none when there is none.
    pub(super) fn read(&self, engine: &Engine, exchange: &Exchange) -> Option<(SecretString, Option<Duration>)> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: SecretString,
            expires_in: Option<u64>,
        }
        match &self.grant {
            Grant::Oauth2 { .. } => {
                let granted: Granted = serde_json::from_slice(&exchange.body).ok()?;
                Some((granted.access_token, granted.expires_in.map(Duration::from_secs)))
            }
            Grant::Session { .. } => engine.session_token(exchange).map(|token| (token.into(), None)),
        }
    }
}

fn basic(username: &SecretString, password: &SecretString) -> SecretString {
    let pair = SecretString::from(format!("{}:{}", username.expose_secret(), password.expose_secret()));
    format!("Basic {}", STANDARD.encode(pair.expose_secret())).into()
}

fn header_name(name: &str) -> Result<HeaderName, CredentialError> {
    name.parse().map_err(|_| CredentialError::Header(name.to_owned()))
}

/// A header value that no log shows.
fn sensitive(name: &str, value: &SecretString) -> Result<HeaderValue, CredentialError> {
    let value = HeaderValue::from_str(value.expose_secret());
    let mut value = value.map_err(|_| CredentialError::Header(name.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
