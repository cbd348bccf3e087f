//! A subscription's invoice: with a plan that grants by payment, its payment grants the cycle (semantics §7).
//!
//! Owns what a paid invoice issues, once. That it is a payment like any other, which refunds and disputes take
//! back, is `purchase`'s and `clawback`'s.

use super::payment_names::{known, learn, learnt, named};
use super::purchase::settle_at_once;
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
    let mut late = Credits::ZERO;
    for Bill { from, until, since, shows } in bills(draft.terms, &one, &event.pays) {
        let paid = Paid { from, until, by: by.clone(), shows };
        if until <= one.cycle.start {
            late = late.plus(cycle::issue_late(draft, &one, &paid, since)?)?;
        }
        paid::note(draft.terms, &mut one, paid);
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

/// What an invoice pays of one or more paid intervals.
struct Bill {
    from: Timestamp,
    until: Timestamp,
    /// From when in them.
    since: Timestamp,
    shows: Entitlement,
}

/// What an invoice pays for: by the end of what its lines are for, the earliest first. A fee beside the plan pays for
/// no cycle, and money back for none.
fn bills(terms: &Terms, one: &Subscription, pays: &PaidFor) -> Vec<Bill> {
    match pays {
        PaidFor::Lines(lines) => {
            let mut by_end: BTreeMap<Timestamp, Vec<(&InvoiceLine, &PriceTarget)>> = BTreeMap::new();
            for line in lines.iter().filter(|line| !line.is_credit) {
                let target = terms.catalogs.values().rev().find_map(|catalog| catalog.target(&line.price));
                if let Some((target, (_, until))) = target.zip(one.intervals(None, line.until)) {
                    by_end.entry(until).or_default().push((line, target));
                }
            }
            by_end.into_values().filter_map(|lines| bill(terms, one, &lines)).collect()
        }
        PaidFor::IntervalAt(at) => {
            let due = at.checked_add(BILLED_AHEAD).ok().and_then(|at| one.interval_due(at));
            let bill = |(from, until)| Bill { from, until, since: from, shows: Entitlement::default() };
            due.map(bill).into_iter().collect()
        }
    }
}

/// Lines for a time that ends at one boundary. Of one price, as of a plan and what it was changed to, the most counts.
fn bill(terms: &Terms, one: &Subscription, lines: &[(&InvoiceLine, &PriceTarget)]) -> Option<Bill> {
    let since = lines.iter().filter_map(|(line, _)| line.from).min();
    let (from, until) = one.intervals(since, lines.iter().map(|(line, _)| line.until).max()?)?;
    let mut units: BTreeMap<(&Id, &Printable), u32> = BTreeMap::new();
    let mut plans: BTreeSet<&Id> = BTreeSet::new();
    for (line, target) in lines {
        match target {
            PriceTarget::Plan(plan) => drop(plans.insert(plan)),
            PriceTarget::Addon(addon) => {
                let most = units.entry((addon, &line.price)).or_default();
                *most = line.units.max(*most);
            }
        }
    }
    let allowance = |plan: &&Id| cycle::plan(terms, plan, one.cycle.catalog).map(|plan| plan.allowance);
    // What no invoice can show was paid with whatever it shows.
    let unseen = Some(&one.began.plan).filter(|plan| !paid::is_priced(terms, plan));
    let plan = plans.into_iter().max_by_key(allowance).or(unseen).cloned();
    let mut addons: BTreeMap<Id, u32> = BTreeMap::new();
    for ((addon, _), most) in units {
        let sum = addons.entry(addon.clone()).or_default();
        *sum = sum.saturating_add(most);
    }
    Some(Bill { from, until, since: since.unwrap_or(from), shows: Entitlement { plan, addons } })
}
