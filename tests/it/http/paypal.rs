//! PayPal's webhooks at the ingress, from a PayPal of our own.

use super::Reply;
use super::door::{Door, Plan, WEBHOOK_ID};
use crate::world::paypal::issuing::{self, Terms};
use crate::world::paypal::{Page, PayPal};
use credit_ledger::message::paypal::{CertificateUrl, Signer, TRANSMISSION_ID};
use credit_ledger::paypal::{ANSWER_TIME, Certificates, Client, Memory};
use jiff::{SignedDuration, Timestamp};
use lapin::types::AMQPValue;
use std::sync::Arc;
use std::time::Duration;

const BODY: &[u8] = br#"{"id":"WH-1","event_type":"CHECKOUT.ORDER.APPROVED"}"#;
/// Failures are not remembered.
const FORGETFUL: Memory = Memory { away: Duration::ZERO, bad: Duration::ZERO };

fn client() -> Client {
    Client::new(Vec::new(), ANSWER_TIME).unwrap()
}

async fn open(paypal: &PayPal) -> Door {
    let certificates = Certificates::new(client(), Arc::new(paypal.trust()), FORGETFUL, None);
    Door::open_as(Plan { certificates: Some(certificates), ..Plan::new() }).await
}

fn signed_at(url: &CertificateUrl, sent_at: Timestamp) -> Vec<(&'static str, String)> {
    Signer::new(issuing::KEY, url.as_str()).unwrap().sign(WEBHOOK_ID, sent_at, BODY).unwrap().into_iter().collect()
}

fn signed(url: &CertificateUrl) -> Vec<(&'static str, String)> {
    signed_at(url, Timestamp::now())
}

async fn post(door: &Door, headers: &[(&'static str, String)]) -> Reply {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    door.send("POST", "/webhooks/paypal/acme", &headers, BODY).await
}

#[tokio::test(flavor = "multi_thread")]
async fn b26_what_paypal_signed_reaches_the_queue_whatever_it_is() {
    let paypal = PayPal::start().await;
    let door = open(&paypal).await;
    let url = paypal.serve_certificate("CERT-1", &Terms::default());
    let headers = signed(&url);
    for _ in 0..2 {
        assert_eq!(post(&door, &headers).await.status, 200);
        let delivery = door.queued().await.expect("it is in the queue").delivery;
        assert_eq!((delivery.data.as_slice(), delivery.routing_key.as_str()), (BODY, "payment.paypal.acme"));
        let arrived = delivery.properties.headers().as_ref().unwrap().inner();
        for (name, value) in &headers {
            assert_eq!(arrived.get(*name), Some(&AMQPValue::LongString(value.as_str().into())), "{name}");
        }
    }
    assert_eq!(paypal.asked(url.path()).len(), 1, "the certificate is fetched once");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b18_b19_b22_headers_that_are_missing_doubled_or_of_another_form() {
    let paypal = PayPal::start().await;
    let door = open(&paypal).await;
    let good = signed(&paypal.serve_certificate("CERT-1", &Terms::default()));
    for index in 0..good.len() {
        let mut missing = good.clone();
        missing.remove(index);
        assert_eq!(post(&door, &missing).await.status, 400, "without {}", good[index].0);
        let doubled = [good.clone(), vec![good[index].clone()]].concat();
        assert_eq!(post(&door, &doubled).await.status, 400, "twice {}", good[index].0);
    }
    let with = |name: &str, value: &str| {
        let mut headers = good.clone();
        headers.iter_mut().filter(|(key, _)| *key == name).for_each(|(_, old)| *old = value.to_owned());
        headers
    };
    for algorithm in ["none", "SHA1withRSA", "sha256withrsa", "SHA256withRSA,none"] {
        assert_eq!(post(&door, &with("PAYPAL-AUTH-ALGO", algorithm)).await.status, 400, "{algorithm}");
    }
    for id in ["a|b", "", &"a".repeat(65), &"a".repeat(10_000)] {
        assert_eq!(post(&door, &with(TRANSMISSION_ID, id)).await.status, 400, "{}", id.len());
    }
    for url in ["https://paypal.example/v1/notifications/certs/CERT-1", "http://127.0.0.1:1/v1/notifications/certs/CERT-1"] {
        assert_eq!(post(&door, &with("PAYPAL-CERT-URL", url)).await.status, 400, "{url}");
    }
    door.only_this_one().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_f88_a_certificate_that_cannot_be_fetched_and_one_that_is_none() {
    let paypal = PayPal::start().await;
    let door = open(&paypal).await;
    let certificate = paypal.root.issue(&Terms::default());
    for (page, status) in [
        (Page::Status(500, "trouble"), 503),
        (Page::Cut, 503),
        (Page::Redirect("http://127.0.0.1:1/".into()), 503),
        (Page::Text("<html>".into()), 400),
        (Page::Bytes(10 * 1024 * 1024), 400),
        (Page::Text(issuing::Authority::root("somebody").issue(&Terms::default())), 400),
        (Page::Status(404, "gone"), 400),
        // Nothing of it lasts.
        (Page::Text(certificate), 200),
    ] {
        let url = paypal.serve("CERT-1", page);
        let reply = post(&door, &signed(&url)).await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, (status == 503).then_some("5")), "{}", reply.body);
    }
    assert!(door.queued().await.is_some());
    door.only_this_one().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b25_too_old_too_new_or_of_another_body() {
    let paypal = PayPal::start().await;
    let door = open(&paypal).await;
    let url = paypal.serve_certificate("CERT-1", &Terms::default());
    let now = Timestamp::now();
    for sent_at in [now - SignedDuration::from_hours(73), now + SignedDuration::from_mins(6)] {
        assert_eq!(post(&door, &signed_at(&url, sent_at)).await.status, 400, "{sent_at}");
    }
    let headers = signed(&url);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(door.send("POST", "/webhooks/paypal/acme", &headers, b"{}").await.status, 400);
    door.only_this_one().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paypal_is_asked_where_the_settings_say_so() {
    let paypal = PayPal::start().await;
    let certificates = Certificates::new(client(), Arc::new(paypal.trust()), FORGETFUL, None);
    let asking = Some((client(), Some(paypal.base.clone())));
    let door = Door::open_as(Plan { certificates: Some(certificates), asking, ..Plan::new() }).await;
    let headers = signed(&paypal.serve_certificate("CERT-1", &Terms::default()));
    paypal.webhooks(&["another"]);
    assert_eq!(post(&door, &headers).await.status, 400);
    paypal.webhooks(&[WEBHOOK_ID]);
    assert_eq!(post(&door, &headers).await.status, 200);
    assert_eq!(door.queued().await.unwrap().delivery.data, BODY);
    paypal.put("/v1/notifications/verify-webhook-signature", Page::Status(500, "trouble"));
    assert_eq!(post(&door, &headers).await.status, 503);
    door.only_this_one().await;
    door.close().await;
}
