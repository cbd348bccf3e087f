//! Writing a batch: one statement for what every batch writes, one more for each rarer table.
//!
//! Owns the statements and their order; commits. Never decides.

use super::cache::{Cache, CachedAccount, Version};
use super::outbox::Batch;
use super::write_payments::Bought;
use super::written::{ChangedGrant, Place, WrittenAccount, WrittenEntry, WrittenOutcome};
use super::{quarantine, query, waiting, write_rare};
use crate::domain::decision::Row;
use crate::domain::entry::Entry;
use crate::domain::ids::Printable;
use crate::failure::Failure;
use crate::store::{AccountWrite, EntryRange, Transaction};
use sqlx::postgres::{PgArguments, PgHasArrayType};
use sqlx::{Arguments as _, Encode, PgConnection, PgTransaction, Postgres, Type};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Where the rows of an account stand in their tables, and which are known. Nobody else changes them while the
/// account is locked, so they are found again without an index.
#[derive(Debug)]
pub(super) struct Places {
    pub account: Place,
    /// By number.
    pub grants: BTreeMap<u32, Place>,
    /// All of its months of purchases are known.
    pub months: bool,
    /// The names of payments that were read: all that its messages show and that have rows.
    pub names: BTreeSet<Printable>,
}

impl Places {
    /// Of an account of which nothing but its row was found.
    pub(super) fn of(account: Place) -> Self {
        Self { account, grants: BTreeMap::new(), months: false, names: BTreeSet::new() }
    }
}

/// A transaction that holds the locks of a batch's accounts.
#[derive(Debug)]
pub struct PostgresTransaction {
    pub(super) transaction: PgTransaction<'static>,
    pub(super) shard: i16,
    /// By row id.
    pub(super) places: HashMap<i64, Places>,
    pub(super) cache: Arc<Cache>,
}

impl Transaction for PostgresTransaction {
    async fn entries(&mut self, wanted: &[EntryRange]) -> Result<Vec<(i64, Entry)>, Failure> {
        let read = query::entries_in(&mut self.transaction, self.shard, wanted).await?;
        read.into_iter().map(|(account_id, entry)| Ok((account_id, entry?))).collect()
    }

    async fn commit(mut self, writes: Vec<AccountWrite>) -> Result<(), Failure> {
        let connection = &mut *self.transaction;
        let mut rows = Rows::new(rand::random());
        for write in &writes {
            rows.add(write, self.places.get(&write.account_id));
        }
        let stamp = rows.stamp;
        let moved = rows.write(connection, self.shard).await?;
        write_rare::rows(connection, self.shard, &writes).await?;
        waiting::write(connection, self.shard, &writes).await?;
        let set_aside: Vec<_> = writes.iter().flat_map(|write| &write.quarantine).collect();
        quarantine::insert(connection, self.shard, &set_aside).await?;
        self.transaction.commit().await?;
        moved.note(&mut self.places);
        let places = &mut self.places;
        self.cache
            .put(writes.into_iter().filter_map(|write| places.remove(&write.account_id).and_then(|places| cached(write, places, stamp))));
        Ok(())
    }
}

/// What the next batch needs of an account; none when it is not known where all of its grants stand.
fn cached(write: AccountWrite, places: Places, stamp: i64) -> Option<(i64, CachedAccount)> {
    let AccountWrite { account_id, account, open, mut grants, months, .. } = write;
    let Places { account: place, grants: mut places, months: all_months, names: _ } = places;
    if grants.values().any(|grant| !grant.is_open()) {
        grants.retain(|_, grant| grant.is_open());
        places.retain(|number, _| grants.contains_key(number));
    }
    let version = Version { place, stamp };
    let months = all_months.then_some(months);
    (places.len() == grants.len()).then_some((account_id, CachedAccount { version, account, open, grants, places, months }))
}

/// Accounts, burned grants, entries, outcomes and outbox in one round trip. Parts without rows cost
/// nothing but their place in the plan.
const WRITE: &str = include_str!("write.sql");

/// What nearly every batch writes.
struct Rows<'a> {
    stamp: i64,
    accounts: Vec<WrittenAccount<'a>>,
    burned: Vec<ChangedGrant<'a>>,
    entries: Vec<WrittenEntry<'a>>,
    outcomes: Vec<WrittenOutcome<'a>>,
    outbox: Batch<'a>,
    bought: Bought<'a>,
}

/// The rows that were changed, and where they stand now: columns of one answer, row by row.
#[derive(sqlx::FromRow)]
struct Moved {
    accounts: Vec<i64>,
    account_places: Vec<Place>,
    grants: Vec<i64>,
    numbers: Vec<i32>,
    grant_places: Vec<Place>,
    #[sqlx(skip)]
    new_grants: Vec<(i64, i32, Place)>,
}

impl Moved {
    fn note(self, places: &mut HashMap<i64, Places>) {
        for (account_id, place) in self.accounts.into_iter().zip(self.account_places) {
            if let Some(places) = places.get_mut(&account_id) {
                places.account = place;
            }
        }
        let changed = self.grants.into_iter().zip(self.numbers).zip(self.grant_places);
        for (account_id, number, place) in changed.map(|((account_id, number), place)| (account_id, number, place)).chain(self.new_grants) {
            if let (Some(places), Ok(number)) = (places.get_mut(&account_id), u32::try_from(number)) {
                places.grants.insert(number, place);
            }
        }
    }
}

impl<'a> Rows<'a> {
    /// `stamp` marks this writing of the accounts.
    fn new(stamp: i64) -> Self {
        let (accounts, burned, entries, outcomes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { stamp, accounts, burned, entries, outcomes, outbox: Batch::default(), bought: Bought::default() }
    }

    fn add(&mut self, write: &'a AccountWrite, places: Option<&Places>) {
        let account_id = write.account_id;
        self.accounts.push(WrittenAccount::of(write, places.map(|places| places.account), self.stamp));
        for row in &write.rows {
            match row {
                Row::Grant(grant) if grant.terms.number > write.grants_before => self.bought.add_grant(account_id, grant),
                Row::Grant(grant) => {
                    let place = places.and_then(|places| places.grants.get(&grant.terms.number)).copied();
                    self.burned.push(ChangedGrant::of(account_id, grant, place));
                }
                row => self.bought.add(account_id, row, &|name| places.is_some_and(|places| places.names.contains(name))),
            }
        }
        let entries = write.entries.iter().zip(&write.hashes);
        self.entries.extend(entries.map(|(entry, hash)| WrittenEntry::of(account_id, entry, hash)));
        let answers = write.answers.iter().filter(|answer| answer.is_recorded());
        self.outcomes.extend(answers.map(|answer| WrittenOutcome::of(write, answer)));
        for row in &write.outbox {
            self.outbox.add(account_id, row);
        }
    }

    async fn write(self, connection: &mut PgConnection, shard: i16) -> Result<Moved, Failure> {
        let expected = (self.accounts.len(), self.burned.len());
        let mut arguments = PgArguments::default();
        let Self { accounts, burned, entries, outcomes, outbox, bought, .. } = self;
        arguments
            .add(shard)
            .and_then(|()| arguments.add(accounts))
            .and_then(|()| arguments.add(burned))
            .and_then(|()| arguments.add(entries))
            .and_then(|()| arguments.add(outcomes))
            .and_then(|()| outbox.add_to(&mut arguments))
            .map_err(sqlx::Error::Encode)?;
        let mut moved: Moved = sqlx::query_as_with(WRITE, arguments).fetch_one(&mut *connection).await?;
        if (moved.accounts.len(), moved.grants.len()) != expected {
            return Err(Failure::Again("a row was not where it had been locked".into()));
        }
        moved.new_grants = bought.write(connection, shard).await?;
        Ok(moved)
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
