//! Sums over orders: exact, by currency, grouped by a few dimensions.

use order_contract::{Amount, Currency};

use super::filter::{Condition, Filter};
use super::{Index, IndexError};
use crate::database::{DatabaseError, Dialect, Row};

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

impl Dimension {
    fn expression(self, dialect: Dialect) -> String {
        match self {
            Self::Source => "orders.source".into(),
            Self::Kind => "orders.kind".into(),
            Self::Channel => "orders.channel".into(),
            Self::Status => "orders.status".into(),
            Self::PaymentStatus => "orders.payment_status".into(),
            Self::FulfillmentStatus => "orders.fulfillment_status".into(),
            Self::Country => "orders.country".into(),
            Self::PlacedDay => period(dialect, "YYYY-MM-DD", "%Y-%m-%d"),
            Self::PlacedMonth => period(dialect, "YYYY-MM", "%Y-%m"),
        }
    }
}

/// The UTC day or month of `placed_at`. The remainder of a day is taken off first, with the sign of a divisor, so that
/// seconds are exact and days before 1970 are not shifted by a division that rounds toward zero.
fn period(dialect: Dialect, postgres: &str, sqlite: &str) -> String {
    const DAY: i64 = 86_400_000_000;
    let at = "orders.placed_at";
    let seconds = format!("({at} - (({at} % {DAY}) + {DAY}) % {DAY}) / 1000000");
    match dialect {
        Dialect::Postgres => format!("to_char(to_timestamp({seconds}) at time zone 'UTC', '{postgres}')"),
        Dialect::Sqlite => format!("strftime('{sqlite}', {seconds}, 'unixepoch')"),
    }
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
    /// [`IndexError::Query`], also when a sum is beyond ±922,337,203,685,477.5807: both databases say so instead of
    /// wrapping around.
    pub async fn aggregate(
        &self,
        filter: &Filter,
        by: &[Dimension],
        limit: u32,
    ) -> Result<(Vec<AggregateRow>, bool), IndexError> {
        let mut condition = Condition::default();
        condition.filter(filter);
        let dimensions: String =
            by.iter().map(|dimension| dimension.expression(self.database.dialect()) + ", ").collect();
        let groups = (1..=by.len() + 1).map(|n| n.to_string()).collect::<Vec<_>>();
        let sorted = groups.iter().map(|n| format!("{n} nulls last")).collect::<Vec<_>>();
        let limit_place = condition.bind(i64::from(limit) + 1);
        let sql = format!(
            "select {dimensions}orders.currency, count(*), cast(sum(orders.line_count) as bigint),
             cast(sum(orders.total) as bigint), cast(coalesce(sum(orders.captured), 0) as bigint),
             cast(coalesce(sum(orders.refunded), 0) as bigint)
             from orders where {} group by {} order by {} limit {limit_place}",
            condition.sql,
            groups.join(", "),
            sorted.join(", "),
        );
        let rows = self.database.fetch_all(&sql, &condition.values).await.map_err(IndexError::Query)?;
        let more = rows.len() > limit as usize;
        let groups = rows.iter().take(limit as usize).map(|row| group(row, by.len())).collect::<Result<_, _>>()?;
        Ok((groups, more))
    }
}

fn group(row: &Row, dimensions: usize) -> Result<AggregateRow, IndexError> {
    let read = || -> Result<_, DatabaseError> {
        let keys = (0..dimensions).map(|column| row.opt_text(column)).collect::<Result<Vec<_>, _>>()?;
        let number = |offset| row.int(dimensions + offset);
        let measures = Measures {
            orders: number(1)?.unsigned_abs(),
            lines: number(2)?.unsigned_abs(),
            total: Amount::from_units(number(3)?),
            captured: Amount::from_units(number(4)?),
            refunded: Amount::from_units(number(5)?),
        };
        Ok((keys, row.text(dimensions)?, measures))
    };
    let (keys, currency, measures) = read().map_err(IndexError::Query)?;
    let currency = Currency::from_code(&currency).ok_or(IndexError::Row(currency))?;
    Ok(AggregateRow { keys, currency, measures })
}
