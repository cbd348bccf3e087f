//! The supervised consumer: from the work queues to one channel of deliveries.
//!
//! Owns the consuming connection, one broker channel per work queue with its own
//! prefetch, and reconnecting for ever. Any error, any stream that ends and any
//! acknowledgement that fails tears all of it down and builds it anew: half a
//! connection is never repaired. Never looks into a message, never gives one
//! back by itself (what is unsettled goes back when its channel closes), and
//! never declares a queue.

use super::acks;
use super::connection::{close, connect, reconnect_delays};
use super::delivery::Delivery;
use super::error::{BrokerError, Cause};
use super::subscription::{Line, Pump, gate_is};
use super::topology::Topology;
use crate::message::Queue;
use lapin::Connection;
use std::error::Error as _;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A connection that lasted this long makes the next wait start small again.
const STEADY: Duration = Duration::from_secs(10);
/// How often the connection's own state is looked at while nothing arrives.
const PULSE: Duration = Duration::from_secs(1);

/// How many deliveries of each queue may be unsettled at a time. The broker
/// keeps the rest. 0 would mean without limit; it is taken as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// Default 256.
    pub payments: u16,
    /// Default 4096.
    pub usage: u16,
    /// Default 64.
    pub approvals: u16,
    /// Default 256.
    pub commands: u16,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self { payments: 256, usage: 4096, approvals: 64, commands: 256 }
    }
}

impl Prefetch {
    /// The limit of one queue, at least 1.
    #[must_use]
    pub fn of(&self, queue: Queue) -> u16 {
        let limit = match queue {
            Queue::Payments => self.payments,
            Queue::Usage => self.usage,
            Queue::Approvals => self.approvals,
            Queue::Commands => self.commands,
        };
        limit.max(1)
    }
}

/// What [`consume`] needs to know. Not `Debug`: the address holds a password.
#[derive(Clone)]
pub struct ConsumeConfig {
    /// AMQP address.
    pub url: String,
    /// Names of the queues.
    pub topology: Topology,
    /// Unsettled deliveries per queue.
    pub prefetch: Prefetch,
    /// True: go on. False: hand out nothing more and keep what was handed out.
    /// When the sending side is dropped the last value stays.
    pub gate: watch::Receiver<bool>,
    /// A gate closed for longer gives all deliveries back, once, and subscribes
    /// again when it opens. 60 s.
    pub hold_max: Duration,
    /// How long a shutdown waits for handed-out deliveries to be settled. 20 s.
    pub drain_max: Duration,
}

impl ConsumeConfig {
    /// The documented defaults, with the address, names and gate that have none.
    #[must_use]
    pub fn new(url: impl Into<String>, topology: Topology, gate: watch::Receiver<bool>) -> Self {
        Self {
            url: url.into(),
            topology,
            prefetch: Prefetch::default(),
            gate,
            hold_max: Duration::from_mins(1),
            drain_max: Duration::from_secs(20),
        }
    }
}

/// Delivers messages of all work queues until `shutdown` is cancelled or the
/// receiver of `handler_tx` is dropped; meanwhile reconnects without end.
///
/// `status` is true while connected and subscribed to every queue.
///
/// On shutdown no more is handed out; tickets stay good until each is settled or
/// dropped, at most `drain_max`; about a second later the connection is closed and
/// this returns.
/// Deliveries still waiting in `handler_tx` count as handed out.
pub async fn consume(config: ConsumeConfig, handler_tx: mpsc::Sender<Delivery>, shutdown: CancellationToken, status: watch::Sender<bool>) {
    let mut delays = reconnect_delays();
    let mut outage = Outage::default();
    let mut gate = config.gate.clone();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = gate_is(&mut gate, true) => {}
        }
        let opened = tokio::select! {
            () = shutdown.cancelled() => break,
            opened = Session::open(&config) => opened,
        };
        let started = Instant::now();
        let end = match opened {
            Ok(session) => {
                outage.over();
                status.send_replace(true);
                let end = session.run(&config, &handler_tx, &shutdown).await;
                status.send_replace(false);
                end
            }
            Err(error) => End::Lost(error),
        };
        match end {
            End::Stopped => break,
            End::Held => tracing::info!("paused: all deliveries were given back to RabbitMQ"),
            End::Lost(error) => {
                outage.note(&error);
                if started.elapsed() > STEADY {
                    delays = reconnect_delays();
                }
                let delay = delays.next().unwrap_or(PULSE);
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = tokio::time::sleep(delay) => {}
                }
            }
        }
    }
    status.send_replace(false);
}

type Tasks = JoinSet<Result<(), BrokerError>>;

/// Why a session is over.
enum End {
    /// Shutdown, or nobody takes deliveries any more.
    Stopped,
    /// The gate was closed for too long.
    Held,
    /// Something broke; build it anew.
    Lost(BrokerError),
}

/// Says once that the connection is gone (again if the reason changes) and once
/// that it is back.
#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    reason: String,
}

impl Outage {
    fn note(&mut self, error: &BrokerError) {
        self.since.get_or_insert_with(Instant::now);
        let reason = error.to_string();
        if reason != self.reason {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%error, cause, "consuming from RabbitMQ stopped; it is tried again");
            self.reason = reason;
        }
    }

    fn over(&mut self) {
        if let Some(since) = self.since.take() {
            let outage_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(outage_ms, "consuming from RabbitMQ again");
            self.reason.clear();
        }
    }
}

/// One connection with a subscription per work queue.
struct Session {
    connection: Connection,
    lines: Vec<Line>,
}

impl Session {
    async fn open(config: &ConsumeConfig) -> Result<Self, BrokerError> {
        let connection = connect(&config.url, "credit-ledger consumer").await?;
        let mut lines = Vec::with_capacity(Queue::ALL.len());
        for queue in Queue::ALL {
            lines.push(Line::open(&connection, queue, config).await?);
        }
        Ok(Self { connection, lines })
    }

    async fn run(self, config: &ConsumeConfig, handler: &mpsc::Sender<Delivery>, shutdown: &CancellationToken) -> End {
        let Self { connection, lines } = self;
        let stop = CancellationToken::new();
        let mut pumps = Tasks::new();
        let mut ackers = Tasks::new();
        for line in lines {
            let (settled_tx, settled_rx) = mpsc::unbounded_channel();
            ackers.spawn(acks::run(line.channel.clone(), settled_rx));
            let pump = Pump { line, settled: settled_tx, handler: handler.clone(), gate: config.gate.clone(), stop: stop.clone() };
            pumps.spawn(pump.run());
        }
        let mut gate = config.gate.clone();
        let end = tokio::select! {
            () = shutdown.cancelled() => End::Stopped,
            () = held_for(&mut gate, config.hold_max) => End::Held,
            end = first_end(&mut pumps) => end,
            end = first_failure(&mut ackers) => end,
            end = disconnected(&connection) => end,
        };
        match &end {
            // Nothing to say goodbye to; dropping the sets ends the tasks.
            End::Lost(_) => return end,
            End::Held => stop.cancel(),
            End::Stopped => {
                stop.cancel();
                while pumps.join_next().await.is_some() {}
                drain(&mut ackers, config.drain_max).await;
                tokio::time::sleep(acks::LANDING).await;
            }
        }
        close(&connection).await;
        end
    }
}

/// Ends when the gate has been closed for this long without a break.
async fn held_for(gate: &mut watch::Receiver<bool>, hold_max: Duration) {
    loop {
        gate_is(gate, false).await;
        if tokio::time::timeout(hold_max, gate_is(gate, true)).await.is_err() {
            return;
        }
    }
}

/// How the first pump ended.
async fn first_end(pumps: &mut Tasks) -> End {
    match pumps.join_next().await {
        Some(Ok(Ok(()))) | None => End::Stopped,
        Some(Ok(Err(error))) => End::Lost(error),
        Some(Err(broken)) => End::Lost(lost(broken)),
    }
}

/// An acker that ends well only follows its pump, whose end says why.
async fn first_failure(ackers: &mut Tasks) -> End {
    while let Some(end) = ackers.join_next().await {
        match end {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return End::Lost(error),
            Err(broken) => return End::Lost(lost(broken)),
        }
    }
    std::future::pending().await
}

fn lost(source: impl Into<Cause>) -> BrokerError {
    BrokerError::Connection { doing: "consuming".to_owned(), source: source.into() }
}

/// Notices a dead connection also while every pump waits for the handler or the
/// gate and so does not look at its stream.
async fn disconnected(connection: &Connection) -> End {
    loop {
        tokio::time::sleep(PULSE).await;
        if !connection.status().connected() {
            return End::Lost(lost("the connection ended"));
        }
    }
}

/// Lets acknowledgements through until every ticket is settled or dropped.
async fn drain(ackers: &mut Tasks, drain_max: Duration) {
    let all = async { while ackers.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_max, all).await.is_err() {
        tracing::warn!("deliveries were still unsettled at shutdown; RabbitMQ gives them out again");
    }
}
