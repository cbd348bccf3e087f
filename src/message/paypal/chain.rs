//! The certificate that signs webhooks, and whether it is PayPal's.
//!
//! Owns the four questions: does it lead to a root that is trusted, was it valid at the moment, is it
//! made for this use, is it in the name of PayPal's webhooks. Fetches nothing and knows no clock.
//! Revocation is not looked at: an authority that cannot be reached must not stop money.

use super::verify::Trust;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, Error, KeyUsage};

/// The name of the certificate that signs webhooks about real money.
const LIVE: &str = "messageverificationcerts.paypal.com";
/// The same of the sandbox.
const SANDBOX: &str = "messageverificationcerts.sandbox.paypal.com";
/// More certificates than this are no chain. PayPal serves one to four.
const CERTIFICATES_MAX: usize = 8;
/// The second after the last one a certificate can name: 10000-01-01, 2,932,897 days after 1970.
const BEYOND_ALL: UnixTime = UnixTime::since_unix_epoch(Duration::from_hours(24 * 2_932_897));

/// Why a certificate is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// A page, half a file, or something else.
    #[error("what PayPal's certificate address answers is no chain of certificates in PEM")]
    NoChain,
    /// Self-signed, of another authority, or forged.
    #[error(
        "the certificate leads to no root that is trusted; if PayPal left the authority between out, add its certificate to the intermediates"
    )]
    Untrusted,
    /// Before or after its time.
    #[error("the certificate was not valid when the webhook was received")]
    Dates,
    /// Of another host.
    #[error("the certificate is not in the name of PayPal's webhooks")]
    Name,
    /// Made for something else.
    #[error("the certificate is made for another use")]
    Usage,
}

impl From<Error> for BadCertificate {
    fn from(error: Error) -> Self {
        match error {
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } => Self::Dates,
            Error::CertNotValidForName(_) => Self::Name,
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Self::Usage,
            _ => Self::Untrusted,
        }
    }
}

/// A certificate, and those that lead from it to a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    leaf: CertificateDer<'static>,
    between: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// Reads PEM; the certificate that signs comes first, as everywhere.
    ///
    /// # Errors
    /// [`BadCertificate::NoChain`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadCertificate> {
        let mut certificates = certificates(pem).ok_or(BadCertificate::NoChain)?.into_iter();
        let leaf = certificates.next().ok_or(BadCertificate::NoChain)?;
        Ok(Self { leaf, between: certificates.collect() })
    }

    /// Whether it is PayPal's at this moment. `livemode` says which of PayPal's two names it must have;
    /// without it, either.
    ///
    /// # Errors
    /// [`BadCertificate`].
    pub fn check(&self, livemode: Option<bool>, trust: &Trust, at: Timestamp) -> Result<(), BadCertificate> {
        let leaf = self.leaf()?;
        self.path(&leaf, trust, unix(at)?)?;
        named(&leaf, livemode)
    }

    /// Whether it is PayPal's apart from the moment, and until when it is valid: what may be kept for
    /// webhooks that were received at different moments.
    ///
    /// # Errors
    /// [`BadCertificate`].
    pub fn genuine(&self, livemode: Option<bool>, trust: &Trust, now: Timestamp) -> Result<Timestamp, BadCertificate> {
        let leaf = self.leaf()?;
        let at = match self.path(&leaf, trust, unix(now)?) {
            Err(Error::CertExpired { not_after, .. }) => not_after,
            Err(Error::CertNotValidYet { not_before, .. }) => not_before,
            Ok(()) | Err(_) => unix(now)?,
        };
        self.path(&leaf, trust, at)?;
        named(&leaf, livemode)?;
        // The library shows a date only when it refuses for it, and the certificate that signs is looked
        // at first.
        match self.path(&leaf, trust, BEYOND_ALL) {
            Err(Error::CertExpired { not_after, .. }) => timestamp(not_after),
            _ => Err(BadCertificate::Dates),
        }
    }

    /// Whether the certificate's key made this signature of this text. A key of another kind or size
    /// did not.
    #[must_use]
    pub fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let leaf = self.leaf();
        leaf.is_ok_and(|leaf| leaf.verify_signature(webpki::ring::RSA_PKCS1_2048_8192_SHA256, text, signature).is_ok())
    }

    fn leaf(&self) -> Result<EndEntityCert<'_>, BadCertificate> {
        EndEntityCert::try_from(&self.leaf).map_err(|_| BadCertificate::NoChain)
    }

    fn path(&self, leaf: &EndEntityCert<'_>, trust: &Trust, at: UnixTime) -> Result<(), Error> {
        let between: Vec<_> = self.between.iter().chain(&trust.intermediates).map(|one| CertificateDer::from(one.as_ref())).collect();
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &trust.anchors, &between, at, usage, None, None).map(drop)
    }
}

/// Every certificate of a PEM text; `None` if it is damaged or has too many.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MAX + 1).collect::<Result<_, _>>().ok()?;
    (certificates.len() <= CERTIFICATES_MAX).then_some(certificates)
}

/// The roots of a PEM text of any length.
///
/// # Errors
/// [`BadCertificate::NoChain`] if there is none, or something that is none.
pub fn anchors(pem: &[u8]) -> Result<Vec<TrustAnchor<'static>>, BadCertificate> {
    let roots: Vec<_> = intermediates(pem)?;
    roots.iter().map(|root| Ok(webpki::anchor_from_trusted_cert(root).map_err(|_| BadCertificate::NoChain)?.to_owned())).collect()
}

/// The certificates of a PEM text of any length.
///
/// # Errors
/// [`BadCertificate::NoChain`] if there is none, or something that is none.
pub fn intermediates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| BadCertificate::NoChain)?;
    if all.is_empty() { Err(BadCertificate::NoChain) } else { Ok(all) }
}

fn named(leaf: &EndEntityCert<'_>, livemode: Option<bool>) -> Result<(), BadCertificate> {
    let names: &[&str] = match livemode {
        Some(true) => &[LIVE],
        Some(false) => &[SANDBOX],
        None => &[LIVE, SANDBOX],
    };
    let has = |name: &&str| ServerName::try_from(*name).is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok());
    if names.iter().any(has) { Ok(()) } else { Err(BadCertificate::Name) }
}

fn unix(at: Timestamp) -> Result<UnixTime, BadCertificate> {
    let seconds = u64::try_from(at.as_second()).map_err(|_| BadCertificate::Dates)?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

fn timestamp(at: UnixTime) -> Result<Timestamp, BadCertificate> {
    let second = i64::try_from(at.as_secs()).map_err(|_| BadCertificate::Dates)?;
    Timestamp::from_second(second).map_err(|_| BadCertificate::Dates)
}
