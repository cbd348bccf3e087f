//! A long run under faults: workers are killed while a generated journal is sent, part of it twice
//! and part of it contradictory; afterwards ledger, quarantine and events are compared with it.
//!
//! Owns the order of the run and its report. Never takes the ledger's word for what was sent.

mod compare;
mod crew;
mod journal;
mod report;
mod traffic;

use crate::amqp::{Events, Publisher, Replies};
use crate::deployment::{Client, Deployment, Said, Servers, log_hint, this_program, until_interrupted};
use crate::reconcile::differences;
use anyhow::{Context as _, bail};
use crew::Crew;
use journal::{Journal, TENANT};
pub use report::Report;
use serde_json::json;
use sqlx::PgPool;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use traffic::{Answered, Producer, Received};

/// How long nothing may move before the run counts as stuck.
const STILL_MAX: Duration = Duration::from_secs(30);
/// How often the database is asked whether it is done.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often progress is printed.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Messages to publish, repeats included.
    pub messages: usize,
    /// Worker processes.
    pub workers: usize,
    /// How often one of them is killed.
    pub kill_every: Duration,
    /// Accounts the messages are about.
    pub accounts: u32,
    /// Postgres; the run makes a database of its own.
    pub database_url: String,
    /// `RabbitMQ`; the run uses a prefix of its own.
    pub amqp_url: String,
}

/// Runs, prints the report, and fails if anything is wrong.
///
/// # Errors
/// When a server cannot be used, the run gets stuck, or anything differs from the journal.
pub async fn run(options: Options) -> anyhow::Result<Report> {
    let servers = Servers { database_url: options.database_url.clone(), amqp_url: options.amqp_url.clone(), program: this_program()? };
    Box::pin(run_on(servers, &options)).await
}

/// As [`run`], with a worker program of the caller's choice.
///
/// # Errors
/// As [`run`].
pub async fn run_on(servers: Servers, options: &Options) -> anyhow::Result<Report> {
    let deployment = Deployment::make(servers, "soak").await?;
    let result = Box::pin(until_interrupted(soak(&deployment, options))).await;
    let log = deployment.log();
    let clean = result.as_ref().is_ok_and(|report| report.wrong.is_empty());
    deployment.remove(!clean).await?;
    let report = result.map_err(|error| error.context(log_hint(&log)))?;
    println!("{report}");
    if !clean {
        bail!("{} things are wrong; {}", report.wrong.len(), log_hint(&log));
    }
    Ok(report)
}

async fn soak(deployment: &Deployment, options: &Options) -> anyhow::Result<Report> {
    let secret = deployment.tenant(TENANT, journal::CATALOG).await?;
    let journal = Journal::generate(options.messages, options.accounts, &secret)?;
    let lines = Lines::open(deployment).await?;
    let mut crew = Crew::start(deployment, options.workers)?;
    staff(deployment).await?;
    let started = Instant::now();
    let first = usize::try_from(options.accounts)?;
    let mut run = Run { pool: deployment.store().pool(), database_url: deployment.database_url(), journal: &journal, lines, first };
    run.setup().await?;
    run.traffic(&mut crew, options.kill_every).await?;
    run.settle().await?;
    let seconds = started.elapsed().as_secs_f64();
    let (kills, crashes) = (crew.kills, crew.crashes);
    let stopped = crew.stop().await;
    let mut report = run.report().await?;
    if let Err(error) = stopped {
        report.wrong.push(format!("{error:#}"));
    }
    report.kills = kills;
    report.seconds = seconds;
    if crashes > 0 {
        report.wrong.push(format!("{crashes} workers ended by themselves"));
    }
    Ok(report)
}

/// Somebody who may decide requests.
async fn staff(deployment: &Deployment) -> anyhow::Result<()> {
    let mut client = Client::connect(deployment.amqp_url(), deployment.topology()).await?;
    let said = Said { tenant: TENANT, account: None, source: "soak", id: "staff", kind: "member.changed", time: "2026-01-01T00:00:00Z" };
    let answer = client.ask(said.routing_key(), Vec::new(), said.body(&json!({"member": "eve", "role": "approver"}))).await?;
    if answer["outcome"] != "applied" {
        bail!("the approver was not accepted: {answer}");
    }
    Ok(())
}

/// Everything that is open to the broker during the run.
struct Lines {
    producer: Producer,
    answered: watch::Receiver<usize>,
    answers: Arc<Mutex<Answered>>,
    received: watch::Receiver<Received>,
    listeners: [JoinHandle<anyhow::Result<()>>; 2],
}

impl Lines {
    async fn open(deployment: &Deployment) -> anyhow::Result<Self> {
        let url = deployment.amqp_url();
        let stream = Events::subscribe(url, deployment.topology(), &traffic::pattern()).await?;
        let replies = Replies::open(url).await?;
        let producer = Producer {
            publisher: Publisher::new(url, "credit-ledger soak"),
            exchange: deployment.topology().incoming(),
            reply_to: replies.name().to_owned(),
        };
        let (count, answered) = watch::channel(0);
        let answers = Arc::new(Mutex::new(Answered::default()));
        let (heard, received) = watch::channel(Received::default());
        let listeners = [tokio::spawn(traffic::answers(replies, count, answers.clone())), tokio::spawn(traffic::events(stream, heard))];
        Ok(Self { producer, answered, answers, received, listeners })
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

struct Run<'a> {
    pool: &'a PgPool,
    database_url: &'a str,
    journal: &'a Journal,
    lines: Lines,
    /// Number of the first copy after the accounts' first grants.
    first: usize,
}

impl Run<'_> {
    /// Makes every account rich, and waits for it.
    async fn setup(&mut self) -> anyhow::Result<()> {
        let grants: Vec<usize> = (0..self.first).collect();
        self.lines.producer.publish(self.journal, &grants, 0, self.lines.answered.clone()).await?;
        self.until_answered(self.first).await
    }

    /// Publishes everything while workers are killed; then waits for the answers.
    async fn traffic(&mut self, crew: &mut Crew<'_>, kill_every: Duration) -> anyhow::Result<()> {
        let total = self.first.saturating_add(self.journal.copies.len());
        let stop = CancellationToken::new();
        let answered = self.lines.answered.clone();
        let progress = watching(answered.clone(), total);
        {
            let publish = self.lines.producer.publish(self.journal, &self.journal.copies, self.first, answered);
            let publish = async {
                let published = publish.await;
                stop.cancel();
                published
            };
            tokio::select! {
                both = async { tokio::try_join!(publish, crew.kill_every(kill_every, stop.clone())) } => both.map(|_| ())?,
                stuck = progress => stuck?,
            }
        }
        tell("everything is published; no more kills");
        self.until_answered(total).await
    }

    /// Waits for the answer to each of the first `total` copies, as long as answers come.
    async fn until_answered(&mut self, total: usize) -> anyhow::Result<()> {
        let answers = self.lines.answers.clone();
        let all = || answers.lock().is_ok_and(|answers| answers.seen.len() >= total);
        while !all() {
            match tokio::time::timeout(STILL_MAX, self.lines.answered.changed()).await {
                Ok(changed) => changed.context("the connection for answers was lost")?,
                // The report names what was not answered.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Waits until the tables say that nothing is under way, and until the events have arrived.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(ASK_EVERY);
        let mut last = (-1, -1, -1);
        let mut moved = Instant::now();
        // The broker's part is over: every copy was answered. The tables have no signal for the rest.
        loop {
            ticks.tick().await;
            let now: (i64, i64, i64) = sqlx::query_as(
                "select (select count(*) from outcomes o join accounts a using (shard, account_id) where account <> '') + (select count(*) from quarantine), \
                 (select count(*) from waiting), (select count(*) from outbox where published_at is null)",
            )
            .fetch_one(self.pool)
            .await?;
            let (ended, waiting, unpublished) = now;
            if usize::try_from(ended)? >= self.journal.messages.len() && waiting == 0 && unpublished == 0 {
                break;
            }
            if now != std::mem::replace(&mut last, now) {
                moved = Instant::now();
            } else if moved.elapsed() > STILL_MAX {
                // The comparison names what is missing.
                println!(
                    "stuck: {ended} of {} messages ended, {waiting} wait, {unpublished} events unpublished",
                    self.journal.messages.len()
                );
                break;
            }
        }
        let wanted: Vec<(String, i64)> =
            sqlx::query_as("select account, last_seq from accounts where last_seq > 0").fetch_all(self.pool).await?;
        let arrived = self.lines.received.wait_for(|received| {
            wanted.iter().all(|(account, seq)| received.accounts.get(account).is_some_and(|ranges| ranges.to >= *seq))
        });
        let in_time = tokio::time::timeout(STILL_MAX, arrived).await.is_ok();
        if !in_time {
            println!("stuck: events are missing");
        }
        Ok(())
    }

    async fn report(&self) -> anyhow::Result<Report> {
        let (reconciled, differences) = differences(self.database_url, report::SHOWN_MAX).await?;
        let unpublished: i64 = sqlx::query_scalar("select count(*) from outbox where published_at is null").fetch_one(self.pool).await?;
        let waiting: i64 = sqlx::query_scalar("select count(*) from waiting").fetch_one(self.pool).await?;
        let ledger = compare::Ledger::read(self.pool).await?;
        let received = self.lines.received.borrow();
        let verdict = compare::compare(&ledger, self.journal, &received);
        let (events, events_again) = (received.distinct(), received.again);
        drop(received);
        let mut wrong = verdict.wrong;
        wrong.extend(differences);
        for (count, what) in [(unpublished, "events are not published"), (waiting, "messages still wait")] {
            if count > 0 {
                wrong.push(format!("{count} {what}"));
            }
        }
        let messages = self.first.saturating_add(self.journal.copies.len());
        let (again, answered) = {
            let answers = self.lines.answers.lock().map_err(|_| anyhow::anyhow!("the answers are lost"))?;
            (answers.again, answers.seen.len())
        };
        if answered < messages {
            wrong.push(format!("{} messages were not answered", messages.saturating_sub(answered)));
        }
        Ok(Report {
            messages,
            distinct: self.journal.messages.len(),
            repeats: messages.saturating_sub(self.journal.messages.len()),
            contradictory: self.journal.contradictory,
            set_aside: verdict.set_aside,
            kills: 0,
            answered_again: again,
            events,
            events_again,
            accounts: reconciled.counts.accounts,
            entries: reconciled.counts.entries,
            seconds: 0.0,
            lost: verdict.lost,
            twice: verdict.twice,
            wrong,
        })
    }
}

/// Says how far it is, to a person: in a pipe only what was found is said.
fn tell(progress: &str) {
    if std::io::stdout().is_terminal() {
        println!("{progress}");
    }
}

/// Tells how far it is until nothing has moved for long enough that nothing will.
async fn watching(mut answers: watch::Receiver<usize>, total: usize) -> anyhow::Result<()> {
    let mut still = Duration::ZERO;
    while still < STILL_MAX {
        let before = *answers.borrow_and_update();
        tokio::time::sleep(TELL_EVERY).await;
        let now = *answers.borrow_and_update();
        tell(&format!("{now} answers to {total} messages"));
        still = if now == before { still.saturating_add(TELL_EVERY) } else { Duration::ZERO };
    }
    bail!("stuck: no message was answered for {} s", STILL_MAX.as_secs())
}
