//! `subscription.started`, `.changed`, `.cancelled`, `.resumed`. Reads them; plans and cycles are
//! the core's.

use super::{Asked, read};
use crate::domain::calendar::Interval;
use crate::domain::command::{ChangeSubscription, Command, StartSubscription};
use crate::domain::ids::Id;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::Object;
use jiff::civil::DateTime;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Addon {
    addon: Field<Id>,
    units: u32,
}

/// Units by add-on. No units is the same as not being listed; an add-on listed twice is a slip.
pub(super) fn units(addons: Vec<Object<Addon>>) -> Result<BTreeMap<Id, u32>, Fault> {
    let mut units = BTreeMap::new();
    for Object(addon) in addons {
        if units.insert(addon.addon.0, addon.units).is_some() {
            return Err(Fault::malformed("data: an add-on is listed twice"));
        }
    }
    units.retain(|_, count| *count > 0);
    Ok(units)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Started {
    subscription: Field<Id>,
    plan: Field<Id>,
    interval: Field<Interval>,
    anchor: Field<DateTime>,
    addons: Option<Vec<Object<Addon>>>,
}

pub(super) fn started(data: &str) -> Result<Asked, Fault> {
    let data: Started = read(data)?;
    Ok(Command::StartSubscription(StartSubscription {
        subscription: data.subscription.0,
        plan: data.plan.0,
        interval: data.interval.0,
        anchor: data.anchor.0,
        addons: units(data.addons.unwrap_or_default())?,
    })
    .into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Changed {
    subscription: Field<Id>,
    plan: Option<Field<Id>>,
    addons: Option<Vec<Object<Addon>>>,
}

pub(super) fn changed(data: &str) -> Result<Asked, Fault> {
    let data: Changed = read(data)?;
    Ok(Command::ChangeSubscription(ChangeSubscription {
        subscription: data.subscription.0,
        plan: data.plan.map(|plan| plan.0),
        addons: data.addons.map(units).transpose()?,
    })
    .into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancelled {
    subscription: Field<Id>,
    at_cycle_end: Option<bool>,
}

pub(super) fn cancelled(data: &str) -> Result<Asked, Fault> {
    let data: Cancelled = read(data)?;
    let at_cycle_end = data.at_cycle_end.unwrap_or(true);
    Ok(Command::CancelSubscription { subscription: data.subscription.0, at_cycle_end }.into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resumed {
    subscription: Field<Id>,
}

pub(super) fn resumed(data: &str) -> Result<Asked, Fault> {
    let data: Resumed = read(data)?;
    Ok(Command::ResumeSubscription { subscription: data.subscription.0 }.into())
}
