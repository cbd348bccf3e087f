//! The exchanges and queues, their names and properties.
//!
//! Owns what [`Topology::apply`] declares and [`Topology::check`] compares. The
//! running worker only checks; it never declares, so that it needs no right to
//! change the broker and never fights an operator. AMQP shows no bindings:
//! `check` cannot see a missing one (producers do, by publishing `mandatory`).

use super::connection::{close, close_channel, connect, short, within};
use super::error::{BrokerError, Cause, reply_code};
use crate::message::Queue;
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};
use std::fmt;

/// Hand-outs before the broker gives a message up to the parking queue. Said
/// explicitly because `RabbitMQ` 3 has no limit and `RabbitMQ` 4 has 20, which
/// counts every message a dying worker had been handed, processed or not: twenty
/// restarts in a row would park thousands of innocent ones. What ends a worker is
/// found after a few ends, by counting attempts.
const DELIVERY_LIMIT: i32 = 100;
/// Nothing takes over from the parking queue, so it must practically never give
/// up (and `RabbitMQ` 4 would after 20, losing the message).
const PARKING_DELIVERY_LIMIT: i32 = 1_000_000;
const CONNECTION_NAME: &str = "credit-ledger topology";

/// Where broker and declaration differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It is not there.
    Missing {
        /// Name of the exchange or queue.
        name: String,
    },
    /// It is there with other properties.
    Unequal {
        /// Name of the exchange or queue.
        name: String,
        /// The broker's own words; they name the first property that differs.
        detail: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name } => write!(f, "{name} is missing; run `topology apply`"),
            Self::Unequal { name, detail } => {
                write!(f, "{name} has other properties ({detail}); let its messages be consumed, delete it, then run `topology apply`")
            }
        }
    }
}

/// All names under one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    prefix: String,
}

/// One thing to declare.
struct Item {
    name: String,
    kind: ItemKind,
}

enum ItemKind {
    Exchange(ExchangeKind),
    Queue(FieldTable),
}

struct Binding {
    queue: String,
    exchange: String,
    key: &'static str,
}

impl Topology {
    /// Names under `prefix` (configuration key `amqp.prefix`). A prefix beyond
    /// 200 bytes or so makes every operation end in [`BrokerError::TooLong`].
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The prefix itself.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The exchange producers publish to: `{prefix}.in`.
    #[must_use]
    pub fn incoming(&self) -> String {
        format!("{}.in", self.prefix)
    }

    /// The exchange events leave by: `{prefix}.events`.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// The dead-letter exchange: `{prefix}.dead`.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// A queue the worker takes messages from: `{prefix}.` and its word.
    #[must_use]
    pub fn queue(&self, queue: Queue) -> String {
        format!("{}.{}", self.prefix, queue.word())
    }

    /// The queue of what the broker gave up on: `{prefix}.parking`.
    #[must_use]
    pub fn parking(&self) -> String {
        format!("{}.parking", self.prefix)
    }

    /// Declares everything. Running it again changes nothing; it never changes
    /// or deletes what exists, and leaves bindings of others alone.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`] names the exchange or queue that exists with
    /// other properties; what was declared before it stays.
    pub async fn apply(&self, url: &str) -> Result<(), BrokerError> {
        let connection = connect(url, CONNECTION_NAME).await?;
        let result = on_channel(&connection, async |channel| self.declare_all(channel).await).await;
        close(&connection).await;
        result
    }

    /// Compares the broker with the declaration, without creating anything.
    /// Where the user may not declare (no `configure` permission), only presence
    /// is compared. An empty list means no difference was seen.
    ///
    /// # Errors
    /// When the broker cannot be asked; a difference is not an error.
    pub async fn check(&self, url: &str) -> Result<Vec<Difference>, BrokerError> {
        let connection = connect(url, CONNECTION_NAME).await?;
        let result = self.compare_all(&connection).await;
        close(&connection).await;
        result
    }

    /// Deletes everything, with all messages in it. For tests and for taking a
    /// private installation away. What is not there is fine.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub async fn delete(&self, url: &str) -> Result<(), BrokerError> {
        let connection = connect(url, CONNECTION_NAME).await?;
        let result = on_channel(&connection, async |channel| self.delete_all(channel).await).await;
        close(&connection).await;
        result
    }

    /// Exchanges first: the queues name the dead-letter exchange.
    fn items(&self) -> Vec<Item> {
        let exchange = |name, kind| Item { name, kind: ItemKind::Exchange(kind) };
        let queue = |name, arguments| Item { name, kind: ItemKind::Queue(arguments) };
        let mut items = vec![
            exchange(self.incoming(), ExchangeKind::Topic),
            exchange(self.events(), ExchangeKind::Topic),
            exchange(self.dead(), ExchangeKind::Fanout),
            queue(self.parking(), parking_arguments()),
        ];
        for work in Queue::ALL {
            items.push(queue(self.queue(work), work_arguments(&self.dead())));
        }
        items
    }

    fn bindings(&self) -> Vec<Binding> {
        let mut bindings = vec![Binding { queue: self.parking(), exchange: self.dead(), key: "" }];
        for work in Queue::ALL {
            for key in work.binding_keys() {
                bindings.push(Binding { queue: self.queue(work), exchange: self.incoming(), key });
            }
        }
        bindings
    }

    async fn declare_all(&self, channel: &Channel) -> Result<(), BrokerError> {
        for item in self.items() {
            item.declare(channel, false).await?;
        }
        for binding in self.bindings() {
            let doing = format!("binding {} to {}", binding.queue, binding.exchange);
            let bound = channel.queue_bind(
                short("a queue name", &binding.queue)?,
                short("an exchange name", &binding.exchange)?,
                binding.key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            within(&doing, bound).await?;
        }
        Ok(())
    }

    async fn compare_all(&self, connection: &Connection) -> Result<Vec<Difference>, BrokerError> {
        let mut differences = Vec::new();
        for item in self.items() {
            // A refusal closes the channel, hence one of its own for each question.
            differences.extend(on_channel(connection, async |channel| item.compare(channel).await).await?);
        }
        Ok(differences)
    }

    async fn delete_all(&self, channel: &Channel) -> Result<(), BrokerError> {
        // Backwards: queues before the exchange their dead letters go to.
        for item in self.items().into_iter().rev() {
            let name = short("a name", &item.name)?;
            let doing = format!("deleting {}", item.name);
            match item.kind {
                ItemKind::Exchange(_) => {
                    let options = ExchangeDeleteOptions::default();
                    within(&doing, channel.exchange_delete(name, options)).await?;
                }
                ItemKind::Queue(_) => {
                    let options = QueueDeleteOptions::default();
                    within(&doing, channel.queue_delete(name, options)).await?;
                }
            }
        }
        Ok(())
    }
}

impl Item {
    /// Declares, or with `passive` only asks whether the name exists.
    async fn declare(&self, channel: &Channel, passive: bool) -> Result<(), BrokerError> {
        let name = short("a name", &self.name)?;
        let doing = format!("declaring {}", self.name);
        let answer = match &self.kind {
            ItemKind::Exchange(kind) => {
                let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
                let none = FieldTable::default();
                let answer = channel.exchange_declare(name, kind.clone(), options, none);
                within(&doing, async { Ok(answer.await) }).await?
            }
            ItemKind::Queue(arguments) => {
                let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
                let answer = channel.queue_declare(name, options, arguments.clone());
                within(&doing, async { Ok(answer.await.map(drop)) }).await?
            }
        };
        answer.map_err(|error| match reply_code(&error) {
            Some(405 | 406) => BrokerError::Mismatch { name: self.name.clone(), source: Cause::from(error) },
            _ => BrokerError::from_client(&doing, error),
        })
    }

    /// Asks first, because declaring would create what is missing.
    async fn compare(&self, channel: &Channel) -> Result<Option<Difference>, BrokerError> {
        match self.declare(channel, true).await {
            Ok(()) => {}
            Err(BrokerError::Missing { .. }) => {
                return Ok(Some(Difference::Missing { name: self.name.clone() }));
            }
            Err(BrokerError::Mismatch { source, .. }) => return Ok(Some(self.unequal(&source))),
            Err(error) => return Err(error),
        }
        match self.declare(channel, false).await {
            Ok(()) => Ok(None),
            Err(BrokerError::Mismatch { source, .. }) => Ok(Some(self.unequal(&source))),
            Err(BrokerError::Access { .. }) => {
                tracing::debug!(name = %self.name, "present; no permission to compare properties");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn unequal(&self, refusal: &Cause) -> Difference {
        Difference::Unequal { name: self.name.clone(), detail: refusal.to_string() }
    }
}

/// Does something on a channel of its own, which is closed afterwards.
async fn on_channel<T>(connection: &Connection, ask: impl AsyncFnOnce(&Channel) -> Result<T, BrokerError>) -> Result<T, BrokerError> {
    let channel = within("opening a channel", connection.create_channel()).await?;
    let result = ask(&channel).await;
    close_channel(&channel).await;
    result
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn quorum(delivery_limit: i32) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(delivery_limit));
    arguments
}

fn parking_arguments() -> FieldTable {
    quorum(PARKING_DELIVERY_LIMIT)
}

fn work_arguments(dead: &str) -> FieldTable {
    let mut arguments = quorum(DELIVERY_LIMIT);
    arguments.insert("x-dead-letter-exchange".into(), text(dead));
    // At least once, or a dead letter is lost when parking cannot take it; the
    // broker honours that only together with reject-publish.
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let topology = Topology::new("credits");
        let names: Vec<String> = topology.items().into_iter().map(|item| item.name).collect();
        assert_eq!(
            names,
            [
                "credits.in",
                "credits.events",
                "credits.dead",
                "credits.parking",
                "credits.payments",
                "credits.usage",
                "credits.approvals",
                "credits.commands",
            ]
        );
    }

    #[test]
    fn every_queue_is_bound_and_no_key_twice() {
        let bindings = Topology::new("p").bindings();
        let mut keys: Vec<_> = bindings.iter().map(|b| b.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), bindings.len());
        assert_eq!(bindings.len(), 12);
        assert!(bindings.iter().all(|b| b.queue.starts_with("p.") && b.exchange.starts_with("p.")));
    }
}
