//! The directory: which account of a tenant a payment, request, evidence or reference belongs to.
//!
//! Owns claims. A claim changes no balance; it is final once the fact exists in its account, and
//! open to others once every message that went on with it was refused (semantics §9).

use super::PostgresStore;
use crate::domain::command::{Command, Message};
use crate::domain::ids::{AccountKey, Id, MessageKey};
use crate::failure::Failure;
use crate::store::shard_of;
use sqlx::types::Uuid;
use std::collections::BTreeMap;

/// What kind of fact is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// A provider's payment.
    Payment,
    /// A credit request.
    Request,
    /// The evidence of a request, with its method.
    Evidence,
    /// An order or invoice reference.
    Reference,
}

impl FactKind {
    fn word(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Request => "request",
            Self::Evidence => "evidence",
            Self::Reference => "reference",
        }
    }

    /// Whether the fact exists in an account.
    fn exists(self) -> &'static str {
        match self {
            Self::Payment => "select exists (select from payments where shard = $1 and account_id = $2 and payment = $3)",
            Self::Request => "select exists (select from credit_requests where shard = $1 and account_id = $2 and request = $3)",
            Self::Evidence => {
                "select exists (select from credit_requests where shard = $1 and account_id = $2 \
                 and method || ':' || evidence_reference = $3 and status in ('pending', 'accepted'))"
            }
            Self::Reference => "select exists (select from charges where shard = $1 and account_id = $2 and reference = $3)",
        }
    }
}

/// The facts a message claims for its account.
#[must_use]
pub fn claims(message: &Message) -> Vec<(FactKind, String)> {
    match &message.command {
        Command::RecordPayment(payment) => vec![(FactKind::Payment, payment.terms.payment.to_string())],
        Command::Spend(spend) => vec![(FactKind::Reference, spend.reference.to_string())],
        Command::SubmitRequest(request) => {
            let evidence =
                request.evidence.as_ref().map(|evidence| (FactKind::Evidence, format!("{}:{}", request.method.word(), evidence.reference)));
            std::iter::once((FactKind::Request, request.request.to_string())).chain(evidence).collect()
        }
        _ => Vec::new(),
    }
}

/// What became of a message's claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// All facts are this account's to decide.
    Yes,
    /// Another account has one of them.
    Taken,
    /// Another account's message about one of them is undecided.
    Undecided,
}

struct Row {
    tenant: Id,
    kind: FactKind,
    key: String,
    account: String,
    claimed_by: Vec<Uuid>,
}

impl PostgresStore {
    /// Claims the facts of many messages, one sorted statement per directory shard; each message
    /// stands beside its answer.
    ///
    /// # Errors
    /// [`Failure`] of the database; claims that were made stay and are found again.
    pub async fn claim(&self, messages: &[&Message]) -> Result<Vec<Claimed>, Failure> {
        let mut by_shard: BTreeMap<i16, BTreeMap<(Id, FactKind, String), Vec<usize>>> = BTreeMap::new();
        for (index, message) in messages.iter().enumerate() {
            for (kind, key) in claims(message) {
                let tenant = message.account.tenant.clone();
                let shard = shard_of(tenant.as_str(), &key, self.shards);
                by_shard.entry(shard).or_default().entry((tenant, kind, key)).or_default().push(index);
            }
        }
        let mut answers = vec![Claimed::Yes; messages.len()];
        for (shard, facts) in by_shard {
            // Several messages of the batch may claim one fact; each passes in turn.
            let rounds = facts.values().map(Vec::len).max().unwrap_or(0);
            for round in 0..rounds {
                let wanted: Vec<(usize, &(Id, FactKind, String))> =
                    facts.iter().filter_map(|(fact, indexes)| Some((*indexes.get(round)?, fact))).collect();
                self.claim_round(shard, messages, &wanted, &mut answers).await?;
            }
        }
        Ok(answers)
    }

    async fn claim_round(
        &self,
        shard: i16,
        messages: &[&Message],
        wanted: &[(usize, &(Id, FactKind, String))],
        answers: &mut [Claimed],
    ) -> Result<(), Failure> {
        let of = |index: &usize| messages.get(*index).copied();
        let accounts: Vec<String> = wanted.iter().filter_map(|(index, _)| Some(of(index)?.account.account.to_string())).collect();
        let keys: Vec<Uuid> = wanted.iter().filter_map(|(index, _)| Some(uuid(of(index)?.id.key()))).collect();
        // Every row is written, if only to itself: what the insert returns is the row as it stands now,
        // while reading the table beside it would miss what another worker committed a moment ago.
        let rows: Vec<(String, String, String, String, Vec<Uuid>)> = sqlx::query_as(
            "with wanted as ( \
               select * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[]) as w (tenant, kind, key, account, message) \
             ), made as ( \
               insert into directory as known (shard, tenant, kind, key, account, claimed_by) \
               select $1, tenant, kind, key, account, array[message] from wanted join tenants using (tenant) order by tenant, kind, key \
               on conflict (shard, tenant, kind, key) do update set claimed_by = case \
                 when known.account = excluded.account and not known.claimed_by @> excluded.claimed_by \
                 then known.claimed_by || excluded.claimed_by else known.claimed_by end \
               returning tenant, kind, key, account, claimed_by) \
             select made.tenant, made.kind, made.key, made.account, made.claimed_by \
             from made join wanted using (tenant, kind, key) where made.account <> wanted.account",
        )
        .bind(shard)
        .bind(wanted.iter().map(|(_, (tenant, _, _))| tenant.to_string()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, (_, kind, _))| kind.word()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, (_, _, key))| key.clone()).collect::<Vec<_>>())
        .bind(accounts)
        .bind(keys)
        .fetch_all(&self.pool)
        .await?;
        for (tenant, kind, key, account, claimed_by) in rows {
            let mine = wanted.iter().find(|(_, (t, k, name))| t.as_str() == tenant && k.word() == kind && *name == key);
            let Some((index, (tenant, kind, _))) = mine else { continue };
            let Some(message) = of(index) else { continue };
            let row = Row { tenant: tenant.clone(), kind: *kind, key, account, claimed_by };
            let answer = self.challenge(shard, &row, message).await?;
            if let Some(place) = answers.get_mut(*index) {
                // A taken fact outweighs an undecided one, which outweighs a free one.
                *place = match (*place, answer) {
                    (Claimed::Taken, _) | (_, Claimed::Taken) => Claimed::Taken,
                    (Claimed::Undecided, _) | (_, Claimed::Undecided) => Claimed::Undecided,
                    (Claimed::Yes, Claimed::Yes) => Claimed::Yes,
                };
            }
        }
        Ok(())
    }

    /// A fact stands for another account: theirs, undecided, or free to take over.
    async fn challenge(&self, shard: i16, row: &Row, message: &Message) -> Result<Claimed, Failure> {
        let home = shard_of(row.tenant.as_str(), &row.account, self.shards);
        let account_id: Option<i64> =
            sqlx::query_scalar("select account_id from accounts where shard = $1 and tenant = $2 and account = $3")
                .bind(home)
                .bind(row.tenant.as_str())
                .bind(&row.account)
                .fetch_optional(&self.pool)
                .await?;
        let Some(account_id) = account_id else { return Ok(Claimed::Undecided) };
        // What was set aside for any other reason may have a copy under way, or be replayed: it stays
        // undecided until that has happened or a person discards it.
        // Decided first, then the fact: a claim that is accepted between the two is seen as a fact.
        let decided: i64 = sqlx::query_scalar(
            "select count(*) from unnest($3::uuid[]) as claim (message) where exists \
             (select from outcomes where shard = $1 and account_id = $2 and message_key = claim.message) \
             or exists (select from quarantine where shard in ($1, $4) and message_key = claim.message \
             and (reason in ('idempotency_conflict', 'not_permitted') or ended_as = 'discarded'))",
        )
        .bind(home)
        .bind(account_id)
        .bind(&row.claimed_by)
        .bind(super::aside::home(self.shards))
        .fetch_one(&self.pool)
        .await?;
        let exists: bool = sqlx::query_scalar(row.kind.exists()).bind(home).bind(account_id).bind(&row.key).fetch_one(&self.pool).await?;
        if exists {
            return Ok(Claimed::Taken);
        }
        if usize::try_from(decided).unwrap_or(0) < row.claimed_by.len() {
            return Ok(Claimed::Undecided);
        }
        let taken = sqlx::query(
            "update directory set account = $5, claimed_by = array[$6] \
             where shard = $1 and tenant = $2 and kind = $3 and key = $4 and account = $7 and claimed_by = $8",
        )
        .bind(shard)
        .bind(row.tenant.as_str())
        .bind(row.kind.word())
        .bind(&row.key)
        .bind(message.account.account.as_str())
        .bind(uuid(message.id.key()))
        .bind(&row.account)
        .bind(&row.claimed_by)
        .execute(&self.pool)
        .await?;
        Ok(if taken.rows_affected() > 0 { Claimed::Yes } else { Claimed::Undecided })
    }

    /// Whether the account a message is about exists at all; used by read commands.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn account_id(&self, key: &AccountKey) -> Result<Option<(i16, i64)>, Failure> {
        let shard = shard_of(key.tenant.as_str(), key.account.as_str(), self.shards);
        let id: Option<i64> = sqlx::query_scalar("select account_id from accounts where shard = $1 and tenant = $2 and account = $3")
            .bind(shard)
            .bind(key.tenant.as_str())
            .bind(key.account.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(id.map(|id| (shard, id)))
    }
}

fn uuid(key: MessageKey) -> Uuid {
    Uuid::from_bytes(key.0)
}
