//! Identifiers: each is parsed once where it enters and cannot be mistaken for another.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The source key is not of the form its users type.
    #[error("a source key is 1 to 40 characters of a-z, 0-9 and '-', beginning with a letter; got {0:?}")]
    SourceKey(String),
    /// The order id in the source is empty, too long or has control characters.
    #[error("an order id of a source is 1 to 200 characters without control characters, and not '.' or '..'")]
    SourceOrderId,
    /// The idempotency key is empty, too long or not printable ASCII.
    #[error("an idempotency key is 1 to 200 printable ASCII characters, and not '.' or '..'")]
    IdempotencyKey,
    /// The global order id was not issued by the center.
    #[error("not an order id of this center")]
    OrderId,
    /// The version is negative or larger than a JSON number can carry exactly.
    #[error("a version is a whole number from 0 to 9007199254740991")]
    Version,
    /// The action name is not of the form its users type.
    #[error("an action name is 1 to 64 characters of a-z, 0-9 and '_', beginning with a letter; got {0:?}")]
    ActionName(String),
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $valid:expr, $error:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// [`IdError`] names the rule that the text breaks.
            pub fn try_new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok(Self(text)) } else { let error: fn(String) -> IdError = $error; Err(error(text)) }
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::try_new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}
pub(crate) use text_id;

text_id!(
    /// The key of a source as operators type it (`retail-eu`). It never changes: every global order id contains it.
    SourceKey,
    |t| t.len() <= 40
        && t.starts_with(|c: char| c.is_ascii_lowercase())
        && t.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
    IdError::SourceKey
);

text_id!(
    /// The id an order has in the module that owns it, verbatim.
    SourceOrderId,
    // A URL cannot carry "." and ".." as a path segment, not even escaped.
    |t| !matches!(t, "" | "." | "..") && t.len() <= 200 && !t.chars().any(char::is_control),
    |_| IdError::SourceOrderId
);

text_id!(
    /// The key under which an action takes effect at most once in a module.
    IdempotencyKey,
    |t| !matches!(t, "" | "." | "..") && t.len() <= 200 && t.bytes().all(|b| b.is_ascii_graphic()),
    |_| IdError::IdempotencyKey
);

/// The global id of an order: derived from the source key and the order's id there, so ingest needs no look-up and a
/// re-index keeps every id. Clients treat its text as opaque.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId {
    source: SourceKey,
    source_order_id: SourceOrderId,
}

impl OrderId {
    /// The id of this source's order.
    #[must_use]
    pub fn new(source: SourceKey, source_order_id: SourceOrderId) -> Self {
        Self { source, source_order_id }
    }

    /// Parses the text a client sends back.
    ///
    /// # Errors
    /// [`IdError::OrderId`] when the center never issued such an id.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (source, hex) = text.strip_prefix("ord_").and_then(|rest| rest.split_once('_')).ok_or(IdError::OrderId)?;
        let bytes = unescape(hex).ok_or(IdError::OrderId)?;
        let id = Self {
            source: SourceKey::try_new(source).map_err(|_| IdError::OrderId)?,
            source_order_id: SourceOrderId::try_new(bytes).map_err(|_| IdError::OrderId)?,
        };
        // One order has one id: an escaped spelling of a plain character is not a second one.
        if id.to_string() == text { Ok(id) } else { Err(IdError::OrderId) }
    }

    /// The source that owns the order.
    #[must_use]
    pub fn source(&self) -> &SourceKey {
        &self.source
    }

    /// The order's id in its source.
    #[must_use]
    pub fn source_order_id(&self) -> &SourceOrderId {
        &self.source_order_id
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ord_{}_", self.source)?;
        for byte in self.source_order_id.as_str().bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'-' {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "~{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'~' {
            let (high, low) = (char::from(rest.next()?).to_digit(16)?, char::from(rest.next()?).to_digit(16)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The version an order has in its source: a whole number that grows with every change of that order. Modules count
/// changes; platforms without a counter use their modification time in microseconds. Kept within 2^53 − 1 so that
/// every JSON implementation carries it exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "i64", into = "i64")]
#[schemars(with = "u64")]
pub struct SourceVersion(i64);

impl SourceVersion {
    /// Checks the range.
    ///
    /// # Errors
    /// [`IdError::Version`] outside 0 ..= 2^53 − 1.
    pub fn try_new(version: i64) -> Result<Self, IdError> {
        if (0..=9_007_199_254_740_991).contains(&version) { Ok(Self(version)) } else { Err(IdError::Version) }
    }

    /// The version as a number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for SourceVersion {
    type Error = IdError;
    fn try_from(version: i64) -> Result<Self, IdError> {
        Self::try_new(version)
    }
}

impl From<SourceVersion> for i64 {
    fn from(version: SourceVersion) -> Self {
        version.0
    }
}

impl fmt::Display for SourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{OrderId, SourceKey, SourceOrderId};
    use proptest::prelude::{prop_assert_eq, proptest};

    fn order_id(source: &str, id: &str) -> OrderId {
        OrderId::new(SourceKey::try_new(source).expect("a key"), SourceOrderId::try_new(id).expect("an id"))
    }

    #[test]
    fn a_global_id_is_readable_for_plain_ids_and_safe_for_others() {
        assert_eq!(order_id("retail", "536365").to_string(), "ord_retail_536365");
        assert_eq!(order_id("shop-eu", "gid://a_b").to_string(), "ord_shop-eu_gid~3a~2f~2fa~5fb");
    }

    #[test]
    fn a_foreign_or_respelled_id_is_refused() {
        for text in
            ["", "ord_", "ord_retail", "ord_retail_", "ord_Retail_1", "ord_retail_~31", "ord_retail_~zz", "x_retail_1"]
        {
            assert!(OrderId::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_id_survives_its_text(id in "[^\\p{Cc}.][^\\p{Cc}]{0,49}") {
            let id = order_id("retail-eu", &id);
            prop_assert_eq!(OrderId::parse(&id.to_string()).expect("its own text"), id);
        }
    }
}
