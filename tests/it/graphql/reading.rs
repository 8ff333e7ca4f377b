//! Lists, filters, search, sums, single orders and the change feed.

use order_center::graphql::Role;
use serde_json::{Value, json};

use super::Api;
use crate::center::nothing;
use crate::fault::{Fault, HTML};
use crate::world::{at, databases, order_json, sqlite};

/// Order `n` of 25: places, sources of money and lines that differ.
fn varied(n: i64) -> Value {
    let mut order = order_json(&format!("V{n}"), n);
    order["number"] = json!(format!("N-{n:03}"));
    order["times"]["placedAt"] = json!(at(n * 60));
    order["shippingAddress"]["countryCode"] = json!(["GB", "FR", "DE"][usize::try_from(n % 3).unwrap()]);
    order["customer"] =
        json!({ "id": format!("C{}", n % 5), "name": format!("Name {n}"), "email": format!("u{n}@example.org") });
    if n % 2 == 0 {
        order["status"] = json!("COMPLETED");
    }
    if n % 5 == 0 {
        order["currency"] = json!("EUR");
    }
    if n == 7 {
        order["lines"][0]["sku"] = json!("RARE-7");
        order["holds"] = json!([{ "code": "REVIEW" }]);
    }
    order
}

async fn varied_api(world: &crate::world::TestDatabase) -> Api {
    let api = Api::new(world).await;
    api.ingest((1..=25).map(varied)).await;
    api
}

fn numbers(nodes: &Value) -> Vec<String> {
    nodes.as_array().unwrap().iter().map(|n| n["number"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_forward_and_backward_are_the_same_list() {
    for world in databases().await {
        let api = varied_api(&world).await;
        let query = "query($first: Int, $after: String, $last: Int, $before: String, $by: OrderOrder) {
            orders(first: $first, after: $after, last: $last, before: $before, orderBy: $by) {
                totalCount nodes { number } edges { cursor node { number } }
                pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
        let all: Vec<String> = (1..=25).rev().map(|n| format!("N-{n:03}")).collect();
        for (first, cursor, info, next) in
            [("first", "after", "endCursor", "hasNextPage"), ("last", "before", "startCursor", "hasPreviousPage")]
        {
            let mut seen: Vec<String> = Vec::new();
            let mut at = Value::Null;
            loop {
                let page = api.data_with(query, json!({ first: 10, cursor: at })).await["orders"].take();
                assert_eq!(page["totalCount"], 25);
                let nodes = numbers(&page["nodes"]);
                let edges: Vec<&Value> = page["edges"].as_array().unwrap().iter().collect();
                assert_eq!(edges.iter().map(|e| e["node"]["number"].as_str().unwrap()).collect::<Vec<_>>(), nodes);
                assert_eq!(edges[0]["cursor"], page["pageInfo"]["startCursor"]);
                assert_eq!(edges[edges.len() - 1]["cursor"], page["pageInfo"]["endCursor"]);
                if first == "first" {
                    seen.extend(nodes)
                } else {
                    seen.splice(0..0, nodes);
                }
                at = page["pageInfo"][info].clone();
                if page["pageInfo"][next] == false {
                    break;
                }
            }
            assert_eq!(seen, all, "{} {first}", world.name);
        }
        let by = json!({ "by": { "field": "UPDATED_AT", "direction": "ASC" }, "first": 2 });
        let page = api.data_with(query, by).await["orders"].take();
        assert_eq!(numbers(&page["nodes"]), ["N-001", "N-002"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_search_find_what_they_say() {
    for world in databases().await {
        let api = varied_api(&world).await;
        let of =
            |n: &dyn Fn(i64) -> bool| (1..=25).rev().filter(|i| n(*i)).map(|i| format!("N-{i:03}")).collect::<Vec<_>>();
        for (filter, expected) in [
            ("where: {country: {eq: \"FR\"}, status: {eq: COMPLETED}}", of(&|n| n % 3 == 1 && n % 2 == 0)),
            ("where: {OR: [{country: {eq: \"FR\"}}, {country: {eq: \"DE\"}}]}", of(&|n| n % 3 != 0)),
            (
                "where: {NOT: {status: {in: [COMPLETED]}}, AND: [{country: {in: [\"GB\", \"FR\"]}}]}",
                of(&|n| n % 2 == 1 && n % 3 != 2),
            ),
            ("where: {status: {notIn: [COMPLETED, CANCELED]}}", of(&|n| n % 2 == 1)),
            ("where: {OR: []}", vec![]),
            (
                "where: {lines: {some: {sku: {eq: \"RARE-7\"}, total: {gte: \"15.30\", lt: \"15.31\"}}}}",
                of(&|n| n == 7),
            ),
            ("where: {lines: {none: {sku: {eq: \"85123A\"}}}}", of(&|n| n == 7)),
            (
                "where: {payments: {some: {method: {eq: \"card\"}, status: {eq: CAPTURED}, amount: {gt: \"23\"}}}, number: {startsWith: \"N-02\"}}",
                of(&|n| n >= 20),
            ),
            ("where: {total: {currencyCode: \"EUR\", gte: \"24\"}}", of(&|n| n % 5 == 0)),
            ("where: {total: {currencyCode: \"EUR\", gt: 24}}", vec![]),
            ("where: {held: true}", of(&|n| n == 7)),
            ("where: {violated: false, placedAt: {gte: \"2010-12-01T08:50:00Z\"}}", of(&|n| n >= 24)),
            ("where: {channel: {isNull: true}}", vec![]),
            ("where: {id: {in: [\"ord_retail_V3\", \"ord_retail_none\"]}}", of(&|n| n == 3)),
            ("where: {source: {eq: \"nobody\"}}", vec![]),
            ("search: \"N-00\"", of(&|n| n < 10)),
            ("search: \" V12 \"", of(&|n| n == 12)),
            ("search: \"ord_retail_V12\"", of(&|n| n == 12)),
            ("search: \"C4\"", of(&|n| n % 5 == 4)),
            ("search: \"U11@Example\"", of(&|n| n == 11)),
            ("search: \"Name 2\"", of(&|n| n == 2 || n >= 20)),
            ("search: \"RARE-7\"", of(&|n| n == 7)),
            ("search: \"RARE\"", vec![]),
            ("search: \"85123A\", where: {status: {eq: COMPLETED}}", of(&|n| n % 2 == 0)),
            ("search: \"%' or 1=1 --\"", vec![]),
        ] {
            let data =
                api.data(&format!("{{ orders({filter}, first: 100) {{ totalCount nodes {{ number }} }} }}")).await;
            assert_eq!(numbers(&data["orders"]["nodes"]), expected, "{}: {filter}", world.name);
            assert_eq!(data["orders"]["totalCount"], expected.len(), "{}: {filter}", world.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_exact_and_by_currency() {
    for world in databases().await {
        let api = varied_api(&world).await;
        let query = "{ orderAggregates(groupBy: [STATUS], where: {source: {eq: \"retail\"}}) { hasMore rows {
            status country currencyCode orders lines total { amount currencyCode } captured { amount } } } }";
        let rows = api.data(query).await["orderAggregates"]["rows"].take();
        // 24.00 each: 10 and 10 in pounds, 2 and 3 in euros.
        let row = |status: &str, currency: &str, orders: i64, total: &str| {
            json!({ "status": status, "country": null, "currencyCode": currency, "orders": orders, "lines": orders * 2,
                "total": { "amount": total, "currencyCode": currency }, "captured": { "amount": total } })
        };
        let mut rows = rows.as_array().unwrap().clone();
        rows.sort_by_key(|row| (row["status"].to_string(), row["currencyCode"].to_string()));
        assert_eq!(
            rows,
            [
                row("COMPLETED", "EUR", 2, "48"),
                row("COMPLETED", "GBP", 10, "240"),
                row("PROCESSING", "EUR", 3, "72"),
                row("PROCESSING", "GBP", 10, "240")
            ],
            "{}",
            world.name
        );
        let few = api
            .data(
                "{ orderAggregates(groupBy: [COUNTRY, PLACED_DAY], first: 1) { hasMore rows { country placedDay } } }",
            )
            .await;
        assert_eq!(few["orderAggregates"]["hasMore"], true);
        assert_eq!(few["orderAggregates"]["rows"][0]["placedDay"], "2010-12-01");
        let statuses = api.data("{ source(key: \"retail\") { statuses { status orders } } }").await;
        let statuses = statuses["source"]["statuses"].as_array().unwrap().clone();
        assert!(statuses.contains(&json!({ "status": "COMPLETED", "orders": 12 })), "{statuses:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_is_found_by_every_way_and_a_stranger_by_none() {
    let world = sqlite().await;
    let api = varied_api(&world).await;
    let found =
        |by: &str| format!("{{ order(by: {{{by}}}) {{ id number source {{ id key title adapter __typename }} }} }}");
    let source = json!({ "id": "src_retail", "key": "retail", "title": "retail", "adapter": "protocol", "__typename": "Source" });
    for by in [
        "id: \"ord_retail_V3\"",
        "source: {key: \"retail\", sourceOrderId: \"V3\"}",
        "number: {number: \"N-003\"}",
        "number: {number: \"N-003\", key: \"retail\"}",
    ] {
        let data = api.data(&found(by)).await;
        assert_eq!(data["order"], json!({ "id": "ord_retail_V3", "number": "N-003", "source": source }), "{by}");
    }
    for by in [
        "id: \"ord_retail_V99\"",
        "id: \"rubbish\"",
        "source: {key: \"nobody\", sourceOrderId: \"V3\"}",
        "source: {key: \"NO KEY\", sourceOrderId: \"\"}",
        "number: {number: \"N-3\"}",
        "number: {number: \"N-003\", key: \"x\"}",
    ] {
        assert_eq!(api.data(&found(by)).await["order"], Value::Null, "{by}");
    }
    let data = api.data("{ nodes(ids: [\"ord_retail_V1\", \"src_retail\", \"ord_retail_V99\", \"op_none\", \"x\", \"ord_retail_V1\"]) {
        __typename id ... on Order { number source { key } } ... on Source { key title } ... on Operation { state } }
        one: node(id: \"ord_retail_V1\") { ...N } } fragment N on Node { id ... on Order { n: number } }").await;
    let order =
        json!({ "__typename": "Order", "id": "ord_retail_V1", "number": "N-001", "source": { "key": "retail" } });
    let node = json!({ "__typename": "Source", "id": "src_retail", "key": "retail", "title": "retail" });
    assert_eq!(data["nodes"], json!([order, node, null, null, null, order]));
    assert_eq!(data["one"], json!({ "id": "ord_retail_V1", "n": "N-001" }));
    // A number of two orders names neither.
    let mut twin = varied(3);
    twin["sourceOrderId"] = json!("V3b");
    api.ingest([twin]).await;
    let (code, message, data) = api.refusal(Some(Role::Reader), &found("number: {number: \"N-003\"}")).await;
    assert_eq!((code.as_str(), &data["order"]), ("BAD_USER_INPUT", &Value::Null), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_the_owner_fails_alone() {
    for world in databases().await {
        let api = Api::with_orders(&world, 2).await;
        let query = "{ orders { nodes { number a: source { key kind process { name states { name } } } source { capabilities { create } }
            sync { via } operations { id } rawPayload } } sources { key sync { paused quarantined lagSeconds } } }";
        let data = api.data(query).await;
        for node in data["orders"]["nodes"].as_array().unwrap() {
            assert_eq!(node["a"]["kind"], "RETAIL", "{node}");
            assert_eq!(node["a"]["process"]["name"], "retail");
            assert_eq!(node["source"], json!({ "capabilities": { "create": true } }));
            assert!(node["rawPayload"].as_str().unwrap().contains("sourceOrderId"));
            assert_eq!(node["operations"], json!([]));
        }
        assert_eq!(data["sources"][0]["sync"]["paused"], false);

        for fault in [Fault::Drop, Fault::Answer(HTML.0, HTML.1, HTML.2)] {
            let fault = fault.clone();
            api.module.proxy.plan(move |_| fault.clone());
            let query = "{ order(by: {id: \"ord_retail_A1\"}, freshness: LIVE) { id } sources { key process { name } }
                same: orders(first: 1) { nodes { number source { key process { name } } } } }";
            let reply = api.reply(Some(Role::Reader), query, nothing()).await;
            let errors = reply["errors"].as_array().unwrap();
            let mut paths: Vec<String> = errors.iter().map(|e| e["path"].to_string()).collect();
            paths.sort();
            assert_eq!(
                paths,
                ["[\"order\"]", "[\"same\",\"nodes\",0,\"source\",\"process\"]", "[\"sources\",0,\"process\"]"]
            );
            for error in errors {
                assert_eq!(error["extensions"]["code"], "SOURCE_UNAVAILABLE", "{error}");
                assert!(!error["message"].as_str().unwrap().contains("127.0.0.1"), "{error}");
            }
            assert_eq!(reply["data"]["order"], Value::Null);
            assert_eq!(reply["data"]["sources"], json!([{ "key": "retail", "process": null }]));
            assert_eq!(reply["data"]["same"]["nodes"][0]["source"], json!({ "key": "retail", "process": null }));
        }
        api.module.proxy.plan(|_| Fault::Pass);
        let live = api.data("{ order(by: {id: \"ord_retail_A1\"}, freshness: LIVE) { id } }").await;
        assert_eq!(live["order"]["id"], "ord_retail_A1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_resumed_without_gaps() {
    for world in databases().await {
        let api = varied_api(&world).await;
        let query =
            "query($after: String) { orderChanges(first: 10, after: $after) { pageInfo { hasNextPage endCursor }
            nodes { cursor kind orderId version order { number } } edges { cursor node { orderId } } } }";
        let mut after = Value::Null;
        let mut seen = Vec::new();
        loop {
            let page = api.data_with(query, json!({ "after": after })).await["orderChanges"].take();
            for (node, edge) in page["nodes"].as_array().unwrap().iter().zip(page["edges"].as_array().unwrap()) {
                assert_eq!((&node["cursor"], &node["orderId"]), (&edge["cursor"], &edge["node"]["orderId"]));
                assert_eq!(node["kind"], "UPSERTED");
                seen.push(node["orderId"].as_str().unwrap().to_owned());
            }
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        let unique: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), unique.len()), (25, 25), "{}", world.name);
        let empty = api.data_with(query, json!({ "after": after })).await;
        assert_eq!(empty["orderChanges"]["pageInfo"]["endCursor"], after, "an empty page is where you were");

        // What was missed between two connections, then what happens now.
        let mut newer = varied(3);
        newer["version"] = json!(1_000);
        api.ingest([newer]).await;
        let stream = format!("subscription {{ orderChanged(after: {after}) {{ cursor version order {{ number }} }} }}");
        let missed = api.stream(&stream, 1).await;
        assert_eq!(missed[0]["orderChanged"]["order"]["number"], "N-003");
        assert_eq!(missed[0]["orderChanged"]["version"], 1_000);
        let after = missed[0]["orderChanged"]["cursor"].clone();
        let stream = format!(
            "subscription {{ orderChanged(after: {after}, where: {{country: {{eq: \"FR\"}}}}) {{ orderId }} }}"
        );
        let later = async {
            for n in [2, 3, 4] {
                let mut newer = varied(n);
                newer["version"] = json!(2_000);
                api.ingest([newer]).await;
            }
        };
        let (found, ()) = tokio::join!(api.stream(&stream, 1), later);
        assert_eq!(found[0]["orderChanged"]["orderId"], "ord_retail_V4", "only what matches");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_a_cursor_begins_now() {
    let world = sqlite().await;
    let api = varied_api(&world).await;
    let later = async {
        // Its beginning cannot be seen from outside: change until the first change arrives.
        for version in 1_000.. {
            let mut newer = varied(9);
            newer["version"] = json!(version);
            api.ingest([newer]).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        found = api.stream("subscription { orderChanged { order { number } } }", 1) => {
            assert_eq!(found[0]["orderChanged"]["order"]["number"], "N-009");
        }
        () = later => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_understood_is_shown_and_replayed() {
    let world = sqlite().await;
    let api = Api::new(&world).await;
    let mut negative = order_json("Q1", 1);
    negative["lines"][0]["quantity"]["ordered"] = json!(-6);
    let mut currencies = order_json("Q2", 1);
    currencies["payments"][0]["currency"] = json!("EUR");
    api.ingest([negative, currencies, order_json("Q3", 1)]).await;
    let query = "{ quarantine { pageInfo { hasNextPage } nodes { id source { key } sourceOrderId path rule value input state via } }
        orders { totalCount } sources { sync { quarantined } } }";
    let data = api.data(query).await;
    let mut paths: Vec<&str> =
        data["quarantine"]["nodes"].as_array().unwrap().iter().map(|n| n["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/lines/0/quantity/ordered", "/payments/0/currency"]);
    assert_eq!(data["quarantine"]["nodes"][0]["source"]["key"], "retail");
    assert_eq!((&data["orders"]["totalCount"], &data["sources"][0]["sync"]["quarantined"]), (&json!(1), &json!(2)));
    let first = api.data("{ quarantine(first: 1) { pageInfo { hasNextPage endCursor } nodes { id } } }").await;
    assert_eq!(first["quarantine"]["pageInfo"]["hasNextPage"], true);
    let next = api
        .data_with(
            "query($a: String) { quarantine(first: 5, after: $a) { nodes { id } } }",
            json!({ "a": first["quarantine"]["pageInfo"]["endCursor"] }),
        )
        .await;
    assert_eq!(next["quarantine"]["nodes"].as_array().unwrap().len(), 1);
    let replay = api.data("mutation { replayQuarantine(key: \"retail\") { resolved source { key } } }").await;
    assert_eq!(replay["replayQuarantine"]["resolved"], 0, "nothing was fixed");
    let paused = api.data("mutation { pauseSource(key: \"retail\") { sync { paused } } }").await;
    assert_eq!(paused["pauseSource"]["sync"]["paused"], true);
    let resumed = api.data("mutation { resumeSource(key: \"retail\") { sync { paused } } }").await;
    assert_eq!(resumed["resumeSource"]["sync"]["paused"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_of_a_variable_decides_what_is_included() {
    let world = sqlite().await;
    let api = Api::new(&world).await;
    let query = "query($no: Boolean = false, $yes: Boolean! = true) { sources { key title @include(if: $no) adapter @skip(if: $yes) } }";
    assert_eq!(api.data(query).await["sources"], json!([{ "key": "retail" }]));
    let given = api.data_with(query, json!({ "no": true, "yes": false })).await;
    assert_eq!(given["sources"], json!([{ "key": "retail", "title": "retail", "adapter": "protocol" }]));
}
