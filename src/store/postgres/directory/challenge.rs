//! A fact that stands for one account and is wanted by another.
//!
//! Owns when a claim is final, undecided, or free to take over (semantics §9). Changes no balance.

use super::super::PostgresStore;
use super::{Claimant, Fact};
use crate::domain::decision::Claim;
use crate::failure::Failure;
use crate::store::facts::FactKind;
use crate::store::shard_of;
use sqlx::types::Uuid;

/// A message of account $3 that was set aside after it claimed; an earlier end was taken back by a
/// replay. What a fault of the ledger set aside may have a copy under way: it is undecided until it
/// is replayed or discarded.
const SET_ASIDE: &str = "select from quarantine where shard = $1 and message_key = message \
     and tenant = $2 and account = $3 and last_seen_at >= claimed_at \
     and (reason not in ('invariant_violated', 'retries_exhausted') or ended_as = 'discarded')";

/// Whether fact $4 of a kind exists in the account of `home`.
pub(super) fn exists(kind: FactKind) -> &'static str {
    match kind {
        FactKind::Payment => {
            "exists (select from payment_names where shard = $1 and account_id = (select account_id from home) and name = $4)"
        }
        FactKind::Request => "exists (select from credit_requests join home using (account_id) where shard = $1 and request = $4)",
        FactKind::Evidence => {
            "exists (select from credit_requests join home using (account_id) where shard = $1 \
             and method || ':' || evidence_reference = $4 and status in ('pending', 'accepted'))"
        }
        FactKind::Subscription => "exists (select from subscriptions join home using (account_id) where shard = $1 and provider_name = $4)",
        FactKind::Refund => "exists (select from refunds join home using (account_id) where shard = $1 and refund = $4)",
        FactKind::Dispute => "exists (select from disputes join home using (account_id) where shard = $1 and dispute = $4)",
        FactKind::Reference => "exists (select from charges join home using (account_id) where shard = $1 and reference = $4)",
    }
}

/// Whom a fact stands for.
struct Holder {
    account: String,
    /// Message keys with the times of their claims, as stored.
    claims: String,
}

/// How another account stands towards a fact.
enum Standing {
    /// It has the fact.
    Theirs,
    /// One of its messages is undecided.
    Undecided,
    /// All of its messages were refused.
    Free,
}

impl PostgresStore {
    /// A fact stands for another account: theirs, undecided, or free to take over.
    pub(super) async fn challenge(&self, claimant: &Claimant) -> Result<Claim, Failure> {
        let Fact { shard, tenant, kind, key } = &claimant.fact;
        let holder: Option<(String, String)> =
            sqlx::query_as("select account, claims::text from directory where shard = $1 and tenant = $2 and kind = $3 and key = $4")
                .bind(shard)
                .bind(tenant.as_str())
                .bind(kind.word())
                .bind(key)
                .fetch_optional(&self.pool)
                .await?;
        // Nobody's: there is no such tenant, which the ledger says.
        let Some((account, claims)) = holder else { return Ok(Claim::Ours) };
        if account == claimant.account.account.as_str() {
            return Ok(Claim::Undecided);
        }
        let holder = Holder { account, claims };
        match self.standing(&claimant.fact, &holder).await? {
            Standing::Theirs => return Ok(Claim::Taken),
            Standing::Undecided => return Ok(Claim::Undecided),
            Standing::Free => {}
        }
        let taken = sqlx::query(
            "update directory set account = $5, \
             claims = (select jsonb_object_agg(message::text, clock_timestamp()) from unnest($6::uuid[]) as mine (message)) \
             where shard = $1 and tenant = $2 and kind = $3 and key = $4 and account = $7 and claims = $8::jsonb",
        )
        .bind(shard)
        .bind(tenant.as_str())
        .bind(kind.word())
        .bind(key)
        .bind(claimant.account.account.as_str())
        .bind(&claimant.messages)
        .bind(&holder.account)
        .bind(&holder.claims)
        .execute(&self.pool)
        .await?;
        Ok(if taken.rows_affected() > 0 { Claim::Ours } else { Claim::Undecided })
    }

    /// What has become of the claims of a holder.
    async fn standing(&self, fact: &Fact, holder: &Holder) -> Result<Standing, Failure> {
        let home = shard_of(fact.tenant.as_str(), &holder.account, self.shards);
        // One statement sees one moment: whoever was accepted is seen with the fact. A message that
        // waits is undecided, even when a contradiction of it was set aside under its name.
        let sql = format!(
            "with home as (select account_id from accounts where shard = $1 and tenant = $2 and account = $3), \
             claim as (select claim.key::uuid as message, claim.value::timestamptz as claimed_at from jsonb_each_text($5::jsonb) claim) \
             select {exists}, \
             exists (select from waiting join home using (account_id) join claim on claim.message = message_key where shard = $1), \
             array(select message from claim \
               where not exists (select from outcomes join home using (account_id) where shard = $1 and message_key = message) \
               and not exists ({SET_ASIDE}))",
            exists = exists(fact.kind)
        );
        let (exists, waits, open): (bool, bool, Vec<Uuid>) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(home)
            .bind(fact.tenant.as_str())
            .bind(&holder.account)
            .bind(&fact.key)
            .bind(&holder.claims)
            .fetch_one(&self.pool)
            .await?;
        if exists {
            return Ok(Standing::Theirs);
        }
        let free = !waits && (open.is_empty() || self.all_set_aside(fact, holder, &open).await?);
        Ok(if free { Standing::Free } else { Standing::Undecided })
    }

    /// Whether messages that never reached their account were set aside since they claimed.
    async fn all_set_aside(&self, fact: &Fact, holder: &Holder, open: &[Uuid]) -> Result<bool, Failure> {
        let sql = format!(
            "with claim as (select claim.key::uuid as message, claim.value::timestamptz as claimed_at from jsonb_each_text($4::jsonb) claim) \
             select not exists (select from claim where message = any($5) and not exists ({SET_ASIDE}))"
        );
        let all = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(super::super::aside::home(self.shards))
            .bind(fact.tenant.as_str())
            .bind(&holder.account)
            .bind(&holder.claims)
            .bind(open)
            .fetch_one(&self.pool)
            .await?;
        Ok(all)
    }
}
