//! The exact decimals of the dialect: `dec_*` functions over numbers as the platform wrote them and decimal strings.
//!
//! A JSON number keeps its literal until a `dec_*` function reads it, so `19.99` never becomes a binary float. jq's own
//! arithmetic would make one; a float that reaches a `dec_*` function is refused with the advice to use these instead.

use jaq_core::native::{Filter, bome, v};
use jaq_core::{DataT, Error, RunPtr, ValR};
use jaq_json::{Num, Val};
use rust_decimal::{Decimal, RoundingStrategy};

/// What the rules below say when a float turns up.
const FLOAT: &str = "MONEY_FLOAT: a binary float reached a decimal function; use dec_add, dec_sub, dec_mul, dec_div or dec_sum instead of + - * / on amounts";

type Fun<D> = Filter<RunPtr<D>>;

/// The native functions. Null counts as absent: `dec(null)` is null, in a sum it adds nothing.
pub(crate) fn functions<D: for<'a> DataT<V<'a> = Val>>() -> Vec<Fun<D>> {
    vec![
        // dec: the exact decimal of the input, as a string.
        ("dec", v(0), |cv| bome(optional(&cv.1).map(shown))),
        // dec_sum: the sum of an array of decimals.
        ("dec_sum", v(0), |cv| bome(sum(&cv.1))),
        ("dec_neg", v(0), |cv| bome(optional(&cv.1).map(|d| shown(d.map(|d| -d))))),
        ("dec_abs", v(0), |cv| bome(optional(&cv.1).map(|d| shown(d.map(|d| d.abs()))))),
        ("dec_add", v(2), |mut cv| {
            let (b, a) = (cv.0.pop_var(), cv.0.pop_var());
            bome(binary(&a, &b, Decimal::checked_add))
        }),
        ("dec_sub", v(2), |mut cv| {
            let (b, a) = (cv.0.pop_var(), cv.0.pop_var());
            bome(binary(&a, &b, Decimal::checked_sub))
        }),
        ("dec_mul", v(2), |mut cv| {
            let (b, a) = (cv.0.pop_var(), cv.0.pop_var());
            bome(binary(&a, &b, Decimal::checked_mul))
        }),
        // dec_div(a; b; scale): rounded half to even at `scale` digits; null when b is zero.
        ("dec_div", v(3), |mut cv| {
            let (scale, b, a) = (cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var());
            bome(divide(&a, &b, &scale))
        }),
        // dec_cmp(a; b): -1, 0 or 1.
        ("dec_cmp", v(2), |mut cv| {
            let (b, a) = (cv.0.pop_var(), cv.0.pop_var());
            bome(pair(&a, &b).map(|(a, b)| Val::from(a.cmp(&b) as isize)))
        }),
        // dec_shift(a; n): a × 10ⁿ; minor units to major with a negative n.
        ("dec_shift", v(2), |mut cv| {
            let (n, a) = (cv.0.pop_var(), cv.0.pop_var());
            bome(shift(&a, &n))
        }),
        // dec_round(a; scale): half to even.
        ("dec_round", v(2), |mut cv| {
            let (scale, a) = (cv.0.pop_var(), cv.0.pop_var());
            bome(digits(&scale).and_then(|scale| Ok(shown(optional(&a)?.map(|a| rounded(a, scale))))))
        }),
    ]
}

/// What is said of a value, behind it.
pub(crate) const NOT_DECIMAL: &str = " is not a decimal";

fn error(message: impl std::fmt::Display) -> Error<Val> {
    Error::str(message)
}

/// The exact decimal of a value; none for null and for blank text, which platforms send for "no amount".
fn optional(value: &Val) -> Result<Option<Decimal>, Error<Val>> {
    let exact = |text: &str| {
        let plain = text.trim();
        // A literal such as 1.0E+2 is exact too; the parser of scientific notation keeps every digit.
        let parsed =
            if plain.contains(['e', 'E']) { Decimal::from_scientific(plain) } else { Decimal::from_str_exact(plain) };
        parsed.map_err(|_| error(format_args!("{}{NOT_DECIMAL}", Val::from(text.to_owned()))))
    };
    match value {
        Val::Null => Ok(None),
        Val::Num(Num::Float(_)) => Err(error(FLOAT)),
        Val::Num(Num::Int(whole)) => Ok(Some(Decimal::from(*whole as i64))),
        Val::Num(Num::BigInt(whole)) => exact(&whole.to_string()).map(Some),
        Val::Num(Num::Dec(literal)) => exact(literal).map(Some),
        Val::TStr(text) => match String::from_utf8_lossy(text) {
            text if text.trim().is_empty() => Ok(None),
            text => exact(&text).map(Some),
        },
        other => Err(error(format_args!("{other}{NOT_DECIMAL}"))),
    }
}

/// `is_zero`: null counts as nothing.
pub(crate) fn is_zero(value: &Val) -> ValR<Val> {
    Ok(Val::Bool(optional(value)?.is_none_or(|d| d.is_zero())))
}

/// `is_positive`
pub(crate) fn is_positive(value: &Val) -> ValR<Val> {
    Ok(Val::Bool(optional(value)?.is_some_and(|d| d > Decimal::ZERO)))
}

/// `not_negative`: null stays null.
pub(crate) fn not_negative(value: Val) -> ValR<Val> {
    let below = optional(&value)?.is_some_and(|d| d < Decimal::ZERO);
    Ok(if below { shown(Some(Decimal::ZERO)) } else { value })
}

fn pair(a: &Val, b: &Val) -> Result<(Decimal, Decimal), Error<Val>> {
    Ok((optional(a)?.unwrap_or_default(), optional(b)?.unwrap_or_default()))
}

fn binary(a: &Val, b: &Val, operation: fn(Decimal, Decimal) -> Option<Decimal>) -> ValR<Val> {
    let (a, b) = pair(a, b)?;
    operation(a, b).map(|d| shown(Some(d))).ok_or_else(|| error("the result of a decimal function is too large"))
}

fn sum(values: &Val) -> ValR<Val> {
    let Val::Arr(values) = values else { return Err(error(format_args!("dec_sum wants an array, got {values}"))) };
    let sum = values.iter().try_fold(Decimal::ZERO, |sum, value| {
        sum.checked_add(optional(value)?.unwrap_or_default()).ok_or_else(|| error("the sum is too large"))
    })?;
    Ok(shown(Some(sum)))
}

fn digits(scale: &Val) -> Result<u32, Error<Val>> {
    match scale {
        Val::Num(Num::Int(n @ 0..=28)) => Ok(*n as u32),
        other => Err(error(format_args!("a number of digits is 0 to 28, got {other}"))),
    }
}

fn rounded(value: Decimal, scale: u32) -> Decimal {
    value.round_dp_with_strategy(scale, RoundingStrategy::MidpointNearestEven)
}

fn divide(a: &Val, b: &Val, scale: &Val) -> ValR<Val> {
    let ((a, b), scale) = (pair(a, b)?, digits(scale)?);
    if b.is_zero() {
        return Ok(Val::Null);
    }
    a.checked_div(b).map(|q| shown(Some(rounded(q, scale)))).ok_or_else(|| error("the quotient is too large"))
}

fn shift(a: &Val, places: &Val) -> ValR<Val> {
    let places = match places {
        Val::Num(Num::Int(n @ -28..=28)) => *n,
        other => return Err(error(format_args!("dec_shift wants -28 to 28 places, got {other}"))),
    };
    let Some(a) = optional(a)? else { return Ok(Val::Null) };
    let power = Decimal::from_i128_with_scale(10_i128.pow(places.unsigned_abs() as u32), 0);
    let shifted = if places < 0 { a.checked_div(power) } else { a.checked_mul(power) };
    shifted.map(|d| shown(Some(d))).ok_or_else(|| error("the result of dec_shift is too large"))
}

fn shown(value: Option<Decimal>) -> Val {
    value.map_or(Val::Null, |d| Val::from(d.normalize().to_string()))
}
