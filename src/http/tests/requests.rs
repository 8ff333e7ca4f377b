//! What is asked over HTTP, rightly and wrongly.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::Utc;
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{read, serve, until};
use crate::graphql::Role;

const RESULT: &str = "accept: application/graphql-response+json";

#[tokio::test]
async fn a_bad_request_gets_its_status_a_code_and_no_execution() {
    let server = serve(|config| config.http.body_bytes_max = 1024).await;
    let large = format!("{{\"query\":\"{}\"}}", "x".repeat(2048));
    for (body, status, code) in [
        ("", StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        ("{\"query\":", StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        ("[{\"query\":\"{hello}\"}]", StatusCode::BAD_REQUEST, "BATCHING_NOT_SUPPORTED"),
        ("[\"{hello}\"]", StatusCode::BAD_REQUEST, "BATCHING_NOT_SUPPORTED"),
        ("\"{hello}\"", StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        ("{\"query\":7}", StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        ("{\"query\":\"{hello}\",\"variables\":[]}", StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        ("{\"query\":\"{hello}\",\"extensions\":\"x\"}", StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        ("{\"query\":\"{hello}\",\"query\":\"{who}\"}", StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        ("{\"query\":\"subscription{count(to:1)}\"}", StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        (large.as_str(), StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
    ] {
        let answer = server.post("", body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body:.40} gave {}", answer.text);
    }
    // Members that are not known are tolerated, null is as good as absent.
    let answer = server.post("", "{\"query\":\"{hello}\",\"variables\":null,\"id\":7}").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "data": { "hello": "hello " } })));
}

#[tokio::test]
async fn only_utf_8_json_is_taken() {
    let server = serve(|_| {}).await;
    let body = b"{\"query\":\"{hello}\"}";
    for (header, status) in [
        ("", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-type: text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-type: application/x-www-form-urlencoded", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-type: multipart/form-data; boundary=x", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-type: application/json; charset=latin1", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-type: application/json\r\ncontent-encoding: gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-type: Application/JSON; charset=\"UTF-8\"", StatusCode::OK),
    ] {
        let separator = if header.is_empty() { "" } else { "\r\n" };
        let answer = server.send(&format!("POST /graphql HTTP/1.1{separator}{header}"), body).await;
        assert_eq!(answer.status, status, "{header}");
    }
    assert_eq!(server.post("accept: image/png", "{}").await.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn the_status_of_a_refused_document_depends_on_the_form_that_was_asked_for() {
    let server = serve(|config| config.graphql.query_bytes_max = 3_000).await;
    let (long, deep) = ("{hello}".to_owned() + &" ".repeat(3_000), "{self".repeat(100));
    for (query, code) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{nothing}", "GRAPHQL_VALIDATION_FAILED"),
        ("query A{hello} query B{hello}", "GRAPHQL_VALIDATION_FAILED"),
        (long.as_str(), "QUERY_TOO_COMPLEX"),
        (deep.as_str(), "QUERY_TOO_COMPLEX"),
    ] {
        let body = json!({ "query": query }).to_string();
        let result = server.post(RESULT, &body).await;
        assert_eq!((result.status, result.code().as_str()), (StatusCode::BAD_REQUEST, code), "{query:.40}");
        assert!(result.header("content-type").starts_with("application/graphql-response+json"));
        assert!(result.json().get("data").is_none());
        let legacy = server.post("accept: application/json", &body).await;
        assert_eq!((legacy.status, legacy.code().as_str()), (StatusCode::OK, code), "{query:.40}");
    }
    let executed = server.post(RESULT, r#"{"query":"{careful}"}"#).await;
    assert_eq!((executed.status, executed.code().as_str()), (StatusCode::OK, "BAD_USER_INPUT"));
    assert!(executed.json().get("data").is_some());
}

#[tokio::test]
async fn brackets_without_end_do_not_end_the_process() {
    let server = serve(|config| config.graphql.query_bytes_max = 200_000).await;
    for query in
        ["{a(b:[".to_owned() + &"[".repeat(100_000), "{a".repeat(50_000), "query($a:".to_owned() + &"[".repeat(90_000)]
    {
        assert_eq!(server.ask(&query).await.code(), "QUERY_TOO_COMPLEX");
    }
    let within = format!("{{hello(name:{}{})}}", "[".repeat(60), "]".repeat(60));
    assert_eq!(server.ask(&within).await.code(), "GRAPHQL_VALIDATION_FAILED");
}

#[tokio::test]
async fn get_answers_queries_and_never_runs_a_mutation() {
    let server = serve(|_| {}).await;
    let answer = server.send("GET /graphql?query=%7Bhello(name:%22Ada%22)%7D HTTP/1.1", b"").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "data": { "hello": "hello Ada" } })));
    let variables =
        "GET /graphql?query=query($n:String!)%7Bhello(name:$n)%7D&variables=%7B%22n%22:%22Bo%22%7D HTTP/1.1";
    assert_eq!(server.send(variables, b"").await.json(), json!({ "data": { "hello": "hello Bo" } }));

    for accept in ["application/json", "application/graphql-response+json"] {
        let head = format!("GET /graphql?query=mutation%7Bslow%7D HTTP/1.1\r\naccept: {accept}");
        let answer = server.send(&head, b"").await;
        assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    }
    assert_eq!(server.stage.begun.load(Ordering::SeqCst), 0);

    for (head, status) in [
        ("GET /graphql HTTP/1.1", StatusCode::BAD_REQUEST),
        ("GET /graphql?query=%7Bhello%7D&query=%7Bwho%7D HTTP/1.1", StatusCode::BAD_REQUEST),
        ("GET /graphql?query=%7Bhello%7D&variables=x HTTP/1.1", StatusCode::BAD_REQUEST),
        ("GET /graphql?query=%7Bhello%7D&variables=[] HTTP/1.1", StatusCode::BAD_REQUEST),
        ("GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nsec-fetch-site: cross-site", StatusCode::FORBIDDEN),
        ("GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nsec-fetch-site: same-site", StatusCode::FORBIDDEN),
        ("GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nsec-fetch-site: same-origin", StatusCode::OK),
        (
            "GET /graphql?query=%7Bhello%7D HTTP/1.1\r\nsec-fetch-site: cross-site\r\ngraphql-require-preflight: 1",
            StatusCode::OK,
        ),
    ] {
        assert_eq!(server.send(head, b"").await.status, status, "{head}");
    }
    let long = format!("GET /graphql?query={} HTTP/1.1", "x".repeat(9_000));
    assert_eq!(server.send(&long, b"").await.status, StatusCode::URI_TOO_LONG);

    let closed = serve(|config| config.http.get_queries = false).await;
    let answer = closed.send("GET /graphql?query=%7Bhello%7D HTTP/1.1", b"").await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
}

#[tokio::test]
async fn an_error_tells_nothing_that_is_not_for_clients() {
    let server = serve(|_| {}).await;
    let careless = server.ask("{careless}").await;
    assert_eq!((careless.status, careless.code().as_str()), (StatusCode::OK, "INTERNAL_SERVER_ERROR"));
    let panicked = server.ask("{panic}").await;
    assert_eq!(
        (panicked.status, panicked.code().as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR")
    );
    for answer in [&careless, &panicked] {
        for internal in ["sqlx", "src/", "panicked", ".rs", "secret"] {
            assert!(!answer.text.contains(internal), "{}", answer.text);
        }
    }
    assert!(!panicked.header("x-request-id").is_empty());
    assert_eq!(server.ask("{hello}").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_query_is_cut_at_its_time_and_a_mutation_never() {
    let server = serve(|config| config.http.query_timeout_ms = 50).await;
    let cut = server.ask("{forever}").await;
    assert_eq!((cut.status, cut.code().as_str()), (StatusCode::GATEWAY_TIMEOUT, "TIMEOUT"));

    let (answer, ()) = tokio::join!(server.ask("mutation{slow}"), async {
        until("the mutation has begun", || server.stage.begun.load(Ordering::SeqCst) == 1).await;
        // Long after a query would have been cut.
        assert_eq!(server.ask("{forever}").await.code(), "TIMEOUT");
        server.stage.go.notify_one();
    });
    assert_eq!(answer.json(), json!({ "data": { "slow": true } }));
}

#[tokio::test]
async fn a_client_that_leaves_changes_nothing() {
    let server = serve(|_| {}).await;
    let body = json!({ "query": "mutation{a:slow b:slow}" }).to_string();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    until("the mutation has begun", || server.stage.begun.load(Ordering::SeqCst) == 1).await;
    drop(stream);
    server.connections.close();
    server.connections.wait().await;
    for step in 1..=2 {
        server.stage.go.notify_one();
        until("the step is done", || server.stage.done.load(Ordering::SeqCst) == step).await;
    }
}

#[tokio::test]
async fn leaving_waits_for_what_is_under_way_and_takes_nothing_more() {
    let server = serve(|_| {}).await;
    let (answer, ()) = tokio::join!(server.ask("mutation{slow}"), async {
        until("the mutation has begun", || server.stage.begun.load(Ordering::SeqCst) == 1).await;
        server.draining.cancel();
        let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(20), refused).await.expect("no more connections");
        server.connections.close();
        assert!(!server.connections.is_empty());
        server.stage.go.notify_one();
    });
    assert_eq!(answer.json(), json!({ "data": { "slow": true } }));
    server.connections.wait().await;
}

#[tokio::test]
async fn more_than_the_limit_of_requests_is_turned_away_and_health_is_not() {
    let server = serve(|config| config.http.in_flight_max = 1).await;
    let (answer, ()) = tokio::join!(server.ask("mutation{slow}"), async {
        until("the mutation has begun", || server.stage.begun.load(Ordering::SeqCst) == 1).await;
        let shed = server.ask("{hello}").await;
        assert_eq!((shed.status, shed.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED"));
        assert_eq!(shed.header("retry-after"), "1");
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(server.send(&format!("GET {path} HTTP/1.1"), b"").await.status, StatusCode::OK, "{path}");
        }
        server.stage.go.notify_one();
    });
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(server.ask("{hello}").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_slow_client_is_not_waited_for() {
    let server = serve(|config| {
        config.http.head_timeout_ms = 100;
        config.http.body_timeout_ms = 100;
    })
    .await;
    let mut head = TcpStream::connect(server.address).await.unwrap();
    head.write_all(b"POST /graphql HTTP/1.1\r\nhost: ").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), head.read_to_end(&mut rest)).await.expect("it is closed").unwrap();

    let mut body = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n\
                content-length: 100\r\n\r\n{";
    body.write_all(head.as_bytes()).await.unwrap();
    let answer = read(&mut body).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT"));
}

#[tokio::test]
async fn a_key_is_needed_as_soon_as_there_is_one_and_tells_who_asks() {
    let server = serve(|config| config.http.key_cache_ms = 1).await;
    assert_eq!(server.ask("{hello}").await.status, StatusCode::OK);
    let (key, secret) = server.keys.create("shop", Role::Reader, Utc::now()).await.unwrap();
    // The first key is noticed within `key_cache_ms`.
    while server.ask("{hello}").await.status == StatusCode::OK {}
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let with = |secret: &str| format!("authorization: Bearer {secret}\r\ntraceparent: {parent}");
    let who = r#"{"query":"{who}"}"#;
    let unknown = format!("oc_{}", "A".repeat(43));
    for headers in [String::new(), with("oc_short"), with(&unknown), "authorization: Basic eDp5".to_owned()] {
        let answer = server.post(&headers, who).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"), "{headers}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        assert!(answer.text.contains("order-center key create"));
    }
    let answer = server.post(&with(secret.expose_secret()), who).await;
    assert_eq!(answer.json(), json!({ "data": { "who": format!("shop {parent}") } }));
    for path in ["/metrics", "/schema.graphql"] {
        assert_eq!(server.send(&format!("GET {path} HTTP/1.1"), b"").await.status, StatusCode::UNAUTHORIZED);
        let head = format!("GET {path} HTTP/1.1\r\n{}", with(secret.expose_secret()));
        assert_eq!(server.send(&head, b"").await.status, StatusCode::OK);
    }
    assert!(server.keys.revoke(&key.id, Utc::now()).await.unwrap());
    let revoked = async { while server.post(&with(secret.expose_secret()), who).await.status == StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(20), revoked).await.expect("a revoked key stops working");
    // Without any key left it is closed, not open.
    assert_eq!(server.ask("{hello}").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_open_server_answers_only_to_localhost() {
    let server = serve(|_| {}).await;
    let ask = async |headers: &str| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let body = r#"{"query":"{hello}"}"#;
        let head = format!(
            "POST /graphql HTTP/1.1\r\n{headers}\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        read(&mut stream).await.status
    };
    assert_eq!(ask("host: localhost:4000").await, StatusCode::OK);
    assert_eq!(ask("host: evil.example").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("host: localhost:4000\r\norigin: https://evil.example").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("host: localhost:4000\r\norigin: http://localhost:4000").await, StatusCode::OK);
}

#[tokio::test]
async fn pages_of_other_origins_come_in_only_by_name() {
    let server = serve(|config| config.http.allowed_origins = vec!["https://shop.example".to_owned()]).await;
    let preflight = async |origin: &str| {
        let head = format!("OPTIONS /graphql HTTP/1.1\r\norigin: {origin}\r\naccess-control-request-method: POST");
        server.send(&head, b"").await
    };
    let allowed = preflight("https://shop.example").await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://shop.example");
    assert!(allowed.header("access-control-allow-headers").contains("authorization"));
    let other = preflight("https://evil.example").await;
    assert_eq!((other.status, other.header("access-control-allow-origin")), (StatusCode::METHOD_NOT_ALLOWED, ""));
    let answer = server.post("origin: https://shop.example", r#"{"query":"{hello}"}"#).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (StatusCode::OK, "https://shop.example"));
}

#[tokio::test]
async fn every_address_answers_and_every_answer_is_safe() {
    let server = serve(|_| {}).await;
    for (head, status) in [
        ("GET /nothing HTTP/1.1", StatusCode::NOT_FOUND),
        ("GET /graphiql/../../etc/passwd HTTP/1.1", StatusCode::NOT_FOUND),
        ("GET /graphiql/nothing.js HTTP/1.1", StatusCode::NOT_FOUND),
        ("PUT /graphql HTTP/1.1", StatusCode::METHOD_NOT_ALLOWED),
        ("DELETE /healthz HTTP/1.1", StatusCode::METHOD_NOT_ALLOWED),
        ("GET /webhooks/retail HTTP/1.1", StatusCode::METHOD_NOT_ALLOWED),
        ("POST /webhooks/retail HTTP/1.1", StatusCode::NOT_FOUND),
        ("POST /webhooks/RETAIL%20 HTTP/1.1", StatusCode::NOT_FOUND),
        ("GET /graphql HTTP/1.1\r\nupgrade: websocket", StatusCode::BAD_REQUEST),
    ] {
        let answer = server.send(head, b"").await;
        assert_eq!(answer.status, status, "{head}");
        assert!(!answer.code().is_empty() && !answer.header("x-request-id").is_empty(), "{head}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(status != StatusCode::METHOD_NOT_ALLOWED || !answer.header("allow").is_empty(), "{head}");
    }
    let page = server.send("GET /graphql HTTP/1.1\r\naccept: text/html,*/*;q=0.8", b"").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header("content-type").starts_with("text/html"));
    assert_eq!(server.send("GET / HTTP/1.1", b"").await.header("location"), "/graphql");
    let plain = serve(|config| config.http.graphiql = false).await;
    assert_eq!(plain.send("GET /graphql HTTP/1.1\r\naccept: text/html", b"").await.status, StatusCode::NOT_ACCEPTABLE);
}
