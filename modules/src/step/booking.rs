//! Slots: when they are, moving to another one, and what calling off late costs.

use chrono::{DateTime, Utc};
use order_contract::{Amount, OrderSnapshot};
use serde::Deserialize;
use serde_json::{Value, json};

use super::money::percent_of;
use super::place;
use crate::order::{self, set_cancellation_fee};
use crate::process::{Refusal, Situation, Work};
use crate::service::Product;

/// The slot of the order, in `details`: `sku`, `startsAt`, `endsAt`.
const SLOT: &str = "slot";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slot {
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
}

fn slot(order: &OrderSnapshot) -> Option<Slot> {
    order::kept(&order.details, SLOT)
}

pub(super) fn starts(situation: &Situation<'_>) -> Option<DateTime<Utc>> {
    slot(situation.order).map(|slot| slot.starts_at)
}

pub(super) fn slot_end(order: &OrderSnapshot) -> Option<DateTime<Utc>> {
    slot(order).map(|slot| slot.ends_at)
}

/// A booking is of one slot that has not begun.
pub(super) fn open_slot(work: &mut Work<'_>) -> Result<(), Refusal> {
    let [line] = work.order.lines.as_slice() else {
        return Err(Refusal::input("INVALID_INPUT", "/lines", "A booking is of one slot: send one line."));
    };
    let sku = line.sku.clone().unwrap_or_default();
    take(work, &sku, "/lines/0/sku")
}

fn take(work: &mut Work<'_>, sku: &str, field: &str) -> Result<(), Refusal> {
    let times = work.facts.products.get(sku).and_then(|product| {
        let details = &product.details;
        Some((details.get("startsAt")?.clone(), details.get("endsAt")?.clone()))
    });
    let Some((starts_at, ends_at)) = times else {
        let message = format!("{sku:?} is no slot: its product has no startsAt and endsAt.");
        return Err(Refusal::input("INVALID_INPUT", field, message));
    };
    let found = json!({ "sku": sku, "startsAt": starts_at, "endsAt": ends_at });
    work.order.details.insert(SLOT.into(), found);
    match slot(&work.order) {
        Some(slot) if slot.starts_at > work.now => Ok(()),
        Some(_) => {
            let message = format!("{sku} has begun already: choose a later slot.");
            Err(Refusal::conflict("SLOT_STARTED", message).at(field))
        }
        None => Err(Refusal::input("INVALID_INPUT", field, format!("{sku:?} has no usable times."))),
    }
}

#[derive(Deserialize)]
struct ModifyInput {
    slot: Option<String>,
    quantity: Option<Amount>,
}

/// Moves the booking to another slot or another number of places, at the price of the new slot.
pub(super) fn change_slot(work: &mut Work<'_>) -> Result<(), Refusal> {
    let ModifyInput { slot, quantity } = work.input()?;
    if slot.is_none() && quantity.is_none() {
        return Err(Refusal::input("INVALID_INPUT", "", "Give a slot, a quantity, or both."));
    }
    let Some(line) = work.order.lines.first() else { return Ok(()) };
    let sku = slot.clone().or_else(|| line.sku.clone()).unwrap_or_default();
    let quantity = quantity.unwrap_or(line.quantity.ordered);
    super::pieces(quantity, "/quantity")?;
    let product = place::find(work.facts, &sku, "/slot")?.clone();
    place::check_stock(work, &[(sku.clone(), quantity, "/slot".into())])?;
    let Product { name, price, .. } = product;
    // A number of places at the slot that was booked stays at the price it was booked for.
    let price = if slot.is_some() { price } else { line.unit_price };
    let Some(changed) = order::line(line.id.clone(), &sku, &name, quantity, price) else {
        return Err(Refusal::input("INVALID_INPUT", "/quantity", "The order would cost too much."));
    };
    work.order.lines = vec![changed];
    if slot.is_some() {
        take(work, &sku, "/slot")?;
    }
    place::reprice(work)
}

/// What calling off costs: nothing in good time, part of the price later, all of it at the end, and never more than
/// was paid.
pub(super) fn charge_cancellation_fee(work: &mut Work<'_>) -> Result<(), Refusal> {
    let Some(slot) = slot(&work.order) else { return Ok(()) };
    let notice = slot.starts_at - work.now;
    let at_least = |name| work.settings.span(name).is_some_and(|span| notice >= span);
    let percent = if at_least("free_notice") {
        Amount::ZERO
    } else if at_least("late_notice") {
        work.settings.amount("late_fee_percent").unwrap_or_default()
    } else {
        Amount::from(100)
    };
    let fee = percent_of(&work.order, percent);
    let fee = fee.min(order::refundable(&work.order));
    if !fee.is_zero() {
        set_cancellation_fee(&mut work.order, fee);
        work.order.attributes.insert("noticeHours".into(), Value::from(notice.num_hours()));
    }
    Ok(())
}
