//! Servers that are away when the worker starts, or go away while it runs: it waits, says so once, and
//! goes on by itself.

use crate::proxy::Proxy;
use crate::worker::{Deployment, SOON, environment, grant};
use serde_json::json;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

const BROKER_AWAY: &str = "RabbitMQ cannot be used yet";
const DATABASE_AWAY: &str = "Postgres cannot be used yet";
const DATABASE_LOST: &str = "the database cannot be used; deliveries are held until it can";

/// A worker behind networks that can be cut, and its log.
struct Behind {
    database: Proxy,
    broker: Proxy,
    _worker: Child,
    lines: Lines<BufReader<ChildStderr>>,
    log: String,
}

impl Behind {
    async fn start(deployment: &Deployment, refuse: bool) -> Self {
        let database = Proxy::start(&deployment.database).await;
        let broker = Proxy::start(&environment("AMQP_URL")).await;
        for proxy in [&database, &broker] {
            proxy.refuse.store(refuse, Ordering::SeqCst);
        }
        let mut command = deployment.tool(&["run", "--roles", "consume,relay,schedule"]);
        command.env("DATABASE_URL", &database.url).env("AMQP_URL", &broker.url).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut worker = command.spawn().unwrap();
        let lines = BufReader::new(worker.stderr.take().unwrap()).lines();
        Self { database, broker, _worker: worker, lines, log: String::new() }
    }

    /// Reads the log until it says so.
    async fn says(&mut self, words: &str) {
        loop {
            let line = timeout(SOON, self.lines.next_line()).await.unwrap_or_else(|_| panic!("it does not say {words:?}: {}", self.log));
            let line = line.unwrap().unwrap_or_else(|| panic!("it ended without saying {words:?}: {}", self.log));
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(words) {
                return;
            }
        }
    }

    fn said_once(&self, words: &str) {
        assert_eq!(self.log.matches(words).count(), 1, "{words:?} in {}", self.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_before_its_servers_waits_for_both() {
    let mut deployment = Deployment::new().await;
    let mut behind = Behind::start(&deployment, true).await;
    behind.says(DATABASE_AWAY).await;
    behind.database.refuse.store(false, Ordering::SeqCst);
    behind.says(BROKER_AWAY).await;
    behind.broker.refuse.store(false, Ordering::SeqCst);
    behind.says("the worker has started").await;
    behind.said_once(DATABASE_AWAY);
    behind.said_once(BROKER_AWAY);
    assert_eq!(deployment.ask("a", "credits.grant", "anna", grant("10")).await["outcome"], "applied");
    drop(behind);
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_lost_while_the_worker_runs_costs_nothing() {
    let mut deployment = Deployment::new().await;
    let mut behind = Behind::start(&deployment, false).await;
    assert_eq!(deployment.ask("a", "credits.grant", "anna", grant("10")).await["outcome"], "applied");
    behind.database.refuse.store(true, Ordering::SeqCst);
    behind.database.cut();
    for (id, quantity) in [("b", "1"), ("c", "2")] {
        deployment.send(id, "usage.recorded", Some("anna"), json!({"meter": "image", "quantity": quantity})).await;
    }
    behind.says(DATABASE_LOST).await;
    behind.database.refuse.store(false, Ordering::SeqCst);
    // The answer to the grant may come again: whether it was noted as sent, the cut decided.
    let mut awaited = BTreeSet::from(["b".to_owned(), "c".to_owned()]);
    while !awaited.is_empty() {
        let reply = deployment.reply().await;
        assert_eq!(reply["outcome"], "applied");
        awaited.remove(reply["id"].as_str().unwrap());
    }
    behind.says("the database can be used again").await;
    behind.said_once(DATABASE_LOST);
    // 10 − 2 × 1 − 2 × 2 = 4: each once.
    let balance: String = sqlx::query_scalar("select trim_scale(balance)::text from accounts where account = 'anna'")
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
    assert_eq!(balance, "4");
    drop(behind);
    deployment.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_relay_takes_over_when_one_is_killed() {
    let mut deployment = Deployment::new().await;
    deployment.start_as("consume,schedule");
    let relay = |deployment: &Deployment| deployment.tool(&["run", "--roles", "relay"]).spawn().unwrap();
    let mut first = relay(&deployment);
    // Its reply came, so the first has the lock.
    assert_eq!(deployment.ask("a", "credits.grant", "anna", grant("10")).await["outcome"], "applied");
    let second = relay(&deployment);
    first.kill().await.unwrap();
    assert_eq!(deployment.ask("b", "credits.grant", "anna", grant("10")).await["outcome"], "applied");
    drop(second);
    deployment.remove().await;
}
