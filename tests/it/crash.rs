//! Killed at any moment: the real program, `kill -9` at random times under mutations and webhooks, and the real module
//! that counts effects.
//!
//! `ORDER_CENTER_CRASHES` sets how often (25 unless told); the seed is printed.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use order_center::index::Index;
use order_center::operation::OperationState;
use order_modules::Retry;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::center::{Center, Module, SECRET, Seeded, until, webhook_target};
use crate::world::{TestDatabase, databases, order_id};

/// Clients that mutate at once.
const CLIENTS: usize = 4;
/// Orders the clients mutate, and orders that change at the module only.
const ORDERS: usize = 6;

/// The program on this database and module.
struct Program {
    url: String,
    config: std::path::PathBuf,
    log: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Program {
    fn new(world: &TestDatabase, module: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, secret) = (folder.path().join("center.toml"), folder.path().join("secret"));
        std::fs::write(&secret, SECRET).unwrap();
        let text = format!(
            "[database]\nurl = {:?}\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
             [ingest]\nlease_s = 1\n[operation]\nlease_s = 2\nsettle_backoff_ms = 100\nsettle_backoff_max_ms = 1000\n\
             [[sources]]\nkey = \"retail\"\nurl = {module:?}\ntimeout_ms = 800\n\
             webhook_secrets = [\"file:{}\"]\n",
            world.url,
            secret.display()
        );
        std::fs::write(&config, text).unwrap();
        let log = folder.path().join("log");
        Self { url: format!("http://127.0.0.1:{port}"), config, log, _folder: folder }
    }

    fn start(&self) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_order-center"));
        command.args(["serve", "--config"]).arg(&self.config).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        command.spawn().unwrap()
    }

    async fn ready(&self) {
        let http = reqwest::Client::new();
        let ready = async || {
            let answer = http.get(format!("{}/readyz", self.url)).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while !ready().await {
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(tokio::time::Instant::now() < deadline, "the program does not become ready:\n{}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Asks once; none when no whole answer came.
async fn graphql(http: &reqwest::Client, url: &str, query: &str, variables: Value) -> Option<Value> {
    let request = http.post(format!("{url}/graphql")).json(&json!({ "query": query, "variables": variables }));
    let answer: Value = request.send().await.ok()?.json().await.ok()?;
    (!answer["data"].is_null()).then(|| answer["data"].clone())
}

const REFUND: &str = "mutation ($id: ID!, $key: String!) {
    refundOrder(input: { id: $id, idempotencyKey: $key, amount: \"0.01\" }) {
        operation { id state } userErrors { code message }
    }
}";

/// A client that repeats each of its intents under its key until it is answered, as every client should.
async fn client(url: String, name: usize, stop: Arc<AtomicBool>, acknowledged: Acknowledged) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(15)).build().unwrap();
    let mut intent = 0;
    while !stop.load(Ordering::SeqCst) {
        let (order, key) = (format!("A{}", 1 + (name + intent) % ORDERS), format!("c{name}-{intent}"));
        let id = order_id("retail", &order).to_string();
        loop {
            let variables = json!({ "id": id, "key": key });
            match graphql(&http, &url, REFUND, variables).await {
                Some(data) if data["refundOrder"]["operation"]["id"].is_string() => {
                    let operation = &data["refundOrder"]["operation"];
                    assert_ne!(operation["state"], "REJECTED", "{data}");
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    acknowledged.lock().await.insert(key, (order, text(&operation["id"])));
                    break;
                }
                // A mutation that was not recorded says so, and may be repeated.
                Some(data) => {
                    assert!(data.to_string().contains("again"), "{data}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        intent += 1;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// By key: the order and the id of the operation.
type Acknowledged = Arc<Mutex<BTreeMap<String, (String, String)>>>;

/// Changes orders at the module itself, so that only webhooks can tell the center.
async fn own_users(base_url: String, stop: Arc<AtomicBool>, changes: Arc<AtomicUsize>) {
    let http = reqwest::Client::new();
    while !stop.load(Ordering::SeqCst) {
        let n = changes.fetch_add(1, Ordering::SeqCst);
        let url = format!("{base_url}/orders/B{}/actions/refund", 1 + n % ORDERS);
        let request = http.post(url).header("idempotency-key", format!("own-{n}"));
        request.json(&json!({ "input": { "amount": "0.01" } })).send().await.unwrap().error_for_status().unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let crashes: usize = std::env::var("ORDER_CENTER_CRASHES").map_or(25, |text| text.parse().unwrap());
    let seed = 0xdec0_de5e_ed00;
    println!("{crashes} crashes, seed {seed:#x}");
    for world in databases().await {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target = webhook_target(format!("http://127.0.0.1:{port}/webhooks/retail"));
        let module = Module::start_with(|config| {
            config.webhook = Some(target);
            let (first, longest) = (Duration::from_millis(30), Duration::from_millis(300));
            config.retry = Retry { first, longest, attempts: 100_000 };
        })
        .await;
        module.import((1..=ORDERS).flat_map(|n| [format!("A{n}"), format!("B{n}")])).await;
        let base_url = format!("http://{}", module.address);
        let program = Program::new(&world, &base_url, port);

        // The first run reads every order; from then on there is no polling, so that only webhooks and operations tell.
        let mut child = program.start();
        program.ready().await;
        let http = reqwest::Client::new();
        for query in
            ["mutation { pollSource(key: \"retail\") { read } }", "mutation { pauseSource(key: \"retail\") { key } }"]
        {
            until("the source is read and paused", || async {
                graphql(&http, &program.url, query, Value::Null).await.is_some()
            })
            .await;
        }

        let (stop, acknowledged, changes): (Arc<AtomicBool>, Acknowledged, Arc<AtomicUsize>) = Default::default();
        let mut users = tokio::task::JoinSet::new();
        for name in 0..CLIENTS {
            users.spawn(client(program.url.clone(), name, stop.clone(), acknowledged.clone()));
        }
        users.spawn(own_users(base_url.clone(), stop.clone(), changes.clone()));
        let mut random = Seeded(seed);
        for _ in 0..crashes {
            // Most die at work, some while they start.
            if random.below(4) > 0 {
                program.ready().await;
            }
            tokio::time::sleep(Duration::from_millis(random.below(400))).await;
            child.kill().await.unwrap();
            child = program.start();
        }
        stop.store(true, Ordering::SeqCst);
        while let Some(user) = users.join_next().await {
            user.unwrap();
        }

        let acknowledged = acknowledged.lock().await.clone();
        println!(
            "{}: {} intents, {} changes at the module",
            world.name,
            acknowledged.len(),
            changes.load(Ordering::SeqCst)
        );
        let reader = Center::new(&world.database, []);
        until("every operation ends", || async {
            let open = [OperationState::Dispatching, OperationState::Accepted, OperationState::Unknown];
            reader.operations.list(None, &open, None, 1).await.unwrap().is_empty()
        })
        .await;
        let mut effects: BTreeMap<String, i64> = BTreeMap::new();
        let recorded = reader.operations.list(None, &[], None, 100_000).await.unwrap();
        assert!(recorded.iter().all(|operation| operation.state == OperationState::Succeeded), "{recorded:?}");
        assert_eq!(recorded.len(), acknowledged.len(), "{}: one operation per intent", world.name);
        for operation in &recorded {
            let (order, id) = &acknowledged[&operation.idempotency_key];
            assert!(id.ends_with(&operation.id) || *id == operation.id, "{id} is still the same operation");
            *effects.entry(order.clone()).or_default() += 1;
        }
        let index = Index::new(world.database.clone());
        for n in 1..=ORDERS {
            for name in [format!("A{n}"), format!("B{n}")] {
                let owned = module.order(&name).await;
                if let Some(effects) = effects.get(&name) {
                    let expected = order_contract::Quantity::from(*effects).to_string();
                    assert_eq!(
                        owned.refunds.len().to_string(),
                        expected,
                        "{}: {name}, one effect per intent",
                        world.name
                    );
                }
                until("no acknowledged webhook is lost", || async {
                    index.find(&order_id("retail", &name)).await.unwrap().unwrap().snapshot == owned
                })
                .await;
            }
        }
        child.kill().await.unwrap();
    }
}
