//! Mutations: delegated, recorded, read back at once, and refused with a reason that was told before.

use futures_util::StreamExt as _;
use order_center::graphql::Role;
use serde_json::{Value, json};

use super::{Api, request};
use crate::center::nothing;
use crate::fault::{Asked, Fault};
use crate::world::databases;

const CANCEL: &str = "mutation($key: String!, $reason: String, $version: Long, $dry: Boolean! = false) {
    cancelOrder(input: { id: \"ord_retail_A1\", idempotencyKey: $key, reason: $reason, expectedVersion: $version, dryRun: $dry }) {
        order { status cancelReason version availableActions { name enabled blockers { code } } }
        operation { id state finished attempts effects { kind status amount { amount currencyCode } } versionAfter dryRun }
        userErrors { code message field currentVersion blockers { code message } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_canceled_once_and_read_back_at_once() {
    for world in databases().await {
        let api = Api::with_orders(&world, 2).await;
        let before = api.data("{ order(by: {id: \"ord_retail_A1\"}) { version status } }").await["order"].take();

        let dry = api.data_with(CANCEL, json!({ "key": "dry", "dry": true })).await["cancelOrder"].take();
        assert_eq!(
            (&dry["operation"]["state"], &dry["operation"]["dryRun"]),
            (&json!("SUCCEEDED"), &json!(true)),
            "{dry}"
        );
        assert_eq!(api.data("{ order(by: {id: \"ord_retail_A1\"}) { version status } }").await["order"], before);

        let stale = api.data_with(CANCEL, json!({ "key": "stale", "version": 0 })).await["cancelOrder"].take();
        assert_eq!(stale["userErrors"][0]["code"], "VERSION_CONFLICT", "{stale}");
        assert_eq!(stale["userErrors"][0]["currentVersion"], before["version"]);

        let ask = json!({ "key": "k1", "reason": "changed mind", "version": before["version"] });
        let done = api.data_with(CANCEL, ask.clone()).await["cancelOrder"].take();
        assert_eq!(done["userErrors"], json!([]), "{done}");
        assert_eq!((&done["operation"]["state"], &done["operation"]["finished"]), (&json!("SUCCEEDED"), &json!(true)));
        assert_eq!(
            (&done["order"]["status"], &done["order"]["cancelReason"]),
            (&json!("CANCELED"), &json!("changed mind"))
        );
        assert_eq!(done["order"]["version"], done["operation"]["versionAfter"]);
        let money = done["operation"]["effects"].as_array().unwrap().iter().find(|e| e["kind"] == "PAYMENT").unwrap();
        assert_eq!(money["amount"], json!({ "amount": "10000", "currencyCode": "GBP" }), "{money}");
        let listed = api.data("{ orders(where: {status: {eq: CANCELED}}) { nodes { id operations { state action type order { id } } } } }").await;
        let operations =
            json!([{ "state": "SUCCEEDED", "action": "cancel", "type": "CANCEL", "order": { "id": "ord_retail_A1" } }]);
        let of_stale =
            json!({ "state": "REJECTED", "action": "cancel", "type": "CANCEL", "order": { "id": "ord_retail_A1" } });
        let mut all = operations.as_array().unwrap().clone();
        all.push(of_stale);
        assert_eq!(listed["orders"]["nodes"], json!([{ "id": "ord_retail_A1", "operations": all }]), "{}", world.name);
        assert_eq!(api.module.order("A1").await.status, order_contract::OrderStatus::Canceled);

        let asked = api.module.proxy.count(Asked::is_action);
        let again = api.data_with(CANCEL, ask).await["cancelOrder"].take();
        assert_eq!(again["operation"], done["operation"], "the same key: the same operation");
        let other = api.data_with(CANCEL, json!({ "key": "k1", "reason": "another" })).await["cancelOrder"].take();
        assert_eq!(other["userErrors"][0]["code"], "IDEMPOTENCY_KEY_MISMATCH", "{other}");
        assert_eq!(other["userErrors"][0]["field"], json!(["input", "idempotencyKey"]));
        assert_eq!((&other["operation"], &other["order"]), (&Value::Null, &Value::Null));
        assert_eq!(api.module.proxy.count(Asked::is_action), asked, "neither was asked of the module");
        let id = done["operation"]["id"].as_str().unwrap();
        let found = api.data(&format!("{{ operation(id: \"{id}\") {{ id state idempotencyKey }} node(id: \"{id}\") {{ id ... on Operation {{ order {{ id }} order {{ number }} }} }} }}")).await;
        assert_eq!(found["operation"], json!({ "id": id, "state": "SUCCEEDED", "idempotencyKey": "k1" }));
        let number = &api.data("{ order(by: {id: \"ord_retail_A1\"}) { number } }").await["order"]["number"];
        assert_eq!(found["node"], json!({ "id": id, "order": { "id": "ord_retail_A1", "number": number } }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_was_announced_by_the_available_actions() {
    for world in databases().await {
        let api = Api::with_orders(&world, 1).await;
        let query =
            "{ order(by: {id: \"ord_retail_A1\"}) { availableActions { name type enabled blockers { code } } } }";
        let actions = api.data(query).await["order"]["availableActions"].take();
        let ship = actions.as_array().unwrap().iter().find(|action| action["name"] == "ship").unwrap();
        assert_eq!((&ship["enabled"], &ship["type"]), (&json!(false), &json!("SHIP")), "{actions}");
        let mutation = "mutation { shipOrder(input: {id: \"ord_retail_A1\", idempotencyKey: \"s1\"}) {
            order { status } operation { state error { code } } userErrors { code message blockers { code } } } }";
        let refused = api.data(mutation).await["shipOrder"].take();
        assert_eq!(
            refused["operation"],
            json!({ "state": "REJECTED", "error": { "code": "ACTION_NOT_ALLOWED" } }),
            "{refused}"
        );
        assert_eq!(refused["userErrors"][0]["code"], "ACTION_NOT_ALLOWED");
        assert_eq!(refused["userErrors"][0]["blockers"], ship["blockers"], "the same reasons, before and after");
        assert_eq!(refused["order"]["status"], "PROCESSING");

        // Refused by the center itself: the module is not even asked.
        let asked = api.module.proxy.count(Asked::is_action);
        for (input, code, field) in [
            ("{id: \"rubbish\", idempotencyKey: \"x\", action: \"deliver\"}", "ORDER_NOT_FOUND", "id"),
            ("{id: \"ord_nobody_1\", idempotencyKey: \"x\", action: \"deliver\"}", "UNKNOWN_SOURCE", ""),
            ("{id: \"ord_retail_A1\", idempotencyKey: \"\", action: \"deliver\"}", "INVALID_INPUT", "idempotencyKey"),
            ("{id: \"ord_retail_A1\", idempotencyKey: \"x\", action: \"No Verb\"}", "UNKNOWN_ACTION", "action"),
            (
                "{id: \"ord_retail_A1\", idempotencyKey: \"x\", action: \"deliver\", input: [1]}",
                "INVALID_INPUT",
                "input",
            ),
            (
                "{id: \"ord_retail_A1\", idempotencyKey: \"x\", action: \"deliver\", expectedVersion: -1}",
                "INVALID_INPUT",
                "expectedVersion",
            ),
        ] {
            let mutation = format!(
                "mutation {{ performOrderAction(input: {input}) {{ operation {{ id }} userErrors {{ code field }} }} }}"
            );
            let refused = api.data(&mutation).await["performOrderAction"].take();
            assert_eq!(
                (&refused["userErrors"][0]["code"], &refused["operation"]),
                (&json!(code), &Value::Null),
                "{input}: {refused}"
            );
            if !field.is_empty() {
                assert_eq!(refused["userErrors"][0]["field"][1], field, "{input}");
            }
        }
        assert_eq!(api.module.proxy.count(Asked::is_action), asked);
        let twice = "mutation { cancelOrder(input: {id: \"ord_retail_A1\", idempotencyKey: \"t\", reason: \"a\", input: {reason: \"b\"}}) { userErrors { message } } }";
        let twice = api.data(twice).await["cancelOrder"]["userErrors"][0]["message"].take();
        assert!(twice.as_str().unwrap().contains("given twice"), "{twice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_life_of_an_order_goes_through_the_schema() {
    for world in databases().await {
        let api = Api::with_orders(&world, 1).await;
        let created = api
            .data("mutation { createOrder(input: {source: \"retail\", idempotencyKey: \"c\", channel: \"web\", note: \"ring twice\",
                lines: [{sku: \"85123A\", quantity: \"2\"}], customer: {customerId: \"7\", email: \"a@b.c\"},
                shippingAddress: {name: \"Ada\", lines: [\"1 High St\"], city: \"London\", countryCode: \"GB\"}}) {
                order { id status channel customer { customerId email } shippingAddress { city lines }
                    lines { lineId quantity { ordered } } totals { due { amount } } } operation { state type orderId } userErrors { code message field } } }")
            .await["createOrder"]
            .take();
        assert_eq!(created["userErrors"], json!([]), "{created}");
        let order = &created["order"];
        assert_eq!((&order["status"], &created["operation"]["type"]), (&json!("PENDING_PAYMENT"), &json!("CREATE")));
        assert_eq!(order["customer"], json!({ "customerId": "7", "email": "a@b.c" }));
        assert_eq!(order["shippingAddress"], json!({ "city": "London", "lines": ["1 High St"] }));
        let id = order["id"].as_str().unwrap();
        assert_eq!(created["operation"]["orderId"], id);
        let line = order["lines"][0]["lineId"].as_str().unwrap();
        let lines = format!("lines: [{{lineId: \"{line}\", quantity: 1}}]");
        for (n, (mutation, own, status)) in [
            ("modifyOrder", "shippingAddress: {city: \"Leeds\", countryCode: \"GB\"}".to_owned(), "PENDING_PAYMENT"),
            ("payOrder", "method: \"card\", reference: \"r-1\"".to_owned(), "PROCESSING"),
            ("produceOrder", String::new(), "PROCESSING"),
            (
                "shipOrder",
                format!("{lines}, tracking: [{{carrier: \"DHL\", number: \"1\"}}], location: \"L1\""),
                "PROCESSING",
            ),
            ("shipOrder", String::new(), "AWAITING_CONFIRMATION"),
            ("performOrderAction", "action: \"deliver\"".to_owned(), "AWAITING_CONFIRMATION"),
            ("confirmOrder", String::new(), "AWAITING_CONFIRMATION"),
            ("completeOrder", String::new(), "COMPLETED"),
            ("requestReturn", format!("{lines}, reason: \"broken\", input: {{returnId: \"R-1\"}}"), "COMPLETED"),
            ("receiveReturn", "returnId: \"R-1\", disposition: DAMAGED, refund: true".to_owned(), "COMPLETED"),
            ("refundOrder", "amount: \"0.01\", reason: \"sorry\"".to_owned(), "COMPLETED"),
        ]
        .into_iter()
        .enumerate()
        {
            let query = format!("mutation {{ {mutation}(input: {{id: \"{id}\", idempotencyKey: \"life-{n}\", {own}}}) {{
                order {{ status }} operation {{ state }} userErrors {{ code message field blockers {{ code message }} }} }} }}");
            let done = api.data(&query).await[mutation].take();
            assert_eq!(done["userErrors"], json!([]), "{mutation}: {done}");
            assert_eq!(
                (&done["order"]["status"], &done["operation"]["state"]),
                (&json!(status), &json!("SUCCEEDED")),
                "{mutation}"
            );
        }
        let end = api
            .data(&format!("{{ order(by: {{id: \"{id}\"}}) {{ returnStatus shippingAddress {{ city }} returns {{ returnId reason lines {{ disposition }} }}
                refunds {{ amount {{ amount }} reason }} fulfillments {{ tracking {{ carrier }} }} operations(first: 50) {{ id }} }} }}"))
            .await["order"]
            .take();
        assert_eq!(end["shippingAddress"]["city"], "Leeds");
        assert_eq!(
            end["returns"],
            json!([{ "returnId": "R-1", "reason": "broken", "lines": [{ "disposition": "DAMAGED" }] }])
        );
        assert_eq!(
            (end["fulfillments"].as_array().unwrap().len(), end["refunds"].as_array().unwrap().len()),
            (2, 2),
            "{end}"
        );
        assert_eq!(end["operations"].as_array().unwrap().len(), 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_is_an_operation_and_not_an_error() {
    for world in databases().await {
        let api = Api::with_orders(&world, 1).await;
        // The module does it, and neither its answer nor any probe comes through.
        api.module.proxy.plan(|asked| {
            if asked.is_descriptor() {
                Fault::Pass
            } else if asked.is_action() {
                Fault::Lose
            } else {
                Fault::Drop
            }
        });
        let reply = api.reply(Some(Role::Operator), CANCEL, json!({ "key": "k1" })).await;
        assert_eq!(reply["errors"], Value::Null, "{reply}");
        let done = &reply["data"]["cancelOrder"];
        assert_eq!((&done["operation"]["finished"], &done["userErrors"]), (&json!(false), &json!([])), "{done}");
        let id = done["operation"]["id"].as_str().unwrap().to_owned();
        let open = api.data("{ operations(states: [UNKNOWN, DISPATCHING]) { pageInfo { hasNextPage } nodes { id error { message } } } }").await;
        assert_eq!(open["operations"]["nodes"][0]["id"], id.as_str());

        // The network heals: settlement finds out what the module did.
        api.module.proxy.plan(|_| Fault::Pass);
        let _settlement = api.center.run_operations();
        let query =
            format!("subscription {{ operationUpdated(id: \"{id}\") {{ state finished order {{ status }} }} }}");
        let stream = api.schema.execute_stream(request(Some(Role::Reader), &query, nothing()));
        let updates = async { stream.map(|r| serde_json::to_value(&r.data).unwrap()).collect::<Vec<_>>().await };
        let updates = tokio::time::timeout(std::time::Duration::from_secs(30), updates).await.expect("the stream ends");
        let last = &updates.last().unwrap()["operationUpdated"];
        assert_eq!(
            *last,
            json!({ "state": "SUCCEEDED", "finished": true, "order": { "status": "CANCELED" } }),
            "{}",
            world.name
        );
        let settled = api.data(&format!("mutation {{ settleOperation(id: \"{id}\") {{ state }} }}")).await;
        assert_eq!(settled["settleOperation"]["state"], "SUCCEEDED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_read_when_an_operator_says_so() {
    for world in databases().await {
        let api = Api::with_orders(&world, 1).await;
        api.module.import(["B1".to_owned()]).await;
        let polled =
            api.data("mutation { pollSource(key: \"retail\") { stored complete quarantined source { key } } }").await;
        assert_eq!(
            polled["pollSource"],
            json!({ "stored": 1, "complete": true, "quarantined": 0, "source": { "key": "retail" } })
        );
        let read = api.data("mutation { refreshOrder(id: \"ord_retail_B1\") { id sync { via } } a: refreshOrder(id: \"ord_retail_none\") { id } }").await;
        assert_eq!(read["refreshOrder"]["id"], "ord_retail_B1");
        assert_eq!(read["a"], Value::Null);
    }
}
