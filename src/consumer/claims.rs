//! Facts claimed before the ledger sees a message: payments, refunds, disputes, requests, evidence, references.
//!
//! Owns batching the questions to the directory: whose the payment is that a provider tells of, and whether
//! facts are free. A message is held for a moment while another account's is being decided: nearly always
//! that is all it takes. What is undecided for longer waits in the ledger, where the scheduler asks again; a
//! payment of nobody waits in the directory. Changes no balance.

use super::{Claiming, Finish, Read, submit, tenants};
use crate::domain::command::Message;
use crate::domain::decision::{Claim, Outcome};
use crate::domain::rejection::QuarantineReason;
use crate::failure::{Failure, pause};
use crate::lanes::Lanes;
use crate::message::{Raw, Unaddressed};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::directory::Address;
use crate::store::postgres::tenant::TenantAsk;
use crate::store::{QuarantineRow, Submission};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::warn;

/// Messages asked about at once.
const CLAIMS_MAX: usize = 256;
/// How long a message is held for another account's to be decided: longer than a batch takes.
const HOLD: Duration = Duration::from_millis(500);

/// Where a message goes from here. It holds no way back to here, so that the stages end one after the other.
pub struct Onward {
    pub lanes: Lanes<PostgresStore>,
    pub aside: mpsc::UnboundedSender<(QuarantineRow, Finish)>,
    pub tenants: mpsc::UnboundedSender<tenants::Asked>,
}

/// What is under way with the directory.
#[derive(Default)]
struct Held {
    /// Messages to be asked about again, with the time each was first.
    messages: Vec<(Read, Instant)>,
    /// Messages that do not say whose their payment is.
    unaddressed: Vec<(Box<Unaddressed>, Arc<Raw>, Finish)>,
}

pub async fn run(store: PostgresStore, onward: Onward, mut asked: mpsc::UnboundedReceiver<Claiming>) {
    let mut held = Held::default();
    let mut fresh: Vec<Claiming> = Vec::new();
    let mut attempt = 0;
    loop {
        let open = if held.is_empty() {
            asked.recv_many(&mut fresh, CLAIMS_MAX).await > 0
        } else {
            tokio::select! {
                taken = asked.recv_many(&mut fresh, CLAIMS_MAX) => taken > 0,
                () = tokio::time::sleep(pause(attempt, Duration::from_millis(20), Duration::from_secs(2))) => true,
            }
        };
        if !open {
            // Stopping: what is held returns to the broker.
            return;
        }
        held.add(fresh.drain(..));
        match held.ask(&store, &onward).await {
            Ok(()) => attempt = if held.is_empty() { 0 } else { attempt.saturating_add(1) },
            Err(error) => {
                if attempt == 0 {
                    warn!(%error, "facts cannot be claimed; it is tried again");
                }
                attempt = attempt.saturating_add(1);
            }
        }
    }
}

impl Held {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.unaddressed.is_empty()
    }

    fn add(&mut self, fresh: impl Iterator<Item = Claiming>) {
        for claiming in fresh {
            match claiming {
                Claiming::Message(read) => self.messages.push((read, Instant::now())),
                Claiming::Unaddressed(message, raw, finish) => self.unaddressed.push((message, raw, finish)),
            }
        }
    }

    /// Asks the directory about everything that is held; hands on what it answers.
    async fn ask(&mut self, store: &PostgresStore, onward: &Onward) -> Result<(), Failure> {
        self.address(store, onward).await?;
        let messages: Vec<&Message> = self.messages.iter().map(|(read, _)| &*read.submission.message).collect();
        if messages.is_empty() {
            return Ok(());
        }
        let answers = store.claim(&messages).await?;
        // Claimed first and told then: whoever is told finds the claim.
        store.wake(&messages).await?;
        for ((mut read, since), claim) in std::mem::take(&mut self.messages).into_iter().zip(answers) {
            if claim == Claim::Undecided && since.elapsed() < HOLD {
                self.messages.push((read, since));
            } else {
                read.submission.claim = claim;
                submit(&onward.lanes, &onward.aside, read);
            }
        }
        Ok(())
    }

    /// Finds the accounts of messages that name none.
    async fn address(&mut self, store: &PostgresStore, onward: &Onward) -> Result<(), Failure> {
        let asked: Vec<&Unaddressed> = self.unaddressed.iter().map(|(message, ..)| &**message).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let addresses = store.address(&asked).await?;
        let mut rest = std::mem::take(&mut self.unaddressed).into_iter().zip(addresses);
        while let Some(((message, raw, finish), address)) = rest.next() {
            match address {
                Address::To(account) => {
                    let submission = Submission::new(Arc::new(message.addressed(account)), raw);
                    self.messages.push((Read { submission, finish }, Instant::now()));
                }
                Address::Several => onward.set_aside_unaddressed(&message, raw, QuarantineReason::IdempotencyConflict, finish),
                Address::Nobody => match store.park(&message, &raw).await {
                    Ok(outcome) => onward.parked(message, raw, &outcome, finish),
                    Err(failure) => {
                        self.unaddressed.push((message, raw, finish));
                        self.unaddressed.extend(rest.map(|(unaddressed, _)| unaddressed));
                        return Err(failure);
                    }
                },
            }
        }
        Ok(())
    }
}

impl Onward {
    /// A message of nobody's payment is kept; now it is answered.
    fn parked(&self, message: Box<Unaddressed>, raw: Arc<Raw>, outcome: &Outcome, finish: Finish) {
        match outcome {
            Outcome::Quarantined(reason) => self.set_aside_unaddressed(&message, raw, *reason, finish),
            Outcome::Ignored => {
                let Unaddressed { tenant, id, content, .. } = *message;
                let ask = TenantAsk { origin: self.lanes.origin().to_owned(), tenant, id, content, command: None, occurred_at: None };
                let _ = self.tenants.send((ask, raw, finish));
            }
            _ => finish(),
        }
    }

    fn set_aside_unaddressed(&self, message: &Unaddressed, raw: Arc<Raw>, reason: QuarantineReason, finish: Finish) {
        let detail = match reason {
            QuarantineReason::UnknownTenant => "no tenant of this name: apply a catalog for it, then replay",
            _ => "contradicts what its id, or the names it shows for one payment, already stand for; what was recorded first stands",
        };
        let row = QuarantineRow {
            reason,
            detail: detail.to_owned(),
            tenant: Some(message.tenant.clone()),
            account: None,
            message: Some(message.id.clone()),
            kind: Some(message.command.word().to_owned()),
            raw,
        };
        let _ = self.aside.send((row, finish));
    }
}
