//! One message as it came, and the right to settle it.
//!
//! Translates the client library's delivery into plain Rust. Never judges the
//! content: a header that is missing or odd is for the reader of the message.

use crate::message::Queue;
use crate::message::raw::CONTENT_ENCODING;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::collections::BTreeMap;
use std::fmt;
use tokio::sync::mpsc;

/// A message from one of the work queues, not yet settled.
pub struct Delivery {
    /// The queue it came from.
    pub queue: Queue,
    /// Routing key it was published with.
    pub routing_key: String,
    /// `content-type` property.
    pub content_type: Option<String>,
    /// Headers whose value is text; others are left out. Bytes that are not
    /// UTF-8 are replaced by U+FFFD. Names keep the case they were sent in.
    /// The `content-encoding` property is one of them and comes before a header
    /// of that name.
    pub headers: BTreeMap<String, String>,
    /// `message-id` property.
    pub message_id: Option<String>,
    /// `reply-to` property: a queue name for the default exchange.
    pub reply_to: Option<String>,
    /// `correlation-id` property.
    pub correlation_id: Option<String>,
    /// How often the broker handed this message out before and got it back; 0
    /// the first time. Counted by quorum queues only.
    pub delivery_count: u32,
    /// The broker's hint that this is not the first time.
    pub redelivered: bool,
    /// The bytes, unchanged.
    pub body: Vec<u8>,
    /// The right to settle it.
    pub ticket: Ticket,
}

// The payload and the headers (signatures) have no place in a log.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("queue", &self.queue)
            .field("routing_key", &self.routing_key)
            .field("message_id", &self.message_id)
            .field("delivery_count", &self.delivery_count)
            .field("redelivered", &self.redelivered)
            .field("body_bytes", &self.body.len())
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

/// The right to tell the broker that one delivery is done with.
///
/// [`settle`](Self::settle) uses it up, so a delivery cannot be acknowledged
/// twice. A ticket that is dropped unsettled does nothing: the delivery stays
/// with this worker until its channel closes, then goes back to the queue.
#[must_use = "an unsettled delivery goes back to the queue when the channel closes"]
pub struct Ticket {
    tag: u64,
    settled: mpsc::UnboundedSender<u64>,
}

impl Ticket {
    // The channel is unbounded in type only: the prefetch bounds the tickets.
    pub(super) fn new(tag: u64, settled: mpsc::UnboundedSender<u64>) -> Self {
        Self { tag, settled }
    }

    /// A ticket that no broker knows, with the receiver of its number once it is
    /// settled: for tests, and for messages that did not come from a queue.
    pub fn loose(tag: u64) -> (Self, mpsc::UnboundedReceiver<u64>) {
        let (settled, observed) = mpsc::unbounded_channel();
        (Self { tag, settled }, observed)
    }

    /// Acknowledges the delivery within a few milliseconds. Call it only after
    /// the outcome is stored. If the channel is gone the acknowledgement is
    /// dropped without a word: the broker delivers again and the stored outcome
    /// answers.
    pub fn settle(self) {
        if self.settled.send(self.tag).is_err() {
            tracing::trace!(tag = self.tag, "settled after its channel had closed");
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.tag).finish()
    }
}

impl Delivery {
    pub(super) fn from_client(queue: Queue, raw: lapin::message::Delivery, settled: mpsc::UnboundedSender<u64>) -> Self {
        let properties = raw.properties;
        let headers = properties.headers().as_ref();
        Self {
            queue,
            routing_key: raw.routing_key.to_string(),
            content_type: properties.content_type().as_ref().map(ToString::to_string),
            headers: with_encoding(headers.map(text_headers).unwrap_or_default(), properties.content_encoding().as_ref()),
            message_id: properties.message_id().as_ref().map(ToString::to_string),
            reply_to: properties.reply_to().as_ref().map(ToString::to_string),
            correlation_id: properties.correlation_id().as_ref().map(ToString::to_string),
            delivery_count: headers.map(delivery_count).unwrap_or_default(),
            redelivered: raw.redelivered,
            body: raw.data,
            ticket: Ticket::new(raw.delivery_tag, settled),
        }
    }
}

fn text_headers(table: &FieldTable) -> BTreeMap<String, String> {
    table.into_iter().filter_map(|(name, value)| text(value).map(|text| (name.to_string(), text))).collect()
}

fn with_encoding(mut headers: BTreeMap<String, String>, encoding: Option<&ShortString>) -> BTreeMap<String, String> {
    if let Some(encoding) = encoding {
        headers.retain(|name, _| !name.eq_ignore_ascii_case(CONTENT_ENCODING));
        headers.insert(CONTENT_ENCODING.to_owned(), encoding.to_string());
    }
    headers
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(lossy(text.as_bytes())),
        // Some clients send byte strings where others send text.
        AMQPValue::ByteArray(bytes) => Some(lossy(bytes.as_slice())),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn delivery_count(table: &FieldTable) -> u32 {
    let count: i64 = match table.inner().get("x-delivery-count") {
        Some(AMQPValue::LongLongInt(n)) => *n,
        Some(AMQPValue::LongInt(n)) => i64::from(*n),
        Some(AMQPValue::LongUInt(n)) => i64::from(*n),
        Some(AMQPValue::ShortInt(n)) => i64::from(*n),
        Some(AMQPValue::ShortUInt(n)) => i64::from(*n),
        Some(AMQPValue::ShortShortInt(n)) => i64::from(*n),
        Some(AMQPValue::ShortShortUInt(n)) => i64::from(*n),
        _ => 0,
    };
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_headers_are_kept_and_bad_utf8_is_replaced() {
        let mut table = FieldTable::default();
        table.insert("Stripe-Signature".into(), AMQPValue::LongString("t=1".into()));
        table.insert("bytes".into(), AMQPValue::LongString(vec![b'a', 0xff].into()));
        table.insert("array".into(), AMQPValue::ByteArray(vec![b'b'].into()));
        table.insert("number".into(), AMQPValue::LongInt(7));
        let headers = text_headers(&table);
        let pairs: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("Stripe-Signature", "t=1"), ("array", "b"), ("bytes", "a\u{fffd}")]);
    }

    #[test]
    fn the_content_encoding_is_a_header_and_the_property_counts() {
        let sent = || BTreeMap::from([("Content-Encoding".to_owned(), "identity".to_owned()), ("a".to_owned(), "b".to_owned())]);
        assert_eq!(with_encoding(sent(), None), sent());
        let headers = with_encoding(sent(), Some(&"gzip".into()));
        let pairs: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "b"), ("content-encoding", "gzip")]);
    }

    #[test]
    fn delivery_count_reads_any_integer() {
        let cases = [
            (AMQPValue::LongLongInt(3), 3),
            (AMQPValue::ShortShortUInt(2), 2),
            (AMQPValue::LongLongInt(-1), 0),
            (AMQPValue::LongLongInt(i64::MAX), u32::MAX),
            (AMQPValue::LongString("9".into()), 0),
        ];
        for (value, expected) in cases {
            let mut table = FieldTable::default();
            table.insert("x-delivery-count".into(), value);
            assert_eq!(delivery_count(&table), expected);
        }
        assert_eq!(delivery_count(&FieldTable::default()), 0);
    }

    #[test]
    fn a_ticket_settles_once_and_survives_a_closed_channel() {
        let (ticket, mut observed) = Ticket::loose(7);
        ticket.settle();
        assert_eq!(observed.try_recv().ok(), Some(7));
        let (ticket, observed) = Ticket::loose(8);
        drop(observed);
        ticket.settle();
    }
}
