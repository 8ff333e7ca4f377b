//! What an order moves besides itself: stock and money, each movement with a reason and an order.
//!
//! It owns the movements as values and how they are booked; the steps of a process only name them. It refuses to book
//! what would leave less in the house than is promised: the tables check it. That is so that the sums of the movements
//! are the stock and the money, always.

use order_contract::{Amount, Quantity};
use serde_json::json;
use sqlx::SqliteConnection;

/// Why stock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockReason {
    /// Goods came from a supplier.
    Receipt,
    /// Promised to an order.
    Reserve,
    /// No longer promised.
    Release,
    /// Left the house.
    Ship,
    /// Came back and can be sold.
    Restock,
    /// Came back and cannot.
    Damaged,
}

impl StockReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Receipt => "RECEIPT",
            Self::Reserve => "RESERVE",
            Self::Release => "RELEASE",
            Self::Ship => "SHIP",
            Self::Restock => "RESTOCK",
            Self::Damaged => "DAMAGED",
        }
    }

    /// What so many pieces change: on hand, reserved, damaged.
    fn deltas(self, units: i64) -> [i64; 3] {
        match self {
            Self::Receipt | Self::Restock => [units, 0, 0],
            Self::Reserve => [0, units, 0],
            Self::Release => [0, -units, 0],
            Self::Ship => [-units, -units, 0],
            Self::Damaged => [0, 0, units],
        }
    }
}

/// One movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Stock of one product.
    Stock {
        /// The product.
        sku: String,
        /// Why.
        reason: StockReason,
        /// How many, positive.
        quantity: Quantity,
    },
    /// Money of one payment.
    Money {
        /// The payment's id in the order.
        payment: String,
        /// The transaction's id, unique in the order.
        transaction: String,
        /// `SALE` or `REFUND`.
        kind: &'static str,
        /// Positive when taken, negative when given back.
        amount: Amount,
    },
}

/// A movement with the order and the timeline entry it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Booking {
    pub(crate) order: Option<String>,
    pub(crate) event: Option<String>,
    /// Microseconds UTC.
    pub(crate) at: i64,
    pub(crate) movement: Movement,
}

/// Books movements of any number of orders in three statements.
pub(crate) async fn book(db: &mut SqliteConnection, bookings: &[Booking]) -> Result<(), sqlx::Error> {
    let (mut stock, mut money) = (Vec::new(), Vec::new());
    for Booking { order, event, at, movement } in bookings {
        match movement {
            Movement::Stock { sku, reason, quantity } => {
                let [on_hand, reserved, damaged] = reason.deltas(quantity.units());
                stock.push(json!([sku, reason.as_str(), order, event, on_hand, reserved, damaged, at]));
            }
            Movement::Money { payment, transaction, kind, amount } => {
                money.push(json!([order, transaction, payment, kind, event, amount.units(), at]));
            }
        }
    }
    if !stock.is_empty() {
        let stock = serde_json::Value::Array(stock).to_string();
        sqlx::query(
            "INSERT INTO stock_movements (sku, reason, order_id, event, on_hand, reserved, damaged, at)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7
             FROM json_each(?1)",
        )
        .bind(&stock)
        .execute(&mut *db)
        .await?;
        sqlx::query(
            "UPDATE stock SET on_hand = stock.on_hand + m.on_hand, reserved = stock.reserved + m.reserved,
                              damaged = stock.damaged + m.damaged
             FROM (SELECT value->>0 AS sku, SUM(value->>4) AS on_hand, SUM(value->>5) AS reserved,
                          SUM(value->>6) AS damaged FROM json_each(?1) GROUP BY 1) AS m
             WHERE stock.sku = m.sku",
        )
        .bind(&stock)
        .execute(&mut *db)
        .await?;
    }
    if !money.is_empty() {
        sqlx::query(
            "INSERT INTO transactions (order_id, id, payment, type, event, amount, at)
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM json_each(?1)",
        )
        .bind(serde_json::Value::Array(money).to_string())
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
