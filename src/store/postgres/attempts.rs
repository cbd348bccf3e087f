//! How often a delivery that keeps coming back was tried.
//!
//! Owns the counts; they are committed before the try.

use super::{PostgresStore, aside};
use crate::domain::command::Message;
use crate::failure::Failure;
use crate::message::Raw;
use crate::store::shard_of;
use sqlx::types::Uuid;
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

    /// Whether a message has an outcome already: an earlier delivery of it got that far.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn is_answered(&self, message: &Message) -> Result<bool, Failure> {
        let account = &message.account;
        let is_answered = sqlx::query_scalar(
            "select exists (select from outcomes join accounts using (shard, account_id) \
             where shard = $1 and tenant = $2 and account = $3 and message_key = $4 and content = $5)",
        )
        .bind(shard_of(account.tenant.as_str(), account.account.as_str(), self.shards))
        .bind(account.tenant.as_str())
        .bind(account.account.as_str())
        .bind(Uuid::from_bytes(message.id.key().0))
        .bind(message.content.0.to_vec())
        .fetch_one(&self.pool)
        .await?;
        Ok(is_answered)
    }

    /// Forgets deliveries that were settled, and all that were last tried a day ago.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn forget_attempts(&self, raws: &[Arc<Raw>]) -> Result<(), Failure> {
        let (queues, digests) = keys(raws);
        sqlx::query(
            "delete from attempts where shard = $1 and ((queue, digest) in (select * from unnest($2::text[], $3::bytea[])) \
             or last_at < statement_timestamp() - interval '1 day')",
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
