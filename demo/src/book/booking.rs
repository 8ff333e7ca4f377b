//! The booking module's past days: places in workshops, asked for, accepted, moved, called off, missed.

use chrono::{DateTime, NaiveTime, Utc};
use order_modules::service::{CouponRule, Goods, Product};
use serde_json::{Value, json};

use super::{Book, Story, amount, coupon, hours, limit, minutes, nothing, order, product};

/// A workshop: SKU, name, price of a place, places, and the two hours of the day at which it begins.
struct Workshop(&'static str, &'static str, &'static str, i64, [i64; 2]);

static POTTERY: Workshop = Workshop("POTTERY", "Pottery workshop", "45.00", 12, [10, 18]);
static BAKING: Workshop = Workshop("BAKING", "Bread baking course", "65.00", 8, [9, 17]);
static SAILING: Workshop = Workshop("SAILING", "Sailing lesson", "90.00", 4, [11, 16]);
static WORKSHOPS: [&Workshop; 3] = [&POTTERY, &BAKING, &SAILING];

/// The number of the first slot that begins at least [`AHEAD`] after the book is written; two numbers are a day. So the
/// numbers name the same distance whenever the demonstration is started first.
const NEXT: i64 = 31;
/// More than the late notice of the process, and less than the free one even for the longest gap between two slots.
const AHEAD: i64 = 26;
/// The last slot on sale.
const LAST: i64 = 150;

pub(super) fn book(now: DateTime<Utc>) -> Book {
    let slots: Vec<_> =
        WORKSHOPS.iter().flat_map(|workshop| (1..=LAST).map(move |number| (*workshop, number))).collect();
    Book {
        products: slots.iter().map(|(workshop, number)| slot(workshop, *number, now)).collect(),
        goods: slots
            .iter()
            .map(|(workshop, number)| Goods { sku: sku(workshop, *number), quantity: workshop.3.into() })
            .collect(),
        codes: Vec::new(),
        coupons: vec![
            CouponRule {
                limit_per_member: Some(1),
                ..coupon("WELCOME10", "10% off your first booking", Some("10"), None)
            },
            CouponRule {
                minimum: Some(amount("100")),
                ..coupon("TOGETHER", "15.00 off from 100.00", None, Some("15"))
            },
        ],
        limits: vec![limit("SAILING-40", 2)],
        review_from: amount("400"),
        stories: stories(now),
    }
}

fn sku(workshop: &Workshop, number: i64) -> String {
    format!("{}-{number:02}", workshop.0)
}

/// When a slot begins.
fn starts(workshop: &Workshop, number: i64, now: DateTime<Utc>) -> DateTime<Utc> {
    let midnight = now.date_naive().and_time(NaiveTime::MIN).and_utc();
    let [early, late] = workshop.4;
    // Slots counted from today's early one.
    let at = |count: i64| {
        let hour = if count.rem_euclid(2) == 0 { early } else { late };
        midnight + hours(24 * count.div_euclid(2) + hour)
    };
    let next = (0..).find(|count| at(*count) >= now + hours(AHEAD)).unwrap_or_default();
    at(next + number - NEXT)
}

/// A slot lasts two hours.
fn slot(workshop: &Workshop, number: i64, now: DateTime<Utc>) -> Product {
    let starts = starts(workshop, number, now);
    let details = json!({ "startsAt": starts, "endsAt": starts + hours(2) });
    let name = format!("{}, {}", workshop.1, starts.format("%a %-d %b %Y %H:%M"));
    product(sku(workshop, number), name, workshop.2, details.as_object().cloned().unwrap_or_default())
}

/// Stories are told at this time.
#[derive(Clone, Copy)]
struct Telling(DateTime<Utc>);

impl Telling {
    fn begin(self, workshop: &Workshop, number: i64) -> DateTime<Utc> {
        starts(workshop, number, self.0)
    }

    /// A booking so many hours before its slot, or before now where the slot is to come.
    fn asked(self, customer: usize, workshop: &Workshop, number: i64, places: u32, hours_before: i64) -> Story {
        let at = self.begin(workshop, number).min(self.0) - hours(hours_before);
        Story::begins(at, booking(customer, workshop, number, places, &[]))
    }

    /// The same with its deposit.
    fn requested(self, customer: usize, workshop: &Workshop, number: i64, places: u32, hours_before: i64) -> Story {
        self.asked(customer, workshop, number, places, hours_before).then(minutes(4), "pay", nothing())
    }

    /// The same, accepted.
    fn accepted(self, customer: usize, workshop: &Workshop, number: i64, places: u32, hours_before: i64) -> Story {
        self.requested(customer, workshop, number, places, hours_before).then(minutes(80), "confirm", nothing())
    }

    /// The same, paid in full.
    fn paid(self, customer: usize, workshop: &Workshop, number: i64, places: u32, hours_before: i64) -> Story {
        self.accepted(customer, workshop, number, places, hours_before).then(hours(3), "pay", nothing())
    }
}

fn booking(customer: usize, workshop: &Workshop, number: i64, places: u32, coupons: &[&str]) -> Value {
    order(customer, &[(sku(workshop, number).as_str(), places)], coupons)
}

fn stories(now: DateTime<Utc>) -> Vec<Story> {
    let telling = Telling(now);
    let mut stories = completed(telling);
    stories.extend(upcoming(telling));
    stories.extend(not_to_be(telling));
    stories.extend(called_off(telling));
    stories.extend(moved(telling));
    stories.extend(special(telling));
    stories.extend(open(telling));
    stories
}

/// The slot is over, the balance is paid: an hour later the booking completes by itself.
fn completed(telling: Telling) -> Vec<Story> {
    let story = |i: usize| {
        let number = 3 + i64::try_from(i).unwrap_or(0) * 22 / 14;
        let workshop = WORKSHOPS[i % 3];
        let over = telling.begin(workshop, number) + hours(3);
        let before = 50 + i64::try_from(i * 7 % 30).unwrap_or(0);
        let places = 1 + u32::try_from(i % 2).unwrap_or(0);
        telling.paid(i, workshop, number, places, before).wait_until(over)
    };
    let mut stories: Vec<_> = (0..15).map(story).collect();
    // Something to be sorry for.
    let sorry = stories.remove(4);
    stories.push(sorry.then(hours(2), "refund", json!({ "amount": "10.00", "reason": "the oven broke" })));
    stories
}

/// Accepted, and the day is still to come.
fn upcoming(telling: Telling) -> Vec<Story> {
    let story = |i: usize| {
        let number = 36 + i64::try_from(i * 5).unwrap_or(0);
        let before = 8 + i64::try_from(i * 17).unwrap_or(0);
        let accepted = telling.accepted(i + 4, WORKSHOPS[i % 3], number, 1 + u32::try_from(i % 2).unwrap_or(0), before);
        if i.is_multiple_of(3) { accepted.then(hours(2), "pay", nothing()) } else { accepted }
    };
    (0..9).map(story).collect()
}

/// Unpaid, unanswered, declined, missed.
fn not_to_be(telling: Telling) -> Vec<Story> {
    let unpaid = |customer, workshop, number| telling.asked(customer, workshop, number, 1, 70).wait(minutes(31));
    let unanswered = |customer, workshop, number| telling.requested(customer, workshop, number, 2, 90).wait(hours(25));
    let declined = |customer, workshop, number, why| {
        let requested = telling.requested(customer, workshop, number, 2, 60);
        requested.then(hours(3), "decline", json!({ "reason": why }))
    };
    let missed = |customer, workshop, number| {
        let begin = telling.begin(workshop, number);
        telling.accepted(customer, workshop, number, 1, 75).at(begin + minutes(40), "no_show", nothing())
    };
    vec![
        unpaid(1, &BAKING, 9),
        unpaid(6, &SAILING, 18),
        unpaid(8, &POTTERY, 35),
        unanswered(2, &POTTERY, 12),
        unanswered(9, &SAILING, 38),
        declined(3, &BAKING, 15, "the teacher is ill"),
        declined(7, &SAILING, 21, "storm warning"),
        declined(10, &POTTERY, 37, "closed for a private party"),
        missed(5, &POTTERY, 11),
        missed(11, &BAKING, 24),
    ]
}

/// Called off in good time, late, and on the day.
fn called_off(telling: Telling) -> Vec<Story> {
    let off = |customer, workshop: &Workshop, number, places, notice, why: &str| {
        let at = telling.begin(workshop, number) - hours(notice);
        telling.paid(customer, workshop, number, places, 100).at(at, "cancel", json!({ "reason": why }))
    };
    vec![
        off(0, &POTTERY, 16, 2, 60, "a wedding"),
        off(4, &SAILING, 20, 1, 72, "work"),
        off(8, &BAKING, 13, 2, 36, "the children are ill"),
        off(2, &SAILING, 26, 2, 30, "no train"),
        off(6, &POTTERY, 22, 1, 5, "overslept"),
    ]
}

/// Moved to another slot or another number of places: dearer, cheaper, and to where there is no room.
fn moved(telling: Telling) -> Vec<Story> {
    let dearer = json!({ "slot": sku(&BAKING, 48) });
    let cheaper = json!({ "slot": sku(&POTTERY, 52) });
    vec![
        telling.paid(1, &POTTERY, 46, 2, 40).then(hours(4), "modify", dearer.clone()).then(
            minutes(10),
            "pay",
            nothing(),
        ),
        telling.paid(3, &SAILING, 44, 1, 44).then(hours(6), "modify", cheaper),
        telling.accepted(5, &BAKING, 50, 1, 28).then(hours(2), "modify", json!({ "quantity": 3 })),
        telling.requested(11, &POTTERY, 47, 1, 10).then(minutes(30), "modify", dearer),
    ]
}

/// A full slot, a group that is looked at, held money, slow refunds, coupons, and a balance that nobody paid.
fn special(telling: Telling) -> Vec<Story> {
    let full = &sku(&SAILING, FULL);
    let at = telling.0 - hours(30);
    let with = |customer, workshop: &Workshop, number, places, coupon, ago| {
        let begins = Story::begins(telling.0 - hours(ago), booking(customer, workshop, number, places, &[coupon]));
        begins.then(minutes(4), "pay", nothing()).then(minutes(50), "confirm", nothing())
    };
    vec![
        telling.accepted(0, &SAILING, FULL, 2, 34),
        telling.accepted(9, &SAILING, FULL, 2, 33),
        Story::refused_at_once(at, booking(2, &SAILING, FULL, 1, &[]), "SLOT_FULL"),
        telling.accepted(4, &POTTERY, 41, 1, 26).then(hours(1), "modify", json!({ "slot": full })).refused("SLOT_FULL"),
        // A group: someone looks at it before the merchant may accept.
        telling
            .requested(7, &BAKING, 55, 7, 48)
            .then(minutes(30), "confirm", nothing())
            .refused("ACTION_NOT_ALLOWED")
            .then(hours(2), "review", nothing())
            .then(minutes(5), "confirm", nothing()),
        telling.requested(10, &POTTERY, 58, 10, 6),
        telling
            .asked(8, &SAILING, 51, 1, 20)
            .then(minutes(5), "pay", json!({ "amount": "90.00", "capture": false }))
            .then(hours(1), "confirm", nothing())
            .then(hours(2), "capture", nothing()),
        telling
            .asked(3, &POTTERY, 42, 2, 52)
            .then(minutes(5), "pay", json!({ "token": "tok_slow_refund" }))
            .then(hours(2), "decline", json!({ "reason": "the kiln is cold" }))
            .wait(hours(25)),
        with(1, &POTTERY, 43, 1, "WELCOME10", 29),
        with(5, &BAKING, 45, 2, "TOGETHER", 22),
        Story::refused_at_once(at + hours(2), booking(5, &POTTERY, 45, 1, &["TOGETHER"]), "COUPON_MINIMUM"),
        Story::refused_at_once(at + hours(3), booking(6, &SAILING, 40, 3, &[]), "PURCHASE_LIMIT"),
        // Came, and left without paying the rest.
        telling.accepted(9, &BAKING, 19, 1, 66).wait_until(telling.begin(&BAKING, 19) + hours(3)),
    ]
}

/// The slot that has no place left.
const FULL: i64 = 39;

/// What waits for the customer or the merchant now.
fn open(telling: Telling) -> Vec<Story> {
    let waiting = |customer, workshop: &Workshop, number, ago| {
        Story::begins(telling.0 - minutes(ago), booking(customer, workshop, number, 1, &[]))
    };
    vec![
        telling.requested(0, &POTTERY, 49, 2, 15),
        telling.requested(2, &BAKING, 53, 1, 8),
        telling.requested(6, &SAILING, 57, 1, 3),
        waiting(4, &POTTERY, 60, 14),
        waiting(7, &BAKING, 61, 6),
        waiting(11, &SAILING, 62, 2),
    ]
}
