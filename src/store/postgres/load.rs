//! Locking a batch's accounts and reading what it needs.
//!
//! Owns the order: lock in a statement of its own, sorted, so that two batches never wait for each
//! other in a circle; read in later statements, which see what the former holders committed.

use super::cache::{CachedAccount, Version};
use super::load_rare::OpenTables;
use super::rows::{AccountRow, GrantRow, hash, number, of_each, select_accounts, select_grants};
use super::write::{Places, PostgresTransaction};
use super::written::{Place, small};
use super::{PostgresStore, terms, waiting};
use crate::domain::book::{AccountState, Answered, Book};
use crate::domain::decision::Recorded;
use crate::domain::ids::{AccountKey, Id, MessageKey, Printable};
use crate::failure::Failure;
use crate::store::{Loaded, LoadedAccount, LoadedTenant, Named, Needs, OpenRows, Store, Unread};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx as _};
use sqlx::types::Uuid;
use sqlx::{PgConnection, PgTransaction};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Its tenants come along: what they are may be a moment older than the lock, which is as if the
/// message had come that moment earlier; an account's time never goes back for it. Locks are taken one by one
/// in the order of names, so that two workers never wait for each other, and each by its key: joined, a plan
/// made while the table was small reads all accounts of the shard for every one that is asked for.
const LOCK: &str = "select position, account_id, place, stamp, revision, clock, clock_timestamp() as now from (\
       select position, tenant, account, revision, clock from unnest($2::text[], $3::text[]) with ordinality as asked (tenant, account, position) \
       join (select tenant, revision, clock from tenants where tenant = any ($2) offset 0) as known using (tenant) order by tenant collate \"C\", account collate \"C\") as wanted \
     cross join lateral (select account_id, ctid as place, stamp from accounts \
       where shard = $1 and accounts.tenant = wanted.tenant and accounts.account = wanted.account for update) as locked";

const ACCOUNTS: &str =
    of_each!("unnest($2::bigint[]) as asked (account_id)", select_accounts!("where shard = $1 and accounts.account_id = asked.account_id"));

const ADD_MISSING: &str = "insert into accounts (shard, tenant, account) \
     select $1, wanted.tenant, wanted.account from unnest($2::text[], $3::text[]) as wanted (tenant, account) \
     join tenants on tenants.tenant = wanted.tenant \
     where not exists (select from accounts known where known.shard = $1 and known.tenant = wanted.tenant and known.account = wanted.account offset 0) \
     order by wanted.tenant, wanted.account on conflict do nothing";

const GRANTS: &str = of_each!(
    "unnest($2::bigint[]) as asked (account_id)",
    select_grants!("ctid as place, ", "where shard = $1 and grants.account_id = asked.account_id and is_open")
);

const GRANTS_NAMED: &str = of_each!(
    "unnest($2::bigint[], $3::text[]) as asked (account_id, name)",
    select_grants!(
        "ctid as place, ",
        "where shard = $1 and grants.account_id = asked.account_id and grant_id = asked.name and not is_open"
    )
);

const GRANTS_BOUGHT: &str = of_each!(
    "unnest($2::bigint[], $3::text[]) as asked (account_id, name)",
    select_grants!("ctid as place, ", "where shard = $1 and grants.account_id = asked.account_id and payment = asked.name and not is_open")
);

const GRANTS_NUMBERED: &str = of_each!(
    "unnest($2::bigint[], $3::integer[]) as asked (account_id, nth)",
    select_grants!("ctid as place, ", "where shard = $1 and grants.account_id = asked.account_id and number = asked.nth")
);

/// An account that is locked, and its tenant.
#[derive(sqlx::FromRow)]
struct LockedRow {
    /// Which of the accounts asked for it is, from 1.
    position: i64,
    account_id: i64,
    place: Place,
    stamp: i64,
    revision: i64,
    clock: Option<SqlTimestamp>,
    now: SqlTimestamp,
}

impl LockedRow {
    fn version(&self) -> Version {
        Version { place: self.place, stamp: self.stamp }
    }

    fn key<'a>(&self, asked: &[&'a AccountKey]) -> Result<&'a AccountKey, Failure> {
        let found = usize::try_from(self.position).ok().and_then(|position| asked.get(position.checked_sub(1)?));
        found.copied().ok_or_else(|| super::rows::unreadable("account row", &self.account_id.to_string()))
    }
}

/// A grant of a locked account.
#[derive(sqlx::FromRow)]
pub(super) struct HeldGrantRow {
    place: Place,
    #[sqlx(flatten)]
    grant: GrantRow,
}

impl Store for PostgresStore {
    type Transaction = PostgresTransaction;

    async fn open(&self, shard: i16, accounts: &BTreeSet<AccountKey>, needs: &Needs) -> Result<(PostgresTransaction, Loaded), Failure> {
        let asked: Vec<&AccountKey> = accounts.iter().collect();
        let (mut transaction, locked) = self.lock(shard, &asked).await?;
        let (now, tenants) = self.tenants(&mut transaction, (&locked, &asked), needs).await?;
        let mut batch = Batch::new(shard, &locked);
        for (account_id, cached) in self.cache.take(locked.iter().map(|row| (row.account_id, row.version()))) {
            batch.found(account_id, cached);
        }
        batch.read(&mut transaction, (&locked, &asked)).await?;
        let mut needs = Cow::Borrowed(needs);
        let clock = |account: &AccountKey| tenants.get(&account.tenant).map_or(now, |tenant| tenant.time(now));
        waiting::read(&mut transaction, &mut batch, &mut needs, &clock).await?;
        batch.grants_named(&mut transaction, &needs).await?;
        batch.grants_ended(&mut transaction, &mut needs, &|account| Some((clock(account), &*tenants.get(&account.tenant)?.terms))).await?;
        batch.answered(&mut transaction, &needs).await?;
        batch.rare(&mut transaction, &needs, &clock).await?;
        let (cache, places) = (self.cache.clone(), batch.places);
        let accounts = batch.accounts.into_values().map(|loaded| (loaded.state.book.account.key.clone(), loaded)).collect();
        Ok((PostgresTransaction { transaction, shard, places, cache }, Loaded { now, tenants, accounts }))
    }
}

impl PostgresStore {
    /// Begins a transaction and locks the accounts, making those that are missing.
    async fn lock(&self, shard: i16, accounts: &[&AccountKey]) -> Result<(PgTransaction<'static>, Vec<LockedRow>), Failure> {
        let tenants: Vec<&str> = accounts.iter().map(|key| key.tenant.as_str()).collect();
        let names: Vec<&str> = accounts.iter().map(|key| key.account.as_str()).collect();
        let mut transaction = self.pool.begin().await?;
        let mut locked = sqlx::query_as(LOCK).bind(shard).bind(&tenants).bind(&names).fetch_all(&mut *transaction).await?;
        if locked.len() < accounts.len() {
            // Inserted before any lock is held, so that locks are always taken in one order.
            transaction.rollback().await?;
            sqlx::query(ADD_MISSING).bind(shard).bind(&tenants).bind(&names).execute(&self.pool).await?;
            transaction = self.pool.begin().await?;
            locked = sqlx::query_as(LOCK).bind(shard).bind(&tenants).bind(&names).fetch_all(&mut *transaction).await?;
        }
        Ok((transaction, locked))
    }

    /// The tenants of a batch and the database's time. Terms are kept until their revision grows.
    async fn tenants(
        &self,
        connection: &mut PgConnection,
        (locked, asked): (&[LockedRow], &[&AccountKey]),
        needs: &Needs,
    ) -> Result<(Timestamp, HashMap<Id, LoadedTenant>), Failure> {
        let mut now = Timestamp::MIN;
        let mut loaded: HashMap<Id, LoadedTenant> = HashMap::new();
        for row in locked {
            now = now.max(row.now.to_jiff());
            let id = &row.key(asked)?.tenant;
            if loaded.contains_key(id) {
                continue;
            }
            let cached = self.cached(id).filter(|terms| terms.revision == row.revision);
            let terms = match cached {
                Some(terms) => terms,
                None => self.remember(terms::load(connection, id).await?),
            };
            let clock = match (row.clock, needs.first_times.get(id)) {
                (None, Some(first)) if terms.test_clock => Some(self.start_clock(id, *first).await?),
                (clock, _) => clock.map(SqlTimestamp::to_jiff),
            };
            loaded.insert(id.clone(), LoadedTenant { terms, clock });
        }
        Ok((now, loaded))
    }

    /// Starts a tenant's test clock, unless another batch has; committed by itself, so that no lock
    /// on the tenant outlives this statement.
    async fn start_clock(&self, tenant: &Id, at: Timestamp) -> Result<Timestamp, Failure> {
        let clock: SqlTimestamp = sqlx::query_scalar("update tenants set clock = coalesce(clock, $2) where tenant = $1 returning clock")
            .bind(tenant.as_str())
            .bind(instant(at))
            .fetch_one(&self.pool)
            .await?;
        Ok(clock.to_jiff())
    }

    /// The terms of a tenant as they are now; `None` when there is no such tenant.
    pub(super) async fn terms_of(
        &self,
        connection: &mut PgConnection,
        tenant: &Id,
    ) -> Result<Option<Arc<crate::domain::settings::Terms>>, Failure> {
        let revision: Option<i64> = sqlx::query_scalar("select revision from tenants where tenant = $1")
            .bind(tenant.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        let Some(revision) = revision else { return Ok(None) };
        Ok(Some(match self.cached(tenant).filter(|terms| terms.revision == revision) {
            Some(terms) => terms,
            None => self.remember(terms::load(connection, tenant).await?),
        }))
    }

    fn cached(&self, tenant: &Id) -> Option<Arc<crate::domain::settings::Terms>> {
        self.terms.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(tenant).cloned()
    }

    fn remember(&self, terms: crate::domain::settings::Terms) -> Arc<crate::domain::settings::Terms> {
        let terms = Arc::new(terms);
        let mut cache = self.terms.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cache.insert(terms.tenant.clone(), terms.clone());
        terms
    }
}

/// The accounts of a batch, as far as they were read.
pub(super) struct Batch {
    pub(super) shard: i16,
    pub(super) ids: Vec<i64>,
    pub(super) accounts: BTreeMap<i64, LoadedAccount>,
    pub(super) places: HashMap<i64, Places>,
    pub(super) open: OpenTables,
}

impl Batch {
    fn new(shard: i16, locked: &[LockedRow]) -> Self {
        let ids = locked.iter().map(|row| row.account_id).collect();
        let places = locked.iter().map(|row| (row.account_id, Places::of(row.place))).collect();
        Self { shard, ids, accounts: BTreeMap::new(), places, open: OpenTables::default() }
    }

    /// An account that need not be read.
    fn found(&mut self, account_id: i64, cached: CachedAccount) {
        let CachedAccount { version, account, open, grants, places, months } = cached;
        self.places.insert(account_id, Places { grants: places, months: months.is_some(), ..Places::of(version.place) });
        self.add(account_id, Book { grants: grants.into(), months: months.unwrap_or_default(), ..Book::of(account) }, open);
    }

    fn add(&mut self, account_id: i64, book: Book, open: OpenRows) {
        self.open.note(open);
        let state = AccountState { book, waiting: Vec::new(), answered: HashMap::new() };
        let unread = Unread { count: open.waiting, due_at: None };
        let (deliveries, told) = (HashMap::new(), BTreeMap::new());
        self.accounts.insert(account_id, LoadedAccount { account_id, state, deliveries, unread, told });
    }

    /// Reads the accounts that were not found, and their open grants.
    async fn read(&mut self, connection: &mut PgConnection, (locked, asked): (&[LockedRow], &[&AccountKey])) -> Result<(), Failure> {
        let unknown = locked.iter().filter(|row| !self.accounts.contains_key(&row.account_id));
        let keys: HashMap<i64, &AccountKey> = unknown.map(|row| Ok((row.account_id, row.key(asked)?))).collect::<Result<_, Failure>>()?;
        if keys.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = keys.keys().copied().collect();
        let rows: Vec<AccountRow> = sqlx::query_as(ACCOUNTS).bind(self.shard).bind(&ids).fetch_all(&mut *connection).await?;
        for row in rows {
            let Some(key) = keys.get(&row.account_id) else { continue };
            let account = row.account((*key).clone())?;
            self.add(row.account_id, Book::of(account), row.open_rows()?);
        }
        let grants = sqlx::query_as(GRANTS).bind(self.shard).bind(&ids).fetch_all(connection).await?;
        self.place_grants(grants)
    }

    pub(super) fn book(&mut self, account_id: i64) -> Result<&mut Book, Failure> {
        self.accounts
            .get_mut(&account_id)
            .map(|loaded| &mut loaded.state.book)
            .ok_or_else(|| super::rows::unreadable("account row", &account_id.to_string()))
    }

    /// Names with the row ids of their accounts, as two columns.
    pub(super) fn pairs<T, C>(&self, named: &Named<T>, column: impl Fn(&T) -> C) -> (Vec<i64>, Vec<C>) {
        let ids: HashMap<&AccountKey, i64> =
            self.accounts.values().map(|loaded| (&loaded.state.book.account.key, loaded.account_id)).collect();
        named.iter().filter_map(|(account, name)| Some((*ids.get(account)?, column(name)))).unzip()
    }

    async fn grants_named(&mut self, connection: &mut PgConnection, needs: &Needs) -> Result<(), Failure> {
        let rows = self.named(connection, GRANTS_NAMED, &needs.grants).await?;
        self.place_grants(rows)
    }

    /// Grants that payments bought, as far as they were not read with what is open.
    pub(super) async fn grants_of(&mut self, connection: &mut PgConnection, payments: &Named<Printable>) -> Result<(), Failure> {
        let rows = self.named(connection, GRANTS_BOUGHT, payments).await?;
        self.place_grants(rows)
    }

    /// Grants by number, as far as they were not read with what is open.
    pub(super) async fn grants_numbered(&mut self, connection: &mut PgConnection, wanted: &[(i64, u32)]) -> Result<(), Failure> {
        let known = |account_id: i64, number: u32| {
            self.accounts.get(&account_id).is_some_and(|loaded| loaded.state.book.grants.contains_key(&number))
        };
        let missing = wanted.iter().filter(|(account_id, number)| !known(*account_id, *number)).copied();
        let (accounts, numbers): (Vec<i64>, Vec<i32>) = missing.map(|(account_id, number)| (account_id, small(number))).unzip();
        if accounts.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query_as(GRANTS_NUMBERED).bind(self.shard).bind(accounts).bind(numbers).fetch_all(connection).await?;
        self.place_grants(rows)
    }

    pub(super) fn place_grants(&mut self, rows: Vec<HeldGrantRow>) -> Result<(), Failure> {
        for HeldGrantRow { place, grant: row } in rows {
            let account_id = row.account_id;
            let grant = row.grant()?;
            if let Some(places) = self.places.get_mut(&account_id) {
                places.grants.insert(grant.terms.number, place);
            }
            self.book(account_id)?.grants.insert(grant);
        }
        Ok(())
    }

    async fn answered(&mut self, connection: &mut PgConnection, needs: &Needs) -> Result<(), Failure> {
        if needs.messages.is_empty() {
            return Ok(());
        }
        // Pairs, not two lists: two lists would look every message up in every account.
        let (accounts, keys) = self.pairs(&needs.messages, |key| Uuid::from_bytes(key.0));
        type Row = (i64, Uuid, Vec<u8>, String, Option<Vec<String>>, Option<i64>, Option<i64>);
        let rows: Vec<Row> = sqlx::query_as(
            "select account_id, message_key, content, outcome, reasons, first_seq, last_seq from outcomes \
             where shard = $1 and (account_id, message_key) in (select * from unnest($2::bigint[], $3::uuid[]))",
        )
        .bind(self.shard)
        .bind(accounts)
        .bind(keys)
        .fetch_all(connection)
        .await?;
        for (account_id, key, content, outcome, reasons, first, last) in rows {
            let entries = first.zip(last).map(|(first, last)| Ok::<_, Failure>((number(first)?, number(last)?))).transpose()?;
            let recorded = Recorded { outcome, reasons: reasons.unwrap_or_default(), entries };
            let answered = Answered { content: hash(&content)?, recorded: Some(recorded) };
            if let Some(loaded) = self.accounts.get_mut(&account_id) {
                loaded.state.answered.insert(MessageKey(key.into_bytes()), answered);
            }
        }
        Ok(())
    }

    /// Rows by pairs of account and name; no statement when nothing is named.
    pub(super) async fn named<R, T: ToString>(
        &self,
        connection: &mut PgConnection,
        sql: &'static str,
        named: &Named<T>,
    ) -> Result<Vec<R>, Failure>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let (accounts, names) = self.pairs(named, T::to_string);
        Ok(sqlx::query_as(sql).bind(self.shard).bind(accounts).bind(names).fetch_all(connection).await?)
    }

    pub(super) async fn all<R>(&self, connection: &mut PgConnection, sql: &'static str) -> Result<Vec<R>, Failure>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        Ok(sqlx::query_as(sql).bind(self.shard).bind(&self.ids).fetch_all(connection).await?)
    }
}

/// Binds an instant.
pub fn instant(at: Timestamp) -> SqlTimestamp {
    at.to_sqlx()
}
