//! `export`: entries and payments as CSV or JSON lines, to standard output or into a file.
//!
//! Owns how a period is read, and that no half file stands under the name that was asked for. Never changes the
//! ledger.

use super::admin::id;
use super::new_file::NewFile;
use super::{BadInput, Services, told};
use crate::domain::account::Zone;
use crate::domain::ids::Id;
use crate::export::{ExportError, Format, PAGE, Scope, What, export};
use crate::store::postgres::query::export::Period;
use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{Timestamp, civil};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// Every entry, by account and number; of a period, those recorded in it.
    #[command(
        after_help = "Example: credit-ledger export entries acme --from 2026-01-01 --to 2026-02-01 --zone Europe/Berlin --output january.csv"
    )]
    Entries {
        #[command(flatten)]
        of: ExportArgs,
        #[command(flatten)]
        period: PeriodArgs,
    },
    /// Every payment with what it bought and what was reversed, by account and name; of a period, those paid in it.
    #[command(after_help = "Example: credit-ledger export payments acme --account user-42 --format json\n\
                            Payers' names and addresses are in it, unless `credit-ledger erase-payer` erased them.")]
    Payments {
        #[command(flatten)]
        of: ExportArgs,
        #[command(flatten)]
        period: PeriodArgs,
    },
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Whose.
    #[arg(value_parser = id)]
    tenant: Id,
    /// One account instead of all of them.
    #[arg(long, value_parser = id, value_name = "ID")]
    account: Option<Id>,
    /// How rows are spelt.
    #[arg(long, value_enum, default_value = "csv")]
    format: FormatArg,
    /// Write into this file instead of standard output; it is replaced once all of it is there.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct PeriodArgs {
    /// Only what was recorded, or paid, at or after this: a date like 2026-01-31, or an instant like 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Only what was recorded, or paid, before this.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Where a date begins at midnight.
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    zone: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// A header, then one line each, as spreadsheets read it.
    Csv,
    /// One JSON object a line.
    Json,
}

impl PeriodArgs {
    fn period(&self) -> anyhow::Result<Period> {
        let zone = Zone::named(&self.zone).ok_or_else(|| {
            BadInput::new(format!(
                "--zone {:?} is no time zone that is known; nothing was exported; write it like Europe/Berlin",
                self.zone
            ))
        })?;
        let from = self.from.as_deref().map(|text| begin("--from", text, &zone)).transpose()?;
        let to = self.to.as_deref().map(|text| begin("--to", text, &zone)).transpose()?;
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            return Err(BadInput::new(format!(
                "--from {from} is not before --to {to}, so nothing can lie between them; nothing was exported; --to is the first \
                 moment that is left out"
            )));
        }
        Ok(Period { from, to })
    }
}

/// An instant, or the midnight a date begins with.
fn begin(option: &str, text: &str, zone: &Zone) -> anyhow::Result<Timestamp> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    // The reader of dates would take a time without an offset, and drop it.
    let date = text.parse::<civil::Date>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'));
    let midnight = date.and_then(|date| date.to_zoned(zone.rules().clone()).ok());
    midnight.map(|midnight| midnight.timestamp()).ok_or_else(|| {
        BadInput::new(format!(
            "{option} {text:?} cannot be read; nothing was exported; write a date like 2026-01-31, or date, time and offset like \
             2026-01-31T12:00:00Z"
        ))
    })
}

pub async fn run(services: &Services, command: &ExportCommand) -> anyhow::Result<ExitCode> {
    let (of, what, words) = match command {
        ExportCommand::Entries { of, period } => (of, What::Entries(period.period()?), ("entry", "entries")),
        ExportCommand::Payments { of, period } => (of, What::Payments(period.period()?), ("payment", "payments")),
    };
    let rows = match &of.output {
        Some(path) => into_file(services, (of, what), path).await?,
        None => {
            let url = services.reachable_database().await?;
            // Nobody sees a bar between the lines.
            let bar = bar(!io::stdout().is_terminal());
            written(url, (of, what), &mut io::stdout(), &bar).await?
        }
    };
    let whose = of.account.as_ref().map_or_else(|| of.tenant.to_string(), |account| format!("{}/{account}", of.tenant));
    let into = of.output.as_ref().map_or_else(String::new, |path| format!(" in {}", path.display()));
    // The export is whole, whoever hears of it.
    let _ = writeln!(io::stderr(), "{} of {whose}{into}", told::count(rows, words.0, words.1));
    Ok(ExitCode::SUCCESS)
}

/// Leaves nothing behind when it is stopped.
async fn into_file(services: &Services, asked: (&ExportArgs, What), path: &Path) -> anyhow::Result<u64> {
    let mut file = NewFile::beside(path, "nothing was exported")?;
    let bar = bar(true);
    let all = async { written(services.reachable_database().await?, asked, file.new.as_file_mut(), &bar).await };
    let rows = tokio::select! {
        rows = all => rows,
        () = told_to_stop() => Err(anyhow!("it was told to stop")),
    };
    let rows = rows.with_context(|| format!("{} was not written", file.path.display()))?;
    let path = file.path.clone();
    let stood = file.stand();
    stood.map_err(|error| anyhow!("{} cannot be written: {error}; it is as it was before; export again", path.display()))?;
    Ok(rows)
}

async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn written(url: &str, (of, what): (&ExportArgs, What), out: &mut (dyn Write + Send), bar: &ProgressBar) -> anyhow::Result<u64> {
    let scope = Scope { tenant: of.tenant.clone(), account: of.account.clone(), page: PAGE };
    let format = match of.format {
        FormatArg::Csv => Format::Csv,
        FormatArg::Json => Format::Json,
    };
    let mut out = BufWriter::new(out);
    let exported = export(url, (what, &scope), (format, &mut out), |rows| bar.set_position(rows)).await;
    bar.finish_and_clear();
    exported.map_err(|error| match error {
        unknown @ (ExportError::NoTenant(_) | ExportError::NoAccount(_)) => BadInput::new(unknown.to_string()),
        other => other.into(),
    })
}

fn bar(may_be_seen: bool) -> ProgressBar {
    if !may_be_seen || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} exported, {per_sec}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, zone: &str) -> Option<String> {
        begin("--from", text, &Zone::named(zone).unwrap()).ok().map(|at| at.to_string())
    }

    #[test]
    fn a_date_is_its_midnight_and_an_instant_is_itself() {
        for (text, zone, at) in [
            ("2026-01-31", "UTC", "2026-01-31T00:00:00Z"),
            ("2026-01-31", "Europe/Berlin", "2026-01-30T23:00:00Z"),
            ("2026-07-01", "Europe/Berlin", "2026-06-30T22:00:00Z"),
            // There is no midnight on this day: the clocks go from 23:59 to 01:00.
            ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z"),
            ("2026-01-31T12:00:00+01:00", "America/Sao_Paulo", "2026-01-31T11:00:00Z"),
        ] {
            assert_eq!(read(text, zone).as_deref(), Some(at), "{text} {zone}");
        }
        for text in ["", "yesterday", "2026-02-30", "2026-01-31T12:00", "2026-01-31 12:00:00", "31.01.2026", "2026-01"] {
            assert_eq!(read(text, "UTC"), None, "{text}");
        }
    }
}
