//! What the relay has to send.
//!
//! Owns the order per account: its announcements in the backlog come before those in batches, and an
//! account with any in the backlog has none sent from batches. Replies and announcements of
//! quarantined messages stand alone. Rows are marked (`settled`), never remembered by a position: a batch
//! that commits late is found like any other, and shares no account with those that passed it.

use super::session::{Outflow, RelaySession};
use super::{OutboxRow, Rendered, Sent, outbox_columns, render};
use crate::failure::Failure;

/// Batches that are looked at together.
const BATCHES_MAX: usize = 64;

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
    /// Whether that was all there was, but for what may be written meanwhile.
    pub is_all: bool,
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

/// The oldest batches of announcements or of replies, whole ones, until there are enough rows.
macro_rules! batched {
    ($kind:literal, $kind_of_one:literal) => {
        concat!(
            "with oldest as ( \
        select batch, cardinality(numbers) as rows from outbox_batches \
        where shard = $1 and published_at is null and ",
            $kind,
            " order by batch limit $3 \
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

#[derive(sqlx::FromRow)]
struct BatchedRow {
    batch: i64,
    place: i32,
    is_behind: bool,
    #[sqlx(flatten)]
    row: OutboxRow,
}

impl RelaySession {
    /// What a shard has to publish: the oldest batches, whole ones, until they have `most` rows; of the
    /// backlog after `from` the oldest of each account, in the order of the accounts, at most `each` of one
    /// and `most` in all; and as many of it that stand alone.
    ///
    /// # Errors
    /// [`Failure`] of the database.
    pub async fn unpublished(&mut self, shard: i16, from: Cursor, most: i64, each: i64) -> Result<Found, Failure> {
        // Batches first: what is moved meanwhile, by a relay that lost its turn, would else be missed between.
        let batched = self.batched(shard, most).await?;
        let mut rows = match self.outflow {
            Outflow::Events => self.backlog(shard, from, most, each).await?,
            Outflow::Replies => Vec::new(),
        };
        let mut batches: Vec<i64> = batched.iter().map(|one| one.batch).collect();
        batches.dedup();
        let is_all = from == Cursor::default() && rows.is_empty() && batches.len() < BATCHES_MAX && !is_full(batched.len(), most);
        let (next, mut places, mut behind) = (next(&rows, most), vec![None; rows.len()], Vec::new());
        for BatchedRow { batch, place, is_behind, row } in batched {
            if is_behind {
                behind.push((batch, place));
            } else {
                rows.push(row);
                places.push(Some((batch, place)));
            }
        }
        let rendered = render(&mut self.connection, shard, rows).await?;
        let unpublished = |(rendered, place): (Rendered, _)| {
            let Rendered { account_id, number, in_order, content } = rendered;
            Unpublished { account_id, number, in_order, place, content }
        };
        let rows = rendered.into_iter().zip(places).map(unpublished).collect();
        Ok(Found { rows, batches, behind, next, is_all })
    }

    async fn batched(&mut self, shard: i16, most: i64) -> Result<Vec<BatchedRow>, Failure> {
        let sql = match self.outflow {
            Outflow::Events => batched!("not is_replies", "not is_reply"),
            Outflow::Replies => batched!("is_replies", "is_reply"),
        };
        let most_batches = i64::try_from(BATCHES_MAX).unwrap_or(i64::MAX);
        Ok(sqlx::query_as(sql).bind(shard).bind(most).bind(most_batches).fetch_all(&mut self.connection).await?)
    }

    async fn backlog(&mut self, shard: i16, from: Cursor, most: i64, each: i64) -> Result<Vec<OutboxRow>, Failure> {
        let backlog = sqlx::query_as(BACKLOG).bind(shard).bind(from.account).bind(most).bind(each).bind(from.alone.0).bind(from.alone.1);
        Ok(backlog.fetch_all(&mut self.connection).await?)
    }
}

fn is_full(count: usize, most: i64) -> bool {
    i64::try_from(count).unwrap_or(i64::MAX) >= most
}

/// Where to go on: after the last of as many as were asked for, else at the beginning again.
fn next(backlog: &[OutboxRow], most: i64) -> Cursor {
    let mut next = Cursor::default();
    let mut accounts: Vec<i64> = backlog.iter().filter(|row| row.in_order).map(|row| row.account_id).collect();
    accounts.dedup();
    if let (Some(last), true) = (accounts.last(), is_full(accounts.len(), most)) {
        next.account = *last;
    }
    let alone: Vec<&OutboxRow> = backlog.iter().filter(|row| !row.in_order).collect();
    if let (Some(last), true) = (alone.last(), is_full(alone.len(), most)) {
        next.alone = (last.account_id, last.number);
    }
    next
}
