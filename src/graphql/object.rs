//! The plain data of an order as clients see it: one struct per object type.
//!
//! It owns the names and docs of everything that a snapshot carries. It refuses whatever needs IO. Each struct derives
//! its GraphQL type (docs, registry, a reference resolver) and its JSON from the same fields in the same order: the
//! rendered order is addressed by field position, and a test holds the two against each other.

use async_graphql::{ID, SimpleObject};
use serde::Serialize;

use super::scalar::{Decimal, Json, Long, Time};
use super::vocabulary::{
    ActionType, CheckCode, Disposition, EffectKind, FulfillmentStatus, OrderKind, OrderStatus, PaymentState,
    PaymentStatus, RefundStatus, RelationType, ReturnState, ReturnStatus, RiskRecommendation, TransactionStatus,
    TransactionType, Via,
};

/// An amount of money: exact, in one currency.
#[derive(Clone, Copy, Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Money {
    /// The exact amount, as a decimal string.
    pub(super) amount: Decimal,
    /// The ISO 4217 code of its currency, such as `GBP`.
    pub(super) currency_code: &'static str,
}

/// An order of one of the connected sources, in the unified vocabulary, as the center last saw it. The source owns it;
/// what may be done with it is in `availableActions`.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderData {
    /// The global id. Opaque; it never changes.
    pub(super) id: ID,
    /// The order's id in the source that owns it.
    pub(super) source_order_id: String,
    /// The number people know the order by.
    pub(super) number: String,
    /// The source's version of the order: grows with every change. Send it back as `expectedVersion` to act on what
    /// you have seen.
    pub(super) version: Long,
    /// What kind of business it is.
    pub(super) kind: OrderKind,
    /// The sales channel, as the source names it.
    pub(super) channel: Option<String>,
    /// A page of the source that shows the order to staff.
    pub(super) source_url: Option<String>,
    /// Which tab it is in.
    pub(super) status: OrderStatus,
    /// Where its money stands: computed from the amounts where the source gives them. Where that differs from the
    /// source's own claim, `checks` says so.
    pub(super) payment_status: PaymentStatus,
    /// How far its goods or services have come.
    pub(super) fulfillment_status: FulfillmentStatus,
    /// How far its returns have come.
    pub(super) return_status: ReturnStatus,
    /// The source's own state, verbatim.
    pub(super) native: NativeState,
    /// What keeps the order from moving on.
    pub(super) holds: Vec<Hold>,
    /// The one currency of all its amounts (ISO 4217).
    pub(super) currency_code: &'static str,
    /// Whether line prices and totals contain tax.
    pub(super) prices_include_tax: bool,
    /// When what happened.
    pub(super) times: OrderTimes,
    /// Why it was canceled.
    pub(super) cancel_reason: Option<String>,
    /// Who ordered.
    pub(super) customer: Option<Customer>,
    /// Where the invoice goes.
    pub(super) billing_address: Option<Address>,
    /// Where the goods go.
    pub(super) shipping_address: Option<Address>,
    /// The country it belongs to, as filters and aggregates see it: of the shipping address, else of the billing
    /// address; the ISO code where there is one, else the source's own name for it.
    pub(super) country: Option<String>,
    /// What was ordered.
    pub(super) lines: Vec<OrderLine>,
    /// The sums.
    pub(super) totals: OrderTotals,
    /// Price reductions of the whole order.
    pub(super) discounts: Vec<Discount>,
    /// The coupons that were used.
    pub(super) coupons: Vec<Coupon>,
    /// Taxes of the whole order, by rate.
    pub(super) tax_lines: Vec<TaxLine>,
    /// Delivery charges.
    pub(super) shipping_lines: Vec<ShippingLine>,
    /// Other charges.
    pub(super) fees: Vec<Fee>,
    /// The payments with their transactions.
    pub(super) payments: Vec<Payment>,
    /// Money given back.
    pub(super) refunds: Vec<Refund>,
    /// What was handed over, and how.
    pub(super) fulfillments: Vec<Fulfillment>,
    /// What came or comes back.
    pub(super) returns: Vec<Return>,
    /// What a risk assessment says.
    pub(super) risk: Option<RiskAssessment>,
    /// Notes of the customer and of staff.
    pub(super) notes: Vec<Note>,
    /// Other orders it belongs to.
    pub(super) relations: Vec<OrderRelation>,
    /// What happened, oldest first.
    pub(super) events: Vec<OrderEvent>,
    /// What the owner would accept at this version, and why it would refuse the rest.
    pub(super) available_actions: Vec<AvailableAction>,
    /// What the source says beyond the unified order.
    pub(super) attributes: Option<Json>,
    /// Facts of the order's kind: a booking's slot, a download's licence.
    pub(super) details: Option<Json>,
    /// The identities of its numbers that do not hold, and notices of rounding. Empty for an order that adds up.
    pub(super) checks: Vec<InvariantCheck>,
    /// How the center came to know this version.
    pub(super) sync: OrderSync,
}

/// The source's own state, verbatim.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NativeState {
    /// The state's name in the source.
    pub(super) state: String,
    /// Further state axes of the source by name.
    pub(super) sub_states: Option<Json>,
}

/// Something that keeps an order from moving on.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hold {
    /// A stable code, such as `MANUAL_REVIEW`.
    pub(super) code: String,
    /// A sentence for staff.
    pub(super) reason: Option<String>,
    /// Since when.
    pub(super) since: Option<Time>,
}

/// When what happened to an order. UTC; absent where it has not happened or the source does not say.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderTimes {
    /// Last changed in the source.
    pub(super) updated_at: Time,
    /// Placed by the customer. Absent for drafts.
    pub(super) placed_at: Option<Time>,
    /// Paid in full.
    pub(super) paid_at: Option<Time>,
    /// Handed to a carrier in full.
    pub(super) shipped_at: Option<Time>,
    /// Arrived in full.
    pub(super) delivered_at: Option<Time>,
    /// Done.
    pub(super) completed_at: Option<Time>,
    /// Called off.
    pub(super) canceled_at: Option<Time>,
    /// Will end, or ended, by time.
    pub(super) expires_at: Option<Time>,
}

/// Who ordered, as this order recorded it. Personal data.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Customer {
    /// The customer's id in the source. Absent for guests.
    pub(super) customer_id: Option<String>,
    /// Full name.
    pub(super) name: Option<String>,
    /// E-mail address.
    pub(super) email: Option<String>,
    /// Telephone number.
    pub(super) phone: Option<String>,
    /// Level or group, as the source names it.
    pub(super) group: Option<String>,
}

/// A postal address. Personal data.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Address {
    /// Recipient.
    pub(super) name: Option<String>,
    /// Company.
    pub(super) company: Option<String>,
    /// Street lines, first to last.
    pub(super) lines: Vec<String>,
    /// City.
    pub(super) city: Option<String>,
    /// State, county or province.
    pub(super) region: Option<String>,
    /// Postal code.
    pub(super) postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 country code, where the source's country has one.
    pub(super) country_code: Option<String>,
    /// The country as the source names it.
    pub(super) country: Option<String>,
    /// Telephone number.
    pub(super) phone: Option<String>,
}

/// One line of an order.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderLine {
    /// The line's id in the source, unique within the order: what actions on lines refer to.
    pub(super) line_id: String,
    /// Stock keeping unit.
    pub(super) sku: Option<String>,
    /// The product's id in the source.
    pub(super) product_id: Option<String>,
    /// The variant's id in the source.
    pub(super) variant_id: Option<String>,
    /// What the customer saw.
    pub(super) name: String,
    /// How many, by what became of them.
    pub(super) quantity: LineQuantities,
    /// Price of one, before discounts.
    pub(super) unit_price: Money,
    /// Reductions of the whole line, positive.
    pub(super) discount: Money,
    /// Tax of the whole line.
    pub(super) tax: Money,
    /// What the line contributes to the order's total: price × ordered quantity − discount, plus tax where prices do
    /// not include it.
    pub(super) total: Money,
    /// The reductions one by one.
    pub(super) discounts: Vec<Discount>,
    /// The taxes by rate.
    pub(super) tax_lines: Vec<TaxLine>,
    /// What the source says beyond that.
    pub(super) attributes: Option<Json>,
}

/// The quantities of a line, kept apart: exact, so that 1.25 kg stays 1.25 kg.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineQuantities {
    /// As placed.
    pub(super) ordered: Decimal,
    /// Still part of the order: ordered − canceled − returned, unless the source says otherwise.
    pub(super) current: Decimal,
    /// Handed over.
    pub(super) fulfilled: Decimal,
    /// Called off.
    pub(super) canceled: Decimal,
    /// Come back.
    pub(super) returned: Decimal,
    /// Paid back.
    pub(super) refunded: Decimal,
}

/// The sums of an order. `subtotal − discount + shipping + fees + tax (unless included) = total` is checked at ingest.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderTotals {
    /// Price × quantity of all lines, before discounts.
    pub(super) subtotal: Money,
    /// All reductions, positive.
    pub(super) discount: Money,
    /// Delivery charges.
    pub(super) shipping: Money,
    /// All taxes.
    pub(super) tax: Money,
    /// Other charges.
    pub(super) fees: Money,
    /// What the customer owes for the order in all.
    pub(super) total: Money,
    /// Held and not captured. Absent where the source does not say.
    pub(super) authorized: Option<Money>,
    /// Captured over all payments, before refunds. Absent where the source does not say.
    pub(super) captured: Option<Money>,
    /// Given back. Absent where the source does not say.
    pub(super) refunded: Option<Money>,
    /// Still to be paid. Absent where the source does not say.
    pub(super) due: Option<Money>,
}

/// A price reduction.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Discount {
    /// What the customer saw.
    pub(super) title: String,
    /// The reduction, positive.
    pub(super) amount: Money,
    /// The coupon it came from.
    pub(super) coupon_code: Option<String>,
}

/// A coupon that was used.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Coupon {
    /// What the customer typed.
    pub(super) code: String,
    /// What it took off, positive.
    pub(super) discount: Option<Money>,
}

/// A tax at one rate.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaxLine {
    /// What the invoice says: `VAT 20 %`.
    pub(super) title: String,
    /// The rate as a fraction: 0.20 for 20 %.
    pub(super) rate: Option<Decimal>,
    /// The tax.
    pub(super) amount: Money,
}

/// A delivery charge.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShippingLine {
    /// What the customer chose.
    pub(super) title: String,
    /// Its price.
    pub(super) amount: Money,
}

/// A charge besides goods, delivery and tax.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fee {
    /// What it is for.
    pub(super) title: String,
    /// The charge.
    pub(super) amount: Money,
}

/// One payment of an order.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payment {
    /// The payment's id in the source, unique within the order.
    pub(super) payment_id: String,
    /// How: `card`, `invoice`, `gift_card`.
    pub(super) method: String,
    /// The payment provider.
    pub(super) provider: Option<String>,
    /// Its state.
    pub(super) status: PaymentState,
    /// What it is for.
    pub(super) amount: Money,
    /// The provider's reference.
    pub(super) reference: Option<String>,
    /// When it was begun.
    pub(super) created_at: Option<Time>,
    /// What happened to it, oldest first.
    pub(super) transactions: Vec<Transaction>,
}

/// One movement of a payment.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    /// Its id in the source.
    pub(super) transaction_id: String,
    /// What it does.
    #[graphql(name = "type")]
    #[serde(rename = "type")]
    pub(super) transaction_type: TransactionType,
    /// Whether it worked.
    pub(super) status: TransactionStatus,
    /// How much.
    pub(super) amount: Money,
    /// When.
    pub(super) at: Option<Time>,
    /// The provider's reference.
    pub(super) reference: Option<String>,
    /// Why it did not work.
    pub(super) error: Option<String>,
}

/// Money given back.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refund {
    /// The refund's id in the source, unique within the order.
    pub(super) refund_id: String,
    /// Its state.
    pub(super) status: RefundStatus,
    /// How much, positive.
    pub(super) amount: Money,
    /// Why.
    pub(super) reason: Option<String>,
    /// The payment it came from.
    pub(super) payment_id: Option<String>,
    /// The delivery charge among it.
    pub(super) shipping: Option<Money>,
    /// When it was made.
    pub(super) created_at: Option<Time>,
    /// For which lines.
    pub(super) lines: Vec<RefundLine>,
}

/// A line's share of a refund.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefundLine {
    /// The order line.
    pub(super) line_id: String,
    /// How many.
    pub(super) quantity: Decimal,
    /// How much.
    pub(super) amount: Option<Money>,
}

/// Something handed over: a parcel, a download, a stay.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fulfillment {
    /// Its id in the source, unique within the order.
    pub(super) fulfillment_id: String,
    /// Its state.
    pub(super) status: FulfillmentStatus,
    /// Of which lines.
    pub(super) lines: Vec<QuantityLine>,
    /// From where.
    pub(super) location: Option<String>,
    /// Where the parcels are.
    pub(super) tracking: Vec<Tracking>,
    /// When it was begun.
    pub(super) created_at: Option<Time>,
    /// When it left.
    pub(super) shipped_at: Option<Time>,
    /// When it arrived.
    pub(super) delivered_at: Option<Time>,
    /// Facts of its kind: a code's id, a slot.
    pub(super) details: Option<Json>,
}

/// So many of a line.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QuantityLine {
    /// The order line.
    pub(super) line_id: String,
    /// How many.
    pub(super) quantity: Decimal,
}

/// Where a parcel is.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tracking {
    /// The carrier's name.
    pub(super) carrier: Option<String>,
    /// The carrier's number.
    pub(super) number: String,
    /// The carrier's page.
    pub(super) url: Option<String>,
}

/// Goods that came or come back.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Return {
    /// Its id in the source, unique within the order.
    pub(super) return_id: String,
    /// Its state.
    pub(super) status: ReturnState,
    /// Why.
    pub(super) reason: Option<String>,
    /// Of which lines.
    pub(super) lines: Vec<ReturnLine>,
    /// The refund it led to.
    pub(super) refund_id: Option<String>,
    /// When it was asked for.
    pub(super) created_at: Option<Time>,
}

/// A line's share of a return.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReturnLine {
    /// The order line.
    pub(super) line_id: String,
    /// How many.
    pub(super) quantity: Decimal,
    /// What became of them.
    pub(super) disposition: Option<Disposition>,
}

/// What a risk assessment says.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RiskAssessment {
    /// What it advises.
    pub(super) recommendation: RiskRecommendation,
    /// Why.
    pub(super) reasons: Vec<String>,
}

/// A note of the customer or of staff.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Note {
    /// What it says.
    pub(super) text: String,
    /// Who wrote it.
    pub(super) author: Option<String>,
    /// When.
    pub(super) at: Option<Time>,
    /// Whether the customer sees it.
    pub(super) customer_visible: bool,
}

/// Another order that this one belongs to.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderRelation {
    /// How.
    #[graphql(name = "type")]
    #[serde(rename = "type")]
    pub(super) relation_type: RelationType,
    /// The other order's global id: look it up with `order` or `node`. The center may not have it.
    pub(super) order_id: ID,
    /// The key of the other order's source.
    pub(super) source_key: String,
    /// The other order's id in its source.
    pub(super) source_order_id: String,
    /// The other order's number.
    pub(super) number: Option<String>,
}

/// One entry of an order's timeline.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderEvent {
    /// Its id in the source, unique within the order.
    pub(super) event_id: String,
    /// What happened, as the source names it.
    #[graphql(name = "type")]
    #[serde(rename = "type")]
    pub(super) event_type: String,
    /// When.
    pub(super) at: Time,
    /// Who did it.
    pub(super) actor: Option<String>,
    /// A sentence.
    pub(super) message: Option<String>,
    /// The native state before.
    pub(super) from_state: Option<String>,
    /// The native state after.
    pub(super) to_state: Option<String>,
}

/// An action of an order as its owner saw it at this version: whether it may be asked, why not, and what it wants.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AvailableAction {
    /// The verb to ask with: the mutation of that name, or `performOrderAction(action:)`.
    pub(super) name: String,
    /// The standard action it is.
    #[graphql(name = "type")]
    #[serde(rename = "type")]
    pub(super) action_type: ActionType,
    /// Whether the owner would accept it.
    pub(super) enabled: bool,
    /// Why it would not. Empty when enabled.
    pub(super) blockers: Vec<ActionBlocker>,
    /// A JSON Schema of its input.
    pub(super) input_schema: Option<Json>,
    /// What it would move.
    pub(super) effects: Vec<PredictedEffect>,
}

/// Why an action may not be asked now.
#[derive(Clone, Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActionBlocker {
    /// A stable code in upper snake case, such as `PAYMENT_NOT_CAPTURED`.
    pub(super) code: String,
    /// A sentence for the person who would press the button.
    pub(super) message: String,
    /// Facts behind it: the allowed states, the largest refundable amount.
    pub(super) details: Option<Json>,
}

/// What an action would move besides the order, told before it is asked.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PredictedEffect {
    /// What would be moved.
    pub(super) kind: EffectKind,
    /// A sentence.
    pub(super) description: String,
    /// The money that would move.
    pub(super) amount: Option<Money>,
}

/// An identity of the order's numbers that does not hold, or a notice. The source owns its numbers; the center says
/// when they do not add up.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InvariantCheck {
    /// Which identity.
    pub(super) code: CheckCode,
    /// JSON pointer into the canonical order.
    pub(super) path: String,
    /// What the identity asks for, or the original of a rounded amount.
    pub(super) expected: String,
    /// What the source says, or what was stored.
    pub(super) actual: String,
}

/// How the center came to know an order's version.
#[derive(Debug, SimpleObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderSync {
    /// The source's version.
    pub(super) source_version: Long,
    /// When the source changed the order.
    pub(super) source_updated_at: Time,
    /// When the center saw that change.
    pub(super) observed_at: Time,
    /// By which way it came.
    pub(super) via: Via,
    /// Seconds from the one to the other, by two clocks: never below 0.
    pub(super) lag_seconds: Long,
    /// Grows with every write of this order in the center's index.
    pub(super) revision: Long,
}
