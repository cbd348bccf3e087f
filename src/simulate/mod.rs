//! A message file applied in memory: the same reading, rules and announcements as the worker's,
//! without a database or a broker.
//!
//! Owns the file's clock: a message is recorded at the later of its time and the clock so far, and
//! when the clock moves everything due happens. Never reads the wall clock.

mod claims;
mod keys;
mod tenants;
mod unclaimed;

use crate::domain::account::Account;
use crate::domain::book::Book;
use crate::domain::command::Message;
use crate::domain::credits::Credits;
use crate::domain::decision::{Claim, On, Outcome};
use crate::domain::entry::Entry;
use crate::domain::ids::{AccountKey, Hash, Id, MessageId};
use crate::domain::rejection::QuarantineReason;
use crate::domain::settings::Settings;
use crate::failure::Failure;
use crate::ledger::{self, Batch};
use crate::message::line::{Basis, LineError};
use crate::message::{Incoming, Line, NotRead, Raw, TenantMessage, Unreadable, event, read};
use crate::secrets::Secrets;
use crate::statement::AccountView;
use crate::store::memory::{Memory, MemoryStore};
use crate::store::{Content, Submission};
use claims::Claims;
use jiff::Timestamp;
pub use keys::FileKeys;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
pub use tenants::load_catalog;
use unclaimed::Unclaimed;

/// Where answers would be sent.
const ANSWERS: &str = "simulate";
/// The source of simulated announcements.
const ORIGIN: &str = "credit-ledger";

/// Why a simulation stops.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The line cannot be read.
    #[error("{0}")]
    Line(String),
    /// An invariant does not hold.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<LineError> for SimulateError {
    fn from(error: LineError) -> Self {
        Self::Line(error.to_string())
    }
}

/// The four numbers of an account (semantics §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Σ remaining of effective grants.
    pub balance: Credits,
    /// Reserved by holds.
    pub held: Credits,
    /// Kept back.
    pub frozen: Credits,
    /// Owed.
    pub debt: Credits,
}

/// What a line did, or shows.
#[derive(Debug)]
pub enum Step {
    /// A message, a tick or a catalog, with everything it set free.
    Done(Effects),
    /// An account.
    Shown(AccountKey, AccountView),
}

/// What a line did.
#[derive(Debug)]
pub struct Effects {
    /// What became of it.
    pub outcome: Outcome,
    /// Why, in words; for a repeat as it is recorded.
    pub reasons: Vec<String>,
    /// Entries in the order they were written, each with its account.
    pub entries: Vec<(AccountKey, Entry)>,
    /// Announcements in the order they were made.
    pub events: Vec<Box<RawValue>>,
    /// What the outcome leaves open.
    pub open: Option<Open>,
}

/// What an outcome leaves open.
#[derive(Debug)]
pub enum Open {
    /// What a message waits for, and until when; of which account, if it is known.
    Waits(Option<AccountKey>, On, Timestamp),
    /// Why a message cannot be read.
    Unreadable(String),
}

/// A ledger in memory with the time of its file.
#[derive(Debug, Default)]
pub struct Simulation {
    store: MemoryStore,
    folder: PathBuf,
    keys: FileKeys,
    clock: Option<Timestamp>,
    /// Entries and announcements of each account that were shown already.
    seen: HashMap<AccountKey, (usize, usize)>,
    /// When something is due, and for whom.
    due: BTreeSet<(Timestamp, AccountKey)>,
    due_of: HashMap<AccountKey, Timestamp>,
    claims: Claims,
    /// Messages that wait for another account's to be decided.
    undecided: Vec<Arc<Message>>,
    /// Messages about payments of nobody.
    unclaimed: Vec<Unclaimed>,
    /// Content of and reasons given to messages about tenants.
    answers: HashMap<(Id, MessageId), (Hash, Vec<String>)>,
    /// What each tenant has set, and from when.
    policies: HashMap<Id, Vec<(Option<Timestamp>, Settings)>>,
    /// The recorded reasons that the line's message, a repeat, is answered with.
    repeated: Vec<String>,
    entries: Vec<(AccountKey, Entry)>,
    events: Vec<Box<RawValue>>,
    open: Option<Open>,
}

/// What cannot be verified without asking PayPal is not believed here.
fn final_here(not_read: NotRead) -> Unreadable {
    match not_read {
        NotRead::Unreadable(unreadable) => *unreadable,
        NotRead::NoCertificate(_) => Unreadable {
            reason: QuarantineReason::BadSignature,
            detail: "a simulation fetches no certificate: only what the test authority signed is believed".to_owned(),
            tenant: None,
            id: None,
            kind: None,
        },
    }
}

/// What is known of a message that never reaches an account.
struct Aside<'a> {
    tenant: Option<&'a Id>,
    id: Option<&'a MessageId>,
    kind: Option<&'a str>,
}

impl Simulation {
    /// An empty ledger. Catalog files are looked for in `folder`; webhooks count when they are
    /// signed by the simulation itself or with one of `secrets`.
    #[must_use]
    pub fn new(folder: PathBuf, secrets: Secrets) -> Self {
        Self { folder, keys: FileKeys::new(secrets), ..Self::default() }
    }

    /// Takes one line.
    ///
    /// # Errors
    /// [`SimulateError`]; the simulation must not go on.
    pub async fn take(&mut self, line: &Line) -> Result<Step, SimulateError> {
        let outcome = match line {
            Line::Read { key, at, basis } => return Ok(Step::Shown(key.clone(), self.show(key, *at, *basis).await?)),
            Line::Tick(at) => {
                self.advance(*at).await?;
                Outcome::Applied
            }
            Line::Catalog { tenant, catalog } => {
                self.catalog(tenant, catalog).await?;
                Outcome::Applied
            }
            Line::Event { .. } => self.message(line, None).await?,
            Line::Webhook { received_at, .. } | Line::Exact { received_at, .. } => self.message(line, Some(*received_at)).await?,
        };
        self.retry_undecided().await?;
        self.retry_unclaimed().await?;
        let mut reasons = std::mem::take(&mut self.repeated);
        reasons.extend(outcome.reasons().into_iter().map(str::to_owned));
        let (entries, events) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.events));
        Ok(Step::Done(Effects { outcome, reasons, entries, events, open: self.open.take() }))
    }

    async fn message(&mut self, line: &Line, received_at: Option<Timestamp>) -> Result<Outcome, SimulateError> {
        let Some(mut raw) = line.raw(&self.keys)? else { return Ok(Outcome::Ignored) };
        // As `publish` does: answers stand among the announcements of an account and are counted with
        // them, so its events have the same numbers and ids.
        raw.reply_to = Some(ANSWERS.to_owned());
        match read(&raw, &self.keys).map_err(final_here) {
            Ok(Incoming::Account(message)) => {
                self.advance(received_at.map_or(message.occurred_at, |at| at.max(message.occurred_at))).await?;
                Ok(self.submit(Submission::new(Arc::new(*message), Arc::new(raw))).await?)
            }
            Ok(Incoming::Tenant(message)) => {
                self.advance(message.occurred_at).await?;
                let outcome = self.tenant(&message).await?;
                self.tell_refused(&outcome, &message);
                let named = Aside { tenant: Some(&message.tenant), id: Some(&message.id), kind: Some(message.command.word()) };
                self.tell_quarantined(&outcome, &raw, named);
                Ok(outcome)
            }
            Ok(Incoming::Unaddressed(message)) => {
                self.advance(received_at.map_or(message.occurred_at, |at| at.max(message.occurred_at))).await?;
                let named = Aside { tenant: Some(&message.tenant), id: Some(&message.id), kind: Some(message.command.word()) };
                let outcome = self.unaddressed(&message, &raw).await?;
                self.tell_quarantined(&outcome, &raw, named);
                Ok(outcome)
            }
            Ok(Incoming::Ignored { tenant, id, content }) => {
                if let Some(at) = received_at {
                    self.advance(at).await?;
                }
                let known = self.store.lock().await.tenants.contains_key(&tenant);
                let answer = self.identity(known, &tenant, &id, content);
                let outcome = answer.unwrap_or(Outcome::Ignored);
                self.tell_quarantined(&outcome, &raw, Aside { tenant: Some(&tenant), id: Some(&id), kind: Some(raw.route().0) });
                Ok(outcome)
            }
            Err(Unreadable { reason, detail, tenant, id, kind }) => {
                self.open = Some(Open::Unreadable(detail));
                let outcome = Outcome::Quarantined(reason);
                self.tell_quarantined(&outcome, &raw, Aside { tenant: tenant.as_ref(), id: id.as_ref(), kind: kind.as_deref() });
                Ok(outcome)
            }
        }
    }

    /// Announces what never reached an account.
    fn tell_quarantined(&mut self, outcome: &Outcome, raw: &Raw, Aside { tenant, id, kind }: Aside<'_>) {
        let Outcome::Quarantined(reason) = outcome else { return };
        let time = self.clock.unwrap_or(Timestamp::UNIX_EPOCH);
        let what = event::Quarantined { source: ORIGIN, tenant, digest: raw.digest(), time, reason: *reason, id, kind };
        self.events.extend(announcement(event::quarantined(&what).body));
    }

    /// Announces the refusal of a message about a tenant.
    fn tell_refused(&mut self, outcome: &Outcome, message: &TenantMessage) {
        let Outcome::Rejected(reasons) = outcome else { return };
        let time = self.clock.unwrap_or(Timestamp::UNIX_EPOCH);
        let (tenant, id, kind) = (&message.tenant, &message.id, message.command.word());
        let what = event::TenantRefused { source: ORIGIN, tenant, time, id, kind, reasons };
        self.events.extend(announcement(event::tenant_refused(&what).body));
    }

    /// Moves the clock; everything due by then happens, the longest overdue first.
    async fn advance(&mut self, to: Timestamp) -> Result<(), Failure> {
        if self.clock.is_some_and(|clock| to <= clock) {
            return Ok(());
        }
        self.clock = Some(to);
        self.store.lock().await.now = to;
        let due: Vec<AccountKey> = self.due.iter().take_while(|(at, _)| *at <= to).map(|(_, key)| key.clone()).collect();
        for key in due {
            let batch = Batch { submissions: Vec::new(), due: BTreeSet::from([key.clone()]) };
            ledger::apply(&self.store, ORIGIN, 0, &batch).await?;
            self.collect(&key).await;
        }
        Ok(())
    }

    /// Hands a message to the ledger, with whose its facts are.
    async fn submit(&mut self, mut submission: Submission) -> Result<Outcome, Failure> {
        let message = submission.message.clone();
        let raw = submission.raw.clone();
        submission.claim = self.claims.claim(&*self.store.lock().await, &message);
        if submission.claim == Claim::Undecided {
            self.undecided.push(message.clone());
        }
        let batch = Batch { submissions: vec![submission], due: BTreeSet::new() };
        let settled = ledger::apply(&self.store, ORIGIN, 0, &batch).await?;
        self.collect(&message.account).await;
        let settled = settled.into_iter().next();
        self.repeated = settled.as_ref().and_then(|settled| settled.of.clone()).map(|of| of.reasons).unwrap_or_default();
        let outcome = settled.map_or(Outcome::Ignored, |settled| settled.outcome);
        if outcome == Outcome::Waiting {
            self.open = self.waits(&message).await;
        }
        if outcome == Outcome::Quarantined(QuarantineReason::UnknownTenant) {
            let named = Aside { tenant: Some(&message.account.tenant), id: Some(&message.id), kind: Some(message.command.word()) };
            self.tell_quarantined(&outcome, &raw, named);
        }
        Ok(outcome)
    }

    async fn waits(&self, message: &Message) -> Option<Open> {
        let memory = self.store.lock().await;
        let waiting = &memory.accounts.get(&message.account)?.state.waiting;
        let found = waiting.iter().find(|waiting| waiting.message.id == message.id)?;
        Some(Open::Waits(Some(message.account.clone()), found.on.clone(), found.deadline))
    }

    /// Asks again about messages that wait for another account's, until none of them is set free.
    async fn retry_undecided(&mut self) -> Result<(), Failure> {
        let mut asked = std::mem::take(&mut self.undecided);
        loop {
            let before = asked.len();
            for message in std::mem::take(&mut asked) {
                if self.ask_again(&message).await? {
                    asked.push(message);
                }
            }
            if asked.len() == before {
                self.undecided = asked;
                return Ok(());
            }
        }
    }

    /// Decides a waiting message if its facts have an owner by now; true when it waits on.
    async fn ask_again(&mut self, message: &Arc<Message>) -> Result<bool, Failure> {
        {
            let mut memory = self.store.lock().await;
            let waits = |memory: &Memory| {
                let account = memory.accounts.get(&message.account)?;
                account.state.waiting.iter().position(|waiting| waiting.message.id == message.id && matches!(waiting.on, On::Claim(_)))
            };
            let Some(place) = waits(&memory) else { return Ok(false) };
            let claim = self.claims.claim(&memory, message);
            if claim == Claim::Undecided {
                return Ok(true);
            }
            let account = memory.accounts.get_mut(&message.account);
            if let Some(waiting) = account.and_then(|account| account.state.waiting.get_mut(place)) {
                waiting.on = On::Claim(claim);
            }
        }
        let batch = Batch { submissions: Vec::new(), due: BTreeSet::from([message.account.clone()]) };
        ledger::apply(&self.store, ORIGIN, 0, &batch).await?;
        self.collect(&message.account).await;
        Ok(false)
    }

    /// Takes up what an account has written since the last time, and when it is due next.
    async fn collect(&mut self, key: &AccountKey) {
        let memory = self.store.lock().await;
        let Some(account) = memory.accounts.get(key) else { return };
        let (entries, events) = self.seen.get(key).copied().unwrap_or_default();
        self.entries.extend(account.entries.iter().skip(entries).map(|(entry, _)| (key.clone(), entry.clone())));
        let fresh = account.outbox.iter().skip(events).filter(|row| !matches!(row.content, Content::Reply { .. }));
        self.events.extend(fresh.filter_map(|row| announcement(account.sent(row))));
        self.seen.insert(key.clone(), (account.entries.len(), account.outbox.len()));
        if let Some(before) = self.due_of.remove(key) {
            self.due.remove(&(before, key.clone()));
        }
        if let Some(next) = account.state.next_due() {
            self.due.insert((next, key.clone()));
            self.due_of.insert(key.clone(), next);
        }
    }

    /// What every account ends with.
    pub async fn numbers(&self) -> BTreeMap<AccountKey, Numbers> {
        let memory = self.store.lock().await;
        let numbers =
            |account: &Account| Numbers { balance: account.balance, held: account.held, frozen: account.frozen, debt: account.debt };
        memory.accounts.iter().map(|(key, known)| (key.clone(), numbers(&known.state.book.account))).collect()
    }

    async fn show(&self, key: &AccountKey, at: Option<Timestamp>, basis: Basis) -> Result<AccountView, SimulateError> {
        let memory = self.store.lock().await;
        let policies = self.policies.get(&key.tenant).into_iter().flatten();
        let in_force = |from: &Option<Timestamp>| at.is_none_or(|at| from.is_none_or(|from| from <= at));
        let settings = policies.rev().find(|(from, _)| in_force(from)).map(|(_, settings)| settings.clone()).unwrap_or_default();
        show(&memory, key, (at, basis), &settings)
    }
}

fn show(
    memory: &Memory,
    key: &AccountKey,
    (at, basis): (Option<Timestamp>, Basis),
    settings: &Settings,
) -> Result<AccountView, SimulateError> {
    let unopened = Book::unopened(key.clone());
    let account = memory.accounts.get(key);
    let book = account.map_or(&unopened, |account| &account.state.book);
    let (Some(at), Some(account)) = (at, account) else {
        return Ok(AccountView::of(&book.account, &book.grants, settings));
    };
    let counts = |entry: &&Entry| match basis {
        Basis::Known => entry.occurred_at <= at,
        Basis::Recorded => entry.recorded_at <= at,
    };
    let entries: Vec<Entry> = account.entries.iter().map(|(entry, _)| entry).filter(counts).cloned().collect();
    AccountView::at(&book.account, &book.grants, settings, &entries).map_err(|error| SimulateError::Line(error.to_string()))
}

fn announcement(body: Vec<u8>) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(body).ok()?).ok()
}

#[cfg(test)]
mod tests;
