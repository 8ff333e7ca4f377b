//! What is sold, and on which terms: products, goods from the supplier, licence codes, coupons, limits.
//!
//! It owns the administration of the services. It refuses catalogs, coupons and codes that contradict themselves. The
//! functions that take a connection are for callers with a write transaction of their own, such as imports.

use chrono::{DateTime, Utc};
use order_contract::Amount;
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::embedded::{Embedded, ServiceError, refused};
use super::ledger::{Booking, Draft, Plan};
use super::{CouponRule, Fault, Goods, Product, PurchaseLimit, Receipt, Service, codes, plan};

impl Embedded {
    /// Adds products or changes how they are sold.
    ///
    /// # Errors
    /// [`ServiceError`]; refused with `INVALID_PRODUCT`.
    pub async fn put_products(&self, products: &[Product]) -> Result<(), ServiceError> {
        let mut tx = self.begin().await?;
        put_products(&mut tx, products).await?;
        Ok(tx.commit().await?)
    }

    /// Books goods from the supplier into free stock, once per key.
    ///
    /// # Errors
    /// [`ServiceError`]; refused with `INVALID_QUANTITY`, `CODES_REQUIRED`.
    pub async fn receive_goods(&self, key: &str, goods: &[Goods]) -> Result<Receipt, ServiceError> {
        let mut tx = self.begin().await?;
        let receipt = receive_goods(&mut tx, key, goods, self.now()).await?;
        tx.commit().await?;
        Ok(receipt)
    }

    /// Adds licence codes, each one piece of free stock. Codes that are known are left alone; answers how many were
    /// new.
    ///
    /// # Errors
    /// [`ServiceError`]; refused with `CODE_TAKEN`, `STOCK_WITHOUT_CODES`.
    pub async fn add_codes(&self, sku: &str, codes: &[String]) -> Result<u64, ServiceError> {
        let mut tx = self.begin().await?;
        let added = add_codes(&mut tx, sku, codes, self.now()).await?;
        tx.commit().await?;
        Ok(added)
    }

    /// Adds coupons or changes their rules.
    ///
    /// # Errors
    /// [`ServiceError`]; refused with `INVALID_COUPON`.
    pub async fn put_coupons(&self, coupons: &[CouponRule]) -> Result<(), ServiceError> {
        let mut rows = Vec::new();
        for rule in coupons {
            check_coupon(rule)?;
            rows.push(json!([rule.code, serde_json::to_string(rule)?]));
        }
        let write = sqlx::query(
            "INSERT INTO promotion_coupons (code, rule) SELECT value->>0, value->>1 FROM json_each(?1) WHERE true
             ON CONFLICT (code) DO UPDATE SET rule = excluded.rule",
        );
        write.bind(Value::Array(rows).to_string()).execute(self.writer()).await?;
        Ok(())
    }

    /// Replaces all purchase limits.
    ///
    /// # Errors
    /// [`ServiceError`]; refused with `INVALID_LIMIT`.
    pub async fn put_limits(&self, limits: &[PurchaseLimit]) -> Result<(), ServiceError> {
        if limits.iter().any(|limit| limit.period_seconds == 0 || limit.sku.is_empty()) {
            return Err(refused("INVALID_LIMIT", "A limit has a stock keeping unit and at least one second."));
        }
        let rows: Vec<_> = limits.iter().map(|l| json!([l.sku, l.period_seconds, l.most])).collect();
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM risk_limits").execute(&mut *tx).await?;
        let write = sqlx::query(
            "INSERT OR REPLACE INTO risk_limits (sku, period_seconds, most)
             SELECT value->>0, value->>1, value->>2 FROM json_each(?1)",
        );
        write.bind(Value::Array(rows).to_string()).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Has orders of at least so much held for review; none for no order.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn set_review_from(&self, amount: Option<Amount>) -> Result<(), ServiceError> {
        let write = match amount {
            Some(_) => {
                "INSERT OR REPLACE INTO service_settings (service, name, value) VALUES ('risk', 'reviewFrom', ?)"
            }
            None => "DELETE FROM service_settings WHERE service = 'risk' AND name = 'reviewFrom'",
        };
        let write = sqlx::query(write);
        let write = match amount {
            Some(amount) => write.bind(amount.to_string()),
            None => write,
        };
        write.execute(self.writer()).await?;
        Ok(())
    }
}

/// [`Embedded::put_products`] inside the caller's write transaction.
///
/// # Errors
/// As there.
pub async fn put_products(db: &mut SqliteConnection, products: &[Product]) -> Result<(), ServiceError> {
    let mut rows = Vec::new();
    for product in products {
        if product.sku.is_empty() || product.price.is_negative() {
            return Err(refused(
                "INVALID_PRODUCT",
                "A product has a stock keeping unit and a price that is not below zero.",
            ));
        }
        let details = serde_json::to_string(&product.details)?;
        rows.push(json!([product.sku, product.name, product.price.units(), details]));
    }
    let write = sqlx::query(
        "INSERT INTO products (sku, name, price, details)
         SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?1) WHERE true
         ON CONFLICT (sku) DO UPDATE SET name = excluded.name, price = excluded.price, details = excluded.details",
    );
    write.bind(Value::Array(rows).to_string()).execute(db).await?;
    Ok(())
}

/// [`Embedded::receive_goods`] inside the caller's write transaction.
///
/// # Errors
/// As there.
pub async fn receive_goods(
    db: &mut SqliteConnection,
    key: &str,
    goods: &[Goods],
    at: DateTime<Utc>,
) -> Result<Receipt, ServiceError> {
    let skus: Vec<_> = goods.iter().map(|goods| goods.sku.clone()).collect();
    let plan = match codes::coded(db, &skus).await?.first() {
        Some(sku) => {
            let message = format!("Stock of {sku} comes as licence codes: add those.");
            Err(Fault::Refused { code: "CODES_REQUIRED".into(), message })
        }
        None => plan::receive(goods),
    };
    receive(db, key.into(), plan, at).await
}

/// [`Embedded::add_codes`] inside the caller's write transaction.
///
/// # Errors
/// As there.
pub async fn add_codes(
    db: &mut SqliteConnection,
    sku: &str,
    codes: &[String],
    at: DateTime<Utc>,
) -> Result<u64, ServiceError> {
    let given = serde_json::to_string(codes)?;
    let taken = sqlx::query_scalar(
        "SELECT code FROM warehouse_codes WHERE sku <> ?1 AND code IN (SELECT value FROM json_each(?2))",
    );
    let taken: Option<String> = taken.bind(sku).bind(&given).fetch_optional(&mut *db).await?;
    if let Some(code) = taken {
        return Err(refused("CODE_TAKEN", format!("The code {code} belongs to another product.")));
    }
    if codes::coded(db, &[sku.to_owned()]).await?.is_empty() {
        let held = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM ledger_postings WHERE service = 'warehouse' AND item = ?)",
        );
        if held.bind(sku).fetch_one(&mut *db).await? {
            let message = format!("{sku} has stock without codes: give the codes a product of their own.");
            return Err(refused("STOCK_WITHOUT_CODES", message));
        }
    }
    let add = sqlx::query_scalar(
        "INSERT OR IGNORE INTO warehouse_codes (sku, code) SELECT ?1, value FROM json_each(?2) RETURNING id",
    );
    let added: Vec<i64> = add.bind(sku).bind(given).fetch_all(&mut *db).await?;
    if let Some(last) = added.iter().max() {
        let pieces = Goods { sku: sku.into(), quantity: Amount::from(i64::try_from(added.len()).unwrap_or(i64::MAX)) };
        receive(db, format!("codes/{sku}/{last}"), plan::receive(&[pieces]), at).await?;
    }
    Ok(added.len() as u64)
}

async fn receive(
    db: &mut SqliteConnection,
    key: String,
    plan: Result<Plan, Fault>,
    at: DateTime<Utc>,
) -> Result<Receipt, ServiceError> {
    let booking = Booking { service: Service::Warehouse, key, order: None, reason: "RECEIPT", plan };
    let draft = Draft::decide(db, vec![booking]).await?;
    Ok(draft.write(db, at.timestamp_micros()).await?.swap_remove(0)?)
}

fn check_coupon(rule: &CouponRule) -> Result<(), ServiceError> {
    let positive = |amount: Amount| !amount.is_negative() && !amount.is_zero();
    let reduces = match (rule.percent, rule.amount) {
        (Some(percent), None) => positive(percent) && percent <= Amount::from(100),
        (None, Some(amount)) => positive(amount),
        _ => false,
    };
    if rule.code.is_empty() || !reduces {
        let message = "A coupon has a code and either a percentage up to 100 or an amount, above zero.";
        return Err(refused("INVALID_COUPON", message));
    }
    Ok(())
}
