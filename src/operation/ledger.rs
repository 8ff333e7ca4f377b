//! The ledger's rows.

use order_contract::protocol::ActionError;
use order_contract::{ActionName, Effect, OrderId, SourceKey, SourceVersion};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Intent, Operation, OperationError, OperationState, Operations};
use crate::database::{DatabaseError, Row, Value};
use crate::ingest::{Statement, hex, micros, time};

const COLUMNS: &str = "id, principal, idempotency_key, source, order_id, action, state, attempts, created_at, updated_at, \
                       finished_at, result, input, expected_version, actor, traceparent, input_hash, next_at";

/// A row: the operation and what it takes to ask again.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) operation: Operation,
    pub(super) input: Map<String, Json>,
    pub(super) expected_version: Option<SourceVersion>,
    pub(super) actor: Option<String>,
    pub(super) traceparent: Option<String>,
    /// Whether it holds the turn on its order.
    pub(super) has_turn: bool,
    input_hash: String,
    next_at: i64,
}

/// The `result` column.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    effects: Vec<Effect>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ActionError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version_after: Option<SourceVersion>,
}

impl Operations {
    /// The operation of this id.
    ///
    /// # Errors
    /// [`OperationError::Read`].
    pub async fn find(&self, id: &str) -> Result<Option<Operation>, OperationError> {
        Ok(self.record(id).await?.map(|record| record.operation))
    }

    /// Operations, newest first: of one order, or in these states; after the id of the page before.
    ///
    /// # Errors
    /// [`OperationError::Read`].
    pub async fn list(
        &self,
        order: Option<&OrderId>,
        states: &[OperationState],
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Operation>, OperationError> {
        let mut values = vec![i64::from(limit).into()];
        let mut conditions = vec!["1 = 1".to_owned()];
        if let Some(order) = order {
            values.push(order.to_string().into());
            conditions.push(format!("order_id = ${}", values.len()));
        }
        if let Some(after) = after {
            values.push(after.into());
            conditions.push(format!("id < ${}", values.len()));
        }
        if !states.is_empty() {
            values.push(Value::Texts(states.iter().map(|state| state.as_str().to_owned()).collect()));
            conditions.push(self.database.dialect().any_of("state", values.len()));
        }
        // Ids begin with the time they were made at.
        let sql = format!("where {} order by id desc limit $1", conditions.join(" and "));
        Ok(self.records(&sql, &values).await?.into_iter().map(|record| record.operation).collect())
    }

    /// What is recorded under the intent's key.
    pub(super) async fn recorded(&self, intent: &Intent) -> Result<Option<Operation>, OperationError> {
        let values = [intent.principal.as_str().into(), intent.idempotency_key.as_str().into()];
        let found = self.records("where principal = $1 and idempotency_key = $2", &values).await?.pop();
        found
            .map(|record| {
                let same = record.input_hash == input_hash(intent);
                same.then_some(record.operation).ok_or(OperationError::KeyMismatch)
            })
            .transpose()
    }

    pub(super) async fn record(&self, id: &str) -> Result<Option<Record>, OperationError> {
        Ok(self.records("where id = $1", &[id.into()]).await?.pop())
    }

    /// What settlement has to look at, longest due first.
    pub(super) async fn due(&self, limit: usize) -> Result<Vec<Record>, OperationError> {
        let now = self.now().timestamp_micros();
        let sql = "where state in ('DISPATCHING', 'ACCEPTED', 'UNKNOWN') and next_at <= $1 order by next_at limit $2";
        self.records(sql, &[now.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()]).await
    }

    async fn records(&self, conditions: &str, values: &[Value<'_>]) -> Result<Vec<Record>, OperationError> {
        let sql = format!("select {COLUMNS} from operations {conditions}");
        let rows = self.database.fetch_all(&sql, values).await.map_err(OperationError::Read)?;
        let understand = |row: &Row| {
            let id = row.text(0).map_err(OperationError::Read)?;
            Record::read(row).map_err(OperationError::Read)?.ok_or(OperationError::Row(id))
        };
        rows.iter().map(understand).collect()
    }

    /// Records an intent as being asked for by this node; none when its key is already recorded.
    pub(super) async fn insert(&self, intent: &Intent) -> Result<Option<Record>, DatabaseError> {
        let now = self.now();
        let operation = Operation {
            id: Uuid::now_v7().to_string(),
            principal: intent.principal.clone(),
            idempotency_key: intent.idempotency_key.clone(),
            source: intent.source.clone(),
            order: intent.order.clone(),
            action: intent.action.clone(),
            state: OperationState::Dispatching,
            attempts: 1,
            effects: Vec::new(),
            error: None,
            version_after: None,
            dry_run: false,
            created_at: now,
            updated_at: now,
            finished_at: None,
        };
        let record = Record {
            operation,
            input: intent.input.clone(),
            expected_version: intent.expected_version,
            actor: intent.actor.clone(),
            traceparent: intent.traceparent.clone(),
            has_turn: false,
            input_hash: input_hash(intent),
            next_at: self.lease_until(),
        };
        let sql = "insert into operations (id, principal, idempotency_key, input_hash, source, order_id, action, input, \
                   expected_version, actor, traceparent, state, attempts, created_at, updated_at, next_at) \
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'DISPATCHING', 1, $12, $12, $13) \
                   on conflict (principal, idempotency_key) do nothing";
        let order = record.operation.order.as_ref().map(OrderId::to_string);
        let values = [
            record.operation.id.as_str().into(),
            intent.principal.as_str().into(),
            intent.idempotency_key.as_str().into(),
            record.input_hash.as_str().into(),
            intent.source.as_str().into(),
            Value::from(order.as_deref()),
            intent.action.as_str().into(),
            Json::Object(intent.input.clone()).to_string().into(),
            intent.expected_version.map(SourceVersion::get).into(),
            Value::from(intent.actor.as_deref()),
            Value::from(intent.traceparent.as_deref()),
            now.timestamp_micros().into(),
            record.next_at.into(),
        ];
        match self.database.execute(sql, &values).await {
            Ok(touched) => Ok((touched > 0).then_some(record)),
            // A commit whose answer was lost may have happened: then the row is there, and is ours to ask for.
            Err(error) => match self.record(&record.operation.id).await {
                Ok(Some(record)) => Ok(Some(record)),
                Ok(None) | Err(_) => Err(error),
            },
        }
    }

    /// Takes a row that is due, unless another node has.
    pub(super) async fn claim(&self, record: &Record) -> Result<bool, OperationError> {
        let sql = "update operations set next_at = $1 where id = $2 and state = $3 and next_at = $4";
        let Operation { id, state, .. } = &record.operation;
        let values = [self.lease_until().into(), id.as_str().into(), state.as_str().into(), record.next_at.into()];
        Ok(self.database.execute(sql, &values).await.map_err(OperationError::Record)? > 0)
    }

    /// Notes a further attempt before it is made, and keeps the row.
    pub(super) async fn note_attempt(&self, record: &mut Record) -> Result<(), DatabaseError> {
        let attempts = record.operation.attempts + 1;
        let sql = "update operations set attempts = $1, next_at = $2 \
                   where id = $3 and state not in ('SUCCEEDED', 'REJECTED')";
        let values = [i64::from(attempts).into(), self.lease_until().into(), record.operation.id.as_str().into()];
        self.database.execute(sql, &values).await?;
        record.operation.attempts = attempts;
        Ok(())
    }

    /// Until when a row that this node takes now is left alone by the others.
    fn lease_until(&self) -> i64 {
        self.now().timestamp_micros() + micros(self.limits.lease)
    }

    /// Writes where an operation stands, unless it has ended. `next_at`: when settlement looks at it again.
    pub(super) fn statement(operation: &Operation, next_at: i64) -> Statement {
        let outcome = Outcome {
            effects: operation.effects.clone(),
            error: operation.error.clone(),
            version_after: operation.version_after,
        };
        Statement::new(
            "update operations set state = $1, attempts = $2, order_id = coalesce(order_id, $3), result = $4, \
             updated_at = $5, finished_at = $6, next_at = $7 where id = $8 and state not in ('SUCCEEDED', 'REJECTED')",
            vec![
                operation.state.as_str().into(),
                i64::from(operation.attempts).into(),
                operation.order.as_ref().map_or(Value::Text(None), |id| id.to_string().into()),
                json!(outcome).to_string().into(),
                operation.updated_at.timestamp_micros().into(),
                operation.finished_at.map(|at| at.timestamp_micros()).into(),
                next_at.into(),
                operation.id.clone().into(),
            ],
        )
    }
}

impl Record {
    /// The row, or none when it is not one of ours.
    fn read(row: &Row) -> Result<Option<Self>, DatabaseError> {
        let (source, order, action, state) = (row.text(3)?, row.opt_text(4)?, row.text(5)?, row.text(6)?);
        let outcome = row.opt_text(11)?.map_or(Ok(Outcome::default()), |json| serde_json::from_str(&json));
        let (Ok(source), Ok(order), Ok(action), Some(state), Ok(outcome), Ok(input), Ok(expected_version)) = (
            SourceKey::try_new(source),
            order.map(|id| OrderId::parse(&id)).transpose(),
            ActionName::try_new(action),
            OperationState::parse(&state),
            outcome,
            serde_json::from_str(&row.text(12)?),
            row.opt_int(13)?.map(SourceVersion::try_new).transpose(),
        ) else {
            return Ok(None);
        };
        let operation = Operation {
            id: row.text(0)?,
            principal: row.text(1)?,
            idempotency_key: row.text(2)?,
            source,
            order,
            action,
            state,
            attempts: u32::try_from(row.int(7)?).unwrap_or(u32::MAX),
            effects: outcome.effects,
            error: outcome.error,
            version_after: outcome.version_after,
            dry_run: false,
            created_at: time(row.int(8)?),
            updated_at: time(row.int(9)?),
            finished_at: row.opt_int(10)?.map(time),
        };
        Ok(Some(Self {
            operation,
            input,
            expected_version,
            actor: row.opt_text(14)?,
            traceparent: row.opt_text(15)?,
            has_turn: false,
            input_hash: row.text(16)?,
            next_at: row.int(17)?,
        }))
    }
}

/// Tells two inputs apart, not two spellings: keys are sorted at every depth.
fn input_hash(intent: &Intent) -> String {
    let Intent { source, order, action, input, expected_version, .. } = intent;
    let order = order.as_ref().map(OrderId::to_string);
    let mut whole = json!([source, order, action, input, expected_version]);
    whole.sort_all_objects();
    hex(&Sha256::digest(whole.to_string()))
}
