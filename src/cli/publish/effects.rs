//! What a published line did: read from the database, as `simulate` shows it.
//!
//! Owns the order in which the effects of one line are shown. Never sends anything.

use crate::domain::ids::{AccountKey, Id};
use crate::message::entry_json;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::query::since::{Fresh, Seen};
use jiff::Timestamp;
use serde_json::value::RawValue;

/// What was recorded in the file's test-clock tenants since the line before.
#[derive(Debug, Default)]
pub struct Effects {
    /// Entries, account by account.
    pub entries: Vec<serde_json::Value>,
    /// Announcements, account by account.
    pub events: Vec<Box<RawValue>>,
}

/// Looks at what the worker has recorded.
pub struct Watch {
    store: PostgresStore,
    seen: Seen,
}

impl Watch {
    /// Begins to look; what is recorded so far is no line's effect.
    pub async fn begin(store: PostgresStore, tenants: &[Id]) -> anyhow::Result<Self> {
        let seen = store.seen_now(tenants).await?;
        Ok(Self { store, seen })
    }

    /// Adds what was recorded since the last look: first that of the account a message was about, then
    /// account by account, the longest overdue first.
    pub async fn add_to(&mut self, effects: &mut Effects, tenants: &[Id], about: Option<&AccountKey>) -> anyhow::Result<()> {
        let mut fresh = self.store.recorded_since(tenants, &mut self.seen).await?;
        fresh.sort_by_key(|fresh| place(fresh, about));
        for Fresh { entries, events, .. } in fresh {
            effects.entries.extend(entries.iter().map(entry_json));
            for body in events {
                effects.events.push(RawValue::from_string(String::from_utf8(body)?)?);
            }
        }
        Ok(())
    }
}

fn place(fresh: &Fresh, about: Option<&AccountKey>) -> (bool, Timestamp, Option<AccountKey>) {
    let due = fresh.entries.first().map_or(Timestamp::MAX, |entry| entry.occurred_at);
    (fresh.account.is_none() || fresh.account.as_ref() != about, due, fresh.account.clone())
}
