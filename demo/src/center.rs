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
const FROM_THE_FILE: &str = r#"{ NOT: { number: { startsWith: "R" } } }"#;

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

/// How far the center has come with the module's orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Orders in the index.
    pub orders: u64,
    /// Inputs in quarantine.
    pub quarantined: u64,
    /// What went wrong last.
    pub error: Option<String>,
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
    ///
    /// # Panics
    /// When the system gives no random numbers to the TLS library, which is not used here.
    #[must_use]
    pub fn new(url: String) -> Self {
        // A second installation is refused and changes nothing: the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { http: reqwest::Client::new(), url }
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
            "{{ orderAggregates(where: {FROM_THE_FILE}) {{ rows {{ orders }} }} sources {{ sync {{ quarantined lastError }} }} }}"
        );
        let answer: Value = self.ask(&query, Value::Null).await?;
        let rows = answer["orderAggregates"]["rows"].as_array();
        Ok(Pulled {
            orders: rows.into_iter().flatten().filter_map(|row| row["orders"].as_u64()).sum(),
            quarantined: answer.pointer("/sources/0/sync/quarantined").and_then(Value::as_u64).unwrap_or_default(),
            error: answer.pointer("/sources/0/sync/lastError").and_then(Value::as_str).map(str::to_owned),
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

    /// An order whose owner would cancel it now: the newest that is paid, else one that is not.
    ///
    /// # Errors
    /// [`CenterError`].
    pub async fn cancelable(&self) -> Result<Option<Cancelable>, CenterError> {
        let query = "query($status: OrderStatus!) { orders(where: { status: { eq: $status } }, first: 20) { nodes { \
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
