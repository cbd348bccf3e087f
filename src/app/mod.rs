//! The worker: its parts started in order and stopped in reverse.
//!
//! Owns start-up checks, signals and the drain. Never touches a message itself.

mod begin;
mod doors;
mod sample;

use crate::amqp::{self, ConsumeConfig, Parking, Prefetch, Topology};
use crate::config::Settings;
use crate::consumer::{self, Consumer};
use crate::figures::Figures;
use crate::http::{Accounts, Readiness};
use crate::keyring::Keyring;
use crate::lanes::{LaneLimits, LaneSetup, Lanes, Standing};
use crate::relay::{Dirty, Relay};
use crate::scheduler;
use crate::secrets::Secrets;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::outbox::Outflow;
use anyhow::{Context as _, bail};
use begin::{Purpose, broker_fits, connect};
use doors::{Doors, Inside};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// How often signing secrets are read again.
const SECRETS_EVERY: Duration = Duration::from_secs(30);
/// How long a stop waits for what is under way.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// Parked messages set aside in one transaction.
const PARKED_MAX: usize = 100;
/// How often the parking queue is looked at.
const PARKING_EVERY: Duration = Duration::from_secs(30);

/// What a worker does; any combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Take messages.
    pub consume: bool,
    /// Publish events.
    pub relay: bool,
    /// Write what is due.
    pub schedule: bool,
    /// Take webhooks.
    pub ingress: bool,
    /// Let accounts be read.
    pub api: bool,
}

impl Roles {
    /// True when something is written to the ledger, or published from it.
    #[must_use]
    pub fn works(self) -> bool {
        self.consume || self.relay || self.schedule
    }

    /// True when the database is needed.
    #[must_use]
    pub fn needs_database(self) -> bool {
        self.works() || self.api
    }

    /// True when the broker is needed.
    #[must_use]
    pub fn needs_broker(self) -> bool {
        self.works() || self.ingress
    }
}

/// What an operator has to mend before a worker can start: settings, schema, topology.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CannotBegin(#[from] anyhow::Error);

/// Runs a process until it is told to stop.
///
/// # Errors
/// [`CannotBegin`], or that not everything was finished at the stop.
pub async fn run(settings: Settings, roles: Roles, figures: Figures) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    tokio::spawn(figures.clone().keep());
    let secrets = watch::Sender::new(Arc::new(load_secrets(&settings).map_err(CannotBegin)?));
    let keyring = Keyring::of(&settings.paypal, secrets.subscribe()).map_err(|error| CannotBegin(error.into()))?;
    let (working, accounts): (Arc<OnceLock<Readiness>>, Accounts) = Default::default();
    // Open from the first moment on: a worker that waits for its servers is alive.
    let inside =
        Inside { working: working.clone(), accounts: accounts.clone(), secrets: secrets.subscribe(), keyring: keyring.clone(), figures };
    let doors = Doors::open(&settings, roles, inside, &stop).await?;
    let refreshing = tokio::spawn(refresh_secrets(settings.clone(), secrets, stop.clone()));
    let ended = work(settings, roles, (keyring, accounts), (&stop, &working)).await;
    stop.cancel();
    doors.close().await;
    refreshing.await?;
    ended
}

async fn work(
    settings: Settings,
    roles: Roles,
    (keyring, accounts): (Keyring, Accounts),
    (stop, working): (&CancellationToken, &OnceLock<Readiness>),
) -> anyhow::Result<()> {
    if roles.api {
        let Some(store) = connect(&settings, Purpose::Reading, stop).await.map_err(CannotBegin)? else { return Ok(()) };
        let _ = accounts.set(store);
    }
    if !roles.works() {
        info!("the process has started");
        stop.cancelled().await;
        return Ok(());
    }
    match prepare(settings, keyring, stop).await.map_err(CannotBegin)? {
        Some(worker) => worker.run(roles, working).await,
        None => Ok(()),
    }
}

/// Everything a worker needs; `None` when stopped before it was there.
async fn prepare(settings: Settings, keyring: Keyring, stop: &CancellationToken) -> anyhow::Result<Option<Worker>> {
    let Some(store) = connect(&settings, Purpose::Working, stop).await? else { return Ok(None) };
    let topology = Topology::new(&settings.amqp.prefix);
    if !broker_fits(&settings, &topology, stop).await? {
        return Ok(None);
    }
    Ok(Some(Worker { settings, topology, store, stop: stop.clone(), keyring }))
}

struct Worker {
    settings: Settings,
    topology: Topology,
    store: PostgresStore,
    stop: CancellationToken,
    keyring: Keyring,
}

impl Worker {
    async fn run(self, roles: Roles, readiness: &OnceLock<Readiness>) -> anyhow::Result<()> {
        let Self { settings, topology, store, stop, keyring } = self;
        let (events, replies) = (Arc::new(Dirty::default()), Arc::new(Dirty::default()));
        let hurry = CancellationToken::new();
        let setup = LaneSetup {
            origin: settings.deployment.name.clone(),
            shards: store.shards(),
            limits: LaneLimits { batch_max: settings.lanes.batch_max, at_work_max: settings.lanes.at_work_max },
            stop: hurry.clone(),
        };
        let marks = [events.clone(), replies.clone()];
        let (lanes, lane_tasks) =
            Lanes::start(Arc::new(store.clone()), setup, move |shard, _| marks.iter().for_each(|dirty| dirty.mark(shard)));
        let connected = watch::Sender::new(!roles.consume);
        let background = TaskTracker::new();
        let standing = lanes.standing();
        let _ = readiness.set(reasons(standing.clone(), connected.subscribe()));
        background.spawn(sample::run(store.clone(), roles.consume.then(|| connected.subscribe()), stop.clone()));
        let mut front = TaskTracker::new();
        let begun = Arc::new(Notify::new());
        if roles.consume {
            front = self::consume(&settings, &topology, &store, &lanes, (keyring, connected, &begun, &stop));
            background.spawn(drain_parking(settings.amqp.url.0.clone(), topology.clone(), (store.clone(), lanes.clone()), stop.clone()));
        }
        if roles.schedule {
            background.spawn(scheduler::run(store.clone(), lanes.clone(), begun, stop.clone()));
        }
        if roles.relay {
            for (outflow, dirty) in [(Outflow::Events, events), (Outflow::Replies, replies)] {
                let relay = Relay {
                    store: store.clone(),
                    amqp_url: settings.amqp.url.0.clone(),
                    topology: topology.clone(),
                    outflow,
                    dirty,
                    keep: Duration::from_hours(settings.relay.keep_published_hours),
                };
                background.spawn(relay.run(hurry.clone()));
            }
        }
        background.close();
        drop(lanes);
        info!("the worker has started");
        stop.cancelled().await;
        info!("stopping: what is under way is finished first");
        if *standing.borrow() != Standing::Open {
            warn!("the database cannot be used: what is under way is not waited for and returns to the broker");
            hurry.cancel();
            return Ok(());
        }
        let drained = tokio::time::timeout(DRAIN_MAX, async {
            front.close();
            front.wait().await;
            lane_tasks.wait().await;
        });
        let in_time = drained.await.is_ok();
        hurry.cancel();
        let rest = tokio::time::timeout(Duration::from_secs(5), background.wait()).await;
        if !in_time || rest.is_err() {
            bail!("not everything under way could be finished; unfinished deliveries return to the broker and nothing is lost");
        }
        info!("stopped");
        Ok(())
    }
}

type Taking<'a> = (Keyring, watch::Sender<bool>, &'a Arc<Notify>, &'a CancellationToken);

/// Starts taking messages; the tracker is done when every delivery is.
fn consume(
    settings: &Settings,
    topology: &Topology,
    store: &PostgresStore,
    lanes: &Lanes<PostgresStore>,
    (keyring, connected, begun, stop): Taking<'_>,
) -> TaskTracker {
    let gate = watch::Sender::new(true);
    let mut config = ConsumeConfig::new(&settings.amqp.url.0, topology.clone(), gate.subscribe());
    config.prefetch = Prefetch {
        payments: settings.amqp.prefetch_payments,
        usage: settings.amqp.prefetch_usage,
        approvals: settings.amqp.prefetch_approvals,
        commands: settings.amqp.prefetch_commands,
    };
    let (sender, deliveries) = mpsc::channel(64);
    let unproven_max = usize::from(settings.amqp.prefetch_payments / 2).max(1);
    let handling = Consumer::start(store.clone(), lanes.clone(), (keyring, unproven_max), deliveries, begun.clone());
    let front = TaskTracker::new();
    front.spawn(amqp::consume(config, sender, stop.clone(), connected));
    front.spawn(async move { handling.wait().await });
    let mut standing = lanes.standing();
    let stop = stop.clone();
    // The gate follows the database: closed, the broker keeps what has not been handed out.
    tokio::spawn(async move {
        loop {
            let open = *standing.borrow_and_update() == Standing::Open;
            gate.send_replace(open);
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    });
    front
}

fn reasons(standing: watch::Receiver<Standing>, connected: watch::Receiver<bool>) -> Readiness {
    Arc::new(move || match &*standing.borrow() {
        Standing::Away => Some("the database cannot be used at the moment".to_owned()),
        Standing::Misfit(why) => Some(format!("the database does not fit this worker: {why}")),
        Standing::Open if !*connected.borrow() => Some("not subscribed at the broker".to_owned()),
        Standing::Open => None,
    })
}

fn load_secrets(settings: &Settings) -> anyhow::Result<Secrets> {
    if settings.secrets.dir.is_empty() {
        return Ok(Secrets::default());
    }
    Ok(Secrets::load(Path::new(&settings.secrets.dir))?)
}

/// Sets aside what the broker gave up on: messages returned too often, dead-lettered.
async fn drain_parking(
    amqp_url: String,
    topology: Topology,
    (store, lanes): (PostgresStore, Lanes<PostgresStore>),
    stop: CancellationToken,
) {
    loop {
        if let Ok(mut parking) = Parking::open(&amqp_url, &topology).await {
            while let Ok(parked) = parking.take(PARKED_MAX).await {
                if parked.is_empty() || !consumer::set_parked_aside(&store, &lanes, parked).await {
                    break;
                }
            }
            parking.close().await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PARKING_EVERY) => {}
        }
    }
}

/// Reads the secrets again every half minute and on SIGHUP; what cannot be read leaves the old ones.
async fn refresh_secrets(settings: Settings, secrets: watch::Sender<Arc<Secrets>>, stop: CancellationToken) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hangup.recv() => {}
            () = tokio::time::sleep(SECRETS_EVERY) => {}
        }
        match load_secrets(&settings) {
            Ok(fresh) => drop(secrets.send_replace(Arc::new(fresh))),
            Err(error) => warn!(%error, "signing secrets cannot be read again; the ones read before stay"),
        }
    }
}

/// The first SIGTERM or SIGINT stops in order; the second ends the process at once with status 1.
fn stop_on_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be handled")?;
    let stop = stop.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(1);
            }
            stop.cancel();
        }
    });
    Ok(())
}
