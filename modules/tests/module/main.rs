//! The promises of the order modules, over real HTTP on real databases.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod asking;
mod booking;
mod changes;
mod digital;
mod edges;
mod history;
mod life;
mod model;
mod race;
mod random;
mod remote;
mod reverse;
mod shop;
mod versions;
