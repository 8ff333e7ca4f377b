//! The catalog: sources and adapters come, change and go while the center runs, and the index is mended with them.

mod administering;
mod mending;

use std::collections::BTreeMap;

use order_center::catalog::{CatalogError, GivenSecret, NewSource, Run, RunKind, RunRequest, SourceChange};
use order_center::source::ChangeWindow;
use serde_json::{Map, Value, json};

use crate::center::{Center, SECRET, catalog_config, protocol_source, until};
use crate::shelf::{Shelf, webhook};
use crate::world::{at, databases, order_id, order_json, source, sqlite};

/// An order of the shelf that was changed at this second.
pub(crate) fn changed(id: &str, version: i64, seconds: i64) -> Value {
    let mut order = order_json(id, version);
    order["times"]["updatedAt"] = json!(at(seconds));
    order
}

/// A shelf to register, with its webhook secret by reference.
pub(crate) fn of_shelf(shelf: &Shelf) -> NewSource {
    NewSource {
        key: source("shelf"),
        title: Some("The shelf".into()),
        adapter: "protocol".into(),
        url: shelf.base_url.clone(),
        settings: Map::new(),
        secrets: BTreeMap::from([("webhook_secret".into(), GivenSecret::Reference("env:SOURCE_SECRET".into()))]),
        since: None,
    }
}

/// Asks for a run and works it off.
pub(crate) async fn run(center: &Center, kind: RunKind, request: RunRequest) -> Run {
    let asked = center.catalog.ask(&source("shelf"), kind, request, "ada").await.unwrap();
    let id = asked.id.clone();
    center.upkeep.work(asked).await;
    center.catalog.run(&id).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_plugged_in_changed_and_removed_while_two_nodes_run() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        shelf.put(changed("1", 1, 1));
        shelf.set_now(500);
        let (one, two) = (Center::new(&world.database, []), Center::new(&world.database, []));
        let _running = [one.run_ingest(), one.run_upkeep(), two.run_ingest(), two.run_upkeep()];

        let registered = one.catalog.register(of_shelf(&shelf), true, "ada").await.unwrap();
        assert_eq!((registered.version, registered.adapter.as_str()), (1, "protocol"), "{}", world.name);
        let id = order_id("shelf", "1");
        until("the order is there", async || one.held(&id).await.is_some()).await;
        until("the other node has the source", async || two.registry.get(&source("shelf")).is_some()).await;

        // Its webhooks are taken by both nodes, with the secret that was referred to.
        for (n, node) in [&one, &two].into_iter().enumerate() {
            let version = 2 + n as i64;
            let (headers, body) = webhook(&format!("w{n}"), "1", Some(&changed("1", version, 1)), chrono::Utc::now());
            node.ingest.receive_webhook(&source("shelf"), &headers, body.into()).await.unwrap();
            until("the webhook is applied", async || one.held(&id).await.unwrap().version.get() == version).await;
        }

        let port = one.registry.get(&source("shelf")).unwrap().port.clone();
        let rename = SourceChange { title: Some("Shelf 2".into()), expected_version: Some(1), ..Default::default() };
        let renamed = one.catalog.update(&source("shelf"), rename.clone(), true, "ada").await.unwrap();
        assert_eq!((renamed.version, renamed.title.as_str()), (2, "Shelf 2"));
        let stale = one.catalog.update(&source("shelf"), rename, true, "bob").await.unwrap_err();
        assert!(matches!(stale, CatalogError::Changed(_)), "{stale:?}");
        until("the other node has its new name", async || {
            two.registry.get(&source("shelf")).is_some_and(|source| source.title == "Shelf 2")
        })
        .await;

        one.catalog.set_paused(&source("shelf"), true, "ada").await.unwrap();
        one.catalog.remove(&source("shelf"), "ada").await.unwrap();
        assert!(one.registry.get(&source("shelf")).is_none());
        until("the other node unplugs it", async || two.registry.get(&source("shelf")).is_none()).await;
        // Who had it may still use it: nothing is torn away from under a request.
        assert!(port.list_changes(&ChangeWindow { limit: 1, ..ChangeWindow::default() }).await.is_ok());
        assert!(one.held(&id).await.is_some(), "its orders stay");
        let row = world.database.fetch_all("select secrets from sources", &[]).await.unwrap();
        assert_eq!(row[0].text(0).unwrap(), "{}", "its secrets do not");

        let again = one.catalog.register(of_shelf(&shelf), true, "ada").await.unwrap();
        assert!(again.version > renamed.version, "a version is never used twice");
        shelf.put(changed("2", 1, 600));
        shelf.set_now(700);
        until("it is read again", async || one.held(&order_id("shelf", "2")).await.is_some()).await;
        let done: Vec<String> =
            one.catalog.events(&source("shelf"), 10).await.unwrap().into_iter().map(|event| event.what).collect();
        assert_eq!(done, ["REGISTERED", "REMOVED", "PAUSED", "UPDATED", "REGISTERED"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_registration_is_told_and_nothing_is_registered() {
    let world = sqlite().await;
    let shelf = Shelf::start().await;
    let center = Center::new(&world.database, [protocol_source("fixed", &shelf.base_url)]);
    let secret = |name: &str, given| BTreeMap::from([(name.to_owned(), given)]);
    let settings = |name: &str, value: Value| Map::from_iter([(name.to_owned(), value)]);
    type Change = Box<dyn Fn(&mut NewSource)>;
    let cases: Vec<(&str, &str, &str, Change)> = vec![
        ("INVALID_INPUT", "url", "is no URL", Box::new(|new| new.url = "shelf".into())),
        ("INVALID_INPUT", "url", "only http", Box::new(|new| new.url = "ftp://127.0.0.1/".into())),
        ("INVALID_INPUT", "url", "credentials", Box::new(|new| new.url = "http://u:p@127.0.0.1/".into())),
        ("INVALID_INPUT", "url", "never called", Box::new(|new| new.url = "http://169.254.169.254/".into())),
        ("INVALID_INPUT", "url", "never called", Box::new(|new| new.url = "http://2852039166/".into())),
        ("INVALID_INPUT", "url", "private_hosts", Box::new(|new| new.url = "http://10.0.0.7/".into())),
        ("INVALID_INPUT", "url", "private_hosts", Box::new(|new| new.url = "http://127.0.0.2/".into())),
        ("CHECK_FAILED", "url", "could not be reached", Box::new(|new| new.url = "http://localhost:9/".into())),
        ("CHECK_FAILED", "url", "could not be reached", Box::new(|new| new.url = "http://127.0.0.1:9/".into())),
        ("INVALID_INPUT", "adapter", "did you mean `shopify`", Box::new(|new| new.adapter = "shopfy".into())),
        ("INVALID_INPUT", "adapter", "no adapter", Box::new(|new| new.adapter = "shopify@99.0.0".into())),
        ("INVALID_INPUT", "adapter", "no adapter", Box::new(|new| new.adapter = "../../etc".into())),
        (
            "INVALID_INPUT",
            "settings",
            "did you mean `rounding`",
            Box::new(move |new| new.settings = settings("roundin", json!("half_up"))),
        ),
        (
            "INVALID_INPUT",
            "settings",
            "half_even",
            Box::new(move |new| new.settings = settings("rounding", json!("down"))),
        ),
        (
            "INVALID_INPUT",
            "settings",
            "at least 1",
            Box::new(move |new| new.settings = settings("timeout_ms", json!(0))),
        ),
        (
            "INVALID_INPUT",
            "secrets",
            "did you mean `token`",
            Box::new(move |new| new.secrets = secret("tokn", GivenSecret::Reference("env:SOURCE_SECRET".into()))),
        ),
        (
            "SECRET_UNUSABLE",
            "secrets",
            "env:NONE",
            Box::new(move |new| new.secrets = secret("token", GivenSecret::Reference("env:NONE".into()))),
        ),
        (
            "INVALID_INPUT",
            "secrets",
            "whsec_",
            Box::new(move |new| new.secrets = secret("webhook_secret", GivenSecret::Value("short".into()))),
        ),
        ("INVALID_INPUT", "title", "title", Box::new(|new| new.title = Some("a\nb".into()))),
        ("SOURCE_IN_CONFIGURATION", "key", "configuration", Box::new(|new| new.key = source("fixed"))),
    ];
    for (code, field, says, change) in cases {
        let mut new = of_shelf(&shelf);
        change(&mut new);
        let error = center.catalog.register(new, true, "ada").await.expect_err(says);
        let mut told = error.to_string();
        let mut next: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(cause) = next {
            told = format!("{told}: {cause}");
            next = cause.source();
        }
        assert_eq!((error.code(), error.field()), (Some(code), Some(field)), "{told}");
        assert!(told.contains(says), "{says}: {told}");
    }
    assert_eq!(center.catalog.registered().await.unwrap(), []);

    // Registered without a look, it is there and shows what is wrong.
    let mut silent = of_shelf(&shelf);
    silent.url = "http://127.0.0.1:9/".into();
    center.catalog.register(silent, false, "ada").await.unwrap();
    assert!(center.ingest.poll(&source("shelf")).await.is_err());
    let sync = center.ingest.sync_state(&source("shelf")).await.unwrap();
    assert_eq!((sync.recent_reads, sync.recent_failures), (1, 1));
    let twice = center.catalog.register(of_shelf(&shelf), true, "ada").await.unwrap_err();
    assert_eq!(twice.code(), Some("SOURCE_EXISTS"));
}

/// Medusa answers a filter whose name it does not know with everything there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_does_not_filter_is_found_before_it_loses_orders() {
    let world = sqlite().await;
    let shelf = Shelf::start().await;
    shelf.put(changed("1", 1, 1));
    shelf.set_now(500);
    let center = Center::new(&world.database, []);
    shelf.ignore_filter();
    let error = center.catalog.register(of_shelf(&shelf), true, "ada").await.unwrap_err();
    assert!(matches!(error, CatalogError::Unfit(_)), "{error:?}");
    assert_eq!(center.catalog.registered().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_no_row_and_no_message_and_follows_no_other_host() {
    for world in databases().await {
        let (shelf, other) = (Shelf::start().await, Shelf::start().await);
        let center = Center::new(&world.database, []);
        let mut new = of_shelf(&shelf);
        new.secrets = BTreeMap::from([
            ("token".to_owned(), GivenSecret::Value("tell-nobody".into())),
            ("webhook_secret".to_owned(), GivenSecret::Value(SECRET.into())),
        ]);
        let registered = center.catalog.register(new, true, "ada").await.unwrap();
        let rows = world.database.fetch_all("select secrets, settings, url from sources", &[]).await.unwrap();
        let stored = format!("{} {}", rows[0].text(0).unwrap(), rows[0].text(1).unwrap());
        for text in
            [stored, format!("{registered:?}"), format!("{:?}", center.catalog.events(&source("shelf"), 9).await)]
        {
            assert!(!text.contains("tell-nobody") && !text.contains(SECRET), "{}: {text}", world.name);
        }
        // A node that starts now opens them again.
        let node = Center::new(&world.database, []);
        node.catalog.converge().await.unwrap();
        let (headers, body) = webhook("w", "1", Some(&changed("1", 1, 1)), chrono::Utc::now());
        node.ingest.receive_webhook(&source("shelf"), &headers, body.into()).await.unwrap();

        let moved = SourceChange { url: Some(other.base_url.clone()), ..SourceChange::default() };
        let error = center.catalog.update(&source("shelf"), moved.clone(), true, "eve").await.unwrap_err();
        assert_eq!((error.code(), error.field()), (Some("INVALID_INPUT"), Some("secrets")), "{error}");
        let secrets = BTreeMap::from([
            ("token".to_owned(), None),
            ("webhook_secret".to_owned(), Some(GivenSecret::Value(SECRET.into()))),
        ]);
        let moved =
            center.catalog.update(&source("shelf"), SourceChange { secrets, ..moved }, true, "ada").await.unwrap();
        assert_eq!((moved.url, moved.secrets.len()), (other.base_url.clone(), 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_secret_is_gone_says_so_and_harms_no_other() {
    let world = sqlite().await;
    let (shelf, well) = (Shelf::start().await, Shelf::start().await);
    let first = Center::new(&world.database, []);
    first.catalog.register(of_shelf(&shelf), true, "ada").await.unwrap();
    let mut other = of_shelf(&well);
    (other.key, other.secrets) = (source("well"), BTreeMap::new());
    first.catalog.register(other, true, "ada").await.unwrap();

    // The next start finds no such variable.
    let mut config = catalog_config();
    config.vault.reader = std::sync::Arc::new(|reference| Err(format!("there is no {reference}")));
    let node = Center::new(&world.database, []);
    let catalog = order_center::catalog::Catalog::new(
        world.database.clone(),
        node.registry.clone(),
        std::sync::Arc::new(chrono::Utc::now),
        config,
    );
    catalog.converge().await.unwrap();
    node.ingest.poll(&source("well")).await.unwrap();
    let error = node.ingest.poll(&source("shelf")).await.unwrap_err();
    let state = node.ingest.sync_state(&source("shelf")).await.unwrap();
    assert!(state.last_error.unwrap().contains("webhook_secret"), "{error:?}");
}
