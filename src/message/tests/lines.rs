//! Message files, line by line.

use super::*;
use crate::message::line::{Basis, CatalogText};
use crate::message::{Line, Signing};

fn parse(line: &str) -> Line {
    Line::parse(line).unwrap().unwrap()
}

/// Signs for one tenant.
struct Acme;

impl Signing for Acme {
    fn stripe(&self, tenant: &Id) -> Option<Vec<u8>> {
        (tenant.as_str() == "acme").then(|| SECRET.to_vec())
    }

    fn paypal(&self, tenant: &Id) -> Option<String> {
        (tenant.as_str() == "acme").then(|| paypal::WEBHOOK.to_owned())
    }
}

fn raw(line: &str) -> Raw {
    parse(line).raw(&Acme).unwrap().unwrap()
}

const STRIPE: &str = r#"{"webhook":"stripe","tenant":"acme","event":{"id":"evt_1","type":"payment_intent.succeeded","created":1769851800,"data":{"object":{"id":"pi_1","amount":2000,"currency":"usd","metadata":{"credit_account":"u-1","credit_package":"starter"}}}}}"#;

#[test]
fn comments_and_empty_lines_are_skipped() {
    for line in ["", "   ", "# a comment", "  # {", "\r"] {
        assert_eq!(Line::parse(line), Ok(None), "{line:?}");
    }
}

#[test]
fn a_cloudevent_is_sent_as_it_stands() {
    let text = grant().to_string();
    let raw = raw(&text);
    assert_eq!((raw.queue, raw.routing_key.as_str(), raw.body.as_slice()), (Queue::Commands, "credits.grant.acme", text.as_bytes()));
    assert_eq!(fate(&read(&raw, &secrets)), "read");
}

#[test]
fn a_message_that_cannot_be_read_is_still_a_line() {
    for (line, expected) in [
        (r#"{"specversion":"1.0","type":"credits.mint","tenant":"acme"}"#, "unknown_type"),
        (r#"{"specversion":"0.3","type":"credits.grant","tenant":"acme"}"#, "unsupported_version"),
        (r#"{"specversion":"1.0"}"#, "malformed"),
        (r#"{"specversion":"1.0","type":"credits.grant","tenant":"acme","id":"a","id":"b"}"#, "malformed"),
        (r#"{"specversion":"1.0","type":7,"tenant":["x"]}"#, "malformed"),
    ] {
        assert_eq!(fate(&read(&raw(line), &secrets)), expected, "{line}");
    }
}

#[test]
fn a_type_that_no_queue_takes_goes_where_it_is_read() {
    let event = |kind: &str, tenant: &str| serde_json::json!({"specversion": "1.0", "type": kind, "tenant": tenant}).to_string();
    let long = format!("credits.{}", "x".repeat(300));
    for (kind, tenant, key) in [
        ("order.placed", "acme", "credits.unknown.acme"),
        (&long, "acme", "credits.unknown.acme"),
        ("order.placed", "no id", "credits.unknown"),
        ("order.placed", "", "credits.unknown"),
    ] {
        let raw = raw(&event(kind, tenant));
        assert_eq!((raw.queue, raw.routing_key.as_str()), (Queue::Commands, key));
        assert_eq!(Queue::of_routing_key(key), Some(Queue::Commands), "{key} is bound");
        assert_eq!(fate(&read(&raw, &secrets)), "unknown_type", "{kind}");
    }
    assert_eq!(fate(&read(&raw(&event("", "acme")), &secrets)), "unknown_type");
}

#[test]
fn the_place_in_a_line_is_a_column() {
    let said = Line::parse("{\"tick\": oops").unwrap_err().to_string();
    assert!(said.ends_with("at column 10") && !said.contains("line"), "{said}");
}

#[test]
fn a_webhook_is_signed_with_the_test_secret_at_its_own_time() {
    let raw = raw(STRIPE);
    assert_eq!(raw.routing_key, "payment.stripe.acme");
    assert_eq!(raw.header("x-received-at"), Some("2026-01-31T09:30:00Z"));
    assert_eq!(fate(&read(&raw, &secrets)), "read");
    let later = STRIPE.replace("\"tenant\"", "\"received_at\":\"2026-03-01T00:00:00Z\",\"tenant\"");
    let raw = super::lines::raw(&later);
    assert!(raw.header("stripe-signature").unwrap().starts_with("t=1772323200,v1="));
    assert_eq!(fate(&read(&raw, &secrets)), "read");
}

#[test]
fn a_webhook_without_a_secret_or_a_time_cannot_be_sent() {
    assert!(parse(&STRIPE.replace("acme", "other")).raw(&Acme).unwrap_err().to_string().contains("other"));
    assert!(Line::parse(&STRIPE.replace("\"created\":1769851800,", "")).is_err());
}

#[test]
fn an_exact_webhook_keeps_its_headers_and_bytes() {
    let line = r#"{"webhook":"stripe","tenant":"acme","headers":{"Stripe-Signature":"t=1,v1=00","X-Tenant":"evil"},"body":"{ }","received_at":"2026-01-31T09:30:00Z"}"#;
    let raw = raw(line);
    assert_eq!(
        (raw.body.as_slice(), raw.header("stripe-signature"), raw.header("x-tenant")),
        (&b"{ }"[..], Some("t=1,v1=00"), Some("evil"))
    );
    assert_eq!(fate(&read(&raw, &secrets)), "not_permitted");
}

#[test]
fn a_paypal_webhook_is_signed_by_the_test_authority_at_its_own_time() {
    let line = r#"{"webhook":"paypal","tenant":"acme","event":{"id":"WH-1","event_type":"CHECKOUT.ORDER.APPROVED","create_time":"2026-01-31T09:30:00Z"}}"#;
    let raw = raw(line);
    let at = Some("2026-01-31T09:30:00Z");
    assert_eq!(
        (raw.routing_key.as_str(), raw.header("x-received-at"), raw.header("paypal-transmission-time")),
        ("payment.paypal.acme", at, at)
    );
    assert!(matches!(read(&raw, &paypal::Testing), Ok(Incoming::Ignored { .. })), "of no type that is ours");
    let refused = read(&raw, &secrets).unwrap_err();
    assert!(
        refused.reason.word() == "bad_signature" && refused.detail.contains("PayPal's hosts"),
        "who was not told to believe it: {refused}"
    );
    assert!(parse(&line.replace("acme", "other")).raw(&Acme).unwrap_err().to_string().contains("PayPal webhook id"));
}

#[test]
fn ticks_readings_and_catalogs_are_no_messages() {
    let tick = parse(r#"{"tick": "2026-02-01T00:00:00Z"}"#);
    assert!(matches!(tick, Line::Tick(at) if at.as_second() == 1_769_904_000));
    let read = parse(r#"{"read": {"tenant": "acme", "account": "u-1"}}"#);
    assert!(matches!(&read, Line::Read { key, at: None, basis: Basis::Known } if key.to_string() == "acme/u-1"));
    let past = parse(r#"{"read": {"tenant": "acme", "account": "u-1", "at": "2026-02-01T00:00:00Z", "as": "recorded"}}"#);
    assert!(matches!(past, Line::Read { at: Some(_), basis: Basis::Recorded, .. }));
    let file = parse(r#"{"tenant": "acme", "catalog": "shop.toml"}"#);
    assert!(matches!(&file, Line::Catalog { catalog: CatalogText::File(name), .. } if name == "shop.toml"));
    let inline = parse(r#"{"tenant": "acme", "catalog": {"currency": "USD"}}"#);
    assert!(matches!(&inline, Line::Catalog { catalog: CatalogText::Inline(value), .. } if value["currency"] == "USD"));
    for line in [tick, read, past, file, inline] {
        assert_eq!(line.raw(&Acme), Ok(None));
    }
}

#[test]
fn lines_of_no_known_form_are_refused() {
    for line in [
        "{",
        "[]",
        "7",
        "\"tick\"",
        "{}",
        r#"{"tik":"2026-02-01T00:00:00Z"}"#,
        r#"{"tick":"soon"}"#,
        r#"{"tick":"2026-02-01T00:00:00Z","x":1}"#,
        r#"{"read":{"tenant":"acme"}}"#,
        r#"{"read":{"tenant":"acme","account":"u-1","as":"wished"}}"#,
        r#"{"read":["acme","u-1"]}"#,
        r#"{"tenant":"acme","catalog":7}"#,
        r#"{"catalog":"x"}"#,
        r#"{"webhook":"square","tenant":"acme","event":{"created":1}}"#,
        r#"{"webhook":"stripe","tenant":"acme"}"#,
        r#"{"webhook":"stripe","tenant":"acme","event":{"created":1},"body":""}"#,
        r#"{"webhook":"stripe","tenant":"acme","headers":{},"body":""}"#,
    ] {
        assert!(Line::parse(line).is_err(), "{line}");
    }
}
