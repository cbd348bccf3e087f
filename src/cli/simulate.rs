//! `simulate`: prints what each line of a message file does; with `--plan`, what comes of a plan (`plan`).

use super::messages::{folder_of, name_of, read_lines};
use super::plan::{self, PlanArgs};
use super::{BadInput, Services, print, told};
use crate::domain::entry::Entry;
use crate::message::entry_json;
use crate::simulate::{Effects, Open, SimulateError, Simulation, Step};
use crate::statement;
use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `simulate --help` ends with.
pub const HELP: &str = "\
Example: credit-ledger simulate messages.jsonl --json
It begins with nothing: a tenant's catalog and settings must stand in the file before its first message, which is \
quarantined as unknown_tenant otherwise. The catalog is a file beside the message file, or an object:

  {\"tenant\": \"acme\", \"catalog\": \"catalog.toml\"}

To see month by month what a customer on a plan would have, burn, lose and hand on:

  credit-ledger simulate --catalog catalog.toml --plan team --usage image=700/month --html team.html

Usage patterns:
  image=20/day                 the same every day
  image=700/month              spread evenly over the days of the month; /week as well
  image=10..30/day             drawn for each day; the same --seed draws the same
  image=700/month,+10%         each month a tenth more than the month before; -10% less
  image=20/day,weekdays        Monday to Friday only
  image{quality=high}=20/day   with dimensions, as the rates have them
  image=@days.txt              one quantity a line, one line a day
Quantities are spread and drawn in steps of their decimal places: 700 in whole units, 700.00 in hundredths.

Exit status: 0 every line was read, whatever the outcomes, or the plan was tried; 2 a line, a file or an option cannot be \
read or used, and nothing was written.";

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("tried").required(true).args(["file", "plan"])))]
pub struct SimulateArgs {
    /// The message file; `-` for standard input.
    file: Option<PathBuf>,
    /// One JSON object for each line, or one for the plan.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trial: PlanArgs,
}

/// What a line did, for programs.
#[derive(Serialize)]
struct Shown<'a> {
    line: usize,
    outcome: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [String],
    entries: Vec<serde_json::Value>,
    events: &'a [Box<RawValue>],
}

pub async fn run(services: &Services, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    if let Some(plan) = &args.trial.plan {
        return plan::run(&args.trial, plan, args.json).await;
    }
    let Some(file) = &args.file else { return Err(BadInput::new("no message file was named; nothing was done")) };
    let lines = read_lines(file)?;
    let mut simulation = Simulation::new(folder_of(file), services.secrets()?);
    for (number, line) in lines {
        let step = simulation.take(&line).await.map_err(|error| match error {
            SimulateError::Line(reason) => BadInput::new(format!("{}:{number}: {reason}; the simulation stopped there", name_of(file))),
            SimulateError::Failure(failure) => {
                anyhow::Error::new(failure).context(format!("{}:{number}: the simulation stopped there", name_of(file)))
            }
        })?;
        print(&match step {
            Step::Shown(_, view) if args.json => view.json(Some(number)),
            Step::Done(effects) if args.json => json(number, &effects)?,
            Step::Shown(key, view) => format!("{number}: {key}\n{}", indented(&view.text())),
            Step::Done(effects) => text(number, &effects),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json(line: usize, effects: &Effects) -> anyhow::Result<String> {
    let shown = Shown {
        line,
        outcome: effects.outcome.word(),
        reasons: &effects.reasons,
        entries: effects.entries.iter().map(|(_, entry)| entry_json(entry)).collect(),
        events: &effects.events,
    };
    Ok(serde_json::to_string(&shown)?)
}

fn text(line: usize, effects: &Effects) -> String {
    let reasons = effects.reasons.join(", ");
    let mut text = format!("{line}: {}{}{reasons}", effects.outcome.word(), if reasons.is_empty() { "" } else { ": " });
    let open = effects.open.as_ref().map(|open| match open {
        Open::Waits(account, on, deadline) => told::wait(account.as_ref(), on, *deadline),
        Open::Unreadable(detail) => detail.clone(),
    });
    // Writing to a String cannot fail.
    let _ = open.map(|open| write!(text, "\n  {open}"));
    // One table for each run of entries of one account.
    for run in effects.entries.chunk_by(|(left, _), (right, _)| left == right) {
        let Some((key, _)) = run.first() else { continue };
        let entries: Vec<Entry> = run.iter().map(|(_, entry)| entry.clone()).collect();
        let _ = write!(text, "\n  {key}\n{}", indented(&statement::history(&entries)));
    }
    text
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}
