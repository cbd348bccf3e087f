//! `credits.spend`: a service or an invoice paid with credits. Reads it; never judges the price.

use super::{Asked, read};
use crate::domain::charge::Purpose;
use crate::domain::command::{Command, Spend};
use crate::domain::ids::{Id, Printable};
use crate::message::amount::Amount;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::schema::given;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("if" = {"properties": {"purpose": {"const": "service"}}}, "then" = given(&["service"])))]
pub(super) struct Spending {
    purpose: Field<Purpose>,
    reference: Field<Printable>,
    service: Option<Field<Id>>,
    credits: Amount,
    member: Option<Field<Id>>,
}

pub(super) fn spend(data: &str) -> Result<Asked, Fault> {
    command(read(data)?).map(Asked::from)
}

pub(super) fn command(data: Spending) -> Result<Command, Fault> {
    if data.purpose.0 == Purpose::Service && data.service.is_none() {
        return Err(Fault::malformed("data: a service is spent on, so `service` must name it"));
    }
    Ok(Command::Spend(Spend {
        purpose: data.purpose.0,
        reference: data.reference.0,
        service: data.service.map(|service| service.0),
        credits: data.credits.0,
        member: data.member.map(|member| member.0),
    }))
}
