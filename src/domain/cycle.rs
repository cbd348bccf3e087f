//! Opening cycles and resetting them: allowance, add-on units, high water (semantics §7).
//!
//! Owns what a reset does. When it is due is `advance`'s; that it was asked for is `decide`'s.

use super::catalog::{Addon, Catalog, GrantOn, Plan};
use super::closes;
use super::credits::{Credits, Overflow};
use super::decision::Row;
use super::draft::Draft;
use super::event::Event;
use super::grant::{GrantEnd, GrantSource, GrantTerms};
use super::ids::{Id, Printable};
use super::rollover::{Close, Closed, close};
use super::subscription::{Cycle, HighWater, Reset, Subscription, Wanted};
use jiff::Timestamp;
use rust_decimal::Decimal;

/// The plan as a cycle that began with catalog `version` sees it.
#[must_use]
pub fn plan<'a>(draft: &Draft<'a>, plan: &Id, version: u32) -> Option<&'a Plan> {
    let terms = draft.terms;
    terms
        .catalog_version(version)
        .and_then(|catalog| catalog.plans.get(plan))
        .or_else(|| terms.catalogs.values().rev().find_map(|catalog| catalog.plans.get(plan)))
}

/// How a cycle opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The first cycle of a subscription: the plan may prorate it.
    First,
    /// After a close: units and allowance already issued for the same period count.
    Next,
    /// After a manual reset: full allowance, fresh high water.
    Afresh,
}

/// Opens a cycle and grants its allowance and add-on units; returns what was granted.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn open(draft: &mut Draft<'_>, mut subscription: Subscription, cycle: Cycle, opening: Opening) -> Result<Credits, Overflow> {
    subscription.cycle = cycle;
    subscription.cycle.allowance = Credits::ZERO;
    draft.put(Row::Subscription(subscription.clone()));
    if opening == Opening::Afresh {
        let addons = subscription.current.addons.keys().map(addon_item);
        let items: Vec<Printable> = addons.chain([plan_item(&subscription.current.plan)]).flatten().collect();
        for item in items {
            draft.put(Row::HighWater(HighWater { item, issued: Credits::ZERO, until: subscription.cycle.end }));
        }
    }
    let wanted = subscription.current.clone();
    let granted = issue(draft, &subscription.id, &wanted)?;
    closes::foresee(draft);
    Ok(granted)
}

/// Grants what `wanted` holds beyond what was already issued in the running cycle: the whole of it
/// for a fresh cycle, the difference for an upgrade, nothing for a toggle.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn issue(draft: &mut Draft<'_>, subscription: &Id, wanted: &Wanted, first: bool) -> Result<Credits, Overflow> {
    let Some(one) = draft.book.subscriptions.get(subscription).cloned() else { return Ok(Credits::ZERO) };
    let Some(plan) = plan(draft, &wanted.plan, one.cycle.catalog).cloned() else { return Ok(Credits::ZERO) };
    if plan.grant_on == GrantOn::Payment {
        return Ok(Credits::ZERO);
    }
    let from = if first || draft.occurred_at > one.cycle.start { draft.occurred_at } else { one.cycle.start };
    let whole = if plan.prorate { prorated(plan.allowance, &one.cycle, from)? } else { plan.allowance };
    let issued = issued(draft, plan_item(&wanted.plan).as_ref()).max(one.cycle.allowance);
    let difference = whole.minus(issued)?.at_least_zero();
    let mut granted = Credits::ZERO;
    if difference.is_positive() {
        grant_for_cycle(draft, &one, GrantSource::Plan, difference, plan.scope.clone())?;
        granted = difference;
    }
    let highest = whole.max(issued);
    mark(draft, plan_item(&wanted.plan), highest, one.cycle.end);
    let mut one = one;
    one.cycle.allowance = highest;
    draft.put(Row::Subscription(one.clone()));
    for (addon, units) in &wanted.addons {
        granted = granted.plus(issue_units(draft, &one, addon, *units)?)?;
    }
    Ok(granted)
}

fn issue_units(draft: &mut Draft<'_>, one: &Subscription, addon: &Id, units: u32) -> Result<Credits, Overflow> {
    let per_unit = draft
        .terms
        .catalog_version(one.cycle.catalog)
        .and_then(|catalog| catalog.addons.get(addon))
        .or_else(|| draft.terms.catalog().and_then(|catalog| catalog.addons.get(addon)))
        .map(|addon| addon.credits_per_unit);
    let Some(per_unit) = per_unit else { return Ok(Credits::ZERO) };
    let high_water = issued(draft, addon_item(addon).as_ref());
    let units = Credits::whole(units);
    let more = units.minus(high_water)?.at_least_zero();
    let credits = per_unit.share_down(more.decimal(), Decimal::ONE)?;
    if credits.is_positive() {
        grant_for_cycle(draft, one, GrantSource::Addon, credits, Vec::new())?;
    }
    mark(draft, addon_item(addon), units.max(high_water), one.cycle.end);
    Ok(credits)
}

/// A plan and an add-on may have one name; their marks are apart.
fn plan_item(plan: &Id) -> Option<Printable> {
    Printable::new(&format!("plans.{plan}")).ok()
}

fn addon_item(addon: &Id) -> Option<Printable> {
    Printable::new(&format!("addons.{addon}")).ok()
}

/// What was already issued of an item in a period that has not ended.
fn issued(draft: &Draft<'_>, item: Option<&Printable>) -> Credits {
    item.and_then(|item| draft.book.high_waters.get(item))
        .filter(|mark| mark.until > draft.occurred_at)
        .map_or(Credits::ZERO, |mark| mark.issued)
}

/// Raises the mark; a period that is still running keeps its stored end.
fn mark(draft: &mut Draft<'_>, item: Option<Printable>, issued: Credits, end: Timestamp) {
    let Some(item) = item else { return };
    let running = draft.book.high_waters.get(&item).filter(|mark| mark.until > draft.occurred_at);
    let until = running.map_or(end, |mark| mark.until);
    if running.is_none_or(|mark| mark.issued < issued) {
        draft.put(Row::HighWater(HighWater { item, issued, until }));
    }
}

fn prorated(credits: Credits, cycle: &Cycle, from: Timestamp) -> Result<Credits, Overflow> {
    let left = Decimal::from(cycle.end.as_second().saturating_sub(from.as_second()));
    let whole = Decimal::from(cycle.end.as_second().saturating_sub(cycle.start.as_second()));
    credits.share_down(left, whole)
}

fn grant_for_cycle(
    draft: &mut Draft<'_>,
    one: &Subscription,
    source: GrantSource,
    credits: Credits,
    scope: Vec<Id>,
) -> Result<(), Overflow> {
    let id = draft.derived_id("cy");
    let terms = GrantTerms::plain(id, source, credits, draft.occurred_at, draft.cause.clone());
    let end = GrantEnd::Cycle { at: one.cycle.end, expires_at: None };
    draft.grant(GrantTerms { end, scope, cycle: Some(one.cycle_id()), ..terms }, None)?;
    Ok(())
}

/// Closes the running cycle and opens the next, or ends the subscription, at the stored end.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn reset_at_end(draft: &mut Draft<'_>, subscription: &Id) -> Result<(), Overflow> {
    let Some(mut one) = draft.book.subscriptions.get(subscription).cloned() else { return Ok(()) };
    let boundary = one.cycle.end;
    let ends = one.cancelled && one.pays_at_end();
    let next = one.cycle.k.checked_add(1).and_then(|k| Some((k, one.boundary(k.checked_add(1)?)?)));
    let (Some((k, end)), false) = (next, ends) else {
        let closed = close(draft, Close::Last(&one))?;
        return finish(draft, one, boundary, closed);
    };
    let closed = close(draft, Close::Cycle(&one))?;
    if one.pays_at_end()
        && let Some(next) = one.next.take()
    {
        one.current = next;
    }
    let catalog = draft.terms.catalog().map_or(one.cycle.catalog, |catalog| catalog.version);
    let cycle = Cycle { k, n: 0, start: boundary, end, catalog, allowance: Credits::ZERO };
    let granted = open(draft, one, cycle, Opening::Next)?;
    record(draft, subscription, boundary, closed, granted);
    Ok(())
}

/// Closes the running cycle now, by hand: its number n + 1 opens with the same end.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn reset_now(draft: &mut Draft<'_>, subscription: &Id) -> Result<(), Overflow> {
    let Some(one) = draft.book.subscriptions.get(subscription).cloned() else { return Ok(()) };
    let now = draft.occurred_at;
    let closed = close(draft, Close::Cycle(&one))?;
    let n = one.cycle.n.checked_add(1).ok_or(Overflow)?;
    let cycle = Cycle { n, start: now, ..one.cycle.clone() };
    let granted = open(draft, one, cycle, Opening::Afresh)?;
    record(draft, subscription, now, closed, granted);
    Ok(())
}

/// Ends a subscription now; its cycle's grants are forfeited, its high water stays.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn end_now(draft: &mut Draft<'_>, subscription: &Id) -> Result<(), Overflow> {
    let Some(one) = draft.book.subscriptions.get(subscription).cloned() else { return Ok(()) };
    let closed = close(draft, Close::Last(&one))?;
    let now = draft.occurred_at;
    finish(draft, one, now, closed)
}

fn finish(draft: &mut Draft<'_>, mut one: Subscription, boundary: Timestamp, closed: Closed) -> Result<(), Overflow> {
    one.ended = true;
    one.next = None;
    let reset = Reset {
        subscription: one.id.clone(),
        k: one.cycle.k,
        n: one.cycle.n.checked_add(1).ok_or(Overflow)?,
        boundary,
        granted: Credits::ZERO,
        forfeited: closed.forfeited,
        rolled_over: closed.rolled_over,
        next_boundary: None,
    };
    draft.put(Row::Subscription(one.clone()));
    draft.put(Row::Reset(reset.clone()));
    draft.announce(Event::CycleReset(reset));
    draft.announce(Event::SubscriptionChanged(Box::new(one)));
    Ok(())
}

fn record(draft: &mut Draft<'_>, subscription: &Id, boundary: Timestamp, closed: Closed, granted: Credits) {
    let Some(one) = draft.book.subscriptions.get(subscription) else { return };
    let reset = Reset {
        subscription: subscription.clone(),
        k: one.cycle.k,
        n: one.cycle.n,
        boundary,
        granted,
        forfeited: closed.forfeited,
        rolled_over: closed.rolled_over,
        next_boundary: Some(one.cycle.end),
    };
    draft.put(Row::Reset(reset.clone()));
    draft.announce(Event::CycleReset(reset));
}
    closes::foresee(draft);
