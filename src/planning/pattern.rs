//! Usage patterns: what a customer uses of a meter, as one text.
//!
//! Owns the grammar and its errors, which point at the part that is wrong. Never knows a catalog, and spreads
//! nothing over days: `spread` does.
//!
//! ```text
//! image=20/day                       the same every day
//! image=700/month                    spread evenly over the days of the month; /week as well
//! image=10..30/day                   drawn anew for each day, every amount as likely as the others
//! image=700/month,+10%               each month a tenth more than the month before; -10% less
//! image=20/day,weekdays              Monday to Friday only
//! image{quality=high}=20/day         with dimensions, as the rate card has them
//! image=@FILE                        one quantity a line, one line a day
//! ```

use crate::domain::credits::Credits;
use crate::domain::ids::Id;
use std::collections::BTreeMap;
use std::io;

/// The most that may be added a month, in percent.
const GROWTH_MAX: u32 = 1000;
/// Characters of a line that an error shows.
const SHOWN_MAX: usize = 40;

/// What is used of one meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written.
    pub text: String,
    /// The meter.
    pub meter: Id,
    /// What its usage shows; empty: nothing.
    pub dimensions: BTreeMap<String, String>,
    /// How much.
    pub amount: Amount,
    /// Percent by which a month differs from the month before: −100 to 1000, 0 for none.
    pub growth: Credits,
    /// Only from Monday to Friday.
    pub weekdays: bool,
}

/// How much is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// The same in every day, week or month.
    Steady(Quantity, Every),
    /// Drawn for each day between two quantities, both included.
    Drawn {
        /// The least.
        low: Quantity,
        /// The most.
        high: Quantity,
    },
    /// The quantity of each day from the first on; nothing on the days after.
    Listed(Vec<Credits>),
}

/// A quantity of a meter, 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// How much.
    pub amount: Credits,
    /// Decimal places it was written with, 0 to 6: the steps in which it is spread or drawn.
    pub places: u32,
}

/// What a steady quantity is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// A day.
    Day,
    /// Seven days, counted from the first.
    Week,
    /// A month of the scenario.
    Month,
}

/// Why a text is no pattern: what is wrong, where, and one that is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}\n  {text}\n  {mark}\n  for example: --usage {example}")]
pub struct PatternError {
    reason: String,
    text: String,
    mark: String,
    example: &'static str,
}

impl Pattern {
    /// Reads a pattern; `read` gives the text of a file it names.
    ///
    /// # Errors
    /// [`PatternError`] for the first part that is wrong.
    pub fn parse(text: &str, read: impl Fn(&str) -> io::Result<String>) -> Result<Self, PatternError> {
        parsed(Part { text, at: 0 }, &read).map_err(|wrong| wrong.of(text))
    }

    /// Whether a quantity of it is drawn, and a seed therefore counts.
    #[must_use]
    pub fn is_drawn(&self) -> bool {
        matches!(self.amount, Amount::Drawn { .. })
    }

    /// The meter with its dimensions, as a pattern names them.
    #[must_use]
    pub fn name(&self) -> String {
        if self.dimensions.is_empty() {
            return self.meter.to_string();
        }
        let dimensions: Vec<String> = self.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}{{{}}}", self.meter, dimensions.join(","))
    }
}

/// A piece of a pattern and the byte it begins at.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    at: usize,
}

/// What is wrong with a part.
#[derive(Debug)]
struct Wrong {
    reason: String,
    at: usize,
    length: usize,
    example: &'static str,
}

impl Wrong {
    fn of(self, text: &str) -> PatternError {
        let before = text.get(..self.at).unwrap_or_default().chars().count();
        let mark = format!("{}{}", " ".repeat(before), "^".repeat(self.length.max(1)));
        PatternError { reason: self.reason, text: text.to_owned(), mark, example: self.example }
    }
}

impl Part<'_> {
    fn split(self, mark: &str) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(mark)?;
        let at = self.at + before.len() + mark.len();
        Some((Self { text: before, at: self.at }, Self { text: after, at }))
    }

    fn each(self, mark: char) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(mark).map(move |text| {
            let part = Self { text, at };
            at += text.len() + mark.len_utf8();
            part
        })
    }

    fn wrong(self, reason: impl Into<String>, example: &'static str) -> Wrong {
        Wrong { reason: reason.into(), at: self.at, length: self.text.chars().count(), example }
    }
}

const STEADY: &str = "image=20/day";
const RANGE: &str = "image=10..30/day";
const GROWING: &str = "image=700/month,+10%";
const DIMENSIONS: &str = "image{quality=high}=20/day";
const LIST: &str = "image=@days.txt";

fn parsed(whole: Part<'_>, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Pattern, Wrong> {
    let (meter, dimensions, amount) = named(whole)?;
    let text = whole.text.to_owned();
    if let Some(file) = amount.text.strip_prefix('@') {
        let amount = Amount::Listed(listed(amount, file, read)?);
        return Ok(Pattern { text, meter, dimensions, amount, growth: Credits::ZERO, weekdays: false });
    }
    let mut parts = amount.each(',');
    let amount = steady_or_drawn(parts.next().unwrap_or(amount))?;
    let (mut growth, mut weekdays) = (None, false);
    for part in parts {
        let twice = if part.text == "weekdays" {
            std::mem::replace(&mut weekdays, true)
        } else {
            let percent = percent(part)?;
            growth.replace(percent).is_some()
        };
        if twice {
            return Err(part.wrong("this is said twice", GROWING));
        }
    }
    Ok(Pattern { text, meter, dimensions, amount, growth: growth.unwrap_or_default(), weekdays })
}

/// What stands before the `=`, and what stands after it.
fn named(whole: Part<'_>) -> Result<(Id, BTreeMap<String, String>, Part<'_>), Wrong> {
    let Some((before, after)) = whole.split("=") else {
        return Err(whole.wrong("a pattern is METER=QUANTITY/day, /week or /month", STEADY));
    };
    let (meter, dimensions, amount) = match before.split("{") {
        None => (before, BTreeMap::new(), after),
        Some((meter, Part { at, .. })) => {
            let rest = Part { text: whole.text.get(at..).unwrap_or_default(), at };
            let Some((inside, amount)) = rest.split("}=") else {
                return Err(rest.wrong("the dimensions do not end with }= and a quantity", DIMENSIONS));
            };
            (meter, dimensions(inside)?, amount)
        }
    };
    let id = Id::new(meter.text).map_err(|error| meter.wrong(format!("{:?} is no meter: {error}", meter.text), STEADY))?;
    Ok((id, dimensions, amount))
}

fn dimensions(inside: Part<'_>) -> Result<BTreeMap<String, String>, Wrong> {
    let mut dimensions = BTreeMap::new();
    for part in inside.each(',') {
        let pair = part.split("=").filter(|(name, value)| !name.text.is_empty() && !value.text.is_empty());
        let Some((name, value)) = pair else { return Err(part.wrong("a dimension is NAME=VALUE", DIMENSIONS)) };
        if dimensions.insert(name.text.to_owned(), value.text.to_owned()).is_some() {
            return Err(name.wrong(format!("the dimension {} is there twice", name.text), DIMENSIONS));
        }
    }
    Ok(dimensions)
}

/// `QUANTITY/day`, `/week`, `/month` or `LOW..HIGH/day`.
fn steady_or_drawn(part: Part<'_>) -> Result<Amount, Wrong> {
    let Some((amount, unit)) = part.split("/") else {
        return Err(part.wrong("this does not say for what: /day, /week or /month", STEADY));
    };
    let every = match unit.text {
        "day" => Every::Day,
        "week" => Every::Week,
        "month" => Every::Month,
        other => return Err(unit.wrong(format!("{other:?} is not day, week or month"), STEADY)),
    };
    let Some((low, high)) = amount.split("..") else { return Ok(Amount::Steady(quantity(amount)?, every)) };
    if every != Every::Day {
        return Err(unit.wrong("a range is drawn for each day: write /day", RANGE));
    }
    let (low, high) = (quantity(low)?, quantity(high)?);
    if low.amount > high.amount {
        return Err(amount.wrong("the range ends below its beginning", RANGE));
    }
    Ok(Amount::Drawn { low, high })
}

fn quantity(part: Part<'_>) -> Result<Quantity, Wrong> {
    let amount = Credits::parse(part.text).map_err(|error| part.wrong(format!("{:?} is no quantity: {error}", part.text), STEADY))?;
    if amount.is_negative() {
        return Err(part.wrong("a quantity is 0 or more", STEADY));
    }
    let places = part.split(".").map_or(0, |(_, fraction)| fraction.text.len());
    Ok(Quantity { amount, places: u32::try_from(places).unwrap_or_default() })
}

/// `+10%` or `-10%`.
fn percent(part: Part<'_>) -> Result<Credits, Wrong> {
    let text = part.text.strip_suffix('%');
    let raised = text.and_then(|text| text.strip_prefix('+')).map(|digits| (digits, false));
    let signed = raised.or_else(|| text.and_then(|text| text.strip_prefix('-')).map(|digits| (digits, true)));
    let Some((digits, lowered)) = signed.filter(|(digits, _)| !digits.starts_with('-')) else {
        return Err(part.wrong(format!("{:?} is neither weekdays nor a growth such as +10% or -10%", part.text), GROWING));
    };
    let percent = Credits::parse(digits).map_err(|error| part.wrong(format!("{:?} is no growth: {error}", part.text), GROWING))?;
    let most = if lowered { 100 } else { GROWTH_MAX };
    if percent > Credits::whole(most) {
        return Err(part.wrong(format!("a month has at most {GROWTH_MAX} % more, or 100 % less, than the month before"), GROWING));
    }
    Ok(if lowered { percent.negated() } else { percent })
}

/// The quantities of a file, one a line.
fn listed(part: Part<'_>, file: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Vec<Credits>, Wrong> {
    let text = read(file).map_err(|error| part.wrong(format!("{file} cannot be read: {error}"), LIST))?;
    let mut quantities = Vec::new();
    for (index, line) in text.trim_end().lines().enumerate() {
        let line = line.trim();
        let Some(quantity) = Credits::parse(line).ok().filter(|quantity| !quantity.is_negative()) else {
            let shown: String = line.chars().take(SHOWN_MAX).collect();
            return Err(part.wrong(format!("{file}:{}: {shown:?} is no quantity of 0 or more", index + 1), LIST));
        };
        quantities.push(quantity);
    }
    if quantities.is_empty() {
        return Err(part.wrong(format!("{file} holds no quantity: write one a line, one line a day"), LIST));
    }
    Ok(quantities)
}
