//! Facts claimed before the ledger sees a message: payments, requests, evidence, references.
//!
//! Owns batching the claims, and holding a message for a moment while another account's is being
//! decided: nearly always that is all it takes. What is undecided for longer waits in the ledger,
//! where the scheduler asks again. Changes no balance.

use super::{Finish, Read, submit};
use crate::domain::command::Message;
use crate::domain::decision::Claim;
use crate::failure::pause;
use crate::lanes::Lanes;
use crate::store::QuarantineRow;
use crate::store::postgres::PostgresStore;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::warn;

/// Claims made at once.
const CLAIMS_MAX: usize = 256;
/// How long a message is held for another account's to be decided: longer than a batch takes.
const HOLD: Duration = Duration::from_millis(500);

pub async fn run(
    store: PostgresStore,
    lanes: Lanes<PostgresStore>,
    aside: mpsc::UnboundedSender<(QuarantineRow, Finish)>,
    mut reads: mpsc::UnboundedReceiver<Read>,
) {
    // Messages to be asked about again, with the time each was first.
    let mut held: Vec<(Read, Instant)> = Vec::new();
    let mut fresh: Vec<Read> = Vec::new();
    let mut attempt = 0;
    loop {
        let open = if held.is_empty() {
            reads.recv_many(&mut fresh, CLAIMS_MAX).await > 0
        } else {
            tokio::select! {
                taken = reads.recv_many(&mut fresh, CLAIMS_MAX) => taken > 0,
                () = tokio::time::sleep(pause(attempt, Duration::from_millis(20), Duration::from_secs(2))) => true,
            }
        };
        if !open {
            // Stopping: what is held returns to the broker.
            return;
        }
        held.extend(fresh.drain(..).map(|read| (read, Instant::now())));
        let messages: Vec<&Message> = held.iter().map(|(read, _)| &*read.submission.message).collect();
        let answers = match store.claim(&messages).await {
            Ok(answers) => answers,
            Err(error) => {
                if attempt == 0 {
                    warn!(%error, "facts cannot be claimed; it is tried again");
                }
                attempt = attempt.saturating_add(1);
                continue;
            }
        };
        for ((mut read, since), claim) in std::mem::take(&mut held).into_iter().zip(answers) {
            if claim == Claim::Undecided && since.elapsed() < HOLD {
                held.push((read, since));
            } else {
                read.submission.claim = claim;
                submit(&lanes, &aside, read);
            }
        }
        attempt = if held.is_empty() { 0 } else { attempt.saturating_add(1) };
    }
}
