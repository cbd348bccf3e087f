//! The clocks of a published file: tenants with a time of their own, one message at a time.
//!
//! Owns moving their clocks ahead of a message as `simulate` would, and looking at what that and the
//! message did.

use super::{Answer, Sending, Session};
use crate::cli::messages::times;
use crate::cli::quarantine::outgoing;
use crate::domain::ids::{AccountKey, Id};
use crate::message::raw::{CLOUDEVENT, Queue};
use crate::message::{Incoming, Raw};
use anyhow::bail;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A message of a tenant with a test clock, as far as its time matters.
pub(super) struct Timed {
    pub tenant: Id,
    pub incoming: Incoming,
    /// When a webhook came.
    pub received_at: Option<Timestamp>,
}

impl Session<'_> {
    /// Sends a message once the clocks have reached its time.
    pub(super) async fn send_timed(&mut self, sending: Sending, timed: Timed) -> anyhow::Result<()> {
        let Timed { tenant, incoming, received_at } = timed;
        let (occurred_at, as_of) = times(&incoming);
        if let Some(at) = occurred_at.into_iter().chain(received_at).max() {
            self.move_clocks(at).await?;
            // A clock that has not started starts at its first message.
            let starts_behind = occurred_at.is_some_and(|occurred_at| self.clock.is_some_and(|clock| clock > occurred_at));
            if self.clocks.get(&tenant) == Some(&None) {
                if starts_behind {
                    self.reset(&tenant).await?;
                }
                self.clocks.insert(tenant.clone(), self.clock);
            }
        }
        // What became due comes before what the message did.
        self.look(None).await?;
        if let Some(as_of) = as_of {
            return self.send_reset(&sending, (tenant, as_of)).await;
        }
        let account = match incoming {
            Incoming::Account(message) => Some(message.account),
            Incoming::Tenant(_) | Incoming::Unaddressed(_) | Incoming::Ignored { .. } => None,
        };
        self.send_alone(sending, account).await
    }

    /// Sends a tenant-wide reset of the file's own; it moves the time of all of its tenants.
    async fn send_reset(&mut self, sending: &Sending, (tenant, as_of): (Id, Timestamp)) -> anyhow::Result<()> {
        let answer = self.ask(sending.line, &sending.message, true).await?;
        if answer.outcome == "applied" && self.clock.is_none_or(|clock| as_of > clock) {
            self.clocks.insert(tenant, Some(as_of));
            self.move_clocks(as_of).await?;
        }
        self.look(None).await?;
        self.show_effects(sending.line, &sending.known, &answer).await
    }

    pub(super) fn test_tenants(&self) -> Vec<Id> {
        self.clocks.keys().cloned().collect()
    }

    /// Takes up what was recorded since the last look, in the order it is shown.
    pub(super) async fn look(&mut self, about: Option<&AccountKey>) -> anyhow::Result<()> {
        let tenants = self.test_tenants();
        match &mut self.watch {
            Some(watch) => watch.add_to(&mut self.effects, &tenants, about).await,
            None => Ok(()),
        }
    }

    /// Moves the file's time, and every clock that has started and is behind it.
    pub(super) async fn move_clocks(&mut self, at: Timestamp) -> anyhow::Result<()> {
        let clock = self.clock.map_or(at, |clock| clock.max(at));
        self.clock = Some(clock);
        let behind = self.clocks.iter().filter(|(_, own)| own.is_some_and(|own| own < clock));
        let behind: Vec<Id> = behind.map(|(tenant, _)| tenant.clone()).collect();
        for tenant in behind {
            self.reset(&tenant).await?;
        }
        Ok(())
    }

    /// Moves a tenant's clock to the file's time and waits until everything due is written.
    async fn reset(&mut self, tenant: &Id) -> anyhow::Result<()> {
        let Some(clock) = self.clock else { return Ok(()) };
        let body = serde_json::json!({
            "specversion": "1.0", "id": format!("clock-{}-{clock}", self.run), "source": "credit-ledger publish",
            "type": "cycle.reset", "tenant": tenant.as_str(), "time": clock.to_string(), "data": { "as_of": clock.to_string() },
        });
        let raw = Raw {
            queue: Queue::Commands,
            routing_key: format!("cycle.reset.{tenant}"),
            content_type: Some(CLOUDEVENT.to_owned()),
            headers: BTreeMap::new(),
            reply_to: Some(self.replies.name().to_owned()),
            correlation_id: Some("0".to_owned()),
            body: body.to_string().into_bytes(),
        };
        let message = outgoing(&self.exchange, raw);
        let answer: Answer = self.ask(0, &message, true).await?;
        if answer.outcome != "applied" {
            bail!("the clock of {tenant} could not be moved to {clock}: {} {}", answer.outcome, answer.reasons.join(", "));
        }
        self.clocks.insert(tenant.clone(), Some(clock));
        Ok(())
    }

    pub(super) async fn send_alone(&mut self, sending: Sending, account: Option<AccountKey>) -> anyhow::Result<()> {
        let answer = self.ask(sending.line, &sending.message, false).await?;
        self.look(account.as_ref()).await?;
        self.show_effects(sending.line, &sending.known, &answer).await
    }
}
