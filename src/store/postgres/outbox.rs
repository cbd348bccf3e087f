//! What is to be published, and the mark that it was.
//!
//! Owns putting the entries into an announcement of them, which are stored once.
//! Owns the order per account: of the events of an account only the oldest unpublished one is handed
//! out, so one that cannot be published keeps back its own account only. Replies and announcements
//! of quarantined messages stand alone and are handed out together. Rows are marked, never
//! remembered by a position: one that commits late is found like any other.

use super::rows::{credits, id};
use super::written::{signed, written};
use super::{PostgresStore, query};
use crate::domain::entry::Entry;
use crate::domain::ids::AccountKey;
use crate::failure::Failure;
use crate::message::{Change, Outgoing, balance_changed};
use crate::store::{self, Content, EntryRange};
use rust_decimal::Decimal;
use sqlx::{Connection as _, PgConnection};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Published rows deleted in one statement.
const PRUNED_MAX: i64 = 5_000;

/// The session lock of the one relay at work.
const RELAY_LOCK: i64 = 0x6372_6564_6974;

/// An unpublished row.
#[derive(Debug, Clone)]
pub struct Unpublished {
    /// Its account.
    pub account_id: i64,
    /// Its position there.
    pub number: i64,
    /// Whether it is the oldest of its account, and others wait for it.
    pub in_order: bool,
    /// What is sent; none when it announces entries that are not there or that this worker
    /// cannot read.
    pub content: Option<Sent>,
}

/// What is sent for a row.
#[derive(Debug, Clone)]
pub struct Sent {
    /// A reply goes to a queue by name, an event to the events exchange.
    pub is_reply: bool,
    /// Routing key or queue.
    pub routing_key: String,
    /// Copied to a reply.
    pub correlation_id: Option<String>,
    /// The message.
    pub body: Vec<u8>,
}

written! {
    /// Something to be published.
    WrittenOutboxRow = "written_outbox_row" {
        account_id: i64,
        number: i64,
        is_reply: bool,
        in_order: bool,
        routing_key: Option<&'a str>,
        correlation_id: Option<&'a str>,
        body: Option<&'a [u8]>,
        source: Option<&'a str>,
        tenant: Option<&'a str>,
        account: Option<&'a str>,
        from_seq: Option<i64>,
        to_seq: Option<i64>,
        held: Option<Decimal>,
        frozen: Option<Decimal>,
        debt: Option<Decimal>,
    }
}

impl<'a> WrittenOutboxRow<'a> {
    pub(super) fn of(account_id: i64, row: &'a store::OutboxRow) -> Self {
        let empty = Self {
            account_id,
            number: signed(row.number),
            is_reply: false,
            in_order: false,
            routing_key: None,
            correlation_id: None,
            body: None,
            source: None,
            tenant: None,
            account: None,
            from_seq: None,
            to_seq: None,
            held: None,
            frozen: None,
            debt: None,
        };
        match &row.content {
            Content::Change { source, key, change } => Self {
                in_order: true,
                source: Some(source),
                tenant: Some(key.tenant.as_str()),
                account: Some(key.account.as_str()),
                from_seq: Some(signed(change.first)),
                to_seq: Some(signed(change.last)),
                held: Some(change.held.decimal()),
                frozen: Some(change.frozen.decimal()),
                debt: Some(change.debt.decimal()),
                ..empty
            },
            Content::Event { in_order, routing_key, body } => {
                Self { in_order: *in_order, routing_key: Some(routing_key), body: Some(body), ..empty }
            }
            Content::Reply { queue, correlation_id, body } => {
                Self { is_reply: true, routing_key: Some(queue), correlation_id: correlation_id.as_deref(), body: Some(body), ..empty }
            }
        }
    }
}

/// The columns of [`OutboxRow`].
macro_rules! outbox_columns {
    () => {
        "account_id, number, is_reply, in_order, routing_key, correlation_id, body, source, tenant, account, from_seq, to_seq, held, frozen, debt"
    };
}
pub(super) use outbox_columns;

/// A row as it is stored.
#[derive(sqlx::FromRow)]
pub(super) struct OutboxRow {
    account_id: i64,
    number: i64,
    is_reply: bool,
    in_order: bool,
    routing_key: Option<String>,
    correlation_id: Option<String>,
    body: Option<Vec<u8>>,
    source: Option<String>,
    tenant: Option<String>,
    account: Option<String>,
    from_seq: Option<i64>,
    to_seq: Option<i64>,
    held: Option<Decimal>,
    frozen: Option<Decimal>,
    debt: Option<Decimal>,
}

impl OutboxRow {
    /// The change it announces, if it does; nothing as well when it cannot be read.
    fn change(&self) -> Option<Change> {
        let amount = |stored: Option<Decimal>| credits(stored.unwrap_or_default()).ok();
        let seq = |stored: Option<i64>| u64::try_from(stored?).ok();
        let (held, frozen, debt) = (amount(self.held)?, amount(self.frozen)?, amount(self.debt)?);
        Some(Change { first: seq(self.from_seq)?, last: seq(self.to_seq)?, held, frozen, debt })
    }

    /// With the entries of its account that could be read.
    fn content(self, entries: Option<&BTreeMap<u64, Entry>>) -> Option<Sent> {
        let change = self.change();
        if let Some((routing_key, body)) = self.routing_key.zip(self.body) {
            return Some(Sent { is_reply: self.is_reply, routing_key, correlation_id: self.correlation_id, body });
        }
        let change = change?;
        let entries: Vec<Entry> = entries?.range(change.first..=change.last).map(|(_, entry)| entry.clone()).collect();
        let key = AccountKey { tenant: id(self.tenant.as_deref()?).ok()?, account: id(self.account.as_deref()?).ok()? };
        let number = u64::try_from(self.number).ok()?;
        let Outgoing { routing_key, body, .. } = balance_changed(self.source.as_deref()?, &key, number, &change, &entries)?;
        Some(Sent { is_reply: false, routing_key, correlation_id: None, body })
    }
}

/// Rows of a shard as they are sent. One that cannot be read has no content, and keeps back its own account
/// only.
pub(super) async fn render(connection: &mut PgConnection, shard: i16, rows: Vec<OutboxRow>) -> Result<Vec<Unpublished>, Failure> {
    let range = |row: &OutboxRow| row.change().map(|Change { first, last, .. }| EntryRange { account_id: row.account_id, first, last });
    let ranges: Vec<EntryRange> = rows.iter().filter_map(range).collect();
    let mut entries: HashMap<i64, BTreeMap<u64, Entry>> = HashMap::new();
    if !ranges.is_empty() {
        for (account_id, entry) in query::entries_in(connection, shard, &ranges).await? {
            // A newer worker may have written what this one does not know.
            let Ok(entry) = entry else { continue };
            entries.entry(account_id).or_default().insert(entry.seq, entry);
        }
    }
    let unpublished = |row: OutboxRow| {
        let (account_id, number, in_order) = (row.account_id, row.number, row.in_order);
        Unpublished { account_id, number, in_order, content: row.content(entries.get(&account_id)) }
    };
    Ok(rows.into_iter().map(unpublished).collect())
}

/// Jumps from account to account in the partial index: what a round costs depends on the accounts
/// with something unpublished, never on how much of it they have.
const UNPUBLISHED: &str = concat!(
    "with recursive heads as ( \
        (select account_id, number from outbox \
         where shard = $1 and in_order and published_at is null and account_id > $2 order by account_id, number limit 1) \
        union all \
        select next.account_id, next.number from heads cross join lateral \
            (select account_id, number from outbox \
             where shard = $1 and in_order and published_at is null and account_id > heads.account_id \
             order by account_id, number limit 1) as next \
    ), first as (select account_id, number from heads limit $3) \
    select ",
    outbox_columns!(),
    " from first join outbox using (account_id, number) where outbox.shard = $1 and in_order and published_at is null \
    union all \
    (select ",
    outbox_columns!(),
    " from outbox where shard = $1 and not in_order and published_at is null order by account_id, number limit $3)"
);

impl PostgresStore {
    /// Of a shard: the oldest unpublished event of each account after `after`, in the order of the
    /// accounts, and rows that stand alone; at most `most` of either.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn unpublished(&self, shard: i16, after: i64, most: i64) -> Result<Vec<Unpublished>, Failure> {
        let mut connection = self.pool.acquire().await?;
        let rows = sqlx::query_as(UNPUBLISHED).bind(shard).bind(after).bind(most).fetch_all(&mut *connection).await?;
        render(&mut connection, shard, rows).await
    }

    /// Marks rows as published.
    ///
    /// # Errors
    /// [`Failure`] of the database; they are then published again, which subscribers drop by id.
    pub async fn mark_published(&self, shard: i16, rows: &[&Unpublished]) -> Result<(), Failure> {
        sqlx::query(
            "update outbox set published_at = clock_timestamp() \
             from unnest($2::bool[], $3::bigint[], $4::bigint[]) as sent (in_order, account_id, number) \
             where outbox.shard = $1 and outbox.in_order = sent.in_order and outbox.account_id = sent.account_id \
             and outbox.number = sent.number and outbox.published_at is null",
        )
        .bind(shard)
        .bind(rows.iter().map(|row| row.in_order).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.account_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.number).collect::<Vec<_>>())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Deletes some of the rows of a shard that were published longer ago than `keep`; true when
    /// there may be more.
    ///
    /// # Errors
    /// [`Failure`] of the database; nothing was deleted.
    pub async fn prune_published(&self, shard: i16, keep: Duration) -> Result<bool, Failure> {
        let pruned = sqlx::query(
            "delete from outbox where shard = $1 and ctid = any (array(select ctid from outbox \
             where shard = $1 and published_at < clock_timestamp() - make_interval(secs => $2) limit $3))",
        )
        .bind(shard)
        .bind(keep.as_secs_f64())
        .bind(PRUNED_MAX)
        .execute(&self.pool)
        .await?;
        Ok(i64::try_from(pruned.rows_affected()).unwrap_or(i64::MAX) >= PRUNED_MAX)
    }

    /// A connection of its own for the lock of the one relay at work.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn relay_lock(&self) -> Result<RelayLock, Failure> {
        Ok(RelayLock(self.pool.acquire().await?.detach()))
    }
}

/// The lock of the one relay at work; it lives as long as its connection.
pub struct RelayLock(PgConnection);

impl RelayLock {
    /// Takes the lock; false while another relay has it.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn take(&mut self) -> Result<bool, Failure> {
        Ok(sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(RELAY_LOCK).fetch_one(&mut self.0).await?)
    }

    /// Whether the connection, and with it the lock, still lives.
    ///
    /// # Errors
    /// [`Failure`] when it does not.
    pub async fn check(&mut self) -> Result<(), Failure> {
        sqlx::query("select 1").execute(&mut self.0).await?;
        Ok(())
    }

    /// Gives the lock back.
    pub async fn release(self) {
        // A connection that is gone has given it back already.
        let _ = self.0.close().await;
    }
}
