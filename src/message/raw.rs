//! A delivery as it came: bytes, headers and where it was published.
//!
//! Owns the sizes a queue allows and the digest that names a delivery in quarantine. Never reads
//! the body.

use crate::domain::ids::Hash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The queues the worker reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Queue {
    /// Provider webhooks.
    Payments,
    /// Usage events.
    Usage,
    /// Credit requests and decisions.
    Approvals,
    /// Everything else that is asked.
    Commands,
}

impl Queue {
    /// Every queue.
    pub const ALL: [Self; 4] = [Self::Payments, Self::Usage, Self::Approvals, Self::Commands];

    /// The last word of its name at the broker.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Usage => "usage",
            Self::Approvals => "approvals",
            Self::Commands => "commands",
        }
    }

    /// The queue a routing key is bound to (message contract, Topology).
    #[must_use]
    pub fn of_routing_key(key: &str) -> Option<Self> {
        match key.split('.').next()? {
            "payment" => Some(Self::Payments),
            "usage" => Some(Self::Usage),
            "credit_request" => Some(Self::Approvals),
            "credits" | "cycle" | "subscription" | "account" | "member" | "tenant" | "topup" | "refund" => Some(Self::Commands),
            _ => None,
        }
    }

    /// Most bytes a body may have: 256 KiB for payments, 16 KiB otherwise.
    #[must_use]
    pub fn body_max(self) -> usize {
        match self {
            Self::Payments => 256 * 1024,
            Self::Usage | Self::Approvals | Self::Commands => 16 * 1024,
        }
    }
}

/// A delivery without what the broker adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Where it was read.
    pub queue: Queue,
    /// What it was published with.
    pub routing_key: String,
    /// `content-type`.
    pub content_type: Option<String>,
    /// Text headers.
    pub headers: BTreeMap<String, String>,
    /// Where the outcome is to be sent.
    pub reply_to: Option<String>,
    /// Copied to the reply.
    pub correlation_id: Option<String>,
    /// The bytes.
    pub body: Vec<u8>,
}

/// Everything of a delivery but its body, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawHead {
    queue: Queue,
    routing_key: String,
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
    reply_to: Option<String>,
    correlation_id: Option<String>,
}

impl Raw {
    /// The stored form of everything but the body. NUL characters, which the database refuses in
    /// JSON, are replaced.
    #[must_use]
    pub fn head(&self) -> RawHead {
        let clean = |text: &String| text.replace('\0', "\u{fffd}");
        RawHead {
            queue: self.queue,
            routing_key: clean(&self.routing_key),
            content_type: self.content_type.as_ref().map(clean),
            headers: self.headers.iter().map(|(name, value)| (clean(name), clean(value))).collect(),
            reply_to: self.reply_to.as_ref().map(clean),
            correlation_id: self.correlation_id.as_ref().map(clean),
        }
    }

    /// The delivery of a stored head and body.
    #[must_use]
    pub fn from_parts(head: RawHead, body: Vec<u8>) -> Self {
        Self {
            queue: head.queue,
            routing_key: head.routing_key,
            content_type: head.content_type,
            headers: head.headers,
            reply_to: head.reply_to,
            correlation_id: head.correlation_id,
            body,
        }
    }

    /// SHA-256 over routing key, headers and body, each with its length, so that no two deliveries
    /// run together.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(bytes);
        };
        part(self.routing_key.as_bytes());
        for (name, value) in &self.headers {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        part(&self.body);
        Hash(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(headers: &[(&str, &str)], body: &[u8]) -> Raw {
        Raw {
            queue: Queue::Usage,
            routing_key: "usage.recorded.acme".into(),
            content_type: None,
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            reply_to: None,
            correlation_id: None,
            body: body.to_vec(),
        }
    }

    #[test]
    fn the_digest_tells_headers_and_body_apart() {
        assert_ne!(raw(&[("a", "b")], b"c").digest(), raw(&[("a", "bc")], b"").digest());
        assert_ne!(raw(&[], b"ab").digest(), raw(&[("a", "b")], b"").digest());
        assert_eq!(raw(&[("a", "b")], b"c").digest(), raw(&[("a", "b")], b"c").digest());
    }

    #[test]
    fn every_routing_prefix_has_its_queue() {
        for (key, queue) in [
            ("payment.stripe.acme", Some(Queue::Payments)),
            ("usage.recorded.acme", Some(Queue::Usage)),
            ("credit_request.decided.acme", Some(Queue::Approvals)),
            ("member.changed.acme", Some(Queue::Commands)),
            ("weather.changed.acme", None),
        ] {
            assert_eq!(Queue::of_routing_key(key), queue, "{key}");
        }
    }
}
