//! Taking out what the broker gave up on.
//!
//! Owns a connection that fetches from the parking queue on request, so that its
//! messages can be stored in quarantine. Never waits for messages and never
//! reconnects: it is used now and then, by whoever stores them.

use super::acks;
use super::connection::{close, connect, short, within};
use super::delivery::Delivery;
use super::error::BrokerError;
use super::topology::Topology;
use crate::message::Queue;
use lapin::options::BasicGetOptions;
use lapin::{Channel, Connection};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Set by the broker to the queue that gave the message up first.
const ORIGIN: &str = "x-first-death-queue";
const CLOSE_WAIT: Duration = Duration::from_secs(3);

/// An open hand in the parking queue.
pub struct Parking {
    topology: Topology,
    connection: Connection,
    channel: Channel,
    settled: mpsc::UnboundedSender<u64>,
    acker: JoinHandle<Result<(), BrokerError>>,
}

impl Parking {
    /// Opens a connection of its own.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub async fn open(url: &str, topology: &Topology) -> Result<Self, BrokerError> {
        let connection = connect(url, "credit-ledger parking").await?;
        let channel = within("opening a channel", connection.create_channel()).await?;
        let (settled, settled_rx) = mpsc::unbounded_channel();
        let acker = tokio::spawn(acks::run(channel.clone(), settled_rx));
        Ok(Self { topology: topology.clone(), connection, channel, settled, acker })
    }

    /// Up to `max` of the messages that are parked now, oldest first; none when
    /// the queue is empty. Settle each once it is stored; what is not settled
    /// comes back after [`close`](Self::close) or when this is dropped.
    ///
    /// Its `queue` is the one that gave it up, as the broker wrote it down;
    /// without that, the one its routing key leads to, else `Commands`.
    ///
    /// # Errors
    /// When the connection is lost or the queue is missing; open a new one then.
    pub async fn take(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let name = short("a queue name", &self.topology.parking())?;
            let asked = self.channel.basic_get(name, BasicGetOptions::default());
            let Some(message) = within("fetching from the parking queue", asked).await? else {
                break;
            };
            let settled = self.settled.clone();
            let mut delivery = Delivery::from_client(Queue::Commands, message.delivery, settled);
            delivery.queue = self.origin(&delivery);
            taken.push(delivery);
        }
        Ok(taken)
    }

    /// Writes what is settled, waits up to 3 s for tickets still held, and closes.
    pub async fn close(self) {
        drop(self.settled);
        if tokio::time::timeout(CLOSE_WAIT, self.acker).await.is_err() {
            tracing::debug!("parked messages were still unsettled at close; they stay parked");
        }
        tokio::time::sleep(acks::LANDING).await;
        close(&self.connection).await;
    }

    fn origin(&self, delivery: &Delivery) -> Queue {
        let written = delivery.headers.get(ORIGIN);
        let by_header = Queue::ALL.into_iter().find(|queue| Some(&self.topology.queue(*queue)) == written);
        by_header.or_else(|| Queue::of_routing_key(&delivery.routing_key)).unwrap_or(Queue::Commands)
    }
}
