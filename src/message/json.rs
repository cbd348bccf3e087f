//! JSON as strict as a ledger needs it: bounded depth, no key twice, no NUL, no byte-order mark.
//!
//! Owns the checks that come before any typed reading, and maps that refuse a repeated key. Never
//! goes through `serde_json::Value`, which keeps the last of two keys and turns numbers into floats.

use super::fault::Fault;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// Containers within containers that a message may have (message contract, Formats).
pub(super) const DEPTH_MAX: u32 = 32;

/// The text of a body that is UTF-8 and no deeper than [`DEPTH_MAX`]. The depth is counted before
/// any parser recurses.
pub(super) fn text(body: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Fault::malformed("the body is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(Fault::malformed("the body begins with a byte-order mark"));
    }
    if scan(text).deepest > DEPTH_MAX {
        return Err(Fault::malformed(format!("the JSON is nested deeper than {DEPTH_MAX}")));
    }
    Ok(text)
}

/// Refuses `\u0000`, which no column of ours can hold.
pub(super) fn refuse_nul(text: &str) -> Result<(), Fault> {
    if scan(text).nul { Err(Fault::malformed("a string contains \\u0000")) } else { Ok(()) }
}

#[derive(Default)]
struct Scan {
    deepest: u32,
    nul: bool,
}

/// One pass over the bytes, which need not be valid JSON.
fn scan(text: &str) -> Scan {
    let (mut found, mut depth, mut in_string) = (Scan::default(), 0_u32, false);
    let mut bytes = text.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                found.nul |= bytes.as_slice().starts_with(b"u0000");
                bytes.next();
            }
            b'[' | b'{' if !in_string => {
                depth = depth.saturating_add(1);
                found.deepest = found.deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

/// The members of an object in their order, values unread, no key twice.
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object.
    pub(super) fn read(text: &'a str) -> Result<Self, Fault> {
        let lenient = Self::read_lenient(text)?;
        let mut keys: Vec<&str> = lenient.0.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Fault::malformed("a key is there twice"));
        }
        Ok(lenient)
    }

    /// Reads an object and lets a key be there twice; for telling kinds of lines apart only.
    pub(super) fn read_lenient(text: &'a str) -> Result<Self, Fault> {
        Ok(serde_json::from_str(text)?)
    }

    /// The value of a key; `null` counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    /// The value of a key as text.
    pub(super) fn text(&self, key: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        self.get(key).map(string).transpose().map_err(|fault| fault.within(key))
    }
}

/// A JSON string, borrowed where nothing is escaped.
pub(super) fn string(value: &RawValue) -> Result<Cow<'_, str>, Fault> {
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(value.get()).map(|text| text.0).map_err(|_| Fault::malformed("expected a string"))
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                #[derive(serde::Deserialize)]
                struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut members = Vec::with_capacity(12);
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((key.0, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Read).map(Self)
    }
}

/// A struct that is written as an object. serde alone would also take an array of its values, whose
/// meaning hangs on the order of our source.
#[derive(Debug, JsonSchema)]
#[schemars(description = "")]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Read(PhantomData)).map(Self)
    }
}

/// An object as a map, no key twice.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(description = "")]
pub(super) struct Unique<K, V>(pub(super) BTreeMap<K, V>);

impl<K, V> Default for Unique<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for Unique<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Read<K, V> {
            type Value = Unique<K, V>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut unique = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    if unique.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key is there twice"));
                    }
                }
                Ok(Unique(unique))
            }
        }
        deserializer.deserialize_map(Read(PhantomData))
    }
}

/// A key that may be absent, `null`, or there: for what can be unset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Nullable<T> {
    /// Not there: stays as it is.
    #[default]
    Absent,
    /// `null`: unset.
    Null,
    /// There.
    Given(T),
}

impl<T> Nullable<T> {
    /// The change it asks for, if it is there at all.
    pub(super) fn change<C>(self, to: impl FnOnce(Option<T>) -> C) -> Option<C> {
        match self {
            Self::Absent => None,
            Self::Null => Some(to(None)),
            Self::Given(value) => Some(to(Some(value))),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Null, Self::Given))
    }
}

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b29_depth_is_bounded_before_parsing() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(text(nested(32).as_bytes()).is_ok());
        for depth in [33, 129, 100_000] {
            assert!(text(nested(depth).as_bytes()).is_err(), "{depth}");
        }
        assert!(text("[".repeat(33).as_bytes()).is_err(), "never closed");
    }

    #[test]
    fn brackets_inside_strings_do_not_count() {
        assert_eq!(scan(r#"{"a":"[[[\"[[[","b\\":[1]}"#).deepest, 2);
        assert_eq!(scan(r#""\\""#).deepest, 0);
    }

    #[test]
    fn b7_a_byte_order_mark_or_another_charset_is_refused() {
        assert!(text(b"\xef\xbb\xbf{}").is_err());
        assert!(text(b"\xff\xfe{\x00}\x00").is_err());
        assert!(text(b"{\"a\":\"\xe4\"}").is_err());
    }

    #[test]
    fn nul_is_found_only_where_it_is_one() {
        assert!(refuse_nul(r#"{"a":"x\u0000y"}"#).is_err());
        assert!(refuse_nul(r#"{"a":"x\\u0000y"}"#).is_ok());
        assert!(refuse_nul(r#"{"a":"\u0001"}"#).is_ok());
    }

    #[test]
    fn b31_keys_that_are_there_twice_are_refused_however_they_are_spelt() {
        for twice in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":1}"#, r#"{"a":{"x":1},"b":1,"a":null}"#] {
            assert!(Members::read(twice).is_err(), "{twice}");
        }
        assert!(serde_json::from_str::<Unique<String, u32>>(r#"{"a":1,"\u0061":1}"#).is_err());
        assert!(Members::read(r#"{"a":1,"A":2}"#).is_ok(), "another case is another key");
    }

    #[test]
    fn unset_is_told_from_unsaid() {
        #[derive(serde::Deserialize)]
        struct Said {
            #[serde(default)]
            cap: Nullable<u32>,
        }
        let said = |text: &str| serde_json::from_str::<Said>(text).unwrap().cap;
        assert_eq!((said("{}"), said(r#"{"cap":null}"#), said(r#"{"cap":5}"#)), (Nullable::Absent, Nullable::Null, Nullable::Given(5)));
        assert_eq!((said("{}").change(|cap| cap), said(r#"{"cap":null}"#).change(|cap| cap)), (None, Some(None)));
        assert!(serde_json::from_str::<Said>(r#"{"cap":""}"#).is_err());
    }

    #[test]
    fn members_are_read_without_their_values() {
        let members = Members::read(r#"{"a":"x","n":null,"o":{"q":1}}"#).unwrap();
        assert_eq!(members.text("a").unwrap().as_deref(), Some("x"));
        assert!(members.get("n").is_none() && members.get("z").is_none());
        assert!(members.text("o").is_err());
        assert_eq!(members.get("o").unwrap().get(), r#"{"q":1}"#);
    }
}
