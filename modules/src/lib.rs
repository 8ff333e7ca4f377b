//! Reference order modules: real small order systems with their own database, reached over HTTP only.
//!
//! Each owns its orders, their state machine and what they move: stock and money. Each refuses what its process does
//! not allow, with a typed reason that `availableActions` told before. They exist so that the center is built against
//! owners that really decide, and as an example for who writes a module: everything goes through the Order Module
//! Protocol of `order-contract`.

mod http;
mod ledger;
pub mod process;
pub mod retail;
mod store;
mod webhook;

pub use ledger::{Movement, StockReason};
