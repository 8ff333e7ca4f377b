//! The manifest's jq expressions, compiled, and the variables they see.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use jaq_json::Val;

use crate::decimal::NOT_DECIMAL;
use crate::manifest::Expression;
use crate::program::{CompileError, MapError, Mapping};
use crate::value::Value;

/// Evaluates expressions elsewhere: in a process that can be killed. An expression that anybody may have written must
/// not run where everybody's orders are.
pub trait Evaluator: Debug + Send + Sync {
    /// Every result of an expression, which stands at `place` of the manifest. Its variables come in the order that
    /// [`Mapping::compile_expression`] has them.
    ///
    /// # Errors
    /// [`MapError`]; [`MapError::Stopped`] when it went beyond a limit.
    fn evaluate(&self, place: &str, program: &str, input: &Value, variables: &[Value]) -> Result<Vec<Value>, MapError>;
}

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
    /// Where the expressions run; in this process when there is none.
    pub(crate) elsewhere: Option<Elsewhere>,
}

/// An evaluator, and the first expression that it had to stop. Clones share both.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    evaluator: Arc<dyn Evaluator>,
    stopped: Arc<OnceLock<String>>,
}

impl Elsewhere {
    pub(crate) fn new(evaluator: &Arc<dyn Evaluator>) -> Self {
        Self { evaluator: evaluator.clone(), stopped: Arc::default() }
    }
}

impl Bindings {
    fn values(&self) -> [Val; 9] {
        let Self { config, id, ids, key, input, before, saved, cursor, page, elsewhere: _ } = self.clone();
        [config, id, ids, key, input, before, saved, cursor, page]
    }

    /// Which expression was stopped, and why. What was asked of it is then not known: neither that it holds nor that it
    /// does not.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.elsewhere.as_ref()?.stopped.get().map(String::as_str)
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
pub(super) fn is_true(value: &Val) -> bool {
    !matches!(value, Val::Null | Val::Bool(false))
}

impl Mapping {
    /// Compiles an expression of a manifest on the stack of the caller: for a process that may die of it.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn compile_expression(place: &str, program: &str) -> Result<Self, CompileError> {
        Self::compile_on_this_stack(place, program, &VARIABLES)
    }

    /// Every result of an expression.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn evaluate(&self, input: Value, variables: Vec<Value>) -> Result<Vec<Value>, MapError> {
        let results = self.values(input.0, variables.into_iter().map(|value| value.0))?;
        Ok(results.into_iter().map(Value).collect())
    }
}

/// One compiled expression.
#[derive(Debug)]
pub(crate) struct Program {
    place: String,
    text: String,
    mapping: Mapping,
}

impl Program {
    /// Compiles the expression that stands at `place` of the manifest.
    pub(crate) fn compile(place: &str, expression: &Expression) -> Result<Self, CompileError> {
        let mapping = Mapping::compile_with(&format!("adapter.toml {place}"), &expression.0, &VARIABLES)?;
        Ok(Self { place: place.to_owned(), text: expression.0.clone(), mapping })
    }

    /// The one result; null when there is none.
    pub(crate) fn value(&self, input: &Val, bindings: &Bindings) -> Result<Val, MapError> {
        let mut results = self.results(input, bindings)?;
        match results.len() {
            0 => Ok(Val::Null),
            1 => Ok(results.swap_remove(0)),
            _ => Err(self.wrong("gave more than one result")),
        }
    }

    /// A sentence that says what is wrong, or none. It must say one or the other: what gives nothing has checked nothing.
    pub(crate) fn objection(&self, input: &Val, bindings: &Bindings) -> Result<Option<String>, MapError> {
        match self.results(input, bindings)?.as_slice() {
            [Val::Null] => Ok(None),
            [sentence @ Val::TStr(_)] => Ok(text(sentence)),
            _ => Err(self.wrong("gave neither a sentence nor null")),
        }
    }

    fn wrong(&self, what: &str) -> MapError {
        MapError::Program(format!("{}: {what}", self.place))
    }

    fn results(&self, input: &Val, bindings: &Bindings) -> Result<Vec<Val>, MapError> {
        let results = match &bindings.elsewhere {
            None => self.mapping.values(input.clone(), bindings.values()),
            Some(elsewhere) => {
                let variables = bindings.values().map(Value);
                let input = Value(input.clone());
                let results = elsewhere.evaluator.evaluate(&self.place, &self.text, &input, &variables);
                results.map(|results| results.into_iter().map(|value| value.0).collect())
            }
        };
        let results = results.map_err(|error| match error {
            MapError::Program(reason) => self.wrong(&reason),
            MapError::Decimal(value) => self.wrong(&format!("{value}{NOT_DECIMAL}")),
            MapError::Stopped(reason) => MapError::Stopped(format!("{}: {reason}", self.place)),
            other => other,
        });
        if let (Err(MapError::Stopped(reason)), Some(elsewhere)) = (&results, &bindings.elsewhere) {
            // The first of several is enough.
            let _ = elsewhere.stopped.set(reason.clone());
        }
        results
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
