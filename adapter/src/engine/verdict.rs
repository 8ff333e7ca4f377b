//! What an answer means: the manifest's error rules, the first that matches, and what a bare HTTP status means.

use jaq_json::Val;

use super::EngineError;
use super::exchange::Exchange;
use super::expression::{Bindings, Program};
use crate::manifest::{Class, ErrorRule};

/// What an error rule said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) class: Class,
    /// A code in upper snake case.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) wait_s: Option<u64>,
}

/// Compiled error rules.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    when: Program,
    class: Class,
    code: Option<Program>,
    message: Option<Program>,
    wait_s: Option<Program>,
}

impl Rules {
    pub(crate) fn compile(place: &str, rules: &[ErrorRule]) -> Result<Self, EngineError> {
        let compiled = rules.iter().enumerate().map(|(i, rule)| {
            let program = |name: &str, expression| {
                Program::compile(&format!("{place}[{i}].{name}"), expression).map_err(EngineError::Expression)
            };
            Ok(Rule {
                when: program("when", &rule.when)?,
                class: rule.class,
                code: rule.code.as_ref().map(|e| program("code", e)).transpose()?,
                message: rule.message.as_ref().map(|e| program("message", e)).transpose()?,
                wait_s: rule.wait_s.as_ref().map(|e| program("wait_s", e)).transpose()?,
            })
        });
        compiled.collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// What the first rule that matches says; none when none does.
    pub(crate) fn judge(&self, exchange: &Exchange, value: &Val, bindings: &Bindings) -> Option<Verdict> {
        let rule = self.0.iter().find(|rule| rule.when.holds(value, bindings))?;
        let said = |program: &Option<Program>| program.as_ref()?.text(value, bindings).ok().flatten();
        Some(Verdict {
            class: rule.class,
            code: said(&rule.code).map_or_else(|| "SOURCE_REJECTED".to_owned(), |code| code_of(&code)),
            message: said(&rule.message).unwrap_or_else(|| format!("the platform answered {}", exchange.status)),
            wait_s: rule
                .wait_s
                .as_ref()
                .and_then(|program| program.whole(value, bindings))
                .or_else(|| exchange.retry_after_s()),
        })
    }
}

/// A platform's code in upper snake case, of at most 64 characters.
fn code_of(native: &str) -> String {
    let upper = native.chars().take(64).map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    upper.collect()
}
