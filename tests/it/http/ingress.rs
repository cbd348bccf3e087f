//! What the ingress takes, what it refuses, and what reaches the queue.

use super::door::{Door, signature};
use super::exchange;
use crate::worker::SECRET;
use credit_ledger::message::sign;
use jiff::Timestamp;
use lapin::types::AMQPValue;

const BODY: &[u8] = br#"{"id":"evt_1","type":"whatever.it.is"}"#;

macro_rules! door_test {
    ($(#[$doc:meta])* async fn $name:ident($door:ident) $body:block) => {
        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let $door = Door::open().await;
            $body
            $door.close().await;
        }
    };
}

door_test! {
async fn the_bytes_reach_the_queue_as_they_came(door) {
    let before = Timestamp::now();
    // Not even JSON: what it means is the worker's to say.
    let body = b"\xff\x00 not read here";
    let signed = signature(body);
    let headers = [("stripe-signature", &*signed), ("X-Received-At", "2020-01-01T00:00:00Z"), ("x-tenant", "other"), ("Content-Type", "text/weird")];
    let reply = door.stripe(&headers, body).await;
    assert_eq!((reply.status, &*reply.body), (200, "Taken.\n"));
    let delivery = door.queued().await.expect("it is in the queue").delivery;
    assert_eq!((delivery.data.as_slice(), delivery.routing_key.as_str()), (&body[..], "payment.stripe.acme"));
    let properties = &delivery.properties;
    assert_eq!(properties.delivery_mode(), &Some(2), "it survives the broker");
    assert_eq!(properties.content_type().as_ref().map(lapin::types::ShortString::as_str), Some("application/json"));
    let headers = properties.headers().as_ref().unwrap().inner();
    // The broker counts deliveries in one of its own.
    let ours = headers.keys().filter(|name| name.as_str() != "x-delivery-count").count();
    let header = |name: &str| match headers.get(name) {
        Some(AMQPValue::LongString(value)) => value.to_string(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(ours, 3, "{headers:?}");
    assert_eq!((header("Stripe-Signature"), header("x-tenant")), (signed, "acme".to_owned()));
    let received: Timestamp = header("x-received-at").parse().unwrap();
    assert!(before <= received && received <= Timestamp::now(), "{received}");
}
}

door_test! {
async fn b1_no_signature_an_empty_one_or_two(door) {
    let good = signature(BODY);
    for headers in [&[][..], &[("Stripe-Signature", "")], &[("Stripe-Signature", &good), ("Stripe-Signature", &good)], &[("Signature", &good)]] {
        let reply = door.stripe(headers, BODY).await;
        assert_eq!(reply.status, 400, "{headers:?}");
        assert!(reply.body.starts_with("The webhook was not taken, because") && !reply.body.contains(&good), "{}", reply.body);
    }
    assert_eq!(door.stripe(&[("Stripe-Signature", &"a".repeat(64 * 1024))], BODY).await.status, 431);
    door.only_this_one().await;
}
}

door_test! {
async fn b2_b3_signatures_of_another_form(door) {
    let now = Timestamp::now().as_second();
    let good = sign(SECRET.as_bytes(), now, BODY).unwrap();
    let v1 = good.split_once("v1=").unwrap().1;
    for header in [
        format!("v1={v1}"), format!("t={now},t={now},v1={v1}"), format!("t=-{now},v1={v1}"), format!("t=+{now},v1={v1}"), format!("t={now}0000000000000000000,v1={v1}"),
        "t=1e9,v1=00".into(), format!("t={now}"), format!("t={now},v0={v1}"), format!("t={now},v1={}", &v1[1..]), format!("t={now},v1={v1}0"),
        format!("t={now},v1={}", "zz".repeat(32)),
    ] {
        assert_eq!(door.stripe(&[("Stripe-Signature", &header)], BODY).await.status, 400, "{header}");
    }
    let upper = format!("t={now},v1={}", v1.to_uppercase());
    assert_eq!(door.stripe(&[("Stripe-Signature", &upper)], BODY).await.status, 200, "the same number");
    assert_eq!(door.queued().await.unwrap().delivery.data, BODY);
    door.only_this_one().await;
}
}

door_test! {
async fn b5_b6_too_old_too_new_or_of_another_secret(door) {
    let now = Timestamp::now().as_second();
    for (secret, signed_at) in [(SECRET, now - 310), (SECRET, now + 310), ("whsec_retired_0123456789", now), ("whsec_of_another_tenant", now)] {
        let header = sign(secret.as_bytes(), signed_at, BODY).unwrap();
        assert_eq!(door.stripe(&[("Stripe-Signature", &header)], BODY).await.status, 400, "{secret} {signed_at}");
    }
    door.only_this_one().await;
}
}

door_test! {
async fn b7_changed_bytes_and_other_encodings(door) {
    let good = signature(BODY);
    let with_mark = [b"\xef\xbb\xbf".as_slice(), BODY].concat();
    for body in [&br#"{"id":"evt_2","type":"whatever.it.is"}"#[..], &br#"{"id": "evt_1", "type": "whatever.it.is"}"#[..], &with_mark, b""] {
        assert_eq!(door.stripe(&[("Stripe-Signature", &good)], body).await.status, 400, "{body:?}");
    }
    for header in [
        ("Content-Encoding", "gzip"), ("Content-Encoding", "deflate, gzip"), ("Content-Encoding", "br"),
        ("Content-Type", "application/json; charset=utf-16"),
    ] {
        assert_eq!(door.stripe(&[("Stripe-Signature", &good), header], BODY).await.status, 400, "{header:?}");
    }
    let twice = [("Stripe-Signature", &*good), ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")];
    assert_eq!(door.stripe(&twice, BODY).await.status, 400);
    for header in [("Content-Encoding", "identity"), ("Content-Type", "application/json; charset=UTF-8")] {
        assert_eq!(door.stripe(&[("Stripe-Signature", &good), header], BODY).await.status, 200, "{header:?}");
        assert_eq!(door.queued().await.unwrap().delivery.data, BODY);
    }
    door.only_this_one().await;
}
}

door_test! {
async fn b9_bodies_that_are_too_large(door) {
    let most = vec![b' '; 256 * 1024];
    assert_eq!(door.signed(&most).await.status, 200);
    assert_eq!(door.queued().await.unwrap().delivery.data, most);
    let more = vec![b' '; 256 * 1024 + 1];
    assert_eq!(door.signed(&more).await.status, 413);
    // Refused by what it says, before any of it came; and the length that a 32-bit prefix cannot hold.
    // The library that reads the head takes the last one for too large a head.
    for (length, status) in [("200000000", 413), ("4294967297", 413), ("18446744073709551615", 431)] {
        let head = format!("POST /webhooks/stripe/acme HTTP/1.1\r\nHost: a\r\nStripe-Signature: t=1,v1=00\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(exchange(door.address, head.as_bytes()).await.unwrap().status, status, "{length}");
    }
    // Without a length: cut at the bound.
    let mut chunked = b"POST /webhooks/stripe/acme HTTP/1.1\r\nHost: a\r\nStripe-Signature: t=1,v1=00\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..65 {
        chunked.extend_from_slice(format!("1000\r\n{}\r\n", " ".repeat(0x1000)).as_bytes());
    }
    assert_eq!(exchange(door.address, &chunked).await.unwrap().status, 413);
    door.only_this_one().await;
}
}

door_test! {
async fn b10_requests_that_can_be_read_in_two_ways(door) {
    let signed = signature(BODY);
    let (length, body) = (BODY.len(), String::from_utf8(BODY.to_vec()).unwrap());
    let start = "POST /webhooks/stripe/acme HTTP/1.1\r\nHost: a\r\n";
    for (what, bytes) in [
        ("length and encoding", format!("{start}Stripe-Signature: {signed}\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")),
        ("encoding and length", format!("{start}Stripe-Signature: {signed}\r\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")),
        ("two lengths", format!("{start}Stripe-Signature: {signed}\r\nContent-Length: {length}\r\nContent-Length: {length}\r\n\r\n{body}")),
        ("bare line feed", format!("{start}Stripe-Signature: {signed}\nContent-Length: {length}\r\n\r\n{body}")),
        ("NUL", format!("{start}Stripe-Signature: {signed}\0\r\nContent-Length: {length}\r\n\r\n{body}")),
        ("folded", format!("{start}Stripe-Signature:\r\n {signed}\r\nContent-Length: {length}\r\n\r\n{body}")),
    ] {
        let reply = exchange(door.address, bytes.as_bytes()).await.unwrap_or_else(|| panic!("no answer: {what}"));
        assert_eq!(reply.status, 400, "{what}");
        // The exchange ends with the connection: what came behind it was read by nobody.
        assert_eq!(reply.header("connection"), Some("close"), "{what}: {}", reply.head);
    }
    door.only_this_one().await;
}
}

door_test! {
async fn b11_a_repeat_and_b13_an_unknown_type_are_handed_on(door) {
    for _ in 0..2 {
        let (body, header) = (BODY, "t=1767225600,v1=0");
        assert_eq!(door.stripe(&[("Stripe-Signature", header)], body).await.status, 400);
        assert_eq!(door.signed(body).await.status, 200, "whether it counts is the worker's to say");
        assert_eq!(door.queued().await.unwrap().delivery.data, body);
    }
}
}

door_test! {
async fn b17_other_methods_and_other_addresses(door) {
    let signed = signature(BODY);
    let headers = [("Stripe-Signature", &*signed)];
    for method in ["GET", "PUT", "HEAD", "OPTIONS", "TRACE", "DELETE", "PATCH"] {
        let reply = door.send(method, "/webhooks/stripe/acme", &headers, b"").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{method}");
    }
    let unknown = door.send("POST", "/webhooks/stripe/nobody", &headers, BODY).await;
    assert_eq!(unknown.status, 404);
    let long = format!("/webhooks/stripe/{}", "a".repeat(65));
    for target in [
        "/", "/webhooks", "/webhooks/stripe", "/webhooks/stripe/", "/webhooks/stripe/acme/", "/webhooks/stripe//acme", "//webhooks/stripe/acme",
        "/webhooks/stripe/%2e%2e", "/webhooks/stripe/..", "/webhooks/stripe/../stripe/acme", "/webhooks/stripe/%61cme", "/webhooks/stripe/%2561cme",
        "/webhooks/stripe/acme%00", "/webhooks/stripe/acme%0d%0a", "/webhooks/stripe/a.b", "/webhooks/Stripe/acme", "/webhooks/square/acme", &long,
        "/webhooks/paypal/other",
    ] {
        let reply = door.send("POST", target, &headers, BODY).await;
        assert_eq!((reply.status, &reply.body), (404, &unknown.body), "{target}: in the same words as an unknown tenant");
    }
    door.only_this_one().await;
}
}
