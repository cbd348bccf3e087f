//! What webhooks are verified with: the secrets of the moment, certificates at hand, PayPal's word.
//!
//! Owns which of PayPal's two proofs counts here, and obtaining the one that is not at hand. Whether a
//! webhook is authentic is `message`'s to say; what becomes of one that nobody can tell yet, the caller's.

use crate::config::PayPal;
use crate::domain::ids::Id;
use crate::message::paypal::{
    BadBase, BadCertificate, BadTransmission, Base, CertificateUrl, Chain, Received, TestAuthority, Trust, anchors, intermediates,
};
use crate::message::{Keys, Raw, paypal_webhook};
use crate::paypal::{ANSWER_TIME, Certificates, Client, Memory, NoCertificate, Postback, Unconfirmed, system_roots};
use crate::secrets::Secrets;
use jiff::SignedDuration;
use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, watch};
use tracing::warn;

/// Webhooks that PayPal is asked about at a time.
const ASKED_MAX: usize = 8;

/// Whom to ask about webhooks, instead of looking at certificates.
struct Asking {
    client: Client,
    /// Where, whatever the webhook says; for tests.
    base: Option<Base>,
    postbacks: Mutex<HashMap<(Id, String), Arc<Postback>>>,
    turns: Semaphore,
}

/// What webhooks are verified with, from now on.
#[derive(Clone)]
pub struct Keyring {
    secrets: watch::Receiver<Arc<Secrets>>,
    certificates: Arc<Certificates>,
    asking: Option<Arc<Asking>>,
}

/// What webhooks are verified with at one moment.
pub struct KeysNow<'a> {
    secrets: Arc<Secrets>,
    keyring: &'a Keyring,
}

/// What was obtained for a webhook that could not be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obtained {
    /// Its certificate is at hand now: it can be read.
    Certificate,
    /// PayPal says it is its own.
    Word,
}

/// Why nothing was obtained.
#[derive(Debug, thiserror::Error)]
pub enum NotObtained {
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] NoCertificate),
    /// No word.
    #[error(transparent)]
    Word(#[from] Unconfirmed),
    /// The tenant has no client id and secret to ask with.
    #[error("PayPal is asked about webhooks here, and the tenant has no files paypal_api/client_id and paypal_api/secret")]
    NoCredentials,
}

impl NotObtained {
    /// True when trying again would give the same: the webhook is not believed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Certificate(why) => why.is_final(),
            Self::Word(why) => why.is_final(),
            Self::NoCredentials => false,
        }
    }
}

/// Why there is no keyring: what is wrong in the settings.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A file.
    #[error("paypal.{key}: {path} holds no certificates in PEM that can be read; nothing was started")]
    Certificates {
        /// The setting.
        key: &'static str,
        /// What it says.
        path: String,
    },
    /// A place.
    #[error("paypal.{key}: {source}; nothing was started")]
    Base {
        /// The setting.
        key: &'static str,
        /// What is wrong.
        source: BadBase,
    },
    /// TLS.
    #[error("no TLS: {0}")]
    Tls(#[from] rustls::Error),
}

fn pem<T>(key: &'static str, path: &str, read: fn(&[u8]) -> Result<T, BadCertificate>) -> Result<T, KeyringError> {
    let unusable = || KeyringError::Certificates { key, path: path.to_owned() };
    read(&fs::read(path).map_err(|_| unusable())?).map_err(|_| unusable())
}

impl Keyring {
    /// As the settings say.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn of(settings: &PayPal, secrets: watch::Receiver<Arc<Secrets>>) -> Result<Self, KeyringError> {
        let roots = match settings.roots.as_str() {
            "" => system_roots(),
            path => pem("roots", path, anchors)?,
        };
        let mut trust = Trust { anchors: roots, ..Trust::default() };
        if !settings.intermediates.is_empty() {
            trust.intermediates = pem("intermediates", &settings.intermediates, intermediates)?;
        }
        let base = |key, text: &str| Base::new(text).map_err(|source| KeyringError::Base { key, source });
        trust.bases = settings.bases.split_whitespace().map(|text| base("bases", text)).collect::<Result<_, _>>()?;
        trust.window.back = SignedDuration::from_hours(settings.window_back_hours.into());
        trust.window.ahead = SignedDuration::from_secs(settings.window_ahead_seconds.into());
        let client = Client::new(trust.anchors.clone(), ANSWER_TIME)?;
        let test = settings.trust_test_authority.then(TestAuthority::built_in).flatten();
        if let Some(test) = &test {
            warn!("paypal.trust_test_authority is on: anybody can make PayPal webhooks that this worker believes; for tests only");
            test.join(&mut trust);
        }
        let asking = if settings.verify == "api" {
            let at = Some(settings.api_base.as_str()).filter(|text| !text.is_empty());
            Some((client.clone(), at.map(|text| base("api_base", text)).transpose()?))
        } else {
            None
        };
        let certificates = Certificates::new(client, Arc::new(trust), Memory::default(), test);
        Ok(Self::new(secrets, Arc::new(certificates), asking))
    }

    /// With Stripe's secrets alone; nothing of PayPal's is believed.
    ///
    /// # Errors
    /// [`KeyringError::Tls`].
    pub fn of_stripe(secrets: watch::Receiver<Arc<Secrets>>) -> Result<Self, KeyringError> {
        let client = Client::new(Vec::new(), ANSWER_TIME)?;
        Ok(Self::new(secrets, Arc::new(Certificates::new(client, Arc::default(), Memory::default(), None)), None))
    }

    /// With certificates, unless PayPal is to be asked.
    #[must_use]
    pub fn new(secrets: watch::Receiver<Arc<Secrets>>, certificates: Arc<Certificates>, asking: Option<(Client, Option<Base>)>) -> Self {
        let asking =
            asking.map(|(client, base)| Asking { client, base, postbacks: Mutex::default(), turns: Semaphore::new(ASKED_MAX) }.into());
        Self { secrets, certificates, asking }
    }

    /// With what is at hand now.
    #[must_use]
    pub fn now(&self) -> KeysNow<'_> {
        KeysNow { secrets: self.secrets.borrow().clone(), keyring: self }
    }

    /// True when one proof does for every webhook of a certificate.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.asking.is_none()
    }

    /// Obtains what a webhook lacks whose certificate is not at hand.
    ///
    /// # Errors
    /// [`NotObtained`].
    pub async fn obtain(&self, raw: &Raw, url: &CertificateUrl) -> Result<Obtained, NotObtained> {
        match &self.asking {
            None => self.certificates.fetch(url).await.map(|_| Obtained::Certificate).map_err(NotObtained::from),
            Some(asking) => self.ask(asking, raw).await.map(|()| Obtained::Word),
        }
    }

    async fn ask(&self, asking: &Asking, raw: &Raw) -> Result<(), NotObtained> {
        let webhook = paypal_webhook(raw, self.certificates.trust());
        let (tenant, transmission, received_at) = webhook.ok_or_else(|| Unconfirmed::from(BadTransmission::Body))?;
        let webhook_ids = self.now().paypal(&tenant);
        let received = Received { transmission: &transmission, body: &raw.body, received_at, webhook_ids: &webhook_ids };
        let base = asking.base.clone().unwrap_or_else(|| transmission.certificate().base().api());
        let postback = self.postback(asking, &tenant, base).ok_or(NotObtained::NoCredentials)?;
        // The semaphore is never closed.
        let _turn = asking.turns.acquire().await;
        Ok(postback.confirm(&received).await?)
    }

    /// Who asks for a tenant; anew when its credentials have changed.
    fn postback(&self, asking: &Asking, tenant: &Id, base: Base) -> Option<Arc<Postback>> {
        let credentials = self.secrets.borrow().paypal_api(tenant)?;
        let mut postbacks = asking.postbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), base.as_str().to_owned());
        if let Some(known) = postbacks.get(&key).filter(|known| *known.credentials() == credentials) {
            return Some(known.clone());
        }
        let postback = Arc::new(Postback::new(asking.client.clone(), base, credentials));
        postbacks.insert(key, postback.clone());
        Some(postback)
    }
}

impl Keys for KeysNow<'_> {
    fn stripe(&self, tenant: &Id) -> Vec<Vec<u8>> {
        self.secrets.stripe(tenant)
    }

    fn paypal(&self, tenant: &Id) -> Vec<String> {
        self.secrets.paypal(tenant)
    }

    fn trust(&self) -> &Trust {
        self.keyring.certificates.trust()
    }

    fn certificate(&self, url: &CertificateUrl) -> Option<Arc<Chain>> {
        self.keyring.asking.is_none().then(|| self.keyring.certificates.get(url)).flatten()
    }
}
