//! The catalog file: TOML text, or the same as JSON in a message file, to the domain's catalog.
//!
//! Owns the file's keys, its rules and its error messages (message contract, Catalog). Never reads
//! a file itself, never stores anything and never numbers a version: `store` does.

mod changes;
mod fields;
mod goods;
mod policies;
mod problem;
mod rates;
mod tree;

pub use changes::changes;
pub use problem::{CatalogError, CatalogErrors};

use crate::domain::catalog::{Catalog, PriceTarget};
use crate::domain::ids::{Id, Printable};
use crate::domain::settings::SettingsChange;
use fields::Fields;
use problem::Problems;
use std::collections::BTreeMap;
use tree::Node;

/// What a catalog file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// A tenant made from it has a time of its own (message contract, Test clock).
    pub test_clock: bool,
    /// What is sold; `version` 0 and `effective_at` absent until it is stored.
    pub catalog: Catalog,
    /// The keys of `[policies]` that are there, in the contract's order; absent ones stay as the
    /// tenant has them. For a new tenant: `policies.applied_to(&Settings::default())`.
    pub policies: SettingsChange,
}

const KEYS: [&str; 10] = ["currency", "test_clock", "packages", "plans", "addons", "rates", "services", "policies", "stripe", "paypal"];

/// Reads the TOML text of the file called `name`.
///
/// # Errors
/// Everything wrong with it, each with its line; only syntax errors if there are any.
pub fn parse(name: &str, text: &str) -> Result<CatalogFile, CatalogErrors> {
    let problems = Problems::new(name);
    let file = tree::from_toml(text, &problems).and_then(|root| read(&root, &problems));
    problems.or(file)
}

/// Reads a catalog that stands inside a message file, under the same rules.
///
/// # Errors
/// Everything wrong with it, without lines, as the file `catalog`.
pub fn parse_json(value: &serde_json::Value) -> Result<CatalogFile, CatalogErrors> {
    let problems = Problems::new("catalog");
    let file = read(&tree::from_json(value), &problems);
    problems.or(file)
}

/// `None` or a value; a value counts only if no problem was noted.
fn read(root: &Node, problems: &Problems) -> Option<CatalogFile> {
    let file = Fields::closed(String::new(), root, &KEYS, problems);
    let plans = file.names("plans");
    let addons = file.names("addons");
    let targets = Targets { plans: keys(&plans), addons: keys(&addons) };
    let currency = currency(&file);
    let test_clock = file.boolean("test_clock").unwrap_or(false);
    let packages = each(file.names("packages"), |id, node| goods::package(id, node, problems));
    let plans = each(plans, |id, node| goods::plan(id, node, problems));
    let addons = each(addons, |id, node| goods::addon(id, node, &targets.plans, problems));
    let services = each(file.names("services"), |id, node| Some(goods::service(id, node, problems)));
    let rates = rates::card(&file);
    let stripe_prices = targets.map(&file, "stripe", "prices", problems);
    let paypal_plans = targets.map(&file, "paypal", "plans", problems);
    let policies = policies::read(&file);
    let catalog = Catalog {
        version: 0,
        effective_at: None,
        currency: currency?,
        packages,
        plans,
        addons,
        rates: rates?,
        services,
        stripe_prices,
        paypal_plans,
    };
    Some(CatalogFile { test_clock, catalog, policies })
}

/// Reads every item; one that cannot be read has been noted and is left out.
fn each<T>(named: Vec<(Id, &Node)>, item: impl Fn(&Id, &Node) -> Option<T>) -> BTreeMap<Id, T> {
    named.into_iter().filter_map(|(id, node)| item(&id, node).map(|item| (id, item))).collect()
}

fn keys(named: &[(Id, &Node)]) -> Vec<Id> {
    named.iter().map(|(id, _)| id.clone()).collect()
}

/// Three upper-case letters.
fn currency(file: &Fields<'_>) -> Option<Id> {
    let text = file.required("currency", file.text("currency"))?;
    let good = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    let currency = good.then(|| Id::new(text).ok()).flatten();
    if currency.is_none() {
        file.wrong("currency", &format!("is {text:?}; it must be an ISO 4217 code of three upper-case letters, such as \"USD\""));
    }
    currency
}

/// What a provider's price id may stand for: the plans and add-ons of the same file.
struct Targets {
    plans: Vec<Id>,
    addons: Vec<Id>,
}

impl Targets {
    /// `[stripe.prices]` or `[paypal.plans]`.
    fn map(&self, file: &Fields<'_>, provider: &str, key: &str, problems: &Problems) -> BTreeMap<Printable, PriceTarget> {
        let Some(provider) = file.table(provider, &[key]) else { return BTreeMap::new() };
        let Some(node) = provider.get(key) else { return BTreeMap::new() };
        let prices = Fields::open(provider.at(key), node, problems);
        prices.entries().iter().filter_map(|entry| self.entry(&prices, &entry.key)).collect()
    }

    fn entry(&self, prices: &Fields<'_>, key: &str) -> Option<(Printable, PriceTarget)> {
        let id = Printable::new(key).map_err(|error| prices.wrong(key, &format!("is not a price id; {error}"))).ok();
        let text = prices.text(key)?;
        let target = self.target(text);
        if target.is_none() {
            prices.wrong(key, &format!("is {text:?}; it must be \"plans.<key>\" or \"addons.<key>\" of this catalog"));
        }
        Some((id?, target?))
    }

    fn target(&self, text: &str) -> Option<PriceTarget> {
        let named = |prefix: &str, of: &[Id]| {
            let key = text.strip_prefix(prefix)?;
            of.iter().find(|id| id.as_str() == key).cloned()
        };
        named("plans.", &self.plans).map(PriceTarget::Plan).or_else(|| named("addons.", &self.addons).map(PriceTarget::Addon))
    }
}

#[cfg(test)]
mod tests;
