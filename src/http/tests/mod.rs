//! The routes over real sockets, with a schema that misbehaves on request.

mod requests;
mod sockets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_graphql::{Context, Error, ErrorExtensions as _, Object, Schema, Subscription};
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ApiKeys, App, Behind, listen, router};
use crate::config::Config;
use crate::database::{Database, PoolLimits};
use crate::graphql::{Principal, Traceparent};
use crate::index::Index;
use crate::ingest::Ingest;
use crate::source::Registry;

/// What resolvers wait for and leave behind.
#[derive(Default)]
struct Stage {
    go: Notify,
    begun: AtomicUsize,
    done: AtomicUsize,
    streams: AtomicUsize,
}

struct Query;
struct Mutation;
struct Subscription_;

#[Object]
impl Query {
    async fn hello(&self, #[graphql(default)] name: String) -> String {
        format!("hello {name}")
    }

    async fn who(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        let trace = &ctx.data::<Traceparent>()?.0;
        Ok(format!("{} {trace}", ctx.data::<Principal>()?.name))
    }

    async fn forever(&self) -> bool {
        std::future::pending().await
    }

    async fn panic(&self) -> bool {
        std::env::var("ORDER_CENTER_NOT_SET").map(|_| true).expect("secret internals of sqlx at src/somewhere.rs")
    }

    async fn careless(&self) -> async_graphql::Result<Option<bool>> {
        Err(Error::new("sqlx: no such table in src/database.rs"))
    }

    async fn careful(&self) -> async_graphql::Result<Option<bool>> {
        Err(Error::new("give another id").extend_with(|_, e| e.set("code", "BAD_USER_INPUT")))
    }

    #[graphql(name = "self")]
    async fn itself(&self) -> Query {
        Query
    }
}

#[Object]
impl Mutation {
    /// Waits until it may go on, twice, as an action of several steps would.
    async fn slow(&self, ctx: &Context<'_>) -> async_graphql::Result<bool> {
        let stage = ctx.data::<Arc<Stage>>()?;
        stage.begun.fetch_add(1, Ordering::SeqCst);
        stage.go.notified().await;
        stage.done.fetch_add(1, Ordering::SeqCst);
        Ok(true)
    }
}

#[Subscription(name = "Subscription")]
impl Subscription_ {
    async fn count(&self, to: i32) -> impl Stream<Item = i32> + use<> {
        stream::iter(0..to)
    }

    /// One value, then silence until it is dropped.
    async fn silence(&self, ctx: &Context<'_>) -> async_graphql::Result<impl Stream<Item = i32> + use<>> {
        let stage = ctx.data::<Arc<Stage>>()?.clone();
        stage.streams.fetch_add(1, Ordering::SeqCst);
        let open = OpenStream(stage);
        Ok(stream::iter([1]).chain(stream::pending()).inspect(move |_| {
            let _ = &open;
        }))
    }
}

struct OpenStream(Arc<Stage>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A server of this test alone.
struct Server {
    address: SocketAddr,
    stage: Arc<Stage>,
    keys: ApiKeys,
    draining: CancellationToken,
    connections: TaskTracker,
    tasks: TaskTracker,
    _folder: tempfile::TempDir,
}

async fn serve(change: impl FnOnce(&mut Config)) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("http.db").display());
    let database = Database::open(&url, PoolLimits::default()).await.unwrap();
    let mut config = Config::default();
    change(&mut config);
    let stage = Arc::new(Stage::default());
    let schema = Schema::build(Query, Mutation, Subscription_).data(stage.clone()).finish();
    let registry = Registry::default();
    let clock: crate::ingest::Clock = Arc::new(chrono::Utc::now);
    let ingest =
        Ingest::new(database.clone(), Index::new(database.clone()), registry.clone(), clock, config.ingest_limits());
    let keys = ApiKeys::new(database.clone());
    let behind = Behind {
        sdl: schema.sdl(),
        schema,
        database,
        ingest,
        registry,
        limits: config.graphql_limits(),
        loopback: true,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (draining, connections, tasks) = (CancellationToken::new(), TaskTracker::new(), TaskTracker::new());
    let app = App::new(behind, config.http.clone(), config.websocket, draining.clone(), tasks.clone());
    let ends = listen::Ends { draining: draining.clone(), abandon: CancellationToken::new() };
    tokio::spawn(listen::serve(listener, router(Arc::new(app)), config.http, ends, connections.clone()));
    Server { address, stage, keys, draining, connections, tasks, _folder: folder }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    /// Sends a request exactly as written here and reads the whole answer.
    async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{head}\r\nhost: {}\r\nconnection: close\r\n", self.address);
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        stream.write_all(format!("{head}{length}\r\n").as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        read(&mut stream).await
    }

    async fn post(&self, headers: &str, body: &str) -> Answer {
        let separator = if headers.is_empty() { "" } else { "\r\n" };
        let head = format!("POST /graphql HTTP/1.1\r\ncontent-type: application/json{separator}{headers}");
        self.send(&head, body.as_bytes()).await
    }

    async fn ask(&self, query: &str) -> Answer {
        self.post("", &serde_json::json!({ "query": query }).to_string()).await
    }
}

async fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
    reading.await.expect("an answer in time").expect("an answer");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    Answer { status, headers, text: body.to_owned() }
}

/// Waits until something is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}
