//! Webhooks: proven first, over the raw bytes and in constant time, then understood.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jaq_json::Val;
use ring::{digest, hmac, signature};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::exchange::object;
use super::expression::{Bindings, Program};
use super::template::{Declared, Place, Text};
use super::{EngineError, Record};
use crate::manifest::{self, Algorithm, Delivery as Mode, Encoding, Expression, Verify};
use crate::program::parse;

/// How far the signed time of a Standard Webhook may be from now, in seconds.
const TOLERANCE_S: i64 = 300;

/// A webhook as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Headers, names in lower case.
    pub headers: &'a BTreeMap<String, String>,
    /// The body.
    pub body: &'a [u8],
    /// The center's clock, in microseconds since 1970.
    pub now: i64,
}

/// What proves a webhook.
#[derive(Clone, Copy, Debug)]
pub struct Proofs<'a> {
    /// The source's webhook secrets; any may match.
    pub secrets: &'a [&'a str],
    /// The platform's published keys, where it has some and they are known.
    pub keys: Option<&'a KeySet>,
}

/// What a webhook tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The whole order.
    Restated(Record),
    /// The order of this id changed: read it.
    Changed(String),
    /// Nothing about an order.
    Ignored,
}

/// Why a webhook was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// There is nothing to prove it with.
    #[error("this source takes no webhooks")]
    NotConfigured,
    /// The proof is missing, wrong or too old.
    #[error("the signature does not verify")]
    Signature,
    /// It is proven and not understood.
    #[error("the webhook is not understood: {0}")]
    Malformed(String),
    /// An expression of the manifest had to be stopped: what it tells is not known.
    #[error("what the webhook tells could not be found out: {0}")]
    Stopped(String),
}

/// `[webhook]`, compiled.
#[derive(Debug)]
pub(super) struct Webhook {
    mode: Mode,
    verify: Verify,
    over: Option<Text>,
    event_id: Option<Program>,
    accept: Option<Program>,
    ping: Option<Program>,
    record: Option<Program>,
    deleted: Option<Program>,
    source_id: Program,
}

impl Webhook {
    pub(super) fn compile(webhook: &manifest::Webhook, declared: &Declared<'_>) -> Result<Self, EngineError> {
        let program = |part: &str, expression: &Expression| {
            Program::compile(&format!("webhook.{part}"), expression).map_err(EngineError::Expression)
        };
        let optional = |part: &str, expression: &Option<Expression>| {
            expression.as_ref().map(|expression| program(part, expression)).transpose()
        };
        let wrong = |reason: String| EngineError::Manifest("webhook".into(), reason);
        if webhook.mode == Mode::Full && webhook.record.is_none() {
            return Err(wrong("`mode` is `full`: say in `record` where the order is".into()));
        }
        let over = match &webhook.verify {
            Verify::Hmac { over, .. } => {
                let text = Text::parse(over, Place::Signed, declared).map_err(wrong)?;
                if !text.names("body") {
                    return Err(wrong("a signature that does not cover `${body}` proves nothing".into()));
                }
                Some(text)
            }
            _ => None,
        };
        Ok(Self {
            mode: webhook.mode,
            verify: webhook.verify.clone(),
            over,
            event_id: optional("event_id", &webhook.event_id)?,
            accept: optional("accept", &webhook.accept)?,
            ping: optional("ping", &webhook.ping)?,
            record: optional("record", &webhook.record)?,
            deleted: optional("deleted", &webhook.deleted)?,
            source_id: program("source_id", &webhook.source_id)?,
        })
    }

    /// The path of the platform's key set, where webhooks are proven by published keys.
    pub(super) fn key_set_path(&self) -> Option<&str> {
        match &self.verify {
            Verify::JwsDetached { jwks, .. } => Some(jwks),
            _ => None,
        }
    }

    /// Proves a webhook and says what it tells, with the event's id. `whole` tells whether a restated record is all of
    /// an order, or lacks what has to be read besides.
    pub(super) fn event(
        &self,
        delivery: &Delivery<'_>,
        proofs: &Proofs<'_>,
        bindings: &Bindings,
        whole: impl Fn(&Val) -> bool,
    ) -> Result<(String, Event), EventError> {
        // A token is a secret, which no expression may put where it is stored.
        let shown = delivery.headers.iter().filter(|(name, _)| !self.is_token(name));
        let headers = object(shown.map(|(name, value)| (name.as_str(), Val::from(value.clone()))));
        let body = parse(delivery.body).unwrap_or_default();
        let text = String::from_utf8_lossy(delivery.body).into_owned();
        let value = object([("headers", headers), ("body", body), ("text", Val::from(text))]);
        let holds = |program: &Option<Program>| program.as_ref().map(|program| program.holds(&value, bindings));
        if holds(&self.ping) == Some(true) {
            return Ok((hash(delivery.body), Event::Ignored));
        }
        self.prove(delivery, proofs, bindings)?;
        let malformed = |error: crate::program::MapError| EventError::Malformed(error.to_string());
        let told = |program: &Program| program.text(&value, bindings).map_err(malformed);
        let id = self.event_id.as_ref().map(told).transpose()?.flatten().unwrap_or_else(|| hash(delivery.body));
        if holds(&self.accept) == Some(false) {
            return Ok((id, Event::Ignored));
        }
        let order = self.source_id.id(&value, bindings).map_err(malformed)?;
        let order = order.ok_or_else(|| EventError::Malformed("it names no order".into()))?;
        if self.mode == Mode::Thin || holds(&self.deleted) == Some(true) {
            return Ok((id, Event::Changed(order)));
        }
        match self.record.as_ref().map(|record| record.value(&value, bindings)).transpose().map_err(malformed)? {
            Some(record @ Val::Obj(_)) if whole(&record) => Ok((id, Event::Restated(Record(record)))),
            Some(Val::Obj(_)) => Ok((id, Event::Changed(order))),
            _ => Err(EventError::Malformed("it holds no order".into())),
        }
    }

    fn is_token(&self, header: &str) -> bool {
        matches!(&self.verify, Verify::Token { header: token } if token.eq_ignore_ascii_case(header))
    }

    /// What a webhook's signature covers; none when a header it names is not there.
    fn signed(&self, delivery: &Delivery<'_>, bindings: &Bindings) -> Option<Vec<u8>> {
        self.over.as_ref()?.render_bytes(|name| match name.strip_prefix("header.") {
            Some(name) => Some(Cow::Owned(delivery.headers.get(&name.to_ascii_lowercase())?.clone().into_bytes())),
            None if name == "body" => Some(Cow::Borrowed(delivery.body)),
            None => bindings.text(name).map(|text| Cow::Owned(text.into_bytes())),
        })
    }

    /// Adds what proves a webhook to its headers, as the platform does: for contract tests. The header that
    /// holds the proof; none where it is made with a key that only the platform has.
    pub(super) fn sign(
        &self,
        headers: &mut BTreeMap<String, String>,
        body: &[u8],
        now: i64,
        secret: &str,
        bindings: &Bindings,
    ) -> Option<String> {
        let seconds = (now / 1_000_000).to_string();
        let (name, value) = match &self.verify {
            Verify::Hmac { algorithm, encoding, header, prefix, timestamp, .. } => {
                if let Some(timestamp) = timestamp {
                    headers.insert(timestamp.to_ascii_lowercase(), seconds);
                }
                let signed = self.signed(&Delivery { headers, body, now }, bindings).unwrap_or_default();
                let tag = hmac::sign(&hmac::Key::new(hash_of(*algorithm), secret.as_bytes()), &signed);
                let text = match encoding {
                    Encoding::Base64 => STANDARD.encode(tag.as_ref()),
                    Encoding::Hex => tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
                };
                (header.to_ascii_lowercase(), format!("{prefix}{text}"))
            }
            Verify::StandardWebhooks => {
                headers.entry("webhook-id".into()).or_insert_with(|| "msg_1".into());
                headers.insert("webhook-timestamp".into(), seconds.clone());
                let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).unwrap_or_default());
                let signed = [headers["webhook-id"].as_bytes(), b".", seconds.as_bytes(), b".", body].concat();
                ("webhook-signature".into(), format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed).as_ref())))
            }
            Verify::Token { header } => (header.to_ascii_lowercase(), secret.to_owned()),
            Verify::JwsDetached { .. } => return None,
        };
        headers.insert(name.clone(), value);
        Some(name)
    }

    fn prove(&self, delivery: &Delivery<'_>, proofs: &Proofs<'_>, bindings: &Bindings) -> Result<(), EventError> {
        let header = |name: &str| delivery.headers.get(&name.to_ascii_lowercase()).ok_or(EventError::Signature);
        let by_secret = !matches!(self.verify, Verify::JwsDetached { .. });
        if by_secret && proofs.secrets.is_empty() {
            return Err(EventError::NotConfigured);
        }
        let proven = match &self.verify {
            Verify::Hmac { algorithm, encoding, header: name, prefix, timestamp, tolerance, .. } => {
                if let Some(timestamp) = timestamp {
                    fresh(header(timestamp)?, delivery.now, tolerance.micros())?;
                }
                let signed = self.signed(delivery, bindings).ok_or(EventError::Signature)?;
                let given = header(name)?.strip_prefix(prefix.as_str()).ok_or(EventError::Signature)?;
                let tag = decode(*encoding, given.trim()).ok_or(EventError::Signature)?;
                let matches = |secret: &&str| {
                    hmac::verify(&hmac::Key::new(hash_of(*algorithm), secret.as_bytes()), &signed, &tag).is_ok()
                };
                proofs.secrets.iter().any(matches)
            }
            Verify::StandardWebhooks => {
                let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
                fresh(timestamp, delivery.now, TOLERANCE_S * 1_000_000)?;
                let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", delivery.body].concat();
                let tags: Vec<Vec<u8>> = header("webhook-signature")?
                    .split(' ')
                    .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
                    .collect();
                let keys = proofs.secrets.iter().filter_map(|secret| {
                    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?;
                    Some(hmac::Key::new(hmac::HMAC_SHA256, &key))
                });
                keys.into_iter().any(|key| tags.iter().any(|tag| hmac::verify(&key, &signed, tag).is_ok()))
            }
            Verify::Token { header: name } => {
                let given = header(name)?;
                proofs.secrets.iter().any(|secret| bool::from(secret.as_bytes().ct_eq(given.as_bytes())))
            }
            Verify::JwsDetached { header: name, .. } => {
                let keys = proofs.keys.ok_or(EventError::Signature)?;
                keys.verifies(header(name)?, delivery.body)
            }
        };
        if proven { Ok(()) } else { Err(EventError::Signature) }
    }
}

fn fresh(timestamp: &str, now: i64, tolerance: i64) -> Result<(), EventError> {
    let signed_at = timestamp.trim().parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000_000));
    let age = signed_at.map(|at| now.abs_diff(at)).ok_or(EventError::Signature)?;
    if age <= tolerance.unsigned_abs() { Ok(()) } else { Err(EventError::Signature) }
}

fn hash_of(algorithm: Algorithm) -> hmac::Algorithm {
    match algorithm {
        Algorithm::Sha256 => hmac::HMAC_SHA256,
        Algorithm::Sha512 => hmac::HMAC_SHA512,
        Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    }
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Hex => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
                [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
                _ => None,
            });
            pairs.collect()
        }
    }
}

/// The SHA-256 of a body, for webhooks without an id of their own.
fn hash(body: &[u8]) -> String {
    digest::digest(&digest::SHA256, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A JSON Web Key Set: the keys a platform publishes.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone, Debug, Deserialize)]
struct Key {
    kid: Option<String>,
    kty: String,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// Whether a detached JWS over this body was made with one of the keys.
    fn verifies(&self, jws: &str, body: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Protected {
            alg: String,
            kid: Option<String>,
            #[serde(default = "yes")]
            b64: bool,
        }
        fn yes() -> bool {
            true
        }
        let mut parts = jws.split('.');
        let (Some(protected), Some(""), Some(tag), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let head = URL_SAFE_NO_PAD.decode(protected).ok();
        let head: Option<Protected> = head.and_then(|json| serde_json::from_slice(&json).ok());
        let (Some(head), Ok(tag)) = (head, URL_SAFE_NO_PAD.decode(tag)) else { return false };
        let payload =
            if head.b64 { Cow::Owned(URL_SAFE_NO_PAD.encode(body).into_bytes()) } else { Cow::Borrowed(body) };
        let signed = [protected.as_bytes(), b".", &payload].concat();
        let named = |key: &&Key| head.kid.is_none() || key.kid == head.kid;
        self.keys.iter().filter(named).any(|key| key.verifies(&head.alg, &signed, &tag))
    }
}

impl Key {
    fn verifies(&self, algorithm: &str, signed: &[u8], tag: &[u8]) -> bool {
        let part = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?.trim_end_matches('=')).ok();
        match (algorithm, self.kty.as_str()) {
            ("RS256", "RSA") => {
                let (Some(n), Some(e)) = (part(&self.n), part(&self.e)) else { return false };
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed, tag).is_ok()
            }
            ("ES256", "EC") => {
                let (Some(x), Some(y)) = (part(&self.x), part(&self.y)) else { return false };
                let point = [&[4][..], &x, &y].concat();
                let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
                key.verify(signed, tag).is_ok()
            }
            // `none` and keyed hashes among them: who publishes keys signs with them.
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeySet;

    /// What `openssl dgst -sha256 -sign` made with the private half of this key.
    #[test]
    fn a_signature_by_rsa_holds_for_its_own_body_and_key_alone() {
        let n = "8muRAm7wIY2gZjAWYXt8g9Rfcij_m9DTILVZU77c7FpsnkeSFZjRMBhgHO87Rt1sD4X1d0UicFtbU4KZc69ZOxrToSdfGswaGI_S\
             MrN0ok2Q3fDBwu5nqyLZJCJ7iYlUO4GNfrgelxsXrlDkotax7gan2QN-vpGx0L8QGhgJfRrrFxHSgvhIgVP0xW5CzI1vzogB9ArM\
             1dRj9FRJuopznSMzQYowZ2SQMf75wil4sHq_yIwhLAMGZbHmYv-01_kT1cf0arhiR8B20XS1sjvuTKXNzCw16DQjw0ICuuOxCpq9\
             6p_IC9ctYTj3qPfnpPjiWbc9QO2mih2MhvexQS4O4Q";
        let head = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEiLCJiNjQiOmZhbHNlLCJjcml0IjpbImI2NCJdfQ";
        let tag = "nLLZuHyePDrYev5ddF_VneNhwM19_DB38yWbrY-r_C9OnFkikF59UVo_uXhFPR0iMnioMM1uXPp9dq1FPyhD1HsHCHHWou-54rVs\
             wsHhzi3z7bYhh7l87hGuiQnddL5EjVf-TPFQULbwgl-frbzQmatJRtm_UePae0_y4J6zFWsA1ZhH67MeRlNazd_m-P90czG9ZHoy\
             GveVJBI7JdBDrRd8uNFaFtzxMn0rdLJY98bz3Z1_s3cx4-ZILFDaOL8rbFO3gJU8iHAakwDKQtGCmUU4-adRav_x7yfHH92IArEN\
             nwnVS2s-VUDDOB0eP6Mz3xxktbwqajA3vHZV29M5og";
        let keys = |n: &str, kid: &str| {
            let set = serde_json::json!({ "keys": [{ "kty": "RSA", "kid": kid, "n": n, "e": "AQAB" }] });
            KeySet::read(set.to_string().as_bytes()).expect("a key set")
        };
        let jws = format!("{head}..{tag}");
        assert!(keys(n, "1").verifies(&jws, br#"{"id":7}"#));
        assert!(!keys(n, "1").verifies(&jws, br#"{"id":8}"#));
        assert!(!keys(n, "2").verifies(&jws, br#"{"id":7}"#));
        assert!(!keys(&n.replacen(&n[..4], "AAAA", 1), "1").verifies(&jws, br#"{"id":7}"#));
    }
}
