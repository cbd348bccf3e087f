//! A message file applied in memory: the same reading, rules and announcements as the worker's,
//! without a database or a broker.
//!
//! Owns the file's clock: a message is recorded at the later of its time and the clock so far, and
//! when the clock moves everything due happens. Never reads the wall clock.

mod claims;

use crate::catalog::{self, CatalogFile};
use crate::domain::book::Book;
use crate::domain::command::{Message, TenantCommand};
use crate::domain::decision::{Claim, On, Outcome};
use crate::domain::entry::Entry;
use crate::domain::ids::{AccountKey, Hash, Id, MessageId};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::settings::{Settings, Terms};
use crate::failure::Failure;
use crate::ledger::{self, Batch};
use crate::message::line::{Basis, CatalogText, LineError};
use crate::message::{Incoming, Line, Raw, TenantMessage, Unreadable, event, read};
use crate::secrets::Secrets;
use crate::statement::AccountView;
use crate::store::memory::{Memory, MemoryStore};
use crate::store::{LoadedTenant, Submission};
use claims::Claims;
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// What signs the webhooks of a simulated file, for every tenant.
pub const TEST_SECRET: &[u8] = b"whsec_simulation_signs_with_this";
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
    /// Entries in the order they were written, each with its account.
    pub entries: Vec<(AccountKey, Entry)>,
    /// Announcements in the order they were made.
    pub events: Vec<Box<RawValue>>,
}

/// A ledger in memory with the time of its file.
#[derive(Debug, Default)]
pub struct Simulation {
    store: MemoryStore,
    folder: PathBuf,
    secrets: Secrets,
    clock: Option<Timestamp>,
    /// Entries and announcements of each account that were shown already.
    seen: HashMap<AccountKey, (usize, usize)>,
    /// When something is due, and for whom.
    due: BTreeSet<(Timestamp, AccountKey)>,
    due_of: HashMap<AccountKey, Timestamp>,
    claims: Claims,
    /// Messages that wait for another account's to be decided.
    undecided: Vec<Arc<Message>>,
    /// Answers to messages about tenants.
    answers: HashMap<(Id, MessageId), Hash>,
    entries: Vec<(AccountKey, Entry)>,
    events: Vec<Box<RawValue>>,
}

impl Simulation {
    /// An empty ledger. Catalog files are looked for in `folder`; webhooks count when they are
    /// signed with [`TEST_SECRET`] or one of `secrets`.
    #[must_use]
    pub fn new(folder: PathBuf, secrets: Secrets) -> Self {
        Self { folder, secrets, ..Self::default() }
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
        Ok(Step::Done(Effects { outcome, entries: std::mem::take(&mut self.entries), events: std::mem::take(&mut self.events) }))
    }

    async fn message(&mut self, line: &Line, received_at: Option<Timestamp>) -> Result<Outcome, SimulateError> {
        let Some(raw) = line.raw(|_| Some(TEST_SECRET.to_vec()))? else { return Ok(Outcome::Ignored) };
        let secrets = &self.secrets;
        let known = |tenant: &Id| {
            let mut all = secrets.stripe(tenant);
            all.push(TEST_SECRET.to_vec());
            all
        };
        match read(&raw, &known) {
            Ok(Incoming::Account(message)) => {
                self.advance(received_at.map_or(message.occurred_at, |at| at.max(message.occurred_at))).await?;
                Ok(self.submit(Submission::new(Arc::new(*message), Arc::new(raw))).await?)
            }
            Ok(Incoming::Tenant(message)) => {
                self.advance(message.occurred_at).await?;
                let outcome = self.tenant(&message).await?;
                self.tell_refused(&outcome, &message);
                self.tell_quarantined(&outcome, &raw, Some(&message.tenant), Some(&message.id));
                Ok(outcome)
            }
            Ok(Incoming::Ignored { tenant, id, content }) => {
                if let Some(at) = received_at {
                    self.advance(at).await?;
                }
                let known = self.store.lock().await.tenants.contains_key(&tenant);
                let answer = self.identity(known, &tenant, &id, content);
                let outcome = answer.unwrap_or(Outcome::Ignored);
                self.tell_quarantined(&outcome, &raw, Some(&tenant), Some(&id));
                Ok(outcome)
            }
            Err(Unreadable { reason, tenant, id, .. }) => {
                let outcome = Outcome::Quarantined(reason);
                self.tell_quarantined(&outcome, &raw, tenant.as_ref(), id.as_ref());
                Ok(outcome)
            }
        }
    }

    /// Announces what never reached an account.
    fn tell_quarantined(&mut self, outcome: &Outcome, raw: &Raw, tenant: Option<&Id>, id: Option<&MessageId>) {
        let Outcome::Quarantined(reason) = outcome else { return };
        let time = self.clock.unwrap_or(Timestamp::UNIX_EPOCH);
        let what = event::Quarantined { source: ORIGIN, tenant, digest: raw.digest(), time, reason: *reason, id, kind: None };
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
        let outcome = settled.into_iter().next().map_or(Outcome::Ignored, |settled| settled.outcome);
        if outcome == Outcome::Quarantined(QuarantineReason::UnknownTenant) {
            self.tell_quarantined(&outcome, &raw, Some(&message.account.tenant), Some(&message.id));
        }
        Ok(outcome)
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
        let fresh = account.outbox.iter().skip(events).filter(|row| !row.is_reply);
        self.events.extend(fresh.filter_map(|row| announcement(row.body.clone())));
        self.seen.insert(key.clone(), (account.entries.len(), account.outbox.len()));
        if let Some(before) = self.due_of.remove(key) {
            self.due.remove(&(before, key.clone()));
        }
        if let Some(next) = account.state.next_due() {
            self.due.insert((next, key.clone()));
            self.due_of.insert(key.clone(), next);
        }
    }

    /// The answer to a message about a tenant that is known by its identity; else it is remembered.
    fn identity(&mut self, tenant_exists: bool, tenant: &Id, id: &MessageId, content: Hash) -> Option<Outcome> {
        if !tenant_exists {
            return Some(Outcome::Quarantined(QuarantineReason::UnknownTenant));
        }
        match self.answers.insert((tenant.clone(), id.clone()), content) {
            None => None,
            Some(known) if known == content => Some(Outcome::Duplicate),
            Some(known) => {
                self.answers.insert((tenant.clone(), id.clone()), known);
                Some(Outcome::Quarantined(QuarantineReason::IdempotencyConflict))
            }
        }
    }

    async fn tenant(&mut self, message: &TenantMessage) -> Result<Outcome, Failure> {
        let terms = self.store.lock().await.tenants.get(&message.tenant).map(|tenant| tenant.terms.clone());
        if let Some(answer) = self.identity(terms.is_some(), &message.tenant, &message.id, message.content) {
            return Ok(answer);
        }
        let Some(terms) = terms else { return Ok(Outcome::Quarantined(QuarantineReason::UnknownTenant)) };
        let mut changed = (*terms).clone();
        match &message.command {
            TenantCommand::ChangeSettings(change) => changed.settings = change.applied_to(&changed.settings),
            TenantCommand::ChangeStaff { member, role } => drop(changed.staff.insert(member.clone(), *role)),
            TenantCommand::RemoveStaff { member } => drop(changed.staff.remove(member)),
            TenantCommand::ResetCycles { as_of } => {
                if let Some(refused) = self.reset_refused(*as_of, terms.test_clock) {
                    return Ok(Outcome::Rejected(vec![refused]));
                }
                self.advance(*as_of).await?;
                return Ok(Outcome::Applied);
            }
        }
        self.store_terms(changed).await;
        Ok(Outcome::Applied)
    }

    fn reset_refused(&self, as_of: Timestamp, test_clock: bool) -> Option<Rejection> {
        let clock = self.clock?;
        match test_clock {
            true if as_of < clock => Some(Rejection::ResetBackwards),
            false if as_of > clock => Some(Rejection::ResetInFuture),
            true | false => None,
        }
    }

    async fn store_terms(&self, mut terms: Terms) {
        terms.revision = terms.revision.saturating_add(1);
        let tenant = LoadedTenant { terms: Arc::new(terms), clock: None };
        self.store.lock().await.tenants.insert(tenant.terms.tenant.clone(), tenant);
    }

    /// Loads a catalog version; the first one makes the tenant.
    async fn catalog(&mut self, tenant: &Id, text: &CatalogText) -> Result<(), SimulateError> {
        let CatalogFile { test_clock, catalog, policies } = load_catalog(&self.folder, text)?;
        let known = self.store.lock().await.tenants.get(tenant).map(|tenant| (*tenant.terms).clone());
        let mut terms = known.unwrap_or_else(|| Terms {
            tenant: tenant.clone(),
            revision: 0,
            settings: Settings::default(),
            staff: BTreeMap::new(),
            catalogs: BTreeMap::new(),
            test_clock,
        });
        if terms.test_clock != test_clock {
            return Err(SimulateError::Line(format!("tenant {tenant} was made with test_clock = {}; it keeps that", terms.test_clock)));
        }
        let mut catalog = catalog;
        let newest = terms.catalog().cloned();
        catalog.version = newest.as_ref().map_or(1, |newest| newest.version.saturating_add(1));
        // Usage that happened before the first version is priced by it.
        catalog.effective_at = newest.as_ref().and(self.clock);
        let same = newest.is_some_and(|newest| {
            let (version, effective_at) = (newest.version, newest.effective_at);
            *newest == crate::domain::catalog::Catalog { version, effective_at, ..catalog.clone() }
        });
        if !same {
            terms.catalogs.insert(catalog.version, Arc::new(catalog));
        }
        terms.settings = policies.applied_to(&terms.settings);
        self.store_terms(terms).await;
        Ok(())
    }

    async fn show(&self, key: &AccountKey, at: Option<Timestamp>, basis: Basis) -> Result<AccountView, SimulateError> {
        let memory = self.store.lock().await;
        show(&memory, key, at, basis)
    }
}

/// Reads the catalog of a line; a file is looked for in `folder`.
///
/// # Errors
/// [`SimulateError::Line`] with everything wrong with it.
pub fn load_catalog(folder: &std::path::Path, text: &CatalogText) -> Result<CatalogFile, SimulateError> {
    let wrong = |errors: catalog::CatalogErrors| SimulateError::Line(errors.to_string());
    match text {
        CatalogText::Inline(value) => catalog::parse_json(value).map_err(wrong),
        CatalogText::File(name) => {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| SimulateError::Line(format!("the catalog {} cannot be read: {error}", path.display())))?;
            catalog::parse(&path.display().to_string(), &text).map_err(wrong)
        }
    }
}

fn show(memory: &Memory, key: &AccountKey, at: Option<Timestamp>, basis: Basis) -> Result<AccountView, SimulateError> {
    let settings = memory.tenants.get(&key.tenant).map(|tenant| tenant.terms.settings.clone()).unwrap_or_default();
    let unopened = Book::unopened(key.clone());
    let account = memory.accounts.get(key);
    let book = account.map_or(&unopened, |account| &account.state.book);
    let (Some(at), Some(account)) = (at, account) else {
        return Ok(AccountView::of(&book.account, &book.grants, &settings));
    };
    let counts = |entry: &&Entry| match basis {
        Basis::Known => entry.occurred_at <= at,
        Basis::Recorded => entry.recorded_at <= at,
    };
    let entries: Vec<Entry> = account.entries.iter().map(|(entry, _)| entry).filter(counts).cloned().collect();
    AccountView::at(&book.account, &book.grants, &settings, &entries).map_err(|error| SimulateError::Line(error.to_string()))
}

fn announcement(body: Vec<u8>) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(body).ok()?).ok()
}

#[cfg(test)]
mod tests;
