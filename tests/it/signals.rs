//! What a worker does when it is told to stop, to stop at once, or to read its secrets again.

use crate::claims::until;
use crate::worker::{Deployment, SECRET, SOON, grant, stripe_session, worker_test};
use credit_ledger::message::sign;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::time::timeout;

impl Deployment {
    async fn signal(&self, signal: &str) {
        let id = self.worker.as_ref().and_then(tokio::process::Child::id).expect("the worker runs");
        let sent = Command::new("kill").arg(signal).arg(id.to_string()).status().await.unwrap();
        assert!(sent.success());
    }
}

worker_test!(a_second_signal_ends_the_worker_at_once_and_nothing_is_lost, |deployment| {
    deployment.start();
    assert_eq!(deployment.ask("a", "credits.grant", "ann", grant("10")).await["outcome"], "applied");
    // Somebody holds the account, so the next message cannot be finished.
    let mut holding = deployment.pool.begin().await.unwrap();
    sqlx::query("select from accounts where account = 'ann' for update").execute(&mut *holding).await.unwrap();
    deployment.send("b", "credits.grant", Some("ann"), grant("10")).await;
    let waits = "select count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    until(&deployment, "it waits for the account", waits).await;
    deployment.signal("-TERM").await;
    let mut worker = deployment.worker.take().unwrap();
    assert!(timeout(Duration::from_millis(300), worker.wait()).await.is_err(), "the first signal lets it finish");
    deployment.worker = Some(worker);
    deployment.signal("-TERM").await;
    let ended = timeout(SOON, deployment.worker.as_mut().unwrap().wait()).await.expect("the worker did not stop").unwrap();
    assert_eq!(ended.code(), Some(1));
    holding.rollback().await.unwrap();
    deployment.start();
    assert_eq!(deployment.reply().await["outcome"], "applied");
});

worker_test!(a_hangup_makes_new_secrets_known, |deployment| {
    const NEW: &str = "whsec_abcdefabcdefabcdefabcdefabcdefab";
    deployment.start();
    deployment.webhook(stripe_session("evt_0", 2000), NEW).await;
    assert_eq!(deployment.reply().await["reasons"][0], "bad_signature");
    deployment.add_secret_of("acme", "next", NEW);
    // They are read again every half minute as well: a hangup is sooner.
    let asked = Instant::now();
    deployment.signal("-HUP").await;
    for event in 1.. {
        deployment.webhook(stripe_session(&format!("evt_{event}"), 2000), NEW).await;
        if deployment.reply().await["outcome"] == "applied" {
            break;
        }
    }
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
});

worker_test!(a_hangup_does_not_end_a_worker_that_reads_no_secrets, |deployment| {
    deployment.start_as("consume");
    deployment.send("a", "credits.grant", Some("ann"), grant("10")).await;
    until(&deployment, "it is written", "select count(*) = 1 from entries").await;
    deployment.kill();
    deployment.start_as("relay");
    assert_eq!(deployment.reply().await["outcome"], "applied");
    deployment.signal("-HUP").await;
    let worker = deployment.worker.as_mut().unwrap();
    assert!(timeout(Duration::from_millis(300), worker.wait()).await.is_err(), "it goes on");
});

/// The secret that comes after [`SECRET`].
const NEXT: &str = "whsec_fedcbafedcbafedcbafedcbafedcbafe";

/// A paid checkout under an event's id, of the payment of a number.
fn paid(event: &str, payment: usize) -> Vec<u8> {
    let text = String::from_utf8(stripe_session(event, 2000)).unwrap();
    text.replace("\"cs_1\"", &format!("\"cs_{payment}\"")).replace("\"pi_1\"", &format!("\"pi_{payment}\"")).into_bytes()
}

/// The header Stripe sends while a secret is rotated: a signature by each.
fn signed_by_both(body: &[u8]) -> String {
    let (old, new) = (sign(SECRET.as_bytes(), 1_767_225_600, body).unwrap(), sign(NEXT.as_bytes(), 1_767_225_600, body).unwrap());
    format!("{old},{}", new.split_once(',').unwrap().1)
}

impl Deployment {
    async fn webhook_signed_by_both(&mut self, body: Vec<u8>) {
        let signature = signed_by_both(&body);
        let headers = vec![
            ("Stripe-Signature".into(), signature),
            ("x-received-at".into(), "2026-01-01T00:00:05Z".into()),
            ("x-tenant".into(), "acme".into()),
        ];
        self.publish("payment.stripe.acme", headers, body).await;
    }

    /// Delivers webhooks about a payment that is granted, signed with the old secret, until one is not believed.
    async fn old_secret_is_forgotten(&mut self) {
        for number in 1.. {
            self.webhook(paid(&format!("evt_again_{number}"), 0), SECRET).await;
            let reply = self.reply().await;
            if reply["outcome"] == "quarantined" {
                assert_eq!(reply["reasons"][0], "bad_signature");
                break;
            }
            assert_eq!(reply["outcome"], "duplicate");
        }
    }
}

worker_test!(f87_while_a_secret_is_rotated_both_count_and_then_only_the_new_one, |deployment| {
    const PAYMENTS: usize = 12;
    deployment.add_secret_of("acme", "next", NEXT);
    deployment.start();
    // Each is signed with one of them, and with the other or both when it is sent once more.
    for payment in 0..PAYMENTS {
        let body = || paid(&format!("evt_{payment}"), payment);
        let (first, second) = if payment % 2 == 0 { (SECRET, NEXT) } else { (NEXT, SECRET) };
        deployment.webhook(body(), first).await;
        deployment.webhook(body(), second).await;
        deployment.webhook_signed_by_both(body()).await;
    }
    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..3 * PAYMENTS {
        let reply = deployment.reply().await;
        let text = |key: &str| reply[key].as_str().unwrap().to_owned();
        answers.entry(text("id")).or_default().push(text("outcome"));
    }
    assert_eq!(answers.len(), PAYMENTS);
    for (event, mut outcomes) in answers {
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["applied", "duplicate", "duplicate"], "{event}");
    }
    assert_eq!((deployment.count("entries").await, deployment.count("quarantine").await), (12, 0));
    std::fs::remove_file(deployment.file("acme/stripe/primary")).unwrap();
    // They are read again every half minute as well: a hangup is sooner.
    let asked = Instant::now();
    deployment.signal("-HUP").await;
    deployment.old_secret_is_forgotten().await;
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    deployment.webhook(paid("evt_old", PAYMENTS), SECRET).await;
    assert_eq!(deployment.reply().await["reasons"][0], "bad_signature");
    assert_eq!(deployment.count("entries").await, 12, "it granted nothing");
    deployment.webhook(paid("evt_new", PAYMENTS), NEXT).await;
    assert_eq!(deployment.reply().await["outcome"], "applied", "the same payment");
    deployment.webhook_signed_by_both(paid("evt_both", PAYMENTS + 1)).await;
    assert_eq!(deployment.reply().await["outcome"], "applied");
    // 12 + 2 payments of 500 credits.
    assert_eq!((deployment.count("entries").await, deployment.count("accounts where balance = 7000").await), (14, 1));
});
