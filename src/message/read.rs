//! From bytes to a command, or to the reason why not.
//!
//! Owns the order of the checks every message passes: size, encoding, signature (webhooks), depth,
//! structure.
//! Never decides whether what is asked is allowed. What cannot be read now cannot be read later by the
//! same version; only a certificate that is not at hand is worth another try.

use super::cloudevent::{self, Named};
use super::fault::Fault;
use super::field::Spelt;
use super::json;
use super::paypal::{self, CertificateUrl, Chain, Received, Transmission, Unproven};
use super::raw::{CLOUDEVENT, CONTENT_ENCODING, Queue, Raw};
use super::stripe;
use crate::domain::command::{Command, Message};
use crate::domain::ids::{AccountKey, Hash, Id, MessageId};
use crate::domain::rejection::QuarantineReason;
use crate::domain::tenant_command::TenantCommand;
use jiff::Timestamp;
use std::sync::{Arc, LazyLock};

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

impl Incoming {
    /// What a quarantine row names it by: tenant, identity, type.
    #[must_use]
    pub fn names(self) -> (Option<Id>, Option<MessageId>, Option<String>) {
        match self {
            Self::Account(message) => (Some(message.account.tenant), Some(message.id), Some(message.command.word().to_owned())),
            Self::Tenant(message) => (Some(message.tenant), Some(message.id), None),
            Self::Unaddressed(message) => (Some(message.tenant), Some(message.id), Some(message.command.word().to_owned())),
            Self::Ignored { tenant, id, .. } => (Some(tenant), Some(id), None),
        }
    }
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

/// Why a message is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// It goes to quarantine.
    #[error(transparent)]
    Unreadable(Box<Unreadable>),
    /// Nobody can tell yet whether it is authentic: this certificate must be fetched first.
    #[error("the certificate that signed it is not at hand yet")]
    NoCertificate(CertificateUrl),
}

/// What webhooks are verified with, all of it at hand.
pub trait Keys {
    /// All of the tenant's Stripe signing secrets that count now; several while one is rolled.
    fn stripe(&self, tenant: &Id) -> Vec<Vec<u8>>;

    /// The ids of the tenant's webhooks at PayPal; several while one is rolled.
    fn paypal(&self, _tenant: &Id) -> Vec<String> {
        Vec::new()
    }

    /// What is believed of PayPal's.
    fn trust(&self) -> &paypal::Trust {
        static PAYPAL_ALONE: LazyLock<paypal::Trust> = LazyLock::new(paypal::Trust::default);
        &PAYPAL_ALONE
    }

    /// A certificate, if it is at hand.
    fn certificate(&self, _url: &CertificateUrl) -> Option<Arc<Chain>> {
        None
    }
}

/// The Stripe secrets alone.
impl<F: Fn(&Id) -> Vec<Vec<u8>>> Keys for F {
    fn stripe(&self, tenant: &Id) -> Vec<Vec<u8>> {
        self(tenant)
    }
}

/// Reads a message that came through a queue; webhooks are verified over their raw bytes.
///
/// # Errors
/// [`NotRead`]: that it is unreadable is final for these bytes.
pub fn read(raw: &Raw, keys: &impl Keys) -> Result<Incoming, NotRead> {
    let mut named = Named::default();
    let read = believed(raw, keys, &mut named).and_then(|webhook| Ok(finish(raw, webhook.as_ref(), &mut named)?));
    read.map_err(|unverified| unverified.told(raw, named))
}

/// Reads a message that was authentic when it was first stored: waiting messages and what was answered.
/// Secrets may have been rolled since.
///
/// # Errors
/// [`Unreadable`], which is final for these bytes.
pub fn reread(raw: &Raw) -> Result<Incoming, Unreadable> {
    let mut named = Named::default();
    let read = begin(raw, &mut named).and_then(|webhook| finish(raw, webhook.as_ref(), &mut named));
    read.map_err(|fault| unreadable(raw, fault, named))
}

/// Whether a webhook is authentic, whatever it says: for those who hand it on.
///
/// # Errors
/// [`NotRead`].
pub fn authentic(raw: &Raw, keys: &impl Keys) -> Result<(), NotRead> {
    let mut named = Named::default();
    let webhook = believed(raw, keys, &mut named);
    let verified = webhook.and_then(|webhook| webhook.map(drop).ok_or_else(|| Fault::unknown("it is no webhook").into()));
    verified.map_err(|unverified| unverified.told(raw, named))
}

/// A PayPal webhook as PayPal is asked about it: whose endpoint, its headers, when it came. `None` when it is
/// no such webhook.
#[must_use]
pub fn paypal_webhook(raw: &Raw, trust: &paypal::Trust) -> Option<(Id, Transmission, Timestamp)> {
    let webhook = begin(raw, &mut Named::default()).ok()??;
    let Proof::PayPal = webhook.proof else { return None };
    let transmission = Transmission::read(|name| raw.header(name), &trust.bases).ok()?;
    Some((webhook.tenant, transmission, webhook.received_at))
}

fn unreadable(raw: &Raw, fault: Fault, named: Named) -> Unreadable {
    let routed = Id::new(raw.route().1).ok();
    Unreadable { reason: fault.reason, detail: fault.detail, tenant: named.tenant.or(routed), id: named.id, kind: named.kind }
}

/// A webhook's envelope once it is verified, or nothing if it is none.
fn believed<'a>(raw: &'a Raw, keys: &impl Keys, named: &mut Named) -> Result<Option<Webhook<'a>>, Unverified> {
    let webhook = begin(raw, named)?;
    webhook.as_ref().map_or(Ok(()), |webhook| webhook.verify(keys))?;
    Ok(webhook)
}

/// What is checked before anything is believed. A webhook's envelope, or nothing if it is none.
fn begin<'a>(raw: &'a Raw, named: &mut Named) -> Result<Option<Webhook<'a>>, Fault> {
    let most = raw.queue.body_bytes_max();
    if raw.body.len() > most {
        let detail = format!("{} bytes; the queue {} takes {most}", raw.body.len(), raw.queue.word());
        return Err(Fault { reason: QuarantineReason::TooLarge, detail });
    }
    plain_text(raw)?;
    if raw.queue != Queue::Payments || looks_like_cloudevent(raw) {
        return Ok(None);
    }
    named.kind = Some(raw.route().0).filter(|kind| PROVIDERS.contains(kind)).map(str::to_owned);
    let webhook = Webhook::read(raw)?;
    named.tenant = Some(webhook.tenant.clone());
    Ok(Some(webhook))
}

/// What it says, once it is believed.
fn finish(raw: &Raw, webhook: Option<&Webhook<'_>>, named: &mut Named) -> Result<Incoming, Fault> {
    let text = json::text(&raw.body)?;
    match webhook {
        None => cloudevent::read(raw, text, named),
        Some(Webhook { proof: Proof::Stripe(_), tenant, .. }) => stripe::read(tenant, text, named),
        Some(Webhook { proof: Proof::PayPal, tenant, .. }) => {
            paypal::read(tenant, text, paypal::livemode(raw.header(paypal::CERT_URL)), named)
        }
    }
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
    declared && ["x-tenant", "stripe-signature", paypal::TRANSMISSION_ID].iter().all(|header| raw.header(header).is_none())
}

/// The envelope of a webhook: AMQP headers around the provider's raw bytes.
struct Webhook<'a> {
    tenant: Id,
    received_at: Timestamp,
    raw: &'a Raw,
    proof: Proof<'a>,
}

/// How its provider signs.
enum Proof<'a> {
    Stripe(Option<&'a str>),
    PayPal,
}

/// Why a webhook is not believed, or cannot be read.
enum Unverified {
    Bad(Fault),
    NoCertificate(CertificateUrl),
}

impl From<Fault> for Unverified {
    fn from(fault: Fault) -> Self {
        Self::Bad(fault)
    }
}

impl Unverified {
    /// With what could be named of it.
    fn told(self, raw: &Raw, named: Named) -> NotRead {
        match self {
            Self::Bad(fault) => NotRead::Unreadable(Box::new(unreadable(raw, fault, named))),
            Self::NoCertificate(url) => NotRead::NoCertificate(url),
        }
    }

    fn signature(detail: impl std::error::Error) -> Self {
        let detail = format!("{detail}");
        Self::Bad(Fault { reason: QuarantineReason::BadSignature, detail })
    }
}

impl<'a> Webhook<'a> {
    fn read(raw: &'a Raw) -> Result<Self, Fault> {
        let (provider, routed_tenant) = raw.route();
        let proof = match provider {
            "payment.stripe" => Proof::Stripe(raw.header("stripe-signature")),
            "payment.paypal" => Proof::PayPal,
            _ => return Err(Fault::unknown("the routing key names no provider that is known")),
        };
        let header = |name: &str| raw.header(name).ok_or_else(|| Fault::malformed(format!("the header {name} is missing")));
        let tenant = Id::new(header("x-tenant")?).map_err(|_| Fault::malformed("the header x-tenant is no id"))?;
        if routed_tenant != tenant.as_str() {
            return Err(Fault::not_permitted("the routing key names another tenant"));
        }
        let received_at = Timestamp::spelt(header("x-received-at")?)
            .ok_or_else(|| Fault::malformed("the header x-received-at is no RFC 3339 instant"))?;
        Ok(Self { tenant, received_at, raw, proof })
    }

    fn verify(&self, keys: &impl Keys) -> Result<(), Unverified> {
        match self.proof {
            Proof::Stripe(signature) => {
                let secrets = keys.stripe(&self.tenant);
                stripe::verify(signature.unwrap_or_default(), self.received_at, &self.raw.body, &secrets).map_err(Unverified::signature)
            }
            Proof::PayPal => {
                let trust = keys.trust();
                let transmission = Transmission::read(|name| self.raw.header(name), &trust.bases).map_err(Unverified::signature)?;
                let webhook_ids = keys.paypal(&self.tenant);
                let (received_at, body) = (self.received_at, self.raw.body.as_slice());
                let received = Received { transmission: &transmission, body, received_at, webhook_ids: &webhook_ids };
                let chain = keys.certificate(transmission.certificate());
                paypal::verify(&received, trust, chain.as_deref()).map_err(|unproven| match unproven {
                    Unproven::Bad(why) => Unverified::signature(why),
                    Unproven::NoCertificate(url) => Unverified::NoCertificate(url),
                })
            }
        }
    }
}
