//! What is promised, handed over, counted and redeemed.
//!
//! Most of these steps ask for the difference that a move makes: what the order promises after it, less what it
//! promised before. So one step serves placing, changing and calling off.

use std::collections::BTreeMap;

use order_contract::{Fulfillment, FulfillmentStatus, OrderLine, OrderSnapshot, Quantity, QuantityLine, Tracking};
use serde::Deserialize;
use serde_json::Map;

use super::{choose, quantity_lines};
use crate::order::outstanding;
use crate::process::{Refusal, Work};
use crate::service::{Command, Goods};

/// Pieces of an order by SKU.
fn sum(order: &OrderSnapshot, of: fn(&OrderLine) -> Quantity) -> BTreeMap<String, Quantity> {
    let mut sums = BTreeMap::new();
    for line in &order.lines {
        if let Some(sku) = &line.sku {
            *sums.entry(sku.clone()).or_insert(Quantity::ZERO) += of(line);
        }
    }
    sums
}

/// What is more in `after` than in `before`, by SKU.
fn more(before: &OrderSnapshot, after: &OrderSnapshot, of: fn(&OrderLine) -> Quantity) -> Vec<Goods> {
    let before = sum(before, of);
    let grown = sum(after, of).into_iter().map(|(sku, after)| {
        let quantity = after - before.get(&sku).copied().unwrap_or_default();
        Goods { sku, quantity }
    });
    grown.filter(|goods| goods.quantity > Quantity::ZERO).collect()
}

/// Goods by SKU of chosen lines.
pub(super) fn goods(order: &OrderSnapshot, lines: &[(usize, Quantity)]) -> Vec<Goods> {
    let mut sums: BTreeMap<&str, Quantity> = BTreeMap::new();
    for (index, quantity) in lines {
        if let Some(sku) = &order.lines[*index].sku {
            *sums.entry(sku).or_default() += *quantity;
        }
    }
    sums.into_iter().map(|(sku, quantity)| Goods { sku: sku.into(), quantity }).collect()
}

/// `4 × A released`, or `66 pieces of 4 products released`.
pub(super) fn told(goods: &[Goods], what: &str) -> String {
    match goods {
        [one] => format!("{} × {} {what}", one.quantity, one.sku),
        _ => {
            let pieces: Quantity = goods.iter().map(|g| g.quantity).sum();
            format!("{pieces} pieces of {} products {what}", goods.len())
        }
    }
}

/// Promises what the order holds more than before. While nothing is paid the promise runs out by itself some time after
/// the order does: what an order forgets, the warehouse does not.
pub(super) fn reserve_stock(work: &mut Work<'_>) -> Result<(), Refusal> {
    let goods = more(work.before, &work.order, outstanding);
    if !goods.is_empty() {
        let window = work.settings.span("payment_window").filter(|_| work.order.payments.is_empty());
        let until = window.and_then(|window| work.now.checked_add_signed(window.checked_mul(2)?));
        work.command(told(&goods, "reserved"), None, Command::Reserve { goods, until });
    }
    Ok(())
}

/// Gives up the promise of what the order holds less than before.
pub(super) fn release_stock(work: &mut Work<'_>) -> Result<(), Refusal> {
    let goods = more(&work.order, work.before, outstanding);
    if !goods.is_empty() {
        work.command(told(&goods, "released"), None, Command::Release { goods });
    }
    Ok(())
}

/// Money comes: what is promised does not run out any more.
pub(super) fn confirm_stock(work: &mut Work<'_>) -> Result<(), Refusal> {
    let all = all(&work.order, outstanding);
    let goods = goods(&work.order, &all);
    if !goods.is_empty() && work.order.payments.is_empty() {
        work.command(told(&goods, "kept for the order"), None, Command::Confirm { goods });
    }
    Ok(())
}

/// What was promised is used up where it is: a slot that is over.
pub(super) fn use_stock(work: &mut Work<'_>) -> Result<(), Refusal> {
    let all = all(&work.order, outstanding);
    for (index, quantity) in &all {
        work.order.lines[*index].quantity.fulfilled += *quantity;
    }
    let goods = goods(&work.order, &all);
    if !goods.is_empty() {
        work.command(told(&goods, "used"), None, Command::Ship { goods });
    }
    Ok(())
}

fn bought(line: &OrderLine) -> Quantity {
    line.quantity.ordered - line.quantity.canceled
}

/// Whether the order's purchases count against limits, in `attributes`: they do where there were limits.
const COUNTED: &str = "purchasesCounted";

/// Counts what is bought more than before against the buyer's limits, where there are any.
pub(super) fn count_purchases(work: &mut Work<'_>) -> Result<(), Refusal> {
    let goods = more(work.before, &work.order, bought);
    let limited = !work.facts.allowances.is_empty();
    if let Some(member) = member(&work.order).filter(|_| limited && !goods.is_empty()) {
        let (at, placed) = (placed_at(work), work.before.lines.is_empty());
        work.order.attributes.insert(COUNTED.into(), true.into());
        let command = Command::Count { member: Some(member), goods, at, placed };
        work.command("counted against the purchase limits", None, command);
    }
    Ok(())
}

/// What is bought less than before does not count any more.
pub(super) fn uncount_purchases(work: &mut Work<'_>) -> Result<(), Refusal> {
    let goods = more(&work.order, work.before, bought);
    let counted = work.order.attributes.contains_key(COUNTED);
    if let Some(member) = member(&work.order).filter(|_| counted && !goods.is_empty()) {
        let command = Command::Uncount { member: Some(member), goods, at: placed_at(work) };
        work.command("no longer counted against the purchase limits", None, command);
    }
    Ok(())
}

fn placed_at(work: &Work<'_>) -> chrono::DateTime<chrono::Utc> {
    work.order.times.placed_at.unwrap_or(work.now)
}

pub(super) fn member(order: &OrderSnapshot) -> Option<String> {
    order.customer.as_ref().and_then(|c| c.id.clone())
}

/// The coupons that an order uses: one that is called off uses none.
fn uses(order: &OrderSnapshot) -> Vec<String> {
    let called_off = order.lines.iter().all(|line| bought(line).is_zero());
    let codes = order.coupons.iter().map(|c| c.code.clone());
    if called_off { Vec::new() } else { codes.collect() }
}

pub(super) fn redeem_coupons(work: &mut Work<'_>) -> Result<(), Refusal> {
    let before = uses(work.before);
    let codes: Vec<_> = uses(&work.order).into_iter().filter(|code| !before.contains(code)).collect();
    if !codes.is_empty() {
        let member = member(&work.order);
        work.command(format!("{} redeemed", codes.join(", ")), None, Command::Redeem { codes, member });
    }
    Ok(())
}

pub(super) fn restore_coupons(work: &mut Work<'_>) -> Result<(), Refusal> {
    let after = uses(&work.order);
    let codes: Vec<_> = uses(work.before).into_iter().filter(|code| !after.contains(code)).collect();
    if !codes.is_empty() {
        let member = member(&work.order);
        work.command(format!("{} can be used again", codes.join(", ")), None, Command::Restore { codes, member });
    }
    Ok(())
}

#[derive(Deserialize)]
struct ShipInput {
    lines: Option<Vec<QuantityLine>>,
    #[serde(default)]
    tracking: Vec<Tracking>,
    location: Option<String>,
}

pub(super) fn hand_over(work: &mut Work<'_>) -> Result<(), Refusal> {
    let ShipInput { lines, tracking, location } = work.input()?;
    let chosen = choose(&work.order, lines, |_, line| outstanding(line))?;
    for (index, quantity) in &chosen {
        work.order.lines[*index].quantity.fulfilled += *quantity;
    }
    let id = format!("s{}", work.order.fulfillments.len() + 1);
    work.order.fulfillments.push(Fulfillment {
        id: id.clone(),
        status: FulfillmentStatus::Shipped,
        lines: quantity_lines(&work.order, &chosen),
        location,
        tracking,
        created_at: Some(work.now),
        shipped_at: Some(work.now),
        delivered_at: None,
        details: Map::new(),
    });
    work.done = work.order.lines.iter().all(|line| outstanding(line).is_zero());
    let goods = goods(&work.order, &chosen);
    work.command(told(&goods, "taken out of stock"), None, Command::Ship { goods });
    work.effect(order_contract::EffectKind::Shipping, format!("shipment {id} handed over"), None, None);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeliverInput {
    fulfillment_id: Option<String>,
}

pub(super) fn arrive(work: &mut Work<'_>) -> Result<(), Refusal> {
    let DeliverInput { fulfillment_id } = work.input()?;
    let now = work.now;
    let asked = |f: &Fulfillment| fulfillment_id.as_ref().is_none_or(|id| *id == f.id);
    let mut any = false;
    let on_the_way = work.order.fulfillments.iter_mut().filter(|f| f.status == FulfillmentStatus::Shipped);
    for parcel in on_the_way.filter(|f| asked(f)) {
        parcel.status = FulfillmentStatus::Delivered;
        parcel.delivered_at = Some(now);
        any = true;
    }
    if !any {
        let message = "No such shipment is on its way.";
        return Err(Refusal::input("INVALID_INPUT", "/fulfillmentId", message));
    }
    work.done = work.order.fulfillments.iter().all(|f| f.status == FulfillmentStatus::Delivered);
    Ok(())
}

#[derive(Deserialize)]
struct CancelInput {
    reason: Option<String>,
}

pub(super) fn call_off(work: &mut Work<'_>) -> Result<(), Refusal> {
    let CancelInput { reason } = work.input()?;
    work.order.cancel_reason = reason;
    work.order.holds.clear();
    for line in &mut work.order.lines {
        line.quantity.canceled = line.quantity.ordered;
    }
    Ok(())
}

/// All lines with what the function says of each.
pub(super) fn all(order: &OrderSnapshot, of: fn(&OrderLine) -> Quantity) -> Vec<(usize, Quantity)> {
    let lines = order.lines.iter().map(of).enumerate();
    lines.filter(|(_, quantity)| !quantity.is_zero()).collect()
}
