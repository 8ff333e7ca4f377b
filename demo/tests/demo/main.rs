//! The demonstration keeps its promise: what the center shows adds up to the file, to the penny.

mod book;
mod file;
mod mistakes;
mod module;
mod walk;
mod whole;
