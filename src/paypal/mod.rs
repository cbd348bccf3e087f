//! What PayPal must be asked to believe its webhooks: its certificate, or its word.
//!
//! Owns every request to PayPal: the certificates that sign webhooks ([`Certificates`]), and the
//! alternative of asking about each webhook ([`Postback`]). Whether a webhook is authentic is
//! `message::paypal`'s to say; what becomes of one that cannot be verified yet is the consumer's.

mod certificates;
mod client;
mod postback;
mod token;

pub use certificates::{Certificates, FLIGHTS, HELD_MAX, Memory, NoCertificate};
pub use client::{Answer, Client, Trouble};
pub use postback::{Postback, Unconfirmed};
pub use token::{Tokens, sensitive};

use rustls::pki_types::TrustAnchor;
use std::time::Duration;

/// How long one request to PayPal may take, all of it.
pub const ANSWER_TIME: Duration = Duration::from_secs(5);

/// The roots that this machine trusts, for TLS and for the certificates that sign. Those that cannot be
/// read are left out; with none, nothing is believed.
#[must_use]
pub fn system_roots() -> Vec<TrustAnchor<'static>> {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().filter_map(|root| webpki::anchor_from_trusted_cert(root).ok().map(|anchor| anchor.to_owned())).collect()
}
