//! Rendered objects: the JSON text of a whole object with the place of every value in it.
//!
//! It owns the cache of rendered orders. It refuses to know types: a value is addressed by the position of its field,
//! which is the same in the struct, in its JSON and in the schema's registry. That is so that answering a selection is
//! copying slices of text, and an order that is asked for again costs no decoding.

use std::sync::Arc;

use moka::sync::Cache;
use order_contract::OrderId;
use serde::Serialize;

use super::object::OrderData;
use crate::index::{Index, IndexError, IndexedOrder, ListedOrder};

/// An object as JSON text, and where its values are.
#[derive(Debug)]
pub(super) struct Rendered {
    text: Box<str>,
    /// Children of one value stand together; the root is the last.
    spans: Box<[Span]>,
}

/// Where a value's text is, and where its children are among the spans.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
    first_child: u32,
    children: u32,
}

/// A value within a rendered object.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    rendered: &'a Rendered,
    span: Span,
}

impl Rendered {
    /// Renders an object.
    pub(super) fn of(object: &impl Serialize) -> Self {
        // The objects are our own structs with string keys, which cannot fail to serialize.
        let text = serde_json::to_string(object).unwrap_or_else(|_| "{}".into());
        let mut spans = Vec::with_capacity(text.len() / 16);
        let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, spans: &mut spans };
        let root = scanner.value();
        spans.push(root);
        Self { text: text.into(), spans: spans.into() }
    }

    /// The object itself.
    pub(super) fn root(&self) -> Node<'_> {
        Node { rendered: self, span: self.spans[self.spans.len() - 1] }
    }

    fn bytes(&self) -> usize {
        self.text.len() + size_of_val::<[Span]>(&self.spans) + size_of::<Self>()
    }
}

impl<'a> Node<'a> {
    /// The value's JSON text.
    pub(super) fn text(self) -> &'a str {
        &self.rendered.text[self.span.start as usize..self.span.end as usize]
    }

    /// The fields of an object by position, or the items of a list.
    pub(super) fn children(self) -> impl ExactSizeIterator<Item = Node<'a>> {
        let first = self.span.first_child as usize;
        let spans = &self.rendered.spans[first..first + self.span.children as usize];
        spans.iter().map(move |span| Node { rendered: self.rendered, span: *span })
    }

    /// The field of an object at this position.
    pub(super) fn child(self, position: usize) -> Option<Node<'a>> {
        self.children().nth(position)
    }

    /// Whether it is a list.
    pub(super) fn is_list(self) -> bool {
        self.text().starts_with('[')
    }

    /// Whether it is an object.
    pub(super) fn is_object(self) -> bool {
        self.text().starts_with('{')
    }
}

/// Finds values in the compact JSON that serde_json wrote: no white space, no errors.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    spans: &'a mut Vec<Span>,
}

impl Scanner<'_> {
    fn value(&mut self) -> Span {
        let start = self.at;
        let children = match self.bytes[start] {
            open @ (b'{' | b'[') => self.children(open),
            b'"' => {
                self.string();
                Vec::new()
            }
            _ => {
                while self.bytes.get(self.at).is_some_and(|b| !matches!(b, b',' | b'}' | b']')) {
                    self.at += 1;
                }
                Vec::new()
            }
        };
        let first_child = self.spans.len();
        self.spans.extend_from_slice(&children);
        // A document is far below 4 GiB: the index refuses larger ones long before.
        let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span {
            start: place(start),
            end: place(self.at),
            first_child: place(first_child),
            children: place(children.len()),
        }
    }

    fn children(&mut self, open: u8) -> Vec<Span> {
        let mut children = Vec::new();
        loop {
            self.at += 1;
            if matches!(self.bytes[self.at], b'}' | b']') {
                break;
            }
            if open == b'{' {
                self.string();
                self.at += 1;
            }
            children.push(self.value());
            if self.bytes[self.at] != b',' {
                break;
            }
        }
        self.at += 1;
        children
    }

    fn string(&mut self) {
        self.at += 1;
        while self.bytes[self.at] != b'"' {
            self.at += if self.bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
    }
}

/// Rendered orders by id and revision: one such pair names one immutable document. Cheap to clone.
#[derive(Clone)]
pub(super) struct RenderCache {
    index: Index,
    cache: Cache<(OrderId, i64), Arc<Rendered>>,
}

impl RenderCache {
    /// A cache of at most so many bytes over this index.
    pub(super) fn new(index: Index, bytes_max: u64) -> Self {
        let weigh = |key: &(OrderId, i64), rendered: &Arc<Rendered>| {
            let id = key.0.source().as_str().len() + key.0.source_order_id().as_str().len();
            u32::try_from(rendered.bytes() + id + 128).unwrap_or(u32::MAX)
        };
        Self { index, cache: Cache::builder().max_capacity(bytes_max).weigher(weigh).build() }
    }

    /// Renders an order that was read already.
    pub(super) fn insert(&self, order: IndexedOrder) -> Arc<Rendered> {
        let key = (order.id.clone(), order.revision);
        self.cache.get(&key).unwrap_or_else(|| {
            let rendered = Arc::new(Rendered::of(&OrderData::from(order)));
            self.cache.insert(key, rendered.clone());
            rendered
        })
    }

    /// The orders of a page, in its order; what is not cached comes from the index in one query. An order that was
    /// deleted since the page was listed is none.
    pub(super) async fn page(&self, listed: Vec<ListedOrder>) -> Result<Vec<Option<Arc<Rendered>>>, IndexError> {
        let keys: Vec<_> = listed.into_iter().map(|order| (order.id, order.revision)).collect();
        let mut found: Vec<_> = keys.iter().map(|key| self.cache.get(key)).collect();
        let missing: Vec<OrderId> =
            keys.iter().zip(&found).filter(|(_, hit)| hit.is_none()).map(|(key, _)| key.0.clone()).collect();
        if !missing.is_empty() {
            let read = self.index.find_many(&missing).await?;
            let mut read: std::collections::HashMap<_, _> =
                read.into_iter().map(|order| (order.id.clone(), self.insert(order))).collect();
            for (key, hit) in keys.iter().zip(&mut found).filter(|(_, hit)| hit.is_none()) {
                *hit = read.remove(&key.0);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Rendered};
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
    use serde_json::Value;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[\"\\\\,:{}\\[\\]]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((".{0,6}", inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn same(node: Node<'_>, value: &Value) {
        assert_eq!(node.text(), value.to_string());
        let children: Vec<&Value> = match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            _ => Vec::new(),
        };
        assert_eq!(node.children().len(), children.len());
        for (i, child) in children.into_iter().enumerate() {
            same(node.child(i).expect("the child"), child);
        }
    }

    proptest! {
        #[test]
        fn every_value_is_found_by_its_position(value in json()) {
            let rendered = Rendered::of(&value);
            prop_assert_eq!(rendered.root().text(), value.to_string());
            same(rendered.root(), &value);
        }
    }
}
