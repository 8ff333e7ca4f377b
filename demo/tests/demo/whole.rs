//! From the file to the center and back: loading, a mutation, a second start.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use demo::invoices::{Invoices, Survey};
use demo::ledger::Ledger;
use demo::run::{Demo, Options, Screen};
use serde_json::{Value, json};

use crate::file::{by_country, sample};

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Screen for Lines {
    fn say(&self, text: &str) {
        self.0.lock().expect("one test").push(text.to_owned());
    }

    fn progress(&self, _: &'static str, done: u64, of: u64) {
        assert!(done <= of);
    }
}

pub(crate) async fn start(data_dir: &Path) -> (Demo, String) {
    let options = Options { port: 0, data: None, database: None, fresh: false, data_dir: data_dir.to_owned() };
    let lines = Lines::default();
    let demo = Demo::start(&options, &lines).await.expect("it starts");
    (demo, lines.0.into_inner().expect("one test").join("\n"))
}

/// Ten-thousandths of a decimal text, without the code under test.
fn units(text: &Value) -> i64 {
    let text = text.as_str().expect("a decimal string");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<4}").parse().expect("digits")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_center_shows_the_file_to_the_penny_and_a_second_start_continues() {
    let directory = tempfile::tempdir().expect("a folder");
    let (demo, said) = start(directory.path()).await;
    assert!(said.contains("Equal to the sums of the file, to the penny, country by country (38)."), "{said}");
    assert!(said.contains("Of 443 cancellation invoices"), "{said}");

    // The sums once more: from the center over HTTP, from the text of the file with plain integers.
    let query = "{ orderAggregates(where: { source: { eq: \"retail\" } }, groupBy: [COUNTRY]) { hasMore rows { country orders lines total { amount } \
                 refunded { amount } } } }";
    let answer: Value = demo.center().ask(query, json!({})).await.expect("an answer");
    assert_eq!(answer["orderAggregates"]["hasMore"], false);
    let rows = answer["orderAggregates"]["rows"].as_array().expect("rows");
    let totals: BTreeMap<_, _> = rows
        .iter()
        .map(|row| (row["country"].as_str().expect("a country").to_owned(), units(&row["total"]["amount"])))
        .filter(|(_, total)| *total != 0)
        .collect();
    assert_eq!(totals, by_country(&sample()));
    let survey = Survey::of(&sample()).expect("sound");
    let ledger = Ledger::of(Invoices::open(&sample(), &survey).expect("opens")).expect("sound");
    let count = |field: &str| rows.iter().map(|row| row[field].as_u64().expect("a count")).sum::<u64>();
    assert_eq!((count("orders"), count("lines")), (ledger.total().orders, ledger.total().lines));
    let refunded: i64 = rows.iter().map(|row| units(&row["refunded"]["amount"])).sum();
    assert_eq!(refunded, ledger.total().reversed.units());

    // The mutation that is printed works, twice with one effect, and the index has it at once.
    let order = demo.cancelable().expect("an open order").clone();
    let cancel = "mutation($input: CancelOrderInput!) { cancelOrder(input: $input) { \
                  order { id status } operation { id state } userErrors { code } } }";
    let input = json!({ "input": { "id": order.id, "idempotencyKey": "first" } });
    let first: Value = demo.center().ask(cancel, input.clone()).await.expect("an answer");
    assert_eq!(first["cancelOrder"]["userErrors"], json!([]), "{first}");
    assert_eq!(first["cancelOrder"]["operation"]["state"], "SUCCEEDED");
    let again: Value = demo.center().ask(cancel, input).await.expect("an answer");
    assert_eq!(again["cancelOrder"]["operation"], first["cancelOrder"]["operation"]);
    let status = "query($id: ID!) { order(by: { id: $id }) { status number } }";
    let by_id = json!({ "id": order.id });
    let seen: Value = demo.center().ask(status, by_id.clone()).await.expect("an answer");
    assert_eq!(seen["order"]["status"], "CANCELED");
    demo.stop().await;

    let (demo, said) = start(directory.path()).await;
    assert!(said.contains("The modules continue"), "{said}");
    assert!(said.contains("Equal to the sums of the file, to the penny"), "{said}");
    let seen: Value = demo.center().ask(status, by_id).await.expect("an answer");
    assert_eq!(seen["order"]["status"], "CANCELED");
    assert_ne!(demo.cancelable().expect("another open order").id, order.id);
    demo.stop().await;
}
