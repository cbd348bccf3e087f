//! The worker's own way from a preloaded queue to the last acknowledgement, and the latency of a
//! steady stream.
//!
//! Owns which drains are measured, producing at a rate, and the histogram; consuming is the worker's code.

use super::drain::{Drain, lanes, outgoing, preload, subscribe};
use super::workload::{self, Spread, TENANT};
use super::{Bench, BrokerRates, Latency, Options, SINGLE, engine};
use crate::amqp::{Delivery, Outgoing, Publisher};
use crate::lanes::{Job, LaneLimits};
use crate::message::raw::CLOUDEVENT;
use crate::message::{Incoming, Queue, Raw, reread};
use crate::secrets::Secrets;
use crate::store::Submission;
use anyhow::bail;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
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
        preload(amqp_url, drain.count, || Ok(usage(bench, workload::usage_bytes(spread, &workload::fresh_id())))).await?;
        drain.run(bench, amqp_url, Secrets::default()).await
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

fn usage(bench: &Bench, body: Vec<u8>) -> Outgoing {
    outgoing(bench, format!("usage.recorded.{TENANT}"), CLOUDEVENT, body)
}

/// A steady stream; the time from before a publish to after its commit.
async fn latency(bench: &Bench, amqp_url: &str, limits: LaneLimits) -> anyhow::Result<Latency> {
    let (lanes, lane_tasks) = lanes(bench, limits, |_, _| {});
    let stop = CancellationToken::new();
    let (mut deliveries, consuming) = subscribe(bench, amqp_url, &stop);
    let sent: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let times = Arc::new(Mutex::new(Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?));
    let count = LATENCY_RATE * LATENCY_SECONDS;
    let producer = tokio::spawn(produce(usage(bench, Vec::new()), amqp_url.to_owned(), sent.clone()));
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
