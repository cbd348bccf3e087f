//! Grants in a draft: made, activated, burned, taken from, frozen and given back.
//!
//! Owns how credits leave a grant and come back to it, each with its entry. Which grants, and how much of
//! them, is the caller's.

use super::{Draft, Posting, spendable};
use crate::domain::account::AccountStatus;
use crate::domain::burn_down;
use crate::domain::credits::{Credits, Overflow};
use crate::domain::entry::{EntryKind, Touch};
use crate::domain::grant::{Grant, GrantSource, GrantStatus, GrantTerms};
use crate::domain::ids::{Id, Printable};
use crate::domain::refill;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;

impl Draft<'_> {
    /// Makes a grant: its number is the account's next. Active at once (with its In entry) unless
    /// its `effective_at` is ahead of `occurred_at`.
    ///
    /// # Errors
    /// [`Overflow`] when a number leaves its bounds.
    pub fn grant(&mut self, terms: GrantTerms, reference: Option<Printable>) -> Result<u32, Overflow> {
        let number = self.book.account.grants.checked_add(1).ok_or(Overflow)?;
        self.book.account.grants = number;
        let terms = GrantTerms { number, ..terms };
        let closes_left = terms.rollover.as_ref().and_then(|rule| rule.cycles).filter(|_| terms.parent.is_some());
        let pending = terms.effective_at > self.occurred_at;
        let grant = Grant {
            status: GrantStatus::Pending,
            remaining: Credits::ZERO,
            frozen: Credits::ZERO,
            clawed: Credits::ZERO,
            breakage: Credits::ZERO,
            trimmed: Credits::ZERO,
            voided: Credits::ZERO,
            handed_on: Credits::ZERO,
            ended_at: None,
            end_recorded_at: None,
            closes_left: closes_left.unwrap_or(1),
            refill_at: None,
            terms: Arc::new(terms),
        };
        self.book.grants.insert(grant);
        self.grants.insert(number);
        if !pending {
            self.activate(number, reference)?;
        }
        Ok(number)
    }

    /// Writes the In entry of a pending grant.
    ///
    /// # Errors
    /// [`Overflow`] when a number leaves its bounds.
    pub fn activate(&mut self, number: u32, reference: Option<Printable>) -> Result<(), Overflow> {
        let closed = self.book.account.status == AccountStatus::Closed;
        let Some(grant) = self.book.grants.get_mut(number) else { return Ok(()) };
        let amount = grant.terms.credits;
        let kind = match grant.terms.source {
            GrantSource::Purchased => EntryKind::Purchased,
            GrantSource::Promotional | GrantSource::Bonus => EntryKind::Granted,
            GrantSource::Adjustment => EntryKind::AdjustedIn,
            GrantSource::Plan => EntryKind::Allowance,
            GrantSource::Addon => EntryKind::Addon,
            GrantSource::Rollover { .. } => EntryKind::RolledIn,
        };
        grant.status = GrantStatus::Active;
        grant.remaining = amount;
        grant.frozen = if closed { amount } else { Credits::ZERO };
        let frozen = grant.frozen;
        self.grants.insert(number);
        let touched = vec![Touch { grant: number, change: amount }];
        self.post(kind, Posting { amount, frozen, touched, reference, ..Posting::default() })
    }

    /// Credits that a message touching `scope` could burn now.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while the invariants hold.
    pub fn spendable(&self, scope: Option<&Id>) -> Result<Credits, Overflow> {
        spendable(&self.book, scope)
    }

    /// Burns up to `amount` in burn order with one entry; returns what was burned.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while the invariants hold.
    pub fn burn(&mut self, kind: EntryKind, amount: Credits, scope: Option<&Id>, posting: Posting) -> Result<Credits, Overflow> {
        let touched = self.take(amount, |grant| grant.spendable(scope))?;
        let burned = Credits::sum(touched.iter().map(|touch| touch.change.negated()))?;
        if burned.is_positive() {
            self.post(kind, Posting { amount: burned, touched, ..posting })?;
        }
        Ok(burned)
    }

    /// Lowers grants in burn order by up to `amount`, each by at most what `limit` says.
    pub(super) fn take(&mut self, amount: Credits, limit: impl Fn(&Grant) -> Result<Credits, Overflow>) -> Result<Vec<Touch>, Overflow> {
        let settings = &self.terms.settings;
        let zone = self.book.account.profile.zone.rules();
        let mut order: Vec<&Grant> = self.book.grants.live().filter(|grant| grant.status == GrantStatus::Active).collect();
        order.sort_by(|left, right| burn_down::compare(settings, left, right));
        let order: Vec<u32> = order.into_iter().map(|grant| grant.terms.number).collect();
        let mut left = amount;
        let mut touched = Vec::new();
        for number in order {
            let Some(grant) = self.book.grants.get_mut(number).filter(|_| left.is_positive()) else { break };
            let part = limit(grant)?.min(left);
            if part.is_positive() {
                left = left.minus(part)?;
                self.grants.insert(number);
                touched.push(burn_part(grant, part, (self.passed, zone))?);
            }
        }
        Ok(touched)
    }

    /// Ends a grant at the time of the draft; what was left of it has been taken before.
    pub fn end_grant(&mut self, number: u32) {
        let now = self.occurred_at;
        self.book.grants.end(number, now, self.at);
        self.grants.insert(number);
        let account = &mut self.book.account;
        account.last_ended_at = account.last_ended_at.max(Some(now));
    }

    /// Takes `amount` out of one grant with an entry of `kind`; frozen credits leave with it when
    /// nothing unfrozen is left, and are unfrozen by the same entry.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `amount ≤ remaining`.
    pub fn take_from(&mut self, number: u32, kind: EntryKind, amount: Credits) -> Result<(), Overflow> {
        if let Some(grant) = self.book.grants.get_mut(number).filter(|_| kind.is_breakage()) {
            grant.breakage = grant.breakage.plus(amount)?;
        }
        self.lower(number, kind, amount, None)
    }

    /// Takes `amount` of a rollover that is beyond the tenant's cap; it does not come back with its close.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `amount ≤ remaining`.
    pub fn trim(&mut self, number: u32, amount: Credits) -> Result<(), Overflow> {
        if let Some(grant) = self.book.grants.get_mut(number) {
            grant.trimmed = grant.trimmed.plus(amount)?;
        }
        self.lower(number, EntryKind::Forfeited, amount, None)
    }

    /// Takes `amount` of a grant away because staff said so.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `amount ≤ remaining`.
    pub fn void(&mut self, number: u32, amount: Credits, reference: Printable) -> Result<(), Overflow> {
        if let Some(grant) = self.book.grants.get_mut(number) {
            grant.voided = grant.voided.plus(amount)?;
        }
        self.lower(number, EntryKind::Voided, amount, Some(reference))
    }

    fn lower(&mut self, number: u32, kind: EntryKind, amount: Credits, reference: Option<Printable>) -> Result<(), Overflow> {
        let Some(grant) = self.book.grants.get_mut(number) else { return Ok(()) };
        grant.remaining = grant.remaining.minus(amount)?;
        refill::wake(grant, self.passed, self.book.account.profile.zone.rules());
        let frozen = grant.frozen.min(grant.remaining);
        let frozen_change = frozen.minus(grant.frozen)?;
        grant.frozen = frozen;
        self.grants.insert(number);
        let touched = vec![Touch { grant: number, change: amount.negated() }];
        self.post(kind, Posting { amount, frozen: frozen_change, touched, reference, ..Posting::default() })
    }

    /// Takes `amount` of a grant back because its payment was reversed. What is frozen leaves first: it was
    /// frozen for this.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `amount ≤ remaining`.
    pub fn claw(&mut self, number: u32, amount: Credits, reference: Option<Printable>) -> Result<(), Overflow> {
        let Some(grant) = self.book.grants.get_mut(number) else { return Ok(()) };
        let unfrozen = grant.frozen.min(amount);
        grant.remaining = grant.remaining.minus(amount)?;
        grant.frozen = grant.frozen.minus(unfrozen)?;
        grant.clawed = grant.clawed.plus(amount)?;
        self.grants.insert(number);
        let touched = vec![Touch { grant: number, change: amount.negated() }];
        self.post(EntryKind::ClawedBack, Posting { amount, frozen: unfrozen.negated(), touched, reference, ..Posting::default() })
    }

    /// Gives back what was taken of a grant by [`Self::claw`].
    ///
    /// # Errors
    /// [`Overflow`] when a number leaves its bounds.
    pub fn unclaw(&mut self, number: u32, amount: Credits, reference: Option<Printable>) -> Result<(), Overflow> {
        let Some(grant) = self.book.grants.get_mut(number) else { return Ok(()) };
        grant.clawed = grant.clawed.minus(amount)?;
        self.give_back(number, amount, reference)
    }

    /// Gives credits back to the grant they came from; one that is over by now loses them at once, as all
    /// it had left.
    ///
    /// # Errors
    /// [`Overflow`] when a number leaves its bounds.
    pub fn give_back(&mut self, number: u32, amount: Credits, reference: Option<Printable>) -> Result<(), Overflow> {
        let at = self.at();
        // What a closed account has is frozen, what comes back to it as well.
        let frozen = if self.book.account.status == AccountStatus::Closed { amount } else { Credits::ZERO };
        let Some(grant) = self.book.grants.get_mut(number) else { return Ok(()) };
        let over = grant.status == GrantStatus::Ended || grant.terms.end.explicit().is_some_and(|end| end <= at);
        grant.remaining = grant.remaining.plus(amount)?;
        grant.frozen = grant.frozen.plus(frozen)?;
        self.grants.insert(number);
        let touched = vec![Touch { grant: number, change: amount }];
        self.post(EntryKind::Returned, Posting { amount, frozen, touched, reference, ..Posting::default() })?;
        // One that refilled itself meanwhile has no room for more than it was granted with.
        let beyond = self.book.grants.get(&number).map(|grant| grant.remaining.minus(grant.terms.credits)).transpose()?;
        let ends = if over { amount } else { beyond.unwrap_or_default().at_least_zero() };
        if ends.is_positive() {
            self.take_from(number, EntryKind::Expired, ends)?;
        }
        Ok(())
    }

    /// Freezes some of a grant, or unfreezes it when `change` is below zero.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while the frozen part stays between 0 and what remains.
    pub fn freeze(&mut self, number: u32, change: Credits, reference: Option<Printable>) -> Result<(), Overflow> {
        let Some(grant) = self.book.grants.get_mut(number) else { return Ok(()) };
        grant.frozen = grant.frozen.plus(change)?;
        self.grants.insert(number);
        let kind = if change.is_negative() { EntryKind::Unfrozen } else { EntryKind::Frozen };
        let touched = vec![Touch { grant: number, change: Credits::ZERO }];
        self.post(kind, Posting { frozen: change, touched, reference, ..Posting::default() })
    }
}

/// Lowers a grant by a part that is burned; from then on it waits for the refill after `passed`.
pub(super) fn burn_part(grant: &mut Grant, part: Credits, (passed, zone): (Timestamp, &TimeZone)) -> Result<Touch, Overflow> {
    grant.remaining = grant.remaining.minus(part)?;
    refill::wake(grant, passed, zone);
    Ok(Touch { grant: grant.terms.number, change: part.negated() })
}
