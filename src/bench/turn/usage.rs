//! Usage that goes on while accounts are reset.
//!
//! Owns sending it steadily, and the time from before a publish to its reply.

use super::{STALLED, TENANT, account};
use crate::amqp::{Outgoing, Publisher, Replies};
use crate::deployment::{Deployment, Said};
use crate::message::raw::CLOUDEVENT;
use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Messages per second.
pub(super) const USAGE_RATE: u32 = 200;

/// How long answers took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct UsageTimes {
    #[serde(rename = "usage_sent")]
    pub sent: u64,
    #[serde(rename = "usage_p50_ms")]
    pub p50_ms: f64,
    #[serde(rename = "usage_p99_ms")]
    pub p99_ms: f64,
    #[serde(rename = "usage_most_ms")]
    pub most_ms: f64,
}

/// Messages that were sent and not answered yet, and how long the others took.
struct Sent {
    waiting: HashMap<String, Instant>,
    times: Histogram<u64>,
    is_measured: bool,
}

/// A steady stream of usage whose answers are timed.
pub(super) struct Usage {
    sent: Arc<Mutex<Sent>>,
    stop: CancellationToken,
    producing: tokio::task::JoinHandle<anyhow::Result<()>>,
    hearing: tokio::task::JoinHandle<()>,
}

impl Usage {
    /// Begins it, for accounts at random; nothing is timed yet.
    pub(super) async fn begin(deployment: &Deployment, accounts: u32) -> anyhow::Result<Self> {
        let times = Histogram::new_with_bounds(1, 600_000_000, 3)?;
        let sent = Arc::new(Mutex::new(Sent { waiting: HashMap::new(), times, is_measured: false }));
        let stop = CancellationToken::new();
        let mut replies = Replies::open(deployment.amqp_url()).await?;
        let reply_to = replies.name().to_owned();
        let heard = sent.clone();
        let hearing = tokio::spawn(async move {
            while let Some((id, _)) = replies.next().await {
                let Ok(mut sent) = heard.lock() else { return };
                let begun = id.and_then(|id| sent.waiting.remove(&id));
                if let (Some(begun), true) = (begun, sent.is_measured) {
                    sent.times.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
            }
        });
        let publisher = Publisher::new(deployment.amqp_url(), "credit-ledger bench");
        let template = Outgoing {
            exchange: deployment.topology().incoming(),
            routing_key: format!("usage.recorded.{TENANT}"),
            content_type: CLOUDEVENT.to_owned(),
            headers: Vec::new(),
            correlation_id: None,
            reply_to: Some(reply_to),
            message_id: None,
            mandatory: true,
            body: Vec::new(),
        };
        let producing = tokio::spawn(produce(publisher, template, (sent.clone(), accounts), stop.clone()));
        Ok(Self { sent, stop, producing, hearing })
    }

    /// From now on answers are timed.
    pub(super) fn measure(&self) {
        if let Ok(mut sent) = self.sent.lock() {
            sent.is_measured = true;
        }
    }

    /// Ends the stream, waits for the last answers and tells how long they took.
    pub(super) async fn end(self) -> anyhow::Result<UsageTimes> {
        self.stop.cancel();
        self.producing.await??;
        let left = || self.sent.lock().map_or(0, |sent| sent.waiting.len());
        let begun = Instant::now();
        while left() > 0 && begun.elapsed() < STALLED {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.hearing.abort();
        let Ok(sent) = self.sent.lock() else { bail!("the latency figures were lost") };
        if !sent.waiting.is_empty() {
            bail!("{} messages of usage were not answered", sent.waiting.len());
        }
        let milliseconds = |micros: u64| f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1000.0;
        Ok(UsageTimes {
            sent: sent.times.len(),
            p50_ms: milliseconds(sent.times.value_at_quantile(0.5)),
            p99_ms: milliseconds(sent.times.value_at_quantile(0.99)),
            most_ms: milliseconds(sent.times.max()),
        })
    }
}

/// Publishes usage of accounts at random until told to stop.
async fn produce(
    mut publisher: Publisher,
    template: Outgoing,
    (sent, accounts): (Arc<Mutex<Sent>>, u32),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / USAGE_RATE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0_u64;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        number += 1;
        let (id, to) = (format!("use-{number}"), account(rand::random_range(0..accounts.max(1))));
        let time = Timestamp::now().to_string();
        let said = Said { tenant: TENANT, account: Some(&to), source: "bench", id: &id, kind: "usage.recorded", time: &time };
        let body = said.body(&json!({"meter": "image", "quantity": 1}));
        if let Ok(mut sent) = sent.lock() {
            sent.waiting.insert(id.clone(), Instant::now());
        }
        publisher.publish_all(&[Outgoing { body, correlation_id: Some(id), ..template.clone() }]).await.context("usage cannot be sent")?;
    }
    publisher.close().await;
    Ok(())
}
