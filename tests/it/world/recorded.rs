//! What is recorded about an account: numbers, grants, history, announcements, outcomes.
//!
//! Read from Postgres where the scenario runs there, else from memory; nothing is changed here.

use super::{TENANT, World, id, key, shown};
use credit_ledger::domain::account::Account;
use credit_ledger::domain::book::{AccountState, Book};
use credit_ledger::domain::burn_down;
use credit_ledger::domain::entry::{Direction, Entry};
use credit_ledger::domain::grant::{Grant, GrantStatus};
use credit_ledger::domain::ids::Hash;
use serde_json::Value;

impl World {
    async fn state(&self, account: &str) -> AccountState {
        match &self.database {
            Some(database) => database.state(&key(account)).await,
            None => self.memory_state(account).await,
        }
    }

    pub(super) async fn memory_state(&self, account: &str) -> AccountState {
        let memory = self.memory.lock().await;
        memory.accounts.get(&key(account)).map_or_else(|| AccountState::unopened(key(account)), |known| known.state.clone())
    }

    /// What was bought by month, in memory; the audit knows what Postgres has.
    pub async fn memory_months(&self, account: &str) -> Vec<String> {
        self.memory_state(account).await.book.months.values().map(|month| month.net.to_string()).collect()
    }

    async fn book(&self, account: &str) -> Book {
        self.state(account).await.book
    }

    /// The account itself.
    pub async fn account(&self, account: &str) -> Account {
        self.book(account).await.account
    }

    pub async fn balance(&self, account: &str) -> String {
        self.account(account).await.balance.to_string()
    }

    pub async fn available(&self, account: &str) -> String {
        self.account(account).await.available().unwrap().to_string()
    }

    pub async fn frozen(&self, account: &str) -> String {
        self.account(account).await.frozen.to_string()
    }

    pub async fn debt(&self, account: &str) -> String {
        self.account(account).await.debt.to_string()
    }

    /// Effective grants with something left, in burn order.
    pub async fn lots(&self, account: &str) -> Vec<Grant> {
        let book = self.book(account).await;
        let settings = {
            let memory = self.memory.lock().await;
            memory.tenants[&id(TENANT)].terms.settings.clone()
        };
        let mut grants: Vec<Grant> = book
            .grants
            .into_all()
            .into_values()
            .filter(|grant| grant.status == GrantStatus::Active && grant.remaining.is_positive())
            .collect();
        grants.sort_by(|left, right| burn_down::compare(&settings, left, right));
        grants
    }

    /// The same as `<source> <remaining>`.
    pub async fn grants(&self, account: &str) -> Vec<String> {
        self.lots(account).await.iter().map(|grant| format!("{} {}", grant.terms.source.word(), grant.remaining)).collect()
    }

    /// The same as `<grant> <remaining>`.
    pub async fn named_grants(&self, account: &str) -> Vec<String> {
        self.lots(account).await.iter().map(|grant| format!("{} {}", grant.terms.id, grant.remaining)).collect()
    }

    /// The history as `<kind> <amount>`; of neutral kinds the change of frozen or debt.
    pub async fn entries(&self, account: &str) -> Vec<String> {
        self.history(account).await.iter().map(|(entry, _)| line(entry)).collect()
    }

    /// The history from a position on.
    pub async fn entries_after(&self, account: &str, seq: u64) -> Vec<String> {
        self.history(account).await.iter().filter(|(entry, _)| entry.seq > seq).map(|(entry, _)| line(entry)).collect()
    }

    /// The history.
    pub async fn history(&self, account: &str) -> Vec<(Entry, Hash)> {
        match &self.database {
            Some(database) => database.history(&key(account)).await,
            None => self.memory_history(account).await,
        }
    }

    pub(super) async fn memory_history(&self, account: &str) -> Vec<(Entry, Hash)> {
        self.memory.lock().await.accounts.get(&key(account)).map(|known| known.entries.clone()).unwrap_or_default()
    }

    /// Everything announced about an account, in order.
    pub async fn events(&self, account: &str) -> Vec<Value> {
        let bodies = match &self.database {
            Some(database) => database.outbox(&key(account)).await,
            None => self.memory_outbox(account).await,
        };
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    pub(super) async fn memory_outbox(&self, account: &str) -> Vec<Vec<u8>> {
        let memory = self.memory.lock().await;
        memory.accounts.get(&key(account)).map(|known| known.outbox.iter().map(|row| known.sent(row)).collect()).unwrap_or_default()
    }

    /// The data of every announcement of a type.
    pub async fn announced(&self, account: &str, kind: &str) -> Vec<Value> {
        self.events(account).await.into_iter().filter(|event| event["type"] == kind).map(|event| event["data"].clone()).collect()
    }

    /// One key of the data of every announcement of a type, as text.
    pub async fn heard(&self, account: &str, kind: &str, name: &str) -> Vec<String> {
        let text = |data: &Value| data[name].as_str().map_or_else(|| data[name].to_string(), str::to_owned);
        self.announced(account, kind).await.iter().map(text).collect()
    }

    /// What has become of a message by now.
    pub async fn outcome(&self, account: &str, message: &str) -> String {
        match &self.database {
            Some(database) => database.outcome(&key(account), message).await,
            None => self.memory_outcome(account, message).await,
        }
    }

    async fn memory_outcome(&self, account: &str, message: &str) -> String {
        let memory = self.memory.lock().await;
        let known = &memory.accounts[&key(account)];
        if let Some((_, outcome)) = known.outcomes.iter().find(|(one, _)| one.id.as_str() == message) {
            return shown(outcome);
        }
        if known.state.waiting.iter().any(|waiting| waiting.message.id.id.as_str() == message) {
            return "waiting".into();
        }
        let aside = memory.quarantine.iter().find(|row| row.message.as_ref().is_some_and(|one| one.id.as_str() == message));
        aside.map_or_else(|| "unknown".into(), |row| format!("quarantined: {}", row.reason.word()))
    }
}

fn line(entry: &Entry) -> String {
    let amount = match entry.kind.direction() {
        Direction::In | Direction::Out => entry.amount,
        Direction::Neutral => {
            [entry.held_change, entry.frozen_change].into_iter().find(|change| !change.is_zero()).unwrap_or(entry.debt_change)
        }
    };
    format!("{} {amount}", entry.kind.word())
}
