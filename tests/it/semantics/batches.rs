//! However a stream of messages is cut into batches, the result is that of one at a time.

use crate::world::database::Database;
use crate::world::{TENANT, instant};
use credit_ledger::catalog;
use credit_ledger::domain::book::AccountState;
use credit_ledger::domain::catalog::Catalog;
use credit_ledger::domain::decision::Outcome;
use credit_ledger::domain::entry::Entry;
use credit_ledger::domain::ids::{AccountKey, Hash, Id, MessageId};
use credit_ledger::domain::settings::{Settings, StaffRole, Terms};
use credit_ledger::ledger::{self, Batch, Settled};
use credit_ledger::message::Raw;
use credit_ledger::store::memory::MemoryStore;
use credit_ledger::store::{Content, LoadedTenant, OutboxRow, Submission};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const CATALOG: &str = r#"
currency = "USD"
test_clock = true
[plans.basic]
allowance = "100"
rollover = { max = "30" }
[plans.team]
allowance = "300"
[addons.generative]
credits_per_unit = "60"
unit_price = "10.00"
[[rates]]
meter = "unit"
price = "1"
[[rates]]
meter = "open"
price = "1.5"
insufficient = "allow"
"#;

/// What one account is told: a type, its data, and one of few ids, so that some repeat.
fn told() -> impl Strategy<Value = (&'static str, Value)> {
    let amount = 1..150_u32;
    let name = prop::sample::select(vec!["a", "b"]);
    let plan = prop::sample::select(vec!["basic", "team"]);
    let act = json!({"reason": "r", "actor": "bob"});
    prop_oneof![
        4 => (amount.clone(), 1..60_i64).prop_map(|(credits, hours)| {
            let end = instant("2026-01-01T00:00:00Z") + SignedDuration::from_hours(hours * 24);
            ("credits.grant", json!({"credits": credits, "expires_at": end.to_string(), "reason": "r", "actor": "bob"}))
        }),
        2 => (name.clone(), amount.clone()).prop_map(|(grant, credits)| ("credits.grant", json!({"grant": grant, "credits": credits, "reason": "r", "actor": "bob"}))),
        6 => amount.clone().prop_map(|quantity| ("usage.recorded", json!({"meter": "unit", "quantity": quantity}))),
        3 => amount.clone().prop_map(|quantity| ("usage.recorded", json!({"meter": "open", "quantity": quantity}))),
        2 => (name.clone(), amount.clone()).prop_map(|(invoice, credits)| ("credits.spend", json!({"purpose": "invoice", "reference": invoice, "credits": credits}))),
        2 => (-100..100_i32).prop_map(|credits| ("credits.adjust", json!({"credits": credits, "reason": "r", "actor": "bob"}))),
        2 => (name.clone(), plan.clone()).prop_map(|(sub, plan)| ("subscription.started",
            json!({"subscription": sub, "plan": plan, "interval": "month", "anchor": "2026-01-10T00:00:00"}))),
        2 => (name.clone(), plan, 0..4_u32).prop_map(|(sub, plan, units)| ("subscription.changed",
            json!({"subscription": sub, "plan": plan, "addons": [{"addon": "generative", "units": units}]}))),
        1 => (name.clone(), any::<bool>()).prop_map(|(sub, at_cycle_end)| ("subscription.cancelled", json!({"subscription": sub, "at_cycle_end": at_cycle_end}))),
        1 => name.clone().prop_map(|request| ("credit_request.submitted",
            json!({"request": request, "credits": "50", "price": "5", "currency": "USD", "method": "crypto", "requested_by": "mia"}))),
        1 => name.clone().prop_map(|request| ("credit_request.reversed", json!({"request": request, "reversed_by": "bob", "reason": "r"}))),
        1 => (name, any::<bool>()).prop_map(|(request, yes)| ("credit_request.decided",
            json!({"request": request, "decision": if yes { "accepted" } else { "rejected" }, "decided_by": "bob"}))),
        1 => Just(("account.opened", json!({"kind": "user", "owner": "u"}))),
        1 => prop::sample::select(vec!["account.frozen", "account.unfrozen"]).prop_map(move |kind| (kind, act.clone())),
    ]
}

/// A message to one of three accounts; before it, some time may pass.
#[derive(Debug, Clone)]
struct Step {
    hours: i64,
    submission: Submission,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hours = prop_oneof![5 => Just(0_i64), 1 => 1..500_i64];
    let one = (hours, prop::sample::select(vec!["u", "v", "w"]), 0..60_u32, told());
    prop::collection::vec(one, 40).prop_map(|steps| {
        steps
            .into_iter()
            .map(|(hours, account, id, (kind, data))| Step { hours, submission: submission(account, id, kind, &data) })
            .collect()
    })
}

fn submission(account: &str, id: u32, kind: &str, data: &Value) -> Submission {
    let event = json!({"specversion": "1.0", "id": format!("m-{id}"), "source": "app", "type": kind, "tenant": TENANT, "subject": account,
        "time": "2026-01-01T00:00:00Z", "data": data});
    crate::world::submission(&event)
}

async fn store() -> MemoryStore {
    let file = catalog::parse("test", CATALOG).unwrap_or_else(|errors| panic!("{errors}"));
    let tenant = Id::new(TENANT).unwrap();
    let terms = Terms {
        tenant: tenant.clone(),
        revision: 1,
        settings: Settings::default(),
        staff: BTreeMap::from([(Id::new("bob").unwrap(), StaffRole::Admin)]),
        catalogs: BTreeMap::from([(1, Arc::new(Catalog { version: 1, ..file.catalog }))]),
        test_clock: true,
    };
    let store = MemoryStore::default();
    let tenant_row = LoadedTenant { terms: Arc::new(terms), clock: None };
    store.lock().await.tenants.insert(tenant, tenant_row);
    store
}

/// All that must not depend on the cut; announcements may be gathered differently.
#[derive(Debug, PartialEq)]
struct End {
    answers: Vec<Settled>,
    accounts: Vec<(AccountKey, AccountState, Vec<(Entry, Hash)>, BTreeMap<MessageId, Outcome>)>,
}

/// Runs the steps with a new batch wherever `cuts` says so, and wherever time passes.
async fn run(steps: &[Step], cuts: &[bool]) -> End {
    let store = store().await;
    let mut clock: Timestamp = instant("2026-01-01T00:00:00Z");
    let (mut answers, mut batch) = (Vec::new(), Batch::default());
    for (step, cut) in steps.iter().zip(cuts) {
        if *cut || step.hours > 0 {
            answers.extend(flush(&store, &mut batch, clock).await);
        }
        clock += SignedDuration::from_hours(step.hours);
        batch.submissions.push(step.submission.clone());
    }
    answers.extend(flush(&store, &mut batch, clock).await);
    let memory = store.lock().await;
    let account = |(key, account): (&AccountKey, &credit_ledger::store::memory::MemoryAccount)| {
        let mut state = account.state.clone();
        state.book.account.events = 0;
        crate::world::check_history(&state, &account.entries);
        (key.clone(), state, account.entries.clone(), account.outcomes.clone())
    };
    End { answers, accounts: memory.accounts.iter().map(account).collect() }
}

async fn flush(store: &MemoryStore, batch: &mut Batch, clock: Timestamp) -> Vec<Settled> {
    if let Some(tenant) = store.lock().await.tenants.get_mut(TENANT) {
        tenant.clock = Some(clock);
    }
    let full = std::mem::replace(batch, Batch { submissions: Vec::new(), due: BTreeSet::new() });
    ledger::apply(store, "test", 0, &full).await.unwrap()
}

#[test]
fn every_cut_into_batches_gives_what_one_at_a_time_gives() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let input = (steps(), prop::collection::vec(any::<bool>(), 40));
    runner
        .run(&input, |(steps, cuts)| {
            let alone = runtime.block_on(run(&steps, &[true; 40]));
            prop_assert_eq!(&runtime.block_on(run(&steps, &cuts)), &alone);
            prop_assert_eq!(&runtime.block_on(run(&steps, &[false; 40])), &alone);
            Ok(())
        })
        .unwrap();
}

/// Answers, and by account the entries with their hashes, which cover every number.
type Recorded = (Vec<Settled>, BTreeMap<AccountKey, Vec<(Entry, Hash)>>);

/// As [`run()`], in a database; what a batch has for one shard is a transaction.
async fn run_in_postgres(steps: &[Step], cuts: &[bool]) -> Recorded {
    let database = Database::create().await;
    database.catalog(&catalog::parse("test", CATALOG).unwrap(), CATALOG).await;
    sqlx::query("insert into staff values ($1, 'bob', 'admin')").bind(TENANT).execute(database.store.pool()).await.unwrap();
    sqlx::query("update tenants set revision = default").execute(database.store.pool()).await.unwrap();
    let mut clock: Timestamp = instant("2026-01-01T00:00:00Z");
    let mut answers = vec![None; steps.len()];
    let mut batch: BTreeMap<i16, Vec<usize>> = BTreeMap::new();
    for (index, (step, cut)) in steps.iter().zip(cuts).enumerate() {
        if *cut || step.hours > 0 {
            flush_in_postgres(&database, steps, std::mem::take(&mut batch), clock, &mut answers).await;
        }
        clock += SignedDuration::from_hours(step.hours);
        batch.entry(database.shard(&step.submission.message.account)).or_default().push(index);
    }
    flush_in_postgres(&database, steps, batch, clock, &mut answers).await;
    let mut histories = BTreeMap::new();
    for step in steps {
        let key = &step.submission.message.account;
        histories.insert(key.clone(), database.history(key).await);
    }
    database.drop().await;
    (answers.into_iter().map(Option::unwrap).collect(), histories)
}

async fn flush_in_postgres(
    database: &Database,
    steps: &[Step],
    batch: BTreeMap<i16, Vec<usize>>,
    clock: Timestamp,
    answers: &mut [Option<Settled>],
) {
    database.set_clock(clock).await;
    for (shard, indexes) in batch {
        let submissions = indexes.iter().map(|index| steps[*index].submission.clone()).collect();
        let settled = ledger::apply(&database.store, "test", shard, &Batch { submissions, due: BTreeSet::new() }).await.unwrap();
        for (index, settled) in indexes.into_iter().zip(settled) {
            answers[index] = Some(settled);
        }
    }
}

#[test]
fn every_cut_into_batches_gives_in_postgres_what_one_at_a_time_gives_in_memory() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 6, max_shrink_iters: 20, failure_persistence: None, ..Config::default() });
    let input = (steps(), prop::collection::vec(any::<bool>(), 40));
    runner
        .run(&input, |(steps, cuts)| {
            let End { answers, accounts } = runtime.block_on(run(&steps, &[true; 40]));
            let histories = accounts.into_iter().map(|(key, _, entries, _)| (key, entries)).collect();
            let alone: Recorded = (answers, histories);
            for cuts in [&cuts[..], &[true; 40], &[false; 40]] {
                prop_assert_eq!(&runtime.block_on(run_in_postgres(&steps, cuts)), &alone);
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_repeat_within_a_batch_is_answered_with_the_same_entries() {
    let store = store().await;
    let mut grant = submission("u", 1, "credits.grant", &json!({"credits": "10", "reason": "gift", "actor": "ann"}));
    grant.raw = Arc::new(Raw { reply_to: Some("answers".into()), ..(*grant.raw).clone() });
    let mut again = grant.clone();
    again.message = Arc::new((*grant.message).clone());
    ledger::apply(&store, "test", 0, &Batch { submissions: vec![grant, again], due: BTreeSet::new() }).await.unwrap();
    let memory = store.lock().await;
    let body = |row: &OutboxRow| match &row.content {
        Content::Reply { body, .. } => Some(serde_json::from_slice(body).unwrap()),
        Content::Change { .. } | Content::Event { .. } => None,
    };
    let replies: Vec<Value> = memory.accounts.values().flat_map(|account| &account.outbox).filter_map(body).collect();
    assert_eq!((&replies[0]["outcome"], &replies[1]["outcome"]), (&json!("applied"), &json!("duplicate")));
    assert_eq!((replies[0]["entries"].as_array().unwrap().len(), &replies[1]["entries"]), (1, &replies[0]["entries"]));
}
