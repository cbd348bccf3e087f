//! The worker's own way from a preloaded queue to the last acknowledgement, and the latency of a
//! steady stream.
//!
//! Owns producing and counting; consuming is the worker's code.

use super::workload::{self, Spread, TENANT};
use super::{Bench, BrokerRates, Latency, Options, SINGLE, engine};
use crate::amqp::{ConsumeConfig, Delivery, Outgoing, Published, Publisher, consume};
use crate::consumer::Consumer;
use crate::keyring::Keyring;
use crate::lanes::{Job, LaneLimits, LaneSetup, Lanes};
use crate::message::raw::CLOUDEVENT;
use crate::message::{Incoming, Queue, Raw, reread};
use crate::relay::{Dirty, Relay};
use crate::secrets::Secrets;
use crate::store::Submission;
use anyhow::bail;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Messages per second of the latency run.
pub const LATENCY_RATE: u32 = 1_000;
const LATENCY_SECONDS: u32 = 10;

/// Measures all figures with the broker; returns them and how many messages were applied.
///
/// # Errors
/// When a server cannot be used.
pub async fn measure(bench: &Bench, amqp_url: &str, options: &Options) -> anyhow::Result<(BrokerRates, Latency, u64)> {
    let mut applied = engine::prepare(bench, options.limits).await?;
    let mut rate = async |drain: Drain, spread: Spread| {
        applied += u64::from(drain.count);
        preload(bench, amqp_url, spread, drain.count).await?;
        drain.run(bench, amqp_url).await
    };
    let single = Drain { limits: SINGLE, window: 64, count: options.messages / 10, relay: false };
    let batch = Drain { limits: options.limits, window: 1024, count: options.messages, relay: false };
    let rates = BrokerRates {
        single: rate(single, Spread::Uniform).await?,
        batch_1024: rate(batch, Spread::Uniform).await?,
        hot_1024: rate(batch, Spread::Hot).await?,
        batch_1024_relay: rate(Drain { relay: true, ..batch }, Spread::Uniform).await?,
    };
    let latency = latency(bench, amqp_url, options.limits).await?;
    applied += u64::from(LATENCY_RATE * LATENCY_SECONDS);
    Ok((rates, latency, applied))
}

fn outgoing(bench: &Bench, body: Vec<u8>) -> Outgoing {
    Outgoing {
        exchange: bench.topology.incoming(),
        routing_key: format!("usage.recorded.{TENANT}"),
        content_type: CLOUDEVENT.to_owned(),
        headers: Vec::new(),
        correlation_id: None,
        reply_to: None,
        message_id: None,
        mandatory: true,
        body,
    }
}

async fn preload(bench: &Bench, amqp_url: &str, spread: Spread, count: u32) -> anyhow::Result<()> {
    let mut publisher = Publisher::new(amqp_url, "credit-ledger bench");
    let mut left = count;
    while left > 0 {
        let round = left.min(2_000);
        let messages: Vec<Outgoing> = (0..round).map(|_| outgoing(bench, workload::usage_bytes(spread, &workload::fresh_id()))).collect();
        let published = publisher.publish_all(&messages).await?;
        if published.iter().any(|one| *one != Published::Confirmed) {
            bail!("the broker did not take the benchmark's messages");
        }
        left -= round;
    }
    publisher.close().await;
    Ok(())
}

fn lanes(
    bench: &Bench,
    limits: LaneLimits,
    on_commit: impl Fn(i16, usize) + Send + Sync + 'static,
) -> (Lanes<crate::store::postgres::PostgresStore>, tokio_util::task::TaskTracker) {
    let setup = LaneSetup { origin: "bench".into(), shards: bench.store.shards(), limits, stop: CancellationToken::new() };
    Lanes::start(bench.store.clone(), setup, on_commit)
}

/// Starts consuming as the worker does; deliveries come out of the receiver.
fn subscribe(bench: &Bench, amqp_url: &str, stop: &CancellationToken) -> (mpsc::Receiver<Delivery>, tokio::task::JoinHandle<()>) {
    let gate = watch::Sender::new(true);
    let config = ConsumeConfig::new(amqp_url, bench.topology.clone(), gate.subscribe());
    let (sender, deliveries) = mpsc::channel(64);
    let task = tokio::spawn(consume(config, sender, stop.clone(), watch::Sender::new(false)));
    (deliveries, task)
}

/// How a preloaded queue is drained.
#[derive(Clone, Copy)]
struct Drain {
    limits: LaneLimits,
    /// Messages in the worker's hands at a time, from consumer to commit; the queue's prefetch also covers
    /// what is on its way and what is being acknowledged.
    window: u32,
    count: u32,
    relay: bool,
}

impl Drain {
    /// From just before the first delivery to the last settled one; messages per second. A settled delivery is
    /// acknowledged within milliseconds.
    async fn run(self, bench: &Bench, amqp_url: &str) -> anyhow::Result<f64> {
        let Self { limits, window, count, relay } = self;
        let dirty = Arc::new(Dirty::default());
        let stop = CancellationToken::new();
        let relaying = relay.then(|| {
            let relay = Relay {
                store: (*bench.store).clone(),
                amqp_url: amqp_url.to_owned(),
                topology: bench.topology.clone(),
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
        let secrets = watch::Sender::new(Arc::new(Secrets::default()));
        let keyring = Keyring::of_stripe(secrets.subscribe())?;
        let deliveries = hand_over(deliveries, room);
        let handling = Consumer::start((*bench.store).clone(), lanes, (keyring, usize::MAX), deliveries, Arc::default());
        let mut wanted = usize::try_from(count)?;
        let seconds = loop {
            watching.wait_for(|settled| *settled >= wanted).await?;
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

/// A steady stream; the time from before a publish to after its commit.
async fn latency(bench: &Bench, amqp_url: &str, limits: LaneLimits) -> anyhow::Result<Latency> {
    let (lanes, lane_tasks) = lanes(bench, limits, |_, _| {});
    let stop = CancellationToken::new();
    let (mut deliveries, consuming) = subscribe(bench, amqp_url, &stop);
    let sent: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let times = Arc::new(Mutex::new(Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?));
    let count = LATENCY_RATE * LATENCY_SECONDS;
    let producer = tokio::spawn(produce(outgoing(bench, Vec::new()), amqp_url.to_owned(), sent.clone()));
    let mut ids = HashSet::new();
    while ids.len() < usize::try_from(count)? {
        let Some(delivery) = deliveries.recv().await else { bail!("the broker ended the subscription") };
        let (sent, times) = (sent.clone(), times.clone());
        let Delivery { ticket, body, routing_key, content_type, .. } = delivery;
        let raw =
            Raw { queue: Queue::Usage, routing_key, content_type, headers: BTreeMap::new(), reply_to: None, correlation_id: None, body };
        let Ok(Incoming::Account(message)) = reread(&raw) else { bail!("the benchmark's own message cannot be read") };
        let id = message.id.id.to_string();
        ids.insert(id.clone());
        let done = move |_| {
            ticket.settle();
            let published = sent.lock().ok().and_then(|mut sent| sent.remove(&id));
            if let (Some(published), Ok(mut times)) = (published, times.lock()) {
                times.saturating_record(u64::try_from(published.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
        };
        lanes.submit(Job::Message(Submission::new(Arc::new(*message), Arc::new(raw)), Box::new(done)));
    }
    producer.await??;
    drop(lanes);
    lane_tasks.wait().await;
    stop.cancel();
    drop(deliveries);
    consuming.await?;
    let Ok(times) = times.lock() else { bail!("the latency figures were lost") };
    let milliseconds = |quantile: f64| f64::from(u32::try_from(times.value_at_quantile(quantile)).unwrap_or(u32::MAX)) / 1000.0;
    Ok(Latency { rate_per_s: LATENCY_RATE, p50: milliseconds(0.5), p99: milliseconds(0.99) })
}

/// Publishes ten messages every ten milliseconds.
async fn produce(template: Outgoing, amqp_url: String, sent: Arc<Mutex<HashMap<String, Instant>>>) -> anyhow::Result<()> {
    let mut publisher = Publisher::new(amqp_url, "credit-ledger bench");
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..LATENCY_SECONDS * 100 {
        tick.tick().await;
        let ids: Vec<String> = (0..LATENCY_RATE / 100).map(|_| workload::fresh_id()).collect();
        if let Ok(mut sent) = sent.lock() {
            sent.extend(ids.iter().map(|id| (id.clone(), Instant::now())));
        }
        let messages: Vec<Outgoing> =
            ids.iter().map(|id| Outgoing { body: workload::usage_bytes(Spread::Uniform, id), ..template.clone() }).collect();
        publisher.publish_all(&messages).await?;
    }
    publisher.close().await;
    Ok(())
}
