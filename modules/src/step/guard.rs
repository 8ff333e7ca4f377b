//! What must hold before a move. Each guard answers a blocker of its own name.

use order_contract::{ActionBlocker, FulfillmentStatus, ReturnState};
use serde_json::{Map, Value};

use super::{booking, code};
use crate::order;
use crate::process::{Guard, Situation};

pub(super) const GUARDS: &[(&str, Guard)] = &[
    ("NOTHING_IN_TRANSIT", |s| {
        let none = !s.order.fulfillments.iter().any(|f| f.status == FulfillmentStatus::Shipped);
        block(none, "NOTHING_IN_TRANSIT", "Every parcel that left has arrived: ship the rest first.")
    }),
    ("RETURN_OPEN", |s| {
        let open = s.order.returns.iter().any(|r| r.status == ReturnState::Requested);
        block(open, "RETURN_OPEN", "A return is open: receive it first.")
    }),
    ("NOTHING_REFUNDABLE", |s| {
        let none = order::refundable(s.order).is_zero();
        block(none, "NOTHING_REFUNDABLE", "All that was captured has been given back.")
    }),
    ("NOTHING_RETURNABLE", |s| {
        let none = s.order.lines.iter().all(|l| order::returnable(s.order, l).is_zero());
        block(none, "NOTHING_RETURNABLE", "All goods came back already or are in an open return.")
    }),
    ("NO_OPEN_RETURN", |s| {
        let none = !s.order.returns.iter().any(|r| r.status == ReturnState::Requested);
        block(none, "NO_OPEN_RETURN", "No return is open: request one first.")
    }),
    ("RETURN_WINDOW_CLOSED", |s| {
        let closed = s.settings.span("return_window").zip(s.order.times.delivered_at);
        let closed = closed.and_then(|(window, at)| at.checked_add_signed(window)).filter(|end| *end <= s.now);
        let message = "The time for returns is over.";
        let end = closed.map(|end| Value::from(end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)));
        end.map(|end| with(blocker("RETURN_WINDOW_CLOSED", message), "closedAt", end))
    }),
    ("NOTHING_DUE", |s| {
        let none = (order::due(s.order) - order::authorized(s.order)).max(order_contract::Amount::ZERO).is_zero();
        block(none, "NOTHING_DUE", "Nothing is owed: all of it is paid or held.")
    }),
    ("NOTHING_AUTHORIZED", |s| {
        let none = order::authorized(s.order).is_zero();
        block(none, "NOTHING_AUTHORIZED", "No money is held: there is nothing to capture.")
    }),
    ("PAYMENT_DUE", |s| {
        let due = order::due(s.order) - order::authorized(s.order);
        let message = format!("{} is still to be paid: pay it first.", s.order.money(due));
        let open = !due.is_zero() && due > order_contract::Amount::ZERO;
        open.then(|| with(blocker("PAYMENT_DUE", &message), "due", due.to_string().into()))
    }),
    ("PAYMENT_NOT_CAPTURED", |s| {
        let due = order::due(s.order);
        let message = format!("{} is not captured yet: capture it first.", s.order.money(due));
        (!due.is_zero()).then(|| with(blocker("PAYMENT_NOT_CAPTURED", &message), "amount", due.to_string().into()))
    }),
    ("ON_HOLD", |s| {
        let reason = s.order.holds.first().map(|h| h.code.as_str()).unwrap_or_default();
        block(!s.order.holds.is_empty(), "ON_HOLD", &format!("The order is on hold ({reason}): release it first."))
    }),
    ("NOT_ON_HOLD", |s| block(s.order.holds.is_empty(), "NOT_ON_HOLD", "Nothing holds the order.")),
    ("NOTHING_UNCLAIMED", |s| {
        block(!code::any_unclaimed(s.order), "NOTHING_UNCLAIMED", "Every code is claimed: it cannot be given back.")
    }),
    ("SLOT_STARTED", |s| {
        let started = booking::starts(s).is_some_and(|start| start <= s.now);
        block(started, "SLOT_STARTED", "The slot has begun.")
    }),
    ("SLOT_NOT_STARTED", |s| {
        let waiting = booking::starts(s).is_some_and(|start| start > s.now);
        block(waiting, "SLOT_NOT_STARTED", "The slot has not begun yet.")
    }),
    ("SLOT_NOT_OVER", |s: &Situation<'_>| {
        let running = booking::slot_end(s.order).is_some_and(|end| end > s.now);
        block(running, "SLOT_NOT_OVER", "The slot is not over yet.")
    }),
];

fn block(when: bool, code: &str, message: &str) -> Option<ActionBlocker> {
    when.then(|| blocker(code, message))
}

fn blocker(code: &str, message: &str) -> ActionBlocker {
    ActionBlocker { code: code.into(), message: message.into(), details: None }
}

fn with(blocker: ActionBlocker, name: &str, value: Value) -> ActionBlocker {
    ActionBlocker { details: Some(Map::from_iter([(name.to_owned(), value)])), ..blocker }
}
