//! Whole messages in and out: what the single files cannot show alone.

mod contract;
mod envelope;
mod events;
mod examples;
mod hashes;
mod lines;
mod older_stripe;
mod payloads;
mod paypal;
mod robust;
mod schemas;
mod webhooks;

use super::raw::{CLOUDEVENT, Queue, Raw};
use super::read::{Incoming, Keys, NotRead, Unreadable};
use crate::domain::command::Command;
use crate::domain::ids::Id;
use crate::domain::tenant_command::TenantCommand;
pub(super) use schemas::fits;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const SECRET: &[u8] = b"whsec_test_0123456789abcdef";

pub(super) fn secrets(tenant: &Id) -> Vec<Vec<u8>> {
    if tenant.as_str() == "acme" { vec![b"whsec_other".to_vec(), SECRET.to_vec()] } else { Vec::new() }
}

/// Reads; whatever is asked here has its certificate at hand.
pub(super) fn read(raw: &Raw, keys: &impl Keys) -> Result<Incoming, Unreadable> {
    super::read::read(raw, keys).map_err(|not_read| match not_read {
        NotRead::Unreadable(unreadable) => *unreadable,
        NotRead::NoCertificate(url) => panic!("{url:?}"),
    })
}

/// A CloudEvent about account u-1 of acme.
pub(super) fn event(kind: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": "m-1", "source": "app", "type": kind, "tenant": "acme",
        "subject": "u-1", "time": "2026-01-31T00:00:00Z", "data": data,
    })
}

/// The same without subject.
pub(super) fn tenant_event(kind: &str, data: &Value) -> Value {
    let mut event = event(kind, data);
    event.as_object_mut().unwrap().remove("subject");
    event
}

/// The delivery of a CloudEvent's text on its own routing key.
pub(super) fn delivery(kind: &str, body: &str) -> Raw {
    let routing_key = format!("{kind}.acme");
    Raw {
        queue: Queue::of_routing_key(&routing_key).unwrap_or(Queue::Commands),
        routing_key,
        content_type: Some(CLOUDEVENT.into()),
        headers: BTreeMap::new(),
        reply_to: None,
        correlation_id: None,
        body: body.as_bytes().to_vec(),
    }
}

pub(super) fn deliver(event: &Value) -> Result<Incoming, Unreadable> {
    read(&delivery(event["type"].as_str().unwrap_or("credits.grant"), &event.to_string()), &secrets)
}

/// The reason a message is set aside for; "read" when it is not.
pub(super) fn fate(result: &Result<Incoming, Unreadable>) -> &'static str {
    match result {
        Ok(Incoming::Ignored { .. }) => "ignored",
        Ok(Incoming::Unaddressed(_)) => "of somebody",
        Ok(_) => "read",
        Err(unreadable) => unreadable.reason.word(),
    }
}

pub(super) fn command(event: &Value) -> Command {
    match deliver(event).unwrap() {
        Incoming::Account(message) => message.command,
        other => panic!("{other:?}"),
    }
}

pub(super) fn tenant_command(event: &Value) -> TenantCommand {
    match deliver(event).unwrap() {
        Incoming::Tenant(message) => message.command,
        other => panic!("{other:?}"),
    }
}

pub(super) fn content(event: &Value) -> String {
    match deliver(event).unwrap() {
        Incoming::Account(message) => message.content.to_string(),
        Incoming::Tenant(message) => message.content.to_string(),
        Incoming::Unaddressed(message) => message.content.to_string(),
        Incoming::Ignored { content, .. } => content.to_string(),
    }
}

pub(super) fn grant() -> Value {
    event("credits.grant", &json!({"credits": "100", "reason": "gift", "actor": "staff-1"}))
}

/// The value with one member of it set; `null` removes it.
pub(super) fn with(mut value: Value, path: &str, to: Value) -> Value {
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if to.is_null() {
        parent.remove(key)
    } else {
        parent.insert(key.into(), to)
    };
    value
}
