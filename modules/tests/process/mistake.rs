//! The mistakes: each is refused by name, in words that docs/processes.md explains.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use order_modules::process::DefinitionError;
use order_modules::{Line, check_process, process};
use serde_json::{Value, json};

use super::docs;

/// The example of the docs, which has no mistake.
fn good() -> Value {
    let page = std::fs::read_to_string(docs("processes.md")).unwrap();
    let (_, example) = page.split_once("```json\n").unwrap();
    serde_json::from_str(example.split_once("```").unwrap().0).unwrap()
}

/// The good process with something else in one place.
fn with(place: &str, other: Value) -> DefinitionError {
    let mut definition = good();
    *definition.pointer_mut(place).unwrap() = other;
    check_process(&definition.to_string()).expect_err(place)
}

/// Which mistake it is. A new kind does not compile until it has a number here, and then needs its cases below.
fn kind(error: &DefinitionError) -> usize {
    match error {
        DefinitionError::Read(_) => 0,
        DefinitionError::Setting(_) => 1,
        DefinitionError::StateTwice(_) => 2,
        DefinitionError::NoSuchState { .. } => 3,
        DefinitionError::NoSuchGuard { .. } => 4,
        DefinitionError::NoSuchStep { .. } => 5,
        DefinitionError::Ambiguous { .. } => 6,
        DefinitionError::NoTarget(_) => 7,
        DefinitionError::DeadEnd(_) => 8,
        DefinitionError::Unreachable(_) => 9,
        DefinitionError::NoCompensation { .. } => 10,
        DefinitionError::WrongCompensation { .. } => 11,
        DefinitionError::AfterFinal { .. } => 12,
        DefinitionError::TimerWithoutExit { .. } => 13,
        DefinitionError::Timer(_) => 14,
        DefinitionError::NoSuchMoment { .. } => 15,
    }
}

const KINDS: usize = 16;

#[test]
fn every_mistake_is_refused_in_the_words_of_the_docs() {
    check_process(&good().to_string()).unwrap();
    let extra = |transition: Value| {
        let mut transitions = good()["transitions"].clone();
        transitions.as_array_mut().unwrap().push(transition);
        transitions
    };
    let way = |action: &str, from: &[&str], to: &[&str]| json!({"action": action, "from": from, "to": to, "trigger": "MANUAL", "description": ""});
    let state = json!({"name": "LIMBO", "status": "PROCESSING", "description": ""});
    let states = |state: &Value| {
        let mut states = good()["states"].clone();
        states.as_array_mut().unwrap().push(state.clone());
        states
    };
    let mut stuck = good();
    stuck["states"] = states(&state);
    stuck["transitions"][1]["to"] = json!(["LIMBO", "DONE"]);
    let unknown = BTreeMap::from([("payment_windw".to_owned(), "PT1H".to_owned())]);
    let cases = [
        (
            check_process("{}").unwrap_err(),
            "the process definition cannot be read: missing field `name` at line 1 column 2",
        ),
        (
            with("/settings/payment_window", json!("half an hour")),
            "payment_window = \"half an hour\" is neither an ISO 8601 duration such as P14D or PT30M, nor a decimal, nor `off`",
        ),
        (
            process(Line::Digital, &unknown).unwrap_err(),
            "there is no setting payment_windw; there are: payment_window, point_value, points_per_unit",
        ),
        (with("/states/1/name", json!("NEW")), "the state NEW is defined twice"),
        (with("/transitions/1/to/1", json!("DNE")), "the action pay names the state DNE, which is not defined"),
        (with("/transitions/1/from/0", json!("NWE")), "the action pay names the state NWE, which is not defined"),
        (
            with("/transitions/1/guards/0", json!("NOTHING_DO")),
            "the action pay names the guard NOTHING_DO, which does not exist",
        ),
        (
            with("/transitions/1/steps/0/step", json!("take_money")),
            "the action pay names the step take_money, which does not exist",
        ),
        (
            with("/transitions", extra(way("pay", &["NEW"], &["EXPIRED"]))),
            "the action pay is defined twice for the state NEW: which one happens would be chance",
        ),
        (
            with("/transitions", extra(way("create", &[], &["DONE"]))),
            "the action create is defined twice for creation: which one happens would be chance",
        ),
        (with("/transitions/1/to", json!([])), "the action pay leads to no state"),
        (check_process(&stuck.to_string()).unwrap_err(), "the state LIMBO is not terminal and nothing leads out of it"),
        (with("/states/1/terminal", json!(false)), "the state DONE is not terminal and nothing leads out of it"),
        (
            with(
                "/states",
                states(&json!({"name": "ISLAND", "status": "COMPLETED", "terminal": true, "description": ""})),
            ),
            "the state ISLAND cannot be reached",
        ),
        (
            with("/transitions/1/steps/0", json!({"step": "take_payment"})),
            "the step take_payment of pay has an effect and no compensation: name undo_payment, or make it `final` after all others",
        ),
        (
            with("/transitions/1/steps/1", json!({"step": "earn_points"})),
            "the step earn_points of pay has an effect that nothing takes back: make it `final` after all others",
        ),
        (
            with("/transitions/1/steps/0/compensation", json!("release_stock")),
            "release_stock does not take back the step take_payment of pay; undo_payment does",
        ),
        (
            with("/transitions/1/steps/1", json!({"step": "earn_points", "compensation": "reserve_stock"})),
            "reserve_stock does not take back the step earn_points of pay; nothing does",
        ),
        (
            with(
                "/transitions/1/steps",
                json!([{"step": "earn_points", "final": true}, {"step": "take_payment", "compensation": "undo_payment"}]),
            ),
            "the step take_payment of pay comes after the final step earn_points: were it refused, that could not be undone",
        ),
        (
            with("/transitions/2/to", json!(["EXPIRED", "NEW"])),
            "the timer expire does not lead out of the state NEW: it would fire without end",
        ),
        (
            with("/transitions/2/timer/after", json!("patience")),
            "the action expire needs a `timer` with a setting of this definition if a timer sets it off, and none otherwise",
        ),
        (
            with("/transitions/2/trigger", json!("SYSTEM")),
            "the action expire needs a `timer` with a setting of this definition if a timer sets it off, and none otherwise",
        ),
        (
            with("/transitions/2/timer", json!({"after": "payment_window", "since": "breakfast"})),
            "the timer expire counts from breakfast, which does not exist",
        ),
    ];
    let page = std::fs::read_to_string(docs("processes.md")).unwrap();
    let mut kinds = BTreeSet::new();
    for (error, expected) in &cases {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        assert_eq!(format!("{error}{cause}"), *expected);
        // The first case of a kind is the example of the docs.
        if kinds.insert(kind(error)) {
            assert!(page.contains(expected), "docs/processes.md does not explain: {expected}");
        }
    }
    assert!(kinds.into_iter().eq(0..KINDS), "every kind of mistake has a case");
}
