//! `credits.quote`: what something would do. Reads it; what it would do is the core's.

use super::spend::Spending;
use super::subscription::{Addon, units};
use super::usage::Recorded;
use super::{Asked, read, spend, usage};
use crate::domain::command::{ChangeSubscription, Command, Quote};
use crate::domain::ids::Id;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::Object;
use crate::message::schema::only;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    only(&["usage"], &["spend", "units", "plan"]),
    only(&["spend"], &["usage", "units", "plan"]),
    only(&["units"], &["usage", "spend", "plan"]),
    only(&["plan"], &["usage", "spend", "units"]),
]))]
pub(super) struct Quoting {
    quote: Field<Id>,
    usage: Option<Object<Recorded>>,
    spend: Option<Object<Spending>>,
    units: Option<Object<OtherUnits>>,
    plan: Option<Object<OtherPlan>>,
}

/// Other units: all add-ons that are wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OtherUnits {
    subscription: Field<Id>,
    addons: Vec<Object<Addon>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OtherPlan {
    subscription: Field<Id>,
    plan: Field<Id>,
}

pub(super) fn quote(data: &str) -> Result<Asked, Fault> {
    let data: Quoting = read(data)?;
    let asked = match (data.usage, data.spend, data.units, data.plan) {
        (Some(asked), None, None, None) => usage::command(asked.0)?,
        (None, Some(asked), None, None) => spend::command(asked.0)?,
        (None, None, Some(Object(asked)), None) => {
            let addons = Some(units(asked.addons)?);
            Command::ChangeSubscription(ChangeSubscription { subscription: asked.subscription.0, plan: None, addons })
        }
        (None, None, None, Some(Object(asked))) => {
            let plan = Some(asked.plan.0);
            Command::ChangeSubscription(ChangeSubscription { subscription: asked.subscription.0, plan, addons: None })
        }
        _ => return Err(Fault::malformed("data: exactly one of `usage`, `spend`, `units` and `plan` says what is quoted")),
    };
    Ok(Command::Quote(Quote { quote: data.quote.0, asked: Box::new(asked) }).into())
}
