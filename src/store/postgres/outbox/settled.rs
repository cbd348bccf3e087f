//! The mark that something was sent.
//!
//! Owns that batches are never seen half marked: what of them is not published moves to the backlog in the
//! same step.

use super::outbox_columns;
use super::session::{Outflow, RelaySession};
use super::unpublished::Unpublished;
use crate::failure::Failure;

/// What became of what was found in a shard.
#[derive(Debug)]
pub struct Settled<'a> {
    /// The shard.
    pub shard: i16,
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

/// Marks batches of which everything was published.
macro_rules! close {
    ($kind:literal) => {
        concat!(
            "update outbox_batches set published_at = clock_timestamp() from unnest($1::smallint[], $2::bigint[]) as done (shard, batch) \
        where outbox_batches.shard = done.shard and outbox_batches.batch = done.batch and published_at is null and ",
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
        select shard, batch, array_agg(place) as places \
        from unnest($3::smallint[], $4::bigint[], $5::integer[]) as one (shard, batch, place) group by shard, batch \
    ), closed as ( \
        update outbox_batches set published_at = clock_timestamp(), moved = leaving.places \
        from unnest($1::smallint[], $2::bigint[]) as done (shard, batch) left join leaving using (shard, batch) \
        where outbox_batches.shard = done.shard and outbox_batches.batch = done.batch and published_at is null and ",
            $kind,
            " returning outbox_batches.shard, outbox_batches.batch, outbox_batches.moved \
    ), left_over as (select shard, batch, moved from closed where moved is not null) \
    insert into outbox_backlog (",
            outbox_columns!(),
            ") select ",
            outbox_columns!(),
            " from left_over join outbox_batched using (shard, batch) \
    where outbox_batched.published_at is null and ",
            $kind_of_one,
            " and place = any (left_over.moved)"
        )
    };
}

impl RelaySession {
    /// Marks what was published and moves to the backlog what cannot be, of shards that were looked at together.
    ///
    /// # Errors
    /// [`Failure`] of the database; what was not marked is published again, which subscribers drop by id.
    pub async fn settle(&mut self, settled: &[Settled<'_>]) -> Result<(), Failure> {
        self.mark(settled).await?;
        let batches = settled.iter().flat_map(|of| of.batches.iter().map(|batch| (of.shard, *batch)));
        let (shards, batches): (Vec<i16>, Vec<i64>) = batches.unzip();
        let moved: Vec<_> = settled.iter().flat_map(|of| of.moved.iter().map(|(batch, place)| (of.shard, *batch, *place))).collect();
        if !moved.is_empty() {
            let sql = match self.outflow {
                Outflow::Events => close_and_move!("not is_replies", "not is_reply"),
                Outflow::Replies => close_and_move!("is_replies", "is_reply"),
            };
            let moving = sqlx::query(sql)
                .bind(shards)
                .bind(batches)
                .bind(moved.iter().map(|(shard, ..)| *shard).collect::<Vec<_>>())
                .bind(moved.iter().map(|(_, batch, _)| *batch).collect::<Vec<_>>())
                .bind(moved.iter().map(|(.., place)| *place).collect::<Vec<_>>());
            moving.execute(&mut self.connection).await?;
        } else if !batches.is_empty() {
            let sql = match self.outflow {
                Outflow::Events => close!("not is_replies"),
                Outflow::Replies => close!("is_replies"),
            };
            sqlx::query(sql).bind(shards).bind(batches).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    /// Marks rows of the backlog.
    async fn mark(&mut self, settled: &[Settled<'_>]) -> Result<(), Failure> {
        let rows: Vec<_> = settled.iter().flat_map(|of| of.backlog.iter().map(|row| (of.shard, *row))).collect();
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "update outbox_backlog set published_at = clock_timestamp() \
             from unnest($1::smallint[], $2::bool[], $3::bigint[], $4::bigint[]) as sent (shard, in_order, account_id, number) \
             where outbox_backlog.shard = sent.shard and outbox_backlog.in_order = sent.in_order \
             and outbox_backlog.account_id = sent.account_id and outbox_backlog.number = sent.number \
             and outbox_backlog.published_at is null",
        )
        .bind(rows.iter().map(|(shard, _)| *shard).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.in_order).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.account_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.number).collect::<Vec<_>>())
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}
