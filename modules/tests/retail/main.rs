//! The promises of the retail module, over real HTTP on real databases.

mod life;
mod shop;
