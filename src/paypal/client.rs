//! One HTTP request and its answer.
//!
//! Owns the bounds: time over all of it, bytes of the answer, one connection, no redirect, no proxy, no
//! compression, TLS against the roots it was given. Never tries again and never looks into an answer.

use crate::message::paypal::Base;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{ServerName, TrustAnchor};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How we name ourselves.
const AGENT: &str = concat!("credit-ledger/", env!("CARGO_PKG_VERSION"));
/// Bytes of an answer that are read; certificates and verdicts have a few thousand.
pub(super) const ANSWER_BYTES_MAX: usize = 32 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No name, no route, nobody there.
    #[error("the host cannot be reached")]
    Unreachable(#[source] io::Error),
    /// Its certificate is not believed, or it speaks something else.
    #[error("no TLS with the host")]
    Tls(#[source] io::Error),
    /// The connection ended, or what came is not HTTP.
    #[error("the answer cannot be read")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took longer than this.
    #[error("no whole answer within {0:?}")]
    Late(Duration),
    /// It is longer than is read.
    #[error("the answer has more than {0} bytes")]
    Large(usize),
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The bytes, whole.
    pub body: Bytes,
}

/// Asks PayPal.
#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
    time: Duration,
    answer_bytes_max: usize,
}

impl Client {
    /// A client that believes hosts whose certificates lead to `roots`, and gives up after `time`.
    ///
    /// # Errors
    /// When the TLS library refuses its own protocol versions.
    pub fn new(roots: Vec<TrustAnchor<'static>>, time: Duration) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore { roots })
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), time, answer_bytes_max: ANSWER_BYTES_MAX })
    }

    /// The same client for answers of another size, in bytes.
    #[must_use]
    pub fn with_answers_of(self, answer_bytes_max: usize) -> Self {
        Self { answer_bytes_max, ..self }
    }

    /// Sends a request, whose address is the path alone, and reads the answer to its end.
    ///
    /// # Errors
    /// [`Trouble`]; a status is none.
    pub async fn ask(&self, base: &Base, request: Request<Full<Bytes>>) -> Result<Answer, Trouble> {
        tokio::time::timeout(self.time, self.connect_and_ask(base, request)).await.unwrap_or(Err(Trouble::Late(self.time)))
    }

    async fn connect_and_ask(&self, base: &Base, mut request: Request<Full<Bytes>>) -> Result<Answer, Trouble> {
        let host = base.as_str().split_once("://").map_or("", |(_, host)| host);
        request.headers_mut().insert(HOST, HeaderValue::from_str(host).map_err(|error| Trouble::Http(error.into()))?);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let stream = TcpStream::connect((base.host(), base.port())).await.map_err(Trouble::Unreachable)?;
        if !base.is_tls() {
            return exchange(stream, request, self.answer_bytes_max).await;
        }
        let name = ServerName::try_from(base.host().to_owned()).map_err(|error| Trouble::Tls(io::Error::other(error)))?;
        exchange(self.tls.connect(name, stream).await.map_err(Trouble::Tls)?, request, self.answer_bytes_max).await
    }
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, request: Request<Full<Bytes>>, most: usize) -> Result<Answer, Trouble> {
    let unreadable = |error: hyper::Error| Trouble::Http(error.into());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(unreadable)?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(unreadable)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|error| if error.is::<LengthLimitError>() { Trouble::Large(most) } else { Trouble::Http(error) })?;
        Ok(Answer { status, body: body.to_bytes() })
    };
    let (mut exchange, connection) = (pin!(exchange), pin!(connection));
    // Neither runs outside this function, so nothing is left of it, however it ends. Why a connection
    // ended is told by the exchange too, which may still have the answer in hand.
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ = connection => exchange.await,
    }
}
