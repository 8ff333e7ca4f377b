//! What every service promises, wherever it runs.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use order_contract::{Amount, EffectStatus};
use order_modules::service::{Command, CouponRule, Fault, Goods, PurchaseLimit, Question, Receipt, Service};
use serde_json::{Value, json};

use crate::house::{START, at, code, coupon, each, goods};

fn reserve(goods: Vec<Goods>) -> Command {
    Command::Reserve { goods, until: None }
}

fn redeem(code: &str, member: Option<&str>) -> Command {
    Command::Redeem { codes: vec![code.into()], member: member.map(Into::into) }
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_whatever_comes_with_it() {
    each(async |house| {
        let house = house.stocked().await;
        let first = house.done("k", "o1", reserve(vec![goods("A", 3)])).await;
        assert_eq!((first.reference.as_str(), first.status), ("warehouse/k", EffectStatus::Done));
        assert_eq!(house.done("k", "o1", reserve(vec![goods("A", 3)])).await, first);
        assert_eq!(house.done("k", "o2", reserve(vec![goods("A", 99)])).await, first);
        assert_eq!(house.done("k", "o2", reserve(vec![goods("A", -1)])).await, first);
        assert_eq!(house.balance(Service::Warehouse, "available", "A").await, 7);
        assert_eq!(house.port.entry(Service::Warehouse, "k").await.unwrap(), first);
        // Keys of one service are not those of another, and a refusal is not stored.
        house.done("k", "o1", Command::Earn { member: "m".into(), points: 5.into() }).await;
        assert_eq!(house.refused("k2", "o1", reserve(vec![goods("A", 8)])).await, "OUT_OF_STOCK");
        house.done("k2", "o1", reserve(vec![goods("A", 7)])).await;
        assert_eq!(code(house.port.entry(Service::Warehouse, "none").await), "ENTRY_NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn a_hundred_buyers_share_the_last_ten() {
    each(async |house| {
        let house = house.stocked().await;
        let house = &house;
        let deduct = || Command::Deduct { goods: vec![goods("L", 1)] };
        let deduct = &deduct;
        let reserved = join_all((0..100).map(|i| async move {
            house.post(&format!("r{i}"), &format!("o{i}"), reserve(vec![goods("A", 1)])).await
        }));
        let deducted =
            join_all((0..100).map(|i| async move { house.post(&format!("d{i}"), &format!("o{i}"), deduct()).await }));
        let (reserved, deducted) = tokio::join!(reserved, deducted);
        for answers in [&reserved, &deducted] {
            let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.is_ok());
            assert_eq!((done.len(), refused.len()), (10, 90));
            assert!(refused.into_iter().all(|answer| code(answer.clone()) == "OUT_OF_STOCK"));
        }
        let given: Vec<_> =
            deducted.iter().flatten().map(|receipt| receipt.data["codes"]["L"][0].to_string()).collect();
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 10, "no code twice: {given:?}");
        assert_eq!(house.balance(Service::Warehouse, "available", "A").await, 0);
        assert_eq!(house.balance(Service::Warehouse, "available", "L").await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_was_reversed_before_it_arrived_never_happens() {
    each(async |house| {
        let house = house.stocked().await;
        house.reverse(Service::Warehouse, "late").await;
        house.reverse(Service::Warehouse, "late").await;
        assert_eq!(house.refused("late", "o", reserve(vec![goods("A", 1)])).await, "REVERSED");
        assert_eq!(code(house.port.entry(Service::Warehouse, "late").await), "REVERSED");
        assert_eq!(house.balance(Service::Warehouse, "available", "A").await, 10);
    })
    .await;
}

#[tokio::test]
async fn reversed_twice_is_reversed_once() {
    each(async |house| {
        let house = house.stocked().await;
        house.done("k", "o", reserve(vec![goods("A", 4), goods("B", 1), goods("A", 2)])).await;
        assert_eq!(house.balance(Service::Warehouse, "available", "A").await, 4);
        house.reverse(Service::Warehouse, "k").await;
        house.reverse(Service::Warehouse, "k").await;
        assert_eq!(house.balance(Service::Warehouse, "available", "A").await, 10);
        assert_eq!(house.balance(Service::Warehouse, "reserved/o", "B").await, 0);
        assert_eq!(house.refused("k", "o", reserve(vec![goods("A", 4)])).await, "REVERSED");
    })
    .await;
}

#[tokio::test]
async fn a_reversal_takes_back_no_more_than_is_left() {
    each(async |house| {
        let house = house.stocked().await;
        house.done("r", "o", reserve(vec![goods("A", 4)])).await;
        house.done("s", "o", Command::Ship { goods: vec![goods("A", 3)] }).await;
        house.reverse(Service::Warehouse, "r").await;
        assert_eq!(house.balance(Service::Warehouse, "available", "A").await, 7);
        assert_eq!(house.balance(Service::Warehouse, "shipped/o", "A").await, 3);
    })
    .await;
}

#[tokio::test]
async fn stock_goes_the_whole_way_and_no_account_is_short() {
    each(async |house| {
        let house = house.stocked().await;
        let one = || vec![goods("A", 1)];
        for (key, command, code) in [
            ("1", Command::Ship { goods: one() }, "NOT_RESERVED"),
            ("2", Command::Release { goods: one() }, "NOT_RESERVED"),
            ("3", Command::Restock { goods: one() }, "NOT_SHIPPED"),
            ("4", Command::Damage { goods: one() }, "NOT_SHIPPED"),
            ("5", Command::Revoke { goods: one() }, "NOT_DEDUCTED"),
            ("6", Command::Claim { goods: one() }, "NOT_DEDUCTED"),
            ("7", Command::Confirm { goods: one() }, "RESERVATION_EXPIRED"),
            ("8", reserve(vec![goods("A", 6), goods("A", 5)]), "OUT_OF_STOCK"),
            ("9", reserve(vec![goods("C", 1)]), "OUT_OF_STOCK"),
            ("10", reserve(vec![goods("A", 0)]), "INVALID_QUANTITY"),
            (
                "11",
                Command::Deduct { goods: vec![Goods { sku: "L".into(), quantity: "0.5".parse().unwrap() }] },
                "INVALID_QUANTITY",
            ),
        ] {
            assert_eq!(house.refused(key, "o", command).await, code, "{key}");
        }
        house.done("a", "o", reserve(vec![goods("A", 5)])).await;
        house.done("b", "o", Command::Confirm { goods: vec![goods("A", 5)] }).await;
        house.done("c", "o", Command::Release { goods: vec![goods("A", 1)] }).await;
        house.done("d", "o", Command::Ship { goods: vec![goods("A", 4)] }).await;
        house.done("e", "o", Command::Restock { goods: vec![goods("A", 2)] }).await;
        house.done("f", "o", Command::Damage { goods: vec![goods("A", 1)] }).await;
        let accounts = [("available", 8), ("reserved/o", 0), ("shipped/o", 1), ("damaged", 1), ("@supplier", -10)];
        for (account, held) in accounts {
            assert_eq!(house.balance(Service::Warehouse, account, "A").await, held, "{account}");
        }
        let fault = house.post("g", "o", reserve(vec![goods("A", 9)])).await;
        assert_eq!(
            fault,
            Err(Fault::Refused { code: "OUT_OF_STOCK".into(), message: "There is not enough of A: 8 left.".into() })
        );
        let moved = house.embedded.order_balances(Service::Warehouse, "o").await.unwrap();
        assert_eq!(
            json!(moved),
            json!({ "available": { "A": "-2" }, "damaged": { "A": "1" }, "shipped/o": { "A": "1" } })
        );
    })
    .await;
}

#[tokio::test]
async fn codes_are_given_freed_and_claimed_once() {
    each(async |house| {
        let house = house.stocked().await;
        let codes =
            |receipt: &Receipt| -> Vec<String> { serde_json::from_value(receipt.data["codes"]["L"].clone()).unwrap() };
        let sold = house.done("d1", "o1", Command::Deduct { goods: vec![goods("L", 3)] }).await;
        assert_eq!(house.done("d1", "o1", Command::Deduct { goods: vec![goods("L", 3)] }).await, sold);
        let claimed = house.done("c1", "o1", Command::Claim { goods: vec![goods("L", 1)] }).await;
        assert!(codes(&sold).contains(&codes(&claimed)[0]));
        house.done("v1", "o1", Command::Revoke { goods: vec![goods("L", 2)] }).await;
        assert_eq!(house.refused("v2", "o1", Command::Revoke { goods: vec![goods("L", 1)] }).await, "NOT_DEDUCTED");
        let others = house.done("d2", "o2", Command::Deduct { goods: vec![goods("L", 9)] }).await;
        assert!(!codes(&others).contains(&codes(&claimed)[0]), "a claimed code is never sold again");
        assert_eq!(codes(&others).iter().collect::<BTreeSet<_>>().len(), 9);
        assert_eq!(house.refused("d3", "o3", Command::Deduct { goods: vec![goods("L", 1)] }).await, "OUT_OF_STOCK");
        house.reverse(Service::Warehouse, "d2").await;
        house.reverse(Service::Warehouse, "c1").await;
        let again = house.done("c2", "o1", Command::Claim { goods: vec![goods("L", 1)] }).await;
        assert_eq!(codes(&again), codes(&claimed));
        assert_eq!(codes(&house.done("d4", "o3", Command::Deduct { goods: vec![goods("L", 9)] }).await).len(), 9);
    })
    .await;
}

#[tokio::test]
async fn reservations_run_out_unless_they_are_confirmed() {
    each(async |house| {
        let house = house.stocked().await;
        let until = Some(at(START + 1800));
        let timed = |quantity| Command::Reserve { goods: vec![goods("A", quantity)], until };
        house.done("r1", "unpaid", timed(2)).await;
        house.done("r2", "paid", timed(3)).await;
        house.done("r3", "more", timed(1)).await;
        house.done("r4", "open", reserve(vec![goods("A", 1)])).await;
        house.pass(1799);
        assert_eq!(house.embedded.expire_reservations(house.now()).await.unwrap(), 0);
        house.done("c2", "paid", Command::Confirm { goods: vec![goods("A", 3)] }).await;
        house.done("x3", "more", Command::Release { goods: vec![goods("A", 1)] }).await;
        house.done("c3", "more", Command::Confirm { goods: vec![] }).await;
        house.done("r5", "more", reserve(vec![goods("A", 2)])).await;
        house.pass(1);
        assert_eq!(house.embedded.expire_reservations(house.now()).await.unwrap(), 1);
        assert_eq!(house.embedded.expire_reservations(house.now()).await.unwrap(), 0);
        let held = [
            ("reserved/unpaid", 0),
            ("reserved/paid", 3),
            ("reserved/more", 2),
            ("reserved/open", 1),
            ("available", 4),
        ];
        for (account, held) in held {
            assert_eq!(house.balance(Service::Warehouse, account, "A").await, held, "{account}");
        }
        let late = Command::Confirm { goods: vec![goods("A", 2)] };
        assert_eq!(house.refused("c1", "unpaid", late).await, "RESERVATION_EXPIRED");
        // Compensation of what ran out makes no stock from nothing.
        house.reverse(Service::Warehouse, "r1").await;
        assert_eq!(house.balance(Service::Warehouse, "available", "A").await, 4);
        // A confirmation that is taken back leaves a promise that can run out.
        house.reverse(Service::Warehouse, "c2").await;
        assert_eq!(house.embedded.expire_reservations(house.now()).await.unwrap(), 1);
        assert_eq!(house.balance(Service::Warehouse, "reserved/paid", "A").await, 0);
    })
    .await;
}

#[tokio::test]
async fn coupons_are_used_as_often_as_they_may_be() {
    each(async |house| {
        let rules = [
            CouponRule { limit: Some(2), ..coupon("TWICE") },
            CouponRule { limit_per_member: Some(1), limit: Some(5), ..coupon("ONCE") },
            coupon("EVER"),
        ];
        house.embedded.put_coupons(&rules).await.unwrap();
        house.done("1", "o1", redeem("TWICE", None)).await;
        house.done("2", "o2", redeem("TWICE", Some("ann"))).await;
        assert_eq!(house.refused("3", "o3", redeem("TWICE", None)).await, "COUPON_USED_UP");
        house.done("4", "o1", redeem("ONCE", Some("ann"))).await;
        assert_eq!(house.refused("5", "o2", redeem("ONCE", Some("ann"))).await, "COUPON_USED_UP");
        assert_eq!(house.refused("6", "o2", redeem("ONCE", None)).await, "COUPON_MEMBERS_ONLY");
        assert_eq!(house.refused("7", "o2", redeem("NONE", None)).await, "COUPON_UNKNOWN");
        // One that is refused leaves the others of its command unused.
        let both = Command::Redeem { codes: vec!["EVER".into(), "TWICE".into()], member: None };
        assert_eq!(house.refused("8", "o3", both).await, "COUPON_USED_UP");
        assert_eq!(house.balance(Service::Promotion, "used", "EVER").await, 0);
        let question = Question {
            coupons: ["TWICE", "ONCE", "EVER", "NONE"].map(Into::into).to_vec(),
            member: Some("ann".into()),
            ..Question::default()
        };
        let left = |facts: &order_modules::service::Facts| -> Value {
            facts.coupons.iter().map(|(code, offer)| (code.clone(), json!(offer.left))).collect()
        };
        let facts = house.port.facts(Service::Promotion, &question).await.unwrap();
        assert_eq!(left(&facts), json!({ "EVER": null, "ONCE": 0, "TWICE": 0 }));
        assert_eq!(facts.coupons["ONCE"].rule, rules[1]);
        house.done("9", "o2", Command::Restore { codes: vec!["TWICE".into()], member: Some("ann".into()) }).await;
        house.reverse(Service::Promotion, "4").await;
        let facts = house.port.facts(Service::Promotion, &question).await.unwrap();
        assert_eq!(left(&facts), json!({ "EVER": null, "ONCE": 1, "TWICE": 1 }));
        let guest = Question { member: None, ..question };
        assert_eq!(left(&house.port.facts(Service::Promotion, &guest).await.unwrap())["ONCE"], json!(0));
        let unused = Command::Restore { codes: vec!["EVER".into()], member: None };
        assert_eq!(house.refused("10", "o1", unused).await, "COUPON_NOT_USED");
    })
    .await;
}

#[tokio::test]
async fn points_are_earned_spent_and_taken_back() {
    each(async |house| {
        let member = || "m/1".to_owned();
        let who = async || {
            let question = Question { member: Some(member()), ..Question::default() };
            let member = house.port.facts(Service::Membership, &question).await.unwrap().member.unwrap();
            (member.level, member.points)
        };
        assert_eq!(who().await, ("BASIC".into(), Amount::ZERO));
        house.done("1", "o1", Command::Earn { member: member(), points: 1200.into() }).await;
        assert_eq!(who().await, ("SILVER".into(), 1200.into()));
        house.done("2", "o2", Command::Spend { member: member(), points: 1100.into() }).await;
        assert_eq!(who().await, ("SILVER".into(), 100.into()), "what is spent was earned");
        let too_many = Command::Spend { member: member(), points: 101.into() };
        assert_eq!(house.refused("3", "o3", too_many).await, "POINTS_NOT_ENOUGH");
        house.done("4", "o1", Command::Unearn { member: member(), points: 300.into() }).await;
        assert_eq!(who().await, ("BASIC".into(), Amount::from(-200)), "points that were spent are owed");
        house.done("5", "o2", Command::Unspend { member: member(), points: 1100.into() }).await;
        assert_eq!(who().await, ("BASIC".into(), 900.into()));
        house.reverse(Service::Membership, "1").await;
        assert_eq!(who().await, ("BASIC".into(), Amount::from(-300)));
        let half = Command::Earn { member: member(), points: "0.5".parse().unwrap() };
        assert_eq!(house.refused("6", "o1", half).await, "INVALID_QUANTITY");
    })
    .await;
}

#[tokio::test]
async fn purchases_count_against_the_members_limits() {
    each(async |house| {
        let limit = |sku: &str, most, period_seconds| PurchaseLimit { sku: sku.into(), most, period_seconds };
        let limits = [limit("A", 3, 86_400), limit("A", 5, 30 * 86_400), limit("*", 2, 3600)];
        house.embedded.put_limits(&limits).await.unwrap();
        house.embedded.set_review_from(Some(500.into())).await.unwrap();
        let count = |quantity, seconds, placed| Command::Count {
            member: Some("ann".into()),
            goods: vec![goods("A", quantity), goods("B", 50)],
            at: at(seconds),
            placed,
        };
        let day = START - START % (30 * 86_400);
        house.done("1", "o1", count(2, day, true)).await;
        assert_eq!(house.refused("2", "o2", count(2, day, true)).await, "PURCHASE_LIMIT");
        house.done("3", "o2", count(1, day, true)).await;
        assert_eq!(house.refused("4", "o3", count(0, day, true)).await, "INVALID_QUANTITY");
        house.done("5", "o3", count(1, day + 86_400, true)).await;
        assert_eq!(house.refused("6", "o4", count(2, day + 86_400, false)).await, "PURCHASE_LIMIT", "30 days");
        let question = Question {
            skus: vec!["A".into(), "B".into()],
            member: Some("ann".into()),
            at: Some(at(day)),
            ..Question::default()
        };
        let facts = house.port.facts(Service::Risk, &question).await.unwrap();
        assert_eq!(json!(facts.allowances), json!({ "*": "0", "A": "0" }));
        assert_eq!(facts.review_from, Some(500.into()));
        let order = |member: Option<&str>| Command::Count {
            member: member.map(Into::into),
            goods: vec![],
            at: at(day),
            placed: true,
        };
        assert_eq!(house.refused("7", "o5", order(Some("ann"))).await, "VELOCITY_LIMIT");
        house.done("8", "o5", order(None)).await;
        house.done("9", "o5", order(Some("bob"))).await;
        let back = Command::Uncount { member: Some("ann".into()), goods: vec![goods("A", 9)], at: at(day) };
        house.done("10", "o1", back).await;
        let facts = house.port.facts(Service::Risk, &question).await.unwrap();
        assert_eq!(json!(facts.allowances), json!({ "*": "0", "A": "3" }));
        house.embedded.put_limits(&[]).await.unwrap();
        house.embedded.set_review_from(None).await.unwrap();
        let facts = house.port.facts(Service::Risk, &question).await.unwrap();
        assert_eq!((facts.allowances.len(), facts.review_from), (0, None));
    })
    .await;
}

#[tokio::test]
async fn names_cannot_pass_for_other_accounts() {
    each(async |house| {
        let house = house.stocked().await;
        house.done("1", "a/b", reserve(vec![goods("A", 1)])).await;
        house.done("k/2 ?#%", "a%2Fb", reserve(vec![goods("A", 2)])).await;
        assert_eq!(house.balance(Service::Warehouse, "reserved/a%2Fb", "A").await, 1);
        assert_eq!(house.balance(Service::Warehouse, "reserved/a%252Fb", "A").await, 2);
        assert_eq!(house.port.entry(Service::Warehouse, "k/2 ?#%").await.unwrap().reference, "warehouse/k/2 ?#%");
        house.reverse(Service::Warehouse, "k/2 ?#%").await;
        assert_eq!(house.balance(Service::Warehouse, "available", "A").await, 9);
    })
    .await;
}
