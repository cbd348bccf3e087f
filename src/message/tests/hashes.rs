//! The content hash: what it does not see, what it does, and that it never changes.

use super::*;

#[test]
fn spelling_and_delivery_noise_do_not_reach_the_content() {
    let one = content(&grant());
    for (path, same) in [
        ("/data/credits", json!(100)),
        ("/data/credits", json!("100.000000")),
        ("/data/source", json!("promotional")),
        ("/data/cost_basis", json!("0.00")),
        ("/data/scope", json!([])),
        ("/traceparent", json!("00-1-2-01")),
        ("/id", json!("another-id")),
        ("/source", json!("another-app")),
        ("/time", json!("2026-01-31T02:00:00.0000009+02:00")),
    ] {
        assert_eq!(content(&with(grant(), path, same)), one, "{path}");
    }
    let reordered = r#" { "data" : {"actor":"staff-1", "reason":"gi\u0066t","credits":"100"}, "time":"2026-01-31T00:00:00Z",
        "subject":"u-1","tenant":"acme","type":"credits.grant","source":"app","id":"m-1","specversion":"1.0"} "#;
    let Ok(Incoming::Account(message)) = read(&delivery("credits.grant", reordered), &secrets) else { panic!() };
    assert_eq!(message.content.to_string(), one);
}

#[test]
fn b49_everything_that_is_asked_reaches_the_content() {
    let one = content(&grant());
    for (path, other) in [
        ("/data/credits", json!("100.000001")),
        ("/data/reason", json!("gif")),
        ("/data/actor", json!("staff-2")),
        ("/data/grant", json!("g")),
        ("/data/source", json!("purchased")),
        ("/data/priority", json!(40)),
        ("/data/scope", json!(["image"])),
        ("/data/cost_basis", json!("0.01")),
        ("/data/effective_at", json!("2026-02-01T00:00:00Z")),
        ("/data/expires_at", json!("2027-02-01T00:00:00Z")),
        ("/data/rollover", json!({})),
        ("/data/recurs", json!({"interval": "P1D", "anchor": "2026-01-01T00:00:00"})),
        ("/subject", json!("u-2")),
        ("/time", json!("2026-01-31T00:00:00.000001Z")),
    ] {
        assert_ne!(content(&with(grant(), path, other)), one, "{path}");
    }
    let adjust = json!({"credits": "100", "reason": "gift", "actor": "staff-1"});
    assert_ne!(content(&event("credits.adjust", &adjust)), one, "another type");
}

#[test]
fn no_value_can_write_a_line_of_its_own() {
    let usage = |dimensions: Value| content(&event("usage.recorded", &json!({"meter": "m", "quantity": 1, "dimensions": dimensions})));
    let hashes = [
        usage(json!({"a": "1", "b": "2"})),
        usage(json!({"a": "1\ndimension=b\nis=2"})),
        usage(json!({"a": "1\\ndimension=b\\nis=2"})),
        usage(json!({"a": "1", "b": ""})),
        usage(json!({"a=1": "2"})),
    ];
    let different: std::collections::BTreeSet<_> = hashes.iter().collect();
    assert_eq!(different.len(), hashes.len());
}

#[test]
fn metadata_is_part_of_the_content() {
    let opened = |metadata: Value| content(&event("account.opened", &json!({"kind": "user", "owner": "a", "metadata": metadata})));
    assert_eq!(opened(json!({"a": "1", "b": "2"})), opened(json!({"b": "2", "a": "1"})));
    assert_ne!(opened(json!({})), opened(Value::Null), "cleared is not left as it is");
    assert_ne!(opened(json!({"a": "1"})), opened(json!({"a": "2"})));
}

/// These stand in databases: a change here is a change of what counts as the same message.
#[test]
fn contents_of_the_examples_never_change() {
    let shown: Vec<String> = examples::examples()
        .into_iter()
        .map(|(name, text)| {
            let event: Value = serde_json::from_str(&text).unwrap();
            let read = match name.split('.').next() {
                Some("stripe") => read(&webhooks::signed(&text), &secrets),
                Some("paypal") => read(&paypal::signed(&text), &paypal::Testing),
                _ => read(&delivery(event["type"].as_str().unwrap(), &text), &secrets),
            };
            let content = match read.unwrap() {
                Incoming::Account(message) => message.content,
                Incoming::Tenant(message) => message.content,
                Incoming::Unaddressed(message) => message.content,
                Incoming::Ignored { content, .. } => content,
            };
            format!("{name} {content}")
        })
        .collect();
    assert_eq!(shown.join("\n"), include_str!("hashes.txt").trim_end());
}
