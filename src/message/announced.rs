//! The JSON of announcements: one struct per row of the table "CloudEvents out".
//!
//! Owns keys and their order. Everything is borrowed; nothing is decided here.

use super::amount::Shown;
use crate::domain::account::{AccountKind, Profile};
use crate::domain::alert::{Alert, AlertLevel, AutoTopup};
use crate::domain::credits::Credits;
use crate::domain::entry::Entry;
use crate::domain::event::{Asked, Refusal};
use crate::domain::ids::{Id, MessageId, Printable};
use crate::domain::rejection::Rejection;
use crate::domain::subscription::{Reset, Subscription, Wanted};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Reasons as words, in their order.
pub(super) fn words(reasons: &[Rejection]) -> Vec<&'static str> {
    reasons.iter().map(|reason| reason.word()).collect()
}

/// An instant in RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instant(pub(super) Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The envelope.
#[derive(Serialize)]
pub(super) struct CloudEvent<'a, D> {
    pub(super) specversion: &'static str,
    pub(super) id: &'a str,
    pub(super) source: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<&'a str>,
    pub(super) time: Instant,
    pub(super) datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<u64>,
    pub(super) data: &'a D,
}

#[derive(Serialize)]
pub(super) struct BalanceChanged<'a> {
    pub(super) balance: Shown,
    pub(super) held: Shown,
    pub(super) frozen: Shown,
    pub(super) available: Shown,
    pub(super) debt: Shown,
    pub(super) from_seq: u64,
    pub(super) to_seq: u64,
    pub(super) entries: Vec<EntryLine<'a>>,
}

/// One entry, as every consumer sees it.
#[derive(Serialize)]
pub(super) struct EntryLine<'a> {
    pub(super) seq: u64,
    pub(super) kind: &'static str,
    pub(super) direction: &'static str,
    pub(super) amount: Shown,
    pub(super) balance_after: Shown,
    pub(super) held_change: Shown,
    pub(super) frozen_change: Shown,
    pub(super) debt_change: Shown,
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

#[derive(Serialize)]
pub(super) struct Identity<'a> {
    pub(super) source: &'a str,
    pub(super) id: &'a str,
}

impl<'a> From<&'a MessageId> for Identity<'a> {
    fn from(id: &'a MessageId) -> Self {
        Self { source: id.source.as_str(), id: id.id.as_str() }
    }
}

#[derive(Serialize)]
pub(super) struct What<'a> {
    #[serde(flatten)]
    pub(super) id: Identity<'a>,
    pub(super) reference: &'a str,
    pub(super) credits: Option<Shown>,
}

impl<'a> From<&'a Asked> for What<'a> {
    fn from(asked: &'a Asked) -> Self {
        Self { id: (&asked.id).into(), reference: asked.reference.as_str(), credits: asked.credits.map(Shown) }
    }
}

#[derive(Serialize)]
pub(super) struct Refused<'a> {
    #[serde(flatten)]
    pub(super) asked: What<'a>,
    pub(super) available: Shown,
    pub(super) reasons: Vec<&'static str>,
}

impl<'a> From<&'a Refusal> for Refused<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self { asked: (&refusal.asked).into(), available: Shown(refusal.available), reasons: words(&refusal.reasons) }
    }
}

#[derive(Serialize)]
pub(super) struct SpendAccepted<'a> {
    #[serde(flatten)]
    pub(super) asked: What<'a>,
    pub(super) available: Shown,
}

#[derive(Serialize)]
pub(super) struct InvoicePaid<'a> {
    pub(super) reference: &'a str,
    pub(super) credits: Shown,
}

#[derive(Serialize)]
pub(super) struct MessageRejected<'a> {
    #[serde(flatten)]
    pub(super) id: Identity<'a>,
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) reasons: Vec<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub(super) request: &'a str,
    pub(super) credits: Shown,
    pub(super) actor: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct CycleReset<'a> {
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
#[derive(Serialize)]
pub(super) struct DebtChange<'a> {
    pub(super) payment: Option<&'a str>,
    /// What a reversal aims at; debt that arises or is repaid aims at nothing.
    pub(super) target: Option<Shown>,
    pub(super) taken: Option<Shown>,
    pub(super) shortfall: Shown,
    pub(super) debt: Shown,
}

impl<'a> DebtChange<'a> {
    pub(super) fn of(payment: Option<&'a Printable>, taken: Option<Credits>, change: Credits, debt: Credits) -> Self {
        Self { payment: payment.map(Printable::as_str), target: None, taken: taken.map(Shown), shortfall: Shown(change), debt: Shown(debt) }
    }
}

#[derive(Serialize)]
pub(super) struct DebtIncurred<'a> {
    #[serde(flatten)]
    pub(super) debt: DebtChange<'a>,
    pub(super) reference: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct AccountState<'a> {
    status: &'a str,
    kind: Option<&'static str>,
    owner: Option<&'a str>,
    time_zone: &'a str,
    metadata: &'a BTreeMap<String, String>,
    alerts: Vec<AlertState>,
    auto_topup: Option<TopupState<'a>>,
    invoicing: bool,
}

impl<'a> AccountState<'a> {
    pub(super) fn of(status: &'a str, profile: &'a Profile) -> Self {
        Self {
            status,
            kind: profile.kind.map(AccountKind::word),
            owner: profile.owner.as_ref().map(Id::as_str),
            time_zone: profile.zone.name(),
            metadata: &profile.metadata,
            alerts: profile.alerts.iter().map(AlertState::from).collect(),
            auto_topup: profile.auto_topup.as_ref().map(TopupState::from),
            invoicing: profile.invoicing,
        }
    }
}

/// As it came in: what was left out stays out.
#[derive(Serialize)]
struct AlertState {
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<Shown>,
}

impl From<&Alert> for AlertState {
    fn from(alert: &Alert) -> Self {
        let (level, percent) = match alert.level {
            AlertLevel::Credits(level) => (Some(Shown(level)), None),
            AlertLevel::Percent(percent) => (None, Some(Shown(percent))),
        };
        Self { level, percent, margin: alert.margin.map(Shown) }
    }
}

/// As it came in: what was left out stays out.
#[derive(Serialize)]
struct TopupState<'a> {
    package: &'a str,
    threshold: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<String>,
}

impl<'a> From<&'a AutoTopup> for TopupState<'a> {
    fn from(topup: &'a AutoTopup) -> Self {
        Self {
            package: topup.package.as_str(),
            threshold: Shown(topup.threshold),
            target: topup.target.map(Shown),
            max: topup.max.map(Shown),
            window: topup.window.map(|window| window.to_string()),
        }
    }
}

#[derive(Serialize)]
pub(super) struct SubscriptionState<'a> {
    pub(super) subscription: &'a str,
    #[serde(flatten)]
    pub(super) current: WantedState<'a>,
    pub(super) interval: &'static str,
    pub(super) allowance_every: &'static str,
    pub(super) anchor: String,
    pub(super) time_zone: &'a str,
    pub(super) next: Option<WantedState<'a>>,
    pub(super) cancelled: bool,
    pub(super) ended: bool,
    pub(super) cycle: CycleState,
}

#[derive(Serialize)]
pub(super) struct WantedState<'a> {
    pub(super) plan: &'a str,
    pub(super) addons: Vec<AddonState<'a>>,
}

#[derive(Serialize)]
pub(super) struct AddonState<'a> {
    pub(super) addon: &'a str,
    pub(super) units: u32,
}

#[derive(Serialize)]
pub(super) struct CycleState {
    pub(super) k: i32,
    pub(super) n: u32,
    pub(super) start: Instant,
    pub(super) end: Instant,
}

impl<'a> From<&'a Wanted> for WantedState<'a> {
    fn from(wanted: &'a Wanted) -> Self {
        let addons = wanted.addons.iter().map(|(addon, units)| AddonState { addon: addon.as_str(), units: *units }).collect();
        Self { plan: wanted.plan.as_str(), addons }
    }
}

impl<'a> From<&'a Subscription> for SubscriptionState<'a> {
    fn from(state: &'a Subscription) -> Self {
        let cycle = &state.cycle;
        Self {
            subscription: state.id.as_str(),
            current: (&state.current).into(),
            interval: state.interval.word(),
            allowance_every: state.allowance_every.word(),
            anchor: state.anchor.to_string(),
            time_zone: state.zone.name(),
            next: state.next.as_ref().map(WantedState::from),
            cancelled: state.cancelled,
            ended: state.ended,
            cycle: CycleState { k: cycle.k, n: cycle.n, start: Instant(cycle.start), end: Instant(cycle.end) },
        }
    }
}

#[derive(Serialize)]
pub(super) struct QuarantineNotice<'a> {
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'a str>,
}
