//! The mark that something was sent.
//!
//! Owns that batches are never seen half marked: what of them is not published moves to the backlog in the
//! same step.

use super::outbox_columns;
use super::session::{Outflow, RelaySession};
use super::unpublished::Unpublished;
use crate::failure::Failure;

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

impl RelaySession {
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
}
