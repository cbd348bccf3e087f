//! The `[policies]` of a catalog file: the keys of `tenant.settings_changed`.
//!
//! Owns their words and bounds in a file. Never knows a default: absent keys stay as they are.

use super::fields::{Fields, Least, choice};
use crate::domain::burn_down::BurnKey;
use crate::domain::settings::{PrioritiesChange, PriorityChange, SettingChange, SettingsChange};

const KEYS: [&str; 13] = [
    "credit_payments",
    "insufficient",
    "four_eyes",
    "price_check",
    "shortfall",
    "burn_order",
    "priorities",
    "late_grace_hours",
    "debt_max",
    "rollover_cap",
    "open_accounts",
    "invoicing_threshold",
    "livemode",
];

/// The highest priority number: what a database integer holds.
const PRIORITY_MAX: u32 = 2_147_483_647;

/// The longest grace for late usage: ten years.
const LATE_GRACE_HOURS_MAX: u32 = 87_600;

/// The settings the file names, in the contract's order.
pub(super) fn read(file: &Fields<'_>) -> SettingsChange {
    let Some(fields) = file.table("policies", &KEYS) else { return SettingsChange::default() };
    let changes = [
        fields.boolean("credit_payments").map(SettingChange::CreditPayments),
        fields.word("insufficient").map(SettingChange::Insufficient),
        fields.boolean("four_eyes").map(SettingChange::FourEyes),
        fields.word("price_check").map(SettingChange::PriceCheck),
        fields.word("shortfall").map(SettingChange::Shortfall),
        burn_order(&fields).map(SettingChange::BurnOrder),
        priorities(&fields).map(SettingChange::Priorities),
        fields.integer("late_grace_hours", 0, LATE_GRACE_HOURS_MAX).map(SettingChange::LateGraceHours),
        fields.amount("debt_max", Least::Zero).map(Some).map(SettingChange::DebtMax),
        fields.amount("rollover_cap", Least::Zero).map(Some).map(SettingChange::RolloverCap),
        fields.word("open_accounts").map(SettingChange::OpenAccounts),
        fields.amount("invoicing_threshold", Least::Zero).map(SettingChange::InvoicingThreshold),
        fields.boolean("livemode").map(Some).map(SettingChange::Livemode),
    ];
    SettingsChange(changes.into_iter().flatten().collect())
}

/// A list of criteria, none of them twice; the grant number always decides last.
fn burn_order(fields: &Fields<'_>) -> Option<Vec<BurnKey>> {
    fields.get("burn_order")?;
    let mut order = Vec::new();
    for (text, line) in fields.texts("burn_order") {
        match BurnKey::from_word(text) {
            Some(key) if order.contains(&key) => {
                fields.note(line, "burn_order", &format!("holds {text:?} twice; take one out"));
            }
            Some(key) => order.push(key),
            None => fields.note(line, "burn_order", &format!("holds {text:?}; it may hold {}", choice::<BurnKey>())),
        }
    }
    Some(order)
}

/// Priorities by source; those left out stay as they are.
fn priorities(policies: &Fields<'_>) -> Option<PrioritiesChange> {
    let fields = policies.table("priorities", &["rollover", "plan", "addon", "promotional", "purchased"])?;
    let number = |key: &str| fields.integer(key, 0, PRIORITY_MAX).map_or(PriorityChange::Stays, PriorityChange::Number);
    Some(PrioritiesChange {
        rollover: number("rollover"),
        plan: number("plan"),
        addon: number("addon"),
        promotional: number("promotional"),
        purchased: number("purchased"),
    })
}
