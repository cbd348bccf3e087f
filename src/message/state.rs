//! The JSON of whole states: what `account.changed` and `subscription.changed` announce.
//!
//! Owns keys and their order. Everything is borrowed; nothing is decided here.

use super::amount::Shown;
use super::announced::Instant;
use super::field::{Field, one_of};
use crate::domain::account::{AccountKind, AccountStatus, Profile};
use crate::domain::alert::{Alert, AlertLevel, AutoTopup};
use crate::domain::calendar::{CalendarSpan, Interval};
use crate::domain::ids::Id;
use crate::domain::subscription::{Subscription, Wanted};
use jiff::civil::DateTime;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize, JsonSchema)]
pub(super) struct AccountState<'a> {
    #[schemars(schema_with = "statuses")]
    status: &'a str,
    #[schemars(with = "Option<Field<AccountKind>>")]
    kind: Option<&'static str>,
    #[schemars(with = "Option<Field<Id>>")]
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

/// The states an account has, and the one that staff put it in.
fn statuses(_: &mut SchemaGenerator) -> Schema {
    one_of(AccountStatus::ALL.iter().map(|status| status.word()).chain(["frozen"]))
}

/// As it came in: what was left out stays out.
#[derive(Serialize, JsonSchema)]
struct AlertState {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Shown")]
    level: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Shown")]
    percent: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Shown")]
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
#[derive(Serialize, JsonSchema)]
struct TopupState<'a> {
    #[schemars(with = "Field<Id>")]
    package: &'a str,
    threshold: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Shown")]
    target: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Shown")]
    max: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Field<CalendarSpan>")]
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

#[derive(Serialize, JsonSchema)]
pub(super) struct SubscriptionState<'a> {
    #[schemars(with = "Field<Id>")]
    pub(super) subscription: &'a str,
    #[serde(flatten)]
    pub(super) current: WantedState<'a>,
    #[schemars(with = "Field<Interval>")]
    pub(super) interval: &'static str,
    #[schemars(with = "Field<Interval>")]
    pub(super) allowance_every: &'static str,
    #[schemars(with = "Field<DateTime>")]
    pub(super) anchor: String,
    pub(super) time_zone: &'a str,
    pub(super) next: Option<WantedState<'a>>,
    pub(super) cancelled: bool,
    pub(super) ended: bool,
    pub(super) cycle: CycleState,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct WantedState<'a> {
    #[schemars(with = "Field<Id>")]
    pub(super) plan: &'a str,
    pub(super) addons: Vec<AddonState<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct AddonState<'a> {
    #[schemars(with = "Field<Id>")]
    pub(super) addon: &'a str,
    pub(super) units: u32,
}

#[derive(Serialize, JsonSchema)]
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
