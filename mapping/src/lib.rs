//! Mapping as data: a jq program turns one record of a platform into one canonical order.
//!
//! It owns the dialect (jq through jaq, exact `dec_*` decimals, one prelude of our own) and the way of a record through
//! it. It refuses binary floats where an amount stands, access to the environment, and anything but exactly one result.
//! That is so that a business line writes a mapping without Rust and still cannot lose a digit.

mod decimal;
mod program;

pub use program::{CompileError, MapError, Mapping};
