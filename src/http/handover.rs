//! From a request to the broker, with certainty.
//!
//! Owns one publisher and the wait for its confirmation. Whatever waits is published together, so that a
//! burst costs few round trips. Never says that the broker has a message unless the broker confirmed it, and
//! never keeps one for later: who sent it is told to send it again.

use crate::amqp::{Outgoing, Published, Publisher, reconnect_delays};
use crate::figures;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

/// Messages that wait for the publisher; each has at most the bytes of a webhook.
const WAITING_MAX: usize = 256;
/// Messages of one round.
const ROUND_MAX: usize = 64;
/// How often an idle publisher looks whether it is still connected.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why the broker does not have a message, as far as anybody knows. It may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Too many others wait.
    #[error("too many messages wait for the broker")]
    Busy,
    /// No confirmation in time; it may come yet.
    #[error("the broker has not confirmed it in time")]
    Late,
    /// No connection, or it broke.
    #[error("the broker cannot be reached")]
    Away,
    /// No queue takes it.
    #[error("the broker has no queue for it")]
    Unroutable,
    /// The broker does not take it.
    #[error("the broker refuses it")]
    Refused,
}

struct Waiting {
    message: Outgoing,
    answer: oneshot::Sender<Result<(), NotTaken>>,
}

/// The way to the broker.
#[derive(Clone)]
pub struct Handover {
    waiting: mpsc::Sender<Waiting>,
    wait: Duration,
    connected: watch::Receiver<bool>,
}

impl Handover {
    /// A way to the broker, and its work, which ends once every copy of the way is gone. A message waits at
    /// most `wait` for its confirmation.
    pub fn new(amqp_url: &str, wait: Duration) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (waiting, queue) = mpsc::channel(WAITING_MAX);
        let (status, connected) = watch::channel(false);
        let publisher = Publisher::new(amqp_url, "credit-ledger ingress");
        (Self { waiting, wait, connected }, run(publisher, queue, status))
    }

    /// Publishes a message and waits until the broker has it.
    ///
    /// # Errors
    /// [`NotTaken`]; it may have arrived all the same.
    pub async fn publish(&self, message: Outgoing) -> Result<(), NotTaken> {
        let (answer, answered) = oneshot::channel();
        self.waiting.try_send(Waiting { message, answer }).map_err(|_| NotTaken::Busy)?;
        match tokio::time::timeout(self.wait, answered).await {
            Ok(answered) => answered.unwrap_or(Err(NotTaken::Away)),
            Err(_) => Err(NotTaken::Late),
        }
    }

    /// Whether there is a connection, as far as is known.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }
}

async fn run(mut publisher: Publisher, mut queue: mpsc::Receiver<Waiting>, status: watch::Sender<bool>) {
    let mut round = Vec::with_capacity(ROUND_MAX);
    let mut outage = Outage::default();
    loop {
        if outage.is_due() {
            let opened = publisher.connect().await;
            outage.note(opened.as_ref().err().map(ToString::to_string));
        }
        status.send_if_modified(|known| std::mem::replace(known, publisher.is_connected()) != publisher.is_connected());
        figures::connected("ingress", publisher.is_connected());
        tokio::select! {
            taken = queue.recv_many(&mut round, ROUND_MAX) => if taken == 0 { break },
            () = tokio::time::sleep(LOOK_EVERY) => continue,
        }
        // Who has stopped waiting was told that it did not arrive.
        round.retain(|waiting| !waiting.answer.is_closed());
        let (messages, answers): (Vec<_>, Vec<_>) = round.drain(..).map(|waiting| (waiting.message, waiting.answer)).unzip();
        let published = publisher.publish_all(&messages).await;
        outage.note(published.as_ref().err().map(ToString::to_string));
        for (place, answer) in answers.into_iter().enumerate() {
            let one = published.as_ref().map_or(Err(NotTaken::Away), |all| judged(all.get(place).copied()));
            // Who has gone meanwhile sends it again.
            let _ = answer.send(one);
        }
        if published.is_ok_and(|all| all.contains(&Published::Unroutable)) {
            error!("the broker has no queue for webhooks: run `credit-ledger topology apply`; providers are told to send them again");
        }
    }
    publisher.close().await;
}

fn judged(published: Option<Published>) -> Result<(), NotTaken> {
    match published {
        Some(Published::Confirmed) => Ok(()),
        Some(Published::Unroutable) => Err(NotTaken::Unroutable),
        Some(Published::Refused) => Err(NotTaken::Refused),
        None => Err(NotTaken::Away),
    }
}

/// When an idle publisher tries to connect, and what is told of an outage: its beginning and its end.
struct Outage {
    delays: Box<dyn Iterator<Item = Duration> + Send>,
    try_at: Instant,
    told: bool,
}

impl Default for Outage {
    fn default() -> Self {
        Self { delays: Box::new(reconnect_delays()), try_at: Instant::now(), told: false }
    }
}

impl Outage {
    fn is_due(&self) -> bool {
        self.try_at <= Instant::now()
    }

    fn note(&mut self, trouble: Option<String>) {
        match trouble {
            None => {
                if self.told {
                    info!("webhooks reach the broker again");
                    *self = Self::default();
                }
            }
            Some(cause) => {
                if !std::mem::replace(&mut self.told, true) {
                    warn!(%cause, "webhooks do not reach the broker; providers are told to send them again");
                }
                self.try_at = Instant::now() + self.delays.next().unwrap_or(LOOK_EVERY);
            }
        }
    }
}
