//! What a provider tells of a subscription: it runs, it changes, it is over (semantics §5, §7).
//!
//! Owns what its price ids mean by the catalog, and that an older event changes nothing: events may come in
//! any order. What a start, a change and an end do is `subscription`'s.

use super::subscription::{announce, move_to, start_as, unchangeable, with_units};
use super::{Case, accept};
use crate::domain::calendar::Interval;
use crate::domain::catalog::PriceTarget;
use crate::domain::closes;
use crate::domain::command::StartSubscription;
use crate::domain::credits::Overflow;
use crate::domain::cycle;
use crate::domain::decision::{Decision, Row};
use crate::domain::ids::Id;
use crate::domain::provider::{ProviderSubscription, SubscriptionSaid};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::subscription::{Subscription, Told, Wanted};
use std::collections::BTreeMap;

pub fn record(case: Case<'_>, event: &ProviderSubscription) -> Result<Decision, Overflow> {
    let told = Told { name: event.name.name.clone(), at: case.message.occurred_at };
    let known = case.book.subscriptions.get(&event.name.provider_id);
    if known.is_some_and(|one| one.told.as_ref().is_some_and(|last| last.name != told.name)) {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    }
    let wanted = wanted(case, event);
    match (known, wanted, event.said) {
        (Some(one), ..) if one.ended || one.told.as_ref().is_some_and(|last| last.at > told.at) => Ok(Decision::Duplicate),
        (Some(one), _, SubscriptionSaid::Over) => over(case, one, told),
        (Some(one), Some(wanted), SubscriptionSaid::Running) => runs(case, one, event, (wanted, told)),
        (Some(_), None, SubscriptionSaid::Running) => Ok(Decision::Rejected(vec![Rejection::UnknownPlan])),
        (None, Some(wanted), SubscriptionSaid::Running) => start_as(case, &started(case, event, wanted), Some(told), event.cancels),
        (None, Some(wanted), SubscriptionSaid::Over) => was_over(case, &started(case, event, wanted), told),
        // Not begun, or of a price that the catalog does not know.
        (Some(_), _, SubscriptionSaid::Pending) => Ok(Decision::Duplicate),
        (None, _, SubscriptionSaid::Pending) | (None, None, _) => Ok(Decision::Ignored),
    }
}

/// What the price ids stand for; `None` when none of them is a plan.
fn wanted(case: Case<'_>, event: &ProviderSubscription) -> Option<Wanted> {
    let mut plan: Option<Id> = None;
    let mut addons: BTreeMap<Id, u32> = BTreeMap::new();
    for (price, quantity) in &event.items {
        // A price that was taken out of the catalog still means what it meant.
        match case.terms.catalogs.values().rev().find_map(|catalog| catalog.target(price)) {
            Some(PriceTarget::Plan(id)) => plan = plan.or_else(|| Some(id.clone())),
            Some(PriceTarget::Addon(id)) => {
                let units = addons.entry(id.clone()).or_default();
                *units = units.saturating_add(*quantity);
            }
            None => {}
        }
    }
    plan.map(|plan| Wanted { plan, addons: with_units(&addons) })
}

fn started(case: Case<'_>, event: &ProviderSubscription, wanted: Wanted) -> StartSubscription {
    let plan = case.terms.catalog().and_then(|catalog| catalog.plans.get(&wanted.plan));
    let zone = case.book.account.profile.zone.rules().clone();
    StartSubscription {
        subscription: event.name.provider_id.clone(),
        plan: wanted.plan,
        interval: event.interval.or(plan.and_then(|plan| plan.interval)).unwrap_or(Interval::Month),
        anchor: event.anchor.to_zoned(zone).datetime(),
        addons: wanted.addons,
    }
}

/// It runs, as something else perhaps, and perhaps not for long.
fn runs(case: Case<'_>, known: &Subscription, event: &ProviderSubscription, (wanted, told): (Wanted, Told)) -> Result<Decision, Overflow> {
    // One that is paid by another interval now has other cycles: it cannot take over the running one.
    if event.interval.is_some_and(|interval| interval != known.interval) {
        return Ok(Decision::Rejected(vec![Rejection::UnknownPlan]));
    }
    if let Some(refusal) = unchangeable(case, known, &wanted) {
        return Ok(refusal);
    }
    let same = wanted == *known.next.as_ref().unwrap_or(&known.current) && known.cancelled == event.cancels;
    let mut draft = case.draft();
    draft.occurred_at = case.at;
    let one = Subscription { cancelled: event.cancels, told: Some(told), ..known.clone() };
    if same {
        draft.put(Row::Subscription(one));
        return Ok(Decision::Named(Box::new(draft.finish())));
    }
    move_to(&mut draft, one, wanted)?;
    closes::foresee(&mut draft);
    draft.repay_debt()?;
    announce(&mut draft, &known.id);
    Ok(accept(draft))
}

fn over(case: Case<'_>, known: &Subscription, told: Told) -> Result<Decision, Overflow> {
    let mut draft = case.draft();
    draft.occurred_at = case.at;
    draft.put(Row::Subscription(Subscription { cancelled: true, told: Some(told), ..known.clone() }));
    cycle::end_now(&mut draft, &known.id)?;
    Ok(accept(draft))
}

/// It is over before it was heard of: whatever comes later about it is old news.
fn was_over(case: Case<'_>, command: &StartSubscription, told: Told) -> Result<Decision, Overflow> {
    let answer = start_as(case, command, Some(told), true)?;
    let Decision::Accepted(started) = answer else { return Ok(answer) };
    let Some(one) = started.rows.iter().rev().find_map(|row| if let Row::Subscription(one) = row { Some(one) } else { None }) else {
        return Ok(Decision::Ignored);
    };
    let mut draft = case.draft();
    draft.occurred_at = case.at;
    draft.put(Row::Subscription(one.clone()));
    cycle::end_now(&mut draft, &one.id)?;
    Ok(accept(draft))
}
