//! How much waits: what is unpublished, what waits for something, resets under way.
//!
//! Owns counts for figures, each bounded: a flood must not make counting it slow.

use crate::failure::Failure;
use crate::store::postgres::PostgresStore;

/// What waits in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Unpublished batches of the outbox, at most 100,000.
    pub batches: i64,
    /// Unpublished announcements that left their batch, at most 100,000.
    pub backlog: i64,
    /// Messages that wait for something, at most 100,000.
    pub waiting: i64,
    /// Tenant-wide resets under way.
    pub reset_jobs: i64,
    /// The oldest unpublished batch of each shard that has one.
    pub oldest: Vec<(i16, i64)>,
}

impl PostgresStore {
    /// Counts what waits.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn backlog(&self) -> Result<Backlog, Failure> {
        let (batches, backlog, waiting, reset_jobs) = sqlx::query_as(
            // By the index of each kind: what was published is not read.
            "select (select count(*) from (select from (select batch from outbox_batches where published_at is null and is_replies \
                        union all select batch from outbox_batches where published_at is null and not is_replies) as either limit 100000) as part), \
                    (select count(*) from (select from outbox_backlog where published_at is null limit 100000) as part), \
                    (select count(*) from (select from waiting limit 100000) as part), \
                    (select count(*) from reset_jobs)",
        )
        .fetch_one(self.pool())
        .await?;
        // One descent of the index per shard.
        let oldest = sqlx::query_as(
            "select shard, batch from generate_series(0, $1::integer - 1) as shards (number) cross join lateral \
                (select shard, min(batch) as batch from ( \
                    (select shard, batch from outbox_batches where shard = number::smallint and published_at is null and not is_replies order by batch limit 1) \
                    union all \
                    (select shard, batch from outbox_batches where shard = number::smallint and published_at is null and is_replies order by batch limit 1) \
                ) as firsts group by shard) as oldest",
        )
        .bind(i32::from(self.shards()))
        .fetch_all(self.pool())
        .await?;
        Ok(Backlog { batches, backlog, waiting, reset_jobs, oldest })
    }
}
