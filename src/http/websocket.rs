//! GraphQL over WebSocket: the `graphql-transport-ws` protocol, with the close codes that its clients expect.
//!
//! It owns one socket from its upgrade to its close. It refuses to run anything before a valid `connection_init`, and
//! to buffer for a client that does not read. That is so that a subscription is authenticated and bounded like a
//! request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Response as GraphqlResponse};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::{AbortHandle, BoxStream, SelectAll, abortable};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::App;
use super::accept::Media;
use super::gate::Caller;
use super::graphql::{Outcome, Parameters};
use super::reply::Refusal;
use super::trace::RequestMeta;

const SUBPROTOCOL: &str = "graphql-transport-ws";

/// A message from a client. Each type uses what it needs of it and tolerates the rest.
#[derive(Deserialize)]
struct ClientMessage<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    id: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Why a socket is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Close(u16, String);

impl Close {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        // A control frame carries 125 bytes, two of them the code.
        reason.truncate(reason.floor_char_boundary(123));
        Self(code, reason)
    }
}

/// What an operation of a socket yields: a result, or its end.
type Event = (String, Option<GraphqlResponse>);

/// Upgrades the connection, if there is room and the page may.
pub(crate) fn upgrade<E: Executor>(
    app: Arc<App<E>>,
    meta: RequestMeta,
    headers: &HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !app.gate.knows_origin(headers) {
        let message = "pages of this origin may not connect; an operator lists them in `http.allowed_origins`";
        return Refusal::new(StatusCode::FORBIDDEN, "FORBIDDEN", message).respond(Media::Json);
    }
    let Ok(permit) = app.sockets.clone().try_acquire_owned() else {
        let message = "too many WebSockets are open; try again in a moment";
        return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message).respond(Media::Json);
    };
    let limit = app.websocket.message_bytes_max;
    let headers = headers.clone();
    let token = app.tasks.token();
    upgrade.protocols([SUBPROTOCOL]).max_message_size(limit).max_frame_size(limit).on_upgrade(
        move |socket| async move {
            metrics::gauge!("websocket_connections").increment(1);
            Connection::new(app, meta, headers, socket).run().await;
            metrics::gauge!("websocket_connections").decrement(1);
            drop((permit, token));
        },
    )
}

struct Connection<E> {
    app: Arc<App<E>>,
    meta: RequestMeta,
    headers: HeaderMap,
    socket: WebSocket,
    /// Set by a valid `connection_init`.
    caller: Option<Caller>,
    under_way: HashMap<String, AbortHandle>,
    events: SelectAll<BoxStream<'static, Event>>,
    heard: Instant,
}

impl<E: Executor> Connection<E> {
    fn new(app: Arc<App<E>>, meta: RequestMeta, headers: HeaderMap, socket: WebSocket) -> Self {
        Self {
            app,
            meta,
            headers,
            socket,
            caller: None,
            under_way: HashMap::new(),
            events: SelectAll::new(),
            heard: Instant::now(),
        }
    }

    async fn run(mut self) {
        let Err(Close(code, reason)) = self.serve().await else { return };
        tracing::debug!(code, reason, request_id = self.meta.request_id, "closing a WebSocket");
        let frame = CloseFrame { code, reason: reason.into() };
        // A client that is gone needs no farewell; one that is there answers it.
        let patience = self.send_timeout();
        let _ = tokio::time::timeout(patience, async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        })
        .await;
    }

    /// `Ok` when the client has left, else why it is to leave.
    async fn serve(&mut self) -> Result<(), Close> {
        if self.socket.protocol().is_none() {
            return Err(Close::new(4406, format!("Subprotocol not acceptable: offer {SUBPROTOCOL}")));
        }
        let app = self.app.clone();
        let init_timeout = tokio::time::sleep(Duration::from_millis(app.websocket.init_timeout_ms));
        tokio::pin!(init_timeout);
        let interval = Duration::from_millis(app.websocket.keepalive_ms);
        let mut keepalive = tokio::time::interval_at(Instant::now() + interval, interval);
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = app.draining.cancelled() => return Err(Close::new(1001, "the server is going away")),
                () = &mut init_timeout, if self.caller.is_none() => {
                    return Err(Close::new(4408, "Connection initialisation timeout"));
                }
                _ = keepalive.tick() => self.keep_alive(interval).await?,
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.receive(text.as_str()).await?,
                    Some(Ok(Message::Binary(_))) => return Err(Close::new(4400, "Messages are text")),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => self.heard = Instant::now(),
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Err(error)) => return broken(&error),
                },
                Some(event) = self.events.next(), if !self.events.is_empty() => self.relay(event).await?,
            }
        }
    }

    async fn keep_alive(&mut self, interval: Duration) -> Result<(), Close> {
        if self.heard.elapsed() > interval * 2 {
            return Err(Close::new(1001, "nothing was heard of the client"));
        }
        if let Some(caller) = &self.caller
            && !self.app.gate.still_admits(caller).await
        {
            return Err(Close::new(4403, "Forbidden: the API key was revoked"));
        }
        self.send(Message::Ping(Vec::new().into())).await
    }

    async fn receive(&mut self, text: &str) -> Result<(), Close> {
        self.heard = Instant::now();
        let invalid = |what: &str| Close::new(4400, format!("Invalid message received: {what}"));
        let ClientMessage { kind, id, payload } =
            serde_json::from_str(text).map_err(|_| invalid("it is not a JSON object with a `type`"))?;
        match (kind.as_ref(), id) {
            ("connection_init", _) if self.caller.is_some() => {
                Err(Close::new(4429, "Too many initialisation requests"))
            }
            ("connection_init", _) => {
                self.caller = Some(self.admit(payload).await?);
                self.send_json(&json!({ "type": "connection_ack" })).await
            }
            ("ping", _) => match payload {
                None => self.send_json(&json!({ "type": "pong" })).await,
                Some(payload) => self.send_json(&json!({ "type": "pong", "payload": payload })).await,
            },
            ("pong", _) => Ok(()),
            ("subscribe", Some(id)) => self.subscribe(id, payload.ok_or_else(|| invalid("no payload"))?.get()).await,
            ("complete", Some(id)) => {
                if let Some(handle) = self.under_way.remove(&id) {
                    handle.abort();
                }
                Ok(())
            }
            ("subscribe" | "complete", None) => Err(invalid("no id")),
            _ => Err(invalid("its type is unknown")),
        }
    }

    /// A key in the payload, as browsers must send it, or in the header of the upgrade.
    async fn admit(&mut self, payload: Option<&RawValue>) -> Result<Caller, Close> {
        let payload: Value = payload.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let given = payload.get("Authorization").or_else(|| payload.get("authorization"));
        let gate = &self.app.gate;
        let admitted = match given.and_then(Value::as_str) {
            Some(text) if !matches!(gate.is_open().await, Ok(true)) => gate.admit_key(text).await,
            _ => gate.admit(&self.headers).await,
        };
        admitted.map_err(|refusal| match refusal.status {
            StatusCode::SERVICE_UNAVAILABLE => Close::new(1013, refusal.message),
            _ => Close::new(4403, format!("Forbidden: {}", refusal.message)),
        })
    }

    async fn subscribe(&mut self, id: String, payload: &str) -> Result<(), Close> {
        let Some(caller) = &self.caller else { return Err(Close::new(4401, "Unauthorized")) };
        if self.under_way.contains_key(&id) {
            return Err(Close::new(4409, format!("Subscriber for {id} already exists")));
        }
        let parameters =
            Parameters::from_json(payload.as_bytes()).map_err(|refusal| Close::new(4400, refusal.message))?;
        let limit = self.app.websocket.operations_per_socket_max;
        if self.under_way.len() >= limit {
            let message =
                format!("this socket already has {limit} operations under way: complete one, or open another");
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_OPERATIONS", message);
            return self.send_json(&json!({ "type": "error", "id": id, "payload": refusal.errors() })).await;
        }
        let principal = caller.principal.clone();
        let prepared = match parameters.prepare(self.app.limits.query_bytes_max, principal, &self.meta) {
            Ok(prepared) => prepared,
            Err(error) => {
                let errors = Outcome::of(GraphqlResponse::from_errors(vec![error])).errors;
                return self.send_json(&json!({ "type": "error", "id": id, "payload": errors })).await;
            }
        };
        let app = self.app.clone();
        let results: BoxStream<'static, GraphqlResponse> = match prepared.kind {
            Some(OperationType::Subscription) => app.schema.execute_stream(prepared.request, None),
            _ => stream::once(async move {
                app.run(prepared).await.unwrap_or_else(|refusal| {
                    let mut error = async_graphql::ServerError::new(refusal.message, None);
                    error.extensions.get_or_insert_default().set("code", refusal.code);
                    GraphqlResponse::from_errors(vec![error])
                })
            })
            .boxed(),
        };
        let (name, end) = (id.clone(), id.clone());
        let events = results.map(move |response| (name.clone(), Some(response)));
        let (events, handle) = abortable(events.chain(stream::iter([(end, None)])));
        self.events.push(events.boxed());
        self.under_way.insert(id, handle);
        Ok(())
    }

    async fn relay(&mut self, (id, response): Event) -> Result<(), Close> {
        let Some(response) = response else {
            self.under_way.remove(&id);
            return self.send_json(&json!({ "type": "complete", "id": id })).await;
        };
        let outcome = Outcome::of(response);
        if outcome.data.is_some() {
            // Written around the payload, which is text already and large.
            let payload = outcome.to_json().map_err(|_| Close::new(1011, "the result could not be written"))?;
            let text = format!("{{\"type\":\"next\",\"id\":{},\"payload\":{payload}}}", Value::from(id));
            return self.send(Message::Text(text.into())).await;
        }
        if let Some(handle) = self.under_way.remove(&id) {
            handle.abort();
        }
        self.send_json(&json!({ "type": "error", "id": id, "payload": outcome.errors })).await
    }

    async fn send_json(&mut self, message: &Value) -> Result<(), Close> {
        self.send(Message::Text(message.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Close> {
        match tokio::time::timeout(self.send_timeout(), self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Close::new(1001, "the connection broke")),
            Err(_) => Err(Close::new(1013, "the client does not read")),
        }
    }

    fn send_timeout(&self) -> Duration {
        Duration::from_millis(self.app.websocket.send_timeout_ms)
    }
}

/// What the connection's end looks like from below the messages.
fn broken(error: &axum::Error) -> Result<(), Close> {
    use std::error::Error as _;
    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    // axum hides the error's type.
    if text.contains("Space limit exceeded") {
        return Err(Close::new(1009, "the message is too large"));
    }
    Ok(())
}
