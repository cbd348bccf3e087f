//! What the demonstration prints: headings, outcomes, statements, events.
//!
//! Owns the look. Reads entries; never anything but what it shows.

use super::stage::Heard;
use crate::domain::entry::{Direction, Entry};
use crate::domain::ids::{Printable, Prose};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;
use std::collections::BTreeMap;

/// How wide an outcome line is before its outcome.
const SAYS: usize = 74;

/// A new part of the story.
pub fn heading(text: &str) {
    println!("\n== {text} ==\n");
}

/// A sentence of it.
pub fn say(text: &str) {
    println!("{text}");
}

/// One message and what became of it.
pub fn outcome(says: &str, outcome: &str) {
    println!("  {says:<SAYS$} {outcome}");
}

/// An account's balance, as it should be.
pub fn balance(account: &str, credits: i64) {
    println!("    {account} has {credits} credits");
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Every entry of an account with its running balance.
pub fn statement(account: &str, entries: &[Entry]) {
    println!("\nStatement of {account}, {} entries", entries.len());
    let mut table = table(&["Date", "Type", "Kind", "Reference", "Amount", "Balance"]);
    for entry in entries {
        let direction = match entry.kind.direction() {
            Direction::In => "In",
            Direction::Out => "Out",
            Direction::Neutral => "",
        };
        let reference = entry.reference.as_ref().map(Printable::as_str).or(entry.memo.as_ref().map(Prose::as_str)).unwrap_or_default();
        table.add_row([
            Cell::new(entry.occurred_at.strftime("%Y-%m-%d")),
            Cell::new(direction),
            Cell::new(entry.kind.word()),
            Cell::new(reference),
            right(entry.amount.to_string()),
            right(entry.balance_after.to_string()),
        ]);
    }
    println!("{table}\n");
}

/// The agency's events one by one, and how many of each type came of the studio's year.
pub fn events(events: &[Heard]) {
    let (agency, studio): (Vec<&Heard>, Vec<&Heard>) = events.iter().partition(|(_, event)| event["tenant"] == "agency");
    say("The agency's, in the order they came:\n");
    let mut one_by_one = table(&["Event", "Account", "Entries", "Says"]);
    for (kind, event) in agency {
        let data = &event["data"];
        let range = data["to_seq"].as_u64().map(|last| format!("{}\u{2013}{last}", data["from_seq"])).unwrap_or_default();
        one_by_one.add_row([
            Cell::new(kind),
            Cell::new(event["subject"].as_str().unwrap_or_default()),
            Cell::new(range),
            Cell::new(says(data)),
        ]);
    }
    println!("{one_by_one}");
    say("\nThe studio's, a year of them:\n");
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (kind, _) in studio {
        let count = counts.entry(kind).or_default();
        *count = count.saturating_add(1);
    }
    let mut table = table(&["Event", "Received"]);
    for (kind, count) in &counts {
        table.add_row([Cell::new(kind), right(count.to_string())]);
    }
    println!("{table}");
    say("\nEach came once and in order; the ranges of entries they cover have no gap.");
}

/// What of an event's data tells most.
fn says(data: &Value) -> String {
    let told = ["balance", "reasons", "request", "reference", "reason", "status"].iter().find(|key| !data[**key].is_null());
    let value = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    told.map(|key| format!("{key} {}", value(&data[*key]))).unwrap_or_default()
}
