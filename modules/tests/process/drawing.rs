//! The drawings: fresh, complete and well-formed.

use std::collections::BTreeMap;
use std::process::Command;

use order_modules::{Line, check_process, process};
use serde_json::json;

use super::docs;

/// Fails when a published file is not what the definitions give. `UPDATE_DIAGRAMS=1` writes it anew.
fn fresh(name: &str, now: &str) {
    let path = docs(name);
    if std::env::var("UPDATE_DIAGRAMS").is_ok_and(|update| update == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == now, "docs/{name} is stale: run UPDATE_DIAGRAMS=1 cargo test -p order-modules --test process");
}

#[test]
fn the_published_diagrams_are_those_of_what_runs() {
    let mut page = std::fs::read_to_string(docs("processes.md")).unwrap();
    for line in Line::ALL {
        let (name, process) = (line.name(), process(*line, &BTreeMap::new()).unwrap());
        fresh(&format!("processes/{name}.mmd"), &process.mermaid());
        fresh(&format!("processes/{name}.svg"), &process.svg());
        let begin = format!("<!-- {name}, generated -->\n");
        let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("docs/processes.md has {begin}"));
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        page = format!("{before}{begin}```mermaid\n{}```\n<!-- end -->{after}", process.mermaid());
    }
    fresh("processes.md", &page);
}

#[test]
fn a_drawing_shows_every_state_and_action_and_no_bookkeeping() {
    for line in Line::ALL {
        let process = process(*line, &BTreeMap::new()).unwrap();
        for text in [process.mermaid(), process.svg()] {
            let states = process.definition().states.iter().map(|state| state.name.as_str());
            let settings = process.definition().transitions.iter().filter_map(|t| t.timer.as_ref());
            let actions = process.definition().transitions.iter().map(|t| t.action.as_str());
            let shown = actions.filter(|action| *action != "settle_effect");
            for word in states.chain(settings.map(|timer| timer.after.as_str())).chain(shown) {
                assert!(text.contains(word), "{} shows {word}", line.name());
            }
            assert!(!text.contains("settle_effect"), "{}", line.name());
        }
    }
}

#[test]
fn what_sets_itself_off_says_so() {
    let drawn = |line| process(line, &BTreeMap::new()).unwrap().mermaid();
    for (line, label) in [
        (Line::Retail, "    PENDING_PAYMENT --> EXPIRED: expire (timer payment_window)\n"),
        (Line::Retail, "    COMPLETED --> CLOSED: close (timer return_window since delivered)\n"),
        (Line::Digital, "    PAID --> FULFILLED: fulfill (system at once)\n"),
        (Line::Digital, "    PAID --> SOLD_OUT: sell_out (system OUT_OF_STOCK)\n"),
        (Line::Booking, "    REQUESTED --> ACCEPTED: confirm\n"),
    ] {
        assert!(drawn(line).contains(label), "{label}");
    }
}

/// A process of loops, with what XML gives a meaning to in every text.
#[test]
fn arrows_back_and_strange_names_are_drawn() {
    let state = |name: &str, terminal| json!({"name": name, "status": "PROCESSING", "description": "<&\">", "terminal": terminal});
    let way = |action: &str, from: &[&str], to: &str| json!({"action": action, "from": from, "to": [to], "trigger": "MANUAL", "description": "<&\">"});
    let definition = json!({
        "name": "R&D <2>", "version": 7,
        "states": [state("IDEA", false), state("TRIED", false), state("DONE", true)],
        "transitions": [
            way("create", &[], "IDEA"), way("try", &["IDEA"], "TRIED"), way("fail", &["TRIED"], "IDEA"),
            way("work", &["TRIED"], "DONE"), way("reopen", &["DONE"], "IDEA"),
        ],
    });
    let svg = check_process(&definition.to_string()).unwrap().svg();
    assert!(svg.contains("<title id=\"title\">The R&amp;D &lt;2&gt; process, version 7</title>"));
    assert!(svg.contains("TRIED to IDEA: fail. TRIED to DONE: work. DONE to IDEA: reopen."));
    assert_eq!(svg.matches("class=\"a manual\" d=\"M").count(), 5 + 1, "five arrows and one in the legend");
    // Every tag is closed, in order.
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        let name = tag.split([' ', '\n']).next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if !tag.ends_with('/') => open.push(name),
            None => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_program_draws() {
    let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_order-module")).args(arguments).output().unwrap();
    let drawn = run(&["process", "digital", "--format", "svg"]);
    assert_eq!(String::from_utf8(drawn.stdout).unwrap(), process(Line::Digital, &BTreeMap::new()).unwrap().svg());
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("my.json");
    std::fs::write(
        &file,
        Line::Retail.definition().replace("\"payment_window\": \"PT30M\"", "\"payment_window\": \"soon\""),
    )
    .unwrap();
    let refused = run(&["process", "retail", "--file", file.to_str().unwrap()]);
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("payment_window = \"soon\" is neither an ISO 8601 duration"), "{said}");
}
