//! The accept loop: how connections come in, how many at a time, and how long they may stay.
//!
//! Owns every bound on a connection and on the head of a request: one place for all listeners. A connection
//! carries one request, so an idle one holds nothing for long, and there is nothing to smuggle a second
//! request into. When there is no place for another, the one that has kept its head back for longest gives up
//! its own. Bounds on what a request says are with who answers it.

use super::answer::{self, Answer};
use super::head::{Ambiguous, Watched};
use crate::figures;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

/// Headers of a request. Those of a provider are some twenty, proxies add a few.
const HEADERS_MAX: usize = 100;
/// Bytes of a request's head, and of what is read of its body at a time.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a request's target.
const TARGET_BYTES_MAX: usize = 8 * 1024;
/// How long the loop rests when the system has no file handle to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Its name in figures and logs.
    pub name: &'static str,
    /// Connections at a time. One more takes the place of one that has not sent its head, or waits for one.
    pub connections_max: usize,
    /// How long the head of a request may take to come; the connection is dropped then.
    pub head_time: Duration,
    /// How long a connection may stay in all, and how long those under way are waited for at a stop.
    pub life: Duration,
}

/// How a request came; an extension of it.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When its head had come.
    pub at: Timestamp,
    /// The other end of the connection: the client, or a proxy in front.
    pub source: IpAddr,
}

/// Answers requests until `stop`, then finishes those under way.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(bounds.connections_max));
    let connections = TaskTracker::new();
    let mut headless = Headless::default();
    let mut told = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                told = false;
                if slots.available_permits() == 0 {
                    headless.drop_oldest();
                }
                let slot = tokio::select! {
                    () = stop.cancelled() => break,
                    // The semaphore is never closed.
                    slot = slots.clone().acquire_owned() => slot,
                };
                let place = headless.join(bounds.connections_max);
                let one = connection((stream, from.ip()), router.clone(), (bounds, place), stop.clone());
                connections.spawn(async move {
                    let _counted = figures::connection(bounds.name);
                    one.await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Often no file handle is left: some are freed soon, and asking at once would only spin.
                if !std::mem::replace(&mut told, true) {
                    warn!(%error, listener = bounds.name, "a connection cannot be accepted; it is tried again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The place of a connection.
#[derive(Debug, Default)]
struct Place {
    has_head: AtomicBool,
    taken: CancellationToken,
}

/// Connections whose heads have not come, the oldest first.
#[derive(Debug, Default)]
struct Headless(VecDeque<Weak<Place>>);

impl Headless {
    /// A place for a new connection.
    fn join(&mut self, connections_max: usize) -> Arc<Place> {
        if self.0.len() >= connections_max.saturating_mul(2) {
            self.0.retain(|place| waiting(place).is_some());
        }
        let place = Arc::new(Place::default());
        self.0.push_back(Arc::downgrade(&place));
        place
    }

    /// Takes the place of the one that has waited for its head for longest, if there is any.
    fn drop_oldest(&mut self) {
        while let Some(place) = self.0.pop_front() {
            if let Some(place) = waiting(&place) {
                place.taken.cancel();
                return;
            }
        }
    }
}

fn waiting(place: &Weak<Place>) -> Option<Arc<Place>> {
    place.upgrade().filter(|place| !place.has_head.load(Ordering::Relaxed))
}

/// One connection with its one request. How it ends is the client's business: nothing is left of it.
async fn connection((stream, source): (TcpStream, IpAddr), router: Router, (bounds, place): (Bounds, Arc<Place>), stop: CancellationToken) {
    // A short answer must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let ambiguous = Ambiguous::default();
    let told = ambiguous.clone();
    let router = TowerToHyperService::new(router);
    let headed = place.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        headed.has_head.store(true, Ordering::Relaxed);
        let refused = refused(&request, &told);
        request.extensions_mut().insert(Arrival { at: Timestamp::now(), source });
        let router = router.clone();
        async move {
            match refused {
                Some(refused) => Ok::<_, Infallible>(refused),
                None => router.call(request).await,
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_time)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        // Who has sent everything may say so and still be answered.
        .half_close(true)
        .serve_connection(TokioIo::new(Watched::new(stream, ambiguous)), service);
    let mut connection = pin!(connection);
    let served = async {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = place.taken.cancelled() => return,
            () = stop.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    };
    let _ = tokio::time::timeout(bounds.life, served).await;
}

/// What no listener takes, wherever it is sent.
fn refused(request: &Request<Incoming>, ambiguous: &Ambiguous) -> Option<axum::http::Response<Body>> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let refused = if ambiguous.is_told() {
        Answer::new(
            StatusCode::BAD_REQUEST,
            "The request's head can be read in two ways and was not taken; send one length, and lines ended by CR LF.",
        )
    } else if target > TARGET_BYTES_MAX {
        Answer::new(StatusCode::URI_TOO_LONG, "The address is longer than 8 KiB and nothing was done; send a shorter one.")
    } else if request.uri().path().contains('%') {
        // No path here has a letter that must be written so, and one spelling of a path is enough.
        answer::not_found()
    } else {
        return None;
    };
    Some(refused.text())
}
