//! A platform's published GraphQL schema, and whether a document of an adapter is valid against it.
//!
//! It checks what a server would refuse: types, fields, arguments, input values, variables, fragments and directives.
//! That is so that a renamed field fails an adapter's check and not its first customer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_graphql_parser::types::{
    BaseType, Directive, ExecutableDocument, Field, FragmentDefinition, InputValueDefinition, OperationType, Selection,
    SelectionSet, Type, TypeKind, TypeSystemDefinition, VariableDefinition,
};
use async_graphql_parser::{Pos, Positioned, parse_query, parse_schema};
use async_graphql_value::{Name, Value};

type Arguments = BTreeMap<String, Argument>;

#[derive(Debug)]
struct Argument {
    ty: Type,
    required: bool,
}

#[derive(Debug)]
struct FieldType {
    ty: Type,
    arguments: Arguments,
}

#[derive(Debug)]
enum Kind {
    Scalar,
    Enum(BTreeSet<String>),
    Input(Arguments),
    Object { fields: BTreeMap<String, FieldType>, implements: BTreeSet<String> },
    Interface(BTreeMap<String, FieldType>),
    Union(BTreeSet<String>),
}

/// A published schema.
#[derive(Debug)]
pub struct Schema {
    kinds: HashMap<String, Kind>,
    directives: HashMap<String, Arguments>,
    roots: HashMap<&'static str, String>,
}

impl Schema {
    /// Reads a schema in the schema definition language.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(sdl: &str) -> Result<Self, String> {
        let document = parse_schema(sdl).map_err(|e| format!("the schema cannot be read: {e}"))?;
        let scalars = ["Int", "Float", "String", "Boolean", "ID"];
        let mut schema = Self {
            kinds: scalars.into_iter().map(|name| (name.to_owned(), Kind::Scalar)).collect(),
            directives: HashMap::new(),
            roots: HashMap::from([("query", "Query".into()), ("mutation", "Mutation".into())]),
        };
        let condition = [("if".to_owned(), Argument { ty: named("Boolean", false), required: true })];
        for name in ["include", "skip"] {
            schema.directives.insert(name.into(), condition.iter().map(|(n, a)| (n.clone(), a.copy())).collect());
        }
        for definition in document.definitions {
            match definition {
                TypeSystemDefinition::Schema(root) => {
                    for (operation, name) in [("query", root.node.query), ("mutation", root.node.mutation)] {
                        if let Some(name) = name {
                            schema.roots.insert(operation, name.node.to_string());
                        }
                    }
                }
                TypeSystemDefinition::Directive(directive) => {
                    let directive = directive.node;
                    schema.directives.insert(directive.name.node.to_string(), arguments(directive.arguments));
                }
                TypeSystemDefinition::Type(ty) => schema.add(ty.node.name.node.to_string(), ty.node.kind),
            }
        }
        Ok(schema)
    }

    fn add(&mut self, name: String, kind: TypeKind) {
        let names = |names: Vec<Positioned<Name>>| names.into_iter().map(|n| n.node.to_string()).collect();
        let fields = |fields: Vec<Positioned<async_graphql_parser::types::FieldDefinition>>| {
            let one = |f: Positioned<async_graphql_parser::types::FieldDefinition>| {
                let ty = FieldType { ty: f.node.ty.node, arguments: arguments(f.node.arguments) };
                (f.node.name.node.to_string(), ty)
            };
            fields.into_iter().map(one).collect::<BTreeMap<_, _>>()
        };
        let kind = match kind {
            TypeKind::Scalar => Kind::Scalar,
            TypeKind::Enum(e) => Kind::Enum(e.values.into_iter().map(|v| v.node.value.node.to_string()).collect()),
            TypeKind::InputObject(input) => Kind::Input(arguments(input.fields)),
            TypeKind::Object(o) => Kind::Object { fields: fields(o.fields), implements: names(o.implements) },
            TypeKind::Interface(i) => Kind::Interface(fields(i.fields)),
            TypeKind::Union(u) => Kind::Union(names(u.members)),
        };
        match (self.kinds.get_mut(&name), kind) {
            // `extend type` adds to what is there.
            (Some(Kind::Object { fields, implements }), Kind::Object { fields: more, implements: and }) => {
                fields.extend(more);
                implements.extend(and);
            }
            (Some(Kind::Input(fields)), Kind::Input(more)) => fields.extend(more),
            (Some(Kind::Enum(values)), Kind::Enum(more)) => values.extend(more),
            (_, kind) => {
                self.kinds.insert(name, kind);
            }
        }
    }

    /// What a server with this schema would refuse in a document, each with line and column; empty when it is valid.
    #[must_use]
    pub fn check(&self, document: &str) -> Vec<String> {
        let document = match parse_query(document) {
            Ok(document) => document,
            Err(error) => return vec![format!("it cannot be read: {error}")],
        };
        let mut check = Check { schema: self, document: &document, errors: Vec::new(), spread: BTreeSet::new() };
        for (_, operation) in document.operations.iter() {
            let operation = &operation.node;
            let root = match operation.ty {
                OperationType::Query => self.roots.get("query"),
                OperationType::Mutation => self.roots.get("mutation"),
                OperationType::Subscription => None,
            };
            let Some(root) = root.filter(|root| self.kinds.contains_key(*root)) else {
                check.errors.push(format!("the schema has no {}", operation.ty));
                continue;
            };
            let variables: HashMap<&str, &VariableDefinition> =
                operation.variable_definitions.iter().map(|v| (v.node.name.node.as_str(), &v.node)).collect();
            for definition in &operation.variable_definitions {
                let ty = &definition.node.var_type;
                if !matches!(self.kinds.get(base(&ty.node)), Some(Kind::Scalar | Kind::Enum(_) | Kind::Input(_))) {
                    check.error(ty.pos, format!("{} is no input type", ty.node));
                }
            }
            let mut scope = Scope { variables: &variables, used: BTreeSet::new(), within: Vec::new() };
            check.directives(&operation.directives, &mut scope);
            check.selection(root, &operation.selection_set.node, &mut scope);
            for definition in &operation.variable_definitions {
                if !scope.used.contains(definition.node.name.node.as_str()) {
                    check.error(definition.pos, format!("${} is never used", definition.node.name.node));
                }
            }
        }
        for (name, fragment) in &document.fragments {
            if !check.spread.contains(name.as_str()) {
                check.error(fragment.pos, format!("the fragment {name} is never used"));
            }
        }
        check.errors.sort();
        check.errors.dedup();
        check.errors
    }

    /// The object types that a value of this type can be.
    fn possible(&self, name: &str) -> BTreeSet<&str> {
        match self.kinds.get_key_value(name) {
            Some((name, Kind::Object { .. })) => BTreeSet::from([name.as_str()]),
            Some((_, Kind::Union(members))) => members.iter().map(String::as_str).collect(),
            Some((_, Kind::Interface(_))) => self
                .kinds
                .iter()
                .filter(|(_, kind)| matches!(kind, Kind::Object { implements, .. } if implements.contains(name)))
                .map(|(object, _)| object.as_str())
                .collect(),
            _ => BTreeSet::new(),
        }
    }
}

impl Argument {
    fn copy(&self) -> Self {
        Self { ty: self.ty.clone(), required: self.required }
    }
}

fn arguments(definitions: Vec<Positioned<InputValueDefinition>>) -> Arguments {
    let one = |d: Positioned<InputValueDefinition>| {
        let required = !d.node.ty.node.nullable && d.node.default_value.is_none();
        (d.node.name.node.to_string(), Argument { ty: d.node.ty.node, required })
    };
    definitions.into_iter().map(one).collect()
}

fn named(name: &str, nullable: bool) -> Type {
    Type { base: BaseType::Named(Name::new(name)), nullable }
}

/// The named type inside lists.
fn base(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(inner) => base(inner),
    }
}

/// Whether a variable of one type may stand where another is wanted.
fn fits(variable: &Type, has_default: bool, wanted: &Type, wanted_has_default: bool) -> bool {
    let nullable_is_fine = wanted.nullable || !variable.nullable || has_default || wanted_has_default;
    nullable_is_fine
        && match (&variable.base, &wanted.base) {
            (BaseType::Named(a), BaseType::Named(b)) => a == b,
            (BaseType::List(a), BaseType::List(b)) => fits(a, false, b, false),
            _ => false,
        }
}

/// What belongs to one operation.
struct Scope<'a> {
    variables: &'a HashMap<&'a str, &'a VariableDefinition>,
    used: BTreeSet<String>,
    /// The fragments being read, so that a circle is seen.
    within: Vec<String>,
}

struct Check<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    errors: Vec<String>,
    spread: BTreeSet<String>,
}

impl<'a> Check<'a> {
    fn error(&mut self, pos: Pos, message: String) {
        self.errors.push(format!("{}:{}: {message}", pos.line, pos.column));
    }

    fn selection(&mut self, on: &str, selection: &'a SelectionSet, scope: &mut Scope<'_>) {
        let mut keys: HashMap<&str, &Field> = HashMap::new();
        for item in &selection.items {
            self.directives(item.node.directives(), scope);
            match &item.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.as_str();
                    if let Some(other) = keys.insert(key, &field.node)
                        && (other.name.node != field.node.name.node || other.arguments != field.node.arguments)
                    {
                        self.error(field.pos, format!("{key} is selected twice, differently"));
                    }
                    self.field(on, field, scope);
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref().map(|c| c.node.on.node.as_str());
                    let inner = condition.unwrap_or(on);
                    self.condition(item.pos, on, inner);
                    self.selection(inner, &fragment.node.selection_set.node, scope);
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    self.spread.insert(name.to_owned());
                    let Some(fragment) = self.document.fragments.get(name) else {
                        self.error(item.pos, format!("there is no fragment {name}"));
                        continue;
                    };
                    if scope.within.iter().any(|outer| outer == name) {
                        self.error(item.pos, format!("the fragment {name} contains itself"));
                        continue;
                    }
                    scope.within.push(name.to_owned());
                    self.fragment(item.pos, on, &fragment.node, scope);
                    scope.within.pop();
                }
            }
        }
    }

    fn fragment(&mut self, pos: Pos, on: &str, fragment: &'a FragmentDefinition, scope: &mut Scope<'_>) {
        let inner = fragment.type_condition.node.on.node.as_str();
        self.condition(pos, on, inner);
        self.selection(inner, &fragment.selection_set.node, scope);
    }

    fn condition(&mut self, pos: Pos, on: &str, inner: &str) {
        if !self.schema.kinds.contains_key(inner) {
            self.error(pos, format!("there is no type {inner}"));
        } else if self.schema.possible(on).is_disjoint(&self.schema.possible(inner)) {
            self.error(pos, format!("{on} can never be {inner}"));
        }
    }

    fn field(&mut self, on: &str, field: &'a Positioned<Field>, scope: &mut Scope<'_>) {
        let (pos, field) = (field.pos, &field.node);
        let name = field.name.node.as_str();
        let schema = self.schema;
        let fields = match schema.kinds.get(on) {
            Some(Kind::Object { fields, .. } | Kind::Interface(fields)) => Some(fields),
            Some(Kind::Union(_)) => None,
            // Said where the type was named.
            _ => return,
        };
        if name == "__typename" {
            return;
        }
        let Some(found) = fields.and_then(|fields| fields.get(name)) else {
            let known = fields.into_iter().flat_map(|fields| fields.keys()).map(String::as_str);
            let near = nearest(name, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return self.error(pos, format!("{on} has no field {name}{near}"));
        };
        self.arguments(pos, &format!("{on}.{name}"), &found.arguments, &field.arguments, scope);
        let ty = base(&found.ty);
        let leaf = matches!(schema.kinds.get(ty), Some(Kind::Scalar | Kind::Enum(_)));
        match (leaf, field.selection_set.node.items.is_empty()) {
            (true, false) => self.error(pos, format!("{on}.{name} is a {ty} and has no fields")),
            (false, true) => self.error(pos, format!("{on}.{name} is a {ty}: select fields of it")),
            _ => self.selection(ty, &field.selection_set.node, scope),
        }
    }

    fn directives(&mut self, directives: &'a [Positioned<Directive>], scope: &mut Scope<'_>) {
        let schema = self.schema;
        for directive in directives {
            let name = directive.node.name.node.as_str();
            match schema.directives.get(name) {
                None => self.error(directive.pos, format!("there is no directive @{name}")),
                Some(known) => {
                    self.arguments(directive.pos, &format!("@{name}"), known, &directive.node.arguments, scope);
                }
            }
        }
    }

    fn arguments(
        &mut self,
        pos: Pos,
        of: &str,
        known: &Arguments,
        given: &'a [(Positioned<Name>, Positioned<Value>)],
        scope: &mut Scope<'_>,
    ) {
        for (name, value) in given {
            match known.get(name.node.as_str()) {
                None => {
                    let near = nearest(&name.node, known.keys().map(String::as_str));
                    let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                    self.error(name.pos, format!("{of} has no argument {}{near}", name.node));
                }
                Some(argument) => self.value(value.pos, &value.node, argument, scope),
            }
        }
        for (name, argument) in known {
            if argument.required && !given.iter().any(|(n, _)| n.node == *name) {
                self.error(pos, format!("{of} wants the argument {name}: {}", argument.ty));
            }
        }
    }

    fn value(&mut self, pos: Pos, value: &'a Value, wanted: &Argument, scope: &mut Scope<'_>) {
        let ty = &wanted.ty;
        match value {
            Value::Variable(name) => {
                scope.used.insert(name.to_string());
                match scope.variables.get(name.as_str()) {
                    None => self.error(pos, format!("${name} is not declared")),
                    Some(v) if !fits(&v.var_type.node, v.default_value.is_some(), ty, !wanted.required) => {
                        self.error(pos, format!("${name} is a {}, a {ty} is wanted", v.var_type.node));
                    }
                    Some(_) => {}
                }
            }
            Value::Null if ty.nullable => {}
            Value::Null => self.error(pos, format!("null stands where a {ty} is wanted")),
            Value::List(items) => match &ty.base {
                BaseType::List(inner) => {
                    let inner = Argument { ty: (**inner).clone(), required: !inner.nullable };
                    items.iter().for_each(|item| self.value(pos, item, &inner, scope));
                }
                BaseType::Named(_) => self.error(pos, format!("a list stands where a {ty} is wanted")),
            },
            single => self.single(pos, single, base(ty), scope),
        }
    }

    fn single(&mut self, pos: Pos, value: &'a Value, ty: &str, scope: &mut Scope<'_>) {
        let schema = self.schema;
        match (schema.kinds.get(ty), value) {
            (Some(Kind::Input(known)), Value::Object(given)) => {
                for (name, value) in given {
                    match known.get(name.as_str()) {
                        None => self.error(pos, format!("{ty} has no field {name}")),
                        Some(field) => self.value(pos, value, field, scope),
                    }
                }
                for (name, field) in known {
                    if field.required && !given.contains_key(name.as_str()) {
                        self.error(pos, format!("{ty} wants the field {name}: {}", field.ty));
                    }
                }
            }
            (Some(Kind::Enum(values)), Value::Enum(name)) if values.contains(name.as_str()) => {}
            (Some(Kind::Scalar), value) if scalar(ty, value) => {}
            (_, value) => self.error(pos, format!("{value} is no {ty}")),
        }
    }
}

/// Whether a literal may stand for a built-in scalar; a platform's own scalars take what they like.
fn scalar(ty: &str, value: &Value) -> bool {
    match ty {
        "Int" => matches!(value, Value::Number(n) if n.is_i64()),
        "Float" => matches!(value, Value::Number(_)),
        "String" => matches!(value, Value::String(_)),
        "Boolean" => matches!(value, Value::Boolean(_)),
        "ID" => matches!(value, Value::String(_) | Value::Number(_)),
        _ => true,
    }
}

/// The known name that is nearest to a wrong one, when it is near.
fn nearest<'n>(wrong: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let distances = known.map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    distances.min().filter(|(distance, _)| *distance <= wrong.len() / 3 + 1).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::Schema;

    const SDL: &str = r#"
schema { query: Query mutation: Mutation }
directive @idempotent(key: String!) on FIELD
type Query { order(id: ID!): Order  orders(first: Int = 10, sort: Sort, where: Where, ids: [ID!]): [Order!]! }
type Mutation { cancel(id: ID!, reason: String): Result! }
type Order implements Node { id: ID! total: Money! state: Sort lines(first: Int!): [Line!]! }
type Line { sku: String }
type Failure { message: String! }
interface Node { id: ID! }
union Result = Order | Failure
enum Sort { NEW OLD }
input Where { state: Sort! after: DateTime }
scalar Money
scalar DateTime
"#;

    #[test]
    fn what_a_server_would_refuse_is_named() {
        let schema = Schema::parse(SDL).expect("a schema");
        for (document, error) in [
            ("query($id: ID!) { order(id: $id) { id total state lines(first: 1) { sku } } }", ""),
            ("{ orders(first: 5, sort: NEW, where: {state: OLD, after: \"x\"}, ids: \"1\") { id __typename } }", ""),
            (
                "mutation($i: ID!, $k: String!) { cancel(id: $i) @idempotent(key: $k) { ...R } } fragment R on Result { ... on Order { id } ... on Failure { message } ... on Node { id } }",
                "",
            ),
            ("{ order(id: 1) { totals } }", "Order has no field totals; did you mean total?"),
            ("{ order { id } }", "Query.order wants the argument id: ID!"),
            ("{ order(id: 1, zz: 2) { id } }", "has no argument zz"),
            ("{ order(id: 1) }", "select fields of it"),
            ("{ order(id: 1) { id { x } } }", "has no fields"),
            ("{ orders(sort: NEWEST) { id } }", "NEWEST is no Sort"),
            ("{ orders(first: \"5\") { id } }", "is no Int"),
            ("{ orders(where: {after: 1}) { id } }", "Where wants the field state"),
            ("{ orders(where: {state: OLD, nope: 1}) { id } }", "Where has no field nope"),
            ("query($f: String) { orders(first: $f) { id } }", "$f is a String, a Int is wanted"),
            ("query($id: ID) { order(id: $id) { id } }", "$id is a ID, a ID! is wanted"),
            ("query($id: ID!, $x: Int) { order(id: $id) { id } }", "$x is never used"),
            ("query($x: Order) { order(id: $x) { id } }", "Order is no input type"),
            ("{ order(id: $id) { id } }", "$id is not declared"),
            ("{ order(id: 1) { ...F } }", "there is no fragment F"),
            ("{ order(id: 1) { ...F } } fragment F on Order { id ...F }", "contains itself"),
            ("{ order(id: 1) { id } } fragment F on Order { id }", "never used"),
            ("{ order(id: 1) { ... on Line { sku } } }", "Order can never be Line"),
            ("mutation { cancel(id: 1) { id } }", "Result has no field id"),
            ("mutation { cancel(id: 1) @once { __typename } }", "no directive @once"),
            ("{ order(id: 1) { a: id a: total } }", "selected twice"),
            ("subscription { x }", "has no subscription"),
            ("{ order(id: ", "cannot be read"),
        ] {
            let errors = schema.check(document);
            match error {
                "" => assert_eq!(errors, [] as [String; 0], "{document}"),
                error => assert!(errors.iter().any(|e| e.contains(error)), "{document}: {errors:?}"),
            }
        }
    }
}
