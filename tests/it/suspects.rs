//! Deliveries that came back so often that one of them may end the process.

use crate::claims::until;
use crate::worker::{Deployment, environment, grant, worker_test};
use credit_ledger::message::{Queue, Raw};
use credit_ledger::store::postgres::PostgresStore;
use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::{Connection, ConnectionProperties};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// As often as a message is tried before it is set aside unprocessed.
const TRIES: u32 = 9;

impl Deployment {
    /// Takes everything from the queue of commands and gives it back, until the broker counts two deliveries
    /// that failed of each; then, as workers that ended each time would have, counts so many attempts of one.
    async fn come_back(&self, tried: u32, id: &str) {
        let broker = Connection::connect(&environment("AMQP_URL"), ConnectionProperties::default()).await.unwrap();
        let channel = broker.create_channel().await.unwrap();
        let queue = self.topology.queue(Queue::Commands);
        let mut bodies = Vec::new();
        for _ in 0..2 {
            bodies.clear();
            let mut last = None;
            while let Some(got) = channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await.unwrap() {
                last = Some(got.delivery.delivery_tag);
                bodies.push(got.delivery.data);
            }
            let nack = BasicNackOptions { multiple: true, requeue: true };
            channel.basic_nack(last.expect("there are messages"), nack).await.unwrap();
        }
        broker.close(200, "done".into()).await.unwrap();
        let store = PostgresStore::connect(&self.database, 2).await.unwrap();
        let named = format!("\"id\":\"{id}\"");
        let body = bodies.into_iter().find(|body| String::from_utf8_lossy(body).contains(&named)).unwrap();
        let raw = Raw::bare(Queue::Commands, body);
        for _ in 0..tried {
            store.count_attempts(&[Arc::new(raw.clone())]).await.unwrap();
        }
        store.pool().close().await;
    }

    /// Outcome and first reason of the next two answers, by message.
    async fn two_answers(&mut self) -> BTreeMap<String, String> {
        let mut answers = BTreeMap::new();
        while answers.len() < 2 {
            let reply = self.reply().await;
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            answers.insert(text(&reply["id"]), format!("{} {}", text(&reply["outcome"]), text(&reply["reasons"][0])));
        }
        answers
    }
}

const NOTHING_COUNTED: &str = "select count(*) = 0 from attempts";

worker_test!(what_ended_the_worker_too_often_is_set_aside_and_its_neighbour_applied, |deployment| {
    deployment.send("bad", "credits.grant", Some("ann"), grant("10")).await;
    deployment.send("good", "credits.grant", Some("ann"), grant("20")).await;
    deployment.come_back(TRIES, "bad").await;
    deployment.start();
    let answers = deployment.two_answers().await;
    assert_eq!(answers, [("bad", "quarantined retries_exhausted"), ("good", "applied ")].map(|(id, told)| (id.into(), told.into())).into());
    let (digest, detail): (String, String) =
        sqlx::query_as("select encode(digest, 'hex'), detail from quarantine").fetch_one(&deployment.pool).await.unwrap();
    assert!(detail.contains("ended 9 times"), "{detail}");
    until(&deployment, "a replay begins anew", NOTHING_COUNTED).await;
    let replayed = deployment.tool(&["quarantine", "replay", &digest]).output().await.unwrap();
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    until(&deployment, "it is applied then", "select count(*) = 2 from entries").await;
});

worker_test!(what_was_tried_less_often_is_tried_again, |deployment| {
    deployment.send("a", "credits.grant", Some("ann"), grant("10")).await;
    deployment.send("b", "credits.grant", Some("ann"), grant("20")).await;
    deployment.come_back(TRIES - 1, "a").await;
    deployment.start();
    let answers = deployment.two_answers().await;
    assert_eq!(answers, ["a", "b"].map(|id| (id.into(), "applied ".into())).into());
    until(&deployment, "what went well is forgotten", NOTHING_COUNTED).await;
});

worker_test!(what_was_applied_before_the_worker_ended_is_answered_so, |deployment| {
    deployment.start();
    assert_eq!(deployment.ask("a", "credits.grant", "ann", grant("10")).await["outcome"], "applied");
    deployment.kill();
    deployment.send("a", "credits.grant", Some("ann"), grant("10")).await;
    deployment.come_back(TRIES, "a").await;
    deployment.start();
    let mut reply = deployment.reply().await;
    while reply["outcome"] == "applied" {
        // The first answer once more: its relay ended before it was marked.
        reply = deployment.reply().await;
    }
    assert_eq!((&reply["outcome"], &reply["of"]), (&json!("duplicate"), &json!("applied")));
    assert_eq!(deployment.count("quarantine").await, 0);
});
