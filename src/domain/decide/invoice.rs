//! A subscription's invoice: with a plan that grants by payment, its payment grants the cycle (semantics §7).
//!
//! Owns what a paid invoice issues, once. That it is a payment like any other, which refunds and disputes take
//! back, is `purchase`'s and `clawback`'s.

use super::payment_names::{known, learn, learnt, named};
use super::purchase::settle_at_once;
use super::{Case, accept};
use crate::domain::credits::{Credits, Overflow};
use crate::domain::cycle::{self, Issue};
use crate::domain::decision::{Decision, On, Row};
use crate::domain::ids::Printable;
use crate::domain::payment::{Payment, PaymentStatus, PaymentTerms};
use crate::domain::provider::{PaidFor, PaymentSaid, ProviderInvoice};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::subscription::{Paid, Subscription};
use jiff::{SignedDuration, Timestamp};

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
    let kept = known.cloned().unwrap_or_else(|| Payment::new(event.terms.clone(), PaymentStatus::Failed));
    let mut payment = Payment { terms: event.terms.clone(), status: PaymentStatus::Failed, ..kept };
    if paid {
        payment.granted = grant(&mut draft, one, event)?;
        payment.status = PaymentStatus::Granted;
        payment.paid_at = Some(case.message.occurred_at);
    }
    let (name, status) = (payment.terms.payment.clone(), payment.status);
    draft.put(Row::Payment(payment));
    learn(&mut draft, event.names(), &name);
    draft.repay_debt()?;
    settle_at_once(&mut draft, &name)?;
    if before == Some(status) { Ok(named(draft)) } else { Ok(accept(draft)) }
}

/// Issues what the payment is for, and notes how far it pays. A payment for a cycle that is over already,
/// because it came late, grants what that cycle would have had; for one that has not begun, that one opens with
/// its credits.
fn grant(draft: &mut super::Draft<'_>, one: &Subscription, event: &ProviderInvoice) -> Result<Credits, Overflow> {
    let Some((from, until)) = period(draft, one, &event.pays) else { return Ok(Credits::ZERO) };
    let by = event.terms.payment.clone();
    let paid = one.paid.clone().filter(|paid| paid.until >= until).unwrap_or(Paid { until, by: by.clone() });
    draft.put(Row::Subscription(Subscription { paid: Some(paid), ..one.clone() }));
    let what = Issue::Paid(by);
    if from.is_some_and(|from| from >= one.cycle.end) {
        return Ok(Credits::ZERO);
    }
    if until <= one.cycle.start { cycle::issue_late(draft, one, &what) } else { cycle::issue(draft, &one.id, &what) }
}

/// From when, where that is known, until when an invoice pays. A fee beside the plan pays for no cycle.
fn period(draft: &super::Draft<'_>, one: &Subscription, pays: &PaidFor) -> Option<(Option<Timestamp>, Timestamp)> {
    match pays {
        PaidFor::Lines(lines) => {
            let target = |price: &Printable| draft.terms.catalogs.values().rev().find_map(|catalog| catalog.target(price));
            let until = lines.iter().filter(|(price, _)| target(price).is_some()).map(|(_, until)| *until).max()?;
            Some((None, until))
        }
        PaidFor::IntervalAt(at) => {
            let (from, until) = one.interval_due(at.checked_add(BILLED_AHEAD).ok()?)?;
            Some((Some(from), until))
        }
    }
}
