//! The statements of `reconcile`: stored numbers against numbers computed again.
//!
//! Owns one snapshot of the database for the whole audit, so that a worker may go on meanwhile.
//! Never writes; never holds more than a chunk of rows.

use super::{ENTRY_COLUMNS, EntryRow};
use crate::domain::entry::Entry;
use crate::domain::ids::Hash;
use crate::failure::Failure;
use futures_util::TryStreamExt as _;
use sqlx::{Connection as _, PgConnection, Row as _};

/// A stored number that is not what its parts say.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Difference {
    /// Tenant and account as `tenant/account`, or the row id of an account that is missing.
    pub account: String,
    /// What was compared.
    pub check: String,
    /// What is stored.
    pub stored: String,
    /// What it should be.
    pub computed: String,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Counts {
    /// Accounts.
    pub accounts: i64,
    /// Entries.
    pub entries: i64,
    /// Grants.
    pub grants: i64,
    /// Recorded outcomes.
    pub outcomes: i64,
    /// Announcements and replies.
    pub announcements: i64,
}

/// An entry with its place and its stored hash.
#[derive(Debug, Clone)]
pub struct Linked {
    /// The row id of its account.
    pub account_id: i64,
    /// The entry.
    pub entry: Entry,
    /// Its stored hash.
    pub hash: Hash,
}

/// Every set-based check of one shard. `$1` is the shard; each yields the rows that differ.
const CHECKS: [&str; 6] = [ACCOUNTS, GRANTS, OUTCOMES, OUTBOX, RANGES, ORPHANS];

/// Account rows against entries, grants, debts and the tables their counters count.
const ACCOUNTS: &str = "
with summed as (
    select account_id, count(*) as entries, max(seq) as last,
           sum(case direction when 'in' then amount when 'out' then -amount else 0 end) as balance,
           sum(held_change) as held, sum(frozen_change) as frozen, sum(debt_change) as debt
    from entries where shard = $1 group by account_id
), granted as (
    select account_id, count(*) as grants, sum(remaining) filter (where status = 'active') as remaining,
           sum(frozen) filter (where status = 'active') as frozen
    from grants where shard = $1 group by account_id
), owed as (
    select account_id, count(*) as debts, sum(remaining) as remaining, count(*) filter (where remaining > 0) as open
    from debts where shard = $1 group by account_id
), asked as (
    select account_id, count(*) as open from credit_requests where shard = $1 and status = 'pending' group by account_id
), subscribed as (
    select account_id, count(*) as open from subscriptions where shard = $1 and not is_ended group by account_id
), waits as (
    select account_id, count(*) as open from waiting where shard = $1 group by account_id
)
select a.tenant || '/' || a.account as account, v.what as check, trim_scale(v.stored)::text as stored, trim_scale(v.computed)::text as computed
from accounts a
left join summed using (account_id) left join granted using (account_id) left join owed using (account_id)
left join asked using (account_id) left join subscribed using (account_id) left join waits using (account_id)
left join entries e on e.shard = a.shard and e.account_id = a.account_id and e.seq = a.last_seq
cross join lateral (values
    ('balance = sum of entries', a.balance, coalesce(summed.balance, 0)),
    ('balance = balance_after of the last entry', a.balance, coalesce(e.balance_after, 0)),
    ('balance = remaining of active grants', a.balance, coalesce(granted.remaining, 0)),
    ('held = sum of entries', a.held, coalesce(summed.held, 0)),
    ('frozen = sum of entries', a.frozen, coalesce(summed.frozen, 0)),
    ('frozen = frozen of active grants', a.frozen, coalesce(granted.frozen, 0)),
    ('debt = sum of entries', a.debt, coalesce(summed.debt, 0)),
    ('debt = remaining of debts', a.debt, coalesce(owed.remaining, 0)),
    ('last_seq = last entry', a.last_seq::numeric, coalesce(summed.last, 0)::numeric),
    ('last_seq = number of entries', a.last_seq::numeric, coalesce(summed.entries, 0)::numeric),
    ('grant_count = number of grants', a.grant_count::numeric, coalesce(granted.grants, 0)::numeric),
    ('debt_count = number of debts', a.debt_count::numeric, coalesce(owed.debts, 0)::numeric),
    ('open_debts = debts still owed', a.open_debts::numeric, coalesce(owed.open, 0)::numeric),
    ('open_requests = pending requests', a.open_requests::numeric, coalesce(asked.open, 0)::numeric),
    ('open_subscriptions = running subscriptions', a.open_subscriptions::numeric, coalesce(subscribed.open, 0)::numeric),
    ('open_waiting = waiting messages', a.open_waiting::numeric, coalesce(waits.open, 0)::numeric)
) as v (what, stored, computed)
where a.shard = $1 and v.stored is distinct from v.computed
union all
select a.tenant || '/' || a.account, 'last_hash = hash of the last entry', encode(a.last_hash, 'hex'),
       encode(coalesce(e.hash, decode(repeat('00', 32), 'hex')), 'hex')
from accounts a left join entries e on e.shard = a.shard and e.account_id = a.account_id and e.seq = a.last_seq
where a.shard = $1 and a.last_hash is distinct from coalesce(e.hash, decode(repeat('00', 32), 'hex'))";

/// Each grant against everything entries did to it, its In entry included.
const GRANTS: &str = "
with touched as (
    select e.account_id, t.number, sum(t.change) as change
    from entries e cross join lateral unnest(e.touched_grants, e.touched_changes) as t (number, change)
    where e.shard = $1 group by e.account_id, t.number
), known as (
    select account_id, number, grant_id, remaining from grants where shard = $1
)
select coalesce(a.tenant || '/' || a.account, 'account row ' || coalesce(known.account_id, touched.account_id)) as account,
       'remaining of grant ' || coalesce(known.grant_id, touched.number || ' (missing)') || ' = sum of what entries did to it' as check,
       coalesce(trim_scale(known.remaining)::text, 'none') as stored,
       trim_scale(coalesce(touched.change, 0))::text as computed
from known full join touched using (account_id, number)
left join accounts a on a.shard = $1 and a.account_id = coalesce(known.account_id, touched.account_id)
where known.remaining is distinct from coalesce(touched.change, 0)";

/// The entries that outcomes name exist.
const OUTCOMES: &str = "
select a.tenant || '/' || a.account as account,
       'entries of outcome ' || o.source || ' ' || o.id || ' exist' as check,
       coalesce(o.first_seq::text, 'none') || '..' || coalesce(o.last_seq::text, 'none') as stored,
       '1..' || a.last_seq as computed
from outcomes o join accounts a on a.shard = $1 and a.account_id = o.account_id
where o.shard = $1 and (
    (o.first_seq is null) <> (o.last_seq is null)
    or o.first_seq < 1 or o.first_seq > o.last_seq or o.last_seq > a.last_seq)";

/// Announcements are numbered without a gap up to the account's counter, and published in order.
const OUTBOX: &str = "
with numbered as (
    select account_id, count(*) as rows, min(number) as first, max(number) as last,
           min(number) filter (where published_at is null) as first_unpublished,
           max(number) filter (where published_at is not null) as last_published
    from outbox where shard = $1 group by account_id
)
select a.tenant || '/' || a.account as account, v.what as check, v.stored::text as stored, v.computed::text as computed
from accounts a left join numbered using (account_id)
cross join lateral (values
    ('event_count = last announcement', a.event_count, coalesce(numbered.last, 0)),
    ('announcements are numbered without a gap', numbered.rows, numbered.last - numbered.first + 1),
    ('announcements are published in order: last published < first unpublished',
     case when numbered.last_published > numbered.first_unpublished then numbered.last_published end, null::bigint)
) as v (what, stored, computed)
where a.shard = $1 and v.stored is distinct from v.computed";

/// The announced ranges of entries follow one another and end at the last entry.
const RANGES: &str = "
with announced as (
    select account_id, number, (convert_from(body, 'UTF8')::json #>> '{data,from_seq}')::bigint as from_seq,
           (convert_from(body, 'UTF8')::json #>> '{data,to_seq}')::bigint as to_seq
    from outbox where shard = $1 and not is_reply and routing_key like 'balance.changed.%'
), followed as (
    select account_id, number, from_seq, to_seq,
           lag(to_seq) over (partition by account_id order by number) as before,
           lead(number) over (partition by account_id order by number) as next
    from announced
)
select a.tenant || '/' || a.account as account, 'announcement ' || f.number || ' begins after the one before' as check,
       f.from_seq::text as stored, (f.before + 1)::text as computed
from followed f join accounts a on a.shard = $1 and a.account_id = f.account_id
where f.before is not null and f.from_seq <> f.before + 1
union all
select a.tenant || '/' || a.account, 'the last announcement ends at the last entry', f.to_seq::text, a.last_seq::text
from followed f join accounts a on a.shard = $1 and a.account_id = f.account_id
where f.next is null and f.to_seq <> a.last_seq";

/// Rows whose account does not exist.
const ORPHANS: &str = "
select 'account row ' || account_id as account, name || ' rows have an account' as check, count(*)::text as stored, '0' as computed
from (
    select account_id, 'entries' as name from entries where shard = $1
    union all select account_id, 'grants' from grants where shard = $1
    union all select account_id, 'outcomes' from outcomes where shard = $1
    union all select account_id, 'outbox' from outbox where shard = $1
    union all select account_id, 'debts' from debts where shard = $1
) as rows
where not exists (select from accounts a where a.shard = $1 and a.account_id = rows.account_id)
group by account_id, name";

/// One snapshot of a database, read shard by shard.
#[derive(Debug)]
pub struct Audit {
    connection: PgConnection,
    shards: i16,
}

impl Audit {
    /// Connects and takes the snapshot.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn begin(url: &str) -> Result<Self, Failure> {
        let mut connection = PgConnection::connect(url).await?;
        // Sorting a shard's entries may take longer than any statement of a worker.
        for setting in [
            "set application_name = 'credit-ledger reconcile'",
            "set statement_timeout = 0",
            "set idle_in_transaction_session_timeout = 0",
            "set timezone = 'UTC'",
            "begin isolation level repeatable read read only",
        ] {
            sqlx::query(setting).execute(&mut connection).await?;
        }
        let shards = sqlx::query_scalar("select shards from databases").fetch_one(&mut connection).await?;
        Ok(Self { connection, shards })
    }

    /// The shards to go through.
    pub fn shards(&self) -> impl Iterator<Item = i16> + use<> {
        0..self.shards
    }

    /// Hands every difference of a shard to `tell`, as the database finds it.
    ///
    /// # Errors
    /// [`Failure`] of the database, or what `tell` returns.
    pub async fn differences<E: From<Failure>>(
        &mut self,
        shard: i16,
        tell: &mut (impl FnMut(Difference) -> Result<(), E> + ?Sized),
    ) -> Result<(), E> {
        for check in CHECKS {
            let mut rows = sqlx::query_as::<_, Difference>(check).bind(shard).fetch(&mut self.connection);
            while let Some(difference) = rows.try_next().await.map_err(Failure::from)? {
                tell(difference)?;
            }
        }
        Ok(())
    }

    /// The entries of a shard after a place, in order of account and position.
    ///
    /// # Errors
    /// [`Failure`] of the database, or of an entry that no worker could have written.
    pub async fn entries_after(&mut self, shard: i16, place: (i64, i64), most: i64) -> Result<Vec<Linked>, Failure> {
        let sql = format!(
            "select {ENTRY_COLUMNS} from entries where shard = $1 and (account_id, seq) > ($2, $3) order by account_id, seq limit $4"
        );
        let rows: Vec<EntryRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(shard)
            .bind(place.0)
            .bind(place.1)
            .bind(most)
            .fetch_all(&mut self.connection)
            .await?;
        rows.iter().map(|row| row.entry().map(|(entry, hash)| Linked { account_id: row.account_id, entry, hash })).collect()
    }

    /// The name of an account by its row id.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn name(&mut self, shard: i16, account_id: i64) -> Result<String, Failure> {
        let name = sqlx::query("select tenant || '/' || account as name from accounts where shard = $1 and account_id = $2")
            .bind(shard)
            .bind(account_id)
            .fetch_optional(&mut self.connection)
            .await?;
        Ok(match name {
            Some(row) => row.try_get("name")?,
            None => format!("account row {account_id}"),
        })
    }

    /// How many rows a shard has.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn counts(&mut self, shard: i16) -> Result<Counts, Failure> {
        Ok(sqlx::query_as(
            "select (select count(*) from accounts where shard = $1 and account <> '') as accounts, \
             (select count(*) from entries where shard = $1) as entries, \
             (select count(*) from grants where shard = $1) as grants, \
             (select count(*) from outcomes where shard = $1) as outcomes, \
             (select count(*) from outbox where shard = $1) as announcements",
        )
        .bind(shard)
        .fetch_one(&mut self.connection)
        .await?)
    }
}
