//! A subscription's invoice: with a plan that grants by payment, its payment grants the cycle (semantics §7).
//!
//! Owns what a paid invoice issues, once. That it is a payment like any other, which refunds and disputes take
//! back, is `purchase`'s and `clawback`'s.

use super::payment_names::{known, learn, learnt, named};
use super::purchase::settle_at_once;
use super::subscription::UNITS_MAX;
use super::{Case, Draft, accept};
use crate::domain::catalog::PriceTarget;
use crate::domain::credits::{Credits, Overflow};
use crate::domain::cycle;
use crate::domain::decision::{Decision, On, Row};
use crate::domain::ids::{Id, Printable};
use crate::domain::paid::{self, Entitlement, Paid};
use crate::domain::payment::{Payment, PaymentStatus, PaymentTerms};
use crate::domain::provider::{InvoiceLine, PaidFor, PaymentSaid, ProviderInvoice};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::settings::Terms;
use crate::domain::subscription::Subscription;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// How long before an interval begins it may be billed: PayPal bills at an hour of its own on the day.
const BILLED_AHEAD: SignedDuration = SignedDuration::from_hours(24);

pub fn record(case: Case<'_>, event: &ProviderInvoice) -> Result<Decision, Overflow> {
    // What is open of an invoice may change until it is paid.
    let contradicts = |terms: &PaymentTerms| terms.currency != event.terms.currency;
    let Ok(known) = known(case.book, event.names(), contradicts) else {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    };
    let paid = event.said == PaymentSaid::Paid;
    let before = known.map(|known| known.status);
    if let Some(known) = known.filter(|known| known.status.is_taken_up() || (!paid && known.status == PaymentStatus::Failed)) {
        return learnt(case.draft(), event.names(), &known.terms.payment);
    }
    let Some(one) = case.book.subscriptions.get(&event.subscription.provider_id) else {
        return Ok(Decision::Waiting(On::Subscription(event.subscription.provider_id.clone())));
    };
    if one.ended && paid {
        return Ok(Decision::Rejected(vec![Rejection::NoActiveSubscription]));
    }
    let mut draft = case.draft();
    draft.occurred_at = case.at;
    let one = one.clone();
    let kept = known.cloned().unwrap_or_else(|| Payment::new(event.terms.clone(), PaymentStatus::Failed));
    let mut payment = Payment { terms: event.terms.clone(), status: PaymentStatus::Failed, ..kept };
    if paid {
        payment.status = PaymentStatus::Granted;
        payment.paid_at = Some(case.message.occurred_at);
    }
    let (name, status) = (payment.terms.payment.clone(), payment.status);
    draft.put(Row::Payment(payment));
    learn(&mut draft, event.names(), &name);
    if paid {
        grant(&mut draft, one, event)?;
    }
    draft.repay_debt()?;
    settle_at_once(&mut draft, &name)?;
    if before == Some(status) { Ok(named(draft)) } else { Ok(accept(draft)) }
}

/// Issues what the payment is for, and notes what it pays. A payment for a cycle that is over already, because it
/// came late, grants what that cycle would have had; for one that has not begun, that one opens with its credits.
fn grant(draft: &mut Draft<'_>, mut one: Subscription, event: &ProviderInvoice) -> Result<(), Overflow> {
    let by = &event.terms.payment;
    let is_all = event.terms.amount.is_positive() && event.pays.is_all();
    let mut late = Credits::ZERO;
    for bill in bills(draft.terms, &one, &event.pays) {
        if paid::grants_by_cycle(draft.terms, &one, bill.shows.plan.as_ref().unwrap_or(&one.current.plan)) {
            continue;
        }
        let Bill { from, until, since, shows, opens } = bill;
        let paid = Paid { from, until, since, by: by.clone(), shows, opens };
        if until <= one.cycle.start {
            late = late.plus(cycle::issue_late(draft, &one, &paid)?)?;
        }
        paid::note(draft.terms, &mut one, paid, is_all);
    }
    let id = one.id.clone();
    draft.put(Row::Subscription(one));
    if let Some(payment) = draft.book.payments.get(by).filter(|_| late.is_positive()).cloned() {
        draft.put(Row::Payment(Payment { granted: late, ..payment }));
    }
    // Its own credits are settled with it.
    let mut issued = cycle::issue(draft, &id)?;
    issued.bought_by.retain(|bought_by| bought_by != by);
    issued.settle(draft)
}

/// What an invoice pays of some cycles.
struct Bill {
    from: Timestamp,
    until: Timestamp,
    since: Option<Timestamp>,
    shows: Entitlement,
    opens: bool,
}

/// What an invoice pays for: by the end of what its lines are for, and by since when, the earliest first. A fee beside
/// the plan pays for no cycle, and money back for none.
fn bills(terms: &Terms, one: &Subscription, pays: &PaidFor) -> Vec<Bill> {
    let (lines, interval_at) = match pays {
        PaidFor::Lines { lines, interval_at } => (lines.as_slice(), *interval_at),
        PaidFor::IntervalAt(at) => (&[][..], Some(*at)),
    };
    let mut groups: BTreeMap<(Timestamp, Option<Timestamp>), Group<'_>> = BTreeMap::new();
    let mut given_back: BTreeSet<Timestamp> = BTreeSet::new();
    for line in lines {
        let target = terms.catalogs.values().rev().find_map(|catalog| catalog.target(&line.price));
        let Some((target, (_, until))) = target.zip(one.cycles_of(line.from, line.until)) else { continue };
        if line.is_credit {
            given_back.insert(until);
        } else {
            groups.entry((until, line.from.filter(|_| line.is_rest))).or_default().push((line, target));
        }
    }
    let due = interval_at.and_then(|at| one.interval_due(at.checked_add(BILLED_AHEAD).ok()?));
    let whole = due.map(|(from, until)| Bill { from, until, since: None, shows: Entitlement::default(), opens: true });
    let shown = groups.into_iter().filter_map(|((until, since), group)| {
        let opens = since.is_none() && !given_back.contains(&until);
        bill(terms, one, &group, (since, opens))
    });
    whole.into_iter().chain(shown).collect()
}

/// Lines for the same time, and what their prices stand for.
type Group<'a> = Vec<(&'a InvoiceLine, &'a PriceTarget)>;

/// What lines for the same time show. Of one price, as of units and what they were changed to, the most counts.
fn bill(terms: &Terms, one: &Subscription, group: &Group<'_>, (since, opens): (Option<Timestamp>, bool)) -> Option<Bill> {
    let (from, until) = one.cycles_of(group.iter().filter_map(|(line, _)| line.from).min(), group.first()?.0.until)?;
    let mut units: BTreeMap<(&Id, &Printable), u32> = BTreeMap::new();
    let mut plans: BTreeSet<&Id> = BTreeSet::new();
    for (line, target) in group {
        match target {
            PriceTarget::Plan(plan) => drop(plans.insert(plan)),
            PriceTarget::Addon(addon) => {
                let most = units.entry((addon, &line.price)).or_default();
                *most = line.units.min(UNITS_MAX).max(*most);
            }
        }
    }
    let mut addons: BTreeMap<Id, u32> = BTreeMap::new();
    for ((addon, _), most) in units {
        let sum = addons.entry(addon.clone()).or_default();
        *sum = sum.saturating_add(most);
    }
    // What no invoice can show is paid with what an interval is billed as it begins.
    let is_seen = |target: PriceTarget| paid::is_priced(terms, &target);
    if opens && !addons.is_empty() {
        let unseen = one.began.addons.iter().filter(|(addon, _)| !is_seen(PriceTarget::Addon((*addon).clone())));
        addons.extend(unseen.map(|(addon, units)| (addon.clone(), *units)));
    }
    let unseen = Some(&one.began.plan).filter(|plan| opens && !is_seen(PriceTarget::Plan((*plan).clone())));
    let allowance = |plan: &&Id| cycle::plan(terms, plan, one.cycle.catalog).map(|plan| plan.allowance);
    let plan = plans.into_iter().max_by_key(allowance).or(unseen).cloned();
    Some(Bill { from, until, since, shows: Entitlement { plan, addons }, opens })
}
