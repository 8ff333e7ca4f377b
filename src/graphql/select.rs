//! Selections, planned once per request: which fields of a rendered object go into the reply, under which names.
//!
//! It owns the rules of the GraphQL specification for collecting fields: aliases, fragments, type conditions and the
//! merging of repeated response keys. (`@skip` and `@include` are applied before execution.) It refuses IO: a field
//! that needs it is handed back to the ordinary machinery and its result spliced in. That is so that plain data costs
//! neither a boxed future nor a tree of values per field.

use std::collections::HashMap;
use std::fmt::Write as _;

use async_graphql::context::QueryPathSegment;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, FragmentDefinition, OperationType, Selection, SelectionSet};
use async_graphql::registry::{MetaField, MetaTypeName, Registry};
use async_graphql::{ContextSelectionSet, Name, Positioned};

use super::render::Node;

/// Which types and fields of them are not in the rendered text.
const LIVE: &[(&str, &[&str])] = &[
    ("Order", &["source", "operations", "rawPayload"]),
    ("Source", &["capabilities", "kind", "sync", "process", "statuses"]),
];

/// What of an object is written, in the order of the reply.
#[derive(Debug, Default)]
pub(super) struct Plan {
    steps: Vec<Step>,
    /// Fields that the ordinary machinery resolves, with the merged selections of their response key.
    pub(super) live: Vec<Positioned<Field>>,
}

#[derive(Debug)]
struct Step {
    /// `"responseKey":`
    key: Box<str>,
    value: Planned,
}

#[derive(Debug)]
enum Planned {
    /// `__typename`, as JSON text.
    TypeName(Box<str>),
    /// The field at this position; its whole text where nothing is selected of it.
    Plain(usize, Option<Plan>),
    /// The order's source, of which only plain fields are selected.
    Source(Plan),
    /// The result of [`Plan::live`] at this position.
    Live(usize),
}

/// The fields of one response key, and what is selected of them in all.
pub(super) struct Collected<'a> {
    /// The first field of that key; validation has made sure that the others ask the same.
    pub(super) field: &'a Positioned<Field>,
    /// Their selection sets.
    pub(super) sets: Vec<&'a SelectionSet>,
}

/// The document that a selection is part of.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) registry: &'a Registry,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
}

impl<'a> Document<'a> {
    /// The document of a request.
    pub(super) fn of<T>(ctx: &async_graphql::context::ContextBase<'a, T>) -> Self {
        Self { registry: &ctx.schema_env.registry, fragments: &ctx.query_env.fragments }
    }

    /// The selection sets of an object type by response key, in the order of the reply.
    pub(super) fn collect(self, type_name: &str, sets: &[&'a SelectionSet]) -> IndexMap<&'a str, Collected<'a>> {
        let mut fields = IndexMap::new();
        for set in sets {
            self.collect_set(type_name, set, &mut fields);
        }
        fields
    }

    fn collect_set(self, type_name: &str, set: &'a SelectionSet, into: &mut IndexMap<&'a str, Collected<'a>>) {
        for selection in &set.items {
            let (condition, set) = match &selection.node {
                Selection::Field(field) => {
                    let collected = into
                        .entry(field.node.response_key().node.as_str())
                        .or_insert_with(|| Collected { field, sets: Vec::new() });
                    if !field.node.selection_set.node.items.is_empty() {
                        collected.sets.push(&field.node.selection_set.node);
                    }
                    continue;
                }
                Selection::FragmentSpread(spread) => match self.fragments.get(&spread.node.fragment_name.node) {
                    Some(fragment) => (Some(&fragment.node.type_condition), &fragment.node.selection_set),
                    None => continue,
                },
                Selection::InlineFragment(fragment) => {
                    (fragment.node.type_condition.as_ref(), &fragment.node.selection_set)
                }
            };
            if condition.is_none_or(|on| self.applies(on.node.on.node.as_str(), type_name)) {
                self.collect_set(type_name, &set.node, into);
            }
        }
    }

    /// Whether a fragment on `condition` applies to an object of `type_name`. Of an abstract `type_name` it applies
    /// where it may.
    fn applies(self, condition: &str, type_name: &str) -> bool {
        condition == type_name
            || self.registry.types.get(condition).is_some_and(|on| on.is_possible_type(type_name))
            || self.registry.types.get(type_name).is_some_and(|own| own.is_possible_type(condition))
    }

    /// Everything that is selected of the object at the context's place: a response key that is repeated anywhere
    /// above it has several selection sets, and each of them counts.
    pub(super) fn selected(self, ctx: &ContextSelectionSet<'a>) -> Vec<&'a SelectionSet> {
        let operation = &ctx.query_env.operation.node;
        let mut type_name = match operation.ty {
            OperationType::Query => self.registry.query_type.as_str(),
            OperationType::Mutation => self.registry.mutation_type.as_deref().unwrap_or_default(),
            OperationType::Subscription => self.registry.subscription_type.as_deref().unwrap_or_default(),
        };
        let here: &SelectionSet = &ctx.item.node;
        let mut path = Vec::new();
        let mut place = ctx.path_node.as_ref();
        while let Some(node) = place {
            if let QueryPathSegment::Name(name) = node.segment {
                path.push(name);
            }
            place = node.parent;
        }
        let mut sets = vec![&operation.selection_set.node];
        for key in path.into_iter().rev() {
            let mut fields = self.collect(type_name, &sets);
            let Some(collected) = fields.swap_remove(key) else { return vec![here] };
            let name = collected.field.node.name.node.as_str();
            let Some(meta) = self.field(type_name, name) else { return vec![here] };
            type_name = MetaTypeName::concrete_typename(&meta.ty);
            sets = collected.sets;
        }
        sets
    }

    /// A field of a type; of an abstract one, of whichever possible type has it.
    fn field(self, type_name: &str, name: &str) -> Option<&'a MetaField> {
        let ty = self.registry.types.get(type_name)?;
        let possible = || ty.possible_types()?.iter().find_map(|possible| self.field(possible, name));
        ty.field_by_name(name).or_else(possible)
    }

    /// Plans what is selected of an object type.
    pub(super) fn plan(self, type_name: &str, sets: &[&'a SelectionSet]) -> Plan {
        let mut plan = Plan::default();
        let Some(meta) = self.registry.types.get(type_name).and_then(|ty| ty.fields()) else { return plan };
        let live = LIVE.iter().find(|(name, _)| *name == type_name).map_or(&[][..], |(_, fields)| fields);
        for (key, collected) in self.collect(type_name, sets) {
            let name = collected.field.node.name.node.as_str();
            let value = if name == "__typename" {
                Planned::TypeName(format!("\"{type_name}\"").into())
            } else if let Some((position, _, field)) = meta.get_full(name) {
                let child = MetaTypeName::concrete_typename(&field.ty);
                if live.contains(&name) {
                    let of_source = (name == "source").then(|| self.plan(child, &collected.sets));
                    match of_source {
                        Some(plain) if plain.live.is_empty() => Planned::Source(plain),
                        _ => {
                            plan.live.push(merged(&collected));
                            Planned::Live(plan.live.len() - 1)
                        }
                    }
                } else {
                    let part = (!collected.sets.is_empty()).then(|| self.plan(child, &collected.sets));
                    Planned::Plain(position, part)
                }
            } else {
                continue;
            };
            plan.steps.push(Step { key: format!("\"{key}\":").into(), value });
        }
        plan
    }
}

/// One field with everything that is selected under its response key.
fn merged(collected: &Collected<'_>) -> Positioned<Field> {
    let mut field = collected.field.clone();
    field.node.selection_set.node.items = collected.sets.iter().flat_map(|set| set.items.clone()).collect();
    field
}

impl Plan {
    /// Writes what is selected of a value: of a list, of each of its items. `source` is the order's source rendered;
    /// `live` are the results of [`Plan::live`] as JSON text.
    pub(super) fn write(&self, out: &mut String, node: Node<'_>, source: Option<Node<'_>>, live: &[String]) {
        if node.is_object() {
            out.push('{');
            for (i, step) in self.steps.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&step.key);
                match &step.value {
                    Planned::TypeName(name) => out.push_str(name),
                    Planned::Plain(position, part) => match (node.child(*position), part) {
                        (Some(child), Some(part)) => part.write(out, child, None, &[]),
                        (Some(child), None) => out.push_str(child.text()),
                        (None, _) => out.push_str("null"),
                    },
                    Planned::Source(part) => match source {
                        Some(source) => part.write(out, source, None, &[]),
                        None => out.push_str("null"),
                    },
                    Planned::Live(slot) => out.push_str(live.get(*slot).map_or("null", String::as_str)),
                }
            }
            out.push('}');
        } else if node.is_list() {
            out.push('[');
            for (i, item) in node.children().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                self.write(out, item, None, &[]);
            }
            out.push(']');
        } else {
            // null: a plain value has no selection.
            out.push_str(node.text());
        }
    }
}

/// Writes a text as a JSON string.
pub(super) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
