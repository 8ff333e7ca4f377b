//! One integration binary: what the center promises, against real databases, real HTTP and the real modules.

mod index;
mod source;
mod world;
