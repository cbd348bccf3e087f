//! PayPal webhooks: whether they are authentic, and what they say about a payment.
//!
//! Reading order: where PayPal answers (`base`), the headers (`transmission`), the certificate
//! (`chain`), the judgement (`verify`); who signs in tests (`authority`); then what an event says
//! (`event`, and a file per kind of resource). Fetches nothing and asks nobody.

mod authority;
mod base;
mod chain;
mod dispute;
mod event;
mod object;
mod payment;
mod refund;
mod subscription;
mod transmission;
mod verify;

pub use authority::{SignedHeaders, Signer, TestAuthority};
pub use base::{BadBase, Base, CertificateUrl, certificate_url};
pub use chain::{BadCertificate, Chain, anchors, intermediates};
pub(super) use event::read;
pub use object::account_in;
pub use transmission::{
    AUTH_ALGO, CERT_URL, SHA256_WITH_RSA, TRANSMISSION_ID, TRANSMISSION_SIG, TRANSMISSION_TIME, Transmission, is_token, livemode,
};
pub use verify::{BadTransmission, Received, Trust, Unproven, Window, verify};

#[cfg(test)]
mod tests;
