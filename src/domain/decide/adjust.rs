//! `credits.adjust`: staff correct a balance (semantics §1, §4).

use super::{Case, Reasons, accept};
use crate::domain::account::AccountStatus;
use crate::domain::command::Adjust;
use crate::domain::credits::Overflow;
use crate::domain::decision::{Decision, On};
use crate::domain::draft::{DebtFor, Posting, spendable};
use crate::domain::entry::EntryKind;
use crate::domain::grant::{GrantSource, GrantTerms};
use crate::domain::rejection::Rejection;

pub fn decide(case: Case<'_>, command: &Adjust) -> Result<Decision, Overflow> {
    let account = &case.book.account;
    let raises = command.credits.is_positive();
    let opens = raises && case.terms.settings.opens_accounts();
    if account.status == AccountStatus::Unopened && !opens {
        return Ok(Decision::Waiting(On::Account));
    }
    let lower_by = command.credits.negated().at_least_zero();
    let short = !command.allow_debt && lower_by > spendable(case.book, None)?;
    let mut reasons = Reasons::default();
    reasons.add_if(raises && account.status == AccountStatus::Closed, Rejection::AccountClosed);
    reasons.add_if(!case.terms.may_decide(command.act.actor.as_str()), Rejection::NotPermitted);
    reasons.add_if(command.credits.is_zero(), Rejection::InvalidAmount);
    reasons.add_if(short, Rejection::InsufficientCredits);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let mut draft = case.draft();
    let reference = draft.act(&command.act);
    let posting = Posting { reference: Some(reference), ..Posting::default() };
    if raises {
        draft.open_account();
        let id = draft.derived_id("ad");
        draft.occurred_at = case.at;
        let terms = GrantTerms::plain(id, GrantSource::Adjustment, command.credits, case.at, case.message.id.clone());
        draft.grant(terms, posting.reference)?;
        draft.repay_debt()?;
    } else {
        let burned = draft.burn(EntryKind::AdjustedOut, lower_by, None, posting.clone())?;
        draft.incur_debt(lower_by.minus(burned)?, DebtFor::default(), posting)?;
    }
    Ok(accept(draft))
}
