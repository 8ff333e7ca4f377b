//! Adapters as data: a folder with a manifest, a jq mapping and fixtures turns one platform's records into canonical
//! orders.
//!
//! It owns the package format and the dialect (jq through jaq, exact `dec_*` decimals, one prelude of our own). It
//! refuses binary floats where an amount stands, access to the world outside the record, and anything but exactly one
//! order per record. That is so that a business line writes a mapping without Rust and still cannot lose a digit.

mod decimal;
mod program;
mod package;
mod fixture;

pub use fixture::{FixtureReport, check_fixtures};
pub use package::{Manifest, Package, PackageError, Setting, builtin_names};
pub use program::{CompileError, MapError, Mapping};
