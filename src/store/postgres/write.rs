//! Writing a batch: one statement for what every batch writes, one more for each rarer table.
//!
//! Owns the statements and their order; commits. Never decides.

use super::written::{ChangedGrant, Place, WrittenAccount, WrittenEntry, WrittenGrant, WrittenOutboxRow, WrittenOutcome};
use super::{quarantine, query, waiting, write_rare};
use crate::domain::decision::{Outcome, Row};
use crate::domain::entry::Entry;
use crate::failure::Failure;
use crate::store::{AccountWrite, EntryRange, Transaction};
use sqlx::postgres::PgHasArrayType;
use sqlx::{Encode, PgConnection, PgTransaction, Postgres, Type};
use std::collections::HashMap;

/// Where the rows of a batch stand in their tables. Nobody else moves them while their account is
/// locked, so they are found again without an index.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// By row id.
    pub accounts: HashMap<i64, Place>,
    /// By account and number.
    pub grants: HashMap<(i64, u32), Place>,
}

/// A transaction that holds the locks of a batch's accounts.
#[derive(Debug)]
pub struct PostgresTransaction {
    pub(super) transaction: PgTransaction<'static>,
    pub(super) shard: i16,
    pub(super) places: Places,
}

impl Transaction for PostgresTransaction {
    async fn entries(&mut self, wanted: &[EntryRange]) -> Result<Vec<(i64, Entry)>, Failure> {
        query::entries_in(&mut self.transaction, self.shard, wanted).await
    }

    async fn commit(mut self, writes: Vec<AccountWrite>) -> Result<(), Failure> {
        let connection = &mut *self.transaction;
        let mut rows = Rows::default();
        for write in &writes {
            rows.add(write, &self.places);
        }
        rows.write(connection, self.shard).await?;
        write_rare::rows(connection, self.shard, &writes).await?;
        waiting::write(connection, self.shard, &writes).await?;
        let set_aside: Vec<_> = writes.iter().flat_map(|write| &write.quarantine).collect();
        quarantine::insert(connection, self.shard, &set_aside).await?;
        self.transaction.commit().await?;
        Ok(())
    }
}

/// Accounts, burned grants, entries, outcomes and outbox in one round trip. Parts without rows cost
/// nothing but their place in the plan.
const WRITE: &str = include_str!("write.sql");

/// New grants.
const INSERT_GRANTS: &str = include_str!("write_grants.sql");

/// What nearly every batch writes.
#[derive(Default)]
struct Rows<'a> {
    accounts: Vec<WrittenAccount<'a>>,
    burned: Vec<ChangedGrant<'a>>,
    entries: Vec<WrittenEntry<'a>>,
    outcomes: Vec<WrittenOutcome<'a>>,
    outbox: Vec<WrittenOutboxRow<'a>>,
    new_grants: Vec<WrittenGrant<'a>>,
}

impl<'a> Rows<'a> {
    fn add(&mut self, write: &'a AccountWrite, places: &Places) {
        let account_id = write.account_id;
        self.accounts.push(WrittenAccount::of(write, places.accounts.get(&account_id).copied()));
        for row in &write.rows {
            let Row::Grant(grant) = row else { continue };
            if grant.terms.number > write.grants_before {
                self.new_grants.push(WrittenGrant::of(account_id, grant));
            } else {
                let place = places.grants.get(&(account_id, grant.terms.number)).copied();
                self.burned.push(ChangedGrant::of(account_id, grant, place));
            }
        }
        let entries = write.entries.iter().zip(&write.hashes);
        self.entries.extend(entries.map(|(entry, hash)| WrittenEntry::of(account_id, entry, hash)));
        let recorded = |outcome: &Outcome| !matches!(outcome, Outcome::Waiting | Outcome::Quarantined(_));
        let answers = write.answers.iter().filter(|answer| answer.is_new && recorded(&answer.outcome));
        self.outcomes.extend(answers.map(|answer| WrittenOutcome::of(write, answer)));
        self.outbox.extend(write.outbox.iter().map(|row| WrittenOutboxRow::of(account_id, row)));
    }

    async fn write(self, connection: &mut PgConnection, shard: i16) -> Result<(), Failure> {
        let count = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
        let expected = (count(self.accounts.len()), count(self.burned.len()));
        let changed: (i64, i64) = sqlx::query_as(WRITE)
            .bind(shard)
            .bind(self.accounts)
            .bind(self.burned)
            .bind(self.entries)
            .bind(self.outcomes)
            .bind(self.outbox)
            .fetch_one(&mut *connection)
            .await?;
        if changed != expected {
            return Err(Failure::Again("a row was not where it had been locked".into()));
        }
        write_rows(connection, INSERT_GRANTS, shard, self.new_grants).await
    }
}

/// Executes a statement over a shard and rows; none when there are no rows.
pub(super) async fn write_rows<T>(connection: &mut PgConnection, sql: &'static str, shard: i16, rows: Vec<T>) -> Result<(), Failure>
where
    T: for<'q> Encode<'q, Postgres> + Type<Postgres> + PgHasArrayType,
{
    if !rows.is_empty() {
        sqlx::query(sql).bind(shard).bind(rows).execute(connection).await?;
    }
    Ok(())
}
