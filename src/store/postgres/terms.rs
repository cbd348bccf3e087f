//! A tenant's terms: settings, staff and catalog versions, as they are stored and read.
//!
//! Owns their stored form. Never changes them: `tenant`, `policies` and `catalogs` do, and bump the revision
//! that every batch compares; nothing else invalidates a worker's copy.

use super::policies;
use super::rows::{id, unreadable, word};
use crate::catalog;
use crate::domain::credits::Credits;
use crate::domain::ids::Id;
use crate::domain::settings::{Priorities, Settings, Terms};
use crate::failure::Failure;
use jiff_sqlx::Timestamp as SqlTimestamp;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings as they are stored; a key that is absent has its default.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsRow {
    credit_payments: bool,
    insufficient: String,
    four_eyes: bool,
    price_check: String,
    shortfall: String,
    burn_order: Vec<String>,
    priorities: BTreeMap<String, u32>,
    open_accounts: String,
    rollover_cap: Option<String>,
    livemode: Option<bool>,
    debt_max: Option<String>,
    invoicing_threshold: String,
    late_grace_hours: u32,
}

impl Default for SettingsRow {
    fn default() -> Self {
        Self::of(&Settings::default())
    }
}

impl SettingsRow {
    /// The stored form.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let priorities = &settings.priorities;
        Self {
            credit_payments: settings.credit_payments,
            insufficient: settings.insufficient.word().into(),
            four_eyes: settings.four_eyes,
            price_check: settings.price_check.word().into(),
            shortfall: settings.shortfall.word().into(),
            burn_order: settings.burn_order.iter().map(ToString::to_string).collect(),
            priorities: [
                ("rollover", priorities.rollover),
                ("plan", priorities.plan),
                ("addon", priorities.addon),
                ("promotional", priorities.promotional),
                ("purchased", priorities.purchased),
            ]
            .into_iter()
            .map(|(word, number)| (word.to_owned(), number))
            .collect(),
            open_accounts: settings.open_accounts.word().into(),
            rollover_cap: settings.rollover_cap.map(|amount| amount.to_string()),
            livemode: settings.livemode,
            debt_max: settings.debt_max.map(|amount| amount.to_string()),
            invoicing_threshold: settings.invoicing_threshold.to_string(),
            late_grace_hours: settings.late_grace_hours,
        }
    }

    /// What it means.
    ///
    /// # Errors
    /// [`Failure::Misfit`] for a word this worker does not know.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let amount = |text: &String| Credits::parse(text).map_err(|_| unreadable("amount", text));
        let defaults = Priorities::default();
        let priority = |name: &str, default: u32| self.priorities.get(name).copied().unwrap_or(default);
        Ok(Settings {
            credit_payments: self.credit_payments,
            insufficient: word("policy", &self.insufficient)?,
            four_eyes: self.four_eyes,
            price_check: word("price check", &self.price_check)?,
            shortfall: word("shortfall", &self.shortfall)?,
            burn_order: self.burn_order.iter().map(|key| word("burn order", key)).collect::<Result<_, _>>()?,
            priorities: Priorities {
                rollover: priority("rollover", defaults.rollover),
                plan: priority("plan", defaults.plan),
                addon: priority("addon", defaults.addon),
                promotional: priority("promotional", defaults.promotional),
                purchased: priority("purchased", defaults.purchased),
            },
            open_accounts: word("open_accounts", &self.open_accounts)?,
            rollover_cap: self.rollover_cap.as_ref().map(amount).transpose()?,
            livemode: self.livemode,
            debt_max: self.debt_max.as_ref().map(amount).transpose()?,
            invoicing_threshold: amount(&self.invoicing_threshold)?,
            late_grace_hours: self.late_grace_hours,
        })
    }
}

/// Reads a tenant's terms.
///
/// # Errors
/// [`Failure`] when they cannot be read or a stored catalog is not one for this worker.
pub async fn load(connection: &mut PgConnection, tenant: &Id) -> Result<Terms, Failure> {
    let (revision, test_clock): (i64, bool) = sqlx::query_as("select revision, test_clock from tenants where tenant = $1")
        .bind(tenant.as_str())
        .fetch_one(&mut *connection)
        .await?;
    let settings = policies::in_force(connection, tenant, None).await?;
    let staff: Vec<(String, String)> =
        sqlx::query_as("select member, role from staff where tenant = $1").bind(tenant.as_str()).fetch_all(&mut *connection).await?;
    let versions: Vec<(i32, String, Option<SqlTimestamp>)> =
        sqlx::query_as("select version, document, effective_at from catalogs where tenant = $1")
            .bind(tenant.as_str())
            .fetch_all(&mut *connection)
            .await?;
    let mut catalogs = BTreeMap::new();
    for (version, document, effective_at) in versions {
        let name = format!("catalog version {version} of {tenant}");
        let file = catalog::parse(&name, &document).map_err(|errors| unreadable("catalog", &errors.to_string()))?;
        let mut catalog = file.catalog;
        catalog.version = u32::try_from(version).unwrap_or(u32::MAX);
        catalog.effective_at = effective_at.map(SqlTimestamp::to_jiff);
        catalogs.insert(catalog.version, Arc::new(catalog));
    }
    let staff = staff.iter().map(|(member, role)| Ok((id(member)?, word("staff role", role)?))).collect::<Result<_, Failure>>()?;
    Ok(Terms { tenant: tenant.clone(), revision, settings, staff, catalogs, test_clock })
}

/// Tells every worker that its copy of a tenant's terms is old.
pub(super) async fn bump(connection: &mut PgConnection, tenant: &Id) -> Result<(), Failure> {
    sqlx::query("update tenants set revision = default where tenant = $1").bind(tenant.as_str()).execute(connection).await?;
    Ok(())
}
