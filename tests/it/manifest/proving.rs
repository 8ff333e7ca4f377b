//! Every way to prove who the center is, over HTTP, judged by a platform that checks it as its kind does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use order_center::source::OrderSource as _;
use order_contract::SourceOrderId;
use reqwest::Url;
use ring::hmac;
use serde_json::{Value, json};

use super::shop::{Asked, Fault, Shop, woocommerce};

/// Reads one order through these credentials. `platform` answers requests for tokens and says whether another request
/// proves enough.
async fn read(auth: &str, mut platform: impl FnMut(&Asked) -> Answer + Send + 'static) -> bool {
    let shop = Shop::start().await;
    shop.plan(move |asked, _| match platform(asked) {
        Answer::Proven(true) => Fault::Instead(200, vec![], json!({ "id": 7 }).to_string()),
        Answer::Proven(false) => Fault::Instead(401, vec![], json!({ "code": "no", "message": "No." }).to_string()),
        Answer::Token(body) => Fault::Instead(200, vec![], body.to_string()),
    });
    let basic = "type = \"basic\"\nusername = \"${secrets.consumer_key}\"\npassword = \"${secrets.consumer_secret}\"\n";
    let package = woocommerce(&[(basic, auth)]);
    let id = SourceOrderId::try_new("7").unwrap();
    matches!(shop.source_with(&package, |_| ()).fetch(&id).await, Ok(Some(_)))
}

enum Answer {
    Proven(bool),
    Token(Value),
}

fn header<'a>(asked: &'a Asked, name: &str) -> &'a str {
    asked.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn form(asked: &Asked) -> BTreeMap<String, String> {
    let query = asked.text.as_str();
    Url::parse(&format!("http://x/?{query}")).unwrap().query_pairs().into_owned().collect()
}

#[tokio::test]
async fn keys_go_where_the_platform_looks_for_them() {
    let bearer = "type = \"bearer\"\ntoken = \"${secrets.consumer_key}\"\n";
    assert!(read(bearer, |asked| Answer::Proven(header(asked, "authorization") == "Bearer ck_1")).await);
    let own = "type = \"header\"\nname = \"x-api-key\"\nvalue = \"key ${secrets.consumer_key}\"\n";
    assert!(read(own, |asked| Answer::Proven(header(asked, "x-api-key") == "key ck_1")).await);
    let query = "type = \"query\"\n[auth.parameters]\nkey = \"${secrets.consumer_key}\"\nsecret = \"${secrets.consumer_secret}\"\n";
    let both = |asked: &Asked| asked.query["key"] == "ck_1" && asked.query["secret"] == "cs_1";
    assert!(read(query, move |asked| Answer::Proven(both(asked))).await);
    assert!(!read(query, |_| Answer::Proven(false)).await, "a platform that refuses is heard");
}

#[tokio::test]
async fn a_request_is_signed_as_oauth_1_wants_it() {
    for (method, algorithm) in [("hmac-sha256", hmac::HMAC_SHA256), ("hmac-sha1", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)]
    {
        let auth = format!(
            "type = \"oauth1\"\nconsumer_key = \"${{secrets.consumer_key}}\"\nconsumer_secret = \"${{secrets.consumer_secret}}\"\nmethod = \"{method}\"\n"
        );
        let proven = move |asked: &Asked| {
            let given: BTreeMap<String, String> = header(asked, "authorization")
                .trim_start_matches("OAuth ")
                .split(", ")
                .filter_map(|field| field.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
                .collect();
            // Everything in these values is plain, so that encoding it once is what RFC 5849 asks for.
            let signed: Vec<String> = given
                .iter()
                .filter(|(name, _)| *name != "oauth_signature")
                .map(|(name, value)| format!("{name}%3D{value}"))
                .collect();
            let address = format!("http://{}{}", header(asked, "host"), asked.path);
            let address = address.replace(':', "%3A").replace('/', "%2F");
            let base = format!("{}&{address}&{}", asked.method, signed.join("%26"));
            let tag = hmac::sign(&hmac::Key::new(algorithm, b"cs_1&"), base.as_bytes());
            let mine = STANDARD.encode(tag).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
            given["oauth_consumer_key"] == "ck_1" && given["oauth_signature"] == mine
        };
        assert!(read(&auth, move |asked| Answer::Proven(proven(asked))).await, "{method}");
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_with_what_the_grant_wants() {
    let common = "token_url = \"${url}/token\"\nclient_id = \"${secrets.consumer_key}\"\nclient_secret = \"${secrets.consumer_secret}\"\n";
    let client = format!("type = \"oauth2_client\"\n{common}client_auth = \"body\"\nscope = \"orders:read\"\n");
    let refresh = format!(
        "type = \"oauth2_refresh\"\n{common}refresh_token = \"${{secrets.consumer_secret}}\"\nheader = \"x-access-token\"\n"
    );
    let fetched = Arc::new(AtomicUsize::new(0));
    for (auth, grant) in [(client, "client_credentials"), (refresh, "refresh_token")] {
        let fetched = fetched.clone();
        let proven = read(&auth, move |asked| {
            if asked.path == "/token" {
                let form = form(asked);
                assert_eq!(form["grant_type"], grant);
                if grant == "refresh_token" {
                    assert_eq!(
                        (form["refresh_token"].as_str(), header(asked, "authorization")),
                        ("cs_1", "Basic Y2tfMTpjc18x")
                    );
                } else {
                    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("ck_1", "cs_1"));
                    assert_eq!((form["scope"].as_str(), header(asked, "authorization")), ("orders:read", ""));
                }
                fetched.fetch_add(1, Ordering::Relaxed);
                return Answer::Token(json!({ "access_token": "t1", "token_type": "bearer", "expires_in": 3600 }));
            }
            let own = header(asked, "x-access-token") == "t1" && header(asked, "authorization").is_empty();
            Answer::Proven(if grant == "refresh_token" { own } else { header(asked, "authorization") == "Bearer t1" })
        });
        assert!(proven.await, "{grant}");
    }
    assert_eq!(fetched.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_session_begins_with_a_log_in_and_anew_when_it_has_ended() {
    let auth = "type = \"session\"\ntoken = \".body.token\"\nlogin = { path = \"/login\", fields = { user = \"${secrets.consumer_key}\", password = \"${secrets.consumer_secret}\" } }\n";
    let logins = Arc::new(AtomicUsize::new(0));
    let counted = logins.clone();
    let proven = read(auth, move |asked| {
        if asked.path == "/wp-json/wc/v3/login" {
            assert_eq!(asked.body, json!({ "user": "ck_1", "password": "cs_1" }));
            let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
            return Answer::Token(json!({ "token": format!("s{number}") }));
        }
        // The first session has ended before it is used.
        Answer::Proven(header(asked, "authorization") == "Bearer s2")
    });
    assert!(proven.await);
    assert_eq!(logins.load(Ordering::Relaxed), 2);
}
