//! `usage.recorded`: metered usage, priced by the rate card and burned (semantics §4, §7).

use super::{Case, Reasons, accept};
use crate::domain::account::AccountStatus;
use crate::domain::command::Usage;
use crate::domain::credits::{Credits, Overflow};
use crate::domain::decision::{Decision, On};
use crate::domain::draft::{DebtFor, Draft, Posting, spendable};
use crate::domain::entry::EntryKind;
use crate::domain::ids::{Printable, Prose};
use crate::domain::late::{self, Late};
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
    let used = Used { case, command, cost };
    let short = cost.minus(used.covered()?)?.at_least_zero();
    reasons.add_if(refuses(case, policy, short)?, Rejection::InsufficientCredits);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let mut draft = case.draft();
    let late = if used.late().is_after_grace(&draft) { ", late" } else { "" };
    let memo = |unpaid: &str| Prose::new(&format!("{} × {}, catalog {version}{unpaid}{late}", command.meter, command.quantity)).ok();
    draft.actor = command.member.as_ref().and_then(|member| Printable::new(member.as_str()).ok());
    let posting = Posting { memo: memo(""), ..Posting::default() };
    let burned = used.burn(&mut draft, &posting)?;
    if policy != Insufficient::Partial {
        draft.incur_debt(short, DebtFor { scope: Some(command.meter.clone()), ..DebtFor::default() }, posting)?;
    } else if short.is_positive() {
        if burned.is_zero() {
            // Nothing moves, and the history says what nobody paid.
            draft.post(EntryKind::Used, posting)?;
        }
        draft.annotate(memo(&format!(", {short} unpaid")));
    }
    Ok(accept(draft))
}

/// Whether the policy refuses usage that credits do not cover by `short`.
fn refuses(case: Case<'_>, policy: Insufficient, short: Credits) -> Result<bool, Overflow> {
    Ok(match policy {
        Insufficient::Reject => short.is_positive(),
        Insufficient::AllowTo => {
            short.is_positive() && case.book.account.debt.plus(short)? > case.terms.settings.debt_max.unwrap_or_default()
        }
        Insufficient::Partial | Insufficient::Allow => false,
    })
}

/// Usage with its price.
#[derive(Clone, Copy)]
struct Used<'a> {
    case: Case<'a>,
    command: &'a Usage,
    cost: Credits,
}

impl<'a> Used<'a> {
    fn late(self) -> Late<'a> {
        Late { occurred_at: self.case.message.occurred_at, meter: &self.command.meter }
    }

    /// What credits cover of it: of late usage what burning it would burn.
    fn covered(self) -> Result<Credits, Overflow> {
        if late::is_late(self.case.book, self.case.message.occurred_at) {
            return self.burn(&mut self.case.draft(), &Posting::default());
        }
        spendable(self.case.book, Some(&self.command.meter))
    }

    /// Burns as much of it as there is: of usage that reopens something first what was usable when it happened.
    fn burn(self, draft: &mut Draft<'_>, posting: &Posting) -> Result<Credits, Overflow> {
        let reopens = self.late().reopens(draft);
        let then = if reopens { self.late().burn(draft, self.cost, posting.clone())? } else { Credits::ZERO };
        then.plus(draft.burn(EntryKind::Used, self.cost.minus(then)?, Some(&self.command.meter), posting.clone())?)
    }
}
