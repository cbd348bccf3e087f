//! Accounts in memory: for `simulate`, and the second opinion that Postgres is held against.
//!
//! Owns whole accounts; everything of an account is in its state, so nothing has to be looked up.
//! Keeps the same promises as Postgres but the one about power cuts.

use super::{
    AccountWrite, Content, EntryRange, Loaded, LoadedAccount, LoadedTenant, Needs, OutboxRow, QuarantineRow, Store, Transaction, Unread,
};
use crate::domain::apply::Answer;
use crate::domain::book::{AccountState, Answered};
use crate::domain::decision::{Outcome, Recorded, Row};
use crate::domain::entry::Entry;
use crate::domain::ids::{AccountKey, Hash, Id, MessageId, MessageKey};
use crate::failure::Failure;
use crate::message::balance_changed;
use crate::message::raw::Raw;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// One account with its whole history.
#[derive(Debug)]
pub struct MemoryAccount {
    /// Its state, nothing left out.
    pub state: AccountState,
    /// Its history.
    pub entries: Vec<(Entry, Hash)>,
    /// Its announcements.
    pub outbox: Vec<OutboxRow>,
    /// Recorded outcomes by message.
    pub outcomes: BTreeMap<MessageId, Outcome>,
    deliveries: HashMap<MessageKey, Arc<Raw>>,
    account_id: i64,
}

/// Everything a memory store holds.
#[derive(Debug, Default)]
pub struct Memory {
    /// Tenants.
    pub tenants: HashMap<Id, LoadedTenant>,
    /// Accounts.
    pub accounts: BTreeMap<AccountKey, MemoryAccount>,
    /// What was set aside.
    pub quarantine: Vec<QuarantineRow>,
    /// The time.
    pub now: Timestamp,
}

/// Accounts in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    memory: Arc<Mutex<Memory>>,
}

impl MemoryStore {
    /// Everything, locked.
    pub async fn lock(&self) -> OwnedMutexGuard<Memory> {
        self.memory.clone().lock_owned().await
    }
}

/// The lock, held until it is committed or dropped.
#[derive(Debug)]
pub struct MemoryTransaction {
    memory: OwnedMutexGuard<Memory>,
}

impl Store for MemoryStore {
    type Transaction = MemoryTransaction;

    async fn open(&self, _shard: i16, accounts: &BTreeSet<AccountKey>, _needs: &Needs) -> Result<(MemoryTransaction, Loaded), Failure> {
        let mut memory = self.lock().await;
        let mut loaded = Loaded { now: memory.now, tenants: memory.tenants.clone(), accounts: BTreeMap::new() };
        for key in accounts.iter().filter(|key| loaded.tenants.contains_key(&key.tenant)) {
            let next_id = i64::try_from(memory.accounts.len()).unwrap_or(i64::MAX).saturating_add(1);
            let account = memory.accounts.entry(key.clone()).or_insert_with(|| MemoryAccount {
                state: AccountState::unopened(key.clone()),
                entries: Vec::new(),
                outbox: Vec::new(),
                outcomes: BTreeMap::new(),
                deliveries: HashMap::new(),
                account_id: next_id,
            });
            loaded.accounts.insert(
                key.clone(),
                LoadedAccount {
                    account_id: account.account_id,
                    state: account.state.clone(),
                    deliveries: account.deliveries.clone(),
                    unread: Unread::default(),
                    told: BTreeMap::new(),
                },
            );
        }
        Ok((MemoryTransaction { memory }, loaded))
    }
}

impl Transaction for MemoryTransaction {
    async fn entries(&mut self, wanted: &[EntryRange]) -> Result<Vec<(i64, Entry)>, Failure> {
        let mut found = Vec::new();
        for EntryRange { account_id, first, last } in wanted {
            let account = self.memory.accounts.values().find(|account| account.account_id == *account_id);
            let entries = account.into_iter().flat_map(|account| &account.entries).map(|(entry, _)| entry);
            let named = entries.filter(|entry| (*first..=*last).contains(&entry.seq));
            found.extend(named.map(|entry| (*account_id, entry.clone())));
        }
        Ok(found)
    }

    async fn commit(mut self, writes: Vec<AccountWrite>) -> Result<(), Failure> {
        for write in writes {
            let Some(account) = self.memory.accounts.get_mut(&write.account.key) else { continue };
            let quarantine = write.quarantine.clone();
            account.write(write);
            self.memory.quarantine.extend(quarantine);
        }
        Ok(())
    }
}

impl MemoryAccount {
    /// What is sent for a row of its outbox.
    #[must_use]
    pub fn sent(&self, row: &OutboxRow) -> Vec<u8> {
        match &row.content {
            Content::Event { body, .. } | Content::Reply { body, .. } => body.clone(),
            Content::Change { source, key, change } => {
                let entries = self.entries.iter().map(|(entry, _)| entry).filter(|entry| (change.first..=change.last).contains(&entry.seq));
                let entries: Vec<Entry> = entries.cloned().collect();
                balance_changed(source, key, row.number, change, &entries).map(|outgoing| outgoing.body).unwrap_or_default()
            }
        }
    }

    fn write(&mut self, write: AccountWrite) {
        let book = &mut self.state.book;
        book.account = write.account;
        for row in write.rows {
            match row {
                Row::Grant(row) => book.grants.insert(row),
                Row::Debt(row) => drop(book.debts.insert(row.number, row)),
                Row::Payment(row) => drop(book.payments.insert(row.terms.payment.clone(), row)),
                Row::PaymentName(row) => drop(book.payment_names.insert(row.name.name.clone(), row)),
                Row::Refund(row) => drop(book.refunds.insert(row.id.clone(), row)),
                Row::Dispute(row) => drop(book.disputes.insert(row.id.clone(), row)),
                Row::Request(row) => drop(book.requests.insert(row.terms.id.clone(), row)),
                Row::Charge(row) => drop(book.charges.insert(row.reference.clone(), row)),
                Row::PurchaseMonth(row) => drop(book.months.insert(row.month, row)),
                Row::Subscription(row) => drop(book.subscriptions.insert(row.id.clone(), row)),
                Row::HighWater(row) => drop(book.high_waters.insert(row.item.clone(), row)),
                // The account carries its profile; nothing is decided by details, and nobody reads them here.
                Row::Reset(_) | Row::Profile(_) | Row::Details(_) => {}
            }
        }
        self.state.waiting.retain(|waiting| !write.released.contains(&waiting.message.id.key()));
        for (waiting, raw) in write.waiting {
            self.deliveries.insert(waiting.message.id.key(), raw);
            self.state.waiting.push(waiting);
        }
        for answer in write.answers.into_iter().filter(Answer::is_recorded) {
            let recorded = Recorded::of(&answer.outcome, answer.entries);
            self.state.answered.insert(answer.message.id.key(), Answered { content: answer.message.content, recorded: Some(recorded) });
            self.outcomes.insert(answer.message.id.clone(), answer.outcome);
        }
        self.entries.extend(write.entries.into_iter().zip(write.hashes));
        self.outbox.extend(write.outbox);
    }
}
