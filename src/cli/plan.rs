//! `simulate --plan`: what a customer on a plan would have, month by month.
//!
//! Owns the options, the table and the JSON of it, and that no half page stands under the name that was asked
//! for. Needs no service and reads no clock.

use super::admin::id;
use super::new_file::NewFile;
use super::{BadInput, print};
use crate::domain::account::Zone;
use crate::domain::calendar::Interval;
use crate::domain::ids::Id;
use crate::planning::month::{COLUMNS, Column, Month, Sums, columns};
use crate::planning::pattern::Pattern;
use crate::planning::{self, MONTHS_MAX, Offer, Outlook, PlanningError, Scenario, YEARS, chart, grouped, report};
use crate::simulate::SimulateError;
use crate::statement;
use clap::{Args, ValueEnum};
use jiff::civil::DateTime;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(next_help_heading = "Trying a plan")]
pub struct PlanArgs {
    /// Try this plan of a catalog, month by month, instead of a message file.
    #[arg(long, value_parser = id, value_name = "ID", requires = "catalog")]
    pub(super) plan: Option<Id>,
    /// The catalog file.
    #[arg(long, value_name = "FILE", requires = "plan")]
    catalog: Option<PathBuf>,
    /// How many months.
    #[arg(long, default_value_t = 12, value_name = "N", requires = "plan")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MONTHS_MAX)))]
    months: u32,
    /// What is used of a meter, such as image=700/month; see below. Once for each meter.
    #[arg(long, value_name = "PATTERN", requires = "plan")]
    usage: Vec<String>,
    /// Units of an add-on, such as generative=2. Once for each add-on.
    #[arg(long, value_parser = addon, value_name = "ID=UNITS", requires = "plan")]
    addon: Vec<(Id, u32)>,
    /// A package that is bought in a month, such as starter@3 in the third. As often as it is bought.
    #[arg(long, value_parser = purchase, value_name = "PACKAGE@MONTH", requires = "plan")]
    buy: Vec<(Id, u32)>,
    /// The paid interval; by default the plan's, else a month.
    #[arg(long, value_enum, value_name = "INTERVAL", requires = "plan")]
    interval: Option<IntervalArg>,
    /// When it starts, in local time: a date like 2026-01-31, or 2026-01-31T12:00:00. Cycles and months are counted from it.
    #[arg(long, value_parser = start, default_value = "2026-01-01", value_name = "DATE", requires = "plan")]
    start: DateTime,
    /// The time zone of the account.
    #[arg(long, value_parser = zone, default_value = "UTC", value_name = "ZONE", requires = "plan")]
    time_zone: Zone,
    /// What quantities are drawn from; the same seed draws the same.
    #[arg(long, default_value_t = 1, value_name = "N", requires = "plan")]
    seed: u64,
    /// Write a page with chart and table, too; it stands alone.
    #[arg(long, value_name = "FILE", requires = "plan")]
    html: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum IntervalArg {
    /// A month.
    Month,
    /// A year.
    Year,
}

impl From<IntervalArg> for Interval {
    fn from(interval: IntervalArg) -> Self {
        match interval {
            IntervalArg::Month => Self::Month,
            IntervalArg::Year => Self::Year,
        }
    }
}

fn addon(text: &str) -> Result<(Id, u32), String> {
    let (name, units) = text.split_once('=').ok_or("write the add-on and its units, such as generative=2")?;
    let units = units.parse::<u32>().ok().filter(|units| *units > 0).ok_or("units are a whole number from 1, such as generative=2")?;
    Ok((id(name)?, units))
}

fn purchase(text: &str) -> Result<(Id, u32), String> {
    let (name, month) = text.split_once('@').ok_or("write the package and the month, such as starter@3")?;
    let month = month.parse::<u32>().ok().filter(|month| *month > 0).ok_or("a month is a number from 1, such as starter@3")?;
    Ok((id(name)?, month))
}

/// A date, which begins at midnight, or a date with a time of day; nothing that merely resembles one.
fn start(text: &str) -> Result<DateTime, String> {
    let whole = if text.len() == "2026-01-31".len() { format!("{text}T00:00:00") } else { text.to_owned() };
    let read = whole.parse::<DateTime>().ok().filter(|read| read.to_string() == whole);
    let local = read.ok_or("write a date like 2026-01-31, or a local date and time like 2026-01-31T12:00:00")?;
    if YEARS.contains(&local.year()) { Ok(local) } else { Err(format!("the year is {} to {}", YEARS.start(), YEARS.end())) }
}

fn zone(text: &str) -> Result<Zone, String> {
    Zone::named(text).ok_or_else(|| "it is no time zone that is known; write it like Europe/Berlin".to_owned())
}

/// Tries the plan `plan` and tells what came of it.
pub async fn run(args: &PlanArgs, plan: &Id, json: bool) -> anyhow::Result<ExitCode> {
    let Some(catalog) = args.catalog.as_deref() else { return Err(BadInput::new("--plan needs --catalog FILE; nothing was simulated")) };
    let offer = offer(catalog)?;
    let scenario = scenario(args, plan)?;
    // Begun before anything is computed, and given its name before anything is printed.
    let page = args.html.as_deref().map(|path| NewFile::beside(path, "nothing was simulated")).transpose()?;
    let outlook = planning::run(&offer, &scenario).await.map_err(wrong)?;
    if let Some(page) = page {
        written(page, &report::html(&outlook))?;
    }
    print(&if json { told(&scenario, &outlook) } else { text(&outlook) })?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page and gives it its name.
fn written(mut page: NewFile, text: &str) -> anyhow::Result<()> {
    let path = page.path.clone();
    let stood = page.new.write_all(text.as_bytes()).and_then(|()| page.stand());
    stood.map_err(|error| BadInput::new(format!("{} cannot be written: {error}; it is as it was before", path.display())))
}

fn offer(file: &Path) -> anyhow::Result<Offer> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| BadInput::new(format!("{name} cannot be read: {error}; nothing was simulated")))?;
    let read = Offer::parse(&name, &text);
    read.map_err(|errors| BadInput::new(format!("the catalog cannot be used and nothing was simulated\n{errors}")))
}

fn scenario(args: &PlanArgs, plan: &Id) -> anyhow::Result<Scenario> {
    let mut usage: Vec<Pattern> = Vec::new();
    for text in &args.usage {
        let pattern = Pattern::parse(text, |file| fs::read_to_string(Path::new(file)));
        let pattern = pattern.map_err(|error| BadInput::new(format!("--usage cannot be read and nothing was simulated: {error}")))?;
        if let Some(other) = usage.iter().find(|other| other.name() == pattern.name()) {
            return Err(twice("--usage", &format!("{} and {}", other.text, pattern.text), "one pattern for each meter and its dimensions"));
        }
        usage.push(pattern);
    }
    let mut addons = BTreeMap::new();
    for (addon, units) in &args.addon {
        if addons.insert(addon.clone(), *units).is_some() {
            return Err(twice("--addon", addon.as_str(), "all its units at once"));
        }
    }
    Ok(Scenario {
        plan: plan.clone(),
        interval: args.interval.map(Interval::from),
        addons,
        purchases: args.buy.clone(),
        usage,
        start: args.start,
        zone: args.time_zone.clone(),
        months: args.months,
        seed: args.seed,
    })
}

fn twice(option: &str, what: &str, advice: &str) -> anyhow::Error {
    BadInput::new(format!("{option} is given twice for one thing: {what}; nothing was simulated; give {advice}"))
}

/// What can be mended by who asked, and what cannot.
fn wrong(error: PlanningError) -> anyhow::Error {
    match error {
        PlanningError::Asked(reason) | PlanningError::Refused(reason) | PlanningError::Simulation(SimulateError::Line(reason)) => {
            BadInput::new(format!("{reason}; nothing was told or written"))
        }
        PlanningError::Overflow(overflow) => BadInput::new(format!("{overflow}; use less; nothing was told or written")),
        error @ (PlanningError::Sum(_) | PlanningError::Simulation(SimulateError::Failure(_))) => {
            anyhow::Error::new(error).context("the plan could not be tried; nothing was told or written")
        }
    }
}

/// What was tried, the table, the plot, and what they mean.
fn text(outlook: &Outlook) -> String {
    let terms = outlook.about.iter().map(|(term, text)| format!("{term}: {text}"));
    let notes = outlook.notes.iter().map(|note| format!("Note: {note}"));
    let about: Vec<String> = std::iter::once(outlook.title.clone()).chain(terms).chain(notes).collect();
    let plot = chart::plot(&outlook.months);
    let blocks = [about.join("\n"), table(outlook), plot, outlook.meaning().join("\n")];
    let blocks: Vec<String> = blocks.into_iter().filter(|block| !block.is_empty()).collect();
    blocks.join("\n\n")
}

fn table(outlook: &Outlook) -> String {
    let columns: Vec<&Column> = columns(&outlook.months).collect();
    let title = |column: &&Column| if column.money { format!("{} ({})", column.title, outlook.currency) } else { column.title.to_owned() };
    let titles: Vec<String> = std::iter::once("Month".to_owned()).chain(columns.iter().map(title)).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let right: Vec<usize> = (1..titles.len()).collect();
    let mut table = statement::table(&titles, &right);
    let row = |name: String, sums: &Sums| -> Vec<String> {
        std::iter::once(name).chain(columns.iter().map(|column| grouped((column.of)(sums)))).collect()
    };
    for month in &outlook.months {
        table.add_row(row(format!("{} to {}", month.period.first, month.period.last), &month.sums));
    }
    table.add_row(row("all months".to_owned(), &outlook.total));
    statement::shown(&table)
}

/// The same for programs: one object.
fn told(scenario: &Scenario, outlook: &Outlook) -> String {
    let addons: BTreeMap<&str, u32> = scenario.addons.iter().map(|(addon, units)| (addon.as_str(), *units)).collect();
    let purchases = scenario.purchases.iter().map(|(package, month)| json!({"package": package.as_str(), "month": month}));
    json!({
        "plan": scenario.plan.as_str(), "interval": outlook.interval.word(), "currency": outlook.currency.as_str(),
        "start": scenario.start.to_string(), "time_zone": scenario.zone.name(), "seed": scenario.seed,
        "addons": addons, "purchases": purchases.collect::<Vec<_>>(),
        "usage": scenario.usage.iter().map(|pattern| pattern.text.as_str()).collect::<Vec<_>>(),
        "months": outlook.months.iter().map(one_month).collect::<Vec<_>>(),
        "total": sums(&outlook.total, (outlook.refused_on.len(), outlook.indebted_on.len())),
        "meaning": outlook.meaning(), "notes": outlook.notes,
    })
    .to_string()
}

fn one_month(month: &Month) -> Value {
    let mut told = sums(&month.sums, (month.refused_on.len(), month.indebted_on.len()));
    let period = &month.period;
    told.insert("month".to_owned(), month.number.into());
    for (key, value) in [
        ("first_day", period.first.to_string()),
        ("last_day", period.last.to_string()),
        ("from", period.from.to_string()),
        ("until", period.until.to_string()),
    ] {
        told.insert(key.to_owned(), value.into());
    }
    told.into()
}

/// Every number as a string, and how many days had usage refused or allowed into debt.
fn sums(sums: &Sums, (refused, indebted): (usize, usize)) -> Map<String, Value> {
    let amounts = COLUMNS.iter().map(|column| (column.key.to_owned(), Value::from((column.of)(sums).to_string())));
    let days = [("refused_days".to_owned(), Value::from(refused)), ("indebted_days".to_owned(), Value::from(indebted))];
    amounts.chain(days).collect()
}
