//! Adapters as data: a folder with a manifest, a jq mapping and fixtures says how one platform is read and asked, and
//! turns its records into canonical orders.
//!
//! It owns the package format, the manifest language and its engine, and the dialect (jq through jaq, exact `dec_*`
//! decimals, one prelude of our own). It opens no connection. It refuses binary floats where an amount stands, access to
//! the world outside the record, and anything but exactly one order per record. That is so that a business line connects
//! a platform without Rust and still cannot lose a digit.

mod decimal;
mod native;
mod objects;
mod program;
mod value;
mod xml;
mod origin;
pub mod manifest;
mod package;
pub mod engine;
mod fixture;
mod case;
pub mod coverage;
pub mod graphql;

pub use case::{Answer, CaseReport, cases, check_cases, list_case};
pub use fixture::{FixtureReport, Mapped, check_fixture, check_fixtures, fixtures};
pub use manifest::{Manifest, Setting};
pub use origin::origins;
pub use package::{Package, PackageError, builtin_names, runs};
pub use program::{CompileError, MapError, Mapping, check_depth};
pub use value::Value;
pub use xml::json_of_xml;
