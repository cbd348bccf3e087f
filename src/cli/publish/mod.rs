//! `publish`: a message file to the worker, and the outcomes back.
//!
//! Owns the pace: messages of test-clock tenants go one at a time, the clock moved ahead of each as
//! `simulate` would, and what each line did is read and shown; everything else is pipelined within a
//! window, and what its message did is what the answer says. Never guesses an outcome: what
//! was not answered in time is said to be unanswered.

mod effects;
mod show;
mod timed;

use super::messages::{clocks, folder_of, name_of, needs_database, read_lines, signable, tenant_of};
use super::quarantine::outgoing;
use super::{BadInput, Services, account, admin, print, told, toml};
use crate::amqp::{Outgoing, Published, Publisher, Replies, Topology};
use crate::domain::ids::{AccountKey, Id};
use crate::message::line::{Basis, CatalogText};
use crate::message::{Line, reread};
use crate::secrets::Secrets;
use crate::simulate::load_catalog;
use crate::statement::AccountView;
use crate::store::postgres::PostgresStore;
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use effects::{Effects, Watch};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::Deserialize;
use show::{Known, Outcomes};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use timed::Timed;

/// Messages published in one round.
const ROUND_MAX: usize = 256;
/// Messages sent and not answered.
const WINDOW_MAX: usize = 1_024;

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The message file; `-` for standard input.
    file: PathBuf,
    /// One JSON object for each line.
    #[arg(long)]
    json: bool,
    /// How long an outcome may take.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    wait: u64,
}

/// What the worker answers.
#[derive(Debug, Clone, Deserialize)]
struct Answer {
    outcome: String,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    entries: Vec<serde_json::Value>,
}

/// A message on its way, with what is known of it without its answer.
struct Sending {
    line: usize,
    message: Outgoing,
    known: Known,
}

pub async fn run(services: &Services, args: &PublishArgs) -> anyhow::Result<ExitCode> {
    let lines = read_lines(&args.file)?;
    let url = services.broker()?;
    let store = if needs_database(services, &lines) { Some(services.store().await?) } else { None };
    let clocks = clocks(store.as_ref(), &lines).await?;
    let secrets = services.secrets()?;
    signable(&args.file, &lines, &secrets)?;
    let terminal = std::io::stderr().is_terminal() && !std::io::stdout().is_terminal();
    let bar = if terminal { progress(lines.len()) } else { ProgressBar::hidden() };
    let mut session = Session {
        services,
        secrets,
        folder: folder_of(&args.file),
        exchange: Topology::new(&services.amqp_prefix).incoming(),
        publisher: Publisher::new(url, "credit-ledger publish"),
        replies: Replies::open(url).await.context("nothing was sent: there is no way to the broker")?,
        wait: Duration::from_secs(args.wait),
        json: args.json,
        run: format!("{:08x}", rand::random::<u32>()),
        clock: None,
        store,
        watch: None,
        effects: Effects::default(),
        clocks,
        round: Vec::new(),
        pending: BTreeMap::new(),
        answers: BTreeMap::new(),
        outcomes: Outcomes::new(),
        unanswered: 0,
        bar,
    };
    session.begin_watch().await?;
    for (number, line) in &lines {
        let taken = session.take(*number, line).await;
        taken.with_context(|| stopped(&args.file, *number))?;
    }
    session.finish().await.with_context(|| format!("{}: not every line was answered; {AGAIN}", name_of(&args.file)))
}

/// What makes a second try safe, whatever of the first arrived.
const AGAIN: &str = "publish the file again: what was applied is answered as a duplicate";

fn stopped(file: &Path, line: usize) -> String {
    format!("{}:{line}: publishing stopped here and no later line was sent; mend what is said below, then {AGAIN}", name_of(file))
}

fn progress(lines: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(lines).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} answered, {eta} left") {
        bar.set_style(style);
    }
    bar
}

struct Session<'a> {
    services: &'a Services,
    secrets: Secrets,
    folder: PathBuf,
    exchange: String,
    publisher: Publisher,
    replies: Replies,
    wait: Duration,
    json: bool,
    /// Makes the identities of the resets of this run its own.
    run: String,
    /// The time of the file.
    clock: Option<Timestamp>,
    /// The database, where it was named.
    store: Option<PostgresStore>,
    /// Looks at what is recorded, once a tenant has a test clock.
    watch: Option<Watch>,
    /// What the line has done so far.
    effects: Effects,
    /// The times of tenants with a test clock.
    clocks: BTreeMap<Id, Option<Timestamp>>,
    round: Vec<Sending>,
    /// Lines sent and not answered.
    pending: BTreeMap<usize, Known>,
    /// Answers that wait for those of earlier lines, to be printed in order.
    answers: BTreeMap<usize, (Known, Answer)>,
    outcomes: Outcomes,
    unanswered: usize,
    bar: ProgressBar,
}

impl Session<'_> {
    async fn take(&mut self, number: usize, line: &Line) -> anyhow::Result<()> {
        match line {
            Line::Tick(at) => {
                self.drain().await?;
                self.move_clocks(*at).await?;
                self.look(None).await?;
                self.show_done(number)
            }
            Line::Catalog { tenant, catalog } => {
                self.drain().await?;
                self.catalog(tenant, catalog).await?;
                self.show_done(number)
            }
            Line::Read { key, at, basis } => {
                self.drain().await?;
                self.read(number, key, (*at, *basis)).await
            }
            Line::Event { .. } | Line::Webhook { .. } | Line::Exact { .. } => self.message(number, line).await,
        }
    }

    async fn message(&mut self, number: usize, line: &Line) -> anyhow::Result<()> {
        let Some(mut raw) = line.raw(&self.secrets)? else { return Ok(()) };
        let tenant = tenant_of(line);
        let incoming = reread(&raw);
        let known = Known::of(&raw, &incoming);
        raw.reply_to = Some(self.replies.name().to_owned());
        raw.correlation_id = Some(format!("{number}"));
        let sending = Sending { line: number, message: outgoing(&self.exchange, raw), known };
        let Some(tenant) = tenant.filter(|tenant| self.clocks.contains_key(tenant)) else {
            self.round.push(sending);
            if self.round.len() >= ROUND_MAX {
                self.send_round().await?;
            }
            return Ok(());
        };
        self.drain().await?;
        let Ok(incoming) = incoming else { return self.send_alone(sending, None).await };
        let received_at = match line {
            Line::Webhook { received_at, .. } | Line::Exact { received_at, .. } => Some(*received_at),
            Line::Event { .. } | Line::Tick(_) | Line::Read { .. } | Line::Catalog { .. } => None,
        };
        self.send_timed(sending, Timed { tenant, incoming, received_at }).await
    }

    /// Sends one message and waits for its answer. A tenant-wide reset is answered once it is done.
    async fn ask(&mut self, number: usize, message: &Outgoing, is_reset: bool) -> anyhow::Result<Answer> {
        let published = self.publisher.publish_all(std::slice::from_ref(message)).await;
        let published = published.map_err(|error| {
            let became = if error.is_transient() { "the message may not have arrived" } else { "the message was not sent" };
            anyhow::Error::new(error).context(became)
        })?;
        taken(published.first().copied(), message)?;
        loop {
            let Some((line, answer)) = self.next_answer().await? else {
                bail!(
                    "no outcome came within {} s; the message is with the broker and will be applied; check that a worker runs",
                    self.wait.as_secs()
                );
            };
            if line == number && !(is_reset && answer.outcome == "waiting") {
                return Ok(answer);
            }
        }
    }

    /// Publishes what is gathered, then waits until there is room in the window.
    async fn send_round(&mut self) -> anyhow::Result<()> {
        let round = std::mem::take(&mut self.round);
        let ends = round.first().map(|first| first.line).zip(round.last().map(|last| last.line));
        let (known, messages): (Vec<(usize, Known)>, Vec<Outgoing>) =
            round.into_iter().map(|sending| ((sending.line, sending.known), sending.message)).unzip();
        let published = self.publisher.publish_all(&messages).await.with_context(|| match ends {
            Some((first, last)) if first < last => format!("lines {first} to {last} may not have arrived"),
            Some((line, _)) => format!("line {line} may not have arrived"),
            None => String::new(),
        })?;
        for (((number, known), message), published) in known.into_iter().zip(&messages).zip(published) {
            match taken(Some(published), message) {
                Ok(()) => drop(self.pending.insert(number, known)),
                Err(error) => {
                    self.unanswered = self.unanswered.saturating_add(1);
                    self.bar.suspend(|| eprintln!("line {number}: {error}"));
                }
            }
        }
        self.answered_down_to(WINDOW_MAX).await
    }

    async fn answered_down_to(&mut self, most: usize) -> anyhow::Result<()> {
        while self.pending.len() > most {
            let Some((line, answer)) = self.next_answer().await? else {
                let lines: Vec<String> = self.pending.keys().take(10).map(ToString::to_string).collect();
                self.unanswered = self.unanswered.saturating_add(self.pending.len());
                let wait = self.wait.as_secs();
                self.bar.suspend(|| {
                    eprintln!(
                        "no outcome within {wait} s for {} ({} …); they are with the broker; check that a worker runs",
                        told::count(self.pending.len(), "line", "lines"),
                        lines.join(", ")
                    );
                });
                self.pending.clear();
                break;
            };
            if let Some(known) = self.pending.remove(&line) {
                self.bar.inc(1);
                self.answers.insert(line, (known, answer));
            }
        }
        // Only what no earlier line can precede any more.
        let first_pending = self.pending.first_key_value().map_or(usize::MAX, |(line, _)| *line);
        while let Some((line, (known, answer))) = self.answers.pop_first() {
            if line > first_pending {
                self.answers.insert(line, (known, answer));
                break;
            }
            self.show(line, &known, &answer).await?;
        }
        Ok(())
    }

    /// Everything sent so far is answered afterwards.
    async fn drain(&mut self) -> anyhow::Result<()> {
        if !self.round.is_empty() {
            self.send_round().await?;
        }
        self.answered_down_to(0).await
    }

    /// The next answer with its line; `None` when none comes in time.
    async fn next_answer(&mut self) -> anyhow::Result<Option<(usize, Answer)>> {
        let Ok(next) = tokio::time::timeout(self.wait, self.replies.next()).await else { return Ok(None) };
        let (correlation, body) = next.ok_or_else(|| {
            anyhow!("the connection to the broker was lost; what was sent will be applied, its outcomes are in `credit-ledger outcome`")
        })?;
        let line = correlation.and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        let answer = serde_json::from_slice(&body).context("an answer cannot be read; publish with the version of the worker")?;
        Ok(Some((line, answer)))
    }

    async fn catalog(&mut self, tenant: &Id, text: &CatalogText) -> anyhow::Result<()> {
        let file = load_catalog(&self.folder, text).map_err(|error| BadInput::new(error.to_string()))?;
        let document = match text {
            CatalogText::File(name) => std::fs::read_to_string(self.folder.join(name))?,
            CatalogText::Inline(value) => toml::document(value),
        };
        admin::apply(self.services, tenant, &file, &document).await?;
        if file.test_clock {
            self.clocks.entry(tenant.clone()).or_insert(None);
            self.begin_watch().await?;
        }
        Ok(())
    }

    /// Begins to look at what is recorded, once there is a tenant with a test clock.
    async fn begin_watch(&mut self) -> anyhow::Result<()> {
        if self.watch.is_none() && !self.clocks.is_empty() {
            self.watch = Some(Watch::begin(self.database()?.clone(), &self.test_tenants()).await?);
        }
        Ok(())
    }

    fn database(&self) -> anyhow::Result<&PostgresStore> {
        self.store.as_ref().context("this line needs the database; set DATABASE_URL")
    }

    async fn read(&mut self, number: usize, key: &AccountKey, (at, basis): (Option<Timestamp>, Basis)) -> anyhow::Result<()> {
        // An account nobody has named holds nothing.
        let view = account::view(self.database()?, key, at, basis).await?.unwrap_or_else(|| AccountView::unopened(key));
        let shown = if self.json { view.json(Some(number)) } else { format!("{number}: {key}\n{}", view.text()) };
        self.bar.inc(1);
        self.bar.suspend(|| print(&shown))
    }

    async fn finish(mut self) -> anyhow::Result<ExitCode> {
        self.drain().await?;
        self.bar.finish_and_clear();
        if let Some(sum) = self.sum() {
            eprintln!("{sum}");
        }
        self.publisher.close().await;
        Ok(if self.unanswered == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn taken(published: Option<Published>, message: &Outgoing) -> anyhow::Result<()> {
    match published {
        Some(Published::Confirmed) => Ok(()),
        Some(Published::Unroutable) => {
            Err(anyhow!("no queue takes {}; it was not sent; check the type, or run `topology check`", message.routing_key))
        }
        Some(Published::Refused) | None => {
            Err(anyhow!("the broker refused {}; it was not sent; check its alarms and queue limits", message.routing_key))
        }
    }
}
