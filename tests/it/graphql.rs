//! The schema: what clients may ask, what they get, and what they are told instead.

use order_center::graphql::sdl;

/// `UPDATE_SCHEMA=1` writes it anew.
#[test]
fn the_published_schema_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/schema.graphql");
    let served = sdl();
    if std::env::var("UPDATE_SCHEMA").is_ok_and(|update| update == "1") {
        std::fs::write(path, &served).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(published == served, "schema/schema.graphql is stale: run the tests once with UPDATE_SCHEMA=1");
}
