//! Exact amounts: [`Credits`] and [`Money`].
//!
//! Owns the bounds, the parsing and the only rounding rules. Never rounds silently, never panics:
//! every operation that could leave the bounds says so.

use rust_decimal::{Decimal, RoundingStrategy};
use std::fmt;

/// Decimal places an amount may have (semantics §1: `NUMERIC(24,6)`).
pub const SCALE_MAX: u32 = 6;

/// An amount left its bounds: more than 18 digits before the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount has more than 18 digits before the point")]
pub struct Overflow;

/// Why a text is not an amount. Nothing is rounded to make it one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not `-?digits` or `-?digits.digits`.
    #[error("an amount is written -?digits, optionally with a point and 1 to 6 digits")]
    Format,
    /// More than six decimal places.
    #[error("an amount has at most 6 decimal places")]
    TooPrecise,
    /// More than eighteen digits before the point.
    #[error("an amount has at most 18 digits before the point")]
    TooLarge,
}

/// An exact number of credits: at most 18 digits before the point and 6 after it (semantics §1).
/// May be negative where a difference is meant; balances never are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Credits(Decimal);

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Takes a decimal that is within the bounds of [`Credits`].
    ///
    /// # Errors
    /// [`AmountError::TooPrecise`] or [`AmountError::TooLarge`]; nothing is rounded.
    pub fn new(value: Decimal) -> Result<Self, AmountError> {
        let value = value.normalize();
        if value.scale() > SCALE_MAX {
            return Err(AmountError::TooPrecise);
        }
        if value.abs() >= limit() {
            return Err(AmountError::TooLarge);
        }
        Ok(Self(value))
    }

    /// A whole number of credits.
    #[must_use]
    pub fn whole(value: u32) -> Self {
        Self(Decimal::from(value))
    }

    /// Reads the wire form: `-?digits(.digits{1,6})?`, ASCII digits only.
    ///
    /// # Errors
    /// [`AmountError`]; exponents, signs other than a leading minus, and longer input are refused.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (unsigned, None),
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !fraction.is_none_or(digits) {
            return Err(AmountError::Format);
        }
        if fraction.is_some_and(|fraction| fraction.len() > 6) {
            return Err(AmountError::TooPrecise);
        }
        if whole.trim_start_matches('0').len() > 18 {
            return Err(AmountError::TooLarge);
        }
        let kept = whole.trim_start_matches('0');
        let plain = format!(
            "{}{}.{}",
            if text.starts_with('-') { "-" } else { "" },
            if kept.is_empty() { "0" } else { kept },
            fraction.unwrap_or("0"),
        );
        let value = Decimal::from_str_exact(&plain).map_err(|_| AmountError::TooLarge)?;
        Self::new(value)
    }

    /// The amount as a decimal.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// Sum.
    ///
    /// # Errors
    /// [`Overflow`] beyond 18 digits before the point.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        let sum = self.0.checked_add(other.0).ok_or(Overflow)?;
        Self::new(sum).map_err(|_| Overflow)
    }

    /// Difference; may be negative.
    ///
    /// # Errors
    /// [`Overflow`] beyond 18 digits before the point.
    pub fn minus(self, other: Self) -> Result<Self, Overflow> {
        let difference = self.0.checked_sub(other.0).ok_or(Overflow)?;
        Self::new(difference).map_err(|_| Overflow)
    }

    /// `self × numerator / denominator`, rounded down at six places: the rule for shares of a
    /// purchase and for proration (semantics §1, §5, §7). The product is formed over integers, so
    /// no digit is lost before the one rounding.
    ///
    /// # Errors
    /// [`Overflow`] when the result does not fit or the denominator is not above zero.
    pub fn share_down(self, numerator: Decimal, denominator: Decimal) -> Result<Self, Overflow> {
        ratio(self.0, numerator, denominator, SCALE_MAX, Rounding::Down)
    }

    /// `quantity × price / per`, rounded up at `scale` places: the rule for prices of usage
    /// (semantics §1, §4).
    ///
    /// # Errors
    /// [`Overflow`] when the result does not fit or `per` is not above zero.
    pub fn price_up(quantity: Self, price: Self, per: Self, scale: u32) -> Result<Self, Overflow> {
        ratio(quantity.0, price.0, per.0, scale.min(SCALE_MAX), Rounding::Up)
    }

    /// Rounds up at `scale` places.
    ///
    /// # Errors
    /// [`Overflow`] when the result does not fit.
    pub fn round_up(self, scale: u32) -> Result<Self, Overflow> {
        let rounded = self.0.round_dp_with_strategy(scale, RoundingStrategy::ToPositiveInfinity);
        Self::new(rounded).map_err(|_| Overflow)
    }

    /// True above zero.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self > Self::ZERO
    }

    /// True below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self < Self::ZERO
    }

    /// True at exactly zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The same amount with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        let mut value = self.0;
        value.set_sign_negative(self.0.is_sign_positive() && !self.0.is_zero());
        Self(value)
    }

    /// The lower bound zero applied to a difference.
    #[must_use]
    pub fn at_least_zero(self) -> Self {
        self.max(Self::ZERO)
    }

    /// Adds up amounts.
    ///
    /// # Errors
    /// [`Overflow`] beyond 18 digits before the point.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, Overflow> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for Credits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Money in major units of one currency ("10.00" is ten), same bounds as [`Credits`]. The currency
/// stands beside it wherever it is kept.
pub type Money = Credits;

/// First value that is out of bounds: 10^18.
fn limit() -> Decimal {
    Decimal::from_i128_with_scale(1_000_000_000_000_000_000, 0)
}

#[derive(Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

/// `a × b / c` for non-negative operands, rounded once. Mantissas are multiplied as integers wide
/// enough for any two amounts: 24 digits × 24 digits needs more than `i128`, so the quotient is
/// taken digit by digit over a pair of words.
fn ratio(a: Decimal, b: Decimal, c: Decimal, scale: u32, rounding: Rounding) -> Result<Credits, Overflow> {
    if c <= Decimal::ZERO || a < Decimal::ZERO || b < Decimal::ZERO {
        return Err(Overflow);
    }
    let micros = |value: Decimal| -> Result<u128, Overflow> {
        let mut scaled = value;
        scaled.rescale(SCALE_MAX);
        u128::try_from(scaled.mantissa()).map_err(|_| Overflow)
    };
    let (a, b, c) = (micros(a)?, micros(b)?, micros(c)?);
    // a·10⁶ × b·10⁶ / (c·10⁶) = result·10⁶, before it is cut to `scale`.
    let (quotient, remainder) = multiply_divide(a, b, c).ok_or(Overflow)?;
    let unit = 10_u128.checked_pow(SCALE_MAX.saturating_sub(scale)).ok_or(Overflow)?;
    let cut = quotient.checked_rem(unit).ok_or(Overflow)?;
    let kept = quotient.checked_sub(cut).ok_or(Overflow)?;
    let inexact = remainder != 0 || cut != 0;
    let rounded = match rounding {
        Rounding::Up if inexact => kept.checked_add(unit).ok_or(Overflow)?,
        Rounding::Up | Rounding::Down => kept,
    };
    let mantissa = i128::try_from(rounded).map_err(|_| Overflow)?;
    let value = Decimal::try_from_i128_with_scale(mantissa, SCALE_MAX).map_err(|_| Overflow)?;
    Credits::new(value).map_err(|_| Overflow)
}

/// `(a × b) div c` and `mod c` without losing high digits: schoolbook long multiplication and
/// division in base 2, bounded by the 128 bits of `b`.
fn multiply_divide(a: u128, b: u128, c: u128) -> Option<(u128, u128)> {
    if let Some(product) = a.checked_mul(b) {
        return Some((product.checked_div(c)?, product.checked_rem(c)?));
    }
    // Horner over the bits of b: q·c + r = a × (bits so far); r stays below c.
    let (a_quotient, a_remainder) = (a.checked_div(c)?, a.checked_rem(c)?);
    let (mut quotient, mut remainder) = (0_u128, 0_u128);
    for bit in (0..128_u32).rev() {
        quotient = quotient.checked_mul(2)?;
        remainder = remainder.checked_mul(2)?;
        if b.checked_shr(bit)? & 1 == 1 {
            quotient = quotient.checked_add(a_quotient)?;
            remainder = remainder.checked_add(a_remainder)?;
        }
        quotient = quotient.checked_add(remainder.checked_div(c)?)?;
        remainder = remainder.checked_rem(c)?;
    }
    Some((quotient, remainder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credits(text: &str) -> Credits {
        Credits::parse(text).expect(text)
    }

    #[test]
    fn the_wire_form_is_read_exactly() {
        for (text, shown) in [
            ("0", "0"),
            ("-0", "0"),
            ("1", "1"),
            ("-1.5", "-1.5"),
            ("0.000001", "0.000001"),
            ("10.10", "10.1"),
            ("007", "7"),
            ("999999999999999999.999999", "999999999999999999.999999"),
        ] {
            assert_eq!(credits(text).to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused_and_never_rounded() {
        for text in ["", "-", ".", "1.", ".5", "+1", "1e3", "1E3", "NaN", "Infinity", "1,000", "٣", " 1", "1 ", "0x10", "--1", "1.2.3"] {
            assert_eq!(Credits::parse(text), Err(AmountError::Format), "{text:?}");
        }
        assert_eq!(Credits::parse("0.0000001"), Err(AmountError::TooPrecise));
        assert_eq!(Credits::parse("1000000000000000000"), Err(AmountError::TooLarge));
        assert_eq!(Credits::parse(&"9".repeat(40)), Err(AmountError::TooLarge));
    }

    #[test]
    fn sums_stop_at_the_bound() {
        let most = credits("999999999999999999.999999");
        assert_eq!(most.plus(credits("0.000001")), Err(Overflow));
        assert_eq!(most.minus(most), Ok(Credits::ZERO));
        assert_eq!(credits("-1").negated(), credits("1"));
        assert_eq!(Credits::ZERO.negated(), Credits::ZERO);
    }

    #[test]
    fn a_share_rounds_down_and_a_price_rounds_up_at_its_scale() {
        // 1000 × 33.33 / 100 = 333.3
        assert_eq!(credits("1000").share_down(credits("33.33").decimal(), credits("100").decimal()), Ok(credits("333.3")));
        // 1 × 1 / 3 = 0.333333… down
        assert_eq!(credits("1").share_down(Decimal::ONE, Decimal::from(3)), Ok(credits("0.333333")));
        // 1 × 1 / 3 up at 6, 2 and 0 places
        let third = |scale| Credits::price_up(credits("1"), credits("1"), credits("3"), scale);
        assert_eq!((third(6), third(2), third(0)), (Ok(credits("0.333334")), Ok(credits("0.34")), Ok(credits("1"))));
    }

    #[test]
    fn products_wider_than_any_machine_word_stay_exact() {
        let most = credits("999999999999999999.999999");
        assert_eq!(most.share_down(most.decimal(), most.decimal()), Ok(most));
        assert_eq!(most.share_down(most.decimal(), Decimal::ONE), Err(Overflow));
        // 999999999999999999.999999 × 0.999999 = 999998999999999999.999999000001 → down
        assert_eq!(most.share_down(credits("0.999999").decimal(), Decimal::ONE), Ok(credits("999998999999999999.999999")));
    }
}
