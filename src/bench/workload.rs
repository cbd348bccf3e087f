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

fn submission(id: &str, account: &str, command: Command) -> anyhow::Result<Submission> {
    let message = Message {
        id: MessageId { source: Printable::new("https://bench.example.com/usage")?, id: Printable::new(id)? },
        content: Hash::of(id.as_bytes()),
        account: AccountKey { tenant: Id::new(TENANT)?, account: Id::new(account)? },
        occurred_at: Timestamp::now(),
        command,
    };
    let raw = Raw {
        queue: Queue::Usage,
        routing_key: String::new(),
        content_type: None,
        headers: BTreeMap::new(),
        reply_to: None,
        correlation_id: None,
        body: Vec::new(),
    };
    Ok(Submission::new(Arc::new(message), Arc::new(raw)))
}

/// The `index`-th grant of the set-up: two for every account.
///
/// # Errors
/// Never for indexes below twice the number of accounts.
pub fn grant(index: u32) -> anyhow::Result<Submission> {
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
        act: Act { reason: Prose::new("bench")?, actor: Printable::new("bench")? },
    });
    submission(&format!("grant-{index}"), &format!("acct_{}", index % ACCOUNTS), command)
}

/// One usage event with an id of its own.
///
/// # Errors
/// Never.
pub fn usage(spread: Spread) -> anyhow::Result<Submission> {
    let command =
        Command::RecordUsage(Usage { meter: Id::new("image")?, quantity: Credits::whole(1), dimensions: BTreeMap::new(), member: None });
    submission(&fresh_id(), &spread.account(), command)
}

/// The same as a producer would send it, padded to one KiB.
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
