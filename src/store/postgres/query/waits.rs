//! What messages wait for, for people.
//!
//! Owns read-only statements about the table `waiting`; never reads a message's bytes.

use super::Home;
use crate::domain::decision::On;
use crate::domain::ids::{Id, MessageId};
use crate::failure::Failure;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::rows::{message_id, unreadable};
use crate::store::shard_of;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::types::Uuid;

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Its identity.
    pub message: MessageId,
    /// What for.
    pub on: On,
    /// When it is set aside if that has not come.
    pub deadline: Timestamp,
}

#[derive(sqlx::FromRow)]
struct WaitRow {
    source: String,
    id: String,
    waits_on: String,
    waits_key: Option<String>,
    waits_until: Option<SqlTimestamp>,
    deadline: SqlTimestamp,
}

impl WaitRow {
    fn wait(&self) -> Result<Wait, Failure> {
        let on = On::from_word(&self.waits_on, self.waits_key.as_deref(), self.waits_until.map(SqlTimestamp::to_jiff));
        Ok(Wait {
            message: message_id(&self.source, &self.id)?,
            on: on.ok_or_else(|| unreadable("wait", &self.waits_on))?,
            deadline: self.deadline.to_jiff(),
        })
    }
}

impl PostgresStore {
    /// What messages of an account wait for: how many do, and the oldest of them, at most `most`.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn waits(&self, home: Home, most: i64) -> Result<(i64, Vec<Wait>), Failure> {
        let all: i64 = sqlx::query_scalar("select count(*) from waiting where shard = $1 and account_id = $2")
            .bind(home.shard)
            .bind(home.account_id)
            .fetch_one(self.pool())
            .await?;
        let rows: Vec<WaitRow> = sqlx::query_as(
            "select source, id, waits_on, waits_key, waits_until, deadline from waiting where shard = $1 and account_id = $2 \
             order by arrived_at, message_key limit $3",
        )
        .bind(home.shard)
        .bind(home.account_id)
        .bind(most)
        .fetch_all(self.pool())
        .await?;
        Ok((all, rows.iter().map(WaitRow::wait).collect::<Result<_, _>>()?))
    }

    /// What a provider's message waits for that nobody has claimed the payment of; `None` when it does not wait.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn wait_of_nobody(&self, tenant: &Id, message: &MessageId) -> Result<Option<Wait>, Failure> {
        let row: Option<WaitRow> = sqlx::query_as(
            "select source, id, 'payment' as waits_on, (select string_agg(substr(name, strpos(name, ':') + 1), E'\\n' order by name) from unclaimed_names \
               where shard = $1 and tenant = $2 and message_key = $3) as waits_key, null::timestamptz as waits_until, deadline \
             from unclaimed where shard = $1 and tenant = $2 and message_key = $3 and not is_answered",
        )
        .bind(shard_of(tenant.as_str(), "", self.shards()))
        .bind(tenant.as_str())
        .bind(Uuid::from_bytes(message.key().0))
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(WaitRow::wait).transpose()
    }

    /// What one message waits for; `None` when it does not wait.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn wait(&self, tenant: &Id, account: &Id, message: &MessageId) -> Result<Option<Wait>, Failure> {
        let Some(home) = self.home(tenant, Some(account)).await? else { return Ok(None) };
        let row: Option<WaitRow> = sqlx::query_as(
            "select source, id, waits_on, waits_key, waits_until, deadline from waiting \
             where shard = $1 and account_id = $2 and message_key = $3",
        )
        .bind(home.shard)
        .bind(home.account_id)
        .bind(Uuid::from_bytes(message.key().0))
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(WaitRow::wait).transpose()
    }
}
