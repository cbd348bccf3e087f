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

/// How many events of each type came, and one of the more telling types.
pub fn events(events: &[Heard]) {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (kind, _) in events {
        let count = counts.entry(kind).or_default();
        *count = count.saturating_add(1);
    }
    let mut table = table(&["Event", "Received"]);
    for (kind, count) in &counts {
        table.add_row([Cell::new(kind), right(count.to_string())]);
    }
    println!("{table}");
    say("\nEach came once and in order; the ranges of entries they cover have no gap. Three of them:");
    for kind in ["balance.changed", "cycle.reset", "message.quarantined"] {
        if let Some((_, event)) = events.iter().find(|(heard, _)| heard == kind) {
            println!("  {kind} {}", sample(event));
        }
    }
}

fn sample(event: &Value) -> String {
    let mut data = event["data"].clone();
    if let Some(entries) = data.get_mut("entries") {
        *entries = format!("({} of them)", entries.as_array().map_or(0, Vec::len)).into();
    }
    data.to_string()
}
