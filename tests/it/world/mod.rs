//! A tenant, its accounts and a clock of its own: what the semantics tests are told in.
//!
//! Messages go in as they come through the broker, as JSON or as signed webhooks. Every scenario
//! runs in memory, and in Postgres with memory beside it: whatever either answers or stores must be
//! equal. Invariants of every account are checked at the end.

pub mod database;
mod invariants;
pub mod paypal;
mod recorded;

use credit_ledger::catalog;
use credit_ledger::domain::book::{AccountState, Book};
use credit_ledger::domain::catalog::Catalog;
use credit_ledger::domain::command::Message;
use credit_ledger::domain::decision::Outcome;
use credit_ledger::domain::ids::{AccountKey, Id};
use credit_ledger::domain::rejection::Rejection;
use credit_ledger::domain::settings::{Settings, Terms};
use credit_ledger::domain::tenant_command::TenantCommand;
use credit_ledger::ledger::{self, Batch, Settled};
use credit_ledger::message::{self, Incoming, Line, NotRead, Queue, Raw, TenantMessage, Unreadable};
use credit_ledger::simulate::FileKeys;
use credit_ledger::store::facts::{FactKind, Wait, shown as shown_by};
use credit_ledger::store::memory::MemoryStore;
use credit_ledger::store::{LoadedTenant, Submission};
use database::Database;
use futures_util::FutureExt as _;
pub use invariants::check_history;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

/// Names this deployment in announcements.
const ORIGIN: &str = "test";
/// The tenant of every message that names none.
pub const TENANT: &str = "acme";
/// The account that pays in scenarios with webhooks.
const PAYER: &str = "u";
/// The tenant's Stripe signing secret.
const SECRET: &[u8] = b"whsec_0123456789abcdef";
/// When every scenario begins.
pub const BEGIN: &str = "2026-01-01T00:00:00Z";

/// One test per store for every scenario: `<rule>::in_memory` and `<rule>::in_postgres`.
macro_rules! scenarios {
    ($catalog:expr; $($(#[$doc:meta])* async fn $name:ident($world:ident) $body:block)+) => {$(
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn scenario($world: &mut $crate::world::World) $body

            #[tokio::test]
            async fn in_memory() {
                $crate::world::World::in_memory($catalog, async |world| scenario(world).await).await;
            }

            #[tokio::test]
            async fn in_postgres() {
                $crate::world::World::in_postgres($catalog, async |world| scenario(world).await).await;
            }
        }
    )+};
}
pub(crate) use scenarios;

pub struct World {
    memory: MemoryStore,
    pub database: Option<Database>,
    clock: Timestamp,
    sent: u32,
    /// Where answers to messages are sent, when they are asked for.
    reply_to: Option<String>,
}

/// A message about an account, as it comes from a producer.
pub fn submission(event: &Value) -> Submission {
    let routing_key = format!("{}.{}", event["type"].as_str().unwrap(), event["tenant"].as_str().unwrap());
    let raw = Raw {
        queue: Queue::of_routing_key(&routing_key).unwrap(),
        routing_key,
        content_type: Some("application/cloudevents+json".into()),
        headers: BTreeMap::new(),
        reply_to: None,
        correlation_id: None,
        body: event.to_string().into_bytes(),
    };
    let Ok(Incoming::Account(message)) = message::reread(&raw) else { panic!("{event}") };
    Submission::new(Arc::new(*message), Arc::new(raw))
}

/// An instant from its RFC 3339 text.
pub fn instant(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn key(account: &str) -> AccountKey {
    AccountKey { tenant: id(TENANT), account: id(account) }
}

/// The outcome's word, with the reasons where there are any: `rejected: account_frozen`.
fn shown(outcome: &Outcome) -> String {
    let reasons = outcome.reasons();
    if reasons.is_empty() { outcome.word().to_owned() } else { format!("{}: {}", outcome.word(), reasons.join(" ")) }
}

/// Every certificate is at hand here.
fn believed(not_read: NotRead) -> Unreadable {
    let NotRead::Unreadable(unreadable) = not_read else { panic!("{not_read}") };
    *unreadable
}

impl World {
    /// Runs a scenario in memory and checks the invariants.
    pub async fn in_memory(catalog: &str, scenario: impl AsyncFnOnce(&mut Self)) {
        let mut world = Self { memory: MemoryStore::default(), database: None, clock: instant(BEGIN), sent: 0, reply_to: None };
        world.catalog(catalog).await;
        scenario(&mut world).await;
        world.check().await;
    }

    /// Runs a scenario in a schema of its own, which is dropped at the end whatever happens.
    pub async fn in_postgres(catalog: &str, scenario: impl AsyncFnOnce(&mut Self)) {
        let database = Database::create().await;
        let mut world = Self { memory: MemoryStore::default(), database: Some(database), clock: instant(BEGIN), sent: 0, reply_to: None };
        let run = async {
            world.catalog(catalog).await;
            scenario(&mut world).await;
            world.check().await;
        };
        let result = AssertUnwindSafe(run).catch_unwind().await;
        if let Some(database) = world.database.take() {
            database.drop().await;
        }
        result.unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// Stores a catalog version, in force from the world's time on; the first one makes the tenant. One that
    /// names no currency is in US dollars.
    pub async fn catalog(&mut self, text: &str) {
        let currency = if text.trim_start().starts_with("currency = ") { "" } else { "currency = \"USD\"\n" };
        let text = format!("{currency}test_clock = true\n{text}");
        let file = catalog::parse("test", &text).unwrap_or_else(|errors| panic!("{errors}"));
        if let Some(database) = &self.database {
            database.catalog(&file, &text).await;
            database.set_clock(self.clock).await;
        }
        let mut memory = self.memory.lock().await;
        let tenant = memory.tenants.entry(id(TENANT)).or_insert_with(|| LoadedTenant {
            terms: Arc::new(Terms {
                tenant: id(TENANT),
                revision: 1,
                settings: Settings::default(),
                staff: BTreeMap::new(),
                catalogs: BTreeMap::new(),
                test_clock: true,
            }),
            clock: Some(self.clock),
        });
        let terms = Arc::make_mut(&mut tenant.terms);
        let version = terms.catalogs.keys().next_back().map_or(1, |newest| newest + 1);
        let effective_at = (version > 1).then_some(self.clock);
        terms.catalogs.insert(version, Arc::new(Catalog { version, effective_at, ..file.catalog }));
        terms.settings = file.policies.applied_to(&terms.settings);
    }

    /// Moves the clock; what is due is written only when something happens to the account.
    pub async fn at(&mut self, time: &str) {
        self.clock = instant(time);
        if let Some(database) = &self.database {
            database.set_clock(self.clock).await;
        }
        if let Some(tenant) = self.memory.lock().await.tenants.get_mut(&id(TENANT)) {
            tenant.clock = Some(self.clock);
        }
    }

    /// Moves the clock and writes everything due by then, as the scheduler does.
    pub async fn tick(&mut self, time: &str) {
        self.at(time).await;
        let due: BTreeSet<AccountKey> = {
            let memory = self.memory.lock().await;
            let is_due = |state: &AccountState| state.next_due().is_some_and(|due| due <= self.clock);
            memory.accounts.iter().filter(|(_, account)| is_due(&account.state)).map(|(key, _)| key.clone()).collect()
        };
        if let Some(database) = &self.database {
            assert_eq!(database.due(self.clock).await, due, "both stores know the same accounts to be due");
        }
        for key in due {
            self.apply(&key, &Batch { submissions: Vec::new(), due: BTreeSet::from([key.clone()]) }).await;
        }
        // Postgres reads what waits in portions.
        let Some(database) = &self.database else { return };
        let mut left = database.due(self.clock).await;
        while let Some(key) = left.pop_first() {
            let batch = Batch { submissions: Vec::new(), due: BTreeSet::from([key.clone()]) };
            ledger::apply(&database.store, ORIGIN, database.shard(&key), &batch).await.unwrap();
            left = database.due(self.clock).await;
        }
    }

    /// Sends a message; what it leaves out of the envelope has a default. An absent subject makes
    /// it a message about the tenant.
    pub async fn send(&mut self, event: Value) -> String {
        shown(&self.settle(event).await.outcome)
    }

    /// Sends a message about an account.
    pub async fn tell(&mut self, kind: &str, account: &str, data: Value) -> String {
        self.send(json!({"type": kind, "subject": account, "data": data})).await
    }

    /// Sends a message that must be applied.
    pub async fn done(&mut self, kind: &str, account: &str, data: Value) {
        let outcome = self.tell(kind, account, data.clone()).await;
        assert_eq!(outcome, "applied", "{kind} {account} {data}");
    }

    /// Sends a message about the tenant, which must be applied.
    pub async fn tenant(&mut self, kind: &str, data: Value) {
        let outcome = self.send(json!({"type": kind, "data": data.clone()})).await;
        assert_eq!(outcome, "applied", "{kind} {data}");
    }

    /// Sends a message and returns all that was answered.
    pub async fn settle(&mut self, event: Value) -> Settled {
        self.sent += 1;
        let mut whole = json!({
            "specversion": "1.0", "id": format!("m-{}", self.sent), "source": "app", "tenant": TENANT, "time": self.clock.to_string(),
        });
        let fields = whole.as_object_mut().unwrap();
        let given: Map<String, Value> = event.as_object().cloned().unwrap();
        fields.extend(given);
        let routing_key = format!("{}.{}", whole["type"].as_str().unwrap(), whole["tenant"].as_str().unwrap());
        let raw = Raw {
            queue: Queue::of_routing_key(&routing_key).unwrap_or(Queue::Commands),
            routing_key,
            content_type: Some("application/cloudevents+json".into()),
            headers: BTreeMap::new(),
            reply_to: self.reply_to.clone(),
            correlation_id: None,
            body: whole.to_string().into_bytes(),
        };
        let read = message::reread(&raw);
        self.deliver(raw, read).await
    }

    /// Sends a message about an account with `reply_to` and returns the answer.
    pub async fn ask(&mut self, event: Value) -> Value {
        let account = event["subject"].as_str().unwrap().to_owned();
        self.reply_to = Some("answers".into());
        self.settle(event).await;
        self.reply_to = None;
        self.events(&account).await.pop().unwrap()
    }

    /// Delivers a Stripe event, signed with the tenant's secret and received now.
    pub async fn stripe(&mut self, event: &Value) -> String {
        let body = event.to_string().into_bytes();
        let signature = message::sign(SECRET, self.clock.as_second(), &body).unwrap();
        self.webhook(body, signature).await
    }

    /// Delivers a Stripe event under a signature of the caller's.
    pub async fn webhook(&mut self, body: Vec<u8>, signature: String) -> String {
        let headers = [("Stripe-Signature", signature), ("x-tenant", TENANT.into()), ("x-received-at", self.clock.to_string())];
        let raw = Raw {
            queue: Queue::Payments,
            routing_key: format!("payment.stripe.{TENANT}"),
            content_type: Some("application/json".into()),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            reply_to: None,
            correlation_id: None,
            body,
        };
        let read = message::read(&raw, &|_: &Id| vec![SECRET.to_vec()]).map_err(believed);
        shown(&self.deliver(raw, read).await.outcome)
    }

    /// Delivers a PayPal event, signed by the test authority and received now.
    pub async fn paypal(&mut self, event: &Value) -> String {
        let line = json!({"webhook": "paypal", "tenant": TENANT, "event": event, "received_at": self.clock.to_string()});
        let (keys, line) = (FileKeys::default(), Line::parse(&line.to_string()).unwrap().unwrap());
        let raw = line.raw(&keys).unwrap().unwrap();
        let read = message::read(&raw, &keys).map_err(believed);
        shown(&self.deliver(raw, read).await.outcome)
    }

    async fn deliver(&mut self, raw: Raw, read: Result<Incoming, Unreadable>) -> Settled {
        let alone = |outcome| Settled { outcome, entries: None, of: None };
        match read {
            Ok(Incoming::Account(message)) => self.submit(*message, raw).await,
            Ok(Incoming::Tenant(message)) => alone(self.instruct(*message, &raw).await),
            // Whose it is, the directory says; here it can only be one account's.
            Ok(Incoming::Unaddressed(message)) => {
                let memory = self.memory.lock().await;
                let book = memory.accounts.get(&key(PAYER)).map(|known| &known.state.book);
                let knows = |book: &Book, (kind, name): (FactKind, String)| match kind {
                    FactKind::Payment => book.payment_names.contains_key(name.as_str()),
                    _ => book.subscriptions.values().any(|one| one.told.as_ref().is_some_and(|told| told.name.as_str() == name)),
                };
                let is_known = book.is_some_and(|book| shown_by(&message.command).into_iter().any(|fact| knows(book, fact)));
                let waits = Wait::of(&message.command, &memory.tenants[&id(TENANT)].terms.catalogs);
                drop(memory);
                if !is_known && waits == Wait::Answered {
                    return alone(Outcome::Ignored);
                }
                self.submit(message.addressed(id(PAYER)), raw).await
            }
            Ok(Incoming::Ignored { .. }) => alone(Outcome::Ignored),
            Err(unreadable) => alone(Outcome::Quarantined(unreadable.reason)),
        }
    }

    async fn submit(&mut self, message: Message, raw: Raw) -> Settled {
        let key = message.account.clone();
        let submission = Submission::new(Arc::new(message), Arc::new(raw));
        let mut settled = self.apply(&key, &Batch { submissions: vec![submission], due: BTreeSet::new() }).await;
        settled.remove(0)
    }

    async fn apply(&self, key: &AccountKey, batch: &Batch) -> Vec<Settled> {
        let settled = ledger::apply(&self.memory, ORIGIN, 0, batch).await.unwrap();
        if let Some(database) = &self.database {
            // As the consumer does before the ledger sees a message.
            let messages: Vec<&Message> = batch.submissions.iter().map(|one| &*one.message).collect();
            database.store.claim(&messages).await.unwrap();
            let stored = ledger::apply(&database.store, ORIGIN, database.shard(key), batch).await.unwrap();
            assert_eq!(stored, settled, "both stores answer alike");
        }
        settled
    }

    async fn instruct(&mut self, message: TenantMessage, raw: &Raw) -> Outcome {
        let stored = match &self.database {
            Some(database) => database.instruct(&message, raw).await,
            None => match message.command {
                TenantCommand::ResetCycles { as_of } if as_of < self.clock => Outcome::Rejected(vec![Rejection::ResetBackwards]),
                _ => Outcome::Applied,
            },
        };
        if stored != Outcome::Applied {
            return stored;
        }
        if let TenantCommand::ResetCycles { as_of } = message.command {
            self.tick(&as_of.to_string()).await;
        } else if let Some(tenant) = self.memory.lock().await.tenants.get_mut(&message.tenant) {
            let terms = Arc::make_mut(&mut tenant.terms);
            match message.command {
                TenantCommand::ChangeSettings(change) => terms.settings = change.applied_to(&terms.settings),
                TenantCommand::ChangeStaff { member, role } => drop(terms.staff.insert(member, role)),
                TenantCommand::RemoveStaff { member } => drop(terms.staff.remove(&member)),
                TenantCommand::ResetCycles { .. } => {}
            }
        }
        stored
    }
}

/// Short words for what most scenarios do.
impl World {
    pub async fn settings(&mut self, data: Value) {
        self.tenant("tenant.settings_changed", data).await;
    }

    pub async fn staff(&mut self, member: &str, role: &str) {
        self.tenant("member.changed", json!({"member": member, "role": role})).await;
    }

    /// Opens an account of one person.
    pub async fn open(&mut self, account: &str) {
        self.done("account.opened", account, json!({"kind": "user", "owner": account})).await;
    }

    /// Grants credits; `terms` are further keys of `credits.grant`.
    pub async fn grant(&mut self, account: &str, credits: &str, terms: Value) {
        let mut data = json!({"credits": credits, "reason": "gift", "actor": "ann"});
        data.as_object_mut().unwrap().extend(terms.as_object().cloned().unwrap());
        self.done("credits.grant", account, data).await;
    }

    /// Uses so many of a meter.
    pub async fn uses(&mut self, account: &str, meter: &str, quantity: &str) -> String {
        self.tell("usage.recorded", account, json!({"meter": meter, "quantity": quantity})).await
    }

    /// Starts subscription `sub` by the month, counted from the anchor.
    pub async fn subscribe(&mut self, account: &str, plan: &str, anchor: &str) {
        self.done("subscription.started", account, json!({"subscription": "sub", "plan": plan, "interval": "month", "anchor": anchor}))
            .await;
    }
}
