//! What is shown of a published line: its outcome, what it did, and what an outcome leaves open.
//!
//! Owns the words on standard output and the sum at the end. Never sends anything.

use super::super::told;
use super::{Answer, Effects, Session, print};
use crate::domain::ids::{AccountKey, Id, MessageId};
use crate::message::{Incoming, Raw, Unreadable};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What is known of a message without its answer.
#[derive(Debug)]
pub(super) struct Known {
    digest: String,
    /// Tenant, account and identity, where they could be read.
    named: Option<(Id, Option<Id>, MessageId)>,
    /// The reason for which it cannot be read, and its detail.
    fault: Option<(&'static str, String)>,
}

impl Known {
    pub(super) fn of(raw: &Raw, read: &Result<Incoming, Unreadable>) -> Self {
        let named = match read {
            Ok(Incoming::Account(message)) => {
                Some((message.account.tenant.clone(), Some(message.account.account.clone()), message.id.clone()))
            }
            Ok(Incoming::Tenant(message)) => Some((message.tenant.clone(), None, message.id.clone())),
            Ok(Incoming::Unaddressed(_) | Incoming::Ignored { .. }) | Err(_) => None,
        };
        let fault = read.as_ref().err().map(|fault| (fault.reason.word(), fault.detail.clone()));
        Self { digest: told::short(&raw.digest().0), named, fault }
    }
}

/// An answer beside its line, as `simulate` shows it.
#[derive(Serialize)]
struct Shown<'a> {
    line: usize,
    outcome: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [String],
    entries: &'a [serde_json::Value],
    /// Known for tenants with a test clock only: of others many messages are under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'a [Box<RawValue>]>,
}

impl Session<'_> {
    /// Shows a line that is no message.
    pub(super) fn show_done(&mut self, line: usize) -> anyhow::Result<()> {
        let Effects { entries, events } = std::mem::take(&mut self.effects);
        self.bar.inc(1);
        self.print(&Shown { line, outcome: "applied", reasons: &[], entries: &entries, events: Some(&events) }, None)
    }

    /// Shows an answer with everything the line did.
    pub(super) async fn show_effects(&mut self, line: usize, known: &Known, answer: &Answer) -> anyhow::Result<()> {
        let Effects { entries, events } = std::mem::take(&mut self.effects);
        self.bar.inc(1);
        let shown = Shown { line, outcome: &answer.outcome, reasons: &answer.reasons, entries: &entries, events: Some(&events) };
        self.show_answer(&shown, known).await
    }

    /// Shows an answer with what the message itself did; a repeat did nothing.
    pub(super) async fn show(&mut self, line: usize, known: &Known, answer: &Answer) -> anyhow::Result<()> {
        let entries = if answer.outcome == "duplicate" { &[] } else { answer.entries.as_slice() };
        self.show_answer(&Shown { line, outcome: &answer.outcome, reasons: &answer.reasons, entries, events: None }, known).await
    }

    async fn show_answer(&mut self, shown: &Shown<'_>, known: &Known) -> anyhow::Result<()> {
        let so_far = self.outcomes.entry(shown.outcome.to_owned()).or_default();
        *so_far = so_far.saturating_add(1);
        let note = if self.json { None } else { self.note(shown, known).await };
        self.print(shown, note)
    }

    fn print(&self, shown: &Shown<'_>, note: Option<String>) -> anyhow::Result<()> {
        let text = if self.json {
            serde_json::to_string(shown)?
        } else {
            let reasons = if shown.reasons.is_empty() { String::new() } else { format!(": {}", shown.reasons.join(", ")) };
            let entries = told::count(shown.entries.len(), "entry", "entries");
            let note = note.map(|note| format!("\n   {note}")).unwrap_or_default();
            format!("{}: {}{reasons} ({entries}){note}", shown.line, shown.outcome)
        };
        self.bar.suspend(|| print(&text))
    }

    /// What a person wants to know about an outcome that is not the end of it.
    async fn note(&self, shown: &Shown<'_>, known: &Known) -> Option<String> {
        match (shown.outcome, &known.named) {
            ("waiting", Some((tenant, Some(account), message))) => {
                let wait = match &self.store {
                    // An explanation that cannot be had is not worth stopping for.
                    Some(store) => store.wait(tenant, account, message).await.unwrap_or_default(),
                    None => None,
                };
                let key = AccountKey { tenant: tenant.clone(), account: account.clone() };
                let ask = || format!("what for: credit-ledger outcome {tenant} {account} '{}' '{}'", message.source, message.id);
                Some(wait.map_or_else(ask, |wait| told::wait(Some(&key), &wait.on, wait.deadline)))
            }
            ("waiting", Some((tenant, None, message))) => Some(format!(
                "until everything that is due is written; then: credit-ledger outcome {tenant} - '{}' '{}'",
                message.source, message.id
            )),
            ("quarantined", _) => {
                // The worker may have set it aside for a reason that cannot be seen from here.
                let same = known.fault.as_ref().filter(|(reason, _)| shown.reasons.iter().any(|given| given == reason));
                let detail = same.map(|(_, detail)| format!("{detail}; ")).unwrap_or_default();
                Some(format!("{detail}look at it: credit-ledger quarantine show {}", known.digest))
            }
            _ => None,
        }
    }

    /// The sum of all outcomes, for people.
    pub(super) fn sum(&self) -> Option<String> {
        let all: usize = self.outcomes.values().sum();
        let each = |(outcome, number): (&String, &usize)| format!("{number} {outcome}");
        let parts: Vec<String> = self.outcomes.iter().map(each).collect();
        (all > 0).then(|| format!("{} answered: {}", told::count(all, "message", "messages"), parts.join(", ")))
    }
}

/// How often each outcome was given.
pub(super) type Outcomes = BTreeMap<String, usize>;
