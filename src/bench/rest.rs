//! What a careful programmer would write by hand over the same table: one query, decode, encode. The yardstick.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use order_contract::{
    Amount, Currency, Customer, Fulfillment, FulfillmentStatus, LineQuantities, Money, OrderLine, OrderSnapshot,
    OrderStatus, Payment, PaymentState, PaymentStatus, Tracking, TransactionStatus, TransactionType,
};
use serde::{Deserialize, Serialize};

use super::page::PAGE_SIZE;
use crate::database::{Database, DatabaseError};

pub(super) fn router(database: Database) -> Router {
    Router::new().route("/orders", get(orders)).with_state(Arc::new(database))
}

#[derive(Deserialize)]
struct Place {
    key: Option<i64>,
    id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    orders: Vec<Order>,
    next: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    id: String,
    number: String,
    status: OrderStatus,
    payment_status: PaymentStatus,
    fulfillment_status: FulfillmentStatus,
    placed_at: Option<chrono::DateTime<chrono::Utc>>,
    total: Price,
    customer: Option<Customer>,
    lines: Vec<Line>,
    payments: Vec<Paid>,
    fulfillments: Vec<Parcel>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Price {
    amount: Amount,
    currency_code: Currency,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    line_id: String,
    sku: Option<String>,
    name: String,
    quantity: LineQuantities,
    unit_price: Price,
    total: Price,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Paid {
    payment_id: String,
    method: String,
    provider: Option<String>,
    status: PaymentState,
    amount: Price,
    transactions: Vec<Movement>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Movement {
    transaction_id: String,
    #[serde(rename = "type")]
    transaction_type: TransactionType,
    status: TransactionStatus,
    amount: Price,
    at: Option<chrono::DateTime<chrono::Utc>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parcel {
    fulfillment_id: String,
    status: FulfillmentStatus,
    location: Option<String>,
    shipped_at: Option<chrono::DateTime<chrono::Utc>>,
    tracking: Vec<Tracking>,
    lines: Vec<order_contract::QuantityLine>,
}

async fn orders(State(database): State<Arc<Database>>, Query(place): Query<Place>) -> Result<Json<Page>, StatusCode> {
    page(&database, place).await.map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn page(database: &Database, place: Place) -> Result<Page, DatabaseError> {
    let limit = i64::from(PAGE_SIZE) + 1;
    let columns = "select order_id, payment_status, document, placed_at from orders";
    let order = "order by placed_at desc, order_id desc limit";
    let mut rows = match (place.key, place.id) {
        (Some(key), Some(id)) => {
            let sql = format!("{columns} where (placed_at, order_id) < ($1, $2) {order} $3");
            database.fetch_all(&sql, &[key.into(), id.into(), limit.into()]).await?
        }
        _ => database.fetch_all(&format!("{columns} {order} $1"), &[limit.into()]).await?,
    };
    let more = rows.len() > PAGE_SIZE as usize;
    rows.truncate(PAGE_SIZE as usize);
    let next = match rows.last() {
        Some(last) if more => Some(format!("{}.{}", last.int(3)?, last.text(0)?)),
        _ => None,
    };
    let mut orders = Vec::with_capacity(rows.len());
    for row in &rows {
        if let (Ok(order), Some(status)) =
            (serde_json::from_str::<OrderSnapshot>(&row.text(2)?), PaymentStatus::parse(&row.text(1)?))
        {
            orders.push(view(row.text(0)?, status, order));
        }
    }
    Ok(Page { orders, next })
}

fn view(id: String, payment_status: PaymentStatus, order: OrderSnapshot) -> Order {
    let price = |amount: Amount| Price::from(Money { amount, currency: order.currency });
    let line = |line: OrderLine| Line {
        line_id: line.id,
        sku: line.sku,
        name: line.name,
        quantity: line.quantity,
        unit_price: price(line.unit_price),
        total: price(line.total),
    };
    let paid = |payment: Payment| Paid {
        payment_id: payment.id,
        method: payment.method,
        provider: payment.provider,
        status: payment.status,
        amount: price(payment.amount),
        transactions: payment
            .transactions
            .into_iter()
            .map(|t| Movement {
                transaction_id: t.id,
                transaction_type: t.transaction_type,
                status: t.status,
                amount: price(t.amount),
                at: t.at,
            })
            .collect(),
    };
    let parcel = |fulfillment: Fulfillment| Parcel {
        fulfillment_id: fulfillment.id,
        status: fulfillment.status,
        location: fulfillment.location,
        shipped_at: fulfillment.shipped_at,
        tracking: fulfillment.tracking,
        lines: fulfillment.lines,
    };
    Order {
        id,
        number: order.number,
        status: order.status,
        payment_status,
        fulfillment_status: order.fulfillment_status,
        placed_at: order.times.placed_at,
        total: price(order.totals.total),
        customer: order.customer,
        lines: order.lines.into_iter().map(line).collect(),
        payments: order.payments.into_iter().map(paid).collect(),
        fulfillments: order.fulfillments.into_iter().map(parcel).collect(),
    }
}

impl From<Money> for Price {
    fn from(money: Money) -> Self {
        Self { amount: money.amount, currency_code: money.currency }
    }
}
