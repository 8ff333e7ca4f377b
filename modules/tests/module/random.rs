//! Whatever is asked, in whatever order: the answer is the one that was predicted, and the ledgers balance.

use order_contract::Effect;
use order_contract::protocol::{ActionReply, Outcome};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::shop::{Shop, sound};

const ACTIONS: &[&str] = &[
    "pay",
    "produce",
    "ship",
    "deliver",
    "confirm",
    "complete",
    "modify",
    "cancel",
    "refund",
    "request_return",
    "receive_return",
];

/// Refusals that only the input is to blame for.
const INPUT_CODES: &[&str] =
    &["INVALID_INPUT", "AMOUNT_ABOVE_DUE", "REFUND_ABOVE_CAPTURED", "QUANTITY_ABOVE_REMAINING"];

#[derive(Clone, Debug)]
struct Ask {
    action: &'static str,
    /// None asks for the whole of it.
    input: Option<(u32, u8, u8)>,
}

impl Ask {
    fn input(&self) -> Value {
        let Some((pence, line, quantity)) = self.input else {
            let whole = json!({ "shippingAddress": { "city": "Leeds" } });
            return if self.action == "modify" { whole } else { json!({}) };
        };
        let amount = format!("{}.{:02}", pence / 100, pence % 100);
        let lines = json!([{ "lineId": line.to_string(), "quantity": quantity }]);
        match self.action {
            "pay" => json!({ "amount": amount }),
            "refund" if pence % 2 == 0 => json!({ "amount": amount }),
            "ship" | "request_return" | "refund" => json!({ "lines": lines }),
            "deliver" => json!({ "fulfillmentId": format!("s{quantity}") }),
            "receive_return" if pence % 2 == 0 => json!({ "disposition": "DAMAGED", "refund": true }),
            "receive_return" => json!({ "amount": amount }),
            "cancel" => json!({ "reason": "changed my mind" }),
            "modify" => json!({ "shippingAddress": { "countryCode": "England" } }),
            _ => json!({ "unknown": true }),
        }
    }
}

/// Mostly the way forward, so that late states are reached; sometimes anything.
fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let any_action = proptest::sample::select(ACTIONS);
    let input = prop_oneof![2 => Just(None), 1 => (1..1500_u32, 1..4_u8, 1..4_u8).prop_map(Some)];
    let random =
        proptest::collection::vec((any_action, input).prop_map(|(action, input)| Ask { action, input }), 0..12);
    let forward = ["pay", "produce", "ship", "deliver", "confirm", "complete"];
    (random, 0..=forward.len(), proptest::collection::vec(any::<u16>(), 6)).prop_map(
        move |(mut asks, steps, places)| {
            let mut at = 0;
            for (action, place) in forward.into_iter().take(steps).zip(places) {
                at += usize::from(place) % (asks.len() - at + 1);
                asks.insert(at, Ask { action, input: None });
                at += 1;
            }
            asks
        },
    )
}

/// A runner whose seed is printed and can be given: `ORDER_SEED=… cargo test`. Every run asks the same questions unless
/// it is told to ask others, so that a change is judged by what it changed; `ORDER_SEED=random` explores.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let seed = std::env::var("ORDER_SEED").unwrap_or_else(|_| "2026-11".into());
    let seed = if seed == "random" { uuid::Uuid::now_v7().to_string() } else { seed };
    let cases = std::env::var("ORDER_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    println!("ORDER_SEED={seed} ORDER_CASES={cases}");
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &Sha256::digest(&seed));
    TestRunner::new_with_rng(Config { cases, failure_persistence: None, ..Config::default() }, rng)
}

#[test]
fn an_action_is_accepted_exactly_when_it_was_said_to_be_possible() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shop = runtime.block_on(async { Shop::open().await.stocked().await });
    let lines = proptest::collection::vec((proptest::sample::select(&["A", "B", "FREE"][..]), 1..4_u8), 1..4);
    let done = runner(60).run(&(lines, asks()), |(lines, asks)| {
        runtime.block_on(run(&shop, &lines, &asks));
        Ok(())
    });
    done.unwrap_or_else(|failure| panic!("{failure}"));
    runtime.block_on(shop.assert_balanced());
}

async fn run(shop: &Shop, lines: &[(&str, u8)], asks: &[Ask]) {
    let lines: Vec<_> = lines.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
    let mut order = shop.create(lines.into()).await;
    let id = order.source_order_id.to_string();
    for ask in asks {
        let told = shop.actions(&id).await;
        assert_eq!(told.version, order.version);
        assert_eq!(told.actions, order.available_actions, "the order and /actions say the same");
        let predicted = told.actions.iter().find(|a| a.name.as_str() == ask.action).expect("every action is listed");
        assert_eq!(predicted.enabled, predicted.blockers.is_empty());
        let path = format!("/orders/{id}/actions/{}", ask.action);
        let call = |dry_run| json!({ "input": ask.input(), "dryRun": dry_run, "expectedVersion": order.version });
        let dry = shop.post(&path, None, &call(true)).await;
        let dry_status = dry.status();
        let dry: ActionReply = dry.json().await.unwrap();
        assert_eq!(shop.order(&id).await, order, "a dry run changes nothing");
        let real = shop.ask(&path, &shop.key(), &call(false)).await;
        assert_eq!((dry_status, dry.outcome), (real.status, real.reply.outcome), "{ask:?}");
        let told = |effects: &[Effect]| -> Vec<_> {
            effects.iter().map(|e| (e.kind, e.status, e.description.clone(), e.amount)).collect()
        };
        assert_eq!((&dry.error, told(&dry.effects)), (&real.reply.error, told(&real.reply.effects)), "{ask:?}");
        if let Some(error) = &real.reply.error {
            assert_eq!(real.reply.outcome, Outcome::Rejected);
            if predicted.enabled {
                assert!(ask.input.is_some(), "{ask:?}: the whole of it is possible while the action is: {error:?}");
                assert_eq!(real.status, 422, "{ask:?}");
                assert!(INPUT_CODES.contains(&error.code.as_str()), "{error:?}");
            } else {
                assert_eq!((real.status.as_u16(), error.code.as_str()), (409, "ACTION_NOT_ALLOWED"), "{ask:?}");
                assert_eq!(error.blockers, predicted.blockers);
            }
            assert_eq!(shop.order(&id).await, order, "a refusal changes nothing");
            continue;
        }
        assert!(predicted.enabled, "{ask:?} was accepted against the prediction {predicted:?}");
        if ask.input.is_none() {
            let real = real.reply.effects.iter().map(|e| (e.kind, &e.description, e.amount));
            let predicted = predicted.effects.iter().map(|e| (e.kind, &e.description, e.amount));
            assert!(real.eq(predicted), "{ask:?}: the effects are the predicted ones");
        }
        let next = sound(real.reply.order.expect("an order"));
        let would = dry.order.expect("an order");
        assert_eq!((would.version, &would.native, &would.totals), (next.version, &next.native, &next.totals));
        assert_eq!((&would.lines, &would.available_actions), (&next.lines, &next.available_actions));
        assert_eq!(next.version.get(), order.version.get() + 1);
        assert!(next.times.updated_at > order.times.updated_at);
        order = next;
    }
    assert_eq!(shop.order(&id).await, order);
}
