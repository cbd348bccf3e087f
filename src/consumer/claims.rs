//! Facts claimed before the ledger sees a message: payments, requests, evidence, references.
//!
//! Owns batching the claims and waiting for another account's undecided one. Changes no balance.

use super::{Finish, Read, set_aside_row, submit};
use crate::domain::command::Message;
use crate::domain::rejection::QuarantineReason;
use crate::failure::pause;
use crate::lanes::Lanes;
use crate::store::QuarantineRow;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::directory::Claimed;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::warn;

/// Claims made in one transaction.
const CLAIMS_MAX: usize = 256;

pub async fn run(
    store: PostgresStore,
    lanes: Lanes<PostgresStore>,
    aside: mpsc::UnboundedSender<(QuarantineRow, Finish)>,
    mut reads: mpsc::UnboundedReceiver<Read>,
) {
    // Messages whose fact another account's undecided message claims; they are asked again.
    let mut undecided: Vec<Read> = Vec::new();
    let mut batch: Vec<Read> = Vec::new();
    let mut attempt = 0;
    loop {
        let open = if undecided.is_empty() {
            reads.recv_many(&mut batch, CLAIMS_MAX).await > 0
        } else {
            tokio::select! {
                taken = reads.recv_many(&mut batch, CLAIMS_MAX) => taken > 0,
                () = tokio::time::sleep(pause(attempt, Duration::from_millis(20), Duration::from_secs(2))) => true,
            }
        };
        if !open {
            return;
        }
        batch.append(&mut undecided);
        let messages: Vec<&Message> = batch.iter().map(|read| &*read.submission.message).collect();
        let answers = match store.claim(&messages).await {
            Ok(answers) => answers,
            Err(error) => {
                if attempt == 0 {
                    warn!(%error, "facts cannot be claimed; it is tried again");
                }
                attempt = attempt.saturating_add(1);
                undecided.append(&mut batch);
                continue;
            }
        };
        for (read, answer) in batch.drain(..).zip(answers) {
            match answer {
                Claimed::Yes => submit(&lanes, &aside, read),
                Claimed::Undecided => undecided.push(read),
                Claimed::Taken => {
                    let detail = "its payment, request, evidence or reference belongs to another account; what was recorded first stands";
                    let row = set_aside_row(&read.submission, QuarantineReason::IdempotencyConflict, detail);
                    let _ = aside.send((row, read.finish));
                }
            }
        }
        attempt = if undecided.is_empty() { 0 } else { attempt.saturating_add(1) };
    }
}
