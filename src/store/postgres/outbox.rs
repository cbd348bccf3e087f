//! What is to be published, and the mark that it was.
//!
//! Owns the order per account: of the events of an account only the oldest unpublished one is handed
//! out, so one that cannot be published keeps back its own account only. Replies and announcements
//! of quarantined messages stand alone and are handed out together. Rows are marked, never
//! remembered by a position: one that commits late is found like any other.

use super::PostgresStore;
use crate::failure::Failure;
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;

/// Published rows deleted in one statement.
const PRUNED_MAX: i64 = 5_000;

/// The session lock of the one relay at work.
const RELAY_LOCK: i64 = 0x6372_6564_6974;

/// An unpublished row.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Unpublished {
    /// Its account.
    pub account_id: i64,
    /// Its position there.
    pub number: i64,
    /// A reply goes to a queue by name, an event to the events exchange.
    pub is_reply: bool,
    /// Whether it is the oldest of its account, and others wait for it.
    pub in_order: bool,
    /// Routing key or queue.
    pub routing_key: String,
    /// Copied to a reply.
    pub correlation_id: Option<String>,
    /// What is sent.
    pub body: Vec<u8>,
}

/// Jumps from account to account in the partial index: what a round costs depends on the accounts
/// with something unpublished, never on how much of it they have.
const UNPUBLISHED: &str = "\
    with recursive heads as ( \
        (select account_id, number from outbox \
         where shard = $1 and in_order and published_at is null and account_id > $2 order by account_id, number limit 1) \
        union all \
        select next.account_id, next.number from heads cross join lateral \
            (select account_id, number from outbox \
             where shard = $1 and in_order and published_at is null and account_id > heads.account_id \
             order by account_id, number limit 1) as next \
    ), first as (select account_id, number from heads limit $3) \
    select account_id, number, is_reply, in_order, routing_key, correlation_id, body \
    from first join outbox using (account_id, number) where outbox.shard = $1 and in_order and published_at is null \
    union all \
    (select account_id, number, is_reply, in_order, routing_key, correlation_id, body from outbox \
     where shard = $1 and not in_order and published_at is null order by account_id, number limit $3)";

impl PostgresStore {
    /// Of a shard: the oldest unpublished event of each account after `after`, in the order of the
    /// accounts, and rows that stand alone; at most `most` of either.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn unpublished(&self, shard: i16, after: i64, most: i64) -> Result<Vec<Unpublished>, Failure> {
        Ok(sqlx::query_as(UNPUBLISHED).bind(shard).bind(after).bind(most).fetch_all(&self.pool).await?)
    }

    /// Marks rows as published.
    ///
    /// # Errors
    /// [`Failure`] of the database; they are then published again, which subscribers drop by id.
    pub async fn mark_published(&self, shard: i16, rows: &[&Unpublished]) -> Result<(), Failure> {
        sqlx::query(
            "update outbox set published_at = clock_timestamp() \
             from unnest($2::bool[], $3::bigint[], $4::bigint[]) as sent (in_order, account_id, number) \
             where outbox.shard = $1 and outbox.in_order = sent.in_order and outbox.account_id = sent.account_id \
             and outbox.number = sent.number and outbox.published_at is null",
        )
        .bind(shard)
        .bind(rows.iter().map(|row| row.in_order).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.account_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.number).collect::<Vec<_>>())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Deletes some of the rows of a shard that were published longer ago than `keep`; true when
    /// there may be more.
    ///
    /// # Errors
    /// [`Failure`] of the database; nothing was deleted.
    pub async fn prune_published(&self, shard: i16, keep: Duration) -> Result<bool, Failure> {
        let pruned = sqlx::query(
            "delete from outbox where shard = $1 and ctid = any (array(select ctid from outbox \
             where shard = $1 and published_at < clock_timestamp() - make_interval(secs => $2) limit $3))",
        )
        .bind(shard)
        .bind(keep.as_secs_f64())
        .bind(PRUNED_MAX)
        .execute(&self.pool)
        .await?;
        Ok(i64::try_from(pruned.rows_affected()).unwrap_or(i64::MAX) >= PRUNED_MAX)
    }

    /// A connection of its own for the lock of the one relay at work.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn relay_lock(&self) -> Result<RelayLock, Failure> {
        Ok(RelayLock(self.pool.acquire().await?.detach()))
    }
}

/// The lock of the one relay at work; it lives as long as its connection.
pub struct RelayLock(PgConnection);

impl RelayLock {
    /// Takes the lock; false while another relay has it.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn take(&mut self) -> Result<bool, Failure> {
        Ok(sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(RELAY_LOCK).fetch_one(&mut self.0).await?)
    }

    /// Whether the connection, and with it the lock, still lives.
    ///
    /// # Errors
    /// [`Failure`] when it does not.
    pub async fn check(&mut self) -> Result<(), Failure> {
        sqlx::query("select 1").execute(&mut self.0).await?;
        Ok(())
    }

    /// Gives the lock back.
    pub async fn release(self) {
        // A connection that is gone has given it back already.
        let _ = self.0.close().await;
    }
}
