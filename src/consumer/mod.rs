//! Deliveries → lanes → settled.
//!
//! Owns the way of a delivery: read alone, so that one that cannot be read spoils nothing; facts
//! claimed; handed to the lane of its account; acknowledged once its outcome is stored, and only
//! then. Never decides.

mod claims;
mod proofs;
mod suspects;
mod tenants;

use crate::amqp::{Delivery, Ticket};
use crate::domain::decision::Outcome;
use crate::domain::rejection::QuarantineReason;
use crate::failure::{Failure, pause};
use crate::keyring::Keyring;
use crate::lanes::{Job, Lanes};
use crate::ledger::Settled;
use crate::message::{Incoming, NotRead, Raw, Unaddressed, Unreadable, read, reread};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::tenant::TenantAsk;
use crate::store::{QuarantineRow, Submission, facts};
use claims::Onward;
use proofs::Unproven;
use std::sync::Arc;
use std::time::Duration;
use tenants::{Answerer, Asked};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

/// Deliveries that the broker counted this often come through the side door.
const SUSPECT_FROM: u32 = 2;
/// Deliveries read without looking at anything else in between.
const TAKEN_MAX: usize = 64;
/// Rows set aside in one transaction.
const ASIDE_MAX: usize = 256;
/// Bytes of their bodies; a statement holds them several times over.
const ASIDE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Ends the handling of one delivery.
type Finish = Box<dyn FnOnce() + Send>;

/// A message read from a delivery, with what is done once its outcome is stored.
struct Read {
    submission: Submission,
    finish: Finish,
}

/// A message on its way to the directory.
enum Claiming {
    /// It claims facts for its account.
    Message(Read),
    /// It asks whose its payment is.
    Unaddressed(Box<Unaddressed>, Arc<Raw>, Finish),
}

/// Hands deliveries on.
#[derive(Clone)]
pub struct Consumer {
    keyring: Keyring,
    ways: Ways,
    /// Webhooks that nobody can verify yet.
    proofs: mpsc::UnboundedSender<Unproven>,
}

/// Where a delivery goes once it was read.
#[derive(Clone)]
struct Ways {
    lanes: Lanes<PostgresStore>,
    aside: mpsc::UnboundedSender<(QuarantineRow, Finish)>,
    claims: mpsc::UnboundedSender<Claiming>,
    tenants: mpsc::UnboundedSender<Asked>,
}

impl Consumer {
    /// Handles deliveries until the channel ends; the tracker is done when all of them are.
    ///
    /// The channels between the stages are unbounded: the prefetch bounds what is in them. At most
    /// `unproven_max` webhooks wait for a proof, so that they leave room for others. `begun` is told of
    /// tenant-wide resets for the scheduler to carry out.
    pub fn start(
        store: PostgresStore,
        lanes: Lanes<PostgresStore>,
        (keyring, unproven_max): (Keyring, usize),
        deliveries: mpsc::Receiver<Delivery>,
        begun: Arc<Notify>,
    ) -> TaskTracker {
        let tasks = TaskTracker::new();
        let (aside, aside_rows) = mpsc::unbounded_channel();
        let (claims, to_claim) = mpsc::unbounded_channel();
        let (tenants, asked) = mpsc::unbounded_channel();
        let (proofs, to_prove) = mpsc::unbounded_channel();
        let (suspects, suspected) = mpsc::unbounded_channel();
        let ways = Ways { lanes: lanes.clone(), aside, claims, tenants };
        let consumer = Self { keyring: keyring.clone(), ways: ways.clone(), proofs };
        tasks.spawn(set_aside(lanes, aside_rows));
        let onward = Onward { lanes: ways.lanes.clone(), aside: ways.aside.clone(), tenants: ways.tenants.clone() };
        tasks.spawn(claims::run(store.clone(), onward, to_claim));
        tasks.spawn(tenants::run(Answerer { store: store.clone(), aside: ways.aside.clone(), begun }, asked));
        tasks.spawn(proofs::run(keyring, ways, unproven_max, to_prove));
        tasks.spawn(suspects::run(store, consumer.clone(), suspected));
        tasks.spawn(consumer.run(deliveries, suspects));
        tasks.close();
        tasks
    }

    async fn run(self, mut deliveries: mpsc::Receiver<Delivery>, suspects: mpsc::UnboundedSender<(Arc<Raw>, Ticket)>) {
        let mut taken = Vec::with_capacity(TAKEN_MAX);
        while deliveries.recv_many(&mut taken, TAKEN_MAX).await > 0 {
            for delivery in taken.drain(..) {
                let suspect = delivery.delivery_count >= SUSPECT_FROM;
                let (raw, ticket) = raw_of(delivery);
                if suspect {
                    // A lane that has stopped lets it go: the delivery returns to the broker.
                    let _ = suspects.send((raw, ticket));
                } else {
                    self.take(raw, Box::new(move || ticket.settle()));
                }
            }
        }
    }

    /// Reads one delivery and hands it on.
    fn take(&self, raw: Arc<Raw>, finish: Finish) {
        match read(&raw, &self.keyring.now()) {
            Ok(incoming) => self.ways.hand_on(incoming, raw, finish),
            Err(NotRead::Unreadable(unreadable)) => self.ways.set_aside(*unreadable, raw, finish),
            Err(NotRead::NoCertificate(url)) => {
                let _ = self.proofs.send(Unproven::new(raw, finish, url));
            }
        }
    }
}

impl Ways {
    fn hand_on(&self, incoming: Incoming, raw: Arc<Raw>, finish: Finish) {
        match incoming {
            Incoming::Account(message) => {
                let read = Read { submission: Submission::new(Arc::new(*message), raw), finish };
                if facts::names_any(&read.submission.message) {
                    let _ = self.claims.send(Claiming::Message(read));
                } else {
                    submit(&self.lanes, &self.aside, read);
                }
            }
            Incoming::Unaddressed(message) => {
                let _ = self.claims.send(Claiming::Unaddressed(message, raw, finish));
            }
            Incoming::Tenant(message) => {
                let ask = TenantAsk {
                    origin: self.lanes.origin().to_owned(),
                    tenant: message.tenant,
                    id: message.id,
                    content: message.content,
                    command: Some(message.command),
                    occurred_at: Some(message.occurred_at),
                };
                let _ = self.tenants.send((ask, raw, finish));
            }
            Incoming::Ignored { tenant, id, content } => {
                let ask = TenantAsk { origin: self.lanes.origin().to_owned(), tenant, id, content, command: None, occurred_at: None };
                let _ = self.tenants.send((ask, raw, finish));
            }
        }
    }

    fn set_aside(&self, unreadable: Unreadable, raw: Arc<Raw>, finish: Finish) {
        let Unreadable { reason, detail, tenant, id, kind } = unreadable;
        let row = QuarantineRow { reason, detail, tenant, account: None, message: id, kind, raw };
        let _ = self.aside.send((row, finish));
    }
}

/// Hands a message to its lane; one of a tenant that does not exist is set aside.
fn submit(lanes: &Lanes<PostgresStore>, aside: &mpsc::UnboundedSender<(QuarantineRow, Finish)>, read: Read) {
    let Read { submission, finish } = read;
    let aside = aside.clone();
    let kept = submission.clone();
    let done = move |settled: Settled| {
        if settled.outcome == Outcome::Quarantined(QuarantineReason::UnknownTenant) {
            let _ = aside.send((unknown_tenant(&kept), finish));
        } else {
            finish();
        }
    };
    lanes.submit(Job::Message(submission, Box::new(done)));
}

fn unknown_tenant(submission: &Submission) -> QuarantineRow {
    set_aside_row(submission, QuarantineReason::UnknownTenant, "no tenant of this name: apply a catalog for it, then replay")
}

fn set_aside_row(submission: &Submission, reason: QuarantineReason, detail: &str) -> QuarantineRow {
    let message = &submission.message;
    QuarantineRow {
        reason,
        detail: detail.to_owned(),
        tenant: Some(message.account.tenant.clone()),
        account: Some(message.account.account.clone()),
        message: Some(message.id.clone()),
        kind: Some(message.command.word().to_owned()),
        raw: submission.raw.clone(),
    }
}

/// Sets messages aside, many in one transaction.
async fn set_aside(lanes: Lanes<PostgresStore>, mut rows: mpsc::UnboundedReceiver<(QuarantineRow, Finish)>) {
    let mut taken = Vec::with_capacity(ASIDE_MAX);
    while rows.recv_many(&mut taken, ASIDE_MAX).await > 0 {
        while !taken.is_empty() {
            let mut bytes = 0_usize;
            let fits = taken.iter().take_while(|(row, _)| {
                bytes = bytes.saturating_add(row.raw.body.len());
                bytes <= ASIDE_BYTES_MAX
            });
            let most = fits.count().max(1);
            let (rows, finishes): (Vec<_>, Vec<Finish>) = taken.drain(..most).unzip();
            if !lanes.set_aside(&rows).await {
                return;
            }
            for finish in finishes {
                finish();
            }
        }
    }
}

/// Sets messages aside that the broker gave up on, and settles them; false when stopping.
pub async fn set_parked_aside(store: &PostgresStore, lanes: &Lanes<PostgresStore>, parked: Vec<Delivery>) -> bool {
    const WHY: &str = "the broker handed it out too often without an answer and gave it up; replay it once the cause is mended";
    let (mut rows, mut tickets) = (Vec::new(), Vec::new());
    for delivery in parked {
        let (raw, ticket) = raw_of(delivery);
        match exhausted(store, raw, WHY).await {
            Exhausted::Answered(submission) => lanes.submit(Job::Message(submission, Box::new(move |_| ticket.settle()))),
            Exhausted::Open(row) => {
                rows.push(row);
                tickets.push(ticket);
            }
        }
    }
    if !rows.is_empty() && !lanes.set_aside(&rows).await {
        return false;
    }
    for ticket in tickets {
        ticket.settle();
    }
    true
}

/// What becomes of a delivery that is not tried any more.
enum Exhausted {
    /// An earlier delivery of the message was answered: the ledger repeats that and decides nothing.
    Answered(Submission),
    /// Nothing is known of it: it is set aside.
    Open(QuarantineRow),
}

async fn exhausted(store: &PostgresStore, raw: Arc<Raw>, why: &str) -> Exhausted {
    // Reading it is safe: what ended the process came after that. Whose it was is worth knowing.
    let message = match reread(&raw) {
        Ok(Incoming::Account(message)) => Some(message),
        Ok(Incoming::Unaddressed(message)) => {
            return Exhausted::Open(QuarantineRow {
                reason: QuarantineReason::RetriesExhausted,
                detail: why.to_owned(),
                tenant: Some(message.tenant.clone()),
                account: None,
                kind: Some(message.command.word().to_owned()),
                message: Some(message.id),
                raw,
            });
        }
        Ok(Incoming::Tenant(_) | Incoming::Ignored { .. }) | Err(_) => None,
    };
    if let Some(message) = &message
        && until_done(|| store.is_answered(message)).await
    {
        return Exhausted::Answered(Submission::new(Arc::new((**message).clone()), raw));
    }
    Exhausted::Open(QuarantineRow {
        reason: QuarantineReason::RetriesExhausted,
        detail: why.to_owned(),
        tenant: message.as_ref().map(|message| message.account.tenant.clone()),
        account: message.as_ref().map(|message| message.account.account.clone()),
        kind: message.as_ref().map(|message| message.command.word().to_owned()),
        message: message.map(|message| message.id),
        raw,
    })
}

/// Asks the database until it answers.
async fn until_done<T, F: Future<Output = Result<T, Failure>>>(ask: impl Fn() -> F) -> T {
    let mut attempt = 0;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(_) => tokio::time::sleep(pause(attempt, Duration::from_millis(50), Duration::from_secs(5))).await,
        }
        attempt = attempt.saturating_add(1);
    }
}

fn raw_of(delivery: Delivery) -> (Arc<Raw>, Ticket) {
    let raw = Raw {
        queue: delivery.queue,
        routing_key: delivery.routing_key,
        content_type: delivery.content_type,
        headers: delivery.headers,
        reply_to: delivery.reply_to,
        correlation_id: delivery.correlation_id,
        body: delivery.body,
    };
    (Arc::new(raw), delivery.ticket)
}
