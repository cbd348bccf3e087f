//! The token that PayPal gives an application for its id and secret.
//!
//! Owns how long one is used. Never shows the secret or a token.

use super::client::{Client, Trouble};
use super::postback::Unconfirmed;
use crate::message::paypal::Base;
use crate::secrets::PayPalCredentials;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long before its end a token is not used any more: clocks differ, and requests take time.
const TOKEN_MARGIN: Duration = Duration::from_mins(1);

struct Token {
    bearer: HeaderValue,
    until: Instant,
}

/// The token of one application, fetched when it is needed.
pub struct Tokens {
    client: Client,
    base: Base,
    credentials: PayPalCredentials,
    held: Mutex<Option<Token>>,
}

impl Tokens {
    /// Nothing is asked until a token is needed.
    #[must_use]
    pub fn new(client: Client, base: Base, credentials: PayPalCredentials) -> Self {
        Self { client, base, credentials, held: Mutex::new(None) }
    }

    /// What it asks with.
    #[must_use]
    pub fn credentials(&self) -> &PayPalCredentials {
        &self.credentials
    }

    /// Forgets the token: PayPal took it back before its time.
    pub async fn forget(&self) {
        *self.held.lock().await = None;
    }

    /// A header with a token that is good for a while; who asks while one is being fetched waits for it.
    ///
    /// # Errors
    /// [`Unconfirmed`].
    pub async fn bearer(&self) -> Result<HeaderValue, Unconfirmed> {
        let mut held = self.held.lock().await;
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
///
/// # Errors
/// [`Trouble::Http`] for characters that no header takes; the value is not in it.
pub fn sensitive(text: &str) -> Result<HeaderValue, Trouble> {
    // The library's error would not show the value either, but it need not be relied on.
    let mut value = HeaderValue::from_str(text).map_err(|_| Trouble::Http("a credential with characters that no header takes".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}
