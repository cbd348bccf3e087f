//! Figures about a running process, for whoever watches it: counters, gauges and histograms.
//!
//! Owns every name, unit and label, and the text they are read as (Prometheus, version 0.0.4). Labels have
//! few values: never an account, a tenant or an id. Only what was measured is there: a figure appears once
//! something happened. Without [`install`] nothing is kept, which is what benchmarks and tests want.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::fs;
use std::time::Duration;

/// How often histograms are folded when nobody reads them; they would grow.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Upper bounds of durations, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Upper bounds of messages in a transaction.
const MESSAGES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values were up to some bounds, their number and their sum.
    Histogram,
}

/// Every figure: name, kind, meaning.
pub const ALL: [(&str, Kind, &str); 18] = [
    (
        "credit_ledger_messages_total",
        Kind::Counter,
        "Messages answered, by queue and outcome. One that waits counts again when it is decided.",
    ),
    ("credit_ledger_quarantined_total", Kind::Counter, "Messages set aside, by reason."),
    ("credit_ledger_batch_messages", Kind::Histogram, "Messages of one transaction."),
    ("credit_ledger_batch_duration_seconds", Kind::Histogram, "From the first try of a transaction to its commit, retries included."),
    ("credit_ledger_batch_retries_total", Kind::Counter, "Tries of a transaction after the first."),
    ("credit_ledger_due_written_total", Kind::Counter, "Accounts of which the scheduler had written what was due."),
    ("credit_ledger_outbox_published_total", Kind::Counter, "Events and replies that the broker confirmed."),
    (
        "credit_ledger_outbox_unpublished",
        Kind::Gauge,
        "Unpublished rows of the outbox, by part: batch (one per transaction) or backlog. Counted up to 100000.",
    ),
    ("credit_ledger_outbox_oldest_seconds", Kind::Gauge, "For how long this process has seen the oldest unpublished batch wait."),
    ("credit_ledger_waiting_messages", Kind::Gauge, "Messages that wait for something. Counted up to 100000."),
    ("credit_ledger_reset_jobs", Kind::Gauge, "Tenant-wide resets under way."),
    ("credit_ledger_connected", Kind::Gauge, "1 while a part of the process can use its server, else 0, by part."),
    ("credit_ledger_webhooks_total", Kind::Counter, "Webhooks answered by the ingress, by provider and status."),
    ("credit_ledger_webhooks_refused_total", Kind::Counter, "Webhooks that were not authentic, by provider."),
    ("credit_ledger_api_requests_total", Kind::Counter, "Questions answered by the API, by route and status."),
    ("credit_ledger_http_duration_seconds", Kind::Histogram, "From the head of a request to its answer, by route."),
    ("credit_ledger_http_connections", Kind::Gauge, "Open connections, by listener."),
    ("credit_ledger_process_resident_bytes", Kind::Gauge, "Memory of the process that is in use. On Linux."),
];

/// The figures of this process.
#[derive(Clone)]
pub struct Figures(PrometheusHandle);

impl Figures {
    /// All of them as text.
    #[must_use]
    pub fn text(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            gauge!("credit_ledger_process_resident_bytes").set(bytes);
        }
        self.0.render()
    }

    /// Keeps their memory small, for as long as the process runs.
    pub async fn keep(self) {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            self.0.run_upkeep();
        }
    }
}

/// Begins to keep figures.
///
/// # Errors
/// When this process keeps figures already.
pub fn install() -> Result<Figures, BuildError> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let messages = Matcher::Full("credit_ledger_batch_messages".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS)?.set_buckets_for_metric(messages, &MESSAGES)?;
    let handle = builder.install_recorder()?;
    for (name, kind, meaning) in ALL {
        let unit = if name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        match kind {
            Kind::Counter => describe_counter!(name, unit, meaning),
            Kind::Gauge => describe_gauge!(name, unit, meaning),
            Kind::Histogram => describe_histogram!(name, unit, meaning),
        }
    }
    Ok(Figures(handle))
}

/// A message was answered.
pub fn message(queue: &'static str, outcome: &'static str) {
    counter!("credit_ledger_messages_total", "queue" => queue, "outcome" => outcome).increment(1);
}

/// A message was set aside.
pub fn quarantined(reason: &'static str) {
    counter!("credit_ledger_quarantined_total", "reason" => reason).increment(1);
}

/// A transaction was committed.
pub fn batch(messages: usize, took: Duration) {
    histogram!("credit_ledger_batch_messages").record(f64::from(u32::try_from(messages).unwrap_or(u32::MAX)));
    histogram!("credit_ledger_batch_duration_seconds").record(took);
}

/// A transaction is tried again.
pub fn batch_again() {
    counter!("credit_ledger_batch_retries_total").increment(1);
}

/// What was due for an account is written.
pub fn due_written() {
    counter!("credit_ledger_due_written_total").increment(1);
}

/// The broker confirmed events and replies.
pub fn published(count: usize) {
    counter!("credit_ledger_outbox_published_total").increment(u64::try_from(count).unwrap_or(u64::MAX));
}

/// What the outbox has to publish.
pub fn unpublished(batches: i64, backlog: i64, oldest: Duration) {
    gauge!("credit_ledger_outbox_unpublished", "part" => "batch").set(batches as f64);
    gauge!("credit_ledger_outbox_unpublished", "part" => "backlog").set(backlog as f64);
    gauge!("credit_ledger_outbox_oldest_seconds").set(oldest);
}

/// What waits.
pub fn waiting(messages: i64, reset_jobs: i64) {
    gauge!("credit_ledger_waiting_messages").set(messages as f64);
    gauge!("credit_ledger_reset_jobs").set(reset_jobs as f64);
}

/// Whether a part of the process can use its server.
pub fn connected(part: &'static str, is_connected: bool) {
    gauge!("credit_ledger_connected", "part" => part).set(u8::from(is_connected));
}

/// A webhook was answered.
pub fn webhook(provider: &'static str, status: u16, took: Duration) {
    counter!("credit_ledger_webhooks_total", "provider" => provider, "status" => status.to_string()).increment(1);
    histogram!("credit_ledger_http_duration_seconds", "route" => provider).record(took);
}

/// A webhook was not authentic.
pub fn refused_webhook(provider: &'static str) {
    counter!("credit_ledger_webhooks_refused_total", "provider" => provider).increment(1);
}

/// A question was answered.
pub fn api(route: &'static str, status: u16, took: Duration) {
    counter!("credit_ledger_api_requests_total", "route" => route, "status" => status.to_string()).increment(1);
    histogram!("credit_ledger_http_duration_seconds", "route" => route).record(took);
}

/// Counts a connection for as long as what is returned lives.
#[must_use]
pub fn connection(listener: &'static str) -> impl Drop {
    struct Open(&'static str);
    impl Drop for Open {
        fn drop(&mut self) {
            gauge!("credit_ledger_http_connections", "listener" => self.0).decrement(1.0);
        }
    }
    gauge!("credit_ledger_http_connections", "listener" => listener).increment(1.0);
    Open(listener)
}

/// What the system says of this process; `None` where it does not say it this way.
fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn b69_every_figure_is_explained_and_no_label_names_anybody() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let operations = fs::read_to_string(root.join("docs/operations.md")).unwrap();
        let source = fs::read_to_string(root.join("src/figures.rs")).unwrap();
        let (source, _) = source.split_once("#[cfg(test)]").unwrap();
        let named: std::collections::BTreeSet<&str> =
            source.split('"').filter(|part| part.starts_with("credit_ledger_") && !part.contains(' ')).collect();
        let known: std::collections::BTreeSet<&str> = ALL.iter().map(|(name, ..)| *name).collect();
        assert_eq!(named, known);
        for (name, kind, _) in ALL {
            assert!(operations.contains(&format!("| `{name}` |")), "{name} is not in docs/operations.md");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        }
        let labels: std::collections::BTreeSet<&str> =
            source.split(", \"").skip(1).filter_map(|rest| rest.split_once("\" => ")).map(|(label, _)| label).collect();
        assert_eq!(Vec::from_iter(labels), ["listener", "outcome", "part", "provider", "queue", "reason", "route", "status"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_that_of_a_process() {
        assert!(resident_bytes().is_some_and(|bytes| (1e6..1e12).contains(&bytes)));
    }
}
