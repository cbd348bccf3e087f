//! Opening cycles and resetting them: allowance, add-on units, high water (semantics §7).
//!
//! Owns what a reset does. When it is due is `advance`'s; that it was asked for is `decide`'s.

use super::catalog::{Addon, Catalog, GrantOn, Plan};
use super::clawback;
use super::closes;
use super::credits::{Credits, Overflow};
use super::decision::Row;
use super::draft::Draft;
use super::event::Event;
use super::grant::{GrantEnd, GrantSource, GrantTerms};
use super::ids::{Id, Printable};
use super::payment::Payment;
use super::rollover::{Close, Closed, close};
use super::settings::Terms;
use super::subscription::{Cycle, HighWater, Paid, Reset, Subscription};
use jiff::Timestamp;
use rust_decimal::Decimal;

/// The plan as a cycle that began with catalog `version` sees it.
#[must_use]
pub fn plan<'a>(terms: &'a Terms, plan: &Id, version: u32) -> Option<&'a Plan> {
    sold(terms, version, |catalog| catalog.plans.get(plan))
}

/// The add-on as a cycle that began with catalog `version` sees it.
#[must_use]
pub fn addon<'a>(terms: &'a Terms, addon: &Id, version: u32) -> Option<&'a Addon> {
    sold(terms, version, |catalog| catalog.addons.get(addon))
}

/// What is not sold any more renews by the newest catalog version that still has it.
fn sold<'a, Item>(terms: &'a Terms, version: u32, find: impl Fn(&'a Catalog) -> Option<&'a Item>) -> Option<&'a Item> {
    terms
        .catalog_version(version)
        .and_then(|catalog| find(catalog))
        .or_else(|| terms.catalogs.values().rev().find_map(|catalog| find(catalog)))
}

/// What credits of a subscription are issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issue {
    /// A cycle opens. With a plan that grants by payment it is issued if it was paid ahead, and what paid for
    /// it bought it.
    Opening,
    /// Plan or units changed. With a plan that grants by payment that waits for its invoice.
    Change,
    /// A payment of this name was made for it.
    Paid(Printable),
}

impl Issue {
    /// Whether the plan grants now.
    fn grants(&self, plan: &Plan, one: &Subscription) -> bool {
        match (plan.grant_on, self) {
            (GrantOn::Cycle, _) | (GrantOn::Payment, Self::Paid(_)) => true,
            (GrantOn::Payment, Self::Opening) => one.paid.as_ref().is_some_and(|paid| paid.until > one.cycle.start),
            (GrantOn::Payment, Self::Change) => false,
        }
    }

    /// The part of the cycle that a plan which prorates grants for: what is left of it, and for the payment of
    /// a cycle what was left when the subscription started, however late it is paid.
    fn share(&self, plan: &Plan, one: &Subscription, now: Timestamp) -> Share {
        let from = if matches!(self, Self::Paid(_)) && !one.cycle.granted { one.started_at } else { now };
        if plan.prorate { Share::of_the_rest(&one.cycle, from) } else { Share::WHOLE }
    }

    /// What bought it.
    fn payment(&self, plan: &Plan, one: &Subscription) -> Option<Printable> {
        match (self, plan.grant_on) {
            (Self::Paid(payment), _) => Some(payment.clone()),
            (Self::Opening, GrantOn::Payment) => one.paid.as_ref().map(|paid| paid.by.clone()),
            (Self::Opening | Self::Change, _) => None,
        }
    }
}

/// How a cycle opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// At the start or after a close: units and allowance already issued for the same period count.
    Counting,
    /// After a manual reset: full allowance, fresh high water.
    Afresh,
}

/// Opens a cycle and grants its allowance and add-on units; returns what was granted.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn open(draft: &mut Draft<'_>, mut subscription: Subscription, cycle: Cycle, opening: Opening) -> Result<Credits, Overflow> {
    subscription.cycle = cycle;
    draft.put(Row::Subscription(subscription.clone()));
    if opening == Opening::Afresh {
        let addons = subscription.current.addons.keys().map(addon_item);
        let items: Vec<Printable> = addons.chain([plan_item(&subscription.current.plan)]).flatten().collect();
        for item in items {
            draft.put(Row::HighWater(HighWater { item, issued: Credits::ZERO, until: subscription.cycle.end }));
        }
    }
    let granted = issue(draft, &subscription.id, &Issue::Opening)?;
    closes::foresee(draft);
    bought_ahead(draft, &subscription, granted)?;
    Ok(granted)
}

/// A payment that reaches into this cycle brought more than it had until now; of what was reversed of it,
/// that is taken back at once.
fn bought_ahead(draft: &mut Draft<'_>, one: &Subscription, granted: Credits) -> Result<(), Overflow> {
    let by_payment = plan(draft.terms, &one.current.plan, one.cycle.catalog).is_some_and(|plan| plan.grant_on == GrantOn::Payment);
    let Some(Paid { by, .. }) = one.paid.as_ref().filter(|_| by_payment && granted.is_positive()) else { return Ok(()) };
    let Some(payment) = draft.book.payments.get(by).cloned() else { return Ok(()) };
    let granted = payment.granted.plus(granted)?;
    draft.put(Row::Payment(Payment { granted, ..payment }));
    clawback::settle(draft, by)?;
    Ok(())
}

/// Grants what a subscription has beyond what was already issued in the running cycle: the whole of it
/// for a fresh cycle, the difference for an upgrade, nothing for a toggle. A plan that prorates grants
/// the share of it that is left of the cycle.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn issue(draft: &mut Draft<'_>, subscription: &Id, what: &Issue) -> Result<Credits, Overflow> {
    let Some(mut one) = draft.book.subscriptions.get(subscription).cloned() else { return Ok(Credits::ZERO) };
    let wanted = one.current.clone();
    let Some(plan) = plan(draft.terms, &wanted.plan, one.cycle.catalog) else { return Ok(Credits::ZERO) };
    if !what.grants(plan, &one) {
        return Ok(Credits::ZERO);
    }
    let (share, payment) = (what.share(plan, &one, draft.occurred_at), what.payment(plan, &one));
    // What the plan has grown by in this cycle, and no more than was not issued of it in a period that still runs.
    let (before, issued) = (one.cycle.allowance, issued(draft, plan_item(&wanted.plan).as_ref()));
    let more = share.of(plan.allowance.minus(before)?.at_least_zero())?;
    let credits = more.min(share.of(plan.allowance)?.minus(issued)?.at_least_zero());
    if credits.is_positive() {
        let lot = Lot { source: GrantSource::Plan, credits, scope: plan.scope.clone(), payment: payment.clone() };
        grant_for_cycle(draft, &one, lot)?;
    }
    mark(draft, plan_item(&wanted.plan), issued.max(before).plus(credits)?, one.cycle.end);
    one.cycle.allowance = plan.allowance.max(before);
    one.cycle.granted = true;
    let mut granted = credits;
    for (addon, units) in &wanted.addons {
        granted = granted.plus(issue_units(draft, &mut one, (addon, *units), (share, payment.clone()))?)?;
    }
    draft.put(Row::Subscription(one));
    Ok(granted)
}

/// Grants what a cycle that is over would have had, into the running one, when the plan grants by payment.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn issue_late(draft: &mut Draft<'_>, one: &Subscription, what: &Issue) -> Result<Credits, Overflow> {
    let Some(plan) = plan(draft.terms, &one.current.plan, one.cycle.catalog) else { return Ok(Credits::ZERO) };
    if plan.grant_on == GrantOn::Cycle {
        return Ok(Credits::ZERO);
    }
    let units = one.current.addons.iter().filter_map(|(id, units)| Some((addon(draft.terms, id, one.cycle.catalog)?, *units)));
    let credits = units.map(|(addon, units)| addon.credits_per_unit.share_down(Decimal::from(units), Decimal::ONE));
    let mut granted = plan.allowance;
    let lots: Vec<(GrantSource, Credits)> = std::iter::once(Ok((GrantSource::Plan, plan.allowance)))
        .chain(credits.map(|credits| Ok((GrantSource::Addon, credits?))))
        .collect::<Result<_, Overflow>>()?;
    for (source, credits) in lots {
        if source == GrantSource::Addon {
            granted = granted.plus(credits)?;
        }
        if credits.is_positive() {
            let scope = if source == GrantSource::Plan { plan.scope.clone() } else { Vec::new() };
            grant_for_cycle(draft, one, Lot { source, credits, scope, payment: what.payment(plan, one) })?;
        }
    }
    Ok(granted)
}

/// Credits for units beyond those that were issued; a plan that prorates prorates them too.
fn issue_units(
    draft: &mut Draft<'_>,
    one: &mut Subscription,
    (id, units): (&Id, u32),
    (share, payment): (Share, Option<Printable>),
) -> Result<Credits, Overflow> {
    let Some(addon) = addon(draft.terms, id, one.cycle.catalog) else { return Ok(Credits::ZERO) };
    let counted = one.cycle.units.entry(id.clone()).or_default();
    let before = std::mem::replace(counted, units.max(*counted));
    let high_water = issued(draft, addon_item(id).as_ref()).max(Credits::whole(before));
    let units = Credits::whole(units);
    let more = units.minus(high_water)?.at_least_zero();
    let credits = share.of(addon.credits_per_unit.share_down(more.decimal(), Decimal::ONE)?)?;
    if credits.is_positive() {
        let lot = Lot { source: GrantSource::Addon, credits, scope: Vec::new(), payment };
        grant_for_cycle(draft, one, lot)?;
    }
    mark(draft, addon_item(id), units.max(high_water), one.cycle.end);
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

/// The part of a cycle that something is granted for, in seconds of seconds.
#[derive(Debug, Clone, Copy)]
struct Share {
    left: i64,
    whole: i64,
}

impl Share {
    const WHOLE: Self = Self { left: 1, whole: 1 };

    /// What is left of a cycle from an instant on.
    fn of_the_rest(cycle: &Cycle, from: Timestamp) -> Self {
        let seconds = |start: Timestamp| cycle.end.as_second().saturating_sub(start.as_second());
        Self { left: seconds(from.max(cycle.start)), whole: seconds(cycle.start).max(1) }
    }

    /// ⌊credits × left / whole⌋ (semantics §7).
    fn of(self, credits: Credits) -> Result<Credits, Overflow> {
        credits.share_down(Decimal::from(self.left), Decimal::from(self.whole))
    }
}

/// Credits of a cycle.
struct Lot {
    source: GrantSource,
    credits: Credits,
    scope: Vec<Id>,
    payment: Option<Printable>,
}

fn grant_for_cycle(draft: &mut Draft<'_>, one: &Subscription, lot: Lot) -> Result<(), Overflow> {
    let Lot { source, credits, scope, payment } = lot;
    let id = draft.derived_id("cy");
    let terms = GrantTerms::plain(id, source, credits, draft.occurred_at, draft.cause.clone());
    let end = GrantEnd::Cycle { at: one.cycle.end, expires_at: None };
    let reference = payment.clone();
    draft.grant(GrantTerms { end, scope, cycle: Some(one.cycle_id()), payment, ..terms }, reference)?;
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
    // In force at the boundary, whenever it is written.
    let catalog = draft.terms.catalog_at(boundary).map_or(one.cycle.catalog, |catalog| catalog.version);
    let granted = open(draft, one, Cycle::new((k, 0), (boundary, end), catalog), Opening::Counting)?;
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
    let cycle = Cycle::new((one.cycle.k, n), (now, one.cycle.end), one.cycle.catalog);
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
    closes::foresee(draft);
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
