//! Where a case runs: a simulation in memory, or Postgres with memory beside it.
//!
//! Owns how a line is handed in, and what became of it, the same from both. Never judges it.

use super::case::Case;
use super::lines::{self, ACCOUNT};
use crate::world::{TENANT, World};
use credit_ledger::domain::entry::Entry;
use credit_ledger::domain::grant::Grant;
use credit_ledger::message::Line;
use credit_ledger::secrets::Secrets;
use credit_ledger::simulate::{self, Simulation};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use tokio::process::Command;

/// What became of a line.
pub struct Told {
    pub outcome: String,
    pub reasons: Vec<String>,
    pub entries: Vec<Entry>,
    pub events: Vec<Value>,
}

pub enum Stage<'a> {
    /// The simulation that reads message files.
    Memory(Box<Simulation>),
    /// The scenarios' harness, which compares both stores; with how many entries and announcements were seen.
    Postgres(&'a mut World, usize, usize),
}

impl<'a> Stage<'a> {
    /// A simulation with the catalog of a case.
    pub async fn in_memory(case: &Case) -> Self {
        let mut stage = Self::Memory(Box::new(Simulation::new(PathBuf::new(), Secrets::default())));
        stage.take(&lines::catalog(case)).await;
        stage
    }

    /// A harness that was made with the catalog of the case.
    pub fn in_postgres(world: &'a mut World) -> Self {
        Self::Postgres(world, 0, 0)
    }

    /// Takes a line that is no reading.
    pub async fn take(&mut self, line: &Value) -> Told {
        match self {
            Self::Memory(simulation) => {
                let simulate::Step::Done(effects) = simulation.take(&parsed(line)).await.unwrap() else { panic!("a reading: {line}") };
                Told {
                    outcome: effects.outcome.word().to_owned(),
                    reasons: effects.reasons,
                    entries: effects.entries.into_iter().map(|(_, entry)| entry).collect(),
                    events: effects.events.iter().map(|event| serde_json::from_str(event.get()).unwrap()).collect(),
                }
            }
            Self::Postgres(world, entries, events) => {
                let answer = handed_in(world, line).await;
                let (outcome, reasons) = answer.split_once(": ").unwrap_or((answer.as_str(), ""));
                let (history, announced) = (world.history(ACCOUNT).await, world.events(ACCOUNT).await);
                let told = Told {
                    outcome: outcome.to_owned(),
                    reasons: reasons.split_whitespace().map(str::to_owned).collect(),
                    entries: history.iter().skip(*entries).map(|(entry, _)| entry.clone()).collect(),
                    events: announced.iter().skip(*events).cloned().collect(),
                };
                (*entries, *events) = (history.len(), announced.len());
                told
            }
        }
    }

    /// The account now, or as `of` says, in the form of the message contract.
    pub async fn read(&mut self, of: &Map<String, Value>) -> Value {
        match self {
            Self::Memory(simulation) => {
                let step = simulation.take(&parsed(&lines::reading(of))).await.unwrap();
                let simulate::Step::Shown(_, view) = step else { panic!("no reading: {of:?}") };
                serde_json::from_str::<Value>(&view.json(None)).unwrap()["account"].clone()
            }
            Self::Postgres(world, ..) if of.is_empty() => now(world).await,
            Self::Postgres(world, ..) => past(world, of).await,
        }
    }
}

fn parsed(line: &Value) -> Line {
    Line::parse(&line.to_string()).unwrap_or_else(|error| panic!("{line}: {error}")).unwrap()
}

async fn handed_in(world: &mut World, line: &Value) -> String {
    if let Some(at) = line["tick"].as_str() {
        world.tick(at).await;
        return "applied".to_owned();
    }
    match line.get("event") {
        Some(event) => world.stripe(event).await,
        None => world.send(line.clone()).await,
    }
}

async fn now(world: &World) -> Value {
    let account = world.account(ACCOUNT).await;
    let lots = world.lots(ACCOUNT).await;
    json!({
        "balance": account.balance.to_string(), "held": account.held.to_string(), "frozen": account.frozen.to_string(),
        "available": account.available().unwrap().to_string(), "debt": account.debt.to_string(),
        "grants": lots.iter().map(lot).collect::<Vec<_>>(),
    })
}

fn lot(grant: &Grant) -> Value {
    let terms = &grant.terms;
    json!({"grant": terms.id.as_str(), "source": terms.source.word(), "remaining": grant.remaining.to_string()})
}

/// What the program says of a past instant.
async fn past(world: &World, of: &Map<String, Value>) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credit-ledger"));
    command.args(["balance", TENANT, ACCOUNT, "--json"]).env("DATABASE_URL", &world.database.as_ref().unwrap().url);
    for (key, value) in of {
        command.arg(format!("--{key}")).arg(value.as_str().unwrap());
    }
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{of:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["account"].clone()
}
