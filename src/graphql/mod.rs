//! The one schema: orders of every source, and the actions that their owners offer.
//!
//! It owns the names, docs and shapes that clients see and the conversion into them. It refuses business rules: what is
//! allowed comes from the owner, what is stored from the index. That is so that the schema reads as one vocabulary
//! whatever stands behind it.

#[cfg(test)]
mod agreement;
mod convert;
mod error;
mod filter;
mod id;
mod limits;
mod mutation;
mod administration;
mod catalog;
mod node;
mod object;
mod operation;
mod order;
mod page;
mod query;
mod render;
mod response;
mod scalar;
mod select;
mod source;
mod subscription;
mod vocabulary;

use async_graphql::{SDLExportOptions, SchemaBuilder};

use crate::catalog::Catalog;
use crate::index::Index;
use crate::ingest::Ingest;
use crate::operation::Operations;
use crate::source::Registry;

pub use administration::Mutation;
pub use query::Query;
pub use response::response_json;
pub use subscription::Subscription;

/// The schema with everything its resolvers work with. Cheap to clone.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// What a principal may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads orders.
    Reader,
    /// Also acts on orders and sees quarantine.
    Operator,
    /// Also administers sources and keys.
    Admin,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The id of the API key, or `anonymous` on an open loopback server.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// W3C trace context of the request (`traceparent`), in its data beside the [`Principal`]; for [`crate::operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traceparent(pub String);

/// What the resolvers work with.
#[derive(Clone)]
pub struct Services {
    /// Stored orders.
    pub index: Index,
    /// Reads through and quarantine.
    pub ingest: Ingest,
    /// The ledger.
    pub operations: Operations,
    /// Registered sources, adapters and runs.
    pub catalog: Catalog,
    /// The sources.
    pub registry: Registry,
}

/// Limits of one request.
#[derive(Clone, Copy, Debug)]
pub struct GraphqlLimits {
    /// The most bytes of a query text.
    pub query_bytes_max: usize,
    /// The deepest selection.
    pub depth_max: usize,
    /// The greatest cost; a connection costs its page size times what is selected of each node.
    pub complexity_max: usize,
    /// The most aliases.
    pub aliases_max: usize,
    /// The most fields, fragments expanded.
    pub fields_max: usize,
    /// The most directives of one field.
    pub directives_max: usize,
    /// The largest page.
    pub page_size_max: u32,
    /// The most bytes of rendered orders kept in memory.
    pub cache_bytes_max: u64,
}

/// The schema over these services. A request needs a [`Principal`] among its data.
#[must_use]
pub fn schema(services: Services, limits: GraphqlLimits) -> Schema {
    builder()
        .data(source::Sources::new(&services.registry))
        .data(render::RenderCache::new(services.index.clone(), limits.cache_bytes_max))
        .data(services)
        .data(limits)
        .limit_depth(limits.depth_max)
        .limit_recursive_depth(limits.depth_max.saturating_mul(2))
        .limit_complexity(limits.complexity_max)
        .limit_directives(limits.directives_max)
        .extension(limits::Limits(limits))
        .finish()
}

/// The schema as text, as `schema/schema.graphql` has it.
#[must_use]
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by()
        .prefer_single_line_descriptions()
        .use_space_ident();
    builder().finish().sdl_with_options(options)
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query, Mutation::default(), Subscription).enable_federation().disable_suggestions()
}
