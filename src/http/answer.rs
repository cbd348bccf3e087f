//! What is said in answers: a status and one plain sentence.
//!
//! Owns their form. A sentence says what happened, what was not changed and what to do; never a secret, a
//! signature or what a request carried.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse as _;
use std::borrow::Cow;
use std::time::Duration;

/// A status and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The sentence.
    pub sentence: Cow<'static, str>,
    retry_after_seconds: Option<u64>,
}

impl Answer {
    /// A status with its sentence.
    pub fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { status, sentence: sentence.into(), retry_after_seconds: None }
    }

    /// The same, with the time after which trying again makes sense, at least a second.
    pub fn retry_after(self, time: Duration) -> Self {
        let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1);
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// As plain text.
    pub fn text(self) -> Response<Body> {
        let text = format!("{}\n", self.sentence);
        self.with(text.into_response())
    }

    /// As `{"error": …}`.
    pub fn json(self) -> Response<Body> {
        let said = serde_json::json!({ "error": self.sentence }).to_string();
        self.with(([(CONTENT_TYPE, "application/json")], said).into_response())
    }

    fn with(self, mut response: Response<Body>) -> Response<Body> {
        *response.status_mut() = self.status;
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The same for every address that is none, and for what nobody may know of.
pub fn not_found() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "There is nothing at this address and nothing was done; check it.")
}

/// For an address that takes other methods; the router names them.
pub fn wrong_method() -> Answer {
    Answer::new(StatusCode::METHOD_NOT_ALLOWED, "This address does not take this method and nothing was done; see the header Allow.")
}

/// Too many requests from one source.
pub fn too_often(wait: Duration) -> Answer {
    Answer::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests came from here and nothing was done; send it again later.")
        .retry_after(wait)
}
