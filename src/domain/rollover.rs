//! Closing cycles: what rolls over, what is forfeited (semantics §7).
//!
//! Owns the rollover rule at work. Opening the next cycle is `cycle`'s.

use super::credits::{Credits, Overflow};
use super::cycle::plan;
use super::draft::Draft;
use super::entry::EntryKind;
use super::grant::{Grant, GrantEnd, GrantSource, GrantStatus, GrantTerms, RolloverRule};
use super::paid;
use super::subscription::Subscription;

/// What a close took and handed on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Closed {
    /// Ended unused.
    pub forfeited: Credits,
    /// Handed on.
    pub rolled_over: Credits,
}

/// What happens to closing grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close<'a> {
    /// This subscription's cycle ends and another follows.
    Cycle(&'a Subscription),
    /// This subscription ends: everything of it is forfeited.
    Last(&'a Subscription),
    /// Only grants with a rollover of their own.
    OwnRules,
}

/// Closes the grants a reset closes: those of the subscription's cycle and those with an explicit
/// rollover, nothing else. A close by hand counts like any other; the ends of rollovers are foreseen
/// by the caller (`closes`).
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn close(draft: &mut Draft<'_>, what: Close<'_>) -> Result<Closed, Overflow> {
    let numbers: Vec<u32> = draft
        .book
        .grants
        .live()
        .filter(|grant| grant.status == GrantStatus::Active && closes(grant, what))
        .map(|grant| grant.terms.number)
        .collect();
    let mut closed = Closed::default();
    for number in numbers {
        let Some(grant) = draft.book.grants.get(&number).cloned() else { continue };
        // Two subscriptions may reset at one instant: for a grant that is one close.
        if !draft.count_close(number) {
            continue;
        }
        let last_of = matches!(what, Close::Last(_)) && grant.terms.cycle.is_some();
        if grant.closes_left > 1 && !last_of {
            draft.change_grant(number, |grant| grant.closes_left = grant.closes_left.saturating_sub(1));
            continue;
        }
        let one = close_grant(draft, &grant, what, last_of)?;
        closed.forfeited = closed.forfeited.plus(one.forfeited)?;
        closed.rolled_over = closed.rolled_over.plus(one.rolled_over)?;
    }
    closed.forfeited = closed.forfeited.plus(trim_to_cap(draft, what)?)?;
    Ok(closed)
}

fn closes(grant: &Grant, what: Close<'_>) -> bool {
    let own = grant.terms.rollover.is_some();
    match (what, &grant.terms.cycle) {
        (Close::Cycle(one) | Close::Last(one), Some(cycle)) => cycle.subscription == one.id,
        (Close::Cycle(_) | Close::OwnRules, None) => own,
        // A last close ends what belongs to the subscription; a grant's own rule waits for others.
        (Close::Last(_), None) | (Close::OwnRules, Some(_)) => false,
    }
}

fn close_grant(draft: &mut Draft<'_>, grant: &Grant, what: Close<'_>, last: bool) -> Result<Closed, Overflow> {
    let number = grant.terms.number;
    let free = grant.remaining.minus(grant.frozen)?;
    let outlived = grant.terms.end.explicit().is_some_and(|end| end <= draft.occurred_at);
    let rule = if last || outlived { None } else { rule_for(draft, grant, what)? };
    let rolled = rule.as_ref().map_or(Credits::ZERO, |rule| rule.rolled(free));
    let from_remaining = rolled.min(free);
    if from_remaining.is_positive() {
        draft.take_from(number, EntryKind::RolledOut, from_remaining)?;
    }
    let forfeited = grant.remaining.minus(from_remaining)?;
    if forfeited.is_positive() {
        draft.take_from(number, EntryKind::Forfeited, forfeited)?;
    }
    draft.change_grant(number, |grant| grant.handed_on = from_remaining);
    draft.end_grant(number);
    if let (true, Some(rule)) = (rolled.is_positive(), rule) {
        roll(draft, &Rolled { from: grant, rule: &rule, amount: rolled, from_remaining })?;
    }
    Ok(Closed { forfeited, rolled_over: rolled })
}

/// The rule that applies to a closing grant, with its percentage as an amount: that of its plan's allowance, or
/// of its own credits. A rollover keeps the rule it was made by.
fn rule_for(draft: &Draft<'_>, grant: &Grant, what: Close<'_>) -> Result<Option<RolloverRule>, Overflow> {
    let rule = match (&grant.terms.rollover, what, grant.terms.source) {
        (Some(own), _, _) => Some(own.in_amounts(grant.terms.credits)?),
        (None, Close::Cycle(one), GrantSource::Plan) => {
            // Where an upgrade is not paid yet, that of the plan which granted.
            let granted = paid::entitlement(draft.terms, one).plan;
            let plan = plan(draft.terms, granted.as_ref().unwrap_or(&one.current.plan), one.cycle.catalog);
            let rule = plan.and_then(|plan| Some((plan.rollover.as_ref()?, plan.allowance)));
            let rule = rule.map(|(rule, allowance)| rule.in_amounts(allowance)).transpose()?;
            rule.map(|rule| RolloverRule { count: rule.count.or(Some(1)), ..rule })
        }
        (None, _, _) => None,
    };
    Ok(rule.filter(|rule| rule.count.is_none_or(|count| grant.terms.generation < count)))
}

/// What one grant hands on.
struct Rolled<'a> {
    from: &'a Grant,
    rule: &'a RolloverRule,
    amount: Credits,
    from_remaining: Credits,
}

fn roll(draft: &mut Draft<'_>, rolled: &Rolled<'_>) -> Result<(), Overflow> {
    let Rolled { from, rule, amount, from_remaining } = *rolled;
    let cycles = rule.cycles.unwrap_or(1);
    // What is minted beyond the remainder cost nothing; the basis is spread over the whole.
    let cost_basis = from.terms.cost_basis.share_down(from_remaining.decimal(), amount.decimal())?;
    let id = draft.derived_id("ro");
    let number = draft.grant(
        GrantTerms {
            number: 0,
            id,
            source: GrantSource::Rollover { promotional: from.terms.source.is_promotional() },
            credits: amount,
            cost_basis,
            priority: from.terms.priority,
            effective_at: draft.occurred_at,
            // Its close is foreseen once the next cycle is open.
            end: from.terms.end.explicit().map_or(GrantEnd::Never, GrantEnd::At),
            scope: from.terms.scope.clone(),
            rollover: Some(rule.clone()),
            recurs: None,
            parent: Some(from.terms.number),
            generation: from.terms.generation.checked_add(1).ok_or(Overflow)?,
            cycle: from.terms.cycle.clone(),
            payment: from.terms.payment.clone(),
            cause: draft.cause.clone(),
        },
        None,
    )?;
    draft.count_close(number);
    draft.change_grant(number, |grant| grant.closes_left = cycles.max(1));
    Ok(())
}

/// Trims rollovers beyond the tenant's cap, the oldest first. Those of a subscription that is still to be closed at
/// this instant do not count yet.
fn trim_to_cap(draft: &mut Draft<'_>, what: Close<'_>) -> Result<Credits, Overflow> {
    let Some(cap) = draft.terms.settings.rollover_cap else { return Ok(Credits::ZERO) };
    let closing = if let Close::Cycle(one) | Close::Last(one) = what { Some(&one.id) } else { None };
    let (now, subscriptions) = (draft.occurred_at, &draft.book.subscriptions);
    let closes_next = |one: &Subscription| !one.ended && one.cycle.end <= now && closing != Some(&one.id);
    let counts = |grant: &Grant| {
        let of = grant.terms.cycle.as_ref().and_then(|cycle| subscriptions.get(&cycle.subscription));
        grant.status == GrantStatus::Active && matches!(grant.terms.source, GrantSource::Rollover { .. }) && !of.is_some_and(closes_next)
    };
    let rollovers: Vec<(u32, Credits)> =
        draft.book.grants.live().filter(|grant| counts(grant)).map(|grant| (grant.terms.number, grant.remaining)).collect();
    let mut over = Credits::sum(rollovers.iter().map(|(_, remaining)| *remaining))?.minus(cap)?.at_least_zero();
    let trimmed = over;
    for (number, remaining) in rollovers {
        let part = remaining.min(over);
        if part.is_positive() {
            draft.trim(number, part)?;
            over = over.minus(part)?;
        }
    }
    Ok(trimmed)
}
