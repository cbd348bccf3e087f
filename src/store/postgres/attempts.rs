//! How often a delivery that keeps coming back was tried.
//!
//! Owns the counts; they are committed before the try.

use super::{PostgresStore, aside};
use crate::failure::Failure;
use crate::message::Raw;
use std::collections::HashMap;
use std::sync::Arc;

impl PostgresStore {
    /// How often each delivery was tried before, one for one.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn attempts(&self, raws: &[Arc<Raw>]) -> Result<Vec<usize>, Failure> {
        let (queues, digests) = keys(raws);
        let rows: Vec<(String, Vec<u8>, i32)> = sqlx::query_as(
            "select queue, digest, attempts from unnest($2::text[], $3::bytea[]) as asked (queue, digest) \
             join attempts using (queue, digest) where shard = $1",
        )
        .bind(aside::home(self.shards))
        .bind(&queues)
        .bind(&digests)
        .fetch_all(&self.pool)
        .await?;
        let counts: HashMap<(&str, &[u8]), i32> =
            rows.iter().map(|(queue, digest, count)| ((queue.as_str(), digest.as_slice()), *count)).collect();
        let count = |(queue, digest): (&&str, &Vec<u8>)| counts.get(&(*queue, digest.as_slice())).copied().unwrap_or(0);
        Ok(queues.iter().zip(&digests).map(count).map(|count| usize::try_from(count).unwrap_or(0)).collect())
    }

    /// Counts one more attempt for each delivery.
    ///
    /// # Errors
    /// [`Failure`] of the database; nothing was counted.
    pub async fn count_attempts(&self, raws: &[Arc<Raw>]) -> Result<(), Failure> {
        let (queues, digests) = keys(raws);
        // The same bytes may be in the group twice; they are counted once.
        sqlx::query(
            "insert into attempts (shard, queue, digest, attempts) \
             select $1, queue, digest, 1 from unnest($2::text[], $3::bytea[]) as tried (queue, digest) group by queue, digest \
             order by queue, digest \
             on conflict (shard, queue, digest) do update set attempts = attempts.attempts + 1, last_at = clock_timestamp()",
        )
        .bind(aside::home(self.shards))
        .bind(queues)
        .bind(digests)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets deliveries that were settled, and all that were last tried a day ago.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn forget_attempts(&self, raws: &[Arc<Raw>]) -> Result<(), Failure> {
        let (queues, digests) = keys(raws);
        sqlx::query(
            "delete from attempts where shard = $1 and ((queue, digest) in (select * from unnest($2::text[], $3::bytea[])) \
             or last_at < clock_timestamp() - interval '1 day')",
        )
        .bind(aside::home(self.shards))
        .bind(queues)
        .bind(digests)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

fn keys(raws: &[Arc<Raw>]) -> (Vec<&'static str>, Vec<Vec<u8>>) {
    raws.iter().map(|raw| (raw.queue.word(), raw.digest().0.to_vec())).unzip()
}
