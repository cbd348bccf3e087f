//! The announcement of a refused message about a tenant as a whole.
//!
//! Owns one row of the outbox, under the tenant's own row among the accounts and in the transaction
//! that records the refusal. Never decides.

use super::tenant::TenantAsk;
use crate::domain::rejection::Rejection;
use crate::failure::Failure;
use crate::message::event::{TenantRefused, tenant_refused};
use jiff::Timestamp;
use sqlx::PgConnection;

/// Announces a refusal; `home` is shard and id of the tenant's own row, which is locked.
pub async fn announce(
    connection: &mut PgConnection,
    home: (i16, i64),
    ask: &TenantAsk,
    reasons: &[Rejection],
    time: Timestamp,
) -> Result<(), Failure> {
    // What is not ours is ignored, never refused.
    let Some(command) = &ask.command else { return Ok(()) };
    let what = TenantRefused { source: &ask.origin, tenant: &ask.tenant, time, id: &ask.id, kind: command.word(), reasons };
    let announcement = tenant_refused(&what);
    sqlx::query(
        "with counted as (update accounts set event_count = event_count + 1 where shard = $1 and account_id = $2 returning event_count) \
         insert into outbox (shard, account_id, number, routing_key, body) select $1, $2, event_count, $3, $4 from counted",
    )
    .bind(home.0)
    .bind(home.1)
    .bind(announcement.routing_key)
    .bind(announcement.body)
    .execute(connection)
    .await?;
    Ok(())
}
