//! Owns what a browser is shown at the endpoint: GraphiQL with our title, our tour of tabs and a strict content security
//! policy. It refuses inline script, evaluated code and any origin but its own; a binary built without npm allows one
//! CDN, whose files are pinned by hash. The page is embedded because people meet the center where there is no internet.

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use serde_json::json;

// `BUNDLE`: gzipped files by name, or `None` without npm. `EXAMPLES`: (query, variables) of each tab.
include!(concat!(env!("OUT_DIR"), "/graphiql_assets.rs"));

macro_rules! source {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/graphiql/", $name))
    };
}

/// Files of the page built without npm, by name.
static FALLBACK: &[(&str, &str)] = &[
    ("fallback.js", source!("src/fallback.js")),
    ("page.js", source!("src/page.js")),
    ("page.css", source!("src/page.css")),
];

/// The CDN of the page built without npm: it serves the bytes of the npm packages, and these are their hashes.
const CDN: &str = "https://cdn.jsdelivr.net/npm/";
static PINNED: &[(&str, &str)] = &[
    ("graphiql@4.1.2/graphiql.min.css", "sha384-1el1QShFBnnXTx9x/Cprg82hZWKt0ry29OAYIXt05swbi0KcZDFoj0CWguMpopJr"),
    (
        "react@18.3.1/umd/react.production.min.js",
        "sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z",
    ),
    (
        "react-dom@18.3.1/umd/react-dom.production.min.js",
        "sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1",
    ),
    (
        "graphql-ws@6.4.2/umd/graphql-ws.min.js",
        "sha384-mxvR4Mzbsb6QVx/9xI2gtQikQA6m8zMDBFnu3l//4/ROsWt7y2sUGWd+/tYQqDm7",
    ),
    ("graphiql@4.1.2/graphiql.min.js", "sha384-9XdHu7ajgGJziD4J1zNBKQ842Q/+zZfDv+ib1eMhZWBH6hPAs806x+Jbcf0yNO6B"),
];

/// The page, ready to answer `GET` from a browser. Its addresses are relative: it works under any path prefix as long
/// as [`asset`] answers at `graphiql/…` beside it.
pub(crate) fn page() -> Response {
    static PAGE: LazyLock<(String, HeaderValue)> = LazyLock::new(|| match BUNDLE {
        Some(files) => (html(&bundled_head(files)), policy(None)),
        None => (html(&fallback_head()), policy(Some(CDN))),
    });
    let (html, policy) = &*PAGE;
    let mut response = Response::new(Body::from(html.as_str()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from(ACCEPT)); // the same address answers queries in JSON
    common(headers);
    response
}

/// One file of the page by its name below `graphiql/`, or `None` where there is no such file. `request` decides whether
/// the stored gzip bytes are sent as they are.
pub(crate) fn asset(name: &str, request: &HeaderMap) -> Option<Response> {
    let (body, gzipped): (Cow<'static, [u8]>, bool) = match BUNDLE {
        Some(files) => {
            let (_, packed) = files.iter().find(|(known, _)| *known == name)?;
            if accepts_gzip(request) { (Cow::Borrowed(packed), true) } else { (Cow::Owned(unpack(packed)?), false) }
        }
        None => (Cow::Borrowed(FALLBACK.iter().find(|(known, _)| *known == name)?.1.as_bytes()), false),
    };
    let mut response = Response::new(match body {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    // A bundled name holds a hash of its content; the others may change with the next build.
    let hashed = BUNDLE.is_some() && name.contains('-');
    let caching = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
    if gzipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    // A worker lives under the policy of its own file.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    common(headers);
    Some(response)
}

fn common(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// `origin` is a further place for scripts, styles and fonts. Editors set inline styles, nothing else is inline.
fn policy(origin: Option<&str>) -> HeaderValue {
    let own = origin.map_or_else(|| "'self'".to_owned(), |origin| format!("'self' {origin}"));
    let text = format!(
        "default-src 'none'; script-src {own}; style-src {own} 'unsafe-inline'; worker-src 'self'; \
         connect-src 'self'; img-src 'self' data:; font-src {own} data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

fn html(head: &str) -> String {
    let tabs: Vec<_> =
        EXAMPLES.iter().map(|(query, variables)| json!({"query": query, "variables": variables})).collect();
    // `<` never stands in the data block, so no example can end it.
    let tabs = json!(tabs).to_string().replace('<', "\\u003c");
    source!("page.html").replace("{{head}}", head).replace("{{examples}}", &tabs)
}

fn bundled_head(files: &[(&str, &[u8])]) -> String {
    let tags = files.iter().filter(|(name, _)| name.starts_with("main-")).map(|(name, _)| {
        if name.ends_with(".css") {
            format!("<link rel=\"stylesheet\" href=\"graphiql/{name}\">")
        } else {
            format!("<script type=\"module\" src=\"graphiql/{name}\"></script>")
        }
    });
    let licenses = "<link rel=\"license\" href=\"graphiql/licenses.txt\">".to_owned();
    tags.chain([licenses]).collect::<Vec<_>>().join("\n    ")
}

fn fallback_head() -> String {
    let pinned = PINNED.iter().map(|(path, hash)| {
        if path.ends_with(".css") {
            format!("<link rel=\"stylesheet\" href=\"{CDN}{path}\" integrity=\"{hash}\" crossorigin=\"anonymous\">")
        } else {
            format!("<script defer src=\"{CDN}{path}\" integrity=\"{hash}\" crossorigin=\"anonymous\"></script>")
        }
    });
    let own = [
        "<link rel=\"stylesheet\" href=\"graphiql/page.css\">".to_owned(),
        "<script type=\"module\" src=\"graphiql/fallback.js\"></script>".to_owned(),
    ];
    pinned.chain(own).collect::<Vec<_>>().join("\n    ")
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("ttf") => "font/ttf",
        _ => "text/plain; charset=utf-8",
    }
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let offers = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    offers.flat_map(|value| value.split(',')).any(|offer| {
        let (coding, weight) = offer.split_once(';').unwrap_or((offer, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty());
        coding.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bytes(response: Response) -> Vec<u8> {
        axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap().to_vec()
    }

    /// Every `src` and `href` of the page that is not a `data:` address.
    fn addresses(html: &str) -> Vec<&str> {
        let quoted = html.split(['"']).collect::<Vec<_>>();
        let pairs = quoted.windows(2).filter(|pair| pair[0].ends_with("src=") || pair[0].ends_with("href="));
        pairs.map(|pair| pair[1]).filter(|address| !address.starts_with("data:")).collect()
    }

    #[tokio::test]
    async fn the_page_asks_only_for_what_is_served() {
        let page = String::from_utf8(bytes(page()).await).unwrap();
        let own: Vec<_> = addresses(&page).into_iter().filter_map(|a| a.strip_prefix("graphiql/")).collect();
        assert!(
            own.iter().any(|name| name.ends_with(".js")) && own.iter().any(|name| name.ends_with(".css")),
            "{own:?}"
        );
        for name in own {
            assert!(asset(name, &HeaderMap::new()).is_some(), "{name}");
        }
        assert!(asset("../Cargo.toml", &HeaderMap::new()).is_none());
    }

    #[test]
    fn nothing_is_inline_and_no_other_origin_is_named() {
        let policy = page().headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        let scripts = policy.split(';').find(|part| part.trim().starts_with("script-src")).unwrap();
        assert!(policy.starts_with("default-src 'none';") && !scripts.contains("unsafe"), "{policy}");
        if BUNDLE.is_some() {
            assert!(!policy.contains("://") && !policy.contains("blob:"), "{policy}");
        }
        for html in [html(&fallback_head()), BUNDLE.map(|files| html(&bundled_head(files))).unwrap_or_default()] {
            assert!(
                html.split("<script").skip(1).all(|tag| tag.contains(" src=\"") || tag.contains("application/json"))
            );
            assert!(!html.contains("<style"));
        }
    }

    #[test]
    fn every_foreign_file_is_pinned_by_version_and_hash() {
        let head = fallback_head();
        for line in head.lines().filter(|line| line.contains("https://")) {
            assert!(line.contains("integrity=\"sha384-") && line.contains("crossorigin=\"anonymous\""), "{line}");
            assert!(line.split(CDN).nth(1).is_some_and(|path| path.contains('@')), "{line}");
        }
        assert_eq!(head.matches("https://").count(), PINNED.len());
    }

    #[test]
    fn the_tabs_are_the_example_files() {
        let html = html("");
        let data = html.split("id=\"examples\">").nth(1).unwrap().split("</script>").next().unwrap();
        let tabs: Vec<serde_json::Value> = serde_json::from_str(data).unwrap();
        assert_eq!(tabs.len(), EXAMPLES.len());
        assert!(tabs.len() > 5);
        for tab in tabs {
            assert!(tab["query"].as_str().unwrap().starts_with("# "), "a tab says first what it shows: {tab}");
            let variables = tab["variables"].as_str().unwrap();
            assert!(
                variables.is_empty() || serde_json::from_str::<serde_json::Value>(variables).is_ok(),
                "{variables}"
            );
        }
    }

    #[tokio::test]
    async fn packed_and_plain_bytes_are_the_same_file() {
        let Some(files) = BUNDLE else { return };
        let mut accepting = HeaderMap::new();
        accepting.insert(ACCEPT_ENCODING, HeaderValue::from_static("br, gzip;q=0.8"));
        for (name, _) in files {
            let packed = asset(name, &accepting).unwrap();
            assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
            let plain = asset(name, &HeaderMap::new()).unwrap();
            assert!(!plain.headers().contains_key(CONTENT_ENCODING));
            assert_eq!(unpack(&bytes(packed).await).unwrap(), bytes(plain).await);
        }
    }

    #[test]
    fn gzip_is_sent_only_where_it_is_welcome() {
        for (offer, welcome) in [
            ("gzip", true),
            ("br, GZIP", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(offer));
            assert_eq!(accepts_gzip(&headers), welcome, "{offer}");
        }
    }
}
