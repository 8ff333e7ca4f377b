//! Prices with coupons: exact, in proportion, and the same in any order.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use order_contract::Amount;
use order_modules::pricing::{Item, PriceError, Quote, price, requote};
use order_modules::service::CouponRule;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::house::{START, at, coupon};

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn item(sku: &str, quantity: &str, unit_price: &str) -> Item {
    Item { sku: sku.into(), quantity: amount(quantity), unit_price: amount(unit_price) }
}

fn percent(code: &str, percent: &str) -> CouponRule {
    CouponRule { percent: Some(amount(percent)), ..coupon(code) }
}

fn off(code: &str, off: &str) -> CouponRule {
    CouponRule { percent: None, amount: Some(amount(off)), ..coupon(code) }
}

fn now() -> DateTime<Utc> {
    at(START)
}

#[test]
fn a_penny_goes_to_the_largest_remainder() {
    let items = [item("A", "1", "1.00"), item("B", "1", "1.00"), item("C", "1", "1.01")];
    let quote = price(&items, &[off("ONE", "1")], 2, now()).unwrap();
    let shares: Vec<_> = quote.lines.iter().map(|line| line.discounts[0].to_string()).collect();
    assert_eq!(shares, ["0.33", "0.33", "0.34"]);
    assert_eq!((quote.subtotal, quote.total), (amount("3.01"), amount("2.01")));
}

#[test]
fn coupons_apply_one_after_the_other_to_what_is_left() {
    let items = [item("A", "2", "50"), item("B", "1", "20")];
    let on_b = CouponRule { skus: vec!["B".into()], ..off("B50", "50") };
    let quote = price(&items, &[percent("TEN", "10"), on_b.clone()], 2, now()).unwrap();
    assert_eq!(quote.discounts, [amount("12"), amount("18")], "no line falls below zero");
    assert_eq!((quote.lines[0].total, quote.lines[1].total, quote.total), (amount("90"), Amount::ZERO, amount("90")));
    let quote = price(&items, &[on_b, percent("TEN", "10")], 2, now()).unwrap();
    assert_eq!(quote.discounts, [amount("20"), amount("10")]);
}

#[test]
fn percentages_are_rounded_half_up_to_the_minor_unit() {
    for (unit_price, digits, discount) in
        [("1.05", 2, "0.11"), ("1.04", 2, "0.1"), ("15", 0, "2"), ("14", 0, "1"), ("0.005", 3, "0.001")]
    {
        let quote = price(&[item("A", "1", unit_price)], &[percent("TEN", "10")], digits, now()).unwrap();
        assert_eq!(quote.discounts[0], amount(discount), "{unit_price}");
    }
    let weighed = price(&[item("A", "1.25", "0.99")], &[percent("ALL", "100")], 2, now()).unwrap();
    assert_eq!((weighed.subtotal, weighed.total), (amount("1.2375"), amount("0.0075")), "a discount is in minor units");
}

#[test]
fn coupons_that_do_not_apply_are_refused_by_name() {
    let items = [item("A", "1", "30")];
    let alone = CouponRule { stackable: false, ..percent("ALONE", "5") };
    let from_fifty = CouponRule { minimum: Some(amount("50")), ..percent("FIFTY", "5") };
    let valid = CouponRule { valid_from: Some(at(START)), valid_until: Some(at(START + 1)), ..percent("NOW", "5") };
    for (coupons, refused) in [
        (vec![alone.clone(), percent("TEN", "10")], PriceError::NotStackable("ALONE".into())),
        (vec![percent("TEN", "10"), alone.clone()], PriceError::NotStackable("ALONE".into())),
        (vec![percent("TEN", "10"), percent("TEN", "10")], PriceError::Repeated("TEN".into())),
        (vec![from_fifty.clone()], PriceError::Minimum { code: "FIFTY".into(), missing: amount("20") }),
    ] {
        assert_eq!(price(&items, &coupons, 2, now()), Err(refused));
    }
    assert!(price(&items, &[alone], 2, now()).is_ok());
    for (seconds, holds) in [(-1, false), (0, true), (1, false)] {
        let answer = price(&items, std::slice::from_ref(&valid), 2, at(START + seconds));
        assert_eq!(answer.is_ok(), holds);
        assert!(holds || answer == Err(PriceError::NotValid("NOW".into())));
    }
    for bad in
        [item("A", "-1", "1"), item("A", "1", "-1"), item("A", "0.33", "0.9999"), item("A", "900000000000", "99999")]
    {
        assert_eq!(price(&[bad], &[], 2, now()).map_err(|e| e.code()), Err("INVALID_QUANTITY"));
    }
}

#[test]
fn what_is_kept_costs_what_it_would_have_cost_alone() {
    let coupons = [CouponRule { minimum: Some(amount("50")), ..off("FIVE", "5") }, percent("TEN", "10")];
    let whole = price(&[item("A", "3", "20")], &coupons, 2, now()).unwrap();
    assert_eq!(whole.total, amount("49.50"));
    let kept = requote(&[item("A", "2", "20")], &coupons, 2).unwrap();
    assert_eq!((kept.discounts, kept.total), (vec![Amount::ZERO, amount("4")], amount("36")));
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let one = ("[ABC]", 0_i64..40, prop_oneof![(0_i64..5_000).prop_map(|p| p * 100), 0_i64..50_000_000]);
    let item = one.prop_map(|(sku, quantity, unit_price)| Item {
        sku,
        quantity: quantity.into(),
        unit_price: Amount::from_units(unit_price),
    });
    proptest::collection::vec(item, 0..30)
}

fn coupons() -> impl Strategy<Value = Vec<CouponRule>> {
    let one =
        (any::<bool>(), 1_i64..1_000_000, prop_oneof![Just(vec![]), Just(vec!["A".to_owned()])], 0_i64..1_000_000);
    let coupons = proptest::collection::vec(one, 0..4);
    coupons.prop_map(|coupons| {
        let rule = |(i, (by_percent, units, skus, minimum)): (usize, (bool, i64, Vec<String>, i64))| CouponRule {
            percent: by_percent.then(|| Amount::from_units(units)),
            amount: (!by_percent).then(|| Amount::from_units(units * 3)),
            skus,
            minimum: Some(Amount::from_units(minimum)),
            ..coupon(&format!("C{i}"))
        };
        coupons.into_iter().enumerate().map(rule).collect()
    })
}

/// What lines cost, whatever their order.
fn by_line(items: &[Item], quote: &Quote) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for (item, line) in items.iter().zip(&quote.lines) {
        *lines.entry(format!("{item:?} {line:?}")).or_default() += 1;
    }
    lines
}

proptest! {
    #[test]
    fn lines_add_up_and_none_is_below_zero(items in items(), coupons in coupons(), digits in 0_u32..4) {
        let quote = requote(&items, &coupons, digits).unwrap();
        let minor = 10_i64.pow(4 - digits);
        prop_assert_eq!(quote.lines.iter().map(|line| line.total).sum::<Amount>(), quote.total);
        prop_assert_eq!(quote.lines.iter().map(|line| line.subtotal).sum::<Amount>(), quote.subtotal);
        prop_assert_eq!(quote.subtotal - quote.discounts.iter().copied().sum(), quote.total);
        for (i, discount) in quote.discounts.iter().enumerate() {
            prop_assert_eq!(quote.lines.iter().map(|line| line.discounts[i]).sum::<Amount>(), *discount);
            prop_assert_eq!(discount.units() % minor, 0);
        }
        for (item, line) in items.iter().zip(&quote.lines) {
            prop_assert_eq!(line.subtotal - line.discounts.iter().copied().sum(), line.total);
            prop_assert!(!line.total.is_negative());
            for (coupon, share) in coupons.iter().zip(&line.discounts) {
                prop_assert!(!share.is_negative() && share.units() % minor == 0);
                prop_assert!(share.is_zero() || coupon.skus.is_empty() || coupon.skus.contains(&item.sku));
            }
        }
    }

    #[test]
    fn a_share_is_within_one_minor_unit_of_its_proportion(items in items(), off in 1_i64..1_000_000) {
        let rule = CouponRule { percent: None, amount: Some(Amount::from_units(off * 100)), ..coupon("OFF") };
        let quote = requote(&items, &[rule], 2).unwrap();
        let (cost, off) = (i128::from(quote.subtotal.units()), i128::from(quote.discounts[0].units()));
        // Where goods cost parts of a penny, no line gives more than its whole pennies, and the others take that over.
        if items.iter().all(|item| item.unit_price.units() % 100 == 0) {
            for line in &quote.lines {
                let (share, price) = (i128::from(line.discounts[0].units()), i128::from(line.subtotal.units()));
                prop_assert!((share * cost - off * price).abs() < 100 * cost.max(1));
            }
        }
    }

    #[test]
    fn the_order_of_the_lines_decides_nothing(items in items(), coupons in coupons(), seed in any::<u64>()) {
        let mut shuffled: Vec<_> = items.clone();
        shuffled.sort_by_key(|item| {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hash = DefaultHasher::new();
            (seed, &item.sku, item.quantity, item.unit_price).hash(&mut hash);
            hash.finish()
        });
        let (one, other) = (requote(&items, &coupons, 2).unwrap(), requote(&shuffled, &coupons, 2).unwrap());
        prop_assert_eq!(by_line(&items, &one), by_line(&shuffled, &other));
        prop_assert_eq!(one.discounts, other.discounts);
    }
}
