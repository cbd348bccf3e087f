//! Locking a batch's accounts and reading what it needs.
//!
//! Owns the order: lock in a statement of its own, sorted, so that two batches never wait for each
//! other in a circle; read in later statements, which see what the former holders committed.

use super::rows::{AccountRow, GrantRow, hash, number, select_accounts, select_grants};
use super::rows_money::{ChargeRow, DebtRow, HighWaterRow, PaymentNameRow, PaymentRow, RequestRow, SubscriptionRow};
use super::write::{Places, PostgresTransaction};
use super::written::Place;
use super::{PostgresStore, terms, waiting};
use crate::domain::book::{AccountState, Answered, Book};
use crate::domain::decision::Recorded;
use crate::domain::ids::{AccountKey, Id, MessageKey, Printable};
use crate::failure::Failure;
use crate::store::{Loaded, LoadedAccount, LoadedTenant, Named, Needs, Store, Unread};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx as _};
use sqlx::types::Uuid;
use sqlx::{PgConnection, PgTransaction};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Its tenants come along: what they are may be a moment older than the lock, which is as if the
/// message had come that moment earlier; an account's time never goes back for it.
const LOCK: &str = select_accounts!(
    "accounts.ctid as place, revision, clock, clock_timestamp() as now, ",
    "join unnest($2::text[], $3::text[]) as wanted (tenant, account) using (tenant, account) join tenants using (tenant) \
     where shard = $1 order by account_id for update of accounts"
);

const ADD_MISSING: &str = "insert into accounts (shard, tenant, account) \
     select $1, wanted.tenant, wanted.account from unnest($2::text[], $3::text[]) as wanted (tenant, account) \
     join tenants on tenants.tenant = wanted.tenant \
     where not exists (select from accounts known where known.shard = $1 and known.tenant = wanted.tenant and known.account = wanted.account) \
     order by wanted.tenant, wanted.account on conflict do nothing";

const GRANTS: &str = select_grants!("ctid as place, ", "where shard = $1 and account_id = any($2) and is_open");

/// All names of the payments that $2, $3 name and that $4, $5 are the provider's ids of.
const PAYMENT_NAMES: &str = "with named as ( \
       select account_id, payment from payment_names where shard = $1 and (account_id, name) in (select * from unnest($2::bigint[], $3::text[])) \
       union select account_id, payment from payment_names \
       where shard = $1 and (account_id, provider_id) in (select * from unnest($4::bigint[], $5::text[]))) \
     select account_id, name, provider_id, payment from payment_names join named using (account_id, payment) where shard = $1";

const GRANTS_NAMED: &str = select_grants!(
    "ctid as place, ",
    "where shard = $1 and (account_id, grant_id) in (select * from unnest($2::bigint[], $3::text[])) and not is_open"
);

/// An account that is locked, and its tenant.
#[derive(sqlx::FromRow)]
struct LockedRow {
    place: Place,
    revision: i64,
    clock: Option<SqlTimestamp>,
    now: SqlTimestamp,
    #[sqlx(flatten)]
    account: AccountRow,
}

/// A grant of a locked account.
#[derive(sqlx::FromRow)]
struct HeldGrantRow {
    place: Place,
    #[sqlx(flatten)]
    grant: GrantRow,
}

impl Store for PostgresStore {
    type Transaction = PostgresTransaction;

    async fn open(&self, shard: i16, accounts: &BTreeSet<AccountKey>, needs: &Needs) -> Result<(PostgresTransaction, Loaded), Failure> {
        let (mut transaction, locked) = self.lock(shard, accounts).await?;
        let (now, tenants) = self.tenants(&mut transaction, &locked, needs).await?;
        let mut places = Places::default();
        let mut batch = Batch { shard, ids: locked.iter().map(|row| row.account.account_id).collect(), accounts: BTreeMap::new() };
        let mut open = OpenTables::default();
        for LockedRow { place, account: row, .. } in locked {
            open.note(&row);
            let key = row.key()?;
            let mut book = Book::unopened(key.clone());
            book.account = row.account(key)?;
            let state = AccountState { book, waiting: Vec::new(), answered: HashMap::new() };
            let unread = Unread { count: number(row.open_waiting.into())?, due_at: None };
            let (deliveries, told) = (HashMap::new(), BTreeMap::new());
            batch.accounts.insert(row.account_id, LoadedAccount { account_id: row.account_id, state, deliveries, unread, told });
            places.accounts.insert(row.account_id, place);
        }
        let mut needs = Cow::Borrowed(needs);
        let clock = |account: &AccountKey| tenants.get(&account.tenant).map_or(now, |tenant| tenant.time(now));
        waiting::read(&mut transaction, &mut batch, &mut needs, &clock).await?;
        batch.grants(&mut transaction, &needs, &mut places).await?;
        batch.answered(&mut transaction, &needs).await?;
        batch.rare(&mut transaction, &needs, open).await?;
        let accounts = batch.accounts.into_values().map(|loaded| (loaded.state.book.account.key.clone(), loaded)).collect();
        Ok((PostgresTransaction { transaction, shard, places }, Loaded { now, tenants, accounts }))
    }
}

impl PostgresStore {
    /// Begins a transaction and locks the accounts, making those that are missing.
    async fn lock(&self, shard: i16, accounts: &BTreeSet<AccountKey>) -> Result<(PgTransaction<'static>, Vec<LockedRow>), Failure> {
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
        locked: &[LockedRow],
        needs: &Needs,
    ) -> Result<(Timestamp, HashMap<Id, LoadedTenant>), Failure> {
        let mut now = Timestamp::MIN;
        let mut loaded: HashMap<Id, LoadedTenant> = HashMap::new();
        for row in locked {
            now = now.max(row.now.to_jiff());
            if loaded.contains_key(row.account.tenant.as_str()) {
                continue;
            }
            let id = super::rows::id(&row.account.tenant)?;
            let cached = self.cached(&id).filter(|terms| terms.revision == row.revision);
            let terms = match cached {
                Some(terms) => terms,
                None => self.remember(terms::load(connection, &id).await?),
            };
            let clock = match (row.clock, needs.first_times.get(&id)) {
                (None, Some(first)) if terms.test_clock => Some(self.start_clock(&id, *first).await?),
                (clock, _) => clock.map(SqlTimestamp::to_jiff),
            };
            loaded.insert(id, LoadedTenant { terms, clock });
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

/// Which tables that most accounts have no rows in must be read.
#[derive(Debug, Clone, Copy, Default)]
struct OpenTables {
    debts: bool,
    requests: bool,
    subscriptions: bool,
}

impl OpenTables {
    fn note(&mut self, row: &AccountRow) {
        self.debts |= row.open_debts > 0;
        self.requests |= row.open_requests > 0;
        self.subscriptions |= row.open_subscriptions > 0;
    }
}

/// The accounts of a batch, as far as they were read.
pub(super) struct Batch {
    pub(super) shard: i16,
    ids: Vec<i64>,
    pub(super) accounts: BTreeMap<i64, LoadedAccount>,
}

impl Batch {
    fn book(&mut self, account_id: i64) -> Result<&mut Book, Failure> {
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

    async fn grants(&mut self, connection: &mut PgConnection, needs: &Needs, places: &mut Places) -> Result<(), Failure> {
        let mut rows: Vec<HeldGrantRow> = sqlx::query_as(GRANTS).bind(self.shard).bind(&self.ids).fetch_all(&mut *connection).await?;
        rows.extend(self.named(connection, GRANTS_NAMED, &needs.grants).await?);
        for HeldGrantRow { place, grant: row } in rows {
            let account_id = row.account_id;
            let grant = row.grant()?;
            places.grants.insert((account_id, grant.terms.number), place);
            self.book(account_id)?.grants.insert(grant.terms.number, grant);
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

    /// Tables most batches do not touch.
    async fn rare(&mut self, connection: &mut PgConnection, needs: &Needs, open: OpenTables) -> Result<(), Failure> {
        if open.debts {
            let rows: Vec<DebtRow> =
                self.all(connection, "select * from debts where shard = $1 and account_id = any($2) and remaining > 0").await?;
            for row in rows {
                let debt = row.debt()?;
                self.book(row.account_id)?.debts.insert(debt.number, debt);
            }
        }
        let reviewed = self.payments(connection, needs).await?;
        let sql = "select * from charges where shard = $1 and (account_id, reference) in (select * from unnest($2::bigint[], $3::text[]))";
        for row in self.named::<ChargeRow, _>(connection, sql, &needs.charges).await? {
            let charge = row.charge()?;
            self.book(row.account_id)?.charges.insert(charge.reference.clone(), charge);
        }
        let requests = needs.requests.union(&reviewed).cloned().collect();
        self.requests(connection, (&requests, &needs.evidence), open).await?;
        self.subscriptions(connection, needs, open).await
    }

    /// Payments with all of their names; returns the ids that requests for staff have or would have.
    async fn payments(&mut self, connection: &mut PgConnection, needs: &Needs) -> Result<Named<Id>, Failure> {
        let mut requests = Named::new();
        if needs.payments.is_empty() && needs.provider_ids.is_empty() {
            return Ok(requests);
        }
        let (accounts, names) = self.pairs(&needs.payments, ToString::to_string);
        let (owners, ids) = self.pairs(&needs.provider_ids, Id::to_string);
        let asked = sqlx::query_as(PAYMENT_NAMES).bind(self.shard).bind(accounts).bind(names).bind(owners).bind(ids);
        let rows: Vec<PaymentNameRow> = asked.fetch_all(&mut *connection).await?;
        let mut payments: Named<Printable> = Named::new();
        for row in rows {
            let known = row.known_name()?;
            let book = self.book(row.account_id)?;
            payments.insert((book.account.key.clone(), known.payment.clone()));
            book.payment_names.insert(known.name.name.clone(), known);
        }
        let sql = "select * from payments where shard = $1 and (account_id, payment) in (select * from unnest($2::bigint[], $3::text[]))";
        for row in self.named::<PaymentRow, _>(connection, sql, &payments).await? {
            let payment = row.payment()?;
            let book = self.book(row.account_id)?;
            requests.insert((book.account.key.clone(), payment.terms.provider_id.clone()));
            book.payments.insert(payment.terms.payment.clone(), payment);
        }
        Ok(requests)
    }

    async fn requests(
        &mut self,
        connection: &mut PgConnection,
        (requests, evidence): (&Named<Id>, &Named<Printable>),
        open: OpenTables,
    ) -> Result<(), Failure> {
        let mut rows: Vec<RequestRow> = Vec::new();
        if open.requests {
            let sql = "select * from credit_requests where shard = $1 and account_id = any($2) and status = 'pending'";
            rows.extend(self.all(connection, sql).await?);
        }
        let sql = "select * from credit_requests where shard = $1 \
                   and (account_id, request) in (select * from unnest($2::bigint[], $3::text[]))";
        rows.extend(self.named(connection, sql, requests).await?);
        let sql = "select * from credit_requests where shard = $1 \
                   and (account_id, evidence_reference) in (select * from unnest($2::bigint[], $3::text[]))";
        rows.extend(self.named(connection, sql, evidence).await?);
        for row in rows {
            let request = row.request()?;
            self.book(row.account_id)?.requests.insert(request.terms.id.clone(), request);
        }
        Ok(())
    }

    async fn subscriptions(&mut self, connection: &mut PgConnection, needs: &Needs, open: OpenTables) -> Result<(), Failure> {
        if open.subscriptions || !needs.subscriptions.is_empty() {
            let (accounts, names) = self.pairs(&needs.subscriptions, Id::to_string);
            let sql = "select * from subscriptions where shard = $1 and account_id = any($2) and (not is_ended \
                       or (account_id, subscription) in (select * from unnest($3::bigint[], $4::text[])))";
            let rows: Vec<SubscriptionRow> =
                sqlx::query_as(sql).bind(self.shard).bind(&self.ids).bind(accounts).bind(names).fetch_all(&mut *connection).await?;
            for row in rows {
                let subscription = row.subscription()?;
                self.book(row.account_id)?.subscriptions.insert(subscription.id.clone(), subscription);
            }
        }
        if open.subscriptions || needs.high_waters {
            let rows: Vec<HighWaterRow> =
                self.all(connection, "select * from high_waters where shard = $1 and account_id = any($2)").await?;
            for row in rows {
                let mark = row.high_water()?;
                self.book(row.account_id)?.high_waters.insert(mark.item.clone(), mark);
            }
        }
        Ok(())
    }

    /// Rows by pairs of account and name; no statement when nothing is named.
    async fn named<R, T: ToString>(&self, connection: &mut PgConnection, sql: &'static str, named: &Named<T>) -> Result<Vec<R>, Failure>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let (accounts, names) = self.pairs(named, T::to_string);
        Ok(sqlx::query_as(sql).bind(self.shard).bind(accounts).bind(names).fetch_all(connection).await?)
    }

    async fn all<R>(&self, connection: &mut PgConnection, sql: &'static str) -> Result<Vec<R>, Failure>
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
