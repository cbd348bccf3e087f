//! Deliveries that came back more than once: one of them may have ended the process each time.
//!
//! Owns the attempts. They are tried in groups, and each try is counted, and the count committed,
//! before it begins; what was under way when the process ended comes back with a higher count and is
//! tried in a smaller group, at last alone twice. So what ends the process is found in a few ends of
//! it, whoever comes back for another reason (a worker that was killed, a broker that was restarted)
//! goes on almost as fast as ever, and innocent neighbours are not blamed. What was tried least goes
//! first: it is out of the way before something dangerous is tried again.

use super::{Consumer, Finish};
use crate::amqp::Ticket;
use crate::domain::rejection::QuarantineReason;
use crate::failure::pause;
use crate::message::{Incoming, Raw, reread};
use crate::store::QuarantineRow;
use crate::store::postgres::PostgresStore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Most deliveries tried together, by how often they were tried before. Beyond the last they are set
/// aside unprocessed: they were alone when the process ended, twice.
const GROUP_MAX: [usize; 6] = [256, 64, 16, 4, 1, 1];
/// Deliveries looked at together.
const TAKEN_MAX: usize = 1024;
/// How long the next attempt waits for this one; what ends a process does so at once.
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
                    give_up(&store, &consumer, suspect);
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

/// Asks the database until it answers: without its counts nothing is tried.
async fn until_done<T, F: Future<Output = Result<T, crate::failure::Failure>>>(ask: impl Fn() -> F) -> T {
    let mut attempt = 0;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(_) => tokio::time::sleep(pause(attempt, Duration::from_millis(50), Duration::from_secs(5))).await,
        }
        attempt = attempt.saturating_add(1);
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
    let store = store.clone();
    let mut settling = tokio::spawn(async move {
        for settled in under_way {
            let _ = settled.await;
        }
        forget(&store, &raws).await;
    });
    // One that waits for another account's claim must not keep that account's message from its turn.
    let _ = tokio::time::timeout(TRY_MAX, &mut settling).await;
}

/// What is left behind by a failure here is a count too many for a message that is settled.
async fn forget(store: &PostgresStore, raws: &[Arc<Raw>]) {
    let _ = store.forget_attempts(raws).await;
}

/// Sets aside what was tried often enough, and forgets the count: a replay begins anew.
fn give_up(store: &PostgresStore, consumer: &Consumer, (raw, ticket): Suspect) {
    // Reading it is safe: what ended the process came after that. Whose it was is worth knowing.
    let message = match reread(&raw) {
        Ok(Incoming::Account(message)) => Some(message),
        Ok(Incoming::Tenant(_) | Incoming::Ignored { .. }) | Err(_) => None,
    };
    let row = QuarantineRow {
        reason: QuarantineReason::RetriesExhausted,
        detail: format!(
            "the worker ended {} times while this message was being applied, at last alone; it was not tried again",
            GROUP_MAX.len()
        ),
        tenant: message.as_ref().map(|message| message.account.tenant.clone()),
        account: message.as_ref().map(|message| message.account.account.clone()),
        message: message.map(|message| message.id),
        raw: raw.clone(),
    };
    let store = store.clone();
    let finish: Finish = Box::new(move || {
        ticket.settle();
        tokio::spawn(async move { forget(&store, &[raw]).await });
    });
    let _ = consumer.aside.send((row, finish));
}
