//! `subscription.started`, `.changed`, `.cancelled`, `.resumed` (semantics §7).

use super::{Case, Reasons, accept};
use crate::domain::account::AccountStatus;
use crate::domain::calendar::{Interval, boundary, period_of};
use crate::domain::catalog::{Addon, Plan};
use crate::domain::closes;
use crate::domain::command::{ChangeSubscription, StartSubscription};
use crate::domain::credits::Overflow;
use crate::domain::cycle::{self, Opening};
use crate::domain::decision::Row;
use crate::domain::decision::{Decision, On};
use crate::domain::draft::Draft;
use crate::domain::event::Event;
use crate::domain::ids::Id;
use crate::domain::paid;
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::settings::Terms;
use crate::domain::subscription::{Cycle, Subscription, Told, Wanted};
use std::collections::BTreeMap;

/// The most units an add-on may have.
pub(super) const UNITS_MAX: u32 = 1_000_000;

pub fn start(case: Case<'_>, command: &StartSubscription) -> Result<Decision, Overflow> {
    start_as(case, command, None, false)
}

/// Starts a subscription that a provider may tell of.
pub(super) fn start_as(case: Case<'_>, command: &StartSubscription, told: Option<Told>, cancelled: bool) -> Result<Decision, Overflow> {
    let account = &case.book.account;
    if account.status == AccountStatus::Unopened && !case.terms.settings.opens_accounts() {
        return Ok(Decision::Waiting(On::Account));
    }
    let wanted = Wanted { plan: command.plan.clone(), addons: with_units(&command.addons) };
    if let Some(known) = case.book.subscriptions.get(&command.subscription) {
        let same = known.started_with == wanted && known.interval == command.interval && known.anchor == command.anchor;
        return Ok(if same { Decision::Duplicate } else { Decision::Quarantined(QuarantineReason::IdempotencyConflict) });
    }
    let Some(catalog) = case.terms.catalog() else { return Ok(Decision::Rejected(vec![Rejection::UnknownPlan])) };
    let plan = catalog.plans.get(&wanted.plan);
    let every = plan.and_then(|plan| plan.allowance_every).unwrap_or(command.interval);
    let zone = account.profile.zone.clone();
    let opened = period_of(command.anchor, every, case.at, zone.rules()).and_then(|k| {
        let at = |k: i32| boundary(command.anchor, every, k, zone.rules());
        Some(Cycle::new((k, 0), (at(k)?, at(k.checked_add(1)?)?), catalog.version))
    });
    let interval_fits = plan.is_none_or(|plan| is_sold_by(plan, command.interval));
    let mut reasons = Reasons::default();
    reasons.add_if(account.status == AccountStatus::Closed, Rejection::AccountClosed);
    reasons.add_if(!units_possible(&wanted.addons), Rejection::InvalidAmount);
    reasons.add_if(opened.is_none(), Rejection::InvalidTime);
    reasons.add_if(plan.is_none() || !interval_fits || every.months() > command.interval.months(), Rejection::UnknownPlan);
    reasons.add_if(!addons_fit(case, &wanted, None), Rejection::UnknownAddon);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let Some(cycle) = opened else { return Ok(Decision::Rejected(vec![Rejection::InvalidTime])) };
    let subscription = Subscription {
        id: command.subscription.clone(),
        started_with: wanted.clone(),
        interval: command.interval,
        allowance_every: every,
        anchor: command.anchor,
        zone,
        started_at: case.at,
        began: wanted.clone(),
        current: wanted,
        next: None,
        cancelled,
        ended: false,
        told,
        paid: Vec::new(),
        cycle: cycle.clone(),
    };
    let mut draft = case.draft();
    draft.open_account();
    draft.occurred_at = case.at;
    cycle::open(&mut draft, subscription, cycle, Opening::Counting)?;
    draft.repay_debt()?;
    announce(&mut draft, &command.subscription);
    Ok(accept(draft))
}

pub fn change(case: Case<'_>, command: &ChangeSubscription) -> Result<Decision, Overflow> {
    let known = match active(case, &command.subscription) {
        Ok(known) => known,
        Err(answer) => return Ok(answer),
    };
    let wanted = Wanted {
        plan: command.plan.clone().unwrap_or_else(|| known.next.as_ref().unwrap_or(&known.current).plan.clone()),
        addons: command.addons.as_ref().map_or_else(|| known.next.as_ref().unwrap_or(&known.current).addons.clone(), with_units),
    };
    if let Some(refusal) = unchangeable(case, known, &wanted) {
        return Ok(refusal);
    }
    if wanted == known.current && known.next.is_none() {
        return Ok(Decision::Duplicate);
    }
    let mut draft = case.draft();
    draft.occurred_at = case.at;
    move_to(&mut draft, known.clone(), wanted)?;
    draft.repay_debt()?;
    announce(&mut draft, &command.subscription);
    Ok(accept(draft))
}

/// Why a subscription cannot become what is wanted.
pub(super) fn unchangeable(case: Case<'_>, known: &Subscription, wanted: &Wanted) -> Option<Decision> {
    let Some(catalog) = case.terms.catalog() else { return Some(Decision::Rejected(vec![Rejection::UnknownPlan])) };
    let plan = catalog.plans.get(&wanted.plan);
    let keeps_plan = known.has_plan(&wanted.plan);
    let every = plan.and_then(|plan| plan.allowance_every).unwrap_or(known.interval);
    let mut reasons = Reasons::default();
    reasons.add_if(case.book.account.status == AccountStatus::Closed, Rejection::AccountClosed);
    reasons.add_if(!units_possible(&wanted.addons), Rejection::InvalidAmount);
    // A plan with cycles of another length, or of another paid interval, cannot take over a running cycle.
    let fits = plan.is_some_and(|plan| every == known.allowance_every && is_sold_by(plan, known.interval));
    reasons.add_if(!keeps_plan && !fits, Rejection::UnknownPlan);
    reasons.add_if(!addons_fit(case, wanted, Some(known)), Rejection::UnknownAddon);
    reasons.refusal()
}

fn is_sold_by(plan: &Plan, interval: Interval) -> bool {
    plan.interval.is_none_or(|wanted| wanted == interval)
}

/// Makes a subscription what is wanted: increases at once, decreases at the end of the paid interval.
pub(super) fn move_to(draft: &mut Draft<'_>, mut one: Subscription, wanted: Wanted) -> Result<(), Overflow> {
    if paid::grants_by_cycle(draft.terms, &one, &one.current.plan) {
        // What was granted without a payment is not lost to a change that waits for one.
        one.began = one.current.clone();
    }
    one.current = raised(draft.terms, &one, &wanted);
    one.next = (one.current != wanted).then_some(wanted);
    let id = one.id.clone();
    draft.put(Row::Subscription(one));
    cycle::issue(draft, &id)?.settle(draft)
}

/// What holds from now on: increases at once, decreases not before the end of the paid interval.
fn raised(terms: &Terms, known: &Subscription, wanted: &Wanted) -> Wanted {
    let allowance = |plan: &Id| cycle::plan(terms, plan, known.cycle.catalog).map(|plan| plan.allowance);
    let upgrade = allowance(&wanted.plan) >= allowance(&known.current.plan);
    let plan = if upgrade { wanted.plan.clone() } else { known.current.plan.clone() };
    let mut addons = known.current.addons.clone();
    for (addon, units) in &wanted.addons {
        let now = addons.entry(addon.clone()).or_default();
        *now = (*now).max(*units);
    }
    Wanted { plan, addons }
}

pub fn cancel(case: Case<'_>, subscription: &Id, at_cycle_end: bool) -> Result<Decision, Overflow> {
    let known = match active(case, subscription) {
        Ok(known) => known,
        Err(answer) => return Ok(answer),
    };
    if at_cycle_end && known.cancelled {
        return Ok(Decision::Duplicate);
    }
    let mut draft = case.draft();
    draft.occurred_at = case.at;
    let mut one = known.clone();
    one.cancelled = true;
    draft.put(Row::Subscription(one));
    if at_cycle_end {
        closes::foresee(&mut draft);
        announce(&mut draft, subscription);
    } else {
        cycle::end_now(&mut draft, subscription)?;
    }
    Ok(accept(draft))
}

pub fn resume(case: Case<'_>, subscription: &Id) -> Decision {
    let known = match active(case, subscription) {
        Ok(known) => known,
        Err(answer) => return answer,
    };
    if !known.cancelled {
        return Decision::Duplicate;
    }
    let mut draft = case.draft();
    let mut one = known.clone();
    one.cancelled = false;
    draft.put(Row::Subscription(one));
    closes::foresee(&mut draft);
    announce(&mut draft, subscription);
    accept(draft)
}

/// The subscription if it has not ended; otherwise the answer.
fn active<'a>(case: Case<'a>, subscription: &Id) -> Result<&'a Subscription, Decision> {
    match case.book.subscriptions.get(subscription) {
        None => Err(Decision::Waiting(On::Subscription(subscription.clone()))),
        Some(known) if known.ended => Err(Decision::Rejected(vec![Rejection::NoActiveSubscription])),
        Some(known) => Ok(known),
    }
}

pub(super) fn announce(draft: &mut Draft<'_>, subscription: &Id) {
    if let Some(one) = draft.book.subscriptions.get(subscription).cloned() {
        draft.announce(Event::SubscriptionChanged(Box::new(one)));
    }
}

pub(super) fn with_units(addons: &BTreeMap<Id, u32>) -> BTreeMap<Id, u32> {
    addons.iter().filter(|(_, units)| **units > 0).map(|(addon, units)| (addon.clone(), *units)).collect()
}

fn units_possible(addons: &BTreeMap<Id, u32>) -> bool {
    addons.values().all(|units| *units <= UNITS_MAX)
}

/// Every add-on is sold, goes with the plan and is for this kind of account. Units that are there
/// already may stay or become fewer while the plan stays, whatever is sold by now.
fn addons_fit(case: Case<'_>, wanted: &Wanted, known: Option<&Subscription>) -> bool {
    let kind = case.book.account.profile.kind;
    let fits = |addon: &Addon| {
        let scope = addon.scope.zip(kind).is_none_or(|(wanted, kind)| wanted == kind);
        scope && (addon.plans.is_empty() || addon.plans.contains(&wanted.plan))
    };
    wanted.addons.iter().all(|(id, units)| {
        let kept = known.filter(|one| *units <= one.units(id));
        let sold = case.terms.catalog().and_then(|catalog| catalog.addons.get(id));
        let known_as = || kept.and_then(|one| cycle::addon(case.terms, id, one.cycle.catalog));
        kept.is_some_and(|one| one.has_plan(&wanted.plan)) || sold.or_else(known_as).is_some_and(fits)
    })
}
