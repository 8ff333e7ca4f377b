//! The manifest's jq expressions, compiled, and the variables they see.

use jaq_json::Val;

use crate::manifest::Expression;
use crate::program::{CompileError, MapError, Mapping};

/// The variables of every expression, in the order of [`Bindings::values`]. One that does not apply is null.
const VARIABLES: [&str; 9] = ["$config", "$id", "$ids", "$key", "$input", "$before", "$saved", "$cursor", "$page"];

/// What an expression sees besides its input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings {
    pub(crate) config: Val,
    pub(crate) id: Val,
    pub(crate) ids: Val,
    pub(crate) key: Val,
    pub(crate) input: Val,
    pub(crate) before: Val,
    pub(crate) saved: Val,
    pub(crate) cursor: Val,
    pub(crate) page: Val,
}

impl Bindings {
    fn values(&self) -> [Val; 9] {
        let Self { config, id, ids, key, input, before, saved, cursor, page } = self.clone();
        [config, id, ids, key, input, before, saved, cursor, page]
    }

    /// The value behind a placeholder such as `cursor.since`; none when it is null. A secret is never here.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (root, field) = name.split_once('.').map_or((name, None), |(root, field)| (root, Some(field)));
        let value = match root {
            "config" => &self.config,
            "id" => &self.id,
            "key" => &self.key,
            "input" => &self.input,
            "saved" => &self.saved,
            "cursor" => &self.cursor,
            "page" => &self.page,
            _ => return None,
        };
        text(match field {
            Some(field) => member(value, field)?,
            None => value,
        })
    }
}

/// A field of an object.
pub(crate) fn member<'a>(value: &'a Val, field: &str) -> Option<&'a Val> {
    match value {
        Val::Obj(fields) => fields.get(&Val::from(field.to_owned())),
        _ => None,
    }
}

/// A scalar as text: a text itself, a number with its digits. None for null, lists and objects.
pub(crate) fn text(value: &Val) -> Option<String> {
    match value {
        Val::TStr(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Val::Bool(_) | Val::Num(_) => Some(value.to_string()),
        Val::Null | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => None,
    }
}

/// Whether a value counts as true: as in jq, all but `null` and `false` do.
fn is_true(value: &Val) -> bool {
    !matches!(value, Val::Null | Val::Bool(false))
}

/// One compiled expression.
#[derive(Debug)]
pub(crate) struct Program {
    place: String,
    mapping: Mapping,
}

impl Program {
    /// Compiles the expression that stands at `place` of the manifest.
    pub(crate) fn compile(place: &str, expression: &Expression) -> Result<Self, CompileError> {
        let mapping = Mapping::compile_with(&format!("adapter.toml {place}"), &expression.0, &VARIABLES)?;
        Ok(Self { place: place.to_owned(), mapping })
    }

    /// The one result; null when there is none.
    pub(crate) fn value(&self, input: &Val, bindings: &Bindings) -> Result<Val, MapError> {
        let mut results = self.mapping.values(input.clone(), bindings.values()).map_err(|error| match error {
            MapError::Program(reason) => MapError::Program(format!("{}: {reason}", self.place)),
            other => other,
        })?;
        match results.len() {
            0 => Ok(Val::Null),
            1 => Ok(results.swap_remove(0)),
            _ => Err(MapError::Program(format!("{}: gave more than one result", self.place))),
        }
    }

    /// The one result as text; none when it is null.
    pub(crate) fn text(&self, input: &Val, bindings: &Bindings) -> Result<Option<String>, MapError> {
        self.value(input, bindings).map(|value| text(&value))
    }

    /// The one result as an id. What jq's `tostring` makes of nothing is none.
    pub(crate) fn id(&self, input: &Val, bindings: &Bindings) -> Result<Option<String>, MapError> {
        Ok(self.text(input, bindings)?.filter(|id| !id.is_empty() && id != "null"))
    }

    /// The one result as a whole number; none when it is anything else.
    pub(crate) fn whole(&self, input: &Val, bindings: &Bindings) -> Option<u64> {
        let shown = self.text(input, bindings).ok().flatten()?;
        shown.split('.').next().unwrap_or_default().parse().ok()
    }

    /// Whether it holds. An expression that fails says nothing, so it does not.
    pub(crate) fn holds(&self, input: &Val, bindings: &Bindings) -> bool {
        self.value(input, bindings).is_ok_and(|value| is_true(&value))
    }

    /// The items of the array it gives; none when it gives no array.
    pub(crate) fn items(&self, input: &Val, bindings: &Bindings) -> Result<Option<Vec<Val>>, MapError> {
        Ok(match self.value(input, bindings)? {
            Val::Arr(items) => Some(items.as_ref().clone()),
            _ => None,
        })
    }
}
