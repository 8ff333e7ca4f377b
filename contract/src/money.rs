//! Money and quantities: exact decimals, never binary floats, at most four fraction digits.
//!
//! Four digits carry every ISO 4217 currency. An amount with more is refused, never rounded in silence: PostgreSQL,
//! Parquet readers and BI tools would each round it in their own way.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The most fraction digits of an amount or quantity.
pub const AMOUNT_SCALE_MAX: u32 = 4;

/// The largest magnitude: what 64 bits hold at four fraction digits, so that every database stores it as an integer.
const UNITS_MAX: i64 = i64::MAX;

/// Why a text is not an exact amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a plain decimal such as `-12.50`.
    #[error("an amount is a decimal string such as \"12.50\"; got {0:?}")]
    NotDecimal(String),
    /// More than four fraction digits.
    #[error(
        "an amount has at most 4 fraction digits; {0} has more, and is never rounded in silence: declare a rounding rule for the source or send fewer digits"
    )]
    TooPrecise(String),
    /// Outside what 64 bits hold at four fraction digits.
    #[error("an amount is within ±922337203685477.5807; got {0}")]
    OutOfRange(String),
}

/// An exact decimal without a currency: the amounts of one order share the order's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(Decimal);

/// A quantity of an order line: exact, so that 1.25 kg stays 1.25 kg.
pub type Quantity = Amount;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Checks scale and range.
    ///
    /// # Errors
    /// [`AmountError`] when a digit would be lost.
    pub fn try_new(value: Decimal) -> Result<Self, AmountError> {
        let value = value.normalize();
        if value.scale() > AMOUNT_SCALE_MAX {
            return Err(AmountError::TooPrecise(value.to_string()));
        }
        let amount = Self(value);
        amount.checked_units().map(|_| amount).ok_or_else(|| AmountError::OutOfRange(value.to_string()))
    }

    /// The amount of so many ten-thousandths: how the index stores it.
    #[must_use]
    pub fn from_units(units: i64) -> Self {
        Self(Decimal::new(units, AMOUNT_SCALE_MAX).normalize())
    }

    /// The amount in ten-thousandths.
    #[must_use]
    pub fn units(self) -> i64 {
        // A value beyond 64 bits cannot be built by `try_new`; a sum of such values saturates visibly, at the bound.
        self.checked_units().unwrap_or(if self.0.is_sign_negative() { -UNITS_MAX } else { UNITS_MAX })
    }

    fn checked_units(self) -> Option<i64> {
        let mut value = self.0;
        value.rescale(AMOUNT_SCALE_MAX);
        (value.scale() == AMOUNT_SCALE_MAX).then(|| i64::try_from(value.mantissa()).ok()).flatten()
    }

    /// The decimal.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0.is_sign_negative() && !self.0.is_zero()
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// This amount times a quantity, or `None` when the product needs more than four fraction digits or 64 bits.
    #[must_use]
    pub fn checked_mul(self, quantity: Self) -> Option<Self> {
        self.0.checked_mul(quantity.0).and_then(|product| Self::try_new(product).ok())
    }
}

impl From<i64> for Amount {
    fn from(whole: i64) -> Self {
        Self(Decimal::from(whole))
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || fraction.is_some_and(|f| !all_digits(f)) {
            return Err(AmountError::NotDecimal(text.chars().take(40).collect()));
        }
        // Digits the decimal type could not hold would be rounded by its parser; trailing zeros say nothing.
        let fraction = fraction.unwrap_or("").trim_end_matches('0');
        if fraction.len() > AMOUNT_SCALE_MAX as usize {
            return Err(AmountError::TooPrecise(text.chars().take(60).collect()));
        }
        if whole.trim_start_matches('0').len() > 15 {
            return Err(AmountError::OutOfRange(text.chars().take(60).collect()));
        }
        let sign = if text.starts_with('-') { "-" } else { "" };
        let exact = if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
        Self::try_new(Decimal::from_str(&exact).map_err(|_| AmountError::NotDecimal(exact.clone()))?)
    }
}

impl fmt::Display for Amount {
    /// Without trailing zeros, but money-like values keep two digits: `19.9` prints as `19.90`, `3` as `3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0.normalize();
        if value.scale() == 1 { write!(f, "{value:.2}") } else { value.fmt(f) }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountVisitor;

        impl de::Visitor<'_> for AmountVisitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal string such as \"12.50\" (never a JSON number with a fraction: it is a binary float for most parsers)")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, whole: i64) -> Result<Amount, E> {
                Amount::try_new(whole.into()).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, whole: u64) -> Result<Amount, E> {
                Amount::try_new(whole.into()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(AmountVisitor)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An exact decimal with at most 4 fraction digits: a string such as \"12.50\", or a whole JSON number. A JSON number with a fraction is refused.",
            "anyOf": [
                { "type": "string", "pattern": "^-?[0-9]{1,15}(\\.[0-9]{1,4}0*)?$" },
                { "type": "integer" }
            ],
            "examples": ["12.50"]
        })
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Amount {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// An ISO 4217 currency, by its three-letter code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Parses a three-letter code; upper case only, as ISO 4217 writes it.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        iso_currency::Currency::from_code(code).map(Self)
    }

    /// The three-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// The fraction digits in everyday use (2 for EUR, 0 for JPY, 3 for KWD).
    #[must_use]
    pub fn minor_digits(self) -> u32 {
        self.0.exponent().map_or(2, u32::from)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_code(&code)
            .ok_or_else(|| de::Error::custom(format!("{code:?} is not an ISO 4217 currency code such as \"GBP\"")))
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "An ISO 4217 currency code.", "pattern": "^[A-Z]{3}$", "examples": ["GBP"] })
    }
}

/// An amount with its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// The exact amount.
    pub amount: Amount,
    /// Its currency.
    pub currency: Currency,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount, AmountError, Currency};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn exact_text_in_exact_text_out() {
        for (text, shown) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("19.90", "19.90"),
            ("19.9", "19.90"),
            ("3", "3"),
            ("3.00", "3"),
            ("0.0001", "0.0001"),
            ("12345678901234.56", "12345678901234.56"),
            ("1.230000000000000000000000000000", "1.23"),
        ] {
            assert_eq!(text.parse::<Amount>().expect(text).to_string(), shown);
        }
    }

    #[test]
    fn what_would_lose_a_digit_is_refused() {
        for text in ["", "-", ".5", "5.", "1e3", "1,5", " 1", "+1", "NaN", "0x1", "１"] {
            assert!(matches!(text.parse::<Amount>(), Err(AmountError::NotDecimal(_))), "{text}");
        }
        assert!(matches!("3213.56401".parse::<Amount>(), Err(AmountError::TooPrecise(_))));
        assert!(matches!("0.00000000000000000000000000000001".parse::<Amount>(), Err(AmountError::TooPrecise(_))));
        assert!(matches!("922337203685477.5808".parse::<Amount>(), Err(AmountError::OutOfRange(_))));
        assert!(matches!("99999999999999999999999999".parse::<Amount>(), Err(AmountError::OutOfRange(_))));
    }

    #[test]
    fn a_json_float_is_not_money() {
        assert!(serde_json::from_str::<Amount>("19.99").is_err());
        assert_eq!(serde_json::from_str::<Amount>("19").expect("whole").to_string(), "19");
        assert_eq!(serde_json::from_str::<Amount>("\"19.99\"").expect("string").to_string(), "19.99");
    }

    #[test]
    fn currencies_know_their_digits() {
        let digits = |code| Currency::from_code(code).map(Currency::minor_digits);
        assert_eq!(
            (digits("GBP"), digits("JPY"), digits("KWD"), digits("gbp"), digits("ZZZ")),
            (Some(2), Some(0), Some(3), None, None)
        );
    }

    proptest! {
        #[test]
        fn units_round_trip(units in -i64::MAX..i64::MAX) {
            let amount = Amount::from_units(units);
            prop_assert_eq!(amount.units(), units);
            prop_assert_eq!(amount.to_string().parse::<Amount>().expect("its own text"), amount);
        }

        #[test]
        fn sums_are_exact(parts in proptest::collection::vec(any::<i32>(), 0..50)) {
            let total: Amount = parts.iter().map(|p| Amount::from_units(i64::from(*p))).sum();
            prop_assert_eq!(total.units(), parts.iter().map(|p| i64::from(*p)).sum::<i64>());
        }
    }
}
