//! The `[[rates]]` of a catalog file.
//!
//! Owns their keys, defaults and bounds, and shows every pair the rate card would refuse. Never
//! decides what matches an event: `domain::rate_card` does.

use super::fields::{Fields, Least};
use super::tree::Value;
use crate::domain::credits::{Credits, SCALE_MAX};
use crate::domain::ids::Id;
use crate::domain::rate_card::{Rate, RateCard};
use std::collections::BTreeMap;

/// The card; `None` with the reasons noted.
pub(super) fn card(file: &Fields<'_>) -> Option<RateCard> {
    let keys = ["meter", "dimensions", "price", "per", "minimum", "scale", "insufficient"];
    let tables = file.tables("rates", &keys);
    let rates: Vec<_> = tables.iter().filter_map(|fields| rate(fields).map(|rate| (fields, rate))).collect();
    for (index, later) in rates.iter().enumerate() {
        for earlier in rates.iter().take(index) {
            clash(earlier, later);
        }
    }
    RateCard::new(rates.into_iter().map(|(_, rate)| rate).collect()).ok()
}

/// Notes at the later rate that both can match one event.
fn clash(earlier: &(&Fields<'_>, Rate), later: &(&Fields<'_>, Rate)) {
    if RateCard::new(vec![earlier.1.clone(), later.1.clone()]).is_err() {
        let line = earlier.0.line().map(|line| format!(" of line {line}")).unwrap_or_default();
        later.0.note_table(&format!(
            "and {}{line} can both match one event of meter {} and neither is more specific; give them different values of one dimension, or remove one",
            earlier.0.path(),
            later.1.meter,
        ));
    }
}

fn rate(fields: &Fields<'_>) -> Option<Rate> {
    let meter = fields.required("meter", meter(fields));
    let price = fields.required("price", fields.amount("price", Least::Zero));
    Some(Rate {
        dimensions: dimensions(fields),
        per: fields.amount("per", Least::AboveZero).unwrap_or(Credits::whole(1)),
        minimum: fields.amount("minimum", Least::Zero).unwrap_or(Credits::ZERO),
        scale: fields.integer("scale", 0, SCALE_MAX).unwrap_or(SCALE_MAX),
        insufficient: fields.word("insufficient"),
        meter: meter?,
        price: price?,
    })
}

fn meter(fields: &Fields<'_>) -> Option<Id> {
    let text = fields.text("meter")?;
    Id::new(text).map_err(|error| fields.wrong("meter", &format!("is {text:?}; {error}"))).ok()
}

/// `dimensions = { quality = "high" }`: values are strings, as in usage.
fn dimensions(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let Some(node) = fields.get("dimensions") else { return BTreeMap::new() };
    let Value::Table(entries) = &node.value else {
        fields.wrong("dimensions", &format!("is {}; it must be a table of strings", node.value.kind()));
        return BTreeMap::new();
    };
    let mut dimensions = BTreeMap::new();
    for entry in entries {
        if let Value::Text(value) = &entry.node.value {
            dimensions.insert(entry.key.clone(), value.clone());
        } else {
            let key = format!("dimensions.{}", entry.key);
            fields.note(entry.line, &key, &format!("is {}; it must be a string, as usage has it", entry.node.value.kind()));
        }
    }
    dimensions
}
