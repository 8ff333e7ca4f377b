//! Sums over orders: exact, by currency, grouped by a few dimensions.

use order_contract::{Amount, Currency};

use super::filter::Filter;
use super::{Index, IndexError};

/// What to group by, besides the currency, which always groups: amounts of two currencies have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the order's field of that name")]
pub enum Dimension {
    Source,
    Kind,
    Channel,
    Status,
    PaymentStatus,
    FulfillmentStatus,
    Country,
    /// The UTC day it was placed.
    PlacedDay,
    /// The UTC month it was placed.
    PlacedMonth,
}

/// The sums of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Orders.
    pub orders: u64,
    /// Order lines.
    pub lines: u64,
    /// Σ total.
    pub total: Amount,
    /// Σ captured, where sources say.
    pub captured: Amount,
    /// Σ refunded, where sources say.
    pub refunded: Amount,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateRow {
    /// The values of the dimensions, in the order asked for; none where the order has none.
    pub keys: Vec<Option<String>>,
    /// The currency of the amounts.
    pub currency: Currency,
    /// The sums.
    pub measures: Measures,
}

impl Index {
    /// Sums the orders of a filter by dimensions, sorted by them; at most `limit` groups and whether there were more.
    ///
    /// # Errors
    /// [`IndexError::Query`].
    pub async fn aggregate(
        &self,
        filter: &Filter,
        by: &[Dimension],
        limit: u32,
    ) -> Result<(Vec<AggregateRow>, bool), IndexError> {
        let _ = (filter, by, limit);
        todo!()
    }
}
