//! Whether a lane looks its messages up before it decides, or lets the unique key of the outcomes find a
//! repeat.
//!
//! Owns a habit, never an answer: a repeat that was not looked for refuses its batch, which is done again
//! with looking. Repeats come in bursts; while there are none, looking every message up finds nothing.

use crate::domain::decision::Outcome;
use crate::ledger::Settled;

/// Batches that look for repeats after there was one: doing a batch again costs about as much as looking
/// in this many.
const LOOK_UPS: u32 = 8;

/// How likely repeats are in one lane.
pub(super) struct Repeats {
    /// Batches left that look them up.
    look_ups: u32,
}

impl Default for Repeats {
    /// After a start, as after a repeat.
    fn default() -> Self {
        Self { look_ups: LOOK_UPS }
    }
}

impl Repeats {
    pub(super) fn are_likely(&self) -> bool {
        self.look_ups > 0
    }

    pub(super) fn learn(&mut self, settled: &[Settled]) {
        let is_repeat = |settled: &Settled| matches!(settled.outcome, Outcome::Duplicate | Outcome::Waiting | Outcome::Quarantined(_));
        self.look_ups = if settled.iter().any(is_repeat) { LOOK_UPS } else { self.look_ups.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(outcome: Outcome) -> Settled {
        Settled { outcome, entries: None, of: None }
    }

    #[test]
    fn a_lane_looks_until_repeats_have_been_missing_for_a_while() {
        let mut repeats = Repeats::default();
        for _ in 0..LOOK_UPS {
            assert!(repeats.are_likely());
            repeats.learn(&[settled(Outcome::Applied), settled(Outcome::Rejected(Vec::new()))]);
        }
        assert!(!repeats.are_likely());
        repeats.learn(&[settled(Outcome::Applied), settled(Outcome::Duplicate)]);
        assert!(repeats.are_likely());
    }
}
