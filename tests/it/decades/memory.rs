//! The same messages in the same order in memory: every account ends with the same numbers, the same grants and the
//! same history, which the hash of its last entry says; every message is answered alike.
//!
//! Accounts have nothing to do with one another, so each has a simulation of its own: what one leaves behind is
//! forgotten before the next begins.

use super::Said;
use super::customers::{CATALOG, Customer, TENANT};
use super::delivery::Answer;
use crate::worker::Deployment;
use credit_ledger::domain::ids::Hash;
use credit_ledger::message::Line;
use credit_ledger::secrets::Secrets;
use credit_ledger::simulate::{Simulation, Step};
use jiff_sqlx::Timestamp as SqlTimestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A grant with something left: name, remainder, end.
type Lot = (String, Decimal, Option<String>);

/// Where an account ends.
#[derive(Debug, PartialEq, Eq)]
struct End {
    balance: Decimal,
    debt: Decimal,
    entries: i64,
    /// The hash of the last entry.
    chain: Vec<u8>,
    lots: Vec<Lot>,
}

/// What was sent, to be taken once more.
struct Journal<'a> {
    folder: &'a Path,
    lines: Vec<(&'a Said, Line)>,
    answers: &'a BTreeMap<String, Answer>,
}

fn parsed(line: &Value) -> Line {
    Line::parse(&line.to_string()).unwrap().unwrap()
}

fn decimal(amount: &Value) -> Decimal {
    amount.as_str().unwrap().parse().unwrap()
}

/// Compares every account with where its messages end in memory.
pub async fn compare(deployment: &Deployment, customers: &[Customer], sent: &[Said], answers: &BTreeMap<String, Answer>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("catalog.toml"), CATALOG).unwrap();
    let lines = sent.iter().map(|said| (said, parsed(&said.event))).collect();
    let journal = Journal { folder: folder.path(), lines, answers };
    let in_memory = tokio::task::block_in_place(|| journal.ends(customers));
    let mut stored = stored(deployment).await;
    assert_eq!(stored.len(), customers.len());
    for (customer, in_memory) in customers.iter().zip(in_memory) {
        let found = stored.remove(&customer.name);
        assert_eq!(found, Some(in_memory), "{} in the ledger and in memory", customer.name);
    }
}

impl Journal<'_> {
    /// Where every account ends, in their order; each core takes its share of them.
    fn ends(&self, customers: &[Customer]) -> Vec<End> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let numbered: Vec<(usize, &Customer)> = customers.iter().enumerate().collect();
        let share = numbered.len().div_ceil(cores).max(1);
        std::thread::scope(|scope| {
            let under_way: Vec<_> = numbered.chunks(share).map(|part| scope.spawn(move || self.ends_of(part))).collect();
            under_way.into_iter().flat_map(|one| one.join().unwrap()).collect()
        })
    }

    fn ends_of(&self, part: &[(usize, &Customer)]) -> Vec<End> {
        part.iter().map(|(who, customer)| self.end(*who, &customer.name)).collect()
    }

    fn end(&self, who: usize, name: &str) -> End {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut simulation = Simulation::new(self.folder.to_owned(), Secrets::default());
            simulation.take(&parsed(&json!({"tenant": TENANT, "catalog": "catalog.toml"}))).await.unwrap();
            let mut chain = Hash::default();
            for (said, line) in self.lines.iter().filter(|(said, _)| said.who.is_none_or(|one| one == who)) {
                let Step::Done(effects) = simulation.take(line).await.unwrap() else { panic!("{line:?}") };
                for (_, entry) in &effects.entries {
                    chain = entry.hash(chain);
                }
                let answer = Answer { outcome: effects.outcome.word().to_owned(), reasons: effects.reasons };
                assert_eq!(self.answers[&said.id], answer, "the worker's answer and memory's: {said:?}");
            }
            let reading = parsed(&json!({"read": {"tenant": TENANT, "account": name}}));
            let Step::Shown(_, view) = simulation.take(&reading).await.unwrap() else { panic!("{reading:?}") };
            let shown: Value = serde_json::from_str(&view.json(None)).unwrap();
            let account = &shown["account"];
            let lot = |lot: &Value| {
                let (grant, ends_at) = (lot["grant"].as_str().unwrap().to_owned(), lot["ends_at"].as_str().map(str::to_owned));
                (grant, decimal(&lot["remaining"]), ends_at)
            };
            let mut lots: Vec<Lot> = account["grants"].as_array().unwrap().iter().map(lot).collect();
            lots.sort();
            let (balance, debt) = (decimal(&account["balance"]), decimal(&account["debt"]));
            End { balance, debt, entries: account["seq"].as_i64().unwrap(), chain: chain.0.to_vec(), lots }
        })
    }
}

/// Where every account has ended in the ledger.
async fn stored(deployment: &Deployment) -> BTreeMap<String, End> {
    let accounts: Vec<(String, Decimal, Decimal, i64, Vec<u8>)> =
        sqlx::query_as("select account, balance, debt, last_seq, last_hash from accounts where tenant = $1 and account <> ''")
            .bind(TENANT)
            .fetch_all(&deployment.pool)
            .await
            .unwrap();
    let lots: Vec<(String, String, Decimal, Option<SqlTimestamp>)> = sqlx::query_as(
        "select account, grant_id, remaining, ends_at from grants join accounts using (shard, account_id) \
         where tenant = $1 and grants.status = 'active' and remaining > 0",
    )
    .bind(TENANT)
    .fetch_all(&deployment.pool)
    .await
    .unwrap();
    let end = |(account, balance, debt, entries, chain)| (account, End { balance, debt, entries, chain, lots: Vec::new() });
    let mut ends: BTreeMap<String, End> = accounts.into_iter().map(end).collect();
    for (account, grant, remaining, ends_at) in lots {
        let lot = (grant, remaining, ends_at.map(|at| at.to_jiff().to_string()));
        ends.get_mut(&account).unwrap().lots.push(lot);
    }
    for end in ends.values_mut() {
        end.lots.sort();
    }
    ends
}
