//! JSON Schemas of every message, drawn from the types that read and write it.
//!
//! Owns the envelope around the data, and the words for rules between keys. The form of a field is
//! its type's to say. Schemas are for producers and subscribers: the worker never reads one.

use super::announced::{CloudEvent, EVENTS, Sent};
use super::cloudevent::Envelope;
use super::field::Field;
use super::outcome::Body;
use super::payload::{KINDS, Kind};
use crate::domain::ids::Id;
use schemars::consts::meta_schemas::DRAFT07;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Draws a schema.
pub(super) type Draw = fn(&mut SchemaGenerator) -> Schema;

/// The schema of what is not built: nothing fits it.
pub(super) fn unbuilt(_: &mut SchemaGenerator) -> Schema {
    false.into()
}

/// The keys are there, and the others are not; `null` counts as absent.
pub(super) fn only(keys: &[&str], others: &[&str]) -> Value {
    let there = keys.iter().map(|key| (*key, json!({"not": {"type": "null"}})));
    let absent = others.iter().map(|key| (*key, json!({"type": "null"})));
    json!({"required": keys, "properties": there.chain(absent).collect::<BTreeMap<_, _>>()})
}

/// The keys are there; `null` counts as absent.
pub(super) fn given(keys: &[&str]) -> Value {
    only(keys, &[])
}

/// The schema of every message by its place: `<type>` for what arrives, `events/<type>` for what is
/// announced, `reply` for the answer.
#[must_use]
pub fn schemas() -> BTreeMap<String, Value> {
    let arriving = KINDS.iter().map(|kind| (kind.word.to_owned(), arriving(kind)));
    let announced = EVENTS.iter().map(|sent| (format!("events/{}", sent.word), announced(sent)));
    let reply = Body::json_schema(&mut settings().for_serialize().into_generator());
    arriving.chain(announced).chain([("reply".to_owned(), finished("reply", reply))]).collect()
}

/// Draft 7, which AsyncAPI's own schemas extend. Each file stands alone.
fn settings() -> SchemaSettings {
    SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true)
}

fn arriving(kind: &Kind) -> Value {
    let generator = &mut settings().for_deserialize().into_generator();
    let of_account = kind.of_account.as_ref().and_then(|form| {
        let mut event = received(kind.word, form.schema, generator)?;
        put(&mut event, "subject", generator.subschema_for::<Field<Id>>().into());
        Some(event)
    });
    let of_tenant = kind.of_tenant.as_ref().and_then(|form| {
        let mut event = received(kind.word, form.schema, generator)?;
        set(&mut event, "subject", json!({"type": "null"}));
        Some(event)
    });
    let schema = match (of_account, of_tenant) {
        (Some(account), Some(tenant)) => json_schema!({"oneOf": [account, tenant]}),
        (account, tenant) => account.or(tenant).unwrap_or_else(|| unbuilt(generator)),
    };
    finished(kind.word, schema)
}

/// The event around some data; none for data that is not built.
fn received(word: &str, draw: Draw, generator: &mut SchemaGenerator) -> Option<Schema> {
    let data = draw(generator);
    (data != unbuilt(generator)).then(|| event(word, Envelope::json_schema(generator), data))
}

fn announced(sent: &Sent) -> Value {
    let generator = &mut settings().for_serialize().into_generator();
    let data = (sent.schema)(generator);
    let mut event = event(sent.word, CloudEvent::<()>::json_schema(generator), data);
    sent.attributes.iter().for_each(|key| require(&mut event, key));
    finished(sent.word, event)
}

fn event(word: &str, mut attributes: Schema, data: Schema) -> Schema {
    attributes.insert("description".to_owned(), "A CloudEvent 1.0 in structured mode.".into());
    put(&mut attributes, "specversion", json!({"const": "1.0"}));
    put(&mut attributes, "type", json!({"const": word}));
    put(&mut attributes, "data", data.into());
    attributes
}

/// Sets the schema of a key that is always there.
fn put(schema: &mut Schema, key: &str, value: Value) {
    set(schema, key, value);
    require(schema, key);
}

fn set(schema: &mut Schema, key: &str, value: Value) {
    let properties = schema.ensure_object().entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert(key.to_owned(), value);
    }
}

fn require(schema: &mut Schema, key: &str) {
    let required = schema.ensure_object().entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut().filter(|required| !required.contains(&key.into())) {
        required.push(key.into());
    }
}

fn finished(title: &str, mut schema: Schema) -> Value {
    schema.insert("$schema".to_owned(), DRAFT07.into());
    schema.insert("title".to_owned(), title.into());
    RecursiveTransform(bound_integer).transform(&mut schema);
    schema.into()
}

/// The sizes of Rust's integers are no formats of JSON Schema; what they mean is a bound.
fn bound_integer(schema: &mut Schema) {
    let (least, most) = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => (json!(i32::MIN), Some(json!(i32::MAX))),
        Some("uint32") => (json!(0), Some(json!(u32::MAX))),
        Some("uint64") => (json!(0), None),
        _ => return,
    };
    schema.remove("format");
    schema.insert("minimum".to_owned(), least);
    if let Some(most) = most {
        schema.insert("maximum".to_owned(), most);
    }
}
