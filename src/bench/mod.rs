//! The benchmark: how fast the ledger applies messages, beside the database's own yardstick.
//!
//! Owns the rounds, the report and the rule that a run whose audit fails has no speed. Figures are
//! medians of interleaved rounds, because machines are noisy; compare them within one run only.

mod broker;
mod drain;
mod engine;
pub mod storm;
pub mod turn;
mod workload;
mod yardstick;

use crate::amqp::Topology;
use crate::lanes::LaneLimits;
use crate::reconcile::differences;
use crate::store::postgres::admin::Scratch;
use crate::store::postgres::{PostgresStore, migrate};
use anyhow::{Context as _, bail};
use serde::Serialize;
use std::sync::Arc;

/// One message per transaction, on eight connections.
const SINGLE: LaneLimits = LaneLimits { batch_max: 1, at_work_max: 8 };

/// What is measured and how much of it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Postgres.
    pub database_url: String,
    /// `RabbitMQ`; without it only the engine is measured.
    pub amqp_url: Option<String>,
    /// Messages per figure; a tenth of it for one message per transaction.
    pub messages: u32,
    /// Interleaved rounds.
    pub rounds: usize,
    /// Seconds of each yardstick run; 0 leaves it out.
    pub yardstick_seconds: u32,
    /// Bounds of the lanes.
    pub limits: LaneLimits,
}

/// Engine only: messages handed to the lanes by a program.
#[derive(Debug, Default, Clone, Serialize)]
pub struct EngineRates {
    single: f64,
    batch_64: f64,
    batch_1024: f64,
    hot_1024: f64,
}

/// With the broker draining a preloaded queue.
#[derive(Debug, Default, Clone, Serialize)]
pub struct BrokerRates {
    single: f64,
    batch_1024: f64,
    hot_1024: f64,
    batch_1024_relay: f64,
}

/// Publish to commit.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Latency {
    rate_per_s: u32,
    p50: f64,
    p99: f64,
}

/// Everything that was measured; rates are messages per second.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    tpcb_per_s: f64,
    engine: EngineRates,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<BrokerRates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<Latency>,
    rss_mib: u64,
    audit: &'static str,
}

/// A database, and names at the broker, of one round.
pub(crate) struct Bench {
    pub(crate) store: Arc<PostgresStore>,
    pub(crate) topology: Topology,
    database: Scratch,
}

impl Bench {
    async fn new(options: &Options) -> anyhow::Result<Self> {
        let database = Scratch::name(&options.database_url, "bench")?;
        database.create().await.context("a database of its own cannot be made")?;
        migrate::migrate(database.url(), 16).await?;
        let connections = u32::try_from(options.limits.at_work_max.max(8)).unwrap_or(64).saturating_add(8);
        let store = Arc::new(PostgresStore::connect(database.url(), connections).await?);
        Ok(Self { store, topology: Topology::new(database.as_str()), database })
    }

    async fn remove(self) -> anyhow::Result<()> {
        self.store.close().await;
        Ok(self.database.drop().await?)
    }
}

/// Runs the benchmark.
///
/// # Errors
/// When a server cannot be used, or the audit of any round fails.
pub async fn run(options: &Options, progress: impl Fn(&str)) -> anyhow::Result<Report> {
    let mut tpcb = Vec::new();
    let (mut engines, mut brokers, mut latencies) = (Vec::new(), Vec::new(), Vec::new());
    let mut yardstick = yardstick::Yardstick::new(&options.database_url, options.yardstick_seconds).await?;
    for round in 1..=options.rounds.max(1) {
        progress(&format!("round {round} of {}: the yardstick", options.rounds));
        tpcb.push(yardstick.measure().await?);
        progress("the engine");
        let bench = Bench::new(options).await?;
        let (rates, applied) = engine::measure(&bench, options).await?;
        engines.push(rates);
        audit(&bench, applied).await?;
        bench.remove().await?;
        if let Some(amqp_url) = &options.amqp_url {
            progress("with the broker");
            let bench = Bench::new(options).await?;
            bench.topology.apply(amqp_url).await?;
            let measured = broker::measure(&bench, amqp_url, options).await;
            bench.topology.delete(amqp_url).await?;
            let (rates, latency, applied) = measured?;
            audit(&bench, applied).await?;
            brokers.push(rates);
            latencies.push(latency);
            bench.remove().await?;
        }
    }
    yardstick.remove().await?;
    Ok(Report {
        tpcb_per_s: median(&tpcb),
        engine: EngineRates {
            single: median_of(&engines, |rates| rates.single),
            batch_64: median_of(&engines, |rates| rates.batch_64),
            batch_1024: median_of(&engines, |rates| rates.batch_1024),
            hot_1024: median_of(&engines, |rates| rates.hot_1024),
        },
        broker: (!brokers.is_empty()).then(|| BrokerRates {
            single: median_of(&brokers, |rates| rates.single),
            batch_1024: median_of(&brokers, |rates| rates.batch_1024),
            hot_1024: median_of(&brokers, |rates| rates.hot_1024),
            batch_1024_relay: median_of(&brokers, |rates| rates.batch_1024_relay),
        }),
        latency_ms: (!latencies.is_empty()).then(|| Latency {
            rate_per_s: broker::LATENCY_RATE,
            p50: median_of(&latencies, |latency| latency.p50),
            p99: median_of(&latencies, |latency| latency.p99),
        }),
        rss_mib: rss_mib(),
        audit: "clean",
    })
}

/// Compares the ledger with itself and with the number of messages: a run that lost one, or that
/// does not add up, has no speed.
async fn audit(bench: &Bench, applied: u64) -> anyhow::Result<()> {
    let (report, first) = differences(bench.database.url(), 1).await?;
    if let Some(first) = first.first() {
        bail!("audit: {} differences, the first of them {first}", report.differences);
    }
    for (what, count) in [("entries", report.counts.entries), ("outcomes", report.counts.outcomes)] {
        if u64::try_from(count)? != applied {
            bail!("audit: {applied} messages were sent and there are {count} {what}");
        }
    }
    Ok(())
}

fn median_of<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    median(&rounds.iter().map(figure).collect::<Vec<_>>())
}

/// The median, to a tenth.
fn median(figures: &[f64]) -> f64 {
    (middle(figures) * 10.0).round() / 10.0
}

/// The median as it is; of an even number of figures the upper one of the two in the middle.
fn middle(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The most memory this process ever had, in MiB.
fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

impl Report {
    /// The report for people, with the ratios that are to be compared.
    #[must_use]
    pub fn text(&self) -> String {
        let ratio = |rate: f64| if self.tpcb_per_s > 0.0 { format!("{:>8.1} × TPC-B", rate / self.tpcb_per_s) } else { String::new() };
        let mut lines = vec![format!("TPC-B (pgbench)            {:>10.0} /s", self.tpcb_per_s)];
        let mut line = |name: &str, rate: f64| lines.push(format!("{name:<26} {rate:>10.0} /s {}", ratio(rate)));
        line("engine, single", self.engine.single);
        line("engine, 64 at a time", self.engine.batch_64);
        line("engine, 1024 at a time", self.engine.batch_1024);
        line("engine, one hot account", self.engine.hot_1024);
        if let Some(broker) = &self.broker {
            line("broker, single", broker.single);
            line("broker, 1024 at a time", broker.batch_1024);
            line("broker, one hot account", broker.hot_1024);
            line("broker, 1024, relay on", broker.batch_1024_relay);
        }
        if let Some(latency) = &self.latency_ms {
            lines.push(format!("publish to commit at {} /s: p50 {:.1} ms, p99 {:.1} ms", latency.rate_per_s, latency.p50, latency.p99));
        }
        lines.push(format!("memory at most {} MiB; audit {}", self.rss_mib, self.audit));
        lines.join("\n")
    }
}
