//! What the database reads for a batch does not grow with what it is not about: other accounts, other payments.

use crate::world::database::Database;
use crate::world::{TENANT, id, submission};
use credit_ledger::catalog;
use credit_ledger::domain::ids::AccountKey;
use credit_ledger::ledger::{self, Batch};
use credit_ledger::store::Submission;
use credit_ledger::store::postgres::PostgresStore;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CATALOG: &str = "currency = \"USD\"\n";
/// Accounts of the shard with a payment each: so many that nobody seems to have several.
const CROWD: i64 = 4_000;
/// Payments of one of them.
const PAYMENTS: i64 = 400;

fn message(kind: &str, data: &Value) -> Submission {
    submission(&json!({"specversion": "1.0", "id": format!("m-{kind}"), "source": "app", "type": kind, "tenant": TENANT,
        "subject": "anna", "time": "2026-01-01T00:00:00Z", "data": data}))
}

fn refund_of(payment: &str, data: &Value) -> Submission {
    submission(
        &json!({"specversion": "1.0", "id": format!("refund-{payment}"), "source": "app", "type": "refund.requested", "tenant": TENANT,
        "subject": "anna", "time": "2026-01-01T00:00:00Z", "data": data}),
    )
}

/// Rows of a table that statements of the store's session have looked at.
async fn rows_read(store: &PostgresStore, table: &str) -> i64 {
    sqlx::query("select pg_stat_force_next_flush()").execute(store.pool()).await.unwrap();
    let sql = "select seq_tup_read::bigint + (select sum(idx_tup_read)::bigint from pg_stat_user_indexes i where i.relid = t.relid) \
               from pg_stat_user_tables t where relid = $1::regclass";
    sqlx::query_scalar(sql).bind(table).fetch_one(store.pool()).await.unwrap()
}

#[tokio::test]
async fn one_payment_among_hundreds_of_an_account_is_looked_up_by_itself() {
    let database = Database::create().await;
    database.catalog(&catalog::parse("test", CATALOG).unwrap(), CATALOG).await;
    let shard = database.shard(&AccountKey { tenant: id(TENANT), account: id("anna") });
    // One connection, whose counters are its own.
    let store = PostgresStore::connect(&database.url, 1).await.unwrap();
    let apply = async |submission: Submission| {
        let batch = Batch { submissions: vec![submission], due: BTreeSet::new() };
        ledger::apply(&store, "test", shard, &batch).await.unwrap().pop().unwrap().outcome.word().to_owned()
    };
    assert_eq!(apply(message("credits.grant", &json!({"credits": "5", "reason": "gift", "actor": "ann"}))).await, "applied");
    let fill = "with crowd as (insert into accounts (shard, tenant, account) select $1, $2, 'crowd-' || n from generate_series(1, $3) as n \
                  returning account_id), \
                named as (select account_id, 'crowd' || account_id as id from crowd union all \
                  select account_id, 'anna' || n from accounts, generate_series(1, $4) as n where shard = $1 and account = 'anna'), \
                paid as (insert into payments (shard, account_id, payment, provider_id, amount, currency, status, granted) \
                  select $1, account_id, 'stripe:' || id, id, 20, 'USD', 'unpaid', 0 from named) \
                insert into payment_aliases (shard, account_id, name, provider_id, payment) \
                select $1, account_id, 'stripe:cs_' || id, 'cs_' || id, 'stripe:' || id from named";
    sqlx::query(fill).bind(shard).bind(TENANT).bind(CROWD).bind(PAYMENTS).execute(store.pool()).await.unwrap();
    sqlx::query("analyze payments, payment_aliases").execute(store.pool()).await.unwrap();
    let names_read = async || rows_read(&store, "payments").await + rows_read(&store, "payment_aliases").await;
    // By a name, by the provider's id, and by one that may have been cut.
    let cut = format!("cs_{}", "x".repeat(61));
    for (asked, outcome) in [("stripe:cs_anna7", "rejected"), ("anna8", "rejected"), (cut.as_str(), "waiting")] {
        let before = names_read().await;
        let data = json!({"payment": asked, "requested_by": "ana", "reason": "bought twice"});
        assert_eq!(apply(refund_of(asked, &data)).await, outcome, "found and not paid, or unknown: {asked}");
        let read = names_read().await - before;
        assert!(read <= 10, "{read} names were read for {asked} among {PAYMENTS}");
    }
    store.close().await;
    database.drop().await;
}

#[tokio::test]
async fn what_is_not_due_is_not_looked_at() {
    let database = Database::create().await;
    database.catalog(&catalog::parse("test", CATALOG).unwrap(), CATALOG).await;
    sqlx::query("update tenants set test_clock = false").execute(database.store.pool()).await.unwrap();
    let store = PostgresStore::connect(&database.url, 1).await.unwrap();
    let fill = "insert into accounts (shard, tenant, account, next_due_at) \
                select 0, $1, 'crowd-' || n, now() + interval '1 day' * (n - 2) from generate_series(1, $2) as n";
    sqlx::query(fill).bind(TENANT).bind(CROWD).execute(store.pool()).await.unwrap();
    sqlx::query("vacuum analyze accounts").execute(store.pool()).await.unwrap();
    let before = rows_read(&store, "accounts").await;
    let due = store.due(0, 100).await.unwrap().expect("nobody else has the turn");
    assert_eq!(due.accounts.len(), 2, "yesterday's and today's");
    drop(due);
    let read = rows_read(&store, "accounts").await - before;
    assert!(read <= 10, "{read} accounts were read for 2 that are due, among {CROWD}");
    store.close().await;
    database.drop().await;
}
