//! What a source has to show before it is registered: that it answers, and that its changed-since filter filters.
//!
//! Several platforms ignore a filter whose name they do not know and answer with everything (Medusa 2 does for
//! `updated_at[gte]` without the dollar sign): each pass would then read every order there is, or, where pages are
//! sought by that filter, the same page for ever.

use chrono::{DateTime, TimeDelta, Utc};

use super::CatalogError;
use crate::source::{ChangeWindow, OrderSource, SourceError};

/// Asks the source.
pub(super) async fn check(port: &dyn OrderSource, now: DateTime<Utc>) -> Result<(), CatalogError> {
    let capabilities = port.describe().await.map_err(CatalogError::Check)?;
    let tomorrow = ChangeWindow {
        since: Some(now + TimeDelta::days(1)),
        limit: capabilities.page_size_max.min(10),
        ..ChangeWindow::default()
    };
    match port.list_changes(&tomorrow).await {
        Ok(page) if page.orders.is_empty() => Ok(()),
        Ok(_) => Err(CatalogError::Unfit(
            "asked for what changes from tomorrow on, it lists orders: it does not know the filter it is asked with, or \
             its clock is wrong",
        )),
        // It refuses a range that begins after now: then it has read it.
        Err(SourceError::Status(_, 400 | 422)) => Ok(()),
        Err(error) => Err(CatalogError::Check(error)),
    }
}
