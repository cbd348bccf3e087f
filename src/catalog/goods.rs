//! Packages, plans, add-ons and services of a catalog file.
//!
//! Owns their keys, defaults and bounds. Never knows where the text came from.

use super::fields::{Fields, Least};
use super::problem::Problems;
use super::tree::Node;
use crate::domain::calendar::{CalendarSpan, Interval};
use crate::domain::catalog::{Addon, GrantOn, Package, Plan, Service};
use crate::domain::credits::Credits;
use crate::domain::grant::RolloverRule;
use crate::domain::ids::Id;

/// `[packages.<id>]`
pub(super) fn package(id: &Id, node: &Node, problems: &Problems) -> Option<Package> {
    let keys = ["credits", "bonus", "price", "expires_after", "refundable", "checkout_url"];
    let fields = Fields::closed(format!("packages.{id}"), node, &keys, problems);
    let credits = fields.required("credits", fields.amount("credits", Least::AboveZero));
    let price = fields.required("price", fields.amount("price", Least::AboveZero));
    Some(Package {
        bonus: fields.amount("bonus", Least::Zero).unwrap_or(Credits::ZERO),
        expires_after: expires_after(&fields),
        refundable: fields.boolean("refundable").unwrap_or(true),
        checkout_url: checkout_url(&fields),
        credits: credits?,
        price: price?,
    })
}

fn expires_after(fields: &Fields<'_>) -> Option<CalendarSpan> {
    let text = fields.text("expires_after")?;
    let span = CalendarSpan::parse(text);
    if span.is_none() {
        fields.wrong("expires_after", &format!("is {text:?}; it must be an ISO 8601 duration above zero, such as \"P1M\" or \"P90D\""));
    }
    span
}

fn checkout_url(fields: &Fields<'_>) -> Option<String> {
    let text = fields.text("checkout_url")?;
    let plain = !text.chars().any(|letter| letter.is_control() || letter.is_whitespace());
    let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if plain && address.is_some_and(|rest| !rest.is_empty()) {
        return Some(text.to_owned());
    }
    fields.wrong("checkout_url", &format!("is {text:?}; it must begin with https:// or http:// and hold no spaces"));
    None
}

/// `[plans.<id>]`
pub(super) fn plan(id: &Id, node: &Node, problems: &Problems) -> Option<Plan> {
    let keys = ["allowance", "interval", "allowance_every", "grant_on", "rollover", "prorate", "scope"];
    let fields = Fields::closed(format!("plans.{id}"), node, &keys, problems);
    let allowance = fields.required("allowance", fields.amount("allowance", Least::Zero));
    let (interval, every) = (interval(&fields, "interval"), interval(&fields, "allowance_every"));
    if every == Some(Interval::Year) && interval != Some(Interval::Year) {
        fields.wrong("allowance_every", "is longer than the interval; set interval = \"year\", or allowance_every = \"month\"");
    }
    let grant_on = fields.word("grant_on");
    Some(Plan {
        interval,
        allowance_every: every,
        grant_on: grant_on.unwrap_or(GrantOn::Cycle),
        rollover: rollover(&fields, allowance),
        prorate: fields.boolean("prorate").unwrap_or(false),
        scope: fields.ids("scope").into_iter().map(|(id, _)| id).collect(),
        allowance: allowance?,
    })
}

/// A word, or the same as an ISO 8601 duration (message contract, Formats).
fn interval(fields: &Fields<'_>, key: &str) -> Option<Interval> {
    match fields.text(key)? {
        "P1M" => Some(Interval::Month),
        "P1Y" => Some(Interval::Year),
        _ => fields.word(key),
    }
}

/// `rollover = { … }`; what it leaves out has the domain's defaults.
fn rollover(plan: &Fields<'_>, allowance: Option<Credits>) -> Option<RolloverRule> {
    let fields = plan.table("rollover", &["min", "max", "max_percent", "count", "cycles"])?;
    let rule = RolloverRule {
        min: fields.amount("min", Least::Zero).unwrap_or(Credits::ZERO),
        max: fields.amount("max", Least::Zero),
        max_percent: fields.amount("max_percent", Least::Zero),
        count: fields.integer("count", 0, u32::MAX),
        cycles: fields.integer("cycles", 1, u32::MAX),
    };
    let hundred = Credits::whole(100);
    if let Some(percent) = rule.max_percent.filter(|percent| *percent > hundred) {
        fields.wrong("max_percent", &format!("is {percent}; it must be at most 100, the whole allowance"));
        return Some(rule);
    }
    let share = |percent: Credits| allowance?.share_down(percent.decimal(), hundred.decimal()).ok();
    if let Some(max) = rule.max.filter(|max| rule.min > *max) {
        fields.wrong("min", &format!("is {}, above max {max}; lower min or raise max", rule.min));
    } else if let Some(max) = rule.max_percent.and_then(share).filter(|max| rule.min > *max) {
        fields.wrong("min", &format!("is {}, above the {max} that max_percent allows; lower min or raise max_percent", rule.min));
    }
    Some(rule)
}

/// `[addons.<id>]`; `plans` are the keys of all plans of the file.
pub(super) fn addon(id: &Id, node: &Node, plans: &[Id], problems: &Problems) -> Option<Addon> {
    let fields = Fields::closed(format!("addons.{id}"), node, &["credits_per_unit", "unit_price", "scope", "plans"], problems);
    let credits_per_unit = fields.required("credits_per_unit", fields.amount("credits_per_unit", Least::AboveZero));
    let unit_price = fields.required("unit_price", fields.amount("unit_price", Least::Zero));
    let goes_with = fields.ids("plans");
    for (plan, line) in goes_with.iter().filter(|(plan, _)| !plans.contains(plan)) {
        fields.note(*line, "plans", &format!("names {plan}, which is no plan of this catalog; add [plans.{plan}] or take it out"));
    }
    Some(Addon {
        scope: fields.word("scope"),
        plans: goes_with.into_iter().map(|(plan, _)| plan).collect(),
        credits_per_unit: credits_per_unit?,
        unit_price: unit_price?,
    })
}

/// `[services.<id>]`
pub(super) fn service(id: &Id, node: &Node, problems: &Problems) -> Service {
    let fields = Fields::closed(format!("services.{id}"), node, &["eligible", "credits"], problems);
    Service { eligible: fields.boolean("eligible").unwrap_or(true), credits: fields.amount("credits", Least::AboveZero) }
}
