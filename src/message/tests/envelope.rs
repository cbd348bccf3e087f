//! The envelope's table: what each flaw ends in.

use super::webhooks::signed;
use super::*;

fn fates(table: &[(&str, Value, &str)]) {
    for (path, to, expected) in table {
        let changed = with(grant(), path, to.clone());
        let raw = delivery("credits.grant", &changed.to_string());
        assert_eq!(fate(&read(&raw, &secrets)), *expected, "{path} = {to}");
    }
}

#[test]
fn a_message_is_read() {
    let Ok(Incoming::Account(message)) = deliver(&grant()) else { panic!() };
    assert_eq!(message.account.to_string(), "acme/u-1");
    assert_eq!(message.id.to_string(), "app m-1");
    assert_eq!(message.occurred_at.to_string(), "2026-01-31T00:00:00Z");
}

#[test]
fn b33_any_version_but_1_0_is_unsupported() {
    let versions = [json!("0"), json!("2"), json!("999"), json!("1"), json!("1.1"), json!(1.0), json!(1), json!(null), json!("")];
    fates(&versions.map(|version| ("/specversion", version, "unsupported_version")));
}

#[test]
fn b34_types_that_are_not_known_or_not_for_this_queue() {
    fates(&[
        ("/type", json!("credits.mint"), "unknown_type"),
        ("/type", json!("credits.grant.v2"), "unknown_type"),
        ("/type", json!("credits.hold"), "unknown_type"),
        ("/type", json!(""), "unknown_type"),
        ("/type", json!("CREDITS.GRANT"), "unknown_type"),
        ("/type", json!("usage.recorded"), "not_permitted"),
        ("/type", json!("credit_request.decided"), "not_permitted"),
        ("/type", json!("credits.adjust"), "not_permitted"),
        ("/type", json!(7), "malformed"),
        ("/type", json!(null), "malformed"),
    ]);
}

#[test]
fn b34_every_type_is_refused_in_every_other_queue() {
    for (kind, own) in crate::message::types() {
        for queue in Queue::ALL {
            let mut raw = delivery(kind, &event(kind, &json!({})).to_string());
            raw.queue = queue;
            let fate = fate(&read(&raw, &secrets));
            assert_eq!(fate == "not_permitted", queue != own, "{kind} in {}: {fate}", queue.word());
        }
    }
}

#[test]
fn b41_a_message_copied_to_another_tenant_or_key_is_not_permitted() {
    for key in ["credits.grant.other", "credits.grant", "credits.adjust.acme", "acme", "", "credits.grant.acme.acme"] {
        let mut raw = delivery("credits.grant", &grant().to_string());
        raw.routing_key = key.into();
        assert_eq!(fate(&read(&raw, &secrets)), "not_permitted", "{key}");
    }
    fates(&[("/tenant", json!("other"), "not_permitted")]);
}

#[test]
fn b35_identities_have_their_form() {
    let long = "x".repeat(129);
    fates(&[
        ("/id", json!(null), "malformed"),
        ("/id", json!(""), "malformed"),
        ("/id", json!(7), "malformed"),
        ("/id", json!(long), "malformed"),
        ("/id", json!("a\nfake log line"), "malformed"),
        ("/id", json!("\u{1b}[31m"), "malformed"),
        ("/id", json!("'; DROP TABLE entry;--"), "read"),
        ("/id", json!("../../x %s%n {{7*7}}"), "read"),
        ("/source", json!(null), "malformed"),
        ("/source", json!(""), "malformed"),
        ("/source", json!(long), "malformed"),
        ("/tenant", json!(null), "malformed"),
        ("/tenant", json!("a b"), "malformed"),
        ("/subject", json!("a/b"), "malformed"),
        ("/subject", json!("x".repeat(65)), "malformed"),
        ("/subject", json!(7), "malformed"),
        ("/subject", json!(null), "malformed"),
        ("/data", json!(null), "malformed"),
        ("/data", json!([]), "malformed"),
        ("/data", json!("{}"), "malformed"),
    ]);
}

#[test]
fn b39_the_time_is_an_exact_instant() {
    fates(&[
        ("/time", json!(null), "malformed"),
        ("/time", json!("2026-01-31T00:00:00"), "malformed"),
        ("/time", json!("2026-01-31T00:00:00+99:00"), "malformed"),
        ("/time", json!("2026-01-31T23:59:60Z"), "malformed"),
        ("/time", json!(1_769_817_600), "malformed"),
        ("/time", json!("10000-01-01T00:00:00Z"), "malformed"),
        ("/time", json!("2026-01-31T00:00:00.123456789+02:00"), "read"),
    ]);
}

#[test]
fn unknown_extension_attributes_are_tolerated() {
    fates(&[
        ("/traceparent", json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), "read"),
        ("/partitionkey", json!("u-1"), "read"),
        ("/datacontenttype", json!("application/json"), "read"),
        ("/other", json!({"deep": [1.5, {"a": null}]}), "read"),
    ]);
}

#[test]
fn b31_a_key_twice_anywhere_is_malformed() {
    let text = grant().to_string();
    for twice in [
        text.replace(r#""id":"m-1""#, r#""id":"m-1","id":"m-1""#),
        text.replace(r#""id":"m-1""#, r#""x":1,"x":1,"id":"m-1""#),
        text.replace(r#""id":"m-1""#, r#""id":"m-1","\u0069d":"m-2""#),
        text.replace(r#""credits":"100""#, r#""credits":"1","credits":"100""#),
        text.replace(r#""credits":"100""#, r#""credits":"1","\u0063redits":"100""#),
        text.replace(r#""credits":"100""#, r#""credits":"1","rollover":{"max":"1","max":"2"}"#),
    ] {
        assert_ne!(twice, text);
        assert_eq!(fate(&read(&delivery("credits.grant", &twice), &secrets)), "malformed", "{twice}");
    }
    let usage = event("usage.recorded", &json!({"meter": "m", "quantity": 1, "dimensions": {"a": "1"}})).to_string();
    let twice = usage.replace(r#"{"a":"1"}"#, r#"{"a":"1","a":"2"}"#);
    assert_eq!(fate(&read(&delivery("usage.recorded", &twice), &secrets)), "malformed");
}

#[test]
fn b31_unknown_keys_of_data_are_refused_and_named() {
    let unreadable = deliver(&with(grant(), "/data/expires", json!("2027-01-01T00:00:00Z"))).unwrap_err();
    assert_eq!((unreadable.reason.word(), unreadable.detail.as_str()), ("malformed", "data: unknown key `expires`"));
    assert_eq!(fate(&deliver(&with(grant(), "/data/Credits", json!("1")))), "malformed", "another case is another key");
}

#[test]
fn b29_b30_size_comes_before_depth_and_depth_before_parsing() {
    let body = |text: &str| fate(&read(&delivery("credits.grant", text), &secrets));
    assert_eq!(body(&"[".repeat(100_000)), "too_large");
    assert_eq!(body(&"[".repeat(16 * 1024)), "malformed");
    assert_eq!(body(&" ".repeat(16 * 1024 + 1)), "too_large");
    assert_eq!(body(&format!("{{\"a\":{}}}", "1".repeat(16_000))), "unsupported_version");
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let text = |depth: usize| grant().to_string().replacen('{', &format!("{{\"ext\":{},", nested(depth)), 1);
    assert_eq!((body(&text(31)), body(&text(32))), ("read", "malformed"));
}

#[test]
fn b30_a_body_at_its_limit_is_read_and_one_byte_more_is_not() {
    let text = grant().to_string();
    let padded = |size: usize| format!("{text}{}", " ".repeat(size - text.len()));
    assert_eq!(fate(&read(&delivery("credits.grant", &padded(16 * 1024)), &secrets)), "read");
    let over = read(&delivery("credits.grant", &padded(16 * 1024 + 1)), &secrets).unwrap_err();
    assert_eq!(over.reason.word(), "too_large");
    assert_eq!(over.tenant.unwrap().as_str(), "acme", "told by the routing key");
}

#[test]
fn b7_b37_other_encodings_and_content_types_are_malformed() {
    for (content_type, expected) in [
        (None, "read"),
        (Some("application/cloudevents+json"), "read"),
        (Some("application/cloudevents+json; charset=utf-8"), "read"),
        (Some("Application/CloudEvents+JSON ;charset=UTF-8"), "read"),
        (Some("application/cloudevents+json; x=1; Charset=\"utf-8\""), "read"),
        (Some("application/cloudevents+json; charset=iso-8859-1"), "malformed"),
        (Some("application/cloudevents+json; x=1; CHARSET=\"utf-16\""), "malformed"),
        (Some("application/cloudevents+json; charset="), "malformed"),
        (Some("application/json"), "malformed"),
        (Some("application/x-java-serialized-object"), "malformed"),
        (Some("application/cloudevents-batch+json"), "malformed"),
        (Some(""), "malformed"),
    ] {
        let mut raw = delivery("credits.grant", &grant().to_string());
        raw.content_type = content_type.map(str::to_owned);
        assert_eq!(fate(&read(&raw, &secrets)), expected, "{content_type:?}");
    }
    for (encoding, expected) in
        [("identity", "read"), ("Identity", "read"), ("utf-8", "read"), ("gzip", "malformed"), ("deflate", "malformed"), ("", "read")]
    {
        let mut raw = delivery("credits.grant", &grant().to_string());
        raw.headers.insert("content-encoding".into(), encoding.into());
        assert_eq!(fate(&read(&raw, &secrets)), expected, "{encoding:?}");
    }
    let text = grant().to_string();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in [[b"\xef\xbb\xbf", text.as_bytes()].concat(), utf16, b"\x1f\x8b\x08\x00".to_vec(), Vec::new(), b"null".to_vec()] {
        let raw = Raw { body, ..delivery("credits.grant", "") };
        assert_eq!(fate(&read(&raw, &secrets)), "malformed");
    }
}

#[test]
fn a_nul_is_refused_even_where_nobody_reads_it() {
    let text = grant().to_string().replace("\"gift\"", "\"gi\\u0000ft\"");
    assert_eq!(fate(&read(&delivery("credits.grant", &text), &secrets)), "malformed");
    let usage = event("usage.recorded", &json!({"meter": "m", "quantity": 1, "dimensions": {"a": "x\u{0}"}}));
    assert_eq!(fate(&deliver(&usage)), "malformed");
}

#[test]
fn a_subject_stands_where_the_contract_says_so() {
    let settings = json!({"four_eyes": true});
    assert_eq!(fate(&deliver(&tenant_event("tenant.settings_changed", &settings))), "read");
    assert_eq!(fate(&deliver(&event("tenant.settings_changed", &settings))), "malformed");
    let reset = json!({"as_of": "2026-02-01T00:00:00Z"});
    assert!(matches!(deliver(&tenant_event("cycle.reset", &reset)), Ok(Incoming::Tenant(_))));
    assert!(matches!(deliver(&event("cycle.reset", &reset)), Ok(Incoming::Account(_))));
    let member = deliver(&event("member.changed", &json!({"member": "ana", "role": "buyer"}))).unwrap_err();
    assert_eq!(member.reason.word(), "unknown_type");
    assert!(member.detail.contains("not built yet"));
}

#[test]
fn what_can_be_named_is_named_even_if_the_rest_is_unreadable() {
    let unreadable = deliver(&with(grant(), "/data/credits", json!(1.5))).unwrap_err();
    assert_eq!(unreadable.tenant.unwrap().as_str(), "acme");
    assert_eq!(unreadable.id.unwrap().to_string(), "app m-1");
    let nothing = read(&delivery("credits.grant", "{"), &secrets).unwrap_err();
    assert_eq!((nothing.tenant.unwrap().as_str(), nothing.id, nothing.kind), ("acme", None, None));
    let kind = |event: &Value| deliver(event).unwrap_err().kind;
    assert_eq!(kind(&with(grant(), "/data/credits", json!(1.5))).as_deref(), Some("credits.grant"));
    assert_eq!(kind(&with(grant(), "/specversion", json!("0.3"))).as_deref(), Some("credits.grant"));
    assert_eq!(kind(&with(grant(), "/type", json!("credits.unheard_of"))).as_deref(), Some("credits.unheard_of"));
    assert_eq!(kind(&with(grant(), "/type", json!("credits\nfake log line"))), None);
    let mut webhook = signed("{}");
    assert_eq!(read(&webhook, &secrets).unwrap_err().kind.as_deref(), Some("payment.stripe"), "as it is routed");
    webhook.routing_key = "payment.unheard_of.acme".into();
    assert_eq!(read(&webhook, &secrets).unwrap_err().kind, None);
}

#[test]
fn a_detail_never_repeats_a_value() {
    let secret = "4111-1111-1111-1111";
    for path in
        ["/time", "/tenant", "/specversion", "/type", "/data/credits", "/data/source", "/data/priority", "/data/scope", "/data/rollover"]
    {
        let unreadable = deliver(&with(grant(), path, json!(secret)));
        let raw = delivery("credits.grant", &with(grant(), path, json!(secret)).to_string());
        for unreadable in [unreadable.unwrap_err(), read(&raw, &secrets).unwrap_err()] {
            assert!(!unreadable.to_string().contains(secret), "{path}: {unreadable}");
        }
    }
}
