//! A case run step by step, and everything in it that is not as expected.
//!
//! Owns what can be expected of a step. A failure names case, step, what was expected and what was found.

use super::case::{Case, Operation, Step};
use super::lines::{message, setup, tick};
use super::stage::{Stage, Told};
use credit_ledger::domain::entry::{Direction, Entry};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Lots in burn order: name and remainder.
type Lots = Vec<(String, String)>;

/// Runs a case and says what is not as expected.
pub async fn run(case: &Case, stage: &mut Stage<'_>) -> Vec<String> {
    for line in setup(case) {
        let told = stage.take(&line).await;
        assert_eq!((told.outcome.as_str(), told.entries.len()), ("applied", 0), "{}: {line}", case.id);
    }
    let mut wrong = Vec::new();
    for (index, step) in case.steps.iter().enumerate() {
        let number = index + 1;
        let found = observe(case, (step, number), stage).await;
        let mut expected = step.expect.clone();
        expected.entry("outcome").or_insert_with(|| json!("applied"));
        for (what, expected) in &expected {
            let found = found.get(what).unwrap_or_else(|| panic!("{} step {number} expects {what}, which nobody looks for", case.id));
            if found != expected {
                let done = format!("{} step {number} ({:?} at {})", case.id, step.operation, step.at);
                wrong.push(format!("{done}: {what}: expected {expected}, found {found}"));
            }
        }
    }
    wrong
}

/// Takes a step and says everything that can be expected of it.
async fn observe(case: &Case, (step, number): (&Step, usize), stage: &mut Stage<'_>) -> Map<String, Value> {
    let now = Map::new();
    let mut told = stage.take(&tick(&step.at)).await;
    let before = lots(case, &stage.read(&now).await);
    if let Some(message) = message(step, number) {
        let Told { outcome, reasons, entries, events } = stage.take(&message).await;
        (told.outcome, told.reasons) = (outcome, reasons);
        told.entries.extend(entries);
        told.events.extend(events);
    }
    let account = stage.read(if step.operation == Operation::Read { &step.with } else { &now }).await;
    let after = lots(case, &account);
    let mut found = json!({
        "outcome": told.outcome,
        "reasons": told.reasons,
        "entries": told.entries.iter().map(shown).collect::<Vec<_>>(),
        "burned": burned(&before, &after),
        "lots": after,
        "quoted": last(&told, "quote.made").map(|quote| json!({"credits": quote["credits"], "available_after": quote["available_after"]})),
        "next_reset": last(&told, "cycle.reset").map(|reset| reset["next_boundary"].clone()),
    });
    for name in ["balance", "available", "held", "frozen", "debt"] {
        found[name] = account[name].clone();
    }
    found.as_object().cloned().unwrap()
}

/// The data of the last announcement of a type.
fn last<'a>(told: &'a Told, kind: &str) -> Option<&'a Value> {
    told.events.iter().rev().find(|event| event["type"] == kind).map(|event| &event["data"])
}

/// Kind and amount; of a kind that leaves the balance alone, the change of held, frozen or debt.
fn shown(entry: &Entry) -> [String; 2] {
    let amount = match entry.kind.direction() {
        Direction::In | Direction::Out => entry.amount,
        Direction::Neutral => {
            [entry.held_change, entry.frozen_change].into_iter().find(|change| !change.is_zero()).unwrap_or(entry.debt_change)
        }
    };
    [entry.kind.word().to_owned(), amount.to_string()]
}

/// A lot has the name the case gave it; one that the ledger made itself is called by its source.
fn lots(case: &Case, account: &Value) -> Lots {
    let grants = || case.steps.iter().filter(|step| step.operation == Operation::Grant);
    let named = |id: &Value| grants().any(|step| step.with.get("grant") == Some(id));
    let lot = |lot: &Value| {
        let name = if named(&lot["grant"]) { &lot["grant"] } else { &lot["source"] };
        (text(name), text(&lot["remaining"]))
    };
    account["grants"].as_array().unwrap().iter().map(lot).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// By how much each name has less than before.
fn burned(before: &[(String, String)], after: &[(String, String)]) -> BTreeMap<String, String> {
    let left = |lots: &[(String, String)], name: &str| -> Decimal {
        lots.iter().filter(|(one, _)| one == name).map(|(_, remaining)| remaining.parse::<Decimal>().unwrap()).sum()
    };
    let less = |(name, _): &(String, String)| (name.clone(), left(before, name) - left(after, name));
    let burned = before.iter().map(less).filter(|(_, less)| *less > Decimal::ZERO);
    burned.map(|(name, less)| (name, less.normalize().to_string())).collect()
}
