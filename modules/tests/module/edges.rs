//! Strangers, other versions, limits, and the program itself.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use order_contract::protocol::{Descriptor, Problem};
use order_modules::{Config, Line, Module, ModuleError, process};
use reqwest::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::shop::Shop;

async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["order-module-protocol"], "1.0");
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.status, status);
    (status, problem.code)
}

#[tokio::test]
async fn what_is_not_the_protocol_is_refused_with_a_problem() {
    let shop = Shop::open().await.stocked().await;
    for (path, expected) in [
        ("/orders/nothing", (404, "ORDER_NOT_FOUND")),
        ("/orders/nothing/actions", (404, "ORDER_NOT_FOUND")),
        ("/orders/%FF", (404, "ORDER_NOT_FOUND")),
        ("/operations/nothing", (404, "OPERATION_NOT_FOUND")),
        ("/nothing", (404, "NO_SUCH_PATH")),
        ("/orders?limit=0", (400, "INVALID_QUERY")),
        ("/orders?limit=201", (400, "INVALID_QUERY")),
        ("/orders?limit=many", (400, "INVALID_QUERY")),
        ("/orders?offset=3", (400, "INVALID_QUERY")),
        ("/orders?updatedFrom=yesterday", (400, "INVALID_QUERY")),
        ("/orders?after=MTIz", (400, "INVALID_QUERY")),
    ] {
        let (status, code) = problem(shop.get(path).await).await;
        assert_eq!((status, code.as_str()), expected, "{path}");
    }
    let post = async |path: &str, key: Option<&str>, body: Vec<u8>| {
        let mut request = shop.client.post(format!("{}{path}", shop.base)).body(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        problem(request.send().await.unwrap()).await
    };
    let deep = format!("{{\"input\":{{\"a\":{}{}}}}}", "[".repeat(500), "]".repeat(500));
    for (key, body, expected) in [
        (None, b"{}".to_vec(), (400, "IDEMPOTENCY_KEY_REQUIRED")),
        (Some("a b"), b"{}".to_vec(), (400, "IDEMPOTENCY_KEY_INVALID")),
        (Some("k"), b"{".to_vec(), (400, "INVALID_BODY")),
        (Some("k"), b"{\"inputs\":{}}".to_vec(), (400, "INVALID_BODY")),
        (Some("k"), b"{\"expectedVersion\":1}".to_vec(), (400, "INVALID_BODY")),
        (Some("k"), deep.into_bytes(), (400, "INVALID_BODY")),
        (Some("k"), vec![b' '; 300_000], (413, "BODY_TOO_LARGE")),
    ] {
        let (status, code) = post("/orders", key, body).await;
        assert_eq!((status, code.as_str()), expected);
    }
    let deleted = shop.client.delete(format!("{}/orders", shop.base)).send().await.unwrap();
    assert_eq!(problem(deleted).await, (405, "METHOD_NOT_ALLOWED".into()));
    let other = shop.client.get(format!("{}/process", shop.base)).header("order-module-protocol", "2.0");
    assert_eq!(problem(other.send().await.unwrap()).await, (400, "PROTOCOL_VERSION".into()));
    let newer = shop.client.get(format!("{}/process", shop.base)).header("order-module-protocol", "1.7");
    assert_eq!(newer.send().await.unwrap().status(), 200);
    assert_eq!(shop.get("/operations/k").await.status(), 404, "nothing of this was remembered");
}

#[tokio::test]
async fn with_a_token_only_who_has_it_gets_in() {
    let shop = Shop::open_with(|config| config.token = Some("open sesame".into())).await;
    let ask = async |token: Option<&str>| {
        let request = shop.client.get(format!("{}/.well-known/order-module", shop.base));
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        request.send().await.unwrap()
    };
    for wrong in [None, Some("open"), Some("open sesame!"), Some("")] {
        assert_eq!(problem(ask(wrong).await).await, (401, "UNAUTHORIZED".into()));
    }
    let descriptor: Descriptor = ask(Some("open sesame")).await.json().await.unwrap();
    assert_eq!((descriptor.module.name.as_str(), descriptor.capabilities.webhooks), ("retail", false));
}

#[tokio::test]
async fn it_does_not_answer_strangers_nor_open_what_is_no_database() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = |name: &str| Config::new(Line::Retail, folder.path().join(name));
    let module = Module::open(config("a.db")).await.unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = module.serve(listener, CancellationToken::new()).await;
    assert!(matches!(refused, Err(ModuleError::Open(_))));
    let absent = Module::open(config("no/such/folder/a.db")).await;
    assert!(matches!(absent, Err(ModuleError::Store(_))));
    let no_database = folder.path().join("b.db");
    std::fs::write(&no_database, "this is no database, it is a text that is long enough to be read as one".repeat(9))
        .unwrap();
    assert!(Module::open(Config::new(Line::Retail, no_database)).await.is_err());
}

#[test]
fn the_program_shows_its_process() {
    let show = |format: &str| {
        let run =
            Command::new(env!("CARGO_BIN_EXE_order-module")).args(["process", "retail", "--format", format]).output();
        String::from_utf8(run.unwrap().stdout).unwrap()
    };
    let shown: Value = serde_json::from_str(&show("json")).unwrap();
    assert_eq!(shown, serde_json::to_value(process(Line::Retail, &BTreeMap::new()).unwrap().definition()).unwrap());
    let drawn = show("mermaid");
    for line in ["    [*] --> PENDING_PAYMENT: create\n", "    PICKING --> SHIPPED: ship\n", "    COMPLETED --> [*]\n"]
    {
        assert!(drawn.contains(line), "{drawn}");
    }
    assert!(!drawn.contains("PARTIALLY_SHIPPED --> SHIPPED: deliver"));
}

#[test]
fn the_program_serves_says_where_and_ends_politely() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::TempDir::new().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_order-module"))
        .args(["retail", "--token-env", "SHOP_TOKEN", "--database"])
        .arg(folder.path().join("retail.db"))
        .env("SHOP_TOKEN", "secret")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let status = runtime.block_on(async {
        let url = format!("{}/process", line.trim());
        reqwest::Client::new().get(url).bearer_auth("secret").send().await.unwrap().status()
    });
    assert_eq!(status, 200);
    drop(runtime);
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(child.wait().unwrap().success());
}
