//! Announcements on the wire: CloudEvents out (message contract).
//!
//! Owns names and formats; amounts are strings, instants RFC 3339. Permanent ids: the same
//! announcement sent again has the same id.

use crate::domain::account::Profile;
use crate::domain::credits::Credits;
use crate::domain::entry::Entry;
use crate::domain::event::{Event, Refusal};
use crate::domain::ids::{AccountKey, Hash, MessageId};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::request::RequestStatus;
use crate::domain::subscription::{Reset, Subscription};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Most entries one `balance.changed` carries.
const ENTRIES_MAX: usize = 100;

/// Where and when something is announced.
#[derive(Debug, Clone, Copy)]
pub struct Announcing<'a> {
    /// The deployment's name: the CloudEvents source.
    pub origin: &'a str,
    /// About whom.
    pub account: &'a AccountKey,
    /// Position among the account's announcements: the id is made of it.
    pub number: u64,
    /// The last entry covered.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
}

/// An announcement ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Position among the account's announcements.
    pub number: u64,
    /// `<type>.<tenant>`.
    pub routing_key: String,
    /// A CloudEvent in structured mode.
    pub body: Vec<u8>,
}

struct Amount(Credits);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct CloudEvent<'a, D> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    time: Timestamp8601,
    datacontenttype: &'static str,
    data: D,
}

struct Timestamp8601(Timestamp);

impl Serialize for Timestamp8601 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The permanent id of an announcement: UUID-shaped, from tenant, account and number.
#[must_use]
pub fn event_id(account: &AccountKey, number: u64) -> String {
    let digest = Sha256::new()
        .chain_update(account.tenant.as_str())
        .chain_update([0])
        .chain_update(account.account.as_str())
        .chain_update([0])
        .chain_update(number.to_be_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    uuid::Uuid::from_bytes(bytes).to_string()
}

fn announce<D: Serialize>(on: Announcing<'_>, kind: &str, data: D) -> Announcement {
    let event = CloudEvent {
        specversion: "1.0",
        id: event_id(on.account, on.number),
        source: on.origin,
        r#type: kind,
        subject: Some(on.account.account.as_str()),
        tenant: on.account.tenant.as_str(),
        sequence: Some(on.sequence),
        time: Timestamp8601(on.time),
        datacontenttype: "application/json",
        data,
    };
    // Serialising our own types cannot fail: no map has keys that are not text.
    let body = serde_json::to_vec(&event).unwrap_or_default();
    Announcement { number: on.number, routing_key: format!("{kind}.{}", on.account.tenant), body }
}

/// Entries of one account that one `balance.changed` covers, with the numbers after them.
#[derive(Debug)]
pub struct BalanceChunk<'a> {
    entries: &'a [(Entry, Hash)],
    numbers: [Credits; 4],
    /// The last entry covered.
    pub to_seq: u64,
}

/// Cuts new entries into what one announcement may carry; `after` are balance, held, frozen and
/// debt after the last of them.
#[must_use]
pub fn balance_chunks(entries: &[(Entry, Hash)], after: [Credits; 4]) -> Vec<BalanceChunk<'_>> {
    let mut chunks: Vec<BalanceChunk<'_>> = Vec::new();
    let mut numbers = after;
    // Walked backwards: the numbers after a chunk are those after the next one less its changes.
    for entries in entries.rchunks(ENTRIES_MAX) {
        let Some((last, _)) = entries.last() else { continue };
        let [_, held, frozen, debt] = numbers;
        chunks.push(BalanceChunk { entries, numbers: [last.balance_after, held, frozen, debt], to_seq: last.seq });
        let undo = |number: Credits, change: fn(&Entry) -> Credits| {
            entries.iter().fold(number, |number, (entry, _)| number.minus(change(entry)).unwrap_or(number))
        };
        numbers = [
            last.balance_after,
            undo(held, |entry| entry.held_change),
            undo(frozen, |entry| entry.frozen_change),
            undo(debt, |entry| entry.debt_change),
        ];
    }
    chunks.reverse();
    chunks
}

#[derive(Serialize)]
struct BalanceChanged<'a> {
    balance: Amount,
    held: Amount,
    frozen: Amount,
    available: Amount,
    debt: Amount,
    from_seq: u64,
    to_seq: u64,
    entries: Vec<EntryJson<'a>>,
}

/// An entry on the wire.
#[derive(Serialize)]
pub struct EntryJson<'a> {
    seq: u64,
    kind: &'static str,
    direction: &'static str,
    amount: Amount,
    balance_after: Amount,
    held_change: Amount,
    frozen_change: Amount,
    debt_change: Amount,
    reference: Option<&'a str>,
    occurred_at: Timestamp8601,
    recorded_at: Timestamp8601,
    cause: Cause<'a>,
}

#[derive(Serialize)]
struct Cause<'a> {
    source: &'a str,
    id: &'a str,
}

impl<'a> From<&'a MessageId> for Cause<'a> {
    fn from(id: &'a MessageId) -> Self {
        Self { source: id.source.as_str(), id: id.id.as_str() }
    }
}

impl<'a> From<&'a Entry> for EntryJson<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            seq: entry.seq,
            kind: entry.kind.word(),
            direction: entry.kind.direction().word(),
            amount: Amount(entry.amount),
            balance_after: Amount(entry.balance_after),
            held_change: Amount(entry.held_change),
            frozen_change: Amount(entry.frozen_change),
            debt_change: Amount(entry.debt_change),
            reference: entry.reference.as_ref().map(|reference| reference.as_str()),
            occurred_at: Timestamp8601(entry.occurred_at),
            recorded_at: Timestamp8601(entry.recorded_at),
            cause: Cause::from(&entry.cause),
        }
    }
}

/// `balance.changed` about a chunk of entries.
#[must_use]
pub fn balance_changed(on: Announcing<'_>, chunk: &BalanceChunk<'_>) -> Announcement {
    let [balance, held, frozen, debt] = chunk.numbers;
    let available = balance.minus(held).and_then(|rest| rest.minus(frozen)).unwrap_or(Credits::ZERO);
    let data = BalanceChanged {
        balance: Amount(balance),
        held: Amount(held),
        frozen: Amount(frozen),
        available: Amount(available),
        debt: Amount(debt),
        from_seq: chunk.entries.first().map_or(chunk.to_seq, |(entry, _)| entry.seq),
        to_seq: chunk.to_seq,
        entries: chunk.entries.iter().map(|(entry, _)| EntryJson::from(entry)).collect(),
    };
    announce(on, "balance.changed", data)
}

/// `message.quarantined` about a message of a known account; no sequence, never the payload.
#[must_use]
pub fn quarantined(on: Announcing<'_>, reason: QuarantineReason, id: &MessageId, kind: &str) -> Announcement {
    let data = json!({"reason": reason.word(), "source": id.source.as_str(), "id": id.id.as_str(), "type": kind});
    let event = CloudEvent {
        specversion: "1.0",
        id: event_id(on.account, on.number),
        source: on.origin,
        r#type: "message.quarantined",
        subject: Some(on.account.account.as_str()),
        tenant: on.account.tenant.as_str(),
        sequence: None,
        time: Timestamp8601(on.time),
        datacontenttype: "application/json",
        data,
    };
    let body = serde_json::to_vec(&event).unwrap_or_default();
    Announcement { number: on.number, routing_key: format!("message.quarantined.{}", on.account.tenant), body }
}

/// An event other than `balance.changed`.
#[must_use]
pub fn render(on: Announcing<'_>, event: &Event) -> Announcement {
    match event {
        Event::UsageRejected(refusal) => announce(on, "usage.rejected", refused(refusal)),
        Event::SpendRejected(refusal) => announce(on, "spend.rejected", refused(refusal)),
        Event::SpendAccepted { asked, available } => announce(
            on,
            "spend.accepted",
            json!({"source": asked.id.source.as_str(), "id": asked.id.id.as_str(), "reference": asked.reference.as_str(),
                   "credits": asked.credits.map(text), "available": text(*available)}),
        ),
        Event::InvoicePaid { reference, credits } => {
            announce(on, "invoice.paid", json!({"reference": reference.as_str(), "credits": text(*credits)}))
        }
        Event::MessageRejected { id, kind, reasons } => announce(
            on,
            "message.rejected",
            json!({"source": id.source.as_str(), "id": id.id.as_str(), "type": kind, "reasons": words(reasons)}),
        ),
        Event::Request { request, status, credits, actor, reason } => announce(
            on,
            request_type(*status),
            json!({"request": request.as_str(), "credits": text(*credits),
                   "actor": actor.as_ref().map(|actor| actor.as_str()), "reason": reason}),
        ),
        Event::CycleReset(reset) => announce(on, "cycle.reset", reset_data(reset)),
        Event::DebtIncurred { amount, debt, reference } => announce(
            on,
            "debt.incurred",
            json!({"amount": text(*amount), "debt": text(*debt), "reference": reference.as_ref().map(|one| one.as_str())}),
        ),
        Event::DebtRepaid { amount, debt } => announce(on, "debt.repaid", json!({"amount": text(*amount), "debt": text(*debt)})),
        Event::SubscriptionChanged(one) => announce(on, "subscription.changed", subscription_data(one)),
        Event::AccountChanged { status, profile } => announce(on, "account.changed", account_data(status, profile)),
    }
}

fn text(amount: Credits) -> String {
    amount.to_string()
}

fn words(reasons: &[Rejection]) -> Vec<&'static str> {
    reasons.iter().map(|reason| reason.word()).collect()
}

fn refused(refusal: &Refusal) -> Value {
    let asked = &refusal.asked;
    json!({"source": asked.id.source.as_str(), "id": asked.id.id.as_str(), "reference": asked.reference.as_str(),
           "credits": asked.credits.map(text), "available": text(refusal.available), "reasons": words(&refusal.reasons)})
}

fn request_type(status: RequestStatus) -> &'static str {
    match status {
        RequestStatus::Pending => "credit_request.pending",
        RequestStatus::Accepted => "credit_request.accepted",
        RequestStatus::Rejected => "credit_request.rejected",
        RequestStatus::Cancelled => "credit_request.cancelled",
        RequestStatus::Expired => "credit_request.expired",
    }
}

fn reset_data(reset: &Reset) -> Value {
    json!({"subscription": reset.subscription.as_str(), "k": reset.k, "n": reset.n, "granted": text(reset.granted),
           "forfeited": text(reset.forfeited), "rolled_over": text(reset.rolled_over),
           "next_boundary": reset.next_boundary.map(|at| at.to_string())})
}

fn subscription_data(one: &Subscription) -> Value {
    let addons = |wanted: &crate::domain::subscription::Wanted| -> Vec<Value> {
        wanted.addons.iter().map(|(addon, units)| json!({"addon": addon.as_str(), "units": units})).collect()
    };
    let state = match (one.ended, one.cancelled) {
        (true, _) => "ended",
        (false, true) => "cancelled",
        (false, false) => "active",
    };
    json!({"subscription": one.id.as_str(), "state": state, "plan": one.current.plan.as_str(), "interval": one.interval.word(),
           "addons": addons(&one.current), "next_plan": one.next.as_ref().map(|next| next.plan.as_str()),
           "next_addons": one.next.as_ref().map(addons), "cycle_start": one.cycle.start.to_string(),
           "next_boundary": (!one.ended).then(|| one.cycle.end.to_string())})
}

fn account_data(status: &str, profile: &Profile) -> Value {
    json!({"status": status, "kind": profile.kind.map(crate::domain::account::AccountKind::word),
           "owner": profile.owner.as_ref().map(|owner| owner.as_str()), "time_zone": profile.zone.name()})
}
