//! The unified order: one whole order at one version of its source.
//!
//! Amounts are exact decimals in the order's one currency; times are UTC. Field names are those of the canonical JSON
//! in camel case. An absent optional field means that the source does not say, never zero.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::AvailableAction;
use crate::id::{SourceKey, SourceOrderId, SourceVersion};
use crate::money::{Amount, Currency, Money, Quantity};
use crate::status::{
    Disposition, FulfillmentStatus, OrderKind, OrderStatus, PaymentState, PaymentStatus, RefundStatus, RelationType,
    ReturnState, ReturnStatus, RiskRecommendation, TransactionStatus, TransactionType,
};

/// One whole order at one source version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderSnapshot {
    /// The order's id in the module that owns it.
    pub source_order_id: SourceOrderId,
    /// Grows with every change of this order; decides which of two snapshots is newer.
    pub version: SourceVersion,
    /// The number people know the order by.
    pub number: String,
    /// What kind of business it is.
    pub kind: OrderKind,
    /// The sales channel, as the source names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// A page of the source that shows the order to staff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
    /// Which tab it is in.
    pub status: OrderStatus,
    /// The source's own claim about money. The center computes it from the amounts and compares.
    pub payment_status: PaymentStatus,
    /// How far its goods or services have come.
    pub fulfillment_status: FulfillmentStatus,
    /// How far its returns have come.
    #[serde(default = "ReturnStatus::none")]
    pub return_status: ReturnStatus,
    /// The source's own state, verbatim.
    pub native: NativeState,
    /// What keeps the order from moving on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// The one currency of all its amounts (ISO 4217).
    pub currency: Currency,
    /// Whether line prices and totals contain tax.
    #[serde(default)]
    pub prices_include_tax: bool,
    /// When what happened.
    pub times: OrderTimes,
    /// Why it was canceled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    /// Who ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
    /// Where the invoice goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_address: Option<Address>,
    /// Where the goods go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<Address>,
    /// What was ordered.
    #[serde(default)]
    pub lines: Vec<OrderLine>,
    /// The sums.
    pub totals: OrderTotals,
    /// Price reductions of the whole order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// The coupons that were used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupons: Vec<Coupon>,
    /// Taxes of the whole order, by rate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_lines: Vec<TaxLine>,
    /// Delivery charges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shipping_lines: Vec<ShippingLine>,
    /// Other charges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<Fee>,
    /// The payments with their transactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Payment>,
    /// Money given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<Refund>,
    /// What was handed over, and how.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fulfillments: Vec<Fulfillment>,
    /// What came or comes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returns: Vec<Return>,
    /// What a risk assessment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<RiskAssessment>,
    /// Notes of the customer and of staff.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Other orders it belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<OrderRelation>,
    /// What happened, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<OrderEvent>,
    /// What the owner would accept now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub available_actions: Vec<AvailableAction>,
    /// What the source says beyond the unified order.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// Facts of the order's kind: a booking's slot, a download's licence.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

/// The source's own state, verbatim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NativeState {
    /// The state's name in the source.
    pub state: String,
    /// Further state axes of the source by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub sub_states: Map<String, Value>,
}

/// Something that keeps an order from moving on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// A stable code, such as `MANUAL_REVIEW`.
    pub code: String,
    /// A sentence for staff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
}

/// When what happened to an order. UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderTimes {
    /// Last changed in the source.
    pub updated_at: DateTime<Utc>,
    /// Placed by the customer. Absent for drafts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<DateTime<Utc>>,
    /// Paid in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<DateTime<Utc>>,
    /// Handed to a carrier in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped_at: Option<DateTime<Utc>>,
    /// Arrived in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<DateTime<Utc>>,
    /// Done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<DateTime<Utc>>,
    /// Called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_at: Option<DateTime<Utc>>,
    /// Will end, or ended, by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Who ordered. Personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Customer {
    /// The customer's id in the source. Absent for guests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Level or group, as the source names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// A postal address. Personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Address {
    /// Recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Street lines, first to last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State, county or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 country code, where the source's country has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// The country as the source names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// The quantities of a line, kept apart. `current` = ordered − canceled − returned, unless the source says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineQuantities {
    /// As placed.
    pub ordered: Quantity,
    /// Still part of the order.
    pub current: Quantity,
    /// Handed over.
    #[serde(default)]
    pub fulfilled: Quantity,
    /// Called off.
    #[serde(default)]
    pub canceled: Quantity,
    /// Come back.
    #[serde(default)]
    pub returned: Quantity,
    /// Paid back.
    #[serde(default)]
    pub refunded: Quantity,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderLine {
    /// The line's id in the source, unique within the order.
    pub id: String,
    /// Stock keeping unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// The product's id in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
    /// The variant's id in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant_id: Option<String>,
    /// What the customer saw.
    pub name: String,
    /// How many, by what became of them.
    pub quantity: LineQuantities,
    /// Price of one, before discounts.
    pub unit_price: Amount,
    /// Reductions of the whole line, positive.
    #[serde(default)]
    pub discount: Amount,
    /// Tax of the whole line.
    #[serde(default)]
    pub tax: Amount,
    /// What the line contributes to the order's total: price × ordered quantity − discount, plus tax where prices do
    /// not include it.
    pub total: Amount,
    /// The reductions one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// The taxes by rate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_lines: Vec<TaxLine>,
    /// What the source says beyond that.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}

/// The sums of an order, in its currency. The identities that must hold are checked at ingest:
/// `subtotal − discount + shipping + fees + tax (unless included) = total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderTotals {
    /// Price × quantity of all lines, before discounts.
    pub subtotal: Amount,
    /// All reductions, positive.
    #[serde(default)]
    pub discount: Amount,
    /// Delivery charges.
    #[serde(default)]
    pub shipping: Amount,
    /// All taxes.
    #[serde(default)]
    pub tax: Amount,
    /// Other charges.
    #[serde(default)]
    pub fees: Amount,
    /// What the customer owes for the order in all.
    pub total: Amount,
    /// Held and not captured. Absent when the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorized: Option<Amount>,
    /// Captured over all payments, before refunds. Absent when the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured: Option<Amount>,
    /// Given back. Absent when the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded: Option<Amount>,
    /// Still to be paid. Absent when the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Amount>,
}

/// A price reduction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Discount {
    /// What the customer saw.
    pub title: String,
    /// The reduction, positive.
    pub amount: Amount,
    /// The coupon it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon_code: Option<String>,
}

/// A coupon that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Coupon {
    /// What the customer typed.
    pub code: String,
    /// What it took off, positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Amount>,
}

/// A tax at one rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaxLine {
    /// What the invoice says: `VAT 20 %`.
    pub title: String,
    /// The rate as a fraction: 0.2 for 20 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Amount>,
    /// The tax.
    pub amount: Amount,
}

/// A delivery charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShippingLine {
    /// What the customer chose.
    pub title: String,
    /// Its price.
    pub amount: Amount,
}

/// A charge besides goods, delivery and tax.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fee {
    /// What it is for.
    pub title: String,
    /// The charge.
    pub amount: Amount,
}

/// One payment of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Payment {
    /// The payment's id in the source, unique within the order.
    pub id: String,
    /// How: `card`, `invoice`, `gift_card`.
    pub method: String,
    /// The payment provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Its state.
    pub status: PaymentState,
    /// What it is for.
    pub amount: Amount,
    /// Its currency, where the source repeats it; it must be the order's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The provider's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// What happened to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transactions: Vec<Transaction>,
}

/// One movement of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transaction {
    /// Its id in the source.
    pub id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub transaction_type: TransactionType,
    /// Whether it worked.
    pub status: TransactionStatus,
    /// How much.
    pub amount: Amount,
    /// Its currency, where the source repeats it; it must be the order's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// The provider's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Why it did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Money given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refund {
    /// The refund's id in the source, unique within the order.
    pub id: String,
    /// Its state.
    pub status: RefundStatus,
    /// How much, positive.
    pub amount: Amount,
    /// Its currency, where the source repeats it; it must be the order's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The payment it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    /// The delivery charge among it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Amount>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// For which lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RefundLine>,
}

/// A line's share of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefundLine {
    /// The order line.
    pub line_id: String,
    /// How many.
    pub quantity: Quantity,
    /// How much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// Something handed over: a parcel, a download, a stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fulfillment {
    /// Its id in the source, unique within the order.
    pub id: String,
    /// Its state.
    pub status: FulfillmentStatus,
    /// Of which lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<QuantityLine>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Where the parcels are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracking: Vec<Tracking>,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped_at: Option<DateTime<Utc>>,
    /// When it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<DateTime<Utc>>,
    /// Facts of its kind: a code's id, a slot.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

/// So many of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuantityLine {
    /// The order line.
    pub line_id: String,
    /// How many.
    pub quantity: Quantity,
}

/// Where a parcel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracking {
    /// The carrier's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The carrier's number.
    pub number: String,
    /// The carrier's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Goods that came or come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Return {
    /// Its id in the source, unique within the order.
    pub id: String,
    /// Its state.
    pub status: ReturnState,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of which lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<ReturnLine>,
    /// The refund it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<String>,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
}

/// A line's share of a return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReturnLine {
    /// The order line.
    pub line_id: String,
    /// How many.
    pub quantity: Quantity,
    /// What became of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
}

/// What a risk assessment says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RiskAssessment {
    /// What it advises.
    pub recommendation: RiskRecommendation,
    /// Why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// A note of the customer or of staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Note {
    /// What it says.
    pub text: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Whether the customer sees it.
    #[serde(default)]
    pub customer_visible: bool,
}

/// Another order that this one belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderRelation {
    /// How.
    #[serde(rename = "type")]
    pub relation_type: RelationType,
    /// The other order's source, where it is not the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceKey>,
    /// The other order's id in its source.
    pub source_order_id: SourceOrderId,
    /// The other order's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// One entry of an order's timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderEvent {
    /// Its id in the source, unique within the order.
    pub id: String,
    /// What happened, as the source names it.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// A sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The native state before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_state: Option<String>,
    /// The native state after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_state: Option<String>,
}

impl OrderSnapshot {
    /// An amount of this order with its currency.
    #[must_use]
    pub fn money(&self, amount: Amount) -> Money {
        Money { amount, currency: self.currency }
    }

    /// The country the order belongs to, for filters and reports: of the shipping address, else of the billing
    /// address; the ISO code where there is one, else the source's own name for it.
    #[must_use]
    pub fn country(&self) -> Option<&str> {
        [&self.shipping_address, &self.billing_address]
            .into_iter()
            .flatten()
            .find_map(|a| a.country_code.as_deref().or(a.country.as_deref()))
    }
}
