//! The words of the process definitions: guards, steps and moments by name, shared by all lines of business.
//!
//! It owns what each word means. It refuses input that asks for more than there is: more pieces than are left, more
//! money than was captured. Steps are pure, so a prediction is a step that is thrown away. That is so that a line of
//! business is one file of data: which words it uses, and where.

mod booking;
mod code;
mod goods;
mod guard;
mod money;
mod place;
mod returns;

use order_contract::EffectKind::{Coupon, Other, Payment, Points, Shipping, Stock};
use order_contract::{OrderLine, OrderSnapshot, Quantity, QuantityLine};

use crate::process::{Receive, Refusal, Run, Step, Vocabulary};
use crate::{order, step};

pub(crate) use place::check_address;

/// The most pieces of one line.
const PIECES_MAX: i64 = 1_000_000;

/// Everything that a definition may name.
pub(crate) const VOCABULARY: Vocabulary = Vocabulary {
    guards: guard::GUARDS,
    refusals: &[
        "UNKNOWN_SKU",
        "OUT_OF_STOCK",
        "SLOT_FULL",
        "RESERVATION_EXPIRED",
        "COUPON_UNKNOWN",
        "COUPON_USED_UP",
        "COUPON_MINIMUM",
        "COUPON_NOT_STACKABLE",
        "COUPON_NOT_VALID",
        "PURCHASE_LIMIT",
        "VELOCITY_LIMIT",
        "PAYMENT_DECLINED",
        "POINTS_NOT_ENOUGH",
        "AMOUNT_ABOVE_DUE",
        "REFUND_ABOVE_CAPTURED",
        "QUANTITY_ABOVE_REMAINING",
    ],
    steps: &[
        pure("place", place::place),
        pure("change_address", place::change_address),
        pure("change_lines", place::change_lines),
        pure("open_slot", booking::open_slot),
        pure("change_slot", booking::change_slot),
        pure("release_hold", place::release_hold),
        pure("call_off", goods::call_off),
        pure("charge_cancellation_fee", booking::charge_cancellation_fee),
        pure("arrive", goods::arrive),
        pure("open_return", returns::open_return),
        pure("settle_effect", money::settle_effect),
        // A reservation that does not run out any more is still taken back as one.
        pure("confirm_stock", goods::confirm_stock),
        moving("reserve_stock", &[Stock], "release_stock", goods::reserve_stock),
        moving("release_stock", &[Stock], "reserve_stock", goods::release_stock),
        moving("use_stock", &[Stock], "unuse_stock", goods::use_stock),
        moving("hand_over", &[Stock, Shipping], "recall_shipment", goods::hand_over),
        moving("take_back", &[Stock], "return_to_buyer", returns::take_back),
        moving("count_purchases", &[Other], "uncount_purchases", goods::count_purchases),
        moving("uncount_purchases", &[Other], "count_purchases", goods::uncount_purchases),
        moving("redeem_coupons", &[Coupon], "restore_coupons", goods::redeem_coupons),
        moving("restore_coupons", &[Coupon], "redeem_coupons", goods::restore_coupons),
        with(moving("allocate_codes", &[Stock], "revoke_codes", code::allocate_codes), code::receive_codes),
        moving("revoke_codes", &[Stock], "allocate_codes", code::revoke_codes),
        with(moving("claim_codes", &[Stock], "unclaim_codes", code::claim_codes), code::receive_claim),
        with(moving("take_payment", &[Payment, Points], "undo_payment", money::take_payment), money::receive_payment),
        with(moving("capture_payment", &[Payment], "undo_capture", money::capture_payment), money::receive_payment),
        with(moving("void_payment", &[Payment], "authorize_again", money::void_payment), money::receive_payment),
        with(last("refund_surplus", &[Payment, Points], money::refund_surplus), money::receive_refund),
        with(last("refund", &[Payment, Points], money::refund), money::receive_refund),
        with(last("refund_unclaimed", &[Payment, Points], code::refund_unclaimed), money::receive_refund),
        with(last("refund_return", &[Payment, Points], returns::refund_return), money::receive_refund),
        last("earn_points", &[Points], money::earn_points),
        last("adjust_points", &[Points], money::adjust_points),
    ],
    moments: &[("delivered", |order| order.times.delivered_at), ("slot_end", booking::slot_end)],
    settle: order::settle,
};

/// A step that moves nothing outside the order.
const fn pure(name: &'static str, run: Run) -> Step {
    Step { name, moves: &[], compensation: None, run, receive: None }
}

/// A step whose effect can be taken back.
const fn moving(
    name: &'static str,
    moves: &'static [order_contract::EffectKind],
    compensation: &'static str,
    run: Run,
) -> Step {
    Step { name, moves, compensation: Some(compensation), run, receive: None }
}

/// A step whose effect cannot be taken back.
const fn last(name: &'static str, moves: &'static [order_contract::EffectKind], run: Run) -> Step {
    Step { name, moves, compensation: None, run, receive: None }
}

/// The same step, which writes into the order what the service answered.
const fn with(step: Step, receive: Receive) -> Step {
    Step { receive: Some(receive), ..step }
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

/// The lines that were asked for, each once and with no more pieces than there are; without any, all there are.
fn choose(
    order: &OrderSnapshot,
    asked: Option<Vec<QuantityLine>>,
    most: impl Fn(&OrderSnapshot, &OrderLine) -> Quantity,
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
        step::pieces(*quantity, &field)?;
        let most = most(order, &order.lines[index]);
        if *quantity > most {
            return Err(Refusal::input("QUANTITY_ABOVE_REMAINING", field, format!("Of this line {most} are left.")));
        }
        chosen.push((index, *quantity));
    }
    Ok(chosen)
}

fn quantity_lines(order: &OrderSnapshot, lines: &[(usize, Quantity)]) -> Vec<QuantityLine> {
    let line = |(index, quantity): &(usize, Quantity)| QuantityLine {
        line_id: order.lines[*index].id.clone(),
        quantity: *quantity,
    };
    lines.iter().map(line).collect()
}
