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
mod load_rare;
pub mod migrate;
pub mod outbox;
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

    /// The number of shards, fixed when the database was created.
    #[must_use]
    pub fn shards(&self) -> i16 {
        self.shards
    }
}

/// A pool whose sessions are durable and bounded: a commit waits for the disk, a lock for at most
/// 3 s, a statement for at most 30 s, and a session that hangs in a transaction is ended.
///
/// # Errors
/// [`Failure`] when the address cannot be read or the database cannot be reached.
pub async fn pool(url: &str, connections: u32) -> Result<PgPool, Failure> {
    let options = PgConnectOptions::from_str(url)?.application_name("credit-ledger").options([
        ("synchronous_commit", "on"),
        ("lock_timeout", "3s"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("timezone", "UTC"),
        // Every statement reads a handful of rows by key; compiling plans only costs.
        ("jit", "off"),
        // The plan for one key is the plan for any number of keys; planning each batch anew would
        // cost more than executing it.
        ("plan_cache_mode", "force_generic_plan"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(3))
        .test_before_acquire(false)
        .connect_with(options)
        .await?;
    Ok(pool)
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
