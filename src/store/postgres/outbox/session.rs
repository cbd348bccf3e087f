//! The session of the one relay at work, of announcements or of replies.
//!
//! Owns the lock that makes it the one, which shards it is to look at, and removing what was published long
//! ago. `unpublished` reads what it sends, `settled` marks it.

use super::super::PostgresStore;
use crate::failure::Failure;
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;

/// Published batches deleted in one statement: each may be as large as a transaction's replies.
const PRUNED_BATCHES_MAX: i64 = 100;
/// Published rows of the backlog deleted in one statement.
const PRUNED_MAX: i64 = 5_000;

/// What a relay sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outflow {
    /// Announcements, and whatever stands in the backlog.
    Events,
    /// Replies, which somebody waits for: they do not stand behind the announcements of a busy hour.
    Replies,
}

impl Outflow {
    /// The session lock of the one relay of it at work.
    fn lock(self) -> i64 {
        match self {
            Self::Events => 0x6372_6564_6974,
            Self::Replies => 0x7265_706c_7973,
        }
    }
}

impl PostgresStore {
    /// A session of its own for the one relay at work.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn relay_session(&self, outflow: Outflow) -> Result<RelaySession, Failure> {
        let mut connection = self.pool.acquire().await?.detach();
        // While little is published yet, the planner would read the whole outbox for what is not.
        sqlx::query("set enable_seqscan = off").execute(&mut connection).await?;
        // A mark that a server forgets when it crashes costs nothing but what is sent a second time.
        sqlx::query("set synchronous_commit = off").execute(&mut connection).await?;
        Ok(RelaySession { connection, outflow })
    }
}

/// The session of the one relay at work; its lock lives as long as its connection.
pub struct RelaySession {
    pub(super) connection: PgConnection,
    pub(super) outflow: Outflow,
}

impl RelaySession {
    /// Deletes some of the rows of a shard that were published longer ago than `keep`; true when
    /// there may be more.
    ///
    /// # Errors
    /// [`Failure`] of the database; nothing was deleted.
    pub async fn prune_published(&mut self, shard: i16, keep: Duration) -> Result<bool, Failure> {
        let batches = "delete from outbox_batches where shard = $1 and ctid = any (array(select ctid from outbox_batches \
                       where shard = $1 and published_at < statement_timestamp() - make_interval(secs => $2) limit $3))";
        let backlog = "delete from outbox_backlog where shard = $1 and ctid = any (array(select ctid from outbox_backlog \
                       where shard = $1 and published_at < statement_timestamp() - make_interval(secs => $2) limit $3))";
        let mut is_more = false;
        for (sql, most) in [(batches, PRUNED_BATCHES_MAX), (backlog, PRUNED_MAX)] {
            let pruned = sqlx::query(sql).bind(shard).bind(keep.as_secs_f64()).bind(most).execute(&mut self.connection).await?;
            is_more |= i64::try_from(pruned.rows_affected()).unwrap_or(i64::MAX) >= most;
        }
        Ok(is_more)
    }

    /// Takes the lock; false while another relay has it.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn take(&mut self) -> Result<bool, Failure> {
        Ok(sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(self.outflow.lock()).fetch_one(&mut self.connection).await?)
    }

    /// The shards that are to be looked at: of replies those that have some, of events all, as a backlog does not
    /// show in the batches.
    ///
    /// # Errors
    /// [`Failure`] when the connection, and with it the lock, does not live any more.
    pub async fn sweep(&mut self) -> Result<Vec<i16>, Failure> {
        let sql = match self.outflow {
            Outflow::Events => "select generate_series(0, shards - 1)::smallint from databases",
            Outflow::Replies => "select distinct shard from outbox_batches where published_at is null and is_replies",
        };
        Ok(sqlx::query_scalar(sql).fetch_all(&mut self.connection).await?)
    }

    /// Gives the lock back.
    pub async fn release(self) {
        // A connection that is gone has given it back already.
        let _ = self.connection.close().await;
    }
}
