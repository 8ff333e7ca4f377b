//! Money, and a gateway that declines, loses answers and takes its time.

use order_contract::EffectStatus;
use order_modules::service::{Command, Fault, Service};

use crate::house::{charge, code, each};

#[tokio::test]
async fn money_is_held_taken_and_given_back_to_the_card_it_came_from() {
    each(async |house| {
        let money = async |account: &str| house.balance(Service::Payment, account, "GBP").await;
        house.done("a", "o", Command::Authorize(charge("p1", "100", None))).await;
        assert_eq!(
            house.refused("c0", "o", Command::Capture(charge("p1", "101", None))).await,
            "AMOUNT_ABOVE_AUTHORIZED"
        );
        house.done("c", "o", Command::Capture(charge("p1", "70", None))).await;
        house.done("v", "o", Command::Void(charge("p1", "30", None))).await;
        assert_eq!(house.refused("v2", "o", Command::Void(charge("p1", "1", None))).await, "AMOUNT_ABOVE_AUTHORIZED");
        house.done("s", "o", Command::Sale(charge("p2", "50", None))).await;
        assert_eq!((money("held/o/p1").await, money("merchant/o").await, money("@card/o/p1").await), (0, 120, -70));
        assert_eq!(house.refused("r0", "o", Command::Refund(charge("p1", "71", None))).await, "REFUND_ABOVE_CAPTURED");
        house.done("r1", "o", Command::Refund(charge("p1", "70", None))).await;
        house.done("r2", "o", Command::Refund(charge("p2", "50", None))).await;
        assert_eq!(
            house.refused("r3", "o", Command::Refund(charge("p2", "0.01", None))).await,
            "REFUND_ABOVE_CAPTURED"
        );
        // Compensating the sale gives nothing back a second time.
        house.reverse(Service::Payment, "s").await;
        assert_eq!((money("merchant/o").await, money("@card/o/p2").await), (0, 0));
        assert_eq!(house.refused("n", "o", Command::Sale(charge("p3", "-5", None))).await, "INVALID_AMOUNT");
    })
    .await;
}

#[tokio::test]
async fn a_declined_card_moves_nothing() {
    each(async |house| {
        for (key, command) in [("a", Command::Authorize as fn(_) -> _), ("s", Command::Sale as fn(_) -> _)] {
            let charge = charge("p1", "10", Some("tok_decline"));
            assert_eq!(house.refused(key, "o", command(charge)).await, "PAYMENT_DECLINED");
        }
        assert_eq!(house.balance(Service::Payment, "@card/o/p1", "GBP").await, 0);
        house.done("s", "o", Command::Sale(charge("p1", "10", None))).await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_under_the_same_key() {
    each(async |house| {
        let sale = || Command::Sale(charge("p1", "10", Some("tok_timeout")));
        assert!(matches!(house.post("k", "o", sale()).await, Err(Fault::Unknown { .. })));
        assert_eq!(house.balance(Service::Payment, "merchant/o", "GBP").await, 10);
        assert_eq!(house.done("k", "o", sale()).await.status, EffectStatus::Done);
        assert_eq!(house.balance(Service::Payment, "merchant/o", "GBP").await, 10);
        assert!(matches!(house.post("k2", "o", sale()).await, Err(Fault::Unknown { .. })));
        house.reverse(Service::Payment, "k2").await;
        assert_eq!(house.refused("k2", "o", sale()).await, "REVERSED");
        assert_eq!(house.balance(Service::Payment, "merchant/o", "GBP").await, 10);
    })
    .await;
}

#[tokio::test]
async fn a_late_answer_comes_with_the_third_ask() {
    each(async |house| {
        let sale = || Command::Sale(charge("p1", "10", Some("tok_late")));
        assert!(matches!(house.post("k", "o", sale()).await, Err(Fault::Unknown { .. })));
        assert!(
            matches!(house.port.entry(Service::Payment, "k").await, Err(Fault::Unknown { .. })),
            "a look is an ask"
        );
        assert_eq!(house.done("k", "o", sale()).await.status, EffectStatus::Done);
        assert_eq!(house.port.entry(Service::Payment, "k").await.unwrap().status, EffectStatus::Done);
        assert_eq!(house.balance(Service::Payment, "merchant/o", "GBP").await, 10);
    })
    .await;
}

#[tokio::test]
async fn a_slow_refund_is_pending_until_somebody_looks() {
    each(async |house| {
        house.done("s", "o", Command::Sale(charge("p1", "10", None))).await;
        let refund = || Command::Refund(charge("p1", "10", Some("tok_slow_refund")));
        assert_eq!(house.done("r", "o", refund()).await.status, EffectStatus::Pending);
        assert_eq!(house.done("r", "o", refund()).await.status, EffectStatus::Pending);
        assert_eq!(house.port.entry(Service::Payment, "r").await.unwrap().status, EffectStatus::Done);
        assert_eq!(house.done("r", "o", refund()).await.status, EffectStatus::Done);
        assert_eq!(code(house.port.entry(Service::Payment, "x").await), "ENTRY_NOT_FOUND");
    })
    .await;
}
