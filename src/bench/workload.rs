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
pub const CATALOG: &str = "currency = \"USD\"\n[packages.starter]\ncredits = \"500\"\nprice = \"20.00\"\n\
    [[rates]]\nmeter = \"image\"\nprice = \"1\"\n";
/// Accounts in a uniform run.
pub const ACCOUNTS: u32 = 10_000;
/// Bytes of a usage event at the broker.
const BODY_BYTES: usize = 1024;
/// Bytes of a webhook, and of a grant beside it: a session is nearly so long as Stripe writes it.
pub const STORM_BODY_BYTES: usize = 3200;
/// When what comes through the broker happened, in seconds: the first moment of 2026.
pub const SECOND: i64 = 1_767_225_600;

/// A webhook with `ID`, `ACCOUNT` and `SECOND` in place of what differs.
const WEBHOOK: &str = include_str!("webhook.json");

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
        let raw = Raw::bare(Queue::Usage, Vec::new());
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

/// A grant of as many credits as the package of [`webhook_bytes`] has, padded to [`STORM_BODY_BYTES`].
pub fn grant_bytes(id: &str) -> Vec<u8> {
    let event = json!({
        "specversion": "1.0", "id": id, "source": "https://bench.example.com/grants", "type": "credits.grant",
        "tenant": TENANT, "subject": Spread::Uniform.account(), "time": "2026-01-01T00:00:00Z",
        "data": {"credits": "500", "source": "purchased", "reason": "bench", "actor": "bench"},
    });
    padded(&event.to_string())
}

/// An id nobody has used.
pub fn fresh_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// A paid checkout session with payment and account of its own, as long as [`grant_bytes`]: with the fields
/// that Stripe sends, indented as Stripe does it.
pub fn webhook_bytes(id: &str) -> Vec<u8> {
    let placed = [("SECOND", SECOND.to_string()), ("ACCOUNT", Spread::Uniform.account()), ("ID", id.to_owned())];
    let text = placed.iter().fold(WEBHOOK.to_owned(), |text, (place, value)| text.replace(place, value));
    padded(&text)
}

/// With white space behind it, which no reader minds, up to [`STORM_BODY_BYTES`].
fn padded(text: &str) -> Vec<u8> {
    format!("{text:STORM_BODY_BYTES$}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_and_a_grant_are_equally_long() {
        let (webhook, grant) = (webhook_bytes(&fresh_id()), grant_bytes(&fresh_id()));
        assert_eq!((webhook.len(), grant.len()), (STORM_BODY_BYTES, STORM_BODY_BYTES));
        let event: serde_json::Value = serde_json::from_slice(&webhook).unwrap();
        assert_eq!(event["created"], SECOND);
    }
}
