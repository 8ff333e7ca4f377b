//! The contract between order modules and the center: the unified order, exact money, statuses, actions, and the
//! messages of the Order Module Protocol.
//!
//! It owns the vocabulary and the one parser that turns canonical JSON into an [`OrderSnapshot`] or says exactly what
//! is wrong. It refuses IO, clocks and binary floats: everything here is a pure function of its input. That is so that
//! a module, the center and a mapping author's tests all mean the same thing by the same bytes.

mod action;
mod check;
mod id;
mod money;
pub mod openapi;
mod order;
mod strict;
mod parse;
pub mod process;
pub mod protocol;
pub mod schema;
mod status;

pub use action::{
    ActionBlocker, ActionName, ActionType, AvailableAction, Effect, EffectKind, EffectStatus, PredictedEffect,
};
pub use check::{CheckCode, InvariantCheck};
pub use id::{IdError, IdempotencyKey, OrderId, SourceKey, SourceOrderId, SourceVersion};
pub use money::{AMOUNT_SCALE_MAX, Amount, AmountError, Currency, Money, Quantity};
pub use order::{
    Address, Coupon, Customer, Discount, Fee, Fulfillment, Hold, LineQuantities, NativeState, Note, OrderEvent,
    OrderLine, OrderRelation, OrderSnapshot, OrderTimes, OrderTotals, Payment, QuantityLine, Refund, RefundLine,
    Return, ReturnLine, RiskAssessment, ShippingLine, TaxLine, Tracking, Transaction,
};
pub use parse::{Rejection, Rounding, parse_snapshot, pointer_token};
pub use status::{
    Disposition, FulfillmentStatus, OrderKind, OrderStatus, PaymentState, PaymentStatus, RefundStatus, RelationType,
    ReturnState, ReturnStatus, RiskRecommendation, TransactionStatus, TransactionType,
};
