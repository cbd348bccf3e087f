//! Amounts, currencies and times as the cells of exports spell them.
//!
//! Owns those spellings. Nothing is rounded and nothing is guessed: what has two meanings is refused.

use super::finding::shown;
use crate::domain::credits::Money;
use crate::domain::ids::Id;
use crate::message::decimals;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

/// An amount in major units: `1234.5`, `1,234.50`, `1.234,50`, `-12,34`. A comma before exactly three digits
/// groups thousands, before one or two it is the decimal sign.
///
/// # Errors
/// What is wrong with it.
pub fn amount(text: &str) -> Result<Money, String> {
    let trimmed = text.trim();
    let (sign, digits) = trimmed.strip_prefix('-').map_or(("", trimmed), |rest| ("-", rest));
    let plain = match (digits.rfind(','), digits.rfind('.')) {
        (Some(comma), Some(point)) if comma > point => ungrouped(digits, '.', ','),
        (Some(_), Some(_)) => ungrouped(digits, ',', '.'),
        (Some(comma), None) if digits.len() - comma == 4 => ungrouped(digits, ',', '.'),
        (Some(comma), None) if digits.len() - comma <= 3 => ungrouped(digits, '.', ','),
        (Some(_), None) => None,
        (None, Some(_)) if digits.matches('.').count() > 1 => ungrouped(digits, '.', ','),
        (None, _) => Some(digits.to_owned()),
    };
    let read = plain.and_then(|plain| Money::parse(&format!("{sign}{plain}")).ok());
    read.ok_or_else(|| format!("{} is no amount", shown(text)))
}

/// An amount of a currency. One with more decimals than the currency has is none: `1.234` yen may be a thousand; nor
/// is `1,234` of a currency with three.
///
/// # Errors
/// What is wrong with it.
pub fn money(text: &str, currency: &Id) -> Result<Money, String> {
    let amount = amount(text)?;
    let decimals = decimals(currency.as_str());
    let is_group_or_decimals = !text.contains('.') && text.trim().split_once(',').is_some_and(|(_, rest)| rest.len() == 3);
    if decimals == 3 && is_group_or_decimals {
        return Err(format!("{} {currency} has two meanings", shown(text)));
    }
    if amount.decimal().normalize().scale() > decimals {
        return Err(format!("{} has more decimals than {currency}", shown(text)));
    }
    Ok(amount)
}

/// The digits without separators of thousands, with a point; `None` when the groups are none.
fn ungrouped(digits: &str, group: char, decimal: char) -> Option<String> {
    let (whole, fraction) = digits.split_once(decimal).map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let groups: Vec<&str> = whole.split(group).collect();
    let rest_fits = groups.iter().skip(1).all(|group| group.len() == 3);
    let first_fits = groups.len() == 1 || groups.first().is_some_and(|first| (1..=3).contains(&first.len()));
    let whole = (rest_fits && first_fits).then(|| groups.concat())?;
    Some(fraction.map_or(whole.clone(), |fraction| format!("{whole}.{fraction}")))
}

/// A currency, in any case.
///
/// # Errors
/// What is wrong with it.
pub fn currency(text: &str) -> Result<Id, String> {
    let upper = text.trim().to_ascii_uppercase();
    let fits = upper.len() == 3 && upper.bytes().all(|byte| byte.is_ascii_uppercase());
    fits.then(|| Id::new(&upper).ok()).flatten().ok_or_else(|| format!("{} is no currency", shown(text)))
}

/// A time in UTC: `2026-06-05 20:38:34`, without seconds, or with an offset.
///
/// # Errors
/// What is wrong with it.
pub fn utc(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    // Stripe's reports leave the zone out, PayPal's lists the colon in it.
    let zoned = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z"].iter().find_map(|form| Timestamp::strptime(form, text).ok());
    let local = || ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"].iter().find_map(|form| DateTime::strptime(form, text).ok());
    let read = zoned.or_else(|| local().and_then(|local| Offset::UTC.to_timestamp(local).ok()));
    read.ok_or_else(|| format!("{} is no time", shown(text)))
}

/// How a file writes days and months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayOrder {
    /// `12/31/2026`.
    MonthFirst,
    /// `31/12/2026`.
    DayFirst,
}

/// The numbers of a date such as `31/12/2026` or `31.12.2026`.
fn numbers(text: &str) -> Option<[i16; 3]> {
    let mut parts = text.trim().split(['/', '.', '-']).map(|part| part.parse::<i16>().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// The order that a date can only have; `None` when it fits both, or is none.
#[must_use]
pub fn only_order(text: &str) -> Option<DayOrder> {
    let [first, second, _] = numbers(text)?;
    match (first > 12, second > 12) {
        (true, false) => Some(DayOrder::DayFirst),
        (false, true) => Some(DayOrder::MonthFirst),
        _ => None,
    }
}

/// A date, a time and a zone in cells of their own, as PayPal writes them.
///
/// # Errors
/// What is wrong with them.
pub fn zoned(date: &str, time: &str, zone: &str, order: DayOrder) -> Result<Timestamp, String> {
    let read = || {
        let [first, second, third] = numbers(date)?;
        let (year, month, day) = match order {
            _ if first > 31 => (first, second, third),
            DayOrder::MonthFirst => (third, first, second),
            DayOrder::DayFirst => (third, second, first),
        };
        let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        Some(date.to_datetime(Time::strptime("%H:%M:%S", time.trim()).ok()?))
    };
    let local = read().ok_or_else(|| format!("{} {} is no time", shown(date), shown(time)))?;
    let zone = self::zone(zone.trim()).ok_or_else(|| format!("{} is no time zone that is known", shown(zone)))?;
    zone.to_timestamp(local).map_err(|_| format!("{} is no time", shown(date)))
}

/// Abbreviations that PayPal writes, with their hours east of Greenwich.
const ABBREVIATIONS: &[(&str, i8)] = &[
    ("PST", -8),
    ("PDT", -7),
    ("MST", -7),
    ("MDT", -6),
    ("CST", -6),
    ("CDT", -5),
    ("EST", -5),
    ("EDT", -4),
    ("GMT", 0),
    ("UTC", 0),
    ("WET", 0),
    ("BST", 1),
    ("WEST", 1),
    ("CET", 1),
    ("CEST", 2),
    ("EET", 2),
    ("EEST", 3),
    ("SGT", 8),
    ("HKT", 8),
    ("JST", 9),
    ("AEST", 10),
    ("AEDT", 11),
    ("NZST", 12),
    ("NZDT", 13),
];

fn zone(name: &str) -> Option<TimeZone> {
    if let Some((_, hours)) = ABBREVIATIONS.iter().find(|(word, _)| *word == name) {
        return Some(TimeZone::fixed(Offset::from_hours(*hours).ok()?));
    }
    let shifted = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).unwrap_or(name);
    if shifted.starts_with(['+', '-']) {
        return TimeZone::posix(&format!("LMT{}", flipped(shifted))).ok();
    }
    TimeZone::get(name).ok()
}

/// POSIX counts zones westwards.
fn flipped(shifted: &str) -> String {
    match shifted.strip_prefix('-') {
        Some(rest) => rest.to_owned(),
        None => format!("-{}", shifted.trim_start_matches('+')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_both_spellings_are_read_exactly() {
        for (text, read) in [
            ("0.00", "0"),
            ("20", "20"),
            ("1,234.50", "1234.5"),
            ("1,234", "1234"),
            ("1.234,50", "1234.5"),
            ("12,5", "12.5"),
            ("12,34", "12.34"),
            ("-10.00", "-10"),
            (" 5.120 ", "5.12"),
            ("1.234.567,89", "1234567.89"),
            ("1,234,567", "1234567"),
            ("1.234.567", "1234567"),
        ] {
            assert_eq!(amount(text).map(|money| money.to_string()).as_deref(), Ok(read), "{text}");
        }
        for text in
            ["", "-", "1,2345", "1,23,456.00", "12.34.56", "=1+1", "1e3", "NaN", "$5", "5 USD", "1.2345678", ",5", "--5", "+5", "1,2,3"]
        {
            assert!(amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_amount_has_no_more_decimals_than_its_currency() {
        let read = |text, currency| money(text, &Id::new(currency).unwrap()).map(|amount| amount.to_string()).ok();
        for (text, currency, amount) in [
            ("1,234", "JPY", Some("1234")),
            ("1234.00", "JPY", Some("1234")),
            ("1.234", "JPY", None),
            ("1.234", "USD", None),
            ("12.340", "USD", Some("12.34")),
            ("1.234", "KWD", Some("1.234")),
            ("1,234", "KWD", None),
            ("1,234.5", "KWD", Some("1234.5")),
            ("1.2345", "KWD", None),
        ] {
            assert_eq!(read(text, currency).as_deref(), amount, "{text} {currency}");
        }
    }

    #[test]
    fn times_are_read_in_their_zone() {
        for text in ["2026-06-05 20:38:34", "2026-06-05T20:38:34Z", "2026-06-05T13:38:34-0700", "2026-06-05T22:38:34+02:00"] {
            assert_eq!(utc(text).map(|at| at.to_string()).as_deref(), Ok("2026-06-05T20:38:34Z"), "{text}");
        }
        assert_eq!(utc("2026-06-05 20:38").unwrap().to_string(), "2026-06-05T20:38:00Z");
        assert!(utc("05/06/2026").is_err() && utc("").is_err());
        for (date, order, zone) in [
            ("6/5/2026", DayOrder::MonthFirst, "PDT"),
            ("05.06.2026", DayOrder::DayFirst, "America/Los_Angeles"),
            ("2026-06-05", DayOrder::DayFirst, "GMT-07:00"),
        ] {
            assert_eq!(
                zoned(date, "13:38:34", zone, order).map(|at| at.to_string()).as_deref(),
                Ok("2026-06-05T20:38:34Z"),
                "{date} {zone}"
            );
        }
        assert!(zoned("13/13/2026", "00:00:00", "UTC", DayOrder::DayFirst).is_err());
        assert!(zoned("1/1/2026", "00:00:00", "Nowhere", DayOrder::DayFirst).is_err());
    }

    #[test]
    fn the_order_of_a_date_is_told_only_when_it_has_one() {
        assert_eq!(only_order("12/31/2026"), Some(DayOrder::MonthFirst));
        assert_eq!(only_order("31/12/2026"), Some(DayOrder::DayFirst));
        assert_eq!(only_order("5/6/2026"), None);
        assert_eq!(only_order("2026-31-12"), None);
        assert_eq!(only_order("nonsense"), None);
    }
}
