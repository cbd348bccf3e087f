//! Months out of entries.
//!
//! Owns which month an entry belongs to and what it counts as there, and the proof that the months add up to
//! what the ledger holds. Never computes what the ledger decides: every number is read from an entry.
//!
//! A month is `[from, until)`. At its end the ledger writes, in one instant, what closes and what opens. What
//! is taken from grants that were there before belongs to the month that ends; what comes in, and what is
//! taken from that at once, to the month that begins.

use super::PlanningError;
use super::days::Period;
use crate::domain::credits::{Credits, Money, Overflow};
use crate::domain::entry::{Direction, Entry, EntryKind};
use crate::simulate::Numbers;
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// What moved in a month, or in all of them, in credits; no number is below zero.
/// `start + granted + rolled_in + bought − burned − repaid − lost − handed_on = end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// The balance at the beginning, before anything comes in.
    pub start: Credits,
    /// Allowance and add-on units.
    pub granted: Credits,
    /// Handed on by the month before.
    pub rolled_in: Credits,
    /// Packages, their bonus included.
    pub bought: Credits,
    /// Burned by usage.
    pub burned: Credits,
    /// Taken by debt that is owed no more.
    pub repaid: Credits,
    /// Ended unused: expired or forfeited.
    pub lost: Credits,
    /// The part of it that expired by a date of its own.
    pub expired: Credits,
    /// Taken at the end for the next month.
    pub handed_on: Credits,
    /// The balance at the end, after what was lost and handed on.
    pub end: Credits,
    /// The balance on the last day, before anything of it was lost or handed on at the end.
    pub left: Credits,
    /// The price of usage that was refused.
    pub refused: Credits,
    /// Debt that arose: usage that was allowed without credits.
    pub indebted: Credits,
    /// Refused or into debt.
    pub uncovered: Credits,
    /// Debt at the end.
    pub owed: Credits,
    /// What the add-on units cost, in the catalog's currency.
    pub addons_price: Money,
    /// What the packages cost, in the catalog's currency.
    pub packages_price: Money,
}

/// One month of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Month {
    /// From 1.
    pub number: usize,
    /// When it is.
    pub period: Period,
    /// What moved in it.
    pub sums: Sums,
    /// Days on which usage was refused.
    pub refused_on: BTreeSet<Date>,
    /// Days on which usage went into debt.
    pub indebted_on: BTreeSet<Date>,
}

/// A number of a month, for tables and programs.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name for programs.
    pub key: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The number.
    pub of: fn(&Sums) -> Credits,
    /// Shown to people also where it is 0 in every month.
    pub always: bool,
    /// An amount of money, not of credits.
    pub money: bool,
}

const fn column(key: &'static str, title: &'static str, of: fn(&Sums) -> Credits) -> Column {
    Column { key, title, of, always: false, money: false }
}

const fn always(key: &'static str, title: &'static str, of: fn(&Sums) -> Credits) -> Column {
    Column { key, title, of, always: true, money: false }
}

const fn money(key: &'static str, title: &'static str, of: fn(&Sums) -> Credits) -> Column {
    Column { key, title, of, always: false, money: true }
}

/// Every number of a month, in the order tables show them.
pub static COLUMNS: [Column; 16] = [
    always("start", "At start", |sums| sums.start),
    always("granted", "Granted", |sums| sums.granted),
    column("rolled_in", "Rolled in", |sums| sums.rolled_in),
    column("bought", "Bought", |sums| sums.bought),
    always("burned", "Burned", |sums| sums.burned),
    column("repaid", "Debt repaid", |sums| sums.repaid),
    always("lost", "Lost", |sums| sums.lost),
    column("expired", "Of it expired", |sums| sums.expired),
    always("handed_on", "Handed on", |sums| sums.handed_on),
    always("end", "At end", |sums| sums.end),
    column("left", "Last day", |sums| sums.left),
    column("refused", "Refused", |sums| sums.refused),
    column("indebted", "Into debt", |sums| sums.indebted),
    column("owed", "Owed", |sums| sums.owed),
    money("addons_price", "Add-ons", |sums| sums.addons_price),
    money("packages_price", "Packages", |sums| sums.packages_price),
];

/// The columns that say something about these months.
pub fn columns(months: &[Month]) -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().filter(move |column| column.always || months.iter().any(|month| !(column.of)(&month.sums).is_zero()))
}

/// All months in one.
///
/// # Errors
/// [`Overflow`] beyond 18 digits before the point.
pub(super) fn total(months: &[Month]) -> Result<Sums, Overflow> {
    let mut total = Sums::default();
    if let (Some(first), Some(last)) = (months.first(), months.last()) {
        let (end, left, owed) = (last.sums.end, last.sums.left, last.sums.owed);
        total = Sums { start: first.sums.start, end, left, owed, ..total };
    }
    for Month { sums, .. } in months {
        for (to, amount) in [
            (&mut total.granted, sums.granted),
            (&mut total.rolled_in, sums.rolled_in),
            (&mut total.bought, sums.bought),
            (&mut total.burned, sums.burned),
            (&mut total.repaid, sums.repaid),
            (&mut total.lost, sums.lost),
            (&mut total.expired, sums.expired),
            (&mut total.handed_on, sums.handed_on),
            (&mut total.refused, sums.refused),
            (&mut total.indebted, sums.indebted),
            (&mut total.uncovered, sums.uncovered),
            (&mut total.addons_price, sums.addons_price),
            (&mut total.packages_price, sums.packages_price),
        ] {
            *to = to.plus(amount)?;
        }
    }
    Ok(total)
}

impl Sums {
    /// How much the balance moved; may be below zero.
    fn moved(&self) -> Result<Credits, Overflow> {
        let came = Credits::sum([self.granted, self.rolled_in, self.bought])?;
        came.minus(Credits::sum([self.burned, self.repaid, self.lost, self.handed_on])?)
    }
}

/// Entries on their way into months.
#[derive(Debug)]
pub(super) struct Books {
    /// The boundaries of the months, one more than there are months.
    bounds: Vec<Timestamp>,
    /// The months, and after them what begins at the end of the last.
    months: Vec<Month>,
    /// Credits taken at the end of each month out of what was there.
    closed: Vec<Credits>,
    /// Months in which add-on units were granted.
    with_units: BTreeSet<usize>,
    /// The last entry's number and the balance after it.
    last: (u64, Credits),
    /// The instant of the last entry, and the grants that began at it.
    instant: (Option<Timestamp>, BTreeSet<u32>),
}

impl Books {
    /// Empty months.
    pub(super) fn new(periods: &[Period]) -> Self {
        let bounds = periods.iter().map(|period| period.from).chain(periods.last().map(|period| period.until)).collect();
        let after = periods.last().map(|period| Period { from: period.until, ..*period });
        let months = periods.iter().copied().chain(after).enumerate().map(|(index, period)| Month {
            number: index + 1,
            period,
            sums: Sums::default(),
            refused_on: BTreeSet::new(),
            indebted_on: BTreeSet::new(),
        });
        Self {
            bounds,
            months: months.collect(),
            closed: vec![Credits::ZERO; periods.len() + 1],
            with_units: BTreeSet::new(),
            last: (0, Credits::ZERO),
            instant: (None, BTreeSet::new()),
        }
    }

    /// Takes an entry, in the order they were written.
    pub(super) fn enter(&mut self, entry: &Entry) -> Result<(), PlanningError> {
        let (seq, balance) = self.last;
        if entry.seq != seq + 1 || entry.kind.direction().moved(balance, entry.amount)? != entry.balance_after {
            return Err(PlanningError::Sum(format!("entry {} does not follow from entry {seq}", entry.seq)));
        }
        self.last = (entry.seq, entry.balance_after);
        let closes = self.closes(entry);
        // The boundaries up to now, less one: the month that has begun.
        let begun = self.bounds.partition_point(|bound| *bound <= entry.occurred_at).saturating_sub(1);
        let at_bound = self.bounds.get(begun) == Some(&entry.occurred_at) && begun > 0;
        let month = if closes && at_bound { begun - 1 } else { begun };
        if closes && at_bound {
            let Some(closed) = self.closed.get_mut(month) else { return Err(stray(entry)) };
            *closed = closed.plus(entry.amount)?;
        }
        if entry.kind == EntryKind::Addon {
            self.with_units.insert(month);
        }
        let Some(month) = self.months.get_mut(month) else { return Err(stray(entry)) };
        count(&mut month.sums, entry)
    }

    /// Whether an entry takes from grants that were there before its instant.
    fn closes(&mut self, entry: &Entry) -> bool {
        let (instant, began) = &mut self.instant;
        if instant.replace(entry.occurred_at) != Some(entry.occurred_at) {
            began.clear();
        }
        match entry.kind.direction() {
            Direction::In => began.extend(entry.touched.iter().map(|touch| touch.grant)),
            Direction::Out => return !entry.touched.iter().any(|touch| began.contains(&touch.grant)),
            Direction::Neutral => {}
        }
        false
    }

    /// Notes the price of usage that was refused on a day of a month.
    pub(super) fn refuse(&mut self, month: usize, day: Date, price: Credits) -> Result<(), Overflow> {
        if let Some(Month { sums, refused_on, .. }) = self.months.get_mut(month) {
            sums.refused = sums.refused.plus(price)?;
            sums.uncovered = sums.uncovered.plus(price)?;
            refused_on.insert(day);
        }
        Ok(())
    }

    /// Notes a day on which usage went into debt.
    pub(super) fn owe(&mut self, month: usize, day: Date) {
        if let Some(month) = self.months.get_mut(month) {
            month.indebted_on.insert(day);
        }
    }

    /// Proves a month at its end: what it ends with, and what has begun in that instant, is what the ledger
    /// holds and is owed.
    pub(super) fn prove(&mut self, month: usize, ledger: &Numbers) -> Result<(), PlanningError> {
        let before = month.checked_sub(1).and_then(|before| self.months.get(before)).map(|before| before.sums).unwrap_or_default();
        let begun = self.months.get(month + 1).map(|begun| begun.sums).unwrap_or_default();
        let closed = self.closed.get(month).copied().unwrap_or_default();
        let Some(Month { number, sums, .. }) = self.months.get_mut(month) else { return Ok(()) };
        sums.start = before.end;
        sums.end = sums.start.plus(sums.moved()?)?;
        sums.left = sums.end.plus(closed)?;
        sums.owed = before.owed.plus(sums.indebted)?.minus(sums.repaid)?;
        let balance = sums.end.plus(begun.moved()?)?;
        let debt = sums.owed.plus(begun.indebted)?.minus(begun.repaid)?;
        let idle = ledger.held.is_zero() && ledger.frozen.is_zero();
        if balance == ledger.balance && debt == ledger.debt && idle && !sums.end.is_negative() && !sums.owed.is_negative() {
            return Ok(());
        }
        Err(PlanningError::Sum(format!(
            "month {number} does not add up: by its entries the balance is {balance} and the debt {debt}, in the ledger {} and {}",
            ledger.balance, ledger.debt
        )))
    }

    /// The months, once each was proved, with what was paid in them: for add-on units in each month that
    /// granted some, and for packages.
    pub(super) fn close(mut self, units: Money, packages: &[Money]) -> Vec<Month> {
        let count = self.months.len().saturating_sub(1);
        self.months.truncate(count);
        for (index, month) in self.months.iter_mut().enumerate() {
            month.sums.addons_price = if self.with_units.contains(&index) { units } else { Money::ZERO };
            month.sums.packages_price = packages.get(index).copied().unwrap_or_default();
        }
        self.months
    }
}

/// What an entry counts as.
fn count(sums: &mut Sums, entry: &Entry) -> Result<(), PlanningError> {
    let Entry { kind, amount, debt_change, .. } = entry;
    let to = match kind {
        EntryKind::Allowance | EntryKind::Addon | EntryKind::Refilled => &mut sums.granted,
        EntryKind::RolledIn => &mut sums.rolled_in,
        // The bonus of a package is granted.
        EntryKind::Purchased | EntryKind::Granted => &mut sums.bought,
        EntryKind::Used => &mut sums.burned,
        EntryKind::DebtRepaid => &mut sums.repaid,
        EntryKind::Forfeited => &mut sums.lost,
        EntryKind::Expired => {
            sums.expired = sums.expired.plus(*amount)?;
            &mut sums.lost
        }
        EntryKind::RolledOut => &mut sums.handed_on,
        EntryKind::DebtIncurred => {
            sums.indebted = sums.indebted.plus(*debt_change)?;
            sums.uncovered = sums.uncovered.plus(*debt_change)?;
            return Ok(());
        }
        EntryKind::Returned
        | EntryKind::AdjustedIn
        | EntryKind::Spent
        | EntryKind::Settled
        | EntryKind::Voided
        | EntryKind::ClawedBack
        | EntryKind::AdjustedOut
        | EntryKind::Frozen
        | EntryKind::Unfrozen
        | EntryKind::DebtCancelled
        | EntryKind::WrittenOff => return Err(stray(entry)),
    };
    *to = to.plus(*amount)?;
    Ok(())
}

/// An entry that nothing in a scenario asks for.
fn stray(entry: &Entry) -> PlanningError {
    PlanningError::Sum(format!("entry {}, {} of {}, belongs to no month of this plan", entry.seq, entry.kind.word(), entry.amount))
}
