//! Adapter packages, and the ways in: GraphQL and the command line.

use std::collections::BTreeMap;

use order_center::catalog::RunState;
use order_center::graphql::{Principal, Role, Services, response_json, schema};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{changed, of_shelf};
use crate::center::{Center, protocol_source, until};
use crate::graphql::LIMITS;
use crate::shelf::Shelf;
use crate::world::{databases, order_id, source, sqlite};

/// A small adapter of this version.
fn package(version: &str, channel: &str) -> BTreeMap<String, String> {
    let files = [
        (
            "adapter.toml",
            format!(
                "schema = \"order-center.adapter/v1\"\nname = \"tiny\"\nversion = \"{version}\"\ntitle = \"Tiny\"\n\
                 [map]\norder = \"map/order.jq\"\nrecords = \".\"\n"
            ),
        ),
        ("map/order.jq", format!(". + {{channel: \"{channel}\"}}")),
        ("README.md", "not part of what runs".to_owned()),
    ];
    files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_an_adapter_stand_side_by_side_and_never_change() {
    for world in databases().await {
        let center = Center::new(&world.database, []);
        let one = center.catalog.upload(package("1.9.0", "a"), "ada").await.unwrap();
        assert_eq!((one.adapter().as_str(), one.sha256.len(), one.builtin), ("tiny@1.9.0", 64, false));
        let again = center.catalog.upload(package("1.9.0", "a"), "bob").await.unwrap();
        assert_eq!(again.sha256, one.sha256, "{}: the same content is the same package", world.name);
        let other = center.catalog.upload(package("1.9.0", "b"), "ada").await.unwrap_err();
        assert_eq!(other.code(), Some("VERSION_EXISTS"), "{other}");
        center.catalog.upload(package("1.10.0", "b"), "ada").await.unwrap();
        let tiny: Vec<String> = center
            .catalog
            .packages()
            .await
            .unwrap()
            .into_iter()
            .filter(|p| p.name == "tiny")
            .map(|p| p.version)
            .collect();
        assert_eq!(tiny, ["1.10.0", "1.9.0"], "newest first, by number");
        assert!(center.catalog.packages().await.unwrap().iter().any(|p| p.name == "shopify" && p.builtin));
        center.catalog.remove_package("tiny@1.9.0").await.unwrap();
        assert_eq!(center.catalog.remove_package("tiny@1.9.0").await.unwrap_err().code(), Some("INVALID_INPUT"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_cannot_run_is_refused_with_the_place() {
    let world = sqlite().await;
    let center = Center::new(&world.database, []);
    type Change = fn(&mut BTreeMap<String, String>);
    let cases: [(&str, Change); 10] = [
        ("fixtures/one.json does not hold: /0/number", |files| {
            files.insert("fixtures/one.json".into(), "{}".into());
            files.insert("fixtures/one.expected.json".into(), r#"{"number": "1"}"#.into());
        }),
        ("adapter.toml", |files| drop(files.remove("adapter.toml"))),
        ("map/order.jq", |files| drop(files.remove("map/order.jq"))),
        ("map/order.jq:1", |files| drop(files.insert("map/order.jq".into(), "{ channel: }".into()))),
        ("no_such_filter", |files| drop(files.insert("map/order.jq".into(), ". | no_such_filter".into()))),
        ("deeper", |files| drop(files.insert("map/order.jq".into(), "[".repeat(100_000)))),
        ("bytes", |files| drop(files.insert("map/more.jq".into(), "# ".repeat(1 << 20)))),
        ("no path", |files| drop(files.insert("../escape.jq".into(), ".".into()))),
        ("MAJOR.MINOR.PATCH", |files| {
            let manifest = files["adapter.toml"].replace("1.0.0", "one");
            files.insert("adapter.toml".into(), manifest);
        }),
        ("no adapter name", |files| {
            let manifest = files["adapter.toml"].replace("\"tiny\"", "\"Tiny!\"");
            files.insert("adapter.toml".into(), manifest);
        }),
    ];
    for (says, change) in cases {
        let mut files = package("1.0.0", "a");
        change(&mut files);
        let error = center.catalog.upload(files, "ada").await.expect_err(says);
        assert_eq!((error.code(), error.field()), (Some("INVALID_INPUT"), Some("files")), "{error}");
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
}

struct Api(order_center::graphql::Schema);

impl Api {
    fn over(center: &Center) -> Self {
        let services = Services {
            index: center.index.clone(),
            ingest: center.ingest.clone(),
            operations: center.operations.clone(),
            catalog: center.catalog.clone(),
            registry: center.registry.clone(),
        };
        Self(schema(services, LIMITS))
    }

    async fn ask(&self, role: Role, query: &str, variables: Value) -> Value {
        let request = async_graphql::Request::new(query)
            .variables(async_graphql::Variables::from_json(variables))
            .data(Principal { id: "key_1".into(), name: "ada".into(), role });
        let response = self.0.execute(request).await;
        let text = response_json(&response.errors, Some(&response.data), &response.extensions).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

const REGISTER: &str = "mutation($input: RegisterSourceInput!) { registerSource(input: $input) {
    source { key title adapter registration { url settings secrets { name reference } version } }
    userErrors { code message field } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_source_lives_its_whole_life_over_graphql() {
    for world in databases().await {
        let shelf = Shelf::start().await;
        shelf.put(changed("1", 1, 1));
        shelf.set_now(500);
        let center = Center::new(&world.database, [protocol_source("fixed", &shelf.base_url)]);
        let _running = [center.run_ingest(), center.run_upkeep()];
        let api = Api::over(&center);
        let input = json!({ "input": {
            "key": "shelf", "url": shelf.base_url, "settings": { "timeout_ms": 900 },
            "secrets": [{ "name": "webhook_secret", "reference": "env:SOURCE_SECRET" }, { "name": "token", "value": "tell-nobody" }]
        } });
        for role in [Role::Reader, Role::Operator] {
            let refused = api.ask(role, REGISTER, input.clone()).await;
            assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
        }
        let done = api.ask(Role::Admin, REGISTER, input.clone()).await;
        assert_eq!(
            done["data"]["registerSource"],
            json!({ "source": {
                "key": "shelf", "title": "shelf", "adapter": "protocol",
                "registration": { "url": shelf.base_url, "settings": { "timeout_ms": 900 }, "version": 1, "secrets": [
                    { "name": "token", "reference": "sealed" }, { "name": "webhook_secret", "reference": "env:SOURCE_SECRET" }
                ] }
            }, "userErrors": [] }),
            "{}: {done}",
            world.name
        );
        let twice = api.ask(Role::Admin, REGISTER, input).await;
        let error = &twice["data"]["registerSource"]["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("SOURCE_EXISTS"), &json!(["input", "key"])));

        until("its order is there", async || center.held(&order_id("shelf", "1")).await.is_some()).await;
        let order =
            api.ask(Role::Reader, "{ order(by: { id: \"ord_shelf_1\" }) { source { key title } } }", json!({})).await;
        assert_eq!(order["data"]["order"]["source"]["title"], "shelf", "{order}");

        let rename = "mutation { updateSource(input: { key: \"shelf\", expectedVersion: 1, title: \"Shelf\" }) {
            source { title } userErrors { code } } }";
        let renamed = api.ask(Role::Admin, rename, json!({})).await;
        assert_eq!(renamed["data"]["updateSource"]["source"]["title"], "Shelf", "{renamed}");
        let conflict = api.ask(Role::Admin, rename, json!({})).await;
        assert_eq!(conflict["data"]["updateSource"]["userErrors"][0]["code"], "VERSION_CONFLICT");
        let order =
            api.ask(Role::Reader, "{ order(by: { id: \"ord_shelf_1\" }) { source { title } } }", json!({})).await;
        assert_eq!(order["data"]["order"]["source"]["title"], "Shelf", "what is rendered follows");

        // The one on schedule may be under way: then this one is refused until it has ended.
        let reconcile = "mutation { reconcile(key: \"shelf\") { run { id kind } userErrors { code } } }";
        let asked = loop {
            let asked = api.ask(Role::Operator, reconcile, json!({})).await;
            if asked["data"]["reconcile"]["userErrors"][0]["code"] != "ALREADY_RUNNING" {
                break asked;
            }
            tokio::task::yield_now().await;
        };
        let id = asked["data"]["reconcile"]["run"]["id"].as_str().unwrap_or_else(|| panic!("{asked}")).to_owned();
        let follow = "query($id: ID!) { sourceRun(id: $id) { state report requestedBy source { key } } }";
        until("the run ends", async || {
            api.ask(Role::Operator, follow, json!({ "id": id })).await["data"]["sourceRun"]["state"] == "SUCCEEDED"
        })
        .await;
        let run = api.ask(Role::Operator, follow, json!({ "id": id })).await;
        assert_eq!(run["data"]["sourceRun"]["report"]["read"], 1);

        let health = api.ask(Role::Operator, "{ source(key: \"shelf\") { events { what actor } runs { kind }
            sync { lagSeconds recentReads recentFailures drift reconciledAt webhookBacklog quarantined rateBudget { left } } } }", json!({})).await;
        let shown = &health["data"]["source"];
        assert_eq!(shown["events"][0], json!({ "what": "UPDATED", "actor": "ada" }), "{health}");
        assert_eq!((&shown["sync"]["drift"], &shown["sync"]["recentFailures"]), (&json!(0), &json!(0)));
        assert!(shown["sync"]["recentReads"].as_u64().unwrap() >= 1 && shown["sync"]["reconciledAt"].is_string());

        let fixed =
            api.ask(Role::Admin, "mutation { removeSource(key: \"fixed\") { userErrors { code } } }", json!({})).await;
        assert_eq!(fixed["data"]["removeSource"]["userErrors"][0]["code"], "SOURCE_IN_CONFIGURATION");
        let removed = api
            .ask(
                Role::Admin,
                "mutation { removeSource(key: \"shelf\") { source { key } userErrors { code } } }",
                json!({}),
            )
            .await;
        assert_eq!(removed["data"]["removeSource"], json!({ "source": null, "userErrors": [] }));
        let keys = api.ask(Role::Reader, "{ sources { key } }", json!({})).await;
        assert_eq!(keys["data"]["sources"], json!([{ "key": "fixed" }]));
        let order =
            api.ask(Role::Reader, "{ order(by: { id: \"ord_shelf_1\" }) { id source { key } } }", json!({})).await;
        assert_eq!(order["data"]["order"], json!({ "id": "ord_shelf_1", "source": null }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adapters_are_uploaded_and_quarantine_is_emptied_over_graphql() {
    let world = sqlite().await;
    let shelf = Shelf::start().await;
    let mut bad = changed("1", 1, 1);
    bad["currency"] = json!("nothing");
    shelf.put(bad);
    shelf.set_now(500);
    let center = Center::new(&world.database, []);
    center.catalog.register(of_shelf(&shelf), true, "ada").await.unwrap();
    center.ingest.poll(&source("shelf")).await.unwrap();
    let api = Api::over(&center);

    let upload = "mutation($files: [AdapterFileInput!]!) { uploadAdapter(files: $files) {
        adapter { name version sha256 builtin } userErrors { code message field } } }";
    let files = |version: &str| {
        let files = package(version, "a").into_iter().map(|(path, text)| json!({ "path": path, "text": text }));
        json!({ "files": files.collect::<Vec<_>>() })
    };
    let done = api.ask(Role::Admin, upload, files("1.0.0")).await;
    assert_eq!(done["data"]["uploadAdapter"]["adapter"]["version"], "1.0.0", "{done}");
    let refused = api.ask(Role::Admin, upload, files("one")).await;
    let error = &refused["data"]["uploadAdapter"]["userErrors"][0];
    assert_eq!(error["field"], json!(["input", "files"]), "{refused}");
    assert_eq!(api.ask(Role::Operator, upload, files("1.0.1")).await["errors"][0]["extensions"]["code"], "FORBIDDEN");
    let listed = api.ask(Role::Operator, "{ adapters { name version } }", json!({})).await;
    assert!(listed["data"]["adapters"].as_array().unwrap().contains(&json!({ "name": "tiny", "version": "1.0.0" })));

    let open = api.ask(Role::Operator, "{ quarantine(key: \"shelf\") { nodes { id path } } }", json!({})).await;
    let id = open["data"]["quarantine"]["nodes"][0]["id"].clone();
    let discard = "mutation($ids: [ID!]!) { discardQuarantined(ids: $ids) { discarded } }";
    let done = api.ask(Role::Operator, discard, json!({ "ids": [id] })).await;
    assert_eq!(done["data"]["discardQuarantined"]["discarded"], 1);
    assert_eq!(
        api.ask(Role::Operator, discard, json!({ "ids": [id] })).await["data"]["discardQuarantined"]["discarded"],
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_the_same_and_a_running_center_follows() {
    let world = sqlite().await;
    let shelf = Shelf::start().await;
    (0..60).for_each(|n| shelf.put(changed(&format!("{n:03}"), 1, n)));
    shelf.set_now(500);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("center.toml");
    std::fs::write(
        &config,
        format!("[database]\nurl = \"{}\"\n[catalog]\nprivate_hosts = [\"127.0.0.1\"]\n", world.url),
    )
    .unwrap();
    let command = async |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_order-center"));
        let output = command.args(args).arg("--config").arg(&config).env("SOURCE_SECRET", "tell-nobody").output();
        let output = output.await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.success(), text)
    };
    let center = Center::new(&world.database, []);
    let _running = center.run_upkeep();

    let url = shelf.base_url.as_str();
    let (done, told) = command(&["source", "register", "shelf", url, "--secret", "token=env:SOURCE_SECRET"]).await;
    assert!(done && told.contains("\"env:SOURCE_SECRET\"") && !told.contains("tell-nobody"), "{told}");
    let (done, told) = command(&["source", "register", "shelf", url]).await;
    assert!(!done && told.contains("already"), "{told}");
    let (done, told) = command(&["source", "register", "other", "http://10.0.0.1/"]).await;
    assert!(!done && told.contains("private_hosts"), "{told}");
    until("the running center has it", async || center.registry.get(&source("shelf")).is_some()).await;

    let (done, told) = command(&["source", "backfill", "shelf"]).await;
    assert!(done && told.contains("\"missing\": 60"), "{told}");
    shelf.remove("007");
    let (done, told) = command(&["source", "reconcile", "shelf"]).await;
    assert!(done && told.contains("\"deleted\": 1"), "{told}");
    let (done, told) = command(&["source", "try", "shelf", "--set", "rounding=half_up"]).await;
    assert!(done && told.contains("\"changed\": 0"), "{told}");
    for verb in ["pause", "resume", "replay", "remap"] {
        let (done, told) = command(&["source", verb, "shelf"]).await;
        assert!(done, "{verb}: {told}");
    }
    let (done, told) = command(&["source", "list"]).await;
    assert!(done && told.contains("shelf") && told.contains("registered"), "{told}");
    let runs = center.catalog.runs(&source("shelf"), 10).await.unwrap();
    assert!(runs.len() == 4 && runs.iter().all(|run| run.state == RunState::Succeeded), "{runs:?}");

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/adapters/woocommerce");
    let (done, told) = command(&["adapter", "upload", folder]).await;
    assert!(done && told.contains("woocommerce@"), "{told}");
    let (done, told) = command(&["source", "remove", "shelf"]).await;
    assert!(done, "{told}");
    until("the running center unplugs it", async || center.registry.get(&source("shelf")).is_none()).await;
}
