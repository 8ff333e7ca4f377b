//! One integration binary: what the center promises, against real databases, real HTTP and the real modules.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

mod accepted;
mod adapter;
mod architecture;
mod bench;
mod catalog;
mod center;
mod conformance;
mod crash;
mod fault;
mod graphql;
mod http;
mod index;
mod ingest;
mod manifest;
mod mapping;
mod operation;
mod shelf;
mod source;
mod world;
