//! Routes, who may use them and how much: everything between a socket and the schema.
//!
//! It owns the GraphQL-over-HTTP handler, WebSockets, webhooks in, API keys, health and metrics. It refuses what is
//! oversized, unauthenticated or ambiguous before any resolver runs. That is so that the schema never meets a request
//! it has to distrust.
