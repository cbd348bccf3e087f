//! `credits.grant`: credits given or handed over. Reads it; fills in the contract's defaults.

use super::{Asked, act, read};
use crate::domain::calendar::CalendarSpan;
use crate::domain::command::{Command, GrantCredits};
use crate::domain::credits::Credits;
use crate::domain::grant::{GrantSource, Recurrence, RolloverRule};
use crate::domain::ids::{Id, Printable, Prose};
use crate::message::amount::{Amount, NonNegative};
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::Object;
use jiff::{Timestamp, civil::DateTime};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Granting {
    grant: Option<Field<Id>>,
    credits: Amount,
    source: Option<Field<GrantSource>>,
    effective_at: Option<Field<Timestamp>>,
    expires_at: Option<Field<Timestamp>>,
    priority: Option<u32>,
    scope: Option<Vec<Field<Id>>>,
    cost_basis: Option<NonNegative>,
    rollover: Option<Object<Rollover>>,
    recurs: Option<Object<Recurs>>,
    reason: Field<Prose>,
    actor: Field<Printable>,
}

/// Bounds are not below zero.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rollover {
    min: Option<NonNegative>,
    max: Option<NonNegative>,
    max_percent: Option<NonNegative>,
    count: Option<u32>,
    cycles: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Recurs {
    interval: Field<CalendarSpan>,
    anchor: Field<DateTime>,
}

pub(super) fn grant(data: &str) -> Result<Asked, Fault> {
    let data: Granting = read(data)?;
    Ok(Command::Grant(GrantCredits {
        grant: data.grant.map(|grant| grant.0),
        credits: data.credits.0,
        source: data.source.map_or(GrantSource::Promotional, |source| source.0),
        effective_at: data.effective_at.map(|at| at.0),
        expires_at: data.expires_at.map(|at| at.0),
        priority: data.priority,
        scope: data.scope.unwrap_or_default().into_iter().map(|item| item.0).collect(),
        cost_basis: data.cost_basis.map_or(Credits::ZERO, |money| money.0),
        rollover: data.rollover.map(|Object(rule)| RolloverRule {
            min: rule.min.map_or(Credits::ZERO, |least| least.0),
            max: rule.max.map(|most| most.0),
            max_percent: rule.max_percent.map(|percent| percent.0),
            count: rule.count,
            cycles: rule.cycles,
        }),
        recurs: data.recurs.map(|Object(recurs)| Recurrence { interval: recurs.interval.0, anchor: recurs.anchor.0 }),
        act: act(data.reason.0, data.actor.0),
    })
    .into())
}
