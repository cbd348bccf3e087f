//! The scheduler: what is due without a message.
//!
//! Owns looking for it; it is written through the same lanes as messages, so a late scheduler
//! changes nothing and any number of them may run. Leaves tenants with a test clock alone.

use crate::domain::ids::AccountKey;
use crate::failure::Failure;
use crate::lanes::{Job, Lanes};
use crate::store::postgres::PostgresStore;
use crate::store::{Quarantine, Store};
use jiff::Timestamp;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often due accounts are looked for.
const TICK: Duration = Duration::from_millis(500);
/// Accounts taken from one shard at a time.
const ROUND_MAX: i64 = 1000;
/// How long an account that could not be written is left alone.
const LEAVE_ALONE: Duration = Duration::from_mins(5);

/// Runs until `stop`.
pub async fn run(store: PostgresStore, lanes: Lanes<PostgresStore>, stop: CancellationToken) {
    let mut broken: HashMap<AccountKey, Instant> = HashMap::new();
    let mut interrupted = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        broken.retain(|_, since| since.elapsed() < LEAVE_ALONE);
        for shard in 0..store.shards() {
            match round(&store, &lanes, shard, &mut broken).await {
                Ok(()) => interrupted = false,
                Err(error) if !interrupted => {
                    interrupted = true;
                    warn!(%error, "due accounts cannot be looked for; it is tried again");
                }
                Err(_) => {}
            }
        }
    }
}

async fn round(
    store: &PostgresStore,
    lanes: &Lanes<PostgresStore>,
    shard: i16,
    broken: &mut HashMap<AccountKey, Instant>,
) -> Result<(), Failure> {
    let due = store.due(shard, ROUND_MAX).await?;
    let due: Vec<AccountKey> = due.into_iter().filter(|key| !broken.contains_key(key)).collect();
    for key in write_due(lanes, due).await {
        broken.insert(key, Instant::now());
    }
    Ok(())
}

/// Writes everything due for some accounts; returns those that could not be written.
pub async fn write_due<S: Store + Quarantine>(lanes: &Lanes<S>, due: Vec<AccountKey>) -> Vec<AccountKey> {
    let mut under_way = Vec::with_capacity(due.len());
    for key in due {
        let (done, written) = oneshot::channel();
        let tell = move |ok| {
            // A receiver that is gone has stopped asking.
            let _ = done.send(ok);
        };
        lanes.submit(Job::Due(key.clone(), Box::new(tell)));
        under_way.push((key, written));
    }
    let mut failed = Vec::new();
    for (key, written) in under_way {
        if !written.await.unwrap_or(true) {
            failed.push(key);
        }
    }
    failed
}

/// Writes everything a tenant has due by `as_of`: a tenant-wide reset, shard by shard.
///
/// # Errors
/// [`Failure`] of the database; what was written stays, and the rest is found again.
pub async fn reset_tenant(store: &PostgresStore, lanes: &Lanes<PostgresStore>, tenant: &str, as_of: Timestamp) -> Result<(), Failure> {
    for shard in 0..store.shards() {
        loop {
            let due = store.due_of_tenant(shard, tenant, as_of, ROUND_MAX).await?;
            if due.is_empty() {
                break;
            }
            let failed = write_due(lanes, due.clone()).await;
            if failed.len() == due.len() {
                warn!(shard, tenant, accounts = failed.len(), "some accounts of a tenant-wide reset need a person");
                break;
            }
        }
    }
    Ok(())
}
