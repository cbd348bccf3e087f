//! What went wrong outside the core, in the classes that decide what happens next.
//!
//! Owns the classes; which error of the database is of which class is the store's to say. A business
//! refusal is not a failure: it is an outcome.

use std::time::Duration;

/// The error underneath, for the chain of `source()`; its type is nobody's business outside the store.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the shell: database, broker, or an invariant of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another try of the same work may succeed at once: deadlock, serialization, lock timeout,
    /// identity inserted by another worker, connection lost.
    #[error("the database asked for another try; nothing was written")]
    Again(#[source] Cause),
    /// The database is away, full or shutting down: hold everything and probe.
    #[error("the database cannot be used at the moment; nothing was written; check that it runs and can be written to")]
    Unavailable(#[source] Cause),
    /// The schema or the rights do not fit this worker: nobody but an operator can help.
    #[error("the database does not fit this worker (run `credit-ledger migrate`, check the role's rights); nothing was written")]
    Misfit(#[source] Cause),
    /// The data of some message cannot be stored: the batch is bisected until it is found.
    #[error("the database refused a value; nothing was written")]
    Data(#[source] Cause),
    /// An invariant of the ledger does not hold or the rules panicked: bisected likewise.
    #[error("{0}")]
    Invariant(String),
}

impl Failure {
    /// True when the same batch may be tried again without anybody's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Again(_) | Self::Unavailable(_))
    }
}

/// The pause before try `attempt` (from 0): exponential, capped, with jitter, so that workers that
/// failed together do not try together.
#[must_use]
pub fn pause(attempt: u32, first: Duration, most: Duration) -> Duration {
    let base = first.saturating_mul(1_u32 << attempt.min(10)).min(most);
    base.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_cap() {
        let pause = |attempt| pause(attempt, Duration::from_millis(10), Duration::from_secs(1));
        assert!(pause(0) < Duration::from_millis(11));
        assert!(pause(30) <= Duration::from_secs(1) && pause(30) >= Duration::from_millis(500));
    }
}
