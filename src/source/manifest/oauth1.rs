//! OAuth 1.0a signatures (RFC 5849).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use order_adapter::engine::percent_encoded;
use reqwest::Url;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// The keys of one source.
pub(super) struct Oauth1 {
    pub(super) consumer_key: SecretString,
    pub(super) consumer_secret: SecretString,
    pub(super) token: Option<SecretString>,
    pub(super) token_secret: Option<SecretString>,
    pub(super) sha1: bool,
}

/// The `Authorization` header of a request now. `query` is what stands in the URL, not encoded.
pub(super) fn authorization(keys: &Oauth1, method: &Method, url: &Url, query: &[(String, String)]) -> String {
    let timestamp = chrono::Utc::now().timestamp();
    sign(keys, method, url, query, &Uuid::now_v7().simple().to_string(), timestamp)
}

fn sign(keys: &Oauth1, method: &Method, url: &Url, query: &[(String, String)], nonce: &str, timestamp: i64) -> String {
    let (name, algorithm) = match keys.sha1 {
        true => ("HMAC-SHA1", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        false => ("HMAC-SHA256", hmac::HMAC_SHA256),
    };
    let mut own = vec![
        ("oauth_consumer_key", keys.consumer_key.expose_secret().to_owned()),
        ("oauth_nonce", nonce.to_owned()),
        ("oauth_signature_method", name.to_owned()),
        ("oauth_timestamp", timestamp.to_string()),
        ("oauth_version", "1.0".to_owned()),
    ];
    own.extend(keys.token.as_ref().map(|token| ("oauth_token", token.expose_secret().to_owned())));

    let encode = |(name, value): (&str, &str)| (percent_encoded(name), percent_encoded(value));
    let mut parameters: Vec<_> = own
        .iter()
        .map(|(name, value)| encode((name, value)))
        .chain(query.iter().map(|(name, value)| encode((name, value))))
        .collect();
    parameters.sort();
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // The base string URI: no default port, no query.
    let address = format!("{}{}", url.origin().ascii_serialization(), url.path());
    let base = [method.as_str(), &percent_encoded(&address), &percent_encoded(&parameters.join("&"))].join("&");
    let token_secret = keys.token_secret.as_ref().map_or("", |secret| secret.expose_secret());
    let key = format!("{}&{}", percent_encoded(keys.consumer_secret.expose_secret()), percent_encoded(token_secret));
    let signature = hmac::sign(&hmac::Key::new(algorithm, key.as_bytes()), base.as_bytes());
    own.push(("oauth_signature", STANDARD.encode(signature)));

    let fields = own.iter().map(|(name, value)| format!("{name}=\"{}\"", percent_encoded(value)));
    format!("OAuth {}", fields.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::{Oauth1, sign};
    use http::Method;

    #[test]
    fn the_signature_of_a_known_request() {
        // The example of OAuth Core 1.0, appendix A.5.
        let keys = Oauth1 {
            consumer_key: "dpf43f3p2l4k3l03".into(),
            consumer_secret: "kd94hf93k423kf44".into(),
            token: Some("nnch734d00sl2jdk".into()),
            token_secret: Some("pfkkdhi9sl3r4s00".into()),
            sha1: true,
        };
        let url = "http://photos.example.net/photos".parse().expect("a URL");
        let query = [("file".to_owned(), "vacation.jpg".to_owned()), ("size".to_owned(), "original".to_owned())];
        let header = sign(&keys, &Method::GET, &url, &query, "kllo9940pd9333jh", 1_191_242_096);
        assert!(header.contains("oauth_signature=\"tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D\""), "{header}");
    }
}
