//! `simulate`: prints what each line of a message file does.

use super::messages::{folder_of, name_of, read_lines};
use super::{BadInput, Services, print, told};
use crate::domain::entry::Entry;
use crate::message::entry_json;
use crate::simulate::{Effects, Open, SimulateError, Simulation, Step};
use crate::statement;
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The message file; `-` for standard input.
    file: PathBuf,
    /// One JSON object for each line.
    #[arg(long)]
    json: bool,
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
    let lines = read_lines(&args.file)?;
    let mut simulation = Simulation::new(folder_of(&args.file), services.secrets()?);
    for (number, line) in lines {
        let step = simulation.take(&line).await.map_err(|error| match error {
            SimulateError::Line(reason) => {
                BadInput::new(format!("{}:{number}: {reason}; the simulation stopped there", name_of(&args.file)))
            }
            SimulateError::Failure(failure) => {
                anyhow::Error::new(failure).context(format!("{}:{number}: the simulation stopped there", name_of(&args.file)))
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
