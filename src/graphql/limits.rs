//! Limits of one request, before anything of it runs.
//!
//! It owns what a document may cost (bytes, fields and aliases with fragments expanded) and the codes of errors that
//! async-graphql finds by itself. It refuses a document whose expansion would cost more to check than to run: fragments
//! that spread each other grow exponentially, so they are counted by arithmetic. That is so that a small request can
//! never cost much.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextPrepareRequest, NextRequest, NextResolve,
    NextSubscribe, ResolveInfo,
};
use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::{IntrospectionMode, Name, Request, Response, ServerError, ServerResult, Value, Variables};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use super::GraphqlLimits;
use super::error::{BAD_USER_INPUT, FORBIDDEN, PARSE_FAILED, QUERY_TOO_COMPLEX, VALIDATION_FAILED};

/// Makes the extension that guards one request.
pub(super) struct Limits(pub(super) GraphqlLimits);

impl ExtensionFactory for Limits {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Guard { limits: self.0, errors: Mutex::default() })
    }
}

struct Guard {
    limits: GraphqlLimits,
    /// Errors of nullable fields, which async-graphql would leave out of the reply together with their key.
    errors: Mutex<Vec<ServerError>>,
}

#[async_trait::async_trait]
impl Extension for Guard {
    async fn request(&self, ctx: &ExtensionContext<'_>, next: NextRequest<'_>) -> Response {
        coded(next.run(ctx).await)
    }

    fn subscribe<'s>(
        &self,
        ctx: &ExtensionContext<'_>,
        stream: BoxStream<'s, Response>,
        next: NextSubscribe<'_>,
    ) -> BoxStream<'s, Response> {
        next.run(ctx, stream).map(coded).boxed()
    }

    async fn prepare_request(
        &self,
        ctx: &ExtensionContext<'_>,
        mut request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        let limits = &self.limits;
        if request.query.len() > limits.query_bytes_max {
            return Err(refused(
                QUERY_TOO_COMPLEX,
                format!("the query has {} bytes; at most {} are taken", request.query.len(), limits.query_bytes_max),
            ));
        }
        let mut variables = std::mem::take(&mut request.variables);
        let introspection = request.introspection_mode != IntrospectionMode::Disabled;
        let document = request.parsed_query().map_err(|mut e| {
            set_code(&mut e, PARSE_FAILED);
            e
        })?;
        let mut defaults = Vec::new();
        for (name, operation) in document.operations.iter() {
            let cost = Counter::new(document, &variables).set(&operation.node.selection_set.node)?;
            if cost.fields > limits.fields_max {
                let message = format!("the query selects more than {} fields, fragments expanded", limits.fields_max);
                return Err(refused(QUERY_TOO_COMPLEX, message));
            }
            if cost.aliases > limits.aliases_max {
                return Err(refused(
                    QUERY_TOO_COMPLEX,
                    format!("the query has more than {} aliases", limits.aliases_max),
                ));
            }
            if cost.entities > limits.page_size_max as usize {
                let message =
                    format!("at most {} representations at once; got {}", limits.page_size_max, cost.entities);
                return Err(refused(BAD_USER_INPUT, message));
            }
            if !introspection && cost.service {
                return Err(refused(FORBIDDEN, "introspection is not open to you"));
            }
            for variable in &operation.node.variable_definitions {
                if let Some(default) = &variable.node.default_value {
                    defaults.push((name.cloned(), variable.node.name.node.clone(), default.node.clone()));
                }
            }
        }
        // @skip and @include look at the request's variables alone: defaults have to be among them.
        let chosen = request.operation_name.clone();
        for (operation, variable, default) in defaults {
            if chosen.is_none() || operation.as_deref() == chosen.as_deref() {
                variables.entry(variable).or_insert(default);
            }
        }
        request.variables = variables;
        next.run(ctx, request).await
    }

    async fn execute(&self, ctx: &ExtensionContext<'_>, operation: Option<&str>, next: NextExecute<'_>) -> Response {
        let mut response = next.run(ctx, operation).await;
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        response.errors.append(&mut errors);
        response
    }

    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let nullable = !info.return_type.ends_with('!');
        match next.run(ctx, info).await {
            Err(error) if nullable => {
                self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                Ok(Some(Value::Null))
            }
            result => result,
        }
    }
}

fn refused(code: &'static str, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    set_code(&mut error, code);
    error
}

fn set_code(error: &mut ServerError, code: &str) {
    error.extensions.get_or_insert_default().set("code", code);
}

/// Gives every error a code. What has none comes from async-graphql: before execution it is about the document, after
/// it about a value.
fn coded(mut response: Response) -> Response {
    for error in &mut response.errors {
        if error.extensions.as_ref().is_some_and(|e| e.get("code").is_some()) {
            continue;
        }
        let too_much =
            ["Query is too complex", "Query is nested too deep", "The recursion depth", "The number of directives"];
        let code = if too_much.iter().any(|begin| error.message.starts_with(begin)) {
            QUERY_TOO_COMPLEX
        } else if error.path.is_empty() && response.data == Value::Null {
            VALIDATION_FAILED
        } else {
            BAD_USER_INPUT
        };
        set_code(error, code);
    }
    response
}

/// What a selection comes to with its fragments expanded.
#[derive(Clone, Copy, Default)]
struct Cost {
    fields: usize,
    aliases: usize,
    /// Representations that `_entities` is to look up, which no page argument bounds.
    entities: usize,
    /// Whether the SDL is asked for, which is introspection by another name.
    service: bool,
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.entities = self.entities.saturating_add(other.entities);
        self.service |= other.service;
    }
}

/// Counts each fragment once, however often it is spread.
struct Counter<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    /// None while a fragment is being counted: meeting it again is a cycle.
    fragments: HashMap<&'a Name, Option<Cost>>,
}

impl<'a> Counter<'a> {
    fn new(document: &'a ExecutableDocument, variables: &'a Variables) -> Self {
        Self { document, variables, fragments: HashMap::new() }
    }

    fn set(&mut self, set: &'a SelectionSet) -> ServerResult<Cost> {
        let mut cost = Cost::default();
        for selection in &set.items {
            let part = match &selection.node {
                Selection::Field(field) => self.field(&field.node)?,
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?,
            };
            cost.add(part);
        }
        Ok(cost)
    }

    fn field(&mut self, field: &'a Field) -> ServerResult<Cost> {
        let mut cost = self.set(&field.selection_set.node)?;
        cost.add(Cost {
            fields: 1,
            aliases: usize::from(field.alias.is_some()),
            entities: if field.name.node == "_entities" { self.representations(field) } else { 0 },
            service: field.name.node == "_service",
        });
        Ok(cost)
    }

    fn representations(&self, field: &Field) -> usize {
        let given = field.get_argument("representations").map(|value| value.node.clone());
        let given = given.and_then(|v| v.into_const_with(|name| self.variables.get(&name).cloned().ok_or(())).ok());
        match given {
            Some(Value::List(items)) => items.len(),
            _ => 1,
        }
    }

    fn fragment(&mut self, name: &'a Name) -> ServerResult<Cost> {
        match self.fragments.get(name) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err(refused(VALIDATION_FAILED, format!("the fragment {name} contains itself"))),
            None => {}
        }
        // An unknown fragment is for validation to name.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Cost::default()) };
        self.fragments.insert(name, None);
        let mut cost = self.set(&fragment.node.selection_set.node)?;
        cost.fields = cost.fields.saturating_add(1);
        self.fragments.insert(name, Some(cost));
        Ok(cost)
    }
}
