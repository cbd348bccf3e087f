//! What tenants have recorded since somebody looked: entries and announcements, account by account.
//!
//! Owns read-only statements for `publish`, which shows the effects of a line under that line.

use super::super::outbox::{OutboxRow, outbox_columns, render};
use super::super::{PostgresStore, aside};
use super::{ENTRY_COLUMNS, EntryRow};
use crate::domain::entry::Entry;
use crate::domain::ids::{AccountKey, Id};
use crate::failure::Failure;
use jiff_sqlx::Timestamp as SqlTimestamp;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap};

/// How far somebody has looked.
#[derive(Debug)]
pub struct Seen {
    /// Last entry and last announcement of each account, by shard and row id.
    positions: HashMap<(i16, i64), (i64, i64)>,
    /// When it was first looked; what was published before is not looked for.
    begun_at: SqlTimestamp,
}

/// What was recorded under one row of the accounts.
#[derive(Debug)]
pub struct Fresh {
    /// The account; absent for a tenant as a whole, and for messages that never reached an account.
    pub account: Option<AccountKey>,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
    /// The bodies of its announcements, in order; replies are none.
    pub events: Vec<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct PositionRow {
    shard: i16,
    account_id: i64,
    tenant: String,
    account: String,
    last_seq: i64,
    event_count: i64,
}

#[derive(sqlx::FromRow)]
struct OwnedEntryRow {
    shard: i16,
    account_id: i64,
    #[sqlx(flatten)]
    entry: EntryRow,
}

/// The rows that have something new, as columns.
#[derive(Default)]
struct Wanted {
    shards: Vec<i16>,
    accounts: Vec<i64>,
    entries_after: Vec<i64>,
    events_after: Vec<i64>,
}

impl PostgresStore {
    /// Where tenants stand now.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn seen_now(&self, tenants: &[Id]) -> Result<Seen, Failure> {
        let mut connection = self.pool.acquire().await?;
        let begun_at = sqlx::query_scalar("select clock_timestamp()").fetch_one(&mut *connection).await?;
        let rows = self.positions(&mut connection, tenants).await?;
        let positions = rows.into_iter().map(|row| ((row.shard, row.account_id), (row.last_seq, row.event_count))).collect();
        Ok(Seen { positions, begun_at })
    }

    /// What tenants have recorded beyond what was seen, which is seen then.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn recorded_since(&self, tenants: &[Id], seen: &mut Seen) -> Result<Vec<Fresh>, Failure> {
        let mut snapshot = self.pool.begin_with("begin isolation level repeatable read read only").await?;
        let (mut wanted, mut fresh, mut place) = (Wanted::default(), Vec::new(), HashMap::new());
        for row in self.positions(&mut snapshot, tenants).await? {
            let key = (row.shard, row.account_id);
            let before = seen.positions.insert(key, (row.last_seq, row.event_count)).unwrap_or_default();
            if before == (row.last_seq, row.event_count) {
                continue;
            }
            wanted.shards.push(row.shard);
            wanted.accounts.push(row.account_id);
            wanted.entries_after.push(before.0);
            wanted.events_after.push(before.1);
            place.insert(key, fresh.len());
            fresh.push(Fresh { account: row.key()?, entries: Vec::new(), events: Vec::new() });
        }
        if fresh.is_empty() {
            return Ok(fresh);
        }
        for OwnedEntryRow { shard, account_id, entry } in entries(&mut snapshot, &wanted).await? {
            if let Some(fresh) = place.get(&(shard, account_id)).and_then(|index| fresh.get_mut(*index)) {
                fresh.entries.push(entry.entry()?.0);
            }
        }
        let mut rows: BTreeMap<i16, Vec<OutboxRow>> = BTreeMap::new();
        for (shard, row) in events(&mut snapshot, &wanted, seen.begun_at).await? {
            rows.entry(shard).or_default().push(row);
        }
        for (shard, rows) in rows {
            for row in render(&mut snapshot, shard, rows).await? {
                let Some(fresh) = place.get(&(shard, row.account_id)).and_then(|index| fresh.get_mut(*index)) else { continue };
                let Some(sent) = row.content else { continue };
                // What reached no account stands in one place for all tenants.
                let tenant = sent.routing_key.rsplit_once('.').map(|(_, tenant)| tenant);
                if fresh.account.is_some() || tenants.iter().any(|one| Some(one.as_str()) == tenant) {
                    fresh.events.push(sent.body);
                }
            }
        }
        snapshot.commit().await?;
        Ok(fresh)
    }

    async fn positions(&self, connection: &mut PgConnection, tenants: &[Id]) -> Result<Vec<PositionRow>, Failure> {
        let names: Vec<&str> = tenants.iter().map(Id::as_str).collect();
        let sql = "select shard, account_id, tenant, account, last_seq, event_count from accounts \
                   where tenant = any($1) or (shard = $2 and tenant = '' and account = '')";
        Ok(sqlx::query_as(sql).bind(names).bind(aside::home(self.shards)).fetch_all(connection).await?)
    }
}

impl PositionRow {
    fn key(&self) -> Result<Option<AccountKey>, Failure> {
        if self.account.is_empty() {
            return Ok(None);
        }
        let id = super::super::rows::id;
        Ok(Some(AccountKey { tenant: id(&self.tenant)?, account: id(&self.account)? }))
    }
}

async fn entries(connection: &mut PgConnection, wanted: &Wanted) -> Result<Vec<OwnedEntryRow>, Failure> {
    let sql = format!(
        "select shard, {ENTRY_COLUMNS} from entries join unnest($1::smallint[], $2::bigint[], $3::bigint[]) \
         as wanted (shard, account_id, after) using (shard, account_id) where seq > after order by shard, account_id, seq"
    );
    let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(&wanted.shards).bind(&wanted.accounts).bind(&wanted.entries_after);
    Ok(query.fetch_all(connection).await?)
}

async fn events(connection: &mut PgConnection, wanted: &Wanted, begun_at: SqlTimestamp) -> Result<Vec<(i16, OutboxRow)>, Failure> {
    #[derive(sqlx::FromRow)]
    struct Owned {
        shard: i16,
        #[sqlx(flatten)]
        row: OutboxRow,
    }
    let sql = concat!(
        "select shard, ",
        outbox_columns!(),
        " from outbox join unnest($1::smallint[], $2::bigint[], $3::bigint[]) as wanted (shard, account_id, after) \
         using (shard, account_id) \
         where number > after and not is_reply and (published_at is null or published_at >= $4) order by shard, account_id, number"
    );
    let query = sqlx::query_as(sql).bind(&wanted.shards).bind(&wanted.accounts).bind(&wanted.events_after).bind(begun_at);
    let rows: Vec<Owned> = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|Owned { shard, row }| (shard, row)).collect())
}
