//! Manual invoicing, opened by steady purchases (semantics §5).
//!
//! Owns what counts for a month, and when three months are enough. A payment counts in the calendar month it
//! was paid in, by the account's zone at the moment it is first counted, and stays in it; what counts of it
//! shrinks with what goes back. Only staff withdraw invoicing.

use super::credits::{Money, Overflow};
use super::decision::Row;
use super::draft::Draft;
use super::ids::Printable;
use super::payment::Payment;
use jiff::Span;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Months in a row that must reach the threshold.
const MONTHS: i32 = 3;

/// What was bought in a calendar month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurchaseMonth {
    /// Its first day.
    pub month: Date,
    /// Purchases paid in it, before tax, less what went back, in the tenant's currency.
    pub net: Money,
    /// Staff withdrew invoicing in it: it and those before it open nothing any more.
    pub withdrawn: bool,
}

impl PurchaseMonth {
    fn new(month: Date) -> Self {
        Self { month, net: Money::ZERO, withdrawn: false }
    }
}

/// What a payment counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The first day of the month it counts in.
    pub month: Date,
    /// How much.
    pub net: Money,
}

/// Counts a granted payment of which that much is gone, and opens invoicing when that makes three months in a
/// row reach the threshold.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn count(draft: &mut Draft<'_>, payment: &Printable, lost: Money) -> Result<(), Overflow> {
    let Some(known) = draft.book.payments.get(payment).cloned() else { return Ok(()) };
    let Some(paid_at) = known.paid_at else { return Ok(()) };
    // Amounts of another currency cannot be compared with the threshold.
    if draft.terms.catalog().is_none_or(|catalog| catalog.currency != known.terms.currency) {
        return Ok(());
    }
    let zone = draft.book.account.profile.zone.rules();
    let month = known.counted.map_or_else(|| zone.to_datetime(paid_at).date().first_of_month(), |counted| counted.month);
    let counted = Counted { month, net: net(&known, lost)? };
    let before = known.counted.map_or(Money::ZERO, |counted| counted.net);
    if known.counted == Some(counted) {
        return Ok(());
    }
    draft.put(Row::Payment(Payment { counted: Some(counted), ..known }));
    let row = draft.book.months.get(&month).cloned().unwrap_or_else(|| PurchaseMonth::new(month));
    draft.put(Row::PurchaseMonth(PurchaseMonth { net: row.net.plus(counted.net)?.minus(before)?, ..row }));
    let profile = draft.book.account.profile.clone();
    if !profile.invoicing && is_steady(&draft.book.months, month, draft.terms.settings.invoicing_threshold) {
        let mut changed = (*profile).clone();
        changed.invoicing = true;
        draft.put(Row::Profile(Arc::new(changed)));
        draft.announce_invoicing();
    }
    Ok(())
}

/// Staff withdraw invoicing: what was bought until the end of the running month opens it no more.
pub fn withdraw(draft: &mut Draft<'_>) {
    let month = draft.book.account.profile.zone.rules().to_datetime(draft.at()).date().first_of_month();
    let row = draft.book.months.get(&month).cloned().unwrap_or_else(|| PurchaseMonth::new(month));
    draft.put(Row::PurchaseMonth(PurchaseMonth { withdrawn: true, ..row }));
}

/// The part before tax of what is left: as much of it is gone as of the whole.
fn net(payment: &Payment, lost: Money) -> Result<Money, Overflow> {
    let (paid, before_tax) = (payment.terms.amount, payment.terms.before_tax.unwrap_or(payment.terms.amount));
    if !lost.is_positive() {
        return Ok(before_tax);
    }
    if lost >= paid { Ok(Money::ZERO) } else { before_tax.share_down(paid.minus(lost)?.decimal(), paid.decimal()) }
}

/// Whether three months in a row with this one among them reach the threshold, after the last withdrawal.
fn is_steady(months: &BTreeMap<Date, PurchaseMonth>, month: Date, threshold: Money) -> bool {
    let earlier = |from: Date, by: i32| from.checked_sub(Span::new().months(by)).ok();
    let later = |from: Date, by: i32| from.checked_add(Span::new().months(by)).ok();
    let reaches = |month: Date| months.get(&month).is_some_and(|row| row.net.is_positive() && row.net >= threshold);
    let withdrawn = months.values().rev().find(|row| row.withdrawn).map(|row| row.month);
    (0..MONTHS).filter_map(|back| earlier(month, back)).any(|from| {
        let after = withdrawn.is_none_or(|withdrawn| from > withdrawn);
        after && (0..MONTHS).all(|ahead| later(from, ahead).is_some_and(reaches))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn steady(nets: &[(i8, u32)], withdrawn: Option<i8>, month: i8) -> bool {
        let row = |(month, net): &(i8, u32)| {
            let month = date(2026, *month, 1);
            (month, PurchaseMonth { month, net: Money::whole(*net), withdrawn: withdrawn.is_some_and(|one| date(2026, one, 1) == month) })
        };
        is_steady(&nets.iter().map(row).collect(), date(2026, month, 1), Money::whole(1000))
    }

    #[test]
    fn three_months_in_a_row_are_enough_wherever_the_last_one_falls() {
        let all = [(1, 1000), (2, 1000), (3, 1000)];
        for month in [1, 2, 3] {
            assert!(steady(&all, None, month), "{month}");
        }
        assert!(!steady(&all, None, 4) && !steady(&all[..2], None, 2));
        assert!(!steady(&[(1, 1000), (2, 999), (3, 1000)], None, 3), "one is below");
        assert!(!steady(&[(1, 1000), (3, 1000), (4, 1000)], None, 4), "one is missing");
        assert!(!steady(&[(1, 1000), (2, 1000), (3, 1000), (4, 1000)], Some(2), 4), "two after the withdrawal");
        assert!(steady(&[(1, 0), (2, 1000), (3, 1000), (4, 1000)], Some(1), 4));
    }
}
