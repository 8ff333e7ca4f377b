//! Bad answers and bad configurations: a clear error on that source, and nothing of the inside or of a secret in it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use order_adapter::Package;
use order_center::source::manifest::{ManifestConfig, ManifestSource};
use order_center::source::{ChangeWindow, OrderSource};
use order_contract::SourceOrderId;
use serde_json::json;

use super::shop::{Fault, Shop, woocommerce};

/// A change of a configuration.
type Change = fn(&mut ManifestConfig);

fn window() -> ChangeWindow {
    ChangeWindow { limit: 10, ..ChangeWindow::default() }
}

/// An error with its causes, as an operator reads it.
fn said(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn whatever_a_platform_answers_the_error_says_what_it_was() {
    type Sent = (u16, Vec<(&'static str, String)>, String, &'static str);
    let cases: Vec<Sent> = vec![
        (
            200,
            vec![("content-type", "text/html".into())],
            "<html>Maintenance</html>".into(),
            "no list of records in 200 (text/html): <html>",
        ),
        (200, vec![], "[".repeat(100_000), "no list of records"),
        (200, vec![], "{}".into(), "no list of records"),
        (200, vec![], "[{\"id\": 1".into(), "no list of records"),
        (200, vec![], " ".repeat(50 << 20), "more than 4194304 bytes"),
        (302, vec![("location", "http://169.254.169.254/latest/meta-data/".into())], String::new(), "refused (302)"),
        (401, vec![], "{}".into(), "refused the credentials"),
        (429, vec![("retry-after", "7".into())], String::new(), "asks to wait 7 s"),
        (
            404,
            vec![],
            json!({ "code": "rest_no_route", "message": "No route was found." }).to_string(),
            "refused (404): No route was found.",
        ),
        (500, vec![], "stack trace".into(), "refused (500)"),
    ];
    for (status, headers, body, wanted) in cases {
        let shop = Shop::start().await;
        let name = format!("{status} {:.40}", body);
        shop.plan(move |_, _| Fault::Instead(status, headers.clone(), body.clone()));
        let error = shop.source().list_changes(&window()).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{name}: {error}");
        assert!(!said(&error).contains("cs_1") && !said(&error).contains("Y2tf"), "no secret is shown: {error}");
    }
}

#[tokio::test]
async fn a_filter_or_a_sorting_that_is_ignored_is_noticed() {
    let shop = Shop::start().await;
    for id in 0..5 {
        shop.put(id, 1_699_000_000 + id as i64, "processing");
    }
    let since = chrono::DateTime::from_timestamp(1_699_500_000, 0);
    let misspelled = woocommerce(&[("modified_after = \"${cursor.since}\"", "modified_aftr = \"${cursor.since}\"")]);
    let source = shop.source_with(&misspelled, |_| ());
    let error = source.list_changes(&ChangeWindow { since, ..window() }).await.unwrap_err();
    assert!(error.to_string().contains("the platform ignores the filter"), "{error}");

    shop.plan(|_, _| {
        let order = |second: u32| json!({ "id": second, "date_modified_gmt": format!("2023-11-14T00:00:{second:02}") });
        Fault::Instead(200, vec![], json!([order(5), order(3)]).to_string())
    });
    let error = shop.source().list_changes(&window()).await.unwrap_err();
    assert!(error.to_string().contains("does not sort by time of change"), "{error}");
}

#[tokio::test]
async fn a_brief_absence_is_waited_out_and_a_page_that_repeats_forever_is_not() {
    let shop = Shop::start().await;
    shop.put(1, 1_699_999_000, "processing");
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = failures.clone();
    shop.plan(move |_, _| match counted.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Fault::Instead(503, vec![], "<html>busy</html>".into()),
        _ => Fault::None,
    });
    let page = shop.source().list_changes(&window()).await;
    // The adapter's own rule takes a 503 without Retry-After for what may pass.
    assert_eq!(page.unwrap().orders.len(), 1, "the third try was answered");
    assert_eq!(failures.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_token_that_expires_between_two_pages_is_renewed_once() {
    let shop = Shop::start().await;
    for id in 0..30 {
        shop.put(id, 1_699_999_000 + id as i64, "processing");
    }
    let oauth = "type = \"oauth2_client\"\ntoken_url = \"${url}/token\"\nclient_id = \"${secrets.consumer_key}\"\nclient_secret = \"${secrets.consumer_secret}\"\n";
    let package = woocommerce(&[(
        "type = \"basic\"\nusername = \"${secrets.consumer_key}\"\npassword = \"${secrets.consumer_secret}\"\n",
        oauth,
    )]);
    let issued = Arc::new(AtomicUsize::new(0));
    let counted = issued.clone();
    let mut pages = 0;
    shop.plan(move |asked, _| {
        if asked.path == "/token" {
            assert_eq!(asked.headers["authorization"], "Basic Y2tfMTpjc18x");
            let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
            return Fault::Instead(
                200,
                vec![],
                json!({ "access_token": format!("t{number}"), "expires_in": 3600 }).to_string(),
            );
        }
        let token = asked.headers["authorization"].to_str().unwrap().to_owned();
        pages += 1;
        if (pages > 1 && token == "Bearer t1") || token == "Bearer t0" {
            return Fault::Instead(401, vec![], json!({ "code": "expired", "message": "Token expired." }).to_string());
        }
        let order = |id: i64| json!({ "id": id, "date_modified_gmt": "2023-11-14T00:00:00" });
        Fault::Instead(200, vec![("x-wp-totalpages", "1".into())], json!([order(1)]).to_string())
    });
    let source = shop.source_with(&package, |_| ());
    for _ in 0..3 {
        assert_eq!(source.list_changes(&window()).await.unwrap().orders.len(), 1);
    }
    assert_eq!(issued.load(Ordering::Relaxed), 2, "one token, and one more when it had expired");
}

#[tokio::test]
async fn a_next_page_elsewhere_is_not_followed() {
    let shop = Shop::start().await;
    let page = "[list.page]\nstrategy = \"seek\"\nsize = 100\nmore = '(.headers[\"x-wp-totalpages\"] // \"0\" | tonumber) > 1'\n";
    let package = woocommerce(&[(page, "[list.page]\nstrategy = \"link\"\nsize = 100\n")]);
    for link in [
        "http://169.254.169.254/",
        "https://other.example/wp-json/wc/v3/orders",
        "/elsewhere",
        "//other.example/wp-json/wc/v3/",
    ] {
        let header = format!("<{link}>; rel=\"next\"");
        shop.plan(move |_, _| Fault::Instead(200, vec![("link", header.clone())], "[]".into()));
        let source = shop.source_with(&package, |_| ());
        let first = source.list_changes(&window()).await.unwrap();
        let before = shop.asked().len();
        let error = source.list_changes(&ChangeWindow { page: first.next, ..window() }).await.unwrap_err();
        assert!(error.to_string().contains("not below the source's own base"), "{link}: {error}");
        assert_eq!(shop.asked().len(), before, "nothing was asked");
    }
    let header = format!("<{}/wp-json/wc/v3/orders?cursor=a%20b>; rel=\"next\"", shop.url);
    shop.plan(move |asked, _| match asked.query.contains_key("cursor") {
        false => Fault::Instead(200, vec![("link", header.clone())], "[]".into()),
        true => Fault::Instead(200, vec![], "[]".into()),
    });
    let source = shop.source_with(&package, |_| ());
    let first = source.list_changes(&window()).await.unwrap();
    let last = source.list_changes(&ChangeWindow { page: first.next, ..window() }).await.unwrap();
    assert_eq!(last.next, None);
    assert_eq!(shop.asked().last().unwrap().query["cursor"], "a b");
}

#[tokio::test]
async fn an_id_stays_in_its_segment() {
    let shop = Shop::start().await;
    let source = shop.source();
    for (id, path) in [
        ("../../wp-admin", "/wp-json/wc/v3/orders/..%2F..%2Fwp-admin"),
        ("7?x=1#y", "/wp-json/wc/v3/orders/7%3Fx%3D1%23y"),
    ] {
        assert_eq!(source.fetch(&SourceOrderId::try_new(id).unwrap()).await.unwrap(), None);
        assert_eq!(shop.asked().last().unwrap().path, path);
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_at_the_start() {
    let shop = Shop::start().await;
    let package = woocommerce(&[]);
    let refuse = |package: &Arc<Package>, change: Change| {
        said(&ManifestSource::new(shop.config(package, change)).err().expect("it cannot work"))
    };
    let cases: [(Change, &str); 8] = [
        (|c| c.url = "http://169.254.169.254/".into(), "never called"),
        (|c| c.url = "ftp://shop.example".into(), "only http and https"),
        (|c| c.url = "shop.example".into(), "is no URL"),
        (|c| c.url = "https://user:pass@shop.example".into(), "credentials belong"),
        (|c| drop(c.secrets.remove("consumer_key")), "the secret `consumer_key` is missing: The REST API key"),
        (|c| drop(c.secrets.insert("consumer_kee".into(), "x".into())), "there is no secret `consumer_kee`"),
        (|c| drop(c.settings.insert("knd".into(), json!("RETAIL"))), "has no setting \"knd\""),
        // A line break in a Basic user is encoded: it is no injection.
        (|c| drop(c.secrets.insert("consumer_key".into(), "a\nb".into())), ""),
    ];
    for (change, wanted) in cases {
        if wanted.is_empty() {
            assert!(ManifestSource::new(shop.config(&package, change)).is_ok());
            continue;
        }
        let error = refuse(&package, change);
        assert!(error.contains(wanted) && !error.contains("cs_1"), "{wanted}: {error}");
    }
    for (from, to, wanted) in [
        (
            "path = \"/orders/${id}\" }",
            "path = \"/orders/${secrets.consumer_key}\" }",
            "there is no ${secrets.consumer_key} here",
        ),
        ("base = \"${url}/wp-json/wc/v3\"", "base = \"https://evil.example/${url}\"", "hosts belong to the source"),
        ("id = \".id | tostring\"", "id = \".id | tostrng\"", "undefined filter tostrng"),
        ("confirm = 'any(.refunds[]?; (.reason // \"\") | contains(\"[oc:\\($key)]\"))'", "", "give `confirm`"),
        ("granularity = \"1s\"", "granularity = \"0s\"", "at least 1us"),
        ("format = \"%Y-%m-%dT%H:%M:%S\"", "format = \"iso\"", "no format of moments"),
    ] {
        let broken = woocommerce(&[(from, to)]);
        let error = refuse(&broken, |_| ());
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
}
