//! Objects of a provider's API in a file: one list, lists one after another, or one object after another.
//!
//! Owns telling those apart while reading, one object in memory at a time.

use super::{BadFile, Bounded, Format, Out, refill};
use crate::drift::record::{Row, Says};
use crate::drift::{paypal, stripe};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::io::BufReader;
use std::sync::atomic::AtomicU64;

/// Keys under which lists keep their objects.
const LISTS: [&str; 2] = ["data", "transaction_details"];
/// What ends the reading when nobody wants any more.
const UNWANTED: &str = "nobody listens";

/// Reads all objects.
pub(super) fn read(source: Bounded, format: Format, out: Out) {
    let budget = source.budget();
    let mut sink = Sink { out, format, budget: &budget, place: 0 };
    let mut reader = BufReader::new(source);
    let broken = loop {
        refill(&budget);
        match is_over(&mut reader) {
            Ok(true) => break None,
            Ok(false) => {}
            Err(error) => break Some(error.to_string()),
        }
        let mut json = serde_json::Deserializer::from_reader(&mut reader);
        if let Err(error) = Top(&mut sink).deserialize(&mut json) {
            break Some(error.to_string()).filter(|what| !what.contains(UNWANTED));
        }
    };
    let place = sink.place + 1;
    sink.out.end(broken.map(|what| BadFile::Broken { place, what }));
}

/// Skips blanks, and a mark of the encoding; true at the end of the file.
fn is_over(reader: &mut BufReader<Bounded>) -> std::io::Result<bool> {
    use std::io::BufRead as _;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(true);
        }
        let blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xEF | 0xBB | 0xBF);
        let blanks = buffer.iter().take_while(|byte| blank(byte)).count();
        let more = blanks == buffer.len();
        reader.consume(blanks);
        if !more {
            return Ok(false);
        }
    }
}

struct Sink<'a> {
    out: Out,
    format: Format,
    budget: &'a AtomicU64,
    place: u64,
}

impl Sink<'_> {
    /// Hands over one object; false when nobody wants any more.
    fn object(&mut self, json: &str) -> bool {
        refill(self.budget);
        self.place += 1;
        let read = if self.format == Format::PayPalJson {
            serde_json::from_str::<paypal::Transaction>(json).map_err(|error| error.to_string()).and_then(|one| one.row(None))
        } else {
            serde_json::from_str::<stripe::Object>(json).map_err(|error| error.to_string()).and_then(|one| one.row())
        };
        let (at, says) = read.unwrap_or_else(|what| (None, Says::Unreadable(what)));
        self.out.row(Row { place: self.place, at, says })
    }
}

/// A list, or an object by itself.
struct Top<'a, 'b>(&'a mut Sink<'b>);

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list, or an object of one")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut own = serde_json::Map::new();
        let mut is_list = false;
        while let Some(key) = map.next_key::<String>()? {
            if LISTS.contains(&key.as_str()) {
                is_list = true;
                map.next_value_seed(Elements(&mut *self.0))?;
            } else if is_list {
                map.next_value::<IgnoredAny>()?;
            } else {
                own.insert(key, map.next_value()?);
            }
        }
        let wanted = is_list || self.0.object(&serde_json::Value::Object(own).to_string());
        if wanted { Ok(()) } else { Err(A::Error::custom(UNWANTED)) }
    }
}

struct Elements<'a, 'b>(&'a mut Sink<'b>);

impl<'de> DeserializeSeed<'de> for Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<Box<RawValue>>()? {
            if !self.0.object(element.get()) {
                return Err(A::Error::custom(UNWANTED));
            }
        }
        Ok(())
    }
}
