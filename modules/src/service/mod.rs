//! The supporting services: product, promotion, warehouse, membership, payment and risk.
//!
//! It owns what orders move besides themselves, each service with a double-entry ledger of its own: every movement has
//! a reason, an order and a key. It refuses what would leave an account below zero or a limit passed, and whatever was
//! reversed before it arrived. That is so that an effect happens once however often it is asked, and can be taken back
//! without knowing whether it ever arrived.

mod catalog;
mod codes;
mod embedded;
mod facts;
mod http;
mod ledger;
mod plan;
mod remote;

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use order_contract::{Amount, Currency, EffectKind, EffectStatus, Quantity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use catalog::{add_codes, put_products, receive_goods};
pub use embedded::{Embedded, ServiceError, post_many};
pub use http::{ServeError, Server, ServerConfig};
pub use remote::{Remote, RemoteError, Services};

pub use crate::store::Clock;

/// A supporting service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Catalog and prices. It moves nothing.
    Product,
    /// Coupons, their rules and their uses.
    Promotion,
    /// Stock of goods, licence codes and slots.
    Warehouse,
    /// Members, their level and their points.
    Membership,
    /// Money: a gateway that holds, takes and gives back.
    Payment,
    /// Purchase limits, velocity rules and the threshold of manual review.
    Risk,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Product, Self::Promotion, Self::Warehouse, Self::Membership, Self::Payment, Self::Risk];

    /// Its name in paths, references and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Promotion => "promotion",
            Self::Warehouse => "warehouse",
            Self::Membership => "membership",
            Self::Payment => "payment",
            Self::Risk => "risk",
        }
    }
}

/// Pieces of a stock keeping unit: goods, licence codes or places of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Goods {
    /// The stock keeping unit.
    pub sku: String,
    /// How many, positive.
    pub quantity: Quantity,
}

/// What is asked of a service, on behalf of one order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Command {
    /// Warehouse: promise stock to the order. `until`: the warehouse takes the promise back by itself after that time.
    Reserve {
        /// What.
        goods: Vec<Goods>,
        /// Until when, unless [`Self::Confirm`] comes before.
        until: Option<DateTime<Utc>>,
    },
    /// Warehouse: what is promised to the order does not run out any more. Refused (`RESERVATION_EXPIRED`) unless at
    /// least so much is still promised.
    Confirm {
        /// What.
        goods: Vec<Goods>,
    },
    /// Warehouse: stock is no longer promised to the order.
    Release {
        /// What.
        goods: Vec<Goods>,
    },
    /// Warehouse: promised stock leaves the house (goods) or is used up (a slot).
    Ship {
        /// What.
        goods: Vec<Goods>,
    },
    /// Warehouse: stock that had left comes back and can be sold.
    Restock {
        /// What.
        goods: Vec<Goods>,
    },
    /// Warehouse: stock that had left comes back damaged.
    Damage {
        /// What.
        goods: Vec<Goods>,
    },
    /// Warehouse: take free stock for the order at once. The receipt's data has `codes`: SKU → the licence codes, for
    /// stock that has codes.
    Deduct {
        /// What.
        goods: Vec<Goods>,
    },
    /// Warehouse: what was deducted and not claimed is free again, its codes too.
    Revoke {
        /// What.
        goods: Vec<Goods>,
    },
    /// Warehouse: what was deducted is in use and cannot be revoked any more. The receipt's data has `codes`.
    Claim {
        /// What.
        goods: Vec<Goods>,
    },
    /// Promotion: one use of each coupon. Refused (`COUPON_USED_UP`) past the limit of the coupon or of the member.
    Redeem {
        /// The coupons.
        codes: Vec<String>,
        /// Who, if known.
        member: Option<String>,
    },
    /// Promotion: the order's uses are given back.
    Restore {
        /// The coupons.
        codes: Vec<String>,
        /// Who, if known.
        member: Option<String>,
    },
    /// Membership: points for a purchase.
    Earn {
        /// Who.
        member: String,
        /// Whole points.
        points: Quantity,
    },
    /// Membership: earned points are taken back; the balance may go below zero when they are spent already.
    Unearn {
        /// Who.
        member: String,
        /// Whole points.
        points: Quantity,
    },
    /// Membership: pay with points. Refused (`POINTS_NOT_ENOUGH`) when there are not so many.
    Spend {
        /// Who.
        member: String,
        /// Whole points.
        points: Quantity,
    },
    /// Membership: spent points are given back.
    Unspend {
        /// Who.
        member: String,
        /// Whole points.
        points: Quantity,
    },
    /// Payment: hold money. Refused (`PAYMENT_DECLINED`) by the bank.
    Authorize(Charge),
    /// Payment: take held money.
    Capture(Charge),
    /// Payment: give up a hold.
    Void(Charge),
    /// Payment: hold and take at once. Refused (`PAYMENT_DECLINED`) by the bank.
    Sale(Charge),
    /// Payment: give taken money back. Refused (`REFUND_ABOVE_CAPTURED`) above what was taken for the order. The
    /// receipt may be `PENDING`.
    Refund(Charge),
    /// Risk: count pieces against the member's purchase limits, and the order against the velocity rule. Refused
    /// (`PURCHASE_LIMIT`, `VELOCITY_LIMIT`).
    Count {
        /// Who; nobody is not limited.
        member: Option<String>,
        /// What.
        goods: Vec<Goods>,
        /// When the order was placed: decides the period.
        at: DateTime<Utc>,
        /// Whether this is a new order, which counts against the velocity rule.
        placed: bool,
    },
    /// Risk: pieces do not count any more.
    Uncount {
        /// Who.
        member: Option<String>,
        /// What.
        goods: Vec<Goods>,
        /// When the order was placed: decides the period.
        at: DateTime<Utc>,
    },
}

/// Money of one payment of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Charge {
    /// The payment's id in the order.
    pub payment: String,
    /// How much, positive.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// What stands for the card. The embedded gateway obeys `tok_decline` (declines), `tok_timeout` (does it, but the
    /// first answer is lost), `tok_late` (answers only when asked a third time) and `tok_slow_refund` (refunds stay
    /// pending until they are asked about again).
    pub token: Option<String>,
}

impl Command {
    /// The service it is for.
    #[must_use]
    pub fn service(&self) -> Service {
        match self {
            Self::Reserve { .. }
            | Self::Confirm { .. }
            | Self::Release { .. }
            | Self::Ship { .. }
            | Self::Restock { .. }
            | Self::Damage { .. }
            | Self::Deduct { .. }
            | Self::Revoke { .. }
            | Self::Claim { .. } => Service::Warehouse,
            Self::Redeem { .. } | Self::Restore { .. } => Service::Promotion,
            Self::Earn { .. } | Self::Unearn { .. } | Self::Spend { .. } | Self::Unspend { .. } => Service::Membership,
            Self::Authorize(_) | Self::Capture(_) | Self::Void(_) | Self::Sale(_) | Self::Refund(_) => Service::Payment,
            Self::Count { .. } | Self::Uncount { .. } => Service::Risk,
        }
    }

    /// What it moves, for receipts.
    #[must_use]
    pub fn moves(&self) -> EffectKind {
        match self.service() {
            Service::Warehouse => EffectKind::Stock,
            Service::Promotion => EffectKind::Coupon,
            Service::Membership => EffectKind::Points,
            Service::Payment => EffectKind::Payment,
            Service::Product | Service::Risk => EffectKind::Other,
        }
    }
}

/// A command with the key under which it happens once.
// Unknown fields are refused by the command: beside a flattened field, serde cannot do it here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Unique in the service: the same key gives the same answer, whatever comes with it.
    pub key: String,
    /// The order.
    pub order: String,
    /// What.
    #[serde(flatten)]
    pub command: Command,
}

/// What a service did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The ledger entry: `warehouse/KEY`.
    pub reference: String,
    /// `DONE`, or `PENDING` for a refund that is on its way.
    pub status: EffectStatus,
    /// What the order wants to know of it, such as licence codes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

/// Why a service did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It refused, and nothing moved.
    #[error("{message}")]
    Refused {
        /// A stable code in upper snake case, such as `OUT_OF_STOCK`.
        code: String,
        /// What is wrong and what is possible instead.
        message: String,
    },
    /// No answer, or none that tells: it may have happened. Asking again under the same key is safe.
    #[error("the {service:?} service did not answer: {reason}")]
    Unknown {
        /// Which.
        service: Service,
        /// Why, for logs.
        reason: String,
    },
}

/// A reduction that a coupon gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CouponRule {
    /// What the customer types.
    pub code: String,
    /// What the customer sees.
    pub title: String,
    /// Percent off, with up to four fraction digits; or else `amount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Amount>,
    /// Off in the shop's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Only lines of these SKUs are reduced; empty for the whole order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skus: Vec<String>,
    /// The goods must cost at least so much before discounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Amount>,
    /// Whether it may be used together with other coupons.
    #[serde(default)]
    pub stackable: bool,
    /// Uses in all; none for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Uses of one member; none for no limit. A guest cannot use a coupon that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_per_member: Option<u32>,
    /// Not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<DateTime<Utc>>,
    /// Not from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<DateTime<Utc>>,
}

/// A product as it is sold now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Product {
    /// Its stock keeping unit.
    pub sku: String,
    /// What the customer sees.
    pub name: String,
    /// Price of one, in the shop's currency.
    pub price: Amount,
    /// Facts of the kind of product: a slot's `startsAt` and `endsAt`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// The id.
    pub id: String,
    /// `BASIC`, `SILVER` or `GOLD`: follows from all points ever earned.
    pub level: String,
    /// Points to spend; below zero when earned points were taken back after they were spent.
    pub points: Amount,
}

/// A purchase limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PurchaseLimit {
    /// Of which stock keeping unit; `*` for orders, whatever is in them (velocity).
    pub sku: String,
    /// The most pieces (or orders) of one member in one period.
    pub most: u32,
    /// Seconds of a period, counted from 1970.
    pub period_seconds: u32,
}

/// What a plan must know of the services, read before it is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Products by SKU.
    pub products: BTreeMap<String, Product>,
    /// Free stock by SKU.
    pub available: BTreeMap<String, Quantity>,
    /// Coupon rules by code, with the uses that are left (`None`: no limit) for this member.
    pub coupons: BTreeMap<String, CouponOffer>,
    /// The member who orders.
    pub member: Option<Member>,
    /// What is left of the purchase limits that apply, by SKU (`*`: orders).
    pub allowances: BTreeMap<String, Quantity>,
    /// Orders of at least so much are held for review.
    pub review_from: Option<Amount>,
}

/// A coupon as it can be used by this member now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CouponOffer {
    /// The rule.
    pub rule: CouponRule,
    /// Uses that are left; none for no limit.
    pub left: Option<u32>,
}

/// What is asked of a service without moving anything. Each service fills the part of [`Facts`] that it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The stock keeping units.
    #[serde(default)]
    pub skus: Vec<String>,
    /// The coupons.
    #[serde(default)]
    pub coupons: Vec<String>,
    /// The member.
    #[serde(default)]
    pub member: Option<String>,
    /// When the order is or was placed.
    pub at: Option<DateTime<Utc>>,
}

/// The port to one service, embedded or remote.
#[async_trait]
pub trait ServicePort: Send + Sync {
    /// Reads what the service knows.
    ///
    /// # Errors
    /// [`Fault::Unknown`] without an answer.
    async fn facts(&self, service: Service, question: &Question) -> Result<Facts, Fault>;

    /// Does what is asked, once per key.
    ///
    /// # Errors
    /// [`Fault`].
    async fn post(&self, entry: &Entry) -> Result<Receipt, Fault>;

    /// Takes back what happened under a key; when nothing did, it never will. Idempotent.
    ///
    /// # Errors
    /// [`Fault::Unknown`] without an answer.
    async fn reverse(&self, service: Service, key: &str) -> Result<(), Fault>;

    /// What became of a pending entry: its receipt as it is now.
    ///
    /// # Errors
    /// [`Fault`]; refused with `ENTRY_NOT_FOUND` when there is none.
    async fn entry(&self, service: Service, key: &str) -> Result<Receipt, Fault>;
}
