//! The center as any client sees it: GraphQL over HTTP.
//!
//! It owns the few queries that the demonstration asks. It refuses any other way in: what it shows, a reader can ask
//! for with curl.

use std::collections::BTreeMap;

use order_contract::Amount;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::ledger::Sums;

/// Orders from the file: their numbers are digits, those of orders that were created later begin with an R.
const FROM_THE_FILE: &str = r#"{ source: { eq: "retail" }, NOT: { number: { startsWith: "R" } } }"#;

/// Why the center did not answer a query.
#[derive(Debug, thiserror::Error)]
pub enum CenterError {
    /// No answer.
    #[error("the center does not answer at {0}")]
    Unreachable(String, #[source] reqwest::Error),
    /// An answer with errors.
    #[error("the center refused a query: {0}")]
    Refused(String),
    /// An answer that is not what the schema promises.
    #[error("the center's answer cannot be understood")]
    Answer(#[source] serde_json::Error),
}

/// A client of the center.
#[derive(Clone, Debug)]
pub struct Center {
    http: reqwest::Client,
    url: String,
}

/// How far the center has come with the modules' orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Orders of the file in the index.
    pub file: u64,
    /// Orders of all sources in the index.
    pub orders: u64,
    /// Sources whose changes were read to the end at least once.
    pub complete: usize,
    /// Inputs in quarantine.
    pub quarantined: u64,
    /// What went wrong last.
    pub error: Option<String>,
}

/// An HTTP client.
///
/// # Panics
/// When the system gives no random numbers to the TLS library, which is not used here.
pub(crate) fn http() -> reqwest::Client {
    // A second installation is refused and changes nothing: the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// The statuses in the order of an order's life.
const LIFE: &[&str] = &[
    "PENDING_PAYMENT",
    "PENDING_ACCEPTANCE",
    "PROCESSING",
    "AWAITING_CONFIRMATION",
    "COMPLETED",
    "CANCELED",
    "EXPIRED",
];

/// An order to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its global id.
    pub id: String,
    /// Its owner's state.
    pub state: String,
    /// What it costs, with the currency.
    pub total: String,
    /// Its first line.
    pub what: String,
    /// What its owner would do with it now.
    pub actions: Vec<String>,
}

/// An order that its owner would cancel now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Cancelable {
    /// Its global id.
    pub id: String,
    /// Its number.
    pub number: String,
}

impl Center {
    /// A client for this GraphQL URL.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self { http: http(), url }
    }

    /// Its GraphQL URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks a query or mutation.
    ///
    /// # Errors
    /// [`CenterError`].
    pub async fn ask<T: DeserializeOwned>(&self, query: &str, variables: Value) -> Result<T, CenterError> {
        let unreachable = |e| CenterError::Unreachable(self.url.clone(), e);
        let request = self.http.post(&self.url).json(&json!({ "query": query, "variables": variables }));
        let body = request.send().await.map_err(unreachable)?.bytes().await.map_err(unreachable)?;
        let mut answer: Value = serde_json::from_slice(&body).map_err(CenterError::Answer)?;
        if let Some(error) = answer.pointer("/errors/0/message") {
            return Err(CenterError::Refused(error.to_string()));
        }
        serde_json::from_value(answer["data"].take()).map_err(CenterError::Answer)
    }

    /// How far it has come.
    ///
    /// # Errors
    /// [`CenterError`].
    pub async fn pulled(&self) -> Result<Pulled, CenterError> {
        let query = format!(
            "{{ file: orderAggregates(where: {FROM_THE_FILE}) {{ rows {{ orders }} }} all: orderAggregates {{ rows {{ orders }} }} \
             sources {{ sync {{ lastSuccessAt quarantined lastError }} }} }}"
        );
        let answer: Value = self.ask(&query, Value::Null).await?;
        let orders = |of: &str| {
            let rows = answer[of]["rows"].as_array().into_iter().flatten();
            rows.filter_map(|row| row["orders"].as_u64()).sum()
        };
        let sources = answer["sources"].as_array().into_iter().flatten().map(|source| &source["sync"]);
        Ok(Pulled {
            file: orders("file"),
            orders: orders("all"),
            complete: sources.clone().filter(|sync| !sync["lastSuccessAt"].is_null()).count(),
            quarantined: sources.clone().filter_map(|sync| sync["quarantined"].as_u64()).sum(),
            error: sources.filter_map(|sync| sync["lastError"].as_str()).next().map(str::to_owned),
        })
    }

    /// The sums of the file's orders by country.
    ///
    /// # Errors
    /// [`CenterError`].
    pub async fn countries(&self) -> Result<BTreeMap<String, Sums>, CenterError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            order_aggregates: Aggregates,
        }
        #[derive(Deserialize)]
        struct Aggregates {
            rows: Vec<Row>,
        }
        #[derive(Deserialize)]
        struct Row {
            country: Option<String>,
            orders: u64,
            lines: u64,
            total: Money,
            refunded: Money,
        }
        #[derive(Deserialize)]
        struct Money {
            amount: Amount,
        }
        let query = format!(
            "{{ orderAggregates(where: {FROM_THE_FILE}, groupBy: [COUNTRY]) {{ \
             rows {{ country orders lines total {{ amount }} refunded {{ amount }} }} }} }}"
        );
        let answer: Answer = self.ask(&query, Value::Null).await?;
        let sums = answer.order_aggregates.rows.into_iter().map(|row| {
            let (ordered, reversed) = (row.total.amount, row.refunded.amount);
            (row.country.unwrap_or_default(), Sums { orders: row.orders, lines: row.lines, ordered, reversed })
        });
        Ok(sums.collect())
    }

    /// How many orders of each status the sources have: by source, in the order of an order's life.
    ///
    /// # Errors
    /// [`CenterError`].
    pub async fn statuses(&self) -> Result<BTreeMap<String, Vec<(String, u64)>>, CenterError> {
        let query = "{ orderAggregates(groupBy: [SOURCE, STATUS]) { rows { source status orders } } }";
        let answer: Value = self.ask(query, Value::Null).await?;
        let mut statuses: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
        for row in answer["orderAggregates"]["rows"].as_array().into_iter().flatten() {
            let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
            statuses
                .entry(text("source"))
                .or_default()
                .push((text("status"), row["orders"].as_u64().unwrap_or_default()));
        }
        for counts in statuses.values_mut() {
            counts.sort_by_key(|(status, _)| (LIFE.iter().position(|known| known == status), status.clone()));
        }
        Ok(statuses)
    }

    /// The newest order of a source that can still be called off, and what its owner would do with it now.
    ///
    /// # Errors
    /// [`CenterError`].
    pub async fn newest(&self, source: &str) -> Result<Option<Newest>, CenterError> {
        let query = "query($source: String!) { orders(first: 1, where: { source: { eq: $source }, \
                     status: { in: [PROCESSING, PENDING_ACCEPTANCE, AWAITING_CONFIRMATION] } }) { nodes { \
                     id native { state } lines { name } totals { total { amount currencyCode } } \
                     availableActions { name enabled } } } }";
        let answer: Value = self.ask(query, json!({ "source": source })).await?;
        let Some(order) = answer.pointer("/orders/nodes/0") else { return Ok(None) };
        let text = |pointer: &str| order.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let actions = order["availableActions"].as_array().into_iter().flatten();
        let enabled = actions.filter(|action| action["enabled"] == true);
        Ok(Some(Newest {
            id: text("/id").into(),
            state: text("/native/state").into(),
            total: format!("{} {}", text("/totals/total/amount"), text("/totals/total/currencyCode")),
            what: text("/lines/0/name").into(),
            actions: enabled.filter_map(|action| action["name"].as_str().map(str::to_owned)).collect(),
        }))
    }

    /// Whether nobody has asked for an action yet.
    ///
    /// # Errors
    /// [`CenterError`].
    pub async fn is_untouched(&self) -> Result<bool, CenterError> {
        let answer: Value = self.ask("{ operations(first: 1) { nodes { id } } }", json!({})).await?;
        Ok(answer.pointer("/operations/nodes").and_then(Value::as_array).is_some_and(Vec::is_empty))
    }

    /// A retail order whose owner would cancel it now: the newest that is paid, else one that is not.
    ///
    /// # Errors
    /// [`CenterError`].
    pub async fn cancelable(&self) -> Result<Option<Cancelable>, CenterError> {
        let query = "query($status: OrderStatus!) { orders(where: { source: { eq: \"retail\" }, status: { eq: $status } }, first: 20) { nodes { \
                     id number availableActions { name enabled } } } }";
        for status in ["PROCESSING", "PENDING_PAYMENT"] {
            let answer: Value = self.ask(query, json!({ "status": status })).await?;
            let mut orders = answer.pointer("/orders/nodes").and_then(Value::as_array).into_iter().flatten();
            let found = orders.find(|order| {
                let mut actions = order["availableActions"].as_array().into_iter().flatten();
                actions.any(|action| action["name"] == "cancel" && action["enabled"] == true)
            });
            if let Some(order) = found {
                return Cancelable::deserialize(order).map(Some).map_err(CenterError::Answer);
            }
        }
        Ok(None)
    }
}
