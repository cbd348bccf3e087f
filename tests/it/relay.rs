//! Announcements on their way to subscribers: in order, and kept back by nothing but their own account.

use crate::claims::until;
use crate::worker::{Deployment, SOON, environment, grant, worker_test};
use credit_ledger::amqp::Events;
use credit_ledger::catalog;
use credit_ledger::domain::ids::Id;
use credit_ledger::store::postgres::catalogs;
use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::time::timeout;

/// What a subscriber hears of balances.
struct Heard {
    events: Events,
    ids: BTreeSet<String>,
}

impl Heard {
    async fn listen(deployment: &Deployment) -> Self {
        let events = Events::subscribe(&environment("AMQP_URL"), &deployment.topology, "balance.changed.#").await.unwrap();
        Self { events, ids: BTreeSet::new() }
    }

    /// The next change that was not heard of before: account and range.
    async fn next(&mut self) -> (String, i64, i64) {
        loop {
            let (_, body) = timeout(SOON, self.events.next()).await.expect("no event came").unwrap();
            let event: Value = serde_json::from_slice(&body).unwrap();
            if self.ids.insert(event["id"].as_str().unwrap().to_owned()) {
                let number = |name: &str| event["data"][name].as_i64().unwrap();
                return (event["subject"].as_str().unwrap().to_owned(), number("from_seq"), number("to_seq"));
            }
        }
    }
}

const PUBLISHED: &str = "select count(*) = 0 from outbox where published_at is null";

worker_test!(what_a_subscriber_has_no_room_for_waits_in_order_and_keeps_nobody_else_back, |deployment| {
    let text = "currency = \"USD\"";
    catalogs::apply(&deployment.pool, &Id::new("lab").unwrap(), &catalog::parse("test", text).unwrap(), text).await.unwrap();
    // Room for one announcement about acme.
    let broker = Connection::connect(&environment("AMQP_URL"), ConnectionProperties::default()).await.unwrap();
    let channel = broker.create_channel().await.unwrap();
    let narrow = format!("{}.narrow", deployment.topology.prefix());
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    channel.queue_declare(narrow.as_str().into(), QueueDeclareOptions::default(), arguments).await.unwrap();
    let exchange = deployment.topology.events();
    let bind = QueueBindOptions::default();
    channel
        .queue_bind(narrow.as_str().into(), exchange.as_str().into(), "balance.changed.acme".into(), bind, FieldTable::default())
        .await
        .unwrap();

    let mut heard = Heard::listen(&deployment).await;
    deployment.start();
    for index in 0..3 {
        // Replies stand alone, so they come.
        assert_eq!(deployment.ask(&format!("g{index}"), "credits.grant", "ann", grant("10")).await["outcome"], "applied");
    }
    until(&deployment, "what is refused is set apart", "select count(*) = 2 from outbox_backlog where published_at is null").await;
    deployment.send_to("lab", "g", "credits.grant", Some("ben"), grant("10")).await;
    let mut anns = Vec::new();
    loop {
        match heard.next().await {
            (account, 1, 1) if account == "ben" => break,
            ann => anns.push(ann),
        }
    }
    // Another one follows what waits.
    assert_eq!(deployment.reply().await["outcome"], "applied");
    assert_eq!(deployment.ask("g3", "credits.grant", "ann", grant("10")).await["outcome"], "applied");
    until(&deployment, "it waits behind them", "select count(*) = 3 from outbox_backlog where published_at is null").await;
    channel.queue_delete(narrow.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    while anns.len() < 4 {
        anns.push(heard.next().await);
    }
    assert_eq!(anns, [1, 2, 3, 4].map(|seq| ("ann".to_owned(), seq, seq)), "each in its turn");
    until(&deployment, "nothing is left", PUBLISHED).await;
    broker.close(200, "done".into()).await.unwrap();
});

worker_test!(an_announcement_that_cannot_be_put_together_keeps_back_its_own_account_only, |deployment| {
    let mut heard = Heard::listen(&deployment).await;
    deployment.start_as("consume");
    for (account, written) in [
        ("ann", "select count(*) = 1 from entries"),
        ("ann", "select count(*) = 2 from entries"),
        ("ben", "select count(*) = 3 from entries"),
    ] {
        // One after the other, so that each is announced by itself.
        deployment.send(written, "credits.grant", Some(account), grant("10")).await;
        until(&deployment, "it is written", written).await;
    }
    let spoil = "update outbox_batches set from_seqs = array_replace(from_seqs, 1, -1) \
                 where (select account_id from accounts where account = 'ann') = any (account_ids)";
    sqlx::query(spoil).execute(&deployment.pool).await.unwrap();
    deployment.kill();
    deployment.start();
    assert_eq!(heard.next().await, ("ben".to_owned(), 1, 1));
    until(&deployment, "hers wait", "select count(*) = 2 from outbox_backlog where published_at is null").await;
    sqlx::query("update outbox_backlog set from_seq = 1 where from_seq = -1").execute(&deployment.pool).await.unwrap();
    assert_eq!([heard.next().await, heard.next().await], [("ann".to_owned(), 1, 1), ("ann".to_owned(), 2, 2)]);
    until(&deployment, "nothing is left", PUBLISHED).await;
});

worker_test!(very_many_announcements_of_one_account_come_in_order_and_let_others_pass, |deployment| {
    const MANY: usize = 300;
    let mut events = Events::subscribe(&environment("AMQP_URL"), &deployment.topology, "usage.rejected.#").await.unwrap();
    deployment.start_as("consume");
    let usage = json!({"meter": "image", "quantity": "1"});
    for account in ["ann", "ben"] {
        deployment.send(account, "account.opened", Some(account), json!({"kind": "user", "owner": "o"})).await;
    }
    // Each refusal is an announcement of its own.
    for index in 0..MANY {
        deployment.send(&index.to_string(), "usage.recorded", Some("ann"), usage.clone()).await;
    }
    deployment.send("late", "usage.recorded", Some("ben"), usage).await;
    until(&deployment, "all is written", "select count(*) = 303 from outcomes").await;
    deployment.kill();
    deployment.start();
    let (mut seen, mut anns, mut before_ben) = (BTreeSet::new(), Vec::new(), None);
    while anns.len() < MANY || before_ben.is_none() {
        let (_, body) = timeout(SOON, events.next()).await.expect("no event came").unwrap();
        let event: Value = serde_json::from_slice(&body).unwrap();
        let id = event["data"]["id"].as_str().unwrap().to_owned();
        if !seen.insert(id.clone()) {
            continue;
        }
        if event["subject"] == "ben" {
            before_ben = Some(anns.len());
        } else {
            anns.push(id);
        }
    }
    assert_eq!(anns, (0..MANY).map(|index| index.to_string()).collect::<Vec<_>>(), "in order");
    assert!(before_ben.unwrap() < MANY, "others do not wait until a busy account is done");
    until(&deployment, "nothing is left", PUBLISHED).await;
    assert!(deployment.count("outbox_backlog").await > 0, "they went out in several rounds");
});
