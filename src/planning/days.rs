//! The months of a scenario and their days.
//!
//! Owns where a month begins, which days it has, and at which hour something happens on a day. Boundaries are
//! the calendar's of cycles. Never reads a clock.

use crate::domain::account::Zone;
use crate::domain::calendar::{Interval, boundary, resolve};
use jiff::civil::{Date, DateTime, Weekday};
use jiff::{SignedDuration, Timestamp};

/// Into a day, when a package is bought.
const MORNING_HOURS: i64 = 6;
/// Into a day, when the day's usage is recorded.
const NOON_HOURS: i64 = 12;

/// One month: `[from, until)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// From when, included.
    pub from: Timestamp,
    /// Until when, excluded.
    pub until: Timestamp,
    /// Its first day, in local time.
    pub first: Date,
    /// Its last day, in local time.
    pub last: Date,
}

impl Period {
    /// `Jan 2026`; `15 Jan 2026` when it does not begin with the calendar's month.
    #[must_use]
    pub fn label(&self) -> String {
        let form = if self.first.day() == 1 { "%b %Y" } else { "%-d %b %Y" };
        self.first.strftime(form).to_string()
    }
}

/// A day that something may be used on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    /// The local date it begins on.
    pub(super) date: Date,
    /// Its month, from 0.
    pub(super) month: usize,
    /// When a package is bought.
    pub(super) morning: Timestamp,
    /// When its usage is recorded.
    pub(super) noon: Timestamp,
}

impl Day {
    /// True from Monday to Friday.
    pub(super) fn is_weekday(&self) -> bool {
        !matches!(self.date.weekday(), Weekday::Saturday | Weekday::Sunday)
    }
}

/// The months from a local date-time on and all their days, in order; `None` beyond the calendar.
pub(super) fn calendar(start: DateTime, zone: &Zone, months: u32) -> Option<(Vec<Period>, Vec<Day>)> {
    let count = i32::try_from(months).ok()?;
    let bounds: Vec<Timestamp> = (0..=count).map(|k| boundary(start, Interval::Month, k, zone.rules())).collect::<Option<_>>()?;
    let (mut periods, mut days) = (Vec::new(), Vec::new());
    for (month, pair) in bounds.windows(2).enumerate() {
        let &[from, until] = pair else { continue };
        let [first, end] = [from, until].map(|at| zone.rules().to_datetime(at).date());
        let mut date = first;
        while date < end {
            let hour = |hours: i64| {
                let local = date.to_datetime(start.time()).checked_add(SignedDuration::from_hours(hours)).ok()?;
                let latest = until.checked_sub(SignedDuration::from_secs(1)).ok()?;
                // Where a day is missing from the calendar, its hours stay within the month all the same.
                Some(resolve(local, zone.rules())?.max(from).min(latest))
            };
            days.push(Day { date, month, morning: hour(MORNING_HOURS)?, noon: hour(NOON_HOURS)? });
            date = date.tomorrow().ok()?;
        }
        periods.push(Period { from, until, first, last: end.yesterday().ok()? });
    }
    Some((periods, days))
}
