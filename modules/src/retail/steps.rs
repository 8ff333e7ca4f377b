//! The guards and steps that the retail process names.
//!
//! It owns what each action does to an order and to the ledgers. It refuses input that asks for more than there is:
//! more pieces than are left, more money than was captured. Steps are pure, so a prediction is a step that is thrown
//! away.

use order_contract::{
    ActionBlocker, Address, Amount, Disposition, EffectKind, Fulfillment, FulfillmentStatus, OrderLine, OrderSnapshot,
    Payment, PaymentState, Quantity, QuantityLine, Refund, RefundLine, RefundStatus, Return, ReturnLine, ReturnState,
    Tracking, Transaction, TransactionStatus, TransactionType,
};
use serde::Deserialize;
use serde_json::Map;

use super::order::{check_address, moved, pieces, refundable, returnable, settle};
use crate::ledger::{Movement, StockReason};
use crate::process::{Refusal, Vocabulary, Work};

/// The words of `process.json`.
pub(crate) const VOCABULARY: Vocabulary = Vocabulary {
    guards: &[
        ("NOTHING_IN_TRANSIT", |order| {
            let none = !order.fulfillments.iter().any(|f| f.status == FulfillmentStatus::Shipped);
            none.then(|| blocker("NOTHING_IN_TRANSIT", "Every parcel that left has arrived: ship the rest first."))
        }),
        ("RETURN_OPEN", |order| {
            let open = order.returns.iter().any(|r| r.status == ReturnState::Requested);
            open.then(|| blocker("RETURN_OPEN", "A return is open: receive it first."))
        }),
        ("NOTHING_REFUNDABLE", |order| {
            let none = refundable(order).is_zero();
            none.then(|| blocker("NOTHING_REFUNDABLE", "All that was captured has been given back."))
        }),
        ("NOTHING_RETURNABLE", |order| {
            let none = order.lines.iter().all(|l| returnable(order, l).is_zero());
            none.then(|| blocker("NOTHING_RETURNABLE", "All goods came back already or are in an open return."))
        }),
        ("NO_OPEN_RETURN", |order| {
            let none = open_return_of(order, None).is_none();
            none.then(|| blocker("NO_OPEN_RETURN", "No return is open: request one first."))
        }),
    ],
    refusals: &["UNKNOWN_SKU", "OUT_OF_STOCK"],
    steps: &[
        ("reserve_stock", reserve_stock),
        ("take_payment", take_payment),
        ("hand_over", hand_over),
        ("arrive", arrive),
        ("change_address", change_address),
        ("call_off", call_off),
        ("refund_captured", refund_captured),
        ("refund", refund),
        ("open_return", open_return),
        ("take_in", take_in),
    ],
    settle,
};

fn blocker(code: &str, message: &str) -> ActionBlocker {
    ActionBlocker { code: code.into(), message: message.into(), details: None }
}

fn reserve_stock(work: &mut Work<'_>) -> Result<(), Refusal> {
    let lines = all_lines(&work.order);
    stock(work, StockReason::Reserve, "reserved", &lines);
    work.next_state = Some(if work.order.totals.total.is_zero() { "PAID" } else { "PENDING_PAYMENT" });
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayInput {
    amount: Option<Amount>,
    method: Option<String>,
    reference: Option<String>,
}

fn take_payment(work: &mut Work<'_>) -> Result<(), Refusal> {
    let PayInput { amount, method, reference } = work.input()?;
    let due = work.order.totals.due.unwrap_or_default();
    let amount = within(amount.unwrap_or(due), due, "AMOUNT_ABOVE_DUE", "due")?;
    let payment = format!("p{}", work.order.payments.len() + 1);
    let transaction = next_transaction(&work.order);
    work.order.payments.push(Payment {
        id: payment.clone(),
        method: method.unwrap_or_else(|| "card".into()),
        provider: None,
        status: PaymentState::Captured,
        amount,
        currency: None,
        reference,
        created_at: Some(work.now),
        transactions: vec![done(&transaction, TransactionType::Sale, amount, work)],
    });
    work.next_state = Some(if amount == due { "PAID" } else { "PENDING_PAYMENT" });
    let description = format!("{} taken", work.order.money(amount));
    let movement = Movement::Money { payment, transaction, kind: "SALE", amount };
    work.book(EffectKind::Payment, description, Some(amount), vec![movement]);
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShipInput {
    lines: Option<Vec<QuantityLine>>,
    #[serde(default)]
    tracking: Vec<Tracking>,
    location: Option<String>,
}

fn hand_over(work: &mut Work<'_>) -> Result<(), Refusal> {
    let ShipInput { lines, tracking, location } = work.input()?;
    let chosen = choose(&work.order, lines, |_, line| line.quantity.ordered - line.quantity.fulfilled)?;
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
    let all = work.order.lines.iter().all(|l| l.quantity.fulfilled == l.quantity.ordered);
    work.next_state = Some(if all { "SHIPPED" } else { "PARTIALLY_SHIPPED" });
    stock(work, StockReason::Ship, "taken out of stock", &chosen);
    work.book(EffectKind::Shipping, format!("shipment {id} handed over"), None, Vec::new());
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeliverInput {
    fulfillment_id: Option<String>,
}

fn arrive(work: &mut Work<'_>) -> Result<(), Refusal> {
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
    let all = work.order.fulfillments.iter().all(|f| f.status == FulfillmentStatus::Delivered);
    if all && work.order.native.state == "SHIPPED" {
        work.next_state = Some("DELIVERED");
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ModifyInput {
    shipping_address: Address,
}

fn change_address(work: &mut Work<'_>) -> Result<(), Refusal> {
    let ModifyInput { shipping_address } = work.input()?;
    check_address("shippingAddress", Some(&shipping_address))?;
    work.order.shipping_address = Some(shipping_address);
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelInput {
    reason: Option<String>,
}

fn call_off(work: &mut Work<'_>) -> Result<(), Refusal> {
    let CancelInput { reason } = work.input()?;
    work.order.cancel_reason = reason;
    for line in &mut work.order.lines {
        line.quantity.canceled = line.quantity.ordered;
    }
    let lines = all_lines(&work.order);
    stock(work, StockReason::Release, "released", &lines);
    Ok(())
}

fn refund_captured(work: &mut Work<'_>) -> Result<(), Refusal> {
    let amount = refundable(&work.order);
    if !amount.is_zero() {
        let reason = work.order.cancel_reason.clone();
        give_back(work, amount, reason, &[]);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundInput {
    amount: Option<Amount>,
    lines: Option<Vec<QuantityLine>>,
    reason: Option<String>,
}

fn refund(work: &mut Work<'_>) -> Result<(), Refusal> {
    let RefundInput { amount, lines, reason } = work.input()?;
    let lines = match lines {
        Some(lines) => choose(&work.order, Some(lines), |_, line| line.quantity.ordered - line.quantity.refunded)?,
        None => Vec::new(),
    };
    let most = refundable(&work.order);
    let wanted = amount.unwrap_or_else(|| if lines.is_empty() { most } else { price_of(&work.order, &lines) });
    let amount = within(wanted, most, "REFUND_ABOVE_CAPTURED", "left to give back")?;
    give_back(work, amount, reason, &lines);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestReturnInput {
    lines: Option<Vec<QuantityLine>>,
    reason: Option<String>,
    return_id: Option<String>,
}

fn open_return(work: &mut Work<'_>) -> Result<(), Refusal> {
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReceiveReturnInput {
    return_id: Option<String>,
    disposition: Option<Disposition>,
    #[serde(default)]
    refund: bool,
    amount: Option<Amount>,
}

fn take_in(work: &mut Work<'_>) -> Result<(), Refusal> {
    let ReceiveReturnInput { return_id, disposition, refund, amount } = work.input()?;
    let (disposition, reason, what) = match disposition {
        None | Some(Disposition::Restock) => (Disposition::Restock, StockReason::Restock, "back in stock"),
        Some(Disposition::Damaged) => (Disposition::Damaged, StockReason::Damaged, "kept apart as damaged"),
        _ => return Err(Refusal::input("INVALID_INPUT", "/disposition", "A disposition is RESTOCK or DAMAGED.")),
    };
    let index = open_return_of(&work.order, return_id.as_deref())
        .ok_or_else(|| Refusal::input("INVALID_INPUT", "/returnId", "No such return is open."))?;
    let mut came = Vec::new();
    for returned in &mut work.order.returns[index].lines {
        returned.disposition = Some(disposition);
        let line = work.order.lines.iter().position(|l| l.id == returned.line_id);
        came.extend(line.map(|line| (line, returned.quantity)));
    }
    for (line, quantity) in &came {
        work.order.lines[*line].quantity.returned += *quantity;
    }
    work.order.returns[index].status = ReturnState::Received;
    stock(work, reason, what, &came);
    let most = refundable(&work.order);
    let wanted = match amount {
        Some(amount) => within(amount, most, "REFUND_ABOVE_CAPTURED", "left to give back")?,
        // The price of what came back, as far as the money was not given back before.
        None if refund => price_of(&work.order, &came).min(most),
        None => Amount::ZERO,
    };
    if !wanted.is_zero() {
        let reason = format!("return {}", work.order.returns[index].id);
        work.order.returns[index].refund_id = Some(give_back(work, wanted, Some(reason), &came));
    }
    Ok(())
}

/// The asked return if it is open, or the oldest open one.
fn open_return_of(order: &OrderSnapshot, id: Option<&str>) -> Option<usize> {
    order.returns.iter().position(|r| r.status == ReturnState::Requested && id.is_none_or(|id| id == r.id))
}

/// Gives money back over the payments in turn, one refund for each, and answers the first refund's id. The caller has
/// checked that so much was captured.
fn give_back(work: &mut Work<'_>, amount: Amount, reason: Option<String>, lines: &[(usize, Quantity)]) -> String {
    let first = format!("f{}", work.order.refunds.len() + 1);
    let mut left = amount;
    let mut movements = Vec::new();
    for index in 0..work.order.payments.len() {
        let payment = &work.order.payments[index];
        let share = (moved(payment, TransactionType::Sale) - moved(payment, TransactionType::Refund)).min(left);
        if share.is_zero() {
            continue;
        }
        left -= share;
        let payment = payment.id.clone();
        let transaction = next_transaction(&work.order);
        let entry = done(&transaction, TransactionType::Refund, share, work);
        work.order.payments[index].transactions.push(entry);
        let lines = if movements.is_empty() { refund_lines(&work.order, lines) } else { Vec::new() };
        work.order.refunds.push(Refund {
            id: format!("f{}", work.order.refunds.len() + 1),
            status: RefundStatus::Succeeded,
            amount: share,
            currency: None,
            reason: reason.clone(),
            payment_id: Some(payment.clone()),
            shipping: None,
            created_at: Some(work.now),
            lines,
        });
        movements.push(Movement::Money { payment, transaction, kind: "REFUND", amount: -share });
    }
    for (index, quantity) in lines {
        let counts = &mut work.order.lines[*index].quantity;
        counts.refunded = (counts.refunded + *quantity).min(counts.ordered);
    }
    let description = format!("{} given back", work.order.money(amount));
    work.book(EffectKind::Payment, description, Some(amount), movements);
    first
}

fn refund_lines(order: &OrderSnapshot, lines: &[(usize, Quantity)]) -> Vec<RefundLine> {
    let lines = quantity_lines(order, lines).into_iter();
    lines.map(|l| RefundLine { line_id: l.line_id, quantity: l.quantity, amount: None }).collect()
}

fn next_transaction(order: &OrderSnapshot) -> String {
    format!("t{}", order.payments.iter().map(|p| p.transactions.len()).sum::<usize>() + 1)
}

fn done(id: &str, transaction_type: TransactionType, amount: Amount, work: &Work<'_>) -> Transaction {
    Transaction {
        id: id.into(),
        transaction_type,
        status: TransactionStatus::Succeeded,
        amount,
        currency: None,
        at: Some(work.now),
        reference: None,
        error: None,
    }
}

fn within(amount: Amount, most: Amount, code: &str, what: &str) -> Result<Amount, Refusal> {
    if amount <= Amount::ZERO {
        return Err(Refusal::input("INVALID_INPUT", "/amount", "An amount is above zero."));
    }
    if amount > most {
        return Err(Refusal::input(code, "/amount", format!("{amount} is more than the {most} {what}.")));
    }
    Ok(amount)
}

fn price_of(order: &OrderSnapshot, lines: &[(usize, Quantity)]) -> Amount {
    // A part of a line whose whole total fits is exact.
    lines.iter().filter_map(|(index, quantity)| order.lines[*index].unit_price.checked_mul(*quantity)).sum()
}

fn all_lines(order: &OrderSnapshot) -> Vec<(usize, Quantity)> {
    order.lines.iter().map(|l| l.quantity.ordered).enumerate().collect()
}

fn quantity_lines(order: &OrderSnapshot, lines: &[(usize, Quantity)]) -> Vec<QuantityLine> {
    let line = |(index, quantity): &(usize, Quantity)| QuantityLine {
        line_id: order.lines[*index].id.clone(),
        quantity: *quantity,
    };
    lines.iter().map(line).collect()
}

/// Moves the stock of lines: one entry each, one line of the receipt for all.
fn stock(work: &mut Work<'_>, reason: StockReason, what: &str, lines: &[(usize, Quantity)]) {
    let order = &work.order;
    let movements: Vec<_> = lines
        .iter()
        .filter_map(|(index, quantity)| Some((order.lines[*index].sku.clone()?, *quantity)))
        .map(|(sku, quantity)| Movement::Stock { sku, reason, quantity })
        .collect();
    let description = match lines {
        [(index, quantity)] => {
            format!("{quantity} × {} {what}", order.lines[*index].sku.as_deref().unwrap_or_default())
        }
        _ => format!("{} pieces of {} lines {what}", lines.iter().map(|l| l.1).sum::<Quantity>(), lines.len()),
    };
    work.book(EffectKind::Stock, description, None, movements);
}

/// The lines that were asked for, each once and with no more pieces than there are; without any, all there are.
fn choose(
    order: &OrderSnapshot,
    asked: Option<Vec<QuantityLine>>,
    most: fn(&OrderSnapshot, &OrderLine) -> Quantity,
) -> Result<Vec<(usize, Quantity)>, Refusal> {
    let Some(asked) = asked else {
        let all = order.lines.iter().map(|line| most(order, line)).enumerate();
        return Ok(all.filter(|(_, quantity)| !quantity.is_zero()).collect());
    };
    if asked.is_empty() {
        return Err(Refusal::input("INVALID_INPUT", "/lines", "Name at least one line, or leave `lines` out for all."));
    }
    let mut chosen: Vec<(usize, Quantity)> = Vec::new();
    for (i, QuantityLine { line_id, quantity }) in asked.iter().enumerate() {
        let found = order.lines.iter().position(|l| l.id == *line_id);
        let Some(index) = found.filter(|index| chosen.iter().all(|(taken, _)| taken != index)) else {
            let message = format!("The order has no line {line_id:?}, or it is named twice.");
            return Err(Refusal::input("INVALID_INPUT", format!("/lines/{i}/lineId"), message));
        };
        let field = format!("/lines/{i}/quantity");
        pieces(*quantity, &field)?;
        let most = most(order, &order.lines[index]);
        if *quantity > most {
            return Err(Refusal::input("QUANTITY_ABOVE_REMAINING", field, format!("Of this line {most} are left.")));
        }
        chosen.push((index, *quantity));
    }
    Ok(chosen)
}
