//! What an operator may set of a process: spans of time, amounts, or `off`.
//!
//! It owns their reading. It refuses names that the definition has not and values that are neither.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use order_contract::Amount;

/// Why a setting cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The definition has no such setting.
    #[error("there is no setting {name}; there are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The value is none.
    #[error("{name} = {value:?} is neither an ISO 8601 duration such as P14D or PT30M, nor a decimal, nor `off`")]
    Value {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Off,
    Span(TimeDelta),
    Amount(Amount),
}

/// The settings of a process by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Setting>);

impl Settings {
    /// The defaults, and over them what an operator set.
    ///
    /// # Errors
    /// [`SettingError`].
    pub fn read(defaults: &BTreeMap<String, String>, given: &BTreeMap<String, String>) -> Result<Self, SettingError> {
        if let Some(name) = given.keys().find(|name| !defaults.contains_key(*name)) {
            let known = defaults.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(SettingError::Unknown { name: name.clone(), known });
        }
        let values = defaults.iter().map(|(name, default)| {
            let value = given.get(name).unwrap_or(default);
            let setting = read(value).ok_or_else(|| SettingError::Value { name: name.clone(), value: value.clone() });
            Ok((name.clone(), setting?))
        });
        Ok(Self(values.collect::<Result<_, _>>()?))
    }

    /// A span of time; none when it is off.
    #[must_use]
    pub fn span(&self, name: &str) -> Option<TimeDelta> {
        match self.0.get(name) {
            Some(Setting::Span(span)) => Some(*span),
            _ => None,
        }
    }

    /// An amount or number; none when it is off.
    #[must_use]
    pub fn amount(&self, name: &str) -> Option<Amount> {
        match self.0.get(name) {
            Some(Setting::Amount(amount)) => Some(*amount),
            _ => None,
        }
    }

    /// The same without the named one, as if it were off.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.insert(name.into(), Setting::Off);
        self
    }
}

fn read(value: &str) -> Option<Setting> {
    if value == "off" {
        return Some(Setting::Off);
    }
    span(value).map(Setting::Span).or_else(|| value.parse().ok().map(Setting::Amount))
}

/// An ISO 8601 duration of weeks, days, hours, minutes and seconds. Months and years have no one length.
fn span(text: &str) -> Option<TimeDelta> {
    let (date, time) = text.strip_prefix('P')?.split_once('T').map_or((&text[1..], None), |(d, t)| (d, Some(t)));
    let mut seconds = 0_i64;
    let mut any = false;
    for (part, units) in
        [(date, &[('W', 604_800), ('D', 86_400)][..]), (time.unwrap_or_default(), &[('H', 3600), ('M', 60), ('S', 1)])]
    {
        let mut units = units.iter();
        let mut rest = part;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let unit = rest[end..].chars().next()?;
            let (_, length) = units.find(|(name, _)| *name == unit)?;
            let number: i64 = rest[..end].parse().ok()?;
            seconds = seconds.checked_add(number.checked_mul(*length)?)?;
            rest = &rest[end + 1..];
            any = true;
        }
    }
    if !any || time == Some("") {
        return None;
    }
    TimeDelta::try_seconds(seconds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{SettingError, Settings, span};

    #[test]
    fn durations_are_iso_8601() {
        for (text, seconds) in
            [("PT30M", 1800), ("P14D", 1_209_600), ("P1DT2H3M4S", 93_784), ("P1W", 604_800), ("PT0S", 0)]
        {
            assert_eq!(span(text).map(|s| s.num_seconds()), Some(seconds), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "P1M",
            "P1Y",
            "PT1D",
            "P1",
            "T1H",
            "PT1M1H",
            "P-1D",
            "PT1.5S",
            "1",
            "P99999999999999999999D",
        ] {
            assert_eq!(span(text), None, "{text}");
        }
    }

    #[test]
    fn settings_are_the_defaults_and_what_was_set() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
        };
        let defaults = map(&[("window", "PT30M"), ("fee", "4.95")]);
        let settings = Settings::read(&defaults, &map(&[("window", "off")])).expect("valid");
        assert_eq!((settings.span("window"), settings.amount("fee")), (None, "4.95".parse().ok()));
        let unknown = Settings::read(&defaults, &map(&[("windows", "PT1M")]));
        assert_eq!(unknown.unwrap_err().to_string(), "there is no setting windows; there are: fee, window");
        let wrong = Settings::read(&defaults, &map(&[("fee", "much")]));
        assert!(matches!(wrong, Err(SettingError::Value { .. })));
    }
}
