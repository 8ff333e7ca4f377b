//! Registrations, adapters and runs as values of the schema.

use async_graphql::{ComplexObject, Context, ID, SimpleObject};
use order_contract::SourceKey;
use serde_json::Value;

use super::id;
use super::scalar::{Json, Long, Time};
use super::source::{Source, Sources};
use super::vocabulary::{SourceRunKind, SourceRunState};
use crate::catalog::{PackageInfo, Registered, Run, SourceEvent as Event};

/// How a source is registered.
#[derive(SimpleObject)]
pub(super) struct SourceRegistration {
    /// Where its API begins.
    url: String,
    /// What speaks to it: `protocol`, or an adapter as `NAME@VERSION`.
    adapter: String,
    /// What was set, as an object.
    settings: Json,
    /// Where its secrets are.
    secrets: Vec<SourceSecret>,
    /// Grows with every change: send it as `expectedVersion`.
    version: Long,
    /// When it was registered.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
}

/// A secret of a source: where it is, never what it is.
#[derive(SimpleObject)]
struct SourceSecret {
    /// Its name.
    name: String,
    /// `env:NAME`, `file:PATH`, or `sealed` for one that was given itself.
    reference: String,
}

impl From<Registered> for SourceRegistration {
    fn from(source: Registered) -> Self {
        let secret = |(name, stored): (String, String)| {
            let reference = if stored.starts_with("sealed:") { "sealed".to_owned() } else { stored };
            SourceSecret { name, reference }
        };
        Self {
            url: source.url,
            adapter: source.adapter,
            settings: Json(Value::Object(source.settings)),
            secrets: source.secrets.into_iter().map(secret).collect(),
            version: Long(source.version),
            created_at: Time(source.created_at),
            updated_at: Time(source.updated_at),
        }
    }
}

/// Something that was done to a source.
#[derive(SimpleObject)]
pub(super) struct SourceEvent {
    /// When.
    at: Time,
    /// By whom: the name of an API key.
    actor: String,
    /// What: `REGISTERED`, `UPDATED`, `REMOVED`, `PAUSED` or `RESUMED`.
    what: String,
    /// A sentence.
    detail: String,
}

impl From<Event> for SourceEvent {
    fn from(event: Event) -> Self {
        Self { at: Time(event.at), actor: event.actor, what: event.what, detail: event.detail }
    }
}

/// An adapter that sources can run on.
#[derive(SimpleObject)]
pub(super) struct Adapter {
    /// Its name.
    name: String,
    /// Its version, `MAJOR.MINOR.PATCH`.
    version: String,
    /// The platform, for people.
    title: String,
    /// The content's address: SHA-256 over all paths and texts.
    sha256: String,
    /// Whether it comes with the program.
    builtin: bool,
    /// When it was uploaded, or first used by a registered source.
    created_at: Option<Time>,
}

impl From<PackageInfo> for Adapter {
    fn from(info: PackageInfo) -> Self {
        Self {
            name: info.name,
            version: info.version,
            title: info.title,
            sha256: info.sha256,
            builtin: info.builtin,
            created_at: info.created_at.map(Time),
        }
    }
}

/// Long work on a source. It survives restarts: any node continues it.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct SourceRun {
    /// Its id.
    id: ID,
    #[graphql(skip)]
    key: SourceKey,
    /// What it does.
    kind: SourceRunKind,
    /// Where it stands.
    state: SourceRunState,
    /// What was asked: `since`, `until`, `adapter`, `settings`.
    request: Option<Json>,
    /// What it found and did so far. Of a backfill or a reconciliation: how many orders were `read`, `missing` in the
    /// index, `stale` in it, `deleted` from it and `quarantined`. Of a remap or its trial: how many `orders` were
    /// mapped, `changed` and `rejected`; of a trial, with `fields` and `rules` and examples of each; at the end how many
    /// `quarantined` inputs were tried again and are `understood`.
    report: Option<Json>,
    /// Why it failed, or what it is waiting for.
    error: Option<String>,
    /// Who asked for it: the name of an API key, or `schedule`.
    requested_by: String,
    /// When it was asked for.
    created_at: Time,
    /// When it last went on.
    updated_at: Time,
    /// When it ended.
    finished_at: Option<Time>,
}

#[ComplexObject]
impl SourceRun {
    /// The source.
    async fn source(&self, ctx: &Context<'_>) -> Option<Source> {
        ctx.data_unchecked::<Sources>().get(&self.key)
    }
}

impl From<Run> for SourceRun {
    fn from(run: Run) -> Self {
        let request = match serde_json::to_value(&run.request) {
            Ok(Value::Object(request)) => Json::object(request),
            _ => None,
        };
        Self {
            id: id::run(&run.id),
            key: run.source,
            kind: run.kind.into(),
            state: run.state.into(),
            request,
            report: run.report.map(Json),
            error: run.error,
            requested_by: run.requested_by,
            created_at: Time(run.created_at),
            updated_at: Time(run.updated_at),
            finished_at: run.finished_at.map(Time),
        }
    }
}
