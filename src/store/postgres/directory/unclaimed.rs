//! Provider's messages about payments that no account has claimed yet.
//!
//! Owns the tables `unclaimed` and `unclaimed_names`: a message that does not say whose its payment is waits
//! here, in the shard of its tenant, until an account claims one of the names it shows. Whoever claims names
//! marks what waits for them; the scheduler asks for what is marked, and for the rest now and then, so that
//! nothing depends on two transactions seeing each other. Some are answered already, as ignored, and are kept
//! for the names they show: a session may come that says whose the payment is. Changes no balance.

use super::super::PostgresStore;
use super::super::rows::{id, message_id};
use super::super::tenant::Answering;
use super::Fact;
use crate::domain::command::{Command, Message};
use crate::domain::decision::Outcome;
use crate::domain::ids::{Hash, Id, MessageId};
use crate::domain::rejection::QuarantineReason;
use crate::failure::Failure;
use crate::message::raw::{Raw, RawHead};
use crate::message::{Incoming, Unaddressed, reread};
use crate::store::facts::{Wait, shown};
use crate::store::shard_of;
use sqlx::PgConnection;
use sqlx::types::{Json, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whose a payment is, by the names that a message shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// This account's.
    To(Id),
    /// Nobody has claimed any of its names.
    Nobody,
    /// Its names belong to several accounts: a contradiction.
    Several,
}

/// A message that waits for somebody to claim its payment.
#[derive(Debug)]
pub struct Unclaimed {
    /// What it says.
    pub message: Unaddressed,
    /// The delivery it came in.
    pub raw: Arc<Raw>,
    /// It is answered already, as ignored.
    pub is_answered: bool,
    /// Nobody has claimed it in time.
    pub is_over: bool,
}

#[derive(sqlx::FromRow)]
struct UnclaimedRow {
    tenant: String,
    source: String,
    id: String,
    is_answered: bool,
    is_over: bool,
    raw: Json<RawHead>,
    body: Vec<u8>,
}

impl UnclaimedRow {
    fn read(self) -> Option<Unclaimed> {
        let raw = Arc::new(Raw::from_parts(self.raw.0, self.body)?);
        let Ok(Incoming::Unaddressed(message)) = reread(&raw) else { return None };
        Some(Unclaimed { message: *message, raw, is_answered: self.is_answered, is_over: self.is_over })
    }
}

impl PostgresStore {
    /// Whose the payments are that messages are about, one answer for each.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn address(&self, asked: &[&Unaddressed]) -> Result<Vec<Address>, Failure> {
        let mut named: Vec<(usize, Fact)> = Vec::new();
        for (place, message) in asked.iter().enumerate() {
            named.extend(shown(&message.command).into_iter().map(|fact| (place, self.fact(&message.tenant, fact))));
        }
        let mut accounts: Vec<BTreeSet<String>> = vec![BTreeSet::new(); asked.len()];
        for (place, account) in self.holders(&named).await? {
            if let Some(accounts) = accounts.get_mut(place) {
                accounts.insert(account);
            }
        }
        let address = |accounts: BTreeSet<String>| {
            let mut accounts = accounts.iter();
            match (accounts.next(), accounts.next()) {
                (None, _) => Ok(Address::Nobody),
                (Some(only), None) => Ok(Address::To(id(only)?)),
                (Some(_), Some(_)) => Ok(Address::Several),
            }
        };
        accounts.into_iter().map(address).collect()
    }

    /// Keeps a message until somebody claims its payment. Answers [`Outcome::Waiting`], or what its identity
    /// was answered before; [`Outcome::Ignored`] for one that is only kept for its names and is still to be
    /// answered so.
    ///
    /// # Errors
    /// [`Failure`] of the database; nothing was kept.
    pub async fn park(&self, message: &Unaddressed, raw: &Raw) -> Result<Outcome, Failure> {
        let mut transaction = self.pool.begin().await?;
        let Some(terms) = self.terms_of(&mut transaction, &message.tenant).await? else {
            return Ok(Outcome::Quarantined(QuarantineReason::UnknownTenant));
        };
        let home = self.tenant_account(&mut transaction, &message.tenant).await?;
        let answered = Wait::of(&message.command, &terms.catalogs) == Wait::Answered;
        let answering = Answering::to(home, (&message.tenant, &message.id, message.content), raw);
        if let Some((content, recorded)) = answering.known(&mut transaction).await? {
            let outcome = repeated(&content, message.content);
            if answered && outcome == Outcome::Duplicate {
                // Still to be answered so.
                return Ok(Outcome::Ignored);
            }
            answering.reply(&mut transaction, &outcome, recorded.as_ref()).await?;
            transaction.commit().await?;
            return Ok(outcome);
        }
        let outcome = match insert(&mut transaction, (home.0, answered), message, raw).await? {
            Some(content) if content != message.content.0 => Outcome::Quarantined(QuarantineReason::IdempotencyConflict),
            Some(_) | None if answered => Outcome::Ignored,
            Some(_) | None => Outcome::Waiting,
        };
        if outcome == Outcome::Waiting {
            answering.reply(&mut transaction, &outcome, None).await?;
        }
        transaction.commit().await?;
        Ok(outcome)
    }

    /// Marks what waits for names that some messages claim: the scheduler asks for it next.
    ///
    /// # Errors
    /// [`Failure`] of the database; the scheduler comes by itself, only later.
    pub async fn wake(&self, messages: &[&Message]) -> Result<(), Failure> {
        let mut by_shard: BTreeMap<i16, (Vec<String>, Vec<String>)> = BTreeMap::new();
        for message in messages {
            let tenant = &message.account.tenant;
            for name in shown_names(&message.command) {
                let (tenants, names) = by_shard.entry(shard_of(tenant.as_str(), "", self.shards)).or_default();
                tenants.push(tenant.to_string());
                names.push(name);
            }
        }
        for (shard, (tenants, names)) in by_shard {
            sqlx::query(
                "update unclaimed set ask_at = clock_timestamp() where shard = $1 and (tenant, message_key) in ( \
                   select tenant, message_key from unclaimed_names join unnest($2::text[], $3::text[]) as claimed (tenant, name) \
                   using (tenant, name) where shard = $1)",
            )
            .bind(shard)
            .bind(tenants)
            .bind(names)
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    /// Messages of a shard that are to be asked about now. Each is asked about again after as long as it has
    /// waited, at most 10 minutes, whatever becomes of who asks; one that is kept for its names [rests](Self::rest)
    /// until it is marked. What this worker cannot read waits for one that can.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn unclaimed(&self, shard: i16, most: i64) -> Result<Vec<Unclaimed>, Failure> {
        let rows: Vec<UnclaimedRow> = sqlx::query_as(
            "update unclaimed u set ask_at = clock_timestamp() \
               + least(greatest(clock_timestamp() - arrived_at, interval '5 seconds'), interval '10 minutes') \
             from tenants t where u.shard = $1 and t.tenant = u.tenant and (u.tenant, u.message_key) in ( \
               select tenant, message_key from unclaimed where shard = $1 and ask_at <= statement_timestamp() \
               order by ask_at limit $2 for update skip locked) \
             returning u.tenant, u.source, u.id, u.is_answered, u.raw, u.body, \
               u.deadline <= coalesce(case when t.test_clock then t.clock end, clock_timestamp()) as is_over",
        )
        .bind(shard)
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        let mut unclaimed = Vec::with_capacity(rows.len());
        for row in rows {
            let named = message_id(&row.source, &row.id)?;
            let tenant = row.tenant.clone();
            match row.read() {
                Some(one) => unclaimed.push(one),
                None => tracing::warn!(tenant, message.id = %named, "a message that waits for its payment cannot be read by this version"),
            }
        }
        Ok(unclaimed)
    }

    /// Lets a message that nobody has claimed and that is kept for its names rest until it is marked, or over.
    ///
    /// # Errors
    /// [`Failure`] of the database; it is asked about again.
    pub async fn rest(&self, message: &Unaddressed) -> Result<(), Failure> {
        // A test clock's deadline may be long past on the clock that asks.
        sqlx::query(
            "update unclaimed set ask_at = greatest(deadline, clock_timestamp() + interval '10 minutes') \
             where shard = $1 and tenant = $2 and message_key = $3 and ask_at > clock_timestamp()",
        )
        .bind(shard_of(message.tenant.as_str(), "", self.shards))
        .bind(message.tenant.as_str())
        .bind(Uuid::from_bytes(message.id.key().0))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Removes a message whose outcome is stored elsewhere by now.
    ///
    /// # Errors
    /// [`Failure`] of the database; it is asked about again, and answered as a duplicate.
    pub async fn forget(&self, tenant: &Id, message: &MessageId) -> Result<(), Failure> {
        let shard = shard_of(tenant.as_str(), "", self.shards);
        sqlx::query(
            "with gone as (delete from unclaimed where shard = $1 and tenant = $2 and message_key = $3) \
             delete from unclaimed_names where shard = $1 and tenant = $2 and message_key = $3",
        )
        .bind(shard)
        .bind(tenant.as_str())
        .bind(Uuid::from_bytes(message.key().0))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

fn shown_names(command: &Command) -> Vec<String> {
    shown(command).into_iter().map(|(kind, name)| format!("{}:{name}", kind.word())).collect()
}

fn repeated(recorded: &[u8], content: Hash) -> Outcome {
    if recorded == content.0 { Outcome::Duplicate } else { Outcome::Quarantined(QuarantineReason::IdempotencyConflict) }
}

/// Adds a message with its names; returns the content of one that has its identity already.
async fn insert(
    connection: &mut PgConnection,
    (shard, is_answered): (i16, bool),
    message: &Unaddressed,
    raw: &Raw,
) -> Result<Option<Vec<u8>>, Failure> {
    let key = Uuid::from_bytes(message.id.key().0);
    // Whoever asked is told that it is ignored, once.
    let head = if is_answered { raw.head().unanswered() } else { raw.head() };
    let known: Option<Vec<u8>> = sqlx::query_scalar("select content from unclaimed where shard = $1 and tenant = $2 and message_key = $3")
        .bind(shard)
        .bind(message.tenant.as_str())
        .bind(key)
        .fetch_optional(&mut *connection)
        .await?;
    if known.is_some() {
        return Ok(known);
    }
    let names = shown_names(&message.command);
    sqlx::query(
        "with kept as (insert into unclaimed (shard, tenant, message_key, source, id, content, is_answered, deadline, raw, body) \
           select $1, tenant, $3, $4, $5, $6, $7, coalesce(case when test_clock then clock end, clock_timestamp()) + interval '30 days', $8, $9 \
           from tenants where tenant = $2) \
         insert into unclaimed_names (shard, tenant, name, message_key) \
         select distinct $1::smallint, $2, name, $3::uuid from unnest($10::text[]) as shown (name)",
    )
    .bind(shard)
    .bind(message.tenant.as_str())
    .bind(key)
    .bind(message.id.source.as_str())
    .bind(message.id.id.as_str())
    .bind(message.content.0.to_vec())
    .bind(is_answered)
    .bind(Json(head))
    .bind(&raw.body)
    .bind(names)
    .execute(connection)
    .await?;
    Ok(None)
}
