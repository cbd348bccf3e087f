//! The relay: outbox to broker.
//!
//! Owns whose turn it is and which shards are looked at; `round` publishes and marks. One relay of events and one
//! of replies are at work per database, each held by a session lock; a former holder that wakes up late can only publish
//! twice, which subscribers drop by id. Never reads the ledger itself: the store puts the entries into
//! what announces them.

mod round;

use crate::amqp::{BrokerError, Outgoing, Published, Publisher, Topology};
use crate::failure::{Failure, pause};
use crate::message::raw::CLOUDEVENT;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::outbox::{Cursor, Outflow, RelaySession, Sent};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Rows that a round looks for; whole batches may bring more.
const ROUND_MAX: i64 = 2048;
/// The least of it for one shard.
const SHARD_MIN: i64 = 64;
/// Messages published and confirmed together, within the publisher's deadline.
const PUBLISHED_MAX: usize = 2048;
/// How often all shards are looked at, whether somebody said so or not.
const SWEEP: Duration = Duration::from_millis(500);
/// How often it is asked where replies are: those that another worker has written are told of by nobody.
const SWEEP_REPLIES: Duration = Duration::from_millis(100);
/// The same while there are some.
const SWEEP_REPLIES_BUSY: Duration = Duration::from_millis(20);
/// How often a relay that is not at work asks whether it is its turn.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often rows that were published long ago are deleted.
const PRUNE_EVERY: Duration = Duration::from_mins(10);

/// Shards written since the relay last looked.
#[derive(Debug, Default)]
pub struct Dirty {
    shards: Mutex<BTreeSet<i16>>,
    woken: Notify,
}

impl Dirty {
    /// Tells the relay that a shard was written.
    pub fn mark(&self, shard: i16) {
        self.shards.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(shard);
        self.woken.notify_one();
    }

    fn take(&self) -> BTreeSet<i16> {
        std::mem::take(&mut *self.shards.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// What a relay needs.
pub struct Relay {
    /// Where the outbox is.
    pub store: PostgresStore,
    /// The broker's address.
    pub amqp_url: String,
    /// Names at the broker.
    pub topology: Topology,
    /// What it sends.
    pub outflow: Outflow,
    /// Shards to look at first.
    pub dirty: Arc<Dirty>,
    /// How long published rows are kept.
    pub keep: Duration,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl Relay {
    /// Relays until `stop`; what goes wrong is tried again with capped pauses.
    pub async fn run(self, stop: CancellationToken) {
        let mut attempt = 0;
        while !stop.is_cancelled() {
            match self.turn(&stop, &mut attempt).await {
                Ok(()) => return,
                Err(error) => {
                    if attempt == 0 {
                        warn!(%error, "relaying is interrupted; events wait in the outbox and it resumes by itself");
                    }
                    let delay = pause(attempt, Duration::from_millis(100), Duration::from_secs(5));
                    attempt = attempt.saturating_add(1);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(delay) => {}
                    }
                }
            }
        }
    }

    /// Waits for its turn, then relays until something goes wrong or it is told to stop.
    async fn turn(&self, stop: &CancellationToken, attempt: &mut u32) -> Result<(), RelayError> {
        let mut outbox = self.store.relay_session(self.outflow).await?;
        while !outbox.take().await? {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
        let publisher = Publisher::new(&self.amqp_url, "credit-ledger relay");
        let mut session = Session { relay: self, outbox, publisher, cursors: HashMap::new(), refused: BTreeSet::new() };
        let relayed = session.run(stop, attempt).await;
        session.publisher.close().await;
        session.outbox.release().await;
        relayed
    }

    fn outgoing(&self, sent: &Sent) -> Outgoing {
        Outgoing {
            exchange: if sent.is_reply { String::new() } else { self.topology.events() },
            routing_key: sent.routing_key.clone(),
            content_type: if sent.is_reply { "application/json" } else { CLOUDEVENT }.to_owned(),
            headers: Vec::new(),
            correlation_id: sent.correlation_id.clone(),
            reply_to: None,
            message_id: None,
            mandatory: false,
            body: sent.body.clone(),
        }
    }
}

/// One relay at work.
struct Session<'a> {
    relay: &'a Relay,
    outbox: RelaySession,
    publisher: Publisher,
    /// Where the next look at a shard's backlog begins.
    cursors: HashMap<i16, Cursor>,
    /// Rows the broker refused: told once.
    refused: BTreeSet<(i16, i64, i64)>,
}

impl Session<'_> {
    async fn run(&mut self, stop: &CancellationToken, attempt: &mut u32) -> Result<(), RelayError> {
        let mut shards = BTreeSet::new();
        let mut swept: Option<Instant> = None;
        let mut pruned = Instant::now();
        let mut sweep = if self.relay.outflow == Outflow::Replies { SWEEP_REPLIES } else { SWEEP };
        while !stop.is_cancelled() {
            shards.append(&mut self.relay.dirty.take());
            if swept.is_none_or(|swept| swept.elapsed() >= sweep) {
                // A lock lives as long as its session: a dead one must be noticed, busy or not.
                let found = self.outbox.sweep().await?;
                if self.relay.outflow == Outflow::Replies {
                    sweep = if found.is_empty() { SWEEP_REPLIES } else { SWEEP_REPLIES_BUSY };
                }
                shards.extend(found);
                swept = Some(Instant::now());
            }
            if shards.is_empty() {
                if self.relay.outflow == Outflow::Events && pruned.elapsed() >= PRUNE_EVERY {
                    self.prune(stop).await?;
                    pruned = Instant::now();
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.relay.dirty.woken.notified() => {}
                    () = tokio::time::sleep(sweep) => {}
                }
                continue;
            }
            self.round(&mut shards).await?;
            if std::mem::take(attempt) > 0 {
                info!("relaying again");
            }
        }
        Ok(())
    }

    /// Publishes messages of which no two are events of one account. A message that cannot be sent at all is
    /// searched for by halves, so that it keeps back nothing but its own account.
    async fn publish(&mut self, mut messages: Vec<Outgoing>) -> Result<Vec<Published>, RelayError> {
        let mut published = Vec::with_capacity(messages.len());
        let mut parts = Vec::new();
        while messages.len() > PUBLISHED_MAX {
            parts.push(messages.split_off(messages.len().saturating_sub(PUBLISHED_MAX)));
        }
        parts.push(messages);
        while let Some(mut part) = parts.pop() {
            match self.publisher.publish_all(&part).await {
                Ok(mut answers) => published.append(&mut answers),
                Err(BrokerError::Refused { .. } | BrokerError::TooLong { .. }) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
                Err(BrokerError::Refused { .. } | BrokerError::TooLong { .. }) => published.push(Published::Refused),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(published)
    }

    async fn prune(&mut self, stop: &CancellationToken) -> Result<(), RelayError> {
        for shard in 0..self.relay.store.shards() {
            while !stop.is_cancelled() && self.outbox.prune_published(shard, self.relay.keep).await? {}
        }
        Ok(())
    }
}
