//! The directory: which account of a tenant a payment, request, evidence or reference belongs to.
//!
//! Owns claims; what becomes of one that another account made is `challenge`'s. A claim changes no balance.

mod challenge;
mod unclaimed;

pub use unclaimed::{Address, Unclaimed};

use super::PostgresStore;
use crate::domain::command::Message;
use crate::domain::decision::Claim;
use crate::domain::ids::{AccountKey, Id, MessageKey};
use crate::failure::Failure;
use crate::store::facts::{FactKind, claims, of_request, request_named};
use crate::store::shard_of;
use sqlx::{FromRow, types::Uuid};
use std::collections::{BTreeMap, HashSet};

/// Claims facts row by row as they come in: every batch locks in one order. Unknown tenants claim nothing.
macro_rules! claim {
    ($told:literal) => {
        concat!(
            "insert into directory as known (shard, tenant, kind, key, account, claims) \
             select shard, tenant, kind, key, account, case strpos(messages, ',') when 0 then jsonb_build_object(messages, clock_timestamp()) \
               else (select jsonb_object_agg(message, clock_timestamp()) from unnest(string_to_array(messages, ',')) as message) end \
             from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) \
               as wanted (shard, tenant, kind, key, account, messages) \
             where tenant = any (array(select tenants.tenant from tenants where tenants.tenant = any ($2))) \
             on conflict (shard, tenant, kind, key) do update set claims = known.claims || excluded.claims \
             where known.account = excluded.account",
            $told
        )
    };
}

const CLAIM: &str = claim!("");
const CLAIM_AND_TELL: &str = claim!(" returning tenant, kind, key");

/// A fact, with the shard it is claimed in. Facts are claimed in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    shard: i16,
    tenant: Id,
    kind: FactKind,
    key: String,
}

/// Who claims a fact in this batch: one account, and its messages.
struct Claimant {
    fact: Fact,
    account: AccountKey,
    messages: Vec<Uuid>,
    places: Vec<usize>,
}

impl Claimant {
    /// The keys of its messages as one text: nearly always there is one.
    fn keys(&self) -> String {
        self.messages.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",")
    }
}

impl PostgresStore {
    /// Claims the facts of many messages, one sorted statement for the first of each, one for the second and so
    /// on, and looks up the requests they name; each message stands beside its answer.
    ///
    /// A message claims its facts one after the other in one order, and stops at the first that is
    /// not its own, so that no two messages hold what the other one waits for.
    ///
    /// # Errors
    /// [`Failure`] of the database; claims that were made stay and are found again.
    pub async fn claim(&self, messages: &[&Message]) -> Result<Vec<Claim>, Failure> {
        let facts: Vec<Vec<Fact>> = messages.iter().map(|message| self.facts(message)).collect();
        let mut answers = vec![Claim::Ours; messages.len()];
        for turn in 0..facts.iter().map(Vec::len).max().unwrap_or(0) {
            let mut wanted: BTreeMap<&Fact, Vec<usize>> = BTreeMap::new();
            for (place, facts) in facts.iter().enumerate() {
                if let (Some(fact), Some(Claim::Ours)) = (facts.get(turn), answers.get(place)) {
                    wanted.entry(fact).or_default().push(place);
                }
            }
            while !wanted.is_empty() {
                wanted = self.claim_each(wanted, messages, &mut answers).await?;
            }
        }
        for place in self.requests_elsewhere(messages).await? {
            answer(&mut answers, place, Claim::Elsewhere);
        }
        Ok(answers)
    }

    /// Claims each fact for the first account that wants it here. Returns, where that account did not get
    /// it, who wants it and holds it already: it must not be passed over for ever.
    async fn claim_each<'a>(
        &self,
        wanted: BTreeMap<&'a Fact, Vec<usize>>,
        messages: &[&Message],
        answers: &mut [Claim],
    ) -> Result<BTreeMap<&'a Fact, Vec<usize>>, Failure> {
        let mut claimants: Vec<Claimant> = Vec::new();
        let mut behind: Vec<(&Fact, usize, Vec<usize>)> = Vec::new();
        for (fact, places) in wanted {
            let (claimant, others) = claimant(fact, &places, messages);
            if let (Some(first), false) = (places.first(), others.is_empty()) {
                behind.push((fact, *first, others));
            }
            claimants.extend(claimant);
        }
        for missed in self.claim_for(&claimants).await? {
            let Some(claimant) = claimants.get(missed) else { continue };
            let claim = self.challenge(claimant).await?;
            for place in &claimant.places {
                answer(answers, *place, claim);
            }
        }
        let mut left = BTreeMap::new();
        for (fact, first, mut others) in behind {
            let told = answers.get(first).copied().unwrap_or(Claim::Undecided);
            if told != Claim::Ours
                && let Some((_, holder)) = self.holders(&[(first, fact.clone())]).await?.pop()
            {
                let is_held = |place: &usize| messages.get(*place).is_some_and(|message| message.account.account.as_str() == holder);
                let (held, rest): (Vec<usize>, Vec<usize>) = others.into_iter().partition(is_held);
                others = rest;
                if !held.is_empty() {
                    left.insert(fact, held);
                }
            }
            // Behind one that got it they are a moment late and ask again; else they are told what it was told.
            let told = if told == Claim::Ours { Claim::Undecided } else { told };
            for place in others {
                answer(answers, place, told);
            }
        }
        Ok(left)
    }

    fn fact(&self, tenant: &Id, (kind, key): (FactKind, String)) -> Fact {
        Fact { shard: shard_of(tenant.as_str(), &key, self.shards), tenant: tenant.clone(), kind, key }
    }

    /// The facts of a message in the order they are claimed.
    fn facts(&self, message: &Message) -> Vec<Fact> {
        let mut facts: Vec<Fact> = claims(message).into_iter().map(|fact| self.fact(&message.account.tenant, fact)).collect();
        facts.sort_unstable();
        facts
    }

    /// Claims each fact for who wants it, in the order they come in; returns the places in it of those that did not
    /// get theirs. What is told under the row's lock counts: a look at the table in the same statement would miss
    /// a row that another worker has just made.
    async fn claim_for(&self, claimants: &[Claimant]) -> Result<Vec<usize>, Failure> {
        let shards: Vec<i16> = claimants.iter().map(|claimant| claimant.fact.shard).collect();
        let tenants: Vec<&str> = claimants.iter().map(|claimant| claimant.fact.tenant.as_str()).collect();
        let kinds: Vec<&str> = claimants.iter().map(|claimant| claimant.fact.kind.word()).collect();
        let keys: Vec<&str> = claimants.iter().map(|claimant| claimant.fact.key.as_str()).collect();
        let accounts: Vec<&str> = claimants.iter().map(|claimant| claimant.account.account.as_str()).collect();
        let messages: Vec<String> = claimants.iter().map(Claimant::keys).collect();
        let claim =
            |sql: &'static str| sqlx::query(sql).bind(&shards).bind(&tenants).bind(&kinds).bind(&keys).bind(&accounts).bind(&messages);
        if claim(CLAIM).execute(&self.pool).await?.rows_affected() == u64::try_from(claimants.len()).unwrap_or(u64::MAX) {
            return Ok(Vec::new());
        }
        // Somebody's is another account's: claiming once more says whose.
        let ours: Vec<(String, String, String)> =
            claim(CLAIM_AND_TELL).try_map(|row| FromRow::from_row(&row)).fetch_all(&self.pool).await?;
        let ours: HashSet<(&str, &str, &str)> = ours.iter().map(|(tenant, kind, key)| (&**tenant, &**kind, &**key)).collect();
        let named = tenants.iter().zip(&kinds).zip(&keys).map(|((tenant, kind), key)| (*tenant, *kind, *key));
        Ok(named.enumerate().filter(|(_, name)| !ours.contains(name)).map(|(place, _)| place).collect())
    }

    /// The places of messages that name a request which exists in another account. A claim that is
    /// not decided is none: the message waits, as for a request nobody knows.
    async fn requests_elsewhere(&self, messages: &[&Message]) -> Result<Vec<usize>, Failure> {
        let mut named: Vec<(usize, Fact)> = Vec::new();
        for (place, message) in messages.iter().enumerate() {
            let facts = request_named(message).into_iter().flat_map(of_request);
            named.extend(facts.map(|fact| (place, self.fact(&message.account.tenant, fact))));
        }
        let mut elsewhere = Vec::new();
        for (place, holder) in self.holders(&named).await? {
            let Some((message, request)) = messages.get(place).and_then(|message| Some((message, request_named(message)?))) else {
                continue;
            };
            if holder != message.account.account.as_str() && self.has_request(&message.account.tenant, &holder, request).await? {
                elsewhere.push(place);
            }
        }
        Ok(elsewhere)
    }

    /// The accounts that facts stand for, each with the place that came along.
    async fn holders(&self, facts: &[(usize, Fact)]) -> Result<Vec<(usize, String)>, Failure> {
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "select place - 1, held.account \
             from unnest($1::smallint[], $2::text[], $3::text[], $4::text[]) with ordinality as asked (shard, tenant, kind, key, place) \
             cross join lateral (select account from directory known where known.shard = asked.shard \
               and known.tenant = asked.tenant and known.kind = asked.kind and known.key = asked.key offset 0) as held",
        )
        .bind(facts.iter().map(|(_, fact)| fact.shard).collect::<Vec<_>>())
        .bind(facts.iter().map(|(_, fact)| fact.tenant.as_str()).collect::<Vec<_>>())
        .bind(facts.iter().map(|(_, fact)| fact.kind.word()).collect::<Vec<_>>())
        .bind(facts.iter().map(|(_, fact)| fact.key.as_str()).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        let place = |row: i64| facts.get(usize::try_from(row).ok()?).map(|(place, _)| *place);
        Ok(rows.into_iter().filter_map(|(row, account)| Some((place(row)?, account))).collect())
    }

    async fn has_request(&self, tenant: &Id, account: &str, request: &Id) -> Result<bool, Failure> {
        let sql = format!(
            "with home as (select account_id from accounts where shard = $1 and tenant = $2 and account = $3) select {}",
            challenge::exists(FactKind::Request)
        );
        let home = shard_of(tenant.as_str(), account, self.shards);
        let asked = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(home).bind(tenant.as_str()).bind(account).bind(request.as_str());
        Ok(asked.fetch_one(&self.pool).await?)
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

/// The first account of a batch that claims a fact, and the places of other accounts' messages.
fn claimant(fact: &Fact, places: &[usize], messages: &[&Message]) -> (Option<Claimant>, Vec<usize>) {
    let mut claimant: Option<Claimant> = None;
    let mut others = Vec::new();
    for place in places {
        let Some(message) = messages.get(*place) else { continue };
        let first = claimant.get_or_insert_with(|| Claimant {
            fact: fact.clone(),
            account: message.account.clone(),
            messages: Vec::new(),
            places: Vec::new(),
        });
        if first.account == message.account {
            let key = uuid(message.id.key());
            if !first.messages.contains(&key) {
                first.messages.push(key);
            }
            first.places.push(*place);
        } else {
            others.push(*place);
        }
    }
    (claimant, others)
}

fn answer(answers: &mut [Claim], place: usize, claim: Claim) {
    if let Some(answer) = answers.get_mut(place) {
        *answer = claim;
    }
}

fn uuid(key: MessageKey) -> Uuid {
    Uuid::from_bytes(key.0)
}
