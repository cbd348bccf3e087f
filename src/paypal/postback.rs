//! Asking PayPal whether a webhook is its own, instead of looking at the certificate.
//!
//! Owns the request, with the body as it came, byte for byte, and the token it needs. Believes only the
//! one word that says yes. A webhook from PayPal's simulator is never confirmed.

use super::client::{Answer, Client, Trouble};
use crate::message::paypal::{BadTransmission, Base, Received, SHA256_WITH_RSA, Transmission};
use crate::secrets::PayPalCredentials;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long before its end a token is not used any more: clocks differ, and requests take time.
const TOKEN_MARGIN: Duration = Duration::from_mins(1);

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

struct Token {
    bearer: HeaderValue,
    until: Instant,
}

/// Asks PayPal about the webhooks of one tenant.
pub struct Postback {
    client: Client,
    base: Base,
    credentials: PayPalCredentials,
    token: Mutex<Option<Token>>,
}

impl Postback {
    /// Nothing is asked until the first webhook.
    #[must_use]
    pub fn new(client: Client, base: Base, credentials: PayPalCredentials) -> Self {
        Self { client, base, credentials, token: Mutex::new(None) }
    }

    /// What it asks with.
    #[must_use]
    pub fn credentials(&self) -> &PayPalCredentials {
        &self.credentials
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
        let mut answer = self.ask(asked.clone(), self.token().await?).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            // PayPal took the token back before its time.
            *self.token.lock().await = None;
            answer = self.ask(asked, self.token().await?).await?;
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

    /// A token that is good for a while; who asks while one is being fetched waits for it.
    async fn token(&self) -> Result<HeaderValue, Unconfirmed> {
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| token.until > Instant::now()) {
            return Ok(token.bearer.clone());
        }
        let PayPalCredentials { client_id, secret } = &self.credentials;
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{client_id}:{secret}")));
        let request = Request::post("/v1/oauth2/token")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, sensitive(&basic)?)
            .body(Full::new(Bytes::from_static(b"grant_type=client_credentials")))
            .map_err(|error| Trouble::Http(error.into()))?;
        let asked_at = Instant::now();
        let answer = self.client.ask(&self.base, request).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => return Err(Unconfirmed::Credentials),
            status => return Err(Unconfirmed::Status { what: "the request for a token", status }),
        }
        let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| Trouble::Http("no token in the answer".into()))?;
        let bearer = sensitive(&format!("Bearer {}", granted.access_token))?;
        let lasts = Duration::from_secs(granted.expires_in.min(86_400)).saturating_sub(TOKEN_MARGIN);
        *held = Some(Token { bearer: bearer.clone(), until: asked_at + lasts });
        Ok(bearer)
    }
}

/// A header that no log shows.
fn sensitive(text: &str) -> Result<HeaderValue, Trouble> {
    // The library's error would not show the value either, but it need not be relied on.
    let mut value = HeaderValue::from_str(text).map_err(|_| Trouble::Http("a credential with characters that no header takes".into()))?;
    value.set_sensitive(true);
    Ok(value)
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

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}
