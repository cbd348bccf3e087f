//! The scheduler: what happens without a message.
//!
//! Owns looking for accounts that are due, for waiting messages whose claim may be answered by now, for
//! those whose payment somebody claims by now (`unclaimed`), and for tenant-wide resets (`resets`). Everything is written through the same lanes as messages,
//! so a late scheduler changes nothing and any number of them may run. Never moves a test clock.

mod resets;
mod unclaimed;

use crate::domain::command::Message;
use crate::domain::decision::Claim;
use crate::domain::ids::AccountKey;
use crate::failure::Failure;
use crate::lanes::{Job, Lanes};
use crate::store::postgres::PostgresStore;
use crate::store::{Quarantine, Store};
use futures_util::{StreamExt as _, stream};
use rand::seq::SliceRandom as _;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often each shard is looked at.
const TICK: Duration = Duration::from_millis(500);
/// Accounts taken from one shard at a time.
const ROUND_MAX: i64 = 2000;
/// Shards of which what is due is written at a time: at the turn of a month, messages find lanes that are free.
const SHARDS_AT_ONCE: usize = 2;
/// Waiting messages of one shard asked about at a time; each may be as large as a webhook.
const CLAIMANTS_MAX: i64 = 64;
/// How long an account that could not be written is left alone.
const LEAVE_ALONE: Duration = Duration::from_mins(5);

/// Runs until `stop`. `begun` says that a tenant-wide reset has begun.
pub async fn run(store: PostgresStore, lanes: Lanes<PostgresStore>, begun: Arc<Notify>, stop: CancellationToken) {
    tokio::join!(resets::run(&store, &lanes, &begun, &stop), look(&store, &lanes, &stop));
}

async fn look(store: &PostgresStore, lanes: &Lanes<PostgresStore>, stop: &CancellationToken) {
    let mut broken: HashMap<AccountKey, Instant> = HashMap::new();
    let mut interrupted = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        broken.retain(|_, since| since.elapsed() < LEAVE_ALONE);
        // What takes several rounds, as a long backlog does, does not wait for the next tick.
        let mut shards: Vec<i16> = (0..store.shards()).collect();
        // Workers that begin together do not meet at every shard.
        shards.shuffle(&mut rand::rng());
        while !shards.is_empty() && !stop.is_cancelled() {
            let rounds = stream::iter(shards).map(async |shard| (shard, round(store, lanes, shard, &broken).await));
            let rounds: Vec<(i16, Result<Round, Failure>)> = rounds.buffer_unordered(SHARDS_AT_ONCE).collect().await;
            shards = Vec::new();
            for (shard, round) in rounds {
                match round {
                    Ok(Round { wrote, failed }) => {
                        interrupted = false;
                        shards.extend(wrote.then_some(shard));
                        broken.extend(failed.into_iter().map(|key| (key, Instant::now())));
                    }
                    Err(error) if !interrupted => {
                        interrupted = true;
                        warn!(%error, "what is due cannot be looked for; it is tried again");
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

/// What came of looking at a shard.
struct Round {
    /// Whether something was written, so that there may be more.
    wrote: bool,
    /// Accounts that could not be written.
    failed: Vec<AccountKey>,
}

/// Writes what is due of a shard.
async fn round(
    store: &PostgresStore,
    lanes: &Lanes<PostgresStore>,
    shard: i16,
    broken: &HashMap<AccountKey, Instant>,
) -> Result<Round, Failure> {
    // Held until what is due is written.
    let due = store.due(shard, ROUND_MAX).await?;
    // A message that cannot be asked about must not keep back what is due.
    let answered = answered(store, shard).await;
    let found = unclaimed::round(store, lanes, shard).await;
    let due_now = due.as_ref().map_or(&[][..], |due| &due.accounts);
    let accounts: BTreeSet<AccountKey> = due_now.iter().chain(answered.as_deref().unwrap_or_default()).cloned().collect();
    let wanted: Vec<AccountKey> = accounts.into_iter().filter(|key| !broken.contains_key(key)).collect();
    let asked = wanted.len();
    let failed = write_due(lanes, wanted).await.unwrap_or_default();
    let wrote = failed.len() < asked;
    drop(due);
    answered.and(found).map(|found| Round { wrote: wrote || found, failed })
}

/// Asks the directory again about messages that wait for another account's; returns the accounts of
/// those that can be decided now.
async fn answered(store: &PostgresStore, shard: i16) -> Result<Vec<AccountKey>, Failure> {
    let claimants = store.claimants(shard, CLAIMANTS_MAX).await?;
    let (undecided, mut told): (Vec<_>, Vec<_>) = claimants.into_iter().partition(|claimant| claimant.claim == Claim::Undecided);
    let messages: Vec<&Message> = undecided.iter().map(|claimant| &claimant.message).collect();
    let answers = store.claim(&messages).await?;
    store.wake(&messages).await?;
    for (claimant, claim) in undecided.into_iter().zip(answers) {
        if claim != Claim::Undecided {
            store.tell_claimant(shard, &claimant, claim).await?;
            told.push(claimant);
        }
    }
    Ok(told.into_iter().map(|claimant| claimant.message.account).collect())
}

/// Writes everything due for some accounts; returns those that could not be written, or `None` when
/// the lanes have stopped.
async fn write_due<S: Store + Quarantine>(lanes: &Lanes<S>, due: impl IntoIterator<Item = AccountKey>) -> Option<Vec<AccountKey>> {
    let mut under_way = Vec::new();
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
        if !written.await.ok()? {
            failed.push(key);
        }
    }
    Some(failed)
}
