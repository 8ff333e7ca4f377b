//! What README and the walkthrough show is what happens: every command that has an answer beneath it is asked of a
//! running demonstration, in the order of the page, and the answers are compared.
//!
//! `UPDATE_WALK=1` writes the answers anew. `…` within a text stands for what differs from start to start.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::whole::start;

const PAGES: &[&str] = &["README.md", "docs/walkthrough.md"];
/// The width of an answer on a page.
const WIDTH: usize = 140;

/// A command and where its answer stands.
struct Exchange {
    body: String,
    answer: Range<usize>,
}

/// The pairs of a block of `sh` and the block of `json` right beneath it.
fn exchanges(page: &str) -> Vec<Exchange> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(begin) = page[at..].find("```sh\n").map(|i| at + i + 6) {
        let end = begin + page[begin..].find("\n```").expect("the block ends");
        at = end + 4;
        let Some(rest) = page[at..].strip_prefix("\n```json\n") else { continue };
        let answer = page.len() - rest.len();
        let length = rest.find("```").expect("the block ends");
        let command = &page[begin..end];
        found.push(Exchange { body: body(command), answer: answer..answer + length });
    }
    found
}

/// What a command sends: `-d '…'`, or GraphQL between `<<'Q'` and `Q`.
fn body(command: &str) -> String {
    if let Some((_, query)) = command.split_once("<<'Q'\n") {
        return json!({ "query": query.strip_suffix("\nQ").expect("the text ends") }).to_string();
    }
    let (first, last) = (command.find("'{").expect("a body"), command.rfind('\'').expect("a body"));
    command[first + 1..last].to_owned()
}

/// Whether an answer is what a page shows.
fn agrees(shown: &Value, got: &Value) -> bool {
    match (shown, got) {
        (Value::Object(shown), Value::Object(got)) => {
            shown.len() == got.len()
                && shown.iter().all(|(name, value)| got.get(name).is_some_and(|got| agrees(value, got)))
        }
        (Value::Array(shown), Value::Array(got)) => {
            shown.len() == got.len() && shown.iter().zip(got).all(|(shown, got)| agrees(shown, got))
        }
        (Value::String(shown), Value::String(got)) => match shown.split_once('…') {
            Some((before, after)) => {
                got.starts_with(before) && got.ends_with(after) && got.len() > shown.len() - '…'.len_utf8()
            }
            None => shown == got,
        },
        _ => shown == got,
    }
}

/// An answer for a page: a ledger reference without the saga's id, which is new every time.
fn shorten(answer: &mut Value) {
    match answer {
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::String(text) => {
            let parts: Vec<_> = text.split('/').collect();
            if let [service, order, event, saga, index] = parts.as_slice()
                && saga.len() == 12
            {
                *text = format!("{service}/{order}/{event}/…/{index}");
            }
        }
        _ => {}
    }
}

/// JSON on one line, with room to read it.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\": {}", inline(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// JSON whose parts stand on one line where they fit.
fn laid_out(value: &Value, indent: usize) -> String {
    let text = inline(value);
    if indent + text.chars().count() <= WIDTH {
        return text;
    }
    let (open, close, parts): (_, _, Vec<String>) = match value {
        // What holds one thing only takes no line of its own.
        Value::Object(fields) if fields.len() == 1 => {
            let fields = fields.iter().map(|(name, value)| format!("{{\"{name}\": {}}}", laid_out(value, indent)));
            return fields.collect();
        }
        Value::Object(fields) => {
            let part = |(name, value): (&String, &Value)| format!("\"{name}\": {}", laid_out(value, indent + 2));
            ('{', '}', fields.iter().map(part).collect())
        }
        Value::Array(items) => ('[', ']', items.iter().map(|item| laid_out(item, indent + 2)).collect()),
        _ => return text,
    };
    let space = " ".repeat(indent + 2);
    format!("{open}\n{space}{}\n{}{close}", parts.join(&format!(",\n{space}")), " ".repeat(indent))
}

fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_what_happens() {
    let update = std::env::var("UPDATE_WALK").is_ok_and(|update| update == "1");
    let directory = tempfile::tempdir().expect("a folder");
    let (demo, _) = start(directory.path()).await;
    let http = reqwest::Client::new();
    let mut different = Vec::new();
    for name in PAGES {
        let page = std::fs::read_to_string(path(name)).expect("a page");
        let exchanges = exchanges(&page);
        assert!(exchanges.len() >= 3, "{name}: too few commands have an answer");
        let (mut written, mut at) = (String::new(), 0);
        for Exchange { body, answer } in exchanges {
            serde_json::from_str::<Value>(&body).unwrap_or_else(|e| panic!("{name}: {e}: {body}"));
            let request = http.post(demo.center().url()).header("content-type", "application/json").body(body.clone());
            let mut got: Value = request.send().await.expect("an answer").json().await.expect("JSON");
            if !update && !serde_json::from_str(&page[answer.clone()]).is_ok_and(|shown: Value| agrees(&shown, &got)) {
                different.push(format!("{name}: {body}\n{}", laid_out(&got, 0)));
            }
            shorten(&mut got);
            written += &page[at..answer.start];
            written += &laid_out(&got, 0);
            written.push('\n');
            at = answer.end;
        }
        if update {
            std::fs::write(path(name), written + &page[at..]).expect("written");
        }
    }
    demo.stop().await;
    assert!(different.is_empty(), "run once with UPDATE_WALK=1 and look at what changed:\n{}", different.join("\n\n"));
}

#[test]
fn an_answer_that_differs_is_seen() {
    let shown = json!({ "a": ["payment/R000001/e3/…/0", 1], "b": null });
    assert!(agrees(&shown, &json!({ "a": ["payment/R000001/e3/0123456789ab/0", 1], "b": null })));
    for other in [
        json!({ "a": ["payment/R000001/e3/0123456789ab/1", 1], "b": null }),
        json!({ "a": ["payment/R000001/e3//0", 1], "b": null }),
        json!({ "a": ["payment/R000001/e3/0123456789ab/0"], "b": null }),
        json!({ "a": ["payment/R000001/e3/0123456789ab/0", 1] }),
        json!({ "a": ["payment/R000001/e3/0123456789ab/0", 1], "b": null, "c": 1 }),
    ] {
        assert!(!agrees(&shown, &other), "{other}");
    }
}
