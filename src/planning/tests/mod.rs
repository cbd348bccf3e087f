//! A plan tried: patterns, months, and what is told of them.

mod months;
mod patterns;
mod telling;

use super::pattern::Pattern;
use super::{Offer, Outlook, PlanningError, Scenario, run};
use crate::domain::account::Zone;
use crate::domain::credits::Credits;
use crate::domain::ids::Id;
use std::collections::BTreeMap;
use std::io;

const CATALOG: &str = r#"
currency = "USD"
[packages.starter]
credits = "500"
bonus = "50"
price = "20.00"
expires_after = "P1M"
[plans.team]
allowance = "1000"
rollover = { max = "200" }
[plans.plain]
allowance = "100"
[plans.yearly]
allowance = "1200"
interval = "year"
[plans.billed]
allowance = "1000"
grant_on = "payment"
[addons.extra]
credits_per_unit = "200"
unit_price = "30.00"
plans = ["team"]
[addons.seats]
credits_per_unit = "10"
unit_price = "1.00"
scope = "user"
[addons.pool]
credits_per_unit = "10"
unit_price = "1.00"
scope = "workspace"
[[rates]]
meter = "image"
price = "1"
[[rates]]
meter = "image"
dimensions = { quality = "high" }
price = "5"
[[rates]]
meter = "film"
price = "1"
insufficient = "allow"
[[rates]]
meter = "note"
dimensions = { kind = "long" }
price = "1"
"#;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn credits(text: &str) -> Credits {
    Credits::parse(text).unwrap()
}

/// A pattern; there are three files.
fn pattern(text: &str) -> Result<Pattern, super::pattern::PatternError> {
    Pattern::parse(text, |file| match file {
        "days.txt" => Ok("3\n0\n2.5\n".to_owned()),
        "bad.txt" => Ok("1\nmany\n".to_owned()),
        "empty.txt" => Ok("\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    })
}

fn scenario(plan: &str, months: u32, usage: &[&str]) -> Scenario {
    Scenario {
        plan: id(plan),
        interval: None,
        addons: BTreeMap::new(),
        purchases: Vec::new(),
        usage: usage.iter().map(|text| pattern(text).unwrap()).collect(),
        start: "2026-01-01T00:00:00".parse().unwrap(),
        zone: Zone::utc(),
        months,
        seed: 1,
    }
}

async fn tried(catalog: &str, scenario: &Scenario) -> Result<Outlook, PlanningError> {
    run(&Offer::parse("catalog.toml", catalog).unwrap(), scenario).await
}

async fn outlook(scenario: &Scenario) -> Outlook {
    tried(CATALOG, scenario).await.unwrap()
}
