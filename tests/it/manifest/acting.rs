//! Acting: what is proven is told, everything else is unknown, and nothing is sent twice that is not harmless twice.

use order_center::source::manifest::ManifestSource;
use order_center::source::{ActionOutcome, ActionRequest, OrderSource, Probe};
use order_contract::protocol::{ActionCall, Idempotency};
use order_contract::{ActionName, IdempotencyKey, SourceOrderId};
use serde_json::{Value, json};

use super::shop::{Fault, Shop, woocommerce};

pub(super) fn ask(action: &str, input: Value) -> ActionRequest {
    let Value::Object(input) = input else { panic!("an input is an object") };
    ActionRequest {
        order: Some(SourceOrderId::try_new("7").unwrap()),
        action: ActionName::try_new(action).unwrap(),
        key: IdempotencyKey::try_new("op-0001").unwrap(),
        doubt: false,
        call: ActionCall { input, ..ActionCall::default() },
        traceparent: None,
    }
}

fn in_doubt(request: &ActionRequest) -> ActionRequest {
    ActionRequest { doubt: true, ..request.clone() }
}

async fn shop() -> (Shop, ManifestSource) {
    let shop = Shop::start().await;
    shop.put(7, 1_699_999_000, "processing");
    let source = shop.source();
    (shop, source)
}

fn refunds(shop: &Shop) -> usize {
    shop.order(7)["refunds"].as_array().unwrap().len()
}

/// Loses the answers to writes.
fn lose_writes(shop: &Shop) {
    shop.plan(|asked, _| if asked.method == "GET" { Fault::None } else { Fault::Lost });
}

#[tokio::test]
async fn an_answer_with_the_new_record_is_an_outcome() {
    let (shop, source) = shop().await;
    let ActionOutcome::Applied { order: Some(raw), .. } = source.execute(&ask("cancel", json!({}))).await else {
        panic!("it was done");
    };
    let order = source.normalize(&raw).await.unwrap().snapshot;
    assert_eq!(order.native.state, "cancelled");
    assert_eq!(shop.order(7)["status"], "cancelled");
    assert_eq!(source.describe().await.unwrap().idempotency, Idempotency::Blind);
}

#[tokio::test]
async fn what_the_fresh_order_does_not_allow_is_announced_refused_and_not_sent() {
    let (shop, source) = shop().await;
    shop.orders.lock().unwrap().touch(7, |order| order["status"] = json!("completed"));
    let id = SourceOrderId::try_new("7").unwrap();
    let raw = source.fetch(&id).await.unwrap().unwrap();
    let actions = source.normalize(&raw).await.unwrap().snapshot.available_actions;
    let find = |name: &str| actions.iter().find(|action| action.name.as_str() == name).unwrap();
    assert!(find("refund").enabled && !find("cancel").enabled && !find("ship").enabled);
    assert_eq!(find("cancel").blockers[0].code, "STATE");
    assert_eq!(find("ship").blockers[0].code, "NOT_SUPPORTED");
    assert_eq!(find("refund").input_schema.as_ref().unwrap()["required"], json!(["amount"]));

    for (request, code, said) in [
        (ask("cancel", json!({})), "ACTION_NOT_ALLOWED", "completed"),
        (ask("ship", json!({})), "NOT_SUPPORTED", "shipments"),
        (ask("fly", json!({})), "NOT_SUPPORTED", "it knows cancel"),
        (ask("refund", json!({})), "INVALID_INPUT", "`amount` is missing"),
        (ask("refund", json!({ "amount": 1.5 })), "INVALID_INPUT", "as text"),
        (ask("refund", json!({ "amount": "20.01" })), "INVALID_INPUT", "Only 20"),
        (ask("refund", json!({ "amount": "-1" })), "INVALID_INPUT", "above zero"),
        (ask("refund", json!({ "amount": "1", "lines": [] })), "INVALID_INPUT", "takes no `lines`"),
    ] {
        let ActionOutcome::Rejected(error) = source.execute(&request).await else { panic!("{request:?}") };
        assert!(error.code == code && error.message.contains(said), "{error:?}");
    }
    let gone = ActionRequest { order: Some(SourceOrderId::try_new("8").unwrap()), ..ask("cancel", json!({})) };
    let ActionOutcome::Rejected(error) = source.execute(&gone).await else { panic!("there is no such order") };
    assert_eq!(error.code, "ORDER_NOT_FOUND");
    assert_eq!(shop.writes(), 0, "the shop was not asked to do any of this");
}

#[tokio::test]
async fn only_the_shops_own_words_are_a_refusal() {
    let refusal = json!({ "code": "woocommerce_rest_cannot_create", "message": "The gateway said no." }).to_string();
    type Answer = (u16, Vec<(&'static str, String)>, String);
    let cases: Vec<(Answer, &str)> = vec![
        ((400, vec![], refusal), "rejected"),
        ((429, vec![("retry-after", "0".into())], String::new()), "not sent"),
        ((401, vec![], "{}".into()), "not sent"),
        ((400, vec![], "<html>Bad Request</html>".into()), "unknown"),
        ((404, vec![], "<html>nginx</html>".into()), "unknown"),
        ((500, vec![], r#"{"code":"woocommerce_rest_internal"}"#.into()), "unknown"),
        ((502, vec![], "<html>Bad Gateway</html>".into()), "unknown"),
        ((200, vec![("content-type", "text/html".into())], "<html>Welcome</html>".into()), "unknown"),
        ((200, vec![], "{\"id\": 900".into()), "unknown"),
        ((302, vec![("location", "http://169.254.169.254/".into())], String::new()), "unknown"),
    ];
    for ((status, headers, body), proven) in cases {
        let (shop, source) = shop().await;
        let told = (status, headers, body.clone());
        shop.plan(move |asked, _| match asked.method == "GET" {
            true => Fault::None,
            false => Fault::Instead(told.0, told.1.clone(), told.2.clone()),
        });
        let outcome = source.execute(&ask("refund", json!({ "amount": "5.00" }))).await;
        let got = match &outcome {
            ActionOutcome::Rejected(error) => {
                assert_eq!(
                    (error.code.as_str(), error.message.as_str()),
                    ("WOOCOMMERCE_REST_CANNOT_CREATE", "The gateway said no.")
                );
                "rejected"
            }
            ActionOutcome::NotSent(_) => "not sent",
            ActionOutcome::Unknown(_) => "unknown",
            ActionOutcome::Applied { .. } | ActionOutcome::Accepted => "done",
        };
        assert_eq!(got, proven, "{status} {body}: {outcome:?}");
        assert_eq!(shop.writes(), 1, "once, whatever came back");
    }
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_found_by_its_mark_and_never_paid_twice() {
    let (shop, source) = shop().await;
    lose_writes(&shop);
    let request = ask("refund", json!({ "amount": "5.00", "reason": "damaged" }));
    assert!(matches!(source.execute(&request).await, ActionOutcome::Unknown(_)));
    assert_eq!(shop.order(7)["refunds"][0]["reason"], "damaged [oc:op-0001]");
    assert!(matches!(source.settle(&request).await, Probe::Known(ActionOutcome::Applied { order: Some(_), .. })));
    shop.plan(|_, _| Fault::None);
    assert!(matches!(source.execute(&in_doubt(&request)).await, ActionOutcome::Applied { .. }));
    assert_eq!((refunds(&shop), shop.writes()), (1, 1));

    let other = ActionRequest { key: IdempotencyKey::try_new("op-0002").unwrap(), ..request };
    assert!(matches!(source.execute(&other).await, ActionOutcome::Applied { .. }), "another key is another refund");
    assert_eq!(refunds(&shop), 2);
}

#[tokio::test]
async fn a_refund_that_may_still_be_under_way_is_not_asked_again() {
    let (shop, source) = shop().await;
    shop.plan(|asked, _| match asked.method == "GET" {
        true => Fault::None,
        false => Fault::Instead(504, vec![], "<html>Gateway Timeout</html>".into()),
    });
    let request = ask("refund", json!({ "amount": "5.00" }));
    assert!(matches!(source.execute(&request).await, ActionOutcome::Unknown(_)));
    let Probe::Undecidable(why) = source.settle(&request).await else {
        panic!("nothing proves that it will not happen")
    };
    assert!(why.contains("may still happen"), "{why}");
    assert_eq!((refunds(&shop), shop.writes()), (0, 1));
}

#[tokio::test]
async fn what_is_harmless_twice_is_asked_again_and_its_late_effect_is_no_refusal() {
    let (shop, source) = shop().await;
    shop.plan(|asked, _| match asked.method == "GET" {
        true => Fault::None,
        false => Fault::Instead(504, vec![], String::new()),
    });
    let request = ask("cancel", json!({}));
    assert!(matches!(source.execute(&request).await, ActionOutcome::Unknown(_)));
    assert_eq!(source.settle(&request).await, Probe::NeverArrived);
    // The first ask takes effect now, just before the second looks at the order.
    shop.orders.lock().unwrap().touch(7, |order| order["status"] = json!("cancelled"));
    shop.plan(|_, _| Fault::None);
    assert!(matches!(source.execute(&in_doubt(&request)).await, ActionOutcome::Applied { .. }));
    assert_eq!(shop.writes(), 1);
    // To whoever has no part in it the order is canceled already.
    assert!(matches!(source.execute(&request).await, ActionOutcome::Rejected(_)));
}

#[tokio::test]
async fn what_never_left_was_not_done() {
    let source = {
        let shop = Shop::start().await;
        let package = woocommerce(&[
            ("[actions.cancel]", "[actions.cancel]\nprecheck = false"),
            ("allowed_from = [\"pending\", \"on-hold\", \"processing\", \"failed\"]\n", ""),
        ]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        shop.source_with(&package, |config| config.url = closed)
    };
    assert!(matches!(source.execute(&ask("cancel", json!({}))).await, ActionOutcome::NotSent(_)));
}
