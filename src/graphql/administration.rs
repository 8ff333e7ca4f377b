//! `Mutation`, and its part on sources: registering and changing them, their adapters, runs and quarantine.
//!
//! It owns the inputs and payloads of administration. It refuses to answer with a secret, and to tell a mistake in an
//! input as anything but a `userErrors` entry. That is so that what an operator does by hand, a program can do as well.

use std::collections::BTreeMap;

use async_graphql::{Context, Error, ID, InputObject, MergedObject, Object, SimpleObject};
use order_contract::SourceKey;
use serde_json::{Map, Value};

use super::catalog::{Adapter, SourceRun};
use super::error::{self, Fallible, bad_input, require};
use super::id;
use super::mutation::Acting;
use super::operation::UserError;
use super::scalar::{Json, Long, Time};
use super::source::{Source, Sources};
use super::{Role, Services};
use crate::catalog::{CatalogError, GivenSecret, NewSource, RunKind, RunRequest, SourceChange};

/// The most ids of one request.
const IDS_MAX: usize = 500;

/// What can be asked of the owners of orders, and what operators do with sources. Every action takes an idempotency key
/// and answers with the order, the recorded operation and, where the owner refused, `userErrors`.
#[derive(MergedObject, Default)]
pub struct Mutation(Acting, Administration);

/// What is done with sources.
#[derive(Default)]
pub(super) struct Administration;

/// A secret of a source. Give a reference, or the secret itself in a variable, never in the query's text.
#[derive(InputObject)]
struct SourceSecretInput {
    /// Its name, as the adapter knows it; of the protocol: `token`, `webhook_secret`, `webhook_secret_next`.
    name: String,
    /// Where it is: `env:NAME` or `file:PATH`, as far as `[catalog]` of the configuration opens them.
    reference: Option<String>,
    /// The secret itself: it is sealed with the key of the configuration, and never shown again.
    value: Option<String>,
}

/// A source to register.
#[derive(InputObject)]
struct RegisterSourceInput {
    /// Its key, 1 to 40 of a-z, 0-9 and '-'. It never changes: every order id contains it.
    key: String,
    /// Its name for people; the key unless told.
    title: Option<String>,
    /// What speaks to it: `protocol`, or an adapter as `NAME` (its newest version) or `NAME@VERSION`.
    #[graphql(default_with = "String::from(\"protocol\")")]
    adapter: String,
    /// Where its API begins.
    url: String,
    /// What the adapter lets you set, as an object.
    settings: Option<Json>,
    /// Its secrets.
    secrets: Option<Vec<SourceSecretInput>>,
    /// Read what changed since then; everything unless told.
    since: Option<Time>,
    /// Register it only if it answers and its changed-since filter filters.
    #[graphql(default = true)]
    check: bool,
}

/// What to change of a registered source. What is not given stays.
#[derive(InputObject)]
struct UpdateSourceInput {
    /// The source's key.
    key: String,
    /// Refuse unless its registration is at this version.
    expected_version: Option<Long>,
    /// Its name for people.
    title: Option<String>,
    /// Another adapter, or another version of it: stored orders are mapped anew and quarantined inputs tried again.
    adapter: Option<String>,
    /// Where its API begins now. At another host, its secrets must be given again.
    url: Option<String>,
    /// All settings, as an object.
    settings: Option<Json>,
    /// Secrets to set; one with neither reference nor value is removed.
    secrets: Option<Vec<SourceSecretInput>>,
    /// Change it only if it answers and its changed-since filter filters.
    #[graphql(default = true)]
    check: bool,
}

/// A file of an adapter.
#[derive(InputObject)]
struct AdapterFileInput {
    /// Its path in the package: `adapter.toml`, `map/order.jq`, `graphql/orders.graphql`.
    path: String,
    /// Its content.
    text: String,
}

/// The source as it is now, or why nothing was changed.
#[derive(SimpleObject)]
struct SourcePayload {
    /// The source.
    source: Option<Source>,
    /// Why nothing was changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The run that was asked for, or why there is none.
#[derive(SimpleObject)]
struct SourceRunPayload {
    /// The run. It goes on by itself: follow it with `sourceRun`.
    run: Option<SourceRun>,
    /// Why there is none. Empty when there is.
    user_errors: Vec<UserError>,
}

/// The adapter, or why it was not taken.
#[derive(SimpleObject)]
struct AdapterPayload {
    /// The adapter.
    adapter: Option<Adapter>,
    /// Why nothing was changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// What a pass over a source's changes did.
#[derive(SimpleObject)]
struct PollSourcePayload {
    /// The source.
    source: Option<Source>,
    /// Orders read from it.
    read: Long,
    /// Orders stored as new or newer.
    stored: Long,
    /// Inputs put into quarantine.
    quarantined: Long,
    /// Whether the pass reached its end.
    complete: bool,
}

/// What a replay of quarantine did.
#[derive(SimpleObject)]
struct ReplayQuarantinePayload {
    /// The source.
    source: Option<Source>,
    /// Inputs that are now resolved.
    resolved: Long,
}

/// What laying aside did.
#[derive(SimpleObject)]
struct DiscardQuarantinedPayload {
    /// Inputs that were open and are laid aside now.
    discarded: Long,
}

#[Object]
impl Administration {
    /// Plugs in a source while the center runs. For admins.
    async fn register_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source.")] input: RegisterSourceInput,
    ) -> Fallible<SourcePayload> {
        Fallible(register(ctx, input).await.map(Some))
    }

    /// Changes a registered source. Another adapter version is promoted with this. For admins.
    async fn update_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateSourceInput,
    ) -> Fallible<SourcePayload> {
        Fallible(update(ctx, input).await.map(Some))
    }

    /// Unplugs a registered source: it is no longer read or asked and its secrets are forgotten; its orders stay. The
    /// same key can be registered again. For admins.
    async fn remove_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's key.")] key: String,
    ) -> Fallible<SourcePayload> {
        Fallible(remove(ctx, &key).await.map(Some))
    }

    /// Stops polling a source until it is resumed. Webhooks are still taken. For admins.
    async fn pause_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's key.")] key: String,
    ) -> Fallible<Source> {
        Fallible(set_paused(ctx, &key, true).await)
    }

    /// Polls a paused source again. For admins.
    async fn resume_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's key.")] key: String,
    ) -> Fallible<Source> {
        Fallible(set_paused(ctx, &key, false).await)
    }

    /// Runs a pass over a source's changes now. For operators.
    async fn poll_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's key.")] key: String,
    ) -> Fallible<PollSourcePayload> {
        Fallible(poll(ctx, &key).await.map(Some))
    }

    /// Reads what a source changed in a range of time once more, beside the polling. For admins.
    async fn backfill(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's key.")] key: String,
        #[graphql(desc = "Changed at or after; from the beginning unless told.")] since: Option<Time>,
        #[graphql(desc = "Changed before; up to now unless told.")] until: Option<Time>,
    ) -> Fallible<SourceRunPayload> {
        let request = RunRequest { since: since.map(|at| at.0), until: until.map(|at| at.0), ..RunRequest::default() };
        Fallible(ask(ctx, &key, RunKind::Backfill, request, Role::Admin).await.map(Some))
    }

    /// Compares the index with a source and repairs what is missing, stale or deleted. For operators.
    async fn reconcile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's key.")] key: String,
        #[graphql(desc = "Only orders changed at or after; every order unless told.")] since: Option<Time>,
    ) -> Fallible<SourceRunPayload> {
        let request = RunRequest { since: since.map(|at| at.0), ..RunRequest::default() };
        Fallible(ask(ctx, &key, RunKind::Reconcile, request, Role::Operator).await.map(Some))
    }

    /// Maps everything the source sent with another adapter version or other settings and tells how many orders would
    /// change, and how; changes nothing. `updateSource` promotes what is found good. For admins.
    async fn try_adapter(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's key.")] key: String,
        #[graphql(desc = "The adapter as `NAME` or `NAME@VERSION`; the source's own unless told.")] adapter: Option<
            String,
        >,
        #[graphql(desc = "All settings, as an object; the source's own unless told.")] settings: Option<Json>,
    ) -> Fallible<SourceRunPayload> {
        Fallible(try_adapter(ctx, &key, adapter, settings).await.map(Some))
    }

    /// Maps everything the source sent anew and stores what comes out otherwise. For admins.
    async fn remap_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's key.")] key: String,
    ) -> Fallible<SourceRunPayload> {
        Fallible(ask(ctx, &key, RunKind::Remap, RunRequest::default(), Role::Admin).await.map(Some))
    }

    /// Calls a run off; what it did stays. For operators.
    async fn cancel_source_run(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The run's id.")] id: ID,
    ) -> Fallible<SourceRun> {
        Fallible(cancel_run(ctx, &id).await)
    }

    /// Keeps an adapter package, so that sources can run on it. A version never changes: another content needs another
    /// version. For admins.
    async fn upload_adapter(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Its files: adapter.toml and the .jq and .graphql files it names. Fixtures that come with it must hold."
        )]
        files: Vec<AdapterFileInput>,
    ) -> Fallible<AdapterPayload> {
        Fallible(upload(ctx, files).await.map(Some))
    }

    /// Removes a version of an uploaded adapter that no source runs on. For admins.
    async fn remove_adapter(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The adapter as `NAME@VERSION`.")] adapter: String,
    ) -> Fallible<AdapterPayload> {
        Fallible(remove_adapter(ctx, &adapter).await.map(Some))
    }

    /// Tries quarantined inputs of a source again, after a mapping or the source was fixed. For operators.
    async fn replay_quarantine(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The source's key.")] key: String,
        #[graphql(desc = "Which ones, at most 500; every open one unless told.")] ids: Option<Vec<ID>>,
    ) -> Fallible<ReplayQuarantinePayload> {
        Fallible(replay(ctx, &key, ids.unwrap_or_default()).await.map(Some))
    }

    /// Lays quarantined inputs aside for good: they are not tried again, and do not open again when they come again. For
    /// operators.
    async fn discard_quarantined(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones, at most 500.")] ids: Vec<ID>,
    ) -> Fallible<DiscardQuarantinedPayload> {
        Fallible(discard(ctx, ids).await.map(Some))
    }
}

/// A refusal that is the client's to solve; any other error is ours.
fn refusal(cause: CatalogError) -> Result<UserError, Error> {
    match cause.code() {
        Some(code) => {
            let field: Vec<&str> = cause.field().into_iter().flat_map(|field| ["input", field]).collect();
            Ok(UserError::new(code, cause.to_string(), &field))
        }
        None => Err(error::catalog(cause)),
    }
}

fn wrong(field: &str, reason: impl Into<String>) -> UserError {
    UserError::new("INVALID_INPUT", reason, &["input", field])
}

/// The key, of a source or to be one.
fn parsed_key(key: &str) -> Result<SourceKey, UserError> {
    SourceKey::try_new(key).map_err(|error| wrong("key", error.to_string()))
}

fn settings_of(settings: Option<Json>) -> Result<Option<Map<String, Value>>, UserError> {
    match settings {
        None | Some(Json(Value::Null)) => Ok(None),
        Some(Json(Value::Object(settings))) => Ok(Some(settings)),
        Some(_) => Err(wrong("settings", "`settings` is a JSON object")),
    }
}

fn secrets_of(given: Option<Vec<SourceSecretInput>>) -> Result<BTreeMap<String, Option<GivenSecret>>, UserError> {
    let mut secrets = BTreeMap::new();
    for SourceSecretInput { name, reference, value } in given.unwrap_or_default() {
        let given = match (reference, value) {
            (Some(_), Some(_)) => {
                return Err(wrong("secrets", format!("`{name}`: give its reference or its value, not both")));
            }
            (Some(reference), None) => Some(GivenSecret::Reference(reference)),
            (None, Some(value)) => Some(GivenSecret::Value(value.into())),
            (None, None) => None,
        };
        if secrets.insert(name.clone(), given).is_some() {
            return Err(wrong("secrets", format!("`{name}` is given twice")));
        }
    }
    Ok(secrets)
}

fn new_source(input: RegisterSourceInput) -> Result<NewSource, UserError> {
    let mut secrets = BTreeMap::new();
    for (name, given) in secrets_of(input.secrets)? {
        let given = given.ok_or_else(|| wrong("secrets", format!("`{name}` has neither reference nor value")))?;
        secrets.insert(name, given);
    }
    Ok(NewSource {
        key: parsed_key(&input.key)?,
        title: input.title,
        adapter: input.adapter,
        url: input.url,
        settings: settings_of(input.settings)?.unwrap_or_default(),
        secrets,
        since: input.since.map(|at| at.0),
    })
}

async fn register(ctx: &Context<'_>, input: RegisterSourceInput) -> Result<SourcePayload, Error> {
    let actor = &require(ctx, Role::Admin)?.name;
    let check = input.check;
    let new = match new_source(input) {
        Ok(new) => new,
        Err(refused) => return Ok(SourcePayload { source: None, user_errors: vec![refused] }),
    };
    let done = ctx.data_unchecked::<Services>().catalog.register(new, check, actor).await;
    source_payload(ctx, done.map(|source| Some(source.key)))
}

async fn update(ctx: &Context<'_>, input: UpdateSourceInput) -> Result<SourcePayload, Error> {
    let actor = &require(ctx, Role::Admin)?.name;
    let check = input.check;
    let read = || {
        let change = SourceChange {
            title: input.title,
            adapter: input.adapter,
            url: input.url,
            settings: settings_of(input.settings)?,
            secrets: secrets_of(input.secrets)?,
            expected_version: input.expected_version.map(|version| version.0),
        };
        Ok((parsed_key(&input.key)?, change))
    };
    let (key, change) = match read() {
        Ok(read) => read,
        Err(refused) => return Ok(SourcePayload { source: None, user_errors: vec![refused] }),
    };
    let done = ctx.data_unchecked::<Services>().catalog.update(&key, change, check, actor).await;
    source_payload(ctx, done.map(|source| Some(source.key)))
}

async fn remove(ctx: &Context<'_>, key: &str) -> Result<SourcePayload, Error> {
    let actor = &require(ctx, Role::Admin)?.name;
    let key = match parsed_key(key) {
        Ok(key) => key,
        Err(refused) => return Ok(SourcePayload { source: None, user_errors: vec![refused] }),
    };
    let done = ctx.data_unchecked::<Services>().catalog.remove(&key, actor).await;
    source_payload(ctx, done.map(|()| None))
}

fn source_payload(ctx: &Context<'_>, done: Result<Option<SourceKey>, CatalogError>) -> Result<SourcePayload, Error> {
    Ok(match done {
        Ok(key) => {
            let source = key.and_then(|key| ctx.data_unchecked::<Sources>().get(&key));
            SourcePayload { source, user_errors: Vec::new() }
        }
        Err(cause) => SourcePayload { source: None, user_errors: vec![refusal(cause)?] },
    })
}

async fn try_adapter(
    ctx: &Context<'_>,
    key: &str,
    adapter: Option<String>,
    settings: Option<Json>,
) -> Result<SourceRunPayload, Error> {
    require(ctx, Role::Admin)?;
    let settings = match settings_of(settings) {
        Ok(settings) => settings,
        Err(refused) => return Ok(SourceRunPayload { run: None, user_errors: vec![refused] }),
    };
    ask(ctx, key, RunKind::Trial, RunRequest { adapter, settings, ..RunRequest::default() }, Role::Admin).await
}

async fn ask(
    ctx: &Context<'_>,
    key: &str,
    kind: RunKind,
    request: RunRequest,
    role: Role,
) -> Result<SourceRunPayload, Error> {
    let actor = &require(ctx, role)?.name;
    let key = source_key(ctx, key)?;
    Ok(match ctx.data_unchecked::<Services>().catalog.ask(&key, kind, request, actor).await {
        Ok(run) => SourceRunPayload { run: Some(run.into()), user_errors: Vec::new() },
        Err(cause) => SourceRunPayload { run: None, user_errors: vec![refusal(cause)?] },
    })
}

async fn cancel_run(ctx: &Context<'_>, run: &ID) -> Result<Option<SourceRun>, Error> {
    require(ctx, Role::Operator)?;
    let Some(id) = id::parse_run(run) else { return Ok(None) };
    let run = ctx.data_unchecked::<Services>().catalog.cancel_run(id).await;
    Ok(run.map_err(error::catalog)?.map(Into::into))
}

async fn upload(ctx: &Context<'_>, files: Vec<AdapterFileInput>) -> Result<AdapterPayload, Error> {
    let actor = &require(ctx, Role::Admin)?.name;
    let files = files.into_iter().map(|file| (file.path, file.text)).collect();
    Ok(match ctx.data_unchecked::<Services>().catalog.upload(files, actor).await {
        Ok(adapter) => AdapterPayload { adapter: Some(adapter.into()), user_errors: Vec::new() },
        Err(cause) => AdapterPayload { adapter: None, user_errors: vec![refusal(cause)?] },
    })
}

async fn remove_adapter(ctx: &Context<'_>, adapter: &str) -> Result<AdapterPayload, Error> {
    require(ctx, Role::Admin)?;
    let done = ctx.data_unchecked::<Services>().catalog.remove_package(adapter).await;
    let user_errors = done.err().map(refusal).transpose()?.into_iter().collect();
    Ok(AdapterPayload { adapter: None, user_errors })
}

async fn discard(ctx: &Context<'_>, ids: Vec<ID>) -> Result<DiscardQuarantinedPayload, Error> {
    require(ctx, Role::Operator)?;
    if ids.len() > IDS_MAX {
        return Err(bad_input("at most 500 ids at once"));
    }
    let mut discarded = 0;
    for id in ids {
        let done = ctx.data_unchecked::<Services>().ingest.discard_quarantined(&id).await;
        discarded += u64::from(done.map_err(error::ingest)?);
    }
    Ok(DiscardQuarantinedPayload { discarded: Long::count(discarded) })
}

fn source_key(ctx: &Context<'_>, key: &str) -> Result<SourceKey, Error> {
    SourceKey::try_new(key)
        .ok()
        .filter(|key| ctx.data_unchecked::<Sources>().get(key).is_some())
        .ok_or_else(|| bad_input("there is no source of this key: `sources` lists them"))
}

async fn set_paused(ctx: &Context<'_>, key: &str, paused: bool) -> Result<Option<Source>, Error> {
    let actor = &require(ctx, Role::Admin)?.name;
    let key = source_key(ctx, key)?;
    let catalog = &ctx.data_unchecked::<Services>().catalog;
    catalog.set_paused(&key, paused, actor).await.map_err(error::catalog)?;
    Ok(ctx.data_unchecked::<Sources>().get(&key))
}

async fn poll(ctx: &Context<'_>, key: &str) -> Result<PollSourcePayload, Error> {
    require(ctx, Role::Operator)?;
    let key = source_key(ctx, key)?;
    let report = ctx.data_unchecked::<Services>().ingest.poll(&key).await.map_err(error::ingest)?;
    Ok(PollSourcePayload {
        source: ctx.data_unchecked::<Sources>().get(&key),
        read: Long::count(report.read),
        stored: Long::count(report.stored),
        quarantined: Long::count(report.quarantined),
        complete: report.complete,
    })
}

async fn replay(ctx: &Context<'_>, key: &str, ids: Vec<ID>) -> Result<ReplayQuarantinePayload, Error> {
    require(ctx, Role::Operator)?;
    let key = source_key(ctx, key)?;
    if ids.len() > IDS_MAX {
        return Err(bad_input("at most 500 ids at once"));
    }
    let ids: Vec<String> = ids.into_iter().map(|id| id.0).collect();
    let services = ctx.data_unchecked::<Services>();
    let resolved = services.ingest.replay_quarantine(&key, &ids).await.map_err(error::ingest)?;
    Ok(ReplayQuarantinePayload { source: ctx.data_unchecked::<Sources>().get(&key), resolved: Long::count(resolved) })
}
