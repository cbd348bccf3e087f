//! A grant: an immutable lot of credits with its own remainder (semantics §1).
//!
//! Owns what a lot is and when it can be used. Never decides which lot burns first (`burn_down`)
//! and never moves credits (`draft`).

use super::calendar::CalendarSpan;
use super::credits::{Credits, Money, Overflow};
use super::ids::{Id, MessageId, Printable};
use super::word::words;
use jiff::Timestamp;
use std::sync::Arc;

/// What made a grant. Promotional or paid is told by the source, never by the cost basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantSource {
    /// Given away.
    Promotional,
    /// The free second grant of a package.
    Bonus,
    /// A correction by staff.
    Adjustment,
    /// Bought.
    Purchased,
    /// A plan's allowance for one cycle.
    Plan,
    /// Add-on units for one cycle.
    Addon,
    /// What a closed cycle handed on; `promotional` is its root's.
    Rollover {
        /// Whether the chain began with a promotional grant.
        promotional: bool,
    },
}

impl GrantSource {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Promotional,
        Self::Bonus,
        Self::Adjustment,
        Self::Purchased,
        Self::Plan,
        Self::Addon,
        Self::Rollover { promotional: true },
        Self::Rollover { promotional: false },
    ];

    /// True for promotional, bonus and adjustment grants and what rolled over from them.
    #[must_use]
    pub fn is_promotional(self) -> bool {
        match self {
            Self::Promotional | Self::Bonus | Self::Adjustment | Self::Rollover { promotional: true } => true,
            Self::Purchased | Self::Plan | Self::Addon | Self::Rollover { promotional: false } => false,
        }
    }

    /// The word used in the database, which for a rollover also says whether its root was
    /// promotional.
    #[must_use]
    pub fn stored_word(self) -> &'static str {
        match self {
            Self::Rollover { promotional: true } => "rollover_promotional",
            Self::Promotional
            | Self::Bonus
            | Self::Adjustment
            | Self::Purchased
            | Self::Plan
            | Self::Addon
            | Self::Rollover { promotional: false } => self.word(),
        }
    }

    /// The one for a word of the database.
    #[must_use]
    pub fn from_stored_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.stored_word() == word)
    }

    /// The word used on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Promotional => "promotional",
            Self::Bonus => "bonus",
            Self::Adjustment => "adjustment",
            Self::Purchased => "purchased",
            Self::Plan => "plan",
            Self::Addon => "addon",
            Self::Rollover { .. } => "rollover",
        }
    }
}

/// How much of a closing grant the next cycle inherits: `min(max, max(min, remaining))`
/// (semantics §7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RolloverRule {
    /// At least this much, even from nothing; 0 by default.
    pub min: Credits,
    /// At most this much; absent: no limit.
    pub max: Option<Credits>,
    /// At most this percentage of the allowance; with `max` the lower counts.
    pub max_percent: Option<Credits>,
    /// How many rollovers a chain may have; absent: a plan's 1, a grant's own rule unlimited.
    pub count: Option<u32>,
    /// At which close after it was made a rollover is closed itself; 1 by default.
    pub cycles: Option<u32>,
}

impl RolloverRule {
    /// True when the rule can be kept for grants of `allowance`: `0 ≤ min ≤ max`, a percentage of at
    /// most the whole, a close to end at.
    #[must_use]
    pub fn is_possible(&self, allowance: Credits) -> bool {
        let hundred = Credits::whole(100);
        let percent = self.max_percent.unwrap_or(hundred);
        let share = self.max_percent.map(|percent| allowance.share_down(percent.decimal(), hundred.decimal()));
        let bounds = [self.max.map(Ok), share].into_iter().flatten();
        let holds_min = |bound: Result<Credits, Overflow>| bound.is_ok_and(|most| self.min <= most);
        !self.min.is_negative()
            && !percent.is_negative()
            && percent <= hundred
            && self.cycles != Some(0)
            && bounds.into_iter().all(holds_min)
    }

    /// The same rule with its percentage of `allowance` as an amount.
    ///
    /// # Errors
    /// [`Overflow`] when a percentage leaves the bounds.
    pub fn in_amounts(&self, allowance: Credits) -> Result<Self, Overflow> {
        let percent = self.max_percent.map(|percent| allowance.share_down(percent.decimal(), Credits::whole(100).decimal())).transpose()?;
        Ok(Self { max: [self.max, percent].into_iter().flatten().min(), max_percent: None, ..self.clone() })
    }

    /// What rolls over from `remaining`, by a rule in amounts.
    #[must_use]
    pub fn rolled(&self, remaining: Credits) -> Credits {
        self.max.map_or(remaining.max(self.min), |max| remaining.max(self.min).min(max))
    }
}

/// A grant that refills itself: `remaining` rises to the granted amount at
/// `anchor + n × interval` after `effective_at` (semantics §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    /// Between two refills.
    pub interval: CalendarSpan,
    /// The local date-time that the refills are counted from.
    pub anchor: jiff::civil::DateTime,
}

/// Which cycle of which subscription.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CycleId {
    /// The subscription.
    pub subscription: Id,
    /// The period counted from the anchor; negative before it.
    pub k: i32,
    /// How many times the period was reset by hand before.
    pub n: u32,
}

/// When a grant stops being usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantEnd {
    /// Only by use.
    Never,
    /// By its own date.
    At(Timestamp),
    /// With the close of a cycle; `at` is that cycle's stored end and serves order and reading,
    /// `expires_at` a root's own date that no rollover outlives.
    Cycle {
        /// The stored end of the cycle that will close it.
        at: Timestamp,
        /// The date of the chain's root, if it has one.
        expires_at: Option<Timestamp>,
    },
}

impl GrantEnd {
    /// The instant for the burn order and for reading.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::At(at) => Some(*at),
            Self::Cycle { at, expires_at } => Some(expires_at.map_or(*at, |expires| expires.min(*at))),
        }
    }

    /// The explicit date, which ends the grant by itself.
    #[must_use]
    pub fn explicit(&self) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::At(at) => Some(*at),
            Self::Cycle { expires_at, .. } => *expires_at,
        }
    }
}

/// What never changes about a grant, but for the close of its cycle, which is foreseen (`closes`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTerms {
    /// Position in the account, from 1: the last word of the burn order.
    pub number: u32,
    /// Its name in the account.
    pub id: Id,
    /// What made it.
    pub source: GrantSource,
    /// The amount granted.
    pub credits: Credits,
    /// Money paid per credit; zero for what was given.
    pub cost_basis: Money,
    /// Explicit priority; absent: the tenant's default for the source.
    pub priority: Option<u32>,
    /// From when it can be used.
    pub effective_at: Timestamp,
    /// Until when.
    pub end: GrantEnd,
    /// Meters or services it pays for; empty: all.
    pub scope: Vec<Id>,
    /// Its own rollover rule (not its plan's).
    pub rollover: Option<RolloverRule>,
    /// Refills itself.
    pub recurs: Option<Recurrence>,
    /// The grant it rolled over from.
    pub parent: Option<u32>,
    /// How many rollovers its chain has behind it.
    pub generation: u32,
    /// The cycle it was granted in, for allowances, add-ons and their rollovers.
    pub cycle: Option<CycleId>,
    /// The payment that bought it, or its root: what reverses the payment takes it back.
    pub payment: Option<Printable>,
    /// The message or due thing that made it.
    pub cause: MessageId,
}

impl GrantTerms {
    /// A lot that cost nothing, is for everything and ends only by use; the draft numbers it.
    #[must_use]
    pub fn plain(id: Id, source: GrantSource, credits: Credits, effective_at: Timestamp, cause: MessageId) -> Self {
        Self {
            number: 0,
            id,
            source,
            credits,
            cost_basis: Credits::ZERO,
            priority: None,
            effective_at,
            end: GrantEnd::Never,
            scope: Vec::new(),
            rollover: None,
            recurs: None,
            parent: None,
            generation: 0,
            cycle: None,
            payment: None,
            cause,
        }
    }
}

words! {
    /// Where a grant is in its life.
    GrantStatus {
        /// Its `effective_at` is ahead; its In entry is not written yet.
        Pending "pending",
        /// Counts towards the balance.
        Active "active",
        /// Over: by its date, by its cycle's close, or voided.
        Ended "ended",
    }
}

/// A grant with what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What never changes.
    pub terms: Arc<GrantTerms>,
    /// Where it is in its life.
    pub status: GrantStatus,
    /// Credits left in it, held and frozen ones included.
    pub remaining: Credits,
    /// Part of `remaining` that an open dispute or a closed account freezes.
    pub frozen: Credits,
    /// Credits that were taken back because its payment was reversed.
    pub clawed: Credits,
    /// Credits that ended unused, by its date or by its close, but for those that late usage has burned since.
    pub breakage: Credits,
    /// Credits of a rollover that the tenant's cap has taken.
    pub trimmed: Credits,
    /// Credits that staff voided.
    pub voided: Credits,
    /// Credits that its close handed on to a rollover, but for those that late usage has burned since.
    pub handed_on: Credits,
    /// When it ended; absent while it has not.
    pub ended_at: Option<Timestamp>,
    /// When its end was recorded: from then on the grace for late usage runs.
    pub end_recorded_at: Option<Timestamp>,
    /// For grants closed by cycles: closes still to come before this one, from 1.
    pub closes_left: u32,
    /// The next refill that raises it, for grants that recur; a full one waits for none (`refill`).
    pub refill_at: Option<Timestamp>,
}

impl Grant {
    /// Credits that a message touching `scope` may burn now.
    ///
    /// # Errors
    /// [`Overflow`] cannot happen while `frozen ≤ remaining` holds.
    pub fn spendable(&self, scope: Option<&Id>) -> Result<Credits, Overflow> {
        if self.status == GrantStatus::Active && self.covers(scope) { self.remaining.minus(self.frozen) } else { Ok(Credits::ZERO) }
    }

    /// True when the grant pays for this meter or service. A grant with a scope pays for nothing
    /// outside it, unnamed purposes included.
    #[must_use]
    pub fn covers(&self, scope: Option<&Id>) -> bool {
        self.terms.scope.is_empty() || scope.is_some_and(|wanted| self.terms.scope.contains(wanted))
    }

    /// True while later messages or dates can still change it without naming it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let waits_for_close = || self.terms.rollover.is_some() || self.terms.cycle.is_some();
        match self.status {
            GrantStatus::Pending => true,
            GrantStatus::Active => self.remaining.is_positive() || self.refill_at.is_some() || waits_for_close(),
            GrantStatus::Ended => false,
        }
    }
}
