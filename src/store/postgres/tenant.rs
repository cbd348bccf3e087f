//! Messages about a tenant as a whole: settings, staff, tenant-wide resets, webhooks of nobody.
//!
//! Owns their transaction: the tenant's row is locked, the answer is recorded under the tenant's own
//! row among the accounts. A change bumps the revision that every batch compares.

use super::PostgresStore;
use super::load::instant;
use super::refused;
use super::terms::SettingsRow;
use crate::domain::command::TenantCommand;
use crate::domain::decision::Outcome;
use crate::domain::ids::{Hash, Id, MessageId};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::failure::Failure;
use crate::message::outcome::Reply;
use crate::message::raw::Raw;
use crate::store::shard_of;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::PgConnection;
use sqlx::types::{Json, Uuid};

/// Something to answer for a tenant.
#[derive(Debug, Clone)]
pub struct TenantAsk {
    /// Names this deployment in announcements.
    pub origin: String,
    /// Which tenant.
    pub tenant: Id,
    /// Source and id.
    pub id: MessageId,
    /// Hash of the content.
    pub content: Hash,
    /// What is asked; absent for a webhook that is not ours.
    pub command: Option<TenantCommand>,
    /// When it happened, which starts a test clock; absent for a webhook that is not ours.
    pub occurred_at: Option<Timestamp>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantAnswer {
    /// Final and recorded.
    Final(Outcome),
    /// A tenant-wide reset that is to be carried out up to this instant before it is final.
    Reset(Timestamp),
}

impl PostgresStore {
    /// Answers a tenant message; a reset is recorded as begun and must be carried out and then
    /// finished with [`PostgresStore::finish_tenant`].
    ///
    /// # Errors
    /// [`Failure`] of the database; nothing was changed.
    pub async fn answer_tenant(&self, ask: &TenantAsk, raw: &Raw) -> Result<TenantAnswer, Failure> {
        let mut transaction = self.pool.begin().await?;
        let tenant: Option<(Json<SettingsRow>, bool, Option<SqlTimestamp>, SqlTimestamp)> =
            sqlx::query_as("select settings, test_clock, clock, clock_timestamp() from tenants where tenant = $1 for update")
                .bind(ask.tenant.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        let Some((settings, test_clock, clock, now)) = tenant else {
            return Ok(TenantAnswer::Final(Outcome::Quarantined(QuarantineReason::UnknownTenant)));
        };
        if let (true, None, Some(first)) = (test_clock, clock, ask.occurred_at) {
            sqlx::query("update tenants set clock = $2 where tenant = $1")
                .bind(ask.tenant.as_str())
                .bind(instant(first))
                .execute(&mut *transaction)
                .await?;
        }
        let home = self.tenant_account(&mut transaction, &ask.tenant).await?;
        let known: Option<(Vec<u8>, String)> =
            sqlx::query_as("select content, outcome from outcomes where shard = $1 and account_id = $2 and message_key = $3")
                .bind(home.0)
                .bind(home.1)
                .bind(Uuid::from_bytes(ask.id.key().0))
                .fetch_optional(&mut *transaction)
                .await?;
        if let Some((content, outcome)) = known {
            if content != ask.content.0 {
                return Ok(TenantAnswer::Final(Outcome::Quarantined(QuarantineReason::IdempotencyConflict)));
            }
            let answering = Answering { home, ask, raw };
            answering.reply(&mut transaction, &Outcome::Duplicate, Some(&outcome)).await?;
            transaction.commit().await?;
            return Ok(TenantAnswer::Final(Outcome::Duplicate));
        }
        let clocks = Clocks { test: test_clock, clock: clock.map(SqlTimestamp::to_jiff), now: now.to_jiff() };
        let Some(outcome) = self.carry_out(&mut transaction, ask, &settings.0, clocks).await? else {
            transaction.commit().await?;
            let as_of = match &ask.command {
                Some(TenantCommand::ResetCycles { as_of }) => *as_of,
                _ => clocks.now,
            };
            return Ok(TenantAnswer::Reset(as_of));
        };
        if let Outcome::Rejected(reasons) = &outcome {
            refused::announce(&mut transaction, home, ask, reasons, clocks.now).await?;
        }
        Answering { home, ask, raw }.record(&mut transaction, &outcome).await?;
        transaction.commit().await?;
        Ok(TenantAnswer::Final(outcome))
    }

    /// Changes what is asked; `None` when a reset has begun that is to be carried out.
    async fn carry_out(
        &self,
        connection: &mut PgConnection,
        ask: &TenantAsk,
        settings: &SettingsRow,
        clocks: Clocks,
    ) -> Result<Option<Outcome>, Failure> {
        let outcome = match &ask.command {
            None => Outcome::Ignored,
            Some(TenantCommand::ChangeSettings(change)) => {
                let changed = change.applied_to(&settings.settings()?);
                sqlx::query("update tenants set settings = $2, revision = revision + 1 where tenant = $1")
                    .bind(ask.tenant.as_str())
                    .bind(Json(SettingsRow::of(&changed)))
                    .execute(&mut *connection)
                    .await?;
                Outcome::Applied
            }
            Some(TenantCommand::ChangeStaff { member, role }) => {
                sqlx::query("insert into staff (tenant, member, role) values ($1, $2, $3) on conflict (tenant, member) do update set role = excluded.role")
                    .bind(ask.tenant.as_str())
                    .bind(member.as_str())
                    .bind(role.word())
                    .execute(&mut *connection)
                    .await?;
                self.bump(connection, &ask.tenant).await?;
                Outcome::Applied
            }
            Some(TenantCommand::RemoveStaff { member }) => {
                sqlx::query("delete from staff where tenant = $1 and member = $2")
                    .bind(ask.tenant.as_str())
                    .bind(member.as_str())
                    .execute(&mut *connection)
                    .await?;
                self.bump(connection, &ask.tenant).await?;
                Outcome::Applied
            }
            Some(TenantCommand::ResetCycles { as_of }) => match self.begin_reset(connection, ask, *as_of, clocks).await? {
                None => return Ok(None),
                Some(rejection) => Outcome::Rejected(vec![rejection]),
            },
        };
        Ok(Some(outcome))
    }

    /// Records a tenant-wide reset as done.
    ///
    /// # Errors
    /// [`Failure`] of the database; the reset is begun again at the next delivery and finds nothing
    /// left to do.
    pub async fn finish_tenant(&self, ask: &TenantAsk, raw: &Raw) -> Result<(), Failure> {
        let mut transaction = self.pool.begin().await?;
        let home = self.tenant_account(&mut transaction, &ask.tenant).await?;
        Answering { home, ask, raw }.record(&mut transaction, &Outcome::Applied).await?;
        sqlx::query("delete from reset_jobs where tenant = $1 and message_key = $2")
            .bind(ask.tenant.as_str())
            .bind(Uuid::from_bytes(ask.id.key().0))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn begin_reset(
        &self,
        connection: &mut PgConnection,
        ask: &TenantAsk,
        as_of: Timestamp,
        clocks: Clocks,
    ) -> Result<Option<Rejection>, Failure> {
        let key = Uuid::from_bytes(ask.id.key().0);
        let begun: bool = sqlx::query_scalar("select exists (select from reset_jobs where tenant = $1 and message_key = $2)")
            .bind(ask.tenant.as_str())
            .bind(key)
            .fetch_one(&mut *connection)
            .await?;
        if begun {
            return Ok(None);
        }
        if clocks.test {
            if clocks.clock.is_some_and(|clock| as_of < clock) {
                return Ok(Some(Rejection::ResetBackwards));
            }
            sqlx::query("update tenants set clock = $2 where tenant = $1")
                .bind(ask.tenant.as_str())
                .bind(instant(as_of))
                .execute(&mut *connection)
                .await?;
        } else if as_of > clocks.now {
            return Ok(Some(Rejection::ResetInFuture));
        }
        sqlx::query("insert into reset_jobs (tenant, message_key, as_of) values ($1, $2, $3)")
            .bind(ask.tenant.as_str())
            .bind(key)
            .bind(instant(as_of))
            .execute(connection)
            .await?;
        Ok(None)
    }

    async fn bump(&self, connection: &mut PgConnection, tenant: &Id) -> Result<(), Failure> {
        sqlx::query("update tenants set revision = revision + 1 where tenant = $1").bind(tenant.as_str()).execute(connection).await?;
        Ok(())
    }

    /// The tenant's own row among the accounts, locked.
    async fn tenant_account(&self, connection: &mut PgConnection, tenant: &Id) -> Result<(i16, i64), Failure> {
        let shard = shard_of(tenant.as_str(), "", self.shards);
        sqlx::query("insert into accounts (shard, tenant, account) values ($1, $2, '') on conflict do nothing")
            .bind(shard)
            .bind(tenant.as_str())
            .execute(&mut *connection)
            .await?;
        let id: i64 = sqlx::query_scalar("select account_id from accounts where shard = $1 and tenant = $2 and account = '' for update")
            .bind(shard)
            .bind(tenant.as_str())
            .fetch_one(connection)
            .await?;
        Ok((shard, id))
    }
}

/// Where an answer is recorded and whom it answers.
#[derive(Clone, Copy)]
struct Answering<'a> {
    home: (i16, i64),
    ask: &'a TenantAsk,
    raw: &'a Raw,
}

impl Answering<'_> {
    async fn record(&self, connection: &mut PgConnection, outcome: &Outcome) -> Result<(), Failure> {
        let Self { home, ask, .. } = *self;
        let reasons = outcome.reasons();
        sqlx::query(
            "insert into outcomes (shard, account_id, message_key, source, id, content, outcome, reasons, recorded_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp())",
        )
        .bind(home.0)
        .bind(home.1)
        .bind(Uuid::from_bytes(ask.id.key().0))
        .bind(ask.id.source.as_str())
        .bind(ask.id.id.as_str())
        .bind(ask.content.0.to_vec())
        .bind(outcome.word())
        .bind((!reasons.is_empty()).then_some(reasons))
        .execute(&mut *connection)
        .await?;
        self.reply(connection, outcome, None).await
    }

    async fn reply(&self, connection: &mut PgConnection, outcome: &Outcome, of: Option<&str>) -> Result<(), Failure> {
        let Self { home, ask, raw } = *self;
        let Some(reply_to) = &raw.reply_to else { return Ok(()) };
        let body = Reply { tenant: Some(&ask.tenant), account: None, id: Some(&ask.id), outcome, entries: &[], of }.body();
        sqlx::query(
            "with counted as (update accounts set event_count = event_count + 1 where shard = $1 and account_id = $2 returning event_count) \
             insert into outbox (shard, account_id, number, is_reply, routing_key, correlation_id, body) \
             select $1, $2, event_count, true, $3, $4, $5 from counted",
        )
        .bind(home.0)
        .bind(home.1)
        .bind(reply_to)
        .bind(raw.correlation_id.as_deref())
        .bind(body)
        .execute(connection)
        .await?;
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Clocks {
    test: bool,
    clock: Option<Timestamp>,
    now: Timestamp,
}
