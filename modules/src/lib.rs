//! Reference order modules: real small order systems with their own database, reached over HTTP only.
//!
//! Each owns its orders, their state machine and what they move: stock, coupons, points and money. Each refuses what its
//! process does not allow, with a typed reason that `availableActions` told before. They exist so that the center is
//! built against owners that really decide, and as an example for who writes a module: everything goes through the
//! Order Module Protocol of `order-contract`.

pub mod process;
pub mod service;
mod order;
pub mod pricing;
mod step;
mod line;
mod store;
mod saga;
mod webhook;
mod module;
mod import;
mod http;
pub mod command;

pub use import::{ImportReport, ImportedLine, ImportedOrder, ImportedReturn, ImportedState};
pub use line::Line;
pub use module::{
    Clock, Config, Interrupt, Module, ModuleError, Point, RemoteService, Retry, StoreError, WebhookTarget,
    check_process, process,
};
