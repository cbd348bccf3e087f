//! Tenant-wide resets under way.
//!
//! Owns their rows: who works on one, what keeps it up, and its end. Never writes an account.

use super::PostgresStore;
use super::load::instant;
use super::rows::{hash, id, unreadable};
use super::tenant::Answering;
use crate::domain::decision::Outcome;
use crate::domain::ids::{Hash, Id, MessageId, Printable};
use crate::failure::Failure;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::PgConnection;
use sqlx::types::Uuid;

/// Accounts that keep a reset up and are kept by name.
const NAMED_MAX: usize = 20;

/// A tenant-wide reset that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetJob {
    /// Whose accounts.
    pub tenant: Id,
    /// The message that asks for it.
    pub id: MessageId,
    /// Hash of its content.
    pub content: Hash,
    /// Everything due by then is written.
    pub as_of: Timestamp,
    /// Where the outcome is sent.
    pub reply_to: Option<String>,
    /// Copied into the answer.
    pub correlation_id: Option<String>,
}

type JobRow = (String, String, String, Vec<u8>, SqlTimestamp, Option<String>, Option<String>);

impl ResetJob {
    fn read((tenant, source, name, content, as_of, reply_to, correlation_id): JobRow) -> Result<Self, Failure> {
        let named = |text: &str| Printable::new(text).map_err(|_| unreadable("message of a reset", text));
        let message = MessageId { source: named(&source)?, id: named(&name)? };
        Ok(Self { tenant: id(&tenant)?, id: message, content: hash(&content)?, as_of: as_of.to_jiff(), reply_to, correlation_id })
    }

    fn key(&self) -> Uuid {
        Uuid::from_bytes(self.id.key().0)
    }

    /// Records it as begun, in the transaction that found it acceptable.
    pub(super) async fn begin(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        sqlx::query(
            "insert into reset_jobs (tenant, message_key, source, id, content, as_of, reply_to, correlation_id) \
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(self.tenant.as_str())
        .bind(self.key())
        .bind(self.id.source.as_str())
        .bind(self.id.id.as_str())
        .bind(self.content.0.to_vec())
        .bind(instant(self.as_of))
        .bind(self.reply_to.as_deref())
        .bind(self.correlation_id.as_deref())
        .execute(connection)
        .await?;
        Ok(())
    }
}

impl PostgresStore {
    /// Takes resets nobody works on. They are this worker's for 10 s, and for another 10 s whenever
    /// it says so with [`PostgresStore::keep_reset`].
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn take_resets(&self, most: i64) -> Result<Vec<ResetJob>, Failure> {
        let rows: Vec<JobRow> = sqlx::query_as(
            "update reset_jobs set try_at = clock_timestamp() + interval '10 seconds' where (tenant, message_key) in \
               (select tenant, message_key from reset_jobs where try_at <= statement_timestamp() \
                order by try_at limit $1 for update skip locked) \
             returning tenant, source, id, content, as_of, reply_to, correlation_id",
        )
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(ResetJob::read).collect()
    }

    /// Says that this worker is still at it.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn keep_reset(&self, job: &ResetJob) -> Result<(), Failure> {
        self.try_again(job, "10 seconds", None).await
    }

    /// Leaves a reset for another worker, at once.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn leave_reset(&self, job: &ResetJob) -> Result<(), Failure> {
        self.try_again(job, "0 seconds", None).await
    }

    /// Names accounts that could not be written; it is tried again after a minute.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn hold_up_reset(&self, job: &ResetJob, accounts: &[String]) -> Result<(), Failure> {
        self.try_again(job, "1 minute", accounts.get(..accounts.len().min(NAMED_MAX))).await
    }

    async fn try_again(&self, job: &ResetJob, after: &'static str, held_up_by: Option<&[String]>) -> Result<(), Failure> {
        sqlx::query(
            "update reset_jobs set try_at = clock_timestamp() + $3::text::interval, held_up_by = coalesce($4, held_up_by) \
             where tenant = $1 and message_key = $2",
        )
        .bind(job.tenant.as_str())
        .bind(job.key())
        .bind(after)
        .bind(held_up_by)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Answers a reset whose accounts are all written; false when another worker has.
    ///
    /// # Errors
    /// [`Failure`] of the database; it is still to be answered.
    pub async fn finish_reset(&self, job: &ResetJob) -> Result<bool, Failure> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("select from tenants where tenant = $1 for update").bind(job.tenant.as_str()).execute(&mut *transaction).await?;
        let removed = sqlx::query("delete from reset_jobs where tenant = $1 and message_key = $2")
            .bind(job.tenant.as_str())
            .bind(job.key())
            .execute(&mut *transaction)
            .await?;
        if removed.rows_affected() == 0 {
            return Ok(false);
        }
        let home = self.tenant_account(&mut transaction, &job.tenant).await?;
        let answering = Answering {
            home,
            tenant: &job.tenant,
            id: &job.id,
            content: job.content,
            reply_to: job.reply_to.as_deref(),
            correlation_id: job.correlation_id.as_deref(),
        };
        answering.record(&mut transaction, &Outcome::Applied).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The accounts that keep a reset up, some of them by name; `None` when no such reset is under way.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn reset_held_up_by(&self, tenant: &Id, message: &MessageId) -> Result<Option<Vec<String>>, Failure> {
        let found = sqlx::query_scalar("select held_up_by from reset_jobs where tenant = $1 and message_key = $2")
            .bind(tenant.as_str())
            .bind(Uuid::from_bytes(message.key().0))
            .fetch_optional(&self.pool)
            .await?;
        Ok(found)
    }
}
