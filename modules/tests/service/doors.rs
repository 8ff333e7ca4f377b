//! The services over HTTP: paths, tokens, limits, and what a client makes of the answers.

use std::net::SocketAddr;
use std::time::Duration;

use order_contract::Amount;
use order_modules::service::{
    Command, Entry, Fault, Product, Question, Remote, ServeError, Server, ServerConfig, Service, ServicePort, Services,
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::house::{House, code, goods};

async fn send(house: &House, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let request = Client::new().request(method, format!("{}{path}", house.base)).bearer_auth("secret").json(&body);
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_company_fills_its_services_over_http() {
    let house = House::open_with(true, |config| config.token = Some("secret".to_owned().into())).await;
    let product =
        json!({ "sku": "S", "name": "Slot", "price": "12.50", "details": { "startsAt": "2026-01-01T10:00:00Z" } });
    let put = async |path, body| send(&house, Method::PUT, path, body).await;
    let post = async |path, body| send(&house, Method::POST, path, body).await;
    assert_eq!(put("/product/products", json!([product])).await.0, StatusCode::OK);
    let goods = json!({ "key": "r1", "goods": [{ "sku": "S", "quantity": 4 }] });
    assert_eq!(post("/warehouse/receipts", goods.clone()).await.0, StatusCode::OK);
    assert_eq!(post("/warehouse/receipts", goods).await.1["reference"], "warehouse/r1");
    assert_eq!(
        post("/warehouse/codes", json!({ "sku": "L", "codes": ["x", "y", "x"] })).await.1,
        json!({ "added": 2 })
    );
    assert_eq!(post("/warehouse/codes", json!({ "sku": "M", "codes": ["x"] })).await.1["code"], "CODE_TAKEN");
    assert_eq!(post("/warehouse/codes", json!({ "sku": "S", "codes": ["z"] })).await.1["code"], "STOCK_WITHOUT_CODES");
    let coded = json!({ "key": "r2", "goods": [{ "sku": "L", "quantity": 1 }] });
    assert_eq!(post("/warehouse/receipts", coded).await.1["code"], "CODES_REQUIRED");
    let coupon = json!([{ "code": "TEN", "title": "Ten percent", "percent": 10 }]);
    assert_eq!(put("/promotion/coupons", coupon).await.0, StatusCode::OK);
    assert_eq!(
        put("/promotion/coupons", json!([{ "code": "NO", "title": "Nothing" }])).await.1["code"],
        "INVALID_COUPON"
    );
    assert_eq!(put("/risk/limits", json!([{ "sku": "S", "most": 2, "periodSeconds": 60 }])).await.0, StatusCode::OK);
    assert_eq!(
        put("/risk/limits", json!([{ "sku": "S", "most": 2, "periodSeconds": 0 }])).await.1["code"],
        "INVALID_LIMIT"
    );
    assert_eq!(put("/risk/review-from", json!({ "reviewFrom": "99.50" })).await.0, StatusCode::OK);

    let question = Question { skus: vec!["S".into(), "T".into()], coupons: vec!["TEN".into()], ..Question::default() };
    let facts = async |service| house.port.facts(service, &question).await.unwrap();
    let products = facts(Service::Product).await.products;
    let details: Map<_, _> = product["details"].as_object().unwrap().clone();
    let slot = Product { sku: "S".into(), name: "Slot".into(), price: "12.50".parse().unwrap(), details };
    assert_eq!(products.into_values().collect::<Vec<_>>(), [slot]);
    assert_eq!(json!(facts(Service::Warehouse).await.available), json!({ "S": "4", "T": "0" }));
    assert_eq!(facts(Service::Promotion).await.coupons["TEN"].left, None);
    assert_eq!(facts(Service::Risk).await.review_from, Some("99.5".parse::<Amount>().unwrap()));

    let entry = json!({ "key": "k", "order": "o", "command": "RESERVE", "goods": [{ "sku": "S", "quantity": "3" }], "until": null });
    assert_eq!(post("/warehouse/entries", entry).await.0, StatusCode::OK);
    let (status, balances) = send(&house, Method::GET, "/warehouse/balances?order=o", Value::Null).await;
    assert_eq!((status, balances), (StatusCode::OK, json!({ "available": { "S": "-3" }, "reserved/o": { "S": "3" } })));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_precisely() {
    let house = House::open_with(true, |config| {
        config.token = Some("secret".to_owned().into());
        config.services = vec![Service::Warehouse];
    })
    .await;
    let entry = |command: Value| {
        let mut entry = json!({ "key": "k", "order": "o" });
        entry.as_object_mut().unwrap().extend(command.as_object().unwrap().clone());
        entry
    };
    let earn = json!({ "command": "EARN", "member": "m", "points": 1 });
    let reserve = json!({ "command": "RESERVE", "goods": [], "until": null });
    let surplus = json!({ "command": "RELEASE", "goods": [], "colour": "red" });
    for (method, path, body, status, code) in [
        (Method::POST, "/warehouse/entries", entry(earn.clone()), 422, "WRONG_SERVICE"),
        (Method::POST, "/membership/entries", entry(earn), 404, "NO_SUCH_SERVICE"),
        (Method::POST, "/nothing/entries", entry(reserve.clone()), 404, "NO_SUCH_SERVICE"),
        (Method::PUT, "/product/products", json!([]), 404, "NO_SUCH_PATH"),
        (Method::DELETE, "/warehouse/entries", json!({}), 405, "METHOD_NOT_ALLOWED"),
        (Method::POST, "/warehouse/entries", entry(json!({ "command": "EXPLODE" })), 400, "INVALID_BODY"),
        (Method::POST, "/warehouse/entries", entry(surplus), 400, "INVALID_BODY"),
        (
            Method::POST,
            "/warehouse/entries",
            json!({ "key": "", "order": "o", "command": "RELEASE", "goods": [] }),
            400,
            "INVALID_BODY",
        ),
        (Method::POST, "/warehouse/entries", json!("x".repeat(1024 * 1024)), 413, "BODY_TOO_LARGE"),
        (Method::GET, "/warehouse/balances", Value::Null, 400, "INVALID_QUERY"),
        (Method::GET, "/warehouse/entries/none", Value::Null, 404, "ENTRY_NOT_FOUND"),
    ] {
        let (answered, problem) = send(&house, method, path, body).await;
        assert_eq!((answered.as_u16(), problem["code"].as_str()), (status, Some(code)), "{path} {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
    let stranger = Client::new().get(format!("{}/warehouse/entries/k", house.base)).bearer_auth("guess");
    assert_eq!(stranger.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn only_an_answer_with_a_code_is_a_refusal() {
    let house = House::open_with(true, |config| config.token = Some("secret".to_owned().into())).await;
    let entry = Entry { key: "k".into(), order: "o".into(), command: Command::Release { goods: vec![goods("A", 1)] } };
    let remote = |base: &str, token: &str, millis| {
        Remote::new(base, Some(token.to_owned().into()), Duration::from_millis(millis)).unwrap()
    };
    assert_eq!(code(remote(&house.base, "secret", 60_000).post(&entry).await), "NOT_RESERVED");
    let stranger = remote(&house.base, "guess", 60_000).post(&entry).await;
    assert!(matches!(&stranger, Err(Fault::Unknown { service: Service::Warehouse, .. })), "{stranger:?}");
    // Nobody there; somebody who never answers.
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    assert!(matches!(remote(&silent, "x", 50).post(&entry).await, Err(Fault::Unknown { .. })));
    drop(listener);
    assert!(matches!(
        remote(&silent, "x", 50).reverse(Service::Risk, "k").await,
        Err(Fault::Unknown { service: Service::Risk, .. })
    ));
    assert!(Remote::new("ftp://example.com", None, Duration::from_secs(1)).is_err());
}

#[tokio::test]
async fn each_service_is_asked_where_it_is() {
    let (here, there) = (House::open(false).await.stocked().await, House::open(true).await.stocked().await);
    let services = Services::new(here.embedded.clone())
        .with(Service::Warehouse, Remote::new(&there.base, None, Duration::from_secs(60)).unwrap());
    let post = async |command| services.post(&Entry { key: "k".into(), order: "o".into(), command }).await.unwrap();
    post(Command::Deduct { goods: vec![goods("A", 4)] }).await;
    post(Command::Earn { member: "m".into(), points: 7.into() }).await;
    let stock = async |house: &House| house.balance(Service::Warehouse, "available", "A").await;
    assert_eq!((stock(&here).await, stock(&there).await), (10, 6));
    assert_eq!(here.balance(Service::Membership, "member/m", "points").await, 7);
    services.reverse(Service::Warehouse, "k").await.unwrap();
    assert_eq!(stock(&there).await, 10);
    assert_eq!(services.entry(Service::Membership, "k").await.unwrap().reference, "membership/k");
    let question = Question { skus: vec!["B".into()], ..Question::default() };
    assert_eq!(services.facts(Service::Warehouse, &question).await.unwrap().available["B"], 5.into());
}

#[tokio::test]
async fn reservations_run_out_while_it_serves() {
    let house = House::open_with(true, |config| config.sweep = Duration::from_millis(5)).await.stocked().await;
    let until = Some(house.now() + chrono::TimeDelta::seconds(60));
    house.done("r", "o", Command::Reserve { goods: vec![goods("A", 1)], until }).await;
    house.pass(61);
    // Ends only when the sweep does what it promises.
    while house.balance(Service::Warehouse, "available", "A").await < 10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.balance(Service::Warehouse, "reserved/o", "A").await, 0);
}

#[tokio::test]
async fn an_open_server_stays_on_this_machine() {
    let folder = TempDir::new().unwrap();
    let config = ServerConfig::new(folder.path().join("services.db"), Service::ALL.to_vec());
    let server = Server::open(config).await.unwrap();
    let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 0))).await.unwrap();
    let refused = server.serve(listener, CancellationToken::new()).await;
    assert!(matches!(refused, Err(ServeError::Strangers(_))), "{refused:?}");
}
