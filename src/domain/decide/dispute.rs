//! Disputes: opened, the money withdrawn, lost, reinstated, won (semantics §6).
//!
//! Owns what an event adds to what is known of a dispute, in whatever order it comes: a dispute only moves
//! forward. What follows from it for the credits is `clawback`'s.

use super::payment_names::{known, learn, named};
use super::refund::announce;
use super::{Case, accept};
use crate::domain::clawback;
use crate::domain::credits::Overflow;
use crate::domain::decision::{Decision, On, Row};
use crate::domain::event::Reversal;
use crate::domain::provider::ProviderDispute;
use crate::domain::rejection::QuarantineReason;
use crate::domain::reversal::Dispute;

pub fn decide(case: Case<'_>, event: &ProviderDispute) -> Result<Decision, Overflow> {
    let names = || event.names.0.iter().cloned();
    let Ok(payment) = known(case.book, names(), |terms| terms.currency != event.currency) else {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    };
    let Some(payment) = payment else { return Ok(Decision::Waiting(On::Payment(event.names.printed()))) };
    let payment = payment.terms.payment.clone();
    let mut draft = case.draft();
    learn(&mut draft, names(), &payment);
    let known = draft.book.disputes.get(&event.dispute).cloned();
    if known.as_ref().is_some_and(|known| known.payment != payment) {
        return Ok(Decision::Quarantined(QuarantineReason::IdempotencyConflict));
    }
    let (stage, amount) = match &known {
        // What was heard of it last counts, and of two amounts heard of one stage the greater.
        Some(known) if known.stage == event.stage => (known.stage, known.amount.max(event.amount)),
        Some(known) if !known.stage.leads_to(event.stage) => (known.stage, known.amount),
        Some(_) | None => (event.stage, event.amount),
    };
    let dispute = Dispute {
        id: event.dispute.clone(),
        payment: payment.clone(),
        amount,
        stage,
        opened_at: known.as_ref().map_or(event.opened_at, |known| known.opened_at.min(event.opened_at)),
    };
    if known.as_ref() == Some(&dispute) {
        return Ok(named(draft));
    }
    draft.put(Row::Dispute(dispute));
    let clawed = clawback::settle(&mut draft, &payment)?;
    if known.is_none() {
        announce(&mut draft, Reversal::DisputeOpened, &payment, clawed);
    }
    let was_closed = known.is_some_and(|known| known.stage.is_closed());
    if stage.is_closed() && !was_closed {
        announce(&mut draft, Reversal::DisputeClosed, &payment, clawed);
    }
    Ok(accept(draft))
}
