//! A module that can be made to hold and say anything: real HTTP over an in-memory list of raw orders.
//!
//! The retail module is honest: it stamps every change differently and never changes an order without its version.
//! Whether the center survives modules that are not, only a module without rules can show.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use order_contract::protocol::{CloudEvent, ListOrders, ORDER_CHANGED, paths};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

use crate::center::SECRET;
use crate::world::at;

/// What the module holds: raw orders by id. Their `times.updatedAt` is whatever they say.
type Orders = BTreeMap<String, Value>;

type BeforePage = Box<dyn FnMut(usize, &mut Orders) + Send>;

#[derive(Default)]
struct Held {
    orders: Orders,
    /// Its clock: the upper bound of lists, in seconds as of [`at`].
    now: i64,
    /// Called before each page with the number of pages before it.
    before_page: Option<BeforePage>,
    pages: usize,
    reads: usize,
    /// Answers with every order, whatever is asked for.
    ignores_filter: bool,
    /// Answers instead of everything else: status, headers, body.
    instead: Option<(u16, &'static str, String)>,
}

/// The module. Clones share its orders.
#[derive(Clone)]
pub(crate) struct Shelf {
    pub(crate) base_url: String,
    state: Arc<Mutex<Held>>,
}

impl Shelf {
    pub(crate) async fn start() -> Self {
        let state: Arc<Mutex<Held>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route(paths::DESCRIPTOR, get(descriptor))
            .route(paths::ORDERS, get(list))
            .route(paths::ORDER, get(order))
            .with_state(state.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { base_url, state }
    }

    /// Puts an order there, or replaces it.
    pub(crate) fn put(&self, order: Value) {
        let id = order["sourceOrderId"].as_str().unwrap().to_owned();
        self.state.lock().unwrap().orders.insert(id, order);
    }

    pub(crate) fn remove(&self, id: &str) {
        self.state.lock().unwrap().orders.remove(id);
    }

    pub(crate) fn orders(&self) -> Orders {
        self.state.lock().unwrap().orders.clone()
    }

    /// Sets the module's clock.
    pub(crate) fn set_now(&self, seconds: i64) {
        self.state.lock().unwrap().now = seconds;
    }

    pub(crate) fn before_page(&self, change: impl FnMut(usize, &mut Orders) + Send + 'static) {
        self.state.lock().unwrap().before_page = Some(Box::new(change));
    }

    /// Lists every order from now on, whatever range is asked for.
    pub(crate) fn ignore_filter(&self) {
        self.state.lock().unwrap().ignores_filter = true;
    }

    /// Answers everything but the descriptor with this from now on; none: as it should be.
    pub(crate) fn instead(&self, answer: Option<(u16, &'static str, &str)>) {
        self.state.lock().unwrap().instead = answer.map(|(status, kind, body)| (status, kind, body.to_owned()));
    }

    /// Lists and single orders that were asked for.
    pub(crate) fn asked(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.pages + state.reads
    }
}

async fn descriptor() -> Json<Value> {
    Json(json!({
        "protocol": "1.0", "module": { "name": "shelf", "version": "1", "title": "Shelf" }, "kind": "OTHER",
        "idempotency": "BLIND", "capabilities": { "pageSizeMax": 1000 }
    }))
}

fn answer((status, kind, body): (u16, &'static str, String)) -> Response {
    (StatusCode::from_u16(status).unwrap(), [("content-type", kind), ("retry-after", "60")], body).into_response()
}

/// Keyset over (updatedAt, id), as the protocol asks.
async fn list(State(state): State<Arc<Mutex<Held>>>, Query(query): Query<ListOrders>) -> Response {
    let mut state = state.lock().unwrap();
    let state = &mut *state;
    state.pages += 1;
    if let Some(instead) = state.instead.clone() {
        return answer(instead);
    }
    if let Some(change) = &mut state.before_page {
        change(state.pages - 1, &mut state.orders);
    }
    let to = query.updated_to.unwrap_or(at(state.now));
    let after: Option<(DateTime<Utc>, String)> = query.after.map(|after| serde_json::from_str(&after).unwrap());
    let mut found: Vec<_> = state
        .orders
        .iter()
        .map(|(id, order)| {
            ((order["times"]["updatedAt"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), id), order)
        })
        .filter(|((updated, _), _)| {
            state.ignores_filter || (*updated < to && query.updated_from.is_none_or(|from| *updated >= from))
        })
        .filter(|((updated, id), _)| after.as_ref().is_none_or(|(last, of)| (updated, *id) > (last, of)))
        .collect();
    found.sort_unstable_by_key(|(key, _)| *key);
    let limit = query.limit.unwrap_or(50) as usize;
    let next = (found.len() > limit).then(|| serde_json::to_string(&found[limit - 1].0).unwrap());
    let orders: Vec<&Value> = found.iter().take(limit).map(|(_, order)| *order).collect();
    Json(json!({ "orders": orders, "next": next, "updatedTo": to })).into_response()
}

async fn order(State(state): State<Arc<Mutex<Held>>>, Path(id): Path<String>) -> Response {
    let mut state = state.lock().unwrap();
    state.reads += 1;
    if let Some(instead) = state.instead.clone() {
        return answer(instead);
    }
    match state.orders.get(&id) {
        Some(order) => Json(order.clone()).into_response(),
        None => {
            let problem = json!({ "title": "Not Found", "status": 404, "code": "ORDER_NOT_FOUND" });
            (StatusCode::NOT_FOUND, Json(problem)).into_response()
        }
    }
}

/// A signed webhook that restates an order; without `data`, one that only announces it.
pub(crate) fn webhook(id: &str, subject: &str, data: Option<&Value>, signed_at: DateTime<Utc>) -> (HeaderMap, Vec<u8>) {
    let event = CloudEvent {
        specversion: "1.0".into(),
        id: id.into(),
        source: "/shelf".into(),
        event_type: ORDER_CHANGED.into(),
        subject: subject.into(),
        time: signed_at,
        datacontenttype: "application/json".into(),
        data,
    };
    let mut event = serde_json::to_value(&event).unwrap();
    if data.is_none() {
        event.as_object_mut().unwrap().remove("data");
    }
    let body = event.to_string().into_bytes();
    let signature = Webhook::new(SECRET).unwrap().sign(id, signed_at.timestamp(), &body).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", id.parse().unwrap());
    headers.insert("webhook-timestamp", signed_at.timestamp().to_string().parse().unwrap());
    headers.insert("webhook-signature", signature.parse().unwrap());
    (headers, body)
}
