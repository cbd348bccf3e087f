//! `credits.spend`: a service bought or an invoice paid, all or nothing (semantics §4).

use super::{Case, Reasons, accept};
use crate::domain::account::AccountStatus;
use crate::domain::charge::{Charge, Purpose};
use crate::domain::command::Spend;
use crate::domain::credits::Overflow;
use crate::domain::decision::{Decision, On, Row};
use crate::domain::draft::{Posting, spendable};
use crate::domain::entry::EntryKind;
use crate::domain::event::{Asked, Event};
use crate::domain::ids::Printable;
use crate::domain::rejection::{QuarantineReason, Rejection};

pub fn decide(case: Case<'_>, command: &Spend) -> Result<Decision, Overflow> {
    let account = &case.book.account;
    if account.status == AccountStatus::Unopened {
        return Ok(Decision::Waiting(On::Account));
    }
    let charge = Charge {
        reference: command.reference.clone(),
        purpose: command.purpose,
        service: command.service.clone(),
        credits: command.credits,
    };
    if let Some(known) = case.book.charges.get(&command.reference) {
        return Ok(if *known == charge { Decision::Duplicate } else { Decision::Quarantined(QuarantineReason::IdempotencyConflict) });
    }
    if let Some(refusal) = refusal(case, command)? {
        return Ok(refusal);
    }
    let mut draft = case.draft();
    draft.actor = command.member.as_ref().and_then(|member| Printable::new(member.as_str()).ok());
    let posting = Posting { reference: Some(command.reference.clone()), ..Posting::default() };
    draft.burn(EntryKind::Spent, command.credits, command.service.as_ref(), posting)?;
    draft.put(Row::Charge(charge));
    let asked = Asked { id: case.message.id.clone(), reference: command.reference.clone(), credits: Some(command.credits) };
    draft.announce(Event::SpendAccepted { asked, available: draft.book.account.available()? });
    if command.purpose == Purpose::Invoice {
        draft.announce(Event::InvoicePaid { reference: command.reference.clone(), credits: command.credits });
    }
    Ok(accept(draft))
}

/// Every reason that applies, at once.
fn refusal(case: Case<'_>, command: &Spend) -> Result<Option<Decision>, Overflow> {
    let account = &case.book.account;
    let service = command.service.as_ref().and_then(|key| case.terms.catalog()?.services.get(key));
    let eligible = match command.purpose {
        Purpose::Invoice => true,
        Purpose::Service => service.is_some_and(|service| service.eligible),
    };
    let priced_otherwise = service.and_then(|service| service.credits).is_some_and(|price| price != command.credits);
    let mut reasons = Reasons::default();
    reasons.add_if(account.frozen_by_staff, Rejection::AccountFrozen);
    reasons.add_if(account.status == AccountStatus::Closed, Rejection::AccountClosed);
    reasons.add_if(!case.terms.settings.credit_payments, Rejection::CreditsDisabled);
    reasons.add_if(!command.credits.is_positive() || priced_otherwise, Rejection::InvalidAmount);
    reasons.add_if(!eligible, Rejection::ServiceNotEligible);
    reasons.add_if(command.credits > spendable(case.book, command.service.as_ref())?, Rejection::InsufficientCredits);
    Ok(reasons.refusal())
}
