//! `usage.recorded`: metered usage. Reads it; never prices it.

use super::{Asked, read};
use crate::domain::command::{Command, Usage};
use crate::domain::ids::Id;
use crate::message::amount::Amount;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::Unique;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    meter: Field<Id>,
    quantity: Amount,
    dimensions: Option<Unique<String, String>>,
    member: Option<Field<Id>>,
    /// Not built yet.
    #[schemars(skip)]
    hold: Option<Field<Id>>,
}

pub(super) fn recorded(data: &str) -> Result<Asked, Fault> {
    command(read(data)?).map(Asked::from)
}

pub(super) fn command(data: Recorded) -> Result<Command, Fault> {
    if data.hold.is_some() {
        return Err(Fault::unknown("data: holds are not built yet"));
    }
    Ok(Command::RecordUsage(Usage {
        meter: data.meter.0,
        quantity: data.quantity.0,
        dimensions: data.dimensions.unwrap_or_default().0,
        member: data.member.map(|member| member.0),
    }))
}
