//! Time passes: everything due up to an instant, in the one order of semantics §3.
//!
//! Owns that order. A message and the scheduler both come through here, so a late scheduler
//! changes nothing.

use super::book::Book;
use super::credits::Overflow;
use super::cycle;
use super::decision::{Mutation, Row};
use super::draft::Draft;
use super::entry::EntryKind;
use super::event::Event;
use super::grant::{Grant, GrantStatus};
use super::ids::{Id, MessageId};
use super::refill;
use super::request::RequestStatus;
use super::settings::Terms;
use jiff::{SignedDuration, Timestamp};

/// Before the refills of an instant have happened, those up to the last one before it have.
const TICK: SignedDuration = SignedDuration::from_nanos(1);

/// What happens at the next due `instant` of the book; recorded at `at`. The book is drafted in
/// itself, not in a copy: an account may have thousands of due instants and of grants that have ended.
///
/// # Errors
/// [`Overflow`] when a number leaves its bounds: the account needs a person, and the book is none any more.
pub fn step(book: &mut Book, terms: &Terms, instant: Timestamp, at: Timestamp) -> Result<Mutation, Overflow> {
    let cause = MessageId::due("due");
    let taken = std::mem::replace(book, Book::of(book.account.clone()));
    let mut draft = Draft::on(taken, terms, cause, instant, at);
    draft.passed = instant.checked_sub(TICK).unwrap_or(instant);
    end_grants(&mut draft, instant)?;
    close_cycles(&mut draft, instant)?;
    activate_grants(&mut draft, instant)?;
    refill_grants(&mut draft, instant)?;
    draft.passed = instant;
    draft.repay_debt()?;
    expire_requests(&mut draft, instant);
    let (mutation, drafted) = draft.finish_with_book();
    *book = drafted;
    Ok(mutation)
}

fn numbers(draft: &Draft<'_>, wanted: impl Fn(&Grant) -> bool) -> Vec<(u32, Id)> {
    draft.book.grants.live().filter(|grant| wanted(grant)).map(|grant| (grant.terms.number, grant.terms.id.clone())).collect()
}

/// 1: grants whose explicit date is now.
fn end_grants(draft: &mut Draft<'_>, instant: Timestamp) -> Result<(), Overflow> {
    let ending = |grant: &Grant| {
        grant.status == GrantStatus::Active && grant.is_open() && grant.terms.end.explicit().is_some_and(|end| end <= instant)
    };
    for (number, id) in numbers(draft, ending) {
        draft.cause = MessageId::due(&format!("expiry/{id}"));
        let remaining = draft.book.grants.get(&number).map(|grant| grant.remaining).unwrap_or_default();
        if remaining.is_positive() {
            draft.take_from(number, EntryKind::Expired, remaining)?;
        }
        draft.end_grant(number);
    }
    Ok(())
}

/// 2: cycles whose stored end is now; the next one opens with them.
fn close_cycles(draft: &mut Draft<'_>, instant: Timestamp) -> Result<(), Overflow> {
    let due: Vec<(Id, i32, u32)> = draft
        .book
        .subscriptions
        .values()
        .filter(|one| !one.ended && one.cycle.end <= instant)
        .map(|one| (one.id.clone(), one.cycle.k, one.cycle.n))
        .collect();
    for (subscription, k, n) in due {
        draft.cause = MessageId::due(&format!("cycle/{subscription}/{k}/{n}"));
        cycle::reset_at_end(draft, &subscription)?;
    }
    Ok(())
}

/// 3: grants that start now.
fn activate_grants(draft: &mut Draft<'_>, instant: Timestamp) -> Result<(), Overflow> {
    for (number, id) in numbers(draft, |grant| grant.status == GrantStatus::Pending && grant.terms.effective_at <= instant) {
        draft.cause = MessageId::due(&format!("start/{id}"));
        draft.activate(number, None)?;
    }
    Ok(())
}

/// 4: grants that refill themselves and are not full.
fn refill_grants(draft: &mut Draft<'_>, instant: Timestamp) -> Result<(), Overflow> {
    let due = |grant: &Grant| grant.status == GrantStatus::Active && grant.refill_at.is_some_and(|refill| refill <= instant);
    for (number, id) in numbers(draft, due) {
        draft.cause = MessageId::due(&format!("refill/{id}/{instant}"));
        refill::refill(draft, number)?;
    }
    Ok(())
}

/// Requests nobody decided in time.
fn expire_requests(draft: &mut Draft<'_>, instant: Timestamp) {
    let due: Vec<_> = draft
        .book
        .requests
        .values()
        .filter(|request| request.status == RequestStatus::Pending && request.expires_at.is_some_and(|end| end <= instant))
        .cloned()
        .collect();
    for mut request in due {
        request.status = RequestStatus::Expired;
        draft.cause = MessageId::due(&format!("request/{}", request.terms.id));
        draft.announce(Event::Request {
            request: request.terms.id.clone(),
            status: RequestStatus::Expired,
            credits: request.terms.credits,
            actor: None,
            reason: None,
        });
        draft.put(Row::Request(request));
    }
}
