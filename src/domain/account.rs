//! The account: its numbers, its state and what it owes.
//!
//! Owns the four numbers of semantics §1. Never changes them itself: `draft` writes every change
//! together with its entry.

use super::alert::{Alert, AutoTopup};
use super::credits::{Credits, Overflow};
use super::ids::{AccountKey, Hash, Id, MessageId, Printable};
use super::word::words;
use jiff::{Timestamp, tz::TimeZone};
use std::collections::BTreeMap;
use std::sync::Arc;

words! {
    /// One person or a shared pool.
    AccountKind {
        /// One person.
        User "user",
        /// A pool that members share.
        Workspace "workspace",
    }
}

words! {
    /// Where an account is in its life.
    AccountStatus {
        /// Named by a message but not opened yet; messages for it wait.
        Unopened "unopened",
        /// In use.
        Open "open",
        /// Refuses everything but money in and refunds.
        Closed "closed",
    }
}

/// What an account says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Person or pool; a pool unless said otherwise is not assumed: absent until told.
    pub kind: Option<AccountKind>,
    /// Who owns it.
    pub owner: Option<Id>,
    /// The zone its calendars are computed in.
    pub zone: Zone,
    /// Texts by name that the ledger keeps and shows, and never reads.
    pub metadata: BTreeMap<String, String>,
    /// Levels it wants to be told about.
    pub alerts: Vec<Alert>,
    /// What is bought when it runs low; absent: nothing.
    pub auto_topup: Option<AutoTopup>,
    /// Manual invoicing was opened for it by staff.
    pub invoicing: bool,
}

/// A time zone by its IANA name, resolved from the bundled data only (semantics §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: Arc<str>,
    zone: TimeZone,
}

impl Zone {
    /// UTC, the default.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".into(), zone: TimeZone::UTC }
    }

    /// Looks the name up in the zone data that ships with the worker.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name == "UTC" {
            return Some(Self::utc());
        }
        // What the library calls unknown it takes for UTC.
        let zone = jiff::tz::TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown())?;
        Some(Self { name: name.into(), zone })
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules of the zone.
    #[must_use]
    pub fn rules(&self) -> &TimeZone {
        &self.zone
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            kind: None,
            owner: None,
            zone: Zone::utc(),
            metadata: BTreeMap::new(),
            alerts: Vec::new(),
            auto_topup: None,
            invoicing: false,
        }
    }
}

/// The holder of a balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Tenant and name.
    pub key: AccountKey,
    /// Where it is in its life.
    pub status: AccountStatus,
    /// True while staff keep it from spending.
    pub frozen_by_staff: bool,
    /// What it says about itself.
    pub profile: Arc<Profile>,
    /// Σ remaining of active grants.
    pub balance: Credits,
    /// Reserved by holds.
    pub held: Credits,
    /// Kept back by disputes or a closed account.
    pub frozen: Credits,
    /// Owed.
    pub debt: Credits,
    /// Position of the last entry; 0 before the first.
    pub seq: u64,
    /// Hash of the last entry.
    pub hash: Hash,
    /// Recorded time of the last entry or decision.
    pub recorded_at: Option<Timestamp>,
    /// The last instant at which one of its grants ended: what happened before may be late.
    pub last_ended_at: Option<Timestamp>,
    /// Grants made so far.
    pub grants: u32,
    /// Debts made so far.
    pub debts: u32,
    /// Events announced so far.
    pub events: u64,
}

impl Account {
    /// An account nobody has opened.
    #[must_use]
    pub fn unopened(key: AccountKey) -> Self {
        Self {
            key,
            status: AccountStatus::Unopened,
            frozen_by_staff: false,
            profile: Arc::default(),
            balance: Credits::ZERO,
            held: Credits::ZERO,
            frozen: Credits::ZERO,
            debt: Credits::ZERO,
            seq: 0,
            hash: Hash::default(),
            recorded_at: None,
            last_ended_at: None,
            grants: 0,
            debts: 0,
            events: 0,
        }
    }

    /// `balance − held − frozen`.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `held + frozen ≤ balance` holds.
    pub fn available(&self) -> Result<Credits, Overflow> {
        self.balance.minus(self.held)?.minus(self.frozen)
    }
}

/// Something the account owes: usage beyond its credits, or a correction (semantics §1, §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debt {
    /// Position in the account, from 1: oldest first.
    pub number: u32,
    /// What arose.
    pub amount: Credits,
    /// What is still owed of it.
    pub remaining: Credits,
    /// The meter or service it arose for; a scoped grant repays only debt within its scope.
    pub scope: Option<Id>,
    /// The charge it belongs to.
    pub cause: MessageId,
    /// Order, invoice or payment, where there is one.
    pub reference: Option<Printable>,
    /// The payment whose reversal it is the shortfall of.
    pub payment: Option<Printable>,
    /// Only purchased credits repay it.
    pub paid_only: bool,
    /// What the tenant bears of it.
    pub written_off: Credits,
    /// What was undone of it, because the reversal was.
    pub undone: Credits,
    /// What repaid it, by number of the grant; kept for shortfalls only.
    pub repaid_by: BTreeMap<u32, Credits>,
}

impl Debt {
    /// What stands of it, whoever bears or repaid it.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `undone ≤ amount`.
    pub fn stands(&self) -> Result<Credits, Overflow> {
        self.amount.minus(self.undone)
    }
}
