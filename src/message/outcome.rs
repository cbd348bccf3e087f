//! The answer that goes to `reply_to` (message contract, CloudEvents in).
//!
//! Owns its form. That a waiting message is answered again when it is final is the ledger's.

use super::event::EntryJson;
use crate::domain::apply::Answer;
use crate::domain::entry::Entry;
use serde::Serialize;

#[derive(Serialize)]
struct Reply<'a> {
    tenant: &'a str,
    account: &'a str,
    source: &'a str,
    id: &'a str,
    outcome: &'static str,
    reasons: Vec<&'static str>,
    entries: Vec<EntryJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'a str>,
}

/// The body of the reply to a message, with the entries it wrote.
#[must_use]
pub fn reply_body(answer: &Answer, entries: &[&Entry]) -> Vec<u8> {
    let message = &answer.message;
    let reply = Reply {
        tenant: message.account.tenant.as_str(),
        account: message.account.account.as_str(),
        source: message.id.source.as_str(),
        id: message.id.id.as_str(),
        outcome: answer.outcome.word(),
        reasons: answer.outcome.reasons(),
        entries: entries.iter().map(|entry| EntryJson::from(*entry)).collect(),
        of: answer.of.as_deref(),
    };
    // Serialising our own types cannot fail.
    serde_json::to_vec(&reply).unwrap_or_default()
}
