//! Late usage: what was used under grants that have ended by the time it is recorded (semantics §7).
//!
//! Owns which grants are reopened for it, within the grace, and how their close is done over with less left:
//! what ended unused comes back, and what rolled over goes back to where it came from, close by close. Never
//! decides whether usage is taken, and never touches what others have used since.

use super::book::Book;
use super::burn_down;
use super::clawback::ended_unused;
use super::credits::{Credits, Overflow};
use super::draft::{Draft, Posting};
use super::grant::{Grant, GrantStatus};
use super::ids::Id;
use super::settings::Terms;
use jiff::{SignedDuration, Timestamp};

/// Usage of the past.
#[derive(Debug, Clone, Copy)]
pub struct Late<'a> {
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What was used.
    pub meter: &'a Id,
}

/// True when something of the account has ended since an instant.
#[must_use]
pub fn is_late(book: &Book, occurred_at: Timestamp) -> bool {
    book.account.last_ended_at.is_some_and(|ended| occurred_at < ended)
}

/// How long after the record of an end what happened before may reopen it.
#[must_use]
pub fn grace(terms: &Terms) -> SignedDuration {
    SignedDuration::from_hours(terms.settings.late_grace_hours.into())
}

impl Late<'_> {
    /// True when an ended grant could have paid for it and its grace has not passed.
    #[must_use]
    pub fn reopens(self, draft: &Draft<'_>) -> bool {
        draft.book.grants.values().any(|grant| grant.status == GrantStatus::Ended && self.could_pay(draft, grant))
    }

    /// Whether the grant was usable when it happened, and may be used for it now.
    fn could_pay(self, draft: &Draft<'_>, grant: &Grant) -> bool {
        let was_usable = grant.terms.effective_at <= self.occurred_at && grant.covers(Some(self.meter));
        let within_grace = || {
            let recorded = grant.end_recorded_at.and_then(|at| at.checked_add(grace(draft.terms)).ok());
            recorded.is_some_and(|last| draft.at() < last)
        };
        was_usable
            && match grant.status {
                GrantStatus::Pending => false,
                GrantStatus::Active => true,
                GrantStatus::Ended => grant.ended_at().is_some_and(|ended| self.occurred_at < ended) && within_grace(),
            }
    }

    /// Burns up to `amount` from the grants that were usable then, in burn order; returns what was burned.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while the invariants hold.
    pub fn burn(self, draft: &mut Draft<'_>, amount: Credits, posting: Posting) -> Result<Credits, Overflow> {
        let settings = &draft.terms.settings;
        let mut usable: Vec<&Grant> = draft.book.grants.values().filter(|grant| self.could_pay(draft, grant)).collect();
        usable.sort_by(|left, right| burn_down::compare(settings, left, right));
        let numbers: Vec<u32> = usable.into_iter().map(|grant| grant.terms.number).collect();
        let mut left = amount;
        let mut parts = Vec::new();
        for number in numbers {
            let Some(grant) = draft.book.grants.get(&number) else { continue };
            let part = match grant.status {
                GrantStatus::Active => grant.spendable(Some(self.meter))?.min(left),
                GrantStatus::Pending | GrantStatus::Ended => reopen(draft, number, left)?,
            };
            if part.is_positive() {
                left = left.minus(part)?;
                parts.push((number, part));
            }
        }
        draft.occurred_at = self.occurred_at;
        draft.burn_parts(&parts, posting)?;
        amount.minus(left)
    }
}

/// Brings up to `wanted` of an ended grant back into it, as if that much less had been left at its close;
/// returns how much came.
fn reopen(draft: &mut Draft<'_>, number: u32, wanted: Credits) -> Result<Credits, Overflow> {
    let Some(grant) = draft.book.grants.get(&number).cloned() else { return Ok(Credits::ZERO) };
    // What a cap has trimmed of a running rollover was trimmed when it began.
    let closed_at = grant.ended_at().unwrap_or(grant.terms.effective_at);
    let unused = unused(&draft.book, &grant)?.min(wanted);
    if unused.is_positive() {
        draft.occurred_at = closed_at;
        draft.return_unused(number, unused)?;
    }
    let handed_on = take_back(draft, &grant, (wanted.minus(unused)?, closed_at))?;
    unused.plus(handed_on)
}

/// What of a grant ended unused and was not counted as taken when its payment was reversed.
fn unused(book: &Book, grant: &Grant) -> Result<Credits, Overflow> {
    let payment = grant.terms.payment.as_ref().and_then(|payment| book.payments.get(payment));
    let Some(payment) = payment else { return Ok(grant.breakage) };
    let left = ended_unused(book, &payment.terms.payment)?.minus(payment.excused)?;
    Ok(grant.breakage.min(left.at_least_zero()))
}

/// What a closed grant handed on comes back as far as its rollover, or what became of that, still has it. Of
/// what is below the rule's minimum nothing has to: the rollover would have begun with as much.
fn take_back(draft: &mut Draft<'_>, parent: &Grant, (wanted, closed_at): (Credits, Timestamp)) -> Result<Credits, Overflow> {
    let rollover = draft.book.grants.values().find(|grant| grant.terms.parent == Some(parent.terms.number)).cloned();
    let Some(rollover) = rollover.filter(|_| wanted.is_positive()) else { return Ok(Credits::ZERO) };
    let number = parent.terms.number;
    let min = rollover.terms.rollover.as_ref().map_or(Credits::ZERO, |rule| rule.min);
    let above_min = parent.handed_on.minus(min)?.at_least_zero();
    let moved = pull(draft, &rollover, above_min.min(wanted))?;
    draft.occurred_at = closed_at;
    draft.hand_back(rollover.terms.number, number, moved)?;
    if moved < above_min {
        return Ok(moved);
    }
    let below_min = parent.handed_on.minus(moved)?.min(wanted.minus(moved)?);
    draft.restore(number, below_min)?;
    moved.plus(below_min)
}

/// Makes up to `wanted` of a rollover free to be moved back: what is left of it, then what its own close took.
fn pull(draft: &mut Draft<'_>, rollover: &Grant, wanted: Credits) -> Result<Credits, Overflow> {
    let left = rollover.remaining.minus(rollover.frozen)?.at_least_zero().min(wanted);
    left.plus(reopen(draft, rollover.terms.number, wanted.minus(left)?)?)
}
