//! Pages of a list as they come when orders change while they are read: with an order twice, in another sequence, with
//! a record that is blank, without the list. No order may get lost by any of it.

use order_contract::pointer_token;
use serde_json::Value;

use super::{Answer, Pass};
use crate::engine::{Engine, Listed, Window};

fn ids(engine: &Engine, pages: &[Listed]) -> Vec<String> {
    let records = pages.iter().flat_map(|page| &page.records);
    let mut ids: Vec<_> = records.map(|record| engine.id_of(record).unwrap_or_default()).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// Shifts every page of a pass that is right as it stands; what was wrong with each, and how many were tried.
pub(super) fn shift(engine: &Engine, window: &Window, answers: &[Answer]) -> (Vec<String>, usize) {
    let right = Pass::over(engine, window, answers).pages;
    let (mut failures, mut tried) = (Vec::new(), 0);
    let lists: Vec<Option<String>> =
        right.iter().zip(answers).map(|(page, answer)| place(&records(page), &answer.body)).collect();
    let until_of = |pages: &[Listed]| pages.last().and_then(|page| page.until);
    let until = until_of(&right);
    for (at, place) in lists.iter().enumerate() {
        let Some(place) = place else { continue };
        let before =
            lists[..at].last().and_then(|place| items(&answers[at - 1].body, place.as_deref()?).last().cloned());
        for (what, shifted) in shifted(&answers[at].body, place, before) {
            tried += 1;
            let mut answers = answers.to_vec();
            answers[at].body = shifted;
            let Pass { pages, next, .. } = Pass::over(engine, window, &answers);
            let refused = next.err();
            let whole = || ids(engine, &pages) == ids(engine, &right);
            let held = match what {
                What::Doubled => refused.is_none() && whole() && until_of(&pages) <= until,
                // A list that was asked for in a sequence and does not keep it may be refused.
                What::Reversed => refused.is_some() || (whole() && until_of(&pages) <= until),
                // It is refused, or kept for the mapping to refuse; it is not passed over in silence.
                What::Blank => refused.is_some() || pages[at].records.len() == right[at].records.len(),
                What::Gone => refused.is_some(),
            };
            if !held {
                failures.push(format!("page {at} {}: listed {:?}, {refused:?}", what.said(), ids(engine, &pages)));
            }
        }
    }
    (failures, tried)
}

#[derive(Clone, Copy)]
enum What {
    Doubled,
    Reversed,
    Blank,
    Gone,
}

impl What {
    fn said(self) -> &'static str {
        match self {
            Self::Doubled => "that begins with the last order of the page before",
            Self::Reversed => "whose orders come in the opposite sequence",
            Self::Blank => "with a record that is blank",
            Self::Gone => "with a text instead of the list",
        }
    }
}

/// The body with its list shifted, in each way that applies.
fn shifted(body: &Value, place: &str, before: Option<Value>) -> Vec<(What, Value)> {
    let items = items(body, place);
    let with = |list: Value| {
        let mut body = body.clone();
        if let Some(old) = body.pointer_mut(place) {
            *old = list;
        }
        body
    };
    let doubled = before.map(|last| [vec![last], items.clone()].concat());
    let reversed = (items.len() > 1).then(|| items.iter().rev().cloned().collect());
    let blank = (!items.is_empty()).then(|| [&items[1..], &[Value::Object(serde_json::Map::new())]].concat());
    [(What::Doubled, doubled), (What::Reversed, reversed), (What::Blank, blank)]
        .into_iter()
        .filter_map(|(what, list)| Some((what, with(Value::Array(list?)))))
        .chain([(What::Gone, with("?".into()))])
        .collect()
}

fn items(body: &Value, place: &str) -> Vec<Value> {
    body.pointer(place).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn records(page: &Listed) -> Vec<Value> {
    let json = page.records.iter().filter_map(|record| record.to_json().ok());
    json.filter_map(|json| serde_json::from_slice(&json).ok()).collect()
}

/// The JSON pointer of the list that these records are, or are in field by field, as with `edges { node }`.
fn place(records: &[Value], body: &Value) -> Option<String> {
    if records.is_empty() {
        return None;
    }
    let is_list = |list: &[Value]| {
        let holds = |field: Option<&str>| {
            let pairs = list.iter().zip(records);
            list.len() == records.len()
                && pairs.clone().all(|(item, record)| field.map_or(item, |f| &item[f]) == record)
        };
        let fields = list.first().and_then(Value::as_object).into_iter().flat_map(|first| first.keys());
        holds(None) || fields.into_iter().any(|field| holds(Some(field)))
    };
    let below = |key: String, value: &Value| Some(format!("/{key}{}", place(records, value)?));
    match body {
        Value::Array(list) if is_list(list) => Some(String::new()),
        Value::Array(list) => list.iter().enumerate().find_map(|(i, item)| below(i.to_string(), item)),
        Value::Object(fields) => fields.iter().find_map(|(key, item)| below(pointer_token(key), item)),
        _ => None,
    }
}
