//! Listening without acknowledging: replies and events, for the command line and
//! for tests.
//!
//! Owns queues of its own that vanish with the connection. Never takes a message
//! from a work queue and never reconnects: a lost connection ends the stream.

use super::connection::{connect, short, within};
use super::error::BrokerError;
use super::topology::Topology;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};

/// A private queue for answers; its name goes into `reply_to`.
pub struct Replies {
    ear: Ear,
}

/// Events as they leave, from the moment of subscription on.
pub struct Events {
    ear: Ear,
}

struct Ear {
    name: String,
    channel: Channel,
    consumer: Consumer,
    // Held only because dropping it closes the connection.
    _connection: Connection,
}

impl Replies {
    /// Opens a connection and an exclusive queue named by the broker.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub async fn open(url: &str) -> Result<Self, BrokerError> {
        Ok(Self { ear: Ear::open(url, "credit-ledger replies").await? })
    }

    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.ear.name
    }

    /// The next answer: correlation id and body. `None` when the connection is
    /// lost. Waits without limit; set a deadline around it. Cancel-safe.
    pub async fn next(&mut self) -> Option<(Option<String>, Vec<u8>)> {
        let answer = self.ear.next().await?;
        let id = answer.properties.correlation_id().as_ref().map(ToString::to_string);
        Some((id, answer.data))
    }
}

impl Events {
    /// Subscribes to events whose routing key (`<type>.<tenant>`) matches
    /// `pattern`, for example `#` or `balance.changed.acme`. When this returns,
    /// every later event is seen.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses, or the exchange is missing.
    pub async fn subscribe(url: &str, topology: &Topology, pattern: &str) -> Result<Self, BrokerError> {
        let ear = Ear::open(url, "credit-ledger events").await?;
        let bound = ear.channel.queue_bind(
            short("a queue name", &ear.name)?,
            short("an exchange name", &topology.events())?,
            short("a pattern", pattern)?,
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        within("subscribing to events", bound).await?;
        Ok(Self { ear })
    }

    /// The next event: routing key and body. `None` when the connection is lost.
    /// Waits without limit; set a deadline around it. Cancel-safe.
    pub async fn next(&mut self) -> Option<(String, Vec<u8>)> {
        let event = self.ear.next().await?;
        Some((event.routing_key.to_string(), event.data))
    }
}

impl Ear {
    async fn open(url: &str, name: &str) -> Result<Self, BrokerError> {
        let connection = connect(url, name).await?;
        let channel = within("opening a channel", connection.create_channel()).await?;
        let options = QueueDeclareOptions::exclusive().auto_delete();
        let anonymous = ShortString::default();
        let declared = channel.queue_declare(anonymous, options, FieldTable::default());
        let queue = within("declaring a private queue", declared).await?;
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..Default::default() };
        let subscribed = channel.basic_consume(queue.name().clone(), ShortString::default(), options, FieldTable::default());
        let consumer = within("listening to a private queue", subscribed).await?;
        Ok(Self { name: queue.name().to_string(), channel, consumer, _connection: connection })
    }

    async fn next(&mut self) -> Option<Delivery> {
        match self.consumer.next().await? {
            Ok(delivery) => Some(delivery),
            Err(error) => {
                tracing::debug!(%error, "a private queue ended");
                None
            }
        }
    }
}
