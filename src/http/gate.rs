//! Who asks: a bearer key, or anyone on a loopback server that has no keys.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

use super::key::{self, ApiKeys, KeyHash};
use super::reply::Refusal;
use crate::graphql::{Principal, Role};

/// Keys remembered at once; wrong ones count, too.
const REMEMBERED_MAX: u64 = 10_000;

/// Decides who may come in.
#[derive(Debug)]
pub(crate) struct Gate {
    keys: ApiKeys,
    remembered: moka::sync::Cache<KeyHash, Option<Principal>>,
    /// Set beyond loopback, and once there is a key; until then it is asked again after a while.
    closed: AtomicBool,
    asked: moka::sync::Cache<(), ()>,
    allowed_origins: Vec<String>,
}

/// A caller, and the key to look at again while a socket stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) key: Option<KeyHash>,
}

impl Gate {
    pub(crate) fn new(keys: ApiKeys, loopback: bool, remember: Duration, allowed_origins: Vec<String>) -> Self {
        Self {
            keys,
            remembered: moka::sync::Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(remember).build(),
            closed: AtomicBool::new(!loopback),
            asked: moka::sync::Cache::builder().time_to_live(remember).build(),
            allowed_origins,
        }
    }

    /// Whether anyone may do anything here. Never beyond loopback, and no longer once a key exists.
    pub(crate) async fn is_open(&self) -> Result<bool, Refusal> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if self.asked.get(&()).is_none() {
            if self.keys.any().await.map_err(|e| failed(&e))? {
                self.closed.store(true, Ordering::Relaxed);
                return Ok(false);
            }
            self.asked.insert((), ());
        }
        Ok(true)
    }

    /// Who sends a request with these headers.
    pub(crate) async fn admit(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        if self.is_open().await? {
            return self.admit_anyone(headers);
        }
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        self.admit_key(authorization.ok_or_else(no_key)?).await
    }

    /// Who this `Bearer …` text is.
    pub(crate) async fn admit_key(&self, authorization: &str) -> Result<Caller, Refusal> {
        let secret = match authorization.trim().split_once(' ') {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => secret.trim(),
            _ => return Err(no_key()),
        };
        let hash = key::hash(secret).ok_or_else(wrong_key)?;
        Ok(Caller { principal: self.recall(&hash).await?.ok_or_else(wrong_key)?, key: Some(hash) })
    }

    /// Whether the caller would still be let in.
    pub(crate) async fn still_admits(&self, caller: &Caller) -> bool {
        match &caller.key {
            Some(hash) => !matches!(self.recall(hash).await, Ok(None)),
            None => !matches!(self.is_open().await, Ok(false)),
        }
    }

    async fn recall(&self, hash: &KeyHash) -> Result<Option<Principal>, Refusal> {
        if let Some(known) = self.remembered.get(hash) {
            return Ok(known);
        }
        let found = self.keys.find(hash).await.map_err(|e| failed(&e))?;
        self.remembered.insert(*hash, found.clone());
        Ok(found)
    }

    /// A page of the open web can reach a loopback server by a name of its own that resolves to 127.0.0.1, and then is
    /// of the same origin. The name it uses gives it away.
    fn admit_anyone(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !is_loopback_name(host) || !self.knows_origin(headers) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "FORBIDDEN",
                "this server has no API keys and therefore answers only to localhost; create one with \
                 `order-center key create --name NAME --role admin`",
            ));
        }
        let anonymous = Principal { id: "anonymous".to_owned(), name: "anonymous".to_owned(), role: Role::Admin };
        Ok(Caller { principal: anonymous, key: None })
    }

    /// Whether the page that sends this is ours, allowed, or no page at all.
    pub(crate) fn knows_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(HOST).and_then(|value| value.to_str().ok());
        let own = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
        own || self.allows_origin(origin)
    }

    /// Whether configuration lets pages of this other origin call the API.
    pub(crate) fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == origin)
    }
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => &host[..colon],
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn no_key() -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "UNAUTHENTICATED",
        "an API key is needed: send `Authorization: Bearer oc_…`; an operator creates one with \
         `order-center key create --name NAME --role reader`",
    )
}

fn wrong_key() -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "UNAUTHENTICATED",
        "this API key is not known or was revoked; an operator creates one with \
         `order-center key create --name NAME --role reader`",
    )
}

fn failed(error: &key::KeyError) -> Refusal {
    tracing::error!(error = %super::Chain(error), "could not look up an API key");
    Refusal::unavailable()
}

#[cfg(test)]
mod tests {
    use super::is_loopback_name;

    #[test]
    fn only_loopback_names_are_local() {
        for (host, local) in [
            ("localhost", true),
            ("LOCALHOST:4000", true),
            ("127.0.0.1:4000", true),
            ("127.8.8.8", true),
            ("[::1]:4000", true),
            ("[::ffff:127.0.0.1]", true),
            ("evil.example:4000", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_name(host), local, "{host}");
        }
    }
}
