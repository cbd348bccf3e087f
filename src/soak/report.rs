//! What a run came to.
//!
//! Owns its text. Never judges: what is wrong is handed to it.

use std::fmt;

/// Differences printed in full.
pub const SHOWN_MAX: usize = 20;

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Messages published.
    pub messages: usize,
    /// Distinct ones among them.
    pub distinct: usize,
    /// Repeats of the same bytes.
    pub repeats: usize,
    /// Messages that contradict another.
    pub contradictory: usize,
    /// Messages set aside as conflicts.
    pub set_aside: u64,
    /// Workers killed.
    pub kills: u64,
    /// Deliveries that came again after their outcome was stored.
    pub answered_again: u64,
    /// Distinct events received.
    pub events: usize,
    /// Events received once more.
    pub events_again: u64,
    /// Accounts recomputed.
    pub accounts: i64,
    /// Entries recomputed.
    pub entries: i64,
    /// From the first message to the last event.
    pub seconds: f64,
    /// Facts missing from the ledger.
    pub lost: u64,
    /// Facts in the ledger more than once.
    pub twice: u64,
    /// Everything that is wrong; empty for a good run.
    pub wrong: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for what in self.wrong.iter().take(SHOWN_MAX) {
            writeln!(formatter, "wrong: {what}")?;
        }
        if self.wrong.len() > SHOWN_MAX {
            writeln!(formatter, "wrong: and {} more", self.wrong.len().saturating_sub(SHOWN_MAX))?;
        }
        writeln!(
            formatter,
            "messages {}: {} distinct, {} repeats, {} contradictory",
            self.messages, self.distinct, self.repeats, self.contradictory
        )?;
        writeln!(formatter, "faults: {} kills, {} deliveries again after their outcome was stored", self.kills, self.answered_again)?;
        writeln!(formatter, "conflicts in quarantine: {}, each with a stored rival", self.set_aside)?;
        writeln!(
            formatter,
            "events: {} received, {} of them again; ranges compared with {} accounts",
            self.events, self.events_again, self.accounts
        )?;
        writeln!(formatter, "reconcile: {} accounts, {} entries", self.accounts, self.entries)?;
        writeln!(formatter, "seconds: {:.1}", self.seconds)?;
        write!(formatter, "{} lost, {} twice, {} things wrong", self.lost, self.twice, self.wrong.len())
    }
}
