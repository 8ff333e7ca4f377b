//! Bad input, too much input, and who may not.

use order_center::graphql::Role;
use serde_json::{Value, json};

use super::Api;
use crate::center::nothing;
use crate::world::{order_json, sqlite};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_with_a_stable_code() {
    let world = sqlite().await;
    let api = Api::with_orders(&world, 1).await;
    let other = api.data("{ orders(orderBy: {field: TOTAL}) { pageInfo { endCursor } } }").await;
    let other = other["orders"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    for (query, code, says) in [
        ("{ orders { nodes { id }", "GRAPHQL_PARSE_FAILED", "expected"),
        ("", "GRAPHQL_PARSE_FAILED", "expected"),
        ("{ orders { nodes { idd } } }", "GRAPHQL_VALIDATION_FAILED", "idd"),
        ("{ orders { nodes } }", "GRAPHQL_VALIDATION_FAILED", "nodes"),
        ("query($a: [Int!]!) { viewer { id } }", "GRAPHQL_VALIDATION_FAILED", "a"),
        ("{ orders(where: {status: {eq: SHIPPED}}) { nodes { id } } }", "GRAPHQL_VALIDATION_FAILED", "status"),
        ("{ ...A } fragment A on Query { ...A }", "GRAPHQL_VALIDATION_FAILED", "contains itself"),
        ("{ orders(first: 100000) { nodes { id } } }", "BAD_USER_INPUT", "1 to 100"),
        ("{ orders(first: 101) { nodes { id } } }", "BAD_USER_INPUT", "1 to 100"),
        ("{ orders(first: 0) { nodes { id } } }", "BAD_USER_INPUT", "1 to 100"),
        ("{ orders(first: -1) { nodes { id } } }", "BAD_USER_INPUT", "1 to 100"),
        ("{ orders(first: 1, last: 1) { nodes { id } } }", "BAD_USER_INPUT", "not for both"),
        ("{ orders(after: \"x\") { nodes { id } } }", "BAD_USER_INPUT", "cursor"),
        ("{ orderChanges(after: \"x\") { nodes { cursor } } }", "BAD_USER_INPUT", "cursor"),
        ("{ orders(search: \"  \") { nodes { id } } }", "BAD_USER_INPUT", "empty"),
        ("{ orders(where: {total: {currencyCode: \"Pounds\"}}) { nodes { id } } }", "BAD_USER_INPUT", "ISO 4217"),
        ("{ orders(where: {placedAt: {gte: \"yesterday\"}}) { nodes { id } } }", "BAD_USER_INPUT", "RFC 3339"),
        ("{ orderAggregates(groupBy: [KIND, KIND]) { hasMore } }", "BAD_USER_INPUT", "twice"),
        ("{ operations(orderId: \"x\") { nodes { id } } }", "BAD_USER_INPUT", "order id"),
        ("mutation { pollSource(key: \"nobody\") { read } }", "BAD_USER_INPUT", "sources"),
    ] {
        let (got, message, data) = api.refusal(Some(Role::Admin), query).await;
        assert_eq!(got, code, "{query}: {message}");
        assert!(message.contains(says), "{query}: {message}");
        let of_field = code == "BAD_USER_INPUT";
        assert_eq!(
            data.is_object(),
            of_field,
            "{query}: {data}: a failed field is null, a refused request has no data"
        );
    }
    let query = format!("{{ orders(after: \"{other}\") {{ nodes {{ id }} }} }}");
    let (code, message, _) = api.refusal(Some(Role::Reader), &query).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("another orderBy"), "{message}");
    let bad = json!({ "by": { "id": "x", "number": { "number": "1" } } });
    let reply = api.reply(Some(Role::Reader), "query($by: OrderLookup!) { order(by: $by) { id } }", bad).await;
    assert!(
        ["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"]
            .contains(&reply["errors"][0]["extensions"]["code"].as_str().unwrap()),
        "{reply}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_too_much_is_refused_before_it_costs() {
    let world = sqlite().await;
    let api = Api::new(&world).await;
    let repeat = |n: usize, part: &dyn Fn(usize) -> String| (0..n).map(part).collect::<String>();
    // 2^40 fields in a kilobyte: each fragment spreads the next one twice.
    let doubling = repeat(40, &|n| format!("fragment F{n} on Query {{ ...F{m} ...F{m} }} ", m = n + 1));
    let doubling = format!("{{ ...F0 }} {doubling} fragment F40 on Query {{ viewer {{ id }} }}");
    let nested = format!("{{ sources {{ {}{} }} }}", "... { ".repeat(40), "key".to_owned() + &" }".repeat(40));
    let wide = "id number status kind channel paymentStatus fulfillmentStatus returnStatus country currencyCode \
                lines { name sku total { amount } unitPrice { amount } quantity { ordered current } }";
    let costly = repeat(8, &|n| format!("a{n}: orders(first: 100) {{ nodes {{ {wide} {wide} }} }} "));
    for (query, says) in [
        (format!("{{ {} }}", repeat(5_000, &|n| format!("a{n}: viewer {{ id }} "))), "bytes"),
        (format!("{{ {} }}", repeat(16, &|n| format!("a{n}: __typename "))), "15 aliases"),
        (format!("{{ {} }}", "viewer { id } ".repeat(201)), "400 fields"),
        (doubling, "400 fields"),
        (nested, "recursion depth"),
        (format!("{{ viewer {{ id {} }} }}", "@include(if: true) ".repeat(6)), ""),
        (format!("{{ {costly} }}"), "complex"),
        (
            "{ a: orders(first: 100) { nodes { operations(first: 100) { id state } } }
            b: orders(first: 100) { nodes { operations(first: 100) { id } } } }"
                .to_owned(),
            "complex",
        ),
        ("{ orders(first: 100) { nodes { source { process { name } } } } }".to_owned(), "complex"),
    ] {
        let (code, message, data) = api.refusal(Some(Role::Admin), &query).await;
        let expected = if says.is_empty() { "GRAPHQL_VALIDATION_FAILED" } else { "QUERY_TOO_COMPLEX" };
        assert!(code == expected || says.is_empty(), "{code} {message}");
        assert!(message.contains(says), "{message}");
        assert_eq!(data, Value::Null);
    }
    // What people really send stays well within.
    let page = api.data(&format!("{{ orders {{ nodes {{ {wide} }} totalCount }} }}")).await;
    assert_eq!(page["orders"], json!({ "nodes": [], "totalCount": 0 }));
    let graphiql = api.data(INTROSPECTION).await;
    assert!(graphiql["__schema"]["types"].as_array().unwrap().len() > 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_opens_what_is_its_own() {
    let world = sqlite().await;
    let api = Api::with_orders(&world, 1).await;
    api.ingest([order_json("B1", -1)]).await;
    let reading = [
        "{ viewer { role } }",
        "{ orders { nodes { id } } }",
        "{ sources { key } }",
        "{ orderChanges { nodes { cursor } } }",
        "{ order(by: {id: \"ord_retail_A1\"}) { id } }",
        "{ node(id: \"ord_retail_A1\") { id } }",
        "{ nodes(ids: [\"src_retail\"]) { id } }",
        "{ orderAggregates { hasMore } }",
        "{ operation(id: \"op_1\") { id } }",
        "{ source(key: \"retail\") { key } }",
    ];
    let operating = [
        "{ quarantine { nodes { input } } }",
        "{ operations { nodes { id } } }",
        "{ order(by: {id: \"ord_retail_A1\"}) { rawPayload } }",
        "{ orders { nodes { rawPayload } } }",
        "{ orders { edges { node { ... on Node { ... on Order { rawPayload } } } } } }",
        "{ node(id: \"ord_retail_A1\") { ... on Order { rawPayload } } }",
        "mutation { pollSource(key: \"retail\") { read } }",
        "mutation { refreshOrder(id: \"ord_retail_A1\") { id } }",
        "mutation { replayQuarantine(key: \"retail\") { resolved } }",
        "mutation { settleOperation(id: \"op_1\") { id } }",
        "mutation { payOrder(input: {id: \"ord_retail_A1\", idempotencyKey: \"r\"}) { userErrors { code } } }",
        "mutation { payOrder(input: {id: \"x\", idempotencyKey: \"r\"}) { userErrors { code } } }",
    ];
    let administering =
        ["mutation { pauseSource(key: \"retail\") { key } }", "mutation { resumeSource(key: \"retail\") { key } }"];
    let entities = "query($r: [_Any!]!) { _entities(representations: $r) { ... on Order { id number } } }";
    let entity = json!({ "r": [{ "__typename": "Order", "id": "ord_retail_A1" }, { "__typename": "Order", "id": "ord_retail_ZZ" }] });

    for (queries, least) in
        [(&reading[..], Role::Reader), (&operating[..], Role::Operator), (&administering[..], Role::Admin)]
    {
        for query in queries {
            let (code, ..) = api.refusal(None, query).await;
            assert_eq!(code, "UNAUTHENTICATED", "{query}");
            for role in [Role::Reader, Role::Operator, Role::Admin] {
                let reply = api.reply(Some(role), query, nothing()).await;
                let code = reply["errors"][0]["extensions"]["code"].as_str();
                assert_eq!(code, (role < least).then_some("FORBIDDEN"), "{query}: {reply}");
                assert!(
                    reply["data"].is_object(),
                    "{query}: a guarded field is null, its neighbors are not lost: {reply}"
                );
            }
        }
    }
    let reply = api.reply(None, entities, entity.clone()).await;
    assert_eq!(reply["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    let data = api.data_with(entities, entity).await;
    let number = api.data("{ order(by: {id: \"ord_retail_A1\"}) { number } }").await["order"]["number"].take();
    assert_eq!(data["_entities"], json!([{ "id": "ord_retail_A1", "number": number }, null]));
    let many: Vec<Value> = (0..101).map(|_| json!({ "__typename": "Order", "id": "ord_retail_A1" })).collect();
    let reply = api.reply(Some(Role::Admin), entities, json!({ "r": many })).await;
    assert_eq!(reply["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{reply}");

    let mut closed = super::request(Some(Role::Reader), "{ _service { sdl } }", nothing());
    closed.introspection_mode = async_graphql::IntrospectionMode::Disabled;
    let response = api.schema.execute(closed).await;
    assert_eq!(response.errors.len(), 1, "the SDL is introspection by another name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_database_is_said_so_and_nothing_of_it_leaks() {
    let world = sqlite().await;
    let api = Api::with_orders(&world, 1).await;
    world.database.close().await;
    for query in [
        "{ orders { nodes { id } } }",
        "{ orderChanges { nodes { cursor } } }",
        "{ sources { sync { paused } } }",
        "mutation { cancelOrder(input: {id: \"ord_retail_A1\", idempotencyKey: \"k\"}) { userErrors { code } } }",
    ] {
        let (code, message, _) = api.refusal(Some(Role::Admin), query).await;
        assert_eq!(code, "SERVICE_UNAVAILABLE", "{query}: {message}");
        for inside in ["sqlx", "SELECT", "pool", "Query("] {
            assert!(!message.to_lowercase().contains(&inside.to_lowercase()), "{message}");
        }
    }
    let (_, message, _) = api
        .refusal(
            Some(Role::Admin),
            "mutation { cancelOrder(input: {id: \"ord_retail_A1\", idempotencyKey: \"k\"}) { userErrors { code } } }",
        )
        .await;
    assert!(message.contains("module was not asked"), "{message}");
    assert_eq!(api.module.proxy.count(crate::fault::Asked::is_action), 0);
}

/// What GraphiQL sends when it opens.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { queryType { name } mutationType { name }
  subscriptionType { name } types { ...FullType } directives { name description locations args { ...InputValue } } } }
  fragment FullType on __Type { kind name description specifiedByURL fields(includeDeprecated: true) { name description
    args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } inputFields { ...InputValue }
    interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
    possibleTypes { ...TypeRef } }
  fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
  fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }";
