//! What is promised of definitions: each mistake has its own error, and the drawings in the docs are those of what runs.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod drawing;
mod mistake;

use std::path::PathBuf;

/// A file of the documentation.
fn docs(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).join(name)
}
