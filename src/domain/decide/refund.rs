//! Refunds: a provider's, and the reversal of an accepted request (semantics §6).
//!
//! Owns what an event adds to what is known of a payment's refunds, in whatever order and however often
//! it comes. What follows from it for the credits is `clawback`'s.

use super::payment_names::{known, learn, named};
use super::{Case, Draft, Reasons, accept};
use crate::domain::book::Book;
use crate::domain::clawback::{self, Clawed};
use crate::domain::command::ReverseRequest;
use crate::domain::credits::Overflow;
use crate::domain::decision::{Decision, On, Row};
use crate::domain::event::{Event, Reversal};
use crate::domain::ids::Printable;
use crate::domain::payment::{Payment, PaymentStatus, payment_of};
use crate::domain::provider::{ProviderRefund, RefundSeen};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::request::{RequestMethod, RequestStatus};
use crate::domain::reversal::{Refund, RefundStatus, Reversed};

pub fn decide(case: Case<'_>, event: &ProviderRefund) -> Result<Decision, Overflow> {
    let names = || event.names.0.iter().cloned();
    let Ok(known) = known(case.book, names(), |terms| terms.currency != event.currency) else {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    };
    let Some(payment) = known else { return Ok(Decision::Waiting(On::Payment(event.names.printed()))) };
    if event.refunds.iter().any(|seen| contradicts(case.book, payment, seen)) {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    }
    let mut draft = case.draft();
    learn(&mut draft, names(), &payment.terms.payment);
    for seen in &event.refunds {
        record(&mut draft, payment, seen);
    }
    // Joining another payment may have brought more.
    let kept = draft.book.payments.get(&payment.terms.payment).unwrap_or(payment).clone();
    if let Some(most) = event.refunded.filter(|most| *most > kept.refunded_most) {
        draft.put(Row::Payment(Payment { refunded_most: most, ..kept }));
    }
    finish(draft, case.book, payment)
}

/// One refund, one amount, one payment.
fn contradicts(book: &Book, payment: &Payment, seen: &RefundSeen) -> bool {
    let of_payment = |other: &Printable| book.payment(other).is_some_and(|one| one.terms.payment == payment.terms.payment);
    book.refunds
        .get(&seen.id)
        .is_some_and(|refund| refund.amount != seen.amount || !(refund.payment == payment.terms.payment || of_payment(&refund.payment)))
}

/// One row per refund; its state only moves forward.
fn record(draft: &mut Draft<'_>, payment: &Payment, seen: &RefundSeen) {
    let known = draft.book.refunds.get(&seen.id);
    if known.is_none_or(|known| known.status < seen.status) {
        let created_at = known.map_or(seen.created_at, |known| known.created_at);
        draft.put(Row::Refund(Refund {
            id: seen.id.clone(),
            payment: payment.terms.payment.clone(),
            amount: seen.amount,
            status: seen.status,
            created_at,
        }));
    }
}

/// Acts on what is known now. An event that changes nothing about the money is a duplicate, whatever it
/// added to our knowledge.
fn finish(mut draft: Draft<'_>, book: &Book, payment: &Payment) -> Result<Decision, Overflow> {
    let name = &payment.terms.payment;
    let was = Reversed::of(book, payment).lost()?;
    let now = draft.book.payments.get(name).map_or(Ok(was), |known| Reversed::of(&draft.book, known).lost())?;
    let clawed = clawback::settle(&mut draft, name)?;
    if was == now {
        return Ok(named(draft));
    }
    announce(&mut draft, Reversal::Refunded, name, clawed);
    Ok(accept(draft))
}

/// Announces how the reversal of a payment stands.
pub fn announce(draft: &mut Draft<'_>, what: Reversal, payment: &Printable, clawed: Clawed) {
    let debt = draft.book.account.debt;
    draft.announce(Event::Reversed { what, payment: payment.clone(), clawed, debt });
}

/// The reversal of an accepted manual request counts as a refund row of its payment.
pub fn reverse_request(case: Case<'_>, command: &ReverseRequest) -> Result<Decision, Overflow> {
    let Some(request) = case.book.requests.get(&command.request) else {
        return Ok(Decision::Waiting(On::Request(command.request.clone())));
    };
    if request.status == RequestStatus::Pending {
        return Ok(Decision::Waiting(On::Decision(command.request.clone())));
    }
    let payment = case.book.payment(&payment_of(&command.request)).filter(|payment| payment.status == PaymentStatus::Granted);
    let paid = payment.map(|payment| payment.terms.amount);
    let amount = command.amount.or(paid).unwrap_or_default();
    let mut reasons = Reasons::default();
    // The money of a provider's payment goes back through the provider, which says so itself.
    let of_provider = request.terms.method == RequestMethod::Payment;
    reasons.add_if(of_provider || !case.terms.may_decide(command.reversed_by.as_str()), Rejection::NotPermitted);
    reasons.add_if(paid.is_some_and(|paid| !amount.is_positive() || amount > paid), Rejection::InvalidAmount);
    reasons.add_if(!of_provider && payment.is_none(), Rejection::AlreadyDecided);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let Some(payment) = payment else { return Ok(Decision::Rejected(vec![Rejection::AlreadyDecided])) };
    let mut draft = case.draft();
    draft.actor = Printable::new(command.reversed_by.as_str()).ok();
    draft.reason = Some(command.reason.clone());
    let id = draft.derived_id("rv");
    let seen = RefundSeen { id: Printable::joined("request", &id), amount, status: RefundStatus::Succeeded, created_at: case.at };
    record(&mut draft, payment, &seen);
    finish(draft, case.book, payment)
}
