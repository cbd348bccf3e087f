//! One round of the relay: what the shards have to publish goes out and is marked.
//!
//! Owns the order on the wire. Of each account the oldest event goes out, then, when the broker has
//! confirmed it, the next, for many accounts at once. What the broker refuses moves to the backlog
//! with what follows it of its account, and so does the rest of an account that has very many, so
//! that neither keeps the others back.

use super::{ROUND_MAX, RelayError, SHARD_MIN, Session};
use crate::amqp::Published;
use crate::figures;
use crate::store::postgres::outbox::{Cursor, Found, Settled, Unpublished};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::{Duration, Instant};
use tracing::error;

/// Events of one account in a round: each costs the round a wait for the broker.
const WAVES_MAX: u16 = 64;
/// How long a round may begin another wave: between rounds the relay looks at its lock, and whether to stop.
const WAVES_FOR: Duration = Duration::from_secs(1);

/// What one shard has to publish in this round.
struct Work {
    shard: i16,
    found: Found,
    /// Which of the rows found were published, by their place there.
    sent: HashSet<usize>,
}

/// Rows of one account, oldest first, or one that stands alone: numbers of rows of a shard's work.
struct Queue {
    work: usize,
    rows: VecDeque<usize>,
}

impl Session<'_> {
    /// Publishes once what the shards have; leaves in `shards` those that may have more.
    pub(super) async fn round(&mut self, shards: &mut BTreeSet<i16>) -> Result<(), RelayError> {
        let most = ROUND_MAX.checked_div(i64::try_from(shards.len()).unwrap_or(i64::MAX)).unwrap_or(ROUND_MAX).max(SHARD_MIN);
        let mut works = Vec::new();
        for shard in shards.iter().copied() {
            let from = self.cursors.get(&shard).copied().unwrap_or_default();
            let found = self.outbox.unpublished(shard, from, most, i64::from(WAVES_MAX)).await?;
            self.cursors.insert(shard, found.next);
            works.push(Work { shard, found, sent: HashSet::new() });
        }
        let published = self.waves(&mut works).await;
        for work in &works {
            figures::published(work.sent.len());
            let settled = work.settled(published.is_ok());
            self.outbox.settle(work.shard, &settled).await?;
            if work.is_done(&settled) {
                shards.remove(&work.shard);
            }
        }
        published
    }

    /// Publishes the oldest row of every queue until nothing is left that may be sent.
    async fn waves(&mut self, works: &mut [Work]) -> Result<(), RelayError> {
        let mut queues = queues(works);
        let begun = Instant::now();
        for _ in 0..WAVES_MAX {
            if begun.elapsed() > WAVES_FOR {
                break;
            }
            let mut messages = Vec::new();
            queues.retain(|queue| {
                let Some((shard, _, row)) = queue.head(works) else { return false };
                match &row.content {
                    Some(sent) => messages.push(self.relay.outgoing(sent)),
                    None => self.tell_refused(shard, row),
                }
                row.content.is_some()
            });
            if messages.is_empty() {
                break;
            }
            // One for each queue that is left.
            let mut answers = self.publish(messages).await?.into_iter();
            queues.retain_mut(|queue| {
                let Some(((shard, index, row), published)) = queue.head(works).zip(answers.next()) else { return false };
                let is_sent = self.is_sent(shard, row, published);
                if let (true, Some(work)) = (is_sent, works.get_mut(queue.work)) {
                    work.sent.insert(index);
                    queue.rows.pop_front();
                }
                is_sent
            });
        }
        Ok(())
    }

    /// An event nobody subscribes to and a reply whose queue is gone are done.
    fn is_sent(&mut self, shard: i16, row: &Unpublished, published: Published) -> bool {
        let is_sent = matches!(published, Published::Confirmed | Published::Unroutable);
        if is_sent {
            self.refused.remove(&(shard, row.account_id, row.number));
        } else {
            self.tell_refused(shard, row);
        }
        is_sent
    }

    /// Says once that a row is refused by the broker or cannot be rendered.
    fn tell_refused(&mut self, shard: i16, row: &Unpublished) {
        if !self.refused.insert((shard, row.account_id, row.number)) {
            return;
        }
        match &row.content {
            Some(sent) => {
                error!(
                    routing_key = &*sent.routing_key,
                    "the broker refuses this announcement (a subscriber's queue is full?); it is tried again, and its account's later ones wait"
                );
            }
            None => {
                error!(
                    shard,
                    account.id = row.account_id,
                    number = row.number,
                    "an announcement tells of entries that are missing or of a newer worker; it is tried again, its account's later ones wait, and `credit-ledger reconcile` says whether the ledger is at fault"
                );
            }
        }
    }
}

impl Queue {
    /// Its oldest row, with its shard and its place in the shard's work.
    fn head<'a>(&self, works: &'a [Work]) -> Option<(i16, usize, &'a Unpublished)> {
        let (work, index) = (works.get(self.work)?, *self.rows.front()?);
        Some((work.shard, index, work.found.rows.get(index)?))
    }
}

impl Work {
    /// What became of it. Unless the round came to its end, what is unsent stays where it is.
    fn settled(&self, is_complete: bool) -> Settled<'_> {
        let mut settled = Settled::default();
        let mut unsent: Vec<(i64, i32)> = self.found.behind.clone();
        for (index, row) in self.found.rows.iter().enumerate() {
            match (row.place, self.sent.contains(&index)) {
                (None, true) => settled.backlog.push(row),
                (Some(place), false) => unsent.push(place),
                (None, false) | (Some(_), true) => {}
            }
        }
        if is_complete {
            settled.batches.clone_from(&self.found.batches);
            settled.moved = unsent;
        } else {
            let staying: BTreeSet<i64> = unsent.into_iter().map(|(batch, _)| batch).collect();
            // Not past one that stays: what is marked was published in order.
            settled.batches = self.found.batches.iter().copied().take_while(|batch| !staying.contains(batch)).collect();
        }
        settled
    }

    /// Whether the shard needs no other look before something is written there, or the next sweep.
    fn is_done(&self, settled: &Settled<'_>) -> bool {
        if settled.is_empty() {
            // Nothing there, or to the end nothing but what is refused.
            self.found.next == Cursor::default()
        } else {
            self.found.is_all && settled.moved.is_empty()
        }
    }
}

fn queues(works: &[Work]) -> Vec<Queue> {
    let mut queues = Vec::new();
    for (work, Work { found, .. }) in works.iter().enumerate() {
        let mut accounts: BTreeMap<i64, VecDeque<usize>> = BTreeMap::new();
        for (index, row) in found.rows.iter().enumerate() {
            if row.in_order {
                accounts.entry(row.account_id).or_default().push_back(index);
            } else {
                queues.push(Queue { work, rows: VecDeque::from([index]) });
            }
        }
        queues.extend(accounts.into_values().map(|rows| Queue { work, rows }));
    }
    queues
}
