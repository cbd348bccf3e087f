//! A provider's list through its API.
//!
//! Owns how a page is asked for again: a provider that is busy or away is given time, one that refuses the key is
//! not asked twice. Never shows a key, and changes nothing at the provider: every request is a GET, but the one for
//! PayPal's token.

pub mod paypal;
pub mod stripe;

use super::record::Row;
use crate::message::paypal::Base;
use crate::paypal::{Client, Trouble, Unconfirmed};
use backon::{ExponentialBuilder, Retryable as _};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use hyper::{Request, StatusCode};
use std::time::Duration;

/// Bytes of one page that are read: 500 transactions have about as many thousand.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long one page may take.
pub const PAGE_TIME: Duration = Duration::from_mins(1);
/// Tries of one page.
const TRIES: usize = 6;

/// Why the list is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum NoList {
    /// The provider does not take the key.
    #[error("the provider refuses the key (status {0}); nothing was changed. Check the key file, and that the key may read {1}")]
    Key(u16, &'static str),
    /// It does not take the question.
    #[error("the provider does not answer with a list (status {0}); nothing was changed. Is --base the address of its API?")]
    Status(u16),
    /// It was away or busy at every try.
    #[error("the provider gave no answer in {TRIES} tries; nothing was changed. Try again later, with the same --state to go on")]
    Away(#[source] Trouble),
    /// It was busy at every try.
    #[error(
        "the provider answers with status {0} at each of {TRIES} tries; nothing was changed. Try again later, with the same --state to go on"
    )]
    Busy(u16),
    /// What came is no list.
    #[error("the answer is no list: {0}; nothing was changed. Is --base the address of the provider's API?")]
    Answer(String),
}

impl NoList {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Busy(_))
    }

    fn of_token(trouble: Unconfirmed) -> Self {
        match trouble {
            Unconfirmed::Away(trouble) => Self::Away(trouble),
            Unconfirmed::Status { status, .. } if passes(status) => Self::Busy(status.as_u16()),
            Unconfirmed::Status { status, .. } => Self::Status(status.as_u16()),
            Unconfirmed::Credentials | Unconfirmed::Bad(_) => Self::Key(401, paypal::PERMISSION),
        }
    }
}

fn passes(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// Rows of a list, and where it goes on.
#[derive(Debug)]
pub struct Page<Cursor> {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// One service.
#[derive(Clone)]
pub struct Service {
    /// With bounds for pages.
    pub client: Client,
    /// Where it is.
    pub base: Base,
}

impl Service {
    /// Asks for a page until there is an answer or no hope.
    async fn page<T>(&self, ask: impl AsyncFn() -> Result<T, NoList>) -> Result<T, NoList> {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(20))
            .with_factor(3.0)
            .with_jitter()
            .with_max_times(TRIES - 1);
        (async || ask().await).retry(waits).when(NoList::is_passing).await
    }

    /// One GET; the body of an answer with status 200.
    async fn get(&self, path: &str, authorization: HeaderValue, permission: &'static str) -> Result<Bytes, NoList> {
        let request = Request::get(path)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, authorization)
            .body(Full::new(Bytes::new()))
            .map_err(|error| NoList::Answer(error.to_string()))?;
        let answer = self.client.ask(&self.base, request).await.map_err(|trouble| match trouble {
            Trouble::Large(most) => NoList::Answer(format!("it has more than {most} bytes")),
            trouble => NoList::Away(trouble),
        })?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(NoList::Key(status.as_u16(), permission)),
            status if passes(status) => Err(NoList::Busy(status.as_u16())),
            status => Err(NoList::Status(status.as_u16())),
        }
    }
}
