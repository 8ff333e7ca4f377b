//! Goods that come back, and what is given for them.

use order_contract::{Amount, Disposition, OrderSnapshot, Quantity, QuantityLine, Return, ReturnLine, ReturnState};
use serde::Deserialize;

use super::goods::{goods, told};
use super::money::{give_back, price_of, within};
use super::{choose, quantity_lines};
use crate::order::{refundable, returnable};
use crate::process::{Refusal, Work};
use crate::service::Command;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestReturnInput {
    lines: Option<Vec<QuantityLine>>,
    reason: Option<String>,
    return_id: Option<String>,
}

pub(super) fn open_return(work: &mut Work<'_>) -> Result<(), Refusal> {
    let RequestReturnInput { lines, reason, return_id } = work.input()?;
    let chosen = choose(&work.order, lines, returnable)?;
    let id = return_id.unwrap_or_else(|| format!("r{}", work.order.returns.len() + 1));
    let valid = !id.trim().is_empty() && id.len() <= 100;
    if !valid || work.order.returns.iter().any(|r| r.id == id) {
        return Err(Refusal::input("INVALID_INPUT", "/returnId", "Give 1 to 100 characters that no return here has."));
    }
    let lines = quantity_lines(&work.order, &chosen).into_iter();
    work.order.returns.push(Return {
        id,
        status: ReturnState::Requested,
        reason,
        lines: lines.map(|l| ReturnLine { line_id: l.line_id, quantity: l.quantity, disposition: None }).collect(),
        refund_id: None,
        created_at: Some(work.now),
    });
    Ok(())
}

/// One line of what came in: pieces that were not looked at stay in the return as it was asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inspected {
    line_id: String,
    quantity: Quantity,
    disposition: Option<Disposition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiveReturnInput {
    return_id: Option<String>,
    lines: Option<Vec<Inspected>>,
    disposition: Option<Disposition>,
    #[serde(default)]
    refund: bool,
    amount: Option<Amount>,
}

/// The asked return if it is open, or the oldest open one.
fn open(order: &OrderSnapshot, id: Option<&str>) -> Option<usize> {
    order.returns.iter().position(|r| r.status == ReturnState::Requested && id.is_none_or(|id| id == r.id))
}

/// Takes goods in after inspection: what can be sold goes back on the shelf, what is damaged is kept apart. What the
/// return announced and did not come is no longer expected.
pub(super) fn take_back(work: &mut Work<'_>) -> Result<(), Refusal> {
    let input: ReceiveReturnInput = work.input()?;
    let index = open(&work.order, input.return_id.as_deref())
        .ok_or_else(|| Refusal::input("INVALID_INPUT", "/returnId", "No such return is open."))?;
    let announced = &work.order.returns[index].lines;
    let came = match input.lines {
        None => announced.iter().map(|l| (l.line_id.clone(), l.quantity, input.disposition)).collect::<Vec<_>>(),
        Some(lines) => {
            let mut came: Vec<(String, Quantity, Option<Disposition>)> = Vec::new();
            for (i, line) in lines.into_iter().enumerate() {
                let field = format!("/lines/{i}/quantity");
                super::pieces(line.quantity, &field)?;
                let taken: Quantity = came.iter().filter(|(id, ..)| *id == line.line_id).map(|(_, q, _)| *q).sum();
                let most = announced.iter().find(|l| l.line_id == line.line_id).map_or(Quantity::ZERO, |l| l.quantity);
                if line.quantity + taken > most {
                    let message = format!("The return announced {most} pieces of line {:?}.", line.line_id);
                    return Err(Refusal::input("QUANTITY_ABOVE_REMAINING", field, message));
                }
                came.push((line.line_id, line.quantity, line.disposition.or(input.disposition)));
            }
            came
        }
    };
    let (mut sold_again, mut damaged, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for (line_id, quantity, disposition) in came {
        let Some(line) = work.order.lines.iter().position(|l| l.id == line_id) else { continue };
        let disposition = match disposition {
            None | Some(Disposition::Restock) => Disposition::Restock,
            Some(Disposition::Damaged) => Disposition::Damaged,
            _ => return Err(Refusal::input("INVALID_INPUT", "/disposition", "A disposition is RESTOCK or DAMAGED.")),
        };
        work.order.lines[line].quantity.returned += quantity;
        lines.push(ReturnLine { line_id, quantity, disposition: Some(disposition) });
        let list = if disposition == Disposition::Restock { &mut sold_again } else { &mut damaged };
        list.push((line, quantity));
    }
    let back = &mut work.order.returns[index];
    (back.status, back.lines) = (ReturnState::Received, lines);
    let (sold_again, damaged) = (goods(&work.order, &sold_again), goods(&work.order, &damaged));
    if !sold_again.is_empty() {
        work.command(told(&sold_again, "back in stock"), None, Command::Restock { goods: sold_again });
    }
    if !damaged.is_empty() {
        work.command(told(&damaged, "kept apart as damaged"), None, Command::Damage { goods: damaged });
    }
    Ok(())
}

/// Gives back the price of what came in, as far as the money was not given back before, or the amount that was asked.
pub(super) fn refund_return(work: &mut Work<'_>) -> Result<(), Refusal> {
    let ReceiveReturnInput { return_id, refund, amount, .. } = work.input()?;
    // The step before has received it.
    let Some(index) = open(work.before, return_id.as_deref()) else { return Ok(()) };
    let lines = work.order.returns[index].lines.iter();
    let came: Vec<_> = lines
        .filter_map(|back| Some((work.order.lines.iter().position(|l| l.id == back.line_id)?, back.quantity)))
        .collect();
    let most = refundable(&work.order);
    let wanted = match amount {
        Some(amount) => within(amount, most, "REFUND_ABOVE_CAPTURED", "left to give back")?,
        None if refund => price_of(&work.order, &came).min(most),
        None => Amount::ZERO,
    };
    if !wanted.is_zero() {
        let reason = format!("return {}", work.order.returns[index].id);
        work.order.returns[index].refund_id = Some(give_back(work, wanted, Some(reason), &came, None));
    }
    Ok(())
}
