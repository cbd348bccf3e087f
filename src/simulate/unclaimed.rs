//! Messages about payments that no account has claimed yet, in memory.
//!
//! Owns the same rule as the directory of the database: a refund or dispute waits for 30 days, a payment that
//! names no account is ignored, and the names it shows are kept as long.

use super::claims::Address;
use super::{Open, Simulation};
use crate::domain::decision::{On, Outcome};
use crate::domain::rejection::QuarantineReason;
use crate::failure::Failure;
use crate::message::{Raw, Unaddressed};
use crate::store::Submission;
use crate::store::facts::{Wait, payment_names};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// How long it is kept (semantics §6).
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A message that nobody has claimed.
#[derive(Debug)]
pub struct Unclaimed {
    message: Unaddressed,
    raw: Arc<Raw>,
    deadline: Timestamp,
}

impl Simulation {
    /// Hands a message to the account its payment belongs to, or keeps it.
    pub(super) async fn unaddressed(&mut self, message: &Unaddressed, raw: &Raw) -> Result<Outcome, Failure> {
        match self.claims.address(message) {
            Address::To(account) => {
                let message = Arc::new(message.clone().addressed(account));
                return self.submit(Submission::new(message, Arc::new(raw.clone()))).await;
            }
            Address::Several => return Ok(Outcome::Quarantined(QuarantineReason::IdempotencyConflict)),
            Address::Nobody => {}
        }
        let terms = self.store.lock().await.tenants.get(&message.tenant).map(|tenant| tenant.terms.clone());
        let known = terms.is_some();
        let waits = terms.is_some_and(|terms| Wait::of(&message.command, &terms.catalogs) == Wait::Open);
        let same = self.unclaimed.iter().find(|kept| kept.message.tenant == message.tenant && kept.message.id == message.id);
        if let Some(kept) = same.filter(|_| waits) {
            let conflicts = kept.message.content != message.content;
            return Ok(if conflicts { Outcome::Quarantined(QuarantineReason::IdempotencyConflict) } else { Outcome::Waiting });
        }
        let answered = waits && self.answers.contains_key(&(message.tenant.clone(), message.id.clone()));
        if (!waits || answered || !known)
            && let Some(outcome) = self.identity(known, &message.tenant, &message.id, message.content)
        {
            return Ok(outcome);
        }
        let deadline = self.clock.unwrap_or(message.occurred_at).checked_add(KEPT).unwrap_or(Timestamp::MAX);
        let raw = if waits { raw.clone() } else { Raw { reply_to: None, correlation_id: None, ..raw.clone() } };
        self.unclaimed.push(Unclaimed { message: message.clone(), raw: Arc::new(raw), deadline });
        if !waits {
            return Ok(Outcome::Ignored);
        }
        self.open = Some(Open::Waits(None, On::Payment(payment_names(&message.command)), deadline));
        Ok(Outcome::Waiting)
    }

    /// Hands on what somebody has claimed by now, until nothing more is claimed by that; drops what nobody
    /// claimed in time.
    pub(super) async fn retry_unclaimed(&mut self) -> Result<(), Failure> {
        let now = self.clock.unwrap_or(Timestamp::MIN);
        loop {
            let claimed = self.unclaimed.iter().position(|kept| match self.claims.address(&kept.message) {
                Address::To(_) => kept.deadline > now,
                Address::Nobody | Address::Several => kept.deadline <= now,
            });
            let Some(place) = claimed else { return Ok(()) };
            let kept = self.unclaimed.remove(place);
            match self.claims.address(&kept.message) {
                Address::To(account) if kept.deadline > now => {
                    let (repeated, open) = (std::mem::take(&mut self.repeated), self.open.take());
                    self.submit(Submission::new(Arc::new(kept.message.addressed(account)), kept.raw)).await?;
                    // What the line itself was answered stands.
                    (self.repeated, self.open) = (repeated, open);
                }
                Address::To(_) | Address::Nobody | Address::Several => {
                    let Unaddressed { tenant, id, content, .. } = kept.message;
                    self.answers.entry((tenant, id)).or_insert((content, Vec::new()));
                }
            }
        }
    }
}
