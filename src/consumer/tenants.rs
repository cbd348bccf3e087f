//! Messages about a tenant as a whole: one lane per tenant.
//!
//! Owns their order within a tenant, and that a tenant whose message cannot be answered holds up no
//! other. A tenant-wide reset is only begun here; the scheduler carries it out.

use super::Finish;
use crate::domain::decision::Outcome;
use crate::domain::ids::Id;
use crate::domain::rejection::QuarantineReason;
use crate::failure::{Failure, pause};
use crate::figures;
use crate::message::Raw;
use crate::store::QuarantineRow;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::tenant::TenantAsk;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{self, JoinSet};
use tracing::{error, warn};

/// Tenant messages answered at the same time.
const AT_WORK_MAX: usize = 4;

/// A tenant message on its way.
pub type Asked = (TenantAsk, Arc<Raw>, Finish);

/// What answering needs.
#[derive(Clone)]
pub struct Answerer {
    pub store: PostgresStore,
    pub aside: mpsc::UnboundedSender<(QuarantineRow, Finish)>,
    /// Tells the scheduler of this worker that a reset has begun.
    pub begun: Arc<Notify>,
}

/// Answers until the channel ends. A tenant has one message under way; later ones wait behind it.
pub async fn run(answerer: Answerer, mut asked: mpsc::UnboundedReceiver<Asked>) {
    let at_work = Arc::new(Semaphore::new(AT_WORK_MAX));
    let mut behind: HashMap<Id, VecDeque<Asked>> = HashMap::new();
    let mut under_way = JoinSet::new();
    let mut tenants: HashMap<task::Id, Id> = HashMap::new();
    let mut open = true;
    while open || !under_way.is_empty() {
        tokio::select! {
            next = asked.recv(), if open => match next {
                None => open = false,
                Some(next) => match behind.get_mut(&next.0.tenant) {
                    Some(behind) => behind.push_back(next),
                    None => {
                        let tenant = next.0.tenant.clone();
                        behind.insert(tenant.clone(), VecDeque::new());
                        let started = under_way.spawn(answerer.clone().settle(next, at_work.clone()));
                        tenants.insert(started.id(), tenant);
                    }
                },
            },
            Some(done) = under_way.join_next_with_id() => {
                // After a panic too: its delivery returns to the broker, those behind it go on.
                let id = done.map_or_else(|panicked| panicked.id(), |(id, ())| id);
                let Some(tenant) = tenants.remove(&id) else { continue };
                match behind.get_mut(&tenant).and_then(VecDeque::pop_front) {
                    Some(next) => {
                        let started = under_way.spawn(answerer.clone().settle(next, at_work.clone()));
                        tenants.insert(started.id(), tenant);
                    }
                    None => drop(behind.remove(&tenant)),
                }
            }
        }
    }
}

impl Answerer {
    /// Answers one message, however often it takes, and settles it.
    async fn settle(self, (ask, raw, finish): Asked, at_work: Arc<Semaphore>) {
        let tenant = ask.tenant.clone();
        let mut attempt = 0;
        let outcome = loop {
            let answered = {
                // Given back during a pause, so that tenants in trouble do not use up the places.
                let _permit = at_work.acquire().await;
                self.store.answer_tenant(&ask, &raw).await
            };
            match answered {
                Ok(outcome) => break outcome,
                Err(failure @ (Failure::Data(_) | Failure::Invariant(_))) => {
                    error!(error = %failure, tenant = %tenant, message.id = %ask.id, "a tenant message cannot be applied and is set aside");
                    break Outcome::Quarantined(QuarantineReason::InvariantViolated);
                }
                Err(error) => {
                    if attempt == 0 {
                        warn!(%error, tenant = %tenant, message.id = %ask.id, "a tenant message cannot be answered; it is tried again");
                    }
                    tokio::time::sleep(pause(attempt, Duration::from_millis(50), Duration::from_secs(5))).await;
                    attempt = attempt.saturating_add(1);
                }
            }
        };
        if !matches!(outcome, Outcome::Quarantined(_)) {
            figures::message(raw.queue.word(), outcome.word());
        }
        match outcome {
            Outcome::Quarantined(reason) => self.set_aside(reason, (ask, raw, finish)),
            Outcome::Waiting => {
                self.begun.notify_one();
                finish();
            }
            Outcome::Applied | Outcome::Duplicate | Outcome::Rejected(_) | Outcome::Ignored => finish(),
        }
    }

    fn set_aside(&self, reason: QuarantineReason, (ask, raw, finish): Asked) {
        let detail = match reason {
            QuarantineReason::UnknownTenant => "no tenant of this name: apply a catalog for it, then replay",
            QuarantineReason::IdempotencyConflict => "contradicts what its id already stands for; what was recorded first stands",
            _ => "could not be applied",
        };
        // What is not ours came as a webhook.
        let kind = Some(ask.command.as_ref().map_or(raw.route().0, |command| command.word()).to_owned());
        let row =
            QuarantineRow { reason, detail: detail.into(), tenant: Some(ask.tenant), account: None, message: Some(ask.id), kind, raw };
        let _ = self.aside.send((row, finish));
    }
}
