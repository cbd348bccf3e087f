//! The five headers of a PayPal webhook.
//!
//! Owns their forms. What is signed joins them with `|`, so a part that could contain one would let the
//! same text mean two things: every part has a narrow form. Total: no header makes it panic.

use super::base::{Base, CertificateUrl, certificate_url};
use super::verify::BadTransmission;
use crate::message::field::Spelt as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc::{CRC_32_ISO_HDLC, Crc};
use jiff::Timestamp;

/// Names the transmission.
pub const TRANSMISSION_ID: &str = "PAYPAL-TRANSMISSION-ID";
/// When it was sent.
pub const TRANSMISSION_TIME: &str = "PAYPAL-TRANSMISSION-TIME";
/// Its signature in base64.
pub const TRANSMISSION_SIG: &str = "PAYPAL-TRANSMISSION-SIG";
/// Where the certificate is that signed.
pub const CERT_URL: &str = "PAYPAL-CERT-URL";
/// How it was signed.
pub const AUTH_ALGO: &str = "PAYPAL-AUTH-ALGO";

/// The one algorithm. Another one, or another spelling, is refused: a sender does not choose.
pub const SHA256_WITH_RSA: &str = "SHA256withRSA";
/// Bytes of an RSA signature: the key's, 2048 to 8192 bits.
const SIGNATURE_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// The longest of them in base64.
const SIGNATURE_TEXT_BYTES_MAX: usize = 1368;

/// CRC-32 as PayPal, zlib and Ethernet have it.
const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The headers of a webhook, each of its form. Nothing is proven by that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmission {
    pub(super) id: String,
    /// As it was written, because that is signed.
    pub(super) time: String,
    pub(super) sent_at: Timestamp,
    pub(super) signature: Vec<u8>,
    pub(super) certificate: CertificateUrl,
}

impl Transmission {
    /// Reads the five headers. `header` gives one by its name, and nothing if it is missing or there
    /// twice; certificates may be on PayPal's hosts and on `extra`.
    ///
    /// # Errors
    /// [`BadTransmission`] with the first check that failed.
    pub fn read<'h>(header: impl Fn(&'static str) -> Option<&'h str>, extra: &[Base]) -> Result<Self, BadTransmission> {
        let header = |name| header(name).ok_or(BadTransmission::Header(name));
        let (id, time) = (header(TRANSMISSION_ID)?, header(TRANSMISSION_TIME)?);
        let (signature, url, algorithm) = (header(TRANSMISSION_SIG)?, header(CERT_URL)?, header(AUTH_ALGO)?);
        if algorithm != SHA256_WITH_RSA {
            return Err(BadTransmission::Algorithm);
        }
        if !is_token(id) {
            return Err(BadTransmission::Id);
        }
        Ok(Self {
            id: id.to_owned(),
            time: time.to_owned(),
            sent_at: Timestamp::spelt(time).ok_or(BadTransmission::Time)?,
            signature: decoded(signature).ok_or(BadTransmission::Signature)?,
            certificate: certificate_url(url, extra).ok_or(BadTransmission::CertificateUrl)?,
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it was sent, as it was written.
    #[must_use]
    pub fn time(&self) -> &str {
        &self.time
    }

    /// Its signature in base64.
    #[must_use]
    pub fn signature(&self) -> String {
        BASE64_STANDARD.encode(&self.signature)
    }

    /// Where the certificate is.
    #[must_use]
    pub fn certificate(&self) -> &CertificateUrl {
        &self.certificate
    }
}

/// Whether a webhook is about real money, as the host tells that its certificate is said to be on; `None` if
/// that is not PayPal's. The same whenever it is read, because it is part of the content.
#[must_use]
pub fn livemode(certificate: Option<&str>) -> Option<bool> {
    certificate_url(certificate?, &[])?.base().livemode()
}

/// What is signed for one webhook id.
pub(super) fn signed_text(id: &str, time: &str, webhook_id: &str, body: &[u8]) -> String {
    format!("{id}|{time}|{webhook_id}|{}", CRC32.checksum(body))
}

/// What stands between the bars: 1 to 64 letters, digits and hyphens. Webhook ids have this form too.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn decoded(signature: &str) -> Option<Vec<u8>> {
    if signature.len() > SIGNATURE_TEXT_BYTES_MAX {
        return None;
    }
    BASE64_STANDARD.decode(signature).ok().filter(|bytes| SIGNATURE_BYTES.contains(&bytes.len()))
}
