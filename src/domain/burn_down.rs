//! The order in which grants burn (semantics §2).
//!
//! Owns one total order. Never looks at amounts.

use super::grant::Grant;
use super::settings::Settings;
use super::word::words;
use jiff::Timestamp;
use std::cmp::Ordering;

words! {
    /// One criterion of the order; a tenant may list them differently.
    BurnKey {
        /// Lower numbers first.
        Priority "priority",
        /// Sooner ends first, none last.
        End "end",
        /// Promotional before paid.
        PromotionalFirst "promotional_first",
        /// Cheaper first.
        CostBasis "cost_basis",
        /// Older first.
        EffectiveAt "effective_at",
    }
}

impl BurnKey {
    /// The default order.
    pub const DEFAULT: [Self; 5] = [Self::Priority, Self::End, Self::PromotionalFirst, Self::CostBasis, Self::EffectiveAt];
}

/// Which of two grants burns first; the grant number always decides last, so no two are equal.
#[must_use]
pub fn compare(settings: &Settings, left: &Grant, right: &Grant) -> Ordering {
    let (a, b) = (&left.terms, &right.terms);
    settings
        .burn_order
        .iter()
        .map(|key| match key {
            BurnKey::Priority => settings.priority(a).cmp(&settings.priority(b)),
            BurnKey::End => end(left).cmp(&end(right)),
            BurnKey::PromotionalFirst => b.source.is_promotional().cmp(&a.source.is_promotional()),
            BurnKey::CostBasis => a.cost_basis.cmp(&b.cost_basis),
            BurnKey::EffectiveAt => a.effective_at.cmp(&b.effective_at),
        })
        .find(|ordering| ordering.is_ne())
        .unwrap_or_else(|| a.number.cmp(&b.number))
}

/// Grants without an end burn after all that have one.
fn end(grant: &Grant) -> Timestamp {
    grant.terms.end.at().unwrap_or(Timestamp::MAX)
}
