//! Deliveries that came back more than once: one of them may have ended the process each time.
//!
//! Owns the attempts. They are tried in groups, and each try is counted, and the count committed,
//! before it begins; what was under way when the process ended comes back with a higher count and is
//! tried in a smaller group, at last alone. So what ends the process is found in a few ends of
//! it, whoever comes back for another reason (a worker that was killed, a broker that was restarted)
//! goes on almost as fast as ever, and innocent neighbours are not blamed. What was tried least goes
//! first: it is out of the way before something dangerous is tried again.

use super::{Consumer, Exhausted, Finish, exhausted, until_done};
use crate::amqp::Ticket;
use crate::lanes::Job;
use crate::message::Raw;
use crate::store::postgres::PostgresStore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Most deliveries tried together, by how often they were tried before. Beyond the last they are set
/// aside unprocessed: they were alone when the process ended, five times in a row.
const GROUP_MAX: [usize; 9] = [256, 64, 16, 4, 1, 1, 1, 1, 1];
/// Deliveries looked at together.
const TAKEN_MAX: usize = 1024;
/// How long the next attempt waits for this one; what ends a process does so at once. What ends it
/// later than this is given up by the broker's delivery limit.
const TRY_MAX: Duration = Duration::from_millis(250);

type Suspect = (Arc<Raw>, Ticket);

pub async fn run(store: PostgresStore, consumer: Consumer, mut suspects: mpsc::UnboundedReceiver<Suspect>) {
    let mut taken = Vec::with_capacity(TAKEN_MAX);
    while suspects.recv_many(&mut taken, TAKEN_MAX).await > 0 {
        let raws: Vec<Arc<Raw>> = taken.iter().map(|(raw, _)| raw.clone()).collect();
        let attempts = until_done(|| store.attempts(&raws)).await;
        let mut by_attempts: BTreeMap<usize, Vec<Suspect>> = BTreeMap::new();
        for (suspect, attempts) in taken.drain(..).zip(attempts) {
            by_attempts.entry(attempts).or_default().push(suspect);
        }
        for (attempts, mut suspects) in by_attempts {
            let Some(most) = GROUP_MAX.get(attempts) else {
                for suspect in suspects {
                    give_up(&store, &consumer, suspect).await;
                }
                continue;
            };
            while !suspects.is_empty() {
                let rest = suspects.split_off(suspects.len().min(*most));
                try_together(&store, &consumer, std::mem::replace(&mut suspects, rest)).await;
            }
        }
    }
}

async fn try_together(store: &PostgresStore, consumer: &Consumer, group: Vec<Suspect>) {
    let mut under_way = Vec::with_capacity(group.len());
    let raws: Vec<Arc<Raw>> = group.iter().map(|(raw, _)| raw.clone()).collect();
    until_done(|| store.count_attempts(&raws)).await;
    for (raw, ticket) in group {
        let (done, settled) = oneshot::channel::<()>();
        let finish: Finish = Box::new(move || {
            ticket.settle();
            let _ = done.send(());
        });
        consumer.take(raw, finish);
        under_way.push(settled);
    }
    let all = async {
        for settled in under_way {
            let _ = settled.await;
        }
    };
    // One that waits longer has not ended the process: it is acquitted, and holds up nobody.
    let _ = tokio::time::timeout(TRY_MAX, all).await;
    forget(store, &raws).await;
}

/// What is left behind by a failure here is a count too many.
async fn forget(store: &PostgresStore, raws: &[Arc<Raw>]) {
    let _ = store.forget_attempts(raws).await;
}

/// Sets aside what was tried often enough, and forgets the count: a replay begins anew.
async fn give_up(store: &PostgresStore, consumer: &Consumer, (raw, ticket): Suspect) {
    let why =
        format!("the worker ended {} times while this message was being applied, at last alone; it was not tried again", GROUP_MAX.len());
    let store = store.clone();
    let settle = |raw: Arc<Raw>, store: PostgresStore| {
        move || {
            ticket.settle();
            tokio::spawn(async move { forget(&store, &[raw]).await });
        }
    };
    match exhausted(&store, raw.clone(), &why).await {
        Exhausted::Answered(submission) => {
            let settle = settle(raw, store);
            consumer.ways.lanes.submit(Job::Message(submission, Box::new(move |_| settle())));
        }
        Exhausted::Open(row) => {
            let _ = consumer.ways.aside.send((row, Box::new(settle(raw, store))));
        }
    }
}
