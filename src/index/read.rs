//! Reading single orders and their documents.

use order_contract::OrderId;

use super::{Held, Index, IndexError, IndexedOrder};
use crate::database::{Database, Value};

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
        let _ = id;
        todo!()
    }

    /// The orders of these ids, in no particular order; unknown ids are left out. At most 500 ids.
    ///
    /// # Errors
    /// [`IndexError`].
    pub async fn find_many(&self, ids: &[OrderId]) -> Result<Vec<IndexedOrder>, IndexError> {
        let _ = ids;
        todo!()
    }

    /// What the index holds of an order, without its document.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn held(&self, id: &OrderId) -> Result<Option<Held>, IndexError> {
        let _ = id;
        todo!()
    }

    /// What the source sent for this order, verbatim.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn raw_payload(&self, id: &OrderId) -> Result<Option<Vec<u8>>, IndexError> {
        let _ = (id, Value::from(0));
        todo!()
    }
}
