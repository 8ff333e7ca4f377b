//! Money and points: taken, held, given back.
//!
//! Points are a tender like a card: what was paid with them goes back as points, by the same rule and in the same turn.

use order_contract::{
    Amount, EffectStatus, OrderSnapshot, OrderStatus, Payment, PaymentState, Quantity, QuantityLine, Refund,
    RefundLine, RefundStatus, Transaction, TransactionStatus, TransactionType,
};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;

use super::goods::member;
use super::place::value_of;
use super::{choose, quantity_lines};
use crate::order::{add_price_refund, authorized, authorized_of, due, held_of, kept, owed, refundable};
use crate::process::{PlannedEffect, Refusal, Work};
use crate::service::{Charge, Command, Receipt};

/// The method of payments that are made with points.
const POINTS: &str = "points";
/// Points that the order earned, in `attributes`.
const POINTS_EARNED: &str = "pointsEarned";

#[derive(Deserialize)]
struct PayInput {
    amount: Option<Amount>,
    method: Option<String>,
    reference: Option<String>,
    token: Option<String>,
    #[serde(default = "yes")]
    capture: bool,
}

fn yes() -> bool {
    true
}

pub(super) fn take_payment(work: &mut Work<'_>) -> Result<(), Refusal> {
    let PayInput { amount, method, reference, token, capture } = work.input()?;
    let open = (due(&work.order) - authorized(&work.order)).max(Amount::ZERO);
    let covered = work.order.totals.total - open;
    // What must be covered for the order to go on: a deposit where the definition has one.
    let needed = match work.settings.amount("deposit_percent") {
        Some(percent) if work.order.status == OrderStatus::PendingPayment => percent_of(&work.order, percent),
        _ => work.order.totals.total,
    };
    let asked = amount.unwrap_or_else(|| if covered < needed { needed - covered } else { open });
    let amount = within(asked, open, "AMOUNT_ABOVE_DUE", "due")?;
    work.done = covered + amount >= needed;

    let method = method.unwrap_or_else(|| "card".into());
    let payment = format!("p{}", work.order.payments.len() + 1);
    let kind = if capture || method == POINTS { TransactionType::Sale } else { TransactionType::Authorize };
    let id = next_transaction(&work.order);
    work.order.payments.push(Payment {
        id: payment.clone(),
        method: method.clone(),
        provider: None,
        status: PaymentState::Pending,
        amount,
        currency: None,
        reference: token.clone().or(reference),
        created_at: Some(work.now),
        transactions: vec![done(id, kind, amount, work)],
    });
    let money = work.order.money(amount);
    if method == POINTS {
        let Some(member) = member(&work.order) else {
            let message = "Only a member can pay with points: name the customer when the order is placed.";
            return Err(Refusal::input("INVALID_INPUT", "/method", message));
        };
        let points = points(work, amount)?;
        work.command(format!("{points} points spent for {money}"), Some(amount), Command::Spend { member, points });
        return Ok(());
    }
    let charge = Charge { payment, amount, currency: work.order.currency, token };
    match kind {
        TransactionType::Authorize => {
            work.command(format!("{money} held"), Some(amount), Command::Authorize(charge));
        }
        _ => work.command(format!("{money} taken"), Some(amount), Command::Sale(charge)),
    }
    Ok(())
}

/// So many percent of the order's total, in its currency's minor units, rounded half up.
pub(super) fn percent_of(order: &OrderSnapshot, percent: Amount) -> Amount {
    let exact = order.totals.total.decimal() * percent.decimal() / Decimal::ONE_HUNDRED;
    let digits = order.currency.minor_digits();
    let rounded = exact.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
    Amount::try_new(rounded).unwrap_or(order.totals.total)
}

/// How many points an amount is worth.
fn points(work: &Work<'_>, amount: Amount) -> Result<Quantity, Refusal> {
    let value = work.settings.amount("point_value").filter(|v| *v > Amount::ZERO).map(Amount::decimal);
    let points = value.and_then(|value| amount.decimal().checked_div(value)).filter(|p| p.is_integer());
    points.and_then(|points| Amount::try_new(points).ok()).ok_or_else(|| {
        let message = "Points pay whole multiples of what one is worth, where the shop takes them.";
        Refusal::input("INVALID_INPUT", "/amount", message)
    })
}

/// Takes what is held, as far as the order still costs it: it may have become cheaper since. The rest is given up.
pub(super) fn capture_payment(work: &mut Work<'_>) -> Result<(), Refusal> {
    for index in 0..work.order.payments.len() {
        let held = authorized_of(&work.order.payments[index]);
        let taken = held.min(due(&work.order));
        settle_hold(work, index, taken, TransactionType::Capture, "captured", Command::Capture);
        settle_hold(work, index, held - taken, TransactionType::Void, "no longer held", Command::Void);
    }
    Ok(())
}

pub(super) fn void_payment(work: &mut Work<'_>) -> Result<(), Refusal> {
    for index in 0..work.order.payments.len() {
        let held = authorized_of(&work.order.payments[index]);
        settle_hold(work, index, held, TransactionType::Void, "no longer held", Command::Void);
    }
    Ok(())
}

fn settle_hold(
    work: &mut Work<'_>,
    index: usize,
    amount: Amount,
    kind: TransactionType,
    what: &str,
    command: fn(Charge) -> Command,
) {
    if amount <= Amount::ZERO {
        return;
    }
    let charge = charge(&work.order, &work.order.payments[index], amount);
    let entry = done(next_transaction(&work.order), kind, amount, work);
    work.order.payments[index].transactions.push(entry);
    work.command(format!("{} {what}", work.order.money(amount)), Some(amount), command(charge));
}

fn charge(order: &OrderSnapshot, payment: &Payment, amount: Amount) -> Charge {
    Charge { payment: payment.id.clone(), amount, currency: order.currency, token: payment.reference.clone() }
}

/// Gives back what was captured above what the order costs now: all of it, less a fee, when it is called off.
pub(super) fn refund_surplus(work: &mut Work<'_>) -> Result<(), Refusal> {
    let refunded_otherwise: Amount = work.before.refunds.iter().filter(|r| counts(r)).map(|r| r.amount).sum();
    let called_off = work.order.lines.iter().all(|l| l.quantity.canceled == l.quantity.ordered);
    let surplus = if called_off {
        refundable(&work.order) - owed(&work.order)
    } else {
        // Money that was given back for another reason does not make the order cheaper.
        let taken = refundable(&work.order) + refunded_otherwise - crate::order::price_refunds(&work.order);
        (taken - work.order.totals.total).min(refundable(&work.order))
    };
    if surplus > Amount::ZERO {
        let reason = work.order.cancel_reason.clone();
        if !called_off {
            add_price_refund(&mut work.order, surplus);
        }
        give_back(work, surplus, reason, &[], None);
    }
    Ok(())
}

fn counts(refund: &Refund) -> bool {
    matches!(refund.status, RefundStatus::Succeeded | RefundStatus::Pending)
}

#[derive(Deserialize)]
struct RefundInput {
    amount: Option<Amount>,
    lines: Option<Vec<QuantityLine>>,
    #[serde(default)]
    shipping: bool,
    reason: Option<String>,
}

pub(super) fn refund(work: &mut Work<'_>) -> Result<(), Refusal> {
    let RefundInput { amount, lines, shipping, reason } = work.input()?;
    let all = amount.is_none() && lines.is_none() && !shipping;
    let lines = match lines {
        Some(lines) => choose(&work.order, Some(lines), |_, line| line.quantity.ordered - line.quantity.refunded)?,
        None => Vec::new(),
    };
    let most = refundable(&work.order);
    let shipping = shipping.then(|| {
        let back: Amount = work.order.refunds.iter().filter(|r| counts(r)).filter_map(|r| r.shipping).sum();
        work.order.totals.shipping - back
    });
    let asked = price_of(&work.order, &lines) + shipping.unwrap_or_default();
    let wanted = amount.unwrap_or(if all { most } else { asked });
    let amount = within(wanted, most, "REFUND_ABOVE_CAPTURED", "left to give back")?;
    give_back(work, amount, reason, &lines, shipping);
    Ok(())
}

/// What giving back pieces is worth: what was paid for the goods, less what those that are kept would have cost with
/// the same coupons. A coupon whose minimum the kept goods do not reach any more counts for nothing.
pub(super) fn price_of(order: &OrderSnapshot, lines: &[(usize, Quantity)]) -> Amount {
    let kept = |less: &[(usize, Quantity)]| {
        value_of(order, |index, line| {
            let less: Quantity = less.iter().filter(|(i, _)| *i == index).map(|(_, q)| *q).sum();
            (line.quantity.ordered - line.quantity.refunded.max(line.quantity.canceled) - less).max(Quantity::ZERO)
        })
    };
    (kept(&[]) - kept(lines)).max(Amount::ZERO)
}

/// Gives money back over the payments in turn, one refund for each, and answers the first refund's id. The caller has
/// checked that so much was captured.
pub(super) fn give_back(
    work: &mut Work<'_>,
    amount: Amount,
    reason: Option<String>,
    lines: &[(usize, Quantity)],
    shipping: Option<Amount>,
) -> String {
    let first = format!("f{}", work.order.refunds.len() + 1);
    let mut left = amount;
    for index in 0..work.order.payments.len() {
        let payment = &work.order.payments[index];
        let share = held_of(payment).min(left);
        if share <= Amount::ZERO {
            continue;
        }
        let is_first = left == amount;
        left -= share;
        let (id, method) = (payment.id.clone(), payment.method.clone());
        let charge = charge(&work.order, payment, share);
        let entry = done(next_transaction(&work.order), TransactionType::Refund, share, work);
        work.order.payments[index].transactions.push(entry);
        work.order.refunds.push(Refund {
            id: format!("f{}", work.order.refunds.len() + 1),
            status: RefundStatus::Succeeded,
            amount: share,
            currency: None,
            reason: reason.clone(),
            payment_id: Some(id),
            shipping: shipping.filter(|_| is_first),
            created_at: Some(work.now),
            lines: if is_first { refund_lines(&work.order, lines) } else { Vec::new() },
        });
        let money = work.order.money(share);
        match (method.as_str(), member(&work.order), points(work, share)) {
            (POINTS, Some(member), Ok(points)) => {
                let command = Command::Unspend { member, points };
                work.command(format!("{points} points given back for {money}"), Some(share), command);
            }
            _ => work.command(format!("{money} given back ({method})"), Some(share), Command::Refund(charge)),
        }
    }
    for (index, quantity) in lines {
        let counts = &mut work.order.lines[*index].quantity;
        counts.refunded = (counts.refunded + *quantity).min(counts.ordered);
    }
    first
}

fn refund_lines(order: &OrderSnapshot, lines: &[(usize, Quantity)]) -> Vec<RefundLine> {
    let lines = quantity_lines(order, lines).into_iter();
    lines.map(|l| RefundLine { line_id: l.line_id, quantity: l.quantity, amount: None }).collect()
}

fn next_transaction(order: &OrderSnapshot) -> String {
    format!("t{}", order.payments.iter().map(|p| p.transactions.len()).sum::<usize>() + 1)
}

fn done(id: String, transaction_type: TransactionType, amount: Amount, work: &Work<'_>) -> Transaction {
    Transaction {
        id,
        transaction_type,
        status: TransactionStatus::Succeeded,
        amount,
        currency: None,
        at: Some(work.now),
        reference: None,
        error: None,
    }
}

pub(super) fn within(amount: Amount, most: Amount, code: &str, what: &str) -> Result<Amount, Refusal> {
    if amount <= Amount::ZERO {
        return Err(Refusal::input("INVALID_INPUT", "/amount", "An amount is above zero."));
    }
    if amount > most {
        return Err(Refusal::input(code, "/amount", format!("{amount} is more than the {most} {what}.")));
    }
    Ok(amount)
}

/// The payment that a command is about: points are the last payment's of that kind.
fn payment_of<'a>(order: &'a mut OrderSnapshot, planned: &PlannedEffect) -> Option<&'a mut Payment> {
    match planned.command.as_ref()? {
        Command::Authorize(c) | Command::Capture(c) | Command::Void(c) | Command::Sale(c) | Command::Refund(c) => {
            order.payments.iter_mut().find(|p| p.id == c.payment)
        }
        Command::Spend { .. } => order.payments.last_mut(),
        Command::Unspend { .. } => {
            let open = |p: &Payment| p.method == POINTS && p.transactions.last().is_some_and(|t| t.reference.is_none());
            order.payments.iter_mut().find(|p| open(p))
        }
        _ => None,
    }
}

pub(super) fn receive_payment(order: &mut OrderSnapshot, planned: &PlannedEffect, receipt: &Receipt) -> Option<String> {
    let kind = match planned.command {
        Some(Command::Authorize(_)) => TransactionType::Authorize,
        Some(Command::Capture(_)) => TransactionType::Capture,
        Some(Command::Void(_)) => TransactionType::Void,
        _ => TransactionType::Sale,
    };
    let payment = payment_of(order, planned);
    let transaction = payment.and_then(|p| p.transactions.iter_mut().rev().find(|t| t.transaction_type == kind));
    if let Some(transaction) = transaction {
        transaction.reference = Some(receipt.reference.clone());
        if receipt.status == EffectStatus::Failed {
            transaction.status = TransactionStatus::Failed;
        }
    }
    None
}

pub(super) fn receive_refund(order: &mut OrderSnapshot, planned: &PlannedEffect, receipt: &Receipt) -> Option<String> {
    let payment = payment_of(order, planned)?;
    let id = payment.id.clone();
    let transaction = payment.transactions.last_mut()?;
    transaction.reference = Some(receipt.reference.clone()).filter(|r| !r.is_empty());
    let (transaction_status, refund_status) = match receipt.status {
        EffectStatus::Pending => (TransactionStatus::Pending, RefundStatus::Pending),
        EffectStatus::Failed => (TransactionStatus::Failed, RefundStatus::Failed),
        EffectStatus::Done | EffectStatus::NotSupported => (TransactionStatus::Succeeded, RefundStatus::Succeeded),
    };
    transaction.status = transaction_status;
    let amount = transaction.amount;
    if let Some(refund) = order.refunds.iter_mut().rev().find(|r| r.payment_id.as_ref() == Some(&id)) {
        refund.status = refund_status;
    }
    if planned.step == "refund_surplus" && receipt.status == EffectStatus::Failed {
        add_price_refund(order, -amount);
    }
    None
}

#[derive(Deserialize)]
struct SettledInput {
    reference: String,
    done: bool,
}

/// A refund that was on its way has arrived, or has failed.
pub(super) fn settle_effect(work: &mut Work<'_>) -> Result<(), Refusal> {
    let SettledInput { reference, done } = work.input()?;
    let order = &mut work.order;
    for payment in &mut order.payments {
        let found = payment.transactions.iter_mut().find(|t| t.reference.as_ref() == Some(&reference));
        let Some(transaction) = found else { continue };
        transaction.status = if done { TransactionStatus::Succeeded } else { TransactionStatus::Failed };
        let (id, amount) = (Some(&payment.id), transaction.amount);
        let pending = |r: &&mut Refund| r.status == RefundStatus::Pending && r.payment_id.as_ref() == id;
        if let Some(refund) = order.refunds.iter_mut().filter(pending).find(|r| r.amount == amount) {
            refund.status = if done { RefundStatus::Succeeded } else { RefundStatus::Failed };
        }
    }
    Ok(())
}

/// What the order's points should be: those for what was paid otherwise than with points, and not given back.
fn earned(work: &Work<'_>) -> Option<(String, Quantity)> {
    let rate = work.settings.amount("points_per_unit")?;
    let paid: Amount = work.order.payments.iter().filter(|p| p.method != POINTS).map(held_of).sum();
    let points = (paid.decimal() * rate.decimal()).floor();
    Some((member(&work.order)?, Amount::try_new(points).ok()?))
}

/// The purchase is complete: the buyer gets points for it.
pub(super) fn earn_points(work: &mut Work<'_>) -> Result<(), Refusal> {
    let before: Quantity = kept(&work.order.attributes, POINTS_EARNED).unwrap_or_default();
    let Some((member, points)) = earned(work).filter(|(_, points)| *points > before) else { return Ok(()) };
    work.order.attributes.insert(POINTS_EARNED.into(), points.to_string().into());
    let points = points - before;
    work.command(format!("{points} points earned"), None, Command::Earn { member, points });
    Ok(())
}

/// Money went back: so do the points it had earned.
pub(super) fn adjust_points(work: &mut Work<'_>) -> Result<(), Refusal> {
    let before: Option<Quantity> = kept(&work.order.attributes, POINTS_EARNED);
    if let (Some(before), Some((member, points))) = (before, earned(work))
        && points < before
    {
        work.order.attributes.insert(POINTS_EARNED.into(), points.to_string().into());
        let points = before - points;
        work.command(format!("{points} earned points taken back"), None, Command::Unearn { member, points });
    }
    Ok(())
}
