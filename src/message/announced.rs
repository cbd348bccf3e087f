//! The JSON of announcements: one struct per row of the table "CloudEvents out".
//!
//! Owns keys and their order, and the list of types. Everything is borrowed; nothing is decided here.

use super::amount::Shown;
use super::event::ENTRIES_MAX;
use super::field::{Field, one_of};
use super::schema::Draw;
use super::state::{AccountState, SubscriptionState};
use crate::domain::clawback::Clawed;
use crate::domain::credits::Credits;
use crate::domain::entry::{Direction, Entry, EntryKind};
use crate::domain::event::{Asked, Quoted, RefundAsked, Refusal};
use crate::domain::ids::{Id, MessageId, Printable, Prose};
use crate::domain::rejection::{QuarantineReason, Rejection};
use crate::domain::subscription::Reset;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A type that is announced.
pub(super) struct Sent {
    /// Its name on the wire.
    pub(super) word: &'static str,
    /// Draws its data.
    pub(super) schema: Draw,
    /// Attributes it always has, besides those that every event has.
    pub(super) attributes: &'static [&'static str],
}

const fn of_account(word: &'static str, schema: Draw) -> Sent {
    Sent { word, schema, attributes: &["tenant", "subject", "sequence"] }
}

/// Every type that is announced.
pub(super) const EVENTS: &[Sent] = &[
    of_account("balance.changed", BalanceChanged::json_schema),
    of_account("usage.rejected", Refused::json_schema),
    of_account("spend.accepted", SpendAccepted::json_schema),
    of_account("spend.rejected", Refused::json_schema),
    of_account("invoice.paid", InvoicePaid::json_schema),
    of_account("quote.made", QuoteMade::json_schema),
    Sent { word: "message.rejected", schema: MessageRejected::json_schema, attributes: &["tenant"] },
    of_account("credit_request.pending", Request::json_schema),
    of_account("credit_request.accepted", Request::json_schema),
    of_account("credit_request.rejected", Request::json_schema),
    of_account("credit_request.cancelled", Request::json_schema),
    of_account("credit_request.expired", Request::json_schema),
    of_account("cycle.reset", CycleReset::json_schema),
    of_account("subscription.changed", SubscriptionState::json_schema),
    of_account("account.changed", AccountState::json_schema),
    of_account("invoicing.eligible", AccountState::json_schema),
    of_account("debt.incurred", DebtIncurred::json_schema),
    of_account("debt.repaid", DebtChange::json_schema),
    of_account("purchase.refunded", DebtChange::json_schema),
    of_account("dispute.opened", DebtChange::json_schema),
    of_account("dispute.closed", DebtChange::json_schema),
    of_account("refund.requested", RefundRequest::json_schema),
    of_account("refund.refused", RefundRefused::json_schema),
    Sent { word: "message.quarantined", schema: QuarantineNotice::json_schema, attributes: &[] },
];

/// The types that are announced, by name.
#[must_use]
pub fn announced_types() -> Vec<&'static str> {
    EVENTS.iter().map(|sent| sent.word).collect()
}

/// Reasons as words, in their order.
pub(super) fn words(reasons: &[Rejection]) -> Vec<&'static str> {
    reasons.iter().map(|reason| reason.word()).collect()
}

/// An instant in RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instant(pub(super) Timestamp);

impl JsonSchema for Instant {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The envelope.
#[derive(Serialize, JsonSchema)]
pub(super) struct CloudEvent<'a, D> {
    pub(super) specversion: &'static str,
    #[schemars(with = "Field<Printable>")]
    pub(super) id: &'a str,
    pub(super) source: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Field<Id>")]
    pub(super) subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Field<Id>")]
    pub(super) tenant: Option<&'a str>,
    pub(super) time: Instant,
    pub(super) datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub(super) sequence: Option<u64>,
    pub(super) data: &'a D,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct BalanceChanged<'a> {
    pub(super) balance: Shown,
    pub(super) held: Shown,
    pub(super) frozen: Shown,
    pub(super) available: Shown,
    pub(super) debt: Shown,
    pub(super) from_seq: u64,
    pub(super) to_seq: u64,
    #[schemars(extend("maxItems" = ENTRIES_MAX))]
    pub(super) entries: Vec<EntryLine<'a>>,
}

/// One entry, as every consumer sees it.
#[derive(Serialize, JsonSchema)]
pub(super) struct EntryLine<'a> {
    pub(super) seq: u64,
    #[schemars(schema_with = "kinds")]
    pub(super) kind: &'static str,
    #[schemars(with = "Field<Direction>")]
    pub(super) direction: &'static str,
    pub(super) amount: Shown,
    pub(super) balance_after: Shown,
    pub(super) held_change: Shown,
    pub(super) frozen_change: Shown,
    pub(super) debt_change: Shown,
    #[schemars(with = "Option<Field<Printable>>")]
    pub(super) reference: Option<&'a str>,
    pub(super) occurred_at: Instant,
    pub(super) recorded_at: Instant,
    pub(super) cause: Identity<'a>,
}

impl<'a> From<&'a Entry> for EntryLine<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            seq: entry.seq,
            kind: entry.kind.word(),
            direction: entry.kind.direction().word(),
            amount: Shown(entry.amount),
            balance_after: Shown(entry.balance_after),
            held_change: Shown(entry.held_change),
            frozen_change: Shown(entry.frozen_change),
            debt_change: Shown(entry.debt_change),
            reference: entry.reference.as_ref().map(Printable::as_str),
            occurred_at: Instant(entry.occurred_at),
            recorded_at: Instant(entry.recorded_at),
            cause: (&entry.cause).into(),
        }
    }
}

/// The words of entries; a correction has one for both directions.
fn kinds(_: &mut SchemaGenerator) -> Schema {
    one_of(EntryKind::ALL.iter().map(|kind| kind.word()).collect::<BTreeSet<_>>())
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Identity<'a> {
    #[schemars(with = "Field<Printable>")]
    pub(super) source: &'a str,
    #[schemars(with = "Field<Printable>")]
    pub(super) id: &'a str,
}

impl<'a> From<&'a MessageId> for Identity<'a> {
    fn from(id: &'a MessageId) -> Self {
        Self { source: id.source.as_str(), id: id.id.as_str() }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct What<'a> {
    #[serde(flatten)]
    pub(super) id: Identity<'a>,
    #[schemars(with = "Field<Printable>")]
    pub(super) reference: &'a str,
    pub(super) credits: Option<Shown>,
}

impl<'a> From<&'a Asked> for What<'a> {
    fn from(asked: &'a Asked) -> Self {
        Self { id: (&asked.id).into(), reference: asked.reference.as_str(), credits: asked.credits.map(Shown) }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Refused<'a> {
    #[serde(flatten)]
    pub(super) asked: What<'a>,
    pub(super) available: Shown,
    #[schemars(with = "Vec<Field<Rejection>>")]
    pub(super) reasons: Vec<&'static str>,
}

impl<'a> From<&'a Refusal> for Refused<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self { asked: (&refusal.asked).into(), available: Shown(refusal.available), reasons: words(&refusal.reasons) }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct SpendAccepted<'a> {
    #[serde(flatten)]
    pub(super) asked: What<'a>,
    pub(super) available: Shown,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct InvoicePaid<'a> {
    #[schemars(with = "Field<Printable>")]
    pub(super) reference: &'a str,
    pub(super) credits: Shown,
}

/// What something would do.
#[derive(Serialize, JsonSchema)]
pub(super) struct QuoteMade<'a> {
    #[schemars(with = "Field<Id>")]
    pub(super) quote: &'a str,
    pub(super) credits: Option<Shown>,
    /// Money in the catalog's currency.
    pub(super) charge_per_cycle: Option<Shown>,
    pub(super) burns: Vec<Burn<'a>>,
    pub(super) available_after: Shown,
    pub(super) expires_at: Instant,
    #[schemars(with = "Vec<Field<Rejection>>")]
    pub(super) reasons: Vec<&'static str>,
}

/// What would be burned of a grant.
#[derive(Serialize, JsonSchema)]
pub(super) struct Burn<'a> {
    #[schemars(with = "Field<Id>")]
    pub(super) grant: &'a str,
    pub(super) credits: Shown,
}

impl<'a> From<&'a Quoted> for QuoteMade<'a> {
    fn from(quoted: &'a Quoted) -> Self {
        let burns = quoted.burns.iter().map(|(grant, credits)| Burn { grant: grant.as_str(), credits: Shown(*credits) });
        Self {
            quote: quoted.quote.as_str(),
            credits: quoted.credits.map(Shown),
            charge_per_cycle: quoted.charge_per_cycle.map(Shown),
            burns: burns.collect(),
            available_after: Shown(quoted.available_after),
            expires_at: Instant(quoted.expires_at),
            reasons: words(&quoted.reasons),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct MessageRejected<'a> {
    #[serde(flatten)]
    pub(super) id: Identity<'a>,
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    #[schemars(with = "Vec<Field<Rejection>>")]
    pub(super) reasons: Vec<&'static str>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Request<'a> {
    #[schemars(with = "Field<Id>")]
    pub(super) request: &'a str,
    pub(super) credits: Shown,
    #[schemars(with = "Option<Field<Id>>")]
    pub(super) actor: Option<&'a str>,
    #[schemars(with = "Option<Field<Prose>>")]
    pub(super) reason: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct CycleReset<'a> {
    #[schemars(with = "Field<Id>")]
    pub(super) subscription: &'a str,
    pub(super) k: i32,
    pub(super) n: u32,
    pub(super) granted: Shown,
    pub(super) forfeited: Shown,
    pub(super) rolled_over: Shown,
    pub(super) next_boundary: Option<Instant>,
}

impl<'a> From<&'a Reset> for CycleReset<'a> {
    fn from(reset: &'a Reset) -> Self {
        Self {
            subscription: reset.subscription.as_str(),
            k: reset.k,
            n: reset.n,
            granted: Shown(reset.granted),
            forfeited: Shown(reset.forfeited),
            rolled_over: Shown(reset.rolled_over),
            next_boundary: reset.next_boundary.map(Instant),
        }
    }
}

/// The row of the contract that refunds, disputes and debts share; what does not apply is `null`.
#[derive(Serialize, JsonSchema)]
pub(super) struct DebtChange<'a> {
    #[schemars(with = "Option<Field<Printable>>")]
    pub(super) payment: Option<&'a str>,
    /// What a reversal aims at; debt that arises or is repaid aims at nothing.
    pub(super) target: Option<Shown>,
    pub(super) taken: Option<Shown>,
    pub(super) shortfall: Shown,
    pub(super) debt: Shown,
}

impl<'a> DebtChange<'a> {
    pub(super) fn reversed(payment: &'a Printable, clawed: Clawed, debt: Credits) -> Self {
        let Clawed { target, taken, shortfall } = clawed;
        let payment = Some(payment.as_str());
        Self { payment, target: Some(Shown(target)), taken: Some(Shown(taken)), shortfall: Shown(shortfall), debt: Shown(debt) }
    }

    pub(super) fn of(payment: Option<&'a Printable>, taken: Option<Credits>, change: Credits, debt: Credits) -> Self {
        Self { payment: payment.map(Printable::as_str), target: None, taken: taken.map(Shown), shortfall: Shown(change), debt: Shown(debt) }
    }
}

/// A refund that was asked for.
#[derive(Serialize, JsonSchema)]
pub(super) struct RefundRequest<'a> {
    #[serde(flatten)]
    pub(super) id: Identity<'a>,
    /// The payment, as it was named.
    #[schemars(with = "Field<Printable>")]
    pub(super) reference: &'a str,
    #[schemars(with = "Field<Id>")]
    pub(super) requested_by: &'a str,
    #[schemars(with = "Field<Prose>")]
    pub(super) reason: &'a str,
}

impl<'a> From<&'a RefundAsked> for RefundRequest<'a> {
    fn from(asked: &'a RefundAsked) -> Self {
        Self {
            id: (&asked.id).into(),
            reference: asked.payment.as_str(),
            requested_by: asked.requested_by.as_str(),
            reason: asked.reason.as_str(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct RefundRefused<'a> {
    #[serde(flatten)]
    pub(super) asked: RefundRequest<'a>,
    #[schemars(with = "Vec<Field<Rejection>>")]
    pub(super) reasons: Vec<&'static str>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct DebtIncurred<'a> {
    #[serde(flatten)]
    pub(super) debt: DebtChange<'a>,
    #[schemars(with = "Option<Field<Printable>>")]
    pub(super) reference: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct QuarantineNotice<'a> {
    #[schemars(with = "Field<QuarantineReason>")]
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Field<Printable>")]
    pub(super) source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Field<Printable>")]
    pub(super) id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Field<Printable>")]
    pub(super) kind: Option<&'a str>,
}
