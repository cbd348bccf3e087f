//! The schema: bringing a database up to it, and saying whether it fits this worker.
//!
//! Owns the versions. Migrations only add; a step that removes comes one release later.

use crate::failure::Failure;
use sqlx::{Connection as _, PgConnection, PgPool};

/// The version of this worker that a schema may ask for.
pub const WORKER: i32 = 1;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Why a database cannot be used by this worker.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database could not be asked.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// A migration failed; it was rolled back.
    #[error("the migration failed and was rolled back; the database is as it was")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// No schema yet.
    #[error("the database has no ledger yet: run `credit-ledger migrate`")]
    Missing,
    /// Older than this worker needs.
    #[error("the database's schema is older than this worker: run `credit-ledger migrate`")]
    TooOld,
    /// Newer than this worker can serve.
    #[error("the database asks for worker version {wanted} or later and this is {WORKER}: install a newer worker")]
    TooNew {
        /// What the schema asks for.
        wanted: i32,
    },
    /// Another shard count than the database was created with.
    #[error(
        "the database was created with {stored} shards and {wanted} were asked for: the number cannot be changed later; leave `shards` at {stored}"
    )]
    Shards {
        /// What the database has.
        stored: i16,
        /// What was asked for.
        wanted: i16,
    },
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

/// Brings the database to this worker's schema; a new database gets `shards` shards.
///
/// # Errors
/// [`SchemaError`]; a failed step leaves the database as it was.
pub async fn migrate(url: &str, shards: i16) -> Result<(), SchemaError> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query("set lock_timeout = '2s'").execute(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await.map_err(SchemaError::Migration)?;
    sqlx::query("insert into databases (shards, worker_min) values ($1, $2) on conflict (singleton) do nothing")
        .bind(shards)
        .bind(WORKER)
        .execute(&mut connection)
        .await?;
    let stored: i16 = sqlx::query_scalar("select shards from databases").fetch_one(&mut connection).await?;
    if stored != shards {
        return Err(SchemaError::Shards { stored, wanted: shards });
    }
    Ok(())
}

/// Says whether this worker may serve the database.
///
/// # Errors
/// [`SchemaError`] with what an operator has to do.
pub async fn check(pool: &PgPool, shards: i16) -> Result<(), SchemaError> {
    let known: bool = sqlx::query_scalar("select to_regclass('databases') is not null").fetch_one(pool).await?;
    if !known {
        return Err(SchemaError::Missing);
    }
    let row: Option<(i16, i32)> = sqlx::query_as("select shards, worker_min from databases").fetch_optional(pool).await?;
    let Some((stored, wanted)) = row else { return Err(SchemaError::Missing) };
    if wanted > WORKER {
        return Err(SchemaError::TooNew { wanted });
    }
    let applied: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations where success").fetch_one(pool).await?;
    if usize::try_from(applied).unwrap_or(0) < MIGRATIONS.iter().count() {
        return Err(SchemaError::TooOld);
    }
    if stored != shards {
        return Err(SchemaError::Shards { stored, wanted: shards });
    }
    Ok(())
}
