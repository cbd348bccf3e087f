//! Reading for people: balances, history, requests, subscriptions, outcomes.
//!
//! Owns read-only statements. Never locks, never writes, never decides.

pub mod audit;
pub mod backlog;
pub mod drift;
pub mod export;
pub mod payments;
pub mod since;
mod snapshot;
pub mod waits;

use super::load::instant;
use super::policies;
use super::rows::{
    AccountRow, GrantRow, credits, hash, message_id, number, optional_printable, optional_prose, select_accounts, select_grants, unreadable,
};
use super::rows_money::{RequestRow, SubscriptionRow};
use super::written::signed;
use super::{PostgresStore, aside};
use crate::domain::account::Account;
use crate::domain::entry::{Entry, EntryKind, Touch};
use crate::domain::grant::Grant;
use crate::domain::ids::{AccountKey, Hash, Id, MessageId};
use crate::domain::request::CreditRequest;
use crate::domain::settings::Settings;
use crate::domain::subscription::Subscription;
use crate::failure::Failure;
use crate::message::line::Basis;
use crate::store::{EntryRange, shard_of};
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use sqlx::types::Uuid;
use std::collections::BTreeMap;

/// Where an account's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// Its shard.
    pub shard: i16,
    /// Its row id.
    pub account_id: i64,
}

/// An account with what a reading shows of it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Its numbers.
    pub account: Account,
    /// Its active grants with something remaining, and those they rolled over from.
    pub grants: BTreeMap<u32, Grant>,
    /// The tenant's settings, which order the grants.
    pub settings: Settings,
}

/// What is known about a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The outcome's word.
    pub outcome: String,
    /// Reasons of a rejection or quarantine.
    pub reasons: Vec<String>,
    /// The entries it caused.
    pub entries: Vec<Entry>,
    /// Accounts a tenant-wide reset waits for because they cannot be written, some of them by name.
    pub held_up_by: Vec<String>,
}

impl Found {
    /// Nothing has become of it yet.
    #[must_use]
    pub fn waiting() -> Self {
        Self { outcome: "waiting".into(), reasons: Vec::new(), entries: Vec::new(), held_up_by: Vec::new() }
    }
}

/// A tenant's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantClock {
    /// Its time moves by command only.
    pub is_test: bool,
    /// That time, once it was set.
    pub clock: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    seq: i64,
    kind: String,
    direction: String,
    amount: Decimal,
    balance_after: Decimal,
    held_change: Decimal,
    frozen_change: Decimal,
    debt_change: Decimal,
    reference: Option<String>,
    cause_source: String,
    cause_id: String,
    actor: Option<String>,
    memo: Option<String>,
    occurred_at: SqlTimestamp,
    recorded_at: SqlTimestamp,
    touched_grants: Vec<i32>,
    touched_changes: Vec<Decimal>,
    hash: Vec<u8>,
}

const ENTRY_COLUMNS: &str = "account_id, seq, kind, direction, amount, balance_after, held_change, frozen_change, debt_change, \
     reference, cause_source, cause_id, actor, memo, occurred_at, recorded_at, touched_grants, touched_changes, hash";

impl EntryRow {
    fn entry(&self) -> Result<(Entry, Hash), Failure> {
        let kind = EntryKind::from_words(&self.kind, &self.direction)
            .ok_or_else(|| unreadable("entry kind", &format!("{} {}", self.kind, self.direction)))?;
        let touch = |(grant, change): (&i32, &Decimal)| Ok(Touch { grant: number((*grant).into())?, change: credits(*change)? });
        let entry = Entry {
            seq: number(self.seq)?,
            kind,
            amount: credits(self.amount)?,
            balance_after: credits(self.balance_after)?,
            held_change: credits(self.held_change)?,
            frozen_change: credits(self.frozen_change)?,
            debt_change: credits(self.debt_change)?,
            reference: optional_printable(self.reference.as_ref())?,
            cause: message_id(&self.cause_source, &self.cause_id)?,
            actor: optional_printable(self.actor.as_ref())?,
            memo: optional_prose(self.memo.as_ref())?,
            occurred_at: self.occurred_at.to_jiff(),
            recorded_at: self.recorded_at.to_jiff(),
            touched: self.touched_grants.iter().zip(&self.touched_changes).map(touch).collect::<Result<_, Failure>>()?,
        };
        Ok((entry, hash(&self.hash)?))
    }
}

/// Entries by account and range, in the order of their accounts.
pub(super) async fn entries_in(
    connection: &mut PgConnection,
    shard: i16,
    wanted: &[EntryRange],
) -> Result<Vec<(i64, Result<Entry, Failure>)>, Failure> {
    #[derive(sqlx::FromRow)]
    struct OfAccount {
        account_id: i64,
        #[sqlx(flatten)]
        entry: EntryRow,
    }
    let sql = format!(
        // One descent of the index per range, however small the table is.
        "select found.* from unnest($2::bigint[], $3::bigint[], $4::bigint[]) as wanted (account_id, first, last) \
         cross join lateral (select {ENTRY_COLUMNS} from entries where shard = $1 and account_id = wanted.account_id \
            and seq between wanted.first and wanted.last order by seq offset 0) as found"
    );
    let rows: Vec<OfAccount> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(shard)
        .bind(wanted.iter().map(|range| range.account_id).collect::<Vec<_>>())
        .bind(wanted.iter().map(|range| signed(range.first)).collect::<Vec<_>>())
        .bind(wanted.iter().map(|range| signed(range.last)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.account_id, row.entry.entry().map(|(entry, _)| entry))).collect())
}

const ACCOUNT: &str = select_accounts!("where shard = $1 and tenant = $2 and account = $3");

const GRANTS: &str = select_grants!("where shard = $1 and account_id = $2");

impl PostgresStore {
    /// The rows of an account; an empty name is the tenant itself. `None` when nobody named it.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn home(&self, tenant: &Id, account: Option<&Id>) -> Result<Option<Home>, Failure> {
        let account = account.map_or("", Id::as_str);
        let shard = shard_of(tenant.as_str(), account, self.shards);
        let row: Option<i64> = sqlx::query_scalar("select account_id from accounts where shard = $1 and tenant = $2 and account = $3")
            .bind(shard)
            .bind(tenant.as_str())
            .bind(account)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|account_id| Home { shard, account_id }))
    }

    /// An account as it is, and the order of its grants now, or at a past instant; `None` when nobody named it.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn reading(&self, key: &AccountKey, at: Option<Timestamp>) -> Result<Option<Reading>, Failure> {
        let shard = shard_of(key.tenant.as_str(), key.account.as_str(), self.shards);
        let mut transaction = self.pool.begin_with("begin isolation level repeatable read read only").await?;
        let row: Option<AccountRow> = sqlx::query_as(ACCOUNT)
            .bind(shard)
            .bind(key.tenant.as_str())
            .bind(key.account.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let account = row.account(key.clone())?;
        let rows: Vec<GrantRow> = sqlx::query_as(GRANTS).bind(shard).bind(row.account_id).fetch_all(&mut *transaction).await?;
        let grants = rows
            .into_iter()
            .map(|row| row.grant().map(|grant| (grant.terms.number, grant)))
            .collect::<Result<BTreeMap<_, _>, Failure>>()?;
        let settings = policies::in_force(&mut transaction, &key.tenant, at).await?;
        transaction.commit().await?;
        Ok(Some(Reading { account, grants, settings }))
    }

    /// The entries of an account up to an instant, for readings of the past.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn entries_until(&self, home: Home, at: Timestamp, basis: Basis) -> Result<Vec<Entry>, Failure> {
        let column = match basis {
            Basis::Known => "occurred_at",
            Basis::Recorded => "recorded_at",
        };
        let sql = format!("select {ENTRY_COLUMNS} from entries where shard = $1 and account_id = $2 and {column} <= $3 order by seq");
        let rows: Vec<EntryRow> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(home.shard).bind(home.account_id).bind(instant(at)).fetch_all(&self.pool).await?;
        rows.iter().map(|row| row.entry().map(|(entry, _)| entry)).collect()
    }

    /// The newest entries of an account, at most `most`, oldest first.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn history(&self, home: Home, most: i64) -> Result<Vec<Entry>, Failure> {
        let sql = format!(
            "select * from (select {ENTRY_COLUMNS} from entries where shard = $1 and account_id = $2 order by seq desc limit $3) as newest order by seq"
        );
        let rows: Vec<EntryRow> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(home.shard).bind(home.account_id).bind(most).fetch_all(&self.pool).await?;
        rows.iter().map(|row| row.entry().map(|(entry, _)| entry)).collect()
    }

    /// The entries of an account whose numbers are above `after`, in their order, at most `most`.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn entries_after(&self, home: Home, after: i64, most: i64) -> Result<Vec<Entry>, Failure> {
        let sql = format!("select {ENTRY_COLUMNS} from entries where shard = $1 and account_id = $2 and seq > $3 order by seq limit $4");
        let rows: Vec<EntryRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(home.shard)
            .bind(home.account_id)
            .bind(after)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| row.entry().map(|(entry, _)| entry)).collect()
    }

    /// The position of the last entry of every account that has one, as `tenant/account`.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn last_entries(&self) -> Result<Vec<(String, i64)>, Failure> {
        let sql = "select tenant || '/' || account, last_seq from accounts where last_seq > 0";
        Ok(sqlx::query_as(sql).fetch_all(&self.pool).await?)
    }

    /// All credit requests of an account, oldest first.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn requests_of(&self, home: Home) -> Result<Vec<CreditRequest>, Failure> {
        let rows: Vec<RequestRow> =
            sqlx::query_as("select * from credit_requests where shard = $1 and account_id = $2 order by submitted_at, request")
                .bind(home.shard)
                .bind(home.account_id)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(RequestRow::request).collect()
    }

    /// All subscriptions of an account, running ones first.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn subscriptions_of(&self, home: Home) -> Result<Vec<Subscription>, Failure> {
        let rows: Vec<SubscriptionRow> =
            sqlx::query_as("select * from subscriptions where shard = $1 and account_id = $2 order by is_ended, cycle_end, subscription")
                .bind(home.shard)
                .bind(home.account_id)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(SubscriptionRow::subscription).collect()
    }

    /// What became of a message: recorded, waiting or set aside; `None` when it is not known.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn find_outcome(&self, tenant: &Id, account: Option<&Id>, message: &MessageId) -> Result<Option<Found>, Failure> {
        let key = Uuid::from_bytes(message.key().0);
        if let Some(home) = self.home(tenant, account).await?
            && let Some(found) = self.recorded_or_waiting(home, key).await?
        {
            return Ok(Some(found));
        }
        if account.is_none()
            && let Some(held_up_by) = self.reset_held_up_by(tenant, message).await?
        {
            return Ok(Some(Found { held_up_by, ..Found::waiting() }));
        }
        // What never reached an account stands in a shard of its own.
        let shards = [shard_of(tenant.as_str(), account.map_or("", Id::as_str), self.shards), aside::home(self.shards)];
        let reason: Option<String> = sqlx::query_scalar(
            "select reason from quarantine where shard = any($1) and message_key = $2 and tenant = $3 \
             and (account is null or account = $4) order by ended_at is null desc, first_seen_at limit 1",
        )
        .bind(shards.to_vec())
        .bind(key)
        .bind(tenant.as_str())
        .bind(account.map_or("", Id::as_str))
        .fetch_optional(&self.pool)
        .await?;
        Ok(reason.map(|reason| Found { outcome: "quarantined".into(), reasons: vec![reason], entries: Vec::new(), held_up_by: Vec::new() }))
    }

    async fn recorded_or_waiting(&self, home: Home, key: Uuid) -> Result<Option<Found>, Failure> {
        type Recorded = (String, Option<Vec<String>>, Option<i64>, Option<i64>);
        let recorded: Option<Recorded> = sqlx::query_as(
            "select outcome, reasons, first_seq, last_seq from outcomes where shard = $1 and account_id = $2 and message_key = $3",
        )
        .bind(home.shard)
        .bind(home.account_id)
        .bind(key)
        .fetch_optional(&self.pool)
        .await?;
        if let Some((outcome, reasons, first, last)) = recorded {
            let entries = match (first, last) {
                (Some(first), Some(last)) => self.entries_between(home, first, last).await?,
                _ => Vec::new(),
            };
            return Ok(Some(Found { outcome, reasons: reasons.unwrap_or_default(), entries, held_up_by: Vec::new() }));
        }
        let waiting: bool =
            sqlx::query_scalar("select exists (select from waiting where shard = $1 and account_id = $2 and message_key = $3)")
                .bind(home.shard)
                .bind(home.account_id)
                .bind(key)
                .fetch_one(&self.pool)
                .await?;
        Ok(waiting.then(Found::waiting))
    }

    async fn entries_between(&self, home: Home, first: i64, last: i64) -> Result<Vec<Entry>, Failure> {
        let sql =
            format!("select {ENTRY_COLUMNS} from entries where shard = $1 and account_id = $2 and seq between $3 and $4 order by seq");
        let rows: Vec<EntryRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(home.shard)
            .bind(home.account_id)
            .bind(first)
            .bind(last)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| row.entry().map(|(entry, _)| entry)).collect()
    }

    /// A tenant's time; `None` for a tenant that does not exist.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn tenant_clock(&self, tenant: &Id) -> Result<Option<TenantClock>, Failure> {
        let row: Option<(bool, Option<SqlTimestamp>)> = sqlx::query_as("select test_clock, clock from tenants where tenant = $1")
            .bind(tenant.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|(is_test, clock)| TenantClock { is_test, clock: clock.map(SqlTimestamp::to_jiff) }))
    }

    /// How many entries all accounts have together.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn entry_count(&self) -> Result<i64, Failure> {
        Ok(sqlx::query_scalar("select coalesce(sum(last_seq), 0)::bigint from accounts").fetch_one(&self.pool).await?)
    }
}
