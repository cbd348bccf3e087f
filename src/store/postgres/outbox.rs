//! What is to be published, and the mark that it was.
//!
//! Owns the order per account: only the oldest unpublished row of an account is handed out, so a
//! row that cannot be published keeps back its own account only. Rows are marked, never remembered
//! by a position: one that commits late is found like any other.

use super::PostgresStore;
use crate::failure::Failure;
use sqlx::PgConnection;

/// An unpublished row.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Unpublished {
    /// Its account.
    pub account_id: i64,
    /// Its position there.
    pub number: i64,
    /// A reply goes to a queue by name, an event to the events exchange.
    pub is_reply: bool,
    /// Routing key or queue.
    pub routing_key: String,
    /// Copied to a reply.
    pub correlation_id: Option<String>,
    /// What is sent.
    pub body: Vec<u8>,
}

impl PostgresStore {
    /// The oldest unpublished row of each account of a shard, at most `most`.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn unpublished(&self, connection: &mut PgConnection, shard: i16, most: i64) -> Result<Vec<Unpublished>, Failure> {
        // The partial index is walked once in key order; `distinct on` keeps the first of each.
        let rows = sqlx::query_as(
            "select account_id, number, is_reply, routing_key, correlation_id, body from ( \
               select distinct on (account_id) account_id, number, is_reply, routing_key, correlation_id, body \
               from outbox where shard = $1 and published_at is null order by account_id, number) as first \
             limit $2",
        )
        .bind(shard)
        .bind(most)
        .fetch_all(connection)
        .await?;
        Ok(rows)
    }

    /// Marks rows as published.
    ///
    /// # Errors
    /// [`Failure`] of the database; they are then published again, which subscribers drop by id.
    pub async fn mark_published(&self, connection: &mut PgConnection, shard: i16, rows: &[(i64, i64)]) -> Result<(), Failure> {
        let (accounts, numbers): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        sqlx::query(
            "update outbox set published_at = clock_timestamp() from unnest($2::bigint[], $3::bigint[]) as sent (account_id, number) \
             where outbox.shard = $1 and outbox.account_id = sent.account_id and outbox.number = sent.number",
        )
        .bind(shard)
        .bind(accounts)
        .bind(numbers)
        .execute(connection)
        .await?;
        Ok(())
    }
}
