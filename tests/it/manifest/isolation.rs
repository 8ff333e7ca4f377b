//! Expressions of a manifest that anybody may have written: what they do wrong costs their own source, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use order_center::mapping::{Limits, Pool};
use order_center::source::manifest::ManifestSource;
use order_center::source::{ActionOutcome, ChangeWindow, EventError, OrderSource as _, Probe};
use order_contract::SourceOrderId;
use serde_json::json;

use super::acting::ask;
use super::shop::{Shop, woocommerce};

fn window() -> ChangeWindow {
    ChangeWindow { since: None, until: None, page: None, limit: 100 }
}

/// A source whose manifest says this instead, with half a second and 128 MiB for each expression.
fn spoiled(shop: &Shop, changes: &[(&str, &str)]) -> ManifestSource {
    let limits = Limits {
        time: Duration::from_millis(500),
        memory_bytes: 128 << 20,
        program: env!("CARGO_BIN_EXE_order-center").into(),
        ..Limits::default()
    };
    shop.source_with(&woocommerce(changes), |config| config.workers = Pool::new(limits))
}

const RECORDS: &str = "records = \".body\"\n\n[list.request]";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_endless_expression_is_named_and_nobody_waits_for_it() {
    let shop = Arc::new(Shop::start().await);
    shop.put(7, 1_699_999_000, "processing");
    let endless = spoiled(&shop, &[(RECORDS, "records = \"def f: f; f\"\n\n[list.request]")]);
    let (endless, good) = (Arc::new(endless), shop.source());
    let waiting = tokio::spawn({
        let endless = endless.clone();
        async move { endless.list_changes(&window()).await }
    });
    let mut answered = 0;
    while !waiting.is_finished() {
        assert_eq!(good.list_changes(&window()).await.unwrap().orders.len(), 1);
        answered += 1;
    }
    let error = waiting.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("list.records") && error.contains("it took longer than 500 ms"), "{error}");
    assert!(answered > 3, "the other source was asked {answered} times meanwhile");
    // It is not tried again at once.
    let again = endless.list_changes(&window()).await.unwrap_err().to_string();
    assert_eq!(again, error);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_eats_memory_or_halts_says_nothing_and_harms_nobody() {
    let shop = Shop::start().await;
    shop.put(7, 1_699_999_000, "processing");
    let id = SourceOrderId::try_new("7").unwrap();
    for greedy in
        ["[limit(100000000; repeat(\\\"xxxxxxxx\\\" * 1000))] | length > 0", "halt", "env | length > 0", "[..] | error"]
    {
        let rule = format!("[[error]]\nwhen = \"{greedy}\"\nclass = \"auth\"\n\n[map]");
        let source = spoiled(&shop, &[("[map]", &rule)]);
        // A rule that does not hold is none; the rest of the manifest is asked in a new process.
        let order = source.fetch(&id).await.unwrap_or_else(|error| panic!("{greedy}: {error}"));
        assert!(order.is_some(), "{greedy}");
    }
}

/// What is not read must not count as read: neither the rest of a list nor a part of an order.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_which_nobody_can_say_whether_it_is_the_last_is_none() {
    let shop = Shop::start().await;
    shop.put(7, 1_699_999_000, "processing");
    let more = "more = '";
    let endless = spoiled(&shop, &[(more, "more = 'def f: f; f | ")]);
    let error = endless.list_changes(&window()).await.unwrap_err().to_string();
    assert!(error.contains("list.page.more"), "{error}");
    let part = "when = \"(.refunds | arrays | length) > 0\"";
    let endless = spoiled(&shop, &[(part, "when = \"def f: f; f\"")]);
    let error = endless.fetch(&SourceOrderId::try_new("7").unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("hydrate[0].when"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_and_actions_are_stopped_too() {
    let shop = Shop::start().await;
    shop.put(7, 1_699_999_000, "processing");
    let id = "event_id = '.headers[\"x-wc-webhook-delivery-id\"]'";
    let accept = "accept = '.headers[\"x-wc-webhook-resource\"] == \"order\"'";
    let body = br#"{"id":7}"#;
    let mut headers = HeaderMap::new();
    headers.insert("x-wc-webhook-signature", super::webhooks::signature(body).parse().unwrap());
    headers.insert("x-wc-webhook-resource", "order".parse().unwrap());
    let now: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    for (place, whole, endless) in
        [("webhook.event_id", id, "event_id = 'def f: f; f'"), ("webhook.accept", accept, "accept = 'def f: f; f'")]
    {
        // It is no event that may be ignored, and none that is wrong: the platform is to send it again.
        let told = spoiled(&shop, &[(whole, endless)]).parse_event(&headers, body, now);
        assert!(matches!(&told, Err(EventError::Stopped(reason)) if reason.contains(place)), "{told:?}");
    }

    let id = SourceOrderId::try_new("7").unwrap();
    let endless = spoiled(&shop, &[("[actions.cancel]\n", "[actions.cancel]\nallowed_when = 'def f: f; f'\n")]);
    let raw = endless.fetch(&id).await.unwrap().unwrap();
    let actions = endless.normalize(&raw).await.unwrap().snapshot.available_actions;
    let cancel = actions.iter().find(|action| action.name.as_str() == "cancel").expect("it is named");
    assert!(!cancel.enabled, "what cannot be found out is not offered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_is_in_doubt_when_nobody_can_say_what_became_of_it() {
    let shop = Shop::start().await;
    shop.put(7, 1_699_999_000, "processing");
    let cancel = ask("cancel", json!({}));
    let rule = "[[error]]\nwhen = 'def f: f; f'\nclass = \"rejected\"\n\n[map]";
    let outcome = spoiled(&shop, &[("[map]", rule)]).execute(&cancel).await;
    let ActionOutcome::Unknown(reason) = outcome else { panic!("an answer that was not judged proves nothing") };
    assert!(reason.contains("error[") && reason.contains("longer than 500 ms"), "{reason}");
    assert_eq!(shop.writes(), 1);

    // Nothing shows that it was not done, so it is not asked again.
    let confirm = "confirm = '.status == \"cancelled\"'";
    let blind = spoiled(&shop, &[(confirm, "confirm = 'def f: f; f'")]);
    assert!(matches!(blind.settle(&cancel).await, Probe::Undecidable(_)));
    assert!(!matches!(shop.source().settle(&cancel).await, Probe::Undecidable(_)), "it is its confirm that tells");
}

/// Each question holds a thread while it waits for its source's process: a source that is slow must not take them all.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_source_takes_only_so_many_threads() {
    let shop = Shop::start().await;
    let id = "event_id = '.headers[\"x-wc-webhook-delivery-id\"]'";
    let endless = Arc::new(spoiled(&shop, &[(id, "event_id = 'def f: f; f'")]));
    let body = br#"{"id":7}"#;
    let mut headers = HeaderMap::new();
    headers.insert("x-wc-webhook-signature", super::webhooks::signature(body).parse().unwrap());
    headers.insert("x-wc-webhook-resource", "order".parse().unwrap());
    let asked = (0..64).map(|_| {
        let (source, headers) = (endless.clone(), headers.clone());
        tokio::task::spawn_blocking(move || source.parse_event(&headers, body, DateTime::UNIX_EPOCH))
    });
    let mut turned_away = 0;
    for told in futures_util::future::join_all(asked).await {
        let told = told.unwrap();
        let Err(EventError::Stopped(reason)) = &told else { panic!("{told:?}") };
        turned_away += usize::from(reason.contains("too many"));
    }
    assert!((1..=48).contains(&turned_away), "{turned_away}");
}
