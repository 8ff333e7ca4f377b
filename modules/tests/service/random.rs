//! Any sequence of commands, reversals and time: the books balance, nobody is short, and no answer changes.

use std::collections::HashMap;

use order_modules::service::{Command, CouponRule, Entry, Fault, Goods, PurchaseLimit, Receipt, Service, post_many};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof};
use proptest::test_runner::{TestCaseError, TestRunner};
use sqlx::{Connection, SqliteConnection};

use crate::house::{House, START, at, charge, coupon, goods};

/// Short of any loss of the process, a case costs a database file and some twenty writes.
const CASES: u32 = 96;

#[derive(Clone, Debug)]
enum Step {
    /// Post under a key, for an order.
    Post(u8, u8, Command),
    Reverse(Service, u8),
    /// Let time pass and reservations run out.
    Pass(i64),
}

fn command() -> impl Strategy<Value = Command> {
    let some_goods = || {
        let line = (prop_oneof![Just("A"), Just("B"), Just("L")], 1_i64..5);
        let lines = proptest::collection::vec(line, 1..4);
        lines.prop_map(|lines| lines.into_iter().map(|(sku, quantity)| goods(sku, quantity)).collect::<Vec<Goods>>())
    };
    let of_goods =
        (0_u8..9, some_goods(), proptest::option::of(0_i64..100)).prop_map(|(which, goods, until)| match which {
            0 => Command::Reserve { goods, until: until.map(|seconds| at(START + seconds)) },
            1 => Command::Confirm { goods },
            2 => Command::Release { goods },
            3 => Command::Ship { goods },
            4 => Command::Restock { goods },
            5 => Command::Damage { goods },
            6 => Command::Deduct { goods },
            7 => Command::Revoke { goods },
            _ => Command::Claim { goods },
        });
    let member = || proptest::option::of(Just("ann".to_owned()));
    let of_coupons =
        (any::<bool>(), prop_oneof![Just("TWICE"), Just("ONCE")], member()).prop_map(|(redeem, code, member)| {
            let codes = vec![code.to_owned()];
            if redeem { Command::Redeem { codes, member } } else { Command::Restore { codes, member } }
        });
    let of_points = (0_u8..4, 1_i64..50).prop_map(|(which, points)| {
        let (member, points) = ("ann".to_owned(), points.into());
        match which {
            0 => Command::Earn { member, points },
            1 => Command::Unearn { member, points },
            2 => Command::Spend { member, points },
            _ => Command::Unspend { member, points },
        }
    });
    let token = prop_oneof![
        4 => Just(None),
        1 => Just(Some("tok_decline")),
        1 => Just(Some("tok_timeout")),
        1 => Just(Some("tok_late")),
        1 => Just(Some("tok_slow_refund")),
    ];
    let of_money = (0_u8..5, 1_u8..3, 1_i64..40, token).prop_map(|(which, payment, amount, token)| {
        let charge = charge(&format!("p{payment}"), &amount.to_string(), token);
        match which {
            0 => Command::Authorize(charge),
            1 => Command::Capture(charge),
            2 => Command::Void(charge),
            3 => Command::Sale(charge),
            _ => Command::Refund(charge),
        }
    });
    let of_risk = (any::<bool>(), some_goods(), member(), any::<bool>()).prop_map(|(count, goods, member, placed)| {
        let at = at(START);
        if count { Command::Count { member, goods, at, placed } } else { Command::Uncount { member, goods, at } }
    });
    prop_oneof![4 => of_goods, 1 => of_coupons, 1 => of_points, 2 => of_money, 1 => of_risk]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let service = proptest::sample::select(Service::ALL.to_vec());
    let step = prop_oneof![
        10 => (0_u8..40, 0_u8..3, command()).prop_map(|(key, order, command)| Step::Post(key, order, command)),
        4 => (service, 0_u8..40).prop_map(|(service, key)| Step::Reverse(service, key)),
        1 => (1_i64..60).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..60)
}

#[test]
fn any_sequence_leaves_the_books_balanced() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) });
    let checked = runner.run(&steps(), |steps| runtime.block_on(live(steps)));
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn many_at_once_are_answered_as_one_after_the_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES / 3) });
    let entry = (0_u8..40, 0_u8..3, command()).prop_map(|(key, order, command)| Entry {
        key: format!("k{key}"),
        order: format!("o{order}"),
        command,
    });
    let entries = proptest::collection::vec(entry, 1..60);
    let checked = runner.run(&entries, |entries| {
        runtime.block_on(async {
            let (one, other) = (terms(House::open(false).await).await, terms(House::open(false).await).await);
            let mut answers = Vec::new();
            for entry in &entries {
                answers.push(one.port.post(entry).await);
            }
            let mut sql = other.sql().await;
            let mut tx = sql.begin_with("BEGIN IMMEDIATE").await.unwrap();
            let at_once = post_many(&mut tx, &entries, other.now()).await.unwrap();
            tx.commit().await.unwrap();
            prop_assert_eq!(answers, at_once);
            prop_assert_eq!(balances(&one).await, balances(&other).await);
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn balances(house: &House) -> Vec<(String, String, String, i64)> {
    let rows = sqlx::query_as("SELECT service, account, item, amount FROM ledger_balances ORDER BY 1, 2, 3");
    rows.fetch_all(&mut house.sql().await).await.unwrap()
}

/// Stock, coupons and limits.
async fn terms(house: House) -> House {
    let house = house.stocked().await;
    let rules =
        [CouponRule { limit: Some(2), ..coupon("TWICE") }, CouponRule { limit_per_member: Some(1), ..coupon("ONCE") }];
    house.embedded.put_coupons(&rules).await.unwrap();
    let limit = |sku: &str, most| PurchaseLimit { sku: sku.into(), most, period_seconds: 3600 };
    house.embedded.put_limits(&[limit("A", 6), limit("*", 3)]).await.unwrap();
    house
}

async fn live(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let house = terms(House::open(false).await).await;
    let mut sql = house.sql().await;
    let mut answers: HashMap<(Service, u8), Receipt> = HashMap::new();
    for step in steps {
        match step.clone() {
            Step::Post(key, order, command) => {
                let service = command.service();
                let answer = house.post(&format!("k{key}"), &format!("o{order}"), command).await;
                match (answers.get(&(service, key)), answer) {
                    (Some(before), Ok(now)) => agree(&before.reference, &now.reference, &step)?,
                    (None, Ok(now)) => drop(answers.insert((service, key), now)),
                    (Some(_), Err(Fault::Refused { code, .. })) => {
                        return Err(TestCaseError::fail(format!("{code} after an answer: {step:?}")));
                    }
                    _ => {}
                }
            }
            Step::Reverse(service, key) => {
                house.port.reverse(service, &format!("k{key}")).await.unwrap();
                answers.remove(&(service, key));
                let again = house.port.entry(service, &format!("k{key}")).await;
                agree(&matches!(&again, Err(Fault::Refused { code, .. }) if code == "REVERSED"), &true, &step)?;
            }
            Step::Pass(seconds) => {
                house.pass(seconds);
                house.embedded.expire_reservations(house.now()).await.unwrap();
            }
        }
        check(&mut sql, &step).await?;
    }
    Ok(())
}

fn agree<T: PartialEq + std::fmt::Debug>(one: &T, other: &T, step: &Step) -> Result<(), TestCaseError> {
    if one == other { Ok(()) } else { Err(TestCaseError::fail(format!("{one:?} is not {other:?} after {step:?}"))) }
}

/// Each statement finds what must not exist.
const WRONG: [(&str, &str); 6] = [
    ("an item is not in balance", "SELECT service || item FROM ledger_balances GROUP BY service, item HAVING SUM(amount) <> 0"),
    (
        "an account of the house is short",
        "SELECT account || item FROM ledger_balances WHERE amount < 0 AND account NOT LIKE '@%' AND account NOT LIKE 'member/%'",
    ),
    (
        "a balance is not the sum of its postings",
        "WITH sums AS (SELECT service, account, item, SUM(amount) AS amount
                       FROM (SELECT service, debit AS account, item, quantity AS amount FROM ledger_postings
                             UNION ALL SELECT service, credit, item, -quantity FROM ledger_postings)
                       GROUP BY service, account, item HAVING SUM(amount) <> 0)
         SELECT account || item FROM (SELECT * FROM (SELECT * FROM sums EXCEPT SELECT service, account, item, amount FROM ledger_balances)
                              UNION ALL SELECT * FROM (SELECT service, account, item, amount FROM ledger_balances EXCEPT SELECT * FROM sums))",
    ),
    (
        "a limit is passed",
        "SELECT account || item FROM ledger_balances
         WHERE amount > 10000 * CASE WHEN (account, item) = ('used', 'TWICE') THEN 2 WHEN (account, item) = ('used/ann', 'ONCE') THEN 1
                                     WHEN account LIKE 'bought/%' THEN 6 WHEN account LIKE 'placed/%' THEN 3 ELSE 1000000 END",
    ),
    (
        "the codes of an order are not its stock",
        "WITH owned AS (SELECT iif(claimed, 'claimed/', 'sold/') || order_id AS account, COUNT(*) * 10000 AS amount
                        FROM warehouse_codes WHERE order_id IS NOT NULL GROUP BY 1),
              booked AS (SELECT account, amount FROM ledger_balances WHERE item = 'L' AND (account LIKE 'sold/%' OR account LIKE 'claimed/%'))
         SELECT account FROM (SELECT * FROM (SELECT * FROM owned EXCEPT SELECT * FROM booked)
                              UNION ALL SELECT * FROM (SELECT * FROM booked EXCEPT SELECT * FROM owned))",
    ),
    (
        "there is more free stock than free codes",
        "SELECT account FROM ledger_balances WHERE (account, item) = ('available', 'L')
         AND amount > 10000 * (SELECT COUNT(*) FROM warehouse_codes WHERE order_id IS NULL)",
    ),
];

async fn check(sql: &mut SqliteConnection, step: &Step) -> Result<(), TestCaseError> {
    for (wrong, statement) in WRONG {
        let found: Vec<String> = sqlx::query_scalar(statement).fetch_all(&mut *sql).await.unwrap();
        if !found.is_empty() {
            return Err(TestCaseError::fail(format!("{wrong}: {found:?} after {step:?}")));
        }
    }
    Ok(())
}
