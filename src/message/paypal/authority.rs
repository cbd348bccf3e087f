//! Signing webhooks as PayPal does: for message files, the demonstration and tests.
//!
//! Owns the test authority that is part of the program. Its key is public, so what it signs is worth
//! nothing: only `simulate` believes it, and a worker that was told to ([`TestAuthority::join`]). It is
//! committed and not made at each start, so that whoever signs and whoever verifies agree without
//! asking each other, and one file gives the same bytes every time.

use super::base::{Base, CertificateUrl, certificate_url};
use super::chain::{Chain, anchors};
use super::transmission::{AUTH_ALGO, CERT_URL, SHA256_WITH_RSA, TRANSMISSION_ID, TRANSMISSION_SIG, TRANSMISSION_TIME, signed_text};
use super::verify::Trust;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use sha2::{Digest, Sha256};
use std::sync::{Arc, LazyLock};

/// The headers of a webhook, by name.
pub type SignedHeaders = [(&'static str, String); 5];

/// Who signs webhooks: a key, and where its certificate is said to be.
#[derive(Debug, Clone)]
pub struct Signer {
    key: Arc<dyn SigningKey>,
    url: String,
}

impl Signer {
    /// A signer with the RSA key of a PEM text; `None` if it is none.
    #[must_use]
    pub fn new(key_pem: &[u8], url: &str) -> Option<Self> {
        let key = PrivateKeyDer::from_pem_slice(key_pem).ok()?;
        Some(Self { key: any_supported_type(&key).ok()?, url: url.to_owned() })
    }

    /// The headers PayPal would send with a body. The transmission is named after the body, so the same
    /// webhook is signed alike every time. `None` if the key cannot sign so.
    #[must_use]
    pub fn sign(&self, webhook_id: &str, sent_at: Timestamp, body: &[u8]) -> Option<SignedHeaders> {
        let digest = Sha256::digest(body);
        let (id, time) = (hex::encode(digest.get(..16)?), sent_at.to_string());
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
        let signature = signer.sign(signed_text(&id, &time, webhook_id, body).as_bytes()).ok()?;
        Some([
            (TRANSMISSION_ID, id),
            (TRANSMISSION_TIME, time),
            (TRANSMISSION_SIG, BASE64_STANDARD.encode(signature)),
            (CERT_URL, self.url.clone()),
            (AUTH_ALGO, SHA256_WITH_RSA.to_owned()),
        ])
    }
}

/// The test authority: what signs, and what believes it.
#[derive(Debug, Clone)]
pub struct TestAuthority {
    /// Signs.
    pub signer: Signer,
    /// Where its certificate is said to be. Nothing answers there.
    pub url: CertificateUrl,
    /// Its certificate.
    pub chain: Arc<Chain>,
}

impl TestAuthority {
    /// A host that can never exist.
    const BASE: &str = "https://test-authority.invalid";
    const URL: &str = "https://test-authority.invalid/v1/notifications/certs/worthless";
    const ROOT: &[u8] = include_bytes!("test_authority/root.pem");
    const CERTIFICATE: &[u8] = include_bytes!("test_authority/certificate.pem");
    const KEY: &[u8] = include_bytes!("test_authority/key.pem");

    /// The one that is part of the program; `None` never, as a test holds.
    #[must_use]
    pub fn built_in() -> Option<Self> {
        static BUILT_IN: LazyLock<Option<TestAuthority>> = LazyLock::new(TestAuthority::read);
        BUILT_IN.clone()
    }

    fn read() -> Option<Self> {
        let url = certificate_url(Self::URL, &[Base::new(Self::BASE).ok()?])?;
        let signer = Signer::new(Self::KEY, Self::URL)?;
        Some(Self { signer, url, chain: Arc::new(Chain::from_pem(Self::CERTIFICATE).ok()?) })
    }

    /// Makes `trust` believe everything this signs, which anybody can. The certificate is at hand
    /// without being fetched, by [`TestAuthority::at_hand`].
    pub fn join(&self, trust: &mut Trust) {
        trust.bases.push(self.url.base().clone());
        trust.anchors.extend(anchors(Self::ROOT).unwrap_or_default());
    }

    /// Its certificate, if that is what is asked for.
    #[must_use]
    pub fn at_hand(&self, url: &CertificateUrl) -> Option<Arc<Chain>> {
        (*url == self.url).then(|| self.chain.clone())
    }
}
