//! The turn of the month: all accounts are due at one second, two workers reset them, and usage goes on.
//!
//! Owns the stage, the clock from that second to the last reset, and who is killed; `usage` owns the latency of
//! what goes on meanwhile. The workers are processes of this program, as in any deployment; what they write is audited.

mod usage;

use self::usage::{USAGE_RATE, Usage, UsageTimes};
use super::middle;
use super::yardstick::Yardstick;
use crate::deployment::{Deployment, Servers, stop, this_program};
use crate::domain::calendar::Interval;
use crate::domain::command::{Command, Message, StartSubscription};
use crate::domain::ids::{AccountKey, Hash, Id, MessageId, Printable};
use crate::lanes::{Job, LaneLimits, LaneSetup, Lanes};
use crate::message::{Queue, Raw};
use crate::reconcile::differences;
use crate::store::Submission;
use crate::store::postgres::PostgresStore;
use anyhow::bail;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Child;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

const TENANT: &str = "bench";
/// What a reset has to do: forfeit, roll over, grant.
const CATALOG: &str = "currency = \"USD\"\n[plans.team]\nallowance = \"1000\"\nrollover = { max = \"200\" }\n\
    [[rates]]\nmeter = \"image\"\nprice = \"1\"\n";
/// Accounts that are made per second at least; the second at which they are due is planned by it.
const STARTS_PER_SECOND: u32 = 1_500;
/// Seconds between the end of the set-up, as it is planned, and the second at which all is due.
const HEAD_START: i64 = 25;
/// The least time with usage before that second.
const USAGE_BEFORE: SignedDuration = SignedDuration::from_secs(3);
/// What is left has stopped.
const STALLED: Duration = Duration::from_mins(5);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Accounts that are due.
    pub accounts: u32,
    /// Times it is done, each in a database of its own.
    pub rounds: usize,
    /// Seconds of each run of the yardstick, before every round and after the last; 0 leaves it out.
    pub yardstick_seconds: u32,
    /// Whether one of the workers is killed when half of the accounts are reset, and another one started.
    pub kill: bool,
}

/// One time.
#[derive(Debug, Clone, Serialize)]
pub struct TurnRound {
    /// TPC-B transactions a second, the mean of before and after it; 0 when that was left out.
    tpcb_per_s: f64,
    #[serde(flatten)]
    measured: Measured,
}

/// What a round measured itself.
#[derive(Debug, Clone, Serialize)]
struct Measured {
    /// From the second at which all was due until the last was reset.
    seconds: f64,
    /// How many were reset when a worker was killed, if one was.
    reset_at_kill: Option<u64>,
    #[serde(flatten)]
    usage: UsageTimes,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct TurnReport {
    accounts: u32,
    workers: u32,
    killed: bool,
    /// Medians of the rounds.
    seconds: f64,
    resets_per_s: f64,
    tpcb_per_s: f64,
    /// Resets for each TPC-B transaction, which says more than seconds do where machines differ; none without the yardstick.
    resets_per_tpcb: Option<f64>,
    usage_rate_per_s: u32,
    usage_p50_ms: f64,
    usage_p99_ms: f64,
    rounds: Vec<TurnRound>,
    audit: &'static str,
}

/// Runs all rounds.
///
/// # Errors
/// When a server cannot be used, a reset is missing or done twice, or the audit finds a difference.
pub async fn run(turn: &Turn, database_url: &str, amqp_url: &str, progress: impl Fn(&str)) -> anyhow::Result<TurnReport> {
    let mut yardstick = Yardstick::new(database_url, turn.yardstick_seconds).await?;
    let servers = Servers { database_url: database_url.to_owned(), amqp_url: amqp_url.to_owned(), program: this_program()? };
    let measured = rounds(turn, &servers, &mut yardstick, &progress).await;
    yardstick.remove().await?;
    let rounds = measured?;
    let median = |figure: fn(&TurnRound) -> f64| middle(&rounds.iter().map(figure).collect::<Vec<_>>());
    let seconds = median(|round| round.measured.seconds);
    let of_tpcb = |round: &TurnRound| f64::from(turn.accounts) / round.measured.seconds / round.tpcb_per_s;
    let resets_per_tpcb = (turn.yardstick_seconds > 0).then(|| middle(&rounds.iter().map(of_tpcb).collect::<Vec<_>>()));
    Ok(TurnReport {
        accounts: turn.accounts,
        workers: 2,
        killed: turn.kill,
        seconds,
        resets_per_s: f64::from(turn.accounts) / seconds,
        tpcb_per_s: median(|round| round.tpcb_per_s),
        resets_per_tpcb,
        usage_rate_per_s: USAGE_RATE,
        usage_p50_ms: median(|round| round.measured.usage.p50_ms),
        usage_p99_ms: median(|round| round.measured.usage.p99_ms),
        rounds,
        audit: "clean",
    })
}

/// All rounds, and the yardstick before each and after the last.
async fn rounds(turn: &Turn, servers: &Servers, yardstick: &mut Yardstick, progress: &impl Fn(&str)) -> anyhow::Result<Vec<TurnRound>> {
    let mut rounds = Vec::new();
    let mut before = yardstick.measure().await?;
    for round in 1..=turn.rounds.max(1) {
        progress(&format!("round {round} of {}: {} accounts", turn.rounds.max(1), turn.accounts));
        let deployment = Deployment::make(servers.clone(), "bench").await?;
        let measured = Box::pin(stage(&deployment, turn, progress)).await;
        deployment.remove(measured.is_err()).await?;
        let measured = measured?;
        let after = yardstick.measure().await?;
        rounds.push(TurnRound { tpcb_per_s: f64::midpoint(before, after), measured });
        before = after;
    }
    Ok(rounds)
}

/// One round, audited.
async fn stage(deployment: &Deployment, turn: &Turn, progress: &impl Fn(&str)) -> anyhow::Result<Measured> {
    deployment.tenant(TENANT, CATALOG).await?;
    let planned = i64::from(turn.accounts / STARTS_PER_SECOND) + HEAD_START;
    let due_at = Timestamp::from_second(Timestamp::now().as_second() + planned)?;
    subscribe_all(deployment, turn.accounts, due_at).await?;
    deployment.store().vacuum().await?;
    let mut workers = vec![deployment.start(&[])?, deployment.start(&[])?];
    // What the set-up announces is not to be sent while resets are measured.
    while deployment.store().backlog().await?.batches > 0 && due_at.duration_since(Timestamp::now()) >= USAGE_BEFORE {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    if due_at.duration_since(Timestamp::now()) < USAGE_BEFORE {
        bail!("the set-up took longer than planned, so the accounts are due already; try fewer with --messages");
    }
    progress(&format!("all are due in {} s", due_at.duration_since(Timestamp::now()).as_secs()));
    let usage = Usage::begin(deployment, turn.accounts).await?;
    let ahead = Duration::try_from(due_at.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::sleep(ahead).await;
    usage.measure();
    let begun = Instant::now();
    let reset_at_kill = watch(deployment, turn, (due_at, begun), &mut workers).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let usage = usage.end().await?;
    for worker in workers {
        stop(worker).await?;
    }
    audit(deployment, turn.accounts, due_at).await?;
    Ok(Measured { seconds, reset_at_kill, usage })
}

/// Subscribes every account to a plan whose first whole month begins at `due_at`.
async fn subscribe_all(deployment: &Deployment, accounts: u32, due_at: Timestamp) -> anyhow::Result<()> {
    let store = Arc::new(PostgresStore::connect(deployment.database_url(), 16).await?);
    let limits = LaneLimits { batch_max: 256, at_work_max: 4 };
    let setup = LaneSetup { origin: "bench".into(), shards: store.shards(), limits, stop: CancellationToken::new() };
    let (lanes, tasks) = Lanes::start(store.clone(), setup, |_, _| {});
    let room = Arc::new(Semaphore::new(4096));
    let anchor = TimeZone::UTC.to_datetime(due_at);
    for number in 0..accounts {
        let permit = room.clone().acquire_owned().await?;
        let submission = start(number, anchor)?;
        lanes.submit(Job::Message(submission, Box::new(move |_| drop(permit))));
    }
    drop(room.acquire_many(4096).await?);
    drop(lanes);
    tasks.wait().await;
    store.close().await;
    Ok(())
}

fn account(number: u32) -> String {
    format!("acct_{number}")
}

fn start(number: u32, anchor: jiff::civil::DateTime) -> anyhow::Result<Submission> {
    let command = Command::StartSubscription(StartSubscription {
        subscription: Id::new("main")?,
        plan: Id::new("team")?,
        interval: Interval::Month,
        anchor,
        addons: BTreeMap::new(),
    });
    let id = format!("start-{number}");
    let message = Message {
        id: MessageId { source: Printable::new("bench")?, id: Printable::new(&id)? },
        content: Hash::of(id.as_bytes()),
        account: AccountKey { tenant: Id::new(TENANT)?, account: Id::new(&account(number))? },
        occurred_at: Timestamp::now(),
        command,
    };
    Ok(Submission::new(Arc::new(message), Arc::new(Raw::bare(Queue::Commands, Vec::new()))))
}

/// Waits until nothing of `due_at` is left to reset; kills a worker in the middle where that is wanted, and tells
/// how many were reset then.
async fn watch(
    deployment: &Deployment,
    turn: &Turn,
    (due_at, begun): (Timestamp, Instant),
    workers: &mut [Child],
) -> anyhow::Result<Option<u64>> {
    let mut reset_at_kill = None;
    while begun.elapsed() < STALLED {
        if turn.kill && reset_at_kill.is_none() {
            let reset = deployment.store().resets_at(due_at).await?;
            if let (true, Some(worker)) = (reset * 2 >= u64::from(turn.accounts), workers.first_mut()) {
                worker.kill().await?;
                *worker = deployment.start(&[])?;
                reset_at_kill = Some(reset);
            }
        }
        // By the index of what is due: nothing that is left is read.
        let is_left = deployment.store().is_anything_due(due_at).await?;
        if !is_left {
            if turn.kill && reset_at_kill.is_none() {
                bail!("all accounts were reset before a worker could be killed; try more with --messages");
            }
            return Ok(reset_at_kill);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("some accounts were not reset within {} s", STALLED.as_secs())
}

/// Every account was reset once, and everything adds up.
async fn audit(deployment: &Deployment, accounts: u32, due_at: Timestamp) -> anyhow::Result<()> {
    let (report, first) = differences(deployment.database_url(), 1).await?;
    if let Some(first) = first.first() {
        bail!("audit: {} differences, the first of them {first}", report.differences);
    }
    let found = deployment.store().resets_at(due_at).await?;
    if found != u64::from(accounts) {
        bail!("audit: {accounts} accounts were due and {found} were reset");
    }
    Ok(())
}

impl TurnReport {
    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} accounts due at one second, {} workers; {} usages a second meanwhile",
            self.accounts, self.workers, self.usage_rate_per_s
        )];
        for (index, round) in self.rounds.iter().enumerate() {
            let Measured { seconds, reset_at_kill, usage } = &round.measured;
            lines.push(format!(
                "round {:<3} {:>6.1} s   usage p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms ({} messages)",
                index + 1,
                seconds,
                usage.p50_ms,
                usage.p99_ms,
                usage.most_ms,
                usage.sent
            ));
            if let Some(reset) = reset_at_kill {
                lines.push(format!("          a worker was killed when {reset} were reset"));
            }
        }
        lines.push(format!(
            "median    {:>6.1} s   {:.0} resets a second   usage p50 {:.1} ms, p99 {:.1} ms",
            self.seconds, self.resets_per_s, self.usage_p50_ms, self.usage_p99_ms
        ));
        if let Some(ratio) = self.resets_per_tpcb {
            lines.push(format!(
                "{ratio:.2} resets for each transaction of TPC-B (pgbench -c 8, {:.0}/s, before and after)",
                self.tpcb_per_s
            ));
        }
        lines.push(format!("every account was reset once; audit {}", self.audit));
        lines.join("\n")
    }
}
