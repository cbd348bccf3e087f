//! What a scenario was, and what came of it, in plain sentences.
//!
//! Owns the words. Never computes a number of the ledger.

use super::numerals::{grouped, percent};
use super::{Outlook, Scenario};
use crate::domain::calendar::Interval;
use crate::domain::credits::Credits;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// A day as people write it: `21 March 2026`.
fn day(date: Date) -> String {
    date.strftime("%-d %B %Y").to_string()
}

/// `1 month`, `12 months`.
fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

impl Scenario {
    /// `Plan team, 12 months from 1 January 2026`.
    pub(super) fn title(&self) -> String {
        let months = usize::try_from(self.months).unwrap_or_default();
        format!("Plan {}, {} from {}", self.plan, counted(months, "month"), day(self.start.date()))
    }

    /// What is tried, term by term.
    pub(super) fn about(&self, catalog: &str, interval: Interval) -> Vec<(&'static str, String)> {
        let mut about = vec![
            ("Catalog", catalog.to_owned()),
            ("Plan", format!("{}, by the {interval}", self.plan)),
            ("Start", format!("{} ({})", self.start, self.zone.name())),
        ];
        let addons: Vec<String> = self.addons.iter().map(|(addon, units)| format!("{units} × {addon}")).collect();
        let purchases: Vec<String> = self.purchases.iter().map(|(package, month)| format!("{package} in month {month}")).collect();
        let usage: Vec<&str> = self.usage.iter().map(|pattern| pattern.text.as_str()).collect();
        let listed = [("Add-ons", addons.join(", ")), ("Packages", purchases.join(", ")), ("Usage", usage.join("; "))];
        about.extend(listed.into_iter().filter(|(_, text)| !text.is_empty()));
        if self.usage.iter().any(super::Pattern::is_drawn) {
            about.push(("Seed", self.seed.to_string()));
        }
        about
    }
}

impl Outlook {
    /// Three to five sentences.
    #[must_use]
    pub fn meaning(&self) -> Vec<String> {
        let sentences = [Some(self.burning()), Some(self.losing()), Some(self.covering()), self.handing_on(), self.paying()];
        sentences.into_iter().flatten().collect()
    }

    /// What came in from outside, and how.
    fn given(&self) -> (Credits, &'static str) {
        let given = self.total.granted.plus(self.total.bought).unwrap_or(self.total.granted);
        match (self.total.granted.is_zero(), self.total.bought.is_zero()) {
            (_, true) => (given, "granted"),
            (true, false) => (given, "bought"),
            (false, false) => (given, "granted and bought"),
        }
    }

    fn burning(&self) -> String {
        let (given, how) = self.given();
        let Some(share) = percent(self.total.burned, given) else { return "The plan granted nothing, and nothing was bought.".to_owned() };
        let (burned, given) = (grouped(self.total.burned), grouped(given));
        format!("The customer burned {burned} of the {given} credits that were {how} ({share}) and ends with {}.", grouped(self.total.end))
    }

    fn losing(&self) -> String {
        if self.total.lost.is_zero() {
            return "No credits were lost.".to_owned();
        }
        let (given, how) = self.given();
        let months = self.months.iter().filter(|month| !month.sums.lost.is_zero()).count();
        let share = percent(self.total.lost, given).map_or_else(String::new, |share| format!(", {share} of what was {how}"));
        let all = counted(self.months.len(), "month");
        format!("In {months} of {all} credits were lost unused: {} in all{share}.", grouped(self.total.lost))
    }

    fn covering(&self) -> String {
        if !self.is_used {
            return "Nothing was used.".to_owned();
        }
        let on = |days: &BTreeSet<Date>| days.first().map(|first| format!("{}, first on {}", counted(days.len(), "day"), day(*first)));
        let refused =
            on(&self.refused_on).map(|days| format!("Usage was refused on {days}: {} credits in all.", grouped(self.total.refused)));
        let indebted = on(&self.indebted_on).map(|days| {
            let (arose, owed) = (grouped(self.total.indebted), grouped(self.total.owed));
            format!("Usage went into debt on {days}: {arose} credits in all, of which {owed} are owed at the end.")
        });
        let said: Vec<String> = refused.into_iter().chain(indebted).collect();
        if said.is_empty() { "All usage was covered.".to_owned() } else { said.join(" ") }
    }

    fn handing_on(&self) -> Option<String> {
        let months = self.months.iter().filter(|month| !month.sums.handed_on.is_zero()).count();
        let total = grouped(self.total.handed_on);
        (months > 0).then(|| format!("Rollover handed on {total} credits to the next cycle, in {}.", counted(months, "month")))
    }

    fn paying(&self) -> Option<String> {
        let price = |what: &str, amount: Credits| (!amount.is_zero()).then(|| format!("{what} cost {} {}", grouped(amount), self.currency));
        let units = price("add-on units", self.total.addons_price);
        let packages = price("packages", self.total.packages_price);
        let said: Vec<String> = units.into_iter().chain(packages).collect();
        let said = said.join(" and ");
        let mut letters = said.chars();
        let first = letters.next()?.to_uppercase();
        Some(format!("{first}{}; the plan itself has no price in the catalog.", letters.as_str()))
    }
}
