//! The running center from outside: real sockets, a real module, real databases, and everything a client can do wrong.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chrono::Utc;
use http::StatusCode;
use order_center::config::{Config, DatabaseUrl, SecretRef, SourceConfig};
use order_center::graphql::Role;
use order_center::http::ApiKeys;
use order_center::serve::{self, Center, StartError};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::center::{Module, SECRET, until};
use crate::fault::{Asked, Fault};
use crate::world::{TestDatabase, order_json, postgres, source, sqlite};

/// A configuration for this database and, if given, a module as the source `retail`.
fn config(database: &TestDatabase, module: Option<&Module>) -> Config {
    let mut config = Config::default();
    config.database.url = DatabaseUrl::from(database.url.clone());
    config.http.listen.set_port(0);
    config.http.key_cache_ms = 1;
    config.ingest.poll_interval_ms = 50;
    if let Some(module) = module {
        let mut source = SourceConfig::new(source("retail"), &module.proxy.base_url);
        source.webhook_secrets = vec![SecretRef::Given(SecretString::from(SECRET))];
        config.sources = vec![source];
    }
    config
}

struct Caller {
    client: Client,
    base: String,
    key: Option<String>,
}

struct Answer {
    status: StatusCode,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Caller {
    fn new(center: &Center) -> Self {
        Self::at(format!("http://{}", center.address()))
    }

    fn at(base: String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { client: Client::new(), base, key: None }
    }

    /// With a new key of this role.
    async fn with(center: &Center, role: Role) -> Self {
        let keys = ApiKeys::new(center.database().clone());
        let (_, secret) = keys.create("test", role, Utc::now()).await.unwrap();
        Self { key: Some(secret.expose_secret().to_owned()), ..Self::new(center) }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.keyed(self.client.get(format!("{}{path}", self.base)))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.keyed(self.client.post(format!("{}{path}", self.base)))
    }

    fn keyed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn ask(&self, query: &str, variables: Value) -> Answer {
        send(self.post("/graphql").json(&json!({ "query": query, "variables": variables }))).await
    }

    /// The global id of the first order, once there is one.
    async fn first_order(&self) -> String {
        let query = "{ orders(first: 1) { nodes { id } } }";
        let id = async || self.ask(query, json!({})).await.json()["data"]["orders"]["nodes"][0]["id"].clone();
        until("the center has an order", async || id().await.is_string()).await;
        id().await.as_str().unwrap().to_owned()
    }

    async fn cancel(&self, id: &str, key: &str) -> Answer {
        let query = "mutation($input: CancelOrderInput!) { cancelOrder(input: $input) {
            order { status } operation { state } userErrors { code message } } }";
        self.ask(query, json!({ "input": { "id": id, "idempotencyKey": key } })).await
    }
}

async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer { status: response.status(), text: response.text().await.unwrap() }
}

/// What no client may ever read.
fn assert_no_internals(text: &str) {
    for internal in ["sqlx", "src/", ".rs", "panicked", "SELECT ", "select ", "insert into", "no such table"] {
        assert!(!text.contains(internal), "{internal:?} in {text}");
    }
}

async fn refused(config: Config) -> StartError {
    match serve::start(config).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn orders_come_from_the_module_and_actions_go_to_it() {
    let (database, module) = (sqlite().await, Module::start().await);
    module.import(["R-1".to_owned()]).await;
    let center = serve::start(config(&database, Some(&module))).await.unwrap();
    assert!(center.is_open());
    let caller = Caller::new(&center);
    let order = caller.first_order().await;
    let canceled = caller.cancel(&order, "k1").await.json();
    assert_eq!(canceled["data"]["cancelOrder"]["order"]["status"], "CANCELED", "{canceled}");
    assert_eq!(canceled["data"]["cancelOrder"]["operation"]["state"], "SUCCEEDED");
    assert_eq!(caller.cancel(&order, "k1").await.json(), canceled);
    center.shutdown().await;
}

#[tokio::test]
async fn a_role_may_do_what_it_says_and_no_more() {
    let (database, module) = (sqlite().await, Module::start().await);
    module.import(["R-1".to_owned()]).await;
    let center = serve::start(config(&database, Some(&module))).await.unwrap();
    let reader = Caller::with(&center, Role::Reader).await;
    let order = reader.first_order().await;
    let nobody = Caller::new(&center);
    let refused = nobody.cancel(&order, "k1").await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"));
    let refused = reader.cancel(&order, "k1").await;
    assert_eq!(refused.code(), "FORBIDDEN", "{}", refused.text);
    assert!(module.proxy.count(Asked::is_action) == 0);
    let operator = Caller::with(&center, Role::Operator).await;
    let done = operator.cancel(&order, "k1").await.json();
    assert_eq!(done["data"]["cancelOrder"]["operation"]["state"], "SUCCEEDED", "{done}");
    center.shutdown().await;
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_a_code_and_nothing_of_the_inside() {
    let (database, module) = (sqlite().await, Module::start().await);
    let center = serve::start(config(&database, Some(&module))).await.unwrap();
    let caller = Caller::new(&center);
    let raw = |body: &'static str| caller.post("/graphql").header("content-type", "application/json").body(body);
    let large = json!({ "query": "{ __typename }", "padding": "x".repeat(10 << 20) }).to_string();
    let aliases = (0..50).map(|n| format!("a{n}:__typename ")).collect::<String>();
    let query = |query: &str| caller.post("/graphql").json(&json!({ "query": query }));
    for (name, request, status, code) in [
        ("malformed JSON", raw("{\"query\":"), 400, "BAD_REQUEST"),
        ("a batch", raw("[{\"query\":\"{__typename}\"}]"), 400, "BATCHING_NOT_SUPPORTED"),
        ("10 MB", raw("").body(large), 413, "PAYLOAD_TOO_LARGE"),
        ("plain text", caller.post("/graphql").body("{__typename}"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("a mutation by GET", caller.get("/graphql?query=mutation%7B__typename%7D"), 405, "METHOD_NOT_ALLOWED"),
        ("an unknown path", caller.get("/orders"), 404, "NOT_FOUND"),
        ("a wrong method", caller.client.put(format!("{}/graphql", caller.base)), 405, "METHOD_NOT_ALLOWED"),
        ("a wrong method", caller.post("/healthz"), 405, "METHOD_NOT_ALLOWED"),
        ("an unknown source", caller.post("/webhooks/nobody").body("{}"), 404, "UNKNOWN_SOURCE"),
        ("a forged webhook", caller.post("/webhooks/retail").body("{}"), 401, "INVALID_SIGNATURE"),
        ("a large webhook", caller.post("/webhooks/retail").body(vec![b'x'; 2 << 20]), 413, "PAYLOAD_TOO_LARGE"),
        ("malformed GraphQL", query("{ orders("), 200, "GRAPHQL_PARSE_FAILED"),
        ("an unknown field", query("{ ordersOfMine { id } }"), 200, "GRAPHQL_VALIDATION_FAILED"),
        (
            "a wrong enum",
            query("{ orders(where: {status: {eq: NOPE}}) { nodes { id } } }"),
            200,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("too large a page", query("{ orders(first: 100000) { nodes { id } } }"), 200, "BAD_USER_INPUT"),
        ("a foreign cursor", query("{ orders(first: 1, after: \"bm8=\") { nodes { id } } }"), 200, "BAD_USER_INPUT"),
        ("many aliases", query(&format!("{{ {aliases} }}")), 200, "QUERY_TOO_COMPLEX"),
        ("deep nesting", query(&"{ a".repeat(4_000)), 200, "QUERY_TOO_COMPLEX"),
    ] {
        let answer = send(request).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{name}: {}", answer.text);
        assert_no_internals(&answer.text);
    }
    center.shutdown().await;
}

#[tokio::test]
async fn a_webhook_is_taken_once_and_only_signed() {
    let (database, module) = (sqlite().await, Module::start().await);
    let center = serve::start(config(&database, Some(&module))).await.unwrap();
    let caller = Caller::new(&center);
    let event = json!({
        "specversion": "1.0", "id": "evt_1", "source": "/", "type": "order.changed", "subject": "4711",
        "time": Utc::now(), "datacontenttype": "application/json", "data": order_json("4711", 5),
    })
    .to_string();
    let now = Utc::now().timestamp();
    let signature = Webhook::new(SECRET).unwrap().sign("evt_1", now, event.as_bytes()).unwrap();
    let signed = |body: String| {
        caller
            .post("/webhooks/retail")
            .header("webhook-id", "evt_1")
            .header("webhook-timestamp", now)
            .header("webhook-signature", &signature)
            .body(body)
    };
    let forged = send(signed(event.replace("24.00", "42.00"))).await;
    assert_eq!((forged.status, forged.code().as_str()), (StatusCode::UNAUTHORIZED, "INVALID_SIGNATURE"));
    let stored = send(signed(event.clone())).await;
    assert_eq!(stored.status, StatusCode::ACCEPTED, "{}", stored.text);
    let order = caller.first_order().await;
    assert_eq!(send(signed(event)).await.status, StatusCode::OK);
    let query = "query($id: ID!) { order(by: { id: $id }) { number } }";
    let read = caller.ask(query, json!({ "id": order })).await.json();
    assert_eq!(read["data"]["order"]["number"], "R-4711", "{read}");
    center.shutdown().await;
}

#[tokio::test]
async fn leaving_lets_a_mutation_in_flight_end() {
    let (database, module) = (sqlite().await, Module::start().await);
    module.import(["R-1".to_owned()]).await;
    let center = serve::start(config(&database, Some(&module))).await.unwrap();
    let caller = Caller::new(&center);
    let order = caller.first_order().await;
    module.proxy.plan(|asked| match asked.is_action() {
        true => Fault::Stall(Duration::from_millis(500)),
        false => Fault::Pass,
    });
    let (answer, ()) = tokio::join!(caller.cancel(&order, "k1"), async {
        until("the module is asked", async || module.proxy.count(Asked::is_action) > 0).await;
        center.shutdown().await;
    });
    let answer = answer.json();
    assert_eq!(answer["data"]["cancelOrder"]["operation"]["state"], "SUCCEEDED", "{answer}");
}

#[tokio::test]
async fn an_address_in_use_is_said_and_nothing_is_left_running() {
    let (database, other) = (sqlite().await, sqlite().await);
    let center = serve::start(config(&database, None)).await.unwrap();
    let mut second = config(&other, None);
    second.http.listen = center.address();
    let error = refused(second).await;
    assert!(matches!(error, StartError::Bind(..)));
    assert!(error.to_string().contains("--listen"), "{error}");
    center.shutdown().await;
}

#[tokio::test]
async fn an_open_server_stays_on_this_machine() {
    let database = sqlite().await;
    let mut beyond = config(&database, None);
    beyond.http.listen = "0.0.0.0:0".parse().unwrap();
    let error = refused(beyond.clone()).await;
    assert!(matches!(error, StartError::Open(_)) && error.to_string().contains("key create"), "{error}");
    ApiKeys::new(database.database.clone()).create("ops", Role::Admin, Utc::now()).await.unwrap();
    let center = serve::start(beyond).await.unwrap();
    assert!(!center.is_open());
    center.shutdown().await;
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_said_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("center.db");
    let mut config = Config::default();
    config.http.listen.set_port(0);
    config.database.url = DatabaseUrl::from(format!("sqlite:{}", file.display()));
    serve::start(config.clone()).await.unwrap().shutdown().await;

    // A write version that SQLite does not know makes a file read-only, even for root.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[18] = 9;
    std::fs::write(&file, bytes).unwrap();
    let error = refused(config.clone()).await;
    assert!(matches!(error, StartError::ReadOnly(..)), "{error:?}");
    assert!(error.to_string().contains("takes no writes"), "{error}");

    config.database.url = DatabaseUrl::from("sqlite:/nowhere/center.db".to_owned());
    assert!(matches!(refused(config.clone()).await, StartError::Database(..)));
    config.database.url = DatabaseUrl::from("mysql://me:hunter2@db/orders".to_owned());
    let error = refused(config).await;
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn a_database_that_stops_taking_writes_makes_the_center_unready_until_it_does_again() {
    let Some(database) = postgres().await else { return };
    let center = serve::start(config(&database, None)).await.unwrap();
    let caller = Caller::new(&center);
    assert_eq!(send(caller.get("/readyz")).await.status, StatusCode::OK);
    let name = database.url.rsplit('/').next().unwrap();
    let set = async |sql: String| {
        let mut transaction = database.database.begin().await.unwrap();
        // A session that is to change a database that is read-only must say that it writes.
        transaction.execute("set transaction read write", &[]).await.unwrap();
        transaction.execute(&sql, &[]).await.unwrap();
        transaction.commit().await.unwrap();
        let others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
            and pid <> pg_backend_pid()";
        let _ = database.database.fetch_all(others, &[]).await;
    };
    set(format!("alter database {name} set default_transaction_read_only = on")).await;
    until("it is unready", async || send(caller.get("/readyz")).await.status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(send(caller.get("/healthz")).await.status, StatusCode::OK);
    set(format!("alter database {name} set default_transaction_read_only = off")).await;
    until("it is ready", async || send(caller.get("/readyz")).await.status == StatusCode::OK).await;
    center.shutdown().await;
}

#[tokio::test]
async fn measurements_are_in_the_format_of_prometheus() {
    let database = sqlite().await;
    let center = serve::start(config(&database, None)).await.unwrap();
    let reader = Caller::with(&center, Role::Reader).await;
    assert_eq!(send(Caller::new(&center).get("/metrics")).await.status, StatusCode::UNAUTHORIZED);
    reader.ask("{ __typename }", json!({})).await;
    let text = send(reader.get("/metrics")).await.text;
    let mut names = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'), "{line}");
        assert!(labels.ends_with('}'), "{line}");
        names.insert(name);
    }
    for name in [
        "http_server_request_duration_seconds_bucket",
        "http_server_request_duration_seconds_count",
        "http_server_active_requests",
        "graphql_requests_total",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
    let sdl = send(reader.get("/schema.graphql")).await.text;
    assert!(sdl.contains("type Query"), "{sdl:.200}");
    center.shutdown().await;
}

fn run(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_order-center")).args(arguments).current_dir(folder.path()).output().unwrap()
}

#[tokio::test]
async fn a_command_that_fails_says_so_in_one_line() {
    let database = sqlite().await;
    let center = serve::start(config(&database, None)).await.unwrap();
    let (taken, other) = (center.address().to_string(), "sqlite:other.db");
    for (arguments, code, part) in [
        (&["serve", "--listen", &taken, "--database", other][..], 1, "give another port with --listen"),
        (&["serve", "--listen", "0.0.0.0:0", "--database", other], 1, "key create"),
        (&["serve", "--listen", "everywhere"], 1, "http.listen"),
        (&["serve", "--config", "nothing.toml"], 1, "nothing.toml"),
        (&["serve", "--database", "sqlite:/nowhere/center.db"], 1, "/nowhere/center.db"),
        (&["serve", "--database", "mysql://db"], 1, "sqlite: or postgres:"),
        (&["key", "revoke", "none", "--database", other], 1, "key list"),
        (&["key", "create", "--name", "", "--role", "admin", "--database", other], 1, "1 to 100 printable"),
        (&["module", "check", "http://127.0.0.1:1", "--token", "swordfish"], 2, "env:NAME"),
        (&["key", "create", "--name", "x", "--role", "king"], 2, "possible values"),
        (&["frobnicate"], 2, "unrecognized subcommand"),
    ] {
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert!(code == 2 || said.trim_end().lines().count() == 1, "{arguments:?}: {said}");
        assert_no_internals(&said);
    }
    center.shutdown().await;
}

#[tokio::test]
async fn a_key_is_printed_once_and_works_until_it_is_revoked() {
    let database = sqlite().await;
    let center = serve::start(config(&database, None)).await.unwrap();
    let created = run(&["key", "create", "--name", "shop", "--role", "reader", "--database", &database.url]);
    let secret = String::from_utf8(created.stdout).unwrap().trim().to_owned();
    assert!(secret.starts_with("oc_") && secret.len() == 46, "{secret}");
    let listed = String::from_utf8(run(&["key", "list", "--database", &database.url]).stdout).unwrap();
    assert!(listed.contains("shop") && !listed.contains(&secret), "{listed}");
    let caller = Caller { key: Some(secret), ..Caller::new(&center) };
    assert_eq!(caller.ask("{ __typename }", json!({})).await.status, StatusCode::OK);
    let id = listed.split_whitespace().next().unwrap();
    assert!(run(&["key", "revoke", id, "--database", &database.url]).status.success());
    let status = async || caller.ask("{ __typename }", json!({})).await.status;
    until("the key is refused", async || status().await == StatusCode::UNAUTHORIZED).await;
    center.shutdown().await;
}

#[tokio::test]
async fn a_signal_ends_it_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_order-center"))
        .args(["serve", "--listen", "127.0.0.1:0", "--database", "sqlite:center.db"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut logged = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let line: Value = serde_json::from_str(&line).expect("a line of JSON where there is no terminal");
        let message = line["message"].as_str().unwrap_or_default().to_owned();
        if let Some(url) = message.strip_prefix("Order Center answers at ") {
            let caller = Caller::at(url.trim_end_matches("/graphql").to_owned());
            assert_eq!(send(caller.get("/readyz")).await.status, StatusCode::OK);
            let id = child.id().unwrap().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        }
        logged.push(message);
    }
    assert_eq!(child.wait().await.unwrap().code(), Some(0), "{logged:?}");
    assert!(logged.iter().any(|message| message.contains("no API key")), "{logged:?}");
    assert_eq!(logged.last().map(String::as_str), Some("stopped"), "{logged:?}");
}
