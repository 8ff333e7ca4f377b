//! A retail order as it is placed, and the facts that follow from it.
//!
//! It owns the draft of a new order and the derivation of statuses, sums and times after every move. It refuses input
//! that is not an order of this shop: no lines, too many, fractions of a piece. That is so that no step has to keep
//! derived facts by hand.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use order_contract::{
    Address, Amount, Currency, Customer, FulfillmentStatus, LineQuantities, NativeState, Note, OrderKind, OrderLine,
    OrderSnapshot, OrderStatus, OrderTimes, OrderTotals, PaymentState, PaymentStatus, Quantity, RefundStatus,
    ReturnState, ReturnStatus, SourceOrderId, SourceVersion, TransactionStatus, TransactionType,
};
use serde::Deserialize;
use serde_json::Map;

use crate::process::Refusal;

/// The most lines a client may order at once.
const LINES_MAX: usize = 500;
/// The most pieces of one line.
const PIECES_MAX: i64 = 1_000_000;

/// The input of `create`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateInput {
    pub(crate) lines: Vec<CreateLine>,
    customer: Option<Customer>,
    shipping_address: Option<Address>,
    billing_address: Option<Address>,
    channel: Option<String>,
    note: Option<String>,
}

/// One line of [`CreateInput`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateLine {
    pub(crate) sku: String,
    quantity: Quantity,
}

/// A product as the shop sells it now.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) name: String,
    pub(crate) price: Amount,
    /// Not promised to anyone.
    pub(crate) available: Quantity,
}

impl CreateInput {
    /// The order as a draft, at today's prices.
    pub(crate) fn draft(
        self,
        id: SourceOrderId,
        now: DateTime<Utc>,
        currency: Currency,
        products: &HashMap<String, Product>,
    ) -> Result<OrderSnapshot, Refusal> {
        if self.lines.is_empty() || self.lines.len() > LINES_MAX {
            return Err(Refusal::input("INVALID_INPUT", "/lines", format!("An order has 1 to {LINES_MAX} lines.")));
        }
        for (field, address) in [("shippingAddress", &self.shipping_address), ("billingAddress", &self.billing_address)]
        {
            check_address(field, address.as_ref())?;
        }
        let mut order = blank(id, now, currency);
        let mut wanted: HashMap<&str, Quantity> = HashMap::new();
        for (i, line) in self.lines.iter().enumerate() {
            let product = products.get(&line.sku).ok_or_else(|| {
                let message = format!("There is no product {:?}.", line.sku);
                Refusal::input("UNKNOWN_SKU", format!("/lines/{i}/sku"), message)
            })?;
            pieces(line.quantity, &format!("/lines/{i}/quantity"))?;
            let wanted = wanted.entry(&line.sku).or_default();
            *wanted += line.quantity;
            if *wanted > product.available {
                let message = format!("Of {} there are {} left.", line.sku, product.available);
                let error = Refusal::conflict("OUT_OF_STOCK", message);
                return Err(Refusal {
                    error: order_contract::protocol::ActionError {
                        field: Some(format!("/lines/{i}/quantity")),
                        ..error.error
                    },
                    ..error
                });
            }
            order.lines.push(new_line(i, &line.sku, &product.name, line.quantity, product.price).ok_or_else(|| {
                Refusal::input("INVALID_INPUT", format!("/lines/{i}/quantity"), "The order would cost too much.")
            })?);
        }
        order.customer = self.customer;
        order.shipping_address = self.shipping_address;
        order.billing_address = self.billing_address;
        order.channel = self.channel;
        order.notes.extend(self.note.map(|text| Note { text, author: None, at: Some(now), customer_visible: true }));
        sum_up(&mut order);
        Ok(order)
    }
}

/// An order without lines, before its first state.
pub(crate) fn blank(id: SourceOrderId, now: DateTime<Utc>, currency: Currency) -> OrderSnapshot {
    OrderSnapshot {
        version: SourceVersion::try_from(0).expect("0 is a version"),
        number: id.to_string(),
        source_order_id: id,
        kind: OrderKind::Retail,
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

/// One line as it is placed; none when its price times quantity does not fit.
pub(crate) fn new_line(
    index: usize,
    sku: &str,
    name: &str,
    ordered: Quantity,
    unit_price: Amount,
) -> Option<OrderLine> {
    Some(OrderLine {
        id: (index + 1).to_string(),
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

/// The sums of a new order.
pub(crate) fn sum_up(order: &mut OrderSnapshot) {
    let subtotal = order.lines.iter().map(|l| l.total).sum();
    let none = Some(Amount::ZERO);
    order.totals = OrderTotals {
        subtotal,
        total: subtotal,
        authorized: none,
        captured: none,
        refunded: none,
        due: Some(subtotal),
        ..OrderTotals::default()
    };
}

/// A quantity is whole pieces here.
pub(crate) fn pieces(quantity: Quantity, field: &str) -> Result<(), Refusal> {
    let whole = quantity.decimal().is_integer() && quantity >= 1.into() && quantity <= PIECES_MAX.into();
    if whole {
        Ok(())
    } else {
        let message = format!("A quantity is a whole number from 1 to {PIECES_MAX}; got {quantity}.");
        Err(Refusal::input("INVALID_INPUT", field, message))
    }
}

/// What types alone cannot say of an address.
pub(crate) fn check_address(field: &str, address: Option<&Address>) -> Result<(), Refusal> {
    let code = address.and_then(|a| a.country_code.as_deref());
    if code.is_none_or(|c| c.len() == 2 && c.bytes().all(|b| b.is_ascii_uppercase())) {
        return Ok(());
    }
    let message = "A country code is ISO 3166-1 alpha-2 such as \"GB\"; a name belongs in `country`.";
    Err(Refusal::input("INVALID_INPUT", format!("/{field}/countryCode"), message))
}

/// What was captured and not given back yet.
pub(crate) fn refundable(order: &OrderSnapshot) -> Amount {
    order.totals.captured.unwrap_or_default() - order.totals.refunded.unwrap_or_default()
}

/// Pieces of a line that arrived and for which no return is done or under way.
pub(crate) fn returnable(order: &OrderSnapshot, line: &OrderLine) -> Quantity {
    let open = order.returns.iter().filter(|r| r.status == ReturnState::Requested).flat_map(|r| &r.lines);
    let asked: Quantity = open.filter(|l| l.line_id == line.id).map(|l| l.quantity).sum();
    line.quantity.fulfilled - line.quantity.returned - asked
}

/// Brings statuses, sums and times in line with what happened.
pub(crate) fn settle(order: &mut OrderSnapshot, now: DateTime<Utc>) {
    for line in &mut order.lines {
        line.quantity.current = line.quantity.ordered - line.quantity.canceled - line.quantity.returned;
    }
    for payment in &mut order.payments {
        let (captured, refunded) = (moved(payment, TransactionType::Sale), moved(payment, TransactionType::Refund));
        payment.status = match refunded {
            r if r.is_zero() => PaymentState::Captured,
            r if r >= captured => PaymentState::Refunded,
            _ => PaymentState::PartiallyRefunded,
        };
    }
    let captured = order.payments.iter().map(|p| moved(p, TransactionType::Sale)).sum();
    let refunded = order.refunds.iter().filter(|r| r.status == RefundStatus::Succeeded).map(|r| r.amount).sum();
    let closed = matches!(order.status, OrderStatus::Canceled | OrderStatus::Expired);
    order.totals.captured = Some(captured);
    order.totals.refunded = Some(refunded);
    order.totals.due = Some(if closed { Amount::ZERO } else { order.totals.total - captured });
    let expired = order.status == OrderStatus::Expired;
    order.payment_status = if expired { PaymentStatus::Expired } else { PaymentStatus::Unpaid };
    order.payment_status = order.computed_payment_status();
    order.fulfillment_status = fulfillment_status(order, closed);
    order.return_status = return_status(order);

    let state = order.native.state.as_str();
    let times = &mut order.times;
    times.updated_at = now;
    for (reached, time) in [
        (captured >= order.totals.total && !captured.is_zero(), &mut times.paid_at),
        (matches!(state, "SHIPPED"), &mut times.shipped_at),
        (matches!(state, "DELIVERED"), &mut times.delivered_at),
        (matches!(state, "COMPLETED"), &mut times.completed_at),
        (matches!(state, "CANCELED"), &mut times.canceled_at),
    ] {
        if reached && time.is_none() {
            *time = Some(now);
        }
    }
    if !matches!(state, "PENDING_PAYMENT" | "EXPIRED") {
        times.expires_at = None;
    }
}

/// What succeeded of one type in a payment.
pub(crate) fn moved(payment: &order_contract::Payment, what: TransactionType) -> Amount {
    let done = payment.transactions.iter().filter(|t| t.status == TransactionStatus::Succeeded);
    done.filter(|t| t.transaction_type == what).map(|t| t.amount).sum()
}

fn fulfillment_status(order: &OrderSnapshot, closed: bool) -> FulfillmentStatus {
    let arrived = |f: &&order_contract::Fulfillment| f.status == FulfillmentStatus::Delivered;
    let all_left = order.lines.iter().all(|l| l.quantity.fulfilled == l.quantity.ordered);
    let delivered = order.fulfillments.iter().filter(arrived).count();
    match order.fulfillments.len() {
        _ if closed => FulfillmentStatus::Canceled,
        0 if order.native.state == "PICKING" => FulfillmentStatus::InProgress,
        0 => FulfillmentStatus::Unfulfilled,
        all if all_left && delivered == all => FulfillmentStatus::Delivered,
        _ if delivered > 0 => FulfillmentStatus::PartiallyDelivered,
        _ if all_left => FulfillmentStatus::Shipped,
        _ => FulfillmentStatus::PartiallyShipped,
    }
}

fn return_status(order: &OrderSnapshot) -> ReturnStatus {
    let open = order.returns.iter().any(|r| r.status == ReturnState::Requested);
    let some_back = order.lines.iter().any(|l| !l.quantity.returned.is_zero());
    let all_back = order.lines.iter().all(|l| l.quantity.returned == l.quantity.ordered);
    match (open, some_back) {
        (true, true) => ReturnStatus::InProgress,
        (true, false) => ReturnStatus::Requested,
        (false, true) if all_back => ReturnStatus::Returned,
        (false, true) => ReturnStatus::PartiallyReturned,
        (false, false) => ReturnStatus::None,
    }
}
