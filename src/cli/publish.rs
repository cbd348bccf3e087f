//! `publish`: a message file to the worker, and the outcomes back.
//!
//! Owns the pace: messages of test-clock tenants go one at a time, the clock moved ahead of each as
//! `simulate` would; everything else is pipelined within a window. Never guesses an outcome: what
//! was not answered in time is said to be unanswered.

use super::messages::{clocks, folder_of, read_lines, signable, tenant_of, times};
use super::quarantine::outgoing;
use super::{BadInput, Services, account, admin, print, toml};
use crate::amqp::{Outgoing, Published, Publisher, Replies, Topology};
use crate::domain::ids::{AccountKey, Id};
use crate::message::line::{Basis, CatalogText};
use crate::message::raw::{CLOUDEVENT, Queue};
use crate::message::{Line, Raw, reread};
use crate::secrets::Secrets;
use crate::simulate::load_catalog;
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
#[derive(Debug, Clone, Deserialize, Serialize)]
struct Answer {
    outcome: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    #[serde(default)]
    entries: Vec<serde_json::Value>,
}

/// An answer beside its line.
#[derive(Serialize)]
struct Shown<'a> {
    line: usize,
    #[serde(flatten)]
    answer: &'a Answer,
}

pub async fn run(services: &Services, args: &PublishArgs) -> anyhow::Result<ExitCode> {
    let lines = read_lines(&args.file)?;
    let url = services.broker()?;
    let clocks = clocks(services, &lines).await?;
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
        replies: Replies::open(url).await?,
        wait: Duration::from_secs(args.wait),
        json: args.json,
        run: format!("{:08x}", rand::random::<u32>()),
        clock: None,
        clocks,
        round: Vec::new(),
        pending: BTreeSet::new(),
        answers: BTreeMap::new(),
        unanswered: 0,
        bar,
    };
    for (number, line) in &lines {
        let taken = session.take(*number, line).await;
        taken.with_context(|| {
            format!("{}:{number}: the lines before it were sent, it and the lines after it may not have been", args.file.display())
        })?;
    }
    session.finish().await
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
    /// The times of tenants with a test clock.
    clocks: BTreeMap<Id, Option<Timestamp>>,
    round: Vec<(usize, Outgoing)>,
    /// Lines sent and not answered.
    pending: BTreeSet<usize>,
    /// Answers that wait for those of earlier lines, to be printed in order.
    answers: BTreeMap<usize, Answer>,
    unanswered: usize,
    bar: ProgressBar,
}

impl Session<'_> {
    async fn take(&mut self, number: usize, line: &Line) -> anyhow::Result<()> {
        match line {
            Line::Tick(at) => {
                self.drain().await?;
                self.move_clocks(*at).await?;
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
        let secrets = &self.secrets;
        let Some(mut raw) = line.raw(|tenant| secrets.stripe(tenant).into_iter().next())? else { return Ok(()) };
        let tenant = tenant_of(line);
        let incoming = reread(&raw);
        raw.reply_to = Some(self.replies.name().to_owned());
        raw.correlation_id = Some(format!("{number}"));
        let message = outgoing(&self.exchange, raw);
        let Some(tenant) = tenant.filter(|tenant| self.clocks.contains_key(tenant)) else {
            self.round.push((number, message));
            if self.round.len() >= ROUND_MAX {
                self.send_round().await?;
            }
            return Ok(());
        };
        self.drain().await?;
        let Ok(incoming) = incoming else { return self.send_alone(number, message, false).await };
        let received_at = match line {
            Line::Webhook { received_at, .. } | Line::Exact { received_at, .. } => Some(*received_at),
            Line::Event { .. } | Line::Tick(_) | Line::Read { .. } | Line::Catalog { .. } => None,
        };
        let (occurred_at, as_of) = times(&incoming);
        if let Some(at) = occurred_at.into_iter().chain(received_at).max() {
            self.move_clocks(at).await?;
            // A clock that has not started starts at its first message.
            let starts_behind = occurred_at.is_some_and(|occurred_at| self.clock.is_some_and(|clock| clock > occurred_at));
            if self.clocks.get(&tenant) == Some(&None) {
                if starts_behind {
                    self.reset(&tenant).await?;
                }
                self.clocks.insert(tenant.clone(), self.clock);
            }
        }
        self.send_alone(number, message, as_of.is_some()).await?;
        if let Some(as_of) = as_of.filter(|as_of| self.clock.is_none_or(|clock| *as_of > clock)) {
            self.clocks.insert(tenant, Some(as_of));
            self.move_clocks(as_of).await?;
        }
        Ok(())
    }

    /// Moves the file's time, and every clock that has started and is behind it.
    async fn move_clocks(&mut self, at: Timestamp) -> anyhow::Result<()> {
        let clock = self.clock.map_or(at, |clock| clock.max(at));
        self.clock = Some(clock);
        let behind = self.clocks.iter().filter(|(_, own)| own.is_some_and(|own| own < clock));
        let behind: Vec<Id> = behind.map(|(tenant, _)| tenant.clone()).collect();
        for tenant in behind {
            self.reset(&tenant).await?;
        }
        Ok(())
    }

    /// Moves a tenant's clock to the file's time and waits until everything due is written.
    async fn reset(&mut self, tenant: &Id) -> anyhow::Result<()> {
        let Some(clock) = self.clock else { return Ok(()) };
        let body = serde_json::json!({
            "specversion": "1.0", "id": format!("clock-{}-{clock}", self.run), "source": "credit-ledger publish",
            "type": "cycle.reset", "tenant": tenant.as_str(), "time": clock.to_string(), "data": { "as_of": clock.to_string() },
        });
        let raw = Raw {
            queue: Queue::Commands,
            routing_key: format!("cycle.reset.{tenant}"),
            content_type: Some(CLOUDEVENT.to_owned()),
            headers: BTreeMap::new(),
            reply_to: Some(self.replies.name().to_owned()),
            correlation_id: Some("0".to_owned()),
            body: body.to_string().into_bytes(),
        };
        let message = outgoing(&self.exchange, raw);
        let answer = self.ask(0, message, true).await?;
        if answer.outcome != "applied" {
            bail!("the clock of {tenant} could not be moved to {clock}: {} {}", answer.outcome, answer.reasons.join(", "));
        }
        self.clocks.insert(tenant.clone(), Some(clock));
        Ok(())
    }

    async fn send_alone(&mut self, number: usize, message: Outgoing, is_reset: bool) -> anyhow::Result<()> {
        let answer = self.ask(number, message, is_reset).await?;
        self.bar.inc(1);
        self.show(number, &answer)
    }

    /// Sends one message and waits for its answer. A tenant-wide reset is answered once it is done.
    async fn ask(&mut self, number: usize, message: Outgoing, is_reset: bool) -> anyhow::Result<Answer> {
        let published = self.publisher.publish_all(std::slice::from_ref(&message)).await?;
        taken(published.first().copied(), &message)?;
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
        let (numbers, messages): (Vec<usize>, Vec<Outgoing>) = std::mem::take(&mut self.round).into_iter().unzip();
        let published = self.publisher.publish_all(&messages).await?;
        for ((number, message), published) in numbers.into_iter().zip(&messages).zip(published) {
            match taken(Some(published), message) {
                Ok(()) => drop(self.pending.insert(number)),
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
                let lines: Vec<String> = self.pending.iter().take(10).map(ToString::to_string).collect();
                self.unanswered = self.unanswered.saturating_add(self.pending.len());
                let wait = self.wait.as_secs();
                self.bar.suspend(|| {
                    eprintln!(
                        "no outcome within {wait} s for {} lines ({} …); they are with the broker; check that a worker runs",
                        self.pending.len(),
                        lines.join(", ")
                    );
                });
                self.pending.clear();
                break;
            };
            if self.pending.remove(&line) {
                self.bar.inc(1);
                self.answers.insert(line, answer);
            }
        }
        // Only what no earlier line can precede any more.
        let first_pending = self.pending.first().copied().unwrap_or(usize::MAX);
        while let Some((line, answer)) = self.answers.pop_first() {
            if line > first_pending {
                self.answers.insert(line, answer);
                break;
            }
            self.show(line, &answer)?;
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
        }
        Ok(())
    }

    async fn read(&mut self, number: usize, key: &AccountKey, (at, basis): (Option<Timestamp>, Basis)) -> anyhow::Result<()> {
        let store = self.services.store().await?;
        let shown = match account::view(&store, key, at, basis).await? {
            Some(view) if self.json => view.json(Some(number)),
            Some(view) => format!("{number}: {key}\n{}", view.text()),
            None => bail!("the ledger has no account {key}"),
        };
        self.bar.inc(1);
        self.bar.suspend(|| print(&shown))
    }

    fn show_done(&mut self, number: usize) -> anyhow::Result<()> {
        self.bar.inc(1);
        self.show(number, &Answer { outcome: "applied".into(), reasons: Vec::new(), entries: Vec::new() })
    }

    fn show(&self, number: usize, answer: &Answer) -> anyhow::Result<()> {
        let text = if self.json {
            serde_json::to_string(&Shown { line: number, answer })?
        } else {
            let reasons = if answer.reasons.is_empty() { String::new() } else { format!(": {}", answer.reasons.join(", ")) };
            format!("{number}: {}{reasons} ({} entries)", answer.outcome, answer.entries.len())
        };
        self.bar.suspend(|| print(&text))
    }

    async fn finish(mut self) -> anyhow::Result<ExitCode> {
        self.drain().await?;
        self.bar.finish_and_clear();
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
