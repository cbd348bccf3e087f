//! What a worker does not read changes nothing: accounts it remembers, repeats it does not look for.

use crate::world::database::Database;
use crate::world::{TENANT, id};
use credit_ledger::catalog;
use credit_ledger::domain::ids::AccountKey;
use credit_ledger::failure::Failure;
use credit_ledger::lanes::{Job, LaneLimits, LaneSetup, Lanes};
use credit_ledger::ledger::{self, Batch, Settled};
use credit_ledger::reconcile::differences;
use credit_ledger::store::Submission;
use credit_ledger::store::postgres::PostgresStore;
use credit_ledger::store::postgres::outbox::{Cursor, Outflow};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

const CATALOG: &str = "currency = \"USD\"\ntest_clock = true\n[[rates]]\nmeter = \"unit\"\nprice = \"1\"\n";

async fn database() -> Database {
    let database = Database::create().await;
    database.catalog(&catalog::parse("test", CATALOG).unwrap(), CATALOG).await;
    database
}

fn anna() -> AccountKey {
    AccountKey { tenant: id(TENANT), account: id("anna") }
}

fn submission(number: u32, kind: &str, data: &Value) -> Submission {
    let event = json!({"specversion": "1.0", "id": format!("m-{number}"), "source": "app", "type": kind, "tenant": TENANT,
        "subject": "anna", "time": "2026-01-01T00:00:00Z", "data": data});
    crate::world::submission(&event)
}

fn batch(submissions: Vec<Submission>) -> Batch {
    Batch { submissions, due: BTreeSet::new() }
}

async fn tell(database: &Database, store: &PostgresStore, number: u32, kind: &str, data: Value) -> Result<Vec<Settled>, Failure> {
    ledger::apply(store, "test", database.shard(&anna()), &batch(vec![submission(number, kind, &data)])).await
}

/// What becomes of messages that are taken for new; nothing when that is given up.
async fn unseen(database: &Database, submissions: Vec<Submission>) -> Result<Option<Vec<&'static str>>, Failure> {
    let settled = ledger::apply_unseen(&database.store, "test", database.shard(&anna()), &batch(submissions)).await?;
    Ok(settled.map(|settled| settled.iter().map(|one| one.outcome.word()).collect()))
}

fn used(number: u32, quantity: u32) -> Submission {
    submission(number, "usage.recorded", &json!({"meter": "unit", "quantity": quantity.to_string()}))
}

async fn grant(database: &Database, store: &PostgresStore, number: u32, credits: u32) {
    let data = json!({"credits": credits.to_string(), "reason": "gift", "actor": "ann"});
    assert_eq!(tell(database, store, number, "credits.grant", data).await.unwrap()[0].outcome.word(), "applied");
}

async fn uses(database: &Database, store: &PostgresStore, number: u32, quantity: u32) -> Result<&'static str, Failure> {
    let data = json!({"meter": "unit", "quantity": quantity.to_string()});
    tell(database, store, number, "usage.recorded", data).await.map(|settled| settled[0].outcome.word())
}

#[tokio::test]
async fn workers_in_turn_build_on_what_the_other_wrote() {
    let database = database().await;
    let other = PostgresStore::connect(&database.url, 2).await.unwrap();
    let stores = [&database.store, &other];
    grant(&database, &other, 0, 100).await;
    let mut number = 0;
    // Every order of three turns, so that each comes back to what it remembers and to what it cannot.
    for turns in 0..8_usize {
        for turn in 0..3 {
            number += 1;
            let store = stores[(turns >> turn) & 1];
            if number % 5 == 0 {
                grant(&database, store, number, 7).await;
            } else {
                assert_eq!(uses(&database, store, number, 3).await.unwrap(), "applied");
            }
        }
    }
    // 100 + 4 × 7 − 20 × 3 = 68: one more than there is, then exactly that.
    assert_eq!(uses(&database, &other, 100, 69).await.unwrap(), "rejected");
    assert_eq!(uses(&database, &database.store, 101, 68).await.unwrap(), "applied");
    let (_, found) = differences(&database.url, 20).await.unwrap();
    assert!(found.is_empty(), "{found:#?}");
    other.close().await;
    database.drop().await;
}

#[tokio::test]
async fn a_grant_changed_by_hand_is_noticed_and_not_overwritten() {
    let database = database().await;
    grant(&database, &database.store, 1, 10).await;
    assert_eq!(uses(&database, &database.store, 2, 1).await.unwrap(), "applied");
    sqlx::query("update grants set priority = 5").execute(database.store.pool()).await.unwrap();
    let first = uses(&database, &database.store, 3, 1).await;
    assert!(matches!(first, Err(Failure::Again(_))), "the account was not remembered: {first:?}");
    assert_eq!(uses(&database, &database.store, 3, 1).await.unwrap(), "applied");
    let (priority, remaining): (i64, String) =
        sqlx::query_as("select priority, trim_scale(remaining)::text from grants").fetch_one(database.store.pool()).await.unwrap();
    assert_eq!((priority, remaining.as_str()), (5, "8"));
    database.drop().await;
}

#[tokio::test]
async fn an_account_changed_by_hand_is_read_again() {
    let database = database().await;
    grant(&database, &database.store, 1, 10).await;
    sqlx::query("update accounts set status = 'closed' where account = 'anna'").execute(database.store.pool()).await.unwrap();
    assert_eq!(uses(&database, &database.store, 2, 1).await.unwrap(), "rejected");
    database.drop().await;
}

#[tokio::test]
async fn a_batch_that_failed_leaves_nothing_behind() {
    let database = database().await;
    grant(&database, &database.store, 1, 10).await;
    // Refused when everything is written and only the commit is left: no amount twice.
    let pool = database.store.pool();
    sqlx::query("alter table entries add constraint broken unique (amount) deferrable initially deferred").execute(pool).await.unwrap();
    assert!(uses(&database, &database.store, 2, 10).await.is_err());
    sqlx::query("alter table entries drop constraint broken").execute(pool).await.unwrap();
    assert_eq!(uses(&database, &database.store, 2, 10).await.unwrap(), "applied");
    assert_eq!(uses(&database, &database.store, 3, 1).await.unwrap(), "rejected");
    database.drop().await;
}

#[tokio::test]
async fn a_repeat_taken_for_new_is_refused_by_its_key_and_writes_nothing() {
    let database = database().await;
    grant(&database, &database.store, 1, 10).await;
    assert_eq!(unseen(&database, vec![used(2, 4)]).await.unwrap(), Some(vec!["applied"]));
    // The same again, with a new one beside it; and another amount under the same id.
    for submissions in [vec![used(3, 1), used(2, 4)], vec![used(2, 5)]] {
        let found = unseen(&database, submissions).await;
        assert!(matches!(found, Err(Failure::Again(_))), "{found:?}");
    }
    assert_eq!(uses(&database, &database.store, 2, 4).await.unwrap(), "duplicate");
    assert_eq!(uses(&database, &database.store, 2, 5).await.unwrap(), "quarantined");
    // 10 − 4 = 6: nothing else was used.
    assert_eq!(unseen(&database, vec![used(4, 6)]).await.unwrap(), Some(vec!["applied"]));
    database.drop().await;
}

#[tokio::test]
async fn a_repeat_within_a_batch_needs_no_looking_up() {
    let database = database().await;
    grant(&database, &database.store, 1, 10).await;
    assert_eq!(unseen(&database, vec![used(2, 4), used(2, 4), used(3, 6)]).await.unwrap(), Some(vec!["applied", "duplicate", "applied"]));
    database.drop().await;
}

#[tokio::test]
async fn what_would_not_be_recorded_is_looked_up_first() {
    let database = database().await;
    // Nobody opened the account: it would wait, also if it had been answered long ago.
    assert_eq!(unseen(&database, vec![used(1, 4)]).await.unwrap(), None);
    assert!(database.waits(&anna()).await.is_empty(), "it waits all the same");
    // It contradicts what is beside it.
    grant(&database, &database.store, 2, 10).await;
    assert_eq!(unseen(&database, vec![used(3, 1), used(3, 2)]).await.unwrap(), None);
    assert_eq!(uses(&database, &database.store, 4, 10).await.unwrap(), "applied");
    database.drop().await;
}

#[tokio::test]
async fn a_lane_that_no_longer_looks_answers_repeats_all_the_same() {
    let database = database().await;
    grant(&database, &database.store, 0, 100).await;
    let limits = LaneLimits { batch_max: 256, at_work_max: 4 };
    let setup = LaneSetup { origin: "test".into(), shards: database.store.shards(), limits, stop: CancellationToken::new() };
    let (lanes, tasks) = Lanes::start(Arc::new(database.store.clone()), setup, |_, _| {});
    let mut answers = Vec::new();
    // One after the other, so that each is a batch: long without a repeat, then repeats of every kind.
    let many = (1..=40).map(|number| used(number, 1));
    for submission in many.chain([used(7, 1), used(41, 1), used(8, 2), used(42, 1)]) {
        let (sender, answer) = oneshot::channel();
        lanes.submit(Job::Message(submission, Box::new(move |settled| drop(sender.send(settled)))));
        answers.push(answer.await.unwrap().outcome.word());
    }
    assert!(answers.iter().take(40).all(|word| *word == "applied"), "{answers:?}");
    assert_eq!(answers[40..], ["duplicate", "applied", "quarantined", "applied"]);
    drop(lanes);
    tasks.wait().await;
    // 100 − 42 = 58.
    assert_eq!(uses(&database, &database.store, 99, 59).await.unwrap(), "rejected");
    assert_eq!(uses(&database, &database.store, 100, 58).await.unwrap(), "applied");
    let (_, found) = differences(&database.url, 20).await.unwrap();
    assert!(found.is_empty(), "{found:#?}");
    database.drop().await;
}

#[tokio::test]
async fn an_announcement_that_cannot_be_read_has_no_content_until_it_can() {
    let database = database().await;
    grant(&database, &database.store, 1, 10).await;
    let shard = database.shard(&anna());
    let next = async || {
        let mut outbox = database.store.relay_session(Outflow::Events).await.unwrap();
        let found = outbox.unpublished(shard, Cursor::default(), 10, 10).await.unwrap();
        // After the account's opening.
        let row = found.rows.iter().find(|row| row.number == 2).unwrap();
        row.content.as_ref().map(|sent| serde_json::from_slice::<Value>(&sent.body).unwrap()["data"].clone())
    };
    // It is told with its entries.
    let pool = database.store.pool();
    assert_eq!(next().await.unwrap()["entries"][0]["amount"], "10");
    // Of a newer worker; of nobody.
    for (spoil, mend) in [
        ("update entries set kind = 'gift'", "update entries set kind = 'granted'"),
        ("update entries set seq = 9", "update entries set seq = 1"),
        (
            "update outbox_batches set from_seqs = array_replace(from_seqs, 1, -1)",
            "update outbox_batches set from_seqs = array_replace(from_seqs, -1, 1)",
        ),
    ] {
        for statement in ["alter table entries disable trigger all", spoil] {
            sqlx::query(statement).execute(pool).await.unwrap();
        }
        assert_eq!(next().await, None, "{spoil}");
        sqlx::query(mend).execute(pool).await.unwrap();
        assert!(next().await.is_some(), "{mend}");
    }
    database.drop().await;
}
