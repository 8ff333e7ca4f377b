//! Every way of paging against a model of a list that moves while it is read: nothing that was there is passed by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use order_adapter::Package;
use order_adapter::engine::{Call, Engine, Exchange, Position, Window};
use proptest::prelude::{Strategy, prop};
use proptest::test_runner::Config;
use proptest::{prop_assert, prop_assert_eq, proptest};
use serde_json::json;

const HEAD: &str = r#"
schema = "order-center.adapter/v1"
name = "model"
version = "1.0.0"
title = "A list"
[http]
base = "${url}"
[get]
request = { path = "/orders/${id}" }
record = ".body"
missing = ".status == 404"
[map]
order = "map/order.jq"
records = "."
id = ".id | tostring"
[list]
records = ".body.items"
[list.cursor]
field = ".at"
format = "unix"
granularity = "1s"
"#;

/// What the requests send and how the list is paged.
#[derive(Clone, Copy, Debug)]
struct Way {
    manifest: &'static str,
    exclusive: bool,
    descending: bool,
}

const WAYS: &[Way] = &[
    Way {
        manifest: "exclusive = true\n[list.page]\nstrategy = \"seek\"\nsize = 100\n\
                   [list.request]\npath = \"/orders\"\nquery = { since = \"${cursor.since}\", page = \"${page.number}\" }",
        exclusive: true,
        descending: false,
    },
    Way {
        manifest: "[list.page]\nstrategy = \"seek\"\nsize = 100\n\
                   [list.request]\npath = \"/orders\"\nquery = { since = \"${cursor.since}\", offset = \"${page.offset}\" }",
        exclusive: false,
        descending: false,
    },
    Way {
        manifest: "[list.page]\nstrategy = \"page\"\nsize = 100\nfirst = 0\nsort = \"ascending\"\ntotal = \".body.total\"\n\
                   [list.request]\npath = \"/orders\"\nquery = { since = \"${cursor.since}\", page0 = \"${page.number}\" }",
        exclusive: false,
        descending: false,
    },
    Way {
        manifest: "[list.page]\nstrategy = \"offset\"\nsize = 100\nsort = \"ascending\"\ntotal = \".body.total\"\n\
                   [list.request]\npath = \"/orders\"\nquery = { since = \"${cursor.since}\", offset = \"${page.offset}\" }",
        exclusive: false,
        descending: false,
    },
    Way {
        manifest: "[list.page]\nstrategy = \"offset\"\nsize = 100\nsort = \"descending\"\n\
                   [list.request]\npath = \"/orders\"\nquery = { offset = \"${page.offset}\" }",
        exclusive: false,
        descending: true,
    },
    Way {
        manifest: "[list.page]\nstrategy = \"cursor\"\nsize = 100\nnext = \".body.next\"\n\
                   [list.request]\npath = \"/orders\"\nquery = { since = \"${cursor.since}\", after = \"${page.token}\" }",
        exclusive: false,
        descending: false,
    },
    Way {
        manifest: "[list.page]\nstrategy = \"token\"\nsize = 100\nnext = \".body.next\"\n\
                   [list.request]\npath = \"/orders\"\nquery = { since = \"${cursor.since}\" }\n\
                   [list.next]\npath = \"/orders\"\nquery = { after = \"${page.token}\" }",
        exclusive: false,
        descending: false,
    },
];

/// The way of this number and its engine, which takes longer to compile than a list to read.
fn running(number: usize) -> (&'static Way, &'static Engine) {
    static ENGINES: OnceLock<Vec<Engine>> = OnceLock::new();
    (&WAYS[number], &ENGINES.get_or_init(|| WAYS.iter().map(engine).collect())[number])
}

fn engine(way: &Way) -> Engine {
    let files = [("adapter.toml", format!("{HEAD}{}", way.manifest)), ("map/order.jq", ".".to_owned())];
    let package = Package::open(files.map(|(path, text)| (path.to_owned(), text)).into()).expect("a package");
    Engine::compile(&package, &BTreeMap::new()).expect("an engine")
}

/// The list: the second each record was last changed at, by id.
struct Model {
    changed: BTreeMap<u32, i64>,
    now: i64,
    size: usize,
}

impl Model {
    fn answer(&self, call: &Call, way: &Way) -> Exchange {
        let asked = |name: &str| call.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let number = |name: &str| asked(name).map(|text| text.parse::<i64>().expect("a number"));
        let since = number("since").map_or(i64::MIN, |since| if way.exclusive { since + 1 } else { since });
        let mut found: Vec<(i64, u32)> =
            self.changed.iter().map(|(id, at)| (*at, *id)).filter(|(at, _)| *at >= since).collect();
        found.sort_unstable();
        if way.descending {
            found.reverse();
        }
        let total = found.len();
        // A cursor is a place in the sorting, as Relay's are.
        if let Some((at, id)) = asked("after").and_then(|after| after.split_once('-')) {
            let after = (at.parse().expect("a time"), id.parse().expect("an id"));
            found.retain(|record| *record > after);
        }
        let offset = number("offset")
            .or_else(|| Some((number("page")? - 1) * self.size as i64))
            .or_else(|| Some(number("page0")? * self.size as i64))
            .unwrap_or(0);
        let page: Vec<_> = found.iter().skip(offset as usize).take(self.size).collect();
        let full = page.len() == self.size;
        let next = page.last().filter(|_| full).map(|(at, id)| format!("{at}-{id}"));
        let items: Vec<_> = page.iter().map(|(at, id)| json!({ "id": id, "at": at })).collect();
        let body = json!({ "items": items, "total": total, "next": next });
        Exchange::new(200, BTreeMap::new(), body.to_string().into_bytes())
    }
}

/// Reads a pass to its end; before each page `step` may change the list. Answers the ids seen with their newest time.
fn pass(
    engine: &Engine,
    way: &Way,
    model: &mut Model,
    since: Option<i64>,
    mut step: impl FnMut(&mut Model),
) -> BTreeMap<u32, i64> {
    let window = Window {
        since: since.map(|since| since * 1_000_000),
        until: None,
        limit: model.size as u32,
        now: 4_000_000_000_000_000,
    };
    let mut position = engine.begin(&window);
    let mut seen = BTreeMap::new();
    for _ in 0..5_000 {
        step(model);
        let exchange = model.answer(&engine.list(&position, &window).expect("a call"), way);
        let listed = engine.listed(&position, &window, &exchange).expect("a page");
        for record in &listed.records {
            let record: serde_json::Value = serde_json::from_slice(&record.to_json().expect("JSON")).expect("JSON");
            seen.insert(record["id"].as_u64().expect("an id") as u32, record["at"].as_i64().expect("a time"));
        }
        match listed.next {
            // Through its text, as a restart does.
            Some(next) => {
                position =
                    serde_json::from_str::<Position>(&serde_json::to_string(&next).expect("JSON")).expect("a position")
            }
            None => return seen,
        }
    }
    panic!("the pass never ends");
}

fn moves() -> impl Strategy<Value = Vec<(i64, Vec<u32>)>> {
    prop::collection::vec((0..2_i64, prop::collection::vec(0..30_u32, 0..4)), 0..40)
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_does_not_move_is_seen_and_what_moves_is_seen_or_younger_than_the_pass(
        way in 0..WAYS.len(),
        placed in prop::collection::vec(0..4_i64, 1..30),
        moves in moves(),
        size in 1..5_usize,
        since in prop::option::of(0..3_i64),
    ) {
        let (way, engine) = running(way);
        let changed: BTreeMap<u32, i64> = (0..).zip(placed.iter().copied()).collect();
        let began = 100;
        let mut model = Model { changed: changed.clone(), now: began, size };
        let mut moves = moves.into_iter();
        let seen = pass(engine, way, &mut model, since, |model| {
            let Some((seconds, touched)) = moves.next() else { return };
            model.now += seconds;
            for id in touched {
                if let Some(at) = model.changed.get_mut(&id) {
                    *at = model.now;
                }
            }
        });
        for (id, at) in &model.changed {
            if *at < began {
                prop_assert!(seen.contains_key(id) || since.is_some_and(|since| *at < since), "{id} at {at} in {seen:?}, {way:?}");
            }
        }
    }

    #[test]
    fn a_list_that_stands_still_is_read_whole(way in 0..WAYS.len(), placed in prop::collection::vec(0..3_i64, 0..25), size in 1..5_usize) {
        let (way, engine) = running(way);
        let changed: BTreeMap<u32, i64> = (0..).zip(placed).collect();
        let mut model = Model { changed, now: 100, size };
        let seen = pass(engine, way, &mut model, None, |_| ());
        let all: BTreeSet<u32> = model.changed.keys().copied().collect();
        prop_assert_eq!(seen.keys().copied().collect::<BTreeSet<_>>(), all);
    }
}
