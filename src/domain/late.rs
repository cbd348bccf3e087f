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
use std::collections::BTreeMap;

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
    /// True when something has ended since, and the grace of all that has is over.
    #[must_use]
    pub fn is_after_grace(self, draft: &Draft<'_>) -> bool {
        is_late(&draft.book, self.occurred_at) && !draft.book.grants.values().any(|grant| self.is_reopenable(draft, grant))
    }

    /// True when an ended grant has something that can pay for it.
    #[must_use]
    pub fn reopens(self, draft: &Draft<'_>) -> bool {
        let has_some = |grant: &Grant| grant.breakage.is_positive() || grant.handed_on.is_positive();
        draft.book.grants.values().any(|grant| grant.ended_at.is_some() && has_some(grant) && self.could_pay(draft, grant))
    }

    /// Whether the grant was usable when it happened, and may be used for it now.
    fn could_pay(self, draft: &Draft<'_>, grant: &Grant) -> bool {
        let was_usable = grant.terms.effective_at <= self.occurred_at && grant.covers(Some(self.meter));
        was_usable && (grant.status == GrantStatus::Active || self.is_reopenable(draft, grant))
    }

    /// Whether the grant has ended since, and its grace is not over.
    fn is_reopenable(self, draft: &Draft<'_>, grant: &Grant) -> bool {
        let Some((ended, recorded)) = grant.ended_at.zip(grant.end_recorded_at) else { return false };
        // A grace beyond the end of time has no end.
        self.occurred_at < ended && recorded.checked_add(grace(draft.terms)).map_or(true, |last| draft.at() < last)
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
        let rollovers = rollovers(&draft.book);
        let mut left = amount;
        let mut parts = Vec::new();
        for number in numbers {
            let Some(grant) = draft.book.grants.get(&number) else { continue };
            let part = match grant.status {
                GrantStatus::Active => grant.spendable(Some(self.meter))?.min(left),
                GrantStatus::Pending | GrantStatus::Ended => reopen(draft, &rollovers, number, left)?,
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

/// The rollover that each closed grant handed on to.
fn rollovers(book: &Book) -> BTreeMap<u32, u32> {
    book.grants.values().filter_map(|grant| Some((grant.terms.parent?, grant.terms.number))).collect()
}

/// One close on the way down a chain of rollovers.
struct Closed {
    grant: u32,
    rollover: u32,
    closed_at: Timestamp,
    /// What ended unused and came back.
    unused: Credits,
    /// What is still wanted of it.
    wanted: Credits,
    /// What it handed on, and how much of that lies above the rule's minimum.
    handed_on: Credits,
    above_min: Credits,
    /// What the rollover has left for it.
    free: Credits,
}

/// Brings up to `wanted` of an ended grant back into it, as if that much less had been left at its close;
/// returns how much came. A chain may be as long as a standstill, so it is walked down and up again.
fn reopen(draft: &mut Draft<'_>, rollovers: &BTreeMap<u32, u32>, number: u32, wanted: Credits) -> Result<Credits, Overflow> {
    let mut closes: Vec<Closed> = Vec::new();
    let (mut number, mut wanted) = (number, wanted);
    let mut came = loop {
        let Some(grant) = draft.book.grants.get(&number).cloned() else { break Credits::ZERO };
        let Some(closed_at) = grant.ended_at.filter(|_| wanted.is_positive()) else { break Credits::ZERO };
        let unused = unused(&draft.book, &grant)?.min(wanted);
        if unused.is_positive() {
            draft.occurred_at = closed_at;
            draft.return_unused(number, unused)?;
        }
        let rest = wanted.minus(unused)?;
        let Some(rollover) = rollovers.get(&number).filter(|_| rest.is_positive()).and_then(|one| draft.book.grants.get(one)) else {
            break unused;
        };
        let min = rollover.terms.rollover.as_ref().map_or(Credits::ZERO, |rule| rule.min);
        let above_min = grant.handed_on.minus(min)?.at_least_zero();
        let asked = above_min.min(rest);
        let free = rollover.remaining.minus(rollover.frozen)?.at_least_zero().min(asked);
        let handed_on = grant.handed_on;
        let rollover = rollover.terms.number;
        closes.push(Closed { grant: number, rollover, closed_at, unused, wanted: rest, handed_on, above_min, free });
        (number, wanted) = (rollover, asked.minus(free)?);
    };
    for closed in closes.into_iter().rev() {
        let moved = closed.free.plus(came)?;
        draft.occurred_at = closed.closed_at;
        draft.hand_back(closed.rollover, closed.grant, moved)?;
        // Of what is below the rule's minimum nothing has to come back: the rollover would have begun with as much.
        let reaches_min = moved == closed.above_min;
        let below_min = if reaches_min { closed.handed_on.minus(moved)?.min(closed.wanted.minus(moved)?) } else { Credits::ZERO };
        draft.restore(closed.grant, below_min)?;
        came = closed.unused.plus(moved)?.plus(below_min)?;
    }
    Ok(came)
}

/// What of a grant ended unused and was not counted as taken when its payment was reversed.
fn unused(book: &Book, grant: &Grant) -> Result<Credits, Overflow> {
    let payment = grant.terms.payment.as_ref().and_then(|payment| book.payments.get(payment));
    let Some(payment) = payment else { return Ok(grant.breakage) };
    let left = ended_unused(book, &payment.terms.payment)?.minus(payment.excused)?;
    Ok(grant.breakage.min(left.at_least_zero()))
}
