//! With what the stored orders of a source were mapped: another adapter version, or other settings, map them anew.

use std::collections::BTreeMap;

use order_contract::SourceKey;

use super::package::commit;
use super::run::{RunKind, RunRequest};
use super::{Catalog, CatalogError};
use crate::database::{Transaction, Value};

/// Who asks for what follows from a change of the configuration file or of the program.
const START: &str = "start";

impl Catalog {
    /// Asks for a remapping of each source that this node maps otherwise than its stored orders were. Looked at once per
    /// mapping: while an update rolls over the nodes, the old ones must not turn it back.
    ///
    /// # Errors
    /// [`CatalogError::Database`]: it is looked at again.
    pub async fn follow_mappings(&self) -> Result<(), CatalogError> {
        let mut known = self.mappings.lock().await;
        let news: BTreeMap<SourceKey, String> = self
            .registry
            .now()
            .values()
            .filter(|source| known.get(&source.key) != Some(&source.mapping) && !source.mapping.is_empty())
            .map(|source| (source.key.clone(), source.mapping.clone()))
            .collect();
        for (key, mapping) in news {
            let before = self.mapped_by(&key).await?;
            if before.as_ref() != Some(&mapping) {
                self.map_anew(&key, &mapping, before.as_deref()).await?;
            }
            known.insert(key, mapping);
        }
        Ok(())
    }

    async fn map_anew(&self, key: &SourceKey, mapping: &str, before: Option<&str>) -> Result<(), CatalogError> {
        let what = "note with what a source is mapped";
        let mut transaction = self.begin(what).await?;
        let insert = "insert into source_sync (source) values ($1) on conflict (source) do nothing";
        let noted = "update source_sync set mapped_by = $1 where source = $2 and mapped_by is not distinct from $3";
        let values = [mapping.into(), key.as_str().into(), Value::from(before)];
        let failed = |e| CatalogError::Database(what, e);
        transaction.execute(insert, &[key.as_str().into()]).await.map_err(failed)?;
        let first = transaction.execute(noted, &values).await.map_err(failed)? > 0;
        if first && before.is_some() {
            self.cancel_runs(&mut transaction, key, Some(RunKind::Remap)).await?;
            self.enqueue(&mut transaction, key, RunKind::Remap, &RunRequest::default(), START).await?;
        }
        commit(transaction, what).await
    }

    /// With what the stored orders of a source were, or are being, mapped.
    pub(crate) async fn mapped_by(&self, key: &SourceKey) -> Result<Option<String>, CatalogError> {
        let read = |e| CatalogError::Database("read with what a source is mapped", e);
        let sql = "select mapped_by from source_sync where source = $1";
        let row = self.database.fetch_optional(sql, &[key.as_str().into()]).await.map_err(read)?;
        row.map(|row| row.opt_text(0)).transpose().map(Option::flatten).map_err(read)
    }

    /// Notes it with the change that makes it so.
    pub(super) async fn note_mapping(
        &self,
        transaction: &mut Transaction,
        key: &SourceKey,
        mapping: &str,
    ) -> Result<(), CatalogError> {
        let sql = "insert into source_sync (source, mapped_by) values ($1, $2) \
                   on conflict (source) do update set mapped_by = excluded.mapped_by";
        let done = transaction.execute(sql, &[key.as_str().into(), mapping.into()]).await;
        done.map(|_| ()).map_err(|e| CatalogError::Database("note with what a source is mapped", e))
    }
}
