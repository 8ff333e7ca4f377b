//! The demonstration: real invoices become orders of a real order module, and the center shows them.
//!
//! It owns reading the data set, filling the module and proving that the center's sums are the file's. It refuses to
//! reach into the center: everything it shows comes over the protocol and over GraphQL, as for any other user.

pub mod center;
pub mod country;
pub mod folder;
pub mod invoices;
pub mod ledger;
pub mod module;
pub mod orders;
pub mod report;
pub mod run;
