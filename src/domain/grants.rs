//! The grants of a book by number, and which of them have not ended.
//!
//! Owns that index: what is due, burns or closes is looked for among those alone, however many have ended. Never
//! decides what a grant becomes.

use super::grant::{Grant, GrantStatus};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// Grants by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    all: BTreeMap<u32, Grant>,
    live: BTreeSet<u32>,
}

impl Grants {
    /// Adds or replaces a grant, under its number.
    pub fn insert(&mut self, grant: Grant) {
        let number = grant.terms.number;
        if grant.status == GrantStatus::Ended {
            self.live.remove(&number);
        } else {
            self.live.insert(number);
        }
        self.all.insert(number, grant);
    }

    /// A grant to be changed, but for its end, which is [`Grants::end`]'s.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Grant> {
        self.all.get_mut(&number)
    }

    /// Ends a grant at an instant; `recorded_at` is when that is recorded.
    pub fn end(&mut self, number: u32, at: Timestamp, recorded_at: Timestamp) {
        if let Some(grant) = self.all.get_mut(&number) {
            grant.status = GrantStatus::Ended;
            grant.refill_at = None;
            grant.ended_at = Some(at);
            grant.end_recorded_at = Some(recorded_at);
            self.live.remove(&number);
        }
    }

    /// Those that are pending or active, by number.
    pub fn live(&self) -> impl Iterator<Item = &Grant> {
        self.live.iter().filter_map(|number| self.all.get(number))
    }

    /// All of them, without the index.
    #[must_use]
    pub fn into_all(self) -> BTreeMap<u32, Grant> {
        self.all
    }
}

impl From<BTreeMap<u32, Grant>> for Grants {
    fn from(all: BTreeMap<u32, Grant>) -> Self {
        let live = all.values().filter(|grant| grant.status != GrantStatus::Ended).map(|grant| grant.terms.number).collect();
        Self { all, live }
    }
}

impl Deref for Grants {
    type Target = BTreeMap<u32, Grant>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}
