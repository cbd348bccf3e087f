//! The answer to a message that asked for one (`reply_to`).
//!
//! Owns its JSON (message contract, CloudEvents in). Never decides when it is sent.

use super::announced::EntryLine;
use crate::domain::decision::Outcome;
use crate::domain::entry::Entry;
use crate::domain::ids::{Id, MessageId};
use serde::Serialize;

/// What became of a message. What could not be read of it is `null`.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The tenant.
    pub tenant: Option<&'a Id>,
    /// The account; absent for messages about a tenant.
    pub account: Option<&'a Id>,
    /// Source and id.
    pub id: Option<&'a MessageId>,
    /// The answer.
    pub outcome: &'a Outcome,
    /// The entries it caused, in order.
    pub entries: &'a [Entry],
    /// The [word](Outcome::word) of the recorded outcome, for a duplicate.
    pub of: Option<&'a str>,
}

#[derive(Serialize)]
struct Body<'a> {
    tenant: Option<&'a str>,
    account: Option<&'a str>,
    source: Option<&'a str>,
    id: Option<&'a str>,
    outcome: &'static str,
    reasons: Vec<&'static str>,
    entries: Vec<EntryLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'a str>,
}

impl Reply<'_> {
    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let body = Body {
            tenant: self.tenant.map(Id::as_str),
            account: self.account.map(Id::as_str),
            source: self.id.map(|id| id.source.as_str()),
            id: self.id.map(|id| id.id.as_str()),
            outcome: self.outcome.word(),
            reasons: self.outcome.reasons(),
            entries: self.entries.iter().map(EntryLine::from).collect(),
            of: self.of,
        };
        // Strings and integers only: it cannot fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Printable;
    use crate::domain::rejection::{QuarantineReason, Rejection};

    fn shown(reply: &Reply<'_>) -> String {
        String::from_utf8(reply.body()).unwrap()
    }

    #[test]
    fn an_answer_names_the_message_and_its_reasons_in_order() {
        let (tenant, account) = (Id::new("acme").unwrap(), Id::new("u-1").unwrap());
        let id = MessageId { source: Printable::new("app").unwrap(), id: Printable::new("m-1").unwrap() };
        let outcome = Outcome::Rejected(vec![Rejection::AccountFrozen, Rejection::InsufficientCredits]);
        let reply = Reply { tenant: Some(&tenant), account: Some(&account), id: Some(&id), outcome: &outcome, entries: &[], of: None };
        assert_eq!(
            shown(&reply),
            r#"{"tenant":"acme","account":"u-1","source":"app","id":"m-1","outcome":"rejected","reasons":["account_frozen","insufficient_credits"],"entries":[]}"#
        );
        let again = Reply { outcome: &Outcome::Duplicate, of: Some("rejected"), ..reply };
        assert!(shown(&again).ends_with(r#""outcome":"duplicate","reasons":[],"entries":[],"of":"rejected"}"#));
    }

    #[test]
    fn what_could_not_be_read_is_null() {
        let outcome = Outcome::Quarantined(QuarantineReason::Malformed);
        let reply = Reply { tenant: None, account: None, id: None, outcome: &outcome, entries: &[], of: None };
        assert_eq!(
            shown(&reply),
            r#"{"tenant":null,"account":null,"source":null,"id":null,"outcome":"quarantined","reasons":["malformed"],"entries":[]}"#
        );
    }
}
