//! What a worker does when it is told to stop, to stop at once, or to read its secrets again.

use crate::claims::until;
use crate::worker::{Deployment, SOON, grant, stripe_session, worker_test};
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
