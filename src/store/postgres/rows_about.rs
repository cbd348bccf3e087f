//! What an account says about itself beyond kind, owner and zone, as Postgres holds it.
//!
//! Owns the mapping in both directions; a value that means nothing is a failure, never a default.
//! Absent for an account that says nothing, which are most.

use super::rows::{amount, id, unreadable};
use crate::domain::account::Profile;
use crate::domain::alert::{Alert, AlertLevel, AutoTopup};
use crate::domain::calendar::CalendarSpan;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct AboutRow {
    metadata: BTreeMap<String, String>,
    alerts: Vec<AlertRow>,
    auto_topup: Option<TopupRow>,
    invoicing: bool,
}

#[derive(Serialize, Deserialize)]
struct AlertRow {
    level: Option<String>,
    percent: Option<String>,
    margin: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct TopupRow {
    package: String,
    threshold: String,
    target: Option<String>,
    max: Option<String>,
    window: Option<String>,
}

impl AboutRow {
    pub fn of(profile: &Profile) -> Option<Json<Self>> {
        let says_nothing = profile.metadata.is_empty() && profile.alerts.is_empty() && profile.auto_topup.is_none() && !profile.invoicing;
        (!says_nothing).then(|| {
            Json(Self {
                metadata: profile.metadata.clone(),
                alerts: profile.alerts.iter().map(AlertRow::of).collect(),
                auto_topup: profile.auto_topup.as_ref().map(TopupRow::of),
                invoicing: profile.invoicing,
            })
        })
    }

    /// The profile with what is said here.
    pub fn profile(&self, profile: Profile) -> Result<Profile, Failure> {
        Ok(Profile {
            metadata: self.metadata.clone(),
            alerts: self.alerts.iter().map(AlertRow::alert).collect::<Result<_, _>>()?,
            auto_topup: self.auto_topup.as_ref().map(TopupRow::topup).transpose()?,
            invoicing: self.invoicing,
            ..profile
        })
    }
}

impl AlertRow {
    fn of(alert: &Alert) -> Self {
        let (level, percent) = match alert.level {
            AlertLevel::Credits(level) => (Some(level.to_string()), None),
            AlertLevel::Percent(percent) => (None, Some(percent.to_string())),
        };
        Self { level, percent, margin: alert.margin.map(|margin| margin.to_string()) }
    }

    fn alert(&self) -> Result<Alert, Failure> {
        let level = match (&self.level, &self.percent) {
            (Some(level), None) => AlertLevel::Credits(amount(level)?),
            (None, Some(percent)) => AlertLevel::Percent(amount(percent)?),
            _ => return Err(unreadable("alert", "with both or neither of level and percent")),
        };
        Ok(Alert { level, margin: self.margin.as_deref().map(amount).transpose()? })
    }
}

impl TopupRow {
    fn of(topup: &AutoTopup) -> Self {
        Self {
            package: topup.package.to_string(),
            threshold: topup.threshold.to_string(),
            target: topup.target.map(|target| target.to_string()),
            max: topup.max.map(|max| max.to_string()),
            window: topup.window.map(|window| window.to_string()),
        }
    }

    fn topup(&self) -> Result<AutoTopup, Failure> {
        let span = |text: &String| CalendarSpan::parse(text).ok_or_else(|| unreadable("duration", text));
        Ok(AutoTopup {
            package: id(&self.package)?,
            threshold: amount(&self.threshold)?,
            target: self.target.as_deref().map(amount).transpose()?,
            max: self.max.as_deref().map(amount).transpose()?,
            window: self.window.as_ref().map(span).transpose()?,
        })
    }
}
