//! An order of any line of business, and the facts that follow from what happened to it.
//!
//! It owns the empty order and the derivation of statuses, sums and times after every move. It refuses nothing. That is
//! so that no step has to keep derived facts by hand.

use chrono::{DateTime, Utc};
use order_contract::process::ProcessState;
use order_contract::{
    Amount, Currency, FulfillmentStatus, LineQuantities, NativeState, OrderKind, OrderLine, OrderSnapshot, OrderStatus,
    OrderTimes, OrderTotals, Payment, PaymentState, PaymentStatus, Quantity, RefundStatus, ReturnState, ReturnStatus,
    SourceOrderId, SourceVersion, TransactionStatus, TransactionType,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What was given back because the order became cheaper, in `attributes`: it is not owed again by paying.
const PRICE_REFUNDS: &str = "priceRefunds";
/// What the seller keeps of a canceled order, in `details`.
const CANCELLATION_FEE: &str = "cancellationFee";

/// An order without lines, before its first state.
pub(crate) fn blank(id: SourceOrderId, kind: OrderKind, now: DateTime<Utc>, currency: Currency) -> OrderSnapshot {
    OrderSnapshot {
        version: SourceVersion::try_from(0).expect("0 is a version"),
        number: id.to_string(),
        source_order_id: id,
        kind,
        channel: None,
        source_url: None,
        status: OrderStatus::Draft,
        payment_status: PaymentStatus::Unpaid,
        fulfillment_status: FulfillmentStatus::Unfulfilled,
        return_status: ReturnStatus::None,
        native: NativeState { state: String::new(), sub_states: Map::new() },
        holds: Vec::new(),
        currency,
        prices_include_tax: true,
        times: OrderTimes {
            updated_at: now,
            placed_at: Some(now),
            paid_at: None,
            shipped_at: None,
            delivered_at: None,
            completed_at: None,
            canceled_at: None,
            expires_at: None,
        },
        cancel_reason: None,
        customer: None,
        billing_address: None,
        shipping_address: None,
        lines: Vec::new(),
        totals: OrderTotals::default(),
        discounts: Vec::new(),
        coupons: Vec::new(),
        tax_lines: Vec::new(),
        shipping_lines: Vec::new(),
        fees: Vec::new(),
        payments: Vec::new(),
        refunds: Vec::new(),
        fulfillments: Vec::new(),
        returns: Vec::new(),
        risk: None,
        notes: Vec::new(),
        relations: Vec::new(),
        events: Vec::new(),
        available_actions: Vec::new(),
        attributes: Map::new(),
        details: Map::new(),
    }
}

/// One line before it is priced; none when its price times quantity does not fit.
pub(crate) fn line(id: String, sku: &str, name: &str, ordered: Quantity, unit_price: Amount) -> Option<OrderLine> {
    Some(OrderLine {
        id,
        sku: Some(sku.into()),
        product_id: None,
        variant_id: None,
        name: name.into(),
        quantity: LineQuantities { ordered, current: ordered, ..LineQuantities::default() },
        unit_price,
        discount: Amount::ZERO,
        tax: Amount::ZERO,
        total: unit_price.checked_mul(ordered)?,
        discounts: Vec::new(),
        tax_lines: Vec::new(),
        attributes: Map::new(),
    })
}

/// A fact that the module keeps in the order's own maps.
pub(crate) fn kept<T: DeserializeOwned>(map: &Map<String, Value>, name: &str) -> Option<T> {
    T::deserialize(map.get(name)?).ok()
}

/// What succeeded, or is on its way, of one type in a payment.
pub(crate) fn moved(payment: &Payment, what: TransactionType) -> Amount {
    let counts = |s| matches!(s, TransactionStatus::Succeeded | TransactionStatus::Pending);
    payment.transactions.iter().filter(|t| counts(t.status) && t.transaction_type == what).map(|t| t.amount).sum()
}

/// What a payment took and has not given back.
pub(crate) fn held_of(payment: &Payment) -> Amount {
    moved(payment, TransactionType::Sale) + moved(payment, TransactionType::Capture)
        - moved(payment, TransactionType::Refund)
}

/// What a payment holds and has neither taken nor given up.
pub(crate) fn authorized_of(payment: &Payment) -> Amount {
    moved(payment, TransactionType::Authorize)
        - moved(payment, TransactionType::Capture)
        - moved(payment, TransactionType::Void)
}

/// What was captured and neither given back nor is on its way back.
pub(crate) fn refundable(order: &OrderSnapshot) -> Amount {
    order.payments.iter().map(held_of).sum()
}

/// Held over all payments.
pub(crate) fn authorized(order: &OrderSnapshot) -> Amount {
    order.payments.iter().map(authorized_of).sum()
}

/// What the customer owes for the order as it is now: its total, or what is kept of a closed one.
pub(crate) fn owed(order: &OrderSnapshot) -> Amount {
    let called_off = order.lines.iter().all(|line| line.quantity.canceled == line.quantity.ordered);
    if called_off { kept(&order.details, CANCELLATION_FEE).unwrap_or_default() } else { order.totals.total }
}

/// Given back because the order became cheaper.
pub(crate) fn price_refunds(order: &OrderSnapshot) -> Amount {
    kept(&order.attributes, PRICE_REFUNDS).unwrap_or_default()
}

/// Notes what is given back because the order became cheaper.
pub(crate) fn add_price_refund(order: &mut OrderSnapshot, amount: Amount) {
    let sum = price_refunds(order) + amount;
    order.attributes.insert(PRICE_REFUNDS.into(), sum.to_string().into());
}

/// Notes what the seller keeps of the order that is called off.
pub(crate) fn set_cancellation_fee(order: &mut OrderSnapshot, fee: Amount) {
    order.details.insert(CANCELLATION_FEE.into(), fee.to_string().into());
}

/// Still to be paid or held.
pub(crate) fn due(order: &OrderSnapshot) -> Amount {
    let taken: Amount =
        order.payments.iter().map(|p| moved(p, TransactionType::Sale) + moved(p, TransactionType::Capture)).sum();
    (order.totals.total - (taken - price_refunds(order))).max(Amount::ZERO)
}

/// Pieces of a line that are promised and not handed over.
pub(crate) fn outstanding(line: &OrderLine) -> Quantity {
    (line.quantity.ordered - line.quantity.canceled - line.quantity.fulfilled).max(Quantity::ZERO)
}

/// Pieces of a line that arrived and for which no return is done or under way.
pub(crate) fn returnable(order: &OrderSnapshot, line: &OrderLine) -> Quantity {
    let open = order.returns.iter().filter(|r| r.status == ReturnState::Requested).flat_map(|r| &r.lines);
    let asked: Quantity = open.filter(|l| l.line_id == line.id).map(|l| l.quantity).sum();
    line.quantity.fulfilled - line.quantity.returned - asked
}

/// Brings statuses, sums and times in line with what happened.
pub(crate) fn settle(order: &mut OrderSnapshot, state: &ProcessState, now: DateTime<Utc>) {
    for line in &mut order.lines {
        line.quantity.current = line.quantity.ordered - line.quantity.canceled - line.quantity.returned;
    }
    for payment in &mut order.payments {
        payment.status = payment_state(payment);
    }
    let captures = |p: &Payment| moved(p, TransactionType::Sale) + moved(p, TransactionType::Capture);
    let captured = order.payments.iter().map(captures).sum();
    let closed = matches!(order.status, OrderStatus::Canceled | OrderStatus::Expired);
    order.totals.authorized = Some(authorized(order));
    order.totals.captured = Some(captured);
    let succeeded = order.refunds.iter().filter(|r| r.status == RefundStatus::Succeeded);
    order.totals.refunded = Some(succeeded.map(|r| r.amount).sum());
    order.totals.due = Some(if closed { Amount::ZERO } else { due(order) });
    let voided = order.payments.iter().any(|p| p.status == PaymentState::Voided);
    order.payment_status = match order.status {
        OrderStatus::Expired => PaymentStatus::Expired,
        _ if voided => PaymentStatus::Voided,
        _ => PaymentStatus::Unpaid,
    };
    order.payment_status = order.computed_payment_status();
    order.fulfillment_status = fulfillment_status(order, state, closed);
    order.return_status = return_status(order);

    use {FulfillmentStatus as F, OrderStatus as O};
    let handed_over = matches!(order.fulfillment_status, F::Shipped | F::PartiallyDelivered | F::Delivered)
        && order.lines.iter().all(|line| outstanding(line).is_zero());
    let paid = captured >= order.totals.total && !captured.is_zero();
    let times = &mut order.times;
    times.updated_at = now;
    for (reached, time) in [
        (paid, &mut times.paid_at),
        (handed_over && !order.fulfillments.is_empty(), &mut times.shipped_at),
        (order.fulfillment_status == F::Delivered, &mut times.delivered_at),
        (order.status == O::Completed, &mut times.completed_at),
        (order.status == O::Canceled, &mut times.canceled_at),
    ] {
        if reached && time.is_none() {
            *time = Some(now);
        }
    }
}

fn payment_state(payment: &Payment) -> PaymentState {
    let captured = moved(payment, TransactionType::Sale) + moved(payment, TransactionType::Capture);
    let refunded = moved(payment, TransactionType::Refund);
    let authorized = authorized_of(payment);
    match (captured.is_zero(), authorized.is_zero()) {
        (true, true) => PaymentState::Voided,
        (true, false) => PaymentState::Authorized,
        (false, _) if refunded >= captured => PaymentState::Refunded,
        (false, _) if !refunded.is_zero() => PaymentState::PartiallyRefunded,
        (false, false) => PaymentState::PartiallyCaptured,
        (false, true) => PaymentState::Captured,
    }
}

fn fulfillment_status(order: &OrderSnapshot, state: &ProcessState, closed: bool) -> FulfillmentStatus {
    use FulfillmentStatus as F;
    let delivered = order.fulfillments.iter().filter(|f| f.status == F::Delivered).count();
    let all_left = order.lines.iter().all(|line| outstanding(line).is_zero());
    match (state.fulfillment, order.fulfillments.len()) {
        _ if closed => F::Canceled,
        (Some(told), 0) => told,
        (None, 0) => F::Unfulfilled,
        (_, all) if all_left && delivered == all => F::Delivered,
        _ if delivered > 0 => F::PartiallyDelivered,
        _ if all_left => F::Shipped,
        _ => F::PartiallyShipped,
    }
}

fn return_status(order: &OrderSnapshot) -> ReturnStatus {
    let open = order.returns.iter().any(|r| r.status == ReturnState::Requested);
    let some_back = order.lines.iter().any(|l| !l.quantity.returned.is_zero());
    let all_back = order.lines.iter().all(|l| l.quantity.current.is_zero());
    match (open, some_back) {
        (true, true) => ReturnStatus::InProgress,
        (true, false) => ReturnStatus::Requested,
        (false, true) if all_back => ReturnStatus::Returned,
        (false, true) => ReturnStatus::PartiallyReturned,
        (false, false) => ReturnStatus::None,
    }
}
