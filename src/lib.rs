//! Order Center: one GraphQL endpoint over every order system a company runs.
//!
//! The modules stand in reading order: the way of an order from its owner to a client and back. Each imports only those
//! above it, and a test holds them to it.

pub mod database;
pub mod mapping;
pub mod source;
pub mod conformance;
pub mod index;
pub mod ingest;
pub mod operation;
pub mod catalog;
pub mod upkeep;
pub mod graphql;
pub mod config;
pub mod http;
pub mod serve;
pub mod bench;
pub mod command;
