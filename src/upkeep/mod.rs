//! Upkeep: the long work on sources, on request and on schedule.
//!
//! It owns how runs are worked off (backfill, reconciliation, remapping and its trial), when a source is reconciled and
//! when open orders are read again. It refuses to write orders itself (ingest does) and to keep a run to one node: each
//! step is small, recorded, and continued by whoever gets its lease. That is so that the index comes back to the
//! sources' state whatever webhooks and change lists left out, and a mapping can be mended on what is stored.

mod compare;
mod diff;
mod remap;
mod reread;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use order_contract::SourceKey;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::{Catalog, CatalogError, Run, RunKind, RunRequest};
use crate::database::{Database, DatabaseError};
use crate::index::IndexError;
use crate::ingest::{Clock, Ingest, IngestError, backoff};
use crate::source::Registry;

/// How often a node looks for runs, and every how many looks at what is due by schedule.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 15;
/// Runs under way at once in this process, each of another source.
const RUNS_MAX: u32 = 8;
/// Tries without progress before a run is given up.
const ATTEMPTS_MAX: u32 = 10;
/// First pause after a failed step, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// Who asks for what is done on schedule.
const SCHEDULE: &str = "schedule";

/// Why a step of upkeep was not done. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The catalog could not be read or written.
    #[error("{0}")]
    Catalog(#[from] CatalogError),
    /// The source could not be read, or an order not stored.
    #[error("{}", .0.sentence())]
    Ingest(#[from] IngestError),
    /// The index could not be read.
    #[error("could not read the index")]
    Index(#[source] IndexError),
    /// The source is mapped otherwise by the nodes of another program version.
    #[error("this node maps {0} otherwise than it is to be: waiting for one that does")]
    OtherMapping(SourceKey),
    /// A table of upkeep could not be read or written.
    #[error("could not {0}")]
    Database(&'static str, #[source] DatabaseError),
}

/// Intervals of what is done on schedule.
#[derive(Clone, Copy, Debug)]
pub struct UpkeepLimits {
    /// Pause between two reconciliations of a source.
    pub reconcile_interval: Duration,
    /// How far back a reconciliation on schedule compares.
    pub reconcile_window: Duration,
    /// From one round over the open orders of a source whose change list has blind spots to the next; none: as its
    /// adapter says.
    pub reread_interval: Option<Duration>,
}

/// The worker. Cheap to clone.
#[derive(Clone)]
pub struct Upkeep {
    database: Database,
    catalog: Catalog,
    ingest: Ingest,
    registry: Registry,
    clock: Clock,
    limits: UpkeepLimits,
    /// Sources that a task of this process works on: one run of a source at a time.
    busy: Arc<Mutex<BTreeSet<SourceKey>>>,
}

impl Upkeep {
    /// A worker over this catalog.
    #[must_use]
    pub fn new(
        database: Database,
        catalog: Catalog,
        ingest: Ingest,
        registry: Registry,
        clock: Clock,
        limits: UpkeepLimits,
    ) -> Self {
        Self { database, catalog, ingest, registry, clock, limits, busy: Arc::default() }
    }

    /// Works until canceled. A step that is dropped then was not recorded, and is done again.
    pub async fn run(self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        for look in (0..LOOKS).cycle() {
            if let Err(error) = self.begin_runs(&tasks, &shutdown).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "upkeep could not look for work");
            }
            if look == 0
                && let Err(error) = self.begin_scheduled(&tasks, &shutdown).await
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "upkeep could not look what is due");
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn begin_runs(&self, tasks: &TaskTracker, shutdown: &CancellationToken) -> Result<(), UpkeepError> {
        for run in self.catalog.due_runs(RUNS_MAX).await? {
            let Some(turn) = self.turn(&run.source) else { continue };
            let (this, shutdown) = (self.clone(), shutdown.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = this.work(run) => {}
                }
                drop(turn);
            });
        }
        Ok(())
    }

    async fn begin_scheduled(&self, tasks: &TaskTracker, shutdown: &CancellationToken) -> Result<(), UpkeepError> {
        self.catalog.follow_mappings().await?;
        self.catalog.sweep().await?;
        self.schedule().await?;
        for key in self.registry.now().keys() {
            let Some(turn) = self.turn(key) else { continue };
            let (this, shutdown, key) = (self.clone(), shutdown.clone(), key.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = this.reread_round(&key) => {}
                }
                drop(turn);
            });
        }
        Ok(())
    }

    /// Asks for a reconciliation of each source that has had none for its interval and was read to its end once.
    async fn schedule(&self) -> Result<(), UpkeepError> {
        let now = (self.clock)();
        let ago = |duration: Duration| now - TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        let recent = self.catalog.reconciled_since(ago(self.limits.reconcile_interval)).await?;
        for (key, source) in self.registry.now().iter().filter(|(key, _)| !recent.contains(key.as_str())) {
            let complete = self.ingest.sync_state(key).await?;
            let settled = complete.high_water.is_some() && !complete.paused;
            if !settled {
                continue;
            }
            // One that cannot be asked now is compared as far back as any.
            let blind = source.port.describe().await.ok().and_then(|capabilities| capabilities.blind_spots);
            let window = blind.map_or(self.limits.reconcile_window, |of| of.ended.max(self.limits.reconcile_window));
            let request = RunRequest { since: Some(ago(window)), ..RunRequest::default() };
            match self.catalog.ask(key, RunKind::Reconcile, request, SCHEDULE).await {
                Ok(_) | Err(CatalogError::Running(_) | CatalogError::Unknown(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Works a run off where no other node is at it; answers whether it did. For programs that wait for it.
    pub async fn work_if_free(&self, run: Run) -> bool {
        let due = self.catalog.due_runs(u32::MAX).await.unwrap_or_default();
        let free = due.into_iter().any(|due| due.id == run.id);
        if free {
            self.work(run).await;
        }
        free
    }

    /// Works a run off, step by step, until it ends, fails or is another's.
    pub async fn work(&self, mut run: Run) {
        let ended = self.work_steps(&mut run).await;
        let Err(error) = ended else { return };
        tracing::warn!(run = run.id, source = %run.source, error = &error as &dyn std::error::Error, "a run failed");
        let sentence = error.to_string();
        let given_up = run.attempts + 1 >= ATTEMPTS_MAX;
        let noted = if given_up {
            self.catalog.end_run(&run, Some(&sentence)).await
        } else {
            let pause = backoff(RETRY.0, run.attempts, RETRY.1).max(error.retry_after());
            self.catalog.put_off(&run, &sentence, pause).await
        };
        if let Err(error) = noted {
            // Its lease runs out, and a node takes it up.
            tracing::warn!(run = run.id, error = &error as &dyn std::error::Error, "a run could not be put off");
        }
    }

    async fn work_steps(&self, run: &mut Run) -> Result<(), UpkeepError> {
        // Another node may have registered the source, or promoted the mapping, a moment ago.
        self.catalog.converge().await?;
        while self.catalog.hold(run).await? {
            let done = match run.kind {
                RunKind::Backfill | RunKind::Reconcile => self.compare_step(run).await?,
                RunKind::Remap => self.remap_step(run).await?,
                RunKind::Trial => self.trial_step(run).await?,
            };
            run.attempts = 0;
            if done {
                self.catalog.end_run(run, None).await?;
                return Ok(self.catalog.sweep().await?);
            }
        }
        Ok(())
    }

    /// Marks a source as worked on by this process; none when it already is. Ends with the mark.
    fn turn(&self, key: &SourceKey) -> Option<Turn> {
        let new = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        new.then(|| Turn { key: key.clone(), busy: self.busy.clone() })
    }
}

impl UpkeepError {
    fn retry_after(&self) -> Duration {
        match self {
            Self::Ingest(error) => error.retry_after().unwrap_or_default(),
            Self::Catalog(_) | Self::Index(_) | Self::OtherMapping(_) | Self::Database(..) => Duration::ZERO,
        }
    }
}

struct Turn {
    key: SourceKey,
    busy: Arc<Mutex<BTreeSet<SourceKey>>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
