//! Text fields of the contract: ids, references, instants, local date-times, durations, words.
//!
//! Owns their strict spellings, and the same as JSON Schema. Each is one `Field<T>`, so that payload
//! structs say only what they hold. Never corrects a value: what is not spelt right is refused.

use crate::domain::account::AccountKind;
use crate::domain::burn_down::BurnKey;
use crate::domain::calendar::{CalendarSpan, Interval};
use crate::domain::charge::Purpose;
use crate::domain::entry::Direction;
use crate::domain::grant::GrantSource;
use crate::domain::ids::{Id, Link, Printable, Prose};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::request::RequestMethod;
use crate::domain::settings::{Insufficient, OpenAccounts, PriceCheck, Shortfall, StaffRole};
use crate::domain::word::Word;
use jiff::{Timestamp, civil::DateTime, tz::Offset};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

/// Something that is written as a JSON string of one exact form.
pub(super) trait Spelt: Sized {
    /// What the string must be, for people.
    const FORM: &'static str;

    /// The value, if the text has the form.
    fn spelt(text: &str) -> Option<Self>;

    /// The same form as a schema, as far as a schema can say it.
    fn schema() -> Schema;
}

/// A schema of texts of a pattern.
fn matching(pattern: &str) -> Schema {
    json_schema!({"type": "string", "pattern": pattern})
}

/// A schema of texts of 1 to `most` printable characters.
fn printable(most: u32) -> Schema {
    let pattern = r"^[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]*$";
    json_schema!({"type": "string", "minLength": 1, "maxLength": most, "pattern": pattern})
}

/// A schema of texts without control characters.
pub(super) fn plain(length: RangeInclusive<usize>) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": length.start(),
        "maxLength": length.end(),
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
    })
}

/// A schema of words.
pub(super) fn one_of(words: impl IntoIterator<Item = &'static str>) -> Schema {
    json_schema!({"type": "string", "enum": words.into_iter().collect::<Vec<_>>()})
}

/// A field of a payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Field<T>(pub(super) T);

impl<'de, T: Spelt> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<T: Spelt> Visitor<'_> for Read<T> {
            type Value = Field<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(T::FORM)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Field<T>, E> {
                T::spelt(text).map(Field).ok_or_else(|| E::custom(format_args!("expected {}", T::FORM)))
            }
        }
        deserializer.deserialize_str(Read(PhantomData))
    }
}

impl<T: Spelt> JsonSchema for Field<T> {
    fn schema_name() -> Cow<'static, str> {
        T::FORM.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = T::schema();
        // Words speak for themselves.
        if schema.get("enum").is_none() {
            schema.insert("description".to_owned(), T::FORM.into());
        }
        schema
    }
}

impl Spelt for Id {
    const FORM: &'static str = "an id of 1 to 64 characters out of A-Z a-z 0-9 _ -";

    fn spelt(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }

    fn schema() -> Schema {
        matching("^[A-Za-z0-9_-]{1,64}$")
    }
}

impl Spelt for Printable {
    const FORM: &'static str = "a text of 1 to 128 printable characters";

    fn spelt(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }

    fn schema() -> Schema {
        printable(128)
    }
}

impl Spelt for Link {
    const FORM: &'static str = "a link of 1 to 2048 printable characters";

    fn spelt(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }

    fn schema() -> Schema {
        printable(2048)
    }
}

impl Spelt for Prose {
    const FORM: &'static str = "a text of 1 to 1000 characters, none of them control characters but line feeds";

    fn spelt(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 1000, "pattern": r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*$"})
    }
}

/// A currency: three upper-case letters (ISO 4217), not the codes that stand for no currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Currency(pub(super) Id);

impl Spelt for Currency {
    const FORM: &'static str = "an ISO 4217 currency in upper case";

    fn spelt(text: &str) -> Option<Self> {
        let letters = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if !letters || text == "XXX" || text == "XTS" {
            return None;
        }
        Id::new(text).ok().map(Self)
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Z]{3}$", "not": {"enum": ["XXX", "XTS"]}})
    }
}

/// Instants a message may name: the years 2000 to 2400, so that milliseconds taken for seconds and
/// other slips are caught before they reach a calendar.
const FIRST_SECOND: i64 = 946_684_800;
const END_SECOND: i64 = 13_601_088_000;

/// The instant at microseconds, if it is within the years a message may name.
pub(super) fn within_years(at: Timestamp) -> Option<Timestamp> {
    let whole = (FIRST_SECOND..END_SECOND).contains(&at.as_second());
    // After 1970 this cuts towards the past: what is finer than the database keeps is dropped.
    whole.then(|| Timestamp::from_microsecond(at.as_microsecond()).ok()).flatten()
}

/// The digits of `text` at `from..from + count` as a number.
fn digits(text: &[u8], from: usize, count: usize) -> Option<i32> {
    let part = text.get(from..from.checked_add(count)?)?;
    part.iter().try_fold(0_i32, |sum, byte| {
        byte.is_ascii_digit().then(|| sum.checked_mul(10)?.checked_add(i32::from(byte.wrapping_sub(b'0')))).flatten()
    })
}

fn separators(text: &[u8], at: &[(usize, u8)]) -> bool {
    at.iter().all(|(index, byte)| text.get(*index) == Some(byte))
}

/// `2026-01-31T00:00:00` at the front of the text, with the rest behind it.
fn local(text: &[u8]) -> Option<(DateTime, &[u8])> {
    if !separators(text, &[(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]) {
        return None;
    }
    let small = |from: usize| i8::try_from(digits(text, from, 2)?).ok();
    let year = i16::try_from(digits(text, 0, 4)?).ok()?;
    // jiff refuses what is no date or time of day, second 60 among it.
    let local = DateTime::new(year, small(5)?, small(8)?, small(11)?, small(14)?, small(17)?, 0).ok()?;
    Some((local, text.get(19..)?))
}

/// `Z` or `±hh:mm`.
fn offset(text: &[u8]) -> Option<Offset> {
    if text == b"Z" {
        return Some(Offset::UTC);
    }
    let (hours, minutes) = (digits(text, 1, 2)?, digits(text, 4, 2)?);
    if text.len() != 6 || text.get(3) != Some(&b':') || hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
    match text.first()? {
        b'+' => Offset::from_seconds(seconds).ok(),
        b'-' => Offset::from_seconds(seconds.checked_neg()?).ok(),
        _ => None,
    }
}

/// A day of a month of any year and a time of day, as patterns: which years have a 29 February no
/// pattern tells.
const DAY: &str = "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|[12][0-9]))";
const TIME_OF_DAY: &str = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]";

impl Spelt for Timestamp {
    const FORM: &'static str = "an RFC 3339 instant with offset in the years 2000 to 2400";

    fn spelt(text: &str) -> Option<Self> {
        let (local, rest) = local(text.as_bytes())?;
        let (fraction, zone) = match rest.strip_prefix(b".") {
            Some(rest) => rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit())?),
            None => (&b"0"[..], rest),
        };
        if fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        let whole = offset(zone)?.to_timestamp(local).ok()?;
        let micros = fraction
            .iter()
            .copied()
            .chain(std::iter::repeat(b'0'))
            .take(6)
            .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit.wrapping_sub(b'0'))));
        within_years(Self::from_microsecond(whole.as_microsecond().checked_add(micros)?).ok()?)
    }

    fn schema() -> Schema {
        let zone = "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
        let pattern = format!(r"^(?:2[0-3][0-9]{{2}}|2400)-{DAY}T{TIME_OF_DAY}(?:\.[0-9]{{1,9}})?{zone}$");
        json_schema!({"type": "string", "format": "date-time", "pattern": pattern})
    }
}

impl Spelt for DateTime {
    const FORM: &'static str = "a local date-time such as 2026-01-31T00:00:00 in the years 1970 to 2400";

    fn spelt(text: &str) -> Option<Self> {
        let (local, rest) = local(text.as_bytes())?;
        (rest.is_empty() && (1970..=2400).contains(&local.year())).then_some(local)
    }

    fn schema() -> Schema {
        matching(&format!("^(?:19[7-9][0-9]|2[0-3][0-9]{{2}}|2400)-{DAY}T{TIME_OF_DAY}$"))
    }
}

impl Spelt for CalendarSpan {
    const FORM: &'static str = "an ISO 8601 duration above zero such as P1M";

    fn spelt(text: &str) -> Option<Self> {
        // The bound keeps a parser away from megabytes; no duration anybody means is longer.
        (text.len() <= 64).then(|| Self::parse(text)).flatten()
    }

    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 64,
            "pattern": r"^P(?:[0-9]+Y)?(?:[0-9]+M)?(?:[0-9]+W)?(?:[0-9]+D)?(?:T(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+(?:\.[0-9]{1,9})?S)?)?$",
            "allOf": [{"pattern": "[1-9].*[YMWDHS]$"}],
        })
    }
}

macro_rules! words {
    ($($type:ty,)+) => {
        $(impl Spelt for $type {
            const FORM: &'static str = <Self as Word>::CHOICE;

            fn spelt(text: &str) -> Option<Self> {
                Self::from_word(text)
            }

            fn schema() -> Schema {
                one_of(<Self as Word>::ALL.iter().map(|one| one.word()))
            }
        })+
    };
}

words! { AccountKind, BurnKey, Insufficient, Interval, OpenAccounts, PriceCheck, Purpose, Shortfall, StaffRole, }
// These only go out.
words! { Direction, QuarantineReason, Rejection, }

/// The other sources are made by the ledger only.
const GIVEN_SOURCES: [GrantSource; 4] = [GrantSource::Promotional, GrantSource::Purchased, GrantSource::Plan, GrantSource::Addon];

impl Spelt for GrantSource {
    const FORM: &'static str = "promotional, purchased, plan or addon";

    fn spelt(text: &str) -> Option<Self> {
        GIVEN_SOURCES.into_iter().find(|source| source.word() == text)
    }

    fn schema() -> Schema {
        one_of(GIVEN_SOURCES.map(Self::word))
    }
}

impl Spelt for RequestMethod {
    const FORM: &'static str = "bank_transfer, crypto, invoice or other";

    /// A payment under review is made a request by the ledger only.
    fn spelt(text: &str) -> Option<Self> {
        Self::from_word(text).filter(|method| *method != Self::Payment)
    }

    fn schema() -> Schema {
        one_of(Self::ALL.iter().filter(|method| **method != Self::Payment).map(|method| method.word()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Option<String> {
        Timestamp::spelt(text).map(|at| at.to_string())
    }

    #[test]
    fn instants_are_read_with_their_offset_and_cut_to_microseconds() {
        for (text, shown) in [
            ("2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z"),
            ("2026-01-31T00:00:00+02:00", "2026-01-30T22:00:00Z"),
            ("2026-01-31T00:00:00-05:30", "2026-01-31T05:30:00Z"),
            ("2026-01-31T00:00:00.1Z", "2026-01-31T00:00:00.1Z"),
            ("2026-01-31T00:00:00.123456999Z", "2026-01-31T00:00:00.123456Z"),
            ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"),
            ("2400-12-31T23:59:59.999999Z", "2400-12-31T23:59:59.999999Z"),
            ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"),
        ] {
            assert_eq!(instant(text).as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn b39_times_that_are_not_exact_are_refused() {
        for text in [
            "2026-01-31T00:00:00",
            "2026-01-31",
            "2026-01-31T00:00Z",
            "2026-01-31T00:00:00+99:00",
            "2026-01-31T00:00:00+01",
            "2026-01-31T00:00:00+0100",
            "0000-01-01T00:00:00Z",
            "1999-12-31T23:59:59Z",
            "2401-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "2026-01-31T23:59:60Z",
            "2026-01-31T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-31 00:00:00Z",
            "2026-01-31t00:00:00z",
            "2026-01-31T00:00:00.Z",
            "2026-01-31T00:00:00.1234567890Z",
            "2026-01-31T00:00:00Z[Europe/Berlin]",
            "2026-01-31T00:00:00+01:00[Europe/Berlin]",
            "1769817600",
            "1769817600000",
            "NaN",
            "",
            "Z",
            "2026-01-31T00:00:00Z ",
            " 2026-01-31T00:00:00Z",
            "+002026-01-31T00:00:00Z",
            "2026-01-31T00:00:00é",
            "2026-1-31T00:00:00Z",
            "２026-01-31T00:00:00Z",
        ] {
            assert_eq!(instant(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_year_range_is_counted_in_utc() {
        assert_eq!(instant("2000-01-01T00:00:00+01:00"), None);
        assert!(instant("1999-12-31T23:00:00-01:00").is_some());
    }

    #[test]
    fn anchors_have_neither_zone_nor_fraction() {
        assert_eq!(DateTime::spelt("2026-01-31T00:00:00").unwrap().to_string(), "2026-01-31T00:00:00");
        for text in ["2026-01-31T00:00:00Z", "2026-01-31T00:00:00.5", "2026-01-31", "1969-12-31T00:00:00", "2401-01-01T00:00:00"] {
            assert!(DateTime::spelt(text).is_none(), "{text}");
        }
    }

    #[test]
    fn durations_move_forward() {
        assert!(CalendarSpan::spelt("P1M").is_some() && CalendarSpan::spelt("P1D").is_some() && CalendarSpan::spelt("PT1H").is_some());
        for text in ["", "P", "1 month", "-P1D", "P0D", "P1Q"] {
            assert!(CalendarSpan::spelt(text).is_none(), "{text}");
        }
    }

    #[test]
    fn b15_currencies_are_three_upper_case_letters() {
        assert!(Currency::spelt("USD").is_some());
        for text in ["usd", "USD ", "US", "USDT", "XXX", "XTS", "", "U5D"] {
            assert!(Currency::spelt(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn words_are_the_ones_of_the_domain() {
        for source in [GrantSource::Promotional, GrantSource::Purchased, GrantSource::Plan, GrantSource::Addon] {
            assert_eq!(GrantSource::spelt(source.word()), Some(source));
        }
        for source in ["bonus", "adjustment", "rollover", "rollover_promotional"] {
            assert_eq!(GrantSource::spelt(source), None, "made by the ledger only");
        }
        assert_eq!(PriceCheck::spelt("at_least"), Some(PriceCheck::AtLeast));
        assert_eq!(PriceCheck::FORM, "exact or at_least or review");
        assert_eq!(RequestMethod::spelt("payment"), None, "a payment under review is made by the ledger only");
    }

    #[test]
    fn b35_names_that_are_not_names_are_refused() {
        let long = "x".repeat(10_000);
        for text in ["", "'; DROP TABLE entry;--\n", "a\nfake log line", "\u{1b}[31m", "\u{0}", &long] {
            assert!(Printable::spelt(text).is_none(), "{text:?}");
        }
        for text in ["../../x", "%s%n", "{{7*7}}", "'; DROP TABLE entry;--"] {
            assert!(Printable::spelt(text).is_some() && Id::spelt(text).is_none(), "stored as it is: {text}");
        }
    }
}
