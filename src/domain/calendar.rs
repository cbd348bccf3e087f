//! Calendar arithmetic: boundaries of cycles and refills (semantics §7).
//!
//! Owns one rule: every boundary is counted from the anchor, never from the boundary before, as a
//! local date-time in the account's zone. Never reads a clock.

use super::word::words;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, SpanFieldwise, Timestamp};

/// The year range that anchors and results must lie in.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2400;

/// A duration of calendar or clock units, ISO 8601 (`P1M`, `P1D`); above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalendarSpan(SpanFieldwise);

impl CalendarSpan {
    /// Reads an ISO 8601 duration; `None` when it is not one or does not move time forward.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let iso = text.starts_with('P').then(|| text.parse::<Span>().ok())??;
        iso.is_positive().then(|| Self(iso.fieldwise()))
    }

    /// True when it has no fraction of a second: what can recur.
    #[must_use]
    pub fn is_whole(self) -> bool {
        let span = self.0.0;
        span.get_milliseconds() == 0 && span.get_microseconds() == 0 && span.get_nanoseconds() == 0
    }

    /// The instant this long after `start`, in local time of `zone`.
    #[must_use]
    pub fn after(self, start: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let (calendar, clock) = self.parts()?;
        let day = if calendar.is_zero() { start } else { resolve(zone.to_datetime(start).checked_add(calendar).ok()?, zone)? };
        within_years(day.checked_add(clock).ok()?)
    }

    /// `n` times this after the local date-time `start` of `zone`. It never goes back when `n` grows.
    fn times(self, n: i64, start: DateTime, zone: &TimeZone) -> Option<Timestamp> {
        let (calendar, clock) = self.parts()?;
        let day = resolve(start.checked_add(calendar.checked_mul(n).ok()?).ok()?, zone)?;
        within_years(day.checked_add(clock.checked_mul(n).ok()?).ok()?)
    }

    /// Years to days, which are counted on the local calendar, and hours and less, which are time
    /// that really passes: an hour is an hour on the day the clocks change, too.
    fn parts(self) -> Option<(Span, Span)> {
        let span = self.0.0;
        let calendar = Span::new()
            .try_years(span.get_years())
            .and_then(|days| days.try_months(span.get_months()))
            .and_then(|days| days.try_weeks(span.get_weeks()))
            .and_then(|days| days.try_days(span.get_days()));
        let clock = Span::new()
            .try_hours(span.get_hours())
            .and_then(|time| time.try_minutes(span.get_minutes()))
            .and_then(|time| time.try_seconds(span.get_seconds()))
            .and_then(|time| time.try_milliseconds(span.get_milliseconds()))
            .and_then(|time| time.try_microseconds(span.get_microseconds()))
            .and_then(|time| time.try_nanoseconds(span.get_nanoseconds()));
        calendar.ok().zip(clock.ok())
    }
}

impl std::fmt::Display for CalendarSpan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0.0, formatter)
    }
}

words! {
    /// The step between two boundaries.
    Interval {
        /// One calendar month.
        Month "month",
        /// One calendar year.
        Year "year",
    }
}

impl Interval {
    /// Months in one step.
    #[must_use]
    pub fn months(self) -> i32 {
        match self {
            Self::Month => 1,
            Self::Year => 12,
        }
    }
}

/// The boundary `anchor + k × interval` in `zone`, the day clamped to its month; a local time that
/// does not exist moves forward by the gap, an ambiguous one is the earlier. `None` outside the
/// years 1970 to 2400.
#[must_use]
pub fn boundary(anchor: DateTime, interval: Interval, k: i32, zone: &TimeZone) -> Option<Timestamp> {
    let months = k.checked_mul(interval.months())?;
    let local = anchor.checked_add(Span::new().try_months(months).ok()?).ok()?;
    resolve(local, zone)
}

/// The instant, if the calendar reaches so far. How early it is, its local date-time has shown: midnight of the
/// first year is before that year in UTC where clocks are ahead.
fn within_years(at: Timestamp) -> Option<Timestamp> {
    (TimeZone::UTC.to_datetime(at).year() <= *YEARS.end()).then_some(at)
}

/// The instant of a local date-time under the same rule for gaps and overlaps.
#[must_use]
pub fn resolve(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    if !YEARS.contains(&local.year()) {
        return None;
    }
    let ambiguous = zone.to_ambiguous_timestamp(local);
    // "Compatible": forward by the gap, the earlier of two.
    let at = ambiguous.compatible().ok()?;
    match ambiguous.offset() {
        // Behind the last change that the zone's data lists, the library judges by the rule for all years to come,
        // also what the rule says of the time before: clocks that never showed `before` are not believed.
        AmbiguousOffset::Fold { after, .. } if zone.to_datetime(at) != local => after.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { .. } | AmbiguousOffset::Gap { .. } | AmbiguousOffset::Unambiguous { .. } => Some(at),
    }
}

/// The `k` whose period `[boundary(k), boundary(k + 1))` contains `at`.
#[must_use]
pub fn period_of(anchor: DateTime, interval: Interval, at: Timestamp, zone: &TimeZone) -> Option<i32> {
    let local = zone.to_datetime(at);
    let months = i32::from(local.year())
        .checked_sub(i32::from(anchor.year()))?
        .checked_mul(12)?
        .checked_add(i32::from(local.month()))?
        .checked_sub(i32::from(anchor.month()))?;
    // The guess is at most one period off in either direction: clamped days and zone gaps.
    let mut k = months.checked_div_euclid(interval.months())?;
    while boundary(anchor, interval, k, zone)? > at {
        k = k.checked_sub(1)?;
    }
    while boundary(anchor, interval, k.checked_add(1)?, zone)? <= at {
        k = k.checked_add(1)?;
    }
    Some(k)
}

/// The first `anchor + n × interval` after `after`, n from 0, for any ISO 8601 interval; `None` when
/// that leaves the calendar.
#[must_use]
pub fn next_step(anchor: DateTime, interval: CalendarSpan, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let at = |n: i64| interval.times(n, anchor, zone);
    if at(0)? > after {
        return at(0);
    }
    // Doubling to pass `after`, then bisecting: any interval and any gap are some dozens of steps.
    // Beyond the calendar is after everything.
    let passes = |n: i64| at(n).is_none_or(|at| at > after);
    let (mut low, mut high) = (0_i64, 1_i64);
    while !passes(high) {
        low = high;
        high = high.checked_mul(2)?;
    }
    while high.checked_sub(low)? > 1 {
        let middle = low.checked_add(high)?.checked_div(2)?;
        if passes(middle) { high = middle } else { low = middle }
    }
    at(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap()
    }

    #[test]
    fn months_are_counted_from_the_anchor_and_clamped() {
        // 31 Jan → 29 Feb, 31 Mar, 30 Apr (2024 is a leap year)
        let days = (0..4).map(|k| boundary(local("2024-01-31T00:00:00"), Interval::Month, k, &TimeZone::UTC).unwrap().to_string());
        assert_eq!(
            days.collect::<Vec<_>>(),
            ["2024-01-31T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z", "2024-04-30T00:00:00Z"]
        );
    }

    #[test]
    fn a_leap_day_comes_back_after_four_years() {
        let days = (0..=4).map(|k| boundary(local("2024-02-29T00:00:00"), Interval::Year, k, &TimeZone::UTC).unwrap().to_string());
        assert_eq!(
            days.collect::<Vec<_>>(),
            ["2024-02-29T00:00:00Z", "2025-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2027-02-28T00:00:00Z", "2028-02-29T00:00:00Z"]
        );
    }

    #[test]
    fn gaps_move_forward_and_overlaps_take_the_earlier() {
        let york = zone("America/New_York");
        // 10 Mar 2024 02:30 does not exist in New York: 03:30 −04
        assert_eq!(boundary(local("2024-02-10T02:30:00"), Interval::Month, 1, &york).unwrap().to_string(), "2024-03-10T07:30:00Z");
        // 3 Nov 2024 01:30 happens twice: the first is −04
        assert_eq!(boundary(local("2024-10-03T01:30:00"), Interval::Month, 1, &york).unwrap().to_string(), "2024-11-03T05:30:00Z");
    }

    #[test]
    fn a_change_that_the_rule_for_later_years_invents_is_none() {
        // Greenland stayed at −02 in the autumn of 2023; from 2024 on its clocks go back on that night.
        let nuuk = zone("America/Nuuk");
        assert_eq!(resolve(local("2023-10-28T23:59:59"), &nuuk).unwrap().to_string(), "2023-10-29T01:59:59Z");
        assert_eq!(resolve(local("2024-10-26T23:59:59"), &nuuk).unwrap().to_string(), "2024-10-27T00:59:59Z");
    }

    #[test]
    fn the_period_contains_its_instant_for_every_anchor_day() {
        for name in ["UTC", "America/New_York", "Pacific/Apia", "Africa/Casablanca", "Australia/Lord_Howe"] {
            let zone = zone(name);
            for day in 1..=31 {
                let anchor = local(&format!("2024-01-{day:02}T02:30:00"));
                for k in [-30, -1, 0, 1, 13, 40] {
                    let start = boundary(anchor, Interval::Month, k, &zone).unwrap();
                    assert_eq!(period_of(anchor, Interval::Month, start, &zone), Some(k), "{name} {day} {k}");
                    let before = start.checked_sub(jiff::SignedDuration::from_micros(1)).unwrap();
                    assert_eq!(period_of(anchor, Interval::Month, before, &zone), Some(k - 1), "{name} {day} {k}");
                }
            }
        }
    }

    #[test]
    fn refills_step_from_their_anchor() {
        let daily = CalendarSpan::parse("P1D").unwrap();
        let after: Timestamp = "2026-03-05T10:00:00Z".parse().unwrap();
        let next = |anchor: &str, interval: &str, after: &str, zone: &TimeZone| {
            let interval = CalendarSpan::parse(interval).unwrap();
            next_step(local(anchor), interval, after.parse().unwrap(), zone).map(|at| at.to_string())
        };
        let berlin = zone("Europe/Berlin");
        for (anchor, interval, after, zone, expected) in [
            // Doubling would leave the calendar long before the bisection finds 2301.
            ("2001-01-01T00:00:00", "P1Y", "2300-06-01T00:00:00Z", &TimeZone::UTC, Some("2301-01-01T00:00:00Z")),
            ("2001-01-01T00:00:00", "P1Y", "2400-06-01T00:00:00Z", &TimeZone::UTC, None),
            ("2000-01-01T00:00:00", "PT1S", "2326-03-05T10:00:00Z", &TimeZone::UTC, Some("2326-03-05T10:00:01Z")),
            // 29 Mar 2026, 02:00 does not exist in Berlin; an hour passes all the same.
            ("2026-03-29T00:30:00", "PT1H", "2026-03-29T00:45:00Z", &berlin, Some("2026-03-29T01:30:00Z")),
            ("2026-03-29T02:00:00", "PT1H", "2026-03-29T01:00:00Z", &berlin, Some("2026-03-29T02:00:00Z")),
            // 25 Oct 2026, 02:00 to 03:00 comes twice, and both hours pass.
            ("2026-10-25T00:30:00", "PT1H", "2026-10-25T00:45:00Z", &berlin, Some("2026-10-25T01:30:00Z")),
            // The first local midnight there is is the year before in UTC.
            ("1970-01-01T00:00:00", "P1D", "2026-03-05T10:00:00Z", &berlin, Some("2026-03-05T23:00:00Z")),
            // Days are counted on the calendar: 06:00 is 05:00 UTC in winter, 04:00 in summer.
            ("2026-03-28T06:00:00", "P1D", "2026-03-28T06:00:00Z", &berlin, Some("2026-03-29T04:00:00Z")),
            ("2026-03-28T06:00:00", "P1DT1H", "2026-03-28T06:00:00Z", &berlin, Some("2026-03-29T05:00:00Z")),
        ] {
            assert_eq!(next(anchor, interval, after, zone).as_deref(), expected, "{anchor} {interval} {after}");
        }
        assert_eq!(next_step(local("2026-01-01T06:00:00"), daily, after, &TimeZone::UTC).unwrap().to_string(), "2026-03-06T06:00:00Z");
        assert_eq!(["PT0S", "-P1D", "1 day", ""].map(CalendarSpan::parse), [None; 4]);
    }
}
