//! Publishing with certainty.
//!
//! Owns one connection and channel with publisher confirms. Never reports a
//! message as arrived on anything but the broker's confirmation, never keeps a
//! message for later and never waits between attempts: the caller holds what is
//! unpublished (the outbox) and calls again after [`super::reconnect_delays`].

use super::connection::{DEADLINE, close, connect, late, short, within};
use super::error::BrokerError;
use futures_util::future::{Either, poll_immediate, ready};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

const PERSISTENT: u8 = 2;
/// How many messages are handed over before the oldest of them is waited for: waiting for each would wake the
/// library's thread, and this one, for every message.
const UNWRITTEN_MAX: usize = 128;
/// How long a round waits for the reason after a write failed.
const REASON_WAIT: Duration = Duration::from_millis(500);

/// A message to publish. Always written to disk by the broker.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Exchange; empty for the default exchange, whose routing key is a queue.
    pub exchange: String,
    /// Routing key, at most 255 bytes.
    pub routing_key: String,
    /// `content-type` property.
    pub content_type: String,
    /// Headers, all of them text.
    pub headers: Vec<(String, String)>,
    /// `correlation-id` property.
    pub correlation_id: Option<String>,
    /// `reply-to` property.
    pub reply_to: Option<String>,
    /// `message-id` property.
    pub message_id: Option<String>,
    /// Ask to be told when no queue takes it ([`Published::Unroutable`]).
    pub mandatory: bool,
    /// The bytes.
    pub body: Vec<u8>,
}

// The payload has no place in a log.
impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("exchange", &self.exchange)
            .field("routing_key", &self.routing_key)
            .field("message_id", &self.message_id)
            .field("mandatory", &self.mandatory)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What the broker said about one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It is safe with the broker (for one that is not mandatory: or no queue
    /// wanted it).
    Confirmed,
    /// Mandatory, and no queue took it.
    Unroutable,
    /// The broker could not take it, for example because a queue is full.
    Refused,
}

/// Publishes in rounds over a connection of its own, opened when needed.
pub struct Publisher {
    url: String,
    name: String,
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    channel: Channel,
}

impl Publisher {
    /// Connects on the first use. `name` is shown in the broker's list of
    /// connections.
    #[must_use]
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self { url: url.into(), name: name.into(), open: None }
    }

    /// Opens the connection, so that what fails later is known to have come so far.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses; nothing was sent.
    pub async fn connect(&mut self) -> Result<(), BrokerError> {
        if !self.is_connected() {
            self.open = Some(Open::new(&self.url, &self.name).await?);
        }
        Ok(())
    }

    /// Publishes all messages in order, then waits for all confirmations; the
    /// answers are in the order of the messages. The whole round has 10 s, so
    /// keep it to a few thousand messages.
    ///
    /// A mandatory message is `Unroutable` too if another one of the round with
    /// the same exchange and routing key was returned: the client library hands
    /// returned messages to whichever confirmation comes next, so only the
    /// address tells whose they are. The error is on the side of sending twice.
    ///
    /// Dropping the future half-way drops the connection; some of the messages
    /// may have arrived.
    ///
    /// # Errors
    /// Then nothing is known about any message of the round, and the connection
    /// is dropped; the next call opens a new one. When the error is not
    /// [transient](BrokerError::is_transient), one message may be the cause
    /// (missing exchange, too large): publish halves of the round to find it.
    pub async fn publish_all(&mut self, messages: &[Outgoing]) -> Result<Vec<Published>, BrokerError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        // Checked before anything is written, so that no message has left yet.
        let properties = messages.iter().map(properties).collect::<Result<Vec<_>, _>>()?;
        // Out of `self` during the round: an error, or a dropped future, leaves
        // no channel behind with confirmations of unknown messages under way.
        let open = match self.open.take() {
            Some(open) if open.connection.status().connected() => open,
            _ => Open::new(&self.url, &self.name).await?,
        };
        let round = open.round(messages, properties);
        let published = match tokio::time::timeout(DEADLINE, round).await {
            Ok(result) => result?,
            Err(_) => return Err(late("publishing")),
        };
        self.open = Some(open);
        Ok(published)
    }

    /// True while a connection is open; it may be broken without anybody having
    /// noticed.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.connection.status().connected())
    }

    /// Closes the connection cleanly, within 3 s.
    pub async fn close(mut self) {
        if let Some(open) = self.open.take() {
            close(&open.connection).await;
        }
    }
}

impl Open {
    async fn new(url: &str, name: &str) -> Result<Self, BrokerError> {
        let connection = connect(url, name).await?;
        let channel = within("opening a channel", connection.create_channel()).await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        within("turning confirmations on", confirms).await?;
        Ok(Self { connection, channel })
    }

    async fn round(&self, messages: &[Outgoing], properties: Vec<BasicProperties>) -> Result<Vec<Published>, BrokerError> {
        let mut confirms = Vec::with_capacity(messages.len());
        let mut unwritten = VecDeque::with_capacity(UNWRITTEN_MAX);
        for (message, properties) in messages.iter().zip(properties) {
            if unwritten.len() >= UNWRITTEN_MAX {
                written(&mut unwritten, &mut confirms).await?;
            }
            let options = BasicPublishOptions { mandatory: message.mandatory, ..Default::default() };
            let exchange = short("an exchange name", &message.exchange)?;
            let key = short("a routing key", &message.routing_key)?;
            let mut publish = Box::pin(self.channel.basic_publish(exchange, key, options, &message.body, properties));
            // The first poll hands it to the library, behind those before it.
            let handed_over = match poll_immediate(&mut publish).await {
                Some(result) => Either::Left(ready(result)),
                None => Either::Right(publish),
            };
            unwritten.push_back(handed_over);
        }
        while !unwritten.is_empty() {
            written(&mut unwritten, &mut confirms).await?;
        }
        let mut answers = Vec::with_capacity(messages.len());
        let mut returned = BTreeSet::new();
        for confirm in confirms {
            let confirmation = confirm.await.map_err(|error| BrokerError::from_client("publishing", error))?;
            answers.push(confirmation.is_ack());
            if let Confirmation::Ack(Some(back)) | Confirmation::Nack(Some(back)) = confirmation {
                let key = back.delivery.routing_key.to_string();
                returned.insert((back.delivery.exchange.to_string(), key));
            }
        }
        Ok(judge(messages, &answers, &returned))
    }
}

/// Waits until the oldest message is written; its confirmation is still to come.
async fn written<F>(unwritten: &mut VecDeque<F>, confirms: &mut Vec<PublisherConfirm>) -> Result<(), BrokerError>
where
    F: Future<Output = lapin::Result<PublisherConfirm>>,
{
    let Some(publish) = unwritten.pop_front() else { return Ok(()) };
    match publish.await {
        Ok(confirm) => confirms.push(confirm),
        Err(error) => return Err(reason(error, std::mem::take(confirms)).await),
    }
    Ok(())
}

/// A write after the broker closed the channel fails without saying why; the
/// confirmations under way do know.
async fn reason(write: lapin::Error, confirms: Vec<PublisherConfirm>) -> BrokerError {
    for confirm in confirms {
        match tokio::time::timeout(REASON_WAIT, confirm).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return BrokerError::from_client("publishing", error),
            Err(_) => break,
        }
    }
    BrokerError::from_client("publishing", write)
}

fn judge(messages: &[Outgoing], acknowledged: &[bool], returned: &BTreeSet<(String, String)>) -> Vec<Published> {
    let verdict = |(message, acknowledged): (&Outgoing, &bool)| {
        let address = (message.exchange.clone(), message.routing_key.clone());
        if message.mandatory && returned.contains(&address) {
            Published::Unroutable
        } else if *acknowledged {
            Published::Confirmed
        } else {
            Published::Refused
        }
    };
    messages.iter().zip(acknowledged).map(verdict).collect()
}

fn properties(message: &Outgoing) -> Result<BasicProperties, BrokerError> {
    short("an exchange name", &message.exchange)?;
    short("a routing key", &message.routing_key)?;
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        let value = AMQPValue::LongString(value.as_str().into());
        headers.insert(short("a header name", name)?, value);
    }
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(short("a content type", &message.content_type)?)
        .with_headers(headers);
    if let Some(id) = &message.correlation_id {
        properties = properties.with_correlation_id(short("a correlation id", id)?);
    }
    if let Some(queue) = &message.reply_to {
        properties = properties.with_reply_to(short("a reply queue", queue)?);
    }
    if let Some(id) = &message.message_id {
        properties = properties.with_message_id(short("a message id", id)?);
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str, mandatory: bool) -> Outgoing {
        Outgoing {
            exchange: "e".into(),
            routing_key: key.into(),
            content_type: "text/plain".into(),
            headers: vec![],
            correlation_id: None,
            reply_to: None,
            message_id: None,
            mandatory,
            body: vec![],
        }
    }

    #[test]
    fn a_returned_message_is_found_by_its_address() {
        let messages = [message("a", true), message("b", true), message("b", false)];
        let returned = BTreeSet::from([("e".to_owned(), "b".to_owned())]);
        assert_eq!(judge(&messages, &[true, true, true], &returned), [Published::Confirmed, Published::Unroutable, Published::Confirmed]);
        assert_eq!(
            judge(&messages, &[false, true, false], &BTreeSet::new()),
            [Published::Refused, Published::Confirmed, Published::Refused]
        );
    }

    #[tokio::test]
    async fn a_name_too_long_is_told_before_connecting() {
        let mut publisher = Publisher::new("amqp://127.0.0.1:1/%2f", "test");
        let error = publisher.publish_all(&[message(&"k".repeat(256), true)]).await.unwrap_err();
        assert!(matches!(error, BrokerError::TooLong { .. }), "{error}");
    }
}
