//! `account.opened`, `.changed`, `.frozen`, `.unfrozen`, `.closed` (semantics §1, §4).

use super::{Case, Reasons, accept};
use crate::domain::account::{AccountStatus, Profile};
use crate::domain::command::{Act, ProfileChange, TopupChange};
use crate::domain::credits::Overflow;
use crate::domain::cycle;
use crate::domain::decision::{Decision, On, Row};
use crate::domain::invoicing;
use crate::domain::refill;
use crate::domain::rejection::{QuarantineReason, Rejection};
use std::sync::Arc;

pub fn open(case: Case<'_>, change: &ProfileChange) -> Decision {
    profile(case, change, true)
}

pub fn change(case: Case<'_>, change: &ProfileChange) -> Decision {
    if case.book.account.status == AccountStatus::Unopened {
        return Decision::Waiting(On::Account);
    }
    profile(case, change, false)
}

fn profile(case: Case<'_>, change: &ProfileChange, opens: bool) -> Decision {
    let account = &case.book.account;
    let mut reasons = Reasons::default();
    reasons.add_if(account.status == AccountStatus::Closed, Rejection::AccountClosed);
    reasons.add_if(change.zone.as_ref().is_some_and(|(_, zone)| zone.is_none()), Rejection::UnknownZone);
    if let Some(TopupChange::On(topup)) = &change.auto_topup {
        let known = case.terms.catalog().is_some_and(|catalog| catalog.packages.contains_key(&topup.package));
        reasons.add_if(!known, Rejection::UnknownPackage);
        reasons.add_if(!topup.is_possible(), Rejection::InvalidAmount);
    }
    if let Some(refusal) = reasons.refusal() {
        return refusal;
    }
    let changed = changed(&account.profile, change);
    if opens && account.status == AccountStatus::Open {
        if changed == *account.profile {
            return Decision::Duplicate;
        }
        if contradicts(&account.profile, change) {
            return Decision::Quarantined(QuarantineReason::IdempotencyConflict);
        }
    }
    let mut draft = case.draft();
    draft.put(Row::Profile(Arc::new(changed)));
    if change.invoicing == Some(false) && account.profile.invoicing {
        invoicing::withdraw(&mut draft);
    }
    refill::recount(&mut draft);
    draft.book.account.status = AccountStatus::Open;
    draft.announce_account();
    accept(draft)
}

/// An opening states what an account is. One that was told who and what it is before, is only
/// changed by `account.changed`; one that a first credit opened has still to be told (semantics §9).
fn contradicts(profile: &Profile, opening: &ProfileChange) -> bool {
    let kind = profile.kind.is_some() && profile.kind != opening.kind;
    let owner = profile.owner.is_some() && profile.owner != opening.owner;
    let told = profile.kind.is_some() && profile.owner.is_some();
    kind || owner || told
}

/// Absent keys stay; those that are there replace what was said before as a whole.
fn changed(profile: &Profile, change: &ProfileChange) -> Profile {
    let zone = change.zone.as_ref().and_then(|(_, zone)| zone.clone());
    Profile {
        kind: change.kind.or(profile.kind),
        owner: change.owner.clone().or_else(|| profile.owner.clone()),
        zone: zone.unwrap_or_else(|| profile.zone.clone()),
        metadata: change.metadata.clone().unwrap_or_else(|| profile.metadata.clone()),
        alerts: change.alerts.clone().unwrap_or_else(|| profile.alerts.clone()),
        auto_topup: match &change.auto_topup {
            None => profile.auto_topup.clone(),
            Some(TopupChange::Off) => None,
            Some(TopupChange::On(topup)) => Some(topup.clone()),
        },
        invoicing: change.invoicing.unwrap_or(profile.invoicing),
    }
}

pub fn freeze(case: Case<'_>, act: &Act) -> Decision {
    set_frozen(case, act, true)
}

pub fn unfreeze(case: Case<'_>, act: &Act) -> Decision {
    set_frozen(case, act, false)
}

fn set_frozen(case: Case<'_>, act: &Act, frozen: bool) -> Decision {
    let account = &case.book.account;
    match account.status {
        AccountStatus::Unopened => return Decision::Waiting(On::Account),
        AccountStatus::Closed => return Decision::Rejected(vec![Rejection::AccountClosed]),
        AccountStatus::Open => {}
    }
    if account.frozen_by_staff == frozen {
        return Decision::Duplicate;
    }
    let mut draft = case.draft();
    draft.actor = Some(act.actor.clone());
    draft.book.account.frozen_by_staff = frozen;
    draft.announce_account();
    accept(draft)
}

/// Closing stops cycles. What else is left stays as it is and ends by its own date; what arrives
/// later arrives frozen (`Draft::activate`).
pub fn close(case: Case<'_>, act: &Act) -> Result<Decision, Overflow> {
    match case.book.account.status {
        AccountStatus::Unopened => return Ok(Decision::Waiting(On::Account)),
        AccountStatus::Closed => return Ok(Decision::Duplicate),
        AccountStatus::Open => {}
    }
    let mut draft = case.draft();
    draft.actor = Some(act.actor.clone());
    draft.occurred_at = case.at;
    let running: Vec<_> = draft.book.subscriptions.values().filter(|one| !one.ended).map(|one| one.id.clone()).collect();
    for subscription in running {
        cycle::end_now(&mut draft, &subscription)?;
    }
    draft.book.account.status = AccountStatus::Closed;
    draft.announce_account();
    Ok(accept(draft))
}
