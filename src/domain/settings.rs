//! A tenant's settings, staff and catalog versions: the terms decisions are made under.
//!
//! Owns the defaults of semantics §2, §4, §5, §7. Never stored here: `store` keeps them.

use super::burn_down::BurnKey;
use super::catalog::Catalog;
use super::credits::{Credits, Money};
use super::grant::{GrantSource, GrantTerms};
use super::ids::Id;
use super::word::words;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

words! {
    /// What happens to usage that credits do not cover (semantics §4).
    Insufficient {
        /// Refused whole.
        Reject "reject",
        /// Burned as far as it goes; the rest is recorded as unpaid and nobody owes it.
        Partial "partial",
        /// Like `allow` while the account owes at most `debt_max` then; beyond it refused whole.
        AllowTo "allow_to",
        /// Burned as far as it goes; the rest becomes debt.
        Allow "allow",
    }
}

words! {
    /// How a payment's amount must fit its package (semantics §5).
    PriceCheck {
        /// The amount before tax is the price.
        Exact "exact",
        /// It is the price or more.
        AtLeast "at_least",
        /// Staff look at every payment.
        Review "review",
    }
}

words! {
    /// What becomes of credits a refund or dispute cannot take back (semantics §6).
    Shortfall {
        /// The account owes them.
        Debt "debt",
        /// The tenant bears them.
        WriteOff "write_off",
        /// Other purchased grants give them, now or later.
        TakeOtherPaid "take_other_paid",
    }
}

words! {
    /// How an account nobody has opened is opened (message contract, CloudEvents in).
    OpenAccounts {
        /// By the first credit that names it.
        Automatic "automatic",
        /// By `account.opened` only.
        Explicit "explicit",
    }
}

/// Default priorities by source (semantics §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priorities {
    /// Rollovers: 10.
    pub rollover: u32,
    /// Plan allowances: 20.
    pub plan: u32,
    /// Add-ons: 30.
    pub addon: u32,
    /// Promotional, bonus and adjustment: 40.
    pub promotional: u32,
    /// Purchased: 50.
    pub purchased: u32,
}

impl Default for Priorities {
    fn default() -> Self {
        Self { rollover: 10, plan: 20, addon: 30, promotional: 40, purchased: 50 }
    }
}

/// How one default priority changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PriorityChange {
    /// It is not named.
    #[default]
    Stays,
    /// It has the number of semantics §2 again.
    Usual,
    /// It has this one.
    Number(u32),
}

impl PriorityChange {
    fn applied_to(self, now: u32, usual: u32) -> u32 {
        match self {
            Self::Stays => now,
            Self::Usual => usual,
            Self::Number(number) => number,
        }
    }
}

/// Default priorities that change, key by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrioritiesChange {
    /// Of rollovers.
    pub rollover: PriorityChange,
    /// Of plan allowances.
    pub plan: PriorityChange,
    /// Of add-ons.
    pub addon: PriorityChange,
    /// Of promotional, bonus and adjustment grants.
    pub promotional: PriorityChange,
    /// Of purchased grants.
    pub purchased: PriorityChange,
}

impl PrioritiesChange {
    fn applied_to(&self, now: &Priorities) -> Priorities {
        let usual = Priorities::default();
        Priorities {
            rollover: self.rollover.applied_to(now.rollover, usual.rollover),
            plan: self.plan.applied_to(now.plan, usual.plan),
            addon: self.addon.applied_to(now.addon, usual.addon),
            promotional: self.promotional.applied_to(now.promotional, usual.promotional),
            purchased: self.purchased.applied_to(now.purchased, usual.purchased),
        }
    }
}

/// What a tenant has set; every field has the default the semantics give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Credits may pay for services and invoices; off refuses spends, holds and new requests.
    pub credit_payments: bool,
    /// What happens to usage that credits do not cover.
    pub insufficient: Insufficient,
    /// A request's decider is not its requester.
    pub four_eyes: bool,
    /// How amounts must fit packages.
    pub price_check: PriceCheck,
    /// What becomes of credits a reversal cannot take back.
    pub shortfall: Shortfall,
    /// The burn order.
    pub burn_order: Vec<BurnKey>,
    /// Default priorities.
    pub priorities: Priorities,
    /// How unknown accounts are opened.
    pub open_accounts: OpenAccounts,
    /// The most all rollovers of an account may hold; absent: no limit.
    pub rollover_cap: Option<Credits>,
    /// Only live (true) or only test (false) provider events; absent: whichever secret signs.
    pub livemode: Option<bool>,
    /// The most an account may owe by usage that is allowed to a bound; absent: nothing.
    pub debt_max: Option<Credits>,
    /// Monthly purchases that open invoicing (semantics §5).
    pub invoicing_threshold: Money,
    /// Hours after a close was recorded in which late usage still reaches it.
    pub late_grace_hours: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credit_payments: true,
            insufficient: Insufficient::Reject,
            four_eyes: true,
            price_check: PriceCheck::Exact,
            shortfall: Shortfall::Debt,
            burn_order: BurnKey::DEFAULT.to_vec(),
            priorities: Priorities::default(),
            open_accounts: OpenAccounts::Automatic,
            rollover_cap: None,
            livemode: None,
            debt_max: None,
            invoicing_threshold: Money::whole(1000),
            late_grace_hours: 72,
        }
    }
}

impl Settings {
    /// True when the first credit that names an account opens it.
    #[must_use]
    pub fn opens_accounts(&self) -> bool {
        self.open_accounts == OpenAccounts::Automatic
    }

    /// The priority a grant burns with: its own, else the default of its source.
    #[must_use]
    pub fn priority(&self, terms: &GrantTerms) -> u32 {
        terms.priority.unwrap_or(match terms.source {
            GrantSource::Rollover { .. } => self.priorities.rollover,
            GrantSource::Plan => self.priorities.plan,
            GrantSource::Addon => self.priorities.addon,
            GrantSource::Promotional | GrantSource::Bonus | GrantSource::Adjustment => self.priorities.promotional,
            GrantSource::Purchased => self.priorities.purchased,
        })
    }
}

/// Settings that change; absent ones stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsChange(pub Vec<SettingChange>);

/// One setting with its new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingChange {
    /// `credit_payments`
    CreditPayments(bool),
    /// `insufficient`
    Insufficient(Insufficient),
    /// `four_eyes`
    FourEyes(bool),
    /// `price_check`
    PriceCheck(PriceCheck),
    /// `shortfall`
    Shortfall(Shortfall),
    /// `burn_order`
    BurnOrder(Vec<BurnKey>),
    /// `priorities`, key by key
    Priorities(PrioritiesChange),
    /// `open_accounts`
    OpenAccounts(OpenAccounts),
    /// `rollover_cap`; absent: no limit any more.
    RolloverCap(Option<Credits>),
    /// `livemode`; absent: either mode again.
    Livemode(Option<bool>),
    /// `debt_max`; absent: none set any more.
    DebtMax(Option<Credits>),
    /// `invoicing_threshold`
    InvoicingThreshold(Money),
    /// `late_grace_hours`
    LateGraceHours(u32),
}

impl SettingsChange {
    /// The settings with the change made.
    #[must_use]
    pub fn applied_to(&self, settings: &Settings) -> Settings {
        let mut changed = settings.clone();
        for change in &self.0 {
            match change.clone() {
                SettingChange::CreditPayments(on) => changed.credit_payments = on,
                SettingChange::Insufficient(policy) => changed.insufficient = policy,
                SettingChange::FourEyes(on) => changed.four_eyes = on,
                SettingChange::PriceCheck(check) => changed.price_check = check,
                SettingChange::Shortfall(policy) => changed.shortfall = policy,
                SettingChange::BurnOrder(order) => changed.burn_order = order,
                SettingChange::Priorities(change) => changed.priorities = change.applied_to(&changed.priorities),
                SettingChange::OpenAccounts(how) => changed.open_accounts = how,
                SettingChange::RolloverCap(cap) => changed.rollover_cap = cap,
                SettingChange::Livemode(live) => changed.livemode = live,
                SettingChange::DebtMax(most) => changed.debt_max = most,
                SettingChange::InvoicingThreshold(amount) => changed.invoicing_threshold = amount,
                SettingChange::LateGraceHours(hours) => changed.late_grace_hours = hours,
            }
        }
        changed
    }
}

words! {
    /// What a member of staff may do.
    StaffRole {
        /// Everything.
        Admin "admin",
        /// Decide requests and adjust.
        Approver "approver",
        /// Look.
        Viewer "viewer",
    }
}

/// The terms a decision is made under: one tenant at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The tenant.
    pub tenant: Id,
    /// Another one with every change of settings, staff or catalog.
    pub revision: i64,
    /// What it has set.
    pub settings: Settings,
    /// Its staff by member.
    pub staff: BTreeMap<Id, StaffRole>,
    /// Every catalog version by number.
    pub catalogs: BTreeMap<u32, Arc<Catalog>>,
    /// True when its time moves only by command.
    pub test_clock: bool,
}

impl Terms {
    /// The newest catalog version. A tenant has at least one.
    #[must_use]
    pub fn catalog(&self) -> Option<&Arc<Catalog>> {
        self.catalogs.values().next_back()
    }

    /// The version a cycle began with, or the newest if that is not known any more.
    #[must_use]
    pub fn catalog_version(&self, version: u32) -> Option<&Arc<Catalog>> {
        self.catalogs.get(&version).or_else(|| self.catalog())
    }

    /// The version that prices usage of an instant: the newest in force then, else the first.
    #[must_use]
    pub fn catalog_at(&self, at: Timestamp) -> Option<&Arc<Catalog>> {
        self.catalogs
            .values()
            .rev()
            .find(|catalog| catalog.effective_at.is_none_or(|from| from <= at))
            .or_else(|| self.catalogs.values().next())
    }

    /// True for staff who decide requests and adjust (semantics §1).
    #[must_use]
    pub fn may_decide(&self, member: &str) -> bool {
        match self.staff.get(member) {
            Some(StaffRole::Admin | StaffRole::Approver) => true,
            Some(StaffRole::Viewer) | None => false,
        }
    }
}
