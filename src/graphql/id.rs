//! Global ids: each begins with what it names, so that `node` knows where to look.

use async_graphql::ID;
use order_contract::{OrderId, SourceKey};

/// What a global id names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GlobalId {
    /// An order.
    Order(OrderId),
    /// A source.
    Source(SourceKey),
    /// An operation, by the ledger's id.
    Operation(String),
}

impl GlobalId {
    /// Parses an id; none where the center never issued it.
    pub(super) fn parse(id: &str) -> Option<Self> {
        if let Some(key) = id.strip_prefix("src_") {
            SourceKey::try_new(key).ok().map(Self::Source)
        } else if let Some(operation) = id.strip_prefix("op_") {
            (!operation.is_empty() && operation.len() <= 64).then(|| Self::Operation(operation.to_owned()))
        } else {
            OrderId::parse(id).ok().map(Self::Order)
        }
    }
}

/// The id of a source.
pub(super) fn source(key: &SourceKey) -> ID {
    ID(format!("src_{key}"))
}

/// The id of an operation.
pub(super) fn operation(id: &str) -> ID {
    ID(format!("op_{id}"))
}

/// The id of a run.
pub(super) fn run(id: &str) -> ID {
    ID(format!("run_{id}"))
}

/// The catalog's id of a run; none where the center never issued it.
pub(super) fn parse_run(id: &str) -> Option<&str> {
    id.strip_prefix("run_").filter(|id| !id.is_empty() && id.len() <= 64)
}

#[cfg(test)]
mod tests {
    use super::{GlobalId, operation, source};
    use order_contract::SourceKey;

    #[test]
    fn an_id_says_what_it_names() {
        let key = SourceKey::try_new("retail").expect("a key");
        assert_eq!(GlobalId::parse(&source(&key)), Some(GlobalId::Source(key)));
        assert_eq!(GlobalId::parse(&operation("42")), Some(GlobalId::Operation("42".into())));
        assert!(matches!(GlobalId::parse("ord_retail_1"), Some(GlobalId::Order(_))));
        for foreign in ["", "src_", "op_", "ord_retail", "42", "src_RETAIL"] {
            assert_eq!(GlobalId::parse(foreign), None, "{foreign}");
        }
    }
}
