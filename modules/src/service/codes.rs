//! Licence codes: which order has which.
//!
//! It owns the table of codes and keeps it in step with the ledger: what moves between free, sold and claimed stock
//! takes as many codes along. It refuses parts of a code. That is so that a code is never given twice, because stock
//! is not.

use serde_json::{Map, Value, json};
use sqlx::SqliteConnection;

use super::ledger::Posting;
use super::plan::{AVAILABLE, ONE};
use super::{Fault, ServiceError};

/// Which of these stock keeping units have codes.
pub(crate) async fn coded(db: &mut SqliteConnection, skus: &[String]) -> Result<Vec<String>, ServiceError> {
    let found = sqlx::query_scalar(
        "SELECT value FROM json_each(?1) WHERE EXISTS (SELECT 1 FROM warehouse_codes WHERE sku = value)",
    );
    Ok(found.bind(serde_json::to_string(skus)?).fetch_all(db).await?)
}

/// Gives, frees or marks codes as the postings of an order say. Answers them by stock keeping unit.
pub(crate) async fn follow(
    db: &mut SqliteConnection,
    order: &str,
    postings: &[Posting],
    coded: &[String],
) -> Result<Map<String, Value>, ServiceError> {
    let mut moved: Map<String, Value> = Map::new();
    for posting in postings.iter().filter(|posting| coded.contains(&posting.item)) {
        let (Some(from), Some(to)) = (place(&posting.from, order), place(&posting.to, order)) else { continue };
        if posting.quantity % ONE != 0 {
            let message = format!("{} is sold in whole pieces, each with a code.", posting.item);
            return Err(Fault::Refused { code: "INVALID_QUANTITY".into(), message }.into());
        }
        let update = sqlx::query_scalar(
            "UPDATE warehouse_codes SET order_id = ?1, claimed = ?2
             WHERE id IN (SELECT id FROM warehouse_codes WHERE sku = ?3 AND order_id IS ?4 AND claimed = ?5
                          ORDER BY id LIMIT ?6)
             RETURNING code",
        );
        let pieces = posting.quantity / ONE;
        let update = update.bind(to.0).bind(to.1).bind(&posting.item).bind(from.0).bind(from.1).bind(pieces);
        let codes: Vec<String> = update.fetch_all(&mut *db).await?;
        if i64::try_from(codes.len()) != Ok(pieces) {
            return Err(ServiceError::Codes(posting.item.clone()));
        }
        moved.insert(posting.item.clone(), json!(codes));
    }
    Ok(moved)
}

/// The owner and the mark of codes that lie in an account.
fn place<'a>(account: &str, order: &'a str) -> Option<(Option<&'a str>, bool)> {
    match account.split('/').next() {
        Some(AVAILABLE) => Some((None, false)),
        Some("sold") => Some((Some(order), false)),
        Some("claimed") => Some((Some(order), true)),
        _ => None,
    }
}
