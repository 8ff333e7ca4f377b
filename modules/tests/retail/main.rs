//! The promises of the retail module, over real HTTP on real databases.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod asking;
mod changes;
mod edges;
mod history;
mod life;
mod random;
mod shop;
