//! A subscription: a plan with a cycle, an anchor and add-ons with units (semantics §7).
//!
//! Owns what is stored about it and where its next boundary lies. Opening and closing cycles is
//! `cycle`'s.

use super::calendar::{Interval, boundary, period_of};
use super::credits::Credits;
use super::grant::CycleId;
use super::ids::{Id, Printable};
use super::paid::Paid;
use jiff::{SignedDuration, Timestamp, civil::DateTime};
use std::collections::BTreeMap;

use super::account::Zone;

/// The full desired state of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The plan.
    pub plan: Id,
    /// Units by add-on; an add-on with no units is absent.
    pub addons: BTreeMap<Id, u32>,
}

/// The cycle that is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// Period counted from the anchor.
    pub k: i32,
    /// Manual resets within the period so far.
    pub n: u32,
    /// From when, included.
    pub start: Timestamp,
    /// Until when, excluded; stored when the cycle opens.
    pub end: Timestamp,
    /// The catalog version it began with and keeps.
    pub catalog: u32,
    /// The highest allowance of a plan that was granted from in it, whole also where a plan prorates.
    pub allowance: Credits,
    /// The most units of each add-on that were counted in it.
    pub units: BTreeMap<Id, u32>,
}

impl Cycle {
    /// Cycle `n` of period `k`, from its start to its end, in which nothing was granted yet.
    #[must_use]
    pub fn new((k, n): (i32, u32), (start, end): (Timestamp, Timestamp), catalog: u32) -> Self {
        Self { k, n, start, end, catalog, allowance: Credits::ZERO, units: BTreeMap::new() }
    }
}

/// A plan an account is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id in the account.
    pub id: Id,
    /// What was asked for at its start, which a repeated start must equal.
    pub started_with: Wanted,
    /// The paid interval.
    pub interval: Interval,
    /// The length of a cycle.
    pub allowance_every: Interval,
    /// The local date-time all boundaries are counted from.
    pub anchor: DateTime,
    /// The zone of the account when it started.
    pub zone: Zone,
    /// When its start was recorded.
    pub started_at: Timestamp,
    /// What it was when the running paid interval began.
    pub began: Wanted,
    /// What it is now.
    pub current: Wanted,
    /// What it becomes at the end of the paid interval, when that differs.
    pub next: Option<Wanted>,
    /// Ends at the end of the paid interval.
    pub cancelled: bool,
    /// Over.
    pub ended: bool,
    /// What its provider calls it, and the time of the last event of it that was heeded; absent for one that no
    /// provider tells of.
    pub told: Option<Told>,
    /// Payments for cycles that are running, to come, or lately over, in the order of the times they are for.
    pub paid: Vec<Paid>,
    /// The running or, once ended, the last cycle.
    pub cycle: Cycle,
}

/// By how much a provider's boundary and the account's may differ: a provider counts months in UTC, where the last of
/// February may be the first of March, and no clocks change.
const CALENDARS_DIFFER: SignedDuration = SignedDuration::from_hours(96);

/// What a provider tells of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `stripe:sub_…`.
    pub name: Printable,
    /// When the last event that was heeded happened: an older one is old news.
    pub at: Timestamp,
}

impl Subscription {
    /// Payments of cycles that have not opened yet; with `now`, also of the running one.
    pub fn paid_ahead(&self, now: bool) -> impl Iterator<Item = &Printable> {
        let behind = if now { self.cycle.start } else { self.cycle.end };
        self.paid.iter().filter(move |paid| !self.ended && paid.until > behind).map(|paid| &paid.by)
    }

    /// The cycles of a period that a provider shows: from which boundary, included, and until which, excluded; the
    /// whole paid interval where it does not say from when. `None` when that leaves the calendar.
    ///
    /// Of its end the nearest boundary counts. A start shortly before a paid interval's is that interval's; any other
    /// is within its cycle.
    #[must_use]
    pub fn cycles_of(&self, from: Option<Timestamp>, until: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let start = |every, k: i32| boundary(self.anchor, every, k, self.zone.rules());
        let of = |every, at: Timestamp| period_of(self.anchor, every, at, self.zone.rules());
        let every = if from.is_some() { self.allowance_every } else { self.interval };
        let k = of(every, until)?;
        let (before, behind) = (start(every, k)?, start(every, k.checked_add(1)?)?);
        let end = if behind.duration_since(until) < until.duration_since(before) { k.checked_add(1)? } else { k };
        let last = start(every, end.checked_sub(1)?)?;
        let first = from.and_then(|from| {
            let cycle = start(every, of(every, from)?)?;
            let interval = start(self.interval, of(self.interval, from.checked_add(CALENDARS_DIFFER).ok()?)?)?;
            Some(cycle.max(interval).min(last))
        });
        Some((first.unwrap_or(last), start(every, end)?))
    }

    /// The paid interval that is due at an instant: from when, included, and until when, excluded. The first
    /// is due before it begins. `None` when that leaves the calendar.
    #[must_use]
    pub fn interval_due(&self, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let k = period_of(self.anchor, self.interval, at, self.zone.rules())?.max(0);
        let start = |k: i32| boundary(self.anchor, self.interval, k, self.zone.rules());
        Some((start(k)?, start(k.checked_add(1)?)?))
    }

    /// The identity of the running cycle.
    #[must_use]
    pub fn cycle_id(&self) -> CycleId {
        CycleId { subscription: self.id.clone(), k: self.cycle.k, n: self.cycle.n }
    }

    /// The boundary that opens period `k` of this subscription.
    #[must_use]
    pub fn boundary(&self, k: i32) -> Option<Timestamp> {
        boundary(self.anchor, self.allowance_every, k, self.zone.rules())
    }

    /// Whether it has a plan, or will.
    #[must_use]
    pub fn has_plan(&self, plan: &Id) -> bool {
        [Some(&self.current), self.next.as_ref()].into_iter().flatten().any(|had| had.plan == *plan)
    }

    /// Units of an add-on that it has, or will have when that is more.
    #[must_use]
    pub fn units(&self, addon: &Id) -> u32 {
        let of = |state: &Wanted| state.addons.get(addon).copied().unwrap_or(0);
        of(&self.current).max(self.next.as_ref().map_or(0, of))
    }

    /// The instant of the `ahead`-th close from now, from 1; a cancelled subscription has none after
    /// its last.
    #[must_use]
    pub fn close_ahead(&self, ahead: u32) -> Option<Timestamp> {
        let ahead = self.closes_to_last().map_or(ahead, |last| ahead.min(last));
        if ahead <= 1 {
            return Some(self.cycle.end);
        }
        self.boundary(self.cycle.k.checked_add(i32::try_from(ahead).ok()?)?)
    }

    /// Like [`Self::close_ahead`] for a close that another cycle follows.
    #[must_use]
    pub fn passing_close(&self, ahead: u32) -> Option<Timestamp> {
        let passes = self.closes_to_last().is_none_or(|last| ahead < last);
        passes.then(|| self.close_ahead(ahead)).flatten()
    }

    /// How many closes a cancelled subscription has left, its last included.
    fn closes_to_last(&self) -> Option<u32> {
        let per_interval = self.cycles_per_interval();
        let opened = self.cycle.k.checked_rem_euclid(per_interval)?;
        self.cancelled.then(|| per_interval.checked_sub(opened)).flatten().and_then(|left| u32::try_from(left).ok())
    }

    /// Cycles in one paid interval, at least 1.
    fn cycles_per_interval(&self) -> i32 {
        self.interval.months().checked_div(self.allowance_every.months()).unwrap_or(1).max(1)
    }

    /// True when the end of the running cycle is also the end of a paid interval.
    #[must_use]
    pub fn pays_at_end(&self) -> bool {
        let per_interval = self.cycles_per_interval();
        self.cycle.k.checked_add(1).and_then(|next| next.checked_rem_euclid(per_interval)).is_some_and(|rest| rest == 0)
    }
}

/// Units (or credits, for a plan) already issued for an item in a period: what makes toggling mint
/// nothing. Kept until the stored end of the period it was granted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HighWater {
    /// `plans.<plan>` or `addons.<add-on>`.
    pub item: Printable,
    /// The most that was issued: units for an add-on, credits for a plan.
    pub issued: Credits,
    /// The stored end of the period.
    pub until: Timestamp,
}

/// What a cycle's close and opening did: the record of a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// The subscription.
    pub subscription: Id,
    /// The cycle that opened (for the last close: that closed).
    pub k: i32,
    /// Manual resets within that period.
    pub n: u32,
    /// The boundary it happened for.
    pub boundary: Timestamp,
    /// Allowance and add-on credits granted.
    pub granted: Credits,
    /// Credits that ended unused.
    pub forfeited: Credits,
    /// Credits handed on.
    pub rolled_over: Credits,
    /// The end of the cycle that opened; absent after the last close.
    pub next_boundary: Option<Timestamp>,
}
