//! The three kinds of text with a meaning: jq expressions, templates and spans of time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// A jq expression of the adapter dialect. What it is given as input, and which variables it may use, is said where it
/// stands; every expression sees `$config`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Expression(pub String);

/// Text with `${…}` placeholders, for paths, query parameters, headers and credentials; never for bodies, which are
/// expressions. Values are percent-encoded in paths and queries. A query parameter or header of which a placeholder has
/// no value is left out.
///
/// Placeholders: `${url}` (the source's own address, in `http.base` only), `${config.NAME}`, `${secrets.NAME}` (in
/// `[auth]` only), `${id}`, `${key}`, `${input.NAME}`, `${saved.NAME}`, `${cursor.since}`, `${cursor.until}`,
/// `${page.size}`, `${page.number}`, `${page.offset}`, `${page.token}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Template(pub String);

/// A span of time: a whole number and a unit, such as `1ms`, `20s`, `5m`, `24h` or `90d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[0-9]+(us|ms|s|m|h|d)$"))]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let micros = match unit {
            "us" => Some(1),
            "ms" => Some(1_000),
            "s" => Some(1_000_000),
            "m" => Some(60 * 1_000_000),
            "h" => Some(3_600 * 1_000_000),
            "d" => Some(86_400 * 1_000_000),
            _ => None,
        };
        let span = micros.and_then(|unit: u64| number.parse::<u64>().ok()?.checked_mul(unit));
        span.filter(|micros| i64::try_from(*micros).is_ok())
            .map(|micros| Self(Duration::from_micros(micros)))
            .ok_or_else(|| format!("{text:?} is no span of time: give a number and us, ms, s, m, h or d, such as 20s"))
    }
}

impl Span {
    /// The span in microseconds.
    #[must_use]
    pub fn micros(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn spans_of_time() {
        for (text, micros) in
            [("1us", 1), ("250ms", 250_000), ("20s", 20_000_000), ("0s", 0), ("90d", 7_776_000_000_000)]
        {
            assert_eq!(Span::try_from(text.to_owned()).map(Span::micros), Ok(micros), "{text}");
        }
        for text in ["", "s", "20", "-1s", "1.5s", "20 s", "1w", "99999999999999999999s", "18446744073709551615d"] {
            assert!(Span::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
