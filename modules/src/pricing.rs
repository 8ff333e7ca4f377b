//! What goods cost with coupons, line by line, exactly.
//!
//! It owns the stacking rule and the proration: coupons apply in the order they were typed, each to what the earlier
//! ones left; a coupon that is not stackable is used alone; what one takes off is spread over its lines in proportion
//! to what they still cost, in minor units of the currency, by largest remainder. It refuses coupons that do not apply.
//! So lines always add up to the total, none is below zero, and the order of the lines decides nothing.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use order_contract::{Amount, Quantity};

use crate::service::CouponRule;

/// Fraction digits of the units that amounts are counted in.
const SCALE: u32 = 4;

/// Goods to be priced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The stock keeping unit.
    pub sku: String,
    /// How many; not negative.
    pub quantity: Quantity,
    /// Price of one; not negative.
    pub unit_price: Amount,
}

/// What goods cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// As many as there were items, in their order.
    pub lines: Vec<LineQuote>,
    /// What each coupon takes off the order, in the order of the coupons.
    pub discounts: Vec<Amount>,
    /// Before discounts.
    pub subtotal: Amount,
    /// After discounts.
    pub total: Amount,
}

/// What one line costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineQuote {
    /// Before discounts.
    pub subtotal: Amount,
    /// Its share of each coupon, in the order of the coupons; zero for none.
    pub discounts: Vec<Amount>,
    /// After discounts.
    pub total: Amount,
}

/// Why there is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// A coupon that is used alone was typed together with others.
    #[error("Coupon {0} cannot be used together with other coupons: use it alone or leave it out.")]
    NotStackable(String),
    /// The same coupon was typed twice.
    #[error("Coupon {0} counts once: leave the second one out.")]
    Repeated(String),
    /// The goods do not cost enough.
    #[error("Coupon {code} needs goods for {missing} more.")]
    Minimum {
        /// The coupon.
        code: String,
        /// How much is missing.
        missing: Amount,
    },
    /// Too early or too late.
    #[error("Coupon {0} is not valid at this time.")]
    NotValid(String),
    /// Price times quantity is below zero, too large, or needs more than four fraction digits.
    #[error("{0} cannot be priced in this quantity.")]
    Inexact(String),
}

impl PriceError {
    /// A stable code in upper snake case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotStackable(_) => "COUPON_NOT_STACKABLE",
            Self::Repeated(_) => "COUPON_REPEATED",
            Self::Minimum { .. } => "COUPON_MINIMUM",
            Self::NotValid(_) => "COUPON_NOT_VALID",
            Self::Inexact(_) => "INVALID_QUANTITY",
        }
    }
}

/// Prices goods with coupons as they are typed at a checkout.
///
/// # Errors
/// [`PriceError`].
pub fn price(
    items: &[Item],
    coupons: &[CouponRule],
    minor_digits: u32,
    at: DateTime<Utc>,
) -> Result<Quote, PriceError> {
    for (i, coupon) in coupons.iter().enumerate() {
        let code = || coupon.code.clone();
        if coupons[..i].iter().any(|earlier| earlier.code == coupon.code) {
            return Err(PriceError::Repeated(code()));
        }
        if !coupon.stackable && coupons.len() > 1 {
            return Err(PriceError::NotStackable(code()));
        }
        if coupon.valid_from.is_some_and(|from| at < from) || coupon.valid_until.is_some_and(|until| at >= until) {
            return Err(PriceError::NotValid(code()));
        }
    }
    let goods = subtotals(items)?;
    let subtotal: Amount = goods.iter().copied().sum();
    if let Some((coupon, missing)) = coupons.iter().find_map(|c| Some((c, missing(c, subtotal)?))) {
        return Err(PriceError::Minimum { code: coupon.code.clone(), missing });
    }
    Ok(quote(items, &goods, coupons, minor_digits))
}

/// What the goods that are kept cost with the coupons of the order they were part of: a coupon whose minimum does not
/// hold any more gives nothing. The customer ends up having paid this much; a refund gives back the rest.
///
/// # Errors
/// [`PriceError::Inexact`].
pub fn requote(kept: &[Item], coupons: &[CouponRule], minor_digits: u32) -> Result<Quote, PriceError> {
    Ok(quote(kept, &subtotals(kept)?, coupons, minor_digits))
}

fn subtotals(items: &[Item]) -> Result<Vec<Amount>, PriceError> {
    let mut sum = 0_i64;
    let subtotal = |item: &Item| {
        let price = Some(item.unit_price).filter(|price| !price.is_negative() && !item.quantity.is_negative());
        let product = price.and_then(|price| price.checked_mul(item.quantity));
        // The sum of all must be an amount, too.
        let total = product.and_then(|product| sum.checked_add(product.units()));
        sum = total.ok_or_else(|| PriceError::Inexact(item.sku.clone()))?;
        product.ok_or_else(|| PriceError::Inexact(item.sku.clone()))
    };
    items.iter().map(subtotal).collect()
}

/// How much the goods cost less than a coupon asks for.
fn missing(coupon: &CouponRule, subtotal: Amount) -> Option<Amount> {
    coupon.minimum.map(|minimum| minimum - subtotal).filter(|missing| *missing > Amount::ZERO)
}

fn quote(items: &[Item], goods: &[Amount], coupons: &[CouponRule], minor_digits: u32) -> Quote {
    let minor = 10_i128.pow(SCALE.saturating_sub(minor_digits));
    let subtotal: Amount = goods.iter().copied().sum();
    let mut left: Vec<i128> = goods.iter().map(|amount| amount.units().into()).collect();
    let mut lines: Vec<Vec<Amount>> = vec![Vec::new(); items.len()];
    let mut discounts = Vec::new();
    for coupon in coupons {
        let applies = missing(coupon, subtotal).is_none();
        let reduced = |item: &Item| applies && (coupon.skus.is_empty() || coupon.skus.contains(&item.sku));
        let weights = items.iter().zip(&left).map(|(item, left)| if reduced(item) { *left } else { 0 });
        let weights: Vec<_> = weights.collect();
        // Ties are broken by what a line is, not by where it stands.
        let tie = |i: usize| (&items[i].sku, items[i].quantity, items[i].unit_price, &lines[i]);
        let shares = prorate(reduction(coupon, &weights, minor), &weights, minor, tie);
        for ((line, left), share) in lines.iter_mut().zip(&mut left).zip(&shares) {
            line.push(amount(share * minor));
            *left -= share * minor;
        }
        discounts.push(amount(shares.iter().sum::<i128>() * minor));
    }
    let total = amount(left.iter().sum());
    let lines = goods.iter().zip(lines).zip(left);
    let line = |((subtotal, discounts), left): ((&Amount, _), _)| LineQuote {
        subtotal: *subtotal,
        discounts,
        total: amount(left),
    };
    Quote { lines: lines.map(line).collect(), discounts, subtotal, total }
}

/// What a coupon takes off in all, in minor units: a percentage is rounded half up; never more than the lines cost.
fn reduction(coupon: &CouponRule, weights: &[i128], minor: i128) -> i128 {
    let cost: i128 = weights.iter().sum();
    let whole: i128 = weights.iter().map(|weight| weight / minor).sum();
    let off = match (coupon.percent, coupon.amount) {
        (Some(percent), _) => {
            let hundred = i128::from(Amount::from(100).units()) * minor;
            (2 * cost * i128::from(percent.units()) + hundred) / (2 * hundred)
        }
        (None, Some(off)) => i128::from(off.units()) / minor,
        (None, None) => 0,
    };
    off.clamp(0, whole)
}

/// Spreads minor units over lines in proportion to their weights: each gets its share rounded down, and what is left
/// over goes to the largest remainders, one each. No line gets more than it costs.
fn prorate<K: Ord>(off: i128, weights: &[i128], minor: i128, tie: impl Fn(usize) -> K) -> Vec<i128> {
    let cost: i128 = weights.iter().sum();
    if cost == 0 {
        return vec![0; weights.len()];
    }
    let mut shares: Vec<_> = weights.iter().map(|weight| off * weight / cost).collect();
    let mut rest = off - shares.iter().sum::<i128>();
    let mut order: Vec<_> = (0..weights.len()).collect();
    order.sort_by_key(|&i| (Reverse(off * weights[i] % cost), Reverse(weights[i]), tie(i)));
    while rest > 0 {
        for &i in &order {
            if rest > 0 && shares[i] < weights[i] / minor {
                (shares[i], rest) = (shares[i] + 1, rest - 1);
            }
        }
    }
    shares
}

/// Only for what is no more than a checked sum.
fn amount(units: i128) -> Amount {
    Amount::from_units(i64::try_from(units).unwrap_or(i64::MAX))
}
