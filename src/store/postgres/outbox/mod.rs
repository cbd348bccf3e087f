//! What is to be published.
//!
//! Owns what an announcement or a reply is stored as, and putting the entries into an announcement of
//! them, which are stored once. `batch` writes; the relay works in a `session`: `unpublished` reads what it
//! sends, `settled` marks it.

mod batch;
mod session;
mod settled;
mod unpublished;

use super::query;
use super::rows::{credits, id};
use crate::domain::entry::Entry;
use crate::domain::ids::AccountKey;
use crate::failure::Failure;
use crate::message::{Change, Outgoing, balance_changed};
use crate::store::EntryRange;
pub(super) use batch::{Batch, announce};
use rust_decimal::Decimal;
pub use session::{Outflow, RelaySession};
pub use settled::Settled;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap};
pub use unpublished::{Cursor, Found, Unpublished};

/// What is sent for a row.
#[derive(Debug, Clone)]
pub struct Sent {
    /// A reply goes to a queue by name, an event to the events exchange.
    pub is_reply: bool,
    /// Routing key or queue.
    pub routing_key: String,
    /// Copied to a reply.
    pub correlation_id: Option<String>,
    /// The message.
    pub body: Vec<u8>,
}

/// The columns of [`OutboxRow`].
macro_rules! outbox_columns {
    () => {
        "account_id, number, is_reply, in_order, routing_key, correlation_id, body, source, tenant, account, from_seq, to_seq, held, frozen, debt"
    };
}
pub(super) use outbox_columns;

/// A row as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct OutboxRow {
    account_id: i64,
    number: i64,
    is_reply: bool,
    in_order: bool,
    routing_key: Option<String>,
    correlation_id: Option<String>,
    body: Option<Vec<u8>>,
    source: Option<String>,
    tenant: Option<String>,
    account: Option<String>,
    from_seq: Option<i64>,
    to_seq: Option<i64>,
    held: Option<Decimal>,
    frozen: Option<Decimal>,
    debt: Option<Decimal>,
}

impl OutboxRow {
    /// The change it announces, if it does; nothing as well when it cannot be read.
    fn change(&self) -> Option<Change> {
        let amount = |stored: Option<Decimal>| credits(stored.unwrap_or_default()).ok();
        let seq = |stored: Option<i64>| u64::try_from(stored?).ok();
        let (held, frozen, debt) = (amount(self.held)?, amount(self.frozen)?, amount(self.debt)?);
        Some(Change { first: seq(self.from_seq)?, last: seq(self.to_seq)?, held, frozen, debt })
    }

    /// With the entries of its account that could be read.
    fn content(self, entries: Option<&BTreeMap<u64, Entry>>) -> Option<Sent> {
        let change = self.change();
        if let Some((routing_key, body)) = self.routing_key.zip(self.body) {
            return Some(Sent { is_reply: self.is_reply, routing_key, correlation_id: self.correlation_id, body });
        }
        let change = change?;
        let entries: Vec<Entry> = entries?.range(change.first..=change.last).map(|(_, entry)| entry.clone()).collect();
        let key = AccountKey { tenant: id(self.tenant.as_deref()?).ok()?, account: id(self.account.as_deref()?).ok()? };
        let number = u64::try_from(self.number).ok()?;
        let Outgoing { routing_key, body, .. } = balance_changed(self.source.as_deref()?, &key, number, &change, &entries)?;
        Some(Sent { is_reply: false, routing_key, correlation_id: None, body })
    }
}

/// A row as it is sent.
pub(super) struct Rendered {
    pub account_id: i64,
    pub number: i64,
    pub in_order: bool,
    /// None when it announces entries that are not there or that this worker cannot read.
    pub content: Option<Sent>,
}

/// Rows of a shard as they are sent.
pub(super) async fn render(connection: &mut PgConnection, shard: i16, rows: Vec<OutboxRow>) -> Result<Vec<Rendered>, Failure> {
    let range = |row: &OutboxRow| row.change().map(|Change { first, last, .. }| EntryRange { account_id: row.account_id, first, last });
    let ranges: Vec<EntryRange> = rows.iter().filter_map(range).collect();
    let mut entries: HashMap<i64, BTreeMap<u64, Entry>> = HashMap::new();
    if !ranges.is_empty() {
        for (account_id, entry) in query::entries_in(connection, shard, &ranges).await? {
            // A newer worker may have written what this one does not know.
            let Ok(entry) = entry else { continue };
            entries.entry(account_id).or_default().insert(entry.seq, entry);
        }
    }
    let rendered = |row: OutboxRow| {
        let (account_id, number, in_order) = (row.account_id, row.number, row.in_order);
        Rendered { account_id, number, in_order, content: row.content(entries.get(&account_id)) }
    };
    Ok(rows.into_iter().map(rendered).collect())
}
