//! The `graphql-transport-ws` protocol, its close codes and its limits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::Utc;
use futures_util::{SinkExt as _, StreamExt as _};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{Server, serve, until};
use crate::graphql::Role;

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

async fn connect(server: &Server, headers: &[(&'static str, &str)]) -> Result<Client, Error> {
    let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    Ok(Client(tokio_tungstenite::connect_async(request).await?.0))
}

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

impl Client {
    async fn open(server: &Server) -> Self {
        connect(server, &[PROTOCOL]).await.unwrap()
    }

    async fn initialized(server: &Server) -> Self {
        let mut client = Self::open(server).await;
        client.send(json!({ "type": "connection_init" })).await;
        assert_eq!(client.receive().await, json!({ "type": "connection_ack" }));
        client
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
    }

    /// The next message that is not a keep-alive.
    async fn next(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("a message in time");
            match next.expect("the socket is open").expect("a message") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    async fn receive(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?} instead of a message"),
        }
    }

    async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Message::Close(Some(frame)) => {
                    let CloseCode::Library(code) = frame.code else {
                        return (frame.code.into(), frame.reason.to_string());
                    };
                    return (code, frame.reason.to_string());
                }
                Message::Text(_) => {}
                other => panic!("{other:?} instead of a close"),
            }
        }
    }
}

#[tokio::test]
async fn a_subscription_gives_its_values_and_ends() {
    let server = serve(|_| {}).await;
    let mut client = Client::initialized(&server).await;
    client.subscribe("1", "subscription{count(to:2)}").await;
    for value in 0..2 {
        assert_eq!(
            client.receive().await,
            json!({ "type": "next", "id": "1", "payload": { "data": { "count": value } } })
        );
    }
    assert_eq!(client.receive().await, json!({ "type": "complete", "id": "1" }));
    // The id is free again; queries and mutations come by the same way.
    client.subscribe("1", "{hello}").await;
    assert_eq!(client.receive().await["payload"]["data"]["hello"], "hello ");
    assert_eq!(client.receive().await["type"], "complete");
    client.subscribe("2", "{nothing}").await;
    let refused = client.receive().await;
    assert_eq!((refused["type"].as_str(), refused["id"].as_str()), (Some("error"), Some("2")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    client.subscribe("3", "{").await;
    assert_eq!(client.receive().await["payload"][0]["extensions"]["code"], "GRAPHQL_PARSE_FAILED");
}

#[tokio::test]
async fn completing_ends_a_subscription_on_the_server() {
    let server = serve(|_| {}).await;
    let mut client = Client::initialized(&server).await;
    client.subscribe("1", "subscription{silence}").await;
    assert_eq!(client.receive().await["type"], "next");
    assert_eq!(server.stage.streams.load(Ordering::SeqCst), 1);
    client.send(json!({ "type": "complete", "id": "1" })).await;
    until("the stream is dropped", || server.stage.streams.load(Ordering::SeqCst) == 0).await;
    // Nothing more is said of it, and the id is free.
    client.subscribe("1", "subscription{count(to:1)}").await;
    assert_eq!(client.receive().await["payload"]["data"]["count"], 0);
    // A client that leaves without a word leaves nothing behind.
    let mut other = Client::initialized(&server).await;
    other.subscribe("1", "subscription{silence}").await;
    assert_eq!(other.receive().await["type"], "next");
    drop(other);
    until("the stream is dropped", || server.stage.streams.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_breach_of_the_protocol_closes_with_its_code() {
    let server = serve(|_| {}).await;
    let init = json!({ "type": "connection_init" });
    let subscribe = json!({ "type": "subscribe", "id": "1", "payload": { "query": "subscription{silence}" } });
    for (messages, code) in [
        (vec![Message::text("{")], 4400),
        (vec![Message::text("{\"type\":\"start\"}")], 4400),
        (vec![Message::text("[]")], 4400),
        (vec![Message::binary(vec![1])], 4400),
        (vec![Message::text(subscribe.to_string())], 4401),
        (vec![Message::text(init.to_string()); 2], 4429),
        ([&init, &subscribe, &subscribe].map(|m| Message::text(m.to_string())).to_vec(), 4409),
        (vec![Message::text(init.to_string()), Message::text("{\"type\":\"subscribe\",\"payload\":{}}")], 4400),
        (
            vec![
                Message::text(init.to_string()),
                Message::text("{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":{\"query\":7}}"),
            ],
            4400,
        ),
    ] {
        let mut client = Client::open(&server).await;
        for message in &messages {
            client.0.send(message.clone()).await.unwrap();
        }
        let (closed, reason) = client.closed().await;
        assert_eq!(closed, code, "{messages:?}");
        assert!(!reason.is_empty());
    }
    let mut other = connect(&server, &[]).await.unwrap();
    assert_eq!(other.closed().await.0, 4406);
    until("the streams are dropped", || server.stage.streams.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_client_that_does_not_introduce_itself_is_closed() {
    let server = serve(|config| config.websocket.init_timeout_ms = 50).await;
    let mut client = Client::open(&server).await;
    client.send(json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(client.receive().await, json!({ "type": "pong", "payload": { "n": 1 } }));
    assert_eq!(client.closed().await.0, 4408);
}

#[tokio::test]
async fn a_key_comes_in_the_payload_or_the_header_and_can_be_revoked() {
    let server = serve(|config| {
        config.http.key_cache_ms = 1;
        config.websocket.keepalive_ms = 20;
    })
    .await;
    let (key, secret) = server.keys.create("shop", Role::Reader, Utc::now()).await.unwrap();
    let bearer = format!("Bearer {}", secret.expose_secret());
    for payload in
        [Value::Null, json!({}), json!({ "Authorization": "Bearer oc_wrong" }), json!({ "Authorization": 7 })]
    {
        let mut client = Client::open(&server).await;
        client.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(client.closed().await.0, 4403, "{payload}");
    }
    let mut by_header = connect(&server, &[PROTOCOL, ("authorization", &bearer)]).await.unwrap();
    by_header.send(json!({ "type": "connection_init" })).await;
    assert_eq!(by_header.receive().await["type"], "connection_ack");

    let mut client = Client::open(&server).await;
    client.send(json!({ "type": "connection_init", "payload": { "Authorization": bearer } })).await;
    assert_eq!(client.receive().await["type"], "connection_ack");
    client.subscribe("1", "{who}").await;
    assert!(client.receive().await["payload"]["data"]["who"].as_str().unwrap().starts_with("shop "));
    server.keys.revoke(&key.id, Utc::now()).await.unwrap();
    assert_eq!(client.closed().await.0, 4403);
}

#[tokio::test]
async fn sockets_messages_and_operations_are_limited() {
    let server = serve(|config| {
        config.websocket.sockets_max = 1;
        config.websocket.operations_per_socket_max = 1;
        config.websocket.message_bytes_max = 1_000;
    })
    .await;
    let mut client = Client::initialized(&server).await;
    match connect(&server, &[PROTOCOL]).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("a socket too many: {:?}", other.err()),
    }
    client.subscribe("1", "subscription{silence}").await;
    assert_eq!(client.receive().await["type"], "next");
    client.subscribe("2", "subscription{silence}").await;
    assert_eq!(client.receive().await["payload"][0]["extensions"]["code"], "TOO_MANY_OPERATIONS");
    client.send(json!({ "type": "ping", "payload": "x".repeat(2_000) })).await;
    assert_eq!(client.closed().await.0, 1009);
    drop(client);
    until("there is room again", || server.stage.streams.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn pages_of_other_origins_may_not_connect() {
    let server = serve(|config| config.http.allowed_origins = vec!["https://shop.example".to_owned()]).await;
    match connect(&server, &[PROTOCOL, ("origin", "https://evil.example")]).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("a foreign page: {:?}", other.err()),
    }
    let own = format!("http://{}", server.address);
    for origin in ["https://shop.example", own.as_str()] {
        assert!(connect(&server, &[PROTOCOL, ("origin", origin)]).await.is_ok(), "{origin}");
    }
}

#[tokio::test]
async fn leaving_says_so_and_lets_a_mutation_end() {
    let server = serve(|_| {}).await;
    let mut client = Client::initialized(&server).await;
    client.subscribe("1", "mutation{slow}").await;
    until("the mutation has begun", || server.stage.begun.load(Ordering::SeqCst) == 1).await;
    server.draining.cancel();
    assert_eq!(client.closed().await.0, 1001);
    drop(client);
    server.tasks.close();
    assert!(!server.tasks.is_empty());
    server.stage.go.notify_one();
    server.tasks.wait().await;
    assert_eq!(server.stage.done.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_went_silent_is_gone() {
    let server = serve(|config| config.websocket.keepalive_ms = 20).await;
    // It never reads, so it never answers a ping.
    let client = Client::initialized(&server).await;
    server.tasks.close();
    tokio::time::timeout(Duration::from_secs(20), server.tasks.wait()).await.expect("the socket is given up");
    drop(client);
}
