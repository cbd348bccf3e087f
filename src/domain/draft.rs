//! A mutation in the making: the one place where the numbers of an account change.
//!
//! Owns the pairing of every change with its entry. Never refuses: whoever drafts has checked.

use super::account::{AccountStatus, Debt};
use super::book::Book;
use super::burn_down;
use super::command::Act;
use super::credits::{Credits, Overflow};
use super::decision::{Mutation, Row};
use super::entry::{Entry, EntryKind, Touch};
use super::event::Event;
use super::grant::{Grant, GrantSource, GrantStatus, GrantTerms};
use super::ids::{Id, MessageId, Printable, Prose};
use super::refill;
use super::settings::Terms;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The numbers one entry changes, beside its kind.
#[derive(Debug, Clone, Default)]
pub struct Posting {
    /// How much the balance moves.
    pub amount: Credits,
    /// Change of held.
    pub held: Credits,
    /// Change of frozen.
    pub frozen: Credits,
    /// Change of debt.
    pub debt: Credits,
    /// Grants touched.
    pub touched: Vec<Touch>,
    /// Order, invoice, payment or request.
    pub reference: Option<Printable>,
    /// What was priced.
    pub memo: Option<Prose>,
}

/// Changes being written, and the book as it is with them.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The book so far.
    pub book: Book,
    /// The tenant's terms.
    pub terms: &'a Terms,
    /// What causes the entries that follow.
    pub cause: MessageId,
    /// Who asked, where a person did.
    pub actor: Option<Printable>,
    /// Why, where the reference does not hold all of it.
    pub reason: Option<Prose>,
    /// The world's time of the entries that follow.
    pub occurred_at: Timestamp,
    /// Up to which instant refills have happened (semantics §3).
    pub passed: Timestamp,
    at: Timestamp,
    grants_before: u32,
    entries: Vec<Entry>,
    events: Vec<(u64, Event)>,
    grants: BTreeSet<u32>,
    debts: BTreeSet<u32>,
    rows: Vec<Row>,
    closed: BTreeSet<u32>,
    made: u32,
}

impl<'a> Draft<'a> {
    /// Begins on a copy of the book; `at` is the recorded time, `occurred_at` the world's.
    #[must_use]
    pub fn new(book: &Book, terms: &'a Terms, cause: MessageId, occurred_at: Timestamp, at: Timestamp) -> Self {
        Self {
            book: book.clone(),
            terms,
            cause,
            actor: None,
            reason: None,
            occurred_at,
            passed: at,
            at,
            grants_before: book.account.grants,
            entries: Vec::new(),
            events: Vec::new(),
            grants: BTreeSet::new(),
            debts: BTreeSet::new(),
            rows: Vec::new(),
            closed: BTreeSet::new(),
            made: 0,
        }
    }

    /// The recorded time of everything drafted.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// True when nothing was drafted yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.events.is_empty() && self.rows.is_empty() && self.grants.is_empty()
    }

    /// Whether the grants it makes, if any, promise more than the bounds hold.
    #[must_use]
    pub fn promises_too_much(&self) -> bool {
        self.book.account.grants > self.grants_before && self.book.promised().is_err()
    }

    /// Adds an entry and moves the account's numbers by it.
    ///
    /// # Errors
    /// [`Overflow`] when a number leaves its bounds; the draft is then thrown away.
    pub fn post(&mut self, kind: EntryKind, posting: Posting) -> Result<(), Overflow> {
        let account = &mut self.book.account;
        account.balance = kind.direction().moved(account.balance, posting.amount)?;
        account.held = account.held.plus(posting.held)?;
        account.frozen = account.frozen.plus(posting.frozen)?;
        account.debt = account.debt.plus(posting.debt)?;
        account.seq = account.seq.checked_add(1).ok_or(Overflow)?;
        self.entries.push(Entry {
            seq: account.seq,
            kind,
            amount: posting.amount,
            balance_after: account.balance,
            held_change: posting.held,
            frozen_change: posting.frozen,
            debt_change: posting.debt,
            reference: posting.reference,
            cause: self.cause.clone(),
            actor: self.actor.clone(),
            memo: posting.memo.or_else(|| self.reason.clone()),
            occurred_at: self.occurred_at,
            recorded_at: self.at,
            touched: posting.touched,
        });
        Ok(())
    }

    /// Says who does it and why: what the entries that follow refer to.
    pub fn act(&mut self, act: &Act) -> Printable {
        let (reference, cut) = act.reason.headline();
        self.actor = Some(act.actor.clone());
        self.reason = cut.then(|| act.reason.clone());
        reference
    }

    /// Announces something.
    pub fn announce(&mut self, event: Event) {
        self.events.push((self.book.account.seq, event));
    }

    /// Opens the account if nobody has.
    pub fn open_account(&mut self) {
        if self.book.account.status == AccountStatus::Unopened {
            self.book.account.status = AccountStatus::Open;
            self.announce_account();
        }
    }

    /// Announces the account as it is now.
    pub fn announce_account(&mut self) {
        let account = &self.book.account;
        let status = match (account.status, account.frozen_by_staff) {
            (AccountStatus::Open, true) => "frozen",
            (status, _) => status.word(),
        };
        self.announce(Event::AccountChanged { status, profile: account.profile.clone() });
    }

    /// A name for the next thing this cause makes.
    pub fn derived_id(&mut self, prefix: &str) -> Id {
        let id = self.cause.derived(prefix, self.made);
        self.made = self.made.saturating_add(1);
        id
    }

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
            closes_left: closes_left.unwrap_or(1),
            refill_at: None,
            terms: Arc::new(terms),
        };
        self.book.grants.insert(number, grant);
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
        let Some(grant) = self.book.grants.get_mut(&number) else { return Ok(()) };
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
    fn take(&mut self, amount: Credits, limit: impl Fn(&Grant) -> Result<Credits, Overflow>) -> Result<Vec<Touch>, Overflow> {
        let settings = &self.terms.settings;
        let zone = self.book.account.profile.zone.rules();
        let mut order: Vec<&mut Grant> = self.book.grants.values_mut().filter(|grant| grant.status == GrantStatus::Active).collect();
        order.sort_by(|left, right| burn_down::compare(settings, left, right));
        let mut left = amount;
        let mut touched = Vec::new();
        for grant in order {
            if !left.is_positive() {
                break;
            }
            let part = limit(grant)?.min(left);
            if part.is_positive() {
                grant.remaining = grant.remaining.minus(part)?;
                refill::wake(grant, self.passed, zone);
                left = left.minus(part)?;
                self.grants.insert(grant.terms.number);
                touched.push(Touch { grant: grant.terms.number, change: part.negated() });
            }
        }
        Ok(touched)
    }

    /// Takes `amount` out of one grant with an entry of `kind`; frozen credits leave with it when
    /// nothing unfrozen is left, and are unfrozen by the same entry.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `amount ≤ remaining`.
    pub fn take_from(&mut self, number: u32, kind: EntryKind, amount: Credits) -> Result<(), Overflow> {
        let Some(grant) = self.book.grants.get_mut(&number) else { return Ok(()) };
        grant.remaining = grant.remaining.minus(amount)?;
        refill::wake(grant, self.passed, self.book.account.profile.zone.rules());
        let frozen = grant.frozen.min(grant.remaining);
        let frozen_change = frozen.minus(grant.frozen)?;
        grant.frozen = frozen;
        self.grants.insert(number);
        let touched = vec![Touch { grant: number, change: amount.negated() }];
        self.post(kind, Posting { amount, frozen: frozen_change, touched, ..Posting::default() })
    }

    /// Counts a close for a grant; false when this draft, which is one instant or one message, has
    /// counted one already.
    pub fn count_close(&mut self, number: u32) -> bool {
        self.closed.insert(number)
    }

    /// Changes a grant without moving credits.
    pub fn change_grant(&mut self, number: u32, change: impl FnOnce(&mut Grant)) {
        if let Some(grant) = self.book.grants.get_mut(&number) {
            change(grant);
            self.grants.insert(number);
        }
    }

    /// Records what credits did not cover as debt.
    ///
    /// # Errors
    /// [`Overflow`] when the debt leaves its bounds.
    pub fn incur_debt(&mut self, amount: Credits, scope: Option<Id>, posting: Posting) -> Result<(), Overflow> {
        if !amount.is_positive() {
            return Ok(());
        }
        let number = self.book.account.debts.checked_add(1).ok_or(Overflow)?;
        self.book.account.debts = number;
        let reference = posting.reference.clone();
        let debt = Debt { number, amount, remaining: amount, scope, cause: self.cause.clone(), reference: reference.clone() };
        self.book.debts.insert(number, debt);
        self.debts.insert(number);
        self.post(EntryKind::DebtIncurred, Posting { debt: amount, ..posting })?;
        self.announce(Event::DebtIncurred { payment: None, amount, debt: self.book.account.debt, reference });
        Ok(())
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
        let mut repaid = Credits::ZERO;
        for number in owed {
            let Some(debt) = self.book.debts.get(&number) else { continue };
            let (remaining, scope, reference) = (debt.remaining, debt.scope.clone(), debt.reference.clone());
            let touched = self.take(remaining, |grant| grant.spendable(scope.as_ref()))?;
            let amount = Credits::sum(touched.iter().map(|touch| touch.change.negated()))?;
            if !amount.is_positive() {
                continue;
            }
            if let Some(debt) = self.book.debts.get_mut(&number) {
                debt.remaining = debt.remaining.minus(amount)?;
                self.debts.insert(number);
            }
            let posting = Posting { amount, debt: amount.negated(), touched, reference, ..Posting::default() };
            self.post(EntryKind::DebtRepaid, posting)?;
            repaid = repaid.plus(amount)?;
        }
        if repaid.is_positive() {
            self.announce(Event::DebtRepaid { payment: None, amount: repaid, debt: self.book.account.debt });
        }
        Ok(())
    }

    /// Adds or replaces a row other than a grant or debt.
    pub fn put(&mut self, row: Row) {
        match row.clone() {
            Row::Payment(payment) => drop(self.book.payments.insert(payment.terms.payment.clone(), payment)),
            Row::PaymentName(known) => drop(self.book.payment_names.insert(known.name.name.clone(), known)),
            Row::Request(request) => drop(self.book.requests.insert(request.terms.id.clone(), request)),
            Row::Charge(charge) => drop(self.book.charges.insert(charge.reference.clone(), charge)),
            Row::Subscription(one) => drop(self.book.subscriptions.insert(one.id.clone(), one)),
            Row::HighWater(mark) => drop(self.book.high_waters.insert(mark.item.clone(), mark)),
            Row::Profile(profile) => self.book.account.profile = profile,
            Row::Grant(_) | Row::Debt(_) | Row::Reset(_) => {}
        }
        self.rows.push(row);
    }

    /// The mutation; nothing can fail from here.
    #[must_use]
    pub fn finish(mut self) -> Mutation {
        let grants = self.grants.iter().filter_map(|number| self.book.grants.get(number)).cloned().map(Row::Grant);
        let debts = self.debts.iter().filter_map(|number| self.book.debts.get(number)).cloned().map(Row::Debt);
        let mut rows: Vec<Row> = grants.chain(debts).collect();
        rows.append(&mut self.rows);
        self.book.account.recorded_at = Some(self.at);
        Mutation { account: self.book.account, entries: self.entries, events: self.events, rows }
    }
}

/// Credits of a book that a message touching `scope` could burn now.
///
/// # Errors
/// [`Overflow`] cannot happen while the invariants hold.
pub fn spendable(book: &Book, scope: Option<&Id>) -> Result<Credits, Overflow> {
    book.grants.values().try_fold(Credits::ZERO, |sum, grant| sum.plus(grant.spendable(scope)?))
}
