//! `cycle.reset`, of one account or of everything of a tenant that is due. Reads it; whether the
//! instant is possible is the core's.

use super::{Asked, read};
use crate::domain::command::{Command, ResetCycle};
use crate::domain::ids::Id;
use crate::domain::tenant_command::TenantCommand;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::schema::only;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reset {
    as_of: Field<Timestamp>,
    manual: Option<bool>,
    subscription: Option<Field<Id>>,
}

pub(super) fn of_account(data: &str) -> Result<Asked, Fault> {
    let data: Reset = read(data)?;
    Ok(Command::ResetCycle(ResetCycle {
        as_of: data.as_of.0,
        manual: data.manual.unwrap_or(false),
        subscription: data.subscription.map(|subscription| subscription.0),
    })
    .into())
}

/// A reset of everything that is due.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("allOf" = [only(&[], &["subscription"]), {"properties": {"manual": {"enum": [false, null]}}}]))]
#[serde(transparent)]
pub(super) struct ResetAll(Reset);

pub(super) fn of_tenant(data: &str) -> Result<TenantCommand, Fault> {
    let ResetAll(data) = read(data)?;
    if data.manual == Some(true) || data.subscription.is_some() {
        return Err(Fault::malformed("data: a `manual` reset needs an account as `subject`"));
    }
    Ok(TenantCommand::ResetCycles { as_of: data.as_of.0 })
}
