//! The schemas: one for every type, and as strict as the readers.

use super::examples::examples;
use super::*;
use crate::message::{announced_types, schemas, types};
use boon::{Compiler, Schemas};

/// Whether a value fits the schema at a place.
pub(crate) fn fits(place: &str, value: &Value) -> Result<(), String> {
    schema(place)(value)
}

/// The schema at a place, ready for many values.
fn schema(place: &str) -> impl Fn(&Value) -> Result<(), String> {
    let schema = schemas().remove(place).unwrap_or_else(|| panic!("{place} has no schema"));
    let (mut compiler, mut compiled) = (Compiler::new(), Schemas::new());
    compiler.add_resource("schema.json", schema).unwrap();
    let index = compiler.compile("schema.json", &mut compiled).unwrap();
    move |value| compiled.validate(value, index).map_err(|error| error.to_string())
}

/// Refused by the reader and by no schema: a number is one value however it is spelt, and neither
/// levels nor add-ons are compared by their meaning.
pub(super) fn beyond_schemas(to: &Value) -> bool {
    let fraction_of_zeros = to.is_f64() && to.as_f64().is_some_and(|number| number.fract() == 0.0);
    let named_twice =
        [json!([{"level": "1"}, {"level": "1.0", "margin": "2"}]), json!([{"addon": "a", "units": 1}, {"addon": "a", "units": 2}])];
    fraction_of_zeros || named_twice.contains(to)
}

#[test]
fn every_type_has_a_schema_of_its_name() {
    let schemas = schemas();
    let announced = announced_types().into_iter().map(|word| format!("events/{word}"));
    let places: Vec<String> = types().into_iter().map(|(word, _)| word.to_owned()).chain(announced).chain(["reply".to_owned()]).collect();
    for place in &places {
        assert_eq!(schemas[place]["title"].as_str(), place.rsplit('/').next(), "{place}");
    }
    assert_eq!(schemas.len(), places.len());
}

#[test]
fn attributes_are_as_strict_as_their_reader() {
    let base = grant();
    for (path, to) in [
        ("/specversion", json!("0.3")),
        ("/id", json!("")),
        ("/id", json!("x".repeat(129))),
        ("/source", json!("a\nb")),
        ("/type", json!("credits.grant.v2")),
        ("/tenant", json!("a b")),
        ("/tenant", json!("x".repeat(65))),
        ("/subject", json!("a/b")),
        ("/subject", Value::Null),
        ("/time", json!("2026-01-31T00:00:00")),
        ("/time", json!("2026-02-29T00:00:00Z")),
        ("/time", json!("1999-12-31T23:59:59Z")),
        ("/time", json!("2026-01-31T23:59:60Z")),
        ("/time", json!(1_769_817_600)),
        ("/data", json!([])),
        ("/data", Value::Null),
    ] {
        let changed = with(base.clone(), path, to);
        assert!(fits("credits.grant", &changed).is_err(), "{changed}");
        assert_ne!(fate(&deliver(&changed)), "read", "{changed}");
    }
    for (path, to) in [
        ("/id", json!("x".repeat(128))),
        ("/source", json!("https://shop.example/ü")),
        ("/time", json!("2026-01-31T00:00:00.123456789+05:30")),
        ("/traceparent", json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
    ] {
        let changed = with(base.clone(), path, to);
        assert_eq!(fits("credits.grant", &changed), Ok(()));
        assert_eq!(fate(&deliver(&changed)), "read", "{changed}");
    }
}

#[test]
fn spellings_are_as_strict_as_their_reader() {
    let texts = |texts: &[&str]| texts.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let amounts =
        ["0", "-0.000001", "007", "999999999999999999.999999", "-0", "", "1.", ".5", "+1", "1e3", "1,000", " 1", "٣", "0.0000001"];
    agree(&grant(), "/data/credits", &texts(&amounts));
    let (large, end) = (999_999_999_999_999_000_i64, 1_000_000_000_000_000_000_i64);
    agree(&grant(), "/data/credits", &[json!(large), json!(-large), json!(end), json!(-end), json!(end.to_string())]);
    let recurs = with(grant(), "/data/recurs", json!({"interval": "P1D", "anchor": "2026-01-01T06:00:00"}));
    let spans =
        ["P1D", "P1Y2M3W4DT5H6M7S", "PT1H", "PT0.5S", "P0Y1D", "", "P", "PT", "P1DT", "P0D", "PT0S", "-P1D", "P1Q", "1 month", "P1D "];
    agree(&recurs, "/data/recurs/interval", &texts(&spans));
    let anchors = [
        "2024-02-29T23:59:59",
        "1970-01-01T00:00:00",
        "2400-12-31T00:00:00",
        "1969-12-31T00:00:00",
        "2401-01-01T00:00:00",
        "2026-04-31T00:00:00",
        "2026-02-30T00:00:00",
        "2026-13-01T00:00:00",
        "2026-01-31T24:00:00",
        "2026-01-31T00:00:00.5",
        "2026-01-31",
    ];
    agree(&recurs, "/data/recurs/anchor", &texts(&anchors));
    let alert = event("account.changed", &json!({"alerts": [{"percent": 1}]}));
    agree(&alert, "/data/alerts/0/percent", &texts(&["100", "0100.0", "99.999999", "100.000001", "101", "-1"]));
    agree(&alert, "/data/alerts/0/percent", &[json!(0), json!(100), json!(101), json!(-1)]);
    let request = json!({"request": "r", "credits": 1, "price": "1", "currency": "EUR", "method": "other", "requested_by": "a"});
    let currencies = ["USD", "XXX", "XTS", "usd", "US", "USDC", "U5D"];
    agree(&event("credit_request.submitted", &request), "/data/currency", &texts(&currencies));
}

/// Schema and reader say the same of every value.
fn agree(base: &Value, path: &str, values: &[Value]) {
    let fits = schema(base["type"].as_str().unwrap());
    for value in values {
        let mut changed = base.clone();
        *changed.pointer_mut(path).unwrap() = value.clone();
        assert_eq!(fits(&changed).is_ok(), fate(&deliver(&changed)) == "read", "{changed}: {:?}", fits(&changed));
    }
}

/// Pointers to everything in a value.
fn places(value: &Value, at: &str) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (format!("{at}/{key}"), value)).collect(),
        Value::Array(values) => values.iter().enumerate().map(|(index, value)| (format!("{at}/{index}"), value)).collect(),
        _ => Vec::new(),
    };
    inner.into_iter().flat_map(|(place, value)| places(value, &place).into_iter().chain([place])).collect()
}

#[test]
fn anything_anywhere_is_refused_by_schema_and_reader_or_by_neither() {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(0.5),
        json!(u64::from(u32::MAX) + 1),
        json!(""),
        json!("0"),
        json!("-1.5"),
        json!("x"),
        json!("a b"),
        json!("a\nb"),
        json!("é"),
        json!("x".repeat(65)),
        json!("x".repeat(129)),
        json!("x".repeat(1001)),
        json!([]),
        json!([null]),
        json!(["x"]),
        json!(["end"]),
        json!([{}]),
        json!({}),
        json!({"x": "y"}),
        json!({"x": 1}),
    ];
    for (_, text) in examples().iter().filter(|(name, _)| !name.starts_with("stripe.") && !name.starts_with("paypal.")) {
        let event: Value = serde_json::from_str(text).unwrap();
        // Whether the tenant is the routing key's is beyond a schema.
        for place in places(&event, "").iter().filter(|place| *place != "/tenant") {
            agree(&event, place, &values);
        }
    }
}
