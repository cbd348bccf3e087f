//! What is due without a message, and what waits for another account's message.
//!
//! Owns the questions, and whose turn a shard is; the answers go through the same lanes as messages. Any number
//! of workers may ask: each takes the shards that no other one is at, and what is due is written once.

use super::PostgresStore;
use super::rows::id;
use crate::domain::command::Message;
use crate::domain::decision::Claim;
use crate::domain::ids::{AccountKey, Id};
use crate::failure::Failure;
use crate::message::raw::{Raw, RawHead};
use crate::message::{Incoming, reread};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx as _};
use sqlx::PgTransaction;
use sqlx::types::{Json, Uuid};
use std::collections::BTreeMap;

/// The first half of the key of the lock on a shard's turn; the second half is the shard.
const TURN_LOCK: i32 = 0x6475_6521;

/// What is due of a shard.
#[derive(Debug)]
pub struct Due {
    /// Whose.
    pub accounts: Vec<AccountKey>,
    /// No other worker looks at the shard meanwhile: a lock that ends with the transaction, and so with the worker.
    _turn: PgTransaction<'static>,
}

/// A waiting message whose fact another account's message claims.
#[derive(Debug)]
pub struct Claimant {
    /// The row id of its account.
    pub account_id: i64,
    /// The message.
    pub message: Message,
    /// What the directory said last.
    pub claim: Claim,
}

impl PostgresStore {
    /// Accounts of a shard with something due by now, the longest overdue first, and the turn at them; `None`
    /// while another worker has the turn. Now is, for a tenant with a test clock, where its clock stands: only
    /// what a batch left behind can be due there.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn due(&self, shard: i16, most: i64) -> Result<Option<Due>, Failure> {
        let mut turn = self.pool.begin().await?;
        let lock = sqlx::query_scalar("select pg_try_advisory_xact_lock($1, $2)").bind(TURN_LOCK).bind(i32::from(shard));
        if !lock.fetch_one(&mut *turn).await? {
            return Ok(None);
        }
        let mut accounts = Vec::new();
        // The time of the statement, not of the clock, which an index is not asked for: all accounts would be read.
        for sql in [
            "select accounts.tenant, accounts.account from accounts join tenants using (tenant) \
             where shard = $1 and next_due_at <= statement_timestamp() and not tenants.test_clock order by next_due_at limit $2",
            // Most databases have no test clock, and then no account is looked at for one.
            "select found.tenant, found.account from (select tenant, clock from tenants where test_clock offset 0) as clocks cross join lateral \
               (select tenant, account, next_due_at from accounts where shard = $1 and accounts.tenant = clocks.tenant \
                and next_due_at <= clocks.clock order by next_due_at limit $2) as found order by next_due_at limit $2",
        ] {
            let rows: Vec<(String, String)> = sqlx::query_as(sql).bind(shard).bind(most).fetch_all(&mut *turn).await?;
            accounts.extend(keys(&rows)?);
        }
        Ok(Some(Due { accounts, _turn: turn }))
    }

    /// Whether any account has something due by an instant, found by the index of what is due.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn is_anything_due(&self, by: Timestamp) -> Result<bool, Failure> {
        let sql = "select exists (select from generate_series(0, $1::integer - 1) as shards (number) cross join lateral \
                   (select from accounts where shard = number::smallint and next_due_at <= $2 order by next_due_at limit 1) as first)";
        Ok(sqlx::query_scalar(sql).bind(i32::from(self.shards)).bind(by.to_sqlx()).fetch_one(&self.pool).await?)
    }

    /// How many cycles were reset for a boundary.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn resets_at(&self, boundary: Timestamp) -> Result<u64, Failure> {
        let count: i64 =
            sqlx::query_scalar("select count(*) from resets where boundary = $1").bind(boundary.to_sqlx()).fetch_one(&self.pool).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Accounts of one tenant and shard with something due by `as_of`, but for some, and how far each is.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn due_of_tenant(&self, due: &DueOfTenant<'_>, but: &[String], most: i64) -> Result<BTreeMap<AccountKey, Progress>, Failure> {
        let rows: Vec<(String, String, SqlTimestamp, i32)> = sqlx::query_as(
            "select tenant, account, next_due_at, open_waiting from accounts where shard = $1 and tenant = $2 and next_due_at <= $3 \
             and account <> all($4) order by next_due_at limit $5",
        )
        .bind(due.shard)
        .bind(due.tenant.as_str())
        .bind(due.as_of.to_sqlx())
        .bind(but)
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        let one = |(tenant, account, due_at, waiting): (String, String, SqlTimestamp, i32)| {
            Ok((key(&tenant, &account)?, Progress { due_at: due_at.to_jiff(), waiting }))
        };
        rows.into_iter().map(one).collect()
    }

    /// Messages of a shard that wait for another account's and are to be asked about now. Each is
    /// asked about again after as long as it has waited, at most 10 s.
    ///
    /// # Errors
    /// [`Failure`] of the database, or of a message this worker cannot read.
    pub async fn claimants(&self, shard: i16, most: i64) -> Result<Vec<Claimant>, Failure> {
        let rows: Vec<(i64, String, Option<String>, Json<RawHead>, Vec<u8>)> = sqlx::query_as(
            "update waiting set waits_until = clock_timestamp() \
               + least(greatest(clock_timestamp() - arrived_at, interval '250 milliseconds'), interval '10 seconds') \
             where shard = $1 and waits_on = 'claim' and (account_id, message_key) in \
               (select account_id, message_key from waiting where shard = $1 and waits_on = 'claim' \
                and (waits_until is null or waits_until <= statement_timestamp()) \
                order by waits_until nulls first limit $2 for update skip locked) \
             returning account_id, (select account from accounts a where a.shard = $1 and a.account_id = waiting.account_id), \
             waits_key, raw, body",
        )
        .bind(shard)
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        let unreadable = |account_id: i64| super::rows::unreadable("waiting message of account row", &account_id.to_string());
        let mut claimants = Vec::with_capacity(rows.len());
        for (account_id, account, claim, head, body) in rows {
            let raw = Raw::from_parts(head.0, body).ok_or_else(|| unreadable(account_id))?;
            let message = match reread(&raw) {
                Ok(Incoming::Account(message)) => *message,
                Ok(Incoming::Unaddressed(message)) => message.addressed(id(&account)?),
                Ok(Incoming::Tenant(_) | Incoming::Ignored { .. }) | Err(_) => return Err(unreadable(account_id)),
            };
            let claim = claim.as_deref().and_then(Claim::from_word).ok_or_else(|| unreadable(account_id))?;
            claimants.push(Claimant { account_id, message, claim });
        }
        Ok(claimants)
    }

    /// Notes what the directory answered; the next transaction of the account decides the message.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn tell_claimant(&self, shard: i16, claimant: &Claimant, claim: Claim) -> Result<(), Failure> {
        sqlx::query(
            "update waiting set waits_key = $4 where shard = $1 and account_id = $2 and message_key = $3 \
             and waits_on = 'claim' and waits_key = 'undecided'",
        )
        .bind(shard)
        .bind(claimant.account_id)
        .bind(Uuid::from_bytes(claimant.message.id.key().0))
        .bind(claim.word())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// How far an account with something due is: a write of it changes that, unless it could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    due_at: Timestamp,
    waiting: i32,
}

/// What is due of one tenant in one shard.
#[derive(Debug, Clone, Copy)]
pub struct DueOfTenant<'a> {
    /// The shard.
    pub shard: i16,
    /// The tenant.
    pub tenant: &'a Id,
    /// By when.
    pub as_of: Timestamp,
}

fn keys(rows: &[(String, String)]) -> Result<Vec<AccountKey>, Failure> {
    rows.iter().map(|(tenant, account)| key(tenant, account)).collect()
}

fn key(tenant: &str, account: &str) -> Result<AccountKey, Failure> {
    Ok(AccountKey { tenant: id(tenant)?, account: id(account)? })
}
