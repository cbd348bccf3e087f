//! Messages about a tenant as a whole: settings, staff, tenant-wide resets, webhooks of nobody.
//!
//! Owns their transaction: the tenant's row is locked, the answer is recorded under the tenant's own
//! row among the accounts. A change bumps the revision that every batch compares.

use super::PostgresStore;
use super::load::instant;
use super::outbox;
use super::policies;
use super::refused;
use super::resets::ResetJob;
use super::terms;
use crate::domain::decision::{Outcome, Recorded};
use crate::domain::ids::{Hash, Id, MessageId};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::tenant_command::TenantCommand;
use crate::failure::Failure;
use crate::message::outcome::Reply;
use crate::message::raw::Raw;
use crate::store::{Content, shard_of};
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::PgConnection;
use sqlx::types::Uuid;

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

impl PostgresStore {
    /// Answers a tenant message. A reset is recorded as begun and waits: the scheduler carries it out
    /// and answers it then, so its first delivery is not answered yet.
    ///
    /// # Errors
    /// [`Failure`] of the database; nothing was changed.
    pub async fn answer_tenant(&self, ask: &TenantAsk, raw: &Raw) -> Result<Outcome, Failure> {
        let mut transaction = self.pool.begin().await?;
        let tenant: Option<(bool, Option<SqlTimestamp>, SqlTimestamp)> =
            sqlx::query_as("select test_clock, clock, clock_timestamp() from tenants where tenant = $1 for update")
                .bind(ask.tenant.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        let Some((test_clock, clock, now)) = tenant else {
            return Ok(Outcome::Quarantined(QuarantineReason::UnknownTenant));
        };
        let mut clocks = Clocks { test: test_clock, clock: clock.map(SqlTimestamp::to_jiff), now: now.to_jiff() };
        if let (true, None, Some(first)) = (test_clock, clock, ask.occurred_at) {
            set_clock(&mut transaction, &ask.tenant, first).await?;
            clocks.clock = Some(first);
        }
        let home = self.tenant_account(&mut transaction, &ask.tenant).await?;
        let answering = Answering::of(home, ask, raw);
        if let Some((content, recorded)) = answering.known(&mut transaction).await? {
            if content != ask.content.0 {
                return Ok(Outcome::Quarantined(QuarantineReason::IdempotencyConflict));
            }
            let outcome = if recorded.is_some() { Outcome::Duplicate } else { Outcome::Waiting };
            answering.reply(&mut transaction, &outcome, recorded.as_ref()).await?;
            transaction.commit().await?;
            return Ok(outcome);
        }
        let outcome = self.carry_out(&mut transaction, answering, ask, clocks).await?;
        if let Outcome::Rejected(reasons) = &outcome {
            refused::announce(&mut transaction, home, ask, reasons, clocks.time()).await?;
        }
        if outcome != Outcome::Waiting {
            answering.record(&mut transaction, &outcome).await?;
        }
        transaction.commit().await?;
        Ok(outcome)
    }

    /// Changes what is asked; [`Outcome::Waiting`] for a reset that has begun.
    async fn carry_out(
        &self,
        connection: &mut PgConnection,
        answering: Answering<'_>,
        ask: &TenantAsk,
        clocks: Clocks,
    ) -> Result<Outcome, Failure> {
        let outcome = match &ask.command {
            None => Outcome::Ignored,
            Some(TenantCommand::ChangeSettings(change)) => {
                let settings = change.applied_to(&policies::in_force(connection, &ask.tenant, None).await?);
                policies::change(connection, &ask.tenant, &settings, &ask.id.to_string()).await?;
                Outcome::Applied
            }
            Some(TenantCommand::ChangeStaff { member, role }) => {
                sqlx::query("insert into staff (tenant, member, role) values ($1, $2, $3) on conflict (tenant, member) do update set role = excluded.role")
                    .bind(ask.tenant.as_str())
                    .bind(member.as_str())
                    .bind(role.word())
                    .execute(&mut *connection)
                    .await?;
                terms::bump(connection, &ask.tenant).await?;
                Outcome::Applied
            }
            Some(TenantCommand::RemoveStaff { member }) => {
                sqlx::query("delete from staff where tenant = $1 and member = $2")
                    .bind(ask.tenant.as_str())
                    .bind(member.as_str())
                    .execute(&mut *connection)
                    .await?;
                terms::bump(connection, &ask.tenant).await?;
                Outcome::Applied
            }
            Some(TenantCommand::ResetCycles { as_of }) => begin_reset(connection, answering, *as_of, clocks).await?,
        };
        Ok(outcome)
    }

    /// The tenant's own row among the accounts, locked.
    pub(super) async fn tenant_account(&self, connection: &mut PgConnection, tenant: &Id) -> Result<(i16, i64), Failure> {
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

/// Begins a reset, unless its instant is impossible. A test clock moves in the same transaction: from
/// then on whatever happens to an account writes first what is due by the new time, so it does not
/// matter when its turn comes.
async fn begin_reset(
    connection: &mut PgConnection,
    answering: Answering<'_>,
    as_of: Timestamp,
    clocks: Clocks,
) -> Result<Outcome, Failure> {
    if clocks.test {
        if clocks.clock.is_some_and(|clock| as_of < clock) {
            return Ok(Outcome::Rejected(vec![Rejection::ResetBackwards]));
        }
        set_clock(connection, answering.tenant, as_of).await?;
    } else if as_of > clocks.now {
        return Ok(Outcome::Rejected(vec![Rejection::ResetInFuture]));
    }
    let job = ResetJob {
        tenant: answering.tenant.clone(),
        id: answering.id.clone(),
        content: answering.content,
        as_of,
        reply_to: answering.reply_to.map(str::to_owned),
        correlation_id: answering.correlation_id.map(str::to_owned),
    };
    job.begin(connection).await?;
    Ok(Outcome::Waiting)
}

async fn set_clock(connection: &mut PgConnection, tenant: &Id, clock: Timestamp) -> Result<(), Failure> {
    sqlx::query("update tenants set clock = $2 where tenant = $1").bind(tenant.as_str()).bind(instant(clock)).execute(connection).await?;
    Ok(())
}

/// Where an answer is recorded and whom it answers.
#[derive(Clone, Copy)]
pub(super) struct Answering<'a> {
    pub(super) home: (i16, i64),
    pub(super) tenant: &'a Id,
    pub(super) id: &'a MessageId,
    pub(super) content: Hash,
    pub(super) reply_to: Option<&'a str>,
    pub(super) correlation_id: Option<&'a str>,
}

impl<'a> Answering<'a> {
    fn of(home: (i16, i64), ask: &'a TenantAsk, raw: &'a Raw) -> Self {
        Self::to(home, (&ask.tenant, &ask.id, ask.content), raw)
    }

    /// The answer to a message of a tenant that came in this delivery.
    pub(super) fn to(home: (i16, i64), (tenant, id, content): (&'a Id, &'a MessageId, Hash), raw: &'a Raw) -> Self {
        let (reply_to, correlation_id) = (raw.reply_to.as_deref(), raw.correlation_id.as_deref());
        Self { home, tenant, id, content, reply_to, correlation_id }
    }

    /// What the message's identity stands for already: its content, and the recorded outcome when it
    /// does not wait.
    pub(super) async fn known(&self, connection: &mut PgConnection) -> Result<Option<(Vec<u8>, Option<Recorded>)>, Failure> {
        let found: Option<(Vec<u8>, Option<String>, Option<Vec<String>>)> = sqlx::query_as(
            "select content, outcome, reasons from outcomes where shard = $1 and account_id = $2 and message_key = $3 \
             union all select content, null, null from reset_jobs where tenant = $4 and message_key = $3",
        )
        .bind(self.home.0)
        .bind(self.home.1)
        .bind(Uuid::from_bytes(self.id.key().0))
        .bind(self.tenant.as_str())
        .fetch_optional(connection)
        .await?;
        // A message about a tenant writes no entries of its own.
        let recorded = |outcome, reasons: Option<Vec<String>>| Recorded { outcome, reasons: reasons.unwrap_or_default(), entries: None };
        Ok(found.map(|(content, outcome, reasons)| (content, outcome.map(|outcome| recorded(outcome, reasons)))))
    }

    pub(super) async fn record(&self, connection: &mut PgConnection, outcome: &Outcome) -> Result<(), Failure> {
        let Self { home, id, content, .. } = *self;
        let reasons = outcome.reasons();
        sqlx::query(
            "insert into outcomes (shard, account_id, message_key, source, id, content, outcome, reasons, recorded_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp())",
        )
        .bind(home.0)
        .bind(home.1)
        .bind(Uuid::from_bytes(id.key().0))
        .bind(id.source.as_str())
        .bind(id.id.as_str())
        .bind(content.0.to_vec())
        .bind(outcome.word())
        .bind((!reasons.is_empty()).then_some(reasons))
        .execute(&mut *connection)
        .await?;
        self.reply(connection, outcome, None).await
    }

    pub(super) async fn reply(&self, connection: &mut PgConnection, outcome: &Outcome, of: Option<&Recorded>) -> Result<(), Failure> {
        let Self { home, tenant, id, reply_to, correlation_id, .. } = *self;
        let Some(reply_to) = reply_to else { return Ok(()) };
        let body = Reply { tenant: Some(tenant), account: None, id: Some(id), outcome, entries: &[], of }.body();
        let (queue, correlation_id) = (reply_to.to_owned(), correlation_id.map(str::to_owned));
        outbox::announce(connection, home, vec![Content::Reply { queue, correlation_id, body }]).await
    }
}

#[derive(Clone, Copy)]
struct Clocks {
    test: bool,
    clock: Option<Timestamp>,
    now: Timestamp,
}

impl Clocks {
    /// The tenant's time.
    fn time(&self) -> Timestamp {
        self.clock.filter(|_| self.test).unwrap_or(self.now)
    }
}
