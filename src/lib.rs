//! Order Center: one GraphQL endpoint over every order system a company runs.
//!
//! The modules stand in reading order; each imports only those above it.

pub mod config;
pub mod conformance;
pub mod database;
pub mod graphql;
pub mod http;
pub mod index;
pub mod ingest;
pub mod operation;
pub mod serve;
pub mod source;
