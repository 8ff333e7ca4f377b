//! Errors as clients see them: a sentence that says what to do, a stable code, and nothing of the inside.
//!
//! It owns the codes in `extensions.code` and the conversion from every error of the center. It refuses to let a
//! message of a database, a library or a module through: what is not the client's to solve is logged once under an id,
//! and the client gets the id. That is so that an error can be acted on by whoever reads it.

use async_graphql::registry::Registry;
use async_graphql::{
    Context, ContextSelectionSet, Error, ErrorExtensions, OutputType, Positioned, ServerResult, Value,
    parser::types::Field,
};

use super::{Principal, Role};
use crate::catalog::CatalogError;
use crate::database::DatabaseError;
use crate::index::IndexError;
use crate::ingest::IngestError;
use crate::operation::OperationError;
use crate::source::SourceError;

/// The request is not a GraphQL document.
pub(super) const PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
/// The document does not fit the schema.
pub(super) const VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
/// A value is not what the field wants.
pub(super) const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
/// Nobody is known to ask.
pub(super) const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
/// Who asks may not.
pub(super) const FORBIDDEN: &str = "FORBIDDEN";
/// The request would cost more than one request may.
pub(super) const QUERY_TOO_COMPLEX: &str = "QUERY_TOO_COMPLEX";
/// The owning source does not answer, or not with what it should.
pub(super) const SOURCE_UNAVAILABLE: &str = "SOURCE_UNAVAILABLE";
/// The center itself cannot serve now.
pub(super) const SERVICE_UNAVAILABLE: &str = "SERVICE_UNAVAILABLE";
/// A bug, or something nobody foresaw.
pub(super) const INTERNAL: &str = "INTERNAL_SERVER_ERROR";

/// What a fallible field resolves to: a value, none, or an error with `null` in its place. Resolvers return it instead
/// of a `Result` because async-graphql leaves the key of a failed resolver out of the reply.
pub(super) struct Fallible<T>(pub(super) Result<Option<T>, Error>);

impl<T: OutputType> OutputType for Fallible<T> {
    fn type_name() -> std::borrow::Cow<'static, str> {
        T::type_name()
    }

    fn qualified_type_name() -> String {
        T::type_name().into_owned()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry);
        Self::qualified_type_name()
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match &self.0 {
            Ok(value) => value.resolve(ctx, field).await,
            Err(error) => {
                ctx.add_error(ctx.set_error_path(error.clone().into_server_error(field.pos)));
                Ok(Value::Null)
            }
        }
    }
}

/// An error with this code.
pub(super) fn error(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code))
}

/// A value that is not what the field wants.
pub(super) fn bad_input(message: impl Into<String>) -> Error {
    error(BAD_USER_INPUT, message)
}

/// Who asks, if they have at least this role.
///
/// # Errors
/// `UNAUTHENTICATED` or `FORBIDDEN`.
pub(super) fn require<'a>(ctx: &Context<'a>, role: Role) -> Result<&'a Principal, Error> {
    let principal = ctx
        .data_opt::<Principal>()
        .ok_or_else(|| error(UNAUTHENTICATED, "send an API key: `Authorization: Bearer <key>`"))?;
    if principal.role >= role {
        Ok(principal)
    } else {
        let needed = match role {
            Role::Reader => "reader",
            Role::Operator => "operator",
            Role::Admin => "admin",
        };
        Err(error(FORBIDDEN, format!("this needs the role {needed}; your key has another")))
    }
}

/// Logs what is not the client's to solve, once, and tells the client under which id.
pub(super) fn internal(cause: &(dyn std::error::Error + 'static)) -> Error {
    let id = uuid::Uuid::now_v7();
    let mut chain = cause.to_string();
    let mut next = cause.source();
    while let Some(source) = next {
        chain.push_str(": ");
        chain.push_str(&source.to_string());
        next = source.source();
    }
    tracing::error!(error_id = %id, error = chain, "could not answer a field");
    error(INTERNAL, format!("something went wrong on our side; it is logged as {id}"))
}

fn database(cause: &DatabaseError, whole: &(dyn std::error::Error + 'static), message: &str) -> Error {
    if cause.is_unavailable() {
        tracing::warn!(error = %whole, cause = %cause, "the database is not available");
        error(SERVICE_UNAVAILABLE, message)
    } else {
        internal(whole)
    }
}

const DATABASE_DOWN: &str = "the center's database is not available: try again in a moment";

/// An error of the index.
pub(super) fn index(cause: IndexError) -> Error {
    match &cause {
        IndexError::Query(e) | IndexError::Write(e) => database(e, &cause, DATABASE_DOWN),
        IndexError::Document(..) | IndexError::Encode(..) | IndexError::Row(_) => internal(&cause),
    }
}

/// An error of a source.
pub(super) fn source(cause: &SourceError) -> Error {
    tracing::warn!(error = %cause, "a source did not answer a field");
    let message = match cause {
        SourceError::RateLimited { .. } | SourceError::Unplugged { .. } => cause.to_string(),
        SourceError::Unreachable(key, _) => format!("{key} does not answer now; what the center has is still there"),
        SourceError::Status(key, _)
        | SourceError::Unauthorized(key)
        | SourceError::Refused { source_key: key, .. }
        | SourceError::Malformed { source_key: key, .. }
        | SourceError::TooLarge { source_key: key, .. } => {
            format!("{key} did not answer as it should; what the center has is still there")
        }
    };
    error(SOURCE_UNAVAILABLE, message)
}

/// An error of ingest.
pub(super) fn ingest(cause: IngestError) -> Error {
    match cause {
        IngestError::UnknownSource(key) => bad_input(format!("there is no source {key}")),
        IngestError::Read(e) => source(&e),
        IngestError::Store(e) => index(e),
        IngestError::Record(_, ref e) => database(e, &cause, DATABASE_DOWN),
        IngestError::Leased(_) => error(SERVICE_UNAVAILABLE, cause.to_string()),
        IngestError::Event(_) | IngestError::Row(_) => internal(&cause),
    }
}

/// An error of the catalog that is not told as a refusal.
pub(super) fn catalog(cause: CatalogError) -> Error {
    match &cause {
        CatalogError::Database(_, e) => database(e, &cause, DATABASE_DOWN),
        CatalogError::Row(_) => internal(&cause),
        _ => bad_input(cause.to_string()),
    }
}

const NOT_ASKED: &str = "the center's database is not available, so the module was not asked and nothing changed: try \
                         again with the same idempotency key";

/// An error of the operation ledger, of a read.
pub(super) fn operation(cause: OperationError) -> Error {
    ledger(cause, DATABASE_DOWN)
}

/// Why an ask could not be recorded: the module was not asked.
pub(super) fn not_asked(cause: OperationError) -> Error {
    ledger(cause, NOT_ASKED)
}

fn ledger(cause: OperationError, down: &str) -> Error {
    match &cause {
        OperationError::Record(e)
        | OperationError::Read(e)
        | OperationError::Order(IndexError::Query(e) | IndexError::Write(e)) => database(e, &cause, down),
        OperationError::Overloaded => {
            error(SERVICE_UNAVAILABLE, "too many operations are under way, so the module was not asked: try again")
        }
        OperationError::Taken => error(SERVICE_UNAVAILABLE, cause.to_string()),
        OperationError::KeyMismatch | OperationError::UnknownSource(_) | OperationError::UnknownOrder => {
            bad_input(cause.to_string())
        }
        OperationError::Order(_) | OperationError::Row(_) => internal(&cause),
    }
}
