//! From a pattern to a quantity for each day.
//!
//! Owns how a quantity is spread, grown and drawn: in steps of the decimal places it was written with, so that
//! whole things stay whole, and so that the parts sum up exactly. Never knows a price.

use super::days::Day;
use super::pattern::{Amount, Every, Pattern, Quantity};
use crate::domain::credits::{Credits, Overflow};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rust_decimal::{Decimal, RoundingStrategy};

/// What is used on each of the days of `months` months, in their order. The same seed draws the same.
///
/// # Errors
/// [`Overflow`] when a quantity grows beyond 18 digits before the point.
pub(super) fn daily(pattern: &Pattern, days: &[Day], months: usize, seed: u64) -> Result<Vec<Credits>, Overflow> {
    match &pattern.amount {
        Amount::Listed(listed) => Ok((0..days.len()).map(|day| listed.get(day).copied().unwrap_or_default()).collect()),
        Amount::Steady(quantity, every) => steady(pattern, (*quantity, *every), days, months),
        Amount::Drawn { low, high } => drawn(pattern, (*low, *high), days, (months, seed)),
    }
}

/// A quantity as it is in each month.
fn grown(quantity: Quantity, growth: Credits, months: usize) -> Result<Vec<Credits>, Overflow> {
    let factor = Credits::whole(100).plus(growth)?;
    let mut now = quantity.amount;
    let mut all = vec![now];
    while all.len() < months {
        now = now.share_down(factor.decimal(), Decimal::ONE_HUNDRED)?;
        all.push(now);
    }
    Ok(all)
}

/// Each day takes what brings the sum to its part of the whole, cut to the steps of the quantity; so the days
/// differ by one step at most, and the last one takes the rest.
fn steady(pattern: &Pattern, (quantity, every): (Quantity, Every), days: &[Day], months: usize) -> Result<Vec<Credits>, Overflow> {
    let grown = grown(quantity, pattern.growth, months)?;
    let groups: Vec<&[Day]> = match every {
        Every::Week => days.chunks(7).collect(),
        Every::Day | Every::Month => days.chunk_by(|left, right| left.month == right.month).collect(),
    };
    let mut amounts = Vec::with_capacity(days.len());
    for group in groups {
        let whole = group.first().and_then(|day| grown.get(day.month)).copied().unwrap_or_default();
        let parts = match every {
            Every::Day => 1,
            // The last week may be cut short; its days have the share they would have in a whole one.
            Every::Week => {
                if pattern.weekdays {
                    5
                } else {
                    7
                }
            }
            Every::Month => group.iter().filter(|day| is_used(pattern, day)).count(),
        };
        let (mut count, mut before) = (0_usize, Credits::ZERO);
        for day in group {
            if is_used(pattern, day) {
                count += 1;
                let sum = cut(whole.share_down(Decimal::from(count), Decimal::from(parts))?, quantity.places)?;
                amounts.push(sum.minus(before)?);
                before = sum;
            } else {
                amounts.push(Credits::ZERO);
            }
        }
    }
    Ok(amounts)
}

fn drawn(
    pattern: &Pattern,
    (low, high): (Quantity, Quantity),
    days: &[Day],
    (months, seed): (usize, u64),
) -> Result<Vec<Credits>, Overflow> {
    let places = low.places.max(high.places);
    let lowest = grown(low, pattern.growth, months)?;
    let highest = grown(high, pattern.growth, months)?;
    let steps = |amounts: &[Credits], day: &Day| steps(amounts.get(day.month).copied().unwrap_or_default(), places);
    let mut draw = SmallRng::seed_from_u64(seed);
    let mut amounts = Vec::with_capacity(days.len());
    for day in days {
        if is_used(pattern, day) {
            let (low, high) = (steps(&lowest, day)?, steps(&highest, day)?);
            let drawn = Decimal::try_from_i128_with_scale(draw.random_range(low..=high.max(low)), places).map_err(|_| Overflow)?;
            amounts.push(Credits::new(drawn).map_err(|_| Overflow)?);
        } else {
            amounts.push(Credits::ZERO);
        }
    }
    Ok(amounts)
}

fn is_used(pattern: &Pattern, day: &Day) -> bool {
    !pattern.weekdays || day.is_weekday()
}

/// Cuts what is finer than the steps of a quantity.
fn cut(amount: Credits, places: u32) -> Result<Credits, Overflow> {
    Credits::new(amount.decimal().round_dp_with_strategy(places, RoundingStrategy::ToZero)).map_err(|_| Overflow)
}

/// How many steps an amount has.
fn steps(amount: Credits, places: u32) -> Result<i128, Overflow> {
    let mut decimal = cut(amount, places)?.decimal();
    decimal.rescale(places);
    Ok(decimal.mantissa())
}
