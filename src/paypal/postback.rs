//! Asking PayPal whether a webhook is its own, instead of looking at the certificate.
//!
//! Owns the request, with the body as it came, byte for byte. Believes only the one word that says yes. A webhook
//! from PayPal's simulator is never confirmed.

use super::client::{Answer, Client, Trouble};
use super::token::Tokens;
use crate::message::paypal::{BadTransmission, Base, Received, SHA256_WITH_RSA, Transmission};
use crate::secrets::PayPalCredentials;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Why PayPal does not confirm a webhook.
#[derive(Debug, thiserror::Error)]
pub enum Unconfirmed {
    /// It is not PayPal's, and never will be.
    #[error(transparent)]
    Bad(#[from] BadTransmission),
    /// No answer. Later there may be one.
    #[error("PayPal cannot be asked at the moment")]
    Away(#[from] Trouble),
    /// An answer that is no verdict. Later there may be one.
    #[error("PayPal cannot be asked at the moment: it answers {what} with status {status}")]
    Status {
        /// What was asked for.
        what: &'static str,
        /// The answer.
        status: StatusCode,
    },
    /// Nobody can be asked until an operator mends it.
    #[error("PayPal does not take the tenant's client id and secret")]
    Credentials,
}

impl Unconfirmed {
    /// True when asking again would give the same.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Bad(_) => true,
            Self::Away(_) | Self::Status { .. } | Self::Credentials => false,
        }
    }
}

/// Asks PayPal about the webhooks of one tenant.
pub struct Postback {
    client: Client,
    base: Base,
    tokens: Tokens,
}

impl Postback {
    /// Nothing is asked until the first webhook.
    #[must_use]
    pub fn new(client: Client, base: Base, credentials: PayPalCredentials) -> Self {
        Self { tokens: Tokens::new(client.clone(), base.clone(), credentials), client, base }
    }

    /// What it asks with.
    #[must_use]
    pub fn credentials(&self) -> &PayPalCredentials {
        self.tokens.credentials()
    }

    /// Asks about a webhook, for every webhook id of the tenant until one is confirmed. Its age is the
    /// caller's to judge, before ([`Received::judge`]).
    ///
    /// # Errors
    /// [`Unconfirmed`].
    pub async fn confirm(&self, received: &Received<'_>) -> Result<(), Unconfirmed> {
        let event = event(received.body)?;
        for webhook_id in received.usable() {
            if self.verdict(received.transmission, webhook_id, event).await? {
                return Ok(());
            }
        }
        Err(BadTransmission::Denied.into())
    }

    async fn verdict(&self, transmission: &Transmission, webhook_id: &str, event: &str) -> Result<bool, Unconfirmed> {
        let asked = Bytes::from(question(transmission, webhook_id, event));
        let mut answer = self.ask(asked.clone(), self.tokens.bearer().await?).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            // PayPal took the token back before its time.
            self.tokens.forget().await;
            answer = self.ask(asked, self.tokens.bearer().await?).await?;
        }
        match answer.status {
            StatusCode::OK => {}
            // It read the question and finds it wrong: ids or a signature that it never made.
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => return Ok(false),
            status => return Err(Unconfirmed::Status { what: "the verification", status }),
        }
        let verdict: Verdict = serde_json::from_slice(&answer.body).map_err(|error| Trouble::Http(error.into()))?;
        match verdict.verification_status.as_str() {
            "SUCCESS" => Ok(true),
            "FAILURE" => Ok(false),
            _ => Err(Trouble::Http("a verdict that is not known".into()).into()),
        }
    }

    async fn ask(&self, asked: Bytes, bearer: HeaderValue) -> Result<Answer, Trouble> {
        let request = Request::post("/v1/notifications/verify-webhook-signature")
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, bearer)
            .body(Full::new(asked))
            .map_err(|error| Trouble::Http(error.into()))?;
        self.client.ask(&self.base, request).await
    }
}

/// The body, if it is one JSON object and nothing else. It is put between other keys, so one that ended
/// early could bring a webhook id of its own.
fn event(body: &[u8]) -> Result<&str, BadTransmission> {
    let text = std::str::from_utf8(body).map_err(|_| BadTransmission::Body)?;
    let object: &RawValue = serde_json::from_str(text).map_err(|_| BadTransmission::Body)?;
    if object.get().starts_with('{') { Ok(text) } else { Err(BadTransmission::Body) }
}

/// The question, joined by hand: a JSON library would write the event anew, and PayPal's signature is
/// over its bytes. The other values have no character that JSON escapes; their forms were checked.
fn question(transmission: &Transmission, webhook_id: &str, event: &str) -> String {
    let (url, id, time, signature) =
        (transmission.certificate().as_str(), transmission.id(), transmission.time(), transmission.signature());
    format!(
        r#"{{"auth_algo":"{SHA256_WITH_RSA}","cert_url":"{url}","transmission_id":"{id}","transmission_sig":"{signature}","transmission_time":"{time}","webhook_id":"{webhook_id}","webhook_event":{event}}}"#
    )
}

#[derive(Deserialize)]
struct Verdict {
    verification_status: String,
}
