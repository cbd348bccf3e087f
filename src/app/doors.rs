//! The doors of a process: its listeners, and what answers behind them.
//!
//! Owns putting health, API and ingress together, and closing them in order: no more requests, those under
//! way finished, then the publisher. Answers nothing itself.

use super::{CannotBegin, Roles};
use crate::amqp::Topology;
use crate::config::Settings;
use crate::figures::{self, Figures};
use crate::http::{self, Accounts, Api, Bounds, Handover, Ingress, IngressBounds, Rate, Readiness};
use crate::keyring::Keyring;
use crate::secrets::Secrets;
use anyhow::Context as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long requests under way are waited for at a stop.
const CLOSE_MAX: Duration = Duration::from_secs(20);
/// Beyond the time for its parts, what a request may take: proofs and the way back.
const SPARE: Duration = Duration::from_secs(15);
/// How often the API looks whether the database answers.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What the doors need to know of the process.
pub struct Inside {
    /// Whether the worker is ready, once it has begun.
    pub working: Arc<OnceLock<Readiness>>,
    /// Where accounts are read, once the database was reached.
    pub accounts: Accounts,
    /// The tenants' secrets and keys.
    pub secrets: watch::Receiver<Arc<Secrets>>,
    /// What webhooks are verified with.
    pub keyring: Keyring,
    /// What was measured.
    pub figures: Figures,
}

/// The open doors of a process.
pub struct Doors {
    listeners: Vec<JoinHandle<()>>,
    publisher: Option<JoinHandle<()>>,
}

impl Doors {
    /// Opens what the roles need.
    ///
    /// # Errors
    /// [`CannotBegin`] when an address is taken; nothing is left open.
    pub async fn open(settings: &Settings, roles: Roles, inside: Inside, stop: &CancellationToken) -> anyhow::Result<Self> {
        let front = bind("http.bind", &settings.http.bind).await?;
        let mut doors = Self { listeners: Vec::new(), publisher: None };
        let mut handover = None;
        if roles.ingress {
            let listener = bind("ingress.bind", &settings.ingress.bind).await?;
            let (way, publishing) = Handover::new(&settings.amqp.url.0, seconds(settings.ingress.confirm_seconds));
            handover = Some(way.clone());
            doors.publisher = Some(tokio::spawn(publishing));
            doors.listeners.push(tokio::spawn(ingress(listener, settings, (way, &inside), stop)));
        }
        let answers = Arc::new(AtomicBool::new(true));
        if roles.api {
            tokio::spawn(look(inside.accounts.clone(), answers.clone(), stop.clone()));
        }
        let ready = readiness(roles, &inside, (handover.map(|way| way.connected()), answers), stop);
        let mut router = http::health(ready, inside.figures);
        if roles.api {
            let rate = Arc::new(Rate::new(settings.api.requests_per_second, settings.api.requests_burst));
            router = router.merge(Api { accounts: inside.accounts, secrets: inside.secrets, rate }.router());
        }
        let head_time = seconds(settings.http.head_seconds);
        let bounds = Bounds { name: "http", connections_max: settings.http.connections_max, head_time, life: head_time + SPARE };
        doors.listeners.push(tokio::spawn(http::serve(front, router, bounds, stop.clone())));
        Ok(doors)
    }

    /// Waits until every request under way was answered and the publisher has closed; after the stop.
    pub async fn close(self) {
        let closed = async {
            for listener in self.listeners {
                let _ = listener.await;
            }
            // It ends with the last copy of the way to it, which was the ingress's.
            if let Some(publisher) = self.publisher {
                let _ = publisher.await;
            }
        };
        if tokio::time::timeout(CLOSE_MAX, closed).await.is_err() {
            warn!("not every request was answered before the stop; who sent one sends it again");
        }
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

async fn bind(key: &str, address: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    let bound = bound.with_context(|| format!("nothing can listen at {key} {address}; nothing was started; choose a free address"));
    let listener = bound.map_err(CannotBegin)?;
    if let Ok(address) = listener.local_addr() {
        info!(%address, "{key} listens");
    }
    Ok(listener)
}

fn ingress(
    listener: TcpListener,
    settings: &Settings,
    (way, inside): (Handover, &Inside),
    stop: &CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let settings_of = &settings.ingress;
    let body_time = seconds(settings_of.body_seconds);
    let bounds = IngressBounds { body_time, per_second: settings_of.requests_per_second, burst: settings_of.requests_burst };
    let topology = Topology::new(&settings.amqp.prefix);
    let router = Ingress::new(inside.keyring.clone(), inside.secrets.clone(), topology, way, bounds).router();
    let head_time = seconds(settings_of.head_seconds);
    let life = head_time + body_time + seconds(settings_of.confirm_seconds) + SPARE;
    let bounds = Bounds { name: "ingress", connections_max: settings_of.connections_max, head_time, life };
    http::serve(listener, router, bounds, stop.clone())
}

type Connections = (Option<watch::Receiver<bool>>, Arc<AtomicBool>);

/// Ready when every part is: the first that is not says why.
fn readiness(roles: Roles, inside: &Inside, (publisher, answers): Connections, stop: &CancellationToken) -> Readiness {
    let (working, accounts, stop) = (inside.working.clone(), inside.accounts.clone(), stop.clone());
    Arc::new(move || {
        if stop.is_cancelled() {
            return Some("stopping".to_owned());
        }
        if roles.works() {
            let why = working.get().map_or_else(|| Some("waiting for Postgres and RabbitMQ".to_owned()), |ready| ready());
            if why.is_some() {
                return why;
            }
        }
        if roles.api && accounts.get().is_none() {
            return Some("waiting for Postgres".to_owned());
        }
        if roles.api && !answers.load(Ordering::Relaxed) {
            return Some("the database cannot be read at the moment".to_owned());
        }
        let is_away = publisher.as_ref().is_some_and(|connected| !*connected.borrow());
        is_away.then(|| "the ingress is not connected to the broker: webhooks are refused".to_owned())
    })
}

/// Looks whether the database answers: a pool knows only when it is asked.
async fn look(accounts: Accounts, answers: Arc<AtomicBool>, stop: CancellationToken) {
    loop {
        if let Some(store) = accounts.get() {
            answers.store(store.answers().await, Ordering::Relaxed);
            figures::connected("api", answers.load(Ordering::Relaxed));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
