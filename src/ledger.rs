//! The ledger's one transaction: the only path that changes a balance.
//!
//! | phase  | what                                                  | round trips            |
//! |--------|-------------------------------------------------------|------------------------|
//! | lock   | the batch's account rows and tenants, one statement   | 2 (begin, lock)        |
//! | read   | what is not remembered; repeats; what is named        | 0 to 3, and 1 per rare table |
//! | fold   | per account in arrival order: time, identity, rules   | 0                      |
//! | write  | accounts, entries, outcomes, outbox; new grants       | 1 to 2, and 1 per rare table |
//! | commit |                                                       | 1                      |
//!
//! Bounds: the caller's batch size, and the accounts it names. Promises: per account the messages
//! take effect in the order of the batch; either the whole batch is written or nothing of it; a
//! message that was answered before gets that answer again. Nothing is written until every account
//! of the batch has passed its invariants.
//!
//! Owns the sequence and the announcements. Decides nothing and names no database.

use crate::domain::account::Account;
use crate::domain::apply::{self, Answer, Arrived, Changes};
use crate::domain::book::InvariantViolated;
use crate::domain::command::Message;
use crate::domain::decision::{Outcome, Recorded};
use crate::domain::entry::Entry;
use crate::domain::event::Event;
use crate::domain::ids::{AccountKey, MessageKey};
use crate::domain::rejection::QuarantineReason;
use crate::domain::row_images;
use crate::failure::Failure;
use crate::message::{Heading, Outgoing, Raw, Reply, event};
use crate::store::{
    AccountWrite, Content, EntryRange, Loaded, LoadedAccount, LoadedTenant, Needs, OpenRows, OutboxRow, QuarantineRow, Store, Submission,
    Transaction,
};
use jiff::Timestamp;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What became of one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The final or waiting outcome.
    pub outcome: Outcome,
    /// Positions of the entries it wrote, first and last.
    pub entries: Option<(u64, u64)>,
    /// The recorded outcome a duplicate repeats.
    pub of: Option<Recorded>,
}

/// What a batch asks for: messages, or only that time passes for accounts that are due.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Messages in arrival order; all of accounts in one shard.
    pub submissions: Vec<Submission>,
    /// Accounts whose due instants are written even without a message.
    pub due: BTreeSet<AccountKey>,
}

/// Applies a batch to one shard. `origin` names this deployment in announcements.
///
/// # Errors
/// [`Failure`]; nothing was written, or, for a connection lost while committing, the identities
/// decide at the next try.
pub async fn apply<S: Store>(store: &S, origin: &str, shard: i16, batch: &Batch) -> Result<Vec<Settled>, Failure> {
    let (accounts, mut needs) = needs(batch);
    batch.submissions.iter().for_each(|submission| needs.look_up(&submission.message));
    let (mut transaction, mut loaded) = store.open(shard, &accounts, &needs).await?;
    let repeated = repeated(&loaded, batch);
    if !repeated.is_empty() {
        for (account_id, entry) in transaction.entries(&repeated).await? {
            if let Some(account) = loaded.accounts.values_mut().find(|account| account.account_id == account_id) {
                account.told.insert(entry.seq, entry);
            }
        }
    }
    let (writes, settled) = folded(&mut loaded, origin, batch)?;
    transaction.commit(writes).await?;
    Ok(settled)
}

/// As [`apply()`] for messages that nobody has sent before: their identities are not looked up, and the
/// unique key of the outcomes refuses the batch if that is not so. `None` when nothing was written
/// because an outcome that would not be recorded could hide a repeat: it is [`apply()`]'s then.
///
/// # Errors
/// [`Failure`], as of [`apply()`]; it may be due to a repeat, whatever it is.
pub async fn apply_unseen<S: Store>(store: &S, origin: &str, shard: i16, batch: &Batch) -> Result<Option<Vec<Settled>>, Failure> {
    let (accounts, needs) = needs(batch);
    let (transaction, mut loaded) = store.open(shard, &accounts, &needs).await?;
    let (writes, settled) = folded(&mut loaded, origin, batch)?;
    let is_sure = |answer: &Answer| answer.is_recorded() || (!answer.is_new && answer.outcome == Outcome::Duplicate);
    if !writes.iter().flat_map(|write| &write.answers).all(is_sure) {
        return Ok(None);
    }
    transaction.commit(writes).await?;
    Ok(Some(settled))
}

/// The accounts of a batch, and what its messages need of them.
fn needs(batch: &Batch) -> (BTreeSet<AccountKey>, Needs) {
    let mut needs = Needs::default();
    let mut accounts = batch.due.clone();
    for submission in &batch.submissions {
        needs.add(&submission.message);
        accounts.insert(submission.message.account.clone());
    }
    (accounts, needs)
}

/// [`fold`], whose rules are total; should one panic all the same, the batch is searched for the message.
fn folded(loaded: &mut Loaded, origin: &str, batch: &Batch) -> Result<(Vec<AccountWrite>, Vec<Settled>), Failure> {
    let folded = catch_unwind(AssertUnwindSafe(|| fold(loaded, &origin.into(), batch)));
    folded.unwrap_or_else(|_| Err(Failure::Invariant("deciding a message of this batch panicked".into())))
}

/// The entries of recorded outcomes that this batch asks for again. Nearly always none.
fn repeated(loaded: &Loaded, batch: &Batch) -> Vec<EntryRange> {
    let asked = batch.submissions.iter().filter(|submission| submission.raw.reply_to.is_some());
    let ranges = asked.filter_map(|submission| {
        let account = loaded.accounts.get(&submission.message.account)?;
        let (first, last) = account.state.answered.get(&submission.message.id.key())?.recorded.as_ref()?.entries?;
        Some(EntryRange { account_id: account.account_id, first, last })
    });
    ranges.collect()
}

/// The pure middle of the transaction.
fn fold(loaded: &mut Loaded, origin: &Arc<str>, batch: &Batch) -> Result<(Vec<AccountWrite>, Vec<Settled>), Failure> {
    let mut settled: Vec<Option<Settled>> = vec![None; batch.submissions.len()];
    let mut by_account: BTreeMap<&AccountKey, Vec<usize>> = batch.due.iter().map(|key| (key, Vec::new())).collect();
    for (index, submission) in batch.submissions.iter().enumerate() {
        by_account.entry(&submission.message.account).or_default().push(index);
    }
    let mut writes = Vec::with_capacity(by_account.len());
    for (key, indexes) in by_account {
        let tenant = loaded.tenants.get(&key.tenant).cloned();
        let now = tenant.as_ref().map(|tenant| loaded.time_of(tenant));
        let (Some(account), Some(tenant), Some(now)) = (loaded.accounts.remove(key), tenant, now) else {
            set_aside_unknown(&indexes, &mut settled);
            continue;
        };
        let submissions: Vec<&Submission> = indexes.iter().filter_map(|index| batch.submissions.get(*index)).collect();
        let fold = Fold { origin, tenant: &tenant, now };
        let (write, answers) = fold.account(account, &submissions)?;
        writes.push(write);
        for (index, answer) in indexes.into_iter().zip(answers) {
            if let Some(place) = settled.get_mut(index) {
                *place = Some(answer);
            }
        }
    }
    let settled = settled.into_iter().map(|one| one.unwrap_or_else(unknown_tenant)).collect();
    Ok((writes, settled))
}

fn unknown_tenant() -> Settled {
    Settled { outcome: Outcome::Quarantined(QuarantineReason::UnknownTenant), entries: None, of: None }
}

fn set_aside_unknown(indexes: &[usize], settled: &mut [Option<Settled>]) {
    for index in indexes {
        if let Some(place) = settled.get_mut(*index) {
            *place = Some(unknown_tenant());
        }
    }
}

struct Fold<'a> {
    origin: &'a Arc<str>,
    tenant: &'a LoadedTenant,
    now: Timestamp,
}

impl Fold<'_> {
    fn account(&self, loaded: LoadedAccount, submissions: &[&Submission]) -> Result<(AccountWrite, Vec<Settled>), Failure> {
        let LoadedAccount { account_id, mut state, deliveries, unread, told } = loaded;
        let violated = |violated: InvariantViolated| Failure::Invariant(violated.to_string());
        let at = apply::recorded_time(&state, self.now);
        let grants_before = state.book.account.grants;
        let mut changes = Changes::default();
        let mut answers = Vec::with_capacity(submissions.len());
        if submissions.is_empty() {
            // What waits, is due and was not read comes before what is due after it.
            let until = unread.due_at.map_or(at, |first| first.min(at));
            apply::pass_time(&mut state, &self.tenant.terms, (until, at), &mut changes).map_err(violated)?;
        }
        for submission in submissions {
            let before = changes.answers.len();
            let arrived = Arrived { message: &submission.message, claim: submission.claim };
            apply::receive(&mut state, &self.tenant.terms, arrived, self.now, &mut changes).map_err(violated)?;
            let mine = changes.answers.iter().skip(before).find(|answer| answer.message.id == submission.message.id);
            answers.push(mine.map_or_else(unknown_tenant, |answer| Settled {
                outcome: answer.outcome.clone(),
                entries: answer.entries,
                of: answer.of.clone(),
            }));
        }
        state.book.check().map_err(violated)?;
        // A refusal is a decision too: what follows is not recorded before it.
        state.book.account.recorded_at = Some(at);
        let deliveries = Deliveries { here: submissions, waited: &deliveries };
        let outbox = self.outbox(&mut state.book.account, (&changes, &told), deliveries, at);
        let mut write = AccountWrite {
            account_id,
            grants_before,
            next_due_at: state.next_due().into_iter().chain(unread.due_at).min(),
            open: OpenRows::of(&state, unread),
            outbox,
            quarantine: quarantined(&changes, deliveries),
            account: state.book.account,
            grants: state.book.grants.into_all(),
            months: state.book.months,
            rows: row_images::last_images(changes.rows),
            answers: changes.answers,
            waiting: Vec::new(),
            released: changes.released,
            unread,
            entries: changes.entries,
            hashes: changes.hashes,
            at,
        };
        for waiting in changes.waiting {
            // One that was set free may have come to wait for something else: the last is what it waits for.
            let still = state.waiting.contains(&waiting);
            if let (true, Some(raw)) = (still, deliveries.of(&waiting.message)) {
                write.waiting.push((waiting, raw.clone()));
            }
        }
        Ok((write, answers))
    }

    /// Announcements in the order of the entries they follow, then replies.
    fn outbox(
        &self,
        account: &mut Account,
        (changes, told): (&Changes, &BTreeMap<u64, Entry>),
        deliveries: Deliveries<'_>,
        at: Timestamp,
    ) -> Vec<OutboxRow> {
        let key = account.key.clone();
        let mut out = Outbox { source: self.origin, key: &key, at, number: account.events, rows: Vec::new() };
        let mut events = changes.events.iter().peekable();
        for change in event::changes(account, &changes.entries) {
            while let Some((sequence, event)) = events.next_if(|(sequence, _)| *sequence < change.last) {
                out.announce(*sequence, event);
            }
            out.add(Content::Change { source: out.source.clone(), key: key.clone(), change });
        }
        for (sequence, event) in events {
            out.announce(*sequence, event);
        }
        for answer in &changes.answers {
            let message = &answer.message;
            let Some(raw) = deliveries.of(message) else { continue };
            if let Outcome::Quarantined(reason) = answer.outcome {
                let what = event::Quarantined {
                    source: self.origin,
                    tenant: Some(&key.tenant),
                    digest: raw.digest(),
                    time: at,
                    reason,
                    id: Some(&message.id),
                    kind: Some(message.command.word()),
                };
                out.set_aside(&what);
            }
            if let Some(reply_to) = &raw.reply_to {
                let body = Reply {
                    tenant: Some(&key.tenant),
                    account: Some(&key.account),
                    id: Some(&message.id),
                    outcome: &answer.outcome,
                    entries: &entries_of(answer, changes, told),
                    of: answer.of.as_ref(),
                }
                .body();
                let (queue, correlation_id) = (reply_to.clone(), raw.correlation_id.clone());
                out.add(Content::Reply { queue, correlation_id, body });
            }
        }
        account.events = out.number;
        out.rows
    }
}

/// The deliveries of this batch, and by identity those that waited.
#[derive(Clone, Copy)]
struct Deliveries<'a> {
    here: &'a [&'a Submission],
    waited: &'a HashMap<MessageKey, Arc<Raw>>,
}

impl<'a> Deliveries<'a> {
    /// The delivery a message came in. A repeat or a contradiction in one batch shares its identity with
    /// another: each has its own bytes, and is answered where it asked to be.
    fn of(self, message: &Arc<Message>) -> Option<&'a Arc<Raw>> {
        let here = self.here.iter().find(|one| Arc::ptr_eq(&one.message, message)).map(|one| &one.raw);
        here.or_else(|| self.waited.get(&message.id.key()))
    }
}

/// Rows to be published, numbered in the account.
struct Outbox<'a> {
    source: &'a Arc<str>,
    key: &'a AccountKey,
    at: Timestamp,
    number: u64,
    rows: Vec<OutboxRow>,
}

impl Outbox<'_> {
    fn announce(&mut self, sequence: u64, event: &Event) {
        let heading = Heading { source: self.source, key: self.key, number: self.number.saturating_add(1), sequence, time: self.at };
        let Outgoing { routing_key, body, .. } = event::render(&heading, event);
        self.add(Content::Event { in_order: true, routing_key, body });
    }

    fn set_aside(&mut self, what: &event::Quarantined<'_>) {
        let Outgoing { routing_key, body, .. } = event::quarantined(what);
        self.add(Content::Event { in_order: false, routing_key, body });
    }

    fn add(&mut self, content: Content) {
        self.number = self.number.saturating_add(1);
        self.rows.push(OutboxRow { number: self.number, content });
    }
}

/// The entries an answer names, of a duplicate those of the recorded outcome: of this batch, where they
/// follow one another without a gap, or told by the store.
fn entries_of<'a>(answer: &Answer, changes: &'a Changes, told: &BTreeMap<u64, Entry>) -> Cow<'a, [Entry]> {
    let Some((first, last)) = answer.entries.or(answer.of.as_ref().and_then(|of| of.entries)) else { return Cow::default() };
    let place = |seq: u64| usize::try_from(seq.checked_sub(changes.entries.first()?.seq)?).ok();
    let written = place(first).zip(place(last)).and_then(|(first, last)| changes.entries.get(first..=last));
    written.map_or_else(|| told.range(first..=last).map(|(_, entry)| entry.clone()).collect(), Cow::Borrowed)
}

fn quarantined(changes: &Changes, deliveries: Deliveries<'_>) -> Vec<QuarantineRow> {
    let set_aside = |answer: &Answer| match answer.outcome {
        Outcome::Quarantined(reason) => Some(reason),
        Outcome::Applied | Outcome::Duplicate | Outcome::Rejected(_) | Outcome::Ignored | Outcome::Waiting => None,
    };
    changes
        .answers
        .iter()
        .filter_map(|answer| set_aside(answer).map(|reason| (answer, reason)))
        .filter_map(|(answer, reason)| {
            let message = &answer.message;
            let raw = deliveries.of(message)?.clone();
            Some(QuarantineRow {
                reason,
                detail: detail(reason).to_owned(),
                tenant: Some(message.account.tenant.clone()),
                account: Some(message.account.account.clone()),
                message: Some(message.id.clone()),
                kind: Some(message.command.word().to_owned()),
                raw,
            })
        })
        .collect()
}

/// What a reason means, for people.
fn detail(reason: QuarantineReason) -> &'static str {
    match reason {
        QuarantineReason::IdempotencyConflict => {
            "contradicts what its id, payment, request, evidence, reference, grant or subscription already stands for; what was recorded first stands"
        }
        QuarantineReason::WaitTimeout => "what it waited for did not come in time; replay it once that exists",
        QuarantineReason::NotPermitted => "is authentic, but of the other mode (live or test) than the tenant takes",
        QuarantineReason::Malformed
        | QuarantineReason::UnknownType
        | QuarantineReason::UnsupportedVersion
        | QuarantineReason::BadSignature
        | QuarantineReason::TooLarge
        | QuarantineReason::UnknownTenant
        | QuarantineReason::InvariantViolated
        | QuarantineReason::RetriesExhausted => "was set aside",
    }
}
