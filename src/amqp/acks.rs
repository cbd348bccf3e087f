//! From settled deliveries to as few acknowledgements as possible.
//!
//! [`AckWindow`] is the arithmetic, without any I/O; `run` writes its result to
//! one channel. Never acknowledges a delivery that was not settled, and never
//! names a delivery twice: an unknown number makes the broker close the channel,
//! and `RabbitMQ` before 3.12 first takes *everything* outstanding as acknowledged
//! if that happens in a `multiple` acknowledgement.

use super::connection::within;
use super::error::BrokerError;
use lapin::Channel;
use lapin::options::BasicAckOptions;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A settled delivery waits this long at most for others to go with it.
const GATHER: Duration = Duration::from_millis(2);
/// So many are written without waiting further.
const GATHER_MAX: usize = 256;

/// How often deliveries settled behind one that is still open are written alone:
/// each costs the quorum queue an entry in its log, and most gaps close sooner.
/// Such a delivery waits once to twice as long.
const PATIENCE: Duration = Duration::from_millis(50);

/// Time between the last acknowledgement and an orderly close. A quorum queue
/// forgets acknowledgements that it has read but not yet replicated when the
/// channel closes (rabbitmq-server issue 10327); AMQP has no question whose
/// answer would show that they have landed. Too short costs redeliveries only.
pub(super) const LANDING: Duration = Duration::from_secs(1);

/// What to write to the broker, in this order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Acks {
    /// Acknowledge this delivery and all earlier ones with one frame.
    pub(super) multiple_up_to: Option<u64>,
    /// Acknowledge each of these alone, ascending.
    pub(super) singles: Vec<u64>,
}

/// The deliveries of one channel's life, numbered 1, 2, 3 … by the broker, and
/// what is known about them. Holds at most as many numbers as the prefetch.
#[derive(Debug, Default)]
pub(super) struct AckWindow {
    /// Everything up to here is settled and written.
    prefix: u64,
    /// Settled since singles were last taken.
    fresh: BTreeSet<u64>,
    /// Settled before that, not written: an earlier one was open.
    aged: BTreeSet<u64>,
    /// Beyond the prefix, already written one by one.
    written: BTreeSet<u64>,
}

impl AckWindow {
    /// Notes that a delivery is settled. A number seen before is ignored.
    pub(super) fn settle(&mut self, tag: u64) {
        let known = tag <= self.prefix || self.aged.contains(&tag) || self.written.contains(&tag);
        if !known {
            self.fresh.insert(tag);
        }
    }

    /// How many settled deliveries wait to be written.
    #[must_use]
    pub(super) fn pending(&self) -> usize {
        self.fresh.len() + self.aged.len()
    }

    /// What to write now: one `multiple` for the contiguous settled prefix and,
    /// if `beyond_gap`, single ones for deliveries that such a call has passed
    /// over before. The rest waits, in the hope that the gap closes.
    pub(super) fn take(&mut self, beyond_gap: bool) -> Acks {
        let mut multiple_up_to = None;
        loop {
            let next = self.prefix.saturating_add(1);
            if self.fresh.remove(&next) || self.aged.remove(&next) {
                // Only an unwritten number may be named, so not simply the prefix.
                multiple_up_to = Some(next);
            } else if !self.written.remove(&next) {
                break;
            }
            self.prefix = next;
        }
        if !beyond_gap {
            return Acks { multiple_up_to, singles: Vec::new() };
        }
        let singles: Vec<u64> = std::mem::take(&mut self.aged).into_iter().collect();
        self.written.extend(&singles);
        self.aged = std::mem::take(&mut self.fresh);
        Acks { multiple_up_to, singles }
    }
}

/// Writes acknowledgements for one channel until every ticket of it is settled
/// or dropped and the consumer has let go of its sender.
///
/// # Errors
/// When the channel does not take an acknowledgement: it is then unusable.
pub(super) async fn run(channel: Channel, mut settled: mpsc::UnboundedReceiver<u64>) -> Result<(), BrokerError> {
    let mut window = AckWindow::default();
    let mut open = true;
    let mut singles_at = Instant::now();
    while open || window.pending() > 0 {
        if open {
            open = gather(&mut settled, &mut window).await;
        }
        let now = Instant::now();
        let beyond_gap = !open || now >= singles_at;
        if beyond_gap {
            singles_at = now + PATIENCE;
        }
        let acks = window.take(beyond_gap);
        if let Some(tag) = acks.multiple_up_to {
            write(&channel, tag, true).await?;
        }
        for tag in acks.singles {
            write(&channel, tag, false).await?;
        }
    }
    Ok(())
}

/// Collects settled numbers until there is something worth writing: so many new ones, or the end of
/// the patience with fewer. Those that wait behind a gap are not new. False when no more can come.
async fn gather(settled: &mut mpsc::UnboundedReceiver<u64>, window: &mut AckWindow) -> bool {
    let mut tags = Vec::with_capacity(GATHER_MAX);
    let mut gathered = 0;
    if window.pending() == 0 {
        match receive(settled, &mut tags, window).await {
            0 => return false,
            received => gathered = received,
        }
    }
    let deadline = Instant::now() + GATHER;
    while gathered < GATHER_MAX {
        match tokio::time::timeout_at(deadline, receive(settled, &mut tags, window)).await {
            Ok(0) => return false,
            Ok(received) => gathered = gathered.saturating_add(received),
            Err(_) => break,
        }
    }
    true
}

/// Waits for settled numbers; how many came, 0 when no more can.
async fn receive(settled: &mut mpsc::UnboundedReceiver<u64>, tags: &mut Vec<u64>, window: &mut AckWindow) -> usize {
    // Cancel-safe: nothing is taken unless the await completes.
    let received = settled.recv_many(tags, GATHER_MAX).await;
    for tag in tags.drain(..) {
        window.settle(tag);
    }
    received
}

async fn write(channel: &Channel, tag: u64, multiple: bool) -> Result<(), BrokerError> {
    within("acknowledging", channel.basic_ack(tag, BasicAckOptions { multiple })).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acks(multiple_up_to: Option<u64>, singles: &[u64]) -> Acks {
        Acks { multiple_up_to, singles: singles.to_vec() }
    }

    #[test]
    fn steps() {
        let mut window = AckWindow::default();
        let steps: [(&[u64], Acks); 8] = [
            (&[], acks(None, &[])),
            (&[1, 2, 3], acks(Some(3), &[])),
            (&[5, 6], acks(None, &[])),
            // The gap at 4 stays: those that already waited go alone.
            (&[8], acks(None, &[5, 6])),
            // The gap closes; 5 and 6 are written, so 4 is the one to name.
            (&[4], acks(Some(4), &[8])),
            (&[7], acks(Some(7), &[])),
            (&[7, 8, 1], acks(None, &[])),
            (&[9, 11], acks(Some(9), &[])),
        ];
        for (index, (settled, expected)) in steps.into_iter().enumerate() {
            for tag in settled {
                window.settle(*tag);
            }
            assert_eq!(window.take(true), expected, "step {index}");
        }
        assert_eq!(window.pending(), 1);
        assert_eq!(window.take(false), acks(None, &[]));
        assert_eq!(window.take(true), acks(None, &[11]));
        assert_eq!(window.pending(), 0);
    }

    #[tokio::test]
    async fn waits_for_new_ones_however_many_stand_behind_a_gap() {
        let (_settled, mut receiver) = mpsc::unbounded_channel();
        let mut window = AckWindow::default();
        (2..=1000).for_each(|tag| window.settle(tag));
        let mut gathering = std::pin::pin!(gather(&mut receiver, &mut window));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(gathering.as_mut().poll(&mut context).is_pending());
    }

    /// The broker's side: refuses what `RabbitMQ` refuses.
    struct Broker {
        outstanding: BTreeSet<u64>,
    }

    impl Broker {
        fn apply(&mut self, acks: &Acks, settled: &BTreeSet<u64>) {
            if let Some(tag) = acks.multiple_up_to {
                assert!(self.outstanding.contains(&tag), "unknown delivery tag {tag}");
                let rest = self.outstanding.split_off(&(tag + 1));
                assert!(self.outstanding.is_subset(settled), "unsettled was acknowledged");
                self.outstanding = rest;
            }
            for tag in &acks.singles {
                assert!(self.outstanding.remove(tag), "unknown delivery tag {tag}");
                assert!(settled.contains(tag), "unsettled was acknowledged");
            }
        }
    }

    proptest! {
        #[test]
        fn only_settled_and_each_once(
            order in Just((1..=60_u64).collect::<Vec<_>>()).prop_shuffle(),
            kept in 0..=60_usize,
            cuts in prop::collection::vec(any::<Option<bool>>(), 60),
        ) {
            let mut window = AckWindow::default();
            let mut broker = Broker { outstanding: (1..=60).collect() };
            let mut settled = BTreeSet::new();
            for (tag, cut) in order.iter().take(kept).zip(&cuts) {
                window.settle(*tag);
                settled.insert(*tag);
                if let Some(beyond_gap) = *cut {
                    broker.apply(&window.take(beyond_gap), &settled);
                }
            }
            // Two more rounds leave nothing settled behind.
            broker.apply(&window.take(true), &settled);
            broker.apply(&window.take(true), &settled);
            prop_assert_eq!(window.pending(), 0);
            let expected: BTreeSet<u64> = (1..=60).filter(|t| !settled.contains(t)).collect();
            prop_assert_eq!(broker.outstanding, expected);
        }
    }
}
