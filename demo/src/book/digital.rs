//! The digital module's past days: licence keys, bought, claimed, given back, sold out.

use chrono::{DateTime, Utc};
use order_modules::service::CouponRule;
use serde_json::{Map, json};

use super::{Book, Story, amount, coupon, hours, limit, minutes, nothing, order, product};

/// SKU, name, price and how many keys.
const PRODUCTS: &[(&str, &str, &str, u32)] = &[
    ("EMBER", "Ember, the game", "19.99", 300),
    ("STUDIO", "Photo studio, one year", "59.00", 200),
    ("ATLAS", "Offline atlas of Europe", "24.90", 200),
    ("CHORDS", "Chord trainer", "12.50", 200),
    ("SEAT", "Team seat, one year", "8.00", 500),
    (DELUXE, "Ember, deluxe edition", "79.00", 3),
];
/// There are three keys of it, and never more.
const DELUXE: &str = "EMBER-DELUXE";

pub(super) fn book(now: DateTime<Utc>) -> Book {
    let codes = PRODUCTS.iter().map(|(sku, _, _, count)| ((*sku).to_owned(), keys(sku, *count)));
    let first_three =
        CouponRule { limit: Some(3), ..coupon("FIRST3", "A quarter off for the first three", Some("25"), None) };
    Book {
        products: PRODUCTS.iter().map(|(sku, name, price, _)| product(*sku, *name, price, Map::new())).collect(),
        goods: Vec::new(),
        codes: codes.collect(),
        coupons: vec![
            CouponRule {
                limit_per_member: Some(1),
                ..coupon("WELCOME10", "10% off your first order", Some("10"), None)
            },
            first_three,
        ],
        limits: vec![limit("EMBER", 6)],
        review_from: amount("250"),
        stories: stories(now),
    }
}

/// Keys that look like keys, and are the same at every start.
fn keys(sku: &str, count: u32) -> Vec<String> {
    const LETTERS: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    // FNV-1a: any mixing would do.
    let mut state = sku
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(LETTERS[(state >> 59) as usize])
    };
    let mut key = || (0..15).map(|i| if i % 5 == 4 { '-' } else { letter() }).collect::<String>();
    (0..count).map(|n| format!("{}{n:04}", key())).collect()
}

/// What becomes of an ordinary order.
#[derive(Clone, Copy)]
enum Fate {
    Claimed,
    Expired,
    Declined,
    CanceledUnpaid,
    GivenBack,
    HalfGivenBack,
}

fn stories(now: DateTime<Utc>) -> Vec<Story> {
    use Fate::{CanceledUnpaid, Claimed, Declined, Expired, GivenBack, HalfGivenBack};
    let fates = [(Claimed, 18), (Expired, 4), (Declined, 2), (CanceledUnpaid, 3), (GivenBack, 4), (HalfGivenBack, 2)];
    let fates = fates.into_iter().flat_map(|(fate, count)| std::iter::repeat_n(fate, count));
    let mut stories: Vec<_> = (0..).zip(fates).map(|(i, fate)| ordinary(now, i, fate)).collect();
    stories.extend(points(now));
    stories.extend(coupons(now));
    stories.extend(sold_out(now));
    stories.extend(reviews(now));
    stories.extend(limits(now));
    stories.extend(open(now));
    stories
}

/// Spread over twelve days, in an order that is not that of their fates.
fn ordinary(now: DateTime<Utc>, i: usize, fate: Fate) -> Story {
    let place = i64::try_from(i * 13 % 33).unwrap_or(0);
    let at = now - hours(12 * 24) + minutes(place * 500 + i64::try_from(i).unwrap_or(0) * 7);
    let sku = ["EMBER", "STUDIO", "ATLAS", "CHORDS", "ATLAS", "CHORDS"][i % 6];
    let quantity = if matches!(fate, Fate::HalfGivenBack) { 2 } else { 1 };
    let begins = Story::begins(at, order(i, &[(sku, quantity)], &[]));
    match fate {
        Fate::Claimed => begins.then(minutes(3), "pay", nothing()).then(minutes(20 + 11 * place), "claim", nothing()),
        Fate::Expired => begins.wait(minutes(16)),
        Fate::Declined => {
            let declined =
                begins.then(minutes(2), "pay", json!({ "token": "tok_decline" })).refused("PAYMENT_DECLINED");
            declined.wait(minutes(16))
        }
        Fate::CanceledUnpaid => begins.then(minutes(6), "cancel", json!({ "reason": "changed my mind" })),
        Fate::GivenBack => {
            let paid = begins.then(minutes(3), "pay", nothing());
            paid.then(hours(5), "refund", json!({ "reason": "bought the wrong edition" }))
        }
        Fate::HalfGivenBack => {
            let claimed = begins.then(minutes(3), "pay", nothing()).then(minutes(40), "claim", one());
            claimed.then(hours(7), "refund", json!({ "reason": "one was enough" }))
        }
    }
}

fn one() -> serde_json::Value {
    json!({ "lines": [{ "lineId": "1", "quantity": 1 }] })
}

/// A team's seats earn points, which pay a part of the next order.
fn points(now: DateTime<Utc>) -> Vec<Story> {
    let earns = |customer, days: i64, seats| {
        let begins = Story::begins(now - hours(24 * days), order(customer, &[("SEAT", seats)], &[]));
        begins.then(minutes(4), "pay", nothing()).then(minutes(30), "claim", nothing())
    };
    let spends = |customer, days: i64, points: &str| {
        let begins = Story::begins(now - hours(24 * days), order(customer, &[("STUDIO", 1)], &[]));
        begins.then(minutes(2), "pay", json!({ "method": "points", "amount": points })).then(
            minutes(1),
            "pay",
            nothing(),
        )
    };
    vec![
        earns(0, 11, 25),
        earns(5, 9, 30),
        spends(0, 6, "2.00").then(minutes(50), "claim", nothing()),
        // Points and money go back the way they came.
        spends(5, 5, "1.50").then(hours(3), "refund", json!({ "reason": "does not run on our machines" })),
    ]
}

/// Coupons: one for each customer, and one for the first three.
fn coupons(now: DateTime<Utc>) -> Vec<Story> {
    let with = |customer, days: i64, coupon| {
        let begins =
            Story::begins(now - hours(24 * days + 2), order(customer, &[("ATLAS", 1), ("CHORDS", 1)], &[coupon]));
        begins.then(minutes(5), "pay", nothing())
    };
    let repeated = |customer, days: i64, coupon, code| {
        Story::refused_at_once(now - hours(24 * days + 1), order(customer, &[("CHORDS", 1)], &[coupon]), code)
    };
    vec![
        with(1, 10, "WELCOME10").then(minutes(10), "claim", nothing()),
        repeated(1, 10, "WELCOME10", "COUPON_USED_UP"),
        with(2, 8, "WELCOME10").then(hours(2), "refund", nothing()),
        with(3, 7, "FIRST3").then(minutes(25), "claim", nothing()),
        with(4, 7, "FIRST3").then(minutes(35), "claim", nothing()),
        with(6, 6, "FIRST3").then(minutes(15), "claim", nothing()),
        repeated(7, 5, "FIRST3", "COUPON_USED_UP"),
    ]
}

/// Three keys and five buyers within minutes: who pays first gets one, the others get their money back by themselves.
fn sold_out(now: DateTime<Utc>) -> Vec<Story> {
    let release = now - hours(4 * 24);
    let buyer = |i: i64| {
        let customer = 7 + usize::try_from(i).unwrap_or(0);
        Story::begins(release + minutes(i), order(customer, &[(DELUXE, 1)], &[])).then(
            minutes(7 - i / 2),
            "pay",
            nothing(),
        )
    };
    let mut stories: Vec<_> = (0..5).map(buyer).collect();
    stories[0] = Story::begins(release, order(7, &[(DELUXE, 1)], &[])).then(minutes(6), "pay", nothing()).then(
        hours(1),
        "claim",
        nothing(),
    );
    stories.push(Story::refused_at_once(release + hours(1), order(0, &[(DELUXE, 1)], &[]), "OUT_OF_STOCK"));
    stories
}

/// Large orders wait for a person once they are paid.
fn reviews(now: DateTime<Utc>) -> Vec<Story> {
    let large = |customer, hours_ago| {
        Story::begins(now - hours(hours_ago), order(customer, &[("SEAT", 40)], &[])).then(minutes(9), "pay", nothing())
    };
    vec![
        large(8, 70).then(hours(2), "review", nothing()).then(hours(1), "claim", nothing()),
        large(9, 45).then(hours(3), "cancel", json!({ "reason": "not known at this address" })),
        large(10, 5),
        large(11, 2),
    ]
}

fn limits(now: DateTime<Utc>) -> Vec<Story> {
    let at = now - hours(3 * 24);
    vec![
        Story::begins(at, order(11, &[("EMBER", 4)], &[])).then(minutes(3), "pay", nothing()).then(
            minutes(8),
            "claim",
            nothing(),
        ),
        Story::refused_at_once(at + minutes(12), order(11, &[("EMBER", 3)], &[]), "PURCHASE_LIMIT"),
    ]
}

/// What is under way now.
fn open(now: DateTime<Utc>) -> Vec<Story> {
    let paid = |customer, hours_ago, lines: &[(&str, u32)]| {
        Story::begins(now - hours(hours_ago), order(customer, lines, &[])).then(minutes(4), "pay", nothing())
    };
    vec![
        paid(0, 30, &[("ATLAS", 1)]),
        paid(2, 20, &[("STUDIO", 1)]),
        paid(4, 9, &[("CHORDS", 1), ("ATLAS", 1)]),
        paid(6, 4, &[("EMBER", 2)]).then(minutes(5), "claim", one()),
        paid(8, 1, &[("CHORDS", 3)]),
        Story::begins(now - minutes(9), order(1, &[("EMBER", 1)], &[])),
        Story::begins(now - minutes(5), order(3, &[("STUDIO", 1)], &[])).then(
            minutes(2),
            "pay",
            json!({ "amount": "20.00" }),
        ),
        Story::begins(now - minutes(2), order(10, &[("ATLAS", 2)], &[])),
    ]
}
