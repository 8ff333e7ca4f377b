//! Runs: long work on one source, recorded before it begins and continued by any node.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use order_contract::SourceKey;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use super::package::commit;
use super::{Catalog, CatalogError};
use crate::database::{DatabaseError, Row, Transaction, Value};
use crate::ingest::{Statement, micros, time};

/// How long a node owns a run before another may take it: a step is one page.
const LEASE: Duration = Duration::from_secs(60);

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunKind {
    /// Reads what changed in a range of time again.
    Backfill,
    /// Compares the index with the source: what is missing, stale or deleted is repaired.
    Reconcile,
    /// Maps stored orders anew from what the source sent, and tries quarantined inputs again.
    Remap,
    /// Says what mapping anew would change, and changes nothing.
    Trial,
}

impl RunKind {
    const ALL: [Self; 4] = [Self::Backfill, Self::Reconcile, Self::Remap, Self::Trial];

    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backfill => "BACKFILL",
            Self::Reconcile => "RECONCILE",
            Self::Remap => "REMAP",
            Self::Trial => "TRIAL",
        }
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Recorded; a node will take it.
    Waiting,
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Given up; `error` says why.
    Failed,
    /// Called off.
    Canceled,
}

impl RunState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Succeeded, Self::Failed, Self::Canceled];

    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        }
    }

    /// Whether it will not change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// What was asked of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunRequest {
    /// Only what the source changed at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Only what the source changed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The adapter to try, as `NAME@VERSION`; the source's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The settings to try with; the source's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Map<String, Json>>,
}

/// Long work on one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The source.
    pub source: SourceKey,
    /// What it does.
    pub kind: RunKind,
    /// Where it stands.
    pub state: RunState,
    /// What was asked.
    pub request: RunRequest,
    /// Where it continues; of its worker.
    pub position: Option<Json>,
    /// What it found and did so far.
    pub report: Option<Json>,
    /// Why it failed, or what it is waiting for.
    pub error: Option<String>,
    /// Tries without progress.
    pub attempts: u32,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was asked for. UTC.
    pub created_at: DateTime<Utc>,
    /// When it last went on. UTC.
    pub updated_at: DateTime<Utc>,
    /// When it ended. UTC.
    pub finished_at: Option<DateTime<Utc>>,
    lease_until: i64,
}

const COLUMNS: &str = "id, source, kind, state, request, position, report, error, attempts, requested_by, created_at, \
                       updated_at, finished_at, lease_until";

impl Run {
    /// How many orders it found to be otherwise than in the source, of a comparison.
    #[must_use]
    pub fn repaired(&self) -> Option<u64> {
        let report = self.report.as_ref()?;
        ["missing", "stale", "deleted"].iter().map(|name| report.get(name)?.as_u64()).sum()
    }
}

impl Catalog {
    /// Asks for a run. At most one of a kind is under way for a source.
    ///
    /// # Errors
    /// [`CatalogError::Running`], [`CatalogError::Unknown`].
    pub async fn ask(
        &self,
        source: &SourceKey,
        kind: RunKind,
        mut request: RunRequest,
        actor: &str,
    ) -> Result<Run, CatalogError> {
        self.known(source)?;
        if let Some(adapter) = &request.adapter {
            request.adapter = Some(self.choose(adapter).await?);
        }
        if kind == RunKind::Trial {
            // What cannot be plugged in is refused now and not after a while.
            self.candidate(source, &request).await?;
        }
        let what = "ask for a run";
        let failed = |e| CatalogError::Database(what, e);
        let mut transaction = self.begin(what).await?;
        // The row of the source's synchronization is the lock on its runs.
        let lock = "insert into source_sync (source) values ($1) on conflict (source) do update set paused = source_sync.paused";
        transaction.execute(lock, &[source.as_str().into()]).await.map_err(failed)?;
        let active =
            "select 1 from source_runs where source = $1 and kind = $2 and state in ('WAITING', 'RUNNING') limit 1";
        let values = [source.as_str().into(), kind.as_str().into()];
        if transaction.fetch_optional(active, &values).await.map_err(failed)?.is_some() {
            return Err(CatalogError::Running(source.clone()));
        }
        let id = self.enqueue(&mut transaction, source, kind, &request, actor).await?;
        commit(transaction, what).await?;
        self.run(&id).await?.ok_or(CatalogError::Row("source_runs"))
    }

    /// The run of this id.
    ///
    /// # Errors
    /// [`CatalogError::Database`].
    pub async fn run(&self, id: &str) -> Result<Option<Run>, CatalogError> {
        Ok(self.select_runs("where id = $1", &[id.into()]).await?.pop())
    }

    /// Runs of a source, newest first.
    ///
    /// # Errors
    /// [`CatalogError::Database`].
    pub async fn runs(&self, source: &SourceKey, limit: u32) -> Result<Vec<Run>, CatalogError> {
        let values = [source.as_str().into(), i64::from(limit).into()];
        self.select_runs("where source = $1 order by id desc limit $2", &values).await
    }

    /// The newest run of a kind that ended well.
    ///
    /// # Errors
    /// [`CatalogError::Database`].
    pub async fn last_success(&self, source: &SourceKey, kind: RunKind) -> Result<Option<Run>, CatalogError> {
        let values = [source.as_str().into(), kind.as_str().into()];
        let conditions = "where source = $1 and kind = $2 and state = 'SUCCEEDED' order by id desc limit 1";
        Ok(self.select_runs(conditions, &values).await?.pop())
    }

    /// Calls a run off; what it did stays. Answers it as it then is.
    ///
    /// # Errors
    /// [`CatalogError::Database`].
    pub async fn cancel_run(&self, id: &str) -> Result<Option<Run>, CatalogError> {
        let sql = "update source_runs set state = 'CANCELED', updated_at = $1, finished_at = $1 \
                   where id = $2 and state in ('WAITING', 'RUNNING')";
        let done = self.database.execute(sql, &[self.micros().into(), id.into()]).await;
        done.map_err(|e| CatalogError::Database("call off a run", e))?;
        self.run(id).await
    }

    /// Records a run in a transaction.
    pub(super) async fn enqueue(
        &self,
        transaction: &mut Transaction,
        source: &SourceKey,
        kind: RunKind,
        request: &RunRequest,
        actor: &str,
    ) -> Result<String, CatalogError> {
        let id = Uuid::now_v7().to_string();
        let request = serde_json::to_string(request).map_err(|_| CatalogError::Row("source_runs"))?;
        let sql = "insert into source_runs (id, source, kind, state, request, requested_by, created_at, updated_at) \
                   values ($1, $2, $3, 'WAITING', $4, $5, $6, $6)";
        let values = [
            id.as_str().into(),
            source.as_str().into(),
            kind.as_str().into(),
            request.into(),
            actor.into(),
            self.micros().into(),
        ];
        let done = transaction.execute(sql, &values).await;
        done.map_err(|e| CatalogError::Database("ask for a run", e))?;
        Ok(id)
    }

    /// Calls off what is waiting or under way for a source: all of it, or one kind.
    pub(super) async fn cancel_runs(
        &self,
        transaction: &mut Transaction,
        source: &SourceKey,
        kind: Option<RunKind>,
    ) -> Result<(), CatalogError> {
        let sql = "update source_runs set state = 'CANCELED', updated_at = $1, finished_at = $1 \
                   where source = $2 and state in ('WAITING', 'RUNNING') and ($3 = '' or kind = $3)";
        let kind = kind.map_or("", RunKind::as_str);
        let done = transaction.execute(sql, &[self.micros().into(), source.as_str().into(), kind.into()]).await;
        done.map(|_| ()).map_err(|e| CatalogError::Database("call off runs", e))
    }

    /// Runs that no node is at, oldest first.
    pub(crate) async fn due_runs(&self, limit: u32) -> Result<Vec<Run>, CatalogError> {
        let values = [self.micros().into(), i64::from(limit).into()];
        let conditions = "where state in ('WAITING', 'RUNNING') and lease_until <= $1 order by id limit $2";
        self.select_runs(conditions, &values).await
    }

    /// Takes a run, or keeps it; none when another node has it or it was called off.
    pub(crate) async fn hold(&self, run: &mut Run) -> Result<bool, CatalogError> {
        let until = self.micros() + micros(LEASE);
        let sql = "update source_runs set state = 'RUNNING', lease_until = $1 \
                   where id = $2 and lease_until = $3 and state in ('WAITING', 'RUNNING')";
        let done = self.database.execute(sql, &[until.into(), run.id.as_str().into(), run.lease_until.into()]).await;
        let held = done.map_err(|e| CatalogError::Database("take a run", e))? > 0;
        if held {
            (run.lease_until, run.state) = (until, RunState::Running);
        }
        Ok(held)
    }

    /// Notes how far a run came: becomes durable with what it did.
    pub(crate) fn progress(&self, run: &Run, position: &Json, report: &Json) -> Statement {
        Statement::new(
            "update source_runs set position = $1, report = $2, updated_at = $3, attempts = 0, error = null \
             where id = $4 and state = 'RUNNING'",
            vec![position.to_string().into(), report.to_string().into(), self.micros().into(), run.id.clone().into()],
        )
    }

    /// Writes progress that comes with nothing else.
    pub(crate) async fn note_progress(&self, run: &Run, position: &Json, report: &Json) -> Result<(), CatalogError> {
        let Statement { sql, values } = self.progress(run, position, report);
        let done = self.database.execute(&sql, &values).await;
        done.map(|_| ()).map_err(|e| CatalogError::Database("note how far a run came", e))
    }

    /// Ends a run.
    pub(crate) async fn end_run(&self, run: &Run, error: Option<&str>) -> Result<(), CatalogError> {
        let state = if error.is_none() { RunState::Succeeded } else { RunState::Failed };
        let sql = "update source_runs set state = $1, error = $2, updated_at = $3, finished_at = $3 \
                   where id = $4 and state = 'RUNNING'";
        let values = [state.as_str().into(), Value::from(error), self.micros().into(), run.id.as_str().into()];
        let done = self.database.execute(sql, &values).await;
        done.map(|_| ()).map_err(|e| CatalogError::Database("end a run", e))
    }

    /// Forgets what runs that ended remembered of their way.
    pub(crate) async fn sweep(&self) -> Result<(), CatalogError> {
        let sql = "delete from source_run_seen where run_id in (select run_id from source_run_seen \
                   join source_runs on source_runs.id = run_id where state in ('SUCCEEDED', 'FAILED', 'CANCELED'))";
        let any = self.database.fetch_optional("select 1 from source_run_seen limit 1", &[]).await;
        let failed = |e| CatalogError::Database("forget what runs remembered", e);
        if any.map_err(failed)?.is_some() {
            self.database.execute(sql, &[]).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Leaves a run for a while, after an error that may pass.
    pub(crate) async fn put_off(&self, run: &Run, error: &str, pause: Duration) -> Result<(), CatalogError> {
        let sql = "update source_runs set attempts = attempts + 1, error = $1, lease_until = $2 \
                   where id = $3 and state = 'RUNNING'";
        let until = self.micros() + micros(pause);
        let done = self.database.execute(sql, &[error.into(), until.into(), run.id.as_str().into()]).await;
        done.map(|_| ()).map_err(|e| CatalogError::Database("put a run off", e))
    }

    /// The sources for which a reconciliation was asked after `before`.
    pub(crate) async fn reconciled_since(&self, before: DateTime<Utc>) -> Result<BTreeSet<String>, CatalogError> {
        let sql = "select distinct source from source_runs where kind = 'RECONCILE' and created_at > $1";
        let rows = self.database.fetch_all(sql, &[before.timestamp_micros().into()]).await;
        let read = |e| CatalogError::Database("read the runs", e);
        rows.map_err(read)?.iter().map(|row| row.text(0).map_err(read)).collect()
    }

    async fn select_runs(&self, conditions: &str, values: &[Value<'_>]) -> Result<Vec<Run>, CatalogError> {
        let read = |e| CatalogError::Database("read the runs", e);
        let sql = format!("select {COLUMNS} from source_runs {conditions}");
        let rows = self.database.fetch_all(&sql, values).await.map_err(read)?;
        rows.iter().map(|row| run(row).map_err(read)?.ok_or(CatalogError::Row("source_runs"))).collect()
    }
}

/// A run, or none when the row is not one of ours.
fn run(row: &Row) -> Result<Option<Run>, DatabaseError> {
    let (kind, state) = (row.text(2)?, row.text(3)?);
    let json = |text: Option<String>| text.map(|text| serde_json::from_str::<Json>(&text)).transpose();
    let (Ok(source), Some(kind), Some(state), Ok(request), Ok(position), Ok(report)) = (
        SourceKey::try_new(row.text(1)?),
        RunKind::ALL.into_iter().find(|known| known.as_str() == kind),
        RunState::ALL.into_iter().find(|known| known.as_str() == state),
        serde_json::from_str(&row.text(4)?),
        json(row.opt_text(5)?),
        json(row.opt_text(6)?),
    ) else {
        return Ok(None);
    };
    Ok(Some(Run {
        id: row.text(0)?,
        source,
        kind,
        state,
        request,
        position,
        report,
        error: row.opt_text(7)?,
        attempts: u32::try_from(row.int(8)?).unwrap_or(u32::MAX),
        requested_by: row.text(9)?,
        created_at: time(row.int(10)?),
        updated_at: time(row.int(11)?),
        finished_at: row.opt_int(12)?.map(time),
        lease_until: row.int(13)?,
    }))
}
