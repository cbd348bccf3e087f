//! Many messages that wait for one account: none is read before it can be set free, and all are.

use crate::claims::until;
use crate::worker::{Deployment, grant, worker_test};
use credit_ledger::amqp::{Outgoing, Published};
use serde_json::json;
use tokio::process::Child;

/// More than two portions of them.
const MESSAGES: i64 = 600;

worker_test!(many_messages_of_one_account_wait_and_are_set_free, |deployment| {
    deployment.start();
    for number in 0..MESSAGES {
        deployment.send(&format!("u{number}"), "usage.recorded", Some("late"), json!({"meter": "image", "quantity": "1"})).await;
    }
    until(&deployment, "all wait", "select (select count(*) from waiting) = 600 and (select sum(open_waiting) from accounts) = 600").await;
    // One that waits already says so again, read or not; another content under its id is set aside.
    deployment.send("u599", "usage.recorded", Some("late"), json!({"meter": "image", "quantity": "1"})).await;
    deployment.send("u599", "usage.recorded", Some("late"), json!({"meter": "image", "quantity": "2"})).await;
    until(&deployment, "the contradiction is set aside", "select count(*) = 1 from quarantine").await;
    assert_eq!(deployment.count("waiting").await, MESSAGES);
    deployment.send("gift", "credits.grant", Some("late"), grant("2000")).await;
    until(&deployment, "none waits", "select count(*) = 0 from waiting").await;
    // 600 uses and the gift.
    assert_eq!(deployment.count("outcomes where outcome = 'applied'").await, MESSAGES + 1);
    // 2000 − 600 images × 2.
    assert_eq!(deployment.count("accounts where account = 'late' and balance = 800 and open_waiting = 0").await, 1);
});

/// Full-size messages of every bad kind at once, far more than the prefetch: usage for an account that
/// nobody opened, payments that nobody signed, commands nested too deep.
const BACKLOG: [(&str, usize, usize); 3] = [("usage.recorded", 8_000, 15), ("payment.stripe", 1_000, 255), ("credits.grant", 500, 15)];
const MEMORY_MIB_MAX: u64 = 400;

worker_test!(a_hostile_backlog_of_full_size_stays_within_its_memory, |deployment| {
    for (kind, count, kib) in BACKLOG {
        deployment.flood(kind, count, |number| hostile(kind, number, kib * 1024)).await;
    }
    deployment.start();
    let ended = "select (select count(*) from waiting) = 8000 and (select count(*) from quarantine) = 1500";
    until(&deployment, "everything waits or is set aside", ended).await;
    let most = deployment.memory_mib_max();
    assert!(most < MEMORY_MIB_MAX, "{most} MiB");
    println!("{most} MiB");
});

impl Deployment {
    /// Many messages without an answer, in rounds.
    async fn flood(&mut self, kind: &str, count: usize, body: impl Fn(usize) -> Vec<u8>) {
        let headers = ["Stripe-Signature", "x-tenant", "x-received-at"].map(str::to_owned);
        let headers: Vec<_> = headers.into_iter().zip(["t=1,v1=00", "acme", "2026-01-01T00:00:00Z"].map(str::to_owned)).collect();
        let numbers: Vec<usize> = (0..count).collect();
        for round in numbers.chunks(200) {
            let message = |number: &usize| Outgoing {
                exchange: self.topology.incoming(),
                routing_key: format!("{kind}.acme"),
                content_type: "application/cloudevents+json".into(),
                headers: if kind.starts_with("payment.") { headers.clone() } else { Vec::new() },
                correlation_id: None,
                reply_to: None,
                message_id: None,
                mandatory: true,
                body: body(*number),
            };
            let messages: Vec<Outgoing> = round.iter().map(message).collect();
            let published = self.publisher.publish_all(&messages).await.unwrap();
            assert!(published.iter().all(|one| *one == Published::Confirmed));
        }
    }

    /// The most memory the worker has had.
    fn memory_mib_max(&self) -> u64 {
        let worker = self.worker.as_ref().and_then(Child::id).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }
}

fn hostile(kind: &str, number: usize, bytes: usize) -> Vec<u8> {
    let body = match kind {
        "usage.recorded" => json!({"specversion": "1.0", "id": number.to_string(), "source": "flood", "type": kind, "tenant": "acme",
            "subject": "nobody", "time": "2026-01-01T00:00:00Z", "data": {"meter": "image", "quantity": "1"}, "padding": "x".repeat(bytes)})
        .to_string(),
        "payment.stripe" => format!("{{\"id\": \"evt_{number}\", \"padding\": \"{}\"}}", "x".repeat(bytes)),
        _ => format!("{}{number}{}{}", "[".repeat(40), "]".repeat(40), " ".repeat(bytes)),
    };
    body.into_bytes()
}
