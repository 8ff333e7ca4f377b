//! One integration binary: what the center promises, against real databases, real HTTP and the real modules.

mod center;
mod conformance;
mod fault;
mod index;
mod operation;
mod source;
mod world;
