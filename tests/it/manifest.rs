//! Adapters against platforms: real HTTP, orders that move while they are read, answers that are lost, forged webhooks.

mod acting;
mod isolation;
mod proving;
mod reading;
mod refusals;
mod registered;
mod shop;
mod tool;
mod webhooks;
mod whole;
