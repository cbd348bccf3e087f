//! Debts in a draft: how they arise, are repaid, written off and undone (semantics §4, §6).
//!
//! Owns what a debt remembers of itself. Whether something may become debt is decided before.

use super::{Draft, Posting};
use crate::domain::account::Debt;
use crate::domain::credits::{Credits, Overflow};
use crate::domain::entry::{EntryKind, Touch};
use crate::domain::event::Event;
use crate::domain::grant::{Grant, GrantSource};
use crate::domain::ids::{Id, Printable};
use std::collections::BTreeMap;

/// What a debt arises for.
#[derive(Debug, Clone, Default)]
pub struct DebtFor {
    /// The meter or service; a scoped grant repays only debt within its scope.
    pub scope: Option<Id>,
    /// The payment whose reversal it is the shortfall of.
    pub payment: Option<Printable>,
    /// Only purchased credits repay it.
    pub paid_only: bool,
}

impl Draft<'_> {
    /// Records what credits did not cover as debt, and announces it.
    ///
    /// # Errors
    /// [`Overflow`] when the debt leaves its bounds.
    pub fn incur_debt(&mut self, amount: Credits, what: DebtFor, posting: Posting) -> Result<(), Overflow> {
        if amount.is_positive() {
            let (payment, reference) = (what.payment.clone(), posting.reference.clone());
            self.owe(amount, what, posting)?;
            self.announce(Event::DebtIncurred { payment, amount, debt: self.book.account.debt, reference });
        }
        Ok(())
    }

    /// Records a debt; returns its number.
    fn owe(&mut self, amount: Credits, what: DebtFor, posting: Posting) -> Result<u32, Overflow> {
        let number = self.book.account.debts.checked_add(1).ok_or(Overflow)?;
        self.book.account.debts = number;
        let DebtFor { scope, payment, paid_only } = what;
        let debt = Debt {
            number,
            amount,
            remaining: amount,
            scope,
            cause: self.cause.clone(),
            reference: posting.reference.clone(),
            payment,
            paid_only,
            written_off: Credits::ZERO,
            undone: Credits::ZERO,
            repaid_by: BTreeMap::new(),
        };
        self.book.debts.insert(number, debt);
        self.debts.insert(number);
        self.post(EntryKind::DebtIncurred, Posting { debt: amount, ..posting })?;
        Ok(number)
    }

    /// Repays debt with spendable credits, oldest first, in burn order; a scoped grant repays only
    /// debt within its scope (semantics §6).
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while the invariants hold.
    pub fn repay_debt(&mut self) -> Result<(), Overflow> {
        if !self.book.account.debt.is_positive() {
            return Ok(());
        }
        let owed: Vec<u32> = self.book.debts.values().filter(|debt| debt.remaining.is_positive()).map(|debt| debt.number).collect();
        let mut repaid: BTreeMap<Option<Printable>, Credits> = BTreeMap::new();
        for number in owed {
            let Some((payment, amount)) = self.repay(number)? else { continue };
            let sum = repaid.entry(payment).or_default();
            *sum = sum.plus(amount)?;
        }
        for (payment, amount) in repaid {
            self.announce(Event::DebtRepaid { payment, amount, debt: self.book.account.debt });
        }
        Ok(())
    }

    /// Repays one debt as far as it goes; `None` when nothing could be.
    fn repay(&mut self, number: u32) -> Result<Option<(Option<Printable>, Credits)>, Overflow> {
        let Some(debt) = self.book.debts.get(&number) else { return Ok(None) };
        let (remaining, scope, paid_only) = (debt.remaining, debt.scope.clone(), debt.paid_only);
        let (payment, reference) = (debt.payment.clone(), debt.reference.clone());
        let may = |grant: &Grant| !paid_only || grant.terms.source == GrantSource::Purchased;
        let touched = self.take(remaining, |grant| if may(grant) { grant.spendable(scope.as_ref()) } else { Ok(Credits::ZERO) })?;
        let amount = Credits::sum(touched.iter().map(|touch| touch.change.negated()))?;
        if !amount.is_positive() {
            return Ok(None);
        }
        self.change_debt(number, |debt| {
            debt.remaining = debt.remaining.minus(amount)?;
            // Only a reversal that is undone asks who repaid.
            for Touch { grant, change } in touched.iter().filter(|_| debt.payment.is_some()) {
                let by = debt.repaid_by.entry(*grant).or_default();
                *by = by.minus(*change)?;
            }
            Ok(())
        })?;
        let posting = Posting { amount, debt: amount.negated(), touched, reference, ..Posting::default() };
        self.post(EntryKind::DebtRepaid, posting)?;
        Ok(Some((payment, amount)))
    }

    /// Changes a debt without moving the account's numbers.
    fn change_debt(&mut self, number: u32, change: impl FnOnce(&mut Debt) -> Result<(), Overflow>) -> Result<(), Overflow> {
        if let Some(debt) = self.book.debts.get_mut(&number) {
            change(debt)?;
            self.debts.insert(number);
        }
        Ok(())
    }

    /// Records what credits did not cover as borne by the tenant: nobody ever owes it.
    ///
    /// # Errors
    /// [`Overflow`] when the debt leaves its bounds.
    pub fn write_off(&mut self, amount: Credits, what: DebtFor, posting: Posting) -> Result<(), Overflow> {
        let reference = posting.reference.clone();
        let number = self.owe(amount, what, posting)?;
        self.change_debt(number, |debt| {
            debt.remaining = Credits::ZERO;
            debt.written_off = debt.written_off.plus(amount)?;
            Ok(())
        })?;
        self.post(EntryKind::WrittenOff, Posting { debt: amount.negated(), reference, ..Posting::default() })
    }

    /// Undoes up to `amount` of a debt: first what is still owed, then what was written off, then what was
    /// repaid, whose credits go back to the grants that repaid it, the last of them first. Returns what was
    /// undone.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while the invariants hold.
    pub fn undo_debt(&mut self, number: u32, amount: Credits) -> Result<Credits, Overflow> {
        let Some(debt) = self.book.debts.get(&number).cloned() else { return Ok(Credits::ZERO) };
        let reference = || debt.reference.clone();
        let mut left = amount;
        let cancelled = debt.remaining.min(left);
        if cancelled.is_positive() {
            self.change_debt(number, |debt| {
                debt.remaining = debt.remaining.minus(cancelled)?;
                Ok(())
            })?;
            let posting = Posting { debt: cancelled.negated(), reference: reference(), ..Posting::default() };
            self.post(EntryKind::DebtCancelled, posting)?;
            left = left.minus(cancelled)?;
        }
        let restored = debt.written_off.min(left);
        if restored.is_positive() {
            self.change_debt(number, |debt| {
                debt.written_off = debt.written_off.minus(restored)?;
                Ok(())
            })?;
            // What was written off is owed again for a moment, so that each kind sums up to what it stands for.
            self.post(EntryKind::WrittenOff, Posting { debt: restored, reference: reference(), ..Posting::default() })?;
            self.post(EntryKind::DebtCancelled, Posting { debt: restored.negated(), reference: reference(), ..Posting::default() })?;
            left = left.minus(restored)?;
        }
        for (grant, repaid) in debt.repaid_by.iter().rev() {
            let part = (*repaid).min(left);
            if part.is_positive() {
                self.change_debt(number, |debt| {
                    let by = debt.repaid_by.entry(*grant).or_default();
                    *by = by.minus(part)?;
                    debt.repaid_by.retain(|_, repaid| repaid.is_positive());
                    Ok(())
                })?;
                self.give_back(*grant, part, reference())?;
                left = left.minus(part)?;
            }
        }
        let undone = amount.minus(left)?;
        self.change_debt(number, |debt| {
            debt.undone = debt.undone.plus(undone)?;
            Ok(())
        })?;
        Ok(undone)
    }
}
