//! `credits.quote`: what usage, a spend or a change of a subscription would do (semantics §4, §7).
//!
//! Owns no rule: what is asked is decided as if it had come now, and only told.

use super::{Case, accept, decide as decide_asked, price};
use crate::domain::account::AccountStatus;
use crate::domain::command::{Command, Message, Quote};
use crate::domain::credits::{Credits, Money, Overflow};
use crate::domain::cycle;
use crate::domain::decision::{Decision, Mutation, On, Row};
use crate::domain::entry::EntryKind;
use crate::domain::event::{Event, Quoted};
use crate::domain::ids::Id;
use crate::domain::rejection::Rejection;
use crate::domain::subscription::Subscription;
use jiff::{SignedDuration, Timestamp};

/// How long a quote is good for.
const LASTS: SignedDuration = SignedDuration::from_mins(15);

pub fn decide(case: Case<'_>, command: &Quote) -> Result<Decision, Overflow> {
    if case.book.account.status == AccountStatus::Unopened {
        return Ok(Decision::Waiting(On::Account));
    }
    let asked = Message { command: (*command.asked).clone(), ..case.message.clone() };
    let mut quoted = Quoted {
        quote: command.quote.clone(),
        credits: None,
        charge_per_cycle: None,
        burns: Vec::new(),
        available_after: case.book.account.available()?,
        expires_at: case.at.checked_add(LASTS).unwrap_or(Timestamp::MAX),
        reasons: Vec::new(),
    };
    match decide_asked(Case { message: &asked, ..case }) {
        Decision::Accepted(mutation) => accepted(case, &asked.command, &mutation, &mut quoted)?,
        // It is done already: nothing would be added.
        Decision::Duplicate | Decision::Named(_) => {
            quoted.credits = Some(Credits::ZERO);
            quoted.charge_per_cycle = as_it_is(&asked.command, case).map(|one| charge_per_cycle(case, one)).transpose()?;
        }
        Decision::Rejected(reasons) => quoted.reasons = reasons,
        Decision::Waiting(On::Time(_)) => quoted.reasons = vec![Rejection::InvalidTime],
        Decision::Waiting(_) => quoted.reasons = vec![Rejection::NoActiveSubscription],
        Decision::Quarantined(_) | Decision::Ignored => quoted.reasons = vec![Rejection::AlreadyDecided],
    }
    if !quoted.reasons.is_empty() {
        quoted.credits = cost(case, &asked.command);
    }
    let mut draft = case.draft();
    draft.announce(Event::QuoteMade(Box::new(quoted)));
    Ok(accept(draft))
}

/// What usage or a spend costs, if it can be priced.
fn cost(case: Case<'_>, asked: &Command) -> Option<Credits> {
    if let Command::RecordUsage(usage) = asked {
        price(case.terms, usage, case.message.occurred_at)
    } else if let Command::Spend(spend) = asked {
        Some(spend.credits)
    } else {
        None
    }
}

/// What an accepted mutation would have done.
fn accepted(case: Case<'_>, asked: &Command, mutation: &Mutation, quoted: &mut Quoted) -> Result<(), Overflow> {
    quoted.available_after = mutation.account.available()?;
    if let Some(changed) = subscription(mutation) {
        let issued = mutation.entries.iter().filter(|entry| matches!(entry.kind, EntryKind::Allowance | EntryKind::Addon));
        quoted.credits = Some(Credits::sum(issued.map(|entry| entry.amount))?);
        quoted.charge_per_cycle = Some(charge_per_cycle(case, changed)?);
        return Ok(());
    }
    quoted.credits = cost(case, asked);
    for entry in mutation.entries.iter().filter(|entry| matches!(entry.kind, EntryKind::Used | EntryKind::Spent)) {
        for touch in &entry.touched {
            let name = case.book.grants.get(&touch.grant).map(|grant| grant.terms.id.clone());
            quoted.burns.extend(name.map(|name: Id| (name, touch.change.negated())));
        }
    }
    Ok(())
}

/// The subscription that is what was asked for already.
fn as_it_is<'a>(asked: &Command, case: Case<'a>) -> Option<&'a Subscription> {
    if let Command::ChangeSubscription(change) = asked { case.book.subscriptions.get(&change.subscription) } else { None }
}

/// The subscription as the change would leave it.
fn subscription(mutation: &Mutation) -> Option<&Subscription> {
    mutation.rows.iter().rev().find_map(|row| if let Row::Subscription(one) = row { Some(one) } else { None })
}

/// What all units of add-ons that are wanted cost for one cycle. What a plan costs the catalog does not know.
fn charge_per_cycle(case: Case<'_>, one: &Subscription) -> Result<Money, Overflow> {
    let wanted = one.next.as_ref().unwrap_or(&one.current);
    wanted.addons.iter().try_fold(Money::ZERO, |sum, (id, units)| {
        let price = cycle::addon(case.terms, id, one.cycle.catalog).map_or(Money::ZERO, |addon| addon.unit_price);
        sum.plus(price.share_down(Credits::whole(*units).decimal(), Credits::whole(1).decimal())?)
    })
}
