//! One work queue's subscription and the way from it to the handler.
//!
//! Owns a broker channel with its prefetch and moves its deliveries on, as long
//! as the gate is open. Never acknowledges and never reconnects: its end is the
//! end of the whole session, which the consumer builds anew.

use super::connection::{short, within};
use super::consumer::ConsumeConfig;
use super::delivery::Delivery;
use super::error::BrokerError;
use crate::message::Queue;
use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A subscription.
pub(super) struct Line {
    queue: Queue,
    name: String,
    pub(super) channel: Channel,
    consumer: Consumer,
}

impl Line {
    pub(super) async fn open(connection: &Connection, queue: Queue, config: &ConsumeConfig) -> Result<Self, BrokerError> {
        let name = config.topology.queue(queue);
        let doing = format!("subscribing to {name}");
        let channel = within(&doing, connection.create_channel()).await?;
        let limit = config.prefetch.of(queue);
        within(&doing, channel.basic_qos(limit, BasicQosOptions::default())).await?;
        let subscribed = channel.basic_consume(
            short("a queue name", &name)?,
            ShortString::default(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = within(&doing, subscribed).await?;
        Ok(Self { queue, name, channel, consumer })
    }
}

/// Moves deliveries of one queue to the handler.
pub(super) struct Pump {
    pub(super) line: Line,
    pub(super) settled: mpsc::UnboundedSender<u64>,
    pub(super) handler: mpsc::Sender<Delivery>,
    pub(super) gate: watch::Receiver<bool>,
    pub(super) stop: CancellationToken,
}

impl Pump {
    /// Ends without error when told to stop (the subscription is cancelled then)
    /// or when nobody takes deliveries.
    pub(super) async fn run(mut self) -> Result<(), BrokerError> {
        let stop = self.stop.clone();
        if let Some(end) = stop.run_until_cancelled(self.forward()).await {
            return end;
        }
        self.cancel().await;
        Ok(())
    }

    async fn cancel(&self) {
        let tag = self.line.consumer.tag();
        let cancelled = self.line.channel.basic_cancel(tag, BasicCancelOptions::default());
        if let Err(error) = within("cancelling a subscription", cancelled).await {
            // The channel is gone then, and the subscription with it.
            tracing::debug!(%error, "a subscription could not be cancelled");
        }
    }

    async fn forward(&mut self) -> Result<(), BrokerError> {
        while let Some(next) = self.line.consumer.next().await {
            let raw = next.map_err(|error| BrokerError::from_client(&format!("consuming from {}", self.line.name), error))?;
            let delivery = Delivery::from_client(self.line.queue, raw, self.settled.clone());
            gate_is(&mut self.gate, true).await;
            if self.handler.send(delivery).await.is_err() {
                return Ok(());
            }
        }
        Err(BrokerError::SubscriptionEnded { queue: self.line.name.clone() })
    }
}

/// Waits for the gate to be as wanted; for ever once nobody can move it.
pub(super) async fn gate_is(gate: &mut watch::Receiver<bool>, wanted: bool) {
    if gate.wait_for(|open| *open == wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}
