//! From commands to movements: which accounts each command moves, and the words of each refusal.
//!
//! It owns the chart of accounts of all services. It refuses commands that say nothing or say it wrongly: quantities
//! that are not positive, unknown coupons, guests where members are asked for. It is pure: what a plan depends on is
//! read before, as [`Terms`].

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use order_contract::{Amount, EffectStatus, Quantity};

use super::ledger::{Booking, Floor, Movement, Plan, Rule, account};
use super::{Charge, Command, CouponRule, Entry, Fault, Goods, PurchaseLimit};

/// One piece, one use, one order.
pub(crate) const ONE: i64 = 10_000;
/// Where free stock lies.
pub(crate) const AVAILABLE: &str = "available";
/// Where stock comes from.
pub(crate) const SUPPLIER: &str = "@supplier";
/// Where promises that run out are counted from.
pub(crate) const HOLDS: &str = "@holds";
/// The limit of orders instead of pieces.
pub(crate) const ORDERS: &str = "*";
/// The item of the membership ledger.
pub(crate) const POINTS: &str = "points";

/// What the commands of one call depend on.
#[derive(Default)]
pub(crate) struct Terms {
    pub(crate) coupons: HashMap<String, CouponRule>,
    /// By stock keeping unit.
    pub(crate) limits: HashMap<String, Vec<PurchaseLimit>>,
}

const OUT_OF_STOCK: Rule =
    Rule { code: "OUT_OF_STOCK", explain: |sku, left| format!("There is not enough of {sku}: {left} left.") };
const RESERVATION_EXPIRED: Rule = Rule {
    code: "RESERVATION_EXPIRED",
    explain: |sku, left| format!("The order has only {left} of {sku} reserved any more: reserve again."),
};
const NOT_RESERVED: Rule =
    Rule { code: "NOT_RESERVED", explain: |sku, left| format!("The order has only {left} of {sku} reserved.") };
const NOT_SHIPPED: Rule =
    Rule { code: "NOT_SHIPPED", explain: |sku, left| format!("Only {left} of {sku} are with the customer.") };
const NOT_DEDUCTED: Rule = Rule {
    code: "NOT_DEDUCTED",
    explain: |sku, left| format!("The order has only {left} of {sku} to give back or claim."),
};
const COUPON_USED_UP: Rule =
    Rule { code: "COUPON_USED_UP", explain: |code, _| format!("Coupon {code} has been used as often as it can be.") };
const COUPON_NOT_USED: Rule =
    Rule { code: "COUPON_NOT_USED", explain: |code, _| format!("Coupon {code} has no use to give back.") };
const POINTS_NOT_ENOUGH: Rule =
    Rule { code: "POINTS_NOT_ENOUGH", explain: |_, left| format!("The member has {left} points to spend.") };
const ABOVE_AUTHORIZED: Rule = Rule {
    code: "AMOUNT_ABOVE_AUTHORIZED",
    explain: |currency, left| format!("Only {left} {currency} of this payment are held."),
};
const REFUND_ABOVE_CAPTURED: Rule = Rule {
    code: "REFUND_ABOVE_CAPTURED",
    explain: |currency, left| format!("At most {left} {currency} can be given back on this payment."),
};
const PURCHASE_LIMIT: Rule = Rule {
    code: "PURCHASE_LIMIT",
    explain: |sku, left| format!("The member may buy {left} more of {sku} in this period."),
};
const VELOCITY_LIMIT: Rule = Rule {
    code: "VELOCITY_LIMIT",
    explain: |_, left| format!("The member may place {left} more orders in this period."),
};
/// For movements that nothing can be in the way of.
const UNLIMITED: Rule = Rule { code: "REFUSED", explain: |item, _| format!("{item} cannot be moved.") };

/// The entry of a command.
pub(crate) fn plan(entry: &Entry, terms: &Terms) -> Booking {
    let Entry { key, order, command } = entry;
    let (reason, plan) = decide(order, command, terms);
    Booking { service: command.service(), key: key.clone(), order: Some(order.clone()), reason, plan }
}

fn decide(order: &str, command: &Command, terms: &Terms) -> (&'static str, Result<Plan, Fault>) {
    let reserved = || account(&["reserved", order]);
    let shipped = || account(&["shipped", order]);
    let sold = || account(&["sold", order]);
    let free = || AVAILABLE.to_owned();
    match command {
        Command::Reserve { goods, until } => ("RESERVE", reserve(order, goods, until.is_some()).map(done)),
        Command::Confirm { goods } => ("CONFIRM", confirm(order, goods).map(done)),
        Command::Release { goods } => ("RELEASE", release(order, goods).map(done)),
        Command::Ship { goods } => ("SHIP", move_all(goods, &reserved(), &shipped(), &NOT_RESERVED)),
        Command::Restock { goods } => ("RESTOCK", move_all(goods, &shipped(), &free(), &NOT_SHIPPED)),
        Command::Damage { goods } => ("DAMAGE", move_all(goods, &shipped(), "damaged", &NOT_SHIPPED)),
        Command::Deduct { goods } => ("DEDUCT", move_all(goods, &free(), &sold(), &OUT_OF_STOCK)),
        Command::Revoke { goods } => ("REVOKE", move_all(goods, &sold(), &free(), &NOT_DEDUCTED)),
        Command::Claim { goods } => ("CLAIM", move_all(goods, &sold(), &account(&["claimed", order]), &NOT_DEDUCTED)),
        Command::Redeem { codes, member } => ("REDEEM", redeem(codes, member.as_deref(), terms).map(done)),
        Command::Restore { codes, member } => ("RESTORE", Ok(done(restore(codes, member.as_deref())))),
        Command::Earn { member, points } => {
            // Its reversal may overdraw, as `Unearn` does.
            ("EARN", move_points(*points, &issuer(member), &points_of(member), Floor::Overdraw, &UNLIMITED))
        }
        Command::Unearn { member, points } => {
            ("UNEARN", move_points(*points, &points_of(member), &issuer(member), Floor::Overdraw, &UNLIMITED))
        }
        Command::Spend { member, points } => {
            let redeemed = account(&["@redeemed", member]);
            ("SPEND", move_points(*points, &points_of(member), &redeemed, Floor::Refuse, &POINTS_NOT_ENOUGH))
        }
        Command::Unspend { member, points } => {
            let redeemed = account(&["@redeemed", member]);
            ("UNSPEND", move_points(*points, &redeemed, &points_of(member), Floor::Refuse, &UNLIMITED))
        }
        Command::Authorize(charge) => ("AUTHORIZE", take(charge, &card(order, charge), &held(order, charge))),
        Command::Capture(charge) => ("CAPTURE", settle(charge, &held(order, charge), &merchant(order))),
        Command::Void(charge) => ("VOID", settle(charge, &held(order, charge), &card(order, charge))),
        Command::Sale(charge) => ("SALE", take(charge, &card(order, charge), &merchant(order))),
        Command::Refund(charge) => ("REFUND", refund(charge, &merchant(order), &card(order, charge))),
        Command::Count { member, goods, at, placed } => {
            ("COUNT", count(member.as_deref(), goods, *at, *placed, terms).map(done))
        }
        Command::Uncount { member, goods, at } => ("UNCOUNT", uncount(member.as_deref(), goods, *at, terms).map(done)),
    }
}

fn done(movements: Vec<Movement>) -> Plan {
    Plan { movements, status: EffectStatus::Done, silent: 0 }
}

fn movement(item: &str, from: &str, to: &str, quantity: i64, rule: &'static Rule) -> Movement {
    let (item, from, to) = (item.into(), from.into(), to.into());
    Movement { item, from, to, quantity, cap: None, floor: Floor::Refuse, rule }
}

fn refused(code: &str, message: impl Into<String>) -> Fault {
    Fault::Refused { code: code.into(), message: message.into() }
}

/// Pieces by stock keeping unit: a floor must see all lines of one together.
fn pieces(goods: &[Goods]) -> Result<BTreeMap<&str, i64>, Fault> {
    let mut pieces = BTreeMap::new();
    for Goods { sku, quantity } in goods {
        let sum: &mut i64 = pieces.entry(sku.as_str()).or_default();
        let units = Some(quantity.units()).filter(|units| *units > 0).and_then(|units| sum.checked_add(units));
        *sum = units.ok_or_else(|| refused("INVALID_QUANTITY", format!("{quantity} of {sku} is no quantity.")))?;
    }
    Ok(pieces)
}

fn move_all(goods: &[Goods], from: &str, to: &str, rule: &'static Rule) -> Result<Plan, Fault> {
    Ok(done(pieces(goods)?.into_iter().map(|(sku, units)| movement(sku, from, to, units, rule)).collect()))
}

/// The same pieces once more between the outside and the order's hold: what of its stock is promised for a time only.
fn reserve(order: &str, goods: &[Goods], runs_out: bool) -> Result<Vec<Movement>, Fault> {
    let (reserved, hold) = (account(&["reserved", order]), account(&["hold", order]));
    let mut movements = Vec::new();
    for (sku, units) in pieces(goods)? {
        movements.push(movement(sku, AVAILABLE, &reserved, units, &OUT_OF_STOCK));
        if runs_out {
            movements.push(movement(sku, HOLDS, &hold, units, &UNLIMITED));
        }
    }
    Ok(movements)
}

fn confirm(order: &str, goods: &[Goods]) -> Result<Vec<Movement>, Fault> {
    let (reserved, hold) = (account(&["reserved", order]), account(&["hold", order]));
    let mut movements = Vec::new();
    for (sku, units) in pieces(goods)? {
        movements.push(movement(sku, &reserved, &reserved, units, &RESERVATION_EXPIRED));
        movements.push(as_far(sku, &hold, HOLDS, units));
    }
    Ok(movements)
}

fn release(order: &str, goods: &[Goods]) -> Result<Vec<Movement>, Fault> {
    let (reserved, hold) = (account(&["reserved", order]), account(&["hold", order]));
    let mut movements = Vec::new();
    for (sku, units) in pieces(goods)? {
        movements.push(movement(sku, &reserved, AVAILABLE, units, &NOT_RESERVED));
        movements.push(as_far(sku, &hold, HOLDS, units));
    }
    Ok(movements)
}

/// What runs out of a hold: stock that is still reserved is free again.
pub(crate) fn expire(order: &str, held: &[(String, i64)]) -> Plan {
    let (reserved, hold) = (account(&["reserved", order]), account(&["hold", order]));
    let both =
        |(sku, units): &(String, i64)| [as_far(sku, &reserved, AVAILABLE, *units), as_far(sku, &hold, HOLDS, *units)];
    done(held.iter().flat_map(both).collect())
}

/// Goods from the supplier.
pub(crate) fn receive(goods: &[Goods]) -> Result<Plan, Fault> {
    move_all(goods, SUPPLIER, AVAILABLE, &UNLIMITED)
}

/// Moves what is there and no more.
fn as_far(item: &str, from: &str, to: &str, quantity: i64) -> Movement {
    Movement { floor: Floor::Clamp, ..movement(item, from, to, quantity, &UNLIMITED) }
}

/// The account that counts the uses of a coupon, of all or of one member.
pub(crate) fn used(member: Option<&str>) -> String {
    member.map_or_else(|| "used".into(), |member| account(&["used", member]))
}

fn redeem(codes: &[String], member: Option<&str>, terms: &Terms) -> Result<Vec<Movement>, Fault> {
    let mut movements = Vec::new();
    for code in codes {
        let unknown = || refused("COUPON_UNKNOWN", format!("There is no coupon {code}."));
        let rule = terms.coupons.get(code).ok_or_else(unknown)?;
        if rule.limit_per_member.is_some() && member.is_none() {
            return Err(refused("COUPON_MEMBERS_ONLY", format!("Coupon {code} is for members: sign in to use it.")));
        }
        let owners = [(None, rule.limit), (member, rule.limit_per_member)];
        for (owner, limit) in owners.into_iter().take(1 + usize::from(member.is_some())) {
            let cap = limit.map(|limit| i64::from(limit) * ONE);
            movements.push(Movement { cap, ..movement(code, "@pool", &used(owner), ONE, &COUPON_USED_UP) });
        }
    }
    Ok(movements)
}

fn restore(codes: &[String], member: Option<&str>) -> Vec<Movement> {
    let owners = || std::iter::once(None).chain(member.map(Some));
    let back = |code| owners().map(move |owner| movement(code, &used(owner), "@pool", ONE, &COUPON_NOT_USED));
    codes.iter().flat_map(|code| back(code)).collect()
}

/// Points come from here; below zero by all the member ever earned.
pub(crate) fn issuer(member: &str) -> String {
    account(&["@issuer", member])
}

/// The points that a member can spend.
pub(crate) fn points_of(member: &str) -> String {
    account(&["member", member])
}

fn move_points(points: Quantity, from: &str, to: &str, floor: Floor, rule: &'static Rule) -> Result<Plan, Fault> {
    let units = points.units();
    if units <= 0 || units % ONE != 0 {
        return Err(refused("INVALID_QUANTITY", format!("{points} is no number of whole points.")));
    }
    Ok(done(vec![Movement { floor, ..movement(POINTS, from, to, units, rule) }]))
}

fn card(order: &str, charge: &Charge) -> String {
    account(&["@card", order, &charge.payment])
}

fn held(order: &str, charge: &Charge) -> String {
    account(&["held", order, &charge.payment])
}

fn merchant(order: &str) -> String {
    account(&["merchant", order])
}

fn take(charge: &Charge, from: &str, to: &str) -> Result<Plan, Fault> {
    if charge.token.as_deref() == Some("tok_decline") {
        return Err(refused("PAYMENT_DECLINED", "The bank declined the payment: use another card."));
    }
    charged(charge, movement(charge.currency.code(), from, to, charge.amount.units(), &UNLIMITED))
}

fn settle(charge: &Charge, from: &str, to: &str) -> Result<Plan, Fault> {
    charged(charge, movement(charge.currency.code(), from, to, charge.amount.units(), &ABOVE_AUTHORIZED))
}

fn refund(charge: &Charge, from: &str, to: &str) -> Result<Plan, Fault> {
    // A card's account is below zero by what it paid: it never gets back more.
    let back = movement(charge.currency.code(), from, to, charge.amount.units(), &REFUND_ABOVE_CAPTURED);
    let mut plan = charged(charge, Movement { cap: Some(0), ..back })?;
    if charge.token.as_deref() == Some("tok_slow_refund") {
        plan.status = EffectStatus::Pending;
    }
    Ok(plan)
}

fn charged(charge: &Charge, movement: Movement) -> Result<Plan, Fault> {
    if movement.quantity <= 0 {
        return Err(refused("INVALID_AMOUNT", format!("{} {} is no charge.", charge.amount, charge.currency)));
    }
    let silent = match charge.token.as_deref() {
        Some("tok_timeout") => 1,
        Some("tok_late") => 2,
        _ => 0,
    };
    Ok(Plan { silent, ..done(vec![movement]) })
}

/// The account that counts what a member bought (or placed) in the period of a limit.
pub(crate) fn counted(member: &str, limit: &PurchaseLimit, at: DateTime<Utc>) -> String {
    let period = at.timestamp().div_euclid(i64::from(limit.period_seconds.max(1)));
    let period = format!("{}s-{period}", limit.period_seconds);
    match limit.sku.as_str() {
        ORDERS => account(&["placed", member, &period]),
        sku => account(&["bought", member, sku, &period]),
    }
}

fn count(
    member: Option<&str>,
    goods: &[Goods],
    at: DateTime<Utc>,
    placed: bool,
    terms: &Terms,
) -> Result<Vec<Movement>, Fault> {
    let mut pieces = pieces(goods)?;
    pieces.remove(ORDERS);
    let counts = pieces.into_iter().map(|(sku, units)| (sku, units, &PURCHASE_LIMIT));
    let counts = counts.chain(placed.then_some((ORDERS, ONE, &VELOCITY_LIMIT)));
    Ok(limited(member, counts, terms)
        .map(|(member, limit, units, rule)| Movement {
            cap: Some(i64::from(limit.most) * ONE),
            ..movement(&limit.sku, "@pool", &counted(member, limit, at), units, rule)
        })
        .collect())
}

fn uncount(member: Option<&str>, goods: &[Goods], at: DateTime<Utc>, terms: &Terms) -> Result<Vec<Movement>, Fault> {
    let counts = pieces(goods)?.into_iter().filter(|(sku, _)| *sku != ORDERS);
    let counts = counts.map(|(sku, units)| (sku, units, &UNLIMITED));
    Ok(limited(member, counts, terms)
        .map(|(member, limit, units, _)| as_far(&limit.sku, &counted(member, limit, at), "@pool", units))
        .collect())
}

/// What counts, once for each limit it counts against.
fn limited<'a>(
    member: Option<&'a str>,
    counts: impl Iterator<Item = (&'a str, i64, &'static Rule)>,
    terms: &'a Terms,
) -> impl Iterator<Item = (&'a str, &'a PurchaseLimit, i64, &'static Rule)> {
    counts.flat_map(move |(sku, units, rule)| {
        let limits = terms.limits.get(sku).into_iter().flatten();
        limits.filter_map(move |limit| Some((member?, limit, units, rule)))
    })
}

/// Points as levels are made of them: `BASIC`, from 1,000 `SILVER`, from 5,000 `GOLD`.
pub(crate) fn level(earned: Amount) -> &'static str {
    match earned.units() / ONE {
        ..1_000 => "BASIC",
        1_000..5_000 => "SILVER",
        _ => "GOLD",
    }
}
