//! The state of one account as far as a decision needs it, and the next state after a mutation.
//!
//! Owns the invariants of an account (`check`). Never decides and never loads anything: what is
//! not in the book was not needed for the messages at hand.

use super::account::{Account, Debt};
use super::charge::Charge;
use super::command::Message;
use super::credits::{Credits, Overflow};
use super::decision::{Mutation, On, Recorded, Row};
use super::grant::GrantStatus;
use super::grants::Grants;
use super::ids::{AccountKey, Hash, Id, MessageKey, Printable};
use super::invoicing::PurchaseMonth;
use super::payment::{KnownName, Payment};
use super::request::{CreditRequest, RequestStatus};
use super::reversal::{Dispute, Refund};
use super::subscription::{HighWater, Subscription};
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// An account with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// Its numbers.
    pub account: Account,
    /// Open grants, and closed ones that a message names, by number.
    pub grants: Grants,
    /// Debts with something owed, and the shortfalls of payments that messages reverse, by number.
    pub debts: BTreeMap<u32, Debt>,
    /// Payments that messages name, by the name each is kept under.
    pub payments: BTreeMap<Printable, Payment>,
    /// All names of those payments.
    pub payment_names: BTreeMap<Printable, KnownName>,
    /// Their refunds.
    pub refunds: BTreeMap<Printable, Refund>,
    /// Their disputes.
    pub disputes: BTreeMap<Printable, Dispute>,
    /// Pending requests, and others that messages name.
    pub requests: BTreeMap<Id, CreditRequest>,
    /// Charges that messages name, by reference.
    pub charges: BTreeMap<Printable, Charge>,
    /// Subscriptions that have not ended, and others that messages name.
    pub subscriptions: BTreeMap<Id, Subscription>,
    /// High-water marks by item.
    pub high_waters: BTreeMap<Printable, HighWater>,
    /// What was bought in the months that are named, by their first days.
    pub months: BTreeMap<Date, PurchaseMonth>,
}

/// An invariant of the ledger does not hold: the batch that would break it is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("account {account}: {broken}; nothing was written for it")]
pub struct InvariantViolated {
    /// Which account.
    pub account: AccountKey,
    /// What does not hold, with the numbers.
    pub broken: String,
}

impl Book {
    /// A book about an account nobody has opened.
    #[must_use]
    pub fn unopened(key: AccountKey) -> Self {
        Self::of(Account::unopened(key))
    }

    /// A book with nothing in it but the account's own row.
    #[must_use]
    pub fn of(account: Account) -> Self {
        Self {
            account,
            grants: Grants::default(),
            debts: BTreeMap::new(),
            payments: BTreeMap::new(),
            payment_names: BTreeMap::new(),
            refunds: BTreeMap::new(),
            disputes: BTreeMap::new(),
            requests: BTreeMap::new(),
            charges: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            high_waters: BTreeMap::new(),
            months: BTreeMap::new(),
        }
    }

    /// The payment of a name, whichever of its names it is.
    #[must_use]
    pub fn payment(&self, name: &Printable) -> Option<&Payment> {
        self.payments.get(&self.payment_names.get(name)?.payment)
    }

    /// True when a payment is known that a provider calls so.
    #[must_use]
    pub fn knows_payment_id(&self, provider_id: &Id) -> bool {
        self.payment_names.values().any(|known| known.name.provider_id == *provider_id)
    }

    /// The next state; seals the entries into the account's chain and returns their hashes.
    pub fn after(&mut self, mutation: &Mutation) -> Vec<Hash> {
        let mut hash = self.account.hash;
        let hashes = mutation
            .entries
            .iter()
            .map(|entry| {
                hash = entry.hash(hash);
                hash
            })
            .collect();
        self.account = mutation.account.clone();
        self.account.hash = hash;
        for row in &mutation.rows {
            match row.clone() {
                Row::Grant(grant) => self.grants.insert(grant),
                Row::Debt(debt) => drop(self.debts.insert(debt.number, debt)),
                Row::Payment(payment) => drop(self.payments.insert(payment.terms.payment.clone(), payment)),
                Row::PaymentName(known) => drop(self.payment_names.insert(known.name.name.clone(), known)),
                Row::Refund(refund) => drop(self.refunds.insert(refund.id.clone(), refund)),
                Row::Dispute(dispute) => drop(self.disputes.insert(dispute.id.clone(), dispute)),
                Row::Request(request) => drop(self.requests.insert(request.terms.id.clone(), request)),
                Row::Charge(charge) => drop(self.charges.insert(charge.reference.clone(), charge)),
                Row::PurchaseMonth(row) => drop(self.months.insert(row.month, row)),
                Row::Subscription(one) => drop(self.subscriptions.insert(one.id.clone(), one)),
                Row::HighWater(mark) => drop(self.high_waters.insert(mark.item.clone(), mark)),
                // The account carries its profile; no rule looks at details.
                Row::Reset(_) | Row::Profile(_) | Row::Details(_) => {}
            }
        }
        hashes
    }

    /// The most that the balance becomes by itself: with what is pending, and what refills itself full.
    ///
    /// # Errors
    /// [`Overflow`] when that leaves the bounds.
    pub fn promised(&self) -> Result<Credits, Overflow> {
        self.grants.values().try_fold(Credits::ZERO, |sum, grant| {
            sum.plus(match grant.status {
                GrantStatus::Pending => grant.terms.credits,
                GrantStatus::Active if grant.terms.recurs.is_some() => grant.terms.credits,
                GrantStatus::Active => grant.remaining,
                GrantStatus::Ended => Credits::ZERO,
            })
        })
    }

    /// The earliest instant at which something happens without a message.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let grants = self.grants.live().filter(|grant| grant.is_open()).flat_map(|grant| match grant.status {
            GrantStatus::Pending => [Some(grant.terms.effective_at), None],
            GrantStatus::Active => [grant.terms.end.explicit(), grant.refill_at],
            GrantStatus::Ended => [None, None],
        });
        let cycles = self.subscriptions.values().filter(|one| !one.ended).map(|one| Some(one.cycle.end));
        let requests = self.requests.values().filter(|request| request.status == RequestStatus::Pending).map(|request| request.expires_at);
        grants.chain(cycles).chain(requests).flatten().min()
    }

    /// Asserts what must hold between the numbers, the grants and the debts (semantics §1).
    ///
    /// # Errors
    /// [`InvariantViolated`] with the numbers that disagree.
    pub fn check(&self) -> Result<(), InvariantViolated> {
        self.broken()
            .unwrap_or_else(|Overflow| Some("an amount left its bounds".into()))
            .map_or(Ok(()), |broken| Err(InvariantViolated { account: self.account.key.clone(), broken }))
    }

    fn broken(&self) -> Result<Option<String>, Overflow> {
        let active = || self.grants.values().filter(|grant| grant.status == GrantStatus::Active);
        let remaining = Credits::sum(active().map(|grant| grant.remaining))?;
        let frozen = Credits::sum(active().map(|grant| grant.frozen))?;
        let owed = Credits::sum(self.debts.values().map(|debt| debt.remaining))?;
        let account = &self.account;
        let odd = self.grants.values().find(|grant| {
            grant.remaining.is_negative()
                || grant.remaining > grant.terms.credits
                || grant.frozen.is_negative()
                || grant.frozen > grant.remaining
        });
        Ok(if let Some(grant) = odd {
            Some(format!(
                "grant {} of {} has {} remaining and {} frozen",
                grant.terms.id, grant.terms.credits, grant.remaining, grant.frozen
            ))
        } else if remaining != account.balance {
            Some(format!("balance {} is not the {remaining} its grants hold", account.balance))
        } else if frozen != account.frozen {
            Some(format!("frozen {} is not the {frozen} of its grants", account.frozen))
        } else if owed != account.debt {
            Some(format!("debt {} is not the {owed} its debts add up to", account.debt))
        } else if account.available()?.is_negative() || account.held.is_negative() {
            Some(format!("available would be {}", account.available()?))
        } else {
            None
        })
    }
}

/// What is known of a message that came before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Hash of the content it had.
    pub content: Hash,
    /// What became of it; nothing yet of one that waits and was not read.
    pub recorded: Option<Recorded>,
}

/// A message that waits for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The message.
    pub message: Arc<Message>,
    /// What it waits for.
    pub on: On,
    /// When it is given up.
    pub deadline: Timestamp,
}

/// A book with what is known about the messages at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    /// The account and what belongs to it.
    pub book: Book,
    /// Messages that wait, in the order they arrived.
    pub waiting: Vec<Waiting>,
    /// Recorded answers to messages of the batch.
    pub answered: HashMap<MessageKey, Answered>,
}

impl Waiting {
    /// When something happens to it without anything else: its time comes, or its deadline.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        match self.on {
            On::Time(at) => at.min(self.deadline),
            On::Account | On::Request(_) | On::Decision(_) | On::Subscription(_) | On::Payment(_) | On::Claim(_) => self.deadline,
        }
    }
}

impl AccountState {
    /// The state of an account nobody has opened.
    #[must_use]
    pub fn unopened(key: AccountKey) -> Self {
        Self { book: Book::unopened(key), waiting: Vec::new(), answered: HashMap::new() }
    }

    /// The earliest instant at which something happens without a message, deadlines included.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.book.next_due().into_iter().chain(self.next_wait()).min()
    }

    /// The earliest instant at which a message that waits is decided or given up.
    #[must_use]
    pub fn next_wait(&self) -> Option<Timestamp> {
        self.waiting.iter().map(Waiting::due).min()
    }
}
