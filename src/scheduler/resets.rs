//! Tenant-wide resets: carried out shard by shard, then answered.
//!
//! Owns taking over what a worker has begun and not finished, and trying again what some account
//! keeps from being finished. A reset is answered once everything due by its instant is written,
//! never before, and once: by whoever removes its row.

use super::{ROUND_MAX, TICK, write_due};
use crate::domain::ids::AccountKey;
use crate::failure::Failure;
use crate::lanes::Lanes;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::resets::ResetJob;
use crate::store::postgres::schedule::{DueOfTenant, Progress};
use std::collections::BTreeMap;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Resets carried out at the same time: a long one of one tenant does not hold up another's.
const RESETS_MAX: usize = 4;
/// Rounds that get no account any further before a person is told.
const STILL_MAX: u32 = 3;

/// Runs until `stop`; what is under way then is left for another worker.
pub async fn run(store: &PostgresStore, lanes: &Lanes<PostgresStore>, begun: &Notify, stop: &CancellationToken) {
    let mut under_way = JoinSet::new();
    let mut interrupted = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = begun.notified() => {}
            () = tokio::time::sleep(TICK) => {}
            Some(_) = under_way.join_next() => {}
        }
        while under_way.try_join_next().is_some() {}
        let room = RESETS_MAX.saturating_sub(under_way.len());
        if room == 0 {
            continue;
        }
        match store.take_resets(i64::try_from(room).unwrap_or(1)).await {
            Ok(jobs) => {
                interrupted = false;
                for job in jobs {
                    under_way.spawn(carry_out(store.clone(), lanes.clone(), job, stop.clone()));
                }
            }
            Err(error) if !interrupted => {
                interrupted = true;
                warn!(%error, "tenant-wide resets cannot be looked for; it is tried again");
            }
            Err(_) => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn carry_out(store: PostgresStore, lanes: Lanes<PostgresStore>, job: ResetJob, stop: CancellationToken) {
    let done = match write_all(&store, &lanes, &job, &stop).await {
        Ok(Some(held_up)) if held_up.is_empty() => store.finish_reset(&job).await.map(|finished| {
            if finished {
                info!(tenant = %job.tenant, message.id = %job.id, as_of = %job.as_of, "a tenant-wide reset is done");
            }
        }),
        Ok(Some(held_up)) => {
            let first = held_up.first().cloned().unwrap_or_default();
            warn!(
                tenant = %job.tenant, message.id = %job.id, accounts = held_up.len(), first,
                "a tenant-wide reset waits for accounts that cannot be written; they need a person, and are tried again"
            );
            store.hold_up_reset(&job, &held_up).await
        }
        Ok(None) => store.leave_reset(&job).await,
        Err(failure) => Err(failure),
    };
    if let Err(error) = done {
        warn!(%error, tenant = %job.tenant, message.id = %job.id, "a tenant-wide reset is interrupted; it is taken up again");
    }
}

/// Writes everything a tenant has due; returns the accounts that could not be written, or `None` when
/// stopping.
async fn write_all(
    store: &PostgresStore,
    lanes: &Lanes<PostgresStore>,
    job: &ResetJob,
    stop: &CancellationToken,
) -> Result<Option<Vec<String>>, Failure> {
    let mut held_up: Vec<String> = Vec::new();
    for shard in 0..store.shards() {
        let due = DueOfTenant { shard, tenant: &job.tenant, as_of: job.as_of };
        let (mut written, mut still) = (BTreeMap::<AccountKey, Progress>::new(), 0_u32);
        loop {
            let found = store.due_of_tenant(&due, &held_up, ROUND_MAX).await?;
            if found.is_empty() {
                break;
            }
            if stop.is_cancelled() {
                return Ok(None);
            }
            store.keep_reset(job).await?;
            // When all were written again and again and none is any further, they would come back for ever.
            still = if found == written { still.saturating_add(1) } else { 0 };
            let stuck = still >= STILL_MAX;
            let failed = if stuck { Some(found.keys().cloned().collect()) } else { write_due(lanes, found.keys().cloned()).await };
            let Some(failed) = failed else { return Ok(None) };
            held_up.extend(failed.iter().map(|key: &AccountKey| key.account.to_string()));
            written = found;
        }
    }
    Ok(Some(held_up))
}
