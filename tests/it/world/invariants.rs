//! What must hold of every account after every scenario, whatever it was about.

use super::World;
use super::database::Wait;
use credit_ledger::domain::book::{AccountState, Waiting};
use credit_ledger::domain::credits::Credits;
use credit_ledger::domain::decision::On;
use credit_ledger::domain::entry::{Direction, Entry};
use credit_ledger::domain::grant::GrantStatus;
use credit_ledger::domain::ids::Hash;
use credit_ledger::domain::request::RequestStatus;
use credit_ledger::reconcile::differences;
use std::collections::BTreeMap;

/// Gap-free positions, running balances, an unbroken chain, and numbers that follow from them.
pub fn check_history(state: &AccountState, history: &[(Entry, Hash)]) {
    let account = &state.book.account;
    let (mut balance, mut held, mut frozen, mut debt) = (Credits::ZERO, Credits::ZERO, Credits::ZERO, Credits::ZERO);
    let (mut hash, mut recorded_at) = (Hash::default(), jiff::Timestamp::MIN);
    let mut remaining: BTreeMap<u32, Credits> = BTreeMap::new();
    for (index, (entry, stored)) in history.iter().enumerate() {
        assert_eq!(entry.seq, u64::try_from(index + 1).unwrap(), "positions have no gap");
        let change = match entry.kind.direction() {
            Direction::In => entry.amount,
            Direction::Out => entry.amount.negated(),
            Direction::Neutral => Credits::ZERO,
        };
        assert!(!entry.amount.is_negative() && (entry.kind.direction() != Direction::Neutral || entry.amount.is_zero()), "{entry:?}");
        assert_eq!(
            Credits::sum(entry.touched.iter().map(|touch| touch.change)).unwrap(),
            change,
            "grants move with the balance: {entry:?}"
        );
        for touch in &entry.touched {
            let left = remaining.entry(touch.grant).or_default();
            *left = left.plus(touch.change).unwrap();
        }
        balance = balance.plus(change).unwrap();
        held = held.plus(entry.held_change).unwrap();
        frozen = frozen.plus(entry.frozen_change).unwrap();
        debt = debt.plus(entry.debt_change).unwrap();
        assert_eq!(entry.balance_after, balance, "the running balance: {entry:?}");
        assert!(entry.recorded_at >= recorded_at, "recorded time never goes back: {entry:?}");
        recorded_at = entry.recorded_at;
        hash = entry.hash(hash);
        assert_eq!(*stored, hash, "the chain: {entry:?}");
    }
    let numbers = (account.balance, account.held, account.frozen, account.debt);
    assert_eq!((balance, held, frozen, debt), numbers, "the account's numbers are the sum of its history");
    assert_eq!((account.seq, account.hash), (u64::try_from(history.len()).unwrap(), hash));
    for grant in state.book.grants.values() {
        assert_eq!(remaining.get(&grant.terms.number).copied().unwrap_or_default(), grant.remaining, "{grant:?}");
    }
    state.book.check().unwrap();
}

/// What a batch would load of an account that is held whole.
fn open_part(mut state: AccountState) -> AccountState {
    let book = &mut state.book;
    let mut grants = std::mem::take(&mut book.grants).into_all();
    grants.retain(|_, grant| grant.is_open());
    book.grants = grants.into();
    book.debts.retain(|_, debt| debt.remaining.is_positive());
    book.requests.retain(|_, request| request.status == RequestStatus::Pending);
    book.subscriptions.retain(|_, one| !one.ended);
    book.payments.clear();
    book.payment_names.clear();
    book.refunds.clear();
    book.disputes.clear();
    book.charges.clear();
    book.high_waters.clear();
    book.months.clear();
    state.answered.clear();
    state.waiting.clear();
    state
}

fn waits(state: &AccountState) -> Vec<Wait> {
    let wait = |waiting: &Waiting| {
        let until = if let On::Time(at) = waiting.on { Some(at) } else { None };
        (waiting.message.id.id.to_string(), waiting.on.word().to_owned(), until, waiting.deadline)
    };
    state.waiting.iter().map(wait).collect()
}

impl World {
    /// Checks every account, that both stores hold the same of it, and that the audit finds nothing.
    pub(super) async fn check(&self) {
        let accounts: Vec<_> = self.memory.lock().await.accounts.keys().cloned().collect();
        for key in accounts {
            let account = key.account.as_str();
            let state = self.memory_state(account).await;
            let history = self.memory_history(account).await;
            check_history(&state, &history);
            let Some(database) = &self.database else { continue };
            assert_eq!(database.history(&key).await, history, "history of {key}");
            let status = |status| match status {
                GrantStatus::Pending => "pending",
                GrantStatus::Active => "active",
                GrantStatus::Ended => "ended",
            };
            let grants: Vec<_> =
                state.book.grants.values().map(|grant| (grant.terms.number, status(grant.status).to_owned(), grant.remaining)).collect();
            assert_eq!(database.grants(&key).await, grants, "grants of {key}");
            assert_eq!(database.outbox(&key).await, self.memory_outbox(account).await, "announcements about {key}");
            assert_eq!(database.waits(&key).await, waits(&state), "messages of {key} that wait");
            // What was bought ahead comes along with its subscription.
            assert_eq!(open_part(database.state(&key).await), open_part(state), "open rows of {key}");
        }
        if let Some(database) = &self.database {
            let (_, differences) = differences(&database.url, 20).await.unwrap();
            assert!(differences.is_empty(), "{differences:#?}");
        }
    }
}
