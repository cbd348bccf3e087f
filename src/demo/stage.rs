//! Where the story is told: a producer that expects outcomes, and a subscriber.
//!
//! Owns the comparison of each outcome with the expected one. Never decides what is expected.

use super::show;
use crate::amqp::Events;
use crate::deployment::{Client, Deployment, Said};
use crate::domain::ids::{AccountKey, Id};
use crate::store::postgres::PostgresStore;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::timeout;

/// How long the subscriber waits for the next event.
const EVENT_MAX: Duration = Duration::from_secs(20);

/// An event as the subscriber saw it: its type and its body.
pub type Heard = (String, Value);

/// The subscriber: drops what it has seen, and notices a gap.
pub struct Ear {
    stream: Events,
    seen: std::collections::HashSet<String>,
    /// The last entry heard of, by account.
    last: HashMap<String, i64>,
    /// Everything heard, in order.
    pub events: Vec<Heard>,
}

/// A message of the story.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// The account; none for the tenant itself.
    pub account: Option<&'a str>,
    /// The type.
    pub kind: &'a str,
    /// What is said about it.
    pub says: &'a str,
    /// What has to come of it: the outcome, or the outcome and its first reason (`rejected four_eyes`).
    pub expects: &'a str,
}

/// Producer, subscriber and clock of the story.
pub struct Stage {
    client: Client,
    /// The subscriber.
    pub ear: Ear,
    store: PostgresStore,
    tenant: String,
    time: String,
    sent: u32,
}

impl Stage {
    /// Connects both; every later event is heard.
    pub async fn open(deployment: &Deployment) -> anyhow::Result<Self> {
        let stream = Events::subscribe(deployment.amqp_url(), deployment.topology(), "#").await?;
        Ok(Self {
            client: Client::connect(deployment.amqp_url(), deployment.topology()).await?,
            ear: Ear { stream, seen: std::collections::HashSet::new(), last: HashMap::new(), events: Vec::new() },
            store: deployment.store().clone(),
            tenant: String::new(),
            time: String::new(),
            sent: 0,
        })
    }

    /// Goes to a company, whose clock starts now.
    pub fn enter(&mut self, tenant: &str, time: &str) {
        tenant.clone_into(&mut self.tenant);
        time.clone_into(&mut self.time);
    }

    /// Says one message and checks its outcome.
    pub async fn say(&mut self, line: Line<'_>, data: Value) -> anyhow::Result<Value> {
        self.sent = self.sent.saturating_add(1);
        let id = format!("demo-{}", self.sent);
        self.say_as(&id, line, data).await
    }

    /// As [`Stage::say`], under a message id of the caller's.
    pub async fn say_as(&mut self, id: &str, line: Line<'_>, data: Value) -> anyhow::Result<Value> {
        let said = Said { tenant: &self.tenant, account: line.account, source: "demo", id, kind: line.kind, time: &self.time };
        let answer = self.client.ask(said.routing_key(), Vec::new(), said.body(&data)).await.with_context(|| line.says.to_owned())?;
        check(line, answer)
    }

    /// Delivers a webhook and checks its outcome.
    pub async fn webhook(&mut self, line: Line<'_>, headers: Vec<(String, String)>, body: Vec<u8>) -> anyhow::Result<Value> {
        let key = format!("{}.{}", line.kind, self.tenant);
        let answer = self.client.ask(key, headers, body).await.with_context(|| line.says.to_owned())?;
        check(line, answer)
    }

    /// Moves the company's clock: everything due until then happens.
    pub async fn until(&mut self, time: &str, says: &str) -> anyhow::Result<()> {
        time.clone_into(&mut self.time);
        let line = Line { account: None, kind: "cycle.reset", says, expects: "applied" };
        self.say(line, serde_json::json!({"as_of": time})).await?;
        Ok(())
    }

    /// Checks an account's balance against the story's own arithmetic.
    pub async fn has(&self, account: &str, expected: i64) -> anyhow::Result<()> {
        let reading = self.store.reading(&self.key(account)?, None).await?;
        let balance = reading.map(|reading| reading.account.balance.to_string()).unwrap_or_default();
        if balance != expected.to_string() {
            bail!("{account} has {balance} credits and should have {expected}");
        }
        show::balance(account, expected);
        Ok(())
    }

    /// Prints an account's statement.
    pub async fn statement(&self, account: &str) -> anyhow::Result<()> {
        let key = self.key(account)?;
        let home = self.store.home(&key.tenant, Some(&key.account)).await?.with_context(|| format!("{account} does not exist"))?;
        show::statement(account, &self.store.history(home, i64::MAX).await?);
        Ok(())
    }

    fn key(&self, account: &str) -> anyhow::Result<AccountKey> {
        Ok(AccountKey { tenant: Id::new(&self.tenant)?, account: Id::new(account)? })
    }

    /// Listens until the events cover every entry.
    pub async fn heard_all(&mut self) -> anyhow::Result<()> {
        let wanted = self.store.last_entries().await?;
        while !wanted.iter().all(|(account, seq)| self.ear.last.get(account) >= Some(seq)) {
            timeout(EVENT_MAX, self.ear.hear()).await.context("an event is missing")??;
        }
        Ok(())
    }
}

impl Ear {
    async fn hear(&mut self) -> anyhow::Result<()> {
        let (_, body) = self.stream.next().await.context("the subscriber lost its connection")?;
        let event: Value = serde_json::from_slice(&body)?;
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        if !self.seen.insert(text("id")) {
            return Ok(());
        }
        if text("type") == "balance.changed" {
            let account = format!("{}/{}", text("tenant"), text("subject"));
            let last = self.last.entry(account.clone()).or_default();
            if event["data"]["from_seq"].as_i64() != last.checked_add(1) {
                bail!("the events of {account} have a gap after entry {last}");
            }
            *last = event["data"]["to_seq"].as_i64().unwrap_or_default();
        }
        self.events.push((text("type"), event));
        Ok(())
    }
}

fn check(line: Line<'_>, answer: Value) -> anyhow::Result<Value> {
    let mut outcome = answer["outcome"].as_str().unwrap_or_default().to_owned();
    for reason in answer["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        outcome.push(' ');
        outcome.push_str(reason);
    }
    show::outcome(line.says, &outcome);
    if outcome != line.expects {
        bail!("{}: the outcome is `{outcome}` and should be `{}`", line.says, line.expects);
    }
    Ok(answer)
}
