//! What one catalog version changes against the one before, for people.
//!
//! Owns the words. Never decides whether a change is allowed.

use crate::domain::account::AccountKind;
use crate::domain::calendar::Interval;
use crate::domain::catalog::{Addon, Catalog, Package, Plan, PriceTarget, Service};
use crate::domain::grant::RolloverRule;
use crate::domain::ids::Id;
use crate::domain::rate_card::Rate;
use crate::domain::settings::Insufficient;
use std::collections::BTreeMap;
use std::fmt::Display;

/// The fields of one thing that say something, by key.
type Shown = BTreeMap<&'static str, String>;

/// One readable line for each thing that was added, removed or changed, with old and new values; no
/// line when nothing differs. `old` is absent for a tenant's first version.
#[must_use]
pub fn changes(old: Option<&Catalog>, new: &Catalog) -> Vec<String> {
    let before = old.map(show).unwrap_or_default();
    let after = show(new);
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter_map(|name| line(&name.1, before.get(name), after.get(name))).collect()
}

fn line(name: &str, before: Option<&Shown>, after: Option<&Shown>) -> Option<String> {
    match (before, after) {
        (None, Some(shown)) => Some(format!("added {name}{}", list(shown))),
        (Some(shown), None) => Some(format!("removed {name}{}", list(shown))),
        (Some(before), Some(after)) if before != after => Some(format!("changed {name}: {}", difference(before, after))),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn list(shown: &Shown) -> String {
    let fields: Vec<_> = shown.iter().map(|(key, value)| format!("{key} {value}")).collect();
    format!(": {}", fields.join(", "))
}

fn difference(before: &Shown, after: &Shown) -> String {
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let value = |shown: &Shown, key: &str| shown.get(key).map_or_else(|| "none".to_owned(), Clone::clone);
    let differs = |key: &&&&'static str| before.get(**key) != after.get(**key);
    let fields = keys.iter().filter(differs).map(|key| format!("{key} {} -> {}", value(before, key), value(after, key)));
    fields.collect::<Vec<_>>().join(", ")
}

/// Everything in a catalog by kind, in the order of the file, and name.
fn show(catalog: &Catalog) -> BTreeMap<(u8, String), Shown> {
    let mut all = BTreeMap::from([((0, "currency".to_owned()), Shown::from([("code", catalog.currency.to_string())]))]);
    all.extend(catalog.packages.iter().map(|(id, package)| ((1, format!("package {id}")), show_package(package))));
    all.extend(catalog.plans.iter().map(|(id, plan)| ((2, format!("plan {id}")), show_plan(plan))));
    all.extend(catalog.addons.iter().map(|(id, addon)| ((3, format!("addon {id}")), show_addon(addon))));
    all.extend(catalog.rates.iter().map(|rate| ((4, rate_name(rate)), show_rate(rate))));
    all.extend(catalog.services.iter().map(|(id, service)| ((5, format!("service {id}")), show_service(service))));
    all.extend(catalog.stripe_prices.iter().map(|(id, target)| ((6, format!("stripe price {id}")), show_target(target))));
    all.extend(catalog.paypal_plans.iter().map(|(id, target)| ((7, format!("paypal plan {id}")), show_target(target))));
    all
}

/// Keeps the fields that say something.
fn shown<const N: usize>(fields: [(&'static str, Option<String>); N]) -> Shown {
    fields.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).collect()
}

fn text(value: impl Display) -> String {
    value.to_string()
}

fn names(ids: &[Id]) -> Option<String> {
    (!ids.is_empty()).then(|| ids.iter().map(Id::as_str).collect::<Vec<_>>().join("+"))
}

fn show_package(package: &Package) -> Shown {
    shown([
        ("credits", Some(text(package.credits))),
        ("bonus", Some(text(package.bonus))),
        ("price", Some(text(package.price))),
        ("expires_after", package.expires_after.map(|span| span.to_string())),
        ("refundable", Some(text(package.refundable))),
        ("checkout_url", package.checkout_url.clone()),
    ])
}

fn show_plan(plan: &Plan) -> Shown {
    shown([
        ("allowance", Some(text(plan.allowance))),
        ("interval", plan.interval.map(Interval::word).map(text)),
        ("allowance_every", plan.allowance_every.map(Interval::word).map(text)),
        ("grant_on", Some(text(plan.grant_on))),
        ("rollover", plan.rollover.as_ref().map(rollover)),
        ("prorate", Some(text(plan.prorate))),
        ("scope", names(&plan.scope)),
    ])
}

fn rollover(rule: &RolloverRule) -> String {
    let fields = shown([
        ("min", Some(text(rule.min))),
        ("max", rule.max.map(text)),
        ("max_percent", rule.max_percent.map(text)),
        ("count", rule.count.map(text)),
        ("cycles", rule.cycles.map(text)),
    ]);
    let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key} {value}")).collect();
    format!("({})", fields.join(", "))
}

fn show_addon(addon: &Addon) -> Shown {
    shown([
        ("credits_per_unit", Some(text(addon.credits_per_unit))),
        ("unit_price", Some(text(addon.unit_price))),
        ("scope", addon.scope.map(AccountKind::word).map(text)),
        ("plans", names(&addon.plans)),
    ])
}

/// A rate has no key; its meter and dimensions name it, and no card holds two that are alike.
fn rate_name(rate: &Rate) -> String {
    let dimensions = rate.dimensions.iter().map(|(name, value)| format!(" {}={}", plain(name), plain(value)));
    format!("rate {}{}", rate.meter, dimensions.collect::<String>())
}

/// Quoted unless it reads as one word, so that two rates never look alike and a line stays one.
fn plain(word: &str) -> String {
    let simple = !word.is_empty() && word.chars().all(|letter| letter.is_alphanumeric() || "_-.:/".contains(letter));
    if simple { word.to_owned() } else { format!("{word:?}") }
}

fn show_rate(rate: &Rate) -> Shown {
    shown([
        ("price", Some(text(rate.price))),
        ("per", Some(text(rate.per))),
        ("minimum", Some(text(rate.minimum))),
        ("scale", Some(text(rate.scale))),
        ("insufficient", rate.insufficient.map(Insufficient::word).map(text)),
    ])
}

fn show_service(service: &Service) -> Shown {
    shown([("eligible", Some(text(service.eligible))), ("credits", service.credits.map(text))])
}

fn show_target(target: &PriceTarget) -> Shown {
    match target {
        PriceTarget::Plan(id) => shown([("plan", Some(text(id)))]),
        PriceTarget::Addon(id) => shown([("addon", Some(text(id)))]),
    }
}
