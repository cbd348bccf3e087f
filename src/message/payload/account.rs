//! `account.opened`, `.changed`, `.frozen`, `.unfrozen`, `.closed`. Reads them; a zone or package
//! that does not exist is the core's to refuse (`unknown_zone`, `unknown_package`).

use super::{Asked, act, read};
use crate::domain::account::{AccountKind, Zone};
use crate::domain::alert::{Alert, AlertLevel, AutoTopup};
use crate::domain::calendar::CalendarSpan;
use crate::domain::command::{Act, Command, ProfileChange, TopupChange};
use crate::domain::credits::Credits;
use crate::domain::ids::{Id, Printable, Prose};
use crate::message::amount::NonNegative;
use crate::message::fault::Fault;
use crate::message::field::{Field, plain};
use crate::message::json::{Nullable, Object, Unique};
use crate::message::schema::{given, only};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The most keys of `metadata`, and the most characters of a key and of a value.
const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 64;
const METADATA_VALUE_CHARS_MAX: usize = 500;
/// The most alerts of one account: each is looked at whenever its credits change.
const ALERTS_MAX: usize = 20;
/// A percentage as text: 0 to 100.
const PERCENT: &str = r"^0*(?:100(?:\.0{1,6})?|[0-9]{1,2}(?:\.[0-9]{1,6})?)$";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    kind: Option<Field<AccountKind>>,
    owner: Option<Field<Id>>,
    time_zone: Option<Field<Printable>>,
    #[schemars(extend("maxItems" = ALERTS_MAX))]
    alerts: Option<Vec<Object<AlertSaid>>>,
    #[serde(default)]
    auto_topup: Nullable<Object<TopupSaid>>,
    invoicing: Option<bool>,
    #[schemars(extend(
        "maxProperties" = METADATA_KEYS_MAX,
        "propertyNames" = plain(1..=METADATA_KEY_CHARS_MAX),
        "additionalProperties" = plain(0..=METADATA_VALUE_CHARS_MAX),
    ))]
    metadata: Option<Unique<String, String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [only(&["level"], &["percent"]), only(&["percent"], &["level"])]))]
struct AlertSaid {
    level: Option<NonNegative>,
    #[schemars(extend("pattern" = PERCENT, "maximum" = 100))]
    percent: Option<NonNegative>,
    margin: Option<NonNegative>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("if" = given(&["window"]), "then" = given(&["max"])))]
struct TopupSaid {
    package: Field<Id>,
    threshold: NonNegative,
    target: Option<NonNegative>,
    max: Option<NonNegative>,
    window: Option<Field<CalendarSpan>>,
}

impl Said {
    fn profile(self) -> Result<ProfileChange, Fault> {
        let topup = match self.auto_topup {
            Nullable::Absent => None,
            Nullable::Null => Some(TopupChange::Off),
            Nullable::Given(Object(said)) => Some(TopupChange::On(topup(said)?)),
        };
        Ok(ProfileChange {
            kind: self.kind.map(|kind| kind.0),
            owner: self.owner.map(|owner| owner.0),
            zone: self.time_zone.map(|zone| (zone.0.as_str().to_owned(), Zone::named(zone.0.as_str()))),
            metadata: self.metadata.map(metadata).transpose()?,
            alerts: self.alerts.map(alerts).transpose()?,
            auto_topup: topup,
            invoicing: self.invoicing,
        })
    }
}

/// Texts by name, for people and for systems beside the ledger; nothing here reads them.
fn metadata(said: Unique<String, String>) -> Result<BTreeMap<String, String>, Fault> {
    let is_text = |text: &str, most: usize| text.chars().count() <= most && !text.chars().any(char::is_control);
    let fits = |(name, value): (&String, &String)| {
        !name.is_empty() && is_text(name, METADATA_KEY_CHARS_MAX) && is_text(value, METADATA_VALUE_CHARS_MAX)
    };
    if said.0.len() > METADATA_KEYS_MAX || !said.0.iter().all(fits) {
        return Err(Fault::malformed(format!(
            "data: `metadata` has at most {METADATA_KEYS_MAX} keys of 1 to {METADATA_KEY_CHARS_MAX} characters, \
             each with a text of at most {METADATA_VALUE_CHARS_MAX} characters, none of them control characters"
        )));
    }
    Ok(said.0)
}

fn alerts(said: Vec<Object<AlertSaid>>) -> Result<Vec<Alert>, Fault> {
    if said.len() > ALERTS_MAX {
        return Err(Fault::malformed(format!("data: an account has at most {ALERTS_MAX} `alerts`")));
    }
    let mut alerts: Vec<Alert> = Vec::with_capacity(said.len());
    for Object(said) in said {
        let level = match (said.level, said.percent) {
            (Some(level), None) => AlertLevel::Credits(level.0),
            (None, Some(percent)) if percent.0 <= Credits::whole(100) => AlertLevel::Percent(percent.0),
            _ => return Err(Fault::malformed("data: an alert has either `level`, or `percent` of at most 100")),
        };
        if alerts.iter().any(|known| known.level == level) {
            return Err(Fault::malformed("data: `alerts` names a level twice"));
        }
        alerts.push(Alert { level, margin: said.margin.map(|margin| margin.0) });
    }
    Ok(alerts)
}

fn topup(said: TopupSaid) -> Result<AutoTopup, Fault> {
    if said.window.is_some() && said.max.is_none() {
        return Err(Fault::malformed("data: the `window` of `auto_topup` is for a `max`"));
    }
    Ok(AutoTopup {
        package: said.package.0,
        threshold: said.threshold.0,
        target: said.target.map(|target| target.0),
        max: said.max.map(|max| max.0),
        window: said.window.map(|window| window.0),
    })
}

/// What is said of a new account.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("allOf" = [given(&["kind", "owner"])]))]
#[serde(transparent)]
pub(super) struct Opened(Said);

pub(super) fn opened(data: &str) -> Result<Asked, Fault> {
    let profile = read::<Opened>(data)?.0.profile()?;
    if profile.kind.is_none() || profile.owner.is_none() {
        return Err(Fault::malformed("data: an account is opened with `kind` and `owner`"));
    }
    Ok(Command::OpenAccount(Box::new(profile)).into())
}

pub(super) fn changed(data: &str) -> Result<Asked, Fault> {
    Ok(Command::ChangeAccount(Box::new(read::<Said>(data)?.profile()?)).into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acted {
    reason: Field<Prose>,
    actor: Field<Printable>,
}

fn acted(data: &str, command: fn(Act) -> Command) -> Result<Asked, Fault> {
    let data: Acted = read(data)?;
    Ok(command(act(data.reason.0, data.actor.0)).into())
}

pub(super) fn frozen(data: &str) -> Result<Asked, Fault> {
    acted(data, Command::FreezeAccount)
}

pub(super) fn unfrozen(data: &str) -> Result<Asked, Fault> {
    acted(data, Command::UnfreezeAccount)
}

pub(super) fn closed(data: &str) -> Result<Asked, Fault> {
    acted(data, Command::CloseAccount)
}
