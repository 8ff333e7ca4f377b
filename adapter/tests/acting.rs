//! Actions of several requests, and errors under HTTP 200, on the Vendure adapter: what each answer proves.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

use std::collections::BTreeMap;

use order_adapter::Package;
use order_adapter::engine::{Ask, Call, End, Engine, Exchange, Move, Record, Settled};
use serde_json::{Map, Value, json};

fn engine() -> Engine {
    Engine::compile(&Package::find("vendure").unwrap(), &BTreeMap::new()).unwrap()
}

fn record(order: &Value) -> Record {
    Record::read(order.to_string().as_bytes()).unwrap()
}

/// A paid order of three pieces, one of which has left already.
fn order() -> Value {
    json!({
        "id": "12", "state": "PartiallyShipped", "nextStates": ["Shipped", "Delivered", "Cancelled", "Modifying"],
        "orderPlacedAt": "2026-11-22T08:00:00Z", "totalWithTax": 6000,
        "lines": [{ "id": "29", "quantity": 3 }],
        "payments": [{ "id": "4", "state": "Settled", "amount": 6000, "refunds": [{ "id": "1", "state": "Settled", "total": 500 }] }],
        "fulfillments": [{ "id": "1", "state": "Shipped", "trackingCode": "A", "lines": [{ "orderLineId": "29", "quantity": 1 }] }],
    })
}

fn answer(status: u16, body: Value) -> Exchange {
    Exchange::new(status, BTreeMap::new(), body.to_string().into_bytes())
}

fn variables(call: &Call) -> Value {
    let (kind, body) = call.body.as_ref().unwrap();
    assert_eq!(*kind, "application/json");
    serde_json::from_slice::<Value>(body).unwrap()["variables"].clone()
}

fn input(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(input) => input,
        other => panic!("{other} is no input"),
    }
}

/// Runs an attempt against these answers; what was sent, and how it ended.
fn run(verb: &str, asked: Value, before: &Value, answers: &[Option<Exchange>]) -> (Vec<Value>, End) {
    let (engine, input) = (engine(), input(asked));
    let ask = Ask { order: Some("12"), key: "op-1", input: &input };
    let before = record(before);
    let mut attempt = match engine.attempt(verb, &ask, Some(&before)) {
        Ok(attempt) => attempt,
        Err(error) => return (Vec::new(), End::Rejected(error)),
    };
    let (mut sent, mut answers) = (Vec::new(), answers.iter());
    loop {
        match attempt.next_move() {
            Move::End(end) => return (sent, end),
            Move::Send(call) => {
                sent.push(variables(&call));
                match answers.next().expect("no more is asked than is answered") {
                    Some(exchange) => attempt.answered(exchange),
                    None => attempt.lost("no complete answer in time".into()),
                }
            }
        }
    }
}

#[test]
fn two_requests_are_sent_in_their_order_and_the_second_knows_what_the_first_brought() {
    let created = answer(
        200,
        json!({ "data": { "addFulfillmentToOrder": { "__typename": "Fulfillment", "id": "77", "state": "Pending" } } }),
    );
    let shipped = answer(
        200,
        json!({ "data": { "transitionFulfillmentToState": { "__typename": "Fulfillment", "id": "77", "state": "Shipped" } } }),
    );
    let tracking = json!({ "tracking": [{ "carrier": "DHL", "number": "T1" }] });
    let (sent, end) = run("ship", tracking, &order(), &[Some(created), Some(shipped)]);
    assert_eq!(end, End::Applied(None));
    assert_eq!(sent[0]["input"]["lines"], json!([{ "orderLineId": "29", "quantity": 2 }]), "what has not left yet");
    assert_eq!(sent[0]["input"]["handler"]["arguments"][1], json!({ "name": "trackingCode", "value": "T1" }));
    assert_eq!(sent[1], json!({ "id": "77", "state": "Shipped" }));
}

#[test]
fn a_crash_between_two_requests_goes_on_at_the_second() {
    let mut half = order();
    let pending = json!({ "id": "77", "state": "Pending", "trackingCode": "oc:op-1", "lines": [{ "orderLineId": "29", "quantity": 2 }] });
    half["fulfillments"].as_array_mut().unwrap().push(pending);
    let shipped =
        answer(200, json!({ "data": { "transitionFulfillmentToState": { "id": "77", "state": "Shipped" } } }));
    let (sent, end) = run("ship", json!({}), &half, &[Some(shipped)]);
    assert_eq!((sent, end), (vec![json!({ "id": "77", "state": "Shipped" })], End::Applied(None)));
}

#[test]
fn what_ends_after_an_effect_has_not_come_to_nothing() {
    let created =
        || Some(answer(200, json!({ "data": { "addFulfillmentToOrder": { "id": "77", "state": "Pending" } } })));
    let refused = json!({ "data": { "transitionFulfillmentToState": { "errorCode": "FULFILLMENT_STATE_TRANSITION_ERROR", "message": "No." } } });
    for second in [Some(answer(200, refused)), Some(answer(429, json!({}))), None] {
        let (sent, end) = run("ship", json!({}), &order(), &[created(), second]);
        assert!(matches!(end, End::Unknown(_)) && sent.len() == 2, "{end:?}");
    }
    let nothing = answer(200, json!({ "data": { "addFulfillmentToOrder": { "__typename": "Fulfillment" } } }));
    let (sent, end) = run("ship", json!({}), &order(), &[Some(nothing)]);
    assert!(matches!(end, End::Unknown(_)) && sent.len() == 1, "{end:?}");
}

#[test]
fn errors_under_http_200_are_told_apart() {
    let member =
        |code: &str, message: &str| json!({ "data": { "refundOrder": { "errorCode": code, "message": message } } });
    let top = |code: &str| json!({ "errors": [{ "message": "Sorry.", "extensions": { "code": code } }], "data": null });
    for (body, proven) in [
        (json!({ "data": { "refundOrder": { "__typename": "Refund", "id": "9", "state": "Settled" } } }), "done"),
        (member("REFUND_AMOUNT_ERROR", "Too much."), "rejected REFUND_AMOUNT_ERROR Too much."),
        (member("REFUND_STATE_TRANSITION_ERROR", "It may have been paid."), "unknown"),
        (top("FORBIDDEN"), "not done"),
        (top("USER_INPUT_ERROR"), "rejected USER_INPUT_ERROR Sorry."),
        (top("INTERNAL_SERVER_ERROR"), "unknown"),
        (json!({ "errors": [{ "message": "deadlock detected" }] }), "not done"),
        (json!({ "errors": [{ "message": "null value in column" }] }), "unknown"),
        (json!(null), "unknown"),
    ] {
        let (sent, end) = run("refund", json!({ "amount": "5.00" }), &order(), &[Some(answer(200, body.clone()))]);
        assert_eq!(sent.len(), 1);
        let told = match end {
            End::Applied(_) => "done".to_owned(),
            End::Rejected(error) => format!("rejected {} {}", error.code, error.message),
            End::NotDone(..) => "not done".to_owned(),
            End::Unknown(_) => "unknown".to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(told, proven, "{body}");
    }
}

#[test]
fn money_is_asked_in_the_platforms_own_digits_and_never_more_than_is_left() {
    let (sent, _) = run("refund", json!({ "amount": "54.99", "reason": "late" }), &order(), &[None]);
    let wanted = json!({ "paymentId": "4", "amount": 5499, "lines": [], "shipping": 0, "adjustment": 0, "reason": "late [oc:op-1]" });
    assert_eq!(sent[0]["input"], wanted);
    // Vendure pays a negative refund, and then has more to give back.
    for (amount, why) in [("55.01", "55.01"), ("5.001", "fraction"), ("0", "above zero"), ("-5", "above zero")] {
        let (sent, end) = run("refund", json!({ "amount": amount }), &order(), &[]);
        assert!(matches!(&end, End::Rejected(error) if error.message.contains(why)) && sent.is_empty(), "{end:?}");
    }
}

#[test]
fn lines_are_asked_for_as_far_as_they_are_left() {
    for (lines, why) in [
        (json!([{ "lineId": "29", "quantity": "3" }]), "only 2"),
        (json!([{ "lineId": "29", "quantity": "1" }, { "lineId": "29", "quantity": "2" }]), "only 2"),
        (json!([{ "lineId": "29", "quantity": "0.5" }]), "whole pieces"),
        (json!([{ "lineId": "29", "quantity": "-1" }]), "above zero"),
        (json!([{ "lineId": "30", "quantity": "1" }]), "no line 30"),
    ] {
        let (sent, end) = run("ship", json!({ "lines": lines }), &order(), &[]);
        assert!(matches!(&end, End::Rejected(error) if error.message.contains(why)) && sent.is_empty(), "{end:?}");
    }
}

#[test]
fn of_several_one_is_named() {
    let mut several = order();
    let going = json!({ "id": "2", "state": "Shipped", "trackingCode": "B", "lines": [] });
    several["fulfillments"].as_array_mut().unwrap().push(going);
    let (_, end) = run("confirm", json!({}), &several, &[]);
    assert!(matches!(&end, End::Rejected(error) if error.message.contains("say which: 1, 2")), "{end:?}");
    let (_, end) = run("confirm", json!({ "fulfillment": "3" }), &several, &[]);
    assert!(matches!(&end, End::Rejected(error) if error.message.contains("No parcel 3")), "{end:?}");
    let (sent, _) = run("confirm", json!({ "fulfillment": "2" }), &several, &[None]);
    assert_eq!(sent, [json!({ "id": "2", "state": "Delivered" })]);
}

/// Canceling the lines and moving the order are two things on the platform: the first stays when the second is refused.
#[test]
fn a_refusal_after_the_lines_were_canceled_is_none() {
    let answered = |code: &str| {
        let body = json!({ "data": { "cancelOrder": { "errorCode": code, "message": "No." } } });
        run("cancel", json!({}), &order(), &[Some(answer(200, body))]).1
    };
    assert!(matches!(answered("ORDER_STATE_TRANSITION_ERROR"), End::Unknown(_)));
    assert!(matches!(answered("QUANTITY_TOO_GREAT_ERROR"), End::Rejected(_)));
}

/// The package with this text of its manifest replaced.
fn changed(from: &str, to: &str) -> Engine {
    let mut files = Package::files("vendure").unwrap();
    let manifest = files.get_mut("adapter.toml").unwrap();
    assert!(manifest.contains(from), "{from}");
    *manifest = manifest.replace(from, to);
    Engine::compile(&Package::open(files).unwrap(), &BTreeMap::new()).unwrap()
}

#[test]
fn a_check_that_says_nothing_has_not_passed() {
    let from = r#"if any(.nextStates[]?; . == $input.to) then null"#;
    for to in ["if true then empty", "if true then false", "if true then {}"] {
        let input = input(json!({ "to": "Shipped" }));
        let ask = Ask { order: Some("12"), key: "op-1", input: &input };
        let refused = changed(from, to).attempt("transition", &ask, Some(&record(&order()))).map(|_| ()).unwrap_err();
        assert!(refused.message.contains("neither a sentence nor null"), "{refused:?}");
    }
    let unknown = changed(r#"any(.nextStates[]?; . == "Cancelled")"#, "error(\"odd\")");
    let offered = unknown.available_actions(&record(&order()));
    let cancel = offered.iter().find(|action| action.name.as_str() == "cancel").unwrap();
    assert!(!cancel.enabled && cancel.blockers[0].message.contains("odd"), "{cancel:?}");
}

#[test]
fn a_later_record_settles_doubt() {
    let engine = engine();
    let settle = |verb: &str, key: &str, asked: Value, order: &Value| {
        let input = input(asked);
        engine.settle(verb, &Ask { order: Some("12"), key, input: &input }, &record(order))
    };
    let mut refunded = order();
    refunded["payments"][0]["refunds"][0]["reason"] = json!("late [oc:op-1]");
    let refund = || json!({ "amount": "5.00" });
    assert_eq!(settle("refund", "op-1", refund(), &refunded), Settled::Applied);
    assert_eq!(settle("refund", "op-2", refund(), &refunded), Settled::Open, "the mark of another ask");
    assert_eq!(settle("cancel", "op-1", json!({}), &order()), Settled::Repeatable);
    // What was packed is found; to hand it over twice is harmless, to pack it twice is not.
    assert_eq!(settle("ship", "op-1", json!({}), &order()), Settled::Open);
    let mut packed = order();
    let parcel = json!({ "id": "77", "state": "Pending", "trackingCode": "oc:op-1", "lines": [] });
    packed["fulfillments"].as_array_mut().unwrap().push(parcel);
    assert_eq!(settle("ship", "op-1", json!({}), &packed), Settled::Repeatable);
    assert_eq!(settle("ship", "op-2", json!({}), &packed), Settled::Open);
    assert_eq!(settle("cancel", "op-1", json!({}), &json!({ "state": "Cancelled" })), Settled::Applied);
}

#[test]
fn what_the_owner_lists_as_next_decides_what_is_offered() {
    let engine = engine();
    let offered = |order: &Value| -> Vec<String> {
        let actions = engine.available_actions(&record(order)).into_iter();
        actions.filter(|action| action.enabled).map(|action| action.name.to_string()).collect()
    };
    assert_eq!(offered(&order()), ["cancel", "confirm", "refund", "ship", "transition"]);
    let mut canceled = order();
    (canceled["state"], canceled["nextStates"]) = (json!("Cancelled"), json!([]));
    canceled["payments"].as_array_mut().unwrap().push(json!({ "id": "5", "state": "Authorized", "amount": 100 }));
    assert_eq!(offered(&canceled), ["confirm", "refund", "transition", "void"]);
    let mut modified = order();
    modified["state"] = json!("Modifying");
    assert!(!offered(&modified).contains(&"ship".to_owned()));
    let mut packed = order();
    packed["fulfillments"][0]["lines"][0]["quantity"] = json!(3);
    packed["fulfillments"][0]["state"] = json!("Pending");
    assert_eq!(offered(&packed), ["cancel", "hand_over", "refund", "transition"]);
    let (sent, end) = run("transition", json!({ "to": "Shipped" }), &canceled, &[]);
    assert!(matches!(end, End::Rejected(_)) && sent.is_empty());
}
