//! CloudEvents out: what the ledger announces, as bytes.
//!
//! Owns the table "CloudEvents out" of the message contract. One of these is made for
//! nearly every message, so they are written straight from borrowed data. Keys the contract always lists
//! are always there, `null` when there is nothing to say.

use super::amount::Shown;
use super::announced::{
    BalanceChanged, CloudEvent, CycleReset, DebtChange, DebtIncurred, EntryLine, Instant, InvoicePaid, MessageRejected, QuarantineNotice,
    QuoteMade, RefundRefused, RefundRequest, Refused, Request, SpendAccepted, words,
};
use super::state::{AccountState, SubscriptionState};
use crate::domain::account::Account;
use crate::domain::credits::Credits;
use crate::domain::entry::Entry;
use crate::domain::event::{Event, Reversal};
use crate::domain::ids::{AccountKey, Hash, Id, MessageId, Printable};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::request::RequestStatus;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt::Display;

/// The most entries one `balance.changed` carries (message contract, CloudEvents out).
pub const ENTRIES_MAX: usize = 100;

/// An announcement ready for the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Permanent: the same on a re-send.
    pub id: String,
    /// `<type>.<tenant>`
    pub routing_key: String,
    /// The CloudEvent.
    pub body: Vec<u8>,
}

/// What every announcement about an account says besides its data.
#[derive(Debug, Clone, Copy)]
pub struct Heading<'a> {
    /// The deployment's name.
    pub source: &'a str,
    /// The account.
    pub key: &'a AccountKey,
    /// Position of the announcement in its account, from 1, gap-free: its id is derived from it.
    pub number: u64,
    /// The last entry it covers; 0 before the first.
    pub sequence: u64,
    /// When it was recorded.
    pub time: Timestamp,
}

/// A `balance.changed` but for the entries it carries: those are in the ledger, and are put into it when
/// it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The first entry; none is left out up to the last, at most [`ENTRIES_MAX`].
    pub first: u64,
    /// The last entry.
    pub last: u64,
    /// Reserved by holds, after the last entry.
    pub held: Credits,
    /// Kept back, after the last entry.
    pub frozen: Credits,
    /// Owed, after the last entry.
    pub debt: Credits,
}

/// Announces what happened to an account.
#[must_use]
pub fn render(heading: &Heading<'_>, event: &Event) -> Outgoing {
    match event {
        Event::UsageRejected(refusal) => write(heading, "usage.rejected", &Refused::from(refusal)),
        Event::SpendAccepted { asked, available } => {
            write(heading, "spend.accepted", &SpendAccepted { asked: asked.into(), available: Shown(*available) })
        }
        Event::SpendRejected(refusal) => write(heading, "spend.rejected", &Refused::from(refusal)),
        Event::InvoicePaid { reference, credits } => {
            write(heading, "invoice.paid", &InvoicePaid { reference: reference.as_str(), credits: Shown(*credits) })
        }
        Event::MessageRejected { id, kind, reasons } => {
            write(heading, "message.rejected", &MessageRejected { id: id.into(), kind, reasons: words(reasons) })
        }
        Event::Request { request, status, credits, actor, reason } => {
            let (actor, reason) = (actor.as_ref().map(Id::as_str), reason.as_deref());
            write(heading, request_kind(*status), &Request { request: request.as_str(), credits: Shown(*credits), actor, reason })
        }
        Event::CycleReset(reset) => write(heading, "cycle.reset", &CycleReset::from(reset)),
        Event::DebtIncurred { payment, amount, debt, reference } => {
            let debt = DebtChange::of(payment.as_ref(), None, *amount, *debt);
            write(heading, "debt.incurred", &DebtIncurred { debt, reference: reference.as_ref().map(Printable::as_str) })
        }
        Event::DebtRepaid { payment, amount, debt } => {
            write(heading, "debt.repaid", &DebtChange::of(payment.as_ref(), Some(*amount), *amount, *debt))
        }
        Event::Reversed { what, payment, clawed, debt } => {
            write(heading, reversal_kind(*what), &DebtChange::reversed(payment, *clawed, *debt))
        }
        Event::RefundRequested(asked) => write(heading, "refund.requested", &RefundRequest::from(asked)),
        Event::RefundRefused { asked, reasons } => {
            write(heading, "refund.refused", &RefundRefused { asked: asked.into(), reasons: words(reasons) })
        }
        Event::QuoteMade(quoted) => write(heading, "quote.made", &QuoteMade::from(&**quoted)),
        Event::SubscriptionChanged(subscription) => write(heading, "subscription.changed", &SubscriptionState::from(&**subscription)),
        Event::AccountChanged { status, profile } => write(heading, "account.changed", &AccountState::of(status, profile)),
        Event::InvoicingEligible { status, profile } => write(heading, "invoicing.eligible", &AccountState::of(status, profile)),
    }
}

/// What is to be announced of an account that stands as given after a run of entries: every entry once,
/// each announcement with the numbers after its last one.
#[must_use]
pub fn changes(account: &Account, entries: &[Entry]) -> Vec<Change> {
    let (mut held, mut frozen, mut debt) = (account.held, account.frozen, account.debt);
    let mut changes = Vec::with_capacity(entries.len().div_ceil(ENTRIES_MAX));
    let mut cuts: Vec<&[Entry]> = entries.chunks(ENTRIES_MAX).collect();
    // Backwards: the numbers after a piece are those after the next one less its changes.
    while let Some(piece) = cuts.pop() {
        let (first, last) = (piece.first().map_or(0, |entry| entry.seq), piece.last().map_or(0, |entry| entry.seq));
        changes.push(Change { first, last, held, frozen, debt });
        let before = |number: Credits, change: fn(&Entry) -> Credits| {
            piece.iter().fold(number, |number, entry| number.minus(change(entry)).unwrap_or(number))
        };
        held = before(held, |entry| entry.held_change);
        frozen = before(frozen, |entry| entry.frozen_change);
        debt = before(debt, |entry| entry.debt_change);
    }
    changes.reverse();
    changes
}

/// Announces a change: `number` is its position among the account's announcements. Nothing when the
/// entries are not exactly those it is about.
#[must_use]
pub fn balance_changed(source: &str, key: &AccountKey, number: u64, change: &Change, entries: &[Entry]) -> Option<Outgoing> {
    let whole = entries.iter().map(|entry| entry.seq).eq(change.first..=change.last);
    let last = entries.last().filter(|_| whole)?;
    let rest = last.balance_after.minus(change.held).and_then(|rest| rest.minus(change.frozen));
    let data = BalanceChanged {
        balance: Shown(last.balance_after),
        held: Shown(change.held),
        frozen: Shown(change.frozen),
        available: Shown(rest.unwrap_or(Credits::ZERO)),
        debt: Shown(change.debt),
        from_seq: change.first,
        to_seq: change.last,
        entries: entries.iter().map(EntryLine::from).collect(),
    };
    let heading = Heading { source, key, number, sequence: change.last, time: last.recorded_at };
    Some(write(&heading, "balance.changed", &data))
}

/// A message in quarantine. Never its payload; no sequence, because it belongs to no account.
#[derive(Debug, Clone, Copy)]
pub struct Quarantined<'a> {
    /// The deployment's name.
    pub source: &'a str,
    /// The tenant the message claims, if it could be read.
    pub tenant: Option<&'a Id>,
    /// The key of the message in quarantine: its announcement's id is derived from it.
    pub digest: Hash,
    /// When it was set aside.
    pub time: Timestamp,
    /// Why.
    pub reason: QuarantineReason,
    /// The identity it claims, if it could be read.
    pub id: Option<&'a MessageId>,
    /// The type it claims, if it could be read; of a webhook the words it is routed by.
    pub kind: Option<&'a str>,
}

/// Announces that a message was set aside. Without a tenant the routing key is the type alone.
#[must_use]
pub fn quarantined(what: &Quarantined<'_>) -> Outgoing {
    const TYPE: &str = "message.quarantined";
    let tenant = what.tenant.map_or("", Id::as_str);
    // No account has an empty name, so these ids stay apart from those of accounts.
    let id = permanent_id(tenant, "", &what.digest);
    let data = QuarantineNotice {
        reason: what.reason.word(),
        source: what.id.map(|id| id.source.as_str()),
        id: what.id.map(|id| id.id.as_str()),
        kind: what.kind,
    };
    let body = bytes(&CloudEvent {
        specversion: "1.0",
        id: &id,
        source: what.source,
        kind: TYPE,
        subject: None,
        tenant: what.tenant.map(Id::as_str),
        time: Instant(what.time),
        datacontenttype: "application/json",
        sequence: None,
        data: &data,
    });
    let routing_key = if tenant.is_empty() { TYPE.to_owned() } else { format!("{TYPE}.{tenant}") };
    Outgoing { id, routing_key, body }
}

/// A refused message about a tenant as a whole. No subject and no sequence, because it belongs to no
/// account.
#[derive(Debug, Clone, Copy)]
pub struct TenantRefused<'a> {
    /// The deployment's name.
    pub source: &'a str,
    /// The tenant.
    pub tenant: &'a Id,
    /// When it was refused.
    pub time: Timestamp,
    /// The message, which is refused once: its announcement's id is derived from it.
    pub id: &'a MessageId,
    /// Its type.
    pub kind: &'static str,
    /// Why.
    pub reasons: &'a [Rejection],
}

/// Announces that a message about a tenant was refused.
#[must_use]
pub fn tenant_refused(what: &TenantRefused<'_>) -> Outgoing {
    const TYPE: &str = "message.rejected";
    let tenant = what.tenant.as_str();
    // Keys of messages are half as long as the digests of what is quarantined: these ids differ.
    let id = permanent_id(tenant, "", &uuid::Uuid::from_bytes(what.id.key().0));
    let body = bytes(&CloudEvent {
        specversion: "1.0",
        id: &id,
        source: what.source,
        kind: TYPE,
        subject: None,
        tenant: Some(tenant),
        time: Instant(what.time),
        datacontenttype: "application/json",
        sequence: None,
        data: &MessageRejected { id: what.id.into(), kind: what.kind, reasons: words(what.reasons) },
    });
    Outgoing { id, routing_key: format!("{TYPE}.{tenant}"), body }
}

/// An entry as `balance.changed`, answers and `simulate` show it.
#[must_use]
pub fn entry_json(entry: &Entry) -> serde_json::Value {
    // Strings, numbers and nothing else: it cannot fail.
    serde_json::to_value(EntryLine::from(entry)).unwrap_or_default()
}

/// The same on every re-send: the first 16 bytes of SHA-256 over tenant, account and number, in the
/// form of a UUID.
fn permanent_id(tenant: &str, account: &str, number: &impl Display) -> String {
    let digest: [u8; 32] = Sha256::digest(format!("{tenant}\0{account}\0{number}")).into();
    let mut short = [0; 16];
    short.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    uuid::Uuid::from_bytes(short).to_string()
}

fn write(heading: &Heading<'_>, kind: &'static str, data: &impl Serialize) -> Outgoing {
    let (tenant, account) = (heading.key.tenant.as_str(), heading.key.account.as_str());
    let id = permanent_id(tenant, account, &heading.number);
    let body = bytes(&CloudEvent {
        specversion: "1.0",
        id: &id,
        source: heading.source,
        kind,
        subject: Some(account),
        tenant: Some(tenant),
        time: Instant(heading.time),
        datacontenttype: "application/json",
        sequence: Some(heading.sequence),
        data,
    });
    Outgoing { id, routing_key: format!("{kind}.{tenant}"), body }
}

fn bytes(event: &impl Serialize) -> Vec<u8> {
    // Every key is a string and no number is a float: it cannot fail.
    serde_json::to_vec(event).unwrap_or_default()
}

fn reversal_kind(what: Reversal) -> &'static str {
    match what {
        Reversal::Refunded => "purchase.refunded",
        Reversal::DisputeOpened => "dispute.opened",
        Reversal::DisputeClosed => "dispute.closed",
    }
}

fn request_kind(status: RequestStatus) -> &'static str {
    match status {
        RequestStatus::Pending => "credit_request.pending",
        RequestStatus::Accepted => "credit_request.accepted",
        RequestStatus::Rejected => "credit_request.rejected",
        RequestStatus::Cancelled => "credit_request.cancelled",
        RequestStatus::Expired => "credit_request.expired",
    }
}
