//! Licence codes: allocated once they are paid, claimed by the buyer, given back while nobody claimed them.

use order_contract::{Fulfillment, FulfillmentStatus, OrderLine, OrderSnapshot, Quantity, QuantityLine};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::goods::{all, goods, told};
use super::money::{give_back, price_of};
use super::{choose, quantity_lines};
use crate::order::{kept, outstanding, refundable};
use crate::process::{PlannedEffect, Refusal, Work};
use crate::service::{Command, Receipt};

/// The codes of the order, in `details`. The order shows their end only: it is copied to many places.
const CODES: &str = "codes";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Code {
    sku: String,
    ends_with: String,
}

/// Pieces of a line that are claimed, in the line's `attributes`.
const CLAIMED: &str = "claimed";

fn claimed(line: &OrderLine) -> Quantity {
    kept(&line.attributes, CLAIMED).unwrap_or_default()
}

fn unclaimed(line: &OrderLine) -> Quantity {
    line.quantity.fulfilled - claimed(line)
}

pub(super) fn any_unclaimed(order: &OrderSnapshot) -> bool {
    order.lines.iter().any(|line| !unclaimed(line).is_zero())
}

pub(super) fn allocate_codes(work: &mut Work<'_>) -> Result<(), Refusal> {
    let lines = all(&work.order, outstanding);
    for (index, quantity) in &lines {
        work.order.lines[*index].quantity.fulfilled += *quantity;
    }
    work.order.fulfillments.push(Fulfillment {
        id: format!("s{}", work.order.fulfillments.len() + 1),
        status: FulfillmentStatus::Delivered,
        lines: quantity_lines(&work.order, &lines),
        location: None,
        tracking: Vec::new(),
        created_at: Some(work.now),
        shipped_at: Some(work.now),
        delivered_at: Some(work.now),
        details: Map::new(),
    });
    let goods = goods(&work.order, &lines);
    work.command(told(&goods, "allocated"), None, Command::Deduct { goods });
    Ok(())
}

/// Notes which codes the order has, by their last four characters.
pub(super) fn receive_codes(order: &mut OrderSnapshot, _: &PlannedEffect, receipt: &Receipt) -> Option<String> {
    let by_sku = receipt.data.get(CODES).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut codes: Vec<Code> = kept(&order.details, CODES).unwrap_or_default();
    for (sku, given) in by_sku {
        let given = given.as_array().cloned().unwrap_or_default();
        codes.extend(given.iter().filter_map(Value::as_str).map(|code| Code {
            sku: sku.clone(),
            ends_with: code.chars().skip(code.chars().count().saturating_sub(4)).collect(),
        }));
    }
    if let Ok(codes) = serde_json::to_value(codes) {
        order.details.insert(CODES.into(), codes);
    }
    None
}

#[derive(Deserialize)]
struct LinesInput {
    lines: Option<Vec<QuantityLine>>,
    reason: Option<String>,
}

/// The buyer takes the codes: they are in use and cannot come back.
pub(super) fn claim_codes(work: &mut Work<'_>) -> Result<(), Refusal> {
    let LinesInput { lines, .. } = work.input()?;
    let chosen = choose(&work.order, lines, |_, line| unclaimed(line))?;
    for (index, quantity) in &chosen {
        let line = &mut work.order.lines[*index];
        let sum = claimed(line) + *quantity;
        line.attributes.insert(CLAIMED.into(), sum.to_string().into());
    }
    work.done = !any_unclaimed(&work.order);
    let goods = goods(&work.order, &chosen);
    work.command(told(&goods, "claimed"), None, Command::Claim { goods });
    Ok(())
}

/// The buyer learns the codes from the receipt of the claim, and from nothing else.
pub(super) fn receive_claim(_: &mut OrderSnapshot, planned: &PlannedEffect, receipt: &Receipt) -> Option<String> {
    let by_sku = receipt.data.get(CODES).and_then(Value::as_object)?;
    let codes: Vec<_> = by_sku.values().filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
    (!codes.is_empty()).then(|| format!("{}: {}", planned.description, codes.join(", ")))
}

/// Codes that nobody claimed are free again, and leave the order.
pub(super) fn revoke_codes(work: &mut Work<'_>) -> Result<(), Refusal> {
    let LinesInput { lines, .. } = work.input()?;
    let chosen = choose(&work.order, lines, |_, line| unclaimed(line))?;
    for (index, quantity) in &chosen {
        let counts = &mut work.order.lines[*index].quantity;
        counts.fulfilled -= *quantity;
        counts.canceled += *quantity;
    }
    let goods = goods(&work.order, &chosen);
    work.command(told(&goods, "free again"), None, Command::Revoke { goods });
    Ok(())
}

/// Gives back the price of what the step before revoked.
pub(super) fn refund_unclaimed(work: &mut Work<'_>) -> Result<(), Refusal> {
    let LinesInput { reason, .. } = work.input()?;
    let less: Vec<_> = work
        .order
        .lines
        .iter()
        .zip(&work.before.lines)
        .map(|(after, before)| after.quantity.canceled - before.quantity.canceled)
        .enumerate()
        .filter(|(_, quantity)| !quantity.is_zero())
        .collect();
    work.done = work.order.lines.iter().all(|l| l.quantity.canceled == l.quantity.ordered);
    let amount = price_of(work.before, &less).min(refundable(&work.order));
    if !amount.is_zero() {
        give_back(work, amount, reason, &less, None);
    }
    Ok(())
}
