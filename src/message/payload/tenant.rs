//! `tenant.settings_changed` and staff (`member.changed`, `.removed` without subject). Reads them.

use super::{Asked, read};
use crate::domain::burn_down::BurnKey;
use crate::domain::ids::Id;
use crate::domain::settings::{
    Insufficient, OpenAccounts, PriceCheck, PrioritiesChange, PriorityChange, SettingChange, SettingsChange, Shortfall, StaffRole,
};
use crate::domain::tenant_command::TenantCommand;
use crate::message::amount::NonNegative;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::{Nullable, Object};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Priorities by source; absent ones stay, null returns to the default.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ByName {
    rollover: Nullable<u32>,
    plan: Nullable<u32>,
    addon: Nullable<u32>,
    promotional: Nullable<u32>,
    purchased: Nullable<u32>,
}

impl From<ByName> for PrioritiesChange {
    fn from(named: ByName) -> Self {
        let change = |to: Nullable<u32>| match to {
            Nullable::Absent => PriorityChange::Stays,
            Nullable::Null => PriorityChange::Usual,
            Nullable::Given(number) => PriorityChange::Number(number),
        };
        Self {
            rollover: change(named.rollover),
            plan: change(named.plan),
            addon: change(named.addon),
            promotional: change(named.promotional),
            purchased: change(named.purchased),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Changed {
    credit_payments: Option<bool>,
    insufficient: Option<Field<Insufficient>>,
    four_eyes: Option<bool>,
    price_check: Option<Field<PriceCheck>>,
    shortfall: Option<Field<Shortfall>>,
    #[schemars(extend("uniqueItems" = true))]
    burn_order: Option<Vec<Field<BurnKey>>>,
    priorities: Option<Object<ByName>>,
    late_grace_hours: Option<u32>,
    #[serde(default)]
    debt_max: Nullable<NonNegative>,
    #[serde(default)]
    rollover_cap: Nullable<NonNegative>,
    open_accounts: Option<Field<OpenAccounts>>,
    invoicing_threshold: Option<NonNegative>,
    #[serde(default)]
    livemode: Nullable<bool>,
}

fn burn_order(keys: Vec<Field<BurnKey>>) -> Result<Vec<BurnKey>, Fault> {
    let mut order = Vec::with_capacity(keys.len());
    for Field(key) in keys {
        if order.contains(&key) {
            return Err(Fault::malformed("data: `burn_order` names a criterion twice"));
        }
        order.push(key);
    }
    Ok(order)
}

pub(super) fn settings_changed(data: &str) -> Result<TenantCommand, Fault> {
    use SettingChange as To;
    let data: Changed = read(data)?;
    let order = data.burn_order.map(burn_order).transpose()?;
    let changes = [
        data.credit_payments.map(To::CreditPayments),
        data.insufficient.map(|policy| To::Insufficient(policy.0)),
        data.four_eyes.map(To::FourEyes),
        data.price_check.map(|check| To::PriceCheck(check.0)),
        data.shortfall.map(|policy| To::Shortfall(policy.0)),
        order.map(To::BurnOrder),
        data.priorities.map(|named| To::Priorities(named.0.into())),
        data.open_accounts.map(|how| To::OpenAccounts(how.0)),
        data.rollover_cap.change(|cap| To::RolloverCap(cap.map(|cap| cap.0))),
        data.livemode.change(To::Livemode),
        data.debt_max.change(|most| To::DebtMax(most.map(|most| most.0))),
        data.invoicing_threshold.map(|amount| To::InvoicingThreshold(amount.0)),
        data.late_grace_hours.map(To::LateGraceHours),
    ];
    Ok(TenantCommand::ChangeSettings(Box::new(SettingsChange(changes.into_iter().flatten().collect()))))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StaffChanged {
    member: Field<Id>,
    role: Field<StaffRole>,
    #[schemars(skip)]
    limit: Option<IgnoredAny>,
}

pub(super) fn staff_changed(data: &str) -> Result<TenantCommand, Fault> {
    let data: StaffChanged = read(data)?;
    if data.limit.is_some() {
        return Err(Fault::malformed("data: staff have no `limit`"));
    }
    Ok(TenantCommand::ChangeStaff { member: data.member.0, role: data.role.0 })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StaffRemoved {
    member: Field<Id>,
}

pub(super) fn staff_removed(data: &str) -> Result<TenantCommand, Fault> {
    let data: StaffRemoved = read(data)?;
    Ok(TenantCommand::RemoveStaff { member: data.member.0 })
}

/// Members of an account are not built yet; only staff are.
pub(super) fn member_of_account(_data: &str) -> Result<Asked, Fault> {
    Err(Fault::unknown("members of an account are not built yet; without `subject` the member is staff of the tenant"))
}
