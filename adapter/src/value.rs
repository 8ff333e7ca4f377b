//! A JSON value between programs: parsed once, run through several, written once.

use std::sync::Arc;

use jaq_json::Val;

use crate::program::{MapError, Mapping, parse, to_json};

/// A JSON value as the programs see it: numbers keep the literal they were written with.
#[derive(Clone, Debug)]
pub struct Value(pub(crate) Val);

impl Value {
    /// Parses a document.
    ///
    /// # Errors
    /// [`MapError::Input`] when it is not JSON or nested too deeply.
    pub fn parse(json: &[u8]) -> Result<Self, MapError> {
        parse(json).map(Self)
    }

    /// Whether two are the same list or object in memory, not merely equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Val::Arr(a), Val::Arr(b)) => Arc::ptr_eq(a, b),
            (Val::Obj(a), Val::Obj(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The values of a list; none when it is none.
    #[must_use]
    pub fn items(&self) -> Option<Vec<Self>> {
        match &self.0 {
            Val::Arr(items) => Some(items.iter().cloned().map(Self).collect()),
            _ => None,
        }
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// [`MapError::Float`] where jq arithmetic made a binary float.
    pub fn to_json(&self) -> Result<Vec<u8>, MapError> {
        to_json(&self.0)
    }
}

impl Mapping {
    /// Every result of the program, one by one.
    pub fn results(&self, input: Value, config: &Value) -> impl Iterator<Item = Result<Value, MapError>> + '_ {
        self.stream(input.0, [config.0.clone()]).map(|result| result.map(Value))
    }

    /// The one result of the program for this record.
    ///
    /// # Errors
    /// [`MapError`], also when there is none or more than one.
    pub fn one(&self, record: Value, config: &Value) -> Result<Value, MapError> {
        let mut results = self.results(record, config);
        let first = results.next().ok_or(MapError::Results("none"))??;
        if results.next().is_some() { Err(MapError::Results("more than one")) } else { Ok(first) }
    }
}
