//! Clients that are slow, many, or ask too often.

use super::door::{Door, Plan, signature};
use super::{Reply, SOON, exchange, read, request};
use crate::proxy::Proxy;
use crate::worker::environment;
use credit_ledger::http::IngressBounds;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const HEAD_TIME: Duration = Duration::from_millis(400);
const BODY_TIME: Duration = Duration::from_millis(400);

fn impatient() -> Plan {
    let plan = Plan::new();
    Plan { head_time: HEAD_TIME, bounds: IngressBounds { body_time: BODY_TIME, ..plan.bounds }, ..plan }
}

#[tokio::test(flavor = "multi_thread")]
async fn b63_heads_that_are_too_long() {
    let door = Door::open().await;
    let many: Vec<(&str, &str)> = vec![("X-Header", "1"); 101];
    let status = |reply: Reply| reply.status;
    assert_eq!(status(door.stripe(&many, b"{}").await), 431);
    // With host and length it is 100, so it is the signature that is missed.
    assert_eq!(status(door.stripe(&many[..98], b"{}").await), 400);
    assert_eq!(status(door.stripe(&[("X-Header", &"a".repeat(17 * 1024))], b"{}").await), 431);
    assert_eq!(status(door.send("POST", &format!("/webhooks/stripe/{}", "a".repeat(9 * 1024)), &[], b"{}").await), 414);
    assert_eq!(status(door.send("POST", &format!("/webhooks/stripe/acme?{}", "a".repeat(9 * 1024)), &[], b"{}").await), 414);
    let preface = exchange(door.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(preface.is_none_or(|reply| reply.status == 400), "HTTP/2 is not spoken");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b63_a_pipeline_is_one_request() {
    let door = Door::open().await;
    let body = b"{}";
    let one = request("POST", "/webhooks/stripe/acme", &[("Stripe-Signature", &signature(body))], body);
    let reply = exchange(door.address, &one.repeat(10_000)).await.unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert_eq!(reply.body, "Taken.\n", "and nothing behind it");
    assert!(door.queued().await.is_some() && door.queued().await.is_none());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f90_a_head_a_byte_at_a_time_is_dropped_and_others_are_served() {
    let door = Door::open_as(impatient()).await;
    let begun = Instant::now();
    let slow = async {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        for byte in b"POST /webhooks/stripe/acme HTTP/1.1\r\nHost: a\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaa".iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            if let Ok(read) = timeout(Duration::from_millis(20), stream.read(&mut [0; 64])).await {
                assert!(matches!(read, Ok(0) | Err(_)), "nothing is answered");
                break;
            }
        }
        begun.elapsed()
    };
    let idle = async {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        assert!(read(&mut stream).await.is_none());
    };
    let (dropped_after, (), ()) = tokio::join!(slow, idle, door.only_this_one());
    assert!(dropped_after >= HEAD_TIME && dropped_after < SOON, "{dropped_after:?}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f90_a_body_that_does_not_come_is_told_so() {
    let door = Door::open_as(impatient()).await;
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    let head =
        format!("POST /webhooks/stripe/acme HTTP/1.1\r\nHost: a\r\nStripe-Signature: {}\r\nContent-Length: 2\r\n\r\n{{", signature(b"{}"));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap().status, 408);
    door.only_this_one().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f90_idle_connections_give_up_their_places() {
    // Long enough that waiting for their end would be seen.
    let door = Door::open_as(Plan { connections_max: 8, head_time: SOON, ..Plan::new() }).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(door.address).await.unwrap());
    }
    let begun = Instant::now();
    door.only_this_one().await;
    assert!(begun.elapsed() < SOON / 2, "{:?}", begun.elapsed());
    // The oldest were dropped; the youngest may still send.
    let body = b"{}";
    let mut youngest = idle.pop().unwrap();
    youngest.write_all(&request("POST", "/webhooks/stripe/acme", &[("Stripe-Signature", &signature(body))], body)).await.unwrap();
    assert_eq!(read(&mut youngest).await.unwrap().status, 200);
    assert!(read(&mut idle[0]).await.is_none());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_sent_a_head_keeps_the_place() {
    let door = Door::open_as(Plan { connections_max: 2, ..Plan::new() }).await;
    let body = b"{}";
    let whole = request("POST", "/webhooks/stripe/acme", &[("Stripe-Signature", &signature(body))], body);
    let (head, rest) = whole.split_at(whole.len() - 1);
    let mut slow = TcpStream::connect(door.address).await.unwrap();
    slow.write_all(head).await.unwrap();
    // Answered in the other place, so the slow one was there before.
    door.only_this_one().await;
    let _idle = [TcpStream::connect(door.address).await.unwrap(), TcpStream::connect(door.address).await.unwrap()];
    door.only_this_one().await;
    slow.write_all(rest).await.unwrap();
    assert_eq!(read(&mut slow).await.unwrap().status, 200);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b63_too_many_requests_are_told_when_to_come_again() {
    let plan = Plan::new();
    let door = Door::open_as(Plan { bounds: IngressBounds { per_second: 1, burst: 3, ..plan.bounds }, ..plan }).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let reply = door.signed(b"{}").await;
        assert_eq!(reply.header("retry-after"), (reply.status == 429).then_some("1"));
        statuses.push(reply.status);
    }
    assert_eq!(statuses[..3], [200; 3]);
    assert!(statuses[3..].contains(&429), "{statuses:?}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_under_way_end_and_takes_no_more() {
    let mut door = Door::open().await;
    let address = door.address;
    let body = b"{\"id\":\"evt_late\"}";
    let whole = request("POST", "/webhooks/stripe/acme", &[("Stripe-Signature", &signature(body))], body);
    let mut under_way = TcpStream::connect(address).await.unwrap();
    let (first, rest) = whole.split_at(whole.len() - 3);
    under_way.write_all(first).await.unwrap();
    // A second one is answered, so the first was accepted before it.
    door.only_this_one().await;
    let client = async {
        // Nobody listens any more.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        under_way.write_all(rest).await.unwrap();
        read(&mut under_way).await.unwrap().status
    };
    let (status, ()) = timeout(SOON, async { tokio::join!(client, door.stop()) }).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(door.queued().await.unwrap().delivery.data, body);
    door.close().await;
}

/// A broker that takes the bytes and says nothing: the provider hears that it must send again, and hears it soon.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_confirm_in_time_is_no_success() {
    let broker = Proxy::start(&environment("AMQP_URL")).await;
    let confirm_time = Duration::from_millis(400);
    let door = Door::open_as(Plan { amqp_url: broker.url.clone(), confirm_time, ..Plan::new() }).await;
    assert_eq!(door.signed(b"{\"id\":\"evt_before\"}").await.status, 200);
    broker.silence();
    let begun = Instant::now();
    let reply = door.signed(b"{\"id\":\"evt_silent\"}").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")), "{}", reply.body);
    assert!(reply.body.contains("has not confirmed") && reply.body.contains("send it again"), "{}", reply.body);
    assert!(begun.elapsed() >= confirm_time && begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let body = door.queued().await.expect("the first is in the queue").delivery.data;
    assert_eq!(body, b"{\"id\":\"evt_before\"}");
    door.close().await;
}
