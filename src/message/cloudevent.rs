//! CloudEvents 1.0 in structured mode: the envelope of every message that is not a webhook.
//!
//! Owns the order of its checks: version, type, queue and routing key, then the attributes, then
//! the data. Extension attributes it does not know (`traceparent` among them) are tolerated and are
//! no part of the content.

use super::announced::Identity;
use super::content;
use super::fault::Fault;
use super::field::{Field, Spelt};
use super::json::{self, Members};
use super::payload::{self, Kind};
use super::raw::{CLOUDEVENT, Raw};
use super::read::{Incoming, TenantMessage};
use crate::domain::command::Message;
use crate::domain::ids::{AccountKey, Id, MessageId, Printable};
use crate::domain::rejection::QuarantineReason;
use jiff::Timestamp;
use schemars::JsonSchema;

/// What names a message that may turn out unreadable.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) tenant: Option<Id>,
    pub(super) id: Option<MessageId>,
    /// Its type as it is written, or as a webhook is routed.
    pub(super) kind: Option<String>,
}

/// Reads a CloudEvent. What could be named is left in `named` even when the rest cannot be read.
pub(super) fn read(raw: &Raw, text: &str, named: &mut Named) -> Result<Incoming, Fault> {
    if let Some(content_type) = &raw.content_type {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(CLOUDEVENT) {
            return Err(Fault::malformed(format!("the content type is not {CLOUDEVENT}")));
        }
    }
    json::refuse_nul(text)?;
    let members = Members::read(text)?;
    *named = names(&members);
    let kind = kind(raw, &members)?;
    let envelope = Envelope::read(&members)?;
    same_route(raw, kind, &envelope.tenant)?;
    match &envelope.subject {
        Some(account) => envelope.account(kind, account),
        None => envelope.whole(kind),
    }
}

fn names(members: &Members<'_>) -> Named {
    let text = |key: &str| members.text(key).ok().flatten();
    let source = text("source").and_then(|text| Printable::new(&text).ok());
    let id = text("id").and_then(|text| Printable::new(&text).ok());
    Named {
        tenant: text("tenant").and_then(|text| Id::new(&text).ok()),
        id: source.zip(id).map(|(source, id)| MessageId { source, id }),
        kind: text("type").and_then(|text| Printable::new(&text).ok()).map(|kind| kind.to_string()),
    }
}

/// The kind of message, if it may come this way.
fn kind(raw: &Raw, members: &Members<'_>) -> Result<&'static Kind, Fault> {
    if members.text("specversion").ok().flatten().as_deref() != Some("1.0") {
        let detail = "`specversion` is not \"1.0\"".to_owned();
        return Err(Fault { reason: QuarantineReason::UnsupportedVersion, detail });
    }
    let word = members.text("type")?.ok_or_else(|| missing("type"))?;
    let kind = payload::kind(&word).ok_or_else(|| Fault::unknown("`type` is not known to this version"))?;
    if kind.queue != raw.queue {
        return Err(Fault::not_permitted(format!("{} belongs in the queue {}, not {}", kind.word, kind.queue.word(), raw.queue.word())));
    }
    Ok(kind)
}

/// The broker's permissions speak about routing keys, so what the key says must be what the message
/// says: else the right to publish one type for one tenant would be the right to publish any.
fn same_route(raw: &Raw, kind: &Kind, tenant: &Id) -> Result<(), Fault> {
    let (routed_kind, routed_tenant) = raw.route();
    if routed_tenant != tenant.as_str() {
        return Err(Fault::not_permitted("the routing key names another tenant"));
    }
    if routed_kind != kind.word {
        return Err(Fault::not_permitted("the routing key names another type"));
    }
    Ok(())
}

fn missing(key: &str) -> Fault {
    Fault::malformed(format!("`{key}` is missing"))
}

/// The attributes, each in its exact form. Which types have a `subject`, and what `data` is, their
/// registry tells.
#[derive(JsonSchema)]
pub(super) struct Envelope<'a> {
    #[schemars(flatten, with = "Identity<'_>")]
    id: MessageId,
    #[schemars(with = "Field<Id>")]
    tenant: Id,
    #[schemars(skip)]
    subject: Option<Id>,
    #[schemars(with = "Field<Timestamp>")]
    time: Timestamp,
    #[schemars(skip)]
    data: &'a str,
}

impl<'a> Envelope<'a> {
    fn read(members: &Members<'a>) -> Result<Self, Fault> {
        fn maybe<T: Spelt>(members: &Members<'_>, key: &str) -> Result<Option<T>, Fault> {
            let Some(text) = members.text(key)? else { return Ok(None) };
            T::spelt(&text).map(Some).ok_or_else(|| Fault::malformed(format!("`{key}`: expected {}", T::FORM)))
        }
        fn required<T: Spelt>(members: &Members<'_>, key: &str) -> Result<T, Fault> {
            maybe(members, key)?.ok_or_else(|| missing(key))
        }
        Ok(Self {
            tenant: required(members, "tenant")?,
            id: MessageId { source: required(members, "source")?, id: required(members, "id")? },
            time: required(members, "time")?,
            subject: maybe(members, "subject")?,
            data: members.get("data").ok_or_else(|| missing("data"))?.get(),
        })
    }

    /// A message about one account.
    fn account(&self, kind: &Kind, account: &Id) -> Result<Incoming, Fault> {
        let form = kind.of_account.as_ref().ok_or_else(|| Fault::malformed(format!("{} is about a tenant: no `subject`", kind.word)))?;
        let asked = (form.read)(self.data)?;
        let key = AccountKey { tenant: self.tenant.clone(), account: account.clone() };
        let content = content::of_account(kind.word, &key, self.time, &asked);
        let (id, command) = (self.id.clone(), asked.command);
        Ok(Incoming::Account(Box::new(Message { id, content, account: key, occurred_at: self.time, command })))
    }

    /// A message about a whole tenant.
    fn whole(&self, kind: &Kind) -> Result<Incoming, Fault> {
        let form = kind.of_tenant.as_ref().ok_or_else(|| Fault::malformed(format!("{} needs the account as `subject`", kind.word)))?;
        let command = (form.read)(self.data)?;
        let content = content::of_tenant(kind.word, &self.tenant, self.time, &command);
        let (id, tenant) = (self.id.clone(), self.tenant.clone());
        Ok(Incoming::Tenant(Box::new(TenantMessage { id, content, tenant, occurred_at: self.time, command })))
    }
}
