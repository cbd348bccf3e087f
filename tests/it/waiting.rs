//! Many messages that wait for one account: none is read before it can be set free, and all are.

use crate::claims::until;
use crate::worker::{grant, worker_test};
use serde_json::json;

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
