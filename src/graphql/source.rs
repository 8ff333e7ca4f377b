//! `Source`: a connected module as clients and operators see it, and its quarantine.
//!
//! It owns the shape of capabilities, synchronization health and process definitions. It refuses to fail as a whole:
//! what only the module can tell is a field of its own that fails alone. That is so that a sick module never hides what
//! the center knows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{ComplexObject, Context, Error, ID, Object, SimpleObject};
use chrono::Utc;
use order_contract::SourceKey;
use order_contract::process::ProcessDefinition as Definition;
use serde::Serialize;

use super::catalog::{SourceEvent, SourceRegistration, SourceRun};
use super::error::{self, Fallible, require};
use super::page::{PageInfo, size};
use super::render::Rendered;
use super::scalar::{Json, Long, Time};
use super::vocabulary::{EffectKind, FulfillmentStatus, Idempotency, OrderKind, OrderStatus, ProcessTrigger, Via};
use super::{GraphqlLimits, Role, Services, id};
use crate::catalog::RunKind;
use crate::index::{Dimension, Filter};
use crate::ingest::QuarantineRecord as Record;
use crate::source::{Registry, Source as Plugged, Sources as Plugs};

/// What a call to a module costs: a page of orders must not become a hundred of them.
const ASKS: usize = 200;

/// A connected module that owns orders.
pub(super) struct Source(Arc<Plugged>);

/// The sources with what seldom changes of them rendered: anew when the registry has others. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sources {
    registry: Registry,
    rendered: Arc<Mutex<Arc<RenderedSources>>>,
}

/// The plain fields of the sources of one moment.
pub(super) struct RenderedSources {
    of: Arc<Plugs>,
    by_key: BTreeMap<SourceKey, Rendered>,
}

impl RenderedSources {
    fn of(sources: Arc<Plugs>) -> Arc<Self> {
        let render = |source: &Plugged| {
            Rendered::of(&Plain {
                id: id::source(&source.key),
                key: source.key.as_str(),
                title: &source.title,
                adapter: &source.adapter,
            })
        };
        let by_key = sources.iter().map(|(key, source)| (key.clone(), render(source))).collect();
        Arc::new(Self { of: sources, by_key })
    }

    /// The plain fields of a source.
    pub(super) fn get(&self, key: &SourceKey) -> Option<&Rendered> {
        self.by_key.get(key)
    }
}

/// The fields of a source that need no IO, in the order of the object type.
#[derive(Serialize)]
struct Plain<'a> {
    id: ID,
    key: &'a str,
    title: &'a str,
    adapter: &'a str,
}

impl Sources {
    /// The sources of a registry.
    pub(super) fn new(registry: &Registry) -> Self {
        let rendered = RenderedSources::of(registry.now());
        Self { registry: registry.clone(), rendered: Arc::new(Mutex::new(rendered)) }
    }

    /// The source of this key.
    pub(super) fn get(&self, key: &SourceKey) -> Option<Source> {
        self.registry.get(key).map(Source)
    }

    /// Every source, by key.
    pub(super) fn all(&self) -> Vec<Source> {
        self.registry.now().values().cloned().map(Source).collect()
    }

    /// The plain fields of every source.
    pub(super) fn rendered(&self) -> Arc<RenderedSources> {
        let now = self.registry.now();
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&rendered.of, &now) {
            *rendered = RenderedSources::of(now);
        }
        rendered.clone()
    }
}

/// A connected module that owns orders and decides what may be done with them.
#[Object]
impl Source {
    /// The global id.
    async fn id(&self) -> ID {
        id::source(&self.0.key)
    }

    /// Its key, as filters and look-ups name it. It never changes.
    async fn key(&self) -> &str {
        self.0.key.as_str()
    }

    /// Its name for people.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// What speaks to it: `protocol`, or the name of an adapter.
    async fn adapter(&self) -> &str {
        &self.0.adapter
    }

    /// What kind of business its orders belong to. Asks the source.
    #[graphql(complexity = "ASKS + child_complexity")]
    async fn kind(&self) -> Fallible<OrderKind> {
        Fallible(self.0.port.describe().await.map(|c| Some(c.kind.into())).map_err(|e| error::source(&e)))
    }

    /// What it can do. Asks the source.
    #[graphql(complexity = "ASKS + child_complexity")]
    async fn capabilities(&self) -> Fallible<SourceCapabilities> {
        let described = self.0.port.describe().await.map_err(|e| error::source(&e));
        Fallible(described.map(|c| {
            Some(SourceCapabilities {
                idempotency: c.idempotency.into(),
                create: c.create,
                dry_run: c.dry_run,
                expected_version: c.expected_version,
                page_size_max: Long(c.page_size_max.into()),
            })
        }))
    }

    /// How its synchronization stands.
    #[graphql(complexity = "10 + child_complexity")]
    async fn sync(&self, ctx: &Context<'_>) -> Fallible<SourceSync> {
        Fallible(sync(&self.0, ctx.data_unchecked::<Services>()).await.map(Some))
    }

    /// Its state machine. Asks the source; none where it does not show one.
    #[graphql(complexity = "ASKS + child_complexity")]
    async fn process(&self) -> Fallible<ProcessDefinition> {
        Fallible(self.0.port.process().await.map(|p| p.map(Into::into)).map_err(|e| error::source(&e)))
    }

    /// How it is registered; none for a source of the configuration file. For admins.
    #[graphql(complexity = "10 + child_complexity")]
    async fn registration(&self, ctx: &Context<'_>) -> Fallible<SourceRegistration> {
        Fallible(registration(&self.0.key, ctx).await)
    }

    /// What was done to it, newest first. For operators.
    #[graphql(complexity = "size(first, None) * child_complexity + 1")]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many; 20 unless told.")] first: Option<i32>,
    ) -> Fallible<Vec<SourceEvent>> {
        Fallible(events(&self.0.key, ctx, first).await.map(Some))
    }

    /// Long work on it, newest first. For operators.
    #[graphql(complexity = "size(first, None) * child_complexity + 1")]
    async fn runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many; 20 unless told.")] first: Option<i32>,
    ) -> Fallible<Vec<SourceRun>> {
        Fallible(runs(&self.0.key, ctx, first).await.map(Some))
    }

    /// How many orders it has in each status.
    #[graphql(complexity = "50 + child_complexity")]
    async fn statuses(&self, ctx: &Context<'_>) -> Fallible<Vec<StatusCount>> {
        let index = &ctx.data_unchecked::<Services>().index;
        let of_source = Filter::Sources(vec![self.0.key.clone()]);
        // As many groups as there are statuses and currencies.
        let rows = index.aggregate(&of_source, &[Dimension::Status], 2_000).await.map_err(error::index);
        Fallible(rows.map(|(rows, _)| {
            let mut counts = BTreeMap::new();
            for row in rows {
                let status = row.keys.first().cloned().flatten();
                if let Some(status) = status.as_deref().and_then(order_contract::OrderStatus::parse) {
                    *counts.entry(status).or_insert(0) += row.measures.orders;
                }
            }
            let count = |(status, orders): (order_contract::OrderStatus, u64)| StatusCount {
                status: status.into(),
                orders: Long::count(orders),
            };
            Some(counts.into_iter().map(count).collect())
        }))
    }
}

/// What a source can do.
#[derive(SimpleObject)]
struct SourceCapabilities {
    /// How safely it can be asked.
    idempotency: Idempotency,
    /// Whether `createOrder` works.
    create: bool,
    /// Whether `dryRun` is honored.
    dry_run: bool,
    /// Whether it checks `expectedVersion` itself.
    expected_version: bool,
    /// The most orders it gives in one page of changes.
    page_size_max: Long,
}

/// How the synchronization of a source stands.
#[derive(SimpleObject)]
struct SourceSync {
    /// Everything the source changed before this is in the center.
    high_water: Option<Time>,
    /// Seconds since then. None before the first pass is complete.
    lag_seconds: Option<Long>,
    /// The newest change of the source that the center has.
    newest_update_at: Option<Time>,
    /// When a pass over its changes was last completed.
    last_success_at: Option<Time>,
    /// When a pass last failed.
    last_error_at: Option<Time>,
    /// Why; cleared by success.
    last_error: Option<String>,
    /// Whether an operator paused it.
    paused: bool,
    /// Webhooks that are stored and not yet applied.
    webhook_backlog: Long,
    /// Webhooks that were given up after the last try; polling brings their orders.
    webhooks_failed: Long,
    /// Inputs in quarantine that are still open.
    quarantined: Long,
    /// Reads of its change list that are remembered: the newest, at most 100.
    recent_reads: Long,
    /// And how many of them failed.
    recent_failures: Long,
    /// What the source may still be asked, where it says so. As this node knows it.
    rate_budget: Option<RateBudget>,
    /// When the index was last compared with the source to the end.
    reconciled_at: Option<Time>,
    /// How many orders that comparison found missing, stale or deleted, and repaired.
    drift: Option<Long>,
}

/// What a source may still be asked before it says no.
#[derive(SimpleObject)]
struct RateBudget {
    /// Requests, or points where it counts these, that are left.
    left: Long,
    /// Of so many in all.
    limit: Long,
}

async fn registration(key: &SourceKey, ctx: &Context<'_>) -> Result<Option<SourceRegistration>, Error> {
    require(ctx, Role::Admin)?;
    let found = ctx.data_unchecked::<Services>().catalog.find(key).await;
    Ok(found.map_err(error::catalog)?.map(Into::into))
}

async fn events(key: &SourceKey, ctx: &Context<'_>, first: Option<i32>) -> Result<Vec<SourceEvent>, Error> {
    require(ctx, Role::Operator)?;
    let limit = super::page::limit(first, None, ctx.data_unchecked::<GraphqlLimits>().page_size_max)?;
    let events = ctx.data_unchecked::<Services>().catalog.events(key, limit).await;
    Ok(events.map_err(error::catalog)?.into_iter().map(Into::into).collect())
}

async fn runs(key: &SourceKey, ctx: &Context<'_>, first: Option<i32>) -> Result<Vec<SourceRun>, Error> {
    require(ctx, Role::Operator)?;
    let limit = super::page::limit(first, None, ctx.data_unchecked::<GraphqlLimits>().page_size_max)?;
    let runs = ctx.data_unchecked::<Services>().catalog.runs(key, limit).await;
    Ok(runs.map_err(error::catalog)?.into_iter().map(Into::into).collect())
}

async fn sync(source: &Plugged, services: &Services) -> Result<SourceSync, Error> {
    let key = &source.key;
    let reconciled = services.catalog.last_success(key, RunKind::Reconcile).await.map_err(error::catalog)?;
    let state = services.ingest.sync_state(key).await.map_err(error::ingest)?;
    let newest = services.index.newest_update(key).await.map_err(error::index)?;
    Ok(SourceSync {
        high_water: state.high_water.map(Time),
        lag_seconds: state.high_water.map(|t| Long((Utc::now() - t).num_seconds().max(0))),
        newest_update_at: newest.map(Time),
        last_success_at: state.last_success_at.map(Time),
        last_error_at: state.last_error_at.map(Time),
        last_error: state.last_error,
        paused: state.paused,
        webhook_backlog: Long::count(state.webhook_backlog),
        webhooks_failed: Long::count(state.webhooks_failed),
        quarantined: Long::count(state.quarantined),
        recent_reads: Long::count(state.recent_reads),
        recent_failures: Long::count(state.recent_failures),
        rate_budget: source
            .port
            .budget()
            .map(|budget| RateBudget { left: Long::count(budget.left), limit: Long::count(budget.limit) }),
        drift: reconciled.as_ref().and_then(|run| run.repaired()).map(Long::count),
        reconciled_at: reconciled.and_then(|run| run.finished_at).map(Time),
    })
}

/// How many orders are in a status.
#[derive(SimpleObject)]
struct StatusCount {
    /// The status.
    status: OrderStatus,
    /// How many.
    orders: Long,
}

/// The state machine of a source's orders, as the source describes it.
#[derive(SimpleObject)]
struct ProcessDefinition {
    /// Its name, such as `retail`.
    name: String,
    /// Grows with every change of the definition.
    version: Long,
    /// The states.
    states: Vec<ProcessState>,
    /// The ways between them.
    transitions: Vec<ProcessTransition>,
    /// What an operator may set, with the defaults.
    settings: Vec<ProcessSetting>,
}

/// What an operator may set of a process.
#[derive(SimpleObject)]
struct ProcessSetting {
    /// Its name.
    name: String,
    /// Its default: an ISO 8601 duration (`PT30M`), a decimal, or `off`.
    default: String,
}

/// A native state.
#[derive(SimpleObject)]
struct ProcessState {
    /// Its native name.
    name: String,
    /// The unified status it stands for.
    status: OrderStatus,
    /// Where the goods or services stand in it, where it says so.
    fulfillment_status: Option<FulfillmentStatus>,
    /// A sentence.
    description: String,
    /// Whether orders begin here.
    initial: bool,
    /// Whether orders may end here.
    terminal: bool,
}

/// A way between native states.
#[derive(SimpleObject)]
struct ProcessTransition {
    /// The verb of the action.
    action: String,
    /// From which states.
    from: Vec<String>,
    /// To which states; the guard or the input decides among several.
    to: Vec<String>,
    /// Who sets it off.
    trigger: ProcessTrigger,
    /// A sentence.
    description: String,
    /// The codes of the blockers its guards can name.
    guards: Vec<String>,
    /// What it moves.
    effects: Vec<EffectKind>,
    /// What is done, in order, before the order is in its new state.
    steps: Vec<ProcessStep>,
    /// When a timer sets it off.
    timer: Option<ProcessTimer>,
    /// What sets it off in the module; none with the trigger `SYSTEM` for as soon as the order is there.
    event: Option<String>,
    /// A JSON Schema of its input.
    input_schema: Option<Json>,
}

/// One step of a transition.
#[derive(SimpleObject)]
struct ProcessStep {
    /// Its name.
    name: String,
    /// What takes its effect back when a later step is refused.
    compensation: Option<String>,
    /// Its effect is not taken back: it is repeated until it is done.
    is_final: bool,
}

/// When a timer sets a transition off.
#[derive(SimpleObject)]
struct ProcessTimer {
    /// The setting that says how long it takes.
    after: String,
    /// From which moment on; none for when the order came into its state.
    since: Option<String>,
}

impl From<Definition> for ProcessDefinition {
    fn from(p: Definition) -> Self {
        Self {
            name: p.name,
            version: Long(p.version.into()),
            states: p
                .states
                .into_iter()
                .map(|s| ProcessState {
                    name: s.name,
                    status: s.status.into(),
                    fulfillment_status: s.fulfillment.map(Into::into),
                    description: s.description,
                    initial: s.initial,
                    terminal: s.terminal,
                })
                .collect(),
            transitions: p
                .transitions
                .into_iter()
                .map(|t| ProcessTransition {
                    action: t.action.into(),
                    from: t.from,
                    to: t.to,
                    trigger: t.trigger.into(),
                    description: t.description,
                    guards: t.guards,
                    effects: t.effects.into_iter().map(Into::into).collect(),
                    steps: t
                        .steps
                        .into_iter()
                        .map(|s| ProcessStep { name: s.step, compensation: s.compensation, is_final: s.is_final })
                        .collect(),
                    timer: t.timer.map(|t| ProcessTimer { after: t.after, since: t.since }),
                    event: t.event,
                    input_schema: t.input_schema.and_then(Json::object),
                })
                .collect(),
            settings: p.settings.into_iter().map(|(name, default)| ProcessSetting { name, default }).collect(),
        }
    }
}

/// An input that could not be understood, kept whole until a mapping or the source is fixed.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct QuarantineRecord {
    /// Its id.
    id: ID,
    #[graphql(skip)]
    key: SourceKey,
    /// The order's id in the source, where the input tells it.
    source_order_id: Option<String>,
    /// By which way it came.
    via: Via,
    /// When it first came.
    received_at: Time,
    /// How often the same input came.
    seen: Long,
    /// The whole input, verbatim.
    input: String,
    /// Where it is wrong: a JSON pointer; empty for the whole input.
    path: String,
    /// What stands there.
    value: String,
    /// The rule it breaks, as a sentence.
    rule: String,
    /// `OPEN`, `RESOLVED` or `DISCARDED`.
    state: String,
    /// When it left `OPEN`.
    resolved_at: Option<Time>,
}

#[ComplexObject]
impl QuarantineRecord {
    /// The source it came from.
    async fn source(&self, ctx: &Context<'_>) -> Option<Source> {
        ctx.data_unchecked::<Sources>().get(&self.key)
    }
}

impl From<Record> for QuarantineRecord {
    fn from(r: Record) -> Self {
        Self {
            id: r.id.into(),
            key: r.source,
            source_order_id: r.source_order_id.map(Into::into),
            via: r.via.into(),
            received_at: Time(r.received_at),
            seen: Long::count(r.seen),
            input: String::from_utf8_lossy(&r.input).into_owned(),
            path: r.rejection.path,
            value: r.rejection.value,
            rule: r.rejection.rule,
            state: r.state,
            resolved_at: r.resolved_at.map(Time),
        }
    }
}

/// A page of quarantined inputs.
#[derive(SimpleObject)]
pub(super) struct QuarantineConnection {
    /// The inputs, newest first.
    pub(super) nodes: Vec<QuarantineRecord>,
    /// Where the page stands.
    pub(super) page_info: PageInfo,
}
