//! The schema: what clients may ask, what they get, and what they are told instead.

mod acting;
mod limits;
mod reading;

use async_graphql::{Request, Variables};
use futures_util::StreamExt as _;
use order_center::graphql::{GraphqlLimits, Principal, Role, Schema, Services, response_json, schema, sdl};
use order_center::index::Via;
use order_center::source::RawOrder;
use serde_json::{Value, json};

use crate::center::{Center, Module, protocol_source};
use crate::world::{TestDatabase, source};

/// The limits that the configuration has unless told.
pub(crate) const LIMITS: GraphqlLimits = GraphqlLimits {
    query_bytes_max: 16 * 1024,
    depth_max: 15,
    complexity_max: 20_000,
    aliases_max: 15,
    fields_max: 400,
    directives_max: 5,
    page_size_max: 100,
    cache_bytes_max: 8 << 20,
};

/// The schema over a center of its own and the real retail module behind a proxy.
struct Api {
    schema: Schema,
    center: Center,
    module: Module,
}

impl Api {
    async fn new(world: &TestDatabase) -> Self {
        let module = Module::start().await;
        let center = Center::new(&world.database, [protocol_source("retail", &module.proxy.base_url)]);
        let services = Services {
            index: center.index.clone(),
            ingest: center.ingest.clone(),
            operations: center.operations.clone(),
            catalog: center.catalog.clone(),
            registry: center.registry.clone(),
        };
        Self { schema: schema(services, LIMITS), center, module }
    }

    /// With paid orders `A1` to `A<count>` of the module, taken over by polling.
    async fn with_orders(world: &TestDatabase, count: usize) -> Self {
        let api = Self::new(world).await;
        api.module.import((1..=count).map(|n| format!("A{n}"))).await;
        api.center.ingest.poll(&source("retail")).await.unwrap();
        api
    }

    /// Takes in canonical orders as if the source had sent them.
    async fn ingest(&self, orders: impl IntoIterator<Item = Value>) {
        let raw = orders.into_iter().map(|order| RawOrder { source_order_id: None, body: order.to_string().into() });
        self.center.ingest.apply(&source("retail"), raw.collect(), Via::Poll, |_| Vec::new()).await.unwrap();
    }

    /// The whole reply, as the server writes it.
    async fn reply(&self, role: Option<Role>, query: &str, variables: Value) -> Value {
        let response = self.schema.execute(request(role, query, variables)).await;
        let text = response_json(&response.errors, Some(&response.data), &response.extensions).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// The data of a query that has no errors, asked by an admin.
    async fn data(&self, query: &str) -> Value {
        self.data_with(query, json!({})).await
    }

    async fn data_with(&self, query: &str, variables: Value) -> Value {
        let mut reply = self.reply(Some(Role::Admin), query, variables).await;
        assert_eq!(reply["errors"], Value::Null, "{query}");
        reply["data"].take()
    }

    /// Code and message of the only error of a query, and its data.
    async fn refusal(&self, role: Option<Role>, query: &str) -> (String, String, Value) {
        let reply = self.reply(role, query, json!({})).await;
        let errors = reply["errors"].as_array().unwrap_or_else(|| panic!("{query}: {reply}"));
        assert_eq!(errors.len(), 1, "{query}: {reply}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&errors[0]["extensions"]["code"]), text(&errors[0]["message"]), reply["data"].clone())
    }

    /// The first replies of a subscription.
    async fn stream(&self, query: &str, count: usize) -> Vec<Value> {
        let stream = self.schema.execute_stream(request(Some(Role::Reader), query, json!({})));
        let replies = stream.take(count).map(|response| {
            assert_eq!(response.errors, [], "{query}");
            serde_json::to_value(&response.data).unwrap()
        });
        tokio::time::timeout(std::time::Duration::from_secs(30), replies.collect()).await.expect("replies in time")
    }
}

fn request(role: Option<Role>, query: &str, variables: Value) -> Request {
    let request = Request::new(query).variables(Variables::from_json(variables));
    match role {
        Some(role) => request.data(Principal { id: "key_1".into(), name: "ada".into(), role }),
        None => request,
    }
}

/// `UPDATE_SCHEMA=1` writes it anew.
#[test]
fn the_published_schema_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/schema.graphql");
    let served = sdl();
    if std::env::var("UPDATE_SCHEMA").is_ok_and(|update| update == "1") {
        std::fs::write(path, &served).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(published == served, "schema/schema.graphql is stale: run the tests once with UPDATE_SCHEMA=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supergraph_finds_orders_by_their_id() {
    let world = crate::world::sqlite().await;
    let data = Api::new(&world).await.data("{ _service { sdl } }").await;
    let sdl = data["_service"]["sdl"].as_str().unwrap();
    let order = sdl.lines().find(|line| line.starts_with("type Order ")).unwrap();
    assert_eq!(order, "type Order implements Node @key(fields: \"id\") {");
}

/// A person reads it in GraphiQL: nothing may stand there without a word.
#[test]
fn everything_in_the_schema_is_documented() {
    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};
    // The library's own, for federation.
    let foreign = ["_Any", "_Entity", "_Service", "_entities", "_service"];
    let mut silent = Vec::new();
    let mut check = |path: String, name: &str, documented: bool| {
        if !documented && !foreign.contains(&name) {
            silent.push(path);
        }
    };
    for definition in parse_schema(sdl()).unwrap().definitions {
        let TypeSystemDefinition::Type(ty) = definition else { continue };
        let ty = ty.node;
        let name = ty.name.node.as_str();
        check(name.to_owned(), name, ty.description.is_some());
        if foreign.contains(&name) {
            continue;
        }
        match ty.kind {
            TypeKind::Object(async_graphql::parser::types::ObjectType { fields, .. })
            | TypeKind::Interface(async_graphql::parser::types::InterfaceType { fields, .. }) => {
                for field in fields {
                    let field = field.node;
                    let own = field.name.node.as_str();
                    check(format!("{name}.{own}"), own, field.description.is_some());
                    if foreign.contains(&own) {
                        continue;
                    }
                    for argument in field.arguments {
                        let path = format!("{name}.{own}({})", argument.node.name.node);
                        check(path, "", argument.node.description.is_some());
                    }
                }
            }
            TypeKind::InputObject(input) => {
                for field in input.fields {
                    check(format!("{name}.{}", field.node.name.node), "", field.node.description.is_some());
                }
            }
            TypeKind::Enum(values) => {
                for value in values.values {
                    check(format!("{name}.{}", value.node.value.node), "", value.node.description.is_some());
                }
            }
            TypeKind::Scalar | TypeKind::Union(_) => {}
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}
