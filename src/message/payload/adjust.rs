//! `credits.adjust` and `credits.void`: corrections by staff. Reads them; whether the actor may is the core's.

use super::{Asked, act, read};
use crate::domain::command::{Adjust, Command, VoidGrant};
use crate::domain::ids::{Id, Printable, Prose};
use crate::message::amount::Amount;
use crate::message::fault::Fault;
use crate::message::field::Field;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Adjusting {
    credits: Amount,
    allow_debt: Option<bool>,
    reason: Field<Prose>,
    actor: Field<Printable>,
}

pub(super) fn adjust(data: &str) -> Result<Asked, Fault> {
    let data: Adjusting = read(data)?;
    Ok(Command::Adjust(Adjust {
        credits: data.credits.0,
        allow_debt: data.allow_debt.unwrap_or(false),
        act: act(data.reason.0, data.actor.0),
    })
    .into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Voiding {
    grant: Field<Id>,
    credits: Option<Amount>,
    reason: Field<Prose>,
    actor: Field<Printable>,
}

pub(super) fn void(data: &str) -> Result<Asked, Fault> {
    let data: Voiding = read(data)?;
    let credits = data.credits.map(|credits| credits.0);
    Ok(Command::VoidGrant(VoidGrant { grant: data.grant.0, credits, act: act(data.reason.0, data.actor.0) }).into())
}
