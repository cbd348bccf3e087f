//! Whether a webhook is PayPal's: SHA-256 with RSA over id, time, webhook id and the body's CRC-32.
//!
//! Owns authenticity. Tries every webhook id of the tenant (one may be in the middle of being rolled),
//! and measures age and the certificate's dates against the moment of receipt, so that a long queue
//! spoils nothing. Fetches nothing: a certificate that is not at hand is an answer of its own, and
//! never a refusal.
//!
//! What PayPal signs of the body is its CRC-32, which is no secure hash: whoever has seen one webhook of
//! this tenant can make another body that its signature fits. So the headers of webhooks are not shown
//! around, and the right to publish stays the right to mint.

use super::base::{Base, CertificateUrl};
use super::chain::{BadCertificate, Chain};
use super::transmission::{Transmission, is_token, signed_text};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, TrustAnchor};

/// Why a webhook is not PayPal's. Final for these bytes; says nothing about what is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTransmission {
    /// A header is missing or not certain.
    #[error("the header {0} is missing, or there twice")]
    Header(&'static str),
    /// Another algorithm.
    #[error("the header PAYPAL-AUTH-ALGO is not SHA256withRSA")]
    Algorithm,
    /// Not what ids look like.
    #[error("the header PAYPAL-TRANSMISSION-ID is not 1 to 64 letters, digits and hyphens")]
    Id,
    /// Not an instant.
    #[error("the header PAYPAL-TRANSMISSION-TIME is no RFC 3339 instant")]
    Time,
    /// Not a signature.
    #[error("the header PAYPAL-TRANSMISSION-SIG is no RSA signature in base64")]
    Signature,
    /// Somebody else's certificate.
    #[error("the header PAYPAL-CERT-URL does not name a certificate on PayPal's hosts")]
    CertificateUrl,
    /// Sent too long before it was received, or after.
    #[error("PAYPAL-TRANSMISSION-TIME is too far away from x-received-at")]
    Age,
    /// The tenant has no webhook id here.
    #[error("the tenant has no PayPal webhook id")]
    NoWebhookId,
    /// The certificate is not PayPal's.
    #[error(transparent)]
    Certificate(#[from] BadCertificate),
    /// Another body, another webhook, or a forgery.
    #[error("the certificate did not sign this for any webhook id of the tenant")]
    Mismatch,
    /// PayPal was asked, and says no.
    #[error("PayPal does not confirm this for any webhook id of the tenant")]
    Denied,
    /// PayPal can only be asked about a JSON object.
    #[error("the body is not one JSON object, so PayPal cannot be asked about it")]
    Body,
}

/// Why a webhook is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It is not PayPal's, and never will be.
    #[error(transparent)]
    Bad(#[from] BadTransmission),
    /// Nobody knows yet: its certificate must be fetched first.
    #[error("the certificate that signed it is not at hand yet")]
    NoCertificate(CertificateUrl),
}

/// How far the time of sending may be from the moment of receipt; exactly this is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Sent before it was received.
    pub back: SignedDuration,
    /// Sent after it was received, by clocks that differ.
    pub ahead: SignedDuration,
}

impl Default for Window {
    /// PayPal tries for three days.
    fn default() -> Self {
        Self { back: SignedDuration::from_hours(72), ahead: SignedDuration::from_mins(5) }
    }
}

/// What is believed beside PayPal's own hosts and names.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Roots that a certificate must lead to.
    pub anchors: Vec<TrustAnchor<'static>>,
    /// Certificates that may stand between, should PayPal leave them out. They are not trusted.
    pub intermediates: Vec<CertificateDer<'static>>,
    /// Further places of certificates, for tests.
    pub bases: Vec<Base>,
    /// How old a webhook may be.
    pub window: Window,
}

/// A webhook as it came, and what its tenant has at PayPal.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Its headers.
    pub transmission: &'a Transmission,
    /// Its bytes.
    pub body: &'a [u8],
    /// When the request came.
    pub received_at: Timestamp,
    /// The ids of the tenant's webhooks; several while one is rolled.
    pub webhook_ids: &'a [String],
}

impl<'a> Received<'a> {
    /// What can be judged without PayPal's help, whoever is asked then: its age, and that the tenant has
    /// a webhook.
    ///
    /// # Errors
    /// [`BadTransmission::Age`] and [`BadTransmission::NoWebhookId`].
    pub fn judge(&self, window: Window) -> Result<(), BadTransmission> {
        let age = self.received_at.duration_since(self.transmission.sent_at);
        if age > window.back || age < SignedDuration::ZERO.saturating_sub(window.ahead) {
            return Err(BadTransmission::Age);
        }
        self.usable().next().map(drop).ok_or(BadTransmission::NoWebhookId)
    }

    /// The webhook ids that have the form of one: another could contain a bar.
    pub fn usable(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.webhook_ids.iter().map(String::as_str).filter(|id| is_token(id))
    }
}

/// Verifies a webhook with the certificate its headers name, if that is at hand.
///
/// # Errors
/// [`Unproven`] with the first check that failed. Nothing is asked for until all else is in order.
pub fn verify(received: &Received<'_>, trust: &Trust, chain: Option<&Chain>) -> Result<(), Unproven> {
    received.judge(trust.window)?;
    let Transmission { id, time, signature, certificate, .. } = received.transmission;
    let chain = chain.ok_or_else(|| Unproven::NoCertificate(certificate.clone()))?;
    chain.check(certificate.base().livemode(), trust, received.received_at).map_err(BadTransmission::from)?;
    let made = |webhook_id| chain.signed(signed_text(id, time, webhook_id, received.body).as_bytes(), signature);
    if received.usable().any(made) { Ok(()) } else { Err(BadTransmission::Mismatch.into()) }
}
