//! A mutation in the making: the one place where the numbers of an account change.
//!
//! Owns the pairing of every change with its entry. Never refuses: whoever drafts has checked.

mod debts;
mod grants;
mod reopened;

pub use debts::DebtFor;

use super::account::{AccountStatus, Profile};
use super::book::Book;
use super::command::Act;
use super::credits::{Credits, Overflow};
use super::decision::{Mutation, Row};
use super::entry::{Entry, EntryKind, Touch};
use super::event::Event;
use super::grant::Grant;
use super::ids::{Id, MessageId, Printable, Prose};
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
        Self::on(book.clone(), terms, cause, occurred_at, at)
    }

    /// Begins on the book itself.
    #[must_use]
    pub fn on(book: Book, terms: &'a Terms, cause: MessageId, occurred_at: Timestamp, at: Timestamp) -> Self {
        Self {
            grants_before: book.account.grants,
            book,
            terms,
            cause,
            actor: None,
            reason: None,
            occurred_at,
            passed: at,
            at,
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

    /// True when it moves any number.
    #[must_use]
    pub fn has_entries(&self) -> bool {
        !self.entries.is_empty()
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

    /// Says more in the memo of the last entry.
    pub fn annotate(&mut self, memo: Option<Prose>) {
        if let Some(entry) = self.entries.last_mut() {
            entry.memo = memo;
        }
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
        let (status, profile) = self.state();
        self.announce(Event::AccountChanged { status, profile });
    }

    /// Announces that steady purchases opened invoicing for it.
    pub fn announce_invoicing(&mut self) {
        let (status, profile) = self.state();
        self.announce(Event::InvoicingEligible { status, profile });
    }

    fn state(&self) -> (&'static str, Arc<Profile>) {
        let account = &self.book.account;
        let status = match (account.status, account.frozen_by_staff) {
            (AccountStatus::Open, true) => "frozen",
            (status, _) => status.word(),
        };
        (status, account.profile.clone())
    }

    /// A name for the next thing this cause makes.
    pub fn derived_id(&mut self, prefix: &str) -> Id {
        let id = self.cause.derived(prefix, self.made);
        self.made = self.made.saturating_add(1);
        id
    }

    /// Counts a close for a grant; false when this draft, which is one instant or one message, has
    /// counted one already.
    pub fn count_close(&mut self, number: u32) -> bool {
        self.closed.insert(number)
    }

    /// Changes a grant without moving credits.
    pub fn change_grant(&mut self, number: u32, change: impl FnOnce(&mut Grant)) {
        if let Some(grant) = self.book.grants.get_mut(number) {
            change(grant);
            self.grants.insert(number);
        }
    }

    /// Adds or replaces a row other than a grant or debt.
    pub fn put(&mut self, row: Row) {
        match row.clone() {
            Row::Payment(payment) => drop(self.book.payments.insert(payment.terms.payment.clone(), payment)),
            Row::PaymentName(known) => drop(self.book.payment_names.insert(known.name.name.clone(), known)),
            Row::Refund(refund) => drop(self.book.refunds.insert(refund.id.clone(), refund)),
            Row::Dispute(dispute) => drop(self.book.disputes.insert(dispute.id.clone(), dispute)),
            Row::Request(request) => drop(self.book.requests.insert(request.terms.id.clone(), request)),
            Row::Charge(charge) => drop(self.book.charges.insert(charge.reference.clone(), charge)),
            Row::PurchaseMonth(row) => drop(self.book.months.insert(row.month, row)),
            Row::Subscription(one) => drop(self.book.subscriptions.insert(one.id.clone(), one)),
            Row::HighWater(mark) => drop(self.book.high_waters.insert(mark.item.clone(), mark)),
            Row::Profile(profile) => self.book.account.profile = profile,
            Row::Grant(_) | Row::Debt(_) | Row::Reset(_) | Row::Details(_) => {}
        }
        self.rows.push(row);
    }

    /// The mutation; nothing can fail from here.
    #[must_use]
    pub fn finish(self) -> Mutation {
        self.finish_with_book().0
    }

    /// The mutation, and the book it was drafted on, as it is with it.
    #[must_use]
    pub fn finish_with_book(mut self) -> (Mutation, Book) {
        let grants = self.grants.iter().filter_map(|number| self.book.grants.get(number)).cloned().map(Row::Grant);
        let debts = self.debts.iter().filter_map(|number| self.book.debts.get(number)).cloned().map(Row::Debt);
        let mut rows: Vec<Row> = grants.chain(debts).collect();
        rows.append(&mut self.rows);
        self.book.account.recorded_at = Some(self.at);
        let account = self.book.account.clone();
        (Mutation { account, entries: self.entries, events: self.events, rows }, self.book)
    }
}

/// Credits of a book that a message touching `scope` could burn now.
///
/// # Errors
/// [`Overflow`] cannot happen while the invariants hold.
pub fn spendable(book: &Book, scope: Option<&Id>) -> Result<Credits, Overflow> {
    book.grants.live().try_fold(Credits::ZERO, |sum, grant| sum.plus(grant.spendable(scope)?))
}
