//! Lanes: one per shard, so that batches form by themselves and no shard has two transactions of
//! this worker at once.
//!
//! Owns batching, retries and the search for a message that cannot be applied. Never acknowledges:
//! it calls back when a message's outcome is stored. While a lane's transaction is in flight it
//! gathers; when idle it does not wait.

mod jobs;
mod queue;
mod repeats;

use self::jobs::{batch_of, finish};
use self::queue::{Input, Queued, queue};
use self::repeats::Repeats;
use crate::domain::decision::Outcome;
use crate::domain::ids::AccountKey;
use crate::domain::rejection::QuarantineReason;
use crate::failure::{Failure, pause};
use crate::figures;
use crate::ledger::{self, Batch, Settled};
use crate::store::{Quarantine, QuarantineRow, Store, Submission, shard_of};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

/// Tries of one batch that the database asks for before it is treated as an outage.
const TRIES_MAX: u32 = 20;

/// Between two tries of a batch that only an operator can help.
const MISFIT_PAUSE: Duration = Duration::from_secs(5);

/// Called once the outcome is stored; not called when the worker stops before that.
pub type Done = Box<dyn FnOnce(Settled) + Send>;

/// Called once what was due is written (true) or could not be (false).
pub type DueDone = Box<dyn FnOnce(bool) + Send>;

/// Work for a lane.
pub enum Job {
    /// A message.
    Message(Submission, Done),
    /// An account with something due.
    Due(AccountKey, DueDone),
}

/// Bounds of the lanes.
#[derive(Debug, Clone, Copy)]
pub struct LaneLimits {
    /// Most messages of one transaction; 256 by default.
    pub batch_max: usize,
    /// Most lanes with a transaction in flight.
    pub at_work_max: usize,
}

/// How the worker stands towards its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Work goes on.
    Open,
    /// The database is away; deliveries are held and it is probed.
    Away,
    /// The schema or the rights do not fit; nobody but an operator can help.
    Misfit(String),
}

struct Shared<S> {
    store: Arc<S>,
    origin: String,
    limits: LaneLimits,
    at_work: Semaphore,
    standing: watch::Sender<Standing>,
    stop: CancellationToken,
    on_commit: Box<dyn Fn(i16, usize) + Send + Sync>,
}

/// Hands jobs to the lanes of one worker. The lanes end when every handle is gone and what they
/// hold is written.
pub struct Lanes<S> {
    inputs: Arc<Vec<Input>>,
    shards: i16,
    shared: Arc<Shared<S>>,
}

impl<S> Clone for Lanes<S> {
    fn clone(&self) -> Self {
        Self { inputs: self.inputs.clone(), shards: self.shards, shared: self.shared.clone() }
    }
}

/// Where the lanes run.
#[derive(Debug, Clone)]
pub struct LaneSetup {
    /// The deployment's name in announcements.
    pub origin: String,
    /// The number of shards of the database.
    pub shards: i16,
    /// Bounds.
    pub limits: LaneLimits,
    /// Cancelled when waiting for the database is to end.
    pub stop: CancellationToken,
}

impl<S> Lanes<S> {
    /// The deployment's name in announcements.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }
}

impl<S: Store + Quarantine> Lanes<S> {
    /// Starts one lane per shard. `on_commit` is told of each shard that was written and how many
    /// jobs that finished; the tracker is done when the lanes are.
    pub fn start(store: Arc<S>, setup: LaneSetup, on_commit: impl Fn(i16, usize) + Send + Sync + 'static) -> (Self, TaskTracker) {
        let shards = setup.shards;
        let shared = Arc::new(Shared {
            store,
            origin: setup.origin,
            limits: setup.limits,
            at_work: Semaphore::new(setup.limits.at_work_max.max(1)),
            standing: watch::Sender::new(Standing::Open),
            stop: setup.stop,
            on_commit: Box::new(on_commit),
        });
        let tasks = TaskTracker::new();
        let inputs = (0..shards.max(1))
            .map(|shard| {
                // Bounded by the prefetch of the deliveries that feed it, and by the scheduler's rounds.
                let (input, queued) = queue();
                tasks.spawn(lane(shared.clone(), shard, queued));
                input
            })
            .collect();
        tasks.close();
        (Self { inputs: Arc::new(inputs), shards, shared }, tasks)
    }

    /// How the worker stands towards its database.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.shared.standing.subscribe()
    }

    /// Hands a job to the lane of its account.
    pub fn submit(&self, job: Job) {
        let key = match &job {
            Job::Message(submission, _) => &submission.message.account,
            Job::Due(key, _) => key,
        };
        let shard = shard_of(key.tenant.as_str(), key.account.as_str(), self.shards);
        if let Some(input) = usize::try_from(shard).ok().and_then(|shard| self.inputs.get(shard)) {
            input.send(job);
        }
    }

    /// Sets messages aside; tries until the database has them. False when stopping.
    pub async fn set_aside(&self, rows: &[QuarantineRow]) -> bool {
        self.shared.set_aside(rows).await
    }
}

async fn lane<S: Store + Quarantine>(shared: Arc<Shared<S>>, shard: i16, mut queued: Queued) {
    let most = shared.limits.batch_max.max(1);
    let mut repeats = Repeats::default();
    while let Some(first) = queued.next().await {
        let Ok(_permit) = shared.at_work.acquire().await else { return };
        let mut jobs = Vec::with_capacity(most);
        jobs.push(first);
        queued.fill(&mut jobs, most);
        if !shared.work(shard, jobs, &mut repeats).await {
            return;
        }
    }
}

impl<S: Store + Quarantine> Shared<S> {
    /// Applies jobs, halving them around a message that cannot be applied; false when stopping.
    async fn work(&self, shard: i16, jobs: Vec<Job>, repeats: &mut Repeats) -> bool {
        let mut parts = vec![jobs];
        while let Some(mut jobs) = parts.pop() {
            let begun = Instant::now();
            match self.persist(shard, &batch_of(&jobs), repeats).await {
                None => return false,
                Some(Ok(settled)) => {
                    let finished = jobs.len();
                    figures::batch(settled.len(), begun.elapsed());
                    finish(jobs, settled);
                    (self.on_commit)(shard, finished);
                }
                Some(Err(_)) if jobs.len() > 1 => {
                    let second = jobs.split_off(jobs.len() / 2);
                    parts.push(second);
                    parts.push(jobs);
                }
                Some(Err(failure)) => {
                    for job in jobs {
                        if !self.give_up(job, &failure).await {
                            return false;
                        }
                    }
                }
            }
        }
        true
    }

    /// Tries a batch until it is written or one of its messages is at fault; `None` when stopping.
    async fn persist(&self, shard: i16, batch: &Batch, repeats: &mut Repeats) -> Option<Result<Vec<Settled>, Failure>> {
        let mut attempt = 0;
        loop {
            let Some(applied) = self.apply(shard, batch, repeats).await else { continue };
            let failure = match applied {
                Ok(settled) => {
                    repeats.learn(&settled);
                    self.reopen();
                    return Some(Ok(settled));
                }
                Err(failure) => failure,
            };
            match failure {
                Failure::Again(ref cause) if attempt < TRIES_MAX => {
                    if attempt == TRIES_MAX / 2 {
                        warn!(error = %cause, shard, attempt, "the database keeps asking for another try");
                    }
                    figures::batch_again();
                    tokio::time::sleep(pause(attempt, Duration::from_millis(2), Duration::from_millis(500))).await;
                    attempt += 1;
                }
                Failure::Data(_) | Failure::Invariant(_) => return Some(Err(failure)),
                Failure::Again(_) | Failure::Unavailable(_) => {
                    if !self.wait_until_back(&failure).await {
                        return None;
                    }
                    attempt = 0;
                }
                Failure::Misfit(_) => {
                    if !self.wait_for_operator(&failure).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Applies a batch; `None` when nothing was written and its identities are to be looked up now.
    async fn apply(&self, shard: i16, batch: &Batch, repeats: &mut Repeats) -> Option<Result<Vec<Settled>, Failure>> {
        if repeats.are_likely() {
            return Some(ledger::apply(&*self.store, &self.origin, shard, batch).await);
        }
        let applied = ledger::apply_unseen(&*self.store, &self.origin, shard, batch).await;
        if !matches!(applied, Ok(Some(_))) {
            *repeats = Repeats::default();
        }
        match applied {
            // A repeat may be at fault, whose answer is found when it is looked for.
            Ok(None) | Err(Failure::Again(_) | Failure::Data(_) | Failure::Invariant(_)) => None,
            Ok(Some(settled)) => Some(Ok(settled)),
            Err(failure @ (Failure::Unavailable(_) | Failure::Misfit(_))) => Some(Err(failure)),
        }
    }

    /// After a batch was written: whatever was wrong is mended.
    fn reopen(&self) {
        let was_closed = self.standing.send_if_modified(|standing| std::mem::replace(standing, Standing::Open) != Standing::Open);
        if was_closed {
            tracing::info!("the database can be used again");
        }
    }

    /// Holds everything until a probe succeeds; false when stopping.
    async fn wait_until_back(&self, failure: &Failure) -> bool {
        let first = self.standing.send_if_modified(|standing| {
            let was_open = *standing == Standing::Open;
            if was_open {
                *standing = Standing::Away;
            }
            was_open
        });
        if first {
            warn!(cause = %chain(failure), "the database cannot be used; deliveries are held until it can");
        }
        let mut attempt = 0;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(pause(attempt, Duration::from_millis(50), Duration::from_secs(5))) => {}
            }
            if self.store.probe().await {
                self.reopen();
                return true;
            }
            attempt = attempt.saturating_add(1);
        }
    }

    /// Stays not ready and tries the batch again now and then: only an operator can help, and what
    /// they mend shows by the batch being written. False when stopping.
    async fn wait_for_operator(&self, failure: &Failure) -> bool {
        let why = Standing::Misfit(chain(failure));
        let told = self.standing.send_if_modified(|standing| {
            let changed = *standing != why;
            *standing = why.clone();
            changed
        });
        if told {
            error!(cause = %chain(failure), "{failure}; the worker takes no more messages until an operator has mended it");
        }
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(MISFIT_PAUSE) => true,
        }
    }

    async fn set_aside(&self, rows: &[QuarantineRow]) -> bool {
        while let Err(failure) = self.store.set_aside(&self.origin, rows).await {
            if !self.wait_until_back(&failure).await {
                return false;
            }
        }
        for row in rows {
            figures::message(row.raw.queue.word(), "quarantined");
            figures::quarantined(row.reason.word());
        }
        true
    }

    /// Sets a single message aside that cannot be applied.
    async fn give_up(&self, job: Job, failure: &Failure) -> bool {
        let reason = QuarantineReason::InvariantViolated;
        let (submission, done) = match job {
            Job::Message(submission, done) => (submission, done),
            Job::Due(account, done) => {
                error!(account.id = %account, error = %failure, "what is due for this account cannot be written; it needs a person");
                done(false);
                return true;
            }
        };
        error!(account.id = %submission.message.account, message.id = %submission.message.id, error = %failure, "a message cannot be applied and is set aside");
        let row = QuarantineRow {
            reason,
            detail: format!("{failure} ({})", chain(failure)),
            tenant: Some(submission.message.account.tenant.clone()),
            account: Some(submission.message.account.account.clone()),
            message: Some(submission.message.id.clone()),
            kind: Some(submission.message.command.word().to_owned()),
            raw: submission.raw.clone(),
        };
        if !self.set_aside(&[row]).await {
            return false;
        }
        done(Settled { outcome: Outcome::Quarantined(reason), entries: None, of: None });
        true
    }
}

/// An error with what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
