//! `credits.grant`: credits given or sold outside a provider (semantics §1, §3, §9).

use super::{Case, Reasons, accept};
use crate::domain::account::AccountStatus;
use crate::domain::command::GrantCredits;
use crate::domain::credits::Overflow;
use crate::domain::decision::{Decision, On};
use crate::domain::grant::{GrantEnd, GrantSource, GrantTerms, RolloverRule};
use crate::domain::rejection::{QuarantineReason, Rejection};

pub fn decide(case: Case<'_>, command: &GrantCredits) -> Result<Decision, Overflow> {
    let account = &case.book.account;
    if account.status == AccountStatus::Unopened && !case.terms.settings.opens_accounts() {
        return Ok(Decision::Waiting(On::Account));
    }
    let effective_at = command.effective_at.unwrap_or(case.at);
    if let Some(known) = command.grant.as_ref().and_then(|id| case.book.grants.values().find(|grant| grant.terms.id == *id)) {
        let same = known.terms.credits == command.credits
            && known.terms.source == command.source
            && known.terms.end.explicit() == command.expires_at
            && command.effective_at.is_none_or(|at| at == known.terms.effective_at);
        return Ok(if same { Decision::Duplicate } else { Decision::Quarantined(QuarantineReason::IdempotencyConflict) });
    }
    let mut reasons = Reasons::default();
    reasons.add_if(account.status == AccountStatus::Closed, Rejection::AccountClosed);
    reasons.add_if(!command.credits.is_positive() || command.cost_basis.is_negative(), Rejection::InvalidAmount);
    // Add-ons never roll over (semantics §7).
    let rolls = |rule: &RolloverRule| command.source != GrantSource::Addon && rule.is_possible(command.credits);
    reasons.add_if(!command.rollover.as_ref().is_none_or(rolls), Rejection::InvalidAmount);
    reasons.add_if(command.expires_at.is_some_and(|end| end <= effective_at.max(case.at)), Rejection::InvalidTime);
    reasons.add_if(command.recurs.as_ref().is_some_and(|recurs| !recurs.interval.is_whole()), Rejection::InvalidTime);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let mut draft = case.draft();
    let reference = draft.act(&command.act);
    draft.open_account();
    let id = command.grant.clone().unwrap_or_else(|| draft.derived_id("gr"));
    draft.occurred_at = case.at;
    draft.grant(
        GrantTerms {
            number: 0,
            id,
            source: command.source,
            credits: command.credits,
            cost_basis: command.cost_basis,
            priority: command.priority,
            effective_at,
            end: command.expires_at.map_or(GrantEnd::Never, GrantEnd::At),
            scope: command.scope.clone(),
            rollover: command.rollover.clone(),
            recurs: command.recurs.clone(),
            parent: None,
            generation: 0,
            cycle: None,
            payment: None,
            cause: case.message.id.clone(),
        },
        Some(reference),
    )?;
    draft.repay_debt()?;
    Ok(accept(draft))
}
