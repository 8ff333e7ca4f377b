//! What every mapping does all the time, natively: jq defines these words in jq, where each takes a hundred times longer.

use jaq_core::native::{Filter, bome, v};
use jaq_core::{DataT, Error, RunPtr, ValR};
use jaq_json::{Map, Num, Val};

use crate::decimal::{is_positive, is_zero, not_negative};

type Fun<D> = Filter<RunPtr<D>>;

/// Definitions of jq's library that are replaced, by name; none of them takes an argument.
pub(crate) const REPLACED: &[&str] =
    &["type", "null", "true", "false", "not", "tostring", "to_entries", "from_entries"];

/// The native functions: jq's own of [`REPLACED`] with the meaning they have there, then those of the dialect.
pub(crate) fn functions<D: for<'a> DataT<V<'a> = Val>>() -> Vec<Fun<D>> {
    vec![
        ("type", v(0), |cv| bome(Ok(text(type_of(&cv.1))))),
        ("null", v(0), |_| bome(Ok(Val::Null))),
        ("true", v(0), |_| bome(Ok(Val::Bool(true)))),
        ("false", v(0), |_| bome(Ok(Val::Bool(false)))),
        ("not", v(0), |cv| bome(Ok(Val::Bool(matches!(cv.1, Val::Null | Val::Bool(false)))))),
        ("tostring", v(0), |cv| bome(Ok(tostring(cv.1)))),
        ("to_entries", v(0), |cv| bome(to_entries(&cv.1))),
        ("from_entries", v(0), |cv| bome(from_entries(&cv.1))),
        // compact: an object without the keys whose value is null; an absent optional field means "the source does not say".
        ("compact", v(0), |cv| bome(without(cv.1, |value| matches!(value, Val::Null)))),
        // present: without empty lists, objects and texts too.
        ("present", v(0), |cv| bome(without(cv.1, is_empty))),
        // text: a text without the space around it, and a number or truth value as one; null for blanks, lists and objects.
        ("text", v(0), |cv| bome(Ok(said(cv.1)))),
        // cut($n): a text of so many characters at most; anything else as it is.
        ("cut", v(1), |mut cv| {
            let most = cv.0.pop_var();
            bome(cut(cv.1, &most))
        }),
        // join_present($by): the texts of a list that say something, joined; null when none does.
        ("join_present", v(1), |mut cv| {
            let by = cv.0.pop_var();
            bome(join_present(&cv.1, &by))
        }),
        // object: an object itself, and one without fields for anything else.
        ("object", v(0), |cv| bome(Ok(if matches!(cv.1, Val::Obj(_)) { cv.1 } else { Val::obj(Map::default()) }))),
        // list: the objects of a list, as a list; an empty one for anything else.
        ("list", v(0), |cv| bome(Ok(list(cv.1)))),
        // or_zero: "0" for null.
        ("or_zero", v(0), |cv| bome(Ok(if matches!(cv.1, Val::Null) { text("0") } else { cv.1 }))),
        // not_negative: "0" for an amount below zero.
        ("not_negative", v(0), |cv| bome(not_negative(cv.1))),
        // blank_to_null: null for a blank text, the trimmed text otherwise.
        ("blank_to_null", v(0), |cv| bome(Ok(blank_to_null(cv.1)))),
        // lookup($table): the value under a native word, or UNKNOWN: a state nobody mapped is shown, never guessed.
        ("lookup", v(1), |mut cv| {
            let table = cv.0.pop_var();
            bome(lookup(cv.1, &table))
        }),
        // utc: RFC 3339 from the forms platforms send; without a zone it is UTC, a space stands for the T. Null stays null.
        ("utc", v(0), |cv| bome(trimmed(&cv.1).map(|t| t.and_then(utc).map_or(Val::Null, Val::from)))),
        // is_time: whether a text is a date, or a date and a time.
        ("is_time", v(0), |cv| bome(Ok(Val::Bool(matches!(&cv.1, Val::TStr(t) if is_time(t)))))),
        // micros: microseconds since 1970 of a time: the version of platforms without a counter. 0 when there is none.
        ("micros", v(0), |cv| bome(trimmed(&cv.1).and_then(micros))),
        // country_code: a two-letter country code in upper case; null for anything else.
        ("country_code", v(0), |cv| bome(Ok(country_code(&cv.1)))),
        // currency_code: three capital letters; null for anything else.
        ("currency_code", v(0), |cv| bome(Ok(currency_code(cv.1)))),
        ("is_zero", v(0), |cv| bome(is_zero(&cv.1))),
        ("is_positive", v(0), |cv| bome(is_positive(&cv.1))),
    ]
}

fn error(message: impl std::fmt::Display) -> Error<Val> {
    Error::str(message)
}

fn text(text: &'static str) -> Val {
    Val::utf8_str(text.as_bytes())
}

fn type_of(value: &Val) -> &'static str {
    match value {
        Val::Null => "null",
        Val::Bool(_) => "boolean",
        Val::Num(_) => "number",
        Val::TStr(_) | Val::BStr(_) => "string",
        Val::Arr(_) => "array",
        Val::Obj(_) => "object",
    }
}

fn tostring(value: Val) -> Val {
    match value {
        text @ (Val::TStr(_) | Val::BStr(_)) => text,
        Val::Num(Num::Dec(literal)) => Val::from(literal.to_string()),
        other => Val::from(other.to_string()),
    }
}

fn object(value: &Val) -> Result<&Map, Error<Val>> {
    match value {
        Val::Obj(fields) => Ok(fields),
        other => Err(error(format_args!("an object is wanted, got {other:.80}"))),
    }
}

fn to_entries(value: &Val) -> ValR<Val> {
    let entry = |(key, value): (Val, Val)| Val::obj(Map::from_iter([(text("key"), key), (text("value"), value)]));
    match value {
        Val::Arr(items) => Ok(items.iter().enumerate().map(|(i, item)| entry((Val::from(i), item.clone()))).collect()),
        other => Ok(object(other)?.iter().map(|(key, value)| entry((key.clone(), value.clone()))).collect()),
    }
}

fn from_entries(value: &Val) -> ValR<Val> {
    let (key, content) = (text("key"), text("value"));
    let pair = |entry: &Val| {
        let fields = object(entry)?;
        let of = |name| fields.get(name).cloned().unwrap_or_default();
        Ok((of(&key), of(&content)))
    };
    let fields = match value {
        Val::Arr(items) => items.iter().map(pair).collect::<Result<Map, _>>()?,
        other => object(other)?.values().map(pair).collect::<Result<Map, _>>()?,
    };
    Ok(Val::obj(fields))
}

fn is_empty(value: &Val) -> bool {
    match value {
        Val::Null => true,
        Val::TStr(text) | Val::BStr(text) => text.is_empty(),
        Val::Arr(items) => items.is_empty(),
        Val::Obj(fields) => fields.is_empty(),
        Val::Bool(_) | Val::Num(_) => false,
    }
}

fn without(value: Val, gone: impl Fn(&Val) -> bool) -> ValR<Val> {
    if !object(&value)?.values().any(&gone) {
        return Ok(value);
    }
    let kept = object(&value)?.iter().filter(|(_, value)| !gone(value));
    Ok(Val::obj(kept.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

fn blank_to_null(value: Val) -> Val {
    let trimmed = match &value {
        Val::TStr(bytes) => bytes.trim_ascii(),
        _ => return value,
    };
    match &value {
        _ if trimmed.is_empty() => Val::Null,
        Val::TStr(bytes) if trimmed.len() != bytes.len() => Val::utf8_str(trimmed.to_vec()),
        _ => value,
    }
}

fn said(value: Val) -> Val {
    match value {
        Val::Null | Val::Arr(_) | Val::Obj(_) => Val::Null,
        Val::TStr(_) => blank_to_null(value),
        other => tostring(other),
    }
}

fn cut(value: Val, most: &Val) -> ValR<Val> {
    let Val::Num(Num::Int(most @ 0..)) = most else {
        return Err(error(format_args!("cut wants a number of characters, got {most:.80}")));
    };
    let Val::TStr(bytes) = &value else { return Ok(value) };
    let most = most.unsigned_abs();
    if bytes.len() <= most {
        return Ok(value);
    }
    Ok(Val::from(String::from_utf8_lossy(bytes).chars().take(most).collect::<String>()))
}

fn join_present(values: &Val, by: &Val) -> ValR<Val> {
    let (Val::Arr(values), Val::TStr(by)) = (values, by) else {
        return Err(error(format_args!("join_present wants a list and a text, got {values:.80}")));
    };
    let mut joined: Option<Vec<u8>> = None;
    for text in values.iter().cloned().map(said) {
        let Val::TStr(text) = text else { continue };
        match &mut joined {
            Some(joined) => joined.extend(by.iter().chain(text.iter())),
            None => joined = Some(text.to_vec()),
        }
    }
    Ok(joined.map_or(Val::Null, Val::utf8_str))
}

fn list(value: Val) -> Val {
    match value {
        Val::Arr(items) if items.iter().all(|item| matches!(item, Val::Obj(_))) => Val::Arr(items),
        Val::Arr(items) => items.iter().filter(|item| matches!(item, Val::Obj(_))).cloned().collect(),
        _ => Val::Arr(Vec::new().into()),
    }
}

fn lookup(word: Val, table: &Val) -> ValR<Val> {
    let found = if matches!(word, Val::Null) { None } else { object(table)?.get(&tostring(word)) };
    Ok(found.filter(|v| !matches!(v, Val::Null | Val::Bool(false))).cloned().unwrap_or_else(|| text("UNKNOWN")))
}

/// The trimmed text of a time; none for null and for blank text.
fn trimmed(value: &Val) -> Result<Option<&[u8]>, Error<Val>> {
    match value {
        Val::Null => Ok(None),
        Val::TStr(bytes) => Ok(Some(bytes.trim_ascii()).filter(|text| !text.is_empty())),
        other => Err(error(format_args!("a time is a text, got {other:.80}"))),
    }
}

/// Whether bytes look like a pattern in which a 0 stands for a digit.
fn is_like(bytes: &[u8], pattern: &[u8]) -> bool {
    let alike = |(b, p): (&u8, &u8)| if *p == b'0' { b.is_ascii_digit() } else { b == p };
    bytes.len() == pattern.len() && bytes.iter().zip(pattern).all(alike)
}

fn is_time(text: &[u8]) -> bool {
    let Some((date, rest)) = text.split_at_checked(10) else { return false };
    let clock = |rest: &[u8]| matches!(rest[0], b'T' | b' ') && rest.len() >= 9 && is_like(&rest[1..9], b"00:00:00");
    is_like(date, b"0000-00-00") && (rest.is_empty() || clock(rest))
}

fn utc(text: &[u8]) -> Option<String> {
    if text.starts_with(b"0000-00-00") || text.starts_with(b"0001-01-01") {
        return None;
    }
    let mut time = String::from_utf8_lossy(text).into_owned();
    if is_like(text, b"0000-00-00") {
        time.push_str("T00:00:00");
    } else if text.len() > 10 && is_like(&text[..11], b"0000-00-00 ") {
        time.replace_range(10..11, "T");
    }
    let ends_like = |pattern: &[u8]| {
        let sign = text.len().checked_sub(pattern.len() + 1);
        sign.is_some_and(|at| matches!(text[at], b'+' | b'-') && is_like(&text[at + 1..], pattern))
    };
    if ends_like(b"0000") && !is_like(text, b"0000-00-00") {
        time.insert(time.len() - 2, ':');
    } else if !(text.ends_with(b"Z") || text.ends_with(b"z") || ends_like(b"00:00")) {
        time.push('Z');
    }
    Some(time)
}

fn micros(text: Option<&[u8]>) -> ValR<Val> {
    let Some(time) = text.and_then(utc) else { return Ok(Val::from(0_isize)) };
    let micros = instant(time.as_bytes()).and_then(|micros| isize::try_from(micros).ok());
    micros.map(Val::from).ok_or_else(|| error(format_args!("{time:?} is no time")))
}

/// Microseconds since 1970 of an RFC 3339 time; what is finer is cut off.
fn instant(time: &[u8]) -> Option<i64> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<i64>().ok();
    let (clock, rest) = time.split_at_checked(19).filter(|(clock, _)| is_like(clock, b"0000-00-00T00:00:00"))?;
    let (year, month, day) = (number(&clock[..4])?, number(&clock[5..7])?, number(&clock[8..10])?);
    let (hour, minute, second) = (number(&clock[11..13])?, number(&clock[14..16])?, number(&clock[17..])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let digits = rest.strip_prefix(b".").map_or(0, |f| f.iter().take_while(|b| b.is_ascii_digit()).count());
    let (fraction, zone) = if digits > 0 { rest[1..].split_at(digits) } else { (&rest[..0], rest) };
    let fraction = fraction.iter().chain(std::iter::repeat(&b'0')).take(6).fold(0, |f, b| f * 10 + i64::from(b - b'0'));
    let offset = match zone {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), hours @ ..] if is_like(hours, b"00:00") => {
            let minutes = number(&hours[..2])? * 60 + number(&hours[3..])?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days since 1970-01-01 in the proleptic Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day
            - 719_469;
    Some((((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1_000_000 + fraction)
}

fn country_code(value: &Val) -> Val {
    match value {
        Val::TStr(bytes) => match bytes.trim_ascii() {
            code @ [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Val::utf8_str(code.to_ascii_uppercase())
            }
            _ => Val::Null,
        },
        _ => Val::Null,
    }
}

fn currency_code(value: Val) -> Val {
    let is_code = matches!(&value, Val::TStr(code) if code.len() == 3 && code.iter().all(u8::is_ascii_uppercase));
    if is_code { value } else { Val::Null }
}

#[cfg(test)]
mod tests {
    use super::{instant, is_time, utc};

    #[test]
    fn times_become_instants() {
        for (time, micros) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59.5Z", Some(-500_000)),
            ("2000-02-29T12:00:00+02:00", Some(951_818_400_000_000)),
            ("2024-03-01T10:20:30.123456789-05:30", Some(1_709_308_230_123_456)),
            ("2024-13-01T10:20:30Z", None),
            ("2024-03-01T10:20:30", None),
            ("2024-03-01T10:20:30.Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(instant(time.as_bytes()), micros, "{time}");
        }
    }

    #[test]
    fn forms_of_times() {
        for (text, expected) in [
            ("2024-03-01", Some("2024-03-01T00:00:00Z")),
            ("2024-03-01 10:20:30", Some("2024-03-01T10:20:30Z")),
            ("2024-03-01T10:20:30-0530", Some("2024-03-01T10:20:30-05:30")),
            ("2024-03-01T10:20:30.5z", Some("2024-03-01T10:20:30.5z")),
            ("0000-00-00 00:00:00", None),
        ] {
            assert_eq!(utc(text.as_bytes()).as_deref(), expected, "{text}");
        }
        for (text, expected) in
            [("2024-03-01", true), ("2024-03-01T10:20:30", true), ("2024-03-01T10", false), ("x", false), ("", false)]
        {
            assert_eq!(is_time(text.as_bytes()), expected, "{text}");
        }
    }
}
