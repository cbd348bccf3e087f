//! The run's producer and its two listeners: answers and events.
//!
//! Owns publishing every copy with confirmation, and remembering what came back. Never looks into
//! the database.

use super::journal::{Journal, TENANT};
use crate::amqp::{Events, Outgoing, Published, Publisher, Replies};
use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::watch;

/// Copies published in one round.
const ROUND: usize = 256;
/// Most copies that are published and not yet answered: publishing, and with it killing, lasts as
/// long as the work.
const AHEAD_MAX: usize = 8192;
/// The least of it, in a short run.
const AHEAD_MIN: usize = 512;
/// Attempts to publish a round.
const TRIES: u32 = 10;

/// Where the copies go.
pub struct Producer {
    /// The publisher.
    pub publisher: Publisher,
    /// The incoming exchange.
    pub exchange: String,
    /// The queue of answers.
    pub reply_to: String,
}

impl Producer {
    /// Publishes the copies `from..` of `order`, staying near the answers.
    ///
    /// # Errors
    /// When the broker does not take a message.
    pub async fn publish(
        &mut self,
        journal: &Journal,
        order: &[usize],
        first: usize,
        mut answered: watch::Receiver<usize>,
    ) -> anyhow::Result<()> {
        let ahead = order.len().div_euclid(10).clamp(AHEAD_MIN, AHEAD_MAX);
        for (index, numbers) in order.chunks(ROUND).enumerate() {
            let start = first.saturating_add(index.saturating_mul(ROUND));
            answered.wait_for(|answered| answered.saturating_add(ahead) >= start).await?;
            let round =
                numbers.iter().enumerate().filter_map(|(place, number)| self.outgoing(journal, *number, start.saturating_add(place)));
            self.round(round.collect()).await?;
        }
        Ok(())
    }

    fn outgoing(&self, journal: &Journal, number: usize, copy: usize) -> Option<Outgoing> {
        let message = journal.messages.get(number)?;
        Some(Outgoing {
            exchange: self.exchange.clone(),
            routing_key: message.routing_key.clone(),
            content_type: if message.headers.is_empty() { "application/cloudevents+json".into() } else { "application/json".into() },
            headers: message.headers.clone(),
            correlation_id: Some(copy.to_string()),
            reply_to: Some(self.reply_to.clone()),
            message_id: None,
            mandatory: true,
            body: message.body.clone(),
        })
    }

    async fn round(&mut self, mut left: Vec<Outgoing>) -> anyhow::Result<()> {
        for _ in 0..TRIES {
            if let Ok(answers) = self.publisher.publish_all(&left).await {
                let mut answers = answers.into_iter();
                left.retain(|_| answers.next() != Some(Published::Confirmed));
            }
            if left.is_empty() {
                return Ok(());
            }
        }
        bail!("the broker did not take {} messages", left.len())
    }
}

/// What is known of the answers.
#[derive(Debug, Default)]
pub struct Answered {
    /// Copies that were answered.
    pub seen: HashSet<usize>,
    total: usize,
    /// Deliveries answered once more: they came again after their outcome was stored.
    pub again: u64,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    outcome: &'a str,
}

/// Listens for answers until the stream ends; the watch counts them.
///
/// # Errors
/// When the connection is lost or an answer cannot be read.
pub async fn answers(mut replies: Replies, count: watch::Sender<usize>, state: Arc<std::sync::Mutex<Answered>>) -> anyhow::Result<()> {
    loop {
        let (copy, body) = replies.next().await.context("the connection for answers was lost")?;
        let copy: usize = copy.unwrap_or_default().parse().context("an answer names no copy")?;
        let Outcome { outcome } = serde_json::from_slice(&body)?;
        let mut state = state.lock().map_err(|_| anyhow::anyhow!("the answers are lost"))?;
        // A waiting message is answered again when it is final.
        if !state.seen.insert(copy) && outcome == "duplicate" {
            state.again = state.again.saturating_add(1);
        }
        state.total = state.total.saturating_add(1);
        count.send_replace(state.total);
    }
}

/// What the subscriber knows of one account.
#[derive(Debug, Default, Clone)]
pub struct Ranges {
    /// The last entry heard of.
    pub to: i64,
    /// The balance after it.
    pub balance: String,
}

/// What the subscriber received.
#[derive(Debug, Default)]
pub struct Received {
    ids: HashSet<String>,
    /// By account.
    pub accounts: HashMap<String, Ranges>,
    /// Events that came once more.
    pub again: u64,
    /// Distinct announcements of messages in quarantine.
    pub quarantined: u64,
    /// Ranges that did not follow on one another.
    pub gaps: Vec<String>,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    subject: Option<String>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    balance: Option<String>,
    from_seq: Option<i64>,
    to_seq: Option<i64>,
}

impl Received {
    /// Distinct events.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.ids.len()
    }

    fn take(&mut self, event: Event) {
        if !self.ids.insert(event.id) {
            self.again = self.again.saturating_add(1);
            return;
        }
        match (event.kind.as_str(), event.subject, event.data) {
            ("message.quarantined", _, _) => self.quarantined = self.quarantined.saturating_add(1),
            ("balance.changed", Some(account), Data { balance: Some(balance), from_seq: Some(from), to_seq: Some(to) }) => {
                let ranges = self.accounts.entry(account.clone()).or_default();
                if ranges.to.checked_add(1) != Some(from) {
                    self.gaps.push(format!("events of {account}: {from}..{to} after {}", ranges.to));
                }
                *ranges = Ranges { to, balance };
            }
            _ => {}
        }
    }
}

/// Listens for events until the stream ends.
///
/// # Errors
/// When the connection is lost or an event cannot be read.
pub async fn events(mut stream: Events, state: watch::Sender<Received>) -> anyhow::Result<()> {
    loop {
        let (key, body) = stream.next().await.context("the subscriber lost its connection")?;
        let event: Event = serde_json::from_slice(&body).with_context(|| format!("an event {key} cannot be read"))?;
        state.send_modify(|state| state.take(event));
    }
}

/// The tenant's routing keys, all of them.
#[must_use]
pub fn pattern() -> String {
    format!("#.{TENANT}")
}
