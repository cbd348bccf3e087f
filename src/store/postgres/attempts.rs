//! How often a delivery that keeps coming back was tried.
//!
//! Owns the counts; they are committed before the try.

use super::{PostgresStore, aside};
use crate::failure::Failure;
use crate::message::Raw;
use std::collections::HashMap;
use std::sync::Arc;

impl PostgresStore {
    /// Counts one more attempt for each delivery and returns the counts, one for one.
    ///
    /// # Errors
    /// [`Failure`] of the database; nothing was counted.
    pub async fn count_attempts(&self, raws: &[Arc<Raw>]) -> Result<Vec<i32>, Failure> {
        let keys: Vec<(&str, Vec<u8>)> = raws.iter().map(|raw| (raw.queue.word(), raw.digest().0.to_vec())).collect();
        // The same bytes may be in the group twice; they are counted once.
        let mut unique = keys.clone();
        unique.sort();
        unique.dedup();
        let (queues, digests): (Vec<&str>, Vec<Vec<u8>>) = unique.into_iter().unzip();
        let rows: Vec<(String, Vec<u8>, i32)> = sqlx::query_as(
            "insert into attempts (shard, queue, digest, attempts) select $1, *, 1 from unnest($2::text[], $3::bytea[]) \
             on conflict (shard, queue, digest) do update set attempts = attempts.attempts + 1, last_at = clock_timestamp() \
             returning queue, digest, attempts",
        )
        .bind(aside::home(self.shards))
        .bind(queues)
        .bind(digests)
        .fetch_all(&self.pool)
        .await?;
        let counts: HashMap<(String, Vec<u8>), i32> = rows.into_iter().map(|(queue, digest, count)| ((queue, digest), count)).collect();
        Ok(keys.into_iter().map(|(queue, digest)| counts.get(&(queue.to_owned(), digest)).copied().unwrap_or(1)).collect())
    }

    /// Forgets deliveries that were settled.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn forget_attempts(&self, raws: &[Arc<Raw>]) -> Result<(), Failure> {
        let (queues, digests): (Vec<&str>, Vec<Vec<u8>>) = raws.iter().map(|raw| (raw.queue.word(), raw.digest().0.to_vec())).unzip();
        sqlx::query("delete from attempts where shard = $1 and (queue, digest) in (select * from unnest($2::text[], $3::bytea[]))")
            .bind(aside::home(self.shards))
            .bind(queues)
            .bind(digests)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
