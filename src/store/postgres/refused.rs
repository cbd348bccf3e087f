//! The announcement of a refused message about a tenant as a whole.
//!
//! Owns one row of the outbox, under the tenant's own row among the accounts and in the transaction
//! that records the refusal. Never decides.

use super::outbox;
use super::tenant::TenantAsk;
use crate::domain::rejection::Rejection;
use crate::failure::Failure;
use crate::message::Outgoing;
use crate::message::event::{TenantRefused, tenant_refused};
use crate::store::Content;
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
    let Outgoing { routing_key, body, .. } = tenant_refused(&what);
    outbox::announce(connection, home, vec![Content::Event { in_order: true, routing_key, body }]).await
}
