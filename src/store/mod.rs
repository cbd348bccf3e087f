//! Where accounts are kept: one trait, two homes.
//!
//! Owns the shape of what is loaded for a batch and what is written after it. Never decides.

pub mod facts;
pub mod memory;
pub mod needs;
pub mod postgres;

use crate::domain::account::Account;
use crate::domain::apply::Answer;
use crate::domain::book::{AccountState, Waiting};
use crate::domain::command::Message;
use crate::domain::decision::{Claim, Row};
use crate::domain::entry::Entry;
use crate::domain::grant::Grant;
use crate::domain::ids::{AccountKey, Hash, Id, MessageKey};
use crate::domain::invoicing::PurchaseMonth;
use crate::domain::rejection::QuarantineReason;
use crate::domain::settings::Terms;
use crate::failure::Failure;
use crate::message::Change;
use crate::message::raw::Raw;
use jiff::Timestamp;
use jiff::civil::Date;
pub use needs::{Named, Needs};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;

/// Which shard an account, or any other key of a tenant, lives in: a stable hash modulo the shard
/// count of the database.
#[must_use]
pub fn shard_of(tenant: &str, key: &str, shards: i16) -> i16 {
    // FNV-1a over tenant, zero, key: stable across versions, unlike the standard library's hashers.
    let bytes = tenant.bytes().chain([0]).chain(key.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // Fold the high half in: FNV's low bits alone are weak for short keys.
    let mixed = hash ^ (hash >> 32);
    let shards = u64::try_from(shards.max(1)).unwrap_or(1);
    i16::try_from(mixed % shards).unwrap_or(0)
}

/// A message on its way into the ledger, with the delivery it came in.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What it asks.
    pub message: Arc<Message>,
    /// The delivery: kept while it waits, and for quarantine.
    pub raw: Arc<Raw>,
    /// Whose the facts it names are.
    pub claim: Claim,
}

impl Submission {
    /// A message whose facts, if it names any, are its account's.
    #[must_use]
    pub fn new(message: Arc<Message>, raw: Arc<Raw>) -> Self {
        Self { message, raw, claim: Claim::Ours }
    }
}

/// One account of a batch as it was loaded under its lock.
#[derive(Debug)]
pub struct LoadedAccount {
    /// Its row id in the store.
    pub account_id: i64,
    /// Its state.
    pub state: AccountState,
    /// The deliveries of the messages that wait, by identity.
    pub deliveries: HashMap<MessageKey, Arc<Raw>>,
    /// Messages that wait and were not read.
    pub unread: Unread,
    /// Recorded entries that repeated messages are answered with, by position.
    pub told: BTreeMap<u64, Entry>,
}

/// Messages of an account that wait for nothing this batch brings: they are not read, however many.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unread {
    /// How many.
    pub count: u32,
    /// When the first of them is due.
    pub due_at: Option<Timestamp>,
}

/// A tenant as a batch sees it.
#[derive(Debug, Clone)]
pub struct LoadedTenant {
    /// Its terms.
    pub terms: Arc<Terms>,
    /// Its own time, when it has a test clock that was set.
    pub clock: Option<Timestamp>,
}

impl LoadedTenant {
    /// The time decisions about it are made at when the store's time is `now`.
    #[must_use]
    pub fn time(&self, now: Timestamp) -> Timestamp {
        if self.terms.test_clock { self.clock.unwrap_or(now) } else { now }
    }
}

/// Everything loaded for a batch.
#[derive(Debug)]
pub struct Loaded {
    /// The store's time.
    pub now: Timestamp,
    /// Tenants of the batch that exist.
    pub tenants: HashMap<Id, LoadedTenant>,
    /// Accounts of the batch whose tenant exists.
    pub accounts: BTreeMap<AccountKey, LoadedAccount>,
}

impl Loaded {
    /// The time decisions about a tenant are made at.
    #[must_use]
    pub fn time_of(&self, tenant: &LoadedTenant) -> Timestamp {
        tenant.time(self.now)
    }
}

/// One announcement or reply to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Position among the account's announcements.
    pub number: u64,
    /// What is sent.
    pub content: Content,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// `balance.changed`, sent only after all events before it of the account. Its entries are not
    /// stored a second time.
    Change {
        /// The deployment's name.
        source: Arc<str>,
        /// The account.
        key: AccountKey,
        /// All of it but the entries.
        change: Change,
    },
    /// Another event.
    Event {
        /// Sent only after all events before it of the account; a quarantine stands alone.
        in_order: bool,
        /// Where it goes.
        routing_key: String,
        /// The CloudEvent.
        body: Vec<u8>,
    },
    /// A reply, which stands alone.
    Reply {
        /// Where it goes.
        queue: String,
        /// Copied from the message.
        correlation_id: Option<String>,
        /// The answer.
        body: Vec<u8>,
    },
}

/// What could not be applied.
#[derive(Debug, Clone)]
pub struct QuarantineRow {
    /// Why.
    pub reason: QuarantineReason,
    /// Why, for people.
    pub detail: String,
    /// Tenant, account and identity as far as they could be read.
    pub tenant: Option<Id>,
    /// The account.
    pub account: Option<Id>,
    /// Source and id.
    pub message: Option<crate::domain::ids::MessageId>,
    /// Its type.
    pub kind: Option<String>,
    /// The delivery.
    pub raw: Arc<Raw>,
}

/// What a batch writes about one account.
#[derive(Debug)]
pub struct AccountWrite {
    /// Its row id.
    pub account_id: i64,
    /// Its row afterwards.
    pub account: Account,
    /// The highest grant number before the batch: later ones are inserted.
    pub grants_before: u32,
    /// Counters of open rows and the next due instant.
    pub next_due_at: Option<Timestamp>,
    /// Debts still owed, pending requests, running subscriptions, waiting messages afterwards.
    pub open: OpenRows,
    /// New lines of history.
    pub entries: Vec<Entry>,
    /// Their hashes, one for one.
    pub hashes: Vec<Hash>,
    /// Rows made or changed, the last image of each.
    pub rows: Vec<Row>,
    /// Its grants afterwards: all that are open, and others that messages named.
    pub grants: BTreeMap<u32, Grant>,
    /// What was bought by month, as far as it was read.
    pub months: BTreeMap<Date, PurchaseMonth>,
    /// Answers to store.
    pub answers: Vec<Answer>,
    /// Messages that began to wait, with their deliveries.
    pub waiting: Vec<(Waiting, Arc<Raw>)>,
    /// Messages that wait no more.
    pub released: Vec<MessageKey>,
    /// Messages that were not read: what of them is free afterwards becomes due.
    pub unread: Unread,
    /// To be published.
    pub outbox: Vec<OutboxRow>,
    /// Set aside.
    pub quarantine: Vec<QuarantineRow>,
    /// The recorded time.
    pub at: Timestamp,
}

/// How many rows an account has in tables most accounts have none in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenRows {
    /// Debts with something owed.
    pub debts: u32,
    /// Pending requests.
    pub requests: u32,
    /// Running subscriptions.
    pub subscriptions: u32,
    /// Waiting messages.
    pub waiting: u32,
}

impl OpenRows {
    /// Counts a state, and what was not read of it.
    #[must_use]
    pub fn of(state: &AccountState, unread: Unread) -> Self {
        use crate::domain::request::RequestStatus;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let book = &state.book;
        Self {
            debts: count(book.debts.values().filter(|debt| debt.remaining.is_positive()).count()),
            requests: count(book.requests.values().filter(|one| one.status == RequestStatus::Pending).count()),
            subscriptions: count(book.subscriptions.values().filter(|one| !one.ended).count()),
            waiting: count(state.waiting.len()).saturating_add(unread.count),
        }
    }
}

/// A home for accounts.
pub trait Store: Send + Sync + 'static {
    /// A transaction that holds the locks of a batch's accounts.
    type Transaction: Transaction;

    /// Begins a transaction on one shard, locks the accounts in sorted order (making the missing
    /// ones of tenants that exist) and then reads what the batch needs.
    fn open(
        &self,
        shard: i16,
        accounts: &BTreeSet<AccountKey>,
        needs: &Needs,
    ) -> impl Future<Output = Result<(Self::Transaction, Loaded), Failure>> + Send;
}

/// Entries of one account that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRange {
    /// The account's row id.
    pub account_id: i64,
    /// Position of the first.
    pub first: u64,
    /// Position of the last.
    pub last: u64,
}

/// A transaction with its accounts locked.
pub trait Transaction: Send {
    /// Recorded entries, each with the row id of its account and in the order of its account: what a
    /// repeated message is answered with.
    fn entries(&mut self, wanted: &[EntryRange]) -> impl Future<Output = Result<Vec<(i64, Entry)>, Failure>> + Send;

    /// Writes everything and commits. On any error nothing was written, or, when the connection was
    /// lost while committing, everything or nothing: the identities decide at the next try.
    fn commit(self, writes: Vec<AccountWrite>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Where quarantined messages go when a batch could not even be tried.
pub trait Quarantine: Send + Sync + 'static {
    /// Sets messages aside together with the announcement of it; `origin` names this deployment.
    fn set_aside(&self, origin: &str, rows: &[QuarantineRow]) -> impl Future<Output = Result<(), Failure>> + Send;
    /// True once the database can be used.
    fn probe(&self) -> impl Future<Output = bool> + Send;
}
