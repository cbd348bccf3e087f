//! What the relay has to send, and the mark that it was.
//!
//! Owns the order per account: its announcements in the backlog come before those in batches, and an
//! account with any in the backlog has none sent from batches. Replies and announcements of
//! quarantined messages stand alone. Rows are marked, never remembered by a position: a batch that
//! commits late is found like any other, and shares no account with those that passed it.

use super::super::PostgresStore;
use super::{OutboxRow, Sent, outbox_columns, render};
use crate::failure::Failure;
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;

/// Published batches deleted in one statement: each may be as large as a transaction's replies.
const PRUNED_BATCHES_MAX: i64 = 100;
/// Published rows of the backlog deleted in one statement.
const PRUNED_MAX: i64 = 5_000;

/// What a relay sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outflow {
    /// Announcements, and whatever stands in the backlog.
    Events,
    /// Replies, which somebody waits for: they do not stand behind the announcements of a busy hour.
    Replies,
}

impl Outflow {
    /// The session lock of the one relay of it at work.
    fn lock(self) -> i64 {
        match self {
            Self::Events => 0x6372_6564_6974,
            Self::Replies => 0x7265_706c_7973,
        }
    }
}

/// An unpublished row.
#[derive(Debug, Clone)]
pub struct Unpublished {
    /// Its account.
    pub account_id: i64,
    /// Its position there.
    pub number: i64,
    /// Whether it waits for those before it of its account.
    pub in_order: bool,
    /// Its batch and its place there; none when it stands in the backlog.
    pub place: Option<(i64, i32)>,
    /// What is sent; none when it announces entries that are not there or that this worker
    /// cannot read.
    pub content: Option<Sent>,
}

/// What a shard has to publish.
#[derive(Debug, Default)]
pub struct Found {
    /// What may be sent, of each account in order.
    pub rows: Vec<Unpublished>,
    /// The batches that were looked at.
    pub batches: Vec<i64>,
    /// Batch and place of what may not be sent before the backlog of its account.
    pub behind: Vec<(i64, i32)>,
    /// Where the next look at the backlog begins.
    pub next: Cursor,
}

/// How far the backlog was looked at: busy accounts must not keep the others from their turn, nor what is
/// refused what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Of what goes in order, after this account.
    account: i64,
    /// Of what stands alone, after this row.
    alone: (i64, i64),
}

impl Default for Cursor {
    /// Before everything.
    fn default() -> Self {
        Self { account: i64::MIN, alone: (i64::MIN, i64::MIN) }
    }
}

/// What became of what was found.
#[derive(Debug, Default)]
pub struct Settled<'a> {
    /// Published rows of the backlog.
    pub backlog: Vec<&'a Unpublished>,
    /// Batches of which nothing is left but what is moved.
    pub batches: Vec<i64>,
    /// Batch and place of what moves to the backlog; all of these batches are among the others.
    pub moved: Vec<(i64, i32)>,
}

impl Settled<'_> {
    /// Whether nothing became of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.backlog.is_empty() && self.batches.is_empty()
    }
}

/// The oldest batches of announcements or of replies, whole ones, until there are enough rows.
macro_rules! batched {
    ($kind:literal, $kind_of_one:literal) => {
        concat!(
            "with oldest as ( \
        select batch, cardinality(numbers) as rows from outbox_batches \
        where shard = $1 and published_at is null and ",
            $kind,
            " order by batch limit 64 \
    ), taken as ( \
        select batch from (select batch, sum(rows) over (order by batch) - rows as before from oldest) as counted where before < $2 \
    ) \
    select batch, place, ",
            outbox_columns!(),
            ", in_order and exists (select from outbox_backlog late where late.shard = $1 and late.in_order \
        and late.account_id = one.account_id and late.published_at is null) as is_behind \
    from outbox_batched one where shard = $1 and published_at is null and ",
            $kind_of_one,
            " and batch = any (array(select batch from taken)) order by batch, place"
        )
    };
}

/// Jumps from account to account in the partial index: what a round costs depends on the accounts
/// with a backlog, never on how long it is. `$3` rows in all, `$4` of each; and `$3` that stand alone.
const BACKLOG: &str = concat!(
    "with recursive heads as ( \
        (select account_id from outbox_backlog \
         where shard = $1 and in_order and published_at is null and account_id > $2 order by account_id limit 1) \
        union all \
        select next.account_id from heads cross join lateral \
            (select account_id from outbox_backlog \
             where shard = $1 and in_order and published_at is null and account_id > heads.account_id \
             order by account_id limit 1) as next \
    ), first as materialized (select account_id from heads limit $3) \
    select oldest.* from first cross join lateral (select ",
    outbox_columns!(),
    " from outbox_backlog late where shard = $1 and in_order and published_at is null and late.account_id = first.account_id \
      order by number limit least($4, $3 / (select count(*) from first))) as oldest \
    union all \
    (select ",
    outbox_columns!(),
    " from outbox_backlog where shard = $1 and not in_order and published_at is null and (account_id, number) > ($5, $6) \
      order by account_id, number limit $3)"
);

/// Marks batches of which everything was published.
macro_rules! close {
    ($kind:literal) => {
        concat!(
            "update outbox_batches set published_at = clock_timestamp() where shard = $1 and batch = any ($2) and published_at is null and ",
            $kind
        )
    };
}

/// Marks batches and moves what was not published, in one step, so that they are never seen half marked.
/// Whoever comes second moves nothing.
macro_rules! close_and_move {
    ($kind:literal, $kind_of_one:literal) => {
        concat!(
            "with leaving as ( \
        select batch, array_agg(place) as places from unnest($3::bigint[], $4::integer[]) as one (batch, place) group by batch \
    ), closed as ( \
        update outbox_batches set published_at = clock_timestamp(), moved = leaving.places \
        from unnest($2::bigint[]) as done (batch) left join leaving using (batch) \
        where outbox_batches.shard = $1 and outbox_batches.batch = done.batch and published_at is null and ",
            $kind,
            " returning outbox_batches.batch, outbox_batches.moved \
    ), left_over as (select batch, moved from closed where moved is not null) \
    insert into outbox_backlog (shard, ",
            outbox_columns!(),
            ") select $1, ",
            outbox_columns!(),
            " from left_over join outbox_batched using (batch) \
    where outbox_batched.shard = $1 and outbox_batched.published_at is null and ",
            $kind_of_one,
            " and place = any (left_over.moved)"
        )
    };
}

#[derive(sqlx::FromRow)]
struct BatchedRow {
    batch: i64,
    place: i32,
    is_behind: bool,
    #[sqlx(flatten)]
    row: OutboxRow,
}

impl PostgresStore {
    /// A session of its own for the one relay at work.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn relay_session(&self, outflow: Outflow) -> Result<RelaySession, Failure> {
        let mut connection = self.pool.acquire().await?.detach();
        // While little is published yet, the planner would read the whole outbox for what is not.
        sqlx::query("set enable_seqscan = off").execute(&mut connection).await?;
        Ok(RelaySession { connection, outflow })
    }
}

/// Rows of the backlog and of batches, as they are sent.
async fn found(
    connection: &mut PgConnection,
    shard: i16,
    (mut rows, batched): (Vec<OutboxRow>, Vec<BatchedRow>),
) -> Result<Found, Failure> {
    let mut found = Found::default();
    let mut places = vec![None; rows.len()];
    for BatchedRow { batch, place, is_behind, row } in batched {
        if found.batches.last() != Some(&batch) {
            found.batches.push(batch);
        }
        if is_behind {
            found.behind.push((batch, place));
        } else {
            rows.push(row);
            places.push(Some((batch, place)));
        }
    }
    let rendered = render(connection, shard, rows).await?;
    let unpublished = |(rendered, place): (super::Rendered, _)| {
        let super::Rendered { account_id, number, in_order, content } = rendered;
        Unpublished { account_id, number, in_order, place, content }
    };
    found.rows = rendered.into_iter().zip(places).map(unpublished).collect();
    Ok(found)
}

/// Where to go on: after the last of as many as were asked for, else at the beginning again.
fn next(backlog: &[OutboxRow], most: i64) -> Cursor {
    let is_full = |count: usize| i64::try_from(count).unwrap_or(i64::MAX) >= most;
    let mut next = Cursor::default();
    let mut accounts: Vec<i64> = backlog.iter().filter(|row| row.in_order).map(|row| row.account_id).collect();
    accounts.dedup();
    if let (Some(last), true) = (accounts.last(), is_full(accounts.len())) {
        next.account = *last;
    }
    let alone: Vec<&OutboxRow> = backlog.iter().filter(|row| !row.in_order).collect();
    if let (Some(last), true) = (alone.last(), is_full(alone.len())) {
        next.alone = (last.account_id, last.number);
    }
    next
}

/// The session of the one relay at work; its lock lives as long as its connection.
pub struct RelaySession {
    connection: PgConnection,
    outflow: Outflow,
}

impl RelaySession {
    /// The replies of a shard that are to be published, of the oldest batches, whole ones, until there are `most`.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn unpublished_replies(&mut self, shard: i16, most: i64) -> Result<Found, Failure> {
        let sql = batched!("is_replies", "is_reply");
        let batched: Vec<BatchedRow> = sqlx::query_as(sql).bind(shard).bind(most).fetch_all(&mut self.connection).await?;
        found(&mut self.connection, shard, (Vec::new(), batched)).await
    }

    /// What else a shard has to publish: the oldest batches, whole ones, until they have `most` rows; of the
    /// backlog after `from` the oldest of each account, in the order of the accounts, at most `each` of one
    /// and `most` in all; and as many of it that stand alone.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn unpublished(&mut self, shard: i16, from: Cursor, most: i64, each: i64) -> Result<Found, Failure> {
        // Batches first: what is moved meanwhile, by a relay that lost its turn, would else be missed between.
        let sql = batched!("not is_replies", "not is_reply");
        let batched: Vec<BatchedRow> = sqlx::query_as(sql).bind(shard).bind(most).fetch_all(&mut self.connection).await?;
        let backlog: Vec<OutboxRow> = sqlx::query_as(BACKLOG)
            .bind(shard)
            .bind(from.account)
            .bind(most)
            .bind(each)
            .bind(from.alone.0)
            .bind(from.alone.1)
            .fetch_all(&mut self.connection)
            .await?;
        let next = next(&backlog, most);
        Ok(Found { next, ..found(&mut self.connection, shard, (backlog, batched)).await? })
    }

    /// Marks what was published and moves to the backlog what cannot be.
    ///
    /// # Errors
    /// [`Failure`] of the database; what was not marked is published again, which subscribers drop by id.
    pub async fn settle(&mut self, shard: i16, settled: &Settled<'_>) -> Result<(), Failure> {
        if !settled.backlog.is_empty() {
            self.mark(shard, &settled.backlog).await?;
        }
        let (batches, places): (Vec<i64>, Vec<i32>) = settled.moved.iter().copied().unzip();
        if !batches.is_empty() {
            let sql = match self.outflow {
                Outflow::Events => close_and_move!("not is_replies", "not is_reply"),
                Outflow::Replies => close_and_move!("is_replies", "is_reply"),
            };
            let moving = sqlx::query(sql).bind(shard).bind(&settled.batches).bind(batches).bind(places);
            moving.execute(&mut self.connection).await?;
        } else if !settled.batches.is_empty() {
            let sql = match self.outflow {
                Outflow::Events => close!("not is_replies"),
                Outflow::Replies => close!("is_replies"),
            };
            sqlx::query(sql).bind(shard).bind(&settled.batches).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    async fn mark(&mut self, shard: i16, rows: &[&Unpublished]) -> Result<(), Failure> {
        sqlx::query(
            "update outbox_backlog set published_at = clock_timestamp() \
             from unnest($2::bool[], $3::bigint[], $4::bigint[]) as sent (in_order, account_id, number) \
             where outbox_backlog.shard = $1 and outbox_backlog.in_order = sent.in_order \
             and outbox_backlog.account_id = sent.account_id and outbox_backlog.number = sent.number \
             and outbox_backlog.published_at is null",
        )
        .bind(shard)
        .bind(rows.iter().map(|row| row.in_order).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.account_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.number).collect::<Vec<_>>())
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Deletes some of the rows of a shard that were published longer ago than `keep`; true when
    /// there may be more.
    ///
    /// # Errors
    /// [`Failure`] of the database; nothing was deleted.
    pub async fn prune_published(&mut self, shard: i16, keep: Duration) -> Result<bool, Failure> {
        let batches = "delete from outbox_batches where shard = $1 and ctid = any (array(select ctid from outbox_batches \
                       where shard = $1 and published_at < statement_timestamp() - make_interval(secs => $2) limit $3))";
        let backlog = "delete from outbox_backlog where shard = $1 and ctid = any (array(select ctid from outbox_backlog \
                       where shard = $1 and published_at < statement_timestamp() - make_interval(secs => $2) limit $3))";
        let mut is_more = false;
        for (sql, most) in [(batches, PRUNED_BATCHES_MAX), (backlog, PRUNED_MAX)] {
            let pruned = sqlx::query(sql).bind(shard).bind(keep.as_secs_f64()).bind(most).execute(&mut self.connection).await?;
            is_more |= i64::try_from(pruned.rows_affected()).unwrap_or(i64::MAX) >= most;
        }
        Ok(is_more)
    }

    /// Takes the lock; false while another relay has it.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn take(&mut self) -> Result<bool, Failure> {
        Ok(sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(self.outflow.lock()).fetch_one(&mut self.connection).await?)
    }

    /// The shards that are to be looked at: of replies those that have some, of events all, as a backlog does not
    /// show in the batches.
    ///
    /// # Errors
    /// [`Failure`] when the connection, and with it the lock, does not live any more.
    pub async fn sweep(&mut self) -> Result<Vec<i16>, Failure> {
        let sql = match self.outflow {
            Outflow::Events => "select generate_series(0, shards - 1)::smallint from databases",
            Outflow::Replies => "select distinct shard from outbox_batches where published_at is null and is_replies",
        };
        Ok(sqlx::query_scalar(sql).fetch_all(&mut self.connection).await?)
    }

    /// Gives the lock back.
    pub async fn release(self) {
        // A connection that is gone has given it back already.
        let _ = self.connection.close().await;
    }
}
