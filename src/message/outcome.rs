//! The answer to a message that asked for one (`reply_to`).
//!
//! Owns its JSON (message contract, CloudEvents in). Never decides when it is sent.

use super::announced::EntryLine;
use super::field::{Field, one_of};
use crate::domain::decision::{Outcome, Recorded};
use crate::domain::entry::Entry;
use crate::domain::ids::{Id, MessageId, Printable};
use crate::domain::rejection::{QuarantineReason, Rejection};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
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
    /// The entries it caused, in order; for a duplicate of itself those of the recorded outcome.
    pub entries: &'a [Entry],
    /// The recorded outcome, when the message is a duplicate of itself.
    pub of: Option<&'a Recorded>,
}

/// The answer to a message that had `reply_to`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Body<'a> {
    #[schemars(with = "Option<Field<Id>>")]
    tenant: Option<&'a str>,
    #[schemars(with = "Option<Field<Id>>")]
    account: Option<&'a str>,
    #[schemars(with = "Option<Field<Printable>>")]
    source: Option<&'a str>,
    #[schemars(with = "Option<Field<Printable>>")]
    id: Option<&'a str>,
    #[schemars(schema_with = "outcomes")]
    outcome: &'static str,
    #[schemars(schema_with = "reasons")]
    reasons: Vec<&'a str>,
    entries: Vec<EntryLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "outcomes")]
    of: Option<&'a str>,
}

fn outcomes(_: &mut SchemaGenerator) -> Schema {
    let set_aside = Outcome::Quarantined(QuarantineReason::Malformed);
    let all = [Outcome::Applied, Outcome::Duplicate, Outcome::Rejected(Vec::new()), Outcome::Ignored, Outcome::Waiting, set_aside];
    one_of(all.map(|outcome| outcome.word()))
}

fn reasons(generator: &mut SchemaGenerator) -> Schema {
    let (refused, set_aside) = (generator.subschema_for::<Field<Rejection>>(), generator.subschema_for::<Field<QuarantineReason>>());
    json_schema!({"type": "array", "items": {"anyOf": [refused, set_aside]}})
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
            reasons: self.of.map_or_else(|| self.outcome.reasons(), |of| of.reasons.iter().map(String::as_str).collect()),
            entries: self.entries.iter().map(EntryLine::from).collect(),
            of: self.of.map(|of| of.outcome.as_str()),
        };
        // Strings and integers only: it cannot fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::fits;

    fn shown(reply: &Reply<'_>) -> String {
        let text = String::from_utf8(reply.body()).unwrap();
        assert_eq!(fits("reply", &serde_json::from_str(&text).unwrap()), Ok(()));
        text
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
        let recorded = Recorded::of(&outcome, None);
        let again = Reply { outcome: &Outcome::Duplicate, of: Some(&recorded), ..reply };
        assert!(
            shown(&again)
                .ends_with(r#""outcome":"duplicate","reasons":["account_frozen","insufficient_credits"],"entries":[],"of":"rejected"}"#)
        );
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
