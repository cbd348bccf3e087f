//! Setting messages aside that never reached an account: unreadable, unsigned, of nobody.
//!
//! Owns one transaction for the quarantine rows, their announcements and the replies they asked
//! for. They live in one shard of their own, under an account without tenant or name.

use super::{PostgresStore, outbox, quarantine};
use crate::domain::decision::Outcome;
use crate::failure::Failure;
use crate::message::{Outgoing, Reply, event};
use crate::store::{Content, QuarantineRow, shard_of};
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
    let (account_id, now): (i64, SqlTimestamp) =
        sqlx::query_as("select account_id, clock_timestamp() from accounts where shard = $1 and tenant = '' and account = '' for update")
            .bind(shard)
            .fetch_one(&mut *transaction)
            .await?;
    let all: Vec<&QuarantineRow> = rows.iter().collect();
    quarantine::insert(&mut transaction, shard, &all).await?;
    let mut contents = Vec::new();
    for row in rows {
        let Outgoing { routing_key, body, .. } = event::quarantined(&event::Quarantined {
            source: origin,
            tenant: row.tenant.as_ref(),
            digest: row.raw.digest(),
            time: now.to_jiff(),
            reason: row.reason,
            id: row.message.as_ref(),
            kind: row.kind.as_deref(),
        });
        contents.push(Content::Event { in_order: false, routing_key, body });
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
            let correlation_id = row.raw.correlation_id.clone();
            contents.push(Content::Reply { queue: reply_to.clone(), correlation_id, body: reply.body() });
        }
    }
    outbox::announce(&mut transaction, (shard, account_id), contents).await?;
    transaction.commit().await?;
    Ok(())
}
