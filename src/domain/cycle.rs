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
use super::paid::{self, Paid, Step};
use super::payment::Payment;
use super::rollover::{Close, Closed, close};
use super::settings::Terms;
use super::subscription::{Cycle, HighWater, Reset, Subscription};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::BTreeSet;

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

/// How long it is known what was paid for a cycle that is over: an invoice for more of it may be paid late, and
/// providers try for weeks.
const LATE_MOST: SignedDuration = SignedDuration::from_hours(24 * 100);

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
    let start = subscription.cycle.start;
    subscription.paid.retain(|paid| paid.until.checked_add(LATE_MOST).is_ok_and(|kept_until| kept_until >= start));
    draft.put(Row::Subscription(subscription.clone()));
    if opening == Opening::Afresh {
        let steps = paid::steps(draft.terms, &subscription);
        let plans: BTreeSet<&Id> = steps.iter().filter_map(|step| step.to.plan.as_ref()).chain([&subscription.current.plan]).collect();
        let addons = subscription.current.addons.keys().map(addon_item);
        let items: Vec<Printable> = addons.chain(plans.into_iter().map(plan_item)).flatten().collect();
        for item in items {
            draft.put(Row::HighWater(HighWater { item, issued: Credits::ZERO, until: subscription.cycle.end }));
        }
    }
    closes::foresee(draft);
    let issued = issue(draft, &subscription.id)?;
    issued.settle(draft)?;
    Ok(issued.credits)
}

/// What was granted, and the payments that bought it.
#[derive(Debug, Default)]
pub struct Issued {
    /// Credits.
    pub credits: Credits,
    /// Payments that brought more than they had until now.
    pub bought_by: Vec<Printable>,
}

impl Issued {
    /// Of what was reversed of the payments, their credits are taken back at once.
    ///
    /// # Errors
    /// [`Overflow`] when a number leaves its bounds.
    pub fn settle(&self, draft: &mut Draft<'_>) -> Result<(), Overflow> {
        for payment in &self.bought_by {
            clawback::settle(draft, payment)?;
        }
        Ok(())
    }
}

/// Grants what a subscription has beyond what was already issued in the running cycle: the whole of it
/// for a fresh cycle, the difference for an upgrade, nothing for a toggle. With a plan that grants by payment,
/// no more than is paid. A plan that prorates grants the share of it that is left of the cycle.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn issue(draft: &mut Draft<'_>, subscription: &Id) -> Result<Issued, Overflow> {
    let mut issued = Issued::default();
    let Some(mut one) = draft.book.subscriptions.get(subscription).cloned() else { return Ok(issued) };
    for step in paid::steps(draft.terms, &one) {
        let credits = issue_step(draft, &mut one, &step)?;
        issued.credits = issued.credits.plus(credits)?;
        let payment = step.by.filter(|_| credits.is_positive());
        if let Some(payment) = payment.and_then(|by| draft.book.payments.get(&by).cloned()) {
            let granted = payment.granted.plus(credits)?;
            issued.bought_by.push(payment.terms.payment.clone());
            draft.put(Row::Payment(Payment { granted, ..payment }));
        }
    }
    draft.put(Row::Subscription(one));
    Ok(issued)
}

fn issue_step(draft: &mut Draft<'_>, one: &mut Subscription, step: &Step) -> Result<Credits, Overflow> {
    // An add-on alone is prorated as the plan it goes with.
    let wanted = step.to.plan.clone().unwrap_or_else(|| one.current.plan.clone());
    let Some(plan) = plan(draft.terms, &wanted, one.cycle.catalog) else { return Ok(Credits::ZERO) };
    let from = step.since.unwrap_or(draft.occurred_at).max(one.started_at);
    let share = if plan.prorate { Share::between((from, one.cycle.end), (one.cycle.start, one.cycle.end)) } else { Share::WHOLE };
    let mut granted = Credits::ZERO;
    if step.to.plan.is_some() {
        granted = issue_plan(draft, one, (&wanted, plan), (share, step.by.clone()))?;
    }
    for (addon, units) in &step.to.addons {
        granted = granted.plus(issue_units(draft, one, (addon, *units), (share, step.by.clone()))?)?;
    }
    Ok(granted)
}

/// What the plan has grown by in this cycle, and no more than was not issued of it in a period that still runs.
fn issue_plan(
    draft: &mut Draft<'_>,
    one: &mut Subscription,
    (id, plan): (&Id, &Plan),
    (share, payment): (Share, Option<Printable>),
) -> Result<Credits, Overflow> {
    let (before, issued) = (one.cycle.allowance, issued(draft, plan_item(id).as_ref()));
    if plan.allowance <= before {
        return Ok(Credits::ZERO);
    }
    let more = share.of(plan.allowance.minus(before)?)?;
    let credits = more.min(share.of(plan.allowance)?.minus(issued)?.at_least_zero());
    if credits.is_positive() {
        let lot = Lot { source: GrantSource::Plan, credits, scope: plan.scope.clone(), payment };
        grant_for_cycle(draft, one, lot)?;
    }
    mark(draft, plan_item(id), issued.max(before).plus(credits)?, one.cycle.end);
    one.cycle.allowance = plan.allowance;
    Ok(credits)
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
    if units <= *counted {
        return Ok(Credits::ZERO);
    }
    let before = std::mem::replace(counted, units);
    let high_water = issued(draft, addon_item(id).as_ref()).max(Credits::whole(before));
    let more = Credits::whole(units).minus(high_water)?.at_least_zero();
    let credits = share.of(addon.credits_for(more)?)?;
    if credits.is_positive() {
        let lot = Lot { source: GrantSource::Addon, credits, scope: Vec::new(), payment };
        grant_for_cycle(draft, one, lot)?;
    }
    mark(draft, addon_item(id), Credits::whole(units).max(high_water), one.cycle.end);
    Ok(credits)
}

/// Grants what a payment for a time that is over would have brought then, into the running cycle.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds.
pub fn issue_late(draft: &mut Draft<'_>, one: &Subscription, paid: &Paid) -> Result<Credits, Overflow> {
    let (terms, version) = (draft.terms, one.cycle.catalog);
    let (before, after) = paid::late(terms, one, paid);
    let by_payment = |wanted: &Id| plan(terms, wanted, version).filter(|plan| plan.grant_on == GrantOn::Payment);
    let allowance =
        |wanted: &Option<Id>| wanted.as_ref().and_then(|wanted| Some(self::plan(terms, wanted, version)?.allowance)).unwrap_or_default();
    let Some(plan) = by_payment(after.plan.as_ref().unwrap_or(&one.current.plan)) else { return Ok(Credits::ZERO) };
    let share =
        if plan.prorate { Share::between((paid.since.unwrap_or(paid.from), paid.until), (paid.from, paid.until)) } else { Share::WHOLE };
    let mut lots = vec![(GrantSource::Plan, plan.scope.clone(), allowance(&after.plan).minus(allowance(&before.plan))?)];
    for (id, units) in &after.addons {
        let more = units.saturating_sub(before.addons.get(id).copied().unwrap_or(0));
        let credits = addon(terms, id, version).map(|addon| addon.credits_for(Credits::whole(more))).transpose()?;
        lots.push((GrantSource::Addon, Vec::new(), credits.unwrap_or_default()));
    }
    let mut granted = Credits::ZERO;
    for (source, scope, whole) in lots {
        let credits = share.of(whole)?;
        if credits.is_positive() {
            grant_for_cycle(draft, one, Lot { source, credits, scope, payment: Some(paid.by.clone()) })?;
            granted = granted.plus(credits)?;
        }
    }
    Ok(granted)
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

    /// A part of a time.
    fn between((from, until): (Timestamp, Timestamp), (start, end): (Timestamp, Timestamp)) -> Self {
        let seconds = |start: Timestamp, end: Timestamp| end.as_second().saturating_sub(start.as_second()).max(0);
        Self { left: seconds(from.max(start), until.min(end)), whole: seconds(start, end).max(1) }
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
    if one.pays_at_end() {
        one.began = one.current.clone();
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
