//! Which payment an event is about, whatever it calls it (semantics §5, §9).
//!
//! Owns how names of a payment are followed and learnt. A provider shows one payment under several names,
//! and no event shows all of them.

use super::{Draft, accept};
use crate::domain::book::Book;
use crate::domain::clawback;
use crate::domain::credits::Overflow;
use crate::domain::decision::{Decision, Row};
use crate::domain::ids::Printable;
use crate::domain::payment::{KnownName, Payment, PaymentName, PaymentStatus, PaymentTerms};
use crate::domain::reversal::{Dispute, Refund};
use std::collections::{BTreeMap, BTreeSet};

/// An event says of a payment what cannot be true with what is known.
pub struct Contradiction;

/// The payment that some names stand for. Of payments that turn out to be one, those that were never
/// paid say nothing; two of which money was taken up are no longer to be made one.
pub fn known(
    book: &Book,
    names: impl IntoIterator<Item = PaymentName>,
    contradicts: impl Fn(&PaymentTerms) -> bool,
) -> Result<Option<&Payment>, Contradiction> {
    let found: BTreeMap<&Printable, &Payment> =
        names.into_iter().filter_map(|name| book.payment(&name.name)).map(|payment| (&payment.terms.payment, payment)).collect();
    if found.values().any(|known| contradicts(&known.terms)) {
        return Err(Contradiction);
    }
    let mut taken_up = found.values().copied().filter(|known| known.status.is_taken_up());
    match (taken_up.next(), taken_up.next()) {
        (Some(_), Some(_)) => Err(Contradiction),
        (Some(one), None) => Ok(Some(one)),
        (None, _) => Ok(found.values().copied().next()),
    }
}

/// From now on every one of these names leads to the payment, and so does whatever else led to where one
/// of them led before, refunds and disputes included; true when that made another payment this one.
pub fn learn(draft: &mut Draft<'_>, names: impl IntoIterator<Item = PaymentName>, payment: &Printable) -> bool {
    let names: BTreeSet<PaymentName> = names.into_iter().collect();
    let before = names.iter().filter_map(|name| Some(draft.book.payment_names.get(&name.name)?.payment.clone()));
    let joined: BTreeSet<Printable> = before.filter(|before| before != payment).collect();
    let moved = draft.book.payment_names.values().filter(|known| joined.contains(&known.payment)).map(|known| known.name.clone());
    let names: BTreeSet<PaymentName> = moved.chain(names.iter().cloned()).collect();
    for name in names {
        if draft.book.payment_names.get(&name.name).is_none_or(|known| known.payment != *payment) {
            draft.put(Row::PaymentName(KnownName { name, payment: payment.clone() }));
        }
    }
    for other in &joined {
        join(draft, other, payment);
    }
    !joined.is_empty()
}

/// One payment turns out to be another.
fn join(draft: &mut Draft<'_>, other: &Printable, payment: &Printable) {
    let refunds: Vec<_> = draft.book.refunds.values().filter(|refund| refund.payment == *other).cloned().collect();
    for refund in refunds {
        draft.put(Row::Refund(Refund { payment: payment.clone(), ..refund }));
    }
    let disputes: Vec<_> = draft.book.disputes.values().filter(|dispute| dispute.payment == *other).cloned().collect();
    for dispute in disputes {
        draft.put(Row::Dispute(Dispute { payment: payment.clone(), ..dispute }));
    }
    let Some(other) = draft.book.payments.get(other).cloned() else { return };
    if let Some(kept) = draft.book.payments.get(payment).filter(|kept| kept.refunded_most < other.refunded_most).cloned() {
        draft.put(Row::Payment(Payment { refunded_most: other.refunded_most, ..kept }));
    }
    draft.put(Row::Payment(Payment { status: PaymentStatus::Joined, ..other }));
}

/// Nothing is left to do for a payment but to learn what else it is called, and to act on what that brings.
pub fn learnt(mut draft: Draft<'_>, names: impl IntoIterator<Item = PaymentName>, payment: &Printable) -> Result<Decision, Overflow> {
    if learn(&mut draft, names, payment) {
        clawback::settle(&mut draft, payment)?;
        if draft.has_entries() {
            return Ok(accept(draft));
        }
    }
    Ok(named(draft))
}

/// A duplicate, with the names that were learnt from it.
pub fn named(draft: Draft<'_>) -> Decision {
    if draft.is_empty() { Decision::Duplicate } else { Decision::Named(Box::new(draft.finish())) }
}
