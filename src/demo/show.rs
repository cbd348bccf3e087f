//! What the demonstration prints: headings, outcomes, statements, events.
//!
//! Owns the look. Reads entries; never anything but what it shows.

use super::stage::Heard;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;
use sqlx::PgPool;
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
pub async fn statement(pool: &PgPool, tenant: &str, account: &str) -> anyhow::Result<()> {
    let lines: Vec<(String, String, String, String, String, String)> = sqlx::query_as(
        "select to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM-DD'), case direction when 'in' then 'In' when 'out' then 'Out' else '' end, \
         e.kind, coalesce(e.reference, e.memo, ''), trim_scale(amount)::text, trim_scale(balance_after)::text \
         from entries e join accounts a using (shard, account_id) where a.tenant = $1 and a.account = $2 order by seq",
    )
    .bind(tenant)
    .bind(account)
    .fetch_all(pool)
    .await?;
    println!("\nStatement of {account}, {} entries", lines.len());
    let mut table = table(&["Date", "Type", "Kind", "Reference", "Amount", "Balance"]);
    for (date, direction, kind, reference, amount, balance) in lines {
        table.add_row([Cell::new(date), Cell::new(direction), Cell::new(kind), Cell::new(reference), right(amount), right(balance)]);
    }
    println!("{table}\n");
    Ok(())
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
