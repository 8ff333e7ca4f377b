//! Services that are reached over HTTP, and the choice between them and the embedded ones.
//!
//! It owns what counts as an answer: a success is one, and so is a refusal with a code. It refuses to guess: whatever
//! else comes back, or nothing, leaves open whether it happened, and asking again under the same key finds out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use order_contract::protocol::Problem;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use super::{Entry, Facts, Fault, Question, Receipt, Service, ServicePort};

/// Why a remote service cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Not an address.
    #[error("{0:?} is not an HTTP address")]
    Address(String),
    /// No HTTP client can be made.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// Services at an address.
#[derive(Clone, Debug)]
pub struct Remote {
    client: Client,
    base: Url,
    token: Option<SecretString>,
}

impl Remote {
    /// Services below `base`, each under its name. An answer that takes longer than `timeout` is none.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn new(base: &str, token: Option<SecretString>, timeout: Duration) -> Result<Self, RemoteError> {
        // A second installation is refused and changes nothing: the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = address.ok_or_else(|| RemoteError::Address(base.into()))?;
        let client = Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { client: client.map_err(RemoteError::Client)?, base, token })
    }

    fn request(&self, method: Method, service: Service, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(service.as_str()).extend(path);
        }
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }
}

/// Sends, and tells an answer from none.
async fn ask(service: Service, request: RequestBuilder) -> Result<Response, Fault> {
    let response = request.send().await.map_err(|e| lost(service, e))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    // These are about the connection between the two, not about what was asked.
    let about_us =
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    let problem = match status.is_client_error() && !about_us.contains(&status) {
        true => response.json::<Problem>().await.ok(),
        false => None,
    };
    match problem {
        Some(Problem { code, detail, title, .. }) => Err(Fault::Refused { code, message: detail.unwrap_or(title) }),
        None => Err(Fault::Unknown { service, reason: format!("it answered {status}") }),
    }
}

/// Without the address: it may carry a secret.
fn lost(service: Service, error: reqwest::Error) -> Fault {
    Fault::Unknown { service, reason: error.without_url().to_string() }
}

#[async_trait]
impl ServicePort for Remote {
    async fn facts(&self, service: Service, question: &Question) -> Result<Facts, Fault> {
        let response = ask(service, self.request(Method::POST, service, &["facts"]).json(question)).await?;
        response.json().await.map_err(|e| lost(service, e))
    }

    async fn post(&self, entry: &Entry) -> Result<Receipt, Fault> {
        let service = entry.command.service();
        let response = ask(service, self.request(Method::POST, service, &["entries"]).json(entry)).await?;
        response.json().await.map_err(|e| lost(service, e))
    }

    async fn reverse(&self, service: Service, key: &str) -> Result<(), Fault> {
        ask(service, self.request(Method::POST, service, &["entries", key, "reverse"])).await.map(drop)
    }

    async fn entry(&self, service: Service, key: &str) -> Result<Receipt, Fault> {
        let response = ask(service, self.request(Method::GET, service, &["entries", key])).await?;
        response.json().await.map_err(|e| lost(service, e))
    }
}

/// Every service, each where it is.
#[derive(Clone)]
pub struct Services {
    embedded: Arc<dyn ServicePort>,
    elsewhere: HashMap<Service, Arc<dyn ServicePort>>,
}

impl Services {
    /// All in one place.
    #[must_use]
    pub fn new(embedded: impl ServicePort + 'static) -> Self {
        Self { embedded: Arc::new(embedded), elsewhere: HashMap::new() }
    }

    /// One of them elsewhere.
    #[must_use]
    pub fn with(mut self, service: Service, port: impl ServicePort + 'static) -> Self {
        self.elsewhere.insert(service, Arc::new(port));
        self
    }

    fn port(&self, service: Service) -> &dyn ServicePort {
        self.elsewhere.get(&service).unwrap_or(&self.embedded).as_ref()
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").field("elsewhere", &self.elsewhere.keys()).finish_non_exhaustive()
    }
}

#[async_trait]
impl ServicePort for Services {
    async fn facts(&self, service: Service, question: &Question) -> Result<Facts, Fault> {
        self.port(service).facts(service, question).await
    }

    async fn post(&self, entry: &Entry) -> Result<Receipt, Fault> {
        self.port(entry.command.service()).post(entry).await
    }

    async fn reverse(&self, service: Service, key: &str) -> Result<(), Fault> {
        self.port(service).reverse(service, key).await
    }

    async fn entry(&self, service: Service, key: &str) -> Result<Receipt, Fault> {
        self.port(service).entry(service, key).await
    }
}
