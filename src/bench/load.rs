//! Ingest, as a poll does it: validate each order, store a page in one transaction.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use order_contract::{Rounding, SourceKey, parse_snapshot};

use super::{BenchError, synthetic};
use crate::config::Config;
use crate::index::{Entry, Index, Precondition, Via};
use crate::source::Normalized;

/// How long a number of orders took.
pub(super) struct Loaded {
    pub(super) name: &'static str,
    pub(super) orders: u64,
    pub(super) micros: u64,
}

impl Loaded {
    pub(super) fn new(name: &'static str, orders: u64, took: Duration) -> Self {
        Self { name, orders, micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1) }
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} orders/s", self.orders * 1_000_000 / self.micros)
    }
}

/// Stores these orders in pages of the default size. Making them is not measured.
pub(super) async fn ingest(index: &Index, orders: Range<u64>) -> Result<Loaded, BenchError> {
    let page = u64::from(Config::default().ingest.page_size);
    let source = SourceKey::try_new(synthetic::SOURCE).map_err(|e| BenchError::Answer(e.to_string()))?;
    let count = orders.end - orders.start;
    let mut took = Duration::ZERO;
    for from in orders.clone().step_by(usize::try_from(page).unwrap_or(usize::MAX)) {
        let raw: Vec<Bytes> = (from..orders.end.min(from + page)).map(|i| synthetic::order(i).into()).collect();
        let begin = Instant::now();
        let entries = raw.into_iter().map(|raw| {
            let (snapshot, rounded) = parse_snapshot(&raw, Rounding::Refuse)?;
            Ok(Entry {
                source: source.clone(),
                order: Normalized { snapshot, rounded },
                raw,
                via: Via::Poll,
                observed_at: Utc::now(),
                precondition: Precondition::Newer,
            })
        });
        let entries = entries.collect::<Result<Vec<_>, BenchError>>()?;
        let mut writer = index.writer().await?;
        writer.apply(entries).await?;
        writer.commit().await?;
        took += begin.elapsed();
    }
    Ok(Loaded::new("center", count, took))
}
