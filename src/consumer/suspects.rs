//! Deliveries that came back more than once: one of them may have ended the process each time.
//!
//! Owns the attempt counts. The first attempt goes in small groups, the next ones alone, and what was
//! under way at the end of the process each time is set aside unprocessed, so that what ends the
//! process is found and innocent neighbours are not blamed. A message that only waits for another
//! one (an undecided claim) holds up nobody.

use super::{Consumer, Finish};
use crate::amqp::Ticket;
use crate::domain::rejection::QuarantineReason;
use crate::failure::pause;
use crate::message::{Incoming, Raw, reread};
use crate::store::QuarantineRow;
use crate::store::postgres::PostgresStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Deliveries tried together at their first attempt. All of them are counted before the first is
/// tried, so a large group would blame many for one end of the process.
const GROUP_MAX: usize = 16;
/// Attempts before a message is set aside. A worker that is killed for other reasons blames whatever
/// is under way; an innocent message is under way this often in a row practically never.
const ATTEMPTS_MAX: i32 = 6;
/// How long the next attempt waits for this one; what ends a process does so at once.
const TRY_MAX: Duration = Duration::from_secs(1);

pub async fn run(store: PostgresStore, consumer: Consumer, mut suspects: mpsc::UnboundedReceiver<(Arc<Raw>, Ticket)>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while suspects.recv_many(&mut group, GROUP_MAX).await > 0 {
        let raws: Vec<Arc<Raw>> = group.iter().map(|(raw, _)| raw.clone()).collect();
        let attempts = count(&store, &raws).await;
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for ((raw, ticket), attempts) in group.drain(..).zip(attempts) {
            match attempts {
                ..=1 => first.push((raw, ticket)),
                2..=ATTEMPTS_MAX => again.push((raw, ticket)),
                _ => give_up(&consumer, raw, ticket),
            }
        }
        try_together(&store, &consumer, first).await;
        for suspect in again {
            try_together(&store, &consumer, vec![suspect]).await;
        }
    }
}

/// Commits one more attempt for each and returns the counts.
async fn count(store: &PostgresStore, raws: &[Arc<Raw>]) -> Vec<i32> {
    let mut attempt = 0;
    loop {
        match store.count_attempts(raws).await {
            Ok(counts) => return counts,
            Err(_) => tokio::time::sleep(pause(attempt, Duration::from_millis(50), Duration::from_secs(5))).await,
        }
        attempt = attempt.saturating_add(1);
    }
}

async fn try_together(store: &PostgresStore, consumer: &Consumer, group: Vec<(Arc<Raw>, Ticket)>) {
    let mut under_way = Vec::with_capacity(group.len());
    let raws: Vec<Arc<Raw>> = group.iter().map(|(raw, _)| raw.clone()).collect();
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
        // What is left behind by a failure here is only a count too many for a message that is settled.
        let _ = store.forget_attempts(&raws).await;
    });
    // One that waits for another account's claim must not keep that account's message from its turn.
    let _ = tokio::time::timeout(TRY_MAX, &mut settling).await;
}

fn give_up(consumer: &Consumer, raw: Arc<Raw>, ticket: Ticket) {
    // Reading it is safe: what ended the process came after that. Whose it was is worth knowing.
    let message = match reread(&raw) {
        Ok(Incoming::Account(message)) => Some(message),
        Ok(Incoming::Tenant(_) | Incoming::Ignored { .. }) | Err(_) => None,
    };
    let row = QuarantineRow {
        reason: QuarantineReason::RetriesExhausted,
        detail: format!("the worker ended {ATTEMPTS_MAX} times while this message was being applied; it was not tried again"),
        tenant: message.as_ref().map(|message| message.account.tenant.clone()),
        account: message.as_ref().map(|message| message.account.account.clone()),
        message: message.map(|message| message.id),
        raw,
    };
    let _ = consumer.aside.send((row, Box::new(move || ticket.settle())));
}
