//! `cycle.reset` of one account: what is due has been written before; a manual one closes now
//! (semantics §7).

use super::{Case, Reasons, accept};
use crate::domain::account::AccountStatus;
use crate::domain::closes;
use crate::domain::command::ResetCycle;
use crate::domain::credits::Overflow;
use crate::domain::cycle;
use crate::domain::decision::{Decision, On};
use crate::domain::rejection::Rejection;
use crate::domain::rollover::{self, Close};

pub fn decide(case: Case<'_>, command: &ResetCycle) -> Result<Decision, Overflow> {
    if case.book.account.status == AccountStatus::Unopened {
        return Ok(Decision::Waiting(On::Account));
    }
    let named = command.subscription.as_ref().map(|id| (id, case.book.subscriptions.get(id)));
    if let Some((id, None)) = named {
        return Ok(Decision::Waiting(On::Subscription(id.clone())));
    }
    let mut running = case.book.subscriptions.values().filter(|one| !one.ended);
    let backwards = match named {
        Some((_, Some(one))) => command.as_of < one.cycle.start,
        // Behind the running cycle of every subscription: nothing this old can be reset any more.
        Some((_, None)) | None => running.clone().next().is_some() && running.all(|one| command.as_of < one.cycle.start),
    };
    let mut reasons = Reasons::default();
    // Closing ended every subscription.
    reasons.add_if(command.manual && named.is_none() && case.book.account.status == AccountStatus::Closed, Rejection::AccountClosed);
    reasons.add_if(named.is_some_and(|(_, one)| one.is_some_and(|one| one.ended)), Rejection::NoActiveSubscription);
    reasons.add_if(backwards, Rejection::ResetBackwards);
    reasons.add_if(command.as_of > case.at, Rejection::ResetInFuture);
    if let Some(refusal) = reasons.refusal() {
        return Ok(refusal);
    }
    let mut draft = case.draft();
    draft.occurred_at = case.at;
    if command.manual {
        match &command.subscription {
            Some(subscription) => cycle::reset_now(&mut draft, subscription)?,
            None => {
                rollover::close(&mut draft, Close::OwnRules)?;
                closes::foresee(&mut draft);
            }
        }
        draft.repay_debt()?;
    }
    Ok(accept(draft))
}
