//! The demonstration: three order modules behind one center, retail with the orders of real invoices.
//!
//! It owns reading the data set, filling the modules and proving that the center's sums are the file's. It refuses to
//! reach into the center: everything it shows comes over the protocol and over GraphQL, as for any other user.

pub mod book;
pub mod center;
pub mod command;
pub mod country;
pub mod folder;
pub mod invoices;
pub mod ledger;
pub mod module;
pub mod orders;
pub mod report;
pub mod run;
