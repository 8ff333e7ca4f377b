//! Stands in for the schema until it is here.

use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};

use crate::graphql::{GraphqlLimits, Services};

pub(crate) struct Query;

#[Object]
impl Query {
    /// Whether the center answers.
    async fn alive(&self) -> bool {
        true
    }
}

pub(crate) fn schema(services: Services, _: GraphqlLimits) -> Schema<Query, EmptyMutation, EmptySubscription> {
    Schema::build(Query, EmptyMutation, EmptySubscription).data(services).finish()
}
