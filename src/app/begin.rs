//! Before a worker begins: its servers are waited for and compared with what it needs.
//!
//! Owns what is checked once, and telling what passes by itself from what an operator has to mend. Changes
//! nothing on either server.

use crate::amqp::{self, Topology};
use crate::config::Settings;
use crate::failure::Failure;
use crate::store::postgres::migrate::{self, SchemaError};
use crate::store::postgres::reach::{Unreachable, reach};
use crate::store::postgres::{self, PostgresStore};
use anyhow::bail;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// What connections to the database are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Everything a worker does.
    Working,
    /// Reading accounts.
    Reading,
}

/// Connects, waiting for a database that is away; `None` when stopped before.
pub async fn connect(settings: &Settings, purpose: Purpose, stop: &CancellationToken) -> anyhow::Result<Option<PostgresStore>> {
    let mut delays = amqp::reconnect_delays();
    let mut told = false;
    loop {
        let cause = match open(settings, purpose).await {
            Ok(store) => return Ok(Some(store)),
            Err(cause) if passes_by_itself(&cause) => cause,
            Err(cause) => return Err(cause),
        };
        if !std::mem::replace(&mut told, true) {
            warn!(cause = %format!("{cause:#}"), "Postgres cannot be used yet; the worker waits for it and goes on by itself");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(delays.next().unwrap_or(Duration::from_secs(5))) => {}
        }
    }
}

async fn open(settings: &Settings, purpose: Purpose) -> anyhow::Result<PostgresStore> {
    let database = &settings.database;
    reach(&database.url.0).await?;
    let pool = match purpose {
        Purpose::Working => postgres::pool(&database.url.0, database.connections_max).await?,
        Purpose::Reading => postgres::reading_pool(&database.url.0, settings.api.database_connections).await?,
    };
    migrate::check(&pool, database.shards).await?;
    Ok(PostgresStore::open(pool).await?)
}

fn passes_by_itself(cause: &anyhow::Error) -> bool {
    let of_schema = |error: &SchemaError| matches!(error, SchemaError::Failure(failure) if failure.is_transient());
    cause.downcast_ref().is_some_and(Unreachable::is_transient)
        || cause.downcast_ref().is_some_and(Failure::is_transient)
        || cause.downcast_ref().is_some_and(of_schema)
}

/// Compares the broker's topology, waiting for a broker that is away; false when stopped before.
pub async fn broker_fits(settings: &Settings, topology: &Topology, stop: &CancellationToken) -> anyhow::Result<bool> {
    let mut delays = amqp::reconnect_delays();
    let mut told = false;
    loop {
        match topology.check(&settings.amqp.url.0).await {
            Ok(differences) if differences.is_empty() => return Ok(true),
            Ok(differences) => {
                let list: Vec<String> = differences.iter().map(ToString::to_string).collect();
                bail!("the broker is not set up for this worker (run `credit-ledger topology apply`): {}", list.join("; "));
            }
            Err(error) if !error.is_transient() => return Err(error.into()),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    let cause = format!("{:#}", anyhow::Error::new(error));
                    warn!(%cause, "RabbitMQ cannot be used yet; the worker waits for it and goes on by itself");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(delays.next().unwrap_or(Duration::from_secs(5))) => {}
        }
    }
}
