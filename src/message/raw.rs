//! A message as it was delivered: bytes, headers and where it came from.
//!
//! Owns what is known before anything is parsed: the queue, its size limit, the routing key and the
//! key under which an unreadable message is quarantined. Never looks into the body.

use crate::domain::ids::Hash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The content type of a CloudEvent in structured mode (message contract, CloudEvents in).
pub const CLOUDEVENT: &str = "application/cloudevents+json";

/// The header under which a delivery's content encoding stands, whatever its carrier calls it.
pub const CONTENT_ENCODING: &str = "content-encoding";

/// Which queue a message came through (message contract, Topology).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// `credits.payments`: provider webhooks.
    Payments,
    /// `credits.usage`
    Usage,
    /// `credits.approvals`
    Approvals,
    /// `credits.commands`
    Commands,
}

impl Queue {
    /// Every queue, in the order they are declared and subscribed.
    pub const ALL: [Self; 4] = [Self::Payments, Self::Usage, Self::Approvals, Self::Commands];

    /// The last word of the queue's name, used in the database, in logs and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Usage => "usage",
            Self::Approvals => "approvals",
            Self::Commands => "commands",
        }
    }

    /// The queue for its [word](Self::word).
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.word() == word)
    }

    /// What it is bound by on the incoming exchange.
    #[must_use]
    pub fn binding_keys(self) -> &'static [&'static str] {
        match self {
            Self::Payments => &["payment.#"],
            Self::Usage => &["usage.#"],
            Self::Approvals => &["credit_request.#"],
            Self::Commands => &["credits.#", "cycle.#", "subscription.#", "account.#", "member.#", "tenant.#", "topup.#", "refund.#"],
        }
    }

    /// The queue that the exchange routes a key to, by the key's first word; `None` for a key that
    /// no queue is bound to.
    #[must_use]
    pub fn of_routing_key(key: &str) -> Option<Self> {
        let word = key.split('.').next();
        Self::ALL.into_iter().find(|queue| queue.binding_keys().iter().any(|bound| bound.strip_suffix(".#") == word))
    }

    /// The largest body the queue takes, in bytes: 256 KiB for payments, 16 KiB for everything else
    /// (message contract, Formats).
    #[must_use]
    pub fn body_bytes_max(self) -> usize {
        match self {
            Self::Payments => 256 * 1024,
            Self::Usage | Self::Approvals | Self::Commands => 16 * 1024,
        }
    }
}

/// A delivery, whoever delivered it: the broker, a file, or the table of waiting messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Where it came through.
    pub queue: Queue,
    /// `<type>.<tenant>`
    pub routing_key: String,
    /// The content type, when the producer named one.
    pub content_type: Option<String>,
    /// The headers, as text, and the content encoding as [one of them](CONTENT_ENCODING); headers of
    /// other types are the carrier's to render.
    pub headers: BTreeMap<String, String>,
    /// Where the outcome is sent, when the producer asks for it.
    pub reply_to: Option<String>,
    /// Copied into the answer.
    pub correlation_id: Option<String>,
    /// The bytes, unchanged.
    pub body: Vec<u8>,
}

/// Headers a broker adds on the way; they differ between two deliveries of one message.
const ADDED_BY_BROKER: &[&str] = &["x-delivery-count", "x-acquired-count", "x-death", "x-first-death-", "x-last-death-"];

/// Everything of a delivery but its body, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawHead {
    queue: String,
    routing_key: String,
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
    reply_to: Option<String>,
    correlation_id: Option<String>,
}

impl RawHead {
    /// The same of a delivery that asks for no answer.
    #[must_use]
    pub fn unanswered(self) -> Self {
        Self { reply_to: None, correlation_id: None, ..self }
    }
}

impl Raw {
    /// A delivery of nothing but its bytes: without a routing key, headers, or anybody who wants an answer.
    #[must_use]
    pub fn bare(queue: Queue, body: Vec<u8>) -> Self {
        let (routing_key, headers) = (String::new(), BTreeMap::new());
        Self { queue, routing_key, content_type: None, headers, reply_to: None, correlation_id: None, body }
    }

    /// The stored form of everything but the body. NUL characters, which the database refuses in
    /// JSON, are replaced.
    #[must_use]
    pub fn head(&self) -> RawHead {
        let clean = |text: &String| text.replace('\0', "\u{fffd}");
        RawHead {
            queue: self.queue.word().to_owned(),
            routing_key: clean(&self.routing_key),
            content_type: self.content_type.as_ref().map(clean),
            headers: self.headers.iter().map(|(name, value)| (clean(name), clean(value))).collect(),
            reply_to: self.reply_to.as_ref().map(clean),
            correlation_id: self.correlation_id.as_ref().map(clean),
        }
    }

    /// The delivery of a stored head and body; `None` when its queue is not one of ours.
    #[must_use]
    pub fn from_parts(head: RawHead, body: Vec<u8>) -> Option<Self> {
        Some(Self {
            queue: Queue::from_word(&head.queue)?,
            routing_key: head.routing_key,
            content_type: head.content_type,
            headers: head.headers,
            reply_to: head.reply_to,
            correlation_id: head.correlation_id,
            body,
        })
    }

    /// A header by name, in any case. A name that is there twice in different cases means nothing
    /// certain, so it counts as absent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (Some(value), None) => Some(value),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }

    /// The key of the message in quarantine: SHA-256 over headers and body, each with its length in
    /// front, so that no two different messages run together. What a broker adds on a redelivery
    /// does not count.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let mut digest = Sha256::new();
        let mut put = |bytes: &[u8]| {
            digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(bytes);
        };
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            if !ADDED_BY_BROKER.iter().any(|added| lower.starts_with(added)) {
                put(name.as_bytes());
                put(value.as_bytes());
            }
        }
        put(b"");
        put(&self.body);
        Hash(digest.finalize().into())
    }

    /// The two halves of the routing key: the type, and the tenant after the last dot.
    #[must_use]
    pub fn route(&self) -> (&str, &str) {
        self.routing_key.rsplit_once('.').unwrap_or((&self.routing_key, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(headers: &[(&str, &str)], body: &[u8]) -> Raw {
        Raw {
            queue: Queue::Payments,
            routing_key: "payment.stripe.acme".into(),
            content_type: None,
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            reply_to: None,
            correlation_id: None,
            body: body.to_vec(),
        }
    }

    #[test]
    fn every_prefix_goes_to_its_queue() {
        for (key, queue) in [
            ("payment.stripe.acme", Some(Queue::Payments)),
            ("usage.recorded.acme", Some(Queue::Usage)),
            ("credit_request.decided.acme", Some(Queue::Approvals)),
            ("credits.grant.acme", Some(Queue::Commands)),
            ("cycle.reset.acme", Some(Queue::Commands)),
            ("subscription.started.acme", Some(Queue::Commands)),
            ("account.opened.acme", Some(Queue::Commands)),
            ("member.changed.acme", Some(Queue::Commands)),
            ("tenant.settings_changed.acme", Some(Queue::Commands)),
            ("topup.failed.acme", Some(Queue::Commands)),
            ("refund.requested.acme", Some(Queue::Commands)),
            ("payments.stripe.acme", None),
            ("", None),
        ] {
            assert_eq!(Queue::of_routing_key(key), queue, "{key}");
        }
        for queue in Queue::ALL {
            assert_eq!(Queue::from_word(queue.word()), Some(queue));
        }
    }

    #[test]
    fn the_digest_keeps_headers_and_body_apart() {
        let one = raw(&[("a", "bc")], b"d").digest();
        for other in [raw(&[("ab", "c")], b"d"), raw(&[("a", "b")], b"cd"), raw(&[], b"abcd"), raw(&[("a", "bc")], b"")] {
            assert_ne!(other.digest(), one);
        }
        assert_eq!(raw(&[("a", "bc")], b"d").digest(), one);
    }

    #[test]
    fn a_redelivery_has_the_same_digest() {
        let first = raw(&[("x-tenant", "acme")], b"{}").digest();
        assert_eq!(raw(&[("x-tenant", "acme"), ("x-delivery-count", "3"), ("x-first-death-queue", "q")], b"{}").digest(), first);
    }

    #[test]
    fn b1_a_header_that_is_there_twice_counts_as_absent() {
        let twice = raw(&[("Stripe-Signature", "a"), ("stripe-signature", "b")], b"");
        assert_eq!(twice.header("stripe-signature"), None);
        assert_eq!(raw(&[("Stripe-Signature", "a")], b"").header("STRIPE-signature"), Some("a"));
    }

    #[test]
    fn the_tenant_is_the_last_word_of_the_routing_key() {
        assert_eq!(raw(&[], b"").route(), ("payment.stripe", "acme"));
    }
}
