//! One payment told of many times at once, to two workers: it is granted once.

use crate::worker::{Deployment, SECRET, stripe_session, worker_test};
use serde_json::json;
use std::collections::BTreeMap;

/// The payment of [`stripe_session`] as its intent tells of it.
fn intent(event: &str) -> Vec<u8> {
    json!({"id": event, "object": "event", "type": "payment_intent.succeeded", "livemode": false, "created": 1_767_225_600,
        "data": {"object": {"id": "pi_1", "object": "payment_intent", "amount": 2000, "amount_received": 2000, "currency": "usd",
            "metadata": {"credit_account": "ann", "credit_package": "starter"}}}})
    .to_string()
    .into_bytes()
}

impl Deployment {
    /// Puts webhooks into the queue, lets two workers race for them, and counts what is answered.
    async fn answers_of_two_workers(&mut self, bodies: &[Vec<u8>]) -> BTreeMap<String, usize> {
        // A few at a time, so that neither takes them all.
        self.settings.push(("CREDITS__AMQP__PREFETCH_PAYMENTS".into(), "4".into()));
        for body in bodies {
            self.webhook(body.clone(), SECRET).await;
        }
        self.start();
        let other = self.tool(&["run", "--roles", "consume"]).spawn().unwrap();
        let mut answers = BTreeMap::new();
        for _ in bodies {
            let reply = self.reply().await;
            *answers.entry(reply["outcome"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        drop(other);
        answers
    }

    async fn it_was_granted_once(&self) {
        assert_eq!((self.count("entries").await, self.count("grants").await, self.count("payments").await), (1, 1, 1));
        assert_eq!(self.count("accounts where account = 'ann' and balance = 500").await, 1);
        assert_eq!((self.count("quarantine").await, self.count("waiting").await), (0, 0));
    }
}

worker_test!(f69_fifty_copies_of_one_event_at_once_grant_once, |deployment| {
    let copies: Vec<Vec<u8>> = (0..50).map(|_| stripe_session("evt_1", 2000)).collect();
    let answers = deployment.answers_of_two_workers(&copies).await;
    // 50 − 1
    assert_eq!(answers, BTreeMap::from([("applied".to_owned(), 1), ("duplicate".to_owned(), 49)]));
    deployment.it_was_granted_once().await;
});

worker_test!(f69_f70_fifty_events_about_one_payment_at_once_grant_once, |deployment| {
    let of_both_kinds = |number: usize| {
        let event = format!("evt_{number}");
        if number.is_multiple_of(2) { stripe_session(&event, 2000) } else { intent(&event) }
    };
    let events: Vec<Vec<u8>> = (0..50).map(of_both_kinds).collect();
    let answers = deployment.answers_of_two_workers(&events).await;
    // 50 − 1
    assert_eq!(answers, BTreeMap::from([("applied".to_owned(), 1), ("duplicate".to_owned(), 49)]));
    deployment.it_was_granted_once().await;
});
