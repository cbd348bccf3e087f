//! One view of the database for a reading that takes long.
//!
//! Owns the session and its transaction. Knows no table but the one with the number of shards.

use crate::failure::Failure;
use sqlx::{Connection as _, PgConnection};

/// A session for one long reading, in its transaction, and the number of shards: everything is read as it
/// was when the transaction began. `name` is the statement that names the session.
pub(super) async fn snapshot(url: &str, name: &'static str) -> Result<(PgConnection, i16), Failure> {
    let mut connection = PgConnection::connect(url).await?;
    for setting in [
        name,
        // Sorting a shard's entries may take longer than any statement of a worker, and whoever reads the
        // rows may pause.
        "set statement_timeout = 0",
        "set idle_in_transaction_session_timeout = 0",
        "set timezone = 'UTC'",
        "set jit = off",
        // One plan of each statement for all shards.
        "set plan_cache_mode = force_generic_plan",
        "begin isolation level repeatable read read only",
    ] {
        sqlx::query(setting).execute(&mut connection).await?;
    }
    let shards = sqlx::query_scalar("select shards from databases").fetch_one(&mut connection).await?;
    Ok((connection, shards))
}
