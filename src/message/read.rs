//! From bytes to a command, or to the reason why not.
//!
//! Owns the order of the checks every message passes: size, encoding, signature (webhooks), depth,
//! structure.
//! Never decides whether what is asked is allowed; never answers "try again": what cannot be read
//! now cannot be read later by the same version.

use super::cloudevent::{self, Named};
use super::fault::Fault;
use super::field::Spelt;
use super::json;
use super::raw::{CLOUDEVENT, CONTENT_ENCODING, Queue, Raw};
use super::stripe;
use crate::domain::command::{Command, Message};
use crate::domain::ids::{AccountKey, Hash, Id, MessageId};
use crate::domain::rejection::QuarantineReason;
use crate::domain::tenant_command::TenantCommand;
use jiff::Timestamp;

/// A message that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// About one account.
    Account(Box<Message>),
    /// About a tenant as a whole.
    Tenant(Box<TenantMessage>),
    /// About a payment that it does not say whose it is.
    Unaddressed(Box<Unaddressed>),
    /// Authentic, but nothing the ledger acts on.
    Ignored {
        /// Whose secret signed it.
        tenant: Id,
        /// The provider's event.
        id: MessageId,
        /// Hash of what was read of it.
        content: Hash,
    },
}

/// A provider's message about a payment, which does not say whose it is: the directory knows, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unaddressed {
    /// Whose secret signed it.
    pub tenant: Id,
    /// The provider's event.
    pub id: MessageId,
    /// Hash of what it says, whoever it is about.
    pub content: Hash,
    /// The world's time.
    pub occurred_at: Timestamp,
    /// What it says, by the names it has for the payment.
    pub command: Command,
}

impl Unaddressed {
    /// The message, now that it is known whose it is.
    #[must_use]
    pub fn addressed(self, account: Id) -> Message {
        let Self { tenant, id, content, occurred_at, command } = self;
        Message { id, content, account: AccountKey { tenant, account }, occurred_at, command }
    }
}

/// A message about a tenant as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantMessage {
    /// Source and id.
    pub id: MessageId,
    /// Hash of the normalised content (semantics §9).
    pub content: Hash,
    /// The tenant.
    pub tenant: Id,
    /// The world's time.
    pub occurred_at: Timestamp,
    /// What it asks.
    pub command: TenantCommand,
}

/// Why a message goes to quarantine before anything was decided about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Unreadable {
    /// The closed word.
    pub reason: QuarantineReason,
    /// What is wrong, for people; never a value out of the message.
    pub detail: String,
    /// The tenant it claims, where that much could be read. Not proven.
    pub tenant: Option<Id>,
    /// The identity it claims, where that much could be read. Not proven.
    pub id: Option<MessageId>,
    /// The type it claims, where that much could be read; of a webhook the words it is routed by.
    pub kind: Option<String>,
}

/// Where the secrets of a tenant's webhook endpoints come from.
pub trait Secrets {
    /// All of the tenant's Stripe signing secrets that count now; several while one is rolled.
    fn stripe(&self, tenant: &Id) -> Vec<Vec<u8>>;
}

impl<F: Fn(&Id) -> Vec<Vec<u8>>> Secrets for F {
    fn stripe(&self, tenant: &Id) -> Vec<Vec<u8>> {
        self(tenant)
    }
}

/// Reads a message that came through a queue; webhooks are verified over their raw bytes.
///
/// # Errors
/// [`Unreadable`], which is final for these bytes.
pub fn read(raw: &Raw, secrets: &impl Secrets) -> Result<Incoming, Unreadable> {
    checked(raw, &|webhook, tenant| webhook.verify(&secrets.stripe(tenant)))
}

/// Reads a message that was authentic when it was first stored: waiting messages and replays.
/// Secrets may have been rolled since.
///
/// # Errors
/// [`Unreadable`], which is final for these bytes.
pub fn reread(raw: &Raw) -> Result<Incoming, Unreadable> {
    checked(raw, &|_, _| Ok(()))
}

type Verify<'a> = dyn Fn(&Webhook<'_>, &Id) -> Result<(), Fault> + 'a;

fn checked(raw: &Raw, verify: &Verify<'_>) -> Result<Incoming, Unreadable> {
    let routed = Id::new(raw.route().1).ok();
    let mut named = Named::default();
    inner(raw, verify, &mut named).map_err(|fault| Unreadable {
        reason: fault.reason,
        detail: fault.detail,
        tenant: named.tenant.or(routed),
        id: named.id,
        kind: named.kind,
    })
}

fn inner(raw: &Raw, verify: &Verify<'_>, named: &mut Named) -> Result<Incoming, Fault> {
    let most = raw.queue.body_bytes_max();
    if raw.body.len() > most {
        let detail = format!("{} bytes; the queue {} takes {most}", raw.body.len(), raw.queue.word());
        return Err(Fault { reason: QuarantineReason::TooLarge, detail });
    }
    plain_text(raw)?;
    if raw.queue == Queue::Payments && !looks_like_cloudevent(raw) {
        named.kind = Some(raw.route().0).filter(|kind| PROVIDERS.contains(kind)).map(str::to_owned);
        let webhook = Webhook::read(raw)?;
        named.tenant = Some(webhook.tenant.clone());
        verify(&webhook, &webhook.tenant)?;
        return stripe::read(&webhook.tenant, json::text(&raw.body)?, named);
    }
    cloudevent::read(raw, json::text(&raw.body)?, named)
}

/// What webhooks are routed by.
const PROVIDERS: [&str; 2] = ["payment.stripe", "payment.paypal"];

/// Bytes that say they are compressed, or in another character set, are not read as if they were not.
/// Some client libraries write the character set where the encoding belongs.
fn plain_text(raw: &Raw) -> Result<(), Fault> {
    let is_utf8 = |name: &str| ["utf-8", "utf8"].iter().any(|utf8| name.eq_ignore_ascii_case(utf8));
    let encoding = raw.header(CONTENT_ENCODING).map(str::trim).filter(|encoding| !encoding.is_empty());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity") && !is_utf8(encoding)) {
        return Err(Fault::malformed("the content encoding is not identity: the body is sent as it is"));
    }
    let mut parameters = raw.content_type.as_deref().unwrap_or_default().split(';').skip(1).filter_map(|one| one.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    if charset.is_some_and(|(_, value)| !is_utf8(value.trim().trim_matches('"'))) {
        return Err(Fault::malformed("the content type names another character set than UTF-8"));
    }
    Ok(())
}

/// A CloudEvent that strayed into the payments queue gets an answer that names the mistake.
fn looks_like_cloudevent(raw: &Raw) -> bool {
    let declared = raw.content_type.as_ref().is_some_and(|declared| declared.to_ascii_lowercase().starts_with(CLOUDEVENT));
    declared && raw.header("x-tenant").is_none() && raw.header("stripe-signature").is_none()
}

/// The envelope of a webhook: AMQP headers around the provider's raw bytes.
struct Webhook<'a> {
    tenant: Id,
    received_at: Timestamp,
    signature: Option<&'a str>,
    body: &'a [u8],
}

impl<'a> Webhook<'a> {
    fn read(raw: &'a Raw) -> Result<Self, Fault> {
        let (provider, routed_tenant) = raw.route();
        match provider {
            "payment.stripe" => {}
            "payment.paypal" => return Err(Fault::unknown("PayPal webhooks are not built yet")),
            _ => return Err(Fault::unknown("the routing key names no provider that is known")),
        }
        let header = |name: &str| raw.header(name).ok_or_else(|| Fault::malformed(format!("the header {name} is missing")));
        let tenant = Id::new(header("x-tenant")?).map_err(|_| Fault::malformed("the header x-tenant is no id"))?;
        if routed_tenant != tenant.as_str() {
            return Err(Fault::not_permitted("the routing key names another tenant"));
        }
        let received_at = Timestamp::spelt(header("x-received-at")?)
            .ok_or_else(|| Fault::malformed("the header x-received-at is no RFC 3339 instant"))?;
        Ok(Self { tenant, received_at, signature: raw.header("stripe-signature"), body: &raw.body })
    }

    fn verify(&self, secrets: &[Vec<u8>]) -> Result<(), Fault> {
        let header = self.signature.unwrap_or_default();
        stripe::verify(header, self.received_at, self.body, secrets)
            .map_err(|detail| Fault { reason: QuarantineReason::BadSignature, detail: detail.to_string() })
    }
}
