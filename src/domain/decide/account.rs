//! `account.opened`, `.changed`, `.frozen`, `.unfrozen`, `.closed` (semantics §1, §4).

use super::{Case, Reasons, accept};
use crate::domain::account::{AccountStatus, Profile};
use crate::domain::command::{Act, ProfileChange, TopupChange};
use crate::domain::credits::Overflow;
use crate::domain::cycle;
use crate::domain::decision::{Decision, On, Row};
use crate::domain::draft::{Draft, Posting};
use crate::domain::entry::{EntryKind, Touch};
use crate::domain::rejection::Rejection;
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
    let was_open = account.status == AccountStatus::Open;
    if was_open && opens && changed == *account.profile {
        return Decision::Duplicate;
    }
    let mut draft = case.draft();
    draft.put(Row::Profile(Arc::new(changed)));
    draft.book.account.status = AccountStatus::Open;
    draft.announce_account();
    accept(draft)
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

/// Closing freezes what is left and stops cycles; nothing is taken.
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
    freeze_rest(&mut draft)?;
    draft.book.account.status = AccountStatus::Closed;
    draft.announce_account();
    Ok(accept(draft))
}

fn freeze_rest(draft: &mut Draft<'_>) -> Result<(), Overflow> {
    let mut touched = Vec::new();
    let free = draft.book.account.available()?;
    let numbers: Vec<u32> =
        draft.book.grants.values().filter(|grant| grant.remaining > grant.frozen).map(|grant| grant.terms.number).collect();
    for number in numbers {
        draft.change_grant(number, |grant| grant.frozen = grant.remaining);
        touched.push(Touch { grant: number, change: crate::domain::credits::Credits::ZERO });
    }
    if free.is_positive() {
        draft.post(EntryKind::Frozen, Posting { frozen: free, touched, ..Posting::default() })?;
    }
    Ok(())
}
