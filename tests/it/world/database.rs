//! A ledger in Postgres of one test's own, read back row by row.
//!
//! It lives in a schema of the server's database: making and dropping a schema takes a tenth of the
//! time of a database, which forces a checkpoint.

use super::{ORIGIN, TENANT, id};
use credit_ledger::catalog::CatalogFile;
use credit_ledger::domain::book::AccountState;
use credit_ledger::domain::credits::Credits;
use credit_ledger::domain::decision::Outcome;
use credit_ledger::domain::entry::{Entry, EntryKind, Touch};
use credit_ledger::domain::ids::{AccountKey, Hash, MessageId, Printable, Prose};
use credit_ledger::message::{Change, Raw, TenantMessage, balance_changed};
use credit_ledger::store::postgres::schedule::DueOfTenant;
use credit_ledger::store::postgres::tenant::TenantAsk;
use credit_ledger::store::postgres::{PostgresStore, catalogs, migrate};
use credit_ledger::store::{Needs, Store as _, shard_of};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx as _};
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use std::collections::BTreeSet;

const SHARDS: i16 = 4;

/// A message that waits: id, what for, until when, deadline.
pub type Wait = (String, String, Option<Timestamp>, Timestamp);

pub struct Database {
    schema: String,
    server: String,
    /// Where its schema is found.
    pub url: String,
    pub store: PostgresStore,
}

impl Database {
    pub async fn create() -> Self {
        let server = std::env::var("DATABASE_URL")
            .unwrap_or_else(|_| panic!("DATABASE_URL is not set; run: eval \"$(./dev services && ./dev env)\""));
        let schema = format!("t_{}", uuid::Uuid::from_u128(rand::random()).simple());
        let mut admin = PgConnection::connect(&server).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("create schema {schema}"))).execute(&mut admin).await.unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{separator}options=-c%20search_path%3D{schema}");
        migrate::migrate(&url, SHARDS).await.unwrap();
        let store = PostgresStore::connect(&url, 4).await.unwrap();
        Self { schema, server, url, store }
    }

    pub async fn drop(self) {
        self.store.pool().close().await;
        let mut admin = PgConnection::connect(&self.server).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("drop schema {} cascade", self.schema))).execute(&mut admin).await.unwrap();
    }

    pub fn shard(&self, key: &AccountKey) -> i16 {
        shard_of(key.tenant.as_str(), key.account.as_str(), self.store.shards())
    }

    pub async fn catalog(&self, file: &CatalogFile, text: &str) {
        catalogs::apply(self.store.pool(), &id(TENANT), file, text).await.unwrap();
    }

    pub async fn set_clock(&self, clock: Timestamp) {
        sqlx::query("update tenants set clock = $1").bind(clock.to_sqlx()).execute(self.store.pool()).await.unwrap();
    }

    pub async fn due(&self, by: Timestamp) -> BTreeSet<AccountKey> {
        let mut due = BTreeSet::new();
        for shard in 0..SHARDS {
            due.extend(
                self.store.due_of_tenant(&DueOfTenant { shard, tenant: &id(TENANT), as_of: by }, &[], 1000).await.unwrap().into_keys(),
            );
        }
        due
    }

    pub async fn instruct(&self, message: &TenantMessage, raw: &Raw) -> Outcome {
        let ask = TenantAsk {
            origin: ORIGIN.into(),
            tenant: message.tenant.clone(),
            id: message.id.clone(),
            content: message.content,
            command: Some(message.command.clone()),
            occurred_at: Some(message.occurred_at),
        };
        let outcome = self.store.answer_tenant(&ask, raw).await.unwrap();
        if outcome != Outcome::Waiting {
            return outcome;
        }
        for job in self.store.take_resets(1).await.unwrap() {
            assert!(self.store.finish_reset(&job).await.unwrap());
        }
        Outcome::Applied
    }

    /// The account as a batch loads it that brings nothing: with its open rows, without what waits. What a
    /// store remembers of it, and what one reads that remembers nothing, is the same.
    pub async fn state(&self, key: &AccountKey) -> AccountState {
        let remembered = self.load(&self.store, key).await;
        let read = self.load(&PostgresStore::open(self.store.pool().clone()).await.unwrap(), key).await;
        assert_eq!(remembered, read, "what is remembered of {key}");
        read
    }

    async fn load(&self, store: &PostgresStore, key: &AccountKey) -> AccountState {
        let accounts = BTreeSet::from([key.clone()]);
        // What was bought by month is the one thing remembered that is only read where it is needed.
        let needs = Needs { months: accounts.clone(), ..Needs::default() };
        let (transaction, mut loaded) = store.open(self.shard(key), &accounts, &needs).await.unwrap();
        drop(transaction);
        loaded.accounts.remove(key).unwrap().state
    }

    /// Every message that waits, in the order they came: id, what it waits for, until when, deadline.
    pub async fn waits(&self, key: &AccountKey) -> Vec<Wait> {
        let query =
            "select id, waits_on, waits_until, deadline from waiting where shard = $1 and account_id = $2 order by arrived_at, message_key";
        let at = |time: SqlTimestamp| time.to_jiff();
        let rows = self.rows(key, query).await;
        let wait = |row: &PgRow| {
            // Until then a claim is not asked about again: the scheduler's affair.
            let on: String = row.get("waits_on");
            let until = row.get::<Option<SqlTimestamp>, _>("waits_until").filter(|_| on == "time").map(at);
            (row.get("id"), on, until, at(row.get("deadline")))
        };
        rows.iter().map(wait).collect()
    }

    async fn rows(&self, key: &AccountKey, query: &'static str) -> Vec<PgRow> {
        let (shard, account_id) = self.store.account_id(key).await.unwrap().unwrap_or_default();
        sqlx::query(query).bind(shard).bind(account_id).fetch_all(self.store.pool()).await.unwrap()
    }

    pub async fn history(&self, key: &AccountKey) -> Vec<(Entry, Hash)> {
        self.rows(key, "select * from entries where shard = $1 and account_id = $2 order by seq").await.iter().map(entry).collect()
    }

    pub async fn outbox(&self, key: &AccountKey) -> Vec<Vec<u8>> {
        let history: Vec<Entry> = self.history(key).await.into_iter().map(|(entry, _)| entry).collect();
        let rows = self.rows(key, "select * from outbox where shard = $1 and account_id = $2 order by number").await;
        let seq = |row: &PgRow, column: &str| u64::try_from(row.get::<i64, _>(column)).unwrap();
        let body = |row: &PgRow| {
            row.get::<Option<Vec<u8>>, _>("body").unwrap_or_else(|| {
                let change = Change {
                    first: seq(row, "from_seq"),
                    last: seq(row, "to_seq"),
                    held: credits(row, "held"),
                    frozen: credits(row, "frozen"),
                    debt: credits(row, "debt"),
                };
                let entries: Vec<Entry> =
                    history.iter().filter(|entry| (change.first..=change.last).contains(&entry.seq)).cloned().collect();
                balance_changed(row.get("source"), key, seq(row, "number"), &change, &entries).unwrap().body
            })
        };
        rows.iter().map(body).collect()
    }

    /// Every grant there ever was: number, status, remaining.
    pub async fn grants(&self, key: &AccountKey) -> Vec<(u32, String, Credits)> {
        let rows =
            self.rows(key, "select number, status, remaining from grants where shard = $1 and account_id = $2 order by number").await;
        rows.iter().map(|row| (u32::try_from(row.get::<i32, _>("number")).unwrap(), row.get("status"), credits(row, "remaining"))).collect()
    }

    pub async fn outcome(&self, key: &AccountKey, message: &str) -> String {
        let (shard, account_id) = self.store.account_id(key).await.unwrap().unwrap();
        let found: Option<(String, Option<Vec<String>>)> = sqlx::query_as(
            "select outcome, reasons from outcomes where shard = $1 and account_id = $2 and id = $3 \
             union all select 'waiting', null from waiting where shard = $1 and account_id = $2 and id = $3 \
             union all select 'quarantined', array[reason] from quarantine where shard = $1 and account = $4 and id = $3 limit 1",
        )
        .bind(shard)
        .bind(account_id)
        .bind(message)
        .bind(key.account.as_str())
        .fetch_optional(self.store.pool())
        .await
        .unwrap();
        match found {
            Some((word, Some(reasons))) => format!("{word}: {}", reasons.join(" ")),
            Some((word, None)) => word,
            None => "unknown".into(),
        }
    }
}

fn credits(row: &PgRow, column: &str) -> Credits {
    Credits::new(row.get::<Decimal, _>(column)).unwrap()
}

fn entry(row: &PgRow) -> (Entry, Hash) {
    let text = |column: &str| row.get::<Option<String>, _>(column).map(|text| Printable::new(&text).unwrap());
    let time = |column: &str| row.get::<SqlTimestamp, _>(column).to_jiff();
    let touched = row.get::<Vec<i32>, _>("touched_grants").into_iter().zip(row.get::<Vec<Decimal>, _>("touched_changes"));
    let entry = Entry {
        seq: u64::try_from(row.get::<i64, _>("seq")).unwrap(),
        kind: EntryKind::from_words(row.get("kind"), row.get("direction")).unwrap(),
        amount: credits(row, "amount"),
        balance_after: credits(row, "balance_after"),
        held_change: credits(row, "held_change"),
        frozen_change: credits(row, "frozen_change"),
        debt_change: credits(row, "debt_change"),
        reference: text("reference"),
        cause: MessageId { source: text("cause_source").unwrap(), id: text("cause_id").unwrap() },
        actor: text("actor"),
        memo: row.get::<Option<String>, _>("memo").map(|memo| Prose::new(&memo).unwrap()),
        occurred_at: time("occurred_at"),
        recorded_at: time("recorded_at"),
        touched: touched
            .map(|(grant, change)| Touch { grant: u32::try_from(grant).unwrap(), change: Credits::new(change).unwrap() })
            .collect(),
    };
    (entry, Hash(row.get::<Vec<u8>, _>("hash").try_into().unwrap()))
}
