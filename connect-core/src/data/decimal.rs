//! Decimal numbers: an unscaled integer of any size and a scale, as `java.math.BigDecimal`.

use std::{fmt, str::FromStr};

use num_bigint::{BigInt, Sign};
use num_traits::{ToPrimitive, Zero};

use crate::error::{Error, Result};

/// A number has at most so many digits, and in plain notation so many zeros: without a bound, `1e2000000000` would fill
/// the memory.
pub(crate) const MAX_SCALE: u32 = 20_000;

/// `unscaled * 10^-scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    unscaled: BigInt,
    scale: i32,
}

impl Decimal {
    /// Builds a number of its parts.
    pub fn new(unscaled: impl Into<BigInt>, scale: i32) -> Self {
        Self { unscaled: unscaled.into(), scale }
    }
    /// Builds a number of the two's complement, big-endian bytes that Connect stores.
    pub fn from_bytes(unscaled: &[u8], scale: i32) -> Self {
        Self { unscaled: BigInt::from_signed_bytes_be(unscaled), scale }
    }
    /// Builds a number of base-10000 digits, most significant first, as PostgreSQL sends them: the value is
    /// the sum of `digit * 10000^(weight - index)`, given `scale` digits after the point.
    pub fn from_base_10000(negative: bool, weight: i16, digits: &[u16], scale: i32) -> Self {
        // So many digits fit a number of the machine's.
        let (small, more) = digits.split_at(digits.len().min(9));
        let small = small.iter().fold(0, |n: i128, digit| n * 10_000 + i128::from(*digit));
        let mut unscaled = BigInt::from(small);
        for digit in more {
            unscaled = unscaled * 10_000u32 + *digit;
        }
        let exponent = 4 * (i32::from(weight) + 1 - digits.len() as i32);
        let value =
            Self { unscaled: if negative { -unscaled } else { unscaled }, scale: -exponent };
        value.rescaled(scale)
    }
    /// The unscaled integer as Connect stores it: two's complement, big-endian, as short as possible.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.unscaled.to_signed_bytes_be()
    }
    /// Digits after the point; negative for whole thousands and the like.
    pub fn scale(&self) -> i32 {
        self.scale
    }
    /// The same number with another scale; digits that no longer fit are cut.
    #[must_use]
    pub fn rescaled(mut self, scale: i32) -> Self {
        let up = scale - self.scale;
        if up == 0 {
            return self;
        }
        let factor = BigInt::from(10u8).pow(up.unsigned_abs());
        if up > 0 {
            self.unscaled *= factor;
        } else {
            self.unscaled /= factor;
        }
        self.scale = scale;
        self
    }
    /// The same number with another scale, if no digit that counts is lost.
    pub fn rescaled_exactly(&self, scale: i32) -> Option<Self> {
        if scale.abs_diff(self.scale) > MAX_SCALE {
            return None;
        }
        let rescaled = self.clone().rescaled(scale);
        let exact = scale >= self.scale || rescaled.clone().rescaled(self.scale) == *self;
        exact.then_some(rescaled)
    }
    /// The number as an integer, if it is one and fits.
    pub fn to_i64(&self) -> Option<i64> {
        if self.unscaled.is_zero() {
            return Some(0);
        }
        self.rescaled_exactly(0)?.unscaled.to_i64()
    }
    /// As `BigDecimal.toString`: with an exponent if the scale is negative, or there are more than five zeros after
    /// the point.
    pub fn to_java_string(&self) -> String {
        let digits = self.unscaled.magnitude().to_string();
        let exponent = digits.len() as i64 - 1 - i64::from(self.scale);
        if self.scale >= 0 && exponent >= -6 {
            return self.to_string();
        }
        let sign = if self.unscaled.sign() == Sign::Minus { "-" } else { "" };
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let exponent = match exponent {
            0 => String::new(),
            exponent => format!("E{exponent:+}"),
        };
        format!("{sign}{first}{point}{rest}{exponent}")
    }
    /// Reads what `new BigDecimal(text)` reads, an exponent of any size included.
    pub(crate) fn of_java(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = [whole, fraction].concat();
        // To read very many digits takes their square in time.
        let count = 1..=MAX_SCALE as usize;
        if !count.contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let unscaled = digits.parse::<BigInt>().ok()?;
        let unscaled = if mantissa.starts_with('-') { -unscaled } else { unscaled };
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Some(Self { unscaled, scale })
    }
    /// As `BigDecimal.longValue`: without fraction, and of what is too large the lowest 64 bits.
    pub(crate) fn wrapping_i64(&self) -> i64 {
        // 10^64 is a multiple of 2^64, and a digit needs more than three bits.
        let digits = self.unscaled.bits() / 3 + 1;
        if self.scale <= -64 || u64::from(self.scale.max(0).unsigned_abs()) > digits {
            return 0;
        }
        let whole = self.clone().rescaled(0).unscaled;
        let lowest = whole.iter_u64_digits().next().unwrap_or(0) as i64;
        if whole.sign() == Sign::Minus { lowest.wrapping_neg() } else { lowest }
    }
    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Decimal {
    /// Plain notation (`BigDecimal.toPlainString`); with an exponent only where it would have very many zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale.unsigned_abs() > MAX_SCALE {
            return write!(f, "{}E{}", self.unscaled, -i64::from(self.scale));
        }
        if self.scale <= 0 {
            return write!(f, "{}", self.clone().rescaled(0).unscaled);
        }
        let scale = self.scale.unsigned_abs() as usize;
        let digits = self.unscaled.magnitude().to_string();
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
        let (sign, whole) = match (self.unscaled.sign(), whole) {
            (Sign::Minus, "") => ("-", "0"),
            (_, "") => ("", "0"),
            (Sign::Minus, whole) => ("-", whole),
            (_, whole) => ("", whole),
        };
        write!(f, "{sign}{whole}.{fraction:0>scale$}")
    }
}

impl FromStr for Decimal {
    type Err = Error;
    /// Reads plain and scientific notation; the scale is that of the text.
    fn from_str(text: &str) -> Result<Self> {
        let number = Self::of_java(text).filter(|number| number.scale.unsigned_abs() <= MAX_SCALE);
        number.ok_or_else(|| Error::data("not a decimal number").context("value", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        for text in ["0", "-0.05", "123.45", "12345678901234567890123456789.000", "-1", "0.000"] {
            let number: Decimal = text.parse().unwrap();
            assert_eq!(number.to_string(), text);
            assert_eq!(Decimal::from_bytes(&number.to_bytes(), number.scale()), number);
        }
        assert_eq!("1.5e3".parse::<Decimal>().unwrap().to_string(), "1500");
        assert_eq!("15e-1".parse::<Decimal>().unwrap().to_string(), "1.5");
        assert_eq!("+.5".parse::<Decimal>().unwrap().to_string(), "0.5");
        for scale in [i32::MIN, -100_000, 100_000, i32::MAX] {
            let text = Decimal::new(-12, scale).to_string();
            assert_eq!(text, format!("-12E{}", -i64::from(scale)));
        }
        for bad in ["", "x", "1.-5", "1e", "0x1", "1e99999", "1_0", "+-1", "."] {
            assert!(bad.parse::<Decimal>().is_err(), "{bad}");
        }
    }

    #[test]
    fn postgres_digits() {
        // 12345.67 is 1 * 10000 + 2345 and 6700 / 10000.
        assert_eq!(Decimal::from_base_10000(false, 1, &[1, 2345, 6700], 2).to_string(), "12345.67");
        assert_eq!(Decimal::from_base_10000(true, -1, &[500], 2).to_string(), "-0.05");
        assert_eq!(Decimal::from_base_10000(false, 2, &[1], 0).to_string(), "100000000");
        assert_eq!(Decimal::from_base_10000(false, 0, &[], 2).to_string(), "0.00");
    }

    #[test]
    fn integers_are_recognised() {
        assert_eq!("12.00".parse::<Decimal>().unwrap().to_i64(), Some(12));
        assert_eq!("12.01".parse::<Decimal>().unwrap().to_i64(), None);
        assert_eq!("99999999999999999999".parse::<Decimal>().unwrap().to_i64(), None);
    }
}
