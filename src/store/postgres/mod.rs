//! Accounts in Postgres: the only place that names sqlx.
//!
//! Owns connections, the statements and their order. Never decides; never lets a connection go
//! back to the pool in the middle of a transaction.

pub mod admin;
mod aside;
mod attempts;
mod cache;
pub mod catalogs;
pub mod directory;
mod load;
mod load_late;
mod load_rare;
pub mod migrate;
pub mod outbox;
pub mod policies;
pub mod quarantine;
pub mod query;
pub mod reach;
mod refused;
pub mod resets;
mod rows;
mod rows_about;
mod rows_money;
pub mod schedule;
mod sqlstate;
pub mod tenant;
pub mod terms;
mod waiting;
mod write;
mod write_payments;
mod write_rare;
mod write_reversals;
mod written;

use crate::domain::ids::Id;
use crate::domain::settings::Terms;
use crate::failure::Failure;
use crate::store::{Quarantine, QuarantineRow};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Accounts in Postgres.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    shards: i16,
    terms: Arc<Mutex<HashMap<Id, Arc<Terms>>>>,
    cache: Arc<cache::Cache>,
}

impl PostgresStore {
    /// Connects with at most `connections` connections and reads the shard count.
    ///
    /// # Errors
    /// [`Failure`] when the database cannot be reached or was not migrated.
    pub async fn connect(url: &str, connections: u32) -> Result<Self, Failure> {
        Self::open(pool(url, connections).await?).await
    }

    /// Works on connections that are there, and reads the shard count.
    ///
    /// # Errors
    /// [`Failure`] when the database was not migrated.
    pub async fn open(pool: PgPool) -> Result<Self, Failure> {
        let shards: i16 = sqlx::query_scalar("select shards from databases").fetch_one(&pool).await?;
        Ok(Self { pool, shards, terms: Arc::default(), cache: Arc::default() })
    }

    /// The connections, for statements outside a batch.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes every connection, once it is idle.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// True when the database answers.
    pub async fn answers(&self) -> bool {
        sqlx::query_scalar::<_, i32>("select 1").fetch_one(&self.pool).await.is_ok()
    }

    /// The number of shards, fixed when the database was created.
    #[must_use]
    pub fn shards(&self) -> i16 {
        self.shards
    }
}

/// A pool whose sessions are durable and bounded: a commit waits for the disk (not in the relay's, which are
/// taken out of it), a lock for at most 3 s, a statement for at most 30 s, and a session that hangs in a
/// transaction is ended.
///
/// # Errors
/// [`Failure`] when the address cannot be read or the database cannot be reached.
pub async fn pool(url: &str, connections: u32) -> Result<PgPool, Failure> {
    let bounds = [("lock_timeout", "3s"), ("statement_timeout", "30s"), ("idle_in_transaction_session_timeout", "10s")];
    let options = options(url)?.application_name("credit-ledger").options(bounds);
    Ok(pool_options(connections).test_before_acquire(false).connect_with(options).await?)
}

/// A pool for questions, whose sessions cannot write: a lock is waited for at most 1 s, a statement runs for
/// at most 5 s. A session is tried before it is used, so that one of a server that was restarted meanwhile
/// costs nobody an answer.
///
/// # Errors
/// As for [`pool`].
pub async fn reading_pool(url: &str, connections: u32) -> Result<PgPool, Failure> {
    let bounds = [("lock_timeout", "1s"), ("statement_timeout", "5s"), ("idle_in_transaction_session_timeout", "10s")];
    let options = options(url)?.application_name("credit-ledger api").options(bounds);
    let options = options.options([("default_transaction_read_only", "on")]);
    Ok(pool_options(connections).test_before_acquire(true).connect_with(options).await?)
}

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(3))
}

/// What every session has.
fn options(url: &str) -> Result<PgConnectOptions, Failure> {
    Ok(PgConnectOptions::from_str(url)?.options([
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
        // Every statement reads a handful of rows by key; compiling plans only costs.
        ("jit", "off"),
        // The plan for one key is the plan for any number of keys; planning each batch anew would
        // cost more than executing it.
        ("plan_cache_mode", "force_generic_plan"),
        // Rows that change are found by where they stand; priced as on a disk that seeks, the plan for a shard
        // of some hundred accounts reads all of them instead.
        ("random_page_cost", "1"),
    ]))
}

impl Quarantine for PostgresStore {
    async fn set_aside(&self, origin: &str, rows: &[QuarantineRow]) -> Result<(), Failure> {
        aside::set_aside(self, origin, rows).await
    }

    async fn probe(&self) -> bool {
        // A read-only standby answers, but cannot be written to.
        let writable = sqlx::query_scalar::<_, bool>("select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'");
        writable.fetch_one(&self.pool).await.unwrap_or(false)
    }
}
