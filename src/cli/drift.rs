//! `drift`: a provider's own list against the ledger, and what differs.
//!
//! Owns the options, the files of keys and the exit status. A key comes from a file only and is never shown.

use super::admin::id;
use super::{BadInput, Services, print, told};
use crate::domain::ids::Id;
use crate::domain::payment::PAYPAL;
use crate::drift::compare::{Counts, Unknown};
use crate::drift::finding::{Finding, Kind};
use crate::drift::list::{PAGE_BYTES_MAX, PAGE_TIME, Service, stripe};
use crate::drift::{Audience, DayOrder, Ended, Options, Progress, Source, provider, run as compare};
use crate::message::paypal::Base;
use crate::paypal::{Client, Tokens, system_roots};
use crate::secrets::PayPalCredentials;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Rows and payments looked up at a time.
const PAGE: usize = 1_000;
/// How often a state is saved.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// Bytes of a key file that are read.
const KEY_BYTES_MAX: u64 = 4096;
/// The status of a command that was interrupted, by convention of shells.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("list").required(true).args(["file", "base"]))]
pub struct DriftArgs {
    /// Whose list it is.
    #[arg(long, value_enum)]
    provider: ProviderArg,
    /// The list in a file: an export of the provider's, or objects of its API as JSON.
    #[arg(long, value_name = "EXPORT")]
    file: Option<PathBuf>,
    /// The list through the provider's API at this address, like https://api.stripe.com.
    #[arg(long, value_name = "URL", requires = "key_file", requires = "from")]
    base: Option<String>,
    /// A file with Stripe's secret or restricted key, or with PayPal's CLIENT_ID:SECRET.
    #[arg(long, value_name = "FILE", requires = "base")]
    key_file: Option<PathBuf>,
    /// Whose payments; needed when there are several tenants.
    #[arg(long, value_parser = id)]
    tenant: Option<Id>,
    /// Where the period begins, like 2026-06-01T00:00:00Z; with a file: from its first row.
    #[arg(long, value_name = "INSTANT")]
    from: Option<Timestamp>,
    /// Where it ends, this instant left out; else after a file's last row, or now, or for PayPal three hours ago.
    #[arg(long, value_name = "INSTANT")]
    to: Option<Timestamp>,
    /// How near to an end of the period, and to now, nothing is held against anybody; like 1h.
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = edge)]
    edge: SignedDuration,
    /// What is done about payments that nobody knows here and that name no account.
    #[arg(long, value_enum, default_value = "drift")]
    unknown: UnknownArg,
    /// How a file writes dates, where it does not show it.
    #[arg(long, value_enum, requires = "file")]
    dates: Option<DatesArg>,
    /// Keep in this file how far it is; the same command goes on from there.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// One JSON object for each difference, then one with the counts.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProviderArg {
    /// Stripe.
    Stripe,
    /// PayPal.
    Paypal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UnknownArg {
    /// They are differences.
    Drift,
    /// They are counted only.
    Ignore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DatesArg {
    /// 31/12/2026.
    Dmy,
    /// 12/31/2026.
    Mdy,
}

fn edge(text: &str) -> Result<SignedDuration, String> {
    let span: SignedDuration = text.parse().map_err(|_| "expected a time like 1h or 90m".to_owned())?;
    if span.is_negative() { Err("expected a time that is not below zero".to_owned()) } else { Ok(span) }
}

pub async fn run(services: &Services, args: &DriftArgs) -> anyhow::Result<ExitCode> {
    match compared(services, args).await {
        Err(error) if is_pipe(&error) => Err(error),
        // Status 1 says that there are differences, so whatever else went wrong is 2.
        Err(error) => Err(BadInput::new(format!("{error:#}"))),
        ended => ended,
    }
}

fn is_pipe(error: &anyhow::Error) -> bool {
    let of_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(of_pipe)
}

async fn compared(services: &Services, args: &DriftArgs) -> anyhow::Result<ExitCode> {
    let word = match args.provider {
        ProviderArg::Stripe => "stripe",
        ProviderArg::Paypal => "paypal",
    };
    let provider = provider(word).ok_or_else(|| BadInput::new(format!("no provider {word}")))?;
    let options = Options {
        provider,
        tenant: args.tenant.clone(),
        source: source(provider, args)?,
        from: args.from,
        to: args.to,
        edge: args.edge,
        unknown: match args.unknown {
            UnknownArg::Drift => Unknown::Drift,
            UnknownArg::Ignore => Unknown::Ignore,
        },
        state: args.state.clone(),
        page: PAGE,
        save_every: SAVE_EVERY,
    };
    let stop = CancellationToken::new();
    let on_signal = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_signal.cancel();
        }
    });
    let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let mut shown = Shown { json: args.json, bar };
    let ended = compare(services.reachable_database().await?, &options, &mut shown, &stop).await?;
    shown.bar.finish_and_clear();
    let Ended::Whole(counts) = ended else {
        let on = if args.state.is_some() { "the same command goes on from the state" } else { "without --state it begins anew" };
        eprintln!("interrupted: {on}; nothing was changed");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    print(&if args.json { summary_json(&counts) } else { summary(&counts) })?;
    Ok(ExitCode::from(match (counts.unreadable(), counts.drift()) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => 2,
    }))
}

fn source(provider: &'static str, args: &DriftArgs) -> anyhow::Result<Source> {
    let (Some(base), Some(key_file)) = (&args.base, &args.key_file) else {
        let order = args.dates.map(|dates| match dates {
            DatesArg::Dmy => DayOrder::DayFirst,
            DatesArg::Mdy => DayOrder::MonthFirst,
        });
        let path = args.file.clone().ok_or_else(|| BadInput::new("give the list with --file or --base"))?;
        return Ok(Source::File(path, order));
    };
    let base = Base::new(base).map_err(|error| BadInput::new(format!("--base: {error}")))?;
    let client = Client::new(system_roots(), PAGE_TIME)?.with_answers_of(PAGE_BYTES_MAX);
    let key = key(key_file)?;
    if provider != PAYPAL {
        return Ok(Source::Stripe(Service { client, base }, stripe::Key(key)));
    }
    let Some((client_id, secret)) = key.split_once(':') else {
        return Err(BadInput::new(format!("{} holds no CLIENT_ID:SECRET", key_file.display())));
    };
    let credentials = PayPalCredentials { client_id: client_id.to_owned(), secret: secret.to_owned() };
    let tokens = Tokens::new(client.clone(), base.clone(), credentials);
    Ok(Source::PayPal(Service { client, base }, Box::new(tokens)))
}

/// The key in a file, without the line break after it.
fn key(path: &Path) -> anyhow::Result<String> {
    let bad = |what: &str| BadInput::new(format!("the key file {} {what}; nothing was changed", path.display()));
    let about = std::fs::metadata(path).map_err(|error| bad(&format!("cannot be read ({error})")))?;
    if about.len() > KEY_BYTES_MAX {
        return Err(bad("is too large for a key"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| bad(&format!("cannot be read ({error})")))?;
    let key = text.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(bad("does not hold one key"));
    }
    Ok(key.to_owned())
}

/// Prints differences as they are found, with the progress out of the way.
struct Shown {
    json: bool,
    bar: ProgressBar,
}

impl Audience for Shown {
    fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        let line = if self.json { finding.json() } else { finding.to_string() };
        self.bar.suspend(|| print(&line)).map_err(|error| error.downcast().unwrap_or_else(io::Error::other))
    }

    fn progress(&mut self, progress: Progress) {
        let Progress { rows, bytes: (read, bytes), shards: (shard, shards) } = progress;
        let (done, all, template) = match (shard, bytes) {
            (0, 0) => (rows, 0, "{spinner} {pos} rows of the provider's list"),
            (0, _) => (read, bytes, "{wide_bar} {bytes}/{total_bytes} of the file, {eta} left"),
            _ => (u64::try_from(shard).unwrap_or(0), u64::try_from(shards).unwrap_or(0), "{wide_bar} {pos}/{len} shards of the ledger"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_length(all);
        self.bar.set_position(done);
    }
}

fn summary_json(counts: &Counts) -> String {
    let mut object = serde_json::json!(counts);
    object["summary"] = true.into();
    object["drift"] = counts.drift().into();
    object.to_string()
}

fn summary(counts: &Counts) -> String {
    let verdict = match counts.drift() {
        0 => "no difference".to_owned(),
        drift => {
            let kinds: Vec<String> = counts
                .found
                .iter()
                .filter(|(kind, _)| **kind != Kind::Unreadable)
                .map(|(kind, count)| format!("{} {count}", kind.word()))
                .collect();
            format!("{} ({})", told::count(drift, "difference", "differences"), kinds.join(", "))
        }
    };
    let mut looked_at = vec![
        told::count(counts.rows, "row there", "rows there"),
        told::count(counts.payments, "payment", "payments"),
        told::count(counts.reversals, "reversal", "reversals"),
        told::count(counts.granted, "payment granted here", "payments granted here"),
    ];
    for (count, what) in [
        (counts.unknown, "unknown here"),
        (counts.outside, "outside the period"),
        (counts.at_the_edge, "too near to an end of the period or to now"),
        (counts.other_currency, "in another currency, amounts not compared"),
    ] {
        if count > 0 {
            looked_at.push(format!("{count} {what}"));
        }
    }
    let text = format!("{verdict}: {}", looked_at.join(", "));
    match counts.unreadable() {
        0 => text,
        bad => format!("{text}\n{} could not be read: the report is not whole", told::count(bad, "row", "rows")),
    }
}
