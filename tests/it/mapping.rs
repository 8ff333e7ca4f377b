//! Mapping in workers: whatever a program or a record does, it costs that record and nothing else.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use order_adapter::{MapError, Package, PackageError};
use order_center::mapping::{Limits, Mapper, Pool};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_order-center");

fn limits() -> Limits {
    Limits { program: PROGRAM.into(), ..Limits::default() }
}

/// A mapping that gives a small valid order, unless the record asks for `evil`.
fn package(evil: &str) -> Result<Package, PackageError> {
    let order = format!(
        r#"if .evil then ({evil}) else
  {{sourceOrderId: .id, number: .id, version: 1, currency: "EUR", kind: "RETAIL", status: "PROCESSING",
    paymentStatus: "UNKNOWN", fulfillmentStatus: "UNKNOWN", native: {{state: "x"}}, lines: [],
    times: {{updatedAt: "2026-01-01T00:00:00Z"}}, totals: {{total: .total, subtotal: .total}}}} end"#
    );
    let manifest = r#"
schema = "order-center.adapter/v1"
name = "hostile"
version = "1.0.0"
title = "Hostile"
[map]
order = "map/order.jq"
records = 'if type == "array" then .[] else . end'
"#;
    let files = [("adapter.toml", manifest), ("map/order.jq", &order)];
    Package::open(files.map(|(path, text)| (path.to_owned(), text.to_owned())).into())
}

fn mapper(pool: &Pool, evil: &str) -> Mapper {
    Mapper::new(pool, &package(evil).expect("it compiles"))
}

fn good() -> Vec<u8> {
    json!({ "id": "1", "total": "1.50" }).to_string().into_bytes()
}

/// What each hostile program ends with.
const HOSTILE: &[(&str, &str)] = &[
    ("def f: f; f", "longer than"),
    ("until(false; .)", "longer than"),
    ("last(range(1e18))", "longer than"),
    ("def f: 1 + f; f", "a limit"),
    ("[range(1e12)]", "a limit"),
    ("reduce range(60) as $i (\"xxxxxxxxxxxxxxxx\"; . + .)", "a limit"),
    ("\"x\" * 100000000000", "a limit"),
    ("([range(64)] | map(\"xxxxxxxxxxxxxxxx\" * 65536)) as $a | [range(1000) | $a] | tojson", "a limit"),
    ("reduce range(1e6) as $i (0; [.])", "a limit"),
];

#[tokio::test]
async fn a_hostile_mapping_costs_its_own_record_only() {
    let pool = Pool::new(Limits { workers: 4, time: Duration::from_secs(2), ..limits() });
    let attacks = HOSTILE.iter().map(|(program, reason)| {
        let mapper = mapper(&pool, program);
        async move {
            match mapper.map(br#"{"evil": true}"#, "{}").await {
                // Which limit is met first depends on the machine.
                Err(MapError::Stopped(why)) if *reason == "a limit" => {
                    let limits = ["memory", "too deeply", "longer than"];
                    assert!(limits.iter().any(|limit| why.contains(limit)), "{program}: {why}");
                }
                Err(MapError::Stopped(why)) => assert!(why.contains(reason), "{program}: {why}"),
                other => panic!("{program}: {other:?}"),
            }
            // The same mapping goes on with the next record.
            let (order, _) = mapper.map(&good(), "{}").await.expect("a good record maps");
            assert_eq!(order.number, "1", "{program}");
        }
    });
    join_all(attacks).await;
}

#[tokio::test]
async fn what_reaches_outside_the_record_fails_in_the_mapping() {
    let pool = Pool::new(limits());
    for program in ["halt", "halt(3)", "env", "$ENV", "input", "now", "input_filename", "debug(1; stderr)"] {
        let outcome = match package(program) {
            Ok(package) => Mapper::new(&pool, &package).map(br#"{"evil": true}"#, "{}").await,
            Err(error) => Err(MapError::Program(error.to_string())),
        };
        assert!(matches!(outcome, Err(MapError::Program(_))), "{program}: {outcome:?}");
    }
}

#[tokio::test]
async fn another_source_does_not_notice_an_endless_mapping() {
    let pool = Pool::new(Limits { workers: 2, time: Duration::from_secs(600), ..limits() });
    let (endless, other) = (mapper(&pool, "def f: f; f"), mapper(&pool, "empty"));
    // As many records as there are workers, and more: they queue for the mapping's own share.
    let attacks = join_all((0..8).map(|_| endless.map(br#"{"evil": true}"#, "{}")));
    let rest = async {
        for _ in 0..100 {
            other.map(&good(), "{}").await.expect("maps");
        }
    };
    tokio::select! {
        biased;
        outcome = attacks => panic!("an endless mapping ended: {outcome:?}"),
        () = rest => {}
    }
}

#[tokio::test]
async fn one_bad_record_leaves_its_page_mapped() {
    let pool = Pool::new(Limits { time: Duration::from_millis(1500), ..limits() });
    let mapper = mapper(&pool, "def f: f; f");
    let mut page: Vec<Value> = (0..40).map(|i| json!({ "id": i.to_string(), "total": "1" })).collect();
    page[17] = json!({ "id": "17", "evil": true });
    page[30] = json!({ "id": "30", "total": "1.123456" });
    let mapped = mapper.map_document(json!(page).to_string().as_bytes(), "{}").await.expect("a page");
    assert_eq!(mapped.len(), 40);
    for (i, record) in mapped.iter().enumerate() {
        assert_eq!(serde_json::from_slice::<Value>(&record.raw).expect("JSON"), page[i]);
        match (i, &record.order) {
            (17, Err(MapError::Stopped(_))) | (30, Err(MapError::Order(_))) => {}
            (_, Ok((order, _))) => assert_eq!(order.number, i.to_string()),
            other => panic!("{other:?}"),
        }
    }
    // A page on which every record breaks the worker is given up.
    let evil = json!(vec![json!({ "evil": true }); 40]).to_string();
    assert!(matches!(mapper.map_document(evil.as_bytes(), "{}").await, Err(MapError::Stopped(_))));
}

#[tokio::test]
async fn what_no_parser_should_see_is_refused_before_it() {
    let pool = Pool::new(limits());
    let mapper = mapper(&pool, "empty");
    let huge = [b"[\"".as_slice(), &vec![b'x'; 50 << 20], b"\"]"].concat();
    for (input, reason) in [
        ("[".repeat(100_000).into_bytes(), "nested"),
        ("{\"a\":".repeat(100_000).into_bytes(), "nested"),
        (huge, "limit"),
        (b"<html>bad gateway</html>".to_vec(), "JSON"),
        (b"{\"id\": \"1\"".to_vec(), "JSON"),
        (Vec::new(), "JSON"),
    ] {
        for outcome in [mapper.map(&input, "{}").await.err(), mapper.map_document(&input, "{}").await.err()] {
            match outcome {
                Some(MapError::Input(why)) => assert!(format!("JSON {why}").contains(reason), "{why}"),
                other => panic!("{reason}: {other:?}"),
            }
        }
    }
    assert_eq!(pool.idle_workers().len(), 1, "none of it broke the worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_may_be_xml_where_the_adapter_says_so() {
    let pool = Pool::new(limits());
    let order = "<prestashop><order><id>5</id><id_currency href='x'><![CDATA[1]]></id_currency><current_state>2</current_state>\
        <reference>R5</reference><date_add>2025-04-01 09:00:00</date_add><date_upd>2025-04-02 09:00:00</date_upd>\
        <total_paid_tax_incl>20.00</total_paid_tax_incl><total_products_wt>20.00</total_products_wt><associations><order_rows>\
        <order_row><id>1</id><product_quantity>2</product_quantity><product_name>Mug</product_name>\
        <unit_price_tax_incl>10</unit_price_tax_incl></order_row></order_rows></associations></order></prestashop>";
    let settings = r#"{"kind": "RETAIL", "currencies": {"1": "EUR"}, "states": {}, "utc_offset": "+00:00"}"#;
    let reads = Mapper::new(&pool, &Package::find("prestashop").expect("is built in"));
    let mapped = reads.map_document(order.as_bytes(), settings).await.expect("one order");
    let (order_read, _) = mapped[0].order.as_ref().expect("an order");
    assert_eq!((order_read.number.as_str(), order_read.totals.total.to_string()), ("R5", "20".to_owned()));
    let refuses = Mapper::new(&pool, &Package::find("woocommerce").expect("is built in"));
    assert!(matches!(refuses.map_document(order.as_bytes(), "{}").await, Err(MapError::Input(_))));
    // Attributes are compared with each other: so many of them take their time, and then are stopped.
    let names: Vec<String> = (0..200_000).map(|n| format!("a{n}=''")).collect();
    let evil = format!("<prestashop><a {}/></prestashop>", names.join(" "));
    assert!(matches!(reads.map_document(evil.as_bytes(), settings).await, Err(MapError::Stopped(_))));
}

#[tokio::test]
async fn output_without_end_is_cut() {
    let pool = Pool::new(Limits { result_bytes: 1 << 20, ..limits() });
    let mapper = mapper(&pool, "{a: (\"x\" * 2000000)}");
    let outcome = mapper.map(br#"{"evil": true}"#, "{}").await;
    assert!(matches!(&outcome, Err(MapError::Stopped(why)) if why.contains("larger")), "{outcome:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_worker_has_nothing_and_is_replaced() {
    let pool = Pool::new(Limits { workers: 2, ..limits() });
    let mapper = mapper(&pool, "empty");
    mapper.map(&good(), "{}").await.expect("maps");
    let [worker] = pool.idle_workers()[..] else { panic!("one worker waits") };
    assert_eq!(std::fs::read(format!("/proc/{worker}/environ")).expect("environment"), b"", "no environment");
    let held = std::fs::read_to_string(format!("/proc/{worker}/limits")).expect("limits");
    for limit in ["Max open files            3  ", "Max file size             0 ", "Max core file size        0 "] {
        assert!(held.contains(limit), "{limit}: {held}");
    }
    assert!(held.contains(&format!("Max address space         {}", 512 << 20)), "{held}");

    // The system takes it away, as it does when memory is short: the run is tried again in another.
    let killed = Command::new("kill").args(["-9", &worker.to_string()]).status().expect("kill runs");
    assert!(killed.success());
    mapper.map(&good(), "{}").await.expect("maps again");
    assert_ne!(pool.idle_workers(), [worker]);
}

fn map(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(["adapter", "map"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    // A command that complains early may not read all of it.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("ends")
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn the_command_gives_orders_and_json_errors() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("adapters/woocommerce/fixtures");
    let list = fixtures.join("list-open.json");
    let output = map(&["woocommerce", &list.to_string_lossy()], b"");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    let orders = lines(&output.stdout);
    assert!(!orders.is_empty() && orders.iter().all(|order| order["sourceOrderId"].is_string()));

    // A good order, one whose money has too many digits for its rule, and one that is none.
    let mut good: BTreeMap<String, Value> = serde_json::from_slice(
        &std::fs::read(fixtures.join("order-completed-partly-refunded.json")).expect("a fixture"),
    )
    .expect("an order");
    let first = json!(good);
    good.insert("currency".into(), json!("EURO"));
    let output = map(&["woocommerce", "-"], json!([first, good, { "id": 3 }]).to_string().as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output.stdout).len(), 1);
    let errors = lines(&output.stderr);
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!((&errors[0]["record"], &errors[0]["path"]), (&json!(1), &json!("/currency")));
    assert_eq!(errors[0]["from"], json!(["/currency"]), "the pointer into the record");
    assert!(errors[1]["rule"].as_str().is_some_and(|rule| rule.starts_with("not an order")), "{errors:?}");

    for (arguments, input) in [
        (vec!["woocommerce", "-"], "[".repeat(100_000)),
        (vec!["woocommerce", "-"], "<html>".to_owned()),
        (vec!["woocommerce", "-"], "[]".to_owned()),
        (vec!["woocommerce", "/nowhere/order.json"], String::new()),
        (vec!["no-such-platform", "-"], String::new()),
        (vec!["woocommerce", "--set", "zzz=1", "-"], String::new()),
    ] {
        let output = map(&arguments, input.as_bytes());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}");
        let errors = lines(&output.stderr);
        assert!(errors.len() == 1 && errors[0]["rule"].is_string(), "{arguments:?}: {errors:?}");
    }
}
