//! `usage.recorded`: metered usage, priced by the rate card and burned (semantics §4).

use super::{Case, Reasons, accept};
use crate::domain::account::AccountStatus;
use crate::domain::command::Usage;
use crate::domain::credits::{Credits, Overflow};
use crate::domain::decision::{Decision, On};
use crate::domain::draft::{DebtFor, Posting, spendable};
use crate::domain::entry::EntryKind;
use crate::domain::ids::{Printable, Prose};
use crate::domain::rate_card::Rate;
use crate::domain::rejection::Rejection;
use crate::domain::settings::{Insufficient, Terms};
use jiff::{SignedDuration, Timestamp};

/// How far ahead of the clock usage may say it happened before it waits until then.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// The rate that prices usage of that time, and the catalog version it stands in.
fn rate<'a>(terms: &'a Terms, command: &Usage, occurred_at: Timestamp) -> (Option<&'a Rate>, u32) {
    let catalog = terms.catalog_at(occurred_at);
    let rate = catalog.and_then(|catalog| catalog.rates.rate(&command.meter, &command.dimensions));
    (rate, catalog.map_or(0, |catalog| catalog.version))
}

/// What usage costs; `None` when nothing prices it.
pub fn price(terms: &Terms, command: &Usage, occurred_at: Timestamp) -> Option<Credits> {
    let (rate, _) = rate(terms, command, occurred_at);
    rate.filter(|_| !command.quantity.is_negative())?.credits(command.quantity).ok()
}

pub fn decide(case: Case<'_>, command: &Usage) -> Result<Decision, Overflow> {
    let account = &case.book.account;
    if account.status == AccountStatus::Unopened {
        return Ok(Decision::Waiting(On::Account));
    }
    let occurred_at = case.message.occurred_at;
    if occurred_at.duration_since(case.at) > AHEAD_MAX {
        return Ok(Decision::Waiting(On::Time(occurred_at)));
    }
    let (rate, version) = rate(case.terms, command, occurred_at);
    let mut reasons = Reasons::default();
    reasons.add_if(account.frozen_by_staff, Rejection::AccountFrozen);
    reasons.add_if(account.status == AccountStatus::Closed, Rejection::AccountClosed);
    reasons.add_if(command.quantity.is_negative(), Rejection::InvalidAmount);
    reasons.add_if(rate.is_none(), Rejection::UnknownMeter);
    let cost = match rate {
        Some(rate) if !command.quantity.is_negative() => rate.credits(command.quantity)?,
        Some(_) | None => Credits::ZERO,
    };
    let policy = rate.and_then(|rate| rate.insufficient).unwrap_or(case.terms.settings.insufficient);
    let covered = spendable(case.book, Some(&command.meter))?;
    reasons.add_if(policy == Insufficient::Reject && cost > covered, Rejection::InsufficientCredits);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let mut draft = case.draft();
    draft.actor = command.member.as_ref().and_then(|member| Printable::new(member.as_str()).ok());
    let memo = Prose::new(&format!("{} × {}, catalog {version}", command.meter, command.quantity)).ok();
    let posting = Posting { memo, ..Posting::default() };
    let burned = draft.burn(EntryKind::Used, cost, Some(&command.meter), posting.clone())?;
    draft.incur_debt(cost.minus(burned)?, DebtFor { scope: Some(command.meter.clone()), ..DebtFor::default() }, posting)?;
    Ok(accept(draft))
}
