//! One message at a time over an account's state: time passes, identity is asked, the command is
//! decided, what was waiting for it is set free.
//!
//! Owns that sequence, which the worker, the scheduler and the simulation share. Never writes
//! anything: what happened is collected in [`Changes`].

use super::advance;
use super::book::{AccountState, Answered, InvariantViolated, Waiting};
use super::command::{Command, Message};
use super::credits::{Credits, Overflow};
use super::decide::{Case, decide, price};
use super::decision::{Claim, Decision, Mutation, On, Outcome, Recorded, Row};
use super::entry::Entry;
use super::event::{Asked, Event, RefundAsked, Refusal};
use super::ids::{Hash, MessageKey, Printable};
use super::rejection::{QuarantineReason, Rejection};
use super::request::RequestStatus;
use super::settings::Terms;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// How long a message waits for its account to be opened (semantics §9).
const ACCOUNT_WAIT: SignedDuration = SignedDuration::from_hours(24);
/// How long it waits for a request, subscription or another's claim.
const FACT_WAIT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Due instants written in one go before an account is given up. Each of them changes something:
/// refills of a full grant are passed over (`refill`).
const STEPS_MAX: usize = 100_000;

/// What happened to one account during a batch, in order.
#[derive(Debug, Default)]
pub struct Changes {
    /// New lines of history.
    pub entries: Vec<Entry>,
    /// Their hashes, one for one.
    pub hashes: Vec<Hash>,
    /// Announcements with the position of the last entry before each.
    pub events: Vec<(u64, Event)>,
    /// Row images; a later image of the same row replaces an earlier one.
    pub rows: Vec<Row>,
    /// Answers to messages, waiting ones that became final included.
    pub answers: Vec<Answer>,
    /// Messages that began to wait.
    pub waiting: Vec<Waiting>,
    /// Messages that wait no more.
    pub released: Vec<MessageKey>,
}

/// The answer to one message.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The message.
    pub message: Arc<Message>,
    /// What became of it.
    pub outcome: Outcome,
    /// Positions of the entries it wrote, first and last; a duplicate wrote none.
    pub entries: Option<(u64, u64)>,
    /// True when the answer is to be stored; false when it repeats a stored one.
    pub is_new: bool,
    /// The recorded outcome a duplicate repeats.
    pub of: Option<Recorded>,
}

impl Answer {
    /// Whether its outcome is stored under the message's identity: it is new, and final.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.is_new && !matches!(self.outcome, Outcome::Waiting | Outcome::Quarantined(_))
    }
}

/// The recorded time of anything that happens to the account now: never before its last.
#[must_use]
pub fn recorded_time(state: &AccountState, now: Timestamp) -> Timestamp {
    state.book.account.recorded_at.map_or(now, |last| last.max(now))
}

/// A message, and whose the facts it names are.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// The message.
    pub message: &'a Arc<Message>,
    /// What the directory said about its facts.
    pub claim: Claim,
}

/// Applies one message.
///
/// # Errors
/// [`InvariantViolated`] when time cannot be advanced within the bounds of amounts.
pub fn receive(
    state: &mut AccountState,
    terms: &Terms,
    arrived: Arrived<'_>,
    now: Timestamp,
    changes: &mut Changes,
) -> Result<(), InvariantViolated> {
    let at = recorded_time(state, now);
    let first = state.book.account.seq;
    write_due(state, terms, (at, at), changes)?;
    // A reset's entries are the ones that were due; every other message's are its own.
    let resets = matches!(arrived.message.command, Command::ResetCycle(_));
    let before = if resets { first } else { state.book.account.seq };
    submit(state, Now { terms, at, passed: at }, arrived, before, changes);
    release(state, terms, at, changes);
    Ok(())
}

/// Writes everything due up to `until`, instant by instant, as recorded at `at`, which is not earlier; then
/// decides waiting messages whose claim was answered.
///
/// # Errors
/// [`InvariantViolated`] when that does not end or leaves the bounds of amounts.
pub fn pass_time(
    state: &mut AccountState,
    terms: &Terms,
    (until, at): (Timestamp, Timestamp),
    changes: &mut Changes,
) -> Result<(), InvariantViolated> {
    write_due(state, terms, (until, at), changes)?;
    release(state, terms, at, changes);
    Ok(())
}

fn write_due(
    state: &mut AccountState,
    terms: &Terms,
    (until, at): (Timestamp, Timestamp),
    changes: &mut Changes,
) -> Result<(), InvariantViolated> {
    let broken =
        |state: &AccountState, broken: &str| InvariantViolated { account: state.book.account.key.clone(), broken: broken.to_owned() };
    for _ in 0..STEPS_MAX {
        let (happens, waits) = (state.book.next_due(), state.next_wait());
        let Some(due) = happens.into_iter().chain(waits).min().filter(|due| *due <= until) else { return Ok(()) };
        if happens == Some(due) {
            let mutation = advance::step(&mut state.book, terms, due, at)
                .map_err(|Overflow| broken(state, "an amount leaves its bounds at a due instant"))?;
            write(state, mutation, changes);
        } else {
            end_wait(state, terms, due, at, changes);
        }
    }
    Err(broken(state, "more than 100000 due instants: the account needs a person"))
}

/// A waiting message whose time has come, or whose deadline has.
fn end_wait(state: &mut AccountState, terms: &Terms, due: Timestamp, at: Timestamp, changes: &mut Changes) {
    let Some(index) = state.waiting.iter().position(|waiting| waiting.due() <= due) else { return };
    let waiting = state.waiting.remove(index);
    changes.released.push(waiting.message.id.key());
    if matches!(waiting.on, On::Time(_)) {
        let before = state.book.account.seq;
        // What lies between the instant and now has not happened to the account yet.
        submit(state, Now { terms, at, passed: due }, Arrived { message: &waiting.message, claim: Claim::Ours }, before, changes);
    } else {
        let key = waiting.message.id.key();
        // It may have been answered in the meantime: an outcome is recorded once.
        if let Some(Answered { recorded: Some(recorded), .. }) = state.answered.get(&key) {
            let of = Some(recorded.clone());
            changes.answers.push(Answer { message: waiting.message, outcome: Outcome::Duplicate, entries: None, is_new: false, of });
            return;
        }
        // A provider tells of every payment it made, also of those that are not ours.
        let not_ours = matches!(waiting.on, On::Payment(_)) && waiting.message.command.is_of_provider();
        let outcome = if not_ours { Outcome::Ignored } else { Outcome::Quarantined(QuarantineReason::WaitTimeout) };
        if not_ours {
            let recorded = Some(Recorded::of(&outcome, None));
            state.answered.insert(key, Answered { content: waiting.message.content, recorded });
        }
        changes.answers.push(Answer { message: waiting.message, outcome, entries: None, is_new: true, of: None });
    }
}

/// Under which terms and at which recorded time something is decided, and up to which instant refills have happened.
#[derive(Clone, Copy)]
struct Now<'a> {
    terms: &'a Terms,
    at: Timestamp,
    passed: Timestamp,
}

/// Identity first, then the decision.
fn submit(state: &mut AccountState, now: Now<'_>, arrived: Arrived<'_>, before: u64, changes: &mut Changes) {
    let Now { terms, at, passed } = now;
    let Arrived { message, claim } = arrived;
    let key = message.id.key();
    let mut answer = Answer { message: message.clone(), outcome: Outcome::Waiting, entries: None, is_new: false, of: None };
    let known = state.answered.get(&key).map(|known| (known.content, known.recorded.clone()));
    let waits = state.waiting.iter().find(|waiting| waiting.message.id == message.id);
    let known = known.or_else(|| waits.map(|waiting| (waiting.message.content, None)));
    if let Some((content, recorded)) = known {
        if content != message.content {
            answer.outcome = Outcome::Quarantined(QuarantineReason::IdempotencyConflict);
        } else if recorded.is_some() {
            answer.outcome = Outcome::Duplicate;
            answer.of = recorded;
        }
        changes.answers.push(answer);
        return;
    }
    answer.is_new = true;
    let decided = || decide(Case { book: &state.book, terms, message, at, passed });
    let decision = match claim {
        Claim::Ours => decided(),
        // Of two requests of one id its own account's is meant; without one it would wait in vain.
        Claim::Elsewhere => {
            let decision = decided();
            let in_vain = matches!(decision, Decision::Waiting(On::Request(_)));
            if in_vain { Decision::Quarantined(QuarantineReason::IdempotencyConflict) } else { decision }
        }
        Claim::Undecided => Decision::Waiting(On::Claim(Claim::Undecided)),
        Claim::Taken => Decision::Quarantined(QuarantineReason::IdempotencyConflict),
    };
    answer.outcome = match decision {
        Decision::Accepted(mutation) => {
            write(state, *mutation, changes);
            Outcome::Applied
        }
        Decision::Named(mutation) => {
            write(state, *mutation, changes);
            Outcome::Duplicate
        }
        Decision::Duplicate => Outcome::Duplicate,
        Decision::Ignored => Outcome::Ignored,
        Decision::Quarantined(reason) => Outcome::Quarantined(reason),
        Decision::Rejected(reasons) => {
            let available = state.book.account.available().unwrap_or(Credits::ZERO);
            changes.events.push((state.book.account.seq, refusal(terms, message, &reasons, available)));
            Outcome::Rejected(reasons)
        }
        Decision::Waiting(on) => {
            let waiting = Waiting { message: message.clone(), deadline: deadline(&on, at), on };
            state.waiting.push(waiting.clone());
            changes.waiting.push(waiting);
            Outcome::Waiting
        }
    };
    let last = state.book.account.seq;
    answer.entries = before.checked_add(1).filter(|first| *first <= last).map(|first| (first, last));
    if !matches!(answer.outcome, Outcome::Waiting | Outcome::Quarantined(_)) {
        let recorded = Some(Recorded::of(&answer.outcome, answer.entries));
        state.answered.insert(key, Answered { content: message.content, recorded });
    }
    changes.answers.push(answer);
}

fn deadline(on: &On, at: Timestamp) -> Timestamp {
    let wait = match on {
        On::Account => ACCOUNT_WAIT,
        On::Request(_) | On::Decision(_) | On::Subscription(_) | On::Payment(_) | On::Claim(_) => FACT_WAIT,
        On::Time(time) => return *time,
    };
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Decides waiting messages whose dependency is there now, first come first served.
fn release(state: &mut AccountState, terms: &Terms, at: Timestamp, changes: &mut Changes) {
    use super::account::AccountStatus;
    while let Some(index) = state.waiting.iter().position(|waiting| match &waiting.on {
        On::Account => state.book.account.status != AccountStatus::Unopened,
        On::Request(request) => state.book.requests.contains_key(request),
        On::Decision(request) => state.book.requests.get(request).is_some_and(|request| request.status != RequestStatus::Pending),
        On::Payment(names) => names.iter().any(|name| state.book.payment(name).is_some()),
        On::Subscription(subscription) => state.book.subscriptions.contains_key(subscription),
        On::Claim(claim) => *claim != Claim::Undecided,
        On::Time(_) => false,
    }) {
        let waiting = state.waiting.remove(index);
        changes.released.push(waiting.message.id.key());
        let before = state.book.account.seq;
        let claim = if let On::Claim(claim) = waiting.on { claim } else { Claim::Ours };
        submit(state, Now { terms, at, passed: at }, Arrived { message: &waiting.message, claim }, before, changes);
    }
}

fn write(state: &mut AccountState, mutation: Mutation, changes: &mut Changes) {
    let hashes = state.book.after(&mutation);
    changes.entries.extend(mutation.entries);
    changes.hashes.extend(hashes);
    changes.events.extend(mutation.events);
    changes.rows.extend(mutation.rows);
}

/// The announcement of a refusal.
fn refusal(terms: &Terms, message: &Message, reasons: &[Rejection], available: Credits) -> Event {
    let asked = |reference: &Printable, credits| Refusal {
        asked: Asked { id: message.id.clone(), reference: reference.clone(), credits },
        available,
        reasons: reasons.to_vec(),
    };
    match &message.command {
        Command::RecordUsage(usage) => match Printable::new(usage.meter.as_str()) {
            Ok(meter) => Event::UsageRejected(asked(&meter, price(terms, usage, message.occurred_at))),
            Err(_) => other_refusal(message, reasons),
        },
        Command::Spend(spend) => Event::SpendRejected(asked(&spend.reference, Some(spend.credits))),
        Command::RequestRefund(refund) => Event::RefundRefused { asked: RefundAsked::of(&message.id, refund), reasons: reasons.to_vec() },
        Command::Grant(_)
        | Command::Adjust(_)
        | Command::VoidGrant(_)
        | Command::Quote(_)
        | Command::RecordPayment(_)
        | Command::NamePayment(_)
        | Command::RecordRefund(_)
        | Command::RecordDispute(_)
        | Command::RecordSubscription(_)
        | Command::RecordInvoice(_)
        | Command::NameSubscription(_)
        | Command::ReverseRequest(_)
        | Command::SubmitRequest(_)
        | Command::DecideRequest(_)
        | Command::CancelRequest(_)
        | Command::OpenAccount(_)
        | Command::ChangeAccount(_)
        | Command::FreezeAccount(_)
        | Command::UnfreezeAccount(_)
        | Command::CloseAccount(_)
        | Command::StartSubscription(_)
        | Command::ChangeSubscription(_)
        | Command::CancelSubscription { .. }
        | Command::ResumeSubscription { .. }
        | Command::ResetCycle(_) => other_refusal(message, reasons),
    }
}

fn other_refusal(message: &Message, reasons: &[Rejection]) -> Event {
    Event::MessageRejected { id: message.id.clone(), kind: message.command.word(), reasons: reasons.to_vec() }
}
