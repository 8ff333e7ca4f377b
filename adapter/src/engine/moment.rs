//! Moments as platforms write them, in microseconds since 1970.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use jaq_json::Val;

use super::expression::text;

/// A whole number beyond this is no longer seconds but milliseconds: the year 5138.
const SECONDS_MAX: i64 = 100_000_000_000;

/// Reads a moment: RFC 3339, the same without a zone (UTC) or with a space for the T, or a whole number of seconds or
/// milliseconds since 1970.
pub(super) fn read(value: &Val) -> Option<i64> {
    let shown = text(value)?;
    let shown = shown.trim();
    if let Ok(number) = shown.parse::<i64>() {
        let micros = if number.abs() < SECONDS_MAX { 1_000_000 } else { 1_000 };
        return number.checked_mul(micros);
    }
    let zoned =
        || DateTime::parse_from_rfc3339(shown).or_else(|_| DateTime::parse_from_str(shown, "%Y-%m-%dT%H:%M:%S%.f%z"));
    if let Ok(moment) = zoned() {
        return Some(moment.timestamp_micros());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|pattern| NaiveDateTime::parse_from_str(shown, pattern).ok())
        .map(|moment| moment.and_utc().timestamp_micros())
}

/// Reads an HTTP date.
pub(super) fn read_http(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc2822(text).ok().map(|moment| moment.timestamp_micros())
}

/// A moment for people.
pub(super) fn shown(micros: i64) -> String {
    time(micros).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// How a platform wants moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Rfc3339(SecondsFormat),
    Unix,
    UnixMillis,
    Pattern(String),
}

impl Format {
    /// The format of that name, or the `strftime` pattern.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "rfc3339" => Self::Rfc3339(SecondsFormat::Secs),
            "rfc3339_ms" => Self::Rfc3339(SecondsFormat::Millis),
            "rfc3339_us" => Self::Rfc3339(SecondsFormat::Micros),
            "unix" => Self::Unix,
            "unix_ms" => Self::UnixMillis,
            pattern if !pattern.contains('%') || StrftimeItems::new(pattern).any(|item| item == Item::Error) => {
                return Err(format!(
                    "{pattern:?} is no format of moments: rfc3339, rfc3339_ms, rfc3339_us, unix, unix_ms or a pattern \
                     such as %Y-%m-%dT%H:%M:%S"
                ));
            }
            pattern => Self::Pattern(pattern.to_owned()),
        })
    }

    pub(super) fn write(&self, micros: i64) -> Val {
        let number = |number: i64| Val::from(isize::try_from(number).unwrap_or_default());
        match self {
            Self::Rfc3339(digits) => Val::from(time(micros).to_rfc3339_opts(*digits, true)),
            Self::Unix => number(micros.div_euclid(1_000_000)),
            Self::UnixMillis => number(micros.div_euclid(1_000)),
            Self::Pattern(pattern) => Val::from(time(micros).format(pattern).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, read, read_http};
    use jaq_json::Val;

    #[test]
    fn moments_are_read_however_platforms_write_them() {
        for (text, micros) in [
            ("2024-03-01T10:20:30Z", Some(1_709_288_430_000_000)),
            ("2024-03-01T10:20:30.5Z", Some(1_709_288_430_500_000)),
            ("2024-03-01T12:20:30+02:00", Some(1_709_288_430_000_000)),
            ("2024-03-01T12:20:30+0200", Some(1_709_288_430_000_000)),
            ("2024-03-01T10:20:30", Some(1_709_288_430_000_000)),
            ("2024-03-01 10:20:30", Some(1_709_288_430_000_000)),
            ("1709288430", Some(1_709_288_430_000_000)),
            ("1709288430123", Some(1_709_288_430_123_000)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(read(&Val::from(text.to_owned())), micros, "{text}");
        }
        assert_eq!(read(&Val::Null), None);
        assert_eq!(read_http("Sun, 22 Nov 2026 08:57:28 GMT"), Some(1_795_337_848_000_000));
    }

    #[test]
    fn moments_are_written_as_the_platform_wants_them() {
        for (format, written) in [
            ("rfc3339", "\"2024-03-01T10:20:30Z\""),
            ("rfc3339_ms", "\"2024-03-01T10:20:30.500Z\""),
            ("unix", "1709288430"),
            ("unix_ms", "1709288430500"),
            ("%Y-%m-%dT%H:%M:%S", "\"2024-03-01T10:20:30\""),
        ] {
            let format = Format::parse(format).expect(format);
            assert_eq!(format.write(1_709_288_430_500_000).to_string(), written);
        }
        for format in ["rfc", "iso", "%Q"] {
            assert!(Format::parse(format).is_err(), "{format}");
        }
    }
}
