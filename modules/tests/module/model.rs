//! Whatever is asked, whenever the module dies: at rest every ledger agrees with every order.
//!
//! Each case is one order with random asks: right and wrong ones, cards that decline, answer late or lose the answer,
//! jumps in time, and a crash at any durable boundary, also while what was left is taken up. `ORDER_CASES` and
//! `ORDER_SEED` set how many and which.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use chrono::TimeDelta;
use order_contract::OrderSnapshot;
use order_contract::process::{ProcessDefinition, Trigger};
use order_contract::protocol::{ActionReply, Outcome};
use order_modules::service::{Command, CouponRule, Entry, PurchaseLimit, ServicePort};
use order_modules::{Line, Module};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use serde_json::{Value, json};
use sqlx::SqlitePool;
use tower::ServiceExt;

use crate::random::runner;
use crate::shop::{Hands, Shop, sound};

/// Cases of each line of business.
const CASES: u32 = 10_000;
/// Cases in one module before it is balanced and a new one is opened: a sweep costs more with each order that is there.
const CASES_OF_A_WORLD: u32 = 500;

#[derive(Clone, Debug)]
enum Step {
    /// An action by its position in the line's list, how it is asked, a number for its input, and after how many
    /// durable boundaries the module dies.
    Ask { action: u8, how: u8, number: u8, dies: Option<u8> },
    /// Minutes pass.
    Time(u32),
}

#[derive(Clone, Debug)]
struct Case {
    lines: Vec<(u8, u8)>,
    member: u8,
    coupon: u8,
    dies: Option<u8>,
    steps: Vec<Step>,
}

fn cases() -> impl Strategy<Value = Case> {
    let dies = || prop_oneof![3 => Just(None), 1 => (0..12_u8).prop_map(Some)];
    let ask = (any::<u8>(), any::<u8>(), any::<u8>(), dies());
    let ask = ask.prop_map(|(action, how, number, dies)| Step::Ask { action, how, number, dies });
    let time = prop_oneof![Just(1), Just(20), Just(45), Just(60 * 25), Just(60 * 24 * 20)].prop_map(Step::Time);
    let steps = proptest::collection::vec(prop_oneof![8 => ask, 1 => time], 2..9);
    let lines = proptest::collection::vec((0..4_u8, 1..4_u8), 1..3);
    (lines, 0..5_u8, 0..8_u8, dies(), steps).prop_map(|(lines, member, coupon, dies, steps)| Case {
        lines,
        member,
        coupon,
        dies,
        steps,
    })
}

/// A module that can be killed, and its books.
struct World {
    line: Line,
    shop: Shop,
    hands: Hands,
    /// Durable boundaries until the module dies; below zero it lives.
    fuse: Arc<AtomicI64>,
    definition: ProcessDefinition,
    router: axum::Router,
    db: SqlitePool,
    case: Cell<u32>,
}

impl World {
    async fn open(line: Line) -> Self {
        let hands = Hands::at("2026-03-01T08:00:00Z");
        let fuse = Arc::new(AtomicI64::new(-1));
        let burning = fuse.clone();
        let shop = Shop::of(line, |config| {
            config.clock = hands.clock();
            config.durable = false;
            // Tests take up what was left themselves.
            config.sweep = Duration::from_secs(3600);
            config.patience = Duration::from_millis(100);
            config.pauses = (Duration::from_micros(50), Duration::from_micros(200));
            config.interrupt = Some(Arc::new(move |_| burning.fetch_sub(1, Ordering::SeqCst) == 0));
        })
        .await;
        let shop = match line {
            Line::Retail => {
                let goods =
                    [("A", "2.50", 9_000_000), ("B", "0.95", 9_000_000), ("C", "19.99", 40), ("D", "7", 9_000_000)];
                shop.sells(&goods).await
            }
            Line::Digital => {
                shop.licences("A", "12.00", 40_000)
                    .await
                    .licences("B", "3.33", 40_000)
                    .await
                    .licences("C", "60", 15)
                    .await
            }
            Line::Booking => shop,
        };
        let services = shop.module.services();
        let rule = |code: &str| CouponRule {
            code: code.into(),
            title: code.into(),
            percent: None,
            amount: None,
            skus: Vec::new(),
            minimum: None,
            stackable: false,
            limit: None,
            limit_per_member: None,
            valid_from: None,
            valid_until: None,
        };
        let coupons = [
            CouponRule { percent: Some(10.into()), stackable: true, ..rule("TEN") },
            CouponRule {
                amount: Some(3.into()),
                minimum: Some(10.into()),
                stackable: true,
                limit: Some(30),
                ..rule("THREE")
            },
            CouponRule { percent: Some(33.into()), limit_per_member: Some(3), ..rule("ONCE") },
        ];
        services.put_coupons(&coupons).await.unwrap();
        services.put_limits(&[PurchaseLimit { sku: "D".into(), most: 5, period_seconds: 86_400 }]).await.unwrap();
        services.set_review_from(Some(150.into())).await.unwrap();
        for member in 1..=3 {
            let command = Command::Earn { member: format!("m{member}"), points: 100_000.into() };
            services.post(&Entry { key: format!("gift/{member}"), order: "gift".into(), command }).await.unwrap();
        }
        let definition = order_modules::process(line, &std::collections::BTreeMap::new()).unwrap().definition().clone();
        let (router, db) = (shop.module.router(), shop.look().await);
        Self { line, shop, hands, fuse, definition, router, db, case: Cell::new(0) }
    }

    fn module(&self) -> &Module {
        &self.shop.module
    }

    /// Asks in this process: the protocol without a network.
    async fn ask(&self, path: &str, key: &str, input: &Value) -> (StatusCode, Vec<u8>) {
        let body = Body::from(json!({ "input": input }).to_string());
        let request = Request::post(path).header("idempotency-key", key).body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Option<T> {
        let response = self.router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let found = response.status() == StatusCode::OK || response.status().is_client_error();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        found.then(|| serde_json::from_slice(&bytes).ok()).flatten()
    }

    /// Asks under a key until there is an answer, dying where the fuse says, and coming back each time.
    async fn certainly(&self, path: &str, key: &str, input: &Value, dies: Option<u8>) -> ActionReply {
        self.fuse.store(dies.map_or(-1, i64::from), Ordering::SeqCst);
        let (status, body) = self.ask(path, key, input).await;
        let first: Option<ActionReply> = serde_json::from_slice(&body).ok().filter(|_| status.as_u16() < 500);
        let first = first.filter(|first| first.outcome != Outcome::Accepted);
        if let (Some(first), None) = (&first, dies) {
            self.fuse.store(-1, Ordering::SeqCst);
            return first.clone();
        }
        // While it comes back it may die once more.
        if self.fuse.load(Ordering::SeqCst) < 0 {
            self.fuse.store(dies.map_or(-1, |n| i64::from(n) / 2), Ordering::SeqCst);
            self.recover().await;
        }
        self.fuse.store(-1, Ordering::SeqCst);
        self.recover().await;
        let (status, body) = self.ask(path, key, input).await;
        assert!(status.as_u16() < 500, "{status} {}", String::from_utf8_lossy(&body));
        let settled: ActionReply = serde_json::from_slice(&body).unwrap();
        assert_ne!(settled.outcome, Outcome::Accepted, "at rest everything has ended");
        if let Some(first) = first {
            assert_eq!(first, settled, "an answer that was given stays");
        }
        let stored: Option<ActionReply> = self.get(&format!("/operations/{key}")).await;
        assert_eq!(stored.as_ref(), Some(&settled));
        settled
    }

    /// Takes up what was left until nothing is.
    async fn recover(&self) {
        let mut last = Ok(());
        for _ in 0..50 {
            let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sagas").fetch_one(&self.db).await.unwrap();
            if left == 0 {
                return;
            }
            self.hands.forward(TimeDelta::seconds(31));
            // An error is a crash, or a service that has not answered yet.
            last = self.module().sweep_once().await;
            if self.fuse.load(Ordering::SeqCst) < -1 {
                self.fuse.store(-1, Ordering::SeqCst);
            }
        }
        let left: Vec<String> = sqlx::query_scalar("SELECT state FROM sagas").fetch_all(&self.db).await.unwrap();
        panic!("a saga does not end: {last:?} {left:?}");
    }

    async fn slots(&self) -> Vec<String> {
        let block = self.case.get() / 10;
        let names: Vec<_> = (0..3).map(|i| format!("slot-{block}-{i}")).collect();
        if self.case.get().is_multiple_of(10) || block == 0 {
            for (name, hours) in names.iter().zip([20, 40, 24 * 6]) {
                let starts = self.hands.now() + TimeDelta::hours(hours);
                add_slot(&self.shop, name, starts, self.case.get()).await;
            }
        }
        names
    }

    fn sku(&self, slots: &[String], pick: u8) -> String {
        match self.line {
            Line::Booking => slots[usize::from(pick) % slots.len()].clone(),
            Line::Retail => ["A", "B", "C", "D"][usize::from(pick) % 4].into(),
            Line::Digital => ["A", "B", "C"][usize::from(pick) % 3].into(),
        }
    }

    async fn run(&self, case: &Case) {
        self.case.set(self.case.get() + 1);
        let number = self.case.get();
        let slots = if self.line == Line::Booking { self.slots().await } else { Vec::new() };
        let wanted = case.lines.iter().take(if self.line == Line::Booking { 1 } else { 3 });
        let lines: Vec<_> = wanted.map(|(sku, n)| json!({ "sku": self.sku(&slots, *sku), "quantity": n })).collect();
        let mut input = json!({ "lines": lines });
        if case.member > 0 {
            input["customer"] = json!({ "id": format!("m{}", case.member) });
        }
        match case.coupon {
            1 => input["coupons"] = json!(["TEN"]),
            2 => input["coupons"] = json!(["TEN", "THREE"]),
            3 => input["coupons"] = json!(["ONCE"]),
            4 => input["coupons"] = json!(["NEVER"]),
            _ => {}
        }
        if self.line == Line::Retail && case.coupon.is_multiple_of(2) {
            input["shippingMethod"] = json!("STANDARD");
        }
        let created = self.certainly("/orders", &format!("c{number}"), &input, case.dies).await;
        let Some(order) = created.order else {
            assert_eq!(created.outcome, Outcome::Rejected);
            return;
        };
        let id = order.source_order_id.to_string();
        self.lawful(&order);
        for (i, step) in case.steps.iter().enumerate() {
            match step {
                Step::Time(minutes) => {
                    self.hands.forward(TimeDelta::minutes(i64::from(*minutes)));
                    self.module().sweep_once().await.unwrap();
                    self.recover().await;
                }
                Step::Ask { action, how, number: n, dies } => {
                    let actions: &[&str] = actions(self.line);
                    let action = actions[usize::from(*action) % actions.len()];
                    let input = self.input(action, *how, *n, &slots);
                    let path = format!("/orders/{id}/actions/{action}");
                    let reply = self.certainly(&path, &format!("c{number}-{i}"), &input, *dies).await;
                    assert_eq!(reply.order.is_some(), reply.outcome == Outcome::Applied);
                    reply.order.into_iter().for_each(|order| self.lawful(&sound(order)));
                }
            }
        }
        let order: OrderSnapshot = self.get(&format!("/orders/{id}")).await.unwrap();
        self.lawful(&order);
        self.shop.assert_agrees(&sound(order)).await;
    }

    /// Every move of the timeline is one that the definition allows.
    fn lawful(&self, order: &OrderSnapshot) {
        for event in &order.events {
            let (from, to) = (event.from_state.as_deref(), event.to_state.as_deref().unwrap());
            let allowed = self.definition.transitions.iter().any(|t| {
                let begins = t.from.is_empty() && from.is_none();
                let goes_on = t.from.iter().any(|state| Some(state.as_str()) == from);
                t.action.as_str() == event.event_type && (begins || goes_on) && t.to.iter().any(|state| state == to)
            });
            assert!(allowed, "{event:?}");
        }
        let chained = order.events.windows(2).all(|pair| pair[0].to_state == pair[1].from_state);
        assert!(chained, "each move begins where the one before ended: {:?}", order.events);
        assert_eq!(order.events.last().unwrap().to_state.as_ref(), Some(&order.native.state));
        let manual = |name: &str| {
            self.definition.transitions.iter().any(|t| t.action.as_str() == name && t.trigger == Trigger::Manual)
        };
        assert!(order.available_actions.iter().all(|a| manual(a.name.as_str())));
    }

    fn input(&self, action: &str, how: u8, n: u8, slots: &[String]) -> Value {
        let quantity = n % 3 + 1;
        let lines = json!([{ "lineId": (n % 2 + 1).to_string(), "quantity": quantity }]);
        let amount = format!("{}.{:02}", n / 16, n % 16 * 6);
        match (action, how % 8) {
            ("pay", 0) => json!({ "token": "tok_decline" }),
            ("pay", 1) => json!({ "token": "tok_timeout" }),
            ("pay", 2) => json!({ "token": "tok_late" }),
            ("pay", 3) => json!({ "token": "tok_slow_refund" }),
            ("pay", 4) => json!({ "amount": amount }),
            ("pay", 5) => json!({ "method": "points" }),
            ("pay", 6) if self.line != Line::Digital => json!({ "capture": false }),
            ("modify", how) if self.line == Line::Booking => match how {
                0..4 => json!({ "slot": self.sku(slots, n) }),
                4 | 5 => json!({ "quantity": quantity }),
                _ => json!({ "slot": self.sku(slots, n), "quantity": quantity }),
            },
            ("modify", 0..4) => json!({ "lines": [{ "lineId": "1", "quantity": quantity }] }),
            ("modify", 4 | 5) => json!({ "lines": [{ "sku": self.sku(slots, n), "quantity": quantity }] }),
            ("modify", _) => json!({ "shippingAddress": { "city": "Leeds" } }),
            ("refund", 0..3) if self.line != Line::Digital => json!({ "amount": amount }),
            ("refund", 3 | 4) if self.line != Line::Booking => json!({ "lines": lines }),
            ("refund", 5) if self.line == Line::Retail => json!({ "shipping": true }),
            ("ship" | "claim" | "request_return", 0..3) => json!({ "lines": lines }),
            ("receive_return", 0 | 1) => json!({ "disposition": "DAMAGED", "refund": true }),
            ("receive_return", 2..5) => json!({ "refund": true }),
            ("receive_return", 5) => json!({ "amount": amount }),
            ("cancel", 0) => json!({ "reason": "changed my mind" }),
            (_, 7) if n == 0 => json!({ "nonsense": n }),
            _ => json!({}),
        }
    }
}

/// What is asked, the way forward more often than the rest.
fn actions(line: Line) -> &'static [&'static str] {
    match line {
        Line::Retail => &[
            "pay",
            "pay",
            "pay",
            "capture",
            "produce",
            "produce",
            "pack",
            "ship",
            "ship",
            "deliver",
            "deliver",
            "confirm",
            "complete",
            "complete",
            "modify",
            "cancel",
            "refund",
            "request_return",
            "receive_return",
            "review",
        ],
        Line::Digital => &["pay", "pay", "pay", "claim", "claim", "refund", "refund", "cancel", "review"],
        Line::Booking => &[
            "pay", "pay", "pay", "capture", "confirm", "confirm", "decline", "modify", "modify", "cancel", "no_show",
            "complete", "refund", "review",
        ],
    }
}

async fn add_slot(shop: &Shop, name: &str, starts: chrono::DateTime<chrono::Utc>, n: u32) {
    use order_modules::service::{Goods, Product};
    let details = json!({ "startsAt": starts, "endsAt": starts + TimeDelta::hours(2) }).as_object().cloned().unwrap();
    let price = if n.is_multiple_of(2) { "80" } else { "45.50" }.parse().unwrap();
    let services = shop.module.services();
    services.put_products(&[Product { sku: name.into(), name: name.into(), price, details }]).await.unwrap();
    let goods = [Goods { sku: name.into(), quantity: 12.into() }];
    services.receive_goods(&format!("slot/{name}"), &goods).await.unwrap();
}

fn check(line: Line) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = RefCell::new(runtime.block_on(World::open(line)));
    let done = runner(CASES).run(&cases(), |case| {
        if world.borrow().case.get() == CASES_OF_A_WORLD {
            let old = world.replace(runtime.block_on(World::open(line)));
            runtime.block_on(old.shop.assert_balanced());
        }
        runtime.block_on(world.borrow().run(&case));
        Ok(())
    });
    done.unwrap_or_else(|failure| panic!("{failure}"));
    runtime.block_on(world.into_inner().shop.assert_balanced());
}

#[test]
fn retail_balances_whatever_happens() {
    check(Line::Retail);
}

#[test]
fn digital_balances_whatever_happens() {
    check(Line::Digital);
}

#[test]
fn booking_balances_whatever_happens() {
    check(Line::Booking);
}
