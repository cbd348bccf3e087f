//! Amounts on the wire: credits, money and quantities in; the same without trailing zeros out.
//!
//! Owns the two spellings of the contract (a JSON string of digits, a JSON integer). No float ever
//! exists on the way: the digits of the message are read as they stand, and nothing is rounded.

use super::json;
use crate::domain::credits::Credits;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

const SPELLING: &str = "expected an amount: a string of -?digits with at most 6 decimals, or an integer";

/// Signed credits or money. Whether an amount below or at zero makes sense is the core's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount(pub(super) Credits);

/// Credits, money or a quantity that cannot be below zero by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NonNegative(pub(super) Credits);

fn read(raw: &RawValue) -> Result<Credits, String> {
    let text = raw.get();
    if text.starts_with('"') {
        let digits = json::string(raw).map_err(|_| SPELLING.to_owned())?;
        return Credits::parse(&digits).map_err(|error| error.to_string());
    }
    // "-0" is an integer in JSON but no number a producer means (faults B43).
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) || text == "-0" {
        return Err(SPELLING.to_owned());
    }
    Credits::parse(text).map_err(|error| error.to_string())
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        read(raw).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for NonNegative {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Amount(amount) = Amount::deserialize(deserializer)?;
        if amount.is_negative() {
            return Err(D::Error::custom("expected an amount that is not below zero"));
        }
        Ok(Self(amount))
    }
}

/// The first integer of more than 18 digits. A bound that a float holds exactly, because validators
/// may compare floats.
const WHOLE_END: i64 = 1_000_000_000_000_000_000;

/// Both spellings as one schema: a pattern binds strings only, bounds bind numbers only.
fn spellings(sign: &str, lower_bound: &str, least: i64) -> Schema {
    json_schema!({
        "description": "An amount: a string of digits with at most 6 decimals, or an integer",
        "type": ["string", "integer"],
        "pattern": format!("^{sign}0*[0-9]{{1,18}}(?:\\.[0-9]{{1,6}})?$"),
        (lower_bound): least,
        "exclusiveMaximum": WHOLE_END,
    })
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        spellings("-?", "exclusiveMinimum", -WHOLE_END)
    }
}

impl JsonSchema for NonNegative {
    fn schema_name() -> Cow<'static, str> {
        "NonNegative".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        spellings("", "minimum", 0)
    }
}

/// An amount as it is announced: a JSON string without trailing zeros.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown(pub(super) Credits);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Shown {
    fn schema_name() -> Cow<'static, str> {
        "Shown".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^-?(?:0|[1-9][0-9]{0,17})(?:\\.[0-9]{0,5}[1-9])?$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(json: &str) -> Result<String, String> {
        serde_json::from_str::<Amount>(json).map(|amount| amount.0.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn both_spellings_are_read_exactly() {
        for (json, shown) in [
            ("0", "0"),
            ("5", "5"),
            ("-5", "-5"),
            ("\"5\"", "5"),
            ("\"5.0\"", "5"),
            ("\"-0.000001\"", "-0.000001"),
            ("\"10.50\"", "10.5"),
            ("999999999999999999", "999999999999999999"),
            ("\"007\"", "7"),
            ("\"\\u0035\"", "5"),
            ("9007199254740993", "9007199254740993"),
        ] {
            assert_eq!(amount(json).as_deref(), Ok(shown), "{json}");
        }
    }

    #[test]
    fn b43_b27_every_other_spelling_is_refused() {
        for json in [
            "-0",
            "1e3",
            "1E3",
            "1e400",
            "5.0",
            "0.1",
            "1e308",
            "0x10",
            "NaN",
            "Infinity",
            "null",
            "true",
            "[]",
            "{}",
            "[1]",
            "\"\"",
            "\"1e3\"",
            "\"0x10\"",
            "\"NaN\"",
            "\"1,000.00\"",
            "\"٣\"",
            "\" 1\"",
            "\"1 \"",
            "\"+1\"",
            "\".5\"",
            "\"1.\"",
            "\"0.0000001\"",
            "01",
            "+1",
            "-",
        ] {
            assert!(amount(json).is_err(), "{json}");
        }
    }

    #[test]
    fn b45_amounts_beyond_the_bounds_are_refused_not_wrapped() {
        for json in ["1000000000000000000", "9223372036854775807", "-9223372036854775808", "\"1000000000000000000\""] {
            assert!(amount(json).is_err(), "{json}");
        }
        assert!(amount(&"9".repeat(5000)).is_err());
    }

    #[test]
    fn b43_a_quantity_may_be_nothing_but_not_less() {
        let quantity = |json: &str| serde_json::from_str::<NonNegative>(json).map(|quantity| quantity.0);
        assert_eq!(quantity("0").unwrap(), Credits::ZERO);
        assert_eq!(quantity("\"0.4\"").unwrap().to_string(), "0.4");
        assert!(quantity("-1").is_err() && quantity("\"-0.000001\"").is_err());
    }

    #[test]
    fn amounts_go_out_as_strings_without_trailing_zeros() {
        let out = |text: &str| serde_json::to_string(&Shown(Credits::parse(text).unwrap())).unwrap();
        assert_eq!((out("10.500000"), out("1000"), out("-0.10")), ("\"10.5\"".into(), "\"1000\"".into(), "\"-0.1\"".into()));
    }
}
