//! PayPal webhooks: whether they are authentic.
//!
//! Reading order: where PayPal answers (`base`), the headers (`transmission`), the certificate
//! (`chain`), the judgement (`verify`); then who signs in tests (`authority`). Fetches nothing and
//! asks nobody.

mod authority;
mod base;
mod chain;
mod transmission;
mod verify;

pub use authority::{SignedHeaders, Signer, TestAuthority};
pub use base::{BadBase, Base, CertificateUrl, certificate_url};
pub use chain::{BadCertificate, Chain, anchors, intermediates};
pub use transmission::{
    AUTH_ALGO, CERT_URL, SHA256_WITH_RSA, TRANSMISSION_ID, TRANSMISSION_SIG, TRANSMISSION_TIME, Transmission, is_token,
};
pub use verify::{BadTransmission, Received, Trust, Unproven, Window, verify};

#[cfg(test)]
mod tests;
