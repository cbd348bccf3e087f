//! Reopened grants in a draft: what late usage undoes of a close, entry by entry (semantics §7).
//!
//! Owns the pairing of each such change with its entry. What is undone, and how much, is `late`'s.

use super::grants::burn_part;
use super::{Draft, Posting};
use crate::domain::credits::{Credits, Overflow};
use crate::domain::entry::{EntryKind, Touch};

impl Draft<'_> {
    /// Returns some of what ended unused to its grant.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `amount` is at most its breakage.
    pub fn return_unused(&mut self, number: u32, amount: Credits) -> Result<(), Overflow> {
        if let Some(grant) = self.book.grants.get_mut(number) {
            grant.breakage = grant.breakage.minus(amount)?;
        }
        self.raise(number, EntryKind::Returned, amount)
    }

    /// Moves credits of a rollover back to the grant that handed them on.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while the rollover has them.
    pub fn hand_back(&mut self, rollover: u32, parent: u32, amount: Credits) -> Result<(), Overflow> {
        if amount.is_positive() {
            self.take_from(rollover, EntryKind::RolledOut, amount)?;
            self.restore(parent, amount)?;
        }
        Ok(())
    }

    /// Gives a grant back what it handed on.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while it handed on as much.
    pub fn restore(&mut self, number: u32, amount: Credits) -> Result<(), Overflow> {
        if !amount.is_positive() {
            return Ok(());
        }
        if let Some(grant) = self.book.grants.get_mut(number) {
            grant.handed_on = grant.handed_on.minus(amount)?;
        }
        self.raise(number, EntryKind::RolledIn, amount)
    }

    fn raise(&mut self, number: u32, kind: EntryKind, amount: Credits) -> Result<(), Overflow> {
        let Some(grant) = self.book.grants.get_mut(number) else { return Ok(()) };
        grant.remaining = grant.remaining.plus(amount)?;
        self.grants.insert(number);
        let touched = vec![Touch { grant: number, change: amount }];
        self.post(kind, Posting { amount, touched, ..Posting::default() })
    }

    /// Burns parts of grants with one entry of usage; none when there are no parts.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while every grant has its part.
    pub fn burn_parts(&mut self, parts: &[(u32, Credits)], posting: Posting) -> Result<(), Overflow> {
        let passed = self.passed;
        let zone = self.book.account.profile.zone.rules();
        let mut touched = Vec::with_capacity(parts.len());
        for (number, part) in parts {
            let Some(grant) = self.book.grants.get_mut(*number) else { continue };
            self.grants.insert(*number);
            touched.push(burn_part(grant, *part, (passed, zone))?);
        }
        let amount = Credits::sum(parts.iter().map(|(_, part)| *part))?;
        if amount.is_positive() {
            self.post(EntryKind::Used, Posting { amount, touched, ..posting })?;
        }
        Ok(())
    }
}
