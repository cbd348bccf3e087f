//! Message files: JSON lines that `publish`, `simulate`, `permute` and the conformance runner read.
//!
//! Owns which line means what (message contract, Message files) and how a line becomes a delivery.
//! A line that is a message may still be unreadable as one: that is an outcome, not an error here.

use super::fault::Fault;
use super::field::{Field, Spelt, one_of};
use super::json::{Members, Object, Unique, string};
use super::paypal::TestAuthority;
use super::raw::{CLOUDEVENT, Queue, Raw};
use super::stripe;
use crate::domain::ids::{AccountKey, Id};
use jiff::Timestamp;
use schemars::Schema;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Why a line cannot be read or sent; `publish` and `simulate` add its number and exit with 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LineError(String);

impl From<Fault> for LineError {
    fn from(fault: Fault) -> Self {
        // The line has a number in its file; that it is the first of itself would only confuse.
        Self(fault.detail.replace(" at line 1 column ", " at column "))
    }
}

/// What the webhooks of a file are signed with.
pub trait Signing {
    /// A Stripe signing secret of the tenant.
    fn stripe(&self, tenant: &Id) -> Option<Vec<u8>>;

    /// The id of a PayPal webhook of the tenant, which the test authority signs for.
    fn paypal(&self, tenant: &Id) -> Option<String>;
}

/// The longest routing key that AMQP carries.
const ROUTING_KEY_BYTES_MAX: usize = 255;

/// Which amounts a reading shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// What is known now about the instant.
    #[default]
    Known,
    /// What was recorded by the instant.
    Recorded,
}

/// Where a catalog stands.
#[derive(Debug, Clone, PartialEq)]
pub enum CatalogText {
    /// A TOML file, named relative to the message file.
    File(String),
    /// In the line itself.
    Inline(serde_json::Value),
}

/// One line of a message file.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A CloudEvent, byte for byte.
    Event {
        /// Its tenant as written; empty when there is none.
        tenant: String,
        /// Its type as written; empty when there is none.
        kind: String,
        /// The bytes.
        body: Vec<u8>,
    },
    /// A webhook to be signed: with the tenant's test secret, or by the test authority.
    Webhook {
        /// `stripe` or `paypal`.
        provider: String,
        /// Whose endpoint.
        tenant: Id,
        /// The provider's event.
        body: Vec<u8>,
        /// When the request came: as written, else when the event was created.
        received_at: Timestamp,
    },
    /// A webhook with exactly these bytes and headers.
    Exact {
        /// `stripe` or `paypal`.
        provider: String,
        /// Whose endpoint.
        tenant: Id,
        /// As the request had them.
        headers: BTreeMap<String, String>,
        /// The bytes.
        body: Vec<u8>,
        /// When the request came.
        received_at: Timestamp,
    },
    /// Time passes for every tenant of the file.
    Tick(Timestamp),
    /// Show an account.
    Read {
        /// Which.
        key: AccountKey,
        /// As of when; absent: now.
        at: Option<Timestamp>,
        /// Known or recorded.
        basis: Basis,
    },
    /// Load a catalog version.
    Catalog {
        /// Whose.
        tenant: Id,
        /// From where.
        catalog: CatalogText,
    },
}

impl Line {
    /// Reads a line; `None` for empty lines and comments.
    ///
    /// # Errors
    /// [`LineError`] when it is no line of the format.
    pub fn parse(line: &str) -> Result<Option<Self>, LineError> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        // The depth a message may have, and the object around it.
        super::json::text(line.as_bytes())?;
        let members = Members::read_lenient(line)?;
        let has = |key: &str| members.0.iter().any(|(name, _)| name == key);
        if has("specversion") {
            // A key that is there twice, or of the wrong type, is the message's fault.
            let text = |key: &str| members.text(key).ok().flatten().unwrap_or_default().into_owned();
            return Ok(Some(Self::Event { tenant: text("tenant"), kind: text("type"), body: line.as_bytes().to_vec() }));
        }
        let read = [("webhook", webhook as fn(&str) -> Result<Self, Fault>), ("tick", tick), ("read", reading), ("catalog", catalog)];
        let (_, read) = read
            .into_iter()
            .find(|(key, _)| has(key))
            .ok_or_else(|| LineError("no `specversion`, `webhook`, `tick`, `read` or `catalog`".into()))?;
        Ok(read(line).map(Some)?)
    }

    /// The delivery a message line stands for; `None` for the lines that are no message.
    ///
    /// # Errors
    /// [`LineError`] when there is nothing to sign a webhook with.
    pub fn raw(&self, signing: &impl Signing) -> Result<Option<Raw>, LineError> {
        match self {
            Self::Event { tenant, kind, body } => {
                let (queue, routing_key) = route(kind, tenant);
                let content_type = Some(CLOUDEVENT.to_owned());
                Ok(Some(Raw {
                    queue,
                    routing_key,
                    content_type,
                    headers: BTreeMap::new(),
                    reply_to: None,
                    correlation_id: None,
                    body: body.clone(),
                }))
            }
            Self::Webhook { provider, tenant, body, received_at } => {
                let headers = signed((provider, tenant, *received_at), body, signing)?;
                Ok(Some(webhook_raw((provider, tenant, *received_at), headers, body)))
            }
            Self::Exact { provider, tenant, headers, body, received_at } => {
                Ok(Some(webhook_raw((provider, tenant, *received_at), headers.clone(), body)))
            }
            Self::Tick(_) | Self::Read { .. } | Self::Catalog { .. } => Ok(None),
        }
    }
}

/// The headers that its provider would send with a webhook.
fn signed(
    (provider, tenant, at): (&str, &Id, Timestamp),
    body: &[u8],
    signing: &impl Signing,
) -> Result<BTreeMap<String, String>, LineError> {
    if provider == "stripe" {
        let signed = signing.stripe(tenant).and_then(|secret| stripe::sign(&secret, at.as_second(), body));
        let missing = || LineError(format!("there is no Stripe test secret for the tenant {tenant}"));
        return Ok(BTreeMap::from([("Stripe-Signature".to_owned(), signed.ok_or_else(missing)?)]));
    }
    let authority = TestAuthority::built_in();
    let signed = signing.paypal(tenant).zip(authority).and_then(|(webhook_id, authority)| authority.signer.sign(&webhook_id, at, body));
    let missing = || LineError(format!("there is no PayPal webhook id for the tenant {tenant}"));
    Ok(signed.ok_or_else(missing)?.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Where a CloudEvent goes. A type that no queue takes would be returned by the broker, and there would
/// be no outcome: as a command it is read, and quarantined as unknown.
fn route(kind: &str, tenant: &str) -> (Queue, String) {
    let own = format!("{kind}.{tenant}");
    match Queue::of_routing_key(&own).filter(|_| own.len() <= ROUTING_KEY_BYTES_MAX) {
        Some(queue) => (queue, own),
        None => {
            (Queue::Commands, Id::new(tenant).map_or_else(|_| "credits.unknown".to_owned(), |tenant| format!("credits.unknown.{tenant}")))
        }
    }
}

/// What the ingress adds, unless the line says it itself.
fn webhook_raw((provider, tenant, received_at): (&str, &Id, Timestamp), mut headers: BTreeMap<String, String>, body: &[u8]) -> Raw {
    for (name, value) in [("x-tenant", tenant.to_string()), ("x-received-at", received_at.to_string())] {
        if !headers.keys().any(|key| key.eq_ignore_ascii_case(name)) {
            headers.insert(name.to_owned(), value);
        }
    }
    Raw {
        queue: Queue::Payments,
        routing_key: format!("payment.{provider}.{tenant}"),
        content_type: None,
        headers,
        reply_to: None,
        correlation_id: None,
        body: body.to_vec(),
    }
}

fn strict<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, Fault> {
    let Object(read): Object<T> = serde_json::from_str(line)?;
    Ok(read)
}

const PROVIDERS: [&str; 2] = ["stripe", "paypal"];

/// A provider whose webhooks the contract knows.
struct Provider(&'static str);

impl Spelt for Provider {
    const FORM: &'static str = "stripe or paypal";

    fn spelt(text: &str) -> Option<Self> {
        PROVIDERS.into_iter().find(|provider| *provider == text).map(Self)
    }

    fn schema() -> Schema {
        one_of(PROVIDERS)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookLine<'a> {
    webhook: Field<Provider>,
    tenant: Field<Id>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    headers: Option<Unique<String, String>>,
    body: Option<String>,
    received_at: Option<Field<Timestamp>>,
}

fn webhook(line: &str) -> Result<Line, Fault> {
    let read: WebhookLine<'_> = strict(line)?;
    let (provider, tenant, received_at) = (read.webhook.0.0.to_owned(), read.tenant.0, read.received_at.map(|at| at.0));
    match (read.event, read.headers, read.body, received_at) {
        (Some(event), None, None, received_at) => {
            let received_at = received_at
                .or_else(|| created(event))
                .ok_or_else(|| Fault::malformed("`received_at` is missing and the event has no `created`"))?;
            Ok(Line::Webhook { provider, tenant, body: event.get().as_bytes().to_vec(), received_at })
        }
        (None, Some(headers), Some(body), Some(received_at)) => {
            Ok(Line::Exact { provider, tenant, headers: headers.0, body: body.into_bytes(), received_at })
        }
        _ => Err(Fault::malformed("a webhook has either `event`, or `headers`, `body` and `received_at`")),
    }
}

/// When the provider says the event was made: Stripe in seconds, PayPal as an instant.
fn created(event: &RawValue) -> Option<Timestamp> {
    let members = Members::read_lenient(event.get()).ok()?;
    if let Some(second) = members.get("created") {
        return Timestamp::from_second(second.get().parse().ok()?).ok();
    }
    Timestamp::spelt(&string(members.get("create_time")?).ok()?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TickLine {
    tick: Field<Timestamp>,
}

fn tick(line: &str) -> Result<Line, Fault> {
    let read: TickLine = strict(line)?;
    Ok(Line::Tick(read.tick.0))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadLine {
    read: Object<Reading>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    tenant: Field<Id>,
    account: Field<Id>,
    at: Option<Field<Timestamp>>,
    #[serde(rename = "as")]
    basis: Option<Field<Basis>>,
}

impl Spelt for Basis {
    const FORM: &'static str = "known or recorded";

    fn spelt(text: &str) -> Option<Self> {
        match text {
            "known" => Some(Self::Known),
            "recorded" => Some(Self::Recorded),
            _ => None,
        }
    }

    fn schema() -> Schema {
        one_of(["known", "recorded"])
    }
}

fn reading(line: &str) -> Result<Line, Fault> {
    let Object(read) = strict::<ReadLine>(line)?.read;
    let key = AccountKey { tenant: read.tenant.0, account: read.account.0 };
    Ok(Line::Read { key, at: read.at.map(|at| at.0), basis: read.basis.map_or(Basis::Known, |basis| basis.0) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogLine<'a> {
    tenant: Field<Id>,
    #[serde(borrow)]
    catalog: &'a RawValue,
}

fn catalog(line: &str) -> Result<Line, Fault> {
    let read: CatalogLine<'_> = strict(line)?;
    let catalog = match serde_json::from_str(read.catalog.get())? {
        serde_json::Value::String(file) => CatalogText::File(file),
        inline @ serde_json::Value::Object(_) => CatalogText::Inline(inline),
        _ => return Err(Fault::malformed("`catalog` is the name of a file or an object")),
    };
    Ok(Line::Catalog { tenant: read.tenant.0, catalog })
}
