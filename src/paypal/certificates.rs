//! PayPal's certificates: kept while they are valid, fetched when they are not at hand.
//!
//! Owns what is remembered: at most [`HELD_MAX`] certificates, the longest unused leave first; failures
//! for a while and apart, so that addresses somebody made up can neither push a certificate out nor
//! cause a storm of requests. One request per address at a time, and [`FLIGHTS`] in all. Dates are the
//! message's to judge: a certificate that is over may have signed what waited in a queue.

use super::client::{Client, Trouble};
use crate::message::paypal::{BadCertificate, CertificateUrl, Chain, TestAuthority, Trust};
use hashlink::LruCache;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Certificates that are kept. PayPal has one or two at a time.
pub const HELD_MAX: usize = 16;
/// Failures that are remembered.
const FAILED_MAX: usize = 64;
/// Requests at a time.
pub const FLIGHTS: usize = 4;

/// Why there is no certificate.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoCertificate {
    /// No answer. Later there may be one.
    #[error("PayPal's certificate cannot be fetched at the moment")]
    Away(#[source] Arc<Trouble>),
    /// An answer that says nothing about the certificate. Later there may be another.
    #[error("PayPal's certificate cannot be fetched at the moment: the host answers with status {0}")]
    Status(StatusCode),
    /// The host knows no such certificate.
    #[error("PayPal's host has no such certificate")]
    Unknown,
    /// What is there is not PayPal's certificate.
    #[error(transparent)]
    Bad(BadCertificate),
}

impl NoCertificate {
    /// True when asking again would give the same: what it signed is not believed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Away(_) | Self::Status(_) => false,
            Self::Unknown | Self::Bad(_) => true,
        }
    }
}

/// How long failures are remembered.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Of a host that is away: who waits for it tries again.
    pub away: Duration,
    /// Of an address without a certificate of PayPal's.
    pub bad: Duration,
}

impl Default for Memory {
    fn default() -> Self {
        Self { away: Duration::from_secs(2), bad: Duration::from_mins(1) }
    }
}

struct Held {
    chain: Arc<Chain>,
    until: Timestamp,
}

struct Failed {
    why: NoCertificate,
    until: Instant,
}

struct State {
    held: LruCache<CertificateUrl, Held>,
    failed: LruCache<CertificateUrl, Failed>,
}

/// The certificates that are at hand, and the way to others.
pub struct Certificates {
    client: Client,
    trust: Arc<Trust>,
    memory: Memory,
    test: Option<TestAuthority>,
    state: Mutex<State>,
    /// An address is fetched in the lane of its hash, so never twice at a time.
    flights: [tokio::sync::Mutex<()>; FLIGHTS],
    hasher: RandomState,
}

impl Certificates {
    /// None at hand but that of the test authority, if that is given.
    #[must_use]
    pub fn new(client: Client, trust: Arc<Trust>, memory: Memory, test: Option<TestAuthority>) -> Self {
        let state = Mutex::new(State { held: LruCache::new(HELD_MAX), failed: LruCache::new(FAILED_MAX) });
        Self { client, trust, memory, test, state, flights: Default::default(), hasher: RandomState::new() }
    }

    /// What is believed, for the verification beside this.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The certificate, if it is at hand. Never waits.
    #[must_use]
    pub fn get(&self, url: &CertificateUrl) -> Option<Arc<Chain>> {
        if let Some(chain) = self.test.as_ref().and_then(|test| test.at_hand(url)) {
            return Some(chain);
        }
        let mut state = self.state();
        let held = state.held.get(url)?;
        if held.until >= Timestamp::now() {
            return Some(held.chain.clone());
        }
        state.held.remove(url);
        None
    }

    /// The certificate, fetched if it is not at hand. Who asks while it is being fetched waits for the
    /// same answer.
    ///
    /// # Errors
    /// [`NoCertificate`].
    pub async fn fetch(&self, url: &CertificateUrl) -> Result<Arc<Chain>, NoCertificate> {
        let lane = usize::from(self.hasher.hash_one(url).to_le_bytes()[0]) % FLIGHTS;
        let _turn = self.flights[lane].lock().await;
        if let Some(chain) = self.get(url) {
            return Ok(chain);
        }
        if let Some(why) = self.failed(url) {
            return Err(why);
        }
        let fetched = self.ask(url).await;
        self.remember(url, &fetched);
        fetched.map(|(chain, _)| chain)
    }

    fn failed(&self, url: &CertificateUrl) -> Option<NoCertificate> {
        let mut state = self.state();
        state.failed.get(url).filter(|failed| failed.until > Instant::now()).map(|failed| failed.why.clone())
    }

    async fn ask(&self, url: &CertificateUrl) -> Result<(Arc<Chain>, Timestamp), NoCertificate> {
        let request = Request::get(url.path()).body(Full::default()).map_err(|error| away(Trouble::Http(error.into())))?;
        let answer = self.client.ask(url.base(), request).await.map_err(|trouble| match trouble {
            Trouble::Large(_) => NoCertificate::Bad(BadCertificate::NoChain),
            trouble => away(trouble),
        })?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(NoCertificate::Unknown),
            status => return Err(NoCertificate::Status(status)),
        }
        let chain = Chain::from_pem(&answer.body).map_err(NoCertificate::Bad)?;
        let until = chain.genuine(url.base().livemode(), &self.trust, Timestamp::now()).map_err(NoCertificate::Bad)?;
        Ok((Arc::new(chain), until))
    }

    fn remember(&self, url: &CertificateUrl, fetched: &Result<(Arc<Chain>, Timestamp), NoCertificate>) {
        let mut state = self.state();
        state.failed.remove(url);
        match fetched {
            Ok((chain, until)) => {
                // One that is over is kept as long as a bad one: it is needed for what waited, and rarely.
                let least = Timestamp::now().saturating_add(self.memory.bad).unwrap_or(Timestamp::MAX);
                state.held.insert(url.clone(), Held { chain: chain.clone(), until: (*until).max(least) });
            }
            Err(why) => {
                let remembered = if why.is_final() { self.memory.bad } else { self.memory.away };
                state.failed.insert(url.clone(), Failed { why: why.clone(), until: Instant::now() + remembered });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic left behind is at worst a certificate less.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn away(trouble: Trouble) -> NoCertificate {
    NoCertificate::Away(Arc::new(trouble))
}
