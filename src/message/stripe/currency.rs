//! Stripe's minor units: how many of them make one of a currency.
//!
//! Owns the table of <https://docs.stripe.com/currencies>. Amounts are integers on Stripe's side and
//! become exact decimals here; nothing is rounded.

use crate::domain::credits::Money;
use rust_decimal::Decimal;

/// Currencies whose amounts are whole. UGX and ISK are not among them: they have no decimals any
/// more, but Stripe still writes their amounts with two.
const ZERO_DECIMAL: &[&str] = &["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];

/// Currencies with a thousand minor units.
const THREE_DECIMAL: &[&str] = &["BHD", "JOD", "KWD", "OMR", "TND"];

/// The largest amount that is believed, in minor units: beyond it no JavaScript on the way could
/// have kept the last digit. Stripe's own limit is twelve digits.
const MINOR_MAX: u64 = 9_007_199_254_740_991;

/// Decimals of an amount in major units; `currency` in upper case.
#[must_use]
pub fn decimals(currency: &str) -> u32 {
    if ZERO_DECIMAL.contains(&currency) {
        0
    } else if THREE_DECIMAL.contains(&currency) {
        3
    } else {
        2
    }
}

/// Minor units as money in major units; `currency` in upper case. `None` beyond the bound.
#[must_use]
pub fn major(minor: u64, currency: &str) -> Option<Money> {
    let scale = decimals(currency);
    let minor = (minor <= MINOR_MAX).then_some(minor)?;
    Money::new(Decimal::try_from_i128_with_scale(i128::from(minor), scale).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b15_minor_units_follow_the_table() {
        for (minor, currency, shown) in [
            (2000, "USD", "20"),
            (1999, "EUR", "19.99"),
            (500, "JPY", "500"),
            (5120, "KWD", "5.12"),
            (500, "UGX", "5"),
            (500, "ISK", "5"),
            (0, "USD", "0"),
            (MINOR_MAX, "USD", "90071992547409.91"),
        ] {
            assert_eq!(major(minor, currency).map(|money| money.to_string()).as_deref(), Some(shown), "{currency}");
        }
        for minor in [MINOR_MAX + 1, 9_007_199_254_740_993, 1 << 63, u64::MAX] {
            assert_eq!(major(minor, "USD"), None);
        }
    }
}
