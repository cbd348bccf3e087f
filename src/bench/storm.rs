//! A storm of signed Stripe webhooks beside as many grants of the same size.
//!
//! Owns the comparison: the same accounts, credits, bytes and way through broker and worker. What a webhook
//! costs more is reading it as Stripe writes it, its signature, the directory, the catalog and the payment's row.

use super::drain::{Drain, outgoing, preload};
use super::workload::{self, STORM_BODY_BYTES, TENANT};
use super::{Bench, Options, audit, engine, median_of, middle, rss_mib};
use crate::amqp::Outgoing;
use crate::domain::ids::Id;
use crate::message::raw::CLOUDEVENT;
use crate::message::sign;
use crate::secrets::Secrets;
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

/// Signs the benchmark's webhooks; it opens nothing else.
const SECRET: &[u8] = b"whsec_of_the_benchmark_alone";

/// One side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Grants,
    Webhooks,
}

/// Messages per second of both sides in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    grants: f64,
    webhooks: f64,
    /// Webhooks for each grant in the same time.
    ratio: f64,
}

/// What was measured; rates are messages per second.
#[derive(Debug, Clone, Serialize)]
pub struct StormReport {
    messages: u32,
    body_bytes: usize,
    /// Medians of the rounds.
    grants: f64,
    webhooks: f64,
    ratio: f64,
    rounds: Vec<Round>,
    rss_mib: u64,
    audit: &'static str,
}

/// Runs the comparison. Each side of each round has a database and a queue of its own; who goes first takes
/// turns, as the second one has the first one's dirty pages to write.
///
/// # Errors
/// When a server cannot be used, or the audit of any side of any round fails.
pub async fn run(options: &Options, amqp_url: &str, progress: impl Fn(&str)) -> anyhow::Result<StormReport> {
    let mut rounds = Vec::new();
    for round in 1..=options.rounds.max(1) {
        let (mut grants, mut webhooks) = (0.0, 0.0);
        let kinds = [Kind::Grants, Kind::Webhooks];
        let turns = if round % 2 == 1 { kinds } else { [kinds[1], kinds[0]] };
        for kind in turns {
            let (what, rate) = match kind {
                Kind::Grants => ("grants", &mut grants),
                Kind::Webhooks => ("webhooks", &mut webhooks),
            };
            progress(&format!("round {round} of {}: {what}", options.rounds.max(1)));
            *rate = side(options, amqp_url, kind).await.with_context(|| format!("round {round}, {what}"))?;
        }
        rounds.push(Round { grants, webhooks, ratio: webhooks / grants });
    }
    let ratios: Vec<f64> = rounds.iter().map(|round| round.ratio).collect();
    Ok(StormReport {
        messages: options.messages,
        body_bytes: STORM_BODY_BYTES,
        grants: median_of(&rounds, |round| round.grants),
        webhooks: median_of(&rounds, |round| round.webhooks),
        ratio: middle(&ratios),
        rounds,
        rss_mib: rss_mib(),
        audit: "clean",
    })
}

/// One side of one round, audited.
async fn side(options: &Options, amqp_url: &str, kind: Kind) -> anyhow::Result<f64> {
    let bench = Bench::new(options).await?;
    let measured = measure(&bench, options, amqp_url, kind).await;
    bench.topology.delete(amqp_url).await?;
    let (rate, applied) = measured?;
    audit(&bench, applied).await?;
    bench.remove().await?;
    Ok(rate)
}

async fn measure(bench: &Bench, options: &Options, amqp_url: &str, kind: Kind) -> anyhow::Result<(f64, u64)> {
    bench.topology.apply(amqp_url).await?;
    let prepared = engine::prepare(bench, options.limits).await?;
    let secrets = Secrets::of_stripe(Id::new(TENANT)?, SECRET.to_vec());
    let drain = async |count: u32| {
        preload(amqp_url, count, || message(bench, kind)).await?;
        let drain = Drain { limits: options.limits, window: 1024, count, relay: false };
        drain.run(bench, amqp_url, secrets.clone()).await
    };
    // What is measured is a ledger at work: a tenth beforehand, so that no table is empty any more.
    let before = (options.messages / 10).max(1);
    drain(before).await?;
    bench.store.vacuum().await?;
    let rate = drain(options.messages).await?;
    Ok((rate, prepared + u64::from(before) + u64::from(options.messages)))
}

fn message(bench: &Bench, kind: Kind) -> anyhow::Result<Outgoing> {
    match kind {
        Kind::Grants => {
            let body = workload::grant_bytes(&workload::fresh_id());
            Ok(outgoing(bench, format!("credits.grant.{TENANT}"), CLOUDEVENT, body))
        }
        Kind::Webhooks => {
            let body = workload::webhook_bytes(&workload::fresh_id());
            let signature = sign(SECRET, workload::SECOND, &body).context("a webhook cannot be signed")?;
            let received = Timestamp::from_second(workload::SECOND)?.to_string();
            let headers = [("Stripe-Signature", signature), ("x-received-at", received), ("x-tenant", TENANT.to_owned())];
            Ok(Outgoing {
                headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                ..outgoing(bench, format!("payment.stripe.{TENANT}"), "application/json", body)
            })
        }
    }
}

impl StormReport {
    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![format!("{} messages of {} bytes each, per second", self.messages, self.body_bytes)];
        let line = |name: &str, round: (f64, f64, f64)| {
            format!("{name:<10} grants {:>8.0}   webhooks {:>8.0}   ratio {:.3}", round.0, round.1, round.2)
        };
        for (index, round) in self.rounds.iter().enumerate() {
            lines.push(line(&format!("round {}", index + 1), (round.grants, round.webhooks, round.ratio)));
        }
        lines.push(line("median", (self.grants, self.webhooks, self.ratio)));
        lines.push(format!("memory at most {} MiB; audit {}", self.rss_mib, self.audit));
        lines.join("\n")
    }
}
