//! Messages to the worker and its answers, round by round; now and then it is killed between the two.

use super::Said;
use super::customers::TENANT;
use crate::claims::until;
use crate::worker::{Deployment, environment};
use credit_ledger::amqp::{Outgoing, Published, Replies};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer may take: a step of many accounts has years of cycles in it.
const PATIENCE: Duration = Duration::from_mins(4);
/// Messages published together.
const PUBLISHED_MAX: usize = 256;
/// The worker is killed in one of so many rounds. A step has three, so each of them has its turn.
const KILL_EVERY: u32 = 13;
/// Somebody waits for a row that another transaction holds.
const WAITS: &str = "select count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

/// The last answer to a message, whichever delivery of it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub outcome: String,
    pub reasons: Vec<String>,
}

/// When the worker is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// In the middle of a transaction, which waits for an account that the test holds.
    AtWork,
    /// As soon as the broker has the messages.
    Sent,
    /// After the first answer.
    Answered,
}

pub struct Delivery {
    pub deployment: Deployment,
    replies: Replies,
    pub answers: BTreeMap<String, Answer>,
    rounds: u32,
    pub kills: u32,
    /// Kills that certainly ended a transaction.
    pub interrupted: u32,
}

impl Delivery {
    pub async fn new(deployment: Deployment) -> Self {
        let replies = Replies::open(&environment("AMQP_URL")).await.unwrap();
        Self { deployment, replies, answers: BTreeMap::new(), rounds: 0, kills: 0, interrupted: 0 }
    }

    /// Sends messages, each of another account, and waits for the last answer to every one of them.
    pub async fn settle(&mut self, round: &[Said]) {
        let moment = self.moment(round.len());
        let held = if moment == Some(Moment::AtWork) { self.hold(round).await } else { None };
        self.publish(round).await;
        let mut open: BTreeSet<&str> = round.iter().map(|said| said.id.as_str()).collect();
        if let Some(moment) = moment {
            self.kill(moment, held, &mut open).await;
        }
        while !open.is_empty() {
            self.hear(&mut open).await;
        }
    }

    /// Whether and when the worker is killed in the next round.
    fn moment(&mut self, messages: usize) -> Option<Moment> {
        let round = self.rounds;
        self.rounds += 1;
        if round % KILL_EVERY != KILL_EVERY - 1 || messages == 0 {
            return None;
        }
        // The same moment three times in a row: of those rounds one is a step of the clock.
        Some(match self.kills / 3 % 3 {
            1 => Moment::Sent,
            2 if messages > 1 => Moment::Answered,
            _ => Moment::AtWork,
        })
    }

    /// Holds the account of the last message, as a transaction that takes long would; of a step of the clock the
    /// last of those that are due, so that others may be written already and this one is not.
    async fn hold(&self, round: &[Said]) -> Option<PgConnection> {
        let event = &round.last()?.event;
        let mut holding = PgConnection::connect(&self.deployment.database).await.unwrap();
        sqlx::query("begin").execute(&mut holding).await.unwrap();
        let found: Option<i32> = sqlx::query_scalar(
            "select 1 from accounts where tenant = $1 and account <> '' and coalesce(account = $2, next_due_at <= $3::text::timestamptz) \
             order by shard desc, account_id limit 1 for update",
        )
        .bind(TENANT)
        .bind(event["subject"].as_str())
        .bind(event["data"]["as_of"].as_str())
        .fetch_optional(&mut holding)
        .await
        .unwrap();
        found.map(|_| holding)
    }

    async fn publish(&mut self, round: &[Said]) {
        for part in round.chunks(PUBLISHED_MAX) {
            let messages: Vec<Outgoing> = part.iter().map(|said| self.outgoing(said)).collect();
            let published = self.deployment.publisher.publish_all(&messages).await.unwrap();
            assert!(published.iter().all(|one| *one == Published::Confirmed), "{published:?}");
        }
    }

    fn outgoing(&self, said: &Said) -> Outgoing {
        Outgoing {
            exchange: self.deployment.topology.incoming(),
            routing_key: format!("{}.{TENANT}", said.kind),
            content_type: "application/cloudevents+json".into(),
            headers: Vec::new(),
            correlation_id: Some(said.id.clone()),
            reply_to: Some(self.replies.name().into()),
            message_id: None,
            mandatory: true,
            body: said.event.to_string().into_bytes(),
        }
    }

    /// Kills the worker at a moment of the round, and starts another.
    async fn kill(&mut self, moment: Moment, held: Option<PgConnection>, open: &mut BTreeSet<&str>) {
        if held.is_some() {
            until(&self.deployment, "a transaction waits for the account", WAITS).await;
            self.interrupted += 1;
        }
        if moment == Moment::Answered {
            let unanswered = open.len();
            while open.len() == unanswered {
                self.hear(open).await;
            }
        }
        self.deployment.kill();
        self.kills += 1;
        if let Some(held) = held {
            held.close().await.unwrap();
        }
        // A step that the dead had taken up would be left to it for 10 s more.
        sqlx::query("update reset_jobs set try_at = clock_timestamp()").execute(&self.deployment.pool).await.unwrap();
        self.deployment.start();
    }

    /// Hears the next answer. What is delivered twice is answered twice, and alike.
    async fn hear(&mut self, open: &mut BTreeSet<&str>) {
        let next = timeout(PATIENCE, self.replies.next()).await;
        let (_, body) = next.unwrap_or_else(|_| panic!("no answer came to {open:?}")).unwrap();
        let reply: Value = serde_json::from_slice(&body).unwrap();
        let outcome = reply["of"].as_str().or(reply["outcome"].as_str()).unwrap().to_owned();
        if outcome == "waiting" {
            return;
        }
        let reasons = reply["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap().to_owned()).collect();
        let (id, answer) = (reply["id"].as_str().unwrap(), Answer { outcome, reasons });
        open.remove(id);
        if let Some(before) = self.answers.insert(id.to_owned(), answer.clone()) {
            assert_eq!(before, answer, "{id} was answered otherwise before");
        }
    }
}
