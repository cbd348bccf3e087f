//! What the benchmark sends: 10,000 accounts of two open grants each, usage of one meter.
//!
//! Owns the messages, as commands for the engine and as bytes for the broker.

use crate::domain::command::{Act, Command, GrantCredits, Message, Usage};
use crate::domain::credits::Credits;
use crate::domain::grant::GrantSource;
use crate::domain::ids::{AccountKey, Hash, Id, MessageId, Printable, Prose};
use crate::message::{Queue, Raw};
use crate::store::Submission;
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tenant of the benchmark.
pub const TENANT: &str = "bench";
/// Its catalog.
pub const CATALOG: &str = "currency = \"USD\"\n[[rates]]\nmeter = \"image\"\nprice = \"1\"\n";
/// Accounts in a uniform run.
pub const ACCOUNTS: u32 = 10_000;
/// Bytes of a message at the broker.
const BODY_BYTES: usize = 1024;

/// Which accounts messages go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Any of all accounts, evenly.
    Uniform,
    /// One and the same.
    Hot,
}

impl Spread {
    fn account(self) -> String {
        match self {
            Self::Uniform => format!("acct_{}", rand::random_range(0..ACCOUNTS)),
            Self::Hot => "acct_0".to_owned(),
        }
    }
}

/// Makes messages. What they have in common is made once: the engine is to be measured, not this.
#[derive(Debug)]
pub struct Maker {
    source: Printable,
    tenant: Id,
    meter: Id,
    act: Act,
    raw: Arc<Raw>,
}

impl Maker {
    /// One for the benchmark's tenant.
    ///
    /// # Errors
    /// Never.
    pub fn new() -> anyhow::Result<Self> {
        let raw = Raw {
            queue: Queue::Usage,
            routing_key: String::new(),
            content_type: None,
            headers: BTreeMap::new(),
            reply_to: None,
            correlation_id: None,
            body: Vec::new(),
        };
        Ok(Self {
            source: Printable::new("https://bench.example.com/usage")?,
            tenant: Id::new(TENANT)?,
            meter: Id::new("image")?,
            act: Act { reason: Prose::new("bench")?, actor: Printable::new("bench")? },
            raw: Arc::new(raw),
        })
    }

    fn submission(&self, id: &str, account: &str, command: Command) -> anyhow::Result<Submission> {
        let message = Message {
            id: MessageId { source: self.source.clone(), id: Printable::new(id)? },
            content: Hash::of(id.as_bytes()),
            account: AccountKey { tenant: self.tenant.clone(), account: Id::new(account)? },
            occurred_at: Timestamp::now(),
            command,
        };
        Ok(Submission::new(Arc::new(message), self.raw.clone()))
    }

    /// The `index`-th grant of the set-up: two for every account.
    ///
    /// # Errors
    /// Never for indexes below twice the number of accounts.
    pub fn grant(&self, index: u32) -> anyhow::Result<Submission> {
        let command = Command::Grant(GrantCredits {
            grant: None,
            credits: Credits::whole(100_000_000),
            source: if index < ACCOUNTS { GrantSource::Promotional } else { GrantSource::Purchased },
            effective_at: None,
            expires_at: None,
            priority: None,
            scope: Vec::new(),
            cost_basis: Credits::ZERO,
            rollover: None,
            recurs: None,
            act: self.act.clone(),
        });
        self.submission(&format!("grant-{index}"), &format!("acct_{}", index % ACCOUNTS), command)
    }

    /// One usage event with an id of its own.
    ///
    /// # Errors
    /// Never.
    pub fn usage(&self, spread: Spread) -> anyhow::Result<Submission> {
        let usage = Usage { meter: self.meter.clone(), quantity: Credits::whole(1), dimensions: BTreeMap::new(), member: None };
        self.submission(&fresh_id(), &spread.account(), Command::RecordUsage(usage))
    }
}

/// A usage event as a producer would send it, padded to one KiB.
pub fn usage_bytes(spread: Spread, id: &str) -> Vec<u8> {
    let mut event = json!({
        "specversion": "1.0", "id": id, "source": "https://bench.example.com/usage", "type": "usage.recorded",
        "tenant": TENANT, "subject": spread.account(), "time": "2026-01-01T00:00:00Z",
        "data": {"meter": "image", "quantity": "1"}, "padding": "",
    });
    let padding = BODY_BYTES.saturating_sub(event.to_string().len());
    event["padding"] = "x".repeat(padding).into();
    event.to_string().into_bytes()
}

/// An id nobody has used.
pub fn fresh_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
