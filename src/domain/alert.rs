//! What an account wants to be told and to be bought when it runs low (semantics §8).
//!
//! Owns what was asked for. Nothing evaluates it yet: no level fires and no top-up is requested.

use super::calendar::CalendarSpan;
use super::credits::Credits;
use super::ids::Id;

/// A level an account wants to be told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Where it fires.
    pub level: AlertLevel,
    /// How far above the level it is armed again, in the level's unit; absent: a tenth of the level.
    pub margin: Option<Credits>,
}

/// Where an alert fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertLevel {
    /// At so many available credits.
    Credits(Credits),
    /// At so many percent of this cycle's credits, 0 to 100.
    Percent(Credits),
}

/// What is bought when available credits fall below a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoTopup {
    /// The package, by its key in the catalog.
    pub package: Id,
    /// Available credits less debt are to be at least this much.
    pub threshold: Credits,
    /// How far up to buy; absent: just above the threshold.
    pub target: Option<Credits>,
    /// The most credits bought within `window`, or at once without one.
    pub max: Option<Credits>,
    /// The span `max` is for.
    pub window: Option<CalendarSpan>,
}

impl AutoTopup {
    /// True when its amounts can be meant together: buying up to a target reaches the threshold.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.target.is_none_or(|target| target >= self.threshold)
    }
}
