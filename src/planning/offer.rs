//! What a catalog offers, and whether a scenario asks for what is there.
//!
//! Owns telling what is not there, with what is. Never decides what the ledger decides: it only says it before
//! and in words that fit a command line.

use super::pattern::Pattern;
use super::{PlanningError, Scenario};
use crate::catalog::{self, CatalogErrors, CatalogFile};
use crate::domain::account::AccountKind;
use crate::domain::calendar::Interval;
use crate::domain::catalog::{Catalog, GrantOn, Plan};
use crate::domain::credits::{Money, Overflow};
use crate::domain::ids::Id;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeSet;

/// A catalog file that was read once, as it is and as a message file carries it.
#[derive(Debug, Clone)]
pub struct Offer {
    name: String,
    file: CatalogFile,
    tree: Value,
}

/// A scenario under an offer.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// The paid interval.
    pub(super) interval: Interval,
    /// Whom the add-ons are for; a person where they do not say.
    pub(super) kind: AccountKind,
    /// The catalog as the ledger is given it.
    pub(super) tree: Value,
    /// What the add-on units cost a cycle.
    pub(super) units: Money,
    /// What the packages cost in each month.
    pub(super) packages: Vec<Money>,
    /// What is taken for granted, for people.
    pub(super) notes: Vec<String>,
}

impl Offer {
    /// Reads the TOML text of the catalog called `name`.
    ///
    /// # Errors
    /// Everything wrong with it, each with its line.
    pub fn parse(name: &str, text: &str) -> Result<Self, CatalogErrors> {
        let file = catalog::parse(name, text)?;
        // Nothing of a catalog that could be read has no form in JSON.
        let tree = toml::from_str(text).unwrap_or_default();
        Ok(Self { name: name.to_owned(), file, tree })
    }

    /// The file, as the caller named it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is sold.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.file.catalog
    }

    /// What a scenario comes to.
    ///
    /// # Errors
    /// [`PlanningError::Asked`] for what is not there or does not fit.
    pub(super) fn terms(&self, scenario: &Scenario) -> Result<Terms, PlanningError> {
        let catalog = self.catalog();
        let plans = catalog.plans.keys();
        let plan = catalog.plans.get(&scenario.plan).ok_or_else(|| missing("plan", &scenario.plan, "plans", plans))?;
        let mut notes = Vec::new();
        let mut tree = self.tree.clone();
        if plan.grant_on == GrantOn::Payment {
            let known = tree.get_mut("plans").and_then(|plans| plans.get_mut(scenario.plan.as_str()));
            if let Some(plan) = known.and_then(Value::as_object_mut) {
                plan.remove("grant_on");
            }
            notes.push("The plan grants when its invoice is paid: every invoice counts as paid when its cycle opens.".to_owned());
        }
        for pattern in &scenario.usage {
            priced(catalog, pattern)?;
        }
        Ok(Terms {
            interval: interval(plan, scenario)?,
            kind: kind(catalog, scenario)?,
            tree,
            units: units(catalog, scenario)?,
            packages: packages(catalog, scenario)?,
            notes,
        })
    }
}

fn interval(plan: &Plan, scenario: &Scenario) -> Result<Interval, PlanningError> {
    match (plan.interval, scenario.interval) {
        (Some(sold), Some(asked)) if sold != asked => Err(PlanningError::Asked(format!(
            "the plan {} is sold by the {sold}, not by the {asked}; leave --interval out, or give --interval {sold}",
            scenario.plan
        ))),
        (sold, asked) => Ok(asked.or(sold).unwrap_or(Interval::Month)),
    }
}

/// The kind of account that all add-ons are for.
fn kind(catalog: &Catalog, scenario: &Scenario) -> Result<AccountKind, PlanningError> {
    let mut wanted: Option<(&Id, AccountKind)> = None;
    for id in scenario.addons.keys() {
        let addon = catalog.addons.get(id).ok_or_else(|| missing("add-on", id, "add-ons", catalog.addons.keys()))?;
        if !addon.plans.is_empty() && !addon.plans.contains(&scenario.plan) {
            let plan = &scenario.plan;
            let fits = |id: &&Id| catalog.addons.get(*id).is_some_and(|addon| addon.plans.is_empty() || addon.plans.contains(plan));
            let fitting = list(catalog.addons.keys().filter(fits));
            let fitting = fitting.map_or_else(|| "no add-on does".to_owned(), |fitting| format!("these do: {fitting}"));
            return Err(PlanningError::Asked(format!("the add-on {id} does not go with the plan {plan}; {fitting}")));
        }
        match (wanted, addon.scope) {
            (Some((other, kind)), Some(scope)) if kind != scope => {
                return Err(PlanningError::Asked(format!(
                    "the add-on {other} is for accounts of kind {kind}, the add-on {id} for {scope}; no account can have both"
                )));
            }
            (None, Some(scope)) => wanted = Some((id, scope)),
            (_, _) => {}
        }
    }
    Ok(wanted.map_or(AccountKind::User, |(_, kind)| kind))
}

/// What all add-on units cost a cycle.
fn units(catalog: &Catalog, scenario: &Scenario) -> Result<Money, Overflow> {
    let prices = scenario.addons.iter().filter_map(|(id, units)| Some((catalog.addons.get(id)?.unit_price, *units)));
    let prices: Vec<Money> =
        prices.map(|(price, units)| price.share_down(Decimal::from(units), Decimal::ONE)).collect::<Result<_, Overflow>>()?;
    Money::sum(prices)
}

/// What is paid for packages in each month.
fn packages(catalog: &Catalog, scenario: &Scenario) -> Result<Vec<Money>, PlanningError> {
    let mut prices = vec![Money::ZERO; usize::try_from(scenario.months).unwrap_or_default()];
    for (id, month) in &scenario.purchases {
        let package = catalog.packages.get(id).ok_or_else(|| missing("package", id, "packages", catalog.packages.keys()))?;
        let index = usize::try_from(*month).ok().and_then(|month| month.checked_sub(1));
        let Some(price) = index.and_then(|index| prices.get_mut(index)) else {
            return Err(PlanningError::Asked(format!(
                "the package {id} is bought in month {month}, and there are months 1 to {}",
                scenario.months
            )));
        };
        *price = price.plus(package.price)?;
    }
    Ok(prices)
}

/// Refuses a pattern whose usage no rate prices.
fn priced(catalog: &Catalog, pattern: &Pattern) -> Result<(), PlanningError> {
    if catalog.rates.rate(&pattern.meter, &pattern.dimensions).is_some() {
        return Ok(());
    }
    let meters: BTreeSet<&Id> = catalog.rates.iter().map(|rate| &rate.meter).collect();
    if !meters.contains(&pattern.meter) {
        return Err(missing("meter with a rate", &pattern.meter, "meters with rates", meters));
    }
    let rates = catalog.rates.iter().filter(|rate| rate.meter == pattern.meter);
    let shown = rates.map(|rate| {
        let dimensions: Vec<String> = rate.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}{{{}}}", rate.meter, dimensions.join(","))
    });
    let shown: Vec<String> = shown.collect();
    Err(PlanningError::Asked(format!("no rate prices {}; there are rates for {}", pattern.name(), shown.join(", "))))
}

fn missing<'a>(one: &str, id: &Id, many: &str, known: impl IntoIterator<Item = &'a Id>) -> PlanningError {
    let known = list(known).map_or_else(|| format!("the catalog has no {many}"), |known| format!("the {many} are {known}"));
    PlanningError::Asked(format!("{id} is no {one} of the catalog; {known}"))
}

fn list<'a>(ids: impl IntoIterator<Item = &'a Id>) -> Option<String> {
    let ids: Vec<&str> = ids.into_iter().map(Id::as_str).collect();
    (!ids.is_empty()).then(|| ids.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_is_given_what_was_read() {
        let offer = Offer::parse("example", include_str!("../../config/catalog.example.toml")).unwrap();
        assert_eq!(catalog::parse_json(&offer.tree), Ok(offer.file));
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let told = Offer::parse("a.toml", "currency = \"USD\"\n[plans.team]\nallowance = \"many\"\n").unwrap_err().to_string();
        assert!(told.starts_with("a.toml:3: plans.team.allowance"), "{told}");
    }
}
