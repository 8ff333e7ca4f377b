//! Reading single orders and their documents.

use std::collections::HashMap;

use order_contract::{OrderId, OrderSnapshot, PaymentStatus, Rejection, Rounding, SourceKey, parse_snapshot};

use super::{ContentHash, Held, Index, IndexError, IndexedOrder, Via, stored_id, stored_time};
use crate::database::{Database, DatabaseError, Row, Value};

impl Index {
    /// The index in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, feed: super::feed::Signal::default() }
    }

    /// The order of this id.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn find(&self, id: &OrderId) -> Result<Option<IndexedOrder>, IndexError> {
        Ok(self.find_many(std::slice::from_ref(id)).await?.pop())
    }

    /// The orders of these ids, in no particular order; unknown ids are left out. At most 500 ids.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn find_many(&self, ids: &[OrderId]) -> Result<Vec<IndexedOrder>, IndexError> {
        let sql = format!(
            "select order_id, revision, payment_status, checks, content_hash, observed_at, via, document
             from orders where {}",
            self.database.dialect().any_of("order_id", 1)
        );
        let ids = ids.iter().map(OrderId::to_string).collect();
        let rows = self.database.fetch_all(&sql, &[Value::Texts(ids)]).await.map_err(IndexError::Query)?;
        rows.iter().map(indexed_order).collect()
    }

    /// What the index holds of an order, without its document.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn held(&self, id: &OrderId) -> Result<Option<Held>, IndexError> {
        let id = id.to_string();
        let sql = "select version, content_hash from orders where order_id = $1";
        let row = self.database.fetch_optional(sql, &[id.as_str().into()]).await.map_err(IndexError::Query)?;
        let Some(row) = row else { return Ok(None) };
        let (version, hash) = (row.int(0).map_err(IndexError::Query)?, row.bytes(1).map_err(IndexError::Query)?);
        Held::from_row(&id, version, hash).map(Some)
    }

    /// What the source sent for this order, verbatim.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn raw_payload(&self, id: &OrderId) -> Result<Option<Vec<u8>>, IndexError> {
        let sql = "select raw_payloads.body, orders.document from raw_payloads
            join orders on orders.order_id = raw_payloads.order_id where raw_payloads.order_id = $1";
        let row = self.database.fetch_optional(sql, &[id.to_string().into()]).await.map_err(IndexError::Query)?;
        let Some(row) = row else { return Ok(None) };
        let read = || row.opt_bytes(0)?.map_or_else(|| row.text(1).map(String::into_bytes), Ok);
        read().map(Some).map_err(IndexError::Query)
    }
}

impl Index {
    /// What the index holds of these orders, without their documents; what it does not have is left out.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn held_of(&self, ids: &[OrderId]) -> Result<HashMap<OrderId, Held>, IndexError> {
        let any = self.database.dialect().any_of("order_id", 1);
        let sql = format!("select order_id, version, content_hash from orders where {any}");
        let ids = ids.iter().map(OrderId::to_string).collect();
        let rows = self.database.fetch_all(&sql, &[Value::Texts(ids)]).await.map_err(IndexError::Query)?;
        let read = |row: &Row| -> Result<_, DatabaseError> { Ok((row.text(0)?, row.int(1)?, row.bytes(2)?)) };
        rows.iter()
            .map(|row| {
                let (id, version, hash) = read(row).map_err(IndexError::Query)?;
                let held = Held::from_row(&id, version, hash)?;
                Ok((stored_id(id)?, held))
            })
            .collect()
    }

    /// Orders of a source with what it sent for them, by id, after this one.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn stored_after(
        &self,
        source: &SourceKey,
        after: &str,
        limit: u32,
    ) -> Result<Vec<StoredOrder>, IndexError> {
        let (first, end) = id_range(source);
        let sql = "select orders.order_id, orders.version, content_hash, document, body from orders \
                   join raw_payloads on raw_payloads.order_id = orders.order_id \
                   where orders.order_id > $1 and orders.order_id < $2 order by orders.order_id limit $3";
        let after = if after.is_empty() { first.as_str() } else { after };
        let values = [after.into(), end.as_str().into(), i64::from(limit).into()];
        let rows = self.database.fetch_all(sql, &values).await.map_err(IndexError::Query)?;
        let read = |row: &Row| -> Result<_, DatabaseError> {
            Ok((row.text(0)?, row.int(1)?, row.bytes(2)?, row.text(3)?, row.opt_bytes(4)?))
        };
        rows.iter()
            .map(|row| {
                let (id, version, hash, document, body) = read(row).map_err(IndexError::Query)?;
                let held = Held::from_row(&id, version, hash)?;
                let raw = body.unwrap_or_else(|| document.clone().into_bytes());
                Ok(StoredOrder { id: stored_id(id)?, held, document, raw })
            })
            .collect()
    }
}

/// An order with what its source sent for it.
#[derive(Clone, Debug)]
pub struct StoredOrder {
    /// Its global id.
    pub id: OrderId,
    /// Its version and content.
    pub held: Held,
    /// The canonical JSON that is stored.
    pub document: String,
    /// What the source sent, verbatim.
    pub raw: Vec<u8>,
}

/// The ids of a source's orders are the texts between these two, in the order of bytes: `_` ends the key and is in none.
#[must_use]
pub fn id_range(source: &SourceKey) -> (String, String) {
    (format!("ord_{source}_"), format!("ord_{source}`"))
}

fn indexed_order(row: &Row) -> Result<IndexedOrder, IndexError> {
    let read = || -> Result<_, DatabaseError> {
        Ok((row.text(0)?, row.int(1)?, row.text(2)?, row.text(3)?, row.bytes(4)?, row.int(5)?, row.text(6)?))
    };
    let (id_text, revision, payment_status, checks, hash, observed_at, via) = read().map_err(IndexError::Query)?;
    let corrupt = || IndexError::Row(id_text.clone());
    let document = row.text(7).map_err(IndexError::Query)?;
    Ok(IndexedOrder {
        id: stored_id(id_text.clone())?,
        revision,
        snapshot: decode(&document).map_err(|rejection| IndexError::Document(id_text.clone(), rejection))?,
        payment_status: PaymentStatus::parse(&payment_status).ok_or_else(corrupt)?,
        checks: serde_json::from_str(&checks).map_err(|_| corrupt())?,
        content_hash: ContentHash(hash.try_into().map_err(|_| corrupt())?),
        observed_at: stored_time(&id_text, observed_at)?,
        via: Via::parse(&via).ok_or_else(corrupt)?,
    })
}

/// A stored document was checked when it came in; the parser is asked only to say what is wrong.
fn decode(document: &str) -> Result<OrderSnapshot, Rejection> {
    match serde_json::from_str(document) {
        Ok(snapshot) => Ok(snapshot),
        Err(_) => parse_snapshot(document.as_bytes(), Rounding::Refuse).map(|(snapshot, _)| snapshot),
    }
}
