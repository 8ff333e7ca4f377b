//! The promises of the supporting services, embedded and over real HTTP, on real databases.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod conformance;
mod doors;
mod gateway;
mod house;
mod migration;
mod pricing;
mod random;
