//! What the ledger knows of a provider's payments, for the comparison with the provider's own list.
//!
//! Owns one read-only snapshot and its statements. Never writes; holds a page of rows at most. How much of a
//! payment is gone, the core says, from the rows that are read here.

use super::super::rows_money::{DisputeRow, PaymentRow, RefundRow};
use super::super::{aside, terms};
use super::snapshot::snapshot;
use crate::domain::book::Book;
use crate::domain::credits::Money;
use crate::domain::ids::{AccountKey, Id};
use crate::domain::payment::Payment;
use crate::domain::reversal::{Dispute, Refund, Reversed};
use crate::failure::Failure;
use crate::store::shard_of;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use sqlx::types::Uuid;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A payment that an account knows.
#[derive(Debug, Clone)]
pub struct Known {
    /// Whose it is.
    pub account: String,
    /// The row id of the account: with the payment's name it is unique in the database.
    pub account_id: i64,
    /// What is known of it.
    pub payment: Payment,
    /// The money of it that is gone (semantics §6: L).
    pub lost: Money,
    /// When the last of its refunds was made or its last dispute opened; `None` also when more is gone than they
    /// say: a charge tells how much was refunded of it, and not when.
    pub reversed_at: Option<Timestamp>,
}

/// What the ledger knows of a name.
#[derive(Debug, Clone)]
pub enum Found {
    /// An account has the payment.
    Recorded(Box<Known>),
    /// A message of this account named it, and did not come to anything yet.
    Claimed {
        /// Whose message.
        account: String,
        /// The messages.
        messages: Vec<Uuid>,
    },
    /// A message named it without saying whose it is, and nobody has claimed it.
    Unclaimed,
    /// Nothing.
    Unknown,
}

/// A payment that credits were granted for.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Granted {
    /// The row id of its account.
    pub account_id: i64,
    /// Whose it is.
    pub account: String,
    /// The name it is kept under.
    pub payment: String,
    /// All that was paid.
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
    paid_at: Option<SqlTimestamp>,
}

impl Granted {
    /// When it was paid, as its provider told.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.paid_at.map(SqlTimestamp::to_jiff)
    }
}

/// One snapshot of a tenant's payments.
#[derive(Debug)]
pub struct Snapshot {
    connection: PgConnection,
    shards: i16,
    tenant: Id,
    livemode: Option<bool>,
    taken_at: Timestamp,
    database: String,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum NoSnapshot {
    /// The database.
    #[error(transparent)]
    Database(#[from] Failure),
    /// The tenant is not known, or has to be chosen.
    #[error("{0}")]
    Tenant(String),
}

impl Snapshot {
    /// Connects and takes the snapshot. Without a tenant's name it is the only one there is.
    ///
    /// # Errors
    /// [`NoSnapshot`].
    pub async fn begin(url: &str, tenant: Option<&Id>) -> Result<Self, NoSnapshot> {
        let (mut connection, shards) = snapshot(url, "set application_name = 'credit-ledger drift'").await?;
        // A page of names is looked up by the indexes: reading a table of millions for each page would cost less by
        // the planner's reckoning, and make the whole quadratic.
        for setting in ["set enable_seqscan = off", "set enable_hashjoin = off", "set enable_mergejoin = off"] {
            sqlx::query(setting).execute(&mut connection).await.map_err(Failure::from)?;
        }
        let (database, taken_at): (SqlTimestamp, SqlTimestamp) =
            sqlx::query_as("select created_at, now() from databases").fetch_one(&mut connection).await.map_err(Failure::from)?;
        let names: Vec<String> =
            sqlx::query_scalar("select tenant from tenants where $1::text is null or tenant = $1 order by tenant limit 20")
                .bind(tenant.map(Id::as_str))
                .fetch_all(&mut connection)
                .await
                .map_err(Failure::from)?;
        let [name] = &names[..] else { return Err(NoSnapshot::Tenant(which(tenant, &names))) };
        let tenant = super::super::rows::id(name)?;
        let livemode = terms::load(&mut connection, &tenant).await?.settings.livemode;
        let (taken_at, database) = (taken_at.to_jiff(), database.to_jiff().to_string());
        Ok(Self { connection, shards, tenant, livemode, taken_at, database })
    }

    /// Whose payments.
    #[must_use]
    pub fn tenant(&self) -> &Id {
        &self.tenant
    }

    /// The mode of webhooks that the tenant takes; `None`: both.
    #[must_use]
    pub fn livemode(&self) -> Option<bool> {
        self.livemode
    }

    /// When it was taken, by the database's clock.
    #[must_use]
    pub fn taken_at(&self) -> Timestamp {
        self.taken_at
    }

    /// What tells this database from others: when it was made.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The number of shards to go through.
    #[must_use]
    pub fn shards(&self) -> i16 {
        self.shards
    }

    /// What is known of payments, each asked for by its names with their provider; one answer for each. Of several
    /// names the first that says most counts.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn find(&mut self, asked: &[Vec<String>]) -> Result<Vec<Found>, Failure> {
        let names: Vec<(usize, &String)> =
            asked.iter().enumerate().flat_map(|(place, names)| names.iter().map(move |name| (place, name))).collect();
        let claimed = self.claimed(&names).await?;
        let mut recorded = self.recorded(&names, &claimed).await?;
        let unclaimed = self.unclaimed(names.iter().filter(|(place, _)| !recorded.contains_key(place)).map(|(_, name)| *name)).await?;
        let mut answers = Vec::with_capacity(asked.len());
        for (place, own) in asked.iter().enumerate() {
            let claim = || names.iter().zip(&claimed).find_map(|((of, _), claim)| claim.as_ref().filter(|_| *of == place));
            answers.push(if let Some(known) = recorded.remove(&place) {
                Found::Recorded(Box::new(known))
            } else if let Some((account, messages)) = claim() {
                Found::Claimed { account: account.clone(), messages: messages.clone() }
            } else if own.iter().any(|name| unclaimed.contains(name)) {
                Found::Unclaimed
            } else {
                Found::Unknown
            });
        }
        Ok(answers)
    }

    /// Which account each name belongs to, with the messages that said so.
    async fn claimed(&mut self, names: &[(usize, &String)]) -> Result<Vec<Option<(String, Vec<Uuid>)>>, Failure> {
        let rows: Vec<(i64, String, Vec<Uuid>)> = sqlx::query_as(
            "select f.place, d.account, array(select jsonb_object_keys(d.claims))::uuid[] \
             from unnest($1::smallint[], $2::text[]) with ordinality as f (shard, name, place) \
             join directory d on d.shard = f.shard and d.tenant = $3 and d.kind = 'payment' and d.key = f.name",
        )
        .bind(names.iter().map(|(_, name)| shard_of(self.tenant.as_str(), name, self.shards)).collect::<Vec<_>>())
        .bind(names.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>())
        .bind(self.tenant.as_str())
        .fetch_all(&mut self.connection)
        .await?;
        let mut claimed = vec![None; names.len()];
        for (place, account, messages) in rows {
            if let Some(slot) = usize::try_from(place - 1).ok().and_then(|place| claimed.get_mut(place)) {
                *slot = Some((account, messages));
            }
        }
        Ok(claimed)
    }

    /// The payments behind names that accounts have.
    async fn recorded(
        &mut self,
        names: &[(usize, &String)],
        claimed: &[Option<(String, Vec<Uuid>)>],
    ) -> Result<HashMap<usize, Known>, Failure> {
        let asked: Vec<(i16, &str, &str, usize)> = names
            .iter()
            .zip(claimed)
            .filter_map(|((place, name), claim)| {
                let (account, _) = claim.as_ref()?;
                Some((shard_of(self.tenant.as_str(), account, self.shards), account.as_str(), name.as_str(), *place))
            })
            .collect();
        let rows: Vec<(i64, i16, i64, String, String)> = sqlx::query_as(
            "select n.place, a.shard, a.account_id, a.account, p.payment \
             from unnest($1::smallint[], $2::text[], $3::text[]) with ordinality as n (shard, account, name, place) \
             join accounts a on a.shard = n.shard and a.tenant = $4 and a.account = n.account \
             cross join lateral (select payment from payment_names p \
               where p.shard = a.shard and p.account_id = a.account_id and p.name = n.name offset 0) as p order by n.place",
        )
        .bind(asked.iter().map(|one| one.0).collect::<Vec<_>>())
        .bind(asked.iter().map(|one| one.1).collect::<Vec<_>>())
        .bind(asked.iter().map(|one| one.2).collect::<Vec<_>>())
        .bind(self.tenant.as_str())
        .fetch_all(&mut self.connection)
        .await?;
        let keys: Vec<(i16, i64, &str)> = rows.iter().map(|row| (row.1, row.2, row.4.as_str())).collect();
        let mut payments = self.payments(&keys).await?;
        let mut recorded = HashMap::new();
        for (number, _, account_id, account, payment) in &rows {
            let place = usize::try_from(number - 1).ok().and_then(|number| asked.get(number)).map(|one| one.3);
            let (Some(place), Some(read)) = (place, payments.get_mut(&(*account_id, payment.clone()))) else { continue };
            if let Entry::Vacant(free) = recorded.entry(place) {
                free.insert(read.known(&self.tenant, account, *account_id)?);
            }
        }
        Ok(recorded)
    }

    async fn payments(&mut self, keys: &[(i16, i64, &str)]) -> Result<BTreeMap<(i64, String), Read>, Failure> {
        macro_rules! of {
            ($table:literal) => {
                concat!(
                    "select t.* from (select distinct * from unnest($1::smallint[], $2::bigint[], $3::text[])) as k (shard, account_id, payment) join ",
                    $table,
                    " t using (shard, account_id, payment)"
                )
            };
        }
        let shards: Vec<i16> = keys.iter().map(|key| key.0).collect();
        let accounts: Vec<i64> = keys.iter().map(|key| key.1).collect();
        let names: Vec<&str> = keys.iter().map(|key| key.2).collect();
        let mut read = BTreeMap::new();
        let rows: Vec<PaymentRow> =
            sqlx::query_as(of!("payments")).bind(&shards).bind(&accounts).bind(&names).fetch_all(&mut self.connection).await?;
        for row in rows {
            let payment = row.payment()?;
            let key = (row.account_id, payment.terms.payment.to_string());
            read.insert(key, Read { payment, refunds: Vec::new(), disputes: Vec::new() });
        }
        let rows: Vec<RefundRow> =
            sqlx::query_as(of!("refunds")).bind(&shards).bind(&accounts).bind(&names).fetch_all(&mut self.connection).await?;
        for row in rows {
            let refund = row.refund()?;
            if let Some(one) = read.get_mut(&(row.account_id, refund.payment.to_string())) {
                one.refunds.push(refund);
            }
        }
        let rows: Vec<DisputeRow> =
            sqlx::query_as(of!("disputes")).bind(&shards).bind(&accounts).bind(&names).fetch_all(&mut self.connection).await?;
        for row in rows {
            let dispute = row.dispute()?;
            if let Some(one) = read.get_mut(&(row.account_id, dispute.payment.to_string())) {
                one.disputes.push(dispute);
            }
        }
        Ok(read)
    }

    async fn unclaimed<'a>(&mut self, names: impl Iterator<Item = &'a String>) -> Result<HashSet<String>, Failure> {
        let found: Vec<String> =
            sqlx::query_scalar("select distinct name from unclaimed_names where shard = $1 and tenant = $2 and name = any($3)")
                .bind(shard_of(self.tenant.as_str(), "", self.shards))
                .bind(self.tenant.as_str())
                .bind(names.cloned().collect::<Vec<_>>())
                .fetch_all(&mut self.connection)
                .await?;
        Ok(found.into_iter().collect())
    }

    /// What became of an account's messages that named a payment nobody has: a word (`quarantined`, `waiting`, an
    /// outcome) and its reasons. `None` when nothing is known of them.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn fate(&mut self, account: &str, messages: &[Uuid]) -> Result<Option<(String, String)>, Failure> {
        let shard = shard_of(self.tenant.as_str(), account, self.shards);
        Ok(sqlx::query_as(
            "with home as (select account_id from accounts where shard = $1 and tenant = $3 and account = $4) \
             select 'quarantined', reason from quarantine where shard = any(array[$1, $2]) and message_key = any($5) and ended_at is null \
             union all select 'waiting', waits_on from waiting join home using (account_id) where shard = $1 and message_key = any($5) \
             union all select outcome, coalesce(array_to_string(reasons, ' '), '') from outcomes join home using (account_id) \
               where shard = $1 and message_key = any($5) limit 1",
        )
        .bind(shard)
        .bind(aside::home(self.shards))
        .bind(self.tenant.as_str())
        .bind(account)
        .bind(messages)
        .fetch_optional(&mut self.connection)
        .await?)
    }

    /// Payments of a shard that credits were granted for, after a place, in the order of account and name; those of
    /// names that begin with `prefix`.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn granted_after(&mut self, shard: i16, place: (i64, &str), prefix: &str, most: i64) -> Result<Vec<Granted>, Failure> {
        Ok(sqlx::query_as(
            "select p.account_id, a.account, p.payment, p.amount, p.currency, p.paid_at \
             from payments p join accounts a using (shard, account_id) \
             where p.shard = $1 and (p.account_id, p.payment) > ($2, $3) and a.tenant = $4 and starts_with(p.payment, $5) \
               and p.status = 'granted' and p.granted > 0 and p.amount > 0 \
             order by p.account_id, p.payment limit $6",
        )
        .bind(shard)
        .bind(place.0)
        .bind(place.1)
        .bind(self.tenant.as_str())
        .bind(prefix)
        .bind(most)
        .fetch_all(&mut self.connection)
        .await?)
    }
}

fn which(tenant: Option<&Id>, names: &[String]) -> String {
    match tenant {
        Some(tenant) => format!("no tenant {tenant}; `credit-ledger tenant list` shows those there are"),
        None if names.is_empty() => "there is no tenant yet, so nothing to compare with".to_owned(),
        None => format!("there are several tenants ({}): choose one with --tenant", names.join(", ")),
    }
}

/// A payment with what reverses it.
struct Read {
    payment: Payment,
    refunds: Vec<Refund>,
    disputes: Vec<Dispute>,
}

impl Read {
    fn known(&self, tenant: &Id, account: &str, account_id: i64) -> Result<Known, Failure> {
        let mut book = Book::unopened(AccountKey { tenant: tenant.clone(), account: super::super::rows::id(account)? });
        book.refunds = self.refunds.iter().map(|refund| (refund.id.clone(), refund.clone())).collect();
        book.disputes = self.disputes.iter().map(|dispute| (dispute.id.clone(), dispute.clone())).collect();
        let unreadable = |_| super::super::rows::unreadable("sum of reversals", self.payment.terms.payment.as_str());
        let lost = Reversed::of(&book, &self.payment).lost().map_err(unreadable)?;
        let told = Payment { refunded_most: Money::ZERO, ..self.payment.clone() };
        let is_all_told = Reversed::of(&book, &told).lost().map_err(unreadable)? == lost;
        let times = self.refunds.iter().map(|refund| refund.created_at).chain(self.disputes.iter().map(|dispute| dispute.opened_at));
        Ok(Known {
            account: account.to_owned(),
            account_id,
            payment: self.payment.clone(),
            lost,
            reversed_at: times.max().filter(|_| is_all_told),
        })
    }
}
