//! Webhooks: proven over the raw bytes, or not believed at all.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue};
use order_adapter::Package;
use order_center::source::{EventError, OrderSource, SourceEvent};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::shop::{Fault, Shop, woocommerce};

const BODY: &str = r#"{"id": 727, "status": "processing", "currency": "EUR", "total": "20.00", "refunds": []}"#;
const VERIFY: &str =
    "verify = { type = \"hmac\", algorithm = \"sha256\", encoding = \"base64\", header = \"x-wc-webhook-signature\" }";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
}

fn tag(algorithm: hmac::Algorithm, secret: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, secret), text).as_ref().to_vec()
}

/// What the shop signs a body with.
pub(super) fn signature(body: &[u8]) -> String {
    STANDARD.encode(tag(hmac::HMAC_SHA256, b"webhook-secret", body))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The WooCommerce adapter with another proof.
fn proven_by(verify: &str) -> Arc<Package> {
    woocommerce(&[
        (VERIFY, &format!("verify = {{ {verify} }}")),
        (
            "event_id = '.headers[\"x-wc-webhook-delivery-id\"]'\naccept = '.headers[\"x-wc-webhook-resource\"] == \"order\"'\n",
            "",
        ),
    ])
}

fn woo(signature: &str, more: &[(&'static str, &str)]) -> HeaderMap {
    let mut all = headers(&[
        ("x-wc-webhook-signature", signature),
        ("x-wc-webhook-delivery-id", "d1"),
        ("x-wc-webhook-resource", "order"),
    ]);
    all.extend(headers(more));
    all
}

#[tokio::test]
async fn a_signed_webhook_restates_the_order_and_a_forged_one_is_nothing() {
    let shop = Shop::start().await;
    let source = shop.source();
    let good = STANDARD.encode(tag(hmac::HMAC_SHA256, b"webhook-secret", BODY.as_bytes()));
    let old = STANDARD.encode(tag(hmac::HMAC_SHA256, b"old-webhook-secret", BODY.as_bytes()));
    for signature in [&good, &old] {
        let (id, event) = source.parse_event(&woo(signature, &[]), BODY.as_bytes(), now()).unwrap();
        let SourceEvent::Restated(raw) = event else { panic!("it holds the whole order") };
        assert_eq!((id.as_str(), raw.source_order_id.unwrap().as_str()), ("d1", "727"));
    }

    let changed = BODY.replace("20.00", "99.00");
    let short = STANDARD.encode(&tag(hmac::HMAC_SHA256, b"webhook-secret", BODY.as_bytes())[..16]);
    let stranger = STANDARD.encode(tag(hmac::HMAC_SHA256, b"guess", BODY.as_bytes()));
    let sha1 = STANDARD.encode(tag(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"webhook-secret", BODY.as_bytes()));
    for (signature, body) in [
        (good.as_str(), changed.as_str()),
        (&good, ""),
        (&stranger, BODY),
        (&short, BODY),
        (&sha1, BODY),
        ("", BODY),
        ("not base64!", BODY),
        (&good.to_lowercase(), BODY),
    ] {
        let refused = source.parse_event(&woo(signature, &[]), body.as_bytes(), now());
        assert!(matches!(refused, Err(EventError::Signature)), "{signature} over {body}: {refused:?}");
    }
    let unsigned = headers(&[("x-wc-webhook-resource", "order")]);
    assert!(matches!(source.parse_event(&unsigned, BODY.as_bytes(), now()), Err(EventError::Signature)));
    let deaf = shop.source_with(&woocommerce(&[]), |config| config.webhook_secrets.clear());
    assert!(matches!(deaf.parse_event(&woo(&good, &[]), BODY.as_bytes(), now()), Err(EventError::NotConfigured)));
}

#[tokio::test]
async fn what_a_proven_webhook_says_decides_what_is_done() {
    let shop = Shop::start().await;
    let source = shop.source();
    let signed = |body: &str| STANDARD.encode(tag(hmac::HMAC_SHA256, b"webhook-secret", body.as_bytes()));
    let parse = |body: &str, more: &[(&'static str, &str)]| {
        source.parse_event(&woo(&signed(body), more), body.as_bytes(), now()).map(|(_, event)| event)
    };
    assert!(matches!(parse(BODY, &[("x-wc-webhook-resource", "product")]), Ok(SourceEvent::Ignored)));
    assert!(
        matches!(parse(BODY, &[("x-wc-webhook-event", "deleted")]), Ok(SourceEvent::Changed(id)) if id.as_str() == "727")
    );
    let refunded = r#"{"id": 727, "refunds": [{"id": 9}]}"#;
    assert!(matches!(parse(refunded, &[]), Ok(SourceEvent::Changed(_))), "the lines of a refund have to be read");
    assert!(matches!(parse("<html>", &[]), Err(EventError::Malformed(_))));
    assert!(matches!(parse("{}", &[]), Err(EventError::Malformed(_))));

    let ping = headers(&[("content-type", "application/x-www-form-urlencoded")]);
    assert!(matches!(source.parse_event(&ping, b"webhook_id=1", now()), Ok((_, SourceEvent::Ignored))));
}

#[tokio::test]
async fn other_keyed_hashes_cover_what_the_platform_signs() {
    let shop = Shop::start().await;
    let package = proven_by(
        "type = \"hmac\", algorithm = \"sha512\", encoding = \"hex\", header = \"X-Signature\", prefix = \"v1=\", \
         over = \"${header.x-time}.${body}\", timestamp = \"X-Time\"",
    );
    let source = shop.source_with(&package, |_| ());
    let signed = |time: &str| {
        let text = [time.as_bytes(), b".", BODY.as_bytes()].concat();
        headers(&[
            ("x-time", time),
            ("x-signature", &format!("v1={}", hex(&tag(hmac::HMAC_SHA512, b"webhook-secret", &text)))),
        ])
    };
    assert!(source.parse_event(&signed("1700000000"), BODY.as_bytes(), now()).is_ok());
    assert!(source.parse_event(&signed("1699999701"), BODY.as_bytes(), now()).is_ok());
    for time in ["1699999699", "1700000301", "soon", "-1", "99999999999999999999"] {
        let refused = source.parse_event(&signed(time), BODY.as_bytes(), now());
        assert!(matches!(refused, Err(EventError::Signature)), "{time} is not now");
    }
    let mut moved = signed("1700000000");
    moved.insert("x-time", HeaderValue::from_static("1700000001"));
    assert!(source.parse_event(&moved, BODY.as_bytes(), now()).is_err(), "the time is signed, too");
}

#[tokio::test]
async fn standard_webhooks_and_tokens() {
    let shop = Shop::start().await;
    let secret = STANDARD.encode(b"0123456789abcdef0123456789abcdef");
    let source = shop.source_with(&proven_by("type = \"standard_webhooks\""), |config| {
        config.webhook_secrets = vec![format!("whsec_{secret}").into()];
    });
    let standard = standardwebhooks::Webhook::new(&secret).unwrap();
    let signature = standard.sign("m1", 1_700_000_000, BODY.as_bytes()).unwrap();
    let send = |id: &str, time: &str, signature: &str| {
        let all = headers(&[("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)]);
        source.parse_event(&all, BODY.as_bytes(), now())
    };
    assert!(send("m1", "1700000000", &signature).is_ok());
    assert!(send("m1", "1700000000", &format!("v1,AAAA {signature}")).is_ok(), "one of several");
    for (id, time, signature) in [
        ("m2", "1700000000", signature.as_str()),
        ("m1", "1700000001", &signature),
        ("m1", "1700000000", "v1,"),
        ("m1", "1700000000", "v1a,x"),
    ] {
        assert!(matches!(send(id, time, signature), Err(EventError::Signature)), "{id} {time} {signature}");
    }

    let source = shop.source_with(&proven_by("type = \"token\", header = \"x-token\""), |_| ());
    let send = |token: &str| source.parse_event(&headers(&[("x-token", token)]), BODY.as_bytes(), now());
    assert!(send("webhook-secret").is_ok());
    for token in ["", "webhook-secre", "webhook-secret2", "WEBHOOK-SECRET"] {
        assert!(matches!(send(token), Err(EventError::Signature)), "{token}");
    }
    // The event's id is stored: the secret must not get there.
    let curious = woocommerce(&[
        (VERIFY, "verify = { type = \"token\", header = \"X-Token\" }"),
        (".headers[\"x-wc-webhook-delivery-id\"]", ".headers | tostring"),
        ("accept = '.headers[\"x-wc-webhook-resource\"] == \"order\"'\n", ""),
    ]);
    let source = shop.source_with(&curious, |_| ());
    let all = headers(&[("x-token", "webhook-secret"), ("x-other", "seen")]);
    let (id, _) = source.parse_event(&all, BODY.as_bytes(), now()).unwrap();
    assert!(id.contains("seen") && !id.contains("webhook-secret"), "{id}");
}

#[tokio::test]
async fn a_detached_signature_is_checked_with_the_key_the_platform_publishes() {
    let shop = Shop::start().await;
    let random = SystemRandom::new();
    let pair = || {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap()
    };
    let (ours, other) = (pair(), pair());
    let jwk = |pair: &EcdsaKeyPair, kid: &str| {
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[..32]), URL_SAFE_NO_PAD.encode(&point[32..]));
        json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y })
    };
    let published = json!({ "keys": [jwk(&ours, "k1")] }).to_string();
    shop.plan(move |asked, _| match asked.path.as_str() {
        "/.well-known/jwks.json" => Fault::Instead(200, vec![], published.clone()),
        _ => Fault::None,
    });
    let package = proven_by("type = \"jws_detached\", header = \"x-jws\", jwks = \"/.well-known/jwks.json\"");
    let source = shop.source_with(&package, |config| config.webhook_secrets.clear());
    let sign = |pair: &EcdsaKeyPair, head: serde_json::Value, body: &str| {
        let attached = head["b64"] != json!(false);
        let head = URL_SAFE_NO_PAD.encode(head.to_string());
        let payload = if attached { URL_SAFE_NO_PAD.encode(body) } else { body.to_owned() };
        let tag = pair.sign(&random, format!("{head}.{payload}").as_bytes()).unwrap();
        headers(&[("x-jws", &format!("{head}..{}", URL_SAFE_NO_PAD.encode(tag)))])
    };
    let head = || json!({ "alg": "ES256", "kid": "k1", "b64": false, "crit": ["b64"] });
    let send = |headers: &HeaderMap| source.parse_event(headers, BODY.as_bytes(), now());

    let good = sign(&ours, head(), BODY);
    assert!(matches!(send(&good), Err(EventError::Signature)), "no key is known yet, so nothing is believed");
    source.describe().await.unwrap();
    assert!(send(&good).is_ok());
    assert!(send(&sign(&ours, json!({ "alg": "ES256", "kid": "k1" }), BODY)).is_ok());
    for forged in [
        sign(&other, head(), BODY),
        sign(&ours, head(), "another body"),
        sign(&ours, json!({ "alg": "ES256", "kid": "k2", "b64": false }), BODY),
        sign(&ours, json!({ "alg": "none", "kid": "k1", "b64": false }), BODY),
        sign(&ours, json!({ "alg": "HS256", "kid": "k1", "b64": false }), BODY),
        headers(&[("x-jws", "e30..")]),
        headers(&[("x-jws", "..")]),
        headers(&[("x-jws", "")]),
    ] {
        assert!(matches!(send(&forged), Err(EventError::Signature)), "{forged:?}");
    }
}
