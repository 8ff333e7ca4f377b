//! Registering, changing and removing sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use order_contract::SourceKey;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Map, Value as Json};

use super::package::commit;
use super::run::{RunKind, RunRequest};
use super::{Catalog, CatalogError, NewSource, Registered, SourceChange, canary};
use crate::source::factory::webhook_secrets;
use crate::source::{OrderSource, Plug, PlugError, Terms};

/// The longest name for people, in characters.
const TITLE_MAX: usize = 200;

impl Catalog {
    /// Registers a source. It is plugged in on this node when this returns, and on the others within their interval.
    /// `check`: it must answer, and its changed-since filter must filter.
    ///
    /// # Errors
    /// [`CatalogError`]: nothing was registered.
    pub async fn register(&self, new: NewSource, check: bool, actor: &str) -> Result<Registered, CatalogError> {
        let NewSource { key, title, adapter, url, settings, secrets, since } = new;
        self.not_fixed(&key)?;
        if self.find(&key).await?.is_some() {
            return Err(CatalogError::Exists(key));
        }
        let now = (self.clock)();
        let mut kept = BTreeMap::new();
        for (name, given) in &secrets {
            let stored = self.config.vault.keep(&key, name, given);
            kept.insert(name.clone(), stored.map_err(|e| CatalogError::Secret(name.clone(), e))?);
        }
        let title = checked_title(title.unwrap_or_else(|| key.to_string()))?;
        let adapter = self.choose(&adapter).await?;
        let source = Registered {
            key,
            title,
            adapter,
            url,
            settings,
            secrets: kept,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let port = self.plug(&source).await?;
        if check {
            canary::check(&*port, now).await?;
        }

        let what = "register a source";
        let failed = |e| CatalogError::Database(what, e);
        let mut transaction = self.begin(what).await?;
        self.pin(&mut transaction, &source.adapter, actor).await?;
        let insert = "insert into sources (key, title, adapter, url, settings, secrets, version, created_at, updated_at) \
                      values ($1, $2, $3, $4, $5, $6, 1, $7, $7) on conflict (key) do update set \
                      title = excluded.title, adapter = excluded.adapter, url = excluded.url, \
                      settings = excluded.settings, secrets = excluded.secrets, version = sources.version + 1, \
                      created_at = excluded.created_at, updated_at = excluded.updated_at, removed_at = null \
                      where sources.removed_at is not null";
        let values = [
            source.key.as_str().into(),
            source.title.as_str().into(),
            source.adapter.as_str().into(),
            source.url.as_str().into(),
            json(&source.settings).into(),
            json(&source.secrets).into(),
            now.timestamp_micros().into(),
        ];
        if transaction.execute(insert, &values).await.map_err(failed)? == 0 {
            return Err(CatalogError::Exists(source.key));
        }
        let since = since.map(|since| since.timestamp_micros());
        let sync = "insert into source_sync (source, high_water) values ($1, $2) on conflict (source) do update set \
                    paused = 0, pass_until = null, page = null, last_error = null, \
                    high_water = coalesce(excluded.high_water, source_sync.high_water)";
        transaction.execute(sync, &[source.key.as_str().into(), since.into()]).await.map_err(failed)?;
        self.note_mapping(&mut transaction, &source.key, &source.mapping()).await?;
        let detail = format!("{} at {}", source.adapter, source.url);
        self.note(&mut transaction, &source.key, actor, "REGISTERED", &detail).await?;
        self.announce(&mut transaction).await?;
        commit(transaction, what).await?;
        self.converge().await?;
        self.find(&source.key).await?.ok_or(CatalogError::Unknown(source.key))
    }

    /// Changes a source. With another adapter version or other settings, its stored orders are mapped anew from what
    /// the source sent, and what was quarantined is tried again: in a run that begins with this change.
    ///
    /// # Errors
    /// [`CatalogError`]: nothing was changed.
    pub async fn update(
        &self,
        key: &SourceKey,
        change: SourceChange,
        check: bool,
        actor: &str,
    ) -> Result<Registered, CatalogError> {
        self.not_fixed(key)?;
        let before = self.find(key).await?.ok_or_else(|| CatalogError::Unknown(key.clone()))?;
        if change.expected_version.is_some_and(|version| version != before.version) {
            return Err(CatalogError::Changed(key.clone()));
        }
        let after = self.changed(&before, change).await?;
        if after == before {
            return Ok(before);
        }
        let port = self.plug(&after).await?;
        // A source that is down can still be given another name.
        let renamed = Registered { title: before.title.clone(), ..after.clone() };
        if check && renamed != before {
            canary::check(&*port, (self.clock)()).await?;
        }

        let what = "change a source";
        let failed = |e| CatalogError::Database(what, e);
        let mut transaction = self.begin(what).await?;
        self.pin(&mut transaction, &after.adapter, actor).await?;
        let update = "update sources set title = $1, adapter = $2, url = $3, settings = $4, secrets = $5, \
                      version = version + 1, updated_at = $6 where key = $7 and version = $8 and removed_at is null";
        let values = [
            after.title.as_str().into(),
            after.adapter.as_str().into(),
            after.url.as_str().into(),
            json(&after.settings).into(),
            json(&after.secrets).into(),
            self.micros().into(),
            key.as_str().into(),
            before.version.into(),
        ];
        if transaction.execute(update, &values).await.map_err(failed)? == 0 {
            return Err(CatalogError::Changed(key.clone()));
        }
        if after.adapter != before.adapter || after.settings != before.settings {
            self.note_mapping(&mut transaction, key, &after.mapping()).await?;
            // One that has begun with the mapping before is worth nothing now.
            self.cancel_runs(&mut transaction, key, Some(RunKind::Remap)).await?;
            self.enqueue(&mut transaction, key, RunKind::Remap, &RunRequest::default(), actor).await?;
        }
        self.note(&mut transaction, key, actor, "UPDATED", &differences(&before, &after)).await?;
        self.announce(&mut transaction).await?;
        commit(transaction, what).await?;
        self.converge().await?;
        self.find(key).await?.ok_or_else(|| CatalogError::Unknown(key.clone()))
    }

    /// Unplugs a source for good: it is no longer read or asked, its secrets are forgotten. Its orders stay.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn remove(&self, key: &SourceKey, actor: &str) -> Result<(), CatalogError> {
        self.not_fixed(key)?;
        let what = "remove a source";
        let failed = |e| CatalogError::Database(what, e);
        let mut transaction = self.begin(what).await?;
        let sql = "update sources set removed_at = $1, updated_at = $1, version = version + 1, secrets = '{}' \
                   where key = $2 and removed_at is null";
        let values = [self.micros().into(), key.as_str().into()];
        if transaction.execute(sql, &values).await.map_err(failed)? == 0 {
            return Err(CatalogError::Unknown(key.clone()));
        }
        self.cancel_runs(&mut transaction, key, None).await?;
        self.note(&mut transaction, key, actor, "REMOVED", "its orders stay in the index").await?;
        self.announce(&mut transaction).await?;
        commit(transaction, what).await?;
        self.converge().await
    }

    /// Stops or resumes polling of any source, those of the configuration file included. Webhooks are still taken.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn set_paused(&self, key: &SourceKey, paused: bool, actor: &str) -> Result<(), CatalogError> {
        self.known(key)?;
        let what = "pause or resume a source";
        let mut transaction = self.begin(what).await?;
        let sql = "insert into source_sync (source, paused) values ($1, $2) \
                   on conflict (source) do update set paused = excluded.paused";
        let done = transaction.execute(sql, &[key.as_str().into(), i64::from(paused).into()]).await;
        done.map_err(|e| CatalogError::Database(what, e))?;
        let (event, detail) = if paused { ("PAUSED", "not polled until resumed") } else { ("RESUMED", "polled again") };
        self.note(&mut transaction, key, actor, event, detail).await?;
        commit(transaction, what).await
    }

    /// The port to a source as it is, or would be, registered.
    pub(super) async fn plug(&self, source: &Registered) -> Result<Arc<dyn OrderSource>, CatalogError> {
        let mut secrets: BTreeMap<String, SecretString> = BTreeMap::new();
        for (name, stored) in &source.secrets {
            let secret = self.config.vault.read(&source.key, name, stored);
            secrets.insert(name.clone(), secret.map_err(|e| CatalogError::Secret(name.clone(), e))?);
        }
        let invalid = |error: PlugError| {
            let field = match &error {
                PlugError::Url(..) | PlugError::Egress(_) => "url",
                PlugError::Protocol(_) => "secrets",
                PlugError::Name { what: "secret", .. } => "secrets",
                PlugError::Name { .. } | PlugError::Setting(..) => "settings",
                PlugError::Adapter { part, .. } => part,
            };
            CatalogError::Invalid { field, reason: error.to_string() }
        };
        let mut settings = source.settings.clone();
        let plug = Plug {
            key: source.key.clone(),
            adapter: self.adapter(&source.adapter).await?,
            url: source.url.clone(),
            terms: Terms::take(&mut settings).map_err(invalid)?,
            settings,
            webhook_secrets: webhook_secrets(&mut secrets),
            secrets,
            reach: self.config.reach.clone(),
        };
        self.config.factory.plug(plug).map_err(invalid)
    }

    /// The port to try a source with: as it would be with this adapter and these settings.
    ///
    /// # Errors
    /// [`CatalogError`] when it cannot be plugged in like that.
    pub(crate) async fn candidate(
        &self,
        key: &SourceKey,
        request: &RunRequest,
    ) -> Result<Arc<dyn OrderSource>, CatalogError> {
        let RunRequest { adapter, settings, .. } = request;
        if adapter.is_none() && settings.is_none() {
            let source = self.registry.get(key).ok_or_else(|| CatalogError::Unknown(key.clone()))?;
            return Ok(source.port.clone());
        }
        self.not_fixed(key)?;
        let mut source = self.find(key).await?.ok_or_else(|| CatalogError::Unknown(key.clone()))?;
        if let Some(adapter) = adapter {
            source.adapter = self.choose(adapter).await?;
        }
        if let Some(settings) = settings {
            source.settings = settings.clone();
        }
        self.plug(&source).await
    }

    pub(super) fn not_fixed(&self, key: &SourceKey) -> Result<(), CatalogError> {
        if self.fixed.contains_key(key) { Err(CatalogError::Fixed(key.clone())) } else { Ok(()) }
    }

    async fn changed(&self, before: &Registered, change: SourceChange) -> Result<Registered, CatalogError> {
        let SourceChange { title, adapter, url, settings, secrets, expected_version: _ } = change;
        let mut after = before.clone();
        if let Some(title) = title {
            after.title = checked_title(title)?;
        }
        if let Some(adapter) = adapter {
            after.adapter = self.choose(&adapter).await?;
        }
        if let Some(settings) = settings {
            after.settings = settings;
        }
        if let Some(url) = url {
            after.url = url;
        }
        // Who may name a host must not be able to have a secret sent there that they were never told.
        if !same_origin(&before.url, &after.url)
            && let Some(name) = before.secrets.keys().find(|name| !secrets.contains_key(*name))
        {
            let reason = format!("`{name}` was given for another host: give it again, or null to remove it");
            return Err(CatalogError::Invalid { field: "secrets", reason });
        }
        for (name, given) in secrets {
            match given {
                None => after.secrets.remove(&name),
                Some(given) => {
                    let stored = self.config.vault.keep(&before.key, &name, &given);
                    let stored = stored.map_err(|e| CatalogError::Secret(name.clone(), e))?;
                    after.secrets.insert(name, stored)
                }
            };
        }
        Ok(after)
    }
}

fn checked_title(title: String) -> Result<String, CatalogError> {
    if title.trim().is_empty() || title.chars().count() > TITLE_MAX || title.chars().any(char::is_control) {
        let reason = format!("a title is 1 to {TITLE_MAX} characters of one line");
        return Err(CatalogError::Invalid { field: "title", reason });
    }
    Ok(title)
}

fn same_origin(a: &str, b: &str) -> bool {
    match (Url::parse(a), Url::parse(b)) {
        (Ok(a), Ok(b)) => a.origin() == b.origin(),
        _ => a == b,
    }
}

/// What differs, by name: values may be long, and of secrets there is nothing to show.
fn differences(before: &Registered, after: &Registered) -> String {
    let mut said = Vec::new();
    let mut say = |name: &str, from: &str, to: &str| {
        if from != to {
            said.push(format!("{name}: {from} -> {to}"));
        }
    };
    say("title", &before.title, &after.title);
    say("adapter", &before.adapter, &after.adapter);
    say("url", &before.url, &after.url);
    for name in names(&before.settings, &after.settings) {
        said.push(format!("setting {name}"));
    }
    let secrets = before.secrets.keys().chain(after.secrets.keys()).collect::<std::collections::BTreeSet<_>>();
    for name in secrets.into_iter().filter(|name| before.secrets.get(*name) != after.secrets.get(*name)) {
        said.push(format!("secret {name}"));
    }
    said.join(", ")
}

fn names(before: &Map<String, Json>, after: &Map<String, Json>) -> Vec<String> {
    let all = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
    all.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned()) // Maps of texts and JSON always serialize.
}
