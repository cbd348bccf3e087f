//! What webhooks of a message file are signed and verified with.
//!
//! Owns the secrets that are nobody's. Fetches nothing: a certificate of PayPal's own is never at hand here.

use crate::domain::ids::Id;
use crate::message::paypal::{CertificateUrl, Chain, TestAuthority, Trust};
use crate::message::{Keys, Signing};
use crate::secrets::Secrets;
use std::sync::Arc;

/// Signs Stripe webhooks of every tenant.
const TEST_SECRET: &[u8] = b"whsec_simulation_signs_with_this";
/// The webhook that every tenant has at the test authority.
const TEST_WEBHOOK: &str = "WH-SIMULATION";

/// The keys of a simulation: what it signs with itself, and the secrets of a folder, if one is given.
#[derive(Debug, Clone)]
pub struct FileKeys {
    secrets: Secrets,
    trust: Trust,
    authority: Option<TestAuthority>,
}

impl FileKeys {
    /// With the secrets of a folder.
    #[must_use]
    pub fn new(secrets: Secrets) -> Self {
        let (mut trust, authority) = (Trust::default(), TestAuthority::built_in());
        if let Some(authority) = &authority {
            authority.join(&mut trust);
        }
        Self { secrets, trust, authority }
    }
}

impl Default for FileKeys {
    fn default() -> Self {
        Self::new(Secrets::default())
    }
}

impl Signing for FileKeys {
    fn stripe(&self, _: &Id) -> Option<Vec<u8>> {
        Some(TEST_SECRET.to_vec())
    }

    fn paypal(&self, _: &Id) -> Option<String> {
        Some(TEST_WEBHOOK.to_owned())
    }
}

impl Keys for FileKeys {
    fn stripe(&self, tenant: &Id) -> Vec<Vec<u8>> {
        self.secrets.stripe(tenant).into_iter().chain([TEST_SECRET.to_vec()]).collect()
    }

    fn paypal(&self, tenant: &Id) -> Vec<String> {
        self.secrets.paypal(tenant).into_iter().chain([TEST_WEBHOOK.to_owned()]).collect()
    }

    fn trust(&self) -> &Trust {
        &self.trust
    }

    fn certificate(&self, url: &CertificateUrl) -> Option<Arc<Chain>> {
        self.authority.as_ref()?.at_hand(url)
    }
}
