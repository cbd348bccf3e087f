//! The closes to come: when what cycles close will end, as far as it can be foreseen (semantics §7).
//!
//! Owns the instant that reading and the burn order see of a rollover. A manual reset, a start or a
//! cancellation moves it, so it is foreseen again after each of them. Closing itself is `rollover`'s.

use super::book::Book;
use super::draft::Draft;
use super::grant::{Grant, GrantEnd, GrantStatus};
use super::subscription::Subscription;
use jiff::Timestamp;
use std::sync::Arc;

/// Sets the end of every rollover to the close that will close it: the `closes_left`-th from now,
/// never beyond its root's own date.
pub fn foresee(draft: &mut Draft<'_>) {
    let moved: Vec<(u32, GrantEnd)> = draft
        .book
        .grants
        .live()
        .filter(|grant| grant.status == GrantStatus::Active && grant.terms.parent.is_some())
        .map(|grant| (grant, end(&draft.book, grant)))
        .filter(|(grant, end)| grant.terms.end != *end)
        .map(|(grant, end)| (grant.terms.number, end))
        .collect();
    for (number, end) in moved {
        draft.change_grant(number, |grant| Arc::make_mut(&mut grant.terms).end = end);
    }
}

fn end(book: &Book, rollover: &Grant) -> GrantEnd {
    let left = rollover.closes_left.max(1);
    let close = match &rollover.terms.cycle {
        Some(cycle) => book.subscriptions.get(&cycle.subscription).and_then(|one| one.close_ahead(left)),
        None => passing_close(book, left),
    };
    let expires_at = rollover.terms.end.explicit();
    match (close, expires_at) {
        // At one instant its own date comes first.
        (Some(at), expires_at) if expires_at.is_none_or(|expires| at < expires) => GrantEnd::Cycle { at, expires_at },
        (_, Some(expires)) => GrantEnd::At(expires),
        (_, None) => GrantEnd::Never,
    }
}

/// The `left`-th close from now that closes grants with a rule of their own: of any subscription,
/// those of one instant counted once. A last close is none of them.
fn passing_close(book: &Book, left: u32) -> Option<Timestamp> {
    let running: Vec<&Subscription> = book.subscriptions.values().filter(|one| !one.ended).collect();
    if let [only] = running.as_slice() {
        return only.passing_close(left);
    }
    let mut ahead: Vec<(&Subscription, u32)> = running.into_iter().map(|one| (one, 1)).collect();
    for counted in 1..=left {
        let next = ahead.iter().filter_map(|(one, nth)| one.passing_close(*nth)).min()?;
        if counted == left {
            return Some(next);
        }
        for (one, nth) in &mut ahead {
            if one.passing_close(*nth) == Some(next) {
                *nth = nth.saturating_add(1);
            }
        }
    }
    None
}
