//! Proof that the fast path answers what the ordinary machinery answers, for every field and any selection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, Type, TypeKind, TypeSystemDefinition};
use async_graphql::{EmptyMutation, EmptySubscription, Object, Request, Schema, Variables};
use chrono::DateTime;
use order_contract::{OrderId, Rounding, SourceKey, parse_snapshot};
use proptest::prelude::{ProptestConfig, proptest};
use serde_json::{Value, json};

use super::object::OrderData;
use super::order::Order;
use super::page::OrderConnection;
use super::render::Rendered;
use super::response::write_value;
use super::source::Sources;
use crate::index::{ContentHash, IndexedOrder, Via};
use crate::source::Registry;

struct Query;

#[Object]
impl Query {
    async fn fast(&self) -> Order {
        order()
    }

    async fn slow(&self) -> OrderData {
        indexed().into()
    }

    async fn page(&self) -> OrderConnection {
        let orders = vec![(order(), "c1".to_owned()), (order(), "c2".to_owned())];
        OrderConnection { orders, has_next: true, has_previous: false, total: Some(7) }
    }
}

type Both = Schema<Query, EmptyMutation, EmptySubscription>;

static BOTH: LazyLock<(Both, Types)> = LazyLock::new(|| {
    let sources = Sources::new(&Registry::default());
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription).data(sources).finish();
    let types = Types::of(&schema);
    (schema, types)
});

fn both() -> &'static Both {
    &BOTH.0
}

fn order() -> Order {
    Order { id: indexed().id, rendered: Arc::new(Rendered::of(&OrderData::from(indexed()))) }
}

/// An order with a value in every field, and a twin of each list item that has none in its optional fields.
fn indexed() -> IndexedOrder {
    let document = r##"{
        "sourceOrderId": "5/36\"365", "version": 9007199254740991, "number": "R-\u0001\\é", "kind": "RETAIL",
        "channel": "web", "sourceUrl": "https://shop.example/1", "status": "PROCESSING", "paymentStatus": "PAID",
        "fulfillmentStatus": "PARTIALLY_SHIPPED", "returnStatus": "REQUESTED",
        "native": { "state": "PAID", "subStates": { "x": [1, { "y": null }] } },
        "holds": [{ "code": "REVIEW", "reason": "odd", "since": "2010-12-01T08:30:00.5Z" }, { "code": "OTHER" }],
        "currency": "GBP", "pricesIncludeTax": true,
        "times": { "updatedAt": "2010-12-01T08:30:00Z", "placedAt": "2010-12-01T08:26:00Z",
            "paidAt": "2010-12-01T08:26:00.123456Z", "shippedAt": "2010-12-01T08:26:00Z",
            "deliveredAt": "2010-12-01T08:26:00Z", "completedAt": "2010-12-01T08:26:00Z",
            "canceledAt": "2010-12-01T08:26:00Z", "expiresAt": "2010-12-01T08:26:00Z" },
        "cancelReason": "changed \"mind\"",
        "customer": { "id": "17850", "name": "Ada", "email": "a@b.c", "phone": "1", "group": "gold" },
        "billingAddress": {},
        "shippingAddress": { "name": "Ada", "company": "C", "lines": ["1 High St", ""], "city": "L", "region": "R",
            "postalCode": "P", "countryCode": "GB", "country": "United Kingdom", "phone": "2" },
        "lines": [
            { "id": "1", "sku": "85123A", "productId": "p", "variantId": "v", "name": "HOLDER",
              "quantity": { "ordered": "6.25", "current": 6, "fulfilled": 1, "canceled": 0, "returned": 0, "refunded": 0 },
              "unitPrice": "2.55", "discount": "0.10", "tax": "1", "total": "15.30",
              "discounts": [{ "title": "d", "amount": "0.10", "couponCode": "X" }],
              "taxLines": [{ "title": "VAT", "rate": "0.2", "amount": "1" }], "attributes": { "gift": true } },
            { "id": "2", "name": "HANGER", "quantity": { "ordered": "2", "current": "2" }, "unitPrice": "2.75", "total": "5.50" }
        ],
        "totals": { "subtotal": "20.80", "discount": "1", "shipping": "3.20", "tax": "1", "fees": "0.5", "total": "24.00",
            "authorized": "0", "captured": "24", "refunded": "0", "due": "0" },
        "discounts": [{ "title": "d", "amount": "1" }], "coupons": [{ "code": "X", "discount": "1" }, { "code": "Y" }],
        "taxLines": [{ "title": "VAT", "rate": "0.2", "amount": "1" }, { "title": "none", "amount": "0" }],
        "shippingLines": [{ "title": "post", "amount": "3.20" }], "fees": [{ "title": "wrap", "amount": "0.5" }],
        "payments": [
            { "id": "p1", "method": "card", "provider": "acme", "status": "CAPTURED", "amount": "24.00", "reference": "r",
              "createdAt": "2010-12-01T08:27:00Z",
              "transactions": [
                { "id": "t1", "type": "SALE", "status": "SUCCEEDED", "amount": "24.00", "at": "2010-12-01T08:27:00Z",
                  "reference": "r", "error": "e" },
                { "id": "t2", "type": "VOID", "status": "FAILED", "amount": "1" }] },
            { "id": "p2", "method": "invoice", "status": "PENDING", "amount": "0" }
        ],
        "refunds": [
            { "id": "r1", "status": "PENDING", "amount": "1", "reason": "late", "paymentId": "p1", "shipping": "0.5",
              "createdAt": "2010-12-02T08:27:00Z", "lines": [{ "lineId": "1", "quantity": "1", "amount": "0.5" },
              { "lineId": "2", "quantity": "1" }] },
            { "id": "r2", "status": "FAILED", "amount": "1" }
        ],
        "fulfillments": [
            { "id": "f1", "status": "SHIPPED", "lines": [{ "lineId": "1", "quantity": "1" }], "location": "L",
              "tracking": [{ "carrier": "DHL", "number": "1", "url": "https://t" }, { "number": "2" }],
              "createdAt": "2010-12-01T08:27:00Z", "shippedAt": "2010-12-01T08:27:00Z",
              "deliveredAt": "2010-12-01T08:27:00Z", "details": { "slot": 1 } },
            { "id": "f2", "status": "READY" }
        ],
        "returns": [
            { "id": "b1", "status": "REQUESTED", "reason": "broken", "refundId": "r1", "createdAt": "2010-12-03T08:27:00Z",
              "lines": [{ "lineId": "1", "quantity": "1", "disposition": "DAMAGED" }, { "lineId": "2", "quantity": "1" }] },
            { "id": "b2", "status": "CLOSED" }
        ],
        "risk": { "recommendation": "INVESTIGATE", "reasons": ["new", "far"] },
        "notes": [{ "text": "hi", "author": "a", "at": "2010-12-01T08:27:00Z", "customerVisible": true }, { "text": "x" }],
        "relations": [{ "type": "REPLACES", "source": "other", "sourceOrderId": "1", "number": "1" },
            { "type": "COPY_OF", "sourceOrderId": "2" }],
        "events": [
            { "id": "e1", "type": "placed", "at": "2010-12-01T08:27:00Z", "actor": "a", "message": "m", "fromState": "A", "toState": "B" },
            { "id": "e2", "type": "paid", "at": "2010-12-01T08:27:00Z" }
        ],
        "availableActions": [
            { "name": "cancel", "enabled": false, "blockers": [{ "code": "SHIPPED", "message": "gone", "details": { "a": 1 } },
              { "code": "X", "message": "y" }], "inputSchema": { "type": "object" },
              "effects": [{ "kind": "STOCK", "description": "back", "amount": "1" }, { "kind": "OTHER", "description": "" }] },
            { "name": "pack", "enabled": true }
        ],
        "attributes": { "z": { "deep": [true, null, "}]\"" ] }, "$serde_json::private::RawValue": "no json" },
        "details": { "k": "v" }
    }"##;
    let (snapshot, _) = parse_snapshot(document.as_bytes(), Rounding::Refuse).expect("a valid order");
    let checks = snapshot.violations();
    assert!(!checks.is_empty(), "the sample has a violated identity to show");
    IndexedOrder {
        id: OrderId::new(SourceKey::try_new("retail").expect("a key"), snapshot.source_order_id.clone()),
        revision: 3,
        payment_status: snapshot.computed_payment_status(),
        checks,
        content_hash: ContentHash([0; 32]),
        observed_at: DateTime::from_timestamp(1_291_200_000, 0).expect("a time"),
        via: Via::Poll,
        snapshot,
    }
}

/// Field names and types by object type, from the SDL.
struct Types(BTreeMap<String, Vec<(String, String)>>);

impl Types {
    fn of(schema: &Both) -> Self {
        fn name(ty: &Type) -> String {
            match &ty.base {
                BaseType::Named(name) => name.to_string(),
                BaseType::List(inner) => name(inner),
            }
        }
        let document = parse_schema(schema.sdl()).expect("our own SDL");
        let mut types = BTreeMap::new();
        for definition in document.definitions {
            if let TypeSystemDefinition::Type(ty) = definition
                && let TypeKind::Object(object) = &ty.node.kind
            {
                let fields = object.fields.iter().map(|f| (f.node.name.node.to_string(), name(&f.node.ty.node)));
                types.insert(ty.node.name.node.to_string(), fields.collect());
            }
        }
        Self(types)
    }

    /// What is rendered of a type; what needs IO is left to the tests that have it.
    fn fields(&self, of: &str) -> Vec<&(String, String)> {
        self.0[of]
            .iter()
            .filter(|(name, _)| of != "Order" || !["source", "operations", "rawPayload"].contains(&name.as_str()))
            .collect()
    }

    fn everything(&self, of: &str) -> String {
        let mut text = "{ __typename".to_owned();
        for (name, ty) in self.fields(of) {
            text.push(' ');
            text.push_str(name);
            if self.0.contains_key(ty) {
                text.push_str(&self.everything(ty));
            }
        }
        text + " }"
    }
}

async fn ask(schema: &Both, query: String) -> Value {
    let variables = Variables::from_json(json!({ "yes": true, "no": false }));
    let response = schema.execute(Request::new(query.clone()).variables(variables)).await;
    assert_eq!(response.errors, [], "{query}");
    let mut text = String::new();
    write_value(&mut text, &response.data);
    let ours: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let serde: Value = serde_json::to_value(&response.data).expect("serializes");
    assert_eq!(ours, serde, "our writer and serde's");
    ours
}

/// What differs by design: the reference type has another name.
fn renamed(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::String(text) if text == "OrderData" => *text = "Order".into(),
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(fields) => fields.values_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

#[tokio::test]
async fn every_field_is_written_as_it_would_be_resolved() {
    let (schema, types) = &*BOTH;
    let all = types.everything("Order");
    assert!(types.fields("Order").len() > 40, "the walk found the order");
    let data =
        ask(schema, format!("{{ fast {all} slow {all} page {{ nodes {all} edges {{ cursor node {all} }} }} }}")).await;
    let slow = renamed(data["slow"].clone());
    assert_eq!(data["fast"], slow);
    for twin in 0..2 {
        assert_eq!(data["page"]["nodes"][twin], slow);
        assert_eq!(data["page"]["edges"][twin]["node"], slow);
    }
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let asked: Vec<_> =
        ["__typename"].into_iter().chain(types.fields("Order").iter().map(|(n, _)| n.as_str())).collect();
    assert_eq!(keys(&data["fast"]), asked, "keys stand in the order of the selection");
}

#[tokio::test]
async fn a_page_knows_where_it_stands() {
    let data = ask(
        both(),
        "{ page { a: totalCount pageInfo { hasNextPage __typename } ...P __typename edges { cursor } edges { node { id } } } }
         fragment P on OrderConnection { pageInfo { e: endCursor hasPreviousPage startCursor } }"
            .into(),
    )
    .await;
    let id = indexed().id.to_string();
    assert_eq!(
        data["page"],
        json!({ "a": 7,
            "pageInfo": { "hasNextPage": true, "__typename": "PageInfo", "e": "c2", "hasPreviousPage": false, "startCursor": "c1" },
            "__typename": "OrderConnection",
            "edges": [{ "cursor": "c1", "node": { "id": id } }, { "cursor": "c2", "node": { "id": id } }] })
    );
}

#[tokio::test]
async fn what_is_selected_twice_is_merged() {
    let data = ask(
        both(),
        "query Q($no: Boolean!) { fast { lines { sku } } ...A fast @skip(if: $no) { lines { n: name sku } } }
         fragment A on Query { fast { number lines { quantity { ordered } } } }"
            .into(),
    )
    .await;
    let line =
        |sku: Value, name: &str, ordered: &str| json!({ "sku": sku, "quantity": { "ordered": ordered }, "n": name });
    assert_eq!(
        data["fast"],
        json!({ "lines": [line(json!("85123A"), "HOLDER", "6.25"), line(Value::Null, "HANGER", "2")], "number": "R-\u{1}\\é" })
    );
}

/// Writes random selections that are valid.
struct Writer<'a> {
    types: &'a Types,
    seed: u64,
    fragments: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

impl Writer<'_> {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("small")
    }

    fn directive(&mut self) -> &'static str {
        ["", "", "", " @include(if: $yes)", " @skip(if: $no)", " @skip(if: true)", " @include(if: $no)"][self.below(7)]
    }

    /// `root` stands for the type of the order, which differs between the two paths.
    fn set(&mut self, of: &str, depth: usize) -> String {
        let on = if of == "Order" { "ROOT" } else { of };
        let mut text = "{ __typename".to_owned();
        for _ in 0..=self.below(6) {
            let directive = self.directive();
            match self.below(8) {
                0 if depth < 4 => {
                    let condition = if self.below(2) == 0 { String::new() } else { format!(" on {on}") };
                    text.push_str(&format!(" ...{condition}{directive} {}", self.set(of, depth + 1)));
                }
                1 if depth < 4 => {
                    let name = format!("F{}_{of}", self.below(2));
                    if !self.fragments.contains_key(&name) {
                        // Reserved first: a fragment must not spread itself.
                        self.fragments.insert(name.clone(), String::new());
                        let body = format!("fragment {name} on {on} {}", self.set(of, 4));
                        self.fragments.insert(name.clone(), body);
                    }
                    text.push_str(&format!(" ...{name}{directive}"));
                    self.used.insert(name);
                }
                _ => {
                    let types = self.types;
                    let fields = types.fields(of);
                    let (name, ty) = fields[self.below(fields.len())];
                    let object = types.0.contains_key(ty);
                    if object && depth >= 6 {
                        continue;
                    }
                    let alias = ["", "a_", "b_"][self.below(3)];
                    let alias = if alias.is_empty() { String::new() } else { format!("{alias}{name}: ") };
                    text.push_str(&format!(" {alias}{name}{directive}"));
                    if object {
                        text.push_str(&self.set(ty, depth + 1));
                    }
                }
            }
        }
        text + " }"
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn any_selection_is_written_as_it_would_be_resolved(seed: u64) {
        let (schema, types) = &*BOTH;
        let mut writer = Writer { types, seed, fragments: BTreeMap::new(), used: BTreeSet::new() };
        let set = writer.set("Order", 0);
        let query = |field: &str, root: &str| {
            let fragments: String = writer.fragments.values().map(|body| format!("\n{body}")).collect();
            format!("query Q($yes: Boolean!, $no: Boolean!) {{ x: page @include(if: $yes) {{ totalCount }} y: page @skip(if: $no) {{ totalCount }} {field} {set} }}{fragments}")
                .replace("ROOT", root)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let fast = runtime.block_on(ask(schema, query("fast", "Order")));
        let slow = runtime.block_on(ask(schema, query("slow", "OrderData")));
        assert_eq!(fast["fast"], renamed(slow)["slow"]);
    }
}
