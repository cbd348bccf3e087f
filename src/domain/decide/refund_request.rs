//! `refund.requested`: a customer asks for money back (semantics §6).
//!
//! Owns the answer: refused when the package was sold as non-refundable or nothing is left to give back,
//! else passed on to whoever refunds at the provider. Never refunds anything: the provider's event does.

use super::{Case, Reasons, accept};
use crate::domain::command::RequestRefund;
use crate::domain::credits::Overflow;
use crate::domain::decision::{Decision, On};
use crate::domain::event::{Event, RefundAsked};
use crate::domain::ids::Printable;
use crate::domain::payment::{PROVIDERS, Payment, PaymentStatus, REQUEST};
use crate::domain::rejection::Rejection;
use crate::domain::reversal::Reversed;

pub fn decide(case: Case<'_>, command: &RequestRefund) -> Result<Decision, Overflow> {
    let Some(payment) = find(case, &command.payment) else {
        return Ok(Decision::Waiting(On::Payment(called(&command.payment))));
    };
    let package = payment.terms.package.as_ref();
    let sold = package.and_then(|purchase| case.terms.catalog()?.packages.get(&purchase.package));
    let gone = Reversed::of(case.book, payment).lost()? >= payment.terms.amount;
    let mut reasons = Reasons::default();
    reasons.add_if(payment.status != PaymentStatus::Granted || gone, Rejection::AlreadyDecided);
    reasons.add_if(sold.is_some_and(|package| !package.refundable), Rejection::NonRefundable);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let mut draft = case.draft();
    draft.announce(Event::RefundRequested(RefundAsked::of(&case.message.id, command)));
    Ok(accept(draft))
}

/// What a payment that was named so may be kept under: by any of its names, by its provider's id, by the id of
/// its request.
fn called(named: &Printable) -> Vec<Printable> {
    let words = PROVIDERS.iter().copied().chain([REQUEST]);
    let made = words.filter_map(|word| Printable::new(&format!("{word}:{named}")).ok());
    std::iter::once(named.clone()).chain(made).collect()
}

/// By any of its names; as its provider calls it; an accepted request by its id.
fn find<'a>(case: Case<'a>, named: &Printable) -> Option<&'a Payment> {
    let called = |name: &Printable| {
        let known = case.book.payment_names.values().find(|known| known.name.provider_id.as_str() == name.as_str())?;
        case.book.payments.get(&known.payment)
    };
    case.book.payment(named).or_else(|| called(named))
}
