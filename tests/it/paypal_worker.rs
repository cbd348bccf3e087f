//! PayPal webhooks through the whole worker: what is at hand, what must be fetched, what PayPal is asked about.

use crate::claims::until;
use crate::worker::{Deployment, SECRET, SOON, stripe_session, worker_test};
use crate::world::paypal::issuing::{self, Terms};
use crate::world::paypal::{CLIENT_ID, CLIENT_SECRET, Page, PayPal};
use credit_ledger::message::paypal::{CertificateUrl, Signer, TestAuthority};
use jiff::Timestamp;
use serde_json::{Value, json};

const WEBHOOK: &str = "1JE4291016473214C";

fn capture(id: &str, capture: &str) -> Vec<u8> {
    json!({"id": id, "event_type": "PAYMENT.CAPTURE.COMPLETED", "create_time": "2026-01-01T00:00:00Z", "resource": {
        "id": capture, "status": "COMPLETED", "amount": {"currency_code": "USD", "value": "20.00"}, "custom_id": "ann:starter"}})
    .to_string()
    .into_bytes()
}

impl Deployment {
    /// Believes a PayPal of the test's own.
    async fn with_paypal(&mut self) -> PayPal {
        let paypal = PayPal::start().await;
        paypal.webhooks(&[WEBHOOK]);
        self.add_file("acme/paypal/primary", WEBHOOK);
        self.add_file("roots.pem", &paypal.root.pem());
        let roots = self.file("roots.pem");
        self.set("CREDITS__PAYPAL__ROOTS", &roots);
        self.set("CREDITS__PAYPAL__BASES", paypal.base.as_str());
        paypal
    }

    fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.into(), value.into()));
    }

    async fn paypal(&mut self, signer: &Signer, webhook: &str, body: Vec<u8>) {
        // The headers of webhooks tell microseconds.
        let at = Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap();
        let signed = signer.sign(webhook, at, &body).unwrap();
        let mut headers: Vec<(String, String)> = signed.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        headers.extend([("x-received-at".to_owned(), at.to_string()), ("x-tenant".to_owned(), "acme".to_owned())]);
        self.publish("payment.paypal.acme", headers, body).await;
    }

    async fn stripe_goes_on(&mut self) {
        self.webhook(stripe_session("evt_1", 2000), SECRET).await;
        assert_eq!(self.reply().await["outcome"], "applied", "nobody else waits");
    }
}

/// Waits until a certificate was asked for.
async fn asked(paypal: &PayPal) {
    let asked = async {
        while paypal.asked("/v1/notifications/certs/").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, asked).await.expect("no certificate was asked for");
}

fn signer(url: &CertificateUrl) -> Signer {
    Signer::new(issuing::KEY, url.as_str()).unwrap()
}

fn words(reply: &Value) -> (String, String) {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (word(&reply["outcome"]), word(&reply["reasons"][0]))
}

worker_test!(f88_a_certificate_is_fetched_outside_and_then_it_is_applied, |deployment| {
    let paypal = deployment.with_paypal().await;
    let url = paypal.serve_certificate("CERT-1", &Terms::default());
    deployment.start();
    for (id, capture_id, expected) in
        [("WH-1", "C1", "applied"), ("WH-1", "C1", "duplicate"), ("WH-2", "C1", "duplicate"), ("WH-3", "C2", "applied")]
    {
        deployment.paypal(&signer(&url), WEBHOOK, capture(id, capture_id)).await;
        assert_eq!(deployment.reply().await["outcome"], expected, "{id}");
    }
    assert_eq!(paypal.asked("/v1/notifications/certs/").len(), 1, "once");
    assert_eq!(deployment.count("entries").await, 2);
});

worker_test!(f88_b21_a_host_that_is_down_holds_up_nobody_and_loses_nothing, |deployment| {
    let paypal = deployment.with_paypal().await;
    let url = paypal.serve("CERT-1", Page::Status(500, "down"));
    deployment.start();
    for number in 1..=3 {
        deployment.paypal(&signer(&url), WEBHOOK, capture(&format!("WH-{number}"), &format!("C{number}"))).await;
    }
    deployment.stripe_goes_on().await;
    asked(&paypal).await;
    assert_eq!((deployment.count("entries").await, deployment.count("quarantine").await), (1, 0));
    paypal.serve_certificate("CERT-1", &Terms::default());
    for _ in 0..3 {
        assert_eq!(deployment.reply().await["outcome"], "applied");
    }
    assert_eq!(deployment.count("entries").await, 4);
});

worker_test!(b21_what_waits_for_a_host_that_is_down_comes_back_after_a_restart, |deployment| {
    let paypal = deployment.with_paypal().await;
    let url = paypal.serve("CERT-1", Page::Silence);
    deployment.start();
    deployment.paypal(&signer(&url), WEBHOOK, capture("WH-1", "C1")).await;
    asked(&paypal).await;
    deployment.kill();
    paypal.serve_certificate("CERT-1", &Terms::default());
    deployment.start();
    assert_eq!(deployment.reply().await["outcome"], "applied");
});

worker_test!(b21_a_bad_certificate_or_none_grants_nothing, |deployment| {
    let paypal = deployment.with_paypal().await;
    let other_host = paypal.serve_certificate("CERT-2", &Terms { name: "shop.example", ..Terms::default() });
    let html = paypal.serve("CERT-3", Page::Text("<html>".into()));
    let missing = paypal.serve("CERT-4", Page::Status(404, "no"));
    let long = paypal.serve("CERT-5", Page::Bytes(10 * 1024 * 1024));
    deployment.start();
    for (index, url) in [other_host, html, missing, long].into_iter().enumerate() {
        deployment.paypal(&signer(&url), WEBHOOK, capture(&format!("WH-{index}"), "C1")).await;
        assert_eq!(words(&deployment.reply().await), ("quarantined".into(), "bad_signature".into()), "{}", url.as_str());
    }
    let good = paypal.serve_certificate("CERT-1", &Terms::default());
    deployment.paypal(&signer(&good), "WH-OF-SOMEBODY", capture("WH-9", "C1")).await;
    assert_eq!(words(&deployment.reply().await), ("quarantined".into(), "bad_signature".into()), "another webhook's");
    let public = TestAuthority::built_in().unwrap().signer;
    deployment.paypal(&public, WEBHOOK, capture("WH-10", "C1")).await;
    assert_eq!(words(&deployment.reply().await), ("quarantined".into(), "bad_signature".into()), "a key that everybody has");
    assert_eq!(deployment.count("entries").await, 0);
});

worker_test!(too_many_that_wait_make_room_and_can_be_replayed, |deployment| {
    let paypal = deployment.with_paypal().await;
    let url = paypal.serve("CERT-1", Page::Status(503, "down"));
    // Half of them may wait: one.
    deployment.set("CREDITS__AMQP__PREFETCH_PAYMENTS", "2");
    deployment.start();
    for number in 1..=3 {
        deployment.paypal(&signer(&url), WEBHOOK, capture(&format!("WH-{number}"), &format!("C{number}"))).await;
    }
    for _ in 0..2 {
        assert_eq!(words(&deployment.reply().await), ("quarantined".into(), "retries_exhausted".into()));
    }
    deployment.stripe_goes_on().await;
    paypal.serve_certificate("CERT-1", &Terms::default());
    assert_eq!(deployment.reply().await["outcome"], "applied", "the last");
    let digests: Vec<String> =
        sqlx::query_scalar("select encode(digest, 'hex') from quarantine").fetch_all(&deployment.pool).await.unwrap();
    for digest in digests {
        let replay = deployment.tool(&["quarantine", "replay", &digest]).output().await.unwrap();
        assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    }
    until(&deployment, "both are applied", "select count(*) = 4 from entries").await;
});

worker_test!(paypal_is_asked_instead_where_that_is_set, |deployment| {
    let paypal = deployment.with_paypal().await;
    deployment.set("CREDITS__PAYPAL__VERIFY", "api");
    deployment.add_file("acme/paypal_api/client_id", CLIENT_ID);
    deployment.add_file("acme/paypal_api/secret", CLIENT_SECRET);
    // Nothing is fetched there.
    let url = paypal.serve("CERT-1", Page::Status(404, "no"));
    deployment.start();
    deployment.paypal(&signer(&url), WEBHOOK, capture("WH-1", "C1")).await;
    assert_eq!(deployment.reply().await["outcome"], "applied");
    deployment.paypal(&signer(&url), "WH-OF-SOMEBODY", capture("WH-2", "C2")).await;
    assert_eq!(words(&deployment.reply().await), ("quarantined".into(), "bad_signature".into()));
    assert_eq!(deployment.count("entries").await, 1);
    assert!(paypal.asked("/v1/notifications/certs/").is_empty());
});

worker_test!(what_publish_signs_is_believed_where_that_is_set, |deployment| {
    deployment.add_file("acme/paypal/primary", WEBHOOK);
    deployment.set("CREDITS__PAYPAL__TRUST_TEST_AUTHORITY", "true");
    deployment.start();
    let line = json!({"webhook": "paypal", "tenant": "acme", "event": serde_json::from_slice::<Value>(&capture("WH-1", "C1")).unwrap()});
    deployment.add_file("lines.jsonl", &line.to_string());
    let file = deployment.file("lines.jsonl");
    let published = tokio::time::timeout(SOON, deployment.tool(&["publish", &file]).output()).await.unwrap().unwrap();
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    assert_eq!(deployment.count("entries").await, 1);
});
