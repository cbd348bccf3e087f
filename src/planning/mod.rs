//! A plan tried before it is shipped: what a customer on it would have, burn, lose and hand on, month by month.
//!
//! Owns which messages a scenario consists of and how what comes of them is told. Never applies a rule of the
//! ledger itself: the messages go through [`Simulation`], the same ledger as the worker's, and every number is
//! read from the entries that come out. Never reads a clock, a file or a database.
//!
//! Reading order: usage patterns ([`pattern`], `spread`), the calendar (`days`), the catalog (`offer`), the
//! messages, the months ([`month`]); then what is told of them: sentences, a plot ([`chart`]), a page
//! ([`report`]).

mod days;
mod meaning;
mod messages;
mod numerals;
mod offer;
mod spread;
mod svg;

pub mod chart;
pub mod month;
pub mod pattern;
pub mod report;

use crate::domain::account::Zone;
use crate::domain::calendar::Interval;
use crate::domain::credits::{Credits, Overflow};
use crate::domain::decision::Outcome;
use crate::domain::entry::EntryKind;
use crate::domain::ids::Id;
use crate::message::Line;
use crate::secrets::Secrets;
use crate::simulate::{Effects, Open, SimulateError, Simulation, Step};
use days::Day;
pub use days::Period;
use jiff::civil::{Date, DateTime};
use messages::Messages;
use month::{Books, Month, Sums};
pub use numerals::{grouped, percent};
pub use offer::Offer;
use offer::Terms;
use pattern::{Amount, Pattern};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Years a scenario may begin in: all its months lie within the years a message may name.
pub const YEARS: std::ops::RangeInclusive<i16> = 2000..=2389;
/// The most months of a scenario.
pub const MONTHS_MAX: u32 = 120;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The plan.
    pub plan: Id,
    /// The paid interval; absent: the plan's, else a month.
    pub interval: Option<Interval>,
    /// Units by add-on, from 1.
    pub addons: BTreeMap<Id, u32>,
    /// Packages, each with the month it is bought in, from 1.
    pub purchases: Vec<(Id, u32)>,
    /// What is used.
    pub usage: Vec<Pattern>,
    /// When the plan starts, in local time: the anchor of its cycles and of the months; see [`YEARS`].
    pub start: DateTime,
    /// The zone of the account.
    pub zone: Zone,
    /// How many months, 1 to [`MONTHS_MAX`].
    pub months: u32,
    /// What quantities are drawn from: the same seed draws the same.
    pub seed: u64,
}

/// Why a scenario cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum PlanningError {
    /// What it asks for is not in the catalog, or does not fit it.
    #[error("{0}")]
    Asked(String),
    /// The ledger refused a message of it.
    #[error("{0}")]
    Refused(String),
    /// The months are not what the ledger holds: a fault of this product.
    #[error("{0}; this is a fault of credit-ledger: please report it with the catalog and the command")]
    Sum(String),
    /// An amount leaves its bounds.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// The simulation stopped.
    #[error(transparent)]
    Simulation(#[from] SimulateError),
}

/// What came of a scenario.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// `Plan team, 12 months from 1 January 2026`.
    pub title: String,
    /// What was tried: terms with what they were.
    pub about: Vec<(&'static str, String)>,
    /// What was taken for granted.
    pub notes: Vec<String>,
    /// The paid interval.
    pub interval: Interval,
    /// Of the prices.
    pub currency: Id,
    /// Month by month, at least one.
    pub months: Vec<Month>,
    /// All of them together.
    pub total: Sums,
    /// Days on which usage was refused.
    pub refused_on: BTreeSet<Date>,
    /// Days on which usage went into debt.
    pub indebted_on: BTreeSet<Date>,
    /// True when there was any usage.
    pub is_used: bool,
}

/// Lets the months of a scenario pass.
///
/// # Errors
/// [`PlanningError`]: what was asked for is not there, was refused, or does not add up.
pub async fn run(offer: &Offer, scenario: &Scenario) -> Result<Outlook, PlanningError> {
    let terms = offer.terms(scenario)?;
    let beyond = || PlanningError::Asked(format!("{} months from {} leave the calendar", scenario.months, scenario.start));
    let (periods, days) = days::calendar(scenario.start, &scenario.zone, scenario.months).ok_or_else(beyond)?;
    let mut usage = Vec::new();
    for (index, pattern) in scenario.usage.iter().enumerate() {
        let seed = scenario.seed.wrapping_add(u64::try_from(index).unwrap_or_default());
        let grows = |Overflow| PlanningError::Asked(format!("{} grows beyond 18 digits; let it grow less", pattern.text));
        usage.push((pattern, spread::daily(pattern, &days, periods.len(), seed).map_err(grows)?));
    }
    let mut trial = Trial {
        simulation: Simulation::new(PathBuf::new(), Secrets::default()),
        messages: Messages::new().map_err(|error| PlanningError::Refused(error.to_string()))?,
        books: Books::new(&periods),
    };
    trial.begin(scenario, &terms, &periods).await?;
    for (month, period) in periods.iter().enumerate() {
        for (index, day) in days.iter().enumerate().filter(|(_, day)| day.month == month) {
            if day.date == period.first {
                trial.buy(scenario, day).await?;
            }
            for (pattern, quantities) in &usage {
                let quantity = quantities.get(index).copied().unwrap_or_default();
                trial.record(pattern, quantity, day).await?;
            }
        }
        trial.end(month, period).await?;
    }
    let months = trial.books.close(terms.units, &terms.packages);
    outlook((offer, scenario), terms, months, days.len())
}

/// A scenario under way.
struct Trial {
    simulation: Simulation,
    messages: Messages,
    books: Books,
}

impl Trial {
    /// The tenant with its catalog, somebody of its staff, the account and its plan.
    async fn begin(&mut self, scenario: &Scenario, terms: &Terms, periods: &[Period]) -> Result<(), PlanningError> {
        let Some(at) = periods.first().map(|period| period.from) else { return Ok(()) };
        let lines = [
            self.messages.catalog(terms.tree.clone()),
            self.messages.staff(at),
            self.messages.account(at, terms.kind, &scenario.zone),
            self.messages.subscription(at, scenario, terms.interval),
        ];
        for line in lines {
            self.apply(&line, || format!("the plan {} cannot be started", scenario.plan)).await?;
        }
        Ok(())
    }

    /// The packages that are bought in the month that a day begins.
    async fn buy(&mut self, scenario: &Scenario, day: &Day) -> Result<(), PlanningError> {
        let here = |month: u32| usize::try_from(month).is_ok_and(|month| month == day.month + 1);
        for (package, _) in scenario.purchases.iter().filter(|(_, month)| here(*month)) {
            for line in self.messages.purchase(day.morning, package) {
                self.apply(&line, || format!("the package {package} cannot be bought by a credit request")).await?;
            }
        }
        Ok(())
    }

    /// A day's usage; it may be refused for lack of credits, and for nothing else.
    async fn record(&mut self, pattern: &Pattern, quantity: Credits, day: &Day) -> Result<(), PlanningError> {
        if quantity.is_zero() {
            return Ok(());
        }
        let line = self.messages.usage(day.noon, pattern, quantity);
        let effects = self.take(&line).await?;
        if effects.entries.iter().any(|(_, entry)| entry.kind == EntryKind::DebtIncurred) {
            self.books.owe(day.month, day.date);
        }
        match &effects.outcome {
            Outcome::Applied => Ok(()),
            Outcome::Rejected(_) if effects.reasons == ["insufficient_credits"] => {
                let price = price(&effects).ok_or_else(|| PlanningError::Sum(format!("{} was refused without a price", pattern.name())))?;
                Ok(self.books.refuse(day.month, day.date, price)?)
            }
            Outcome::Duplicate | Outcome::Rejected(_) | Outcome::Ignored | Outcome::Waiting | Outcome::Quarantined(_) => {
                Err(refused(&format!("{} cannot be used on {}", pattern.name(), day.date), &effects))
            }
        }
    }

    /// The end of a month: what is due by then happens, and the month is proved.
    async fn end(&mut self, month: usize, period: &Period) -> Result<(), PlanningError> {
        self.take(&Line::Tick(period.until)).await?;
        let numbers = self.simulation.numbers().await;
        let ledger = numbers.get(self.messages.key()).ok_or_else(|| PlanningError::Sum("the ledger has no account".to_owned()))?;
        self.books.prove(month, ledger)
    }

    /// Takes a line that must be applied; `what` says what cannot be done otherwise.
    async fn apply(&mut self, line: &Line, what: impl FnOnce() -> String) -> Result<(), PlanningError> {
        let effects = self.take(line).await?;
        if effects.outcome == Outcome::Applied { Ok(()) } else { Err(refused(&what(), &effects)) }
    }

    async fn take(&mut self, line: &Line) -> Result<Effects, PlanningError> {
        match self.simulation.take(line).await? {
            Step::Done(effects) => {
                for (_, entry) in &effects.entries {
                    self.books.enter(entry)?;
                }
                Ok(effects)
            }
            Step::Shown(key, _) => Err(PlanningError::Sum(format!("the account {key} was shown, and nothing asked for it"))),
        }
    }
}

/// What refused usage would have cost, as it is announced.
fn price(effects: &Effects) -> Option<Credits> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        kind: String,
        data: serde_json::Value,
    }
    let read = |event: &str| serde_json::from_str::<Event>(event).ok();
    let refused = effects.events.iter().filter_map(|event| read(event.get())).find(|event| event.kind == "usage.rejected")?;
    Credits::parse(refused.data.get("credits")?.as_str()?).ok()
}

fn refused(what: &str, effects: &Effects) -> PlanningError {
    let detail = match &effects.open {
        Some(Open::Unreadable(detail)) => format!(" ({detail})"),
        Some(Open::Waits(..)) | None => String::new(),
    };
    PlanningError::Refused(format!("{what}: {} {}{detail}", effects.outcome.word(), effects.reasons.join(", ")))
}

fn outlook((offer, scenario): (&Offer, &Scenario), terms: Terms, months: Vec<Month>, days: usize) -> Result<Outlook, PlanningError> {
    let mut notes = terms.notes;
    for pattern in &scenario.usage {
        if let Amount::Listed(listed) = &pattern.amount
            && listed.len() < days
        {
            notes.push(format!("{} lists {} of {days} days; nothing is used after them.", pattern.text, listed.len()));
        }
    }
    let every = |days: fn(&Month) -> &BTreeSet<Date>| -> BTreeSet<Date> { months.iter().flat_map(days).copied().collect() };
    Ok(Outlook {
        title: scenario.title(),
        about: scenario.about(offer.name(), terms.interval),
        notes,
        interval: terms.interval,
        currency: offer.catalog().currency.clone(),
        total: month::total(&months)?,
        refused_on: every(|month| &month.refused_on),
        indebted_on: every(|month| &month.indebted_on),
        is_used: !scenario.usage.is_empty(),
        months,
    })
}

#[cfg(test)]
mod tests;
