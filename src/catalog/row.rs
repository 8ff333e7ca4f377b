//! Rows of registered sources and of what was done to them.

use order_contract::SourceKey;

use super::{Catalog, CatalogError, Registered, SourceEvent};
use crate::database::{DatabaseError, Row, Transaction};
use crate::ingest::time;
use uuid::Uuid;

const COLUMNS: &str = "key, title, adapter, url, settings, secrets, version, created_at, updated_at";

impl Catalog {
    /// The registered sources, by key. Those of the configuration file are not among them.
    ///
    /// # Errors
    /// [`CatalogError::Database`].
    pub async fn registered(&self) -> Result<Vec<Registered>, CatalogError> {
        let read = |e| CatalogError::Database("read the registered sources", e);
        let sql = format!("select {COLUMNS} from sources where removed_at is null order by key");
        let rows = self.database.fetch_all(&sql, &[]).await.map_err(read)?;
        rows.iter().map(|row| registered(row).map_err(read)?.ok_or(CatalogError::Row("sources"))).collect()
    }

    /// The registered source of this key.
    ///
    /// # Errors
    /// [`CatalogError::Database`].
    pub async fn find(&self, key: &SourceKey) -> Result<Option<Registered>, CatalogError> {
        let read = |e| CatalogError::Database("read a registered source", e);
        let sql = format!("select {COLUMNS} from sources where removed_at is null and key = $1");
        let row = self.database.fetch_optional(&sql, &[key.as_str().into()]).await.map_err(read)?;
        row.map(|row| registered(&row).map_err(read)?.ok_or(CatalogError::Row("sources"))).transpose()
    }

    /// What was done to a source, newest first.
    ///
    /// # Errors
    /// [`CatalogError::Database`].
    pub async fn events(&self, key: &SourceKey, limit: u32) -> Result<Vec<SourceEvent>, CatalogError> {
        let read = |e| CatalogError::Database("read the events of a source", e);
        let sql = "select id, at, actor, what, detail from source_events where source = $1 order by id desc limit $2";
        let values = [key.as_str().into(), i64::from(limit).into()];
        let rows = self.database.fetch_all(sql, &values).await.map_err(read)?;
        rows.iter().map(event).collect::<Result<_, _>>().map_err(read)
    }

    pub(super) async fn begin(&self, what: &'static str) -> Result<Transaction, CatalogError> {
        self.database.begin().await.map_err(|e| CatalogError::Database(what, e))
    }

    /// Notes what is done to a source, in the transaction that does it.
    pub(super) async fn note(
        &self,
        transaction: &mut Transaction,
        source: &SourceKey,
        actor: &str,
        what: &str,
        detail: &str,
    ) -> Result<(), CatalogError> {
        let sql = "insert into source_events (id, source, at, actor, what, detail) values ($1, $2, $3, $4, $5, $6)";
        let id = Uuid::now_v7().to_string();
        let values =
            [id.into(), source.as_str().into(), self.micros().into(), actor.into(), what.into(), detail.into()];
        let done = transaction.execute(sql, &values).await;
        done.map(|_| ()).map_err(|e| CatalogError::Database("note what is done to a source", e))
    }

    /// Makes every node look. The row's lock is held until commit, so that changes take turns.
    pub(super) async fn announce(&self, transaction: &mut Transaction) -> Result<(), CatalogError> {
        let sql = "update catalog_head set revision = revision + 1 where id = 0";
        let done = transaction.execute(sql, &[]).await;
        done.map(|_| ()).map_err(|e| CatalogError::Database("announce a change of the catalog", e))
    }
}

/// A source, or none when the row is not one of ours.
fn registered(row: &Row) -> Result<Option<Registered>, DatabaseError> {
    let (Ok(key), Ok(settings), Ok(secrets)) =
        (SourceKey::try_new(row.text(0)?), serde_json::from_str(&row.text(4)?), serde_json::from_str(&row.text(5)?))
    else {
        return Ok(None);
    };
    Ok(Some(Registered {
        key,
        title: row.text(1)?,
        adapter: row.text(2)?,
        url: row.text(3)?,
        settings,
        secrets,
        version: row.int(6)?,
        created_at: time(row.int(7)?),
        updated_at: time(row.int(8)?),
    }))
}

fn event(row: &Row) -> Result<SourceEvent, DatabaseError> {
    Ok(SourceEvent {
        id: row.text(0)?,
        at: time(row.int(1)?),
        actor: row.text(2)?,
        what: row.text(3)?,
        detail: row.text(4)?,
    })
}
