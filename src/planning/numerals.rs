//! Numbers for people and for plots: digits in groups, percent, lengths.
//!
//! Owns how an amount is shown and how long it is drawn. Never changes an amount.

use crate::domain::credits::{Credits, SCALE_MAX};
use rust_decimal::Decimal;

/// An amount with its whole digits in groups of three: `12,345.5`.
#[must_use]
pub fn grouped(amount: Credits) -> String {
    let text = amount.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut shown = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    if !fraction.is_empty() {
        shown.push('.');
        shown.push_str(fraction);
    }
    shown
}

/// `18 %`: a part of a whole in whole percent, to the nearest; `None` when there is no whole.
#[must_use]
pub fn percent(part: Credits, whole: Credits) -> Option<String> {
    let share = scaled(micros(part), micros(whole), 100);
    whole.is_positive().then(|| if share == 0 && part.is_positive() { "less than 1 %".to_owned() } else { format!("{share} %") })
}

/// `size × part / whole` to the nearest whole number, for numbers that are not below zero; 0 when there is
/// no whole.
pub(super) fn scaled(part: i128, whole: i128, size: i128) -> i128 {
    if whole <= 0 {
        return 0;
    }
    part.saturating_mul(size).saturating_mul(2).saturating_add(whole) / whole.saturating_mul(2)
}

/// An amount in millionths: exact, because it has at most six decimal places.
pub(super) fn micros(amount: Credits) -> i128 {
    let mut decimal = amount.decimal();
    decimal.rescale(SCALE_MAX);
    decimal.mantissa()
}

/// The amount of some millionths; `None` beyond the bounds of an amount.
pub(super) fn amount(micros: i128) -> Option<Credits> {
    let decimal = Decimal::try_from_i128_with_scale(micros, SCALE_MAX).ok()?;
    Credits::new(decimal).ok()
}
