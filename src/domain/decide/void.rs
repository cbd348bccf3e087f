//! `credits.void`: staff take a grant back, all that is left of it or a part (semantics §1).

use super::{Case, Reasons, accept};
use crate::domain::account::AccountStatus;
use crate::domain::command::VoidGrant;
use crate::domain::credits::{Credits, Overflow};
use crate::domain::decision::{Decision, On};
use crate::domain::grant::GrantStatus;
use crate::domain::rejection::Rejection;

pub fn decide(case: Case<'_>, command: &VoidGrant) -> Result<Decision, Overflow> {
    if case.book.account.status == AccountStatus::Unopened {
        return Ok(Decision::Waiting(On::Account));
    }
    let grant = case.book.grants.values().find(|grant| grant.terms.id == command.grant);
    // A part of what has not begun would be a grant of another amount.
    let part_of_pending = command.credits.is_some() && grant.is_some_and(|grant| grant.status == GrantStatus::Pending);
    let free = grant.map_or(Ok(Credits::ZERO), |grant| grant.remaining.minus(grant.frozen))?;
    let short = command.credits.map_or_else(|| grant.is_some_and(|grant| !grant.is_open()), |credits| credits > free);
    let mut reasons = Reasons::default();
    reasons.add_if(!case.terms.may_decide(command.act.actor.as_str()), Rejection::NotPermitted);
    reasons.add_if(command.credits.is_some_and(|credits| !credits.is_positive()) || part_of_pending, Rejection::InvalidAmount);
    reasons.add_if(grant.is_none(), Rejection::UnknownGrant);
    reasons.add_if(short && grant.is_some() && !part_of_pending, Rejection::InsufficientCredits);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let mut draft = case.draft();
    if let Some(grant) = grant {
        let (number, amount) = (grant.terms.number, command.credits.unwrap_or(grant.remaining));
        draft.occurred_at = case.at;
        let reference = draft.act(&command.act);
        draft.void(number, amount, reference)?;
        if command.credits.is_none() {
            draft.end_grant(number);
        }
    }
    Ok(accept(draft))
}
