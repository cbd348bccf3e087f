//! A preloaded queue, drained by the worker's own code.
//!
//! Owns publishing beforehand, and the clock from the first delivery to the last acknowledgement; consuming
//! is the worker's code.

use super::Bench;
use crate::amqp::{ConsumeConfig, Delivery, Outgoing, Published, Publisher, consume};
use crate::consumer::Consumer;
use crate::keyring::Keyring;
use crate::lanes::{LaneLimits, LaneSetup, Lanes};
use crate::relay::{Dirty, Relay};
use crate::secrets::Secrets;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::outbox::Outflow;
use anyhow::{Context as _, bail};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages published before their confirms are awaited.
const ROUND: u32 = 2_000;
/// A run in which nothing is settled for so long will not end by itself: something was set aside.
const STALLED: Duration = Duration::from_mins(1);

/// A message of the benchmark's, for one of the work queues.
pub fn outgoing(bench: &Bench, routing_key: String, content_type: &str, body: Vec<u8>) -> Outgoing {
    Outgoing {
        exchange: bench.topology.incoming(),
        routing_key,
        content_type: content_type.to_owned(),
        headers: Vec::new(),
        correlation_id: None,
        reply_to: None,
        message_id: None,
        mandatory: true,
        body,
    }
}

/// Fills the queue.
///
/// # Errors
/// When the broker cannot be used or does not take a message.
pub async fn preload(amqp_url: &str, count: u32, mut make: impl FnMut() -> anyhow::Result<Outgoing>) -> anyhow::Result<()> {
    let mut publisher = Publisher::new(amqp_url, "credit-ledger bench");
    let mut left = count;
    while left > 0 {
        let round = left.min(ROUND);
        let messages = (0..round).map(|_| make()).collect::<anyhow::Result<Vec<Outgoing>>>()?;
        let published = publisher.publish_all(&messages).await?;
        if published.iter().any(|one| *one != Published::Confirmed) {
            bail!("the broker did not take the benchmark's messages");
        }
        left -= round;
    }
    publisher.close().await;
    Ok(())
}

/// The worker's lanes, told of every commit.
pub fn lanes(
    bench: &Bench,
    limits: LaneLimits,
    on_commit: impl Fn(i16, usize) + Send + Sync + 'static,
) -> (Lanes<PostgresStore>, TaskTracker) {
    let setup = LaneSetup { origin: "bench".into(), shards: bench.store.shards(), limits, stop: CancellationToken::new() };
    Lanes::start(bench.store.clone(), setup, on_commit)
}

/// Starts consuming as the worker does; deliveries come out of the receiver.
pub fn subscribe(bench: &Bench, amqp_url: &str, stop: &CancellationToken) -> (mpsc::Receiver<Delivery>, tokio::task::JoinHandle<()>) {
    let gate = watch::Sender::new(true);
    let config = ConsumeConfig::new(amqp_url, bench.topology.clone(), gate.subscribe());
    let (sender, deliveries) = mpsc::channel(64);
    let task = tokio::spawn(consume(config, sender, stop.clone(), watch::Sender::new(false)));
    (deliveries, task)
}

/// How a preloaded queue is drained.
#[derive(Clone, Copy)]
pub struct Drain {
    /// Bounds of the lanes.
    pub limits: LaneLimits,
    /// Messages in the worker's hands at a time, from consumer to commit; the queue's prefetch also covers
    /// what is on its way and what is being acknowledged.
    pub window: u32,
    /// Messages in the queue, each of which makes one entry.
    pub count: u32,
    /// Whether the relay publishes meanwhile.
    pub relay: bool,
}

impl Drain {
    /// From just before the first delivery to the last settled one; messages per second. A settled delivery is
    /// acknowledged within milliseconds. Webhooks are verified with `secrets`.
    ///
    /// # Errors
    /// When a server cannot be used, or nothing happens for a minute while entries are missing.
    pub async fn run(self, bench: &Bench, amqp_url: &str, secrets: Secrets) -> anyhow::Result<f64> {
        let Self { limits, window, count, relay } = self;
        let dirty = Arc::new(Dirty::default());
        let stop = CancellationToken::new();
        let relaying = relay.then(|| {
            let relay = Relay {
                store: (*bench.store).clone(),
                amqp_url: amqp_url.to_owned(),
                topology: bench.topology.clone(),
                // Nobody waits for an answer here.
                outflow: Outflow::Events,
                dirty: dirty.clone(),
                keep: Duration::from_hours(1),
            };
            tokio::spawn(relay.run(stop.clone()))
        });
        let before = bench.store.entry_count().await?;
        let (settled, mut watching) = watch::channel(0_usize);
        let room = Arc::new(Semaphore::new(usize::try_from(window)?));
        let given_back = room.clone();
        let (lanes, lane_tasks) = lanes(bench, limits, move |shard, finished| {
            dirty.mark(shard);
            given_back.add_permits(finished);
            settled.send_modify(|settled| *settled = settled.saturating_add(finished));
        });
        let start = Instant::now();
        let (deliveries, consuming) = subscribe(bench, amqp_url, &stop);
        let secrets = watch::Sender::new(Arc::new(secrets));
        let keyring = Keyring::of_stripe(secrets.subscribe())?;
        let deliveries = hand_over(deliveries, room);
        let handling = Consumer::start((*bench.store).clone(), lanes, (keyring, usize::MAX), deliveries, Arc::default());
        let mut wanted = usize::try_from(count)?;
        let seconds = loop {
            while *watching.borrow_and_update() < wanted {
                let settled = tokio::time::timeout(STALLED, watching.changed()).await;
                settled.context("nothing was applied for a minute: messages were set aside, lost or not delivered")??;
            }
            let seconds = start.elapsed().as_secs_f64();
            // A delivery that came twice was settled twice: the ledger knows how many are left.
            let left = i64::from(count) - (bench.store.entry_count().await? - before);
            if left <= 0 {
                break seconds;
            }
            wanted = wanted.saturating_add(usize::try_from(left)?);
        };
        stop.cancel();
        consuming.await?;
        handling.wait().await;
        lane_tasks.wait().await;
        if let Some(relaying) = relaying {
            relaying.await?;
        }
        Ok(f64::from(count) / seconds)
    }
}

/// Hands deliveries over as there is room for them.
fn hand_over(mut deliveries: mpsc::Receiver<Delivery>, room: Arc<Semaphore>) -> mpsc::Receiver<Delivery> {
    let (sender, handed_over) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Some(delivery) = deliveries.recv().await {
            let Ok(permit) = room.acquire().await else { return };
            permit.forget();
            if sender.send(delivery).await.is_err() {
                return;
            }
        }
    });
    handed_over
}
