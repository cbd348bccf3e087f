//! What a worker remembers of accounts is what is stored, whoever wrote it last.

use crate::world::database::Database;
use crate::world::{TENANT, id};
use credit_ledger::catalog;
use credit_ledger::domain::ids::AccountKey;
use credit_ledger::failure::Failure;
use credit_ledger::ledger::{self, Batch, Settled};
use credit_ledger::message::{Incoming, Queue, Raw, reread};
use credit_ledger::reconcile::differences;
use credit_ledger::store::Submission;
use credit_ledger::store::postgres::PostgresStore;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const CATALOG: &str = "currency = \"USD\"\ntest_clock = true\n[[rates]]\nmeter = \"unit\"\nprice = \"1\"\n";

async fn database() -> Database {
    let database = Database::create().await;
    database.catalog(&catalog::parse("test", CATALOG).unwrap(), CATALOG).await;
    database
}

fn anna() -> AccountKey {
    AccountKey { tenant: id(TENANT), account: id("anna") }
}

async fn tell(database: &Database, store: &PostgresStore, number: u32, kind: &str, data: Value) -> Result<Vec<Settled>, Failure> {
    let event = json!({"specversion": "1.0", "id": format!("m-{number}"), "source": "app", "type": kind, "tenant": TENANT,
        "subject": "anna", "time": "2026-01-01T00:00:00Z", "data": data});
    let routing_key = format!("{kind}.{TENANT}");
    let raw = Raw {
        queue: Queue::of_routing_key(&routing_key).unwrap(),
        routing_key,
        content_type: Some("application/cloudevents+json".into()),
        headers: BTreeMap::new(),
        reply_to: None,
        correlation_id: None,
        body: event.to_string().into_bytes(),
    };
    let Ok(Incoming::Account(message)) = reread(&raw) else { panic!("{event}") };
    let batch = Batch { submissions: vec![Submission::new(Arc::new(*message), Arc::new(raw))], due: BTreeSet::new() };
    ledger::apply(store, "test", database.shard(&anna()), &batch).await
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
    sqlx::query("alter table entries add constraint broken check (amount <> 4)").execute(database.store.pool()).await.unwrap();
    assert!(uses(&database, &database.store, 2, 4).await.is_err());
    sqlx::query("alter table entries drop constraint broken").execute(database.store.pool()).await.unwrap();
    assert_eq!(uses(&database, &database.store, 2, 10).await.unwrap(), "applied");
    assert_eq!(uses(&database, &database.store, 3, 1).await.unwrap(), "rejected");
    database.drop().await;
}
