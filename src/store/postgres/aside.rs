//! Setting messages aside that never reached an account: unreadable, unsigned, of nobody.
//!
//! Owns one transaction for the quarantine rows, their announcements and the replies they asked
//! for. They live in one shard of their own, under an account without tenant or name.

use super::{PostgresStore, quarantine};
use crate::domain::decision::Outcome;
use crate::failure::Failure;
use crate::message::{Reply, event};
use crate::store::{QuarantineRow, shard_of};
use jiff_sqlx::Timestamp as SqlTimestamp;

/// The shard of what belongs to no account.
pub fn home(shards: i16) -> i16 {
    shard_of("", "", shards)
}

/// Sets messages aside.
pub async fn set_aside(store: &PostgresStore, origin: &str, rows: &[QuarantineRow]) -> Result<(), Failure> {
    let shard = home(store.shards);
    let mut transaction = store.pool.begin().await?;
    sqlx::query("insert into accounts (shard, tenant, account) values ($1, '', '') on conflict do nothing")
        .bind(shard)
        .execute(&mut *transaction)
        .await?;
    let (account_id, count, now): (i64, i64, SqlTimestamp) = sqlx::query_as(
        "select account_id, event_count, clock_timestamp() from accounts where shard = $1 and tenant = '' and account = '' for update",
    )
    .bind(shard)
    .fetch_one(&mut *transaction)
    .await?;
    let all: Vec<&QuarantineRow> = rows.iter().collect();
    quarantine::insert(&mut transaction, shard, &all).await?;
    let (mut keys, mut bodies, mut replies, mut correlations) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let announcement = event::quarantined(&event::Quarantined {
            source: origin,
            tenant: row.tenant.as_ref(),
            digest: row.raw.digest(),
            time: now.to_jiff(),
            reason: row.reason,
            id: row.message.as_ref(),
            kind: row.kind.as_deref(),
        });
        keys.push(announcement.routing_key);
        bodies.push(announcement.body);
        replies.push(false);
        correlations.push(None);
        if let Some(reply_to) = &row.raw.reply_to {
            let outcome = Outcome::Quarantined(row.reason);
            let reply = Reply {
                tenant: row.tenant.as_ref(),
                account: row.account.as_ref(),
                id: row.message.as_ref(),
                outcome: &outcome,
                entries: &[],
                of: None,
            };
            keys.push(reply_to.clone());
            bodies.push(reply.body());
            replies.push(true);
            correlations.push(row.raw.correlation_id.clone());
        }
    }
    let made = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    sqlx::query(
        "insert into outbox (shard, account_id, number, is_reply, in_order, routing_key, correlation_id, body) \
         select $1, $2, $3 + row_number() over (order by position), is_reply, false, routing_key, correlation_id, body \
         from unnest($4::bool[], $5::text[], $6::text[], $7::bytea[]) with ordinality as new (is_reply, routing_key, correlation_id, body, position)",
    )
    .bind(shard)
    .bind(account_id)
    .bind(count)
    .bind(replies)
    .bind(keys)
    .bind(correlations)
    .bind(bodies)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("update accounts set event_count = event_count + $3 where shard = $1 and account_id = $2")
        .bind(shard)
        .bind(account_id)
        .bind(made)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}
