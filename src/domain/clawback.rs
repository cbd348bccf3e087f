//! Clawback by target: after whatever is heard of a payment, the credits that were taken back for it are
//! what its reversal aims at (semantics §6).
//!
//! Owns the one step from what was taken to what is aimed at, in both directions. It looks at sums only,
//! so neither the order nor the repetition of refunds and disputes matters. Never fails for lack of
//! credits: what is missing is the shortfall.

use super::account::{AccountStatus, Debt};
use super::book::Book;
use super::burn_down;
use super::credits::{Credits, Overflow};
use super::decision::Row;
use super::draft::{DebtFor, Draft, Posting};
use super::grant::{Grant, GrantStatus};
use super::ids::Printable;
use super::invoicing;
use super::payment::{Payment, PaymentStatus, PaymentTerms};
use super::reversal::Reversed;
use super::settings::Shortfall;
use std::cmp::Ordering;

/// How a payment's reversal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clawed {
    /// What it aims at.
    pub target: Credits,
    /// Credits taken back from what the payment bought.
    pub taken: Credits,
    /// Credits that could not be taken: owed, borne by the tenant, or repaid by others since.
    pub shortfall: Credits,
}

/// Takes back, or gives back, until what was taken for a payment is what its reversal aims at; then
/// freezes what an open dispute is about, and repays debt with whatever became free.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn settle(draft: &mut Draft<'_>, payment: &Printable) -> Result<Clawed, Overflow> {
    let Some(known) = draft.book.payments.get(payment).filter(|known| known.status == PaymentStatus::Granted).cloned() else {
        return Ok(Clawed::default());
    };
    let reversed = Reversed::of(&draft.book, &known);
    let lost = reversed.lost()?;
    let target = reversed.target(lost)?;
    let at_stake = reversed.target(reversed.at_stake()?)?;
    let clawed = clawed(&draft.book, &known)?;
    let terms = known.terms.clone();
    match target.cmp(&clawed) {
        Ordering::Greater => claw(draft, known, target.minus(clawed)?)?,
        Ordering::Less => give_back(draft, known, clawed.minus(target)?)?,
        Ordering::Equal => {}
    }
    freeze(draft, &terms, at_stake.minus(target)?.at_least_zero())?;
    draft.repay_debt()?;
    invoicing::count(draft, payment, lost)?;
    Ok(Clawed { target, taken: taken(&draft.book, payment)?, shortfall: shortfall(&draft.book, payment)? })
}

/// Everything that was taken for a payment, one way or another.
fn clawed(book: &Book, known: &Payment) -> Result<Credits, Overflow> {
    let payment = &known.terms.payment;
    taken(book, payment)?.plus(known.excused)?.plus(shortfall(book, payment)?)
}

/// Credits taken back from what a payment bought, as far as its grants are in the book.
///
/// # Errors
/// [`Overflow`] when the sum leaves its bounds.
pub fn taken(book: &Book, payment: &Printable) -> Result<Credits, Overflow> {
    Credits::sum(bought(book, payment).map(|grant| grant.clawed))
}

/// Credits that could not be taken for a payment, as far as its debts are in the book: owed, borne by the
/// tenant, or repaid by others since.
///
/// # Errors
/// [`Overflow`] when the sum leaves its bounds.
pub fn shortfall(book: &Book, payment: &Printable) -> Result<Credits, Overflow> {
    let owed = book.debts.values().filter(|debt| debt.payment.as_ref() == Some(payment));
    owed.map(Debt::stands).try_fold(Credits::ZERO, |sum, stands| sum.plus(stands?))
}

/// Credits of a payment that ended unused: by date, by a close, or voided.
///
/// # Errors
/// [`Overflow`] when the sum leaves its bounds.
pub fn ended_unused(book: &Book, payment: &Printable) -> Result<Credits, Overflow> {
    bought(book, payment).try_fold(Credits::ZERO, |sum, grant| sum.plus(grant.breakage)?.plus(grant.trimmed)?.plus(grant.voided))
}

/// What a payment bought, and what rolled over from it.
fn bought<'a>(book: &'a Book, payment: &'a Printable) -> impl Iterator<Item = &'a Grant> {
    book.grants.values().filter(move |grant| grant.terms.payment.as_ref() == Some(payment))
}

/// Its grants in burn order, with a number of each.
fn in_burn_order(draft: &Draft<'_>, payment: &Printable, of: fn(&Grant) -> Credits) -> Vec<(u32, Credits)> {
    let settings = &draft.terms.settings;
    let mut grants: Vec<&Grant> = bought(&draft.book, payment).collect();
    grants.sort_by(|left, right| burn_down::compare(settings, left, right));
    grants.into_iter().map(|grant| (grant.terms.number, of(grant))).collect()
}

/// Unused credits in reverse burn order; then what ended unused; the rest is shortfall.
fn claw(draft: &mut Draft<'_>, mut known: Payment, amount: Credits) -> Result<(), Overflow> {
    let payment = known.terms.payment.clone();
    let mut left = amount;
    for (number, remaining) in in_burn_order(draft, &payment, |grant| grant.remaining).into_iter().rev() {
        let part = remaining.min(left);
        if part.is_positive() {
            draft.claw(number, part, Some(known.terms.reference()))?;
            left = left.minus(part)?;
        }
    }
    let ended = ended_unused(&draft.book, &payment)?;
    let excused = ended.minus(known.excused)?.at_least_zero().min(left);
    if excused.is_positive() {
        known.excused = known.excused.plus(excused)?;
        draft.put(Row::Payment(known.clone()));
        left = left.minus(excused)?;
    }
    fall_short(draft, &known, left)
}

fn fall_short(draft: &mut Draft<'_>, known: &Payment, amount: Credits) -> Result<(), Overflow> {
    if !amount.is_positive() {
        return Ok(());
    }
    let policy = draft.terms.settings.shortfall;
    let what = DebtFor { scope: None, payment: Some(known.terms.payment.clone()), paid_only: policy == Shortfall::TakeOtherPaid };
    let posting = Posting { reference: Some(known.terms.reference()), ..Posting::default() };
    match policy {
        Shortfall::Debt | Shortfall::TakeOtherPaid => draft.incur_debt(amount, what, posting),
        Shortfall::WriteOff => draft.write_off(amount, what, posting),
    }
}

/// Shortfall is undone first, the last of it first; then what was excused; then what was taken returns.
fn give_back(draft: &mut Draft<'_>, mut known: Payment, amount: Credits) -> Result<(), Overflow> {
    let (payment, reference) = (known.terms.payment.clone(), known.terms.reference());
    let mut left = amount;
    let owed: Vec<u32> =
        draft.book.debts.values().rev().filter(|debt| debt.payment.as_ref() == Some(&payment)).map(|debt| debt.number).collect();
    for number in owed {
        left = left.minus(draft.undo_debt(number, left)?)?;
    }
    let excused = known.excused.min(left);
    if excused.is_positive() {
        known.excused = known.excused.minus(excused)?;
        draft.put(Row::Payment(known));
        left = left.minus(excused)?;
    }
    for (number, clawed) in in_burn_order(draft, &payment, |grant| grant.clawed) {
        let part = clawed.min(left);
        if part.is_positive() {
            draft.unclaw(number, part, Some(reference.clone()))?;
            left = left.minus(part)?;
        }
    }
    Ok(())
}

/// Freezes that much of what is unused, the last to burn first; thaws what is beyond it, the first to
/// burn first. What a closed account has frozen stays.
fn freeze(draft: &mut Draft<'_>, terms: &PaymentTerms, wanted: Credits) -> Result<(), Overflow> {
    if draft.book.account.status == AccountStatus::Closed {
        return Ok(());
    }
    let (payment, reference) = (&terms.payment, terms.reference());
    let active = |grant: &Grant| if grant.status == GrantStatus::Active { grant.remaining } else { Credits::ZERO };
    let unused = in_burn_order(draft, payment, active);
    let frozen = in_burn_order(draft, payment, |grant| grant.frozen);
    let now = Credits::sum(frozen.iter().map(|(_, frozen)| *frozen))?;
    let wanted = Credits::sum(unused.iter().map(|(_, remaining)| *remaining))?.min(wanted);
    let mut more = wanted.minus(now)?.at_least_zero();
    for ((number, remaining), (_, frozen)) in unused.iter().zip(&frozen).rev() {
        let part = remaining.minus(*frozen)?.min(more);
        if part.is_positive() {
            draft.freeze(*number, part, Some(reference.clone()))?;
            more = more.minus(part)?;
        }
    }
    let mut less = now.minus(wanted)?.at_least_zero();
    for (number, frozen) in frozen {
        let part = frozen.min(less);
        if part.is_positive() {
            draft.freeze(number, part.negated(), Some(reference.clone()))?;
            less = less.minus(part)?;
        }
    }
    Ok(())
}
