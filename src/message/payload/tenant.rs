//! `tenant.settings_changed` and staff (`member.changed`, `.removed` without subject). Reads them.

use super::{Asked, read};
use crate::domain::burn_down::BurnKey;
use crate::domain::command::{SettingChange, SettingsChange, TenantCommand};
use crate::domain::ids::Id;
use crate::domain::settings::{Insufficient, OpenAccounts, PriceCheck, Priorities, Shortfall, StaffRole};
use crate::message::amount::NonNegative;
use crate::message::fault::Fault;
use crate::message::field::Field;
use crate::message::json::Object;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Priorities by source; one that is not named has its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByName {
    rollover: Option<u32>,
    plan: Option<u32>,
    addon: Option<u32>,
    promotional: Option<u32>,
    purchased: Option<u32>,
}

impl From<ByName> for Priorities {
    fn from(named: ByName) -> Self {
        let usual = Self::default();
        Self {
            rollover: named.rollover.unwrap_or(usual.rollover),
            plan: named.plan.unwrap_or(usual.plan),
            addon: named.addon.unwrap_or(usual.addon),
            promotional: named.promotional.unwrap_or(usual.promotional),
            purchased: named.purchased.unwrap_or(usual.purchased),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    credit_payments: Option<bool>,
    insufficient: Option<Field<Insufficient>>,
    four_eyes: Option<bool>,
    price_check: Option<Field<PriceCheck>>,
    shortfall: Option<Field<Shortfall>>,
    burn_order: Option<Vec<Field<BurnKey>>>,
    priorities: Option<Object<ByName>>,
    late_grace_hours: Option<u32>,
    debt_max: Option<NonNegative>,
    rollover_cap: Option<NonNegative>,
    open_accounts: Option<Field<OpenAccounts>>,
    invoicing_threshold: Option<NonNegative>,
    livemode: Option<bool>,
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
        data.rollover_cap.map(|cap| To::RolloverCap(cap.0)),
        data.livemode.map(To::Livemode),
        data.debt_max.map(|most| To::DebtMax(most.0)),
        data.invoicing_threshold.map(|amount| To::InvoicingThreshold(amount.0)),
        data.late_grace_hours.map(To::LateGraceHours),
    ];
    Ok(TenantCommand::ChangeSettings(Box::new(SettingsChange(changes.into_iter().flatten().collect()))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StaffChanged {
    member: Field<Id>,
    role: Field<StaffRole>,
    limit: Option<IgnoredAny>,
}

pub(super) fn staff_changed(data: &str) -> Result<TenantCommand, Fault> {
    let data: StaffChanged = read(data)?;
    if data.limit.is_some() {
        return Err(Fault::malformed("data: staff have no `limit`"));
    }
    Ok(TenantCommand::ChangeStaff { member: data.member.0, role: data.role.0 })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StaffRemoved {
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
